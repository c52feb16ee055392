//! What a task may call: the reference's task API, on the task that runs here.
//!
//! All of it may be called with interrupts on only, that is, by tasks and not by interrupt handlers. A call that ends the
//! caller's turn comes back when it has the CPU again.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use dis_core::api::{
    BlockReason, CpuMask, Duration, ExitStatus, SchedError, SchedResult, TaskId, TaskSpec, TaskStats, Timestamp,
};
use dis_core::executor::{Kill, Leave, Wake};
use dis_core::intent::Intent;

use crate::arch::irq;
use crate::context::{TaskRef, Tcb, Work};
use crate::memory::stacks::Stack;
use crate::sched::{self, scheduler};
use crate::{clock, limits, percpu};

/// Runs `call` with interrupts off and obeys the wake-up it answers.
#[inline]
pub(crate) fn with_wake<T>(call: impl FnOnce(usize, Timestamp) -> SchedResult<(T, Option<Wake>)>) -> SchedResult<T> {
    let off = irq::Off::new();
    let now = clock::now();
    let (value, wake) = call(percpu::this().cpu, now)?;
    let ask = wake.is_some_and(|wake| sched::obey(&wake, now));
    drop(off);
    // A CPU that does not schedule yet asks when it begins.
    if ask && sched::runs_task() {
        sched::leave(Leave::Ask);
    }
    Ok(value)
}

/// Spawns a task that will run `work`; its answer is the exit code. The caller is to [`join`] it or [`detach`] it.
///
/// # Errors
/// As the core's spawn; [`SchedError::ResourceExhausted`] also if there is no memory for a stack; [`SchedError::NotSupported`], with the
/// constraint and the reason, if the intent limits what this kernel cannot ([`limits`]).
pub fn spawn(name: &str, intent: Intent, work: impl FnOnce() -> i32 + Send + 'static) -> SchedResult<TaskId> {
    spawn_with(TaskSpec::new(String::from(name), intent, ()).joinable(), Box::new(work))
}

/// Spawns a task as `spec` says; its parent is the caller.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(spec: TaskSpec<()>, work: Work) -> SchedResult<TaskId> {
    let stack = Stack::take().ok_or(SchedError::ResourceExhausted)?;
    spawn_prepared(spec, Tcb::new(stack, work, None))
}

pub(crate) fn spawn_prepared(spec: TaskSpec<()>, task: Arc<Tcb>) -> SchedResult<TaskId> {
    if let Some((_, why)) = limits::unsupported(&spec.intent, task.space.is_some()) {
        return Err(SchedError::NotSupported(why));
    }
    let parent = current();
    let parent = if parent.is_idle() { TaskId::INVALID } else { parent };
    let TaskSpec { name, intent, joinable, start, domain, .. } = spec;
    let raw = Arc::into_raw(task);
    let spawned = with_wake(|cpu, now| {
        let from = if parent == TaskId::INVALID { None } else { Some(cpu) };
        let spec = TaskSpec { name, intent, context: TaskRef(raw), parent, joinable, start, domain: domain.clone() };
        scheduler().spawn(now, from, spec).map(|(id, wake)| (id, Some(wake)))
    });
    if spawned.is_err() {
        // SAFETY: the core has not taken it.
        drop(unsafe { Arc::from_raw(raw) });
    }
    spawned
}

/// The task that calls; a CPU's idle task before it schedules.
pub fn current() -> TaskId {
    let _off = irq::Off::new();
    // SAFETY: the current task's block lives.
    unsafe { (*percpu::this().current.get()).id() }
}

/// The CPU that the caller is on, which may be another when this returns.
pub fn cpu() -> usize {
    let _off = irq::Off::new();
    percpu::this().cpu
}

/// Lets peers go first.
pub fn yield_now() {
    sched::leave(Leave::Yield);
}

/// Sleeps for `time` at least.
pub fn sleep(time: Duration) {
    sleep_until(clock::now() + time);
}

/// Sleeps until `instant`.
pub fn sleep_until(instant: Timestamp) {
    sched::leave(Leave::Sleep(instant));
}

/// Realtime: the job is finished; sleeps until the next release.
///
/// # Panics
/// While the task serves a call: its time is its caller's, and so is the job.
pub fn next_period() {
    end_job(Leave::NextPeriod);
}

/// Realtime, sporadic: the job is finished; sleeps until the next one, which arrives at that instant, is released: not sooner
/// than a period after the last.
///
/// # Panics
/// As [`next_period`].
pub fn next_job(arrival: Timestamp) {
    end_job(Leave::NextJob(arrival));
}

fn end_job(leave: Leave) {
    let me = current();
    let carrier = scheduler().carrier_of(me);
    assert!(carrier == Ok(me), "{me:?} serves a call, so the job is its caller's");
    sched::leave(leave);
}

/// Blocks until another task wakes the caller, or until `until`. Returns at once if it was [`unpark`]ed before.
pub fn block(reason: BlockReason, until: Option<Timestamp>) {
    sched::leave(Leave::Block(reason, until));
}

/// Wakes a blocked or sleeping task.
///
/// # Errors
/// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it is neither.
pub fn wake(id: TaskId) -> SchedResult<()> {
    with_wake(|_, now| scheduler().wake(now, id).map(|wake| ((), Some(wake))))
}

/// Wakes a blocked task, or lets its next block return at once.
///
/// # Errors
/// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it has ended.
pub fn unpark(id: TaskId) -> SchedResult<()> {
    with_wake(|_, now| scheduler().unpark(now, id).map(|wake| ((), Some(wake))))
}

/// Ends the caller.
pub fn exit(code: i32) -> ! {
    sched::end(code)
}

/// Ends a task, whatever it is doing, wherever. What its stack owns leaks; its stack does not.
///
/// # Errors
/// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it has ended or is ending.
pub fn kill(id: TaskId) -> SchedResult<()> {
    let off = irq::Off::new();
    let now = clock::now();
    let task = scheduler().with_context(id, |task, own| {
        if task.state().has_ended() {
            return None;
        }
        // SAFETY: the core's reference is given up only after it has ended, which it has not, and cannot under this lock.
        unsafe {
            Arc::increment_strong_count(own.0);
            // It may never have run, and then does not know its name.
            (*own.0).id.store(task.id.0, core::sync::atomic::Ordering::Relaxed);
            Some(Arc::from_raw(own.0))
        }
    })?;
    let task = task.ok_or(SchedError::InvalidState)?;
    let kill = scheduler().kill(now, id)?;
    let (Kill::Done(Some(cpu)) | Kill::Pending(cpu)) = kill else {
        sched::doom(task);
        return Ok(());
    };
    sched::doom(task);
    let here = cpu == percpu::this().cpu;
    if !here {
        sched::interrupt_cpu(cpu, now);
    }
    drop(off);
    if here {
        sched::leave(Leave::Ask);
    }
    Ok(())
}

/// Waits for the end of a joinable task and collects its status.
///
/// # Errors
/// [`SchedError::TaskNotFound`] for a task that is gone or detached; [`SchedError::InvalidState`] if another waits already.
pub fn join(id: TaskId) -> SchedResult<ExitStatus> {
    let me = current();
    loop {
        if let Some(status) = scheduler().join(id, me)? {
            return Ok(status);
        }
        block(BlockReason::ChildExit, None);
    }
}

/// Nobody will collect the task's status.
///
/// # Errors
/// [`SchedError::TaskNotFound`].
pub fn detach(id: TaskId) -> SchedResult<()> {
    scheduler().detach(id)
}

/// Changes the priority within the class.
///
/// # Errors
/// [`SchedError::TaskNotFound`].
pub fn set_priority(id: TaskId, priority: u8) -> SchedResult<()> {
    with_wake(|_, now| scheduler().set_priority(now, id, priority).map(|wake| ((), Some(wake))))
}

/// Changes the CPUs on which a task may run; it moves at once if need be.
///
/// # Errors
/// [`SchedError::TaskNotFound`]; [`SchedError::NoCpu`].
pub fn set_affinity(id: TaskId, mask: CpuMask) -> SchedResult<()> {
    with_wake(|_, now| scheduler().set_affinity(now, id, mask).map(|wake| ((), Some(wake))))
}

/// Declares a task to be for something else from now on. Its limit of memory stays what it was at the spawn.
///
/// # Errors
/// As the core's; [`SchedError::NotSupported`], with the constraint and the reason, for another limit of memory and for what a spawn refuses.
pub fn set_intent(id: TaskId, intent: &Intent) -> SchedResult<()> {
    let settled = scheduler().with_task(id, |task| task.intent.constraints.max_memory)?;
    if intent.constraints.max_memory.is_some_and(|memory| Some(memory) != settled) {
        return Err(SchedError::NotSupported("max_memory: settled when a task is spawned"));
    }
    if let Some((_, why)) = limits::unsupported(intent, true) {
        return Err(SchedError::NotSupported(why));
    }
    with_wake(|_, now| scheduler().set_intent(now, id, intent).map(|wake| ((), Some(wake))))
}

/// A task's counters up to now; times in user and system mode, and page faults, up to when it last entered the scheduler.
///
/// # Errors
/// [`SchedError::TaskNotFound`].
pub fn stats(id: TaskId) -> SchedResult<TaskStats> {
    let mut stats = scheduler().task_stats(clock::now(), id)?;
    if stats.user_time == 0 && stats.system_time == 0 {
        // A kernel task is in system mode all the time.
        stats.system_time = stats.cpu_time;
    }
    Ok(stats)
}
