//! The runtime: the core, its workers, their KLTs, and what they share.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use dis_context::StackError;
use dis_core::api::{CpuMask, TaskId, Timestamp};
use dis_core::executor::{Decision, Executor, Reason, Wake};
use dis_core::modules::SchedulerRegistry;

use crate::abort::Graves;
use crate::builder::{BuildError, Settings};
use crate::clock::Clock;
use crate::future::Futures;
use crate::gate::inside;
use crate::isolation::Endings;
use crate::keeper::Keeper;
use crate::klt::{self, Klt, Order};
use crate::lock::{FutexLock, Locked};
use crate::modules::ModuleLog;
use crate::overflow;
use crate::reactor::Reactor;
use crate::spares::Spares;
use crate::stacks::Stacks;
use crate::sys;
use crate::task::{Header, TaskRef};
use crate::trace::Ring;
use crate::watcher::BlockingWatch;
use crate::worker::Worker;

/// Everything that the threads of a runtime share.
pub(crate) struct Inner {
    pub(crate) exec: Executor<TaskRef, FutexLock>,
    /// Where policies come from.
    pub(crate) modules: Mutex<SchedulerRegistry>,
    pub(crate) workers: Box<[Worker]>,
    pub(crate) klts: Box<[AtomicPtr<Klt>]>,
    pub(crate) klt_count: AtomicUsize,
    /// One in the table whose thread could not be had.
    pub(crate) unborn: AtomicPtr<Klt>,
    /// There are as many as there can be, as far as the keeper knows.
    pub(crate) no_more_klts: AtomicBool,
    pub(crate) spares: Locked<Spares>,
    /// KLTs that are bound, dedicated ones not counted.
    pub(crate) used: AtomicUsize,
    pub(crate) stacks: Stacks,
    /// Larger ones, for tasks that poll futures; made with the first of those.
    pub(crate) poll_stacks: OnceLock<Stacks>,
    pub(crate) clock: &'static Clock,
    pub(crate) config: Settings,
    pub(crate) pid: i32,
    /// Tasks that have not ended.
    pub(crate) live: AtomicUsize,
    /// Futex word, changed whenever `live` becomes 0.
    ended: AtomicU32,
    pub(crate) endings: Endings,
    pub(crate) closing: AtomicBool,
    pub(crate) keeper: Keeper,
    pub(crate) graves: Locked<Graves>,
    pub(crate) threads: Mutex<Vec<thread::JoinHandle<()>>>,
    pub(crate) keeper_thread: Mutex<Option<thread::JoinHandle<()>>>,
    visits: AtomicUsize,
    pub(crate) futures: Futures,
    pub(crate) reactor: Reactor,
    /// Whether events are recorded now; then the rings are there.
    pub(crate) recording: AtomicBool,
    /// One per worker, made when events are recorded for the first time.
    pub(crate) rings: OnceLock<Box<[Ring]>>,
    /// What has been done to the modules.
    pub(crate) module_log: ModuleLog,
}

impl Inner {
    pub(crate) fn new(
        config: Settings,
        exec: Executor<TaskRef, FutexLock>,
        modules: SchedulerRegistry,
        stacks: Stacks,
        reactor: Reactor,
    ) -> Arc<Inner> {
        let workers = config.cpus.iter().enumerate().map(|(cpu, &os_cpu)| Worker::new(cpu, os_cpu)).collect();
        let futures = Futures::new(config.cpus.len());
        let trace = config.trace;
        let inner = Arc::new(Inner {
            exec,
            modules: Mutex::new(modules),
            workers,
            klts: (0..config.klts).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            klt_count: AtomicUsize::new(0),
            unborn: AtomicPtr::new(ptr::null_mut()),
            no_more_klts: AtomicBool::new(false),
            spares: Locked::new(Spares::new()),
            used: AtomicUsize::new(0),
            stacks,
            poll_stacks: OnceLock::new(),
            clock: Clock::get(),
            config,
            pid: std::process::id() as i32,
            live: AtomicUsize::new(0),
            ended: AtomicU32::new(0),
            endings: Endings::default(),
            closing: AtomicBool::new(false),
            keeper: Keeper::new(),
            graves: Locked::new(Graves::new()),
            threads: Mutex::new(Vec::new()),
            keeper_thread: Mutex::new(None),
            visits: AtomicUsize::new(0),
            futures,
            reactor,
            recording: AtomicBool::new(false),
            rings: OnceLock::new(),
            module_log: ModuleLog::default(),
        });
        if trace > 0 {
            inner.record(trace);
        }
        inner
    }

    /// Records events from now on, in rings of `events` if there are none yet.
    pub(crate) fn record(&self, events: usize) {
        self.rings.get_or_init(|| self.workers.iter().map(|_| Ring::new(events)).collect());
        self.recording.store(true, Ordering::Release);
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
    pub(crate) fn after(&self, wake: Wake, now: Timestamp) {
        if wake.interrupt {
            self.kick(wake.cpu);
        } else if wake.until.is_some() {
            match klt::this() {
                // Not interrupted now, but it has to ask earlier than it was told.
                Some(klt) if klt.has_role() && ptr::eq(klt.worker(), &self.workers[wake.cpu]) => {
                    klt.arm(wake.until, now);
                }
                _ => self.kick(wake.cpu),
            }
        }
    }

    /// Wakes a task, or leaves a token for its next block. Inside the runtime, or on a foreign thread.
    #[inline]
    pub(crate) fn unpark(&self, id: TaskId) {
        let now = self.now();
        if let Ok(wake) = self.exec.unpark(now, id) {
            self.after(wake, now);
        }
    }

    /// The workers that are pinned to the machine's CPUs of `mask`; `None` if there are none.
    pub(crate) fn worker_mask(&self, mask: &CpuMask) -> Option<CpuMask> {
        let workers: CpuMask =
            self.workers.iter().filter(|worker| mask.contains(worker.os_cpu)).map(|worker| worker.cpu).collect();
        (!workers.is_empty()).then_some(workers)
    }

    fn stacks_of(&self, task: &Header) -> &Stacks {
        if task.internal { self.poll_stacks.get().unwrap_or(&self.stacks) } else { &self.stacks }
    }

    /// Gives a task that is about to start its stack; false if none can be had now.
    pub(crate) fn attach_stack(&self, klt: &Klt, task: &Header) -> bool {
        // SAFETY: the caller has claimed the task.
        let slot = unsafe { &mut *task.stack.get() };
        if slot.is_none() {
            let stacks = self.stacks_of(task);
            let kept = if task.internal { None } else { klt.take_stack() };
            let Some(stack) = kept.or_else(|| stacks.pool.alloc().ok()) else { return false };
            stacks.own(&stack, task);
            *slot = Some(stack);
        }
        true
    }

    /// Takes the stack of a task that has ended, or cannot start yet, back.
    pub(crate) fn detach_stack(&self, klt: &Klt, task: &Header) {
        // SAFETY: the caller has claimed the task, or has reaped it: nobody else uses the slot.
        if let Some(stack) = unsafe { (*task.stack.get()).take() } {
            self.stacks_of(task).own(&stack, ptr::null());
            if task.internal {
                drop(stack); // Lock-free.
            } else {
                klt.put_stack(stack);
            }
        }
    }

    /// Makes the stacks for tasks that poll futures, if they are not there yet. Allocates.
    pub(crate) fn make_poll_stacks(&self) -> Result<(), StackError> {
        if self.poll_stacks.get().is_none() {
            let stacks = Stacks::new(self.config.poll_stack_size, self.config.klts)?;
            if self.poll_stacks.set(stacks).is_ok() {
                self.poll_stacks.get().map(overflow::remember);
            }
        }
        Ok(())
    }

    /// Whether there are more tasks than identities for them.
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.load(Ordering::Relaxed) > self.config.identities
    }

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

    /// Ends all threads; no task is left. For foreign threads, and for the keeper when nobody else does it.
    pub(crate) fn stop_threads(&self) {
        self.reactor.stop();
        self.keeper.stop();
        let keeper = self.keeper_thread.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(keeper) = keeper.filter(|keeper| keeper.thread().id() != thread::current().id()) {
            // It may be about to make a spare; from here on there are no new ones. It does not panic.
            let _ = keeper.join();
        }
        crate::watcher::stop_all(self);
        for worker in &self.workers {
            worker.stop.store(true, Ordering::Release);
            inside(|| self.kick(worker.cpu));
        }
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|e| e.into_inner()));
        // Carriers end by themselves; homes and spares are told. A carrier may become a spare or a home on its way out
        // only before its worker stops, so look again until all have ended.
        while !threads.is_empty() || self.visits.load(Ordering::Acquire) > 0 {
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
            while let Some(spare) = inside(|| self.take_spare(usize::MAX, 0)) {
                spare.post_quit();
            }
            threads.retain(|thread| !thread.is_finished());
            thread::sleep(std::time::Duration::from_micros(200));
        }
    }
}

/// A stay in a runtime of somebody who has no counted reference to it, and begins it while one of its tasks waits: the
/// threads, and so the memory, outlive it. To end it frees nothing, so it may end inside the runtime.
pub(crate) struct Visit(*const Inner);

impl Visit {
    pub(crate) fn new(rt: &Inner) -> Visit {
        rt.visits.fetch_add(1, Ordering::Relaxed);
        Visit(rt)
    }

    /// For a place where only the address can be kept.
    pub(crate) fn into_raw(self) -> *const Inner {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// `rt` comes from [`into_raw`](Self::into_raw), and is used once.
    pub(crate) unsafe fn from_raw(rt: *const Inner) -> Visit {
        Visit(rt)
    }
}

impl Deref for Visit {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        // SAFETY: `stop_threads` waits for the end of the visit.
        unsafe { &*self.0 }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Not touched any more afterwards.
        self.visits.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The core asks nobody any more.
        self.clear_graves(|_| false);
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

/// Starts the threads.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), BuildError> {
    let fail = |inner: &Arc<Inner>, error| {
        inner.stop_threads();
        Err(error)
    };
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
    crate::keeper::start(inner)?;
    if inner.config.watch == BlockingWatch::On {
        for cpu in 0..inner.workers.len() {
            if let Err(error) = crate::watcher::start(inner, cpu) {
                return fail(inner, error);
            }
        }
    }
    Ok(())
}

/// Ends the process: the runtime cannot go on, and unwinding would run user code in the middle of a switch.
#[cold]
pub(crate) fn fatal(what: &fmt::Arguments<'_>) -> ! {
    die(&format_args!("internal error: {what}"))
}

/// Ends the process with a message, without locks and without allocating.
#[cold]
pub(crate) fn die(what: &fmt::Arguments<'_>) -> ! {
    use std::io::Write;
    let mut buffer = [0u8; 512];
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    let _ = writeln!(cursor, "dis-runtime: {what}");
    let len = cursor.position() as usize;
    // SAFETY: valid memory; a failing write is no worse than none.
    unsafe {
        libc::write(libc::STDERR_FILENO, buffer.as_ptr().cast(), len);
        libc::abort()
    }
}
