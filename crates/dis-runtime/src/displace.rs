//! The hand-over of a worker whose carrier is blocked in the kernel: in a file read, a lock of std's, a page fault.
//!
//! Nothing interrupts the blocked thread. Another KLT, the worker's *home*, takes the role away from it, tells the core that
//! its task waits, and goes on with the others. The thread is *displaced* from then on: when its call returns, it goes on as an
//! ordinary thread, without a role, until it next enters the runtime ([`Klt::enter`]), or until a timer of its own CPU
//! time interrupts it, at the kernel's next tick. There it stops as a task does that was preempted in mid-run
//! ([`regain`]): it keeps its identity, and its task becomes ready.
//!
//! A displaced task waits in the core's eyes, but not in its own: it may be between a look at what it is about to wait for and the wait. A
//! wake-up that comes then is used up: the core chooses the task, which is declined; or it is one with the wake-up that [`regain`] sends.
//! So a task that was displaced always finds a token when it goes on: its next wait returns at once, and it looks again. A sleep, or a
//! wait for the next period, is not cut short by a token.
//!
//! # Who has the role
//!
//! The carrier in user code and the home agree by one word, the [`Grip`]. The home contests it, makes all processors see that
//! (`membarrier`), and only then looks whether the carrier is outside the runtime. The carrier raises `in_runtime` and then looks at
//! its grip, with nothing dearer than a load in between. So either the home sees `in_runtime` and gives up, or the carrier sees that
//! its role is contested; then one compare-exchange decides. A contest carries the number of the home that began it, so an old one
//! cannot end a new one. All that the home has looked at (which worker, whose home, which task) changes only inside the runtime,
//! by the carrier, so it is still true when the home wins.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use dis_core::api::{BlockReason, SchedError};
use dis_core::executor::{Decision, Leave};

use crate::dispatch::{self, adopt, answered, prepare_question};
use crate::future::watch;
use crate::keep;
use crate::klt::{Klt, Order};
use crate::runtime::fatal;
use crate::task::{Header, TaskRef};
use crate::worker::Worker;
use crate::{sys, usage, watcher};

/// How much CPU time a thread may use without a role before it is interrupted, ns. The kernel looks at each of its ticks (1 to 10 ms),
/// so this says only that the first tick counts.
const STRAY_NS: u64 = 1_000;

/// Nobody contests the role. All others: `CONTESTED + n`: the KLT with index `n` does.
const FIRM: u32 = 0;
/// It was taken away.
const LOST: u32 = 1;
const CONTESTED: u32 = 2;

/// How firmly a KLT in user code holds its role.
pub(crate) struct Grip(AtomicU32);

impl Grip {
    pub(crate) const fn new() -> Grip {
        Grip(AtomicU32::new(FIRM))
    }

    #[inline]
    pub(crate) fn is_firm(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FIRM
    }

    fn is_lost(&self) -> bool {
        self.0.load(Ordering::SeqCst) == LOST
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Klt {
    /// Whether `task` is the one on whose stack this KLT is, and the KLT is displaced: then nobody else may make the task go on.
    pub(crate) fn is_displaced(&self, task: &Header) -> bool {
        self.grip.is_lost() && self.current().is_some_and(|current| ptr::eq(current, task))
    }
}

/// Looks whether the carrier of the worker whose home this is is blocked in the kernel, and takes its role then. Answers the worker,
/// and who carried it.
pub(crate) fn look(home: &'static Klt) -> Option<(&'static Worker, &'static Klt)> {
    let rt = home.rt();
    let is_home = |worker: &Worker| ptr::eq(worker.home.load(Ordering::SeqCst), home);
    let worker: &'static Worker = rt.workers.iter().find(|worker| is_home(worker)).map(|worker| {
        // SAFETY: workers live as long as the runtime, and so longer than its threads.
        unsafe { &*ptr::from_ref(worker) }
    })?;
    // SAFETY: KLTs live as long as the runtime.
    let klt: &'static Klt = unsafe { worker.carrier.load(Ordering::SeqCst).as_ref() }?;
    let mine = CONTESTED + home.index as u32;
    let mut taken = false;
    if klt.grip.change(FIRM, mine) {
        // From here on whoever is outside the runtime sees the contest when it enters.
        sys::membarrier();
        let still = !klt.is_in_runtime() && klt.carries(worker) && is_home(worker) && watcher::is_blocked(klt);
        taken = klt.grip.change(mine, if still { LOST } else { FIRM }) && still;
    }
    if taken {
        worker.home.store(ptr::null_mut(), Ordering::Relaxed);
        home.pin_to(worker);
        worker.carrier.store(ptr::from_ref(home).cast_mut(), Ordering::SeqCst);
        return Some((worker, klt));
    }
    if worker.pending.load(Ordering::SeqCst) {
        // The kick came to us instead of the carrier, which has not been blocked for long.
        worker.interrupt(rt.pid, rt.config.signal);
    }
    None
}

/// Tells the core that the task of `blocked`, whose role `klt` has just taken, waits; answers what comes next.
pub(crate) fn take_over(klt: &'static Klt, blocked: &'static Klt) -> Decision<TaskRef> {
    let (rt, worker) = (klt.rt(), klt.worker());
    blocked.set_stray(STRAY_NS);
    blocked.displacements.fetch_add(1, Ordering::Relaxed);
    if let Some(priority) = rt.fifo_granted() {
        // Or it would wait, when its call returns, for a task that never leaves the CPU.
        let _ = sys::set_fifo(blocked.tid.load(Ordering::Relaxed), priority + 1);
    }
    // Futures that wait behind the one whose poll blocks go on.
    watch::blocked(klt, blocked);
    let leave = Leave::Block(BlockReason::Host, None);
    loop {
        prepare_question(klt, true);
        let now = rt.now();
        klt.asked.set(now);
        let asked = rt.exec.schedule(worker.cpu, now, leave);
        if matches!(asked, Err(SchedError::Unmeasured)) {
            usage::measure_blocked(worker, blocked);
            continue;
        }
        let decision = *answered(rt, klt, leave, now, &asked);
        // What the task was doing is in the kernel; nobody else makes it go on.
        dispatch::saved(rt, worker);
        return decision;
    }
}

/// The running task enters the runtime, and its role is contested or lost: keeps it, or waits until the task is chosen again.
#[cold]
pub(crate) fn regain(klt: &'static Klt) {
    loop {
        let grip = klt.grip.0.load(Ordering::SeqCst);
        if grip == FIRM || (grip != LOST && klt.grip.change(grip, FIRM)) {
            return;
        }
        if grip == LOST {
            break;
        }
    }
    let rt = klt.rt();
    let Some(me) = klt.current() else { fatal(&format_args!("a KLT without a task had its role taken away")) };
    klt.drop_role();
    keep::before_wait(klt, me);
    klt.identity.freeze(me);
    // Whoever chooses the task from here on finds it frozen. Then it is woken: who found it displaced has declined it.
    klt.grip.0.store(FIRM, Ordering::SeqCst);
    rt.unpark(me.id());
    match klt.await_order() {
        Order::Run(task, until) if ptr::eq(task.header(), me) => adopt(klt, until),
        _ => fatal(&format_args!("a task that was preempted was to do something else")),
    }
    // It runs, so this leaves a token, for a wake-up that came meanwhile and was used up.
    rt.unpark(me.id());
    klt.unset_stray();
    watch::unblocked(klt);
    if let Some(priority) = rt.fifo_granted() {
        let _ = sys::set_fifo(klt.tid.load(Ordering::Relaxed), priority);
    }
    if me.is_realtime() {
        usage::resumed(klt, me);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::{Intent, Runtime, gate};

    /// A task looks whether it has to wait, is then held up in the kernel, by a page fault say, and waits. It is woken in between.
    #[test]
    fn a_wake_up_between_the_look_and_the_wait_is_not_lost() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        let waiter = rt.spawn_fn(Intent::batch(), move || {
            let klt = crate::klt::this().unwrap();
            let mut held_up = false;
            while !told.load(Ordering::SeqCst) {
                if !std::mem::replace(&mut held_up, true) {
                    reader.read_exact(&mut [0]).unwrap();
                }
                gate::wait(klt, Leave::Block(BlockReason::Event, None));
            }
        });
        let waiter = waiter.unwrap();
        let until_blocked = |times| {
            while waiter.scheduler_stats().unwrap().blocks < times {
                thread::sleep(Duration::from_millis(1));
                // Somebody who wants the worker.
                rt.spawn_fn(Intent::batch(), || ()).unwrap().join().unwrap();
            }
        };
        until_blocked(1); // Displaced.
        assert_eq!(rt.displacements(), 1);
        tell.store(true, Ordering::SeqCst);
        rt.inner.unpark(waiter.id());
        until_blocked(2); // Declined.
        writer.write_all(&[1]).unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !waiter.is_finished() {
            assert!(std::time::Instant::now() < end, "the wake-up was lost: {:?}", waiter.scheduler_stats());
            thread::sleep(Duration::from_millis(1));
        }
        waiter.join().unwrap();
    }
}
