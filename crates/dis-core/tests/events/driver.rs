//! Does what the events say to a machine, and judges what the core answers.

use dis_core::api::{SchedError, Task, TaskSpec, TaskState};
use dis_core::executor::Leave;
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::{Config, Handover};

use super::event::{Birth, Event, Step, Steps};
use super::explore;
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::{at, ms};

/// A machine, and which of its tasks are in which slots.
pub struct Driver {
    pub m: Machine,
    pub rng: Rng,
    /// Events that have done something.
    pub events: u64,
    cpus: usize,
    slots: Vec<Option<usize>>,
    /// Policies are replaced all the time.
    swaps: Option<Swaps>,
}

/// Replaces policies, a step at a time.
struct Swaps {
    /// From which the policies come.
    modules: SchedulerRegistry,
    handover: Option<Handover>,
    /// Handovers that have been completed, and the tasks that went over.
    done: (u64, u64),
}

impl Driver {
    /// 1 to 8 CPUs, as the seed has it; `choose` chooses the policies.
    pub fn new(seed: u64, choose: impl FnOnce(&mut Rng) -> SchedulerRegistry) -> Driver {
        let mut rng = Rng::new(seed);
        let cpus = 1 + rng.below(8) as usize;
        let modules = choose(&mut rng);
        let mut m = Machine::with_modules(Config::new(cpus), &modules);
        m.seed = seed;
        m.keep = 100;
        Driver { m, rng, events: 0, cpus, slots: vec![None; 3 + cpus * 3], swaps: None }
    }

    /// Between the events, the policies of classes at random are replaced by others of `modules`, a step at a time.
    pub fn swap_among(&mut self, modules: SchedulerRegistry) {
        self.swaps = Some(Swaps { modules, handover: None, done: (0, 0) });
    }

    /// How many policies have been replaced, and how many tasks went over.
    pub fn swapped(&self) -> (u64, u64) {
        self.swaps.as_ref().map_or((0, 0), |swaps| swaps.done)
    }

    /// What happens follows from the step alone.
    fn swap(&mut self, step: &Step) {
        let Some(swaps) = &mut self.swaps else { return };
        let mut rng = Rng::new(step.at ^ self.m.seed.rotate_left(32));
        let now = at(self.m.now);
        if swaps.handover.is_none() && rng.chance(200) {
            let class = *rng.of(&QueueType::ALL);
            let name = *rng.of(&swaps.modules.list());
            swaps.modules.set_active(class, name).expect("it is listed");
            swaps.handover =
                Some(self.m.executor.prepare_handover(class, &swaps.modules).in_steps_of(1 + rng.below(3) as u32));
        }
        for _ in 0..rng.below(3) {
            let Some(handover) = &mut swaps.handover else { break };
            if !self.m.executor.advance_handover(handover, now) {
                swaps.done.0 += 1;
                swaps.done.1 += handover.summary().moved;
                swaps.handover = None;
            }
        }
        self.m.check();
    }

    /// The events of `seed` for this machine.
    pub fn steps(&self, seed: u64) -> Steps {
        Steps::new(seed, self.cpus, self.slots.len())
    }

    /// The task in a slot.
    fn task(&self, slot: usize) -> Option<usize> {
        self.slots[slot].filter(|&task| !self.m.actors[task].gone)
    }

    pub fn step(&mut self, step: &Step) {
        self.m.run_until(step.at);
        self.events += u64::from(self.apply(&step.event).is_some());
        self.swap(step);
    }

    /// `None`: nobody is there to whom this could happen.
    fn apply(&mut self, event: &Event) -> Option<()> {
        match *event {
            Event::Leave(cpu, leave) => self.ask(cpu, leave),
            Event::ExitAndUnpark(cpu, slot) => {
                self.m.waiter = self.task(slot);
                let done = self.ask(cpu, Leave::Exit(0));
                self.m.waiter = None;
                done
            }
            Event::Ask(cpu) => self.ask(cpu, Leave::Ask),
            Event::Balance => {
                if let Some(other) = self.m.executor.load_balance(at(self.m.now)) {
                    self.m.check();
                    self.m.interrupt(other);
                }
                Some(())
            }
            Event::Spawn(ref birth) => match self.task(birth.slot) {
                None => {
                    self.spawn(birth);
                    Some(())
                }
                task => task.map(|task| self.unpark(task)),
            },
            Event::Unpark(slot) => self.task(slot).map(|task| self.unpark(task)),
            Event::Wake(slot) => self.task(slot).map(|task| self.wake(task)),
            Event::Kill(slot) => self.task(slot).map(|task| self.kill(task)),
            Event::SetAffinity(slot, mask) => self.task(slot).map(|task| {
                self.m.forget_waits(task);
                match self.m.call(task, |x, now, id| x.set_affinity(now, id, mask)) {
                    Ok(_) => {
                        assert!(mask.iter().any(|cpu| self.m.executor.is_online(cpu)));
                        assert!(self.m.actors[task].gone || self.m.task(task, |t| t.affinity) == mask);
                    }
                    Err(e) => assert_eq!(e, SchedError::NoCpu),
                }
            }),
            Event::SetPriority(slot, priority) => self.task(slot).map(|task| {
                self.m.set_priority(task, priority).unwrap();
            }),
            Event::SetIntent(slot, ref intent) => self.task(slot).map(|task| {
                let ended = self.m.state(task).has_ended();
                match self.m.set_intent(task, intent) {
                    Ok(_) | Err(SchedError::NoCpu) => {}
                    Err(e) => assert!(e == SchedError::InvalidState && ended, "{e}"),
                }
            }),
            Event::Inherit(slot, lent) => self.task(slot).map(|task| {
                self.m.inherit(task, lent).unwrap();
                self.fix(task, lent.is_some());
            }),
            Event::SetMovable(slot, movable) => self.task(slot).map(|task| {
                self.m.executor.set_movable(self.m.actors[task].id, movable).unwrap();
                self.fix(task, !movable);
                self.m.check();
            }),
            Event::Join(slot, joiner) => {
                let (task, joiner) = (self.task(slot)?, self.task(joiner)?);
                let before = self.m.state(task);
                match self.m.join(task, joiner) {
                    Ok(Some(status)) => assert_eq!(before, TaskState::Zombie, "{status:?}"),
                    Ok(None) => assert!(!before.has_ended()),
                    Err(e) => assert!(matches!(e, SchedError::TaskNotFound | SchedError::InvalidState)),
                }
                self.m.check();
                Some(())
            }
            Event::Offline(cpu) => {
                let (was, left) = (self.m.executor.is_online(cpu), self.online());
                match self.m.set_offline(cpu) {
                    Ok(_) => assert!(was && left > 1),
                    Err(e) if was => assert_eq!((e, left), (SchedError::LastCpu, 1)),
                    Err(e) => assert_eq!(e, SchedError::InvalidState),
                }
                was.then_some(())
            }
            Event::Online(cpu) => {
                let was = self.m.executor.is_online(cpu);
                match self.m.set_online(cpu) {
                    Ok(_) => assert!(!was),
                    Err(e) => assert!(was && e == SchedError::InvalidState),
                }
                (!was).then_some(())
            }
            Event::Detach(slot) => self.task(slot).map(|task| {
                self.m.executor.detach(self.m.actors[task].id).unwrap();
                self.m.check();
            }),
        }
    }

    /// How many CPUs are online.
    fn online(&self) -> usize {
        (0..self.cpus).filter(|&cpu| self.m.executor.is_online(cpu)).count()
    }

    /// Whoever runs leaves; a CPU that idles asks.
    fn ask(&mut self, cpu: usize, leave: Leave) -> Option<()> {
        let runs = self.m.current(cpu).is_some();
        if !self.m.is_free(cpu) || (!runs && leave != Leave::Ask) {
            return None;
        }
        self.m.ask(cpu, leave);
        Some(())
    }

    fn spawn(&mut self, birth: &Birth) {
        let spec = TaskSpec { start: birth.start.map(at), ..TaskSpec::new("", birth.intent.clone(), 0) };
        let spec = if birth.joinable { spec.joinable() } else { spec };
        match self.m.try_spawn_from(birth.from, spec, &[]) {
            Ok(task) => self.slots[birth.slot] = Some(task),
            Err(e) => assert_eq!(e, SchedError::NoCpu),
        }
    }

    fn unpark(&mut self, task: usize) {
        let before = self.m.state(task);
        let answer = self.m.unpark(task);
        assert!(answer.is_ok() != before.has_ended() || self.pending_kill(task));
    }

    fn wake(&mut self, task: usize) {
        let (before, killed) = (self.m.state(task), self.pending_kill(task));
        let answer = self.m.wake(task);
        let waits = matches!(before, TaskState::Blocked | TaskState::Sleeping);
        assert_eq!(answer.is_ok(), waits && !killed, "{before}: {answer:?}");
    }

    fn kill(&mut self, task: usize) {
        let before = self.m.state(task);
        let answer = self.m.kill(task);
        assert!(answer.is_ok() || before.has_ended() || self.pending_kill(task));
        if answer == Ok(true) {
            assert!(self.m.state(task).has_ended());
        }
    }

    fn pending_kill(&self, task: usize) -> bool {
        self.m.killed.contains(&task)
    }

    /// Tasks that were ever fixed count as fixed: two reasons may overlap.
    fn fix(&mut self, task: usize, fixed: bool) {
        if fixed {
            self.m.fixed.insert(task);
        }
    }

    /// The list is at its end: all counters add up, whoever has ended is gone, and whoever lives can end.
    pub fn finish(&mut self) {
        self.m.reconcile();
        for actor in self.m.actors.iter().filter(|actor| actor.gone) {
            assert_eq!(self.m.executor.with_task(actor.id, Task::state), Err(SchedError::TaskNotFound));
            assert!(self.m.executor.unpark(at(self.m.now), actor.id).is_err());
        }
        self.drain();
    }

    /// Everybody who lives gets the CPU and ends; nothing is left then.
    fn drain(&mut self) {
        self.m.save_delay = 0;
        self.m.interrupt_delay = 0;
        self.m.everybody_exits();
        let end = self.m.now + 20_000_000_000;
        while self.m.actors.iter().any(|actor| !actor.gone) {
            assert!(self.m.now < end, "somebody never runs again: {:?}", self.left_over());
            for task in 0..self.m.actors.len() {
                if self.m.actors[task].gone {
                    continue;
                }
                match self.m.state(task) {
                    TaskState::Zombie => self.m.executor.detach(self.m.actors[task].id).unwrap(),
                    TaskState::Blocked | TaskState::Sleeping if !self.pending_kill(task) => {
                        self.m.wake(task).unwrap();
                    }
                    _ => {}
                }
            }
            self.m.run_for(ms(1));
            self.m.check();
        }
        let stats = self.m.executor.stats();
        assert_eq!(stats.tasks_created, stats.tasks_exited + stats.tasks_killed);
        for (class, stat) in stats.queue_stats.iter() {
            assert_eq!((stat.length, stat.enqueued), (0, stat.dequeued), "{class}");
        }
        assert!(self.m.executor.reserved_ppm().iter().all(|&ppm| ppm == 0), "reservations are given back");
        assert!(self.m.executor.task_ids().is_empty());
    }

    fn left_over(&self) -> Vec<(usize, TaskState, Intent)> {
        let alive = (0..self.m.actors.len()).filter(|&n| !self.m.actors[n].gone);
        alive.map(|n| (n, self.m.state(n), self.m.task(n, |t| t.intent.clone()))).collect()
    }

    /// How many policies were replaced because they answered wrongly.
    pub fn faults(&self) -> u64 {
        QueueType::ALL.into_iter().map(|class| self.m.executor.policy_faults(class)).sum()
    }
}

impl Drop for Driver {
    /// The last decisions before a failure.
    fn drop(&mut self) {
        if std::thread::panicking() && !explore::is_quiet() {
            for e in &self.m.trace {
                let (task, class) = (e.task.map_or("idle".into(), |task| format!("task {task}")), e.class);
                let class = class.map_or("", QueueType::name);
                let told = e.interrupt.map_or(String::new(), |cpu| format!("; CPU {cpu} is told"));
                eprintln!(
                    "{:>11} ns CPU {}: {:?}, then {task} {class}, {}{told}",
                    e.t,
                    e.cpu,
                    e.leave,
                    e.reason.as_str()
                );
            }
        }
    }
}
