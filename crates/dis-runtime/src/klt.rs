//! Kernel-level threads: identities that carry workers.
//!
//! A *worker* is a CPU role, a *KLT* is a thread that may carry it. Exactly one KLT carries a worker at a time; all
//! others wait on their mailboxes, wherever they are: at their base loop (unbound), on the stack of a task that gave
//! up the CPU (at a cooperative point), or inside the signal handler on top of a task that was preempted in mid-run.
//! An [`Order`] in the mailbox hands a worker over together with what is to be done first.

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
};

use dis_context::overflow::AltStack;
use dis_context::{Context, Stack};
use dis_core::api::Timestamp;
use dis_core::executor::Decision;

use crate::dispatch::{self, Step};
use crate::displace::{self, Grip};
use crate::future::poller::Poller;
use crate::identity::Identity;
use crate::runtime::Inner;
use crate::signal;
use crate::sys;
use crate::task::{Header, TaskRef};
use crate::timer::Timer;
use crate::usage::{Mark, Usage};
use crate::worker::Worker;

/// The shortest time to which the timer is set, ns: a task gets at least this far before it is asked again, whatever the
/// core says. (An interrupt and a signal cost several microseconds.)
const SHORTEST: u64 = 20_000;

/// How much the runtime's clock and the kernel's timers may disagree, ns.
const CLOCK_TOLERANCE: u64 = 50_000;

/// What a KLT is to do with the worker that it is handed.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Run this task, which is bound to the KLT, until the instant.
    Run(TaskRef, Option<Timestamp>),
    /// Carry this decision out. For a KLT at its base loop.
    Complete(Decision<TaskRef>),
    /// The role was taken from this KLT, which is blocked in the kernel: tell the core, and go on.
    TakeOver(&'static Klt),
    /// Come to an end.
    Quit,
}

/// Values of `Klt::mail`.
const EMPTY: u32 = 0;
const ORDER: u32 = 1;
const LOOK: u32 = 2;

/// A kernel-level thread of the runtime. It writes here whenever it enters or leaves the runtime, so it shares no pair of cache lines with others.
#[repr(align(128))]
pub(crate) struct Klt {
    pub(crate) rt: *const Inner,
    /// Index in the runtime's table.
    pub(crate) index: usize,
    pub(crate) tid: AtomicI32,
    /// Whether an order waits in `order`, or this KLT is to look after the worker whose home it is.
    mail: AtomicU32,
    order: UnsafeCell<(*const Worker, Order)>,
    /// This thread runs code of the runtime: no preemption.
    in_runtime: AtomicBool,
    /// How firmly it holds its role.
    pub(crate) grip: Grip,
    /// A timer signal came while `in_runtime` was up.
    timer_fired: AtomicBool,
    /// The worker it carries; null if none.
    worker: AtomicPtr<Worker>,
    /// The task on whose stack it is; null at the base loop.
    current: AtomicPtr<Header>,
    /// The base loop, while a task's stack is in use.
    pub(crate) base: UnsafeCell<Context>,
    /// A decision that the base loop is to carry out when it is resumed.
    pub(crate) handoff: UnsafeCell<Option<Step>>,
    /// A task that has ended and whose stack has just been left.
    pub(crate) dead: Cell<*const Header>,
    /// Ended tasks whose memory some task is to free.
    pub(crate) garbage: Cell<*const Header>,
    /// The stack of the task that ended here last: the next one begins on it while it is warm.
    stack: UnsafeCell<Option<Stack>>,
    /// The poller that runs here, if one does: it has the KLT to itself.
    pub(crate) poller: AtomicPtr<Poller>,
    /// When the core was last asked here.
    pub(crate) asked: Cell<Timestamp>,
    timer: UnsafeCell<Option<Timer>>,
    /// Of the thread's CPU time: interrupts it when it runs without a role. Set by whoever took that away.
    stray_timer: UnsafeCell<Option<Timer>>,
    /// When the timer expires next; 0 if it is not armed as far as known.
    armed_at: AtomicU64,
    /// The CPU of the machine it is pinned to.
    pub(crate) pinned_to: AtomicUsize,
    pub(crate) identity: Identity,
    /// The next in the list of spares.
    pub(crate) next_spare: Cell<*const Klt>,
    /// Preemption signals that reached a running task on it; for tests and reports.
    pub(crate) signals: AtomicU64,
    /// How often its role was taken away while it was blocked in the kernel.
    pub(crate) displacements: AtomicU64,
    /// Whose the thread's use of the machine is.
    pub(crate) usage: Usage,
    /// Where the present budget of a Realtime task began.
    pub(crate) mark: Mark,
}

// SAFETY: the cells are used by the thread itself only (`base`, `handoff`, `dead`, `garbage`, `stack`,
// `asked`, `timer`, `mark`), by the poster and the thread in turns (`order`, ordered by `mail`), or under the lock of the spares
// (`next_spare`). Whoever has taken
// the role away reads `timer` and `stray_timer` too, which do not change while the KLT has tasks.
unsafe impl Sync for Klt {}
// SAFETY: as above; `rt` outlives all KLTs.
unsafe impl Send for Klt {}

thread_local! {
    /// The calling thread's KLT; null on foreign threads. Const-initialised and without destructor, so the signal
    /// handler may read it at any time. Touched at thread start.
    static KLT: Cell<*const Klt> = const { Cell::new(ptr::null()) };
}

/// The calling thread's KLT.
#[inline]
pub(crate) fn this() -> Option<&'static Klt> {
    // SAFETY: set by `Klt::main` to a KLT that lives as long as its thread; every user is code on that thread.
    unsafe { KLT.get().as_ref() }
}

impl Klt {
    pub(crate) fn new(rt: *const Inner, index: usize) -> Klt {
        Klt {
            rt,
            index,
            tid: AtomicI32::new(0),
            mail: AtomicU32::new(EMPTY),
            order: UnsafeCell::new((ptr::null(), Order::Quit)),
            in_runtime: AtomicBool::new(true),
            grip: Grip::new(),
            timer_fired: AtomicBool::new(false),
            worker: AtomicPtr::new(ptr::null_mut()),
            current: AtomicPtr::new(ptr::null_mut()),
            base: UnsafeCell::new(Context::empty()),
            handoff: UnsafeCell::new(None),
            dead: Cell::new(ptr::null()),
            garbage: Cell::new(ptr::null()),
            stack: UnsafeCell::new(None),
            poller: AtomicPtr::new(ptr::null_mut()),
            asked: Cell::new(Timestamp::ZERO),
            timer: UnsafeCell::new(None),
            stray_timer: UnsafeCell::new(None),
            armed_at: AtomicU64::new(0),
            pinned_to: AtomicUsize::new(usize::MAX),
            identity: Identity::new(),
            next_spare: Cell::new(ptr::null()),
            signals: AtomicU64::new(0),
            displacements: AtomicU64::new(0),
            usage: Usage::new(),
            mark: Mark::new(),
        }
    }

    /// The body of the thread. `ready` is called when orders can be posted.
    ///
    /// # Errors
    /// What kept the thread from becoming a KLT; `ready` was not called then.
    pub(crate) fn main(&'static self, rt: &Arc<Inner>, ready: impl FnOnce(Result<(), String>)) {
        let tid = sys::gettid();
        let setup = || -> Result<AltStack, String> {
            let timer = |clock| Timer::new(clock, rt.config.signal, tid).map_err(|e| format!("timer_create: {e}"));
            let (timer, stray) = (timer(libc::CLOCK_MONOTONIC)?, timer(libc::CLOCK_THREAD_CPUTIME_ID)?);
            // SAFETY: nobody else knows of this KLT yet.
            unsafe {
                *self.timer.get() = Some(timer);
                *self.stray_timer.get() = Some(stray);
            }
            AltStack::install().map_err(|e| e.to_string())
        };
        let alt = match setup() {
            Ok(alt) => alt,
            Err(error) => {
                self.drop_timers(); // Another thread will try again with this KLT.
                return ready(Err(error));
            }
        };
        sys::exact_timeouts();
        signal::unblock(rt.config.signal);
        if let Some(priority) = rt.fifo_granted() {
            let _ = sys::become_fifo(priority);
        }
        self.tid.store(tid, Ordering::Release);
        KLT.set(ptr::from_ref(self));
        ready(Ok(()));
        dispatch::base_loop(self);
        KLT.set(ptr::null());
        self.drop_timers();
        drop(alt);
    }

    /// At the end of the thread, which has neither a role nor tasks.
    fn drop_timers(&self) {
        // SAFETY: nobody else uses the cells without a role or a task of this KLT.
        unsafe {
            *self.timer.get() = None;
            *self.stray_timer.get() = None;
        }
    }

    /// The runtime.
    #[inline]
    pub(crate) fn rt(&self) -> &Inner {
        // SAFETY: KLTs are owned by the runtime's table and freed with it, after their threads have ended.
        unsafe { &*self.rt }
    }

    /// The worker it carries. Only for code that runs on a carrier.
    #[inline]
    pub(crate) fn worker(&self) -> &Worker {
        // SAFETY: not null on a carrier; workers live as long as the runtime.
        unsafe { &*self.worker.load(Ordering::Relaxed) }
    }

    /// Whether it was told to end.
    pub(crate) fn worker_is_none(&self) -> bool {
        !self.has_role()
    }

    /// Whether it carries a worker.
    #[inline]
    pub(crate) fn has_role(&self) -> bool {
        !self.worker.load(Ordering::Relaxed).is_null()
    }

    /// The worker it carries, asked by another thread: momentary.
    pub(crate) fn carried_worker(&self) -> Option<&Worker> {
        // SAFETY: workers live as long as the runtime.
        unsafe { self.worker.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    pub(crate) fn carries(&self, worker: &Worker) -> bool {
        ptr::eq(self.worker.load(Ordering::Relaxed), worker)
    }

    /// The task on whose stack this thread is.
    #[inline]
    pub(crate) fn current(&self) -> Option<&Header> {
        // SAFETY: a task that is current has not been reaped.
        unsafe { self.current.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    pub(crate) fn set_current(&self, task: *const Header) {
        self.current.store(task.cast_mut(), Ordering::Relaxed);
    }

    /// The poller that runs on this thread.
    #[inline]
    pub(crate) fn poller(&self) -> Option<&'static Poller> {
        // SAFETY: pollers live as long as the runtime.
        unsafe { self.poller.load(Ordering::Relaxed).as_ref() }
    }

    /// Keeps the stack of a task that has ended for the next one, or gives it back. For the thread itself, inside the runtime.
    pub(crate) fn put_stack(&self, stack: Stack) {
        // SAFETY: only this thread uses the cell.
        let kept = unsafe { &mut *self.stack.get() };
        if kept.is_none() {
            *kept = Some(stack);
        } else {
            drop(stack); // Lock-free.
        }
    }

    /// A stack that was kept. For the thread itself, inside the runtime.
    pub(crate) fn take_stack(&self) -> Option<Stack> {
        // SAFETY: only this thread uses the cell.
        unsafe { (*self.stack.get()).take() }
    }

    /// Raises the flag that keeps the signal handler out. False if it is up already. If the role was taken away meanwhile, it
    /// waits until the task is chosen again; from here on the role is safe.
    #[inline]
    pub(crate) fn enter(&'static self) -> bool {
        let entered = !self.in_runtime.load(Ordering::Relaxed);
        self.in_runtime.store(true, Ordering::Relaxed);
        // The handler runs on this thread: only the compiler could reorder. For those who take roles away see `Grip`.
        compiler_fence(Ordering::SeqCst);
        if entered && !self.grip.is_firm() {
            displace::regain(self);
        }
        entered
    }

    #[inline]
    pub(crate) fn is_in_runtime(&self) -> bool {
        self.in_runtime.load(Ordering::Relaxed)
    }

    /// Lowers the flag without looking at what came meanwhile.
    #[inline]
    pub(crate) fn lower_flag(&self) {
        compiler_fence(Ordering::SeqCst);
        self.in_runtime.store(false, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Whether something came while the flag was up.
    #[inline]
    pub(crate) fn wanted(&self) -> bool {
        // Sequentially consistent, see `Worker::kick`; the same instruction as a relaxed load.
        self.timer_fired.load(Ordering::Relaxed) || self.worker().pending.load(Ordering::SeqCst)
    }

    /// Whether the timer is set, as far as known.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed_at.load(Ordering::Relaxed) != 0
    }

    /// Whether the timer must have expired by now, give or take the difference of two clocks.
    pub(crate) fn timer_is_due(&self) -> bool {
        let armed = self.armed_at.load(Ordering::Relaxed);
        armed != 0 && self.rt().now().as_nanos() + CLOCK_TOLERANCE >= armed
    }

    /// The timer has expired.
    pub(crate) fn timer_expired(&self, remember: bool) {
        self.armed_at.store(0, Ordering::Relaxed);
        if remember {
            self.timer_fired.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn forget_timer_signal(&self) {
        if self.timer_fired.load(Ordering::Relaxed) {
            self.timer_fired.store(false, Ordering::Relaxed);
        }
    }

    /// Sees to it that this thread is interrupted at `until`, or earlier. No system call if the timer is set to an
    /// earlier instant already: it is cheaper to ask once too often.
    #[inline]
    pub(crate) fn arm(&self, until: Option<Timestamp>, now: Timestamp) {
        let until = match self.rt().reactor.look_every() {
            None => until,
            Some(tick) => Some(until.map_or(now + tick, |until| until.min(now + tick))),
        };
        let Some(until) = until else { return };
        let armed = self.armed_at.load(Ordering::Relaxed);
        if armed > now.as_nanos() && armed <= until.as_nanos() {
            return;
        }
        self.arm_slowly(until, now);
    }

    /// As [`arm`](Self::arm) where the last question on this KLT has set the timer already, unless `until` is earlier than what that was
    /// told. Reads no clock: a timer that has expired meanwhile has sent its signal.
    #[inline]
    pub(crate) fn stay_armed(&self, until: Option<Timestamp>) {
        let Some(until) = until else { return };
        let armed = self.armed_at.load(Ordering::Relaxed);
        if armed == 0 || armed > until.as_nanos() {
            self.arm(Some(until), self.rt().now());
        }
    }

    #[cold]
    fn arm_slowly(&self, until: Timestamp, now: Timestamp) {
        self.rt().clock.maintain(now);
        self.armed_at.store(until.as_nanos(), Ordering::Relaxed);
        self.worker().watch.begin();
        // SAFETY: the cell changes only at the thread's beginning and end.
        if let Some(timer) = unsafe { (*self.timer.get()).as_ref() } {
            timer.arm(until.since(now).as_nanos().max(SHORTEST));
        }
    }

    /// Whether its timer is set: something waits for its worker, or will at that time.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.armed_at.load(Ordering::Relaxed) != 0
    }

    /// For the KLT that has taken the role of this one, before it tells anybody: the timer must not interrupt it any more, unless it
    /// runs for `allowance` ns without a role.
    pub(crate) fn set_stray(&self, allowance: u64) {
        // SAFETY: the cells change only at the thread's beginning and end; it has a task.
        let (timer, stray) = unsafe { ((*self.timer.get()).as_ref(), (*self.stray_timer.get()).as_ref()) };
        if self.is_limited()
            && let Some(timer) = timer
        {
            timer.disarm();
            self.armed_at.store(0, Ordering::Relaxed);
        }
        if let Some(stray) = stray {
            stray.arm(allowance);
        }
    }

    /// It has a role again.
    pub(crate) fn unset_stray(&self) {
        // SAFETY: as above.
        if let Some(stray) = unsafe { (*self.stray_timer.get()).as_ref() } {
            stray.disarm();
        }
    }

    /// Pins it to the worker's CPU of the machine.
    pub(crate) fn pin_to(&self, worker: &Worker) {
        let cpu = worker.os_cpu;
        if self.pinned_to.load(Ordering::Relaxed) != cpu {
            // Refused if the process may not use this CPU any more: the worker then runs wherever it may.
            let _ = sys::pin(self.tid.load(Ordering::Relaxed), cpu);
            self.pinned_to.store(cpu, Ordering::Relaxed);
        }
    }

    /// Hands `worker` over to this KLT, which carries none.
    ///
    /// The caller has the right to do so: it has acquired the KLT's identity, taken it from the spares or from the
    /// worker's home, and it carries `worker` itself, which it gives up by this call.
    pub(crate) fn post(&self, worker: &Worker, order: Order) {
        self.pin_to(worker);
        // Sequentially consistent with `Worker::pending`, see `Worker::kick`.
        worker.carrier.store(ptr::from_ref(self).cast_mut(), Ordering::SeqCst);
        // SAFETY: the mailbox is empty, as this KLT has no role and only one poster has the right to give it one.
        unsafe { *self.order.get() = (worker, order) };
        self.mail.store(ORDER, Ordering::Release);
        sys::futex_wake(&self.mail, 1);
    }

    /// Asks a KLT that waits for orders to look after the worker whose home it is. False if it is busy otherwise: then it is
    /// nobody's home any more.
    pub(crate) fn ask_to_look(&self) -> bool {
        match self.mail.compare_exchange(EMPTY, LOOK, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => {
                sys::futex_wake(&self.mail, 1);
                true
            }
            Err(found) => found == LOOK,
        }
    }

    /// Tells a KLT without a role to end its thread.
    pub(crate) fn post_quit(&self) {
        // SAFETY: as in `post`.
        unsafe { *self.order.get() = (ptr::null(), Order::Quit) };
        self.mail.store(ORDER, Ordering::Release);
        sys::futex_wake(&self.mail, 1);
    }

    /// Waits for the next order and takes the worker on.
    pub(crate) fn await_order(&'static self) -> Order {
        loop {
            match self.mail.load(Ordering::Acquire) {
                ORDER => break,
                // An order that comes in between stays.
                LOOK if self.mail.compare_exchange(LOOK, EMPTY, Ordering::SeqCst, Ordering::Relaxed).is_ok() => {
                    if let Some((worker, blocked)) = displace::look(self) {
                        self.worker.store(ptr::from_ref(worker).cast_mut(), Ordering::Relaxed);
                        return Order::TakeOver(blocked);
                    }
                }
                LOOK => {}
                // Its timer may be set yet. If that woke it, only to find that it is stale, the kernel would weigh this thread
                // against the carrier, and others that wake (tokio's reactor) would not preempt the carrier past it.
                _ if self.is_armed() => {
                    signal::blocked(self.rt().config.signal, || sys::futex_wait(&self.mail, EMPTY, None));
                }
                _ => sys::futex_wait(&self.mail, EMPTY, None),
            }
        }
        self.mail.store(EMPTY, Ordering::Relaxed);
        // SAFETY: the poster wrote before it set the word.
        let (worker, order) = unsafe { *self.order.get() };
        self.worker.store(worker.cast_mut(), Ordering::Relaxed);
        order
    }

    /// Gives the role up. From here on `worker()` must not be used until the next order.
    #[inline]
    pub(crate) fn drop_role(&self) {
        self.worker.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
