//! Running a future where one may wait: in a closure task, which parks, or on an ordinary thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use dis_core::api::{BlockReason, TaskId};
use dis_core::executor::Leave;

use crate::future::Timers;
use crate::gate::{self, check_abort, inside};
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::task::Header;

thread_local! {
    /// The runtimes that an ordinary thread has entered; the last one counts.
    static ENTERED: RefCell<Vec<Arc<Inner>>> = const { RefCell::new(Vec::new()) };
    /// The timers of the `block_on` that an ordinary thread is in.
    static TIMERS: Cell<*const Timers> = const { Cell::new(ptr::null()) };
}

/// The runtime that the calling thread has entered.
pub(crate) fn entered() -> Option<Arc<Inner>> {
    ENTERED.with_borrow(|entered| entered.last().cloned())
}

/// Makes the calling thread, unless it is in a task, spawn into that runtime until the guard is dropped.
pub(crate) fn enter_runtime(rt: &Arc<Inner>) -> impl Drop + use<> {
    struct Left(bool);
    impl Drop for Left {
        fn drop(&mut self) {
            if self.0 {
                ENTERED.with_borrow_mut(Vec::pop);
            }
        }
    }
    let outside = crate::api::here().is_none();
    if outside {
        ENTERED.with_borrow_mut(|entered| entered.push(rt.clone()));
    }
    Left(outside)
}

/// Where timers are that a future sets which is polled here and now.
pub(crate) fn timers() -> Option<Arc<Timers>> {
    let timers = match crate::api::here() {
        Some((_, me)) => me.timers.get(),
        None => TIMERS.get(),
    };
    // SAFETY: set by `Entered` to what an `Arc` holds as long as that is alive.
    (!timers.is_null()).then(|| unsafe {
        Arc::increment_strong_count(timers);
        Arc::from_raw(timers)
    })
}

/// Futures that are polled in this task, or on this thread, use these timers.
pub(crate) struct Entered<'a> {
    task: Option<&'a Header>,
    before: *const Timers,
}

impl<'a> Entered<'a> {
    pub(crate) fn task(me: &'a Header, timers: &'a Arc<Timers>) -> Self {
        Entered { task: Some(me), before: me.timers.replace(Arc::as_ptr(timers)) }
    }

    fn thread(timers: &'a Arc<Timers>) -> Self {
        Entered { task: None, before: TIMERS.replace(Arc::as_ptr(timers)) }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        match self.task {
            Some(me) => me.timers.set(self.before),
            None => TIMERS.set(self.before),
        }
    }
}

/// Runs a future until it ends. A task that calls this lets others run while the future waits; an ordinary thread blocks. A
/// spawned future may call it as well: its worker goes on with others meanwhile.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let timers = Arc::new(Timers::new());
    let future = pin!(future);
    match crate::api::here() {
        Some((klt, me)) => in_task(klt, me, &timers, future),
        None => in_thread(&timers, future),
    }
}

struct TaskSignal {
    rt: Arc<Inner>,
    task: TaskId,
    woken: AtomicBool,
}

impl Wake for TaskSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            inside(|| self.rt.unpark(self.task));
        }
    }
}

fn in_task<F: Future>(klt: &'static Klt, me: &Header, timers: &Arc<Timers>, mut future: Pin<&mut F>) -> F::Output {
    let signal = Arc::new(TaskSignal { rt: klt.rt().handle(), task: me.id(), woken: AtomicBool::new(false) });
    let waker = Waker::from(signal.clone());
    let _entered = Entered::task(me, timers);
    loop {
        check_abort();
        signal.woken.store(false, Ordering::SeqCst);
        // Not in the context of a reactor over the wait: the task may share its thread.
        let polled = {
            let _context = klt.rt().reactor.enter();
            future.as_mut().poll(&mut Context::from_waker(&waker))
        };
        if let Poll::Ready(value) = polled {
            return value;
        }
        while !signal.woken.load(Ordering::SeqCst) {
            gate::wait(klt, Leave::Block(BlockReason::Event, timers.next()));
            check_abort();
            timers.fire_due(klt.rt().now());
        }
    }
}

struct ThreadSignal {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for ThreadSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

fn in_thread<F: Future>(timers: &Arc<Timers>, mut future: Pin<&mut F>) -> F::Output {
    let signal = Arc::new(ThreadSignal { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(signal.clone());
    let _entered = Entered::thread(timers);
    let rt = entered();
    let _context = rt.as_ref().and_then(|rt| rt.reactor.enter());
    loop {
        signal.woken.store(false, Ordering::SeqCst);
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        while !signal.woken.load(Ordering::SeqCst) {
            match timers.next() {
                Some(at) => thread::park_timeout(at.since(crate::now()).into()),
                None => thread::park(),
            }
            timers.fire_due(crate::now());
        }
    }
}
