//! One CPU at one instant, in the shape of the reference's task API.

use alloc::string::String;

use lock_api::RawMutex;

use super::{Decision, Executor, Kill, Leave, Wake};
use crate::api::{
    BlockReason, CpuMask, Duration, ExitStatus, SchedError, SchedResult, Task, TaskApi, TaskId, TaskSpec, Timestamp,
};
use crate::intent::Intent;
use crate::isolation::Subject;

/// The calls of the task that runs on one CPU at one instant. Interrupts that they make necessary are collected; the
/// host sends them when it is done ([`interrupts`](CpuView::interrupts)).
pub struct CpuView<'a, C, R> {
    executor: &'a Executor<C, R>,
    cpu: usize,
    now: Timestamp,
    interrupts: CpuMask,
}

impl<'a, C: Copy, R: RawMutex> CpuView<'a, C, R> {
    pub(super) fn new(executor: &'a Executor<C, R>, cpu: usize, now: Timestamp) -> Self {
        CpuView { executor, cpu, now, interrupts: CpuMask::EMPTY }
    }

    /// The CPUs that the host must interrupt now; this one may be among them: it should ask again.
    pub fn interrupts(&self) -> CpuMask {
        self.interrupts
    }

    fn note(&mut self, wake: Wake) {
        if wake.interrupt || wake.until.is_some() {
            self.interrupts.add(wake.cpu);
        }
    }

    /// The scheduler as the task that runs here may use it; as the host, while none does.
    fn subject(&self) -> SchedResult<Subject<'_, C, R>> {
        match self.current() {
            idle if idle.is_idle() => Ok(self.executor.as_host()),
            task => self.executor.as_task(task),
        }
    }

    fn leave(&mut self, leave: Leave) -> SchedResult<Decision<C>> {
        self.executor.schedule(self.cpu, self.now, leave)
    }
}

impl<C: Copy, R: RawMutex> TaskApi for CpuView<'_, C, R> {
    type Context = C;
    type Outcome = Decision<C>;

    fn spawn(&mut self, entry: C, intent: Intent) -> SchedResult<TaskId> {
        self.spawn_named("", entry, intent)
    }

    fn spawn_named(&mut self, name: &str, entry: C, intent: Intent) -> SchedResult<TaskId> {
        let parent = self.current();
        let parent = if parent.is_idle() { TaskId::INVALID } else { parent };
        let spec = TaskSpec { parent, ..TaskSpec::new(String::from(name), intent, entry) }.joinable();
        let (id, wake) = self.subject()?.spawn(self.now, Some(self.cpu), spec)?;
        self.note(wake);
        Ok(id)
    }

    fn current(&self) -> TaskId {
        self.executor.current(self.cpu)
    }

    fn get_task(&self, id: TaskId) -> SchedResult<Task<C>> {
        self.executor.with_task(id, Task::clone)
    }

    fn yield_now(&mut self) -> SchedResult<Decision<C>> {
        self.leave(Leave::Yield)
    }

    fn sleep(&mut self, duration: Duration) -> SchedResult<Decision<C>> {
        self.leave(Leave::Sleep(self.now + duration))
    }

    fn block(&mut self, reason: BlockReason) -> SchedResult<Decision<C>> {
        self.leave(Leave::Block(reason, None))
    }

    fn wake(&mut self, id: TaskId) -> SchedResult<()> {
        let wake = self.subject()?.wake(self.now, id)?;
        self.note(wake);
        Ok(())
    }

    fn exit(&mut self, code: i32) -> SchedResult<Decision<C>> {
        self.leave(Leave::Exit(code))
    }

    fn kill(&mut self, id: TaskId) -> SchedResult<()> {
        match self.subject()?.kill(self.now, id)? {
            Kill::Done(Some(cpu)) | Kill::Pending(cpu) => self.interrupts.add(cpu),
            Kill::Done(None) => {}
        }
        Ok(())
    }

    fn join(&mut self, id: TaskId) -> SchedResult<Result<ExitStatus, Decision<C>>> {
        let me = self.current();
        if me.is_idle() {
            return Err(SchedError::InvalidState);
        }
        match self.executor.join(id, me)? {
            Some(status) => Ok(Ok(status)),
            None => self.leave(Leave::Block(BlockReason::ChildExit, None)).map(Err),
        }
    }

    fn set_priority(&mut self, id: TaskId, priority: u8) -> SchedResult<()> {
        let wake = self.subject()?.set_priority(self.now, id, priority)?;
        self.note(wake);
        Ok(())
    }

    fn set_affinity(&mut self, id: TaskId, mask: CpuMask) -> SchedResult<()> {
        let wake = self.subject()?.set_affinity(self.now, id, mask)?;
        self.note(wake);
        Ok(())
    }
}
