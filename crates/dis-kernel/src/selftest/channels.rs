//! Channels and notifications between the kernel's own tasks.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId};
use dis_core::intent::Intent;

use super::ipc::{ends, reason, spawn};
use super::{Outcome, ensure, eventually, refused};
use crate::channel::{CLOSED, Receiver, SendError, Sender, channel};
use crate::notification::Notification;
use crate::{clock, println, task};

/// All of them.
pub fn channels(cpus: usize) -> Outcome {
    for receivers in [1, 3] {
        many(2 * cpus, receivers)?;
    }
    full_and_empty()?;
    time_outs()?;
    receiver_goes_first()?;
    receivers_killed()?;
    senders_killed()?;
    closed()?;
    notifications()
}

fn soon() -> Option<dis_core::api::Timestamp> {
    Some(clock::now() + Duration::from_millis(2))
}

/// Blocked for that reason.
pub(super) fn waits(id: TaskId, why: BlockReason) -> Outcome {
    eventually("it waits", || reason(id) == Some(why))
}

/// Each sender's messages come once and in order, whoever receives them; the channel is closed after the last.
fn many(senders: usize, receivers: usize) -> Outcome {
    const EACH: u64 = 400;
    let seen: Arc<Vec<AtomicU64>> = Arc::new((0..senders as u64 * EACH).map(|_| AtomicU64::new(0)).collect());
    let (to, from) = channel::<(usize, u64)>(3).map_err(refused)?;
    let receive = |_| {
        let (from, seen) = (from.clone(), Arc::clone(&seen));
        spawn("receives", Intent::batch(), move || {
            let mut last = [None; 64];
            let mut in_order = true;
            loop {
                match from.receive(None) {
                    Ok((sender, number)) => {
                        in_order &= last[sender] < Some(number);
                        last[sender] = Some(number);
                        seen[sender * EACH as usize + number as usize].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(why) => return i32::from(in_order && why == CLOSED),
                }
            }
        })
    };
    let send = |sender: usize| {
        let to = to.clone();
        // Of each class, so that some are preempted by those whom they wake.
        let intent = [Intent::batch(), Intent::interactive(1_000), Intent::background()][sender % 3].clone();
        let body = move || (0..EACH).all(|number| to.send((sender, number), None).is_ok()) as i32;
        spawn("sends", intent, body)
    };
    let mut ids: Vec<TaskId> = (0..receivers).map(receive).collect::<Result<_, _>>()?;
    ids.extend((0..senders).map(send).collect::<Result<Vec<_>, _>>()?);
    drop((to, from));
    for id in ids {
        ends(id, ExitStatus::Exited(1))?;
    }
    let wrong = seen.iter().filter(|count| count.load(Ordering::Relaxed) != 1).count();
    ensure(wrong == 0, || format!("{wrong} messages did not come once"))?;
    println!("{} messages of {senders} senders to {receivers} receivers, each once and in order", seen.len());
    Ok(())
}

fn full_and_empty() -> Outcome {
    let (to, from) = channel::<u64>(2).map_err(refused)?;
    let (more, back) = (to.clone(), from.clone());
    let receiver = spawn("finds nothing", Intent::batch(), move || back.receive(None).map_or(-1, |got| got as i32))?;
    waits(receiver, BlockReason::Ipc)?;
    // A wake-up for another reason is no message.
    task::unpark(receiver).map_err(refused)?;
    task::sleep(Duration::from_millis(1));
    waits(receiver, BlockReason::Ipc)?;
    let sent = (5..8).map(|number| to.send(number, soon()).is_ok()).filter(|&sent| sent).count();
    ends(receiver, ExitStatus::Exited(5))?;
    // The receiver may have been too late for the third.
    let rest = (8 - 5 - sent as u64) as usize;
    ensure(rest <= 1, || format!("{sent} of 3 messages were sent"))?;
    let sender = spawn("finds no room", Intent::batch(), move || more.send(8, None).is_ok() as i32)?;
    if rest == 1 {
        ends(sender, ExitStatus::Exited(1))?;
        let got = [from.receive(soon()), from.receive(soon())];
        return ensure(got == [Ok(6), Ok(8)], || format!("got {got:?}"));
    }
    waits(sender, BlockReason::Ipc)?;
    let got = [from.receive(None), from.receive(None), from.receive(None)];
    ensure(got == [Ok(6), Ok(7), Ok(8)], || format!("got {got:?}"))?;
    ends(sender, ExitStatus::Exited(1))
}

fn time_outs() -> Outcome {
    const LATE: SchedError = SchedError::DeadlineMissed;
    let (to, from) = channel::<u64>(1).map_err(refused)?;
    for until in [Some(clock::now()), soon()] {
        let got = from.receive(until);
        ensure(got == Err(LATE), || format!("an empty channel: {got:?}"))?;
    }
    to.send(1, None).map_err(|error| refused(error.why))?;
    for until in [Some(clock::now()), soon()] {
        let sent = to.send(2, until);
        ensure(sent == Err(SendError { message: 2, why: LATE }), || format!("a full channel: {sent:?}"))?;
        let now = clock::now();
        ensure(until.is_some_and(|until| until <= now), || "it was given up too early".into())?;
    }
    // Nobody is left in a list: who comes now is served.
    ensure(from.receive(None) == Ok(1), || "the message is gone".into())?;
    to.send(3, None).map_err(|error| refused(error.why))?;
    ensure(from.receive(None) == Ok(3), || "the next message is gone".into())
}

/// A receiver that is more urgent than the sender goes on before `send` returns, on the same CPU.
fn receiver_goes_first() -> Outcome {
    static GOT: AtomicU64 = AtomicU64::new(0);
    let here = |intent: Intent| intent.with_affinity(CpuMask::single(0));
    let (to, from) = channel::<u64>(1).map_err(refused)?;
    GOT.store(0, Ordering::SeqCst);
    let receiver = spawn("urgent", here(Intent::interactive(1_000)), move || {
        while let Ok(number) = from.receive(None) {
            GOT.store(number, Ordering::SeqCst);
        }
        1
    })?;
    let sender = spawn("less urgent", here(Intent::background()), move || {
        (1..=50).all(|number| {
            // Until it waits again.
            while reason(receiver) != Some(BlockReason::Ipc) {
                task::yield_now();
            }
            to.send(number, None).is_ok() && GOT.load(Ordering::SeqCst) == number
        }) as i32
    })?;
    ends(sender, ExitStatus::Exited(1))?;
    ends(receiver, ExitStatus::Exited(1))
}

/// The first task goes on on CPU 0 only, before those that it wakes there: whoever is woken is so until it sleeps.
fn ahead_of_others<T>(body: impl FnOnce() -> Result<T, alloc::string::String>) -> Result<T, alloc::string::String> {
    task::set_affinity(task::current(), CpuMask::single(0)).map_err(refused)?;
    let done = body()?;
    task::set_affinity(task::current(), CpuMask::ALL).map_err(refused)?;
    Ok(done)
}

/// `count` tasks of CPU 0, each of which waits by `wait`, in that order, and ends with its answer.
fn waiting(
    count: usize,
    why: BlockReason,
    wait: impl Fn() -> Box<dyn FnOnce() -> i32 + Send>,
) -> Result<Vec<TaskId>, alloc::string::String> {
    let one = |_| {
        let id = spawn("waits", Intent::batch().with_affinity(CpuMask::single(0)), wait())?;
        waits(id, why)?;
        Ok(id)
    };
    (0..count).map(one).collect()
}

/// Plays rounds until one has shown what it is about. (Whoever has been woken may have gone on at once after all: in an emulator CPUs stand
/// still, and then the caller's class has had its share.)
fn until_shown(mut round: impl FnMut() -> Result<bool, alloc::string::String>) -> Outcome {
    ahead_of_others(|| {
        for _ in 0..20 {
            if round()? {
                return Ok(());
            }
        }
        Err("whoever is woken is always too fast".into())
    })
}

/// Kills a task that has been woken; false: it has ended.
fn kill_woken(id: TaskId) -> Result<bool, alloc::string::String> {
    match task::kill(id) {
        Ok(()) => Ok(true),
        Err(SchedError::InvalidState) => Ok(false),
        Err(error) => Err(refused(error)),
    }
}

/// Receivers are killed while they wait, and when they have been woken and have not yet come: the others get all.
fn receivers_killed() -> Outcome {
    until_shown(|| {
        let (to, from) = channel::<u64>(4).map_err(refused)?;
        let taken = Arc::new(AtomicU64::new(0));
        let ids = waiting(4, BlockReason::Ipc, || {
            let (from, taken) = (from.clone(), Arc::clone(&taken));
            Box::new(move || {
                let got = from.receive(None);
                taken.fetch_add(1, Ordering::SeqCst);
                got.map_or(-1, |got| got as i32)
            })
        })?;
        task::kill(ids[1]).map_err(refused)?;
        to.send(7, None).map_err(|error| refused(error.why))?;
        // The first has been woken, and has not run.
        let shown = kill_woken(ids[0])? && taken.load(Ordering::SeqCst) == 0;
        if !shown {
            to.send(7, None).map_err(|error| refused(error.why))?;
        }
        ends(ids[2], ExitStatus::Exited(7))?;
        to.send(8, None).map_err(|error| refused(error.why))?;
        ends(ids[3], ExitStatus::Exited(8))?;
        ends(ids[1], ExitStatus::Killed)?;
        task::join(ids[0]).map_err(refused)?;
        Ok(shown)
    })
}

/// The same with senders and room.
fn senders_killed() -> Outcome {
    until_shown(|| {
        let (to, from) = channel::<u64>(1).map_err(refused)?;
        to.send(0, None).map_err(|error| refused(error.why))?;
        let next = AtomicU64::new(1);
        let ids = waiting(4, BlockReason::Ipc, || {
            let (to, number) = (to.clone(), next.fetch_add(1, Ordering::Relaxed));
            Box::new(move || to.send(number, None).is_ok() as i32)
        })?;
        task::kill(ids[1]).map_err(refused)?;
        ensure(from.receive(None) == Ok(0), || "the first message is gone".into())?;
        let _ = kill_woken(ids[0])?;
        let mut got = from.receive(None);
        let shown = got != Ok(1);
        if !shown {
            got = from.receive(None);
        }
        let got = [got, from.receive(None)];
        ensure(got == [Ok(3), Ok(4)], || format!("got {got:?} of those who were not killed"))?;
        ends(ids[2], ExitStatus::Exited(1))?;
        ends(ids[3], ExitStatus::Exited(1))?;
        ends(ids[1], ExitStatus::Killed)?;
        task::join(ids[0]).map_err(refused)?;
        Ok(shown)
    })
}

/// Who waits is told when the last of the other side is gone; what was sent can be received.
fn closed() -> Outcome {
    let refuses = |sent: Result<(), SendError<u64>>| sent == Err(SendError { message: 9, why: CLOSED });
    let (to, from): (Sender<u64>, Receiver<u64>) = channel(1).map_err(refused)?;
    let back = from.clone();
    let receiver = spawn("waits", Intent::batch(), move || (back.receive(None) == Err(CLOSED)) as i32)?;
    waits(receiver, BlockReason::Ipc)?;
    drop(to);
    ends(receiver, ExitStatus::Exited(1))?;
    let (to, from) = channel(1).map_err(refused)?;
    to.send(1, None).map_err(|error| refused(error.why))?;
    let more = to.clone();
    let sender = spawn("waits", Intent::batch(), move || refuses(more.send(9, None)) as i32)?;
    waits(sender, BlockReason::Ipc)?;
    from.close();
    ends(sender, ExitStatus::Exited(1))?;
    ensure(refuses(to.send(9, None)), || "a message was sent to a closed channel".into())?;
    let got = [from.receive(None), from.receive(None)];
    ensure(got == [Ok(1), Err(CLOSED)], || format!("a closed channel gives {got:?}"))
}

fn notifications() -> Outcome {
    let bell = Notification::new();
    // Before anybody waits; twice is once.
    [1, 4, 4].into_iter().for_each(|flags| bell.notify(flags));
    let got = [bell.wait(None), bell.wait(Some(clock::now())), bell.wait(soon())];
    let late = Err(SchedError::DeadlineMissed);
    ensure(got == [Ok(5), late, late], || format!("notified before: {got:?}"))?;

    let waits_for = |bell: &Arc<Notification>| -> Box<dyn FnOnce() -> i32 + Send> {
        let bell = Arc::clone(bell);
        Box::new(move || bell.wait(None).map_or(-1, |flags| flags as i32))
    };
    until_shown(|| {
        let ids = waiting(3, BlockReason::Event, || waits_for(&bell))?;
        bell.notify(2);
        // It has been woken, and has taken nothing.
        let shown = kill_woken(ids[0])? && task::join(ids[0]) == Ok(ExitStatus::Killed);
        if !shown {
            bell.notify(2);
        }
        ends(ids[1], ExitStatus::Exited(2))?;
        bell.notify(8);
        ends(ids[2], ExitStatus::Exited(8))?;
        Ok(shown)
    })?;

    // There and back, as often as each is notified: none is lost.
    const LAST: u64 = 1 << 60;
    let (there, back) = (Notification::new(), Notification::new());
    let (own, other) = (Arc::clone(&there), Arc::clone(&back));
    let echo = spawn("echoes", Intent::batch(), move || {
        while let Ok(flags) = own.wait(None) {
            other.notify(flags);
            if flags == LAST {
                return 1;
            }
        }
        0
    })?;
    for flag in (0..500).map(|round| 1 << (round % 60)).chain([LAST]) {
        there.notify(flag);
        let got = back.wait(None);
        ensure(got == Ok(flag), || format!("notified with {flag:#x}: {got:?}"))?;
    }
    ends(echo, ExitStatus::Exited(1))
}
