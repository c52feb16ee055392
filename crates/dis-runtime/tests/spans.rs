//! Spans of `tracing`: one for each task, entered whenever it runs, and never another's, however polls are preempted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, future};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber};

/// What a subscriber was told.
#[derive(Default)]
struct Seen {
    fields: HashMap<u64, HashMap<String, String>>,
    entered: HashMap<u64, usize>,
    closed: Vec<u64>,
    /// The spans that each thread is in.
    stacks: HashMap<ThreadId, Vec<u64>>,
    wrong: Vec<String>,
}

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Seen>>);

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").trim_matches('"').into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        attributes.record(&mut Fields(seen.fields.entry(id.into_u64()).or_default()));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut Fields(self.0.lock().unwrap().fields.entry(id.into_u64()).or_default()));
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        seen.stacks.entry(thread::current().id()).or_default().push(id.into_u64());
        *seen.entered.entry(id.into_u64()).or_default() += 1;
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        let last = seen.stacks.entry(thread::current().id()).or_default().pop();
        if last != Some(id.into_u64()) {
            seen.wrong.push(format!("left {id:?}, but was in {last:?}"));
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().closed.push(id.into_u64());
    }
}

/// One subscriber for all threads of the process, and so for all tests here.
fn watch() -> &'static Watch {
    static WATCH: std::sync::OnceLock<Watch> = std::sync::OnceLock::new();
    WATCH.get_or_init(|| {
        let watch = Watch::default();
        tracing::subscriber::set_global_default(Registry::default().with(watch.clone())).unwrap();
        watch
    })
}

fn span_id() -> u64 {
    Span::current().id().expect("a task is in its span").into_u64()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn each_task_has_a_span_with_its_intent_entered_for_each_poll() {
    let watch = watch();
    let rt = Runtime::builder().workers(1).build().unwrap();
    let line = line!() + 1;
    let task = rt.spawn(Intent::interactive(700), async {
        let id = span_id();
        for _ in 0..5 {
            future::yield_now().await;
            assert_eq!(span_id(), id);
        }
        (id, future::current().unwrap(), future::spawn_child(async { span_id() }).unwrap().await.unwrap())
    });
    let (id, name, child) = task.unwrap().join().unwrap();
    let closure = rt.task(Intent::background()).name("sweeper").spawn(|| (span_id(), dis_runtime::current().unwrap()));
    let (closure, closures_name) = closure.unwrap().join().unwrap();
    drop(rt);
    let seen = watch.0.lock().unwrap();
    let field = |id, name: &str| seen.fields[&id].get(name).map(String::as_str);
    assert_eq!(
        (field(id, "kind"), field(id, "intent"), field(id, "target_us")),
        (Some("future"), Some("interactive"), Some("700"))
    );
    assert_eq!(field(id, "id"), Some(&*name.to_string()));
    assert_eq!(field(id, "loc.line"), Some(&*line.to_string()));
    assert_eq!((field(child, "intent"), field(child, "target_us")), (Some("interactive"), Some("700")));
    // Six polls and the one after the child has ended; and once more when the future is dropped.
    assert!((7..=9).contains(&seen.entered[&id]), "{}", seen.entered[&id]);
    assert_eq!(
        (field(closure, "kind"), field(closure, "intent"), field(closure, "target_us")),
        (Some("closure"), Some("background"), None)
    );
    assert_eq!(
        (field(closure, "task.name"), field(closure, "id")),
        (Some("sweeper"), Some(&*closures_name.to_string()))
    );
    assert!([id, child, closure].iter().all(|id| seen.closed.contains(id)));
    assert_eq!(seen.wrong, [""; 0]);
}

/// Polls that never yield are preempted and displaced, on one worker, while others run: each keeps seeing its own span.
#[test]
fn a_preempted_poll_stays_in_its_own_span() {
    let watch = watch();
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicUsize::new(0));
    let hog = |intent| {
        let (stop, looks) = (stop.clone(), looks.clone());
        rt.spawn(intent, async move {
            let id = span_id();
            while !stop.load(Ordering::Relaxed) {
                // Some of them are interrupted while they hold the subscriber's lock, or are in the middle of `tracing`.
                let inner = tracing::debug_span!("inner");
                let _entered = inner.enter();
                assert_eq!(Span::current().id(), inner.id());
                drop(_entered);
                assert_eq!(span_id(), id);
                looks.fetch_add(1, Ordering::Relaxed);
            }
            id
        })
    };
    let hogs: Vec<_> = [Intent::batch(), Intent::batch(), Intent::interactive(1_000), Intent::background()]
        .map(hog)
        .into_iter()
        .collect();
    let begun = Instant::now();
    let mut others = 0;
    while begun.elapsed() < ms(500) || others < 50 {
        let other = rt.spawn(Intent::interactive(500), async {
            let id = span_id();
            future::sleep(ms(1)).await;
            assert_eq!(span_id(), id);
        });
        other.unwrap().join().unwrap();
        others += 1;
    }
    let displaced: u64 = rt.lane_stats().iter().map(|lane| lane.displaced).sum();
    stop.store(true, Ordering::Relaxed);
    let ids: Vec<_> = hogs.into_iter().map(|hog| hog.unwrap().join().unwrap()).collect();
    let signals = rt.preemption_signals();
    drop(rt);
    assert!(displaced > 0 && signals > 50 && looks.load(Ordering::Relaxed) > 100, "{displaced} {signals}");
    let seen = watch.0.lock().unwrap();
    assert_eq!(seen.wrong, [""; 0]);
    // One poll, and the drop.
    assert!(ids.iter().all(|id| seen.entered[id] == 2));
    assert!(seen.stacks.values().all(|stack| stack.len() < 3));
}
