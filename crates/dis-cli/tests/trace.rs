//! `--trace`: a valid document whose tracks never go back in time and whose arrows have both ends.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Folder, MIXED, dis, text};
use serde_json::Value;

fn number(event: &Value, key: &str) -> f64 {
    event[key].as_f64().unwrap_or_else(|| panic!("no {key} in {event}"))
}

#[test]
fn a_trace_can_be_read() {
    let folder = Folder::new();
    let (file, trace) = (folder.file("mixed.toml", MIXED), folder.path("trace.json"));
    let output = dis(&["run", &file, "--cpus", "1", "--trace", &trace]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("open it in https://ui.perfetto.dev"), "{}", text(&output.stderr));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = document["traceEvents"].as_array().unwrap();

    let names: BTreeSet<&str> = (events.iter())
        .filter(|event| event["ph"] == "M" && event["name"] == "thread_name")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    for name in ["CPU 0", "control", "ui", "encode/0", "encode/1", "index", "house"] {
        assert!(names.contains(name), "{names:?}");
    }

    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let (mut begins, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for event in events.iter().filter(|event| event["ph"] != "M") {
        let (track, ts) = (format!("{}.{}", event["pid"], event["tid"]), number(event, "ts"));
        let before = last.insert(track, ts).unwrap_or(0.0);
        assert!(ts >= before, "{event} after {before}");
        match event["ph"].as_str().unwrap() {
            "X" => assert!(number(event, "dur") >= 0.0),
            "s" => assert!(begins.insert(event["id"].as_u64(), ts).is_none()),
            "f" => assert!(ends.insert(event["id"].as_u64(), ts).is_none()),
            "i" => assert_eq!(event["name"], "deadline missed"),
            other => panic!("{other}: {event}"),
        }
    }
    assert!(!begins.is_empty());
    assert_eq!(begins.keys().collect::<Vec<_>>(), ends.keys().collect::<Vec<_>>());
    assert!(begins.iter().all(|(id, begin)| ends[id] >= *begin));

    // The slices of the CPU do not overlap, and say who, in which class, and why.
    let slices: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X" && event["pid"] == 1).collect();
    let mut end = 0.0;
    for slice in &slices {
        assert!(number(slice, "ts") >= end - 0.001, "{slice} before {end}");
        end = number(slice, "ts") + number(slice, "dur");
        assert!(names.contains(slice["name"].as_str().unwrap()), "{slice}");
        assert!(slice["args"]["class"].is_string() && slice["args"]["reason"].is_string(), "{slice}");
    }
    assert!(slices.iter().any(|slice| slice["name"] == "control"));
    let states: BTreeSet<&str> = (events.iter())
        .filter(|event| event["ph"] == "X" && event["pid"] == 2)
        .filter_map(|event| event["args"]["state"].as_str())
        .collect();
    assert_eq!(states, BTreeSet::from(["blocked", "ready", "running"]));
}
