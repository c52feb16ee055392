//! Running a future where one may wait: in a closure task, which parks, or on an ordinary thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use dis_core::api::{BlockReason, TaskId};
use dis_core::executor::Leave;

use crate::future::Timers;
use crate::future::spawn::current_meta;
use crate::gate::{self, check_abort, inside};
use crate::runtime::Inner;
use crate::task::Header;

thread_local! {
    /// The runtimes that an ordinary thread has entered; the last one counts.
    static ENTERED: RefCell<Vec<Arc<Inner>>> = const { RefCell::new(Vec::new()) };
    /// The timers of the `block_on` that an ordinary thread is in.
    static TIMERS: Cell<*const Timers> = const { Cell::new(ptr::null()) };
    /// The data of its waker.
    static WAKER: Cell<*const ()> = const { Cell::new(ptr::null()) };
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

/// Whether whoever polls here and now does so by that waker, which is the runtime's own: it does not panic.
pub(crate) fn polls_by(waker: &Waker) -> bool {
    let own = match crate::api::here() {
        Some((_, me)) => me.waker.get(),
        None => WAKER.get(),
    };
    ptr::eq(own, waker.data())
}

/// Futures that are polled in this task, or on this thread, use these timers, and this waker if it is the same for all of them.
pub(crate) struct Entered<'a> {
    task: Option<&'a Header>,
    timers: *const Timers,
    waker: *const (),
}

impl<'a> Entered<'a> {
    pub(crate) fn new(task: Option<&'a Header>, timers: &'a Arc<Timers>, waker: Option<&'a Waker>) -> Self {
        let timers = Arc::as_ptr(timers);
        let waker = waker.map_or(ptr::null(), Waker::data);
        let (timers, waker) = match task {
            Some(me) => (me.timers.replace(timers), me.waker.replace(waker)),
            None => (TIMERS.replace(timers), WAKER.replace(waker)),
        };
        Entered { task, timers, waker }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        match self.task {
            Some(me) => {
                me.timers.set(self.timers);
                me.waker.set(self.waker);
            }
            None => {
                TIMERS.set(self.timers);
                WAKER.set(self.waker);
            }
        }
    }
}

/// Who waits in a `block_on`.
enum Waiter {
    Task(TaskId),
    Thread(Thread),
}

struct Signal {
    /// The task's; for a thread, the one that it has entered.
    rt: Option<Arc<Inner>>,
    waiter: Waiter,
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        match (&self.waiter, &self.rt) {
            (Waiter::Task(id), Some(rt)) => inside(|| rt.unpark(*id)),
            (Waiter::Task(_), None) => {}
            (Waiter::Thread(thread), _) => thread.unpark(),
        }
    }
}

/// Runs a future until it ends. A task that calls this lets others run while the future waits; an ordinary thread blocks. A
/// spawned future may call it as well: its worker goes on with others meanwhile.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let here = crate::api::here();
    let (rt, waiter) = match here {
        Some((klt, me)) => (Some(klt.rt().handle()), Waiter::Task(me.id())),
        None => (entered(), Waiter::Thread(thread::current())),
    };
    let timers = Arc::new(Timers::new());
    let signal = Arc::new(Signal { rt, waiter, woken: AtomicBool::new(false) });
    let waker = Waker::from(signal.clone());
    let _entered = Entered::new(here.map(|(_, me)| me), &timers, Some(&waker));
    loop {
        check_abort();
        signal.woken.store(false, Ordering::SeqCst);
        // Not in the context of a reactor over the wait: a task may share its thread.
        let polled = {
            let _context = signal.rt.as_ref().and_then(|rt| rt.reactor.enter());
            future.as_mut().poll(&mut Context::from_waker(&waker))
        };
        if let Poll::Ready(value) = polled {
            return value;
        }
        // What is polled may be a Realtime future that is done with its job.
        if let Some(((klt, me), own)) = here.zip(current_meta().and_then(|meta| meta.own.as_ref())) {
            own.await_period(klt, me);
        }
        while !signal.woken.load(Ordering::SeqCst) {
            match (here, timers.next()) {
                (Some((klt, _)), next) => gate::wait(klt, Leave::Block(BlockReason::Event, next)),
                (None, Some(at)) => thread::park_timeout(at.since(crate::now()).into()),
                (None, None) => thread::park(),
            }
            check_abort();
            timers.fire_due(crate::now());
        }
    }
}
