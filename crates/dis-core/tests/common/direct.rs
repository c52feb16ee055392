//! A machine whose CPUs are asked by hand. A task's number is all that its host knows of it.

use dis_core::api::{Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Decision, Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

use super::at;
use super::lock::Lock;

pub type Exec = Executor<u32, Lock>;

pub fn machine(cpus: usize) -> Exec {
    Executor::new(Config::new(cpus)).unwrap()
}

/// A joinable task, from outside.
pub fn spawn(x: &Exec, now: u64, number: u32, intent: Intent) -> TaskId {
    x.spawn(at(now), None, TaskSpec::new("", intent, number).joinable()).unwrap().0
}

/// Asks and saves at once.
pub fn ask(x: &Exec, cpu: usize, now: u64, leave: Leave) -> Decision<u32> {
    let decision = x.schedule(cpu, at(now), leave).unwrap();
    x.switched(cpu);
    decision
}

/// The number of the task that runs.
pub fn runs(decision: &Decision<u32>) -> Option<u32> {
    decision.next.map(|next| next.context)
}

/// Terminated, if it is gone.
pub fn state(x: &Exec, id: TaskId) -> TaskState {
    x.with_task(id, Task::state).unwrap_or(TaskState::Terminated)
}
