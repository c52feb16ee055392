//! A host under virtual time: CPUs, timers, interrupts and tasks with scripts.
//!
//! It does what the core asks of a host and nothing more: it asks again at `until`, delivers interrupts, saves
//! registers (at once, or after a random delay), and lets tasks do what their scripts say (`host`). After every event it
//! looks at all tasks (`seen`) and checks what must always hold: tasks and queues (`seen`), counters (`counts`), orders,
//! caps and turns (`order`), budgets (`budgets`), waits (`waits`), fair shares (`shares`) and
//! how long they let wait (`turns`).

mod actor;
mod budgets;
mod counts;
mod host;
mod order;
mod seen;
mod shares;
mod turns;
mod waits;

use std::collections::{BTreeSet, VecDeque};

use dis_core::api::{ExitStatus, SchedResult, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Executor, Kill, Leave, Placement, Reason, Wake};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::optimizer::Limits;
use dis_core::scheduler::{Config, Urgency};

use super::lock::Lock;
use super::rng::Rng;
use super::{at, ms, us};
use actor::Actor;
pub use actor::Op::{self, *};
use budgets::Account;
use order::{Turn, Window};
use seen::Seen;
#[allow(unused_imports)]
pub use waits::default_wait_bounds;

#[derive(Debug, Default, Clone)]
struct Cpu {
    /// Number and class of the running task.
    current: Option<(usize, QueueType)>,
    /// Whose registers the core counts as unsaved.
    unsaved: Option<usize>,
    /// Registers are being saved until then; the CPU does nothing else.
    saving: Option<u64>,
    until: Option<u64>,
    interrupt: Option<u64>,
    /// Up to when the running task's progress has been counted.
    mark: u64,
    /// Up to when the host has counted CPU time.
    charged: u64,
    busy: u64,
    /// The last instants at which the timer made it ask.
    asked: VecDeque<u64>,
    /// Since when each class has waited, and when that was last forgotten.
    waits: [Option<u64>; 5],
    forgotten: Option<u64>,
    /// Number and class of the task that ran at the last look.
    seen: Option<(usize, QueueType)>,
    /// Whether whoever left last did so by itself.
    voluntary: bool,
    window: Window,
    turn: Option<Turn>,
    /// A class that was due for its turn when it got the CPU, and when that was.
    due: Option<(QueueType, u64)>,
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub t: u64,
    pub cpu: usize,
    pub task: Option<usize>,
    pub class: Option<QueueType>,
    pub reason: Reason,
    pub lost: Option<QueueType>,
    pub waited: u64,
    pub switch: bool,
    pub until: Option<u64>,
    pub leave: Leave,
    pub interrupt: Option<usize>,
}

/// A wake-up of which the host has done its part.
#[derive(Debug, Clone, Copy)]
pub struct Obeyed {
    pub cpu: usize,
    pub interrupt: bool,
    pub placement: Placement,
}

type Action = Box<dyn FnOnce(&mut Machine)>;

pub struct Machine {
    pub executor: Executor<u32, Lock>,
    pub now: u64,
    pub actors: Vec<Actor>,
    cpus: Vec<Cpu>,
    /// The last events, all of them if `keep` is unlimited.
    pub trace: VecDeque<Event>,
    pub keep: usize,
    /// Events seen.
    pub events: u64,
    /// Longest time to save registers and to deliver an interrupt.
    pub save_delay: u64,
    pub interrupt_delay: u64,
    /// The longest that saving may have taken so far.
    slowest: u64,
    /// What delays follow from.
    pub seed: u64,
    /// Whether to check the invariants after every event.
    pub checked: bool,
    /// Who orders each class.
    policies: [&'static str; 5],
    limits: Limits,
    /// The tasks at the last look, and when that was.
    seen: Vec<Option<Seen>>,
    seen_at: u64,
    /// The fair classes in which tasks compete, by CPU; kept for its room.
    groups: Vec<(usize, QueueType)>,
    /// Somebody's requests have another length now.
    redeclared: bool,
    /// The longest each class may wait on a CPU; checked if given.
    pub wait_bounds: [Option<u64>; 5],
    /// The longest that each class has waited.
    pub longest_wait: [u64; 5],
    actions: Vec<(u64, Action)>,
    pub switches: u64,
    /// Voluntary ones of them.
    voluntary: u64,
    misses: u64,
    exits: u64,
    /// Tasks that may not be taken by other CPUs (not movable, or with a loan).
    pub fixed: BTreeSet<usize>,
    /// Tasks whose end has been asked for and is pending.
    pub killed: BTreeSet<usize>,
    /// Whom the next exit unparks.
    pub waiter: Option<usize>,
    /// Whom the present question has unparked.
    unparked: Option<usize>,
}

impl Machine {
    pub fn new(cpus: usize) -> Machine {
        Machine::with(Config::new(cpus))
    }

    pub fn with(config: Config) -> Machine {
        Machine::with_modules(config, &SchedulerRegistry::with_builtins())
    }

    pub fn with_modules(config: Config, modules: &SchedulerRegistry) -> Machine {
        let (cpus, limits) = (config.cpus, config.limits);
        let policies = QueueType::ALL.map(|class| modules.get_for_class(class).expect("an active module").name());
        Machine {
            executor: Executor::with_modules(config, modules).expect("a valid configuration"),
            now: 0,
            actors: Vec::new(),
            cpus: vec![Cpu { voluntary: true, ..Cpu::default() }; cpus],
            trace: VecDeque::new(),
            keep: usize::MAX,
            events: 0,
            save_delay: 0,
            interrupt_delay: 0,
            slowest: 0,
            seed: 1,
            checked: true,
            policies,
            limits,
            seen: Vec::new(),
            seen_at: 0,
            groups: Vec::new(),
            redeclared: false,
            wait_bounds: [None; 5],
            longest_wait: [0; 5],
            actions: Vec::new(),
            switches: 0,
            voluntary: 0,
            misses: 0,
            exits: 0,
            fixed: BTreeSet::new(),
            killed: BTreeSet::new(),
            waiter: None,
            unparked: None,
        }
    }

    // What tests do.

    pub fn spawn(&mut self, intent: Intent, script: &[Op]) -> usize {
        self.try_spawn(TaskSpec::new("", intent, 0), script).expect("spawned")
    }

    pub fn try_spawn(&mut self, spec: TaskSpec<u32>, script: &[Op]) -> SchedResult<usize> {
        self.try_spawn_from(None, spec, script)
    }

    pub fn try_spawn_from(&mut self, from: Option<usize>, spec: TaskSpec<u32>, script: &[Op]) -> SchedResult<usize> {
        let number = self.actors.len();
        let spec = TaskSpec { context: number as u32, ..spec };
        let account = if self.follows_servers() { Account::of(&spec.intent.class) } else { None };
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
        let answer = self.call(task, |executor, now, id| executor.set_intent(now, id, intent));
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

    /// After each look: what has changed since the look `before`.
    fn observe(&mut self, before: &[Option<Seen>], asked: bool) {
        self.count_changes(before, asked);
        self.check_counts();
        self.check_budgets(before);
        self.follow_waits(before);
    }
}
