//! What tests do to a machine, and what they ask of it.

use dis_core::api::{ExitStatus, SchedResult, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Executor, Kill, Leave, Placement, Wake};
use dis_core::intent::Intent;
use dis_core::scheduler::Urgency;

use super::actor::Op::Exit;
use super::budgets::Account;
use super::{Actor, Lock, Machine, Obeyed, Op, at};

impl Machine {
    pub fn spawn(&mut self, intent: Intent, script: &[Op]) -> usize {
        self.try_spawn(TaskSpec::new("", intent, 0), script).expect("spawned")
    }

    pub fn try_spawn(&mut self, spec: TaskSpec<u32>, script: &[Op]) -> SchedResult<usize> {
        self.try_spawn_from(None, spec, script)
    }

    pub fn try_spawn_from(&mut self, from: Option<usize>, spec: TaskSpec<u32>, script: &[Op]) -> SchedResult<usize> {
        let number = self.actors.len();
        let spec = TaskSpec { context: number as u32, ..spec };
        self.grouped |= spec.domain.is_some();
        let account = if self.follows_servers() { Account::of(&spec.intent) } else { None };
        let (id, wake) = self.executor.spawn(at(self.now), from, spec)?;
        self.actors.push(Actor { account, ..Actor::new(id, script) });
        self.obey(wake);
        self.check();
        Ok(number)
    }

    pub fn unpark(&mut self, task: usize) -> SchedResult<Obeyed> {
        let answer = self.call(task, |executor, now, id| executor.unpark(now, id));
        if answer.is_ok_and(|wake| wake.placement == Placement::Remembered) {
            self.actors[task].token = Some(true);
        }
        answer
    }

    pub fn wake(&mut self, task: usize) -> SchedResult<Obeyed> {
        self.call(task, |executor, now, id| executor.wake(now, id))
    }

    /// Any call about a task that answers with a wake-up.
    pub fn call(
        &mut self,
        task: usize,
        f: impl FnOnce(&Executor<u32, Lock>, dis_core::api::Timestamp, TaskId) -> SchedResult<Wake>,
    ) -> SchedResult<Obeyed> {
        let wake = f(&self.executor, at(self.now), self.actors[task].id)?;
        self.obey(wake);
        self.check();
        Ok(Obeyed { cpu: wake.cpu, interrupt: wake.interrupt, placement: wake.placement })
    }

    /// Kills a task. False: it ends when its CPU asks next.
    pub fn kill(&mut self, task: usize) -> SchedResult<bool> {
        let kill = self.executor.kill(at(self.now), self.actors[task].id)?;
        if let Kill::Done(Some(cpu)) | Kill::Pending(cpu) = kill {
            self.interrupt(cpu);
        }
        self.killed.insert(task);
        self.check();
        Ok(matches!(kill, Kill::Done(_)))
    }

    /// Declares a task to be for something else.
    pub fn set_intent(&mut self, task: usize, intent: &Intent) -> SchedResult<Obeyed> {
        self.forget_waits(task);
        self.actors[task].changed = true;
        self.redeclared = true;
        let answer = self.executor.set_intent(at(self.now), self.actors[task].id, intent);
        if answer.is_ok() {
            self.displaced.remove(&task);
        }
        let answer = self.call(task, |_, _, _| answer);
        self.redeclared = false;
        answer
    }

    pub fn set_priority(&mut self, task: usize, priority: u8) -> SchedResult<Obeyed> {
        self.forget_waits(task);
        self.call(task, |executor, now, id| executor.set_priority(now, id, priority))
    }

    /// Lends a task urgency, or takes the loan back.
    pub fn inherit(&mut self, task: usize, lent: Option<Urgency>) -> SchedResult<Obeyed> {
        self.forget_waits(task);
        self.actors[task].changed = true;
        self.actors[task].lent = lent.is_some();
        self.call(task, |executor, now, id| executor.inherit(now, id, lent))
    }

    /// `joiner` wants to know of the task's end: its status if it has ended, else `joiner` is unparked then.
    pub fn join(&mut self, task: usize, joiner: usize) -> SchedResult<Option<ExitStatus>> {
        let answer = self.executor.join(self.actors[task].id, self.actors[joiner].id)?;
        if answer.is_none() {
            self.actors[task].joiner = Some(joiner);
        }
        Ok(answer)
    }

    /// From now on, a task does this.
    pub fn say(&mut self, task: usize, script: &[Op]) {
        let actor = &mut self.actors[task];
        (actor.script, actor.step, actor.left, actor.done) = (script.to_vec(), 0, None, vec![0; script.len()]);
    }

    /// From now on, a task that runs ends.
    pub fn everybody_exits(&mut self) {
        (0..self.actors.len()).for_each(|task| self.say(task, &[Exit(0)]));
    }

    /// Does something at an instant.
    pub fn at(&mut self, t: u64, action: impl FnOnce(&mut Machine) + 'static) {
        self.actions.push((t, Box::new(action)));
    }

    pub fn task<T>(&self, task: usize, f: impl FnOnce(&Task<u32>) -> T) -> T {
        self.executor.with_task(self.actors[task].id, f).expect("alive")
    }

    pub fn state(&self, task: usize) -> TaskState {
        self.executor.with_task(self.actors[task].id, Task::state).unwrap_or(TaskState::Terminated)
    }

    pub fn current(&self, cpu: usize) -> Option<usize> {
        self.cpus[cpu].current.map(|(task, _)| task)
    }

    pub fn until(&self, cpu: usize) -> Option<u64> {
        self.cpus[cpu].until
    }

    pub fn busy(&self, cpu: usize) -> u64 {
        self.cpus[cpu].busy
    }

    /// Whether the CPU can be asked: it is not saving registers.
    pub fn is_free(&self, cpu: usize) -> bool {
        self.cpus[cpu].saving.is_none()
    }

    /// Whether no interrupt and no saving of registers is under way anywhere.
    pub fn is_quiet(&self) -> bool {
        self.cpus.iter().all(|cpu| cpu.saving.is_none() && cpu.interrupt.is_none())
    }

    /// Asks all CPUs and compares the counters of the core with the host's own.
    pub fn reconcile(&mut self) {
        while !self.is_quiet() {
            let next = self.cpus.iter().flat_map(|cpu| cpu.saving.or(cpu.interrupt)).max();
            self.run_until(next.map_or(self.now, |t| t.max(self.now)));
        }
        for cpu in 0..self.cpus.len() {
            if self.is_free(cpu) {
                self.ask(cpu, Leave::Ask);
            }
        }
        self.reconcile_counts();
    }
}
