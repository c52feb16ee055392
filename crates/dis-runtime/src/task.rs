//! Tasks as the runtime sees them.
//!
//! A task is one allocation: a [`Header`] that the runtime works with, and the body behind it whose type only the
//! functions of its [`VTable`] know. Today there is one kind of body, a closure on a stack; a body that is polled will
//! bring another vtable and leave `stack` empty.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use dis_context::{Context, Stack};
use dis_core::api::TaskId;
use dis_core::intent::QueueType;
use dis_core::scheduler::Urgency;

use crate::future::{Local, Meta, Timers};
use crate::joiner::Joiner;
use crate::keep;
use crate::klt::Klt;
use crate::qos::Limits;
use crate::runtime::{Inner, Visit};
use crate::shortage::Lack;
use crate::sync::raw_mutex::Core as MutexCore;

/// Values of `Header::state`.
pub(crate) const NEW: u32 = 0;
pub(crate) const STARTED: u32 = 1;
pub(crate) const DONE: u32 = 2;

/// What depends on the type of the body.
pub(crate) struct VTable {
    /// Runs the task on its own stack and stores the outcome. Does not unwind.
    pub(crate) run: unsafe fn(*const Header),
    /// Drops the outcome, which nobody will collect.
    pub(crate) drop_outcome: unsafe fn(*const Header),
    /// Drops a closure that never ran and stores "aborted" as the outcome.
    pub(crate) reject: unsafe fn(*const Header),
    /// Frees the memory.
    pub(crate) free: unsafe fn(*const Header),
}

/// The runtime's part of a task.
#[repr(C, align(16))]
pub(crate) struct Header {
    // What a yield looks at, side by side.
    /// Where it goes on, while it is not running and not parked in place.
    pub(crate) context: UnsafeCell<Context>,
    /// The KLT it is bound to; null before it starts.
    pub(crate) klt: AtomicPtr<Klt>,
    /// Somebody wants it to end.
    pub(crate) aborted: AtomicBool,
    /// It was unparked since it last parked. The core's own mark may have been used up by a wait of the runtime's: for the
    /// thread of a task that has not begun, or one that it shares.
    pub(crate) unparked: AtomicBool,
    /// Whether the core may move it; see `keep`.
    pub(crate) kept: AtomicU8,
    pub(crate) sharing: Sharing,
    /// The class it was spawned in; decides about identities only.
    pub(crate) class: QueueType,
    /// Whether its class is Realtime now: it has jobs, and its budgets are measured.
    pub(crate) realtime: AtomicBool,

    pub(crate) vtable: &'static VTable,
    pub(crate) rt: *const Inner,
    /// One for the runtime until the task is reaped, one for the JoinHandle.
    refs: AtomicU32,
    /// Futex word for threads that join.
    pub(crate) state: AtomicU32,
    id: AtomicU64,
    pub(crate) joiner: Joiner,
    /// A [`Visit`] in the joining task's runtime if it is another one, else null. Written before `joiner` names the
    /// task, taken by whoever takes the name away.
    pub(crate) joiner_rt: Cell<*const Inner>,
    pub(crate) stack: UnsafeCell<Option<Stack>>,
    /// The task that it waits for in an untimed join.
    pub(crate) joining: AtomicPtr<Header>,
    /// How many tasks of its identity wait for each other in a chain of joins that ends in this one.
    pub(crate) chain: AtomicU32,
    /// Next in the one list that it is in: of tasks that cannot begin yet (before it is claimed), that wait for an identity
    /// (once it has begun), or whose memory is to be freed (once it has ended).
    pub(crate) next_waiter: Cell<*const Header>,
    /// The other neighbour, in the first of these.
    pub(crate) previous_waiter: Cell<*const Header>,
    /// Whether it is in the list of an identity's waiters (under the inheritance lock).
    pub(crate) waits_for_identity: Cell<bool>,
    /// What it lacks to begin, a `Lack`; changed under the lock of the spares.
    pub(crate) lacks: AtomicU8,
    /// Under the inheritance lock: what it is lent now, the mutexes it holds that others wait for, and the one it waits
    /// for.
    pub(crate) lent: Cell<Option<Urgency>>,
    pub(crate) contended: Cell<*const MutexCore>,
    pub(crate) waits_for: Cell<*const MutexCore>,
    /// It waits for that until some instant only.
    pub(crate) gives_up: Cell<bool>,
    /// The server that it has called, or is about to.
    pub(crate) server: AtomicPtr<Header>,
    /// What it serves, if it is a server; to compare with only.
    pub(crate) serves: Cell<*const ()>,
    /// The task that is about to call this one, which does not receive yet. Set under the inheritance lock.
    pub(crate) awaited_by: AtomicPtr<Header>,
    /// Its call is part of a circle of tasks that wait for each other.
    pub(crate) circle: AtomicBool,
    /// How many of our mutexes it holds; counted on its KLT.
    pub(crate) mutexes: Cell<u32>,
    /// It has ended, but not all of them were unlocked. Under the inheritance lock.
    pub(crate) orphaned: Cell<bool>,
    /// Where timers are that futures set which it polls; null: it polls none.
    pub(crate) timers: Cell<*const Timers>,
    /// The spawned future that it polls now.
    pub(crate) future: Cell<*const Meta>,
    /// The data of the waker by which it polls now, if that is the runtime's own.
    pub(crate) waker: Cell<*const ()>,
    /// The futures that live in a call of `block_on_local` in which it is.
    pub(crate) local: Cell<*const Local>,
    /// It serves futures: their end, not an abort, ends it.
    pub(crate) internal: bool,
    /// What it may use beside the CPU.
    pub(crate) limits: Option<Box<Limits>>,
    /// The one future that it serves was aborted, so it is not to wait for a release.
    pub(crate) ending: AtomicBool,
    pub(crate) name: Box<str>,
}

// SAFETY: cells are used by one thread at a time: `next_waiter`, `lent`, `contended`, `waits_for`, `gives_up`, `orphaned` under the locks named,
// `mutexes`, `serves`, `timers`, `future`, `waker`, `local`, `context` and `stack` by the KLT that runs the task.
unsafe impl Sync for Header {}
// SAFETY: as above.
unsafe impl Send for Header {}

impl Header {
    pub(crate) fn new(
        vtable: &'static VTable,
        rt: *const Inner,
        class: QueueType,
        name: Box<str>,
        sharing: Sharing,
        internal: bool,
        limits: Option<Box<Limits>>,
    ) -> Header {
        Header {
            vtable,
            rt,
            refs: AtomicU32::new(2),
            state: AtomicU32::new(NEW),
            id: AtomicU64::new(0),
            joiner: Joiner::new(),
            joiner_rt: Cell::new(ptr::null()),
            aborted: AtomicBool::new(false),
            unparked: AtomicBool::new(false),
            kept: AtomicU8::new(keep::MOVABLE),
            sharing,
            class,
            realtime: AtomicBool::new(class == QueueType::Realtime),
            klt: AtomicPtr::new(ptr::null_mut()),
            context: UnsafeCell::new(Context::empty()),
            stack: UnsafeCell::new(None),
            joining: AtomicPtr::new(ptr::null_mut()),
            chain: AtomicU32::new(1),
            next_waiter: Cell::new(ptr::null()),
            previous_waiter: Cell::new(ptr::null()),
            waits_for_identity: Cell::new(false),
            lacks: AtomicU8::new(Lack::Nothing as u8),
            lent: Cell::new(None),
            contended: Cell::new(ptr::null()),
            waits_for: Cell::new(ptr::null()),
            gives_up: Cell::new(false),
            server: AtomicPtr::new(ptr::null_mut()),
            serves: Cell::new(ptr::null()),
            awaited_by: AtomicPtr::new(ptr::null_mut()),
            circle: AtomicBool::new(false),
            mutexes: Cell::new(0),
            orphaned: Cell::new(false),
            timers: Cell::new(ptr::null()),
            future: Cell::new(ptr::null()),
            waker: Cell::new(ptr::null()),
            local: Cell::new(ptr::null()),
            internal,
            limits,
            ending: AtomicBool::new(false),
            name,
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    pub(crate) fn set_id(&self, id: TaskId) {
        self.id.store(id.0, Ordering::Relaxed);
    }

    /// Part of [`Inner::claim`], which see.
    pub(crate) fn claim(&self) -> bool {
        self.state.compare_exchange(NEW, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives the claim back: it could not be started after all.
    pub(crate) fn unclaim(&self) {
        self.state.store(NEW, Ordering::Release);
    }

    pub(crate) fn bind(&self, klt: &Klt) {
        self.klt.store(ptr::from_ref(klt).cast_mut(), Ordering::Release);
    }

    /// Takes the visit in `joiner_rt`.
    pub(crate) fn take_joiner_runtime(&self) -> Option<Visit> {
        let rt = self.joiner_rt.replace(ptr::null());
        // SAFETY: made by `Visit::into_raw`, and taken once.
        (!rt.is_null()).then(|| unsafe { Visit::from_raw(rt) })
    }

    #[inline]
    pub(crate) fn is_realtime(&self) -> bool {
        self.realtime.load(Ordering::Relaxed)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Gives one reference up; true if it was the last, so the caller frees the memory.
    pub(crate) fn release(&self) -> bool {
        // With one reference nobody else can make another.
        self.refs.load(Ordering::Acquire) == 1 || self.refs.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// One reference more, never given up: whoever points at the task without counting may do so for ever.
    pub(crate) fn leak(&self) {
        self.refs.fetch_add(1, Ordering::Relaxed);
    }
}

/// The core's handle of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: a handle is an address; `Header` is Sync.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    pub(crate) fn new(header: &Header) -> TaskRef {
        TaskRef(NonNull::from(header))
    }

    /// The task. A handle that the core gives out belongs to a task that has not been reaped, which holds a reference.
    #[inline]
    pub(crate) fn header(self) -> &'static Header {
        // SAFETY: see above; no user keeps the reference beyond the end of the task.
        unsafe { self.0.as_ref() }
    }
}

/// With whom a task shares its KLT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sharing {
    /// With nobody.
    Never,
    /// With nobody but the one that waits for its end; with others of its class if the runtime lets tasks share and there
    /// are more than identities.
    WhenMany,
    /// With the others of its worker and class.
    Always,
}

/// The payload of the panic that ends an aborted task.
pub(crate) struct Abort;

/// How a task ended other than by returning.
pub(crate) enum Failure {
    Aborted,
    Panicked(Box<dyn std::any::Any + Send>),
}

/// What the body is.
pub(crate) enum Body<F, T> {
    Closure(F),
    Taken,
    Outcome(Result<T, Failure>),
}

/// Header and body of a closure task.
#[repr(C)]
pub(crate) struct Cell2<F, T> {
    pub(crate) header: Header,
    pub(crate) body: UnsafeCell<Body<F, T>>,
}

impl<F: FnOnce() -> T + Send + 'static, T: Send + 'static> Cell2<F, T> {
    pub(crate) const VTABLE: VTable =
        VTable { run: Self::run, drop_outcome: Self::drop_outcome, reject: Self::reject, free: Self::free };

    /// # Safety
    /// `header` is that of a `Cell2<F, T>`, and the caller has the body to itself: it runs the task, has claimed
    /// it unstarted, or has seen that it is done and nobody else collects the outcome.
    unsafe fn body(header: *const Header) -> *mut Body<F, T> {
        // SAFETY: the header is the first field.
        unsafe { (*header.cast::<Self>()).body.get() }
    }

    unsafe fn run(header: *const Header) {
        // SAFETY: called once, on the task's own stack.
        let (aborted, body) = unsafe { (&(*header).aborted, Self::body(header)) };
        if aborted.load(Ordering::Relaxed) {
            // Without unwinding, so that the closure's destructors may do what they like.
            // SAFETY: the task runs here, and has not used its body yet.
            return unsafe { Self::reject(header) };
        }
        // SAFETY: as above.
        let closure = match unsafe { ptr::replace(body, Body::Taken) } {
            Body::Closure(closure) => closure,
            _ => return,
        };
        // SAFETY: the header outlives the task.
        let begun = unsafe { (*header).limits.as_deref() }.map(Limits::begin);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure));
        drop(begun);
        let outcome = outcome.map_err(|payload| match payload.downcast::<Abort>() {
            Ok(_) => Failure::Aborted,
            Err(payload) => Failure::Panicked(payload),
        });
        // SAFETY: as above; the old value is `Taken`, which needs no drop.
        unsafe { ptr::write(body, Body::Outcome(outcome)) };
    }

    unsafe fn drop_outcome(header: *const Header) {
        // SAFETY: the caller has the body to itself.
        let old = unsafe { ptr::replace(Self::body(header), Body::Taken) };
        drop_quietly(old);
    }

    unsafe fn reject(header: *const Header) {
        // SAFETY: the caller has claimed the task before it started, or is the task.
        let old = unsafe { ptr::replace(Self::body(header), Body::Outcome(Err(Failure::Aborted))) };
        drop_quietly(old);
    }

    unsafe fn free(header: *const Header) {
        // SAFETY: the last reference is gone; made by `Box::into_raw`.
        drop(unsafe { Box::from_raw(header.cast_mut().cast::<Self>()) });
    }

    /// Takes the outcome of a task that is done.
    ///
    /// # Safety
    /// As for `body`.
    pub(crate) unsafe fn take_outcome(header: *const Header) -> Option<Result<T, Failure>> {
        // SAFETY: the caller's promise.
        match unsafe { ptr::replace(Self::body(header), Body::Taken) } {
            Body::Outcome(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// Drops a value of the user's; a panic in its destructor ends there.
pub(crate) fn drop_quietly<V>(value: V) {
    let value = ManuallyDrop::new(value);
    quietly(|| drop(ManuallyDrop::into_inner(value)));
}

/// Runs code of the user's whose panic concerns nobody; it ends there.
pub(crate) fn quietly(code: impl FnOnce()) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)) {
        // Its own destructor might panic again.
        std::mem::forget(payload);
    }
}
