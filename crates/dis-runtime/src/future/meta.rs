//! What the runtime keeps of a spawned future, beside what `async_task` does: its metadata, and the list of all of them.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_task::Runnable;
use dis_core::api::{SchedError, SchedResult};
use dis_core::isolation::Right;

use crate::JoinError;
use crate::future::guarded::{Guarded, Outcome};
use crate::future::own::Own;
use crate::future::ring::Raw;
use crate::future::waits::Times;
use crate::gate::inside;
use crate::klt::{self, Klt};
use crate::lock::Locked;
use crate::qos::memory;
use crate::runtime::Inner;
use crate::{api, task::Header};

/// A number that names a spawned future, unique in its runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FutureId(pub u64);

impl std::fmt::Display for FutureId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "f{}", self.0)
    }
}

/// The metadata of a spawned future.
pub(crate) struct Meta {
    pub(crate) rt: Arc<Inner>,
    /// Where it was spawned.
    pub(crate) location: &'static Location<'static>,
    pub(crate) id: Cell<FutureId>,
    /// Its lane's kind: an index into the table of kinds.
    pub(crate) kind: AtomicU8,
    /// Somebody wants it to end.
    pub(crate) aborted: AtomicBool,
    /// In which list it is.
    shard: u16,
    /// The core task that it has to itself, if it has one.
    pub(crate) own: Option<Arc<Own>>,
    /// The next in a queue that is linked.
    pub(crate) next: Cell<Raw>,
    /// How often it has been polled, for how long, ns, and for how long at most. Changed by whoever polls it.
    pub(crate) polls: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) longest: AtomicU64,
    /// What is measured if the runtime measures waits.
    pub(crate) times: Option<Box<Times>>,
    /// Under the list's lock: neighbours, and a waker while it is in the list.
    links: UnsafeCell<Links>,
}

struct Links {
    previous: *const Meta,
    next: *const Meta,
    waker: Option<Waker>,
}

// SAFETY: `next` is used by the one queue that the task is in, under its lock; `id` is set before
// anybody else knows the task; `links` are under the list's lock.
unsafe impl Sync for Meta {}
// SAFETY: as above.
unsafe impl Send for Meta {}

impl Meta {
    pub(crate) fn new(rt: Arc<Inner>, kind: u8, own: Option<Arc<Own>>, location: &'static Location<'static>) -> Meta {
        let here = klt::this().filter(|klt| ptr::eq(klt.rt, &*rt)).and_then(|klt| klt.carried_worker());
        let shard = here.map_or(0, |worker| worker.cpu as u16);
        let times = rt.config.measure_waits.then(|| Box::new(Times::new(rt.now())));
        Meta {
            rt,
            location,
            id: Cell::new(FutureId(0)),
            kind: AtomicU8::new(kind),
            aborted: AtomicBool::new(false),
            shard,
            own,
            next: Cell::new(ptr::null_mut()),
            polls: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            times,
            links: UnsafeCell::new(Links { previous: ptr::null(), next: ptr::null(), waker: None }),
        }
    }

    /// Counts a poll. For whoever polls.
    #[inline]
    pub(crate) fn count(&self, held: u64) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.busy.store(self.busy.load(Ordering::Relaxed) + held, Ordering::Relaxed);
        if held > self.longest.load(Ordering::Relaxed) {
            self.longest.store(held, Ordering::Relaxed);
        }
    }

    fn registry(&self) -> &Registry {
        &self.rt.futures.registries[usize::from(self.shard)]
    }

    /// Enters the task into the list of its runtime; gives the waker back if the runtime is closing. Inside the runtime.
    pub(crate) fn register(&self, waker: Waker) -> Result<(), Waker> {
        let registry = self.registry();
        let mut list = registry.list.lock();
        if list.closed {
            return Err(waker);
        }
        list.count += 1;
        list.spawned += 1;
        self.id.set(FutureId(list.spawned * registry.stride + u64::from(self.shard)));
        // SAFETY: under the lock; whoever is in the list has not been dropped.
        unsafe {
            *self.links.get() = Links { previous: ptr::null(), next: list.first, waker: Some(waker) };
            if let Some(first) = list.first.as_ref() {
                (*first.links.get()).previous = self;
            }
        }
        list.first = self;
        Ok(())
    }

    /// Takes it out again: the future is dropped.
    fn unregister(&self) {
        let waker = inside(|| {
            let registry = self.registry();
            let mut list = registry.list.lock();
            // SAFETY: as in `register`.
            let waker = unsafe {
                let links = &mut *self.links.get();
                let (previous, next) = (links.previous, links.next);
                match previous.as_ref() {
                    Some(previous) => (*previous.links.get()).next = next,
                    None if ptr::eq(list.first, self) => list.first = next,
                    None => return None, // It never was in the list.
                }
                if let Some(next) = next.as_ref() {
                    (*next.links.get()).previous = previous;
                }
                links.waker.take()
            };
            list.count -= 1;
            if list.count == 0 && list.closed {
                drop(list);
                self.rt.futures.rouse_all(&self.rt);
            }
            waker
        });
        // It may be the last reference but one: frees nothing inside the runtime.
        drop(waker);
    }

    /// A waker, if the task has not ended.
    pub(crate) fn waker(&self) -> Option<Waker> {
        inside(|| {
            let _list = self.registry().list.lock();
            // SAFETY: under the list's lock.
            unsafe { (*self.links.get()).waker.clone() }
        })
    }

    /// Whether the calling task may do that to the future: to one with a core task of its own as to that; others are the host's.
    pub(crate) fn permit(&self, right: Right) -> SchedResult<()> {
        let answer = self.rt.permit(|subject, now| match &self.own {
            Some(own) => subject.check_on(now, right, own.task()),
            None => subject.check_at_root(now, right),
        });
        if answer == Err(SchedError::TaskNotFound) { Ok(()) } else { answer }
    }

    /// Ends the task at its next poll.
    pub(crate) fn abort(&self) {
        if !self.aborted.swap(true, Ordering::SeqCst)
            && let Some(waker) = self.waker()
        {
            waker.wake();
            if let Some(own) = &self.own {
                own.abort(&self.rt);
            }
        }
    }
}

/// The futures that were spawned on one worker and have not been dropped.
pub(crate) struct Registry {
    list: Locked<List>,
    /// Ids of different registries differ by it.
    stride: u64,
}

struct List {
    first: *const Meta,
    count: usize,
    spawned: u64,
    closed: bool,
}

// SAFETY: the pointers are to tasks that cannot go while they are in the list.
unsafe impl Send for List {}

/// How many are looked at under one lock.
const STEP: usize = 64;

impl Registry {
    pub(crate) fn new(stride: usize) -> Registry {
        Registry {
            list: Locked::new(List { first: ptr::null(), count: 0, spawned: 0, closed: false }),
            stride: stride as u64,
        }
    }

    /// How many have not been dropped.
    pub(crate) fn count(&self) -> usize {
        inside(|| self.list.lock().count)
    }

    /// Accepts no more.
    pub(crate) fn shut(&self) {
        inside(|| self.list.lock().closed = true);
    }

    /// Aborts those that are there and that `pick` names, under the lock. Outside the runtime.
    pub(crate) fn abort_all(&self, rt: &Inner, pick: impl Fn(&Meta) -> bool) {
        loop {
            let mut wakers = [const { (None, None) }; STEP];
            let found = inside(|| {
                let list = self.list.lock();
                let (mut next, mut found) = (list.first, 0);
                // SAFETY: in the list, so alive.
                while let Some(meta) = unsafe { next.as_ref() }
                    && found < STEP
                {
                    // SAFETY: under the lock.
                    let links = unsafe { &*meta.links.get() };
                    next = links.next;
                    if pick(meta) && !meta.aborted.swap(true, Ordering::SeqCst) {
                        wakers[found] = (links.waker.clone(), meta.own.clone());
                        found += 1;
                    }
                }
                found
            });
            for (waker, own) in wakers {
                if let Some(waker) = waker {
                    waker.wake();
                }
                if let Some(own) = own {
                    own.abort(rt);
                }
            }
            if found < STEP {
                return;
            }
        }
    }

    /// Calls `look` with each that has not been dropped, under the lock: it must neither allocate nor wait.
    pub(crate) fn visit(&self, mut look: impl FnMut(&Meta)) {
        inside(|| {
            let list = self.list.lock();
            let mut next = list.first;
            // SAFETY: in the list, so alive.
            while let Some(meta) = unsafe { next.as_ref() } {
                look(meta);
                // SAFETY: under the lock.
                next = unsafe { (*meta.links.get()).next };
            }
        });
    }
}

/// What the runtime polls: the future and what is to be seen to around it.
pub(crate) struct Wrapped<F> {
    meta: *const Meta,
    future: Guarded<F>,
}

// SAFETY: `meta` outlives it, and is Sync.
unsafe impl<F: Send> Send for Wrapped<F> {}

impl<F> Wrapped<F> {
    pub(crate) fn new(meta: &Meta, future: F) -> Wrapped<F> {
        Wrapped { meta, future: Guarded::new(future) }
    }

    fn end(&mut self) {
        if self.future.end() {
            // SAFETY: the metadata lies before the future in the same allocation.
            let meta = unsafe { &*self.meta };
            meta.unregister();
            if let Some(own) = &meta.own {
                own.end(&meta.rt);
            }
        }
    }
}

impl<F: Future> Future for Wrapped<F> {
    type Output = Outcome<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is not moved out of its place.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as in `end`.
        let meta = unsafe { &*this.meta };
        let result = if meta.aborted.load(Ordering::Relaxed) {
            Err(JoinError::Aborted)
        } else {
            // SAFETY: pinned with `self`; a future that has ended is not polled again.
            let future = unsafe { Pin::new_unchecked(&mut this.future) };
            let polled = Polling::begin(meta, cx.waker());
            let poll = future.poll(cx);
            polled.end();
            match poll {
                Poll::Pending => match meta.own.as_ref().and_then(|_| memory::verdict()) {
                    Some(why) => Err(JoinError::Panic(Box::new(why))),
                    None => return Poll::Pending,
                },
                Poll::Ready(result) => result,
            }
        };
        this.end();
        Poll::Ready(Outcome::new(result))
    }
}

/// A poll of a task.
struct Polling<'a> {
    meta: &'a Meta,
    /// The core task in which it is polled, and its thread.
    within: Option<(&'static Klt, &'static Header)>,
    /// When it began, if not the poller says so, ns.
    began: u64,
}

impl<'a> Polling<'a> {
    #[inline]
    fn begin(meta: &'a Meta, waker: &Waker) -> Self {
        let within = api::here();
        let mut began = 0;
        if let Some((klt, me)) = within {
            me.future.set(meta);
            me.waker.set(waker.data());
            if klt.poller().is_none() {
                began = meta.rt.now().as_nanos();
            }
            if let Some(times) = &meta.times {
                begin_measured(times, klt, began);
            }
        }
        Polling { meta, within, began }
    }

    #[inline]
    fn end(self) {
        let Some((klt, me)) = self.within else { return };
        me.future.set(ptr::null());
        me.waker.set(ptr::null());
        let now = self.meta.rt.now();
        let held = match klt.poller() {
            Some(poller) => {
                poller.ended.set(now);
                poller.held(now.as_nanos())
            }
            None => now.as_nanos().saturating_sub(self.began),
        };
        self.meta.count(held);
        if let Some(times) = &self.meta.times {
            times.end(now.as_nanos(), held);
        }
    }
}

#[cold]
fn begin_measured(times: &Times, klt: &'static Klt, began: u64) {
    match klt.poller() {
        Some(poller) => poller.lane().stats.waits.count(times.begin(poller.began())),
        None => _ = times.begin(began),
    }
}

impl<F> Drop for Wrapped<F> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The metadata of a task that is in a queue, or about to be.
#[inline]
pub(crate) fn meta<'a>(raw: Raw) -> &'a Meta {
    // SAFETY: every `Raw` comes from a `Runnable<Meta>`, which is not dropped here; the task lives while it is in a queue.
    unsafe {
        let runnable = ManuallyDrop::new(Runnable::<Meta>::from_raw(NonNull::new_unchecked(raw)));
        &*ptr::from_ref(runnable.metadata())
    }
}
