//! Calls: a server works on its caller's time and with its urgency, and every call ends. Then channels, notifications, and ring 3.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId, TaskSpec};
use dis_core::intent::Intent;

use super::{Outcome, channels, ensure, eventually, ipc_user, refused};
use crate::boot::Booted;
use crate::ipc::Server;
use crate::lock::Lock;
use crate::sched::scheduler;
use crate::turns::Turn;
use crate::{clock, println, task};

type Doubler = Server<u64, u64>;
type Relay = Server<u64, Result<u64, SchedError>>;

/// A question to which the server works until [`GO`].
const WAIT: u64 = 0;
static GO: AtomicBool = AtomicBool::new(false);
/// How many such questions it has begun with.
static BEGUN: AtomicU64 = AtomicU64::new(0);

fn answer(question: u64) -> u64 {
    if question == WAIT {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        while !GO.load(Ordering::SeqCst) {
            (0..100).for_each(|turn| _ = core::hint::black_box(turn));
            core::hint::spin_loop();
        }
    }
    2 * question
}

fn doubler(intent: Intent) -> Result<Arc<Doubler>, String> {
    GO.store(false, Ordering::SeqCst);
    Server::spawn("doubles", intent, answer).map_err(refused)
}

/// All of them.
pub fn ipc(booted: &Booted) -> Outcome {
    task::set_intent(task::current(), &Intent::system()).map_err(refused)?;
    task::set_priority(task::current(), 0).map_err(refused)?;
    many_callers(booted.cpus)?;
    caller_pays()?;
    nested_and_circles()?;
    circle_of_mutexes()?;
    inversion()?;
    time_out()?;
    caller_killed()?;
    server_killed()?;
    stray_wake_ups()?;
    channels::channels(booted.cpus)?;
    ipc_user::user_messages(booted.cpus)
}

pub(super) fn spawn(name: &str, intent: Intent, body: impl FnOnce() -> i32 + Send + 'static) -> Result<TaskId, String> {
    task::spawn(name, intent, body).map_err(refused)
}

pub(super) fn ends(id: TaskId, status: ExitStatus) -> Outcome {
    let ended = task::join(id);
    ensure(ended == Ok(status), || format!("a task ended with {ended:?} instead of {status:?}"))
}

/// Three tasks for each CPU call one server: each gets its own answers.
fn many_callers(cpus: usize) -> Outcome {
    let server = doubler(Intent::background())?;
    let call = |me: u64| {
        let server = Arc::clone(&server);
        let body = move || (1..=200).all(|n| server.call(1_000 * me + n, None) == Ok(2 * (1_000 * me + n))) as i32;
        spawn("calls", Intent::batch(), body)
    };
    let callers: Vec<TaskId> = (1..=3 * cpus as u64).map(call).collect::<Result<_, _>>()?;
    for &id in &callers {
        ends(id, ExitStatus::Exited(1))?;
    }
    println!("{} calls by {} tasks", 200 * callers.len(), callers.len());
    task::kill(server.id()).map_err(refused)
}

pub(super) fn reason(id: TaskId) -> Option<BlockReason> {
    scheduler().with_task(id, |task| task.block_reason()).ok().flatten()
}

/// What the server has done for somebody is charged to that one.
fn caller_pays() -> Outcome {
    let server = doubler(Intent::background())?;
    let used = |id| task::stats(id).map_or(0, |stats| stats.cpu_time);
    eventually("the server waits", || reason(server.id()) == Some(BlockReason::Receive))?;
    let before = used(server.id());
    let calls = Arc::clone(&server);
    let caller = spawn("pays", Intent::batch(), move || calls.call(WAIT, None).is_ok() as i32)?;
    eventually("the caller has used 5 ms", || used(caller) > 5_000_000)?;
    let own = used(server.id()) - before;
    ensure(reason(server.id()) == Some(BlockReason::Ipc), || "the server's own time does not wait".into())?;
    GO.store(true, Ordering::SeqCst);
    ends(caller, ExitStatus::Exited(1))?;
    ensure(own == 0, || format!("a server in mid-call was charged {own} ns"))?;
    task::kill(server.id()).map_err(refused)
}

/// A server calls another; and then the one that it works for, which cannot answer.
fn nested_and_circles() -> Outcome {
    let inner = doubler(Intent::background())?;
    let deep = Arc::clone(&inner);
    let outer =
        Server::spawn("calls on", Intent::background(), move |n: u64| deep.call(n, None).map(|twice| twice + 1));
    let outer = outer.map_err(refused)?;
    let got = outer.call(20, None);
    ensure(got == Ok(Ok(41)), || format!("a nested call: {got:?}"))?;

    static RING: Lock<Option<Arc<Relay>>> = Lock::new(None);
    let second = Server::spawn("second", Intent::background(), |n: u64| {
        let first = RING.lock().clone();
        first.map_or(Err(SchedError::TaskNotFound), |first| first.call(n, None).and_then(|answer| answer))
    });
    let second = second.map_err(refused)?;
    let on = Arc::clone(&second);
    let first = Server::spawn("first", Intent::background(), move |n: u64| on.call(n, None).and_then(|answer| answer));
    let first = first.map_err(refused)?;
    *RING.lock() = Some(Arc::clone(&first));
    let got = first.call(1, None);
    ensure(got == Ok(Err(SchedError::InvalidState)), || format!("a circle of calls: {got:?}"))?;
    for id in [inner.id(), outer.id(), first.id(), second.id()] {
        task::kill(id).map_err(refused)?;
    }
    Ok(())
}

/// Two tasks have a mutex each and want the other's: who asks last is refused, and the other one gets it.
fn circle_of_mutexes() -> Outcome {
    let turns = Arc::new([Turn::of_mutex(), Turn::of_mutex()]);
    let me = task::current();
    turns[0].take(me, None).map_err(refused)?;
    let twice = turns[0].take(me, None);
    ensure(twice == Err(SchedError::InvalidState), || format!("a mutex taken twice: {twice:?}"))?;
    let theirs = Arc::clone(&turns);
    let other = spawn("the other one", Intent::batch(), move || {
        let me = task::current();
        let both = theirs[1].take(me, None).and_then(|()| theirs[0].take(me, None));
        theirs.iter().for_each(|turn| _ = turn.release(me, clock::now));
        both.is_ok() as i32
    })?;
    eventually("the other one waits", || reason(other) == Some(BlockReason::Mutex))?;
    let got = turns[1].take(me, None);
    ensure(got == Err(SchedError::InvalidState), || format!("a circle of mutexes: {got:?}"))?;
    // One with an end is none.
    let got = turns[1].take(me, Some(clock::now() + Duration::from_millis(2)));
    ensure(got == Err(SchedError::DeadlineMissed), || format!("a circle with a time-out: {got:?}"))?;
    let _ = turns[0].release(me, clock::now);
    ends(other, ExitStatus::Exited(1))
}

/// The classic case: a low task is in a call, a high one wants the server, a middle one wants the CPU for long.
fn inversion() -> Outcome {
    static ORDER: Lock<Vec<&str>> = Lock::new(Vec::new());
    let begun = BEGUN.load(Ordering::SeqCst);
    let server = doubler(Intent::background())?;
    task::set_affinity(task::current(), CpuMask::single(0)).map_err(refused)?;
    let start = |name: &'static str, priority: u8, work: Box<dyn FnOnce() + Send>| {
        let body = move || {
            work();
            ORDER.lock().push(name);
            0
        };
        let intent = Intent::system().with_affinity(CpuMask::single(0));
        let id = task::spawn_with(TaskSpec::new(name, intent, ()).joinable(), Box::new(body)).map_err(refused)?;
        task::set_priority(id, priority).map_err(refused)?;
        Ok::<TaskId, String>(id)
    };
    let [for_low, for_high] = [Arc::clone(&server), Arc::clone(&server)];
    let low = start("low", 30, Box::new(move || _ = for_low.call(WAIT, None)))?;
    eventually("the low one is in its call", || BEGUN.load(Ordering::SeqCst) > begun)?;
    let high = start("high", 10, Box::new(move || _ = for_high.call(1, None)))?;
    eventually("the high one waits", || reason(high) == Some(BlockReason::Mutex))?;
    let middle = start("middle", 20, Box::new(|| task_computes(Duration::from_millis(20))))?;
    GO.store(true, Ordering::SeqCst);
    for id in [low, high, middle] {
        ends(id, ExitStatus::Exited(0))?;
    }
    let order = core::mem::take(&mut *ORDER.lock());
    ensure(order == ["high", "middle", "low"], || format!("the order is {order:?}"))?;
    task::set_affinity(task::current(), CpuMask::ALL).map_err(refused)?;
    task::kill(server.id()).map_err(refused)
}

fn task_computes(time: Duration) {
    let used = || task::stats(task::current()).map_or(u64::MAX, |stats| stats.cpu_time);
    let begin = used();
    while used() - begin < time.as_nanos() {
        core::hint::spin_loop();
    }
}

/// A caller that does not wait for ever goes on; the server too, and whoever calls next has the right answer.
fn time_out() -> Outcome {
    let begun = BEGUN.load(Ordering::SeqCst);
    let server = doubler(Intent::background())?;
    eventually("the server waits", || reason(server.id()) == Some(BlockReason::Receive))?;
    let got = server.call(WAIT, Some(clock::now() + Duration::from_millis(2)));
    ensure(got == Err(SchedError::DeadlineMissed), || format!("a call that takes too long: {got:?}"))?;
    ensure(BEGUN.load(Ordering::SeqCst) == begun + 1, || "the server did not begin".into())?;
    let got = server.call(3, Some(clock::now() + Duration::from_millis(2)));
    ensure(got == Err(SchedError::DeadlineMissed), || format!("a call while the server works: {got:?}"))?;
    GO.store(true, Ordering::SeqCst);
    let got = server.call(4, None);
    ensure(got == Ok(8), || format!("the next call: {got:?}"))?;
    task::kill(server.id()).map_err(refused)
}

/// A caller is killed in mid-call; the server goes on and answers whoever waits.
fn caller_killed() -> Outcome {
    let begun = BEGUN.load(Ordering::SeqCst);
    let server = doubler(Intent::background())?;
    let [first, second] = [(Arc::clone(&server), WAIT), (Arc::clone(&server), 5)]
        .map(|(server, question)| move || server.call(question, None).unwrap_or(99) as i32);
    let caller = spawn("is killed", Intent::batch(), first)?;
    eventually("it is in its call", || BEGUN.load(Ordering::SeqCst) > begun)?;
    let waiter = spawn("waits", Intent::batch(), second)?;
    eventually("the other one waits", || reason(waiter) == Some(BlockReason::Mutex))?;
    task::kill(caller).map_err(refused)?;
    ends(caller, ExitStatus::Killed)?;
    GO.store(true, Ordering::SeqCst);
    ends(waiter, ExitStatus::Exited(10))?;
    task::kill(server.id()).map_err(refused)
}

/// A server is killed in mid-call: its caller and whoever waits are told.
fn server_killed() -> Outcome {
    let begun = BEGUN.load(Ordering::SeqCst);
    let server = doubler(Intent::background())?;
    let call = |name, question| {
        let server = Arc::clone(&server);
        spawn(name, Intent::batch(), move || (server.call(question, None) == Err(SchedError::TaskNotFound)) as i32)
    };
    let caller = call("has called", WAIT)?;
    eventually("it is in its call", || BEGUN.load(Ordering::SeqCst) > begun)?;
    let waiter = call("waits", 5)?;
    eventually("the other one waits", || reason(waiter) == Some(BlockReason::Mutex))?;
    task::kill(server.id()).map_err(refused)?;
    ends(caller, ExitStatus::Exited(1))?;
    ends(waiter, ExitStatus::Exited(1))
}

/// A server is woken for no reason, before it is called and again and again while others call it: that is neither a question nor an answer.
fn stray_wake_ups() -> Outcome {
    let here = Intent::background().with_affinity(CpuMask::single(0));
    task::set_affinity(task::current(), CpuMask::single(0)).map_err(refused)?;
    let server = doubler(here)?;
    for n in 1..=20 {
        eventually("the server waits", || reason(server.id()) == Some(BlockReason::Receive))?;
        // It is ready, and has not run, when the call is refused for the first time.
        task::unpark(server.id()).map_err(refused)?;
        let got = server.call(n, None);
        ensure(got == Ok(2 * n), || format!("a call of a server that was woken for no reason: {got:?}"))?;
    }
    task::kill(server.id()).map_err(refused)?;
    task::set_affinity(task::current(), CpuMask::ALL).map_err(refused)?;

    let server = doubler(Intent::background())?;
    let calls: Vec<TaskId> = (1..=3)
        .map(|me: u64| {
            let server = Arc::clone(&server);
            let body = move || (1..=100).all(|n| server.call(100 * me + n, None) == Ok(2 * (100 * me + n))) as i32;
            spawn("calls", Intent::batch(), body)
        })
        .collect::<Result<_, _>>()?;
    let ended = |&id: &TaskId| scheduler().with_task(id, |task| task.state().has_ended()).unwrap_or(true);
    let mut round = 0;
    while !calls.iter().all(ended) {
        task::unpark(server.id()).map_err(refused)?;
        round += 1;
        task::sleep(Duration::from_micros(20 + 97 * (round % 7)));
    }
    println!("300 calls, and {round} wake-ups of the server that are none");
    for id in calls {
        ends(id, ExitStatus::Exited(1))?;
    }
    task::kill(server.id()).map_err(refused)
}
