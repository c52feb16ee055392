//! Spawning, joining, aborting.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskSpec, TaskStats, Timestamp};
use dis_core::executor::{Leave, Wake};
use dis_core::intent::{Intent, IoPriority};

use crate::dispatch::{self, inside};
use crate::host::Runtime;
use crate::klt::{self, Klt};
use crate::runtime::Inner;
use crate::sys;
use crate::task::{Body, Cell2, DETACHED, DONE, ENDED, Failure, Header, NOBODY, Sharing, THREAD, TaskRef};
use crate::usage;

/// Why a task could not be spawned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The scheduler refuses the intent, or has no room.
    Refused(SchedError),
    /// The affinity names no CPU of this runtime.
    NoCpu,
    /// The runtime is shutting down.
    Closing,
    /// The free function was called outside a task.
    OutsideTask,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Refused(error) => error.fmt(f),
            SpawnError::NoCpu => f.write_str("the affinity names no CPU of this runtime"),
            SpawnError::Closing => f.write_str("the runtime is shutting down"),
            SpawnError::OutsideTask => f.write_str("called outside a task; use Runtime::spawn_fn"),
        }
    }
}

impl std::error::Error for SpawnError {}

/// Why a task has no result.
pub enum JoinError {
    /// It panicked; this is the payload.
    Panic(Box<dyn Any + Send>),
    /// It was aborted.
    Aborted,
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panic(_) => f.write_str("Panic(..)"),
            JoinError::Aborted => f.write_str("Aborted"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panic(payload) => {
                let text = payload.downcast_ref::<&str>().copied();
                let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                write!(f, "the task panicked: {}", text.unwrap_or("no message"))
            }
            JoinError::Aborted => f.write_str("the task was aborted"),
        }
    }
}

impl std::error::Error for JoinError {}

/// A task to be: an intent and what else is known of it.
#[must_use = "nothing is spawned until `spawn` is called"]
#[derive(Clone)]
pub struct TaskBuilder<'rt> {
    rt: Option<&'rt Runtime>,
    intent: Intent,
    name: Box<str>,
    sharing: Sharing,
    best_effort: bool,
    start: Option<Timestamp>,
}

impl<'rt> TaskBuilder<'rt> {
    pub(crate) fn new(rt: Option<&'rt Runtime>, intent: Intent) -> Self {
        TaskBuilder { rt, intent, name: "".into(), sharing: Sharing::WhenMany, best_effort: false, start: None }
    }

    /// A name for people: reports, traces, the message of a stack overflow.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives the task a kernel thread of its own, which it never shares: no other task can make it wait by being preempted,
    /// and it can block in the kernel holding thread-bound resources. Costs a thread, and microseconds per switch.
    pub fn dedicated(mut self) -> Self {
        self.sharing = Sharing::Never;
        self
    }

    /// Lets the task share a kernel thread with the others of its worker and class that are declared so: switches
    /// between them at cooperative points (`yield_now`, waits) cost nanoseconds instead of microseconds. For tasks that
    /// come to such a point soon: one that computes on makes its neighbours wait, and while one of them is preempted
    /// the others lend it their urgency instead of running.
    pub fn shared(mut self) -> Self {
        self.sharing = Sharing::Always;
        self
    }

    /// The machine's CPUs on which it may run.
    pub fn affinity(mut self, cpus: CpuMask) -> Self {
        self.intent.constraints.cpu_affinity = Some(cpus);
        self
    }

    /// Accepts constraints that this host cannot enforce (memory, bandwidths, NUMA node, I/O and network priority)
    /// instead of refusing the task. They are then without effect.
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// The first release of a Realtime task, or when a task of another class becomes ready, on [`Runtime::now`]'s clock.
    pub fn start_at(mut self, at: Timestamp) -> Self {
        self.start = Some(at);
        self
    }

    /// Spawns the task. Returns at once.
    ///
    /// # Errors
    /// See [`SpawnError`]; the closure is dropped.
    pub fn spawn<F, T>(self, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.rt {
            Some(rt) => self.spawn_on(&rt.inner, closure),
            None => match klt::this().filter(|klt| klt.current().is_some()) {
                Some(klt) => self.spawn_on(klt.rt(), closure),
                None => Err(SpawnError::OutsideTask),
            },
        }
    }

    fn spawn_on<F, T>(mut self, rt: &Inner, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if rt.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing);
        }
        if !self.best_effort {
            enforceable(&self.intent).map_err(SpawnError::Refused)?;
        }
        if let Some(mask) = self.intent.constraints.cpu_affinity {
            self.intent.constraints.cpu_affinity = Some(rt.worker_mask(&mask).ok_or(SpawnError::NoCpu)?);
        }
        let class = self.intent.class.queue();
        let header = Header::new(&Cell2::<F, T>::VTABLE, rt, class, self.name, self.sharing);
        let cell = Box::into_raw(Box::new(Cell2 { header, body: UnsafeCell::new(Body::<F, T>::Closure(closure)) }));
        // SAFETY: just made; two references: the runtime's and the handle's.
        let task = unsafe { &(*cell).header };
        // The core keeps no name: it would be freed under its lock.
        let mut spec = TaskSpec::new(String::new(), self.intent, TaskRef::new(task));
        spec.start = self.start;
        let spawned = inside(|| {
            let from = klt::this().filter(|klt| ptr::eq(klt.rt, rt) && klt.has_role());
            if let Some(me) = from.and_then(Klt::current) {
                spec.parent = me.id();
            }
            rt.live.fetch_add(1, Ordering::AcqRel);
            rt.register(task);
            let spawned = rt.exec.spawn(rt.now(), from.map(|klt| klt.worker().cpu), spec);
            match spawned {
                Ok((id, wake)) => {
                    task.set_id(id);
                    rt.after(wake);
                    Ok(id)
                }
                Err(error) => {
                    rt.unregister(task);
                    if rt.live.fetch_sub(1, Ordering::AcqRel) == 1 {
                        rt.all_ended();
                    }
                    Err(error)
                }
            }
        });
        match spawned {
            Ok(id) => {
                let handle = JoinHandle {
                    task: NonNull::from(task),
                    rt: rt.handle(),
                    take: Cell2::<F, T>::take_outcome,
                    id,
                    outcome: PhantomData,
                };
                // Between the look above and the spawn the runtime may have begun to close; then its keeper has looked
                // through the tasks before or after this one was entered.
                if rt.closing.load(Ordering::SeqCst) {
                    handle.abort();
                }
                Ok(handle)
            }
            Err(error) => {
                // SAFETY: nobody else knows of it.
                drop(unsafe { Box::from_raw(cell) });
                Err(SpawnError::Refused(error))
            }
        }
    }
}

/// Refuses what a Linux process cannot be held to here.
fn enforceable(intent: &Intent) -> Result<(), SchedError> {
    let (c, q) = (&intent.constraints, &intent.qos);
    let refuse = |bad: bool, why| if bad { Err(SchedError::NotSupported(why)) } else { Ok(()) };
    refuse(c.max_memory.is_some(), "max_memory: tasks share the memory of the process")?;
    refuse(c.numa_node.is_some_and(|node| node != 0), "numa_node: memory placement is not enforced")?;
    refuse(c.io_priority != IoPriority::BestEffort, "io_priority: I/O requests are not ordered by task")?;
    refuse(c.net_priority != 0, "net_priority: packets are not ordered by task")?;
    refuse(q.mem_bandwidth.is_some(), "mem_bandwidth: memory bandwidth is not measured by task")?;
    refuse(q.io_bandwidth.is_some(), "io_bandwidth: I/O bandwidth is not measured by task")?;
    refuse(q.cpu_min != 0, "cpu_min: reservations by share are not enforced yet")
}

impl Runtime {
    /// Spawns a closure as a task.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn_fn<F, T>(&self, intent: Intent, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task(intent).spawn(closure)
    }

    /// A task with more than an intent.
    pub fn task(&self, intent: Intent) -> TaskBuilder<'_> {
        TaskBuilder::new(Some(self), intent)
    }
}

/// Waits for a task. Dropping it detaches the task, which goes on; its result is dropped when it ends.
pub struct JoinHandle<T> {
    task: NonNull<Header>,
    rt: Arc<Inner>,
    take: unsafe fn(*const Header) -> Option<Result<T, Failure>>,
    id: TaskId,
    outcome: PhantomData<T>,
}

// SAFETY: a counted reference to a task whose outcome is Send.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: shared access changes atomics only.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    fn task(&self) -> &Header {
        // SAFETY: counted.
        unsafe { self.task.as_ref() }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.task().name
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task().is_done()
    }

    /// The task's counters; `None` once it has ended.
    ///
    /// `user_time`, `system_time` and `page_faults` are the kernel's, which counts by thread. They are exact up to this
    /// call (a few microseconds at the ends apart) for a task that has had its kernel thread to itself, as
    /// [`dedicated`](TaskBuilder::dedicated) tasks have, and others while there are few (see `Builder::identities`).
    /// What the scheduler does on that thread is counted with the task. While tasks share a thread, what they use
    /// there is counted for none of them: `user_time + system_time` stays behind `cpu_time`.
    ///
    /// `cpu_time` is the scheduler's own: from getting the CPU to giving it up, as of its last decision, so it holds what
    /// the kernel takes away in between. How much of its own count was in system mode the kernel tells from samples.
    ///
    /// Costs some ten microseconds if asked by another thread than the task's: it reads a file in /proc.
    pub fn stats(&self) -> Option<TaskStats> {
        usage::stats(&self.rt, self.id)
    }

    /// The scheduler's own counters of the task up to now; `None` once it has ended. Cheap, a lock and no system call: those
    /// of the kernel (`user_time`, `system_time`, `page_faults`) are as [`stats`](Self::stats) or the end of a neighbour
    /// last left them. `cpu_time` holds the stretch that is under way, which a task that is alone on its CPU, and so
    /// never asked about, may have begun long ago.
    pub fn scheduler_stats(&self) -> Option<TaskStats> {
        inside(|| self.rt.exec.task_stats(self.rt.now(), self.id).ok())
    }

    /// Changes the machine's CPUs on which the task may run. A task on a CPU that is forbidden now leaves it at once.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] once it has ended; [`SchedError::NoCpu`] if the mask names no CPU of the runtime.
    pub fn set_affinity(&self, cpus: CpuMask) -> Result<(), SchedError> {
        let mask = self.rt.worker_mask(&cpus).ok_or(SchedError::NoCpu)?;
        self.change(|| self.rt.exec.set_affinity(self.rt.now(), self.id, mask))
    }

    /// Changes the priority within the class, lower first.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] once it has ended.
    pub fn set_priority(&self, priority: u8) -> Result<(), SchedError> {
        self.change(|| self.rt.exec.set_priority(self.rt.now(), self.id, priority))
    }

    /// Declares the task to be for something else from now on. The kernel thread that it is bound to stays the same.
    ///
    /// # Errors
    /// As for a spawn; the task keeps its old intent then.
    pub fn set_intent(&self, intent: &Intent) -> Result<(), SchedError> {
        enforceable(intent)?;
        let mut intent = intent.clone();
        if let Some(mask) = intent.constraints.cpu_affinity {
            intent.constraints.cpu_affinity = Some(self.rt.worker_mask(&mask).ok_or(SchedError::NoCpu)?);
        }
        self.change(|| self.rt.exec.set_intent(self.rt.now(), self.id, &intent))
    }

    /// Ends the wait of a task in [`park`](crate::park), or makes its next one return at once.
    pub fn unpark(&self) {
        inside(|| self.rt.unpark(self.id));
    }

    fn change(&self, change: impl FnOnce() -> Result<Wake, SchedError>) -> Result<(), SchedError> {
        inside(|| change().map(|wake| self.rt.after(wake)))
    }

    /// Ends the task: one that has not begun never runs; one that waits, or yields, or calls the runtime in another way
    /// that may wait, unwinds there, so that its values are dropped. A task that computes without calling the runtime
    /// goes on until it does. Returns at once.
    pub fn abort(&self) {
        self.rt.abort(self.task());
    }

    /// Waits for the end of the task and takes its result. In a task it lets others run, on an ordinary thread it blocks.
    ///
    /// # Errors
    /// [`JoinError::Panic`] with the payload, or [`JoinError::Aborted`].
    pub fn join(self) -> Result<T, JoinError> {
        if !self.is_finished() {
            match klt::this().and_then(|klt| Some((klt, klt.current()?))) {
                Some((klt, me)) => self.wait_in_task(klt, me),
                None => self.wait_in_thread(),
            }
        }
        // SAFETY: it is done, and only the handle takes the outcome.
        match unsafe { (self.take)(self.task()) } {
            Some(Ok(value)) => Ok(value),
            Some(Err(Failure::Panicked(payload))) => Err(JoinError::Panic(payload)),
            Some(Err(Failure::Aborted)) | None => Err(JoinError::Aborted),
        }
    }

    fn wait_in_task(&self, klt: &'static Klt, me: &Header) {
        let task = self.task();
        let mine = me.id().0;
        if !ptr::eq(me.rt, task.rt) {
            task.joiner_rt.set(Arc::into_raw(klt.rt().handle()));
        }
        if task.joiner.compare_exchange(NOBODY, mine, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // It ends in this moment (`ENDED`), so `state` is set already.
            drop(task.take_joiner_runtime());
            return;
        }
        me.joining.store(ptr::from_ref(task).cast_mut(), Ordering::Relaxed);
        while !task.is_done() {
            dispatch::give_way(klt, Leave::Block(BlockReason::ChildExit, None));
            if me.aborted.load(Ordering::Relaxed) && !task.is_done() && !std::thread::panicking() {
                me.joining.store(ptr::null_mut(), Ordering::Relaxed);
                if task.joiner.compare_exchange(mine, NOBODY, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    drop(task.take_joiner_runtime());
                }
                dispatch::check_abort();
            }
        }
        me.joining.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn wait_in_thread(&self) {
        let task = self.task();
        if task.joiner.compare_exchange(NOBODY, THREAD, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        loop {
            let state = task.state.load(Ordering::Acquire);
            if state == DONE {
                return;
            }
            sys::futex_wait(&task.state, state, None);
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let task = self.task();
        if task.joiner.swap(DETACHED, Ordering::AcqRel) == ENDED {
            // SAFETY: done; if `join` has taken the outcome, there is nothing left to drop.
            unsafe { (task.vtable.drop_outcome)(task) };
        }
        if task.release() {
            // SAFETY: it was the last reference.
            unsafe { (task.vtable.free)(task) };
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id).field("name", &self.name()).finish()
    }
}
