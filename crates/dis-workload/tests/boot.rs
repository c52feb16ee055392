//! A boot module holds everything that a file says.

use std::fs;
use std::path::Path;

use dis_core::api::{CpuMask, Duration};
use dis_core::intent::Intent;
use dis_workload::Workload;
use dis_workload::boot::{DecodeError, VERSION, decode, encode};
use dis_workload::model::{Distribution, Phase, Repeat, Step, TaskSpec};
use proptest::prelude::*;

fn check(workload: &Workload, name: &str) {
    let module = encode(workload).unwrap();
    assert_eq!(decode(&module).as_ref(), Ok(workload), "{name}");
    // Cut or changed anywhere it is an error or another workload, and never a panic.
    for cut in 0..module.len() {
        assert!(decode(&module[..cut]).is_err(), "{name}: {cut} of {} bytes", module.len());
    }
    for at in 0..module.len() {
        let mut damaged = module.clone();
        damaged[at] ^= 0x55;
        assert_ne!(decode(&damaged).as_ref(), Ok(workload), "{name}: byte {at}");
    }
}

fn files(folder: &Path, extension: &str) -> Vec<Workload> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == extension));
    paths.filter_map(|path| Workload::load(path).ok()).collect()
}

#[test]
fn every_example_arrives_as_it_was() {
    let examples = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"), "toml");
    assert!(examples.len() >= 5);
    examples.iter().for_each(|workload| check(workload, &workload.tasks[0].name));
    for workload in files(Path::new("/usr/share/doc/rt-app/examples"), "json") {
        check(&workload, &workload.tasks[0].name);
    }
}

#[test]
fn random_times_and_phases_arrive() {
    let text = "seed = 3\n[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = { uniform = [\"1ms\", \"2ms\"] } }, \
                { sleep = { bursty = [\"1ms\", \"9ms\"], burst = 4 } }, { timer = \"5ms\" }, \"yield\", { lock = \"m\" }, \
                { unlock = \"m\" }, { signal = \"e\" } ]\n[[task]]\nname = \"b\"\nintent = \"background\"\nmemory = \"1MiB\"\n\
                best_effort = [\"memory\"]\nloop = [ { wait = \"e\" }, { barrier = \"x\" }, { run = { normal = [\"1ms\", \"1us\"] } } ]\n";
    let mut workload = Workload::from_toml(text, "t").unwrap();
    workload
        .objects
        .distributions
        .push(Distribution::Recorded { file: "f".into(), times: vec![Duration::from_nanos(1)] });
    check(&workload, "made");
}

proptest! {
    #[test]
    fn any_task_arrives(nanos in proptest::collection::vec(any::<u64>(), 1..20), cpu in 0..256_usize, repeat in 1..u64::MAX,
                        name in ".{0,40}", share in 0..1_000_u16) {
        let mut task = TaskSpec::new(name, Intent::batch().with_cpu_share(share, 1_000), Vec::new());
        let steps = nanos.iter().map(|&n| Step::Run(Duration::from_nanos(n))).collect();
        task.phases = vec![Phase { name: None, repeat, affinity: Some(CpuMask::single(cpu)), steps }];
        task.repeat = Repeat::Times(repeat);
        let workload = Workload { duration: Some(Duration::from_nanos(repeat)), cpus: Some(cpu + 1), tasks: vec![task],
                                  ..Workload::default() };
        prop_assert_eq!(decode(&encode(&workload).unwrap()), Ok(workload));
    }

    #[test]
    fn rubbish_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
        let mut module = b"DISW".to_vec();
        module.extend(VERSION.to_le_bytes());
        module.extend((bytes.len() as u32).to_le_bytes());
        module.extend(&bytes);
        // Whatever it is taken for, it is exactly that.
        match decode(&module) {
            Ok(workload) => prop_assert_eq!(decode(&encode(&workload).unwrap()), Ok(workload)),
            Err(error) => prop_assert_eq!(error, DecodeError::Content),
        }
    }
}
