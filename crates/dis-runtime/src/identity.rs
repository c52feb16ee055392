//! Identities: which KLT a task is bound to, and who may use it now.
//!
//! A started task is bound to one KLT for life, because its frames may hold addresses of that thread's thread-locals.
//! The KLT is then a resource with one user at a time, like a mutex: a worker acquires it before it runs one of the
//! tasks bound to it, and releases it when its carrier is at a cooperative point and goes on elsewhere. A task that was
//! preempted in mid-run keeps it. Whoever needs it meanwhile waits in a list, and lends its urgency to the holder.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use dis_core::intent::QueueType;
use dis_core::scheduler::Urgency;

use crate::inherit::{self, Guard};
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::task::Header;

const HELD: u32 = 1;
const WANTED: u32 = 2;

/// What a KLT is for while tasks are bound to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One task of its own, or several of one class when there are more tasks than identities.
    Own(QueueType),
    /// Shared by the latency-sensitive tasks of a class on one worker.
    Shared(QueueType),
    /// One task, never another.
    Dedicated,
}

impl Kind {
    /// Never 0, which says that no task is bound.
    fn code(self) -> u64 {
        match self {
            Kind::Dedicated => 1,
            Kind::Own(class) => 8 + class as u64,
            Kind::Shared(class) => 16 + class as u64,
        }
    }
}

/// The state of a KLT as an identity.
pub(crate) struct Identity {
    state: AtomicU32,
    /// The task that uses it; null if it is free, or if a worker idles on it.
    pub(crate) holder: AtomicPtr<Header>,
    /// The task that keeps it although no worker uses it: preempted in mid-run, the KLT waits for the order to go on. Whoever
    /// takes it out of here has the right to give that order.
    frozen: AtomicPtr<Header>,
    /// Number of tasks bound to it (low 32 bits) and code of its kind (high).
    binding: AtomicU64,
    /// A task was preempted on it in mid-run since its first one was bound: others might wait for that one for long.
    burdened: AtomicBool,
    /// First of the tasks that wait for it; under the runtime's inheritance lock.
    waiters: Cell<*const Header>,
    /// Whom the waiters have lent their urgency; under the same lock. Cleared before that task can end.
    lent_to: Cell<*const Header>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Identity {
            state: AtomicU32::new(HELD),
            holder: AtomicPtr::new(ptr::null_mut()),
            frozen: AtomicPtr::new(ptr::null_mut()),
            binding: AtomicU64::new(0),
            burdened: AtomicBool::new(false),
            waiters: Cell::new(ptr::null()),
            lent_to: Cell::new(ptr::null()),
        }
    }

    /// Whether tasks wait for it.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.state.load(Ordering::SeqCst) & WANTED != 0
    }

    /// Whether a worker uses it now, or a preempted task keeps it.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.state.load(Ordering::Relaxed) & HELD != 0
    }

    /// Takes it if it is free.
    #[inline]
    pub(crate) fn acquire(&self, task: &Header) -> bool {
        let free = self.state.compare_exchange(0, HELD, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free {
            self.hold(Some(task));
        }
        free
    }

    /// `task` was preempted in mid-run and is about to give the worker away.
    pub(crate) fn freeze(&self, task: &Header) {
        self.burdened.store(true, Ordering::Relaxed);
        self.frozen.store(ptr::from_ref(task).cast_mut(), Ordering::Release);
    }

    /// Takes the right to let `task` go on, if it is the one that keeps the identity frozen.
    fn thaw(&self, task: &Header) -> bool {
        let task = ptr::from_ref(task).cast_mut();
        self.frozen.load(Ordering::Relaxed) == task
            && self.frozen.compare_exchange(task, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Names the task that uses it; `None`: a worker idles on it. Sequentially consistent with `state`, so that either
    /// a newcomer among the waiters sees the new holder, or [`is_wanted`](Self::is_wanted) sees the newcomer.
    #[inline]
    pub(crate) fn hold(&self, task: Option<&Header>) {
        let task = task.map_or(ptr::null_mut(), |task| ptr::from_ref(task).cast_mut());
        if self.holder.load(Ordering::Relaxed) != task {
            self.holder.store(task, Ordering::SeqCst);
        }
    }

    /// How many tasks are bound to it.
    #[inline]
    pub(crate) fn bound(&self) -> u32 {
        self.binding.load(Ordering::Relaxed) as u32
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.binding.load(Ordering::Relaxed) >> 32 == kind.code()
    }

    /// Whether a task of `class` may join the tasks that are bound to it: they are of that class, and have always come to a
    /// cooperative point by themselves.
    pub(crate) fn welcomes(&self, class: QueueType) -> bool {
        (self.is(Kind::Own(class)) || self.is(Kind::Shared(class))) && !self.burdened.load(Ordering::Relaxed)
    }

    /// Binds the first task. The caller owns the KLT.
    pub(crate) fn bind_first(&self, kind: Kind) {
        debug_assert_eq!(self.bound(), 0);
        self.burdened.store(false, Ordering::Relaxed);
        self.binding.store(kind.code() << 32 | 1, Ordering::Release);
    }

    /// Binds one more task if it is of this kind still.
    pub(crate) fn bind_more(&self, kind: Kind) -> bool {
        let one_more = |binding: u64| (binding >> 32 == kind.code() && binding as u32 > 0).then_some(binding + 1);
        self.binding.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).is_ok()
    }

    /// Binds one more task of whatever kind. The caller runs on the KLT, to which its own task is bound.
    pub(crate) fn bind_guest(&self) {
        self.binding.fetch_add(1, Ordering::AcqRel);
    }

    /// A task has ended; true if it was the last, so the KLT is unbound from now on.
    pub(crate) fn unbind(&self) -> bool {
        let last = |binding: u64| if binding as u32 == 1 { Some(0) } else { Some(binding - 1) };
        self.binding.fetch_update(Ordering::AcqRel, Ordering::Relaxed, last).is_ok_and(|before| before as u32 == 1)
    }
}

/// What came of an attempt to acquire an identity.
#[derive(PartialEq, Eq)]
pub(crate) enum Acquired {
    Yes,
    /// The task stands in the list of waiters: decline it.
    Waits,
}

/// Acquires `klt` for `task`, or enters the task as a waiter and lends its urgency to the holder.
pub(crate) fn acquire_or_wait(rt: &Inner, klt: &Klt, task: &Header) -> Acquired {
    let identity = &klt.identity;
    if identity.thaw(task) || identity.acquire(task) {
        return Acquired::Yes;
    }
    let guard = inherit::lock();
    let before = identity.state.fetch_or(HELD | WANTED, Ordering::SeqCst);
    if before & HELD == 0 {
        // Released between the two looks. Nobody waits: a release drains the list.
        identity.state.store(HELD, Ordering::Release);
        identity.hold(Some(task));
        return Acquired::Yes;
    }
    // It may be in the list already, if it was woken for another reason.
    if !task.waits_for_identity.replace(true) {
        task.next_waiter.set(identity.waiters.get());
        identity.waiters.set(task);
    }
    // SAFETY: a task that ends clears `holder` first and then serves the waiters, under the lock.
    match unsafe { identity.holder.load(Ordering::SeqCst).as_ref() } {
        Some(holder) => {
            let before = identity.lent_to.replace(holder);
            // SAFETY: as above.
            if let Some(before) = unsafe { before.as_ref() }
                && !ptr::eq(before, holder)
            {
                inherit::update(&guard, before);
            }
            inherit::update(&guard, holder);
        }
        // A worker idles on it: it goes elsewhere when it hears of us.
        None => {
            if let Some(worker) = klt.carried_worker() {
                rt.kick(worker.cpu);
            }
        }
    }
    Acquired::Waits
}

/// If a worker idles on the KLT of `task`, which waits, it is to idle elsewhere: another CPU wants the task, whose registers count as not
/// saved until then.
#[cold]
pub(crate) fn vacate(rt: &Inner, task: &Header) {
    // SAFETY: KLTs live as long as the runtime.
    let Some(klt) = (unsafe { task.klt.load(Ordering::Relaxed).as_ref() }) else { return };
    let state = &klt.identity.state;
    if klt.identity.holder.load(Ordering::SeqCst).is_null()
        && state.compare_exchange(HELD, HELD | WANTED, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        && let Some(worker) = klt.carried_worker()
    {
        rt.kick(worker.cpu);
    }
}

/// Makes all waiters ready. Called by the carrier at a cooperative point; it keeps the identity.
#[cold]
pub(crate) fn serve_waiters(rt: &Inner, klt: &Klt) {
    let guard = inherit::lock();
    klt.identity.state.fetch_and(!WANTED, Ordering::SeqCst);
    drain(rt, &guard, &klt.identity);
}

/// Gives the identity up. Called by the carrier at a cooperative point, when it is about to hand the worker over.
pub(crate) fn release(rt: &Inner, klt: &Klt) {
    let identity = &klt.identity;
    identity.hold(None);
    if identity.state.compare_exchange(HELD, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        let guard = inherit::lock();
        // Before it is free, or one of them might take it without a look at the lock, run and end while we are at it.
        drain(rt, &guard, identity);
        identity.state.store(0, Ordering::SeqCst);
    }
}

fn drain(rt: &Inner, guard: &Guard<'_>, identity: &Identity) {
    let borrower = identity.lent_to.replace(ptr::null());
    let mut next = identity.waiters.replace(ptr::null());
    // SAFETY: whoever was lent to has not ended, see `acquire_or_wait`.
    if let Some(borrower) = unsafe { borrower.as_ref() } {
        inherit::update(guard, borrower);
    }
    // SAFETY: a waiter is blocked in the core (or about to be), so it has not ended.
    while let Some(task) = unsafe { next.as_ref() } {
        next = task.next_waiter.replace(ptr::null());
        task.waits_for_identity.set(false);
        rt.unpark(task.id());
    }
}

/// The most urgent of those who wait for the identity of `task`, if it is `task` that they wait for.
pub(crate) fn most_urgent_waiter(rt: &Inner, _guard: &Guard<'_>, task: &Header) -> Option<Urgency> {
    // SAFETY: KLTs live as long as the runtime.
    let identity = unsafe { &task.klt.load(Ordering::Relaxed).as_ref()?.identity };
    if !ptr::eq(identity.lent_to.get(), task) {
        return None;
    }
    let mut most: Option<Urgency> = None;
    let mut next = identity.waiters.get();
    // SAFETY: as in `drain`.
    while let Some(waiter) = unsafe { next.as_ref() } {
        next = waiter.next_waiter.get();
        most = inherit::higher(most, rt.exec.urgency(waiter.id()).ok());
    }
    most
}
