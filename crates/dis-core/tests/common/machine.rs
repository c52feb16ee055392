//! A host under virtual time: CPUs, timers, interrupts and tasks with scripts.
//!
//! It does what the core asks of a host and nothing more: it asks again at `until`, delivers interrupts, saves
//! registers (at once, or after a random delay), and lets tasks do what their scripts say. After every event it checks
//! what must always hold ([`Machine::check`]).

use std::collections::{BTreeSet, VecDeque};

use dis_core::api::{BlockReason, SchedResult, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Decision, Executor, Kill, Leave, Placement, Reason, Wake};
use dis_core::intent::{Intent, QueueType};
use dis_core::optimizer::SPAWN_GRACE;
use dis_core::scheduler::Config;

use super::lock::Lock;
use super::rng::Rng;
use super::{at, ms};

/// A step of a script.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Needs this much CPU time, ns.
    Run(u64),
    /// Sleeps for so long, ns.
    Sleep(u64),
    Block(BlockReason),
    /// Blocks for at most so long, ns.
    BlockFor(BlockReason, u64),
    Yield,
    NextPeriod,
    Exit(i32),
    /// Unparks the task of this number, if it lives.
    Unpark(usize),
    Wake(usize),
    Kill(usize),
    /// Goes on at this step.
    Goto(usize),
}

pub use Op::*;

/// A task as the host knows it. Its number is the core's context.
#[derive(Debug, Clone)]
pub struct Actor {
    pub id: TaskId,
    /// Steps; at the end it begins again. Without steps it runs for ever.
    script: Vec<Op>,
    step: usize,
    /// What is left of the current `Run`.
    left: Option<u64>,
    /// CPU time given to it, counted by the host.
    pub cpu_time: u64,
    pub switches: u64,
    /// When it ran: from, to, CPU.
    pub runs: Vec<(u64, u64, usize)>,
    /// How often it has done each step.
    pub done: Vec<u64>,
    /// Gone for good: the id is stale.
    pub gone: bool,
    zombie: bool,
}

impl Actor {
    /// CPU time between two instants.
    pub fn ran_between(&self, from: u64, to: u64) -> u64 {
        self.runs.iter().map(|&(a, b, _)| b.min(to).saturating_sub(a.max(from))).sum()
    }

    /// The longest time between `from` and `to` in which it did not run at all.
    pub fn longest_gap(&self, from: u64, to: u64) -> u64 {
        let (mut gap, mut last) = (0, from);
        for &(a, b, _) in self.runs.iter().filter(|run| run.1 > from && run.0 < to) {
            gap = gap.max(a.saturating_sub(last));
            last = b;
        }
        gap.max(to.saturating_sub(last))
    }
}

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
    /// Since when each class has waited.
    waits: [Option<u64>; 5],
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
    pub rng: Rng,
    /// Whether to check the invariants after every event.
    pub checked: bool,
    /// Whether Realtime goes by deadline.
    pub edf: bool,
    /// The longest each class may wait on a CPU; checked if given.
    pub wait_bounds: [Option<u64>; 5],
    /// The longest that each class has waited.
    pub longest_wait: [u64; 5],
    actions: Vec<(u64, Action)>,
    pub switches: u64,
    /// Tasks that may not be taken by other CPUs (not movable, or with a loan).
    pub fixed: BTreeSet<usize>,
    /// Tasks whose end has been asked for and is pending.
    pub killed: BTreeSet<usize>,
    /// Whom the next exit unparks.
    pub waiter: Option<TaskId>,
}

impl Machine {
    pub fn new(cpus: usize) -> Machine {
        Machine::with(Config::new(cpus))
    }

    pub fn with(config: Config) -> Machine {
        let cpus = config.cpus;
        Machine {
            executor: Executor::new(config).expect("a valid configuration"),
            now: 0,
            actors: Vec::new(),
            cpus: vec![Cpu::default(); cpus],
            trace: VecDeque::new(),
            keep: usize::MAX,
            events: 0,
            save_delay: 0,
            interrupt_delay: 0,
            rng: Rng::new(1),
            checked: true,
            edf: true,
            wait_bounds: [None; 5],
            longest_wait: [0; 5],
            actions: Vec::new(),
            switches: 0,
            fixed: BTreeSet::new(),
            killed: BTreeSet::new(),
            waiter: None,
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
        let (id, wake) = self.executor.spawn(at(self.now), from, spec)?;
        self.actors.push(Actor {
            id,
            script: script.to_vec(),
            step: 0,
            left: None,
            cpu_time: 0,
            switches: 0,
            runs: Vec::new(),
            done: vec![0; script.len()],
            gone: false,
            zombie: false,
        });
        self.obey(wake);
        self.check();
        Ok(number)
    }

    pub fn unpark(&mut self, task: usize) -> SchedResult<Obeyed> {
        self.call(task, |executor, now, id| executor.unpark(now, id))
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
        self.check();
        Ok(matches!(kill, Kill::Done(_)))
    }

    /// A task that waits is about to be declared something else: the wait that its class has behind it does not count.
    pub fn forget_waits(&mut self, task: usize) {
        if let Ok(cpu) = self.executor.cpu_of(self.actors[task].id) {
            self.cpus[cpu].waits = [None; 5];
        }
    }

    /// From now on, a task that runs ends.
    pub fn everybody_exits(&mut self) {
        for actor in &mut self.actors {
            (actor.script, actor.step, actor.left, actor.done) = (vec![Exit(0)], 0, None, vec![0]);
        }
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

    /// Lets time pass up to `end`, and everything happen that falls due until then, `end` included.
    pub fn run_until(&mut self, end: u64) {
        loop {
            let action = self.actions.iter().map(|&(t, _)| t).min();
            let cpu = (0..self.cpus.len()).filter_map(|cpu| Some((self.due(cpu)?, cpu))).min();
            let next = action.into_iter().chain(cpu.map(|(t, _)| t)).min();
            let Some(t) = next.filter(|&t| t <= end) else { break };
            assert!(t >= self.now, "time goes back");
            self.now = t;
            if action == Some(t) {
                let first = self.actions.iter().position(|&(when, _)| when == t).expect("there is one");
                let (_, action) = self.actions.remove(first);
                action(self);
            } else if let Some((_, cpu)) = cpu {
                self.serve(cpu);
            }
        }
        self.now = self.now.max(end);
        if self.checked && self.is_quiet() {
            self.check_work_is_conserved();
        }
    }

    pub fn run_for(&mut self, span: u64) {
        self.run_until(self.now + span);
    }

    // What a host does.

    /// When something is due on a CPU.
    fn due(&self, cpu: usize) -> Option<u64> {
        let here = &self.cpus[cpu];
        if here.saving.is_some() {
            return here.saving;
        }
        let work = here.current.and_then(|(task, _)| {
            let actor = &self.actors[task];
            (!actor.script.is_empty()).then(|| here.mark + actor.left.unwrap_or(0))
        });
        [work, here.until, here.interrupt].into_iter().flatten().min().map(|t| t.max(self.now))
    }

    fn serve(&mut self, cpu: usize) {
        if self.cpus[cpu].saving.take().is_some() {
            self.saved(cpu);
            self.check();
            return;
        }
        self.progress(cpu);
        // A step that ends at this instant ends before a timer of the same instant: a job that needs its whole budget
        // is finished, not late.
        let here = &self.cpus[cpu];
        let ended = here.current.is_some_and(|(task, _)| self.actors[task].left == Some(0));
        if ended {
            self.act(cpu);
            return;
        }
        let interrupted = here.interrupt.is_some_and(|t| t <= self.now);
        if interrupted || here.until.is_some_and(|t| t <= self.now) {
            if !interrupted {
                self.check_calm(cpu);
            }
            self.ask(cpu, Leave::Ask);
            return;
        }
        self.act(cpu);
    }

    /// Counts what the running task has done.
    fn progress(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        if let Some((task, _)) = here.current {
            let ran = self.now - here.mark;
            if let Some(left) = &mut self.actors[task].left {
                *left -= ran.min(*left);
            }
        }
        here.mark = self.now;
    }

    /// The running task does its next steps until one takes time.
    fn act(&mut self, cpu: usize) {
        let (task, _) = self.cpus[cpu].current.expect("somebody runs");
        loop {
            let actor = &mut self.actors[task];
            if actor.left.is_some_and(|left| left > 0) {
                return;
            }
            if actor.left.take().is_some() {
                actor.step += 1;
            }
            if actor.step >= actor.script.len() {
                actor.step = 0;
            }
            let (step, op) = (actor.step, actor.script[actor.step]);
            actor.done[step] += 1;
            actor.step += 1;
            let leave = match op {
                Run(ns) => {
                    actor.step -= 1;
                    actor.left = Some(ns);
                    continue;
                }
                Goto(step) => {
                    actor.step = step;
                    continue;
                }
                Unpark(other) => {
                    let _ = self.unpark(other);
                    None
                }
                Wake(other) => {
                    let _ = self.wake(other);
                    None
                }
                Kill(other) => {
                    let _ = self.kill(other);
                    None
                }
                Sleep(span) => Some(Leave::Sleep(at(self.now + span))),
                Block(why) => Some(Leave::Block(why, None)),
                BlockFor(why, span) => Some(Leave::Block(why, Some(at(self.now + span)))),
                Yield => Some(Leave::Yield),
                NextPeriod => Some(Leave::NextPeriod),
                Exit(code) => Some(Leave::Exit(code)),
            };
            match leave {
                Some(leave) => {
                    self.ask(cpu, leave);
                    return;
                }
                // An interrupt that the step has caused comes first.
                None if self.cpus[cpu].interrupt.is_some_and(|t| t <= self.now) => return,
                None => {}
            }
        }
    }

    /// Asks the core and does what it says.
    pub fn ask(&mut self, cpu: usize, leave: Leave) -> Decision<u32> {
        assert!(self.is_free(cpu), "a host that saves registers does not ask");
        self.progress(cpu);
        self.count_time(cpu);
        let ran = self.cpus[cpu].current;
        let decision = match (leave, self.waiter.take()) {
            (Leave::Exit(code), Some(waiter)) => self.executor.exit_and_unpark(cpu, at(self.now), code, waiter),
            _ => self.executor.schedule(cpu, at(self.now), leave),
        };
        let decision = decision.expect("a CPU that may ask");
        self.events += 1;
        self.log(cpu, leave, &decision);
        let here = &mut self.cpus[cpu];
        here.interrupt = None;
        here.until = decision.until.map(|t| t.as_nanos());
        assert!(here.until.is_none_or(|t| t > self.now), "the core asks for an answer in the past");
        here.current = decision.next.map(|next| (next.context as usize, next.class));
        if let Some((task, _)) = ran {
            here.unsaved = Some(task);
        }
        let live = here.unsaved;
        match decision.next {
            Some(next) => {
                let task = next.context as usize;
                assert_eq!(next.id, self.actors[task].id);
                assert_eq!(next.switch, live != Some(task), "whether registers are to be loaded");
                let elsewhere = (0..self.cpus.len()).find(|&c| c != cpu && self.cpus[c].unsaved == Some(task));
                assert_eq!(elsewhere, None, "task {task} runs on {cpu}, its registers are elsewhere");
                let affinity = self.task(task, |t| t.affinity);
                assert!(affinity.contains(cpu), "task {task} runs on {cpu}, allowed are {affinity}");
                if next.switch {
                    self.switches += 1;
                    self.actors[task].switches += 1;
                    self.save(cpu);
                } else {
                    self.cpus[cpu].unsaved = None;
                }
                self.check_deadline_order(cpu, task, next.class);
            }
            None if decision.vacate => self.save(cpu),
            None => {}
        }
        if let Some(other) = decision.interrupt {
            assert_ne!(other, cpu);
            self.interrupt(other);
        }
        self.check();
        decision
    }

    /// Counts CPU time as the core does: from decision to decision.
    fn count_time(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        let from = std::mem::replace(&mut here.charged, self.now);
        if let Some((task, _)) = here.current
            && self.now > from
        {
            here.busy += self.now - from;
            let actor = &mut self.actors[task];
            actor.cpu_time += self.now - from;
            match actor.runs.last_mut() {
                Some((_, to, on)) if *to == from && *on == cpu => *to = self.now,
                _ => actor.runs.push((from, self.now, cpu)),
            }
        }
    }

    fn save(&mut self, cpu: usize) {
        match self.save_delay {
            0 => self.saved(cpu),
            most => {
                let done = self.now + self.rng.below(most + 1);
                self.cpus[cpu].saving = Some(done);
                // The task that has been chosen makes no progress before.
                self.cpus[cpu].mark = done;
            }
        }
    }

    fn saved(&mut self, cpu: usize) {
        self.cpus[cpu].unsaved = None;
        self.cpus[cpu].mark = self.now;
        if self.executor.switched(cpu) {
            self.interrupt(cpu);
        }
    }

    pub fn interrupt(&mut self, cpu: usize) {
        let t = self.now + if self.interrupt_delay == 0 { 0 } else { self.rng.below(self.interrupt_delay + 1) };
        let pending = &mut self.cpus[cpu].interrupt;
        *pending = Some(pending.map_or(t, |earlier| earlier.min(t)));
    }

    pub fn obey(&mut self, wake: Wake) {
        if wake.interrupt {
            self.interrupt(wake.cpu);
        }
        if let Some(t) = wake.until {
            let until = &mut self.cpus[wake.cpu].until;
            *until = Some(until.map_or(t.as_nanos(), |earlier| earlier.min(t.as_nanos())));
        }
    }

    fn log(&mut self, cpu: usize, leave: Leave, decision: &Decision<u32>) {
        if self.trace.len() >= self.keep {
            self.trace.pop_front();
        }
        self.trace.push_back(Event {
            t: self.now,
            cpu,
            task: decision.next.map(|next| next.context as usize),
            class: decision.next.map(|next| next.class),
            reason: decision.reason,
            lost: decision.lost,
            waited: decision.next.map_or(0, |next| next.waited.as_nanos()),
            switch: decision.next.is_some_and(|next| next.switch),
            until: decision.until.map(|t| t.as_nanos()),
            leave,
            interrupt: decision.interrupt,
        });
    }

    // What must always hold.

    /// No task on two CPUs, none lost, none outside its mask, states that fit, counters that fit.
    pub fn check(&mut self) {
        if !self.checked {
            return;
        }
        let mut ready = vec![(0u32, 0u32); self.cpus.len()];
        for number in 0..self.actors.len() {
            if self.actors[number].gone {
                continue;
            }
            let id = self.actors[number].id;
            let on = (0..self.cpus.len()).filter(|&cpu| self.cpus[cpu].current.map(|(t, _)| t) == Some(number));
            let on: Vec<usize> = on.collect();
            assert!(on.len() <= 1, "task {number} runs on {on:?}");
            let seen = self.executor.with_task(id, |task| {
                let budget = task.intent.qos.cpu_max != 0 || task.intent.class.queue() == QueueType::Realtime;
                (task.state(), budget, task.stats.context_switches, task.block_reason().is_some())
            });
            let Ok((state, budget, switches, reason)) = seen else {
                assert!(on.is_empty(), "task {number} has ended and runs");
                self.actors[number].gone = true;
                continue;
            };
            assert!(!self.actors[number].zombie || state == TaskState::Zombie, "a zombie became {state}");
            self.actors[number].zombie = state == TaskState::Zombie;
            assert_eq!(state == TaskState::Running, !on.is_empty(), "task {number} is {state} on {on:?}");
            assert!(!reason || state == TaskState::Blocked);
            assert_eq!(switches, self.actors[number].switches, "switches of task {number}");
            let home = self.executor.cpu_of(id).expect("alive");
            assert!(on.iter().all(|&cpu| cpu == home), "task {number} runs on {on:?}, owned by {home}");
            if state == TaskState::Ready {
                ready[home].0 += 1;
                ready[home].1 += u32::from(budget);
            }
        }
        for (cpu, (all, with_budget)) in ready.into_iter().enumerate() {
            let stats = self.executor.cpu_stats(cpu).expect("a CPU");
            let mut queued = 0;
            for (class, stat) in stats.queue_stats.iter() {
                assert_eq!(u64::from(stat.length), stat.enqueued - stat.dequeued, "{class} on {cpu}");
                queued += stat.length;
                self.check_wait(cpu, class, stat.length);
            }
            // One may be on its way to another CPU, and those with a budget may wait for the next.
            let away = u32::from(self.cpus[cpu].unsaved.is_some() || self.cpus[cpu].interrupt.is_some());
            assert!(queued <= all, "CPU {cpu} queues {queued} of {all} ready tasks");
            assert!(
                queued + with_budget + away >= all,
                "CPU {cpu} queues {queued} of {all} ready tasks, {with_budget} of them with budgets"
            );
            let running = self.executor.current(cpu);
            let expected = self.cpus[cpu].current.map_or(TaskId::idle(cpu), |(task, _)| self.actors[task].id);
            assert_eq!(running, expected, "who runs on {cpu}");
        }
    }

    fn check_wait(&mut self, cpu: usize, class: QueueType, length: u32) {
        let here = &mut self.cpus[cpu];
        let served = here.current.is_some_and(|(_, running)| running == class);
        let since = &mut here.waits[class.rank()];
        if length == 0 || served {
            *since = None;
            return;
        }
        let waited = self.now - *since.get_or_insert(self.now);
        let longest = &mut self.longest_wait[class.rank()];
        *longest = waited.max(*longest);
        if let Some(bound) = self.wait_bounds[class.rank()] {
            if waited > bound {
                for e in self.trace.iter().filter(|e| e.cpu == cpu) {
                    eprintln!("{} {:?} {:?} {:?} lost {:?} {:?}", e.t, e.leave, e.task, e.class, e.lost, e.reason);
                }
            }
            assert!(waited <= bound, "{class} has waited {waited} ns on CPU {cpu} at {}", self.now);
        }
    }

    /// Nobody who is ready and was not chosen has an earlier deadline.
    fn check_deadline_order(&self, cpu: usize, chosen: usize, class: QueueType) {
        if class != QueueType::Realtime || !self.checked || !self.edf {
            return;
        }
        let mine = self.task(chosen, Task::urgency).deadline;
        let mut others = Vec::new();
        for actor in self.actors.iter().filter(|actor| !actor.gone) {
            let Ok(Some(deadline)) = self.executor.with_task(actor.id, |task| {
                let here = task.state() == TaskState::Ready && task.urgency().class == class;
                here.then(|| task.urgency().deadline)
            }) else {
                continue;
            };
            if self.executor.cpu_of(actor.id) == Ok(cpu) {
                others.push(deadline);
            }
        }
        let queued = self.executor.cpu_stats(cpu).expect("a CPU").queue_stats.realtime.length;
        // Which of the ready ones wait for a budget is not to be seen from here.
        if others.len() == queued as usize {
            assert!(others.iter().all(|&other| mine <= other), "{mine} runs before one of {others:?}");
        }
    }

    /// The core does not let a CPU ask again and again without a change.
    fn check_calm(&mut self, cpu: usize) {
        const MANY: usize = 12;
        let asked = &mut self.cpus[cpu].asked;
        asked.push_back(self.now);
        if asked.len() > MANY {
            let first = asked.pop_front().expect("many");
            let last: Vec<&Event> = self.trace.iter().rev().filter(|event| event.cpu == cpu).take(3).collect();
            assert!(self.now - first > 100, "{MANY} timers on CPU {cpu} within {} ns: {last:#?}", self.now - first);
        }
    }

    /// No CPU idles while a task waits that it may take, save beside its parent for as long as that is allowed.
    pub fn check_work_is_conserved(&self) {
        for idle in (0..self.cpus.len()).filter(|&cpu| self.cpus[cpu].current.is_none()) {
            for (number, actor) in self.actors.iter().enumerate().filter(|(_, actor)| !actor.gone) {
                let Ok(home) = self.executor.cpu_of(actor.id) else { continue };
                let waits = self.executor.with_task(actor.id, |task| {
                    let own = task.intent.class.queue();
                    let free = own != QueueType::Realtime && task.intent.qos.cpu_max == 0;
                    let child = task.stats.context_switches == 0 && at(self.now) < task.created + SPAWN_GRACE;
                    task.state() == TaskState::Ready && free && !child && task.affinity.contains(idle)
                });
                let fixed = self.fixed.contains(&number) || self.cpus[home].unsaved == Some(number);
                assert!(
                    waits != Ok(true) || (fixed && home != idle),
                    "CPU {idle} idles while task {number} waits on {home} at {}",
                    self.now
                );
            }
        }
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
        let stats = self.executor.stats();
        let busy: u64 = self.cpus.iter().map(|cpu| cpu.busy).sum();
        assert_eq!(stats.total_cpu_time, busy, "CPU time");
        assert_eq!(stats.context_switches, self.switches, "switches");
        assert_eq!(stats.voluntary_switches + stats.involuntary_switches, self.switches);
        for (number, actor) in self.actors.iter().enumerate() {
            if let Ok(used) = self.executor.with_task(actor.id, |task| task.stats.cpu_time) {
                assert_eq!(used, actor.cpu_time, "CPU time of task {number}");
            }
        }
        let live = self.executor.task_ids().len() as u64;
        let zombies = self.actors.iter().filter(|actor| actor.zombie && !actor.gone).count() as u64;
        assert_eq!(stats.tasks_created, stats.tasks_exited + stats.tasks_killed + live - zombies, "tasks");
    }
}

/// The default bounds on how long a class waits; see `docs/guarantees.md`.
pub fn default_wait_bounds() -> [Option<u64>; 5] {
    // A class is due after its own wait. Then at most one turn of the other low class is under way or due earlier, and
    // what is left of two windows may belong to System and Realtime.
    [None, None, None, Some(ms(75 + 3 + 20)), Some(ms(250 + 5 + 20))]
}
