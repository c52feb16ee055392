//! The trace of a known little scenario.

use std::time::Duration;

use dis_runtime::{Intent, IntentClass, Runtime, TaskId, TraceEvent, TraceKind, TraceReader, park, sleep, yield_now};

/// Reads until `task` has ended, as the trace tells.
fn read_to_the_end(rt: &Runtime, reader: &mut TraceReader, task: TaskId) -> Vec<TraceEvent> {
    let mut events = rt.trace(reader);
    while !events.iter().any(|event| event.task == task && event.kind == TraceKind::Exit) {
        std::thread::sleep(Duration::from_millis(1));
        events.extend(rt.trace(reader));
    }
    events
}

#[test]
fn events_come_in_order_and_say_what_happened() {
    let rt = Runtime::builder().workers(1).trace(256).build().unwrap();
    let mut reader = TraceReader::default();
    assert!(rt.trace(&mut reader).is_empty());
    let intent = Intent::batch();
    assert_eq!(intent.class, IntentClass::Batch);
    let task = rt
        .spawn_fn(intent, || {
            sleep(Duration::from_millis(2));
            yield_now();
            park();
        })
        .unwrap();
    let id = task.id();
    while rt.task_stats(id).is_some_and(|stats| stats.blocks < 2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    task.unpark();
    let events = read_to_the_end(&rt, &mut reader, id);
    task.join().unwrap();
    assert_eq!(reader.lost(), 0);

    use TraceKind::{Block, Exit, Idle, Run, Sleep, Yield};
    let own: Vec<&TraceEvent> = events.iter().filter(|event| event.task == id).collect();
    let kinds: Vec<TraceKind> = own.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Run, Sleep, Run, Yield, Run, Block, Run, Exit], "{events:?}");
    assert!(events.is_sorted_by_key(|event| event.at));
    for event in &own {
        let run = event.kind == Run;
        assert_eq!((event.cpu, event.class.is_some(), event.reason.is_some()), (0, run, run), "{event:?}");
    }
    assert!(own[2].at.since(own[1].at) >= Duration::from_millis(2).into(), "it slept for 2 ms");
    assert!(own[0].waited > 0, "it was ready for a moment after the spawn: {own:?}");
    let idle: Vec<&TraceEvent> = events.iter().filter(|event| event.kind == Idle).collect();
    assert!(idle.len() >= 2 && idle.iter().all(|event| event.task == TaskId::INVALID));
    assert!(idle.iter().any(|event| own[1].at <= event.at && event.at <= own[2].at), "idle while it slept");
}

#[test]
fn an_overrun_ring_counts_what_it_lost() {
    const YIELDS: u64 = 500;
    let rt = Runtime::builder().workers(1).trace(64).build().unwrap();
    let yields = || {
        for _ in 0..YIELDS {
            yield_now();
        }
    };
    let task = rt.spawn_fn(Intent::batch(), yields).unwrap();
    let id = task.id();
    task.join().unwrap();
    let mut reader = TraceReader::default();
    let events = read_to_the_end(&rt, &mut reader, id);
    // Each yield is two events: the task left, the task runs. It began before, ended after, and the CPU became idle, the
    // last event, which is not read yet. (Reads meet the end of the task, so there may have been several.)
    let all = 2 * YIELDS + 2;
    assert!((all..=all + 1).contains(&(reader.lost() + events.len() as u64)), "{} and {}", reader.lost(), events.len());
    assert!(reader.lost() > YIELDS);
    let kinds = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert!(kinds(TraceKind::Yield) >= 20 && kinds(TraceKind::Run) >= 20, "{events:?}");
    // Nothing new: nothing more is lost, and nothing comes twice.
    let lost = reader.lost();
    assert!(rt.trace(&mut reader).iter().all(|event| event.kind == TraceKind::Idle));
    assert_eq!(reader.lost(), lost);
}

#[test]
fn nothing_is_recorded_unless_asked_for() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    rt.spawn_fn(Intent::batch(), yield_now).unwrap().join().unwrap();
    assert!(rt.trace(&mut TraceReader::default()).is_empty());
}
