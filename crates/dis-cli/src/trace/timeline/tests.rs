use super::*;
use dis_core::executor::Reason;
use dis_core::intent::QueueType;
use serde_json::Value;

const UI: TaskId = TaskId::from_parts(0, 1);
const HOG: TaskId = TaskId::from_parts(1, 1);
const PREEMPTED: Left = Left::Ready("preempted");
const SLEEPING: Left = Left::Blocked("sleeping");

fn starts(at: u64, id: TaskId, waited: u64) -> Happened {
    let class = Some(if id == UI { QueueType::Interactive } else { QueueType::Batch });
    let chosen = Chosen { id, class, reason: Some(Reason::ClassOrder), lost: None, waited };
    Happened { at, cpu: 0, what: What::Started(chosen) }
}

fn leaves(at: u64, id: TaskId, left: Left) -> Happened {
    Happened { at, cpu: 0, what: What::Left(id, left) }
}

fn trace(events: &[Happened], misses: &[(TaskId, u64)], end: u64) -> Vec<Value> {
    let mut text = Vec::new();
    let mut out = ChromeWriter::new(&mut text, 0).unwrap();
    let mut timeline = Timeline::new(1, 7);
    timeline.name(UI, 0, "ui".into());
    timeline.name(HOG, 1, "hog".into());
    misses.iter().for_each(|&(id, at)| timeline.miss(id, at));
    events.iter().for_each(|event| timeline.happened(event, &mut out).unwrap());
    timeline.finish(end, &mut out).unwrap();
    out.finish().unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    document["traceEvents"].as_array().unwrap().clone()
}

/// `ph pid.tid name ts+dur` of each event.
fn lines(events: &[Value]) -> Vec<String> {
    let line = |event: &Value| {
        let dur = event["dur"].as_f64().map_or(String::new(), |dur| format!("+{dur:?}"));
        let name = event["name"].as_str().unwrap();
        format!("{} {}.{} {name} {}{dur}", event["ph"].as_str().unwrap(), event["pid"], event["tid"], event["ts"])
    };
    events.iter().map(line).collect()
}

#[test]
fn a_preemption_and_a_wake_up_are_told_in_full() {
    let events = [
        starts(1_000, HOG, 0),
        leaves(5_000, HOG, PREEMPTED),
        starts(5_000, UI, 500),
        leaves(6_000, UI, SLEEPING),
        starts(6_000, HOG, 1_000),
    ];
    let trace = trace(&events, &[(UI, 5_600)], 9_000);
    assert_eq!(
        lines(&trace),
        [
            "X 1.1 hog 1.0+4.0",
            "X 2.2 running 1.0+4.0",
            "X 2.1 ready 4.5+0.5",
            "s 2.1 ready to running 4.5",
            "X 1.1 ui 5.0+1.0",
            "f 1.1 ready to running 5.0",
            "X 2.1 running 5.0+1.0",
            "i 2.1 deadline missed 5.6",
            "X 2.2 ready 5.0+1.0",
            "s 2.2 ready to running 5.0",
            "X 1.1 hog 6.0+3.0",
            "f 1.1 ready to running 6.0",
            "X 2.2 running 6.0+3.0",
            "X 2.1 sleeping 6.0+3.0",
        ]
    );
    assert_eq!(trace[4]["args"], json!({ "class": "interactive", "reason": "class order", "end": "sleeping" }));
    assert_eq!((&trace[3]["id"], &trace[5]["id"]), (&json!(7), &json!(7)));
}

#[test]
fn a_declined_task_never_ran() {
    let events = [
        starts(1_000, UI, 0),
        leaves(1_000, UI, Left::Declined),
        starts(2_000, HOG, 0),
        leaves(4_000, HOG, Left::Ended),
        starts(4_000, UI, 500),
    ];
    let lines = lines(&trace(&events, &[], 5_000));
    assert_eq!(lines[0], "X 1.1 hog 2.0+2.0");
    assert!(lines.contains(&"X 2.1 waits for its kernel thread 1.0+2.5".to_string()), "{lines:?}");
}

#[test]
fn what_was_lost_is_not_made_up() {
    let events =
        [leaves(2_000, HOG, PREEMPTED), starts(3_000, UI, 0), starts(5_000, HOG, 0), leaves(6_000, HOG, SLEEPING)];
    assert_eq!(
        lines(&trace(&events, &[], 7_000)),
        [
            "X 2.2 ready 2.0+3.0",
            "s 2.2 ready to running 2.0",
            "X 1.1 hog 5.0+1.0",
            "f 1.1 ready to running 5.0",
            "X 2.2 running 5.0+1.0",
            "X 2.2 sleeping 6.0+1.0",
        ]
    );
}

#[test]
fn times_of_a_track_never_go_back() {
    let mut events = Vec::new();
    let (mut now, mut seed, mut running) = (0, 1_u64, None);
    for _ in 0..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += seed >> 50;
        let left = [PREEMPTED, SLEEPING, Left::Ready("yielded"), Left::Declined][(seed >> 33) as usize % 4];
        running = match running {
            // One in eight ends is lost.
            Some(id) if seed >> 61 != 0 => {
                events.push(leaves(now, id, left));
                None
            }
            _ => {
                let id = if seed >> 40 & 1 == 0 { UI } else { HOG };
                events.push(starts(now, id, seed >> 52));
                Some(id)
            }
        };
    }
    let mut last = BTreeMap::new();
    for event in trace(&events, &[], now + 10) {
        let track = format!("{}.{}", event["pid"], event["tid"]);
        let ts = event["ts"].as_f64().unwrap();
        let before = last.insert(track.clone(), ts).unwrap_or(0.0);
        assert!(ts >= before, "{track}: {ts} after {before}");
    }
}
