//! The runtime: the core, its workers, their KLTs, and what they share.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use dis_context::StackPool;
use dis_core::api::{CpuMask, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Decision, Executor, Kill, Reason, Wake};
use dis_core::intent::Intent;
use dis_core::stats::SchedulerStats;

use crate::builder::{BuildError, Builder, Settings};
use crate::clock::Clock;
use crate::dispatch::inside;
use crate::identity::Kind;
use crate::keeper::Keeper;
use crate::klt::{self, Klt, Order};
use crate::lock::{FutexLock, Locked};
use crate::sys;
use crate::task::{Header, TaskRef};
use crate::trace::{Ring, TraceEvent, TraceReader};
use crate::worker::Worker;

/// Most KLTs of one runtime.
pub(crate) const MAX_KLTS: usize = 4096;

/// Everything that the threads of a runtime share.
pub(crate) struct Inner {
    pub(crate) exec: Executor<TaskRef, FutexLock>,
    pub(crate) workers: Box<[Worker]>,
    klts: Box<[AtomicPtr<Klt>]>,
    klt_count: AtomicUsize,
    spares: Locked<Spares>,
    /// KLTs that are bound, dedicated ones not counted.
    used: AtomicUsize,
    /// All tasks that have not been reaped, spread over several lists.
    registry: [Locked<Registry>; STRIPES],
    pub(crate) stacks: StackPool,
    /// Which task is on which stack; read by the overflow handler.
    pub(crate) stack_owners: Box<[AtomicPtr<Header>]>,
    pub(crate) clock: &'static Clock,
    pub(crate) config: Settings,
    pub(crate) pid: i32,
    /// Tasks that have not ended.
    pub(crate) live: AtomicUsize,
    /// Futex word, changed whenever `live` becomes 0.
    ended: AtomicU32,
    pub(crate) closing: AtomicBool,
    pub(crate) keeper: Keeper,
    pub(crate) threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// One per worker if events are recorded, else none.
    pub(crate) rings: Box<[Ring]>,
}

/// Lists of tasks; by address, so that neighbours rarely meet.
const STRIPES: usize = 16;

/// Head of a doubly linked list of tasks.
struct Registry(*const Header);

// SAFETY: tasks are in the list only as long as the runtime holds a reference to them.
unsafe impl Send for Registry {}

/// Unbound KLTs at rest, and tasks that wait for one.
struct Spares {
    first: *const Klt,
    count: usize,
    waiters: *const Header,
}

// SAFETY: the raw pointers are to KLTs (alive as long as the runtime) and to tasks that are blocked.
unsafe impl Send for Spares {}

impl Inner {
    pub(crate) fn new(config: Settings, exec: Executor<TaskRef, FutexLock>, stacks: StackPool) -> Arc<Inner> {
        let workers = config.cpus.iter().enumerate().map(|(cpu, &os_cpu)| Worker::new(cpu, os_cpu)).collect();
        let rings = config.cpus.iter().take(if config.trace > 0 { usize::MAX } else { 0 });
        let rings = rings.map(|_| Ring::new(config.trace)).collect();
        Arc::new(Inner {
            exec,
            workers,
            klts: (0..MAX_KLTS).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            klt_count: AtomicUsize::new(0),
            spares: Locked::new(Spares { first: ptr::null(), count: 0, waiters: ptr::null() }),
            used: AtomicUsize::new(0),
            registry: [const { Locked::new(Registry(ptr::null())) }; STRIPES],
            stack_owners: (0..stacks.index_limit()).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            stacks,
            clock: Clock::get(),
            config,
            pid: std::process::id() as i32,
            live: AtomicUsize::new(0),
            ended: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            keeper: Keeper::new(),
            threads: Mutex::new(Vec::new()),
            rings,
        })
    }

    /// One more counted reference.
    pub(crate) fn handle(&self) -> Arc<Inner> {
        // SAFETY: every `Inner` is made by `new`, in an `Arc`.
        unsafe {
            Arc::increment_strong_count(self);
            Arc::from_raw(self)
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The priority of SCHED_FIFO that workers get, if any.
    pub(crate) fn fifo_granted(&self) -> Option<i32> {
        self.config.fifo_granted
    }

    /// Interrupts a worker. Inside the runtime, or on a foreign thread.
    pub(crate) fn kick(&self, cpu: usize) {
        if let Some(worker) = self.workers.get(cpu) {
            worker.kick(self.pid, self.config.signal);
        }
    }

    /// Does what the core asks for after a wake-up. Inside the runtime, or on a foreign thread.
    #[inline]
    pub(crate) fn after(&self, wake: Wake) {
        if wake.interrupt {
            self.kick(wake.cpu);
        } else if wake.until.is_some() {
            match klt::this() {
                // Not interrupted now, but it has to ask earlier than it was told.
                Some(klt) if klt.has_role() && ptr::eq(klt.worker(), &self.workers[wake.cpu]) => {
                    klt.arm(wake.until, self.now());
                }
                _ => self.kick(wake.cpu),
            }
        }
    }

    /// Wakes a task, or leaves a token for its next block. Inside the runtime, or on a foreign thread.
    #[inline]
    pub(crate) fn unpark(&self, id: TaskId) {
        if let Ok(wake) = self.exec.unpark(self.now(), id) {
            self.after(wake);
        }
    }

    /// The workers that are pinned to the machine's CPUs of `mask`; `None` if there are none.
    pub(crate) fn worker_mask(&self, mask: &CpuMask) -> Option<CpuMask> {
        let workers: CpuMask =
            self.workers.iter().filter(|worker| mask.contains(worker.os_cpu)).map(|worker| worker.cpu).collect();
        (!workers.is_empty()).then_some(workers)
    }

    /// Keeps a task from being moved: it shares its identity.
    pub(crate) fn keep_here(&self, task: &Header) {
        if !task.kept.swap(true, Ordering::Relaxed) {
            let _ = self.exec.set_movable(task.id(), false);
        }
    }

    /// Gives a task that is about to start its stack; false if none can be had now.
    pub(crate) fn attach_stack(&self, task: &Header) -> bool {
        // SAFETY: the caller has claimed the task.
        let slot = unsafe { &mut *task.stack.get() };
        if slot.is_none() {
            let Ok(stack) = self.stacks.alloc() else { return false };
            self.stack_owners[stack.index()].store(ptr::from_ref(task).cast_mut(), Ordering::Release);
            *slot = Some(stack);
        }
        true
    }

    // --- tasks ---

    fn stripe(&self, task: &Header) -> &Locked<Registry> {
        &self.registry[(ptr::from_ref(task).addr() >> 7) % STRIPES]
    }

    /// Enters a new task. Inside the runtime, or on a foreign thread.
    pub(crate) fn register(&self, task: &Header) {
        let mut list = self.stripe(task).lock();
        task.next.set(list.0);
        // SAFETY: in the list, so alive.
        if let Some(next) = unsafe { list.0.as_ref() } {
            next.previous.set(task);
        }
        list.0 = task;
    }

    /// Takes out a task before the runtime gives its reference up.
    pub(crate) fn unregister(&self, task: &Header) {
        let mut list = self.stripe(task).lock();
        let (previous, next) = (task.previous.replace(ptr::null()), task.next.replace(ptr::null()));
        // SAFETY: in the list, so alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => list.0 = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(previous);
        }
    }

    /// Counted references to all tasks that `pick` names. For the keeper: allocates, but never under the lock.
    fn collect(&self, pick: impl Fn(&Header) -> bool) -> Vec<Counted> {
        let mut found = Vec::new();
        for stripe in &self.registry {
            let mut room = 64;
            loop {
                found.reserve(room);
                let limit = found.capacity();
                let (start, mut complete) = (found.len(), true);
                let list = stripe.lock();
                let mut next = list.0;
                // SAFETY: in the list, so alive.
                while let Some(task) = unsafe { next.as_ref() } {
                    next = task.next.get();
                    if !pick(task) {
                        continue;
                    }
                    if found.len() == limit {
                        complete = false;
                        break;
                    }
                    task.leak();
                    found.push(Counted(task));
                }
                drop(list);
                if complete {
                    break;
                }
                found.truncate(start);
                room = limit * 2;
            }
        }
        found
    }

    /// Ends a task as soon as possible; see `JoinHandle::abort`. Outside the runtime: it may drop the closure.
    pub(crate) fn abort(&self, task: &Header) {
        task.aborted.store(true, Ordering::SeqCst);
        if task.is_done() {
            return;
        }
        if !task.claim() {
            inside(|| match self.exec.wake(self.now(), task.id()) {
                Ok(wake) => self.after(wake),
                Err(_) => self.unpark(task.id()),
            });
            self.keeper.see_aborts_through();
            return;
        }
        // SAFETY: claimed before it started.
        unsafe { (task.vtable.reject)(task) };
        inside(|| {
            // While the core knows the task, the runtime's reference keeps it. If a CPU has chosen it in this moment, that
            // CPU finds it claimed, tells the core, and gives the reference up.
            if let Ok(Kill::Done(joiner)) = self.exec.kill(self.now(), task.id()) {
                if let Some(cpu) = joiner {
                    self.kick(cpu);
                }
                self.unregister(task);
                // The caller holds a reference as well, so this is not the last.
                task.release();
            }
            crate::dispatch::announce_end(self, task);
        });
    }

    /// Tells tasks that were aborted and have not ended yet once more. True if there are any.
    pub(crate) fn remind_aborted(&self, all: bool) -> bool {
        if !all && !self.keeper.take_aborting() {
            return false;
        }
        let tasks = self.collect(|task| (all || task.aborted.load(Ordering::Relaxed)) && !task.is_done());
        for task in &tasks {
            self.abort(task.get());
        }
        !tasks.is_empty()
    }

    // --- KLTs ---

    /// Enters a new KLT in the table; `None` if the table is full.
    pub(crate) fn new_klt(self: &Arc<Inner>) -> Option<&'static Klt> {
        let index =
            self.klt_count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < MAX_KLTS).then_some(n + 1));
        let index = index.ok()?;
        let klt = Box::into_raw(Box::new(Klt::new(Arc::as_ptr(self), index)));
        self.klts[index].store(klt, Ordering::Release);
        // SAFETY: freed with the runtime, after its thread has ended.
        Some(unsafe { &*klt })
    }

    /// All KLTs.
    pub(crate) fn klts(&self) -> impl Iterator<Item = &'static Klt> + '_ {
        let count = self.klt_count.load(Ordering::Acquire);
        // SAFETY: as in `new_klt`.
        self.klts[..count].iter().filter_map(|klt| unsafe { klt.load(Ordering::Acquire).as_ref() })
    }

    pub(crate) fn put_spare(&self, klt: &'static Klt) {
        let mut spares = self.spares.lock();
        klt.next_spare.set(spares.first);
        spares.first = klt;
        spares.count += 1;
        // One task can begin; the others wait for the next spare.
        // SAFETY: a waiter is blocked in the core, or about to be.
        let waiter = unsafe { spares.waiters.as_ref() };
        if let Some(waiter) = waiter {
            spares.waiters = waiter.next_waiter.replace(ptr::null());
            waiter.waits_for_spare.set(false);
            self.unpark(waiter.id());
        }
    }

    /// Takes a spare, preferably one that is pinned to `os_cpu`.
    pub(crate) fn take_spare(&self, os_cpu: usize) -> Option<&'static Klt> {
        let mut spares = self.spares.lock();
        if spares.count <= self.config.spares {
            self.keeper.rouse();
        }
        // SAFETY: spares live as long as the runtime.
        let first: &'static Klt = unsafe { spares.first.as_ref()? };
        let (mut found, mut before, mut at) = (first, None::<&Klt>, first);
        let mut before_found = None;
        for _ in 0..8 {
            if at.pinned_to.load(Ordering::Relaxed) == os_cpu {
                (found, before_found) = (at, before);
                break;
            }
            before = Some(at);
            // SAFETY: as above.
            match unsafe { at.next_spare.get().as_ref() } {
                Some(next) => at = next,
                None => break,
            }
        }
        let rest = found.next_spare.replace(ptr::null());
        match before_found {
            Some(before) => before.next_spare.set(rest),
            None => spares.first = rest,
        }
        spares.count -= 1;
        Some(found)
    }

    /// How many spares are missing, 0 if the table of KLTs is full.
    pub(crate) fn missing_spares(&self) -> usize {
        if self.klt_count.load(Ordering::Relaxed) >= MAX_KLTS {
            return 0;
        }
        let spares = inside(|| {
            let spares = self.spares.lock();
            if spares.waiters.is_null() { spares.count } else { 0 }
        });
        (self.config.spares + 1).saturating_sub(spares)
    }

    /// Enters `task`, about to be declined, among those that wait for a spare.
    pub(crate) fn wait_for_spare(&self, task: &Header) {
        let mut spares = self.spares.lock();
        if !task.waits_for_spare.replace(true) {
            task.next_waiter.set(spares.waiters);
            spares.waiters = task;
        }
        drop(spares);
        self.keeper.rouse();
    }

    /// The task has got what it needs; it may still be in the list, if it was woken for another reason.
    pub(crate) fn wait_no_more(&self, task: &Header) {
        if !task.waits_for_spare.get() {
            return;
        }
        let mut spares = self.spares.lock();
        if !task.waits_for_spare.replace(false) {
            return;
        }
        let after = task.next_waiter.replace(ptr::null());
        if ptr::eq(spares.waiters, task) {
            spares.waiters = after;
            return;
        }
        let mut next = spares.waiters;
        // SAFETY: a task in the list has not started.
        while let Some(other) = unsafe { next.as_ref() } {
            next = other.next_waiter.get();
            if ptr::eq(next, task) {
                other.next_waiter.set(after);
            }
        }
    }

    /// Rouses the tasks that wait for a spare or a stack: the keeper thinks that it is worth a try.
    pub(crate) fn retry_waiters(&self) -> bool {
        let mut spares = self.spares.lock();
        let mut next = std::mem::replace(&mut spares.waiters, ptr::null());
        let any = !next.is_null();
        // SAFETY: a waiter is blocked in the core, or about to be.
        while let Some(task) = unsafe { next.as_ref() } {
            next = task.next_waiter.replace(ptr::null());
            task.waits_for_spare.set(false);
            self.unpark(task.id());
        }
        any
    }

    /// Sees to it that the worker has a home, so that its carrier may be bound.
    pub(crate) fn secure_home(&self, worker: &Worker) -> bool {
        if !worker.home.load(Ordering::Relaxed).is_null() {
            return true;
        }
        let Some(spare) = self.take_spare(worker.os_cpu) else { return false };
        worker.home.store(ptr::from_ref(spare).cast_mut(), Ordering::Release);
        true
    }

    pub(crate) fn identities_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Binds the first task to a KLT that the caller owns.
    pub(crate) fn bind_first(&self, klt: &Klt, kind: Kind) {
        klt.identity.bind_first(kind);
        if kind != Kind::Dedicated {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that was bound to `klt`, the caller's own, has ended.
    pub(crate) fn unbind(&self, klt: &Klt) {
        let dedicated = klt.identity.is(Kind::Dedicated);
        if klt.identity.unbind() && !dedicated {
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The identity of that kind with the fewest tasks.
    pub(crate) fn smallest_group(&self, kind: Kind) -> Option<&'static Klt> {
        self.klts()
            .filter(|klt| klt.identity.is(kind) && klt.identity.bound() > 0)
            .min_by_key(|klt| klt.identity.bound())
    }

    // --- the end ---

    /// No task is left.
    pub(crate) fn all_ended(&self) {
        self.ended.fetch_add(1, Ordering::Release);
        sys::futex_wake(&self.ended, i32::MAX);
    }

    /// Waits until no task is left, at most until the deadline. For foreign threads.
    pub(crate) fn wait_all_ended(&self, deadline: Option<Timestamp>) -> bool {
        loop {
            let seen = self.ended.load(Ordering::Acquire);
            if self.live.load(Ordering::Acquire) == 0 {
                return true;
            }
            let now = self.now();
            let rest = match deadline {
                Some(deadline) if deadline <= now => return false,
                Some(deadline) => Some(deadline.since(now).as_nanos()),
                None => None,
            };
            sys::futex_wait(&self.ended, seen, rest);
        }
    }

    /// Ends all threads; no task is left.
    fn stop_threads(&self) {
        self.keeper.stop();
        for worker in &self.workers {
            worker.stop.store(true, Ordering::Release);
            self.kick(worker.cpu);
        }
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|e| e.into_inner()));
        // Carriers end by themselves; homes and spares are told. A carrier may become a spare or a home on its way out
        // only before its worker stops, so look again until all have ended.
        while !threads.is_empty() {
            for worker in &self.workers {
                if !worker.stopped.load(Ordering::Acquire) {
                    continue;
                }
                let home = worker.home.swap(ptr::null_mut(), Ordering::AcqRel);
                // SAFETY: KLTs live as long as the runtime.
                if let Some(home) = unsafe { home.as_ref() } {
                    home.post_quit();
                }
            }
            while let Some(spare) = self.take_spare(usize::MAX) {
                spare.post_quit();
            }
            threads.retain(|thread| !thread.is_finished());
            thread::sleep(std::time::Duration::from_micros(200));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        crate::overflow::forget(self.stacks.id());
        for klt in &mut self.klts {
            if !klt.get_mut().is_null() {
                // SAFETY: made by `Box::into_raw`; every thread holds an `Arc` of the runtime, so all have ended.
                let klt = unsafe { Box::from_raw(*klt.get_mut()) };
                let mut next = klt.garbage.get();
                // SAFETY: the last reference to each task in the list is the list's.
                while let Some(task) = unsafe { next.as_ref() } {
                    next = task.next_waiter.get();
                    // SAFETY: as above.
                    unsafe { (task.vtable.free)(task) };
                }
            }
        }
    }
}

/// How many tasks each CPU has room for before its tables must grow.
const ROOM: u32 = 4096;

/// Makes the core's tables grow now, while there is no task that could be preempted with the allocator's lock in its hands:
/// later growth happens under the core's lock, and would make a worker wait for such a task.
fn make_room(inner: &Inner) {
    let tasks = ROOM.min(inner.config.max_tasks / inner.workers.len() as u32);
    for cpu in 0..inner.workers.len() {
        let intent = Intent::batch().with_affinity(CpuMask::single(cpu));
        let spec = || {
            // Never looked at: the task is asleep until it is killed, below.
            let mut spec = TaskSpec::new(String::new(), intent.clone(), TaskRef::dangling());
            spec.start = Some(Timestamp::MAX);
            spec
        };
        let ids: Vec<TaskId> =
            (0..tasks).map_while(|_| inner.exec.spawn(inner.now(), None, spec()).ok()).map(|(id, _)| id).collect();
        for id in ids {
            let _ = inner.exec.kill(inner.now(), id);
        }
    }
}

/// Starts the threads.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), BuildError> {
    let fail = |inner: &Arc<Inner>, error| {
        inner.stop_threads();
        Err(error)
    };
    make_room(inner);
    for worker in &inner.workers {
        let klt = match crate::keeper::spawn_klt(inner) {
            Ok(klt) => klt,
            Err(error) => return fail(inner, error),
        };
        let nothing =
            Decision { next: None, until: None, reason: Reason::Idle, lost: None, interrupt: None, vacate: false };
        klt.post(worker, Order::Complete(nothing));
    }
    for _ in 0..inner.workers.len() + inner.config.spares {
        match crate::keeper::spawn_klt(inner) {
            Ok(klt) => inner.put_spare(klt),
            Err(error) => return fail(inner, error),
        }
    }
    crate::keeper::start(inner)
}

/// A counted reference to a task.
struct Counted(*const Header);

impl Counted {
    fn get(&self) -> &Header {
        // SAFETY: counted.
        unsafe { &*self.0 }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let task = self.get();
        if task.release() {
            // SAFETY: it was the last reference.
            unsafe { (task.vtable.free)(task) };
        }
    }
}

/// Which policy of the operating system the worker threads run under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OsPolicy {
    /// The ordinary one (SCHED_OTHER).
    Ordinary,
    /// SCHED_FIFO was asked for, but the process may not use it; the workers run under the ordinary policy.
    FifoRefused,
    /// SCHED_FIFO with this priority.
    Fifo(i32),
}

/// A scheduler with its worker threads.
///
/// Dropping it aborts its tasks and waits a moment for them; see [`shutdown`](Self::shutdown).
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

impl Runtime {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Counters of all CPUs together.
    pub fn stats(&self) -> SchedulerStats {
        // The sum of several CPUs allocates nothing, but it takes their locks.
        inside(|| self.inner.exec.stats())
    }

    /// Number of workers: the CPUs of the scheduler.
    pub fn workers(&self) -> usize {
        self.inner.workers.len()
    }

    /// The machine's CPU to which each worker is pinned.
    pub fn cpus(&self) -> &[usize] {
        &self.inner.config.cpus
    }

    /// Tasks that have not ended.
    pub fn live_tasks(&self) -> usize {
        self.inner.live.load(Ordering::Acquire)
    }

    /// The policy of the operating system that the workers run under.
    pub fn os_policy(&self) -> OsPolicy {
        match (self.inner.config.fifo, self.inner.config.fifo_granted) {
            (None, _) => OsPolicy::Ordinary,
            (Some(_), None) => OsPolicy::FifoRefused,
            (Some(_), Some(priority)) => OsPolicy::Fifo(priority),
        }
    }

    /// The runtime's clock: nanoseconds of CLOCK_MONOTONIC.
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }

    /// The events since `reader` was used last, of all CPUs in order of time; none unless the runtime was built with
    /// [`Builder::trace`]. The very last event of each CPU comes with the next call.
    pub fn trace(&self, reader: &mut TraceReader) -> Vec<TraceEvent> {
        reader.read(&self.inner.rings)
    }

    /// How many preemption signals have reached running tasks so far.
    pub fn preemption_signals(&self) -> u64 {
        self.inner.klts().map(|klt| klt.signals.load(Ordering::Relaxed)).sum()
    }

    /// How many kernel threads the runtime has, its keeper not counted.
    pub fn threads(&self) -> usize {
        self.inner.klts().count()
    }

    /// The machine's CPUs that the workers use, as a mask.
    pub fn cpu_mask(&self) -> CpuMask {
        self.inner.config.cpus.iter().copied().collect()
    }

    /// Aborts all tasks, waits until they have ended, at most `timeout`, and ends the threads. True if all have ended.
    ///
    /// A task that never calls the runtime cannot be ended. If one is left at the end of the timeout, the threads go on
    /// and the memory of the runtime is never freed. Must not be called in a task of this runtime (then it answers
    /// false at once, after aborting).
    pub fn shutdown(self, timeout: std::time::Duration) -> bool {
        self.close(timeout)
    }

    fn close(&self, timeout: std::time::Duration) -> bool {
        let inner = &self.inner;
        inner.closing.store(true, Ordering::SeqCst);
        inner.keeper.abort_all();
        if klt::this().is_some_and(|klt| ptr::eq(klt.rt, Arc::as_ptr(inner))) {
            return false;
        }
        if !inner.wait_all_ended(Some(inner.now() + timeout.into())) {
            return false;
        }
        if !inner.threads.lock().unwrap_or_else(|e| e.into_inner()).is_empty() {
            inner.stop_threads();
        }
        true
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.inner.threads.lock().unwrap_or_else(|e| e.into_inner()).is_empty() {
            self.close(std::time::Duration::from_millis(500));
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.workers()).field("live_tasks", &self.live_tasks()).finish()
    }
}

/// Ends the process: the runtime cannot go on, and unwinding would run user code in the middle of a switch.
#[cold]
pub(crate) fn fatal(what: &fmt::Arguments<'_>) -> ! {
    use std::io::Write;
    let mut buffer = [0u8; 256];
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    let _ = writeln!(cursor, "dis-runtime: internal error: {what}");
    let len = cursor.position() as usize;
    // SAFETY: valid memory; a failing write is no worse than none.
    unsafe {
        libc::write(libc::STDERR_FILENO, buffer.as_ptr().cast(), len);
        libc::abort()
    }
}
