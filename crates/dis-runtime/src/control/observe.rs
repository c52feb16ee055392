//! Wake-up latencies, reasons and the classes' times, from the record of decisions.
//!
//! Decisions are recorded only while somebody watches: the first who asks starts a thread that reads the records, and ends it by
//! not asking any more.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dis_control::protocol::Latency;
use dis_core::api::{TaskId, Timestamp};
use dis_core::executor::Reason;
use dis_core::intent::QueueType;

use super::histogram::Histogram;
use crate::runtime::Inner;
use crate::trace::{TraceEvent, TraceKind, TraceReader};

/// Events to keep for each CPU until they are read: 1 MiB.
const EVENTS: usize = 32_768;
/// How often they are read.
const EVERY: Duration = Duration::from_millis(20);
/// How long recording goes on after the last who asked.
const LINGER: Duration = Duration::from_secs(5);
/// Tasks of which latencies are kept, at most: 16 MiB.
const MOST_TASKS: usize = 16_384;

/// See the module.
pub(crate) struct Observer {
    rt: Weak<Inner>,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    rouse: Condvar,
}

#[derive(Default)]
struct State {
    seen: Seen,
    reader: TraceReader,
    /// Until when somebody watches; nothing: nobody does.
    until: Option<Instant>,
    thread: Option<JoinHandle<()>>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer {
    pub(crate) fn new(rt: &Arc<Inner>) -> Observer {
        Observer { rt: Arc::downgrade(rt), shared: Arc::new(Shared { state: Mutex::default(), rouse: Condvar::new() }) }
    }

    /// Somebody watches: records from now on, for a while.
    pub(crate) fn watch(&self) {
        let mut state = self.shared.lock();
        if state.ended {
            return;
        }
        let watched = state.until.replace(Instant::now() + LINGER).is_some();
        if watched {
            return;
        }
        let Some(rt) = self.rt.upgrade() else { return };
        rt.record(EVENTS);
        // What was recorded before nobody looked any more tells nothing of the time between.
        state.reader.each(rt.rings.get().map_or(&[], |rings| rings), |_| ());
        state.seen.resume(rt.workers.len());
        // Those who ended meanwhile were not seen to.
        state.seen.keep(|id| is_there(&rt, id));
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("dis-observe".into()).spawn(move || follow(&rt, &shared));
        // The thread before has ended, or is about to.
        state.thread = thread.ok();
        if state.thread.is_none() {
            state.until = None;
        }
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let thread = state.thread.take();
        drop(state);
        self.shared.rouse.notify_all();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Looks at what has been seen; nothing if nobody has watched.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> Option<T> {
        let state = self.shared.lock();
        (!state.seen.cpus.is_empty()).then(|| look(&state.seen))
    }
}

fn follow(rt: &Inner, shared: &Shared) {
    let mut state = shared.lock();
    loop {
        let State { seen, reader, .. } = &mut *state;
        reader.each(rt.rings.get().map_or(&[], |rings| rings), |event| seen.note(&event));
        if state.seen.lost != state.reader.lost() {
            state.seen.lost = state.reader.lost();
            // The record of somebody's end may be among those that were lost.
            state.seen.keep(|id| is_there(rt, id));
        }
        let watched = state.until.is_some_and(|until| Instant::now() < until);
        if !watched || state.ended {
            state.until = None;
            // A trace that was asked for when the runtime was built goes on.
            rt.recording.store(rt.config.trace > 0, Ordering::Release);
            return;
        }
        state = shared.rouse.wait_timeout(state, EVERY).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn is_there(rt: &Inner, id: TaskId) -> bool {
    rt.exec.with_task(id, |_| ()).is_ok()
}

/// What has been seen.
#[derive(Default)]
pub(crate) struct Seen {
    cpus: Vec<CpuSeen>,
    tasks: HashMap<TaskId, TaskSeen>,
    reasons: [u64; Reason::ALL.len()],
    pub(crate) lost: u64,
}

#[derive(Default)]
struct CpuSeen {
    /// What runs, in which class, since when; nothing: unknown, or idle.
    running: Option<(TaskId, QueueType, Timestamp)>,
    ran: [u64; 5],
}

struct TaskSeen {
    /// It waits, or did until it became ready, for this instant at the latest: the time from then until it runs is a wake-up
    /// latency.
    waits: Option<Timestamp>,
    latencies: Histogram,
    reason: Option<Reason>,
}

impl Seen {
    fn resume(&mut self, cpus: usize) {
        self.cpus.resize_with(cpus, CpuSeen::default);
        self.cpus.iter_mut().for_each(|cpu| cpu.running = None);
        self.tasks.values_mut().for_each(|task| task.waits = None);
    }

    /// Forgets the tasks that are gone, whose ends may have escaped notice.
    fn keep(&mut self, is_there: impl Fn(TaskId) -> bool) {
        self.tasks.retain(|id, _| is_there(*id));
    }

    fn note(&mut self, event: &TraceEvent) {
        let Some(cpu) = self.cpus.get_mut(event.cpu) else { return };
        if let Some((_, class, since)) = &mut cpu.running {
            // Whoever leaves, the next comes at the same instant; if that record is lost, this one's class stands for it.
            cpu.ran[class.rank()] += event.at.since(*since).as_nanos();
            *since = event.at;
        }
        if let Some(reason) = event.reason {
            self.reasons[reason as usize] += 1;
        }
        match event.kind {
            TraceKind::Run => {
                cpu.running = event.class.map(|class| (event.task, class, event.at));
                let room = self.tasks.len() < MOST_TASKS;
                if !room && !self.tasks.contains_key(&event.task) {
                    return;
                }
                let fresh = || TaskSeen { waits: None, latencies: Histogram::new(), reason: None };
                let task = self.tasks.entry(event.task).or_insert_with(fresh);
                task.reason = event.reason;
                if let Some(until) = task.waits.take() {
                    // A timer that comes late makes it ready late.
                    let late = event.at.since(until).as_nanos();
                    task.latencies.record(event.waited.max(late));
                }
            }
            TraceKind::Block | TraceKind::Sleep => {
                if let Some(task) = self.tasks.get_mut(&event.task) {
                    task.waits = Some(event.until.unwrap_or(Timestamp::MAX));
                }
            }
            TraceKind::Exit => drop(self.tasks.remove(&event.task)),
            TraceKind::Idle => cpu.running = None,
            TraceKind::Preempt | TraceKind::Yield | TraceKind::Declined => {}
        }
    }

    /// CPU time of each class on a CPU up to `now`.
    pub(crate) fn ran(&self, cpu: usize, now: Timestamp) -> Option<[u64; 5]> {
        let cpu = self.cpus.get(cpu)?;
        let mut ran = cpu.ran;
        if let Some((_, class, since)) = cpu.running {
            ran[class.rank()] += now.since(since).as_nanos();
        }
        Some(ran)
    }

    /// A task's wake-up latencies, and why it was chosen last.
    pub(crate) fn task(&self, id: TaskId) -> (Option<Latency>, Option<Reason>) {
        self.tasks.get(&id).map_or((None, None), |task| (Some(task.latencies.latency()), task.reason))
    }

    /// How often decisions fell for each reason, most frequent first.
    pub(crate) fn reasons(&self) -> Vec<(Reason, u64)> {
        let mut reasons: Vec<_> = Reason::ALL.into_iter().zip(self.reasons).filter(|(_, count)| *count > 0).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, kind: TraceKind, task: u64, waited: u64) -> TraceEvent {
        let run = kind == TraceKind::Run;
        let (class, reason) = (run.then_some(QueueType::Batch), run.then_some(Reason::ClassOrder));
        TraceEvent {
            at: Timestamp::from_nanos(at),
            cpu: 0,
            kind,
            task: TaskId(task),
            class,
            reason,
            lost: None,
            waited,
            until: None,
        }
    }

    #[test]
    fn only_what_follows_a_wait_is_a_wake_up_latency() {
        let mut seen = Seen::default();
        seen.resume(1);
        for event in [
            event(0, TraceKind::Run, 1, 500),
            event(100, TraceKind::Preempt, 1, 0),
            event(100, TraceKind::Run, 2, 7),
            event(150, TraceKind::Block, 2, 0),
            event(150, TraceKind::Run, 1, 50),
            event(400, TraceKind::Sleep, 1, 0),
            event(400, TraceKind::Idle, 0, 0),
            event(1_000, TraceKind::Run, 1, 90),
            TraceEvent { until: Some(Timestamp::from_nanos(2_000)), ..event(1_010, TraceKind::Sleep, 1, 0) },
            event(1_010, TraceKind::Idle, 0, 0),
            event(2_300, TraceKind::Run, 1, 10),
        ] {
            seen.note(&event);
        }
        let (latency, reason) = seen.task(TaskId(1));
        assert_eq!((latency.unwrap().count, latency.unwrap().max, reason), (2, 300, Some(Reason::ClassOrder)));
        assert_eq!(seen.task(TaskId(2)).0.unwrap().count, 0);
        let batch = seen.ran(0, Timestamp::from_nanos(2_310)).unwrap()[QueueType::Batch.rank()];
        assert_eq!(batch, 100 + 50 + 250 + 10 + 10);
        assert_eq!(seen.reasons(), [(Reason::ClassOrder, 5)]);
        seen.note(&event(2_320, TraceKind::Exit, 1, 0));
        assert_eq!(seen.task(TaskId(1)), (None, None));
    }

    /// Waits until the observer says so.
    fn until(observer: &Observer, mut is_so: impl FnMut(&State) -> bool) {
        while !is_so(&observer.shared.lock()) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A task that ends while nobody watches, so that no record tells of it.
    #[test]
    fn who_ends_unseen_is_forgotten_when_somebody_watches_again() {
        let rt = crate::Runtime::builder().workers(1).build().unwrap();
        let observer = Observer::new(&rt.inner);
        observer.watch();
        let ending = rt.spawn_fn(dis_core::intent::Intent::batch(), crate::park).unwrap();
        let staying =
            rt.spawn_fn(dis_core::intent::Intent::batch(), || crate::sleep(Duration::from_secs(3600))).unwrap();
        let (gone, there) = (ending.id(), staying.id());
        until(&observer, |state| [gone, there].iter().all(|id| state.seen.tasks.contains_key(id)));
        observer.shared.lock().until = Some(Instant::now());
        until(&observer, |state| state.until.is_none());
        ending.unpark();
        ending.join().unwrap();
        while is_there(&rt.inner, gone) {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(observer.shared.lock().seen.tasks.contains_key(&gone), "nobody has told");
        observer.watch();
        let left = [gone, there].map(|id| observer.shared.lock().seen.tasks.contains_key(&id));
        assert_eq!(left, [false, true]);
        observer.end();
        staying.abort();
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut seen = Seen::default();
        seen.resume(1);
        seen.note(&event(0, TraceKind::Run, 1, 0));
        seen.note(&event(5, TraceKind::Run, 2, 0));
        seen.keep(|id| id == TaskId(2));
        assert_eq!(seen.tasks.keys().copied().collect::<Vec<_>>(), [TaskId(2)]);
    }
}
