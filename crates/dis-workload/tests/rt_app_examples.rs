//! The examples that the package `rt-app` installs, read from where it puts them. Skipped where it is not installed.

use std::fs;
use std::path::{Path, PathBuf};

use dis_core::intent::QueueType;
use dis_workload::Workload;
use dis_workload::model::Repeat;

/// The package's examples; `None`, with a line on stderr, where they are not installed.
fn examples() -> Option<PathBuf> {
    let directory = PathBuf::from("/usr/share/doc/rt-app/examples");
    if directory.is_dir() {
        return Some(directory);
    }
    eprintln!("skipped: {} is not there; install the package rt-app to run this test", directory.display());
    None
}

fn json_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            json_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "json") {
            found.push(entry);
        }
    }
}

fn load(name: &str) -> Option<Workload> {
    let path = examples()?.join(name);
    Some(Workload::load(path).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn every_example_is_read_or_refused_for_a_good_reason() {
    let Some(directory) = examples() else { return };
    let mut files = Vec::new();
    json_files(&directory, &mut files);
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    for file in files {
        let name = file.strip_prefix(&directory).unwrap().display().to_string();
        match Workload::load(&file) {
            Ok(workload) => {
                eprintln!("{name}: {} tasks", workload.instances().count());
                workload.notes.iter().for_each(|note| eprintln!("  {note}"));
                assert!(!name.starts_with("merge/"), "{name}");
            }
            Err(error) => {
                let text = error.to_string();
                eprintln!("{name}: refused\n  {text}");
                let fragment = text.contains("this is no workload of its own");
                let old = text.contains("the grammar of rt-app before 1.0");
                assert!(name.starts_with("merge/") && (fragment || old), "{name}: {text}");
            }
        }
    }
}

#[test]
fn browser_short() {
    let Some(workload) = load("browser-short.json") else { return };
    assert_eq!(workload.duration.unwrap().as_secs(), 6);
    assert_eq!(workload.tasks.len(), 9);
    let main = &workload.tasks[0];
    assert_eq!((main.name.as_str(), main.repeat, main.phases.len()), ("BrowserMain", Repeat::Times(3), 7));
    let loops: Vec<_> = main.phases.iter().map(|phase| phase.repeat).collect();
    assert_eq!(loops, [1, 50, 1, 20, 1, 4, 1]);
    let lengths: Vec<_> = main.phases.iter().map(|phase| phase.steps.len()).collect();
    assert_eq!(lengths, [5, 2, 4, 2, 4, 3, 3]);
    // The sync of BrowserDisplay becomes a signal and a wait.
    assert_eq!(workload.tasks[3].steps().count(), 11);
    assert!(workload.tasks.iter().all(|task| task.intent.class.queue() == QueueType::Interactive));
}

#[test]
fn video_short_has_suspends_without_a_value() {
    let Some(workload) = load("video-short.json") else { return };
    assert_eq!(workload.tasks.len(), 17);
    let names: Vec<_> = workload.objects.events.iter().map(|event| event.name.as_str()).collect();
    assert!(["surfaceflinger", "DispSync", "EventThread", "NPDecoder-CL"].iter().all(|name| names.contains(name)));
    assert_eq!(workload.tasks[1].phases.iter().map(|phase| phase.repeat).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn mp3_short() {
    let Some(workload) = load("mp3-short.json") else { return };
    assert_eq!(workload.tasks.len(), 5);
    let tick = &workload.tasks[0];
    assert_eq!(tick.intent.constraints.cpu_affinity, Some(dis_core::api::CpuMask::single(0)));
    assert_eq!((tick.phases[1].repeat, tick.priority), (4, Some(31)));
}
