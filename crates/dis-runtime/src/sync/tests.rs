//! Whose a mutex is, who gets it next, and who lends urgency to whom.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dis_core::api::BlockReason;
use dis_core::intent::{Intent, QueueType};

use super::{Event, Mutex, MutexGuard, channel, endpoint};
use crate::api::{here, yield_now};
use crate::host::Runtime;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Waits until so many wait for the mutex.
fn until_waiting<T>(mutex: &Mutex<T>, count: usize) {
    while mutex.waiting() != count {
        thread::sleep(Duration::from_micros(200));
    }
}

/// The class in which the running task counts now.
fn my_class() -> Option<QueueType> {
    let (klt, me) = here()?;
    crate::gate::inside(|| klt.rt().exec.urgency(me.id()).ok().map(|urgency| urgency.class))
}

/// A task that shares its thread with others of this kind.
fn shared() -> crate::TaskBuilder<'static> {
    // SAFETY: what the tests put into thread-locals they take out by value.
    unsafe { crate::task(Intent::batch()).shared() }
}

#[test]
fn the_core_knows_what_a_task_waits_for() {
    let rt = runtime(1);
    // Spawns what waits; it may wait for other things first (for a lock of the runtime's, say), but not for ever.
    let waits_for = |expected: BlockReason, wait: Box<dyn FnOnce() + Send>| {
        let id = rt.spawn_fn(Intent::batch(), wait).unwrap().id();
        let mut seen = None;
        for _ in 0..50_000 {
            let reason = rt.inner.exec.with_task(id, |task| task.block_reason()).unwrap();
            if reason == Some(expected) {
                return;
            }
            seen = reason.or(seen);
            thread::sleep(Duration::from_micros(200));
        }
        panic!("waits for {seen:?}, not {expected:?}");
    };
    let (sender, receiver) = channel::<u32>(1);
    let (full, kept) = channel::<u32>(1);
    full.send(1).unwrap();
    let (notification, event) = (Arc::new(Event::automatic()), Arc::new(Event::manual()));
    let (called, happens) = (notification.clone(), event.clone());
    let (client, mut server) = endpoint::<(), ()>();
    waits_for(BlockReason::Ipc, Box::new(move || assert_eq!(receiver.recv(), Ok(7))));
    waits_for(BlockReason::Ipc, Box::new(move || full.send(2).unwrap()));
    waits_for(BlockReason::Ipc, Box::new(move || called.wait()));
    waits_for(BlockReason::Event, Box::new(move || happens.wait()));
    waits_for(BlockReason::Receive, Box::new(move || server.serve(|()| ())));
    sender.send(7).unwrap();
    assert_eq!([kept.recv(), kept.recv()], [Ok(1), Ok(2)]);
    notification.set();
    event.set();
    drop(client);
}

#[test]
fn the_most_urgent_waiter_comes_first_then_the_first() {
    let rt = runtime(2);
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock();
    let plain = {
        let mutex = mutex.clone();
        thread::spawn(move || mutex.lock().push("thread"))
    };
    until_waiting(&mutex, 1);
    let intents = [("first", Intent::background()), ("second", Intent::background()), ("urgent", Intent::system())];
    let tasks: Vec<_> = intents
        .into_iter()
        .zip(2..)
        .map(|((name, intent), place)| {
            let theirs = mutex.clone();
            let task = rt.spawn_fn(intent, move || theirs.lock().push(name)).unwrap();
            until_waiting(&mutex, place);
            task
        })
        .collect();
    drop(guard);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    plain.join().unwrap();
    assert_eq!(*mutex.lock(), ["urgent", "first", "second", "thread"]);
}

/// Three contenders hand the mutex to each other until `over`, or a hundred times.
struct Contest {
    mutex: Mutex<u32>,
    over: AtomicBool,
}

const LIMIT: u32 = 100;

impl Contest {
    fn contend(&self) {
        let mut last = 0;
        while !self.over.load(Ordering::Relaxed) && last < LIMIT {
            let mut turns = self.mutex.lock();
            *turns += 1;
            last = *turns;
            while self.mutex.waiting() < 3 && !self.over.load(Ordering::Relaxed) && last < LIMIT {
                yield_now();
            }
        }
    }

    /// Takes the mutex once; gives how many turns there were before.
    fn take(&self) -> (u32, Option<QueueType>) {
        let turns = self.mutex.lock();
        let class = my_class();
        self.over.store(true, Ordering::Relaxed);
        (*turns, class)
    }
}

/// How many contenders pass a waiter that is there before them, and in which class it has its turn.
fn passed_by(contender: &Intent, waiter: Option<Intent>) -> (u32, Option<QueueType>) {
    let rt = runtime(2);
    let contest = Arc::new(Contest { mutex: Mutex::new(0), over: AtomicBool::new(false) });
    let guard = contest.mutex.lock();
    let theirs = contest.clone();
    let (task, plain) = match waiter {
        Some(intent) => (Some(rt.spawn_fn(intent, move || theirs.take()).unwrap()), None),
        None => (None, Some(thread::spawn(move || theirs.take()))),
    };
    until_waiting(&contest.mutex, 1);
    let contenders: Vec<_> = (0..3)
        .map(|_| {
            let theirs = contest.clone();
            rt.spawn_fn(contender.clone(), move || theirs.contend()).unwrap()
        })
        .collect();
    until_waiting(&contest.mutex, 4);
    drop(guard);
    let result = task.map(|task| task.join().unwrap()).or(plain.map(|plain| plain.join().unwrap())).unwrap();
    contenders.into_iter().for_each(|task| task.join().unwrap());
    result
}

#[test]
fn tasks_pass_a_thread_sixteen_times_at_most() {
    assert_eq!(passed_by(&Intent::background(), None).0, 16);
}

#[test]
fn urgent_tasks_pass_another_sixteen_times_and_lend_it_their_urgency_then() {
    assert_eq!(passed_by(&Intent::system(), Some(Intent::background())), (16, Some(QueueType::System)));
}

/// `a`, of one runtime, holds what `b`, of another, waits for, who holds what an urgent one of the first waits for.
#[test]
fn inheritance_follows_a_chain_through_two_runtimes() {
    let (one, other) = (runtime(1), runtime(1));
    let class = |rt: &Runtime, id| rt.inner.exec.urgency(id).unwrap().class;
    let (inner, outer) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let go = Arc::new(Event::manual());
    let (mutex, event) = (inner.clone(), go.clone());
    let a = one.spawn_fn(Intent::background(), move || {
        let _guard = mutex.lock();
        event.wait();
    });
    // By its id it could be taken for `a`.
    let event = go.clone();
    let bystander = other.spawn_fn(Intent::background(), move || event.wait()).unwrap();
    let a = a.unwrap();
    while inner.try_lock().is_some() {
        thread::yield_now();
    }
    let (first, second) = (outer.clone(), inner.clone());
    let b = other.spawn_fn(Intent::background(), move || {
        let _guard = first.lock();
        let _other = second.lock();
    });
    let b = b.unwrap();
    until_waiting(&inner, 1);
    let mutex = outer.clone();
    let urgent = one.spawn_fn(Intent::system(), move || drop(mutex.lock())).unwrap();
    until_waiting(&outer, 1);
    assert_eq!(a.id(), bystander.id());
    assert_eq!([class(&one, a.id()), class(&other, b.id())], [QueueType::System; 2]);
    assert_eq!(class(&other, bystander.id()), QueueType::Background);
    go.set();
    [a, b, urgent, bystander].into_iter().for_each(|task| task.join().unwrap());
}

thread_local! {
    static PASSED_ON: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

fn drop_what_was_passed_on() -> (thread::ThreadId, bool) {
    (thread::current().id(), PASSED_ON.take().is_some())
}

/// Two tasks on one thread, one leaves its guard in a thread-local, the other finds and drops it there.
#[test]
fn a_guard_may_be_dropped_by_a_neighbour() {
    static MUTEX: Mutex<()> = Mutex::new(());
    let attempt = || {
        let owner = shared().spawn(|| {
            PASSED_ON.set(Some(MUTEX.lock()));
            let heir = crate::task(Intent::batch()).dedicated().spawn(|| drop(MUTEX.lock())).unwrap();
            while MUTEX.waiting() == 0 {
                yield_now();
            }
            let neighbour = shared().spawn(|| {
                let dropped = drop_what_was_passed_on();
                (dropped, here().unwrap().1.mutexes.get())
            });
            let ((thread, found), counted) = neighbour.unwrap().join().unwrap();
            assert_eq!((thread == thread::current().id(), counted), (found, 0));
            drop(PASSED_ON.take());
            heir.join().unwrap();
            let me = here().unwrap().1;
            assert!(me.mutexes.get() == 0 && me.contended.get().is_null());
            found
        });
        owner.unwrap().join().unwrap()
    };
    // The neighbour gets another thread if the owner is preempted just then.
    let rt = runtime(1);
    assert!(rt.spawn_fn(Intent::batch(), move || (0..50).any(|_| attempt())).unwrap().join().unwrap());
}

#[test]
fn a_guard_may_be_dropped_when_its_owner_has_ended() {
    static MUTEX: Mutex<()> = Mutex::new(());
    let rt = runtime(1);
    let attempt = || {
        let (locked, end) = (Arc::new(Event::manual()), Arc::new(Event::manual()));
        let theirs = (locked.clone(), end.clone());
        let owner = rt.spawn_fn(Intent::batch(), move || {
            PASSED_ON.set(Some(MUTEX.lock()));
            theirs.0.set();
            theirs.1.wait();
        });
        locked.wait();
        let heir = rt.spawn_fn(Intent::system(), || drop(MUTEX.lock())).unwrap();
        until_waiting(&MUTEX, 1);
        end.set();
        owner.unwrap().join().unwrap();
        // Waits for nobody: the owner's thread is at rest, or carries the worker.
        let dropped = (0..20).any(|_| rt.spawn_fn(Intent::batch(), drop_what_was_passed_on).unwrap().join().unwrap().1);
        if dropped {
            heir.join().unwrap();
            assert!(MUTEX.try_lock().is_some());
        }
        dropped
    };
    assert!(attempt());
}
