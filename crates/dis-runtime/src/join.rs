//! Joining, aborting, changing.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskStats, Timestamp};
use dis_core::executor::{Leave, Wake};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::Right;
use dis_core::scheduler::Plan;

use crate::gate::{self, inside};
use crate::joiner::Dropped;
use crate::klt::{self, Klt};
use crate::planned::Planned;
use crate::qos;
use crate::runtime::{Inner, Visit};
use crate::spawn::home;
use crate::sys;
use crate::task::{DONE, Failure, Header};
use crate::usage;

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

impl JoinError {
    /// Whether it was aborted.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Aborted)
    }

    /// Whether it panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panic(_))
    }

    /// The payload of the panic.
    ///
    /// # Panics
    /// If it was aborted.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self {
            JoinError::Panic(payload) => payload,
            JoinError::Aborted => panic!("the task was aborted, it did not panic"),
        }
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
    /// A handle that owns one of the task's references.
    pub(crate) fn new(
        task: NonNull<Header>,
        rt: Arc<Inner>,
        take: unsafe fn(*const Header) -> Option<Result<T, Failure>>,
        id: TaskId,
    ) -> Self {
        JoinHandle { task, rt, take, id, outcome: PhantomData }
    }

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
    /// tasks have that are neither declared shared nor run while their parent waits for them.
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

    /// Bytes that the task holds; `None` for one without a memory limit, which is not counted ([`memory`](crate::memory)).
    pub fn memory_used(&self) -> Option<usize> {
        Some(self.task().limits.as_ref()?.memory.as_ref()?.used())
    }

    /// Changes the machine's CPUs on which the task may run. A task on a CPU that is forbidden now leaves it at once.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] once it has ended; [`SchedError::NoCpu`] if the mask names no CPU of the runtime;
    /// [`SchedError::PermissionDenied`] to a task whose domain has not the right to do that to this one.
    pub fn set_affinity(&self, cpus: CpuMask) -> Result<(), SchedError> {
        set_affinity(&self.rt, self.id, cpus)
    }

    /// Changes the priority within the class, lower first.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] once it has ended; [`SchedError::PermissionDenied`] to a task whose domain has not the right to do
    /// that to this one, and for a priority above this one's ceiling.
    pub fn set_priority(&self, priority: u8) -> Result<(), SchedError> {
        set_priority(&self.rt, self.id, priority)
    }

    /// Declares the task to be for something else from now on. The kernel thread that it is bound to stays the same.
    ///
    /// # Errors
    /// As for a spawn; the task keeps its old intent then. [`SchedError::NotSupported`] also if the intent has limits of memory,
    /// bandwidth, or priorities of I/O and network, other than the task was spawned with: those stay for its life, and an intent
    /// without them leaves them as they are. [`SchedError::PermissionDenied`] to a task whose domain has not the right to do that to this
    /// one, and for a class above this one's ceiling.
    pub fn set_intent(&self, intent: &Intent) -> Result<(), SchedError> {
        redeclare(&self.rt, self.id, intent)
    }

    /// Ends the wait of a task in [`park`](crate::park), or makes its next one return at once. A task whose domain has not the right to do
    /// that wakes nobody; [`wake`](Self::wake) tells it.
    pub fn unpark(&self) {
        // A refusal is logged and counted; whoever wants to know asks for it.
        let _ = self.wake();
    }

    /// As [`unpark`](Self::unpark).
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`] to a task whose domain has not the right to do that to this one.
    pub fn wake(&self) -> Result<(), SchedError> {
        self.permit(Right::Wake)?;
        self.task().unparked.store(true, Ordering::SeqCst);
        inside(|| self.rt.unpark(self.id));
        Ok(())
    }

    /// Ends the task: one that has not begun never runs; one that waits, or yields, or calls the runtime in another way
    /// that may wait, unwinds there, so that its values are dropped. A task that computes without calling the runtime
    /// goes on until it does. Returns at once. A task whose domain has not the right to do that ends nobody; [`kill`](Self::kill) tells it.
    pub fn abort(&self) {
        let _ = self.kill();
    }

    /// As [`abort`](Self::abort).
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`] to a task whose domain has not the right to do that to this one.
    pub fn kill(&self) -> Result<(), SchedError> {
        self.permit(Right::Kill)?;
        self.rt.abort(self.task());
        Ok(())
    }

    /// Whether the calling task may do that to this one. To one that has ended it may do whatever it likes.
    fn permit(&self, right: Right) -> Result<(), SchedError> {
        match self.rt.permit_on(right, self.id) {
            Err(SchedError::TaskNotFound) => Ok(()),
            answer => answer,
        }
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
            task.joiner_rt.set(Visit::new(klt.rt()).into_raw());
        }
        if !task.joiner.wait_as_task(mine) {
            // It ends in this moment, so `state` is set already.
            drop(task.take_joiner_runtime());
            return;
        }
        me.joining.store(ptr::from_ref(task).cast_mut(), Ordering::Relaxed);
        while !task.is_done() {
            gate::give_way(klt, Leave::Block(BlockReason::ChildExit, None));
            if me.aborted.load(Ordering::Relaxed)
                && !task.is_done()
                && !std::thread::panicking()
                && !is_guest(klt, me, task)
            {
                me.joining.store(ptr::null_mut(), Ordering::Relaxed);
                // Unwinds, which drops the handle: so the name goes.
                gate::check_abort();
            }
        }
        me.joining.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn wait_in_thread(&self) {
        let task = self.task();
        if !task.joiner.wait_as_thread() {
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

/// See [`JoinHandle::set_affinity`].
pub(crate) fn set_affinity(rt: &Inner, id: TaskId, cpus: CpuMask) -> Result<(), SchedError> {
    rt.permit_on(Right::SetAffinity, id)?;
    let mask = rt.worker_mask(&cpus).ok_or(SchedError::NoCpu)?;
    let planned = Planned::affinity(rt, id, mask)?;
    change(rt, planned, |now, plan| rt.exec.set_mask(now, id, mask, Some(plan)))
}

/// See [`JoinHandle::set_priority`].
pub(crate) fn set_priority(rt: &Inner, id: TaskId, priority: u8) -> Result<(), SchedError> {
    rt.permit_on(Right::SetPriority, id)?;
    change(rt, Planned::nothing(), |now, _| rt.exec.set_priority(now, id, priority))
}

/// See [`JoinHandle::set_intent`].
pub(crate) fn redeclare(rt: &Inner, id: TaskId, intent: &Intent) -> Result<(), SchedError> {
    rt.permit(|subject, now| subject.check_intent(now, id, intent))?;
    let mut intent = intent.clone();
    let before = inside(|| rt.exec.with_task(id, |task| (task.intent.constraints, task.intent.qos)))?;
    qos::keep(&mut intent, before)?;
    intent.constraints.cpu_affinity = home(rt, &intent).map_err(|_| SchedError::NoCpu)?;
    let planned = Planned::intent(rt, id, &intent)?;
    change(rt, planned, |now, plan| {
        let wake = rt.exec.redeclare(now, id, &intent, plan)?;
        // By what the core has now: of two changes at a time either may be the last.
        rt.exec.with_context(id, |task, own| {
            own.header().realtime.store(task.intent.class.queue() == QueueType::Realtime, Ordering::Relaxed);
        })?;
        Ok(wake)
    })
}

fn change(
    rt: &Inner,
    mut planned: Planned<'_>,
    change: impl FnOnce(Timestamp, Option<&Plan>) -> Result<Wake, SchedError>,
) -> Result<(), SchedError> {
    let changed = inside(|| {
        let now = rt.now();
        let changed = change(now, planned.plan()).map(|wake| rt.after(wake, now));
        planned.close();
        changed
    });
    if changed.is_err() {
        planned.abandon(rt);
    }
    changed
}

/// Whether `task` has begun on the thread that `me`, which waits for its end, has lent it. Then `me` must not go on before,
/// aborted or not: what both have put into thread-locals has to be taken down in the reverse order.
fn is_guest(klt: &Klt, me: &Header, task: &Header) -> bool {
    ptr::eq(task.klt.load(Ordering::Relaxed), klt)
        && task.chain.load(Ordering::Relaxed) > me.chain.load(Ordering::Relaxed)
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let task = self.task();
        match task.joiner.detach() {
            Dropped::GoesOn => {}
            // SAFETY: done; if `join` has taken the outcome, there is nothing left to drop.
            Dropped::Ended => unsafe { (task.vtable.drop_outcome)(task) },
            // The joiner was aborted, or was woken for another reason and has seen the end before it was told of it.
            Dropped::Named => drop(task.take_joiner_runtime()),
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
