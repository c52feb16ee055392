//! Random events, and what must hold after each of them.
//!
//! `DIS_SEED=n` repeats one run, `DIS_EVENTS=n` sets how many events all runs together have.

mod common;

use std::cell::Cell;

use common::faulty::Faulty;
use common::machine::{Machine, default_wait_bounds};
use common::modules::{NAMES, with_made};
use common::rng::{Replay, Rng, number_from_env};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, SchedError, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::Leave;
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::{Config, Urgency};

const REASONS: [BlockReason; 6] = [
    BlockReason::Io,
    BlockReason::Mutex,
    BlockReason::Semaphore,
    BlockReason::Event,
    BlockReason::ChildExit,
    BlockReason::Ipc,
];

/// Events of one run.
const RUN: u64 = 4_000;

fn total_events() -> u64 {
    number_from_env("DIS_EVENTS").unwrap_or(if cfg!(debug_assertions) { 120_000 } else { 1_200_000 })
}

/// Runs `f` with one seed after the other until all runs together have had the events wanted.
fn repeat(share: u64, f: impl Fn(u64) -> u64) {
    if let Some(seed) = number_from_env("DIS_SEED") {
        f(seed);
        return;
    }
    let (mut events, mut seed) = (0, 1);
    while events < total_events() / share {
        events += f(seed);
        seed += 1;
    }
    println!("{events} events with {} seeds", seed - 1);
}

struct Driver {
    m: Machine,
    rng: Rng,
    cpus: usize,
    most: usize,
    stale: Vec<TaskId>,
}

impl Driver {
    /// Every other machine has the product's policies, the others one of the four at random for each class.
    fn new(seed: u64) -> Driver {
        Driver::with(seed, |rng| {
            let mut modules = SchedulerRegistry::with_builtins();
            for class in QueueType::ALL.into_iter().filter(|_| seed.is_multiple_of(2)) {
                modules.set_active(class, NAMES[rng.below(4) as usize]).expect("a built-in policy");
            }
            modules
        })
    }

    fn with(seed: u64, set_up: impl FnOnce(&mut Rng) -> SchedulerRegistry) -> Driver {
        let mut rng = Rng::new(seed);
        let cpus = 1 + rng.below(8) as usize;
        let modules = set_up(&mut rng);
        let mut m = Machine::with_modules(Config::new(cpus), &modules);
        m.rng = Rng::new(seed + 1);
        m.keep = 100;
        Driver { m, rng, cpus, most: 3 + cpus * 3, stale: Vec::new() }
    }

    fn mask(&mut self) -> CpuMask {
        let mut mask: CpuMask = (0..self.cpus).filter(|_| self.rng.chance(500)).collect();
        if mask.is_empty() {
            mask.add(self.rng.below(self.cpus as u64) as usize);
        }
        mask
    }

    fn intent(&mut self) -> Intent {
        let rng = &mut self.rng;
        let intent = match rng.below(5) {
            0 => Intent::system(),
            1 => {
                let period = 1_000 + rng.below(40_000);
                let deadline = period - rng.below(period / 2);
                Intent::realtime(period, deadline, 1 + rng.below(deadline / 2))
            }
            2 => Intent::interactive(100 + rng.below(10_000)),
            3 => Intent::batch(),
            _ => Intent::background(),
        };
        let realtime = intent.class.queue() == QueueType::Realtime;
        let intent =
            if rng.chance(150) && !realtime { intent.with_cpu_share(0, 50 + rng.below(900) as u16) } else { intent };
        let intent = if rng.chance(150) && !realtime {
            let most = if intent.qos.cpu_max == 0 { 700 } else { u64::from(intent.qos.cpu_max) };
            let max = intent.qos.cpu_max;
            intent.with_cpu_share(1 + rng.below(most) as u16, max)
        } else {
            intent
        };
        if self.rng.chance(250) { intent.with_affinity(self.mask()) } else { intent }
    }

    fn alive(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.m.actors.len()).filter(|&n| !self.m.actors[n].gone).collect();
        (!alive.is_empty()).then(|| *self.rng.of(&alive))
    }

    fn spawn(&mut self) {
        let mut spec = TaskSpec::new("", self.intent(), 0);
        if self.rng.chance(200) {
            spec.start = Some(at(self.m.now + self.rng.below(ms(20))));
        }
        if self.rng.chance(300) {
            spec = spec.joinable();
        }
        let from = self.rng.chance(700).then(|| self.rng.below(self.cpus as u64) as usize);
        match self.m.try_spawn_from(from, spec, &[]) {
            Ok(_) | Err(SchedError::NoCpu) => {}
            Err(e) => panic!("{e}"),
        }
    }

    fn leave(&mut self, cpu: usize) {
        let now = self.m.now;
        let realtime = self.m.current(cpu).is_some_and(|task| {
            self.m.executor.with_task(self.m.actors[task].id, |t| t.intent.class.queue()) == Ok(QueueType::Realtime)
        });
        let later = at(now + self.rng.below(ms(30)));
        let leave = match self.rng.below(if realtime { 14 } else { 10 }) {
            0..=1 => Leave::Yield,
            2..=3 => Leave::Block(*self.rng.of(&REASONS), None),
            4 => Leave::Block(*self.rng.of(&REASONS), Some(later)),
            5..=6 => Leave::Sleep(later),
            7 => Leave::Ask,
            8 => Leave::NextPeriod,
            9 if self.rng.chance(200) => {
                self.m.waiter = self.alive().filter(|_| self.rng.chance(500)).map(|task| self.m.actors[task].id);
                Leave::Exit(self.rng.below(3) as i32)
            }
            9 => Leave::Ask,
            _ => Leave::NextPeriod,
        };
        self.m.ask(cpu, leave);
    }

    fn event(&mut self) {
        let cpu = self.rng.below(self.cpus as u64) as usize;
        let busy = self.m.is_free(cpu) && self.m.current(cpu).is_some();
        let kind = self.rng.below(100);
        let live = self.m.actors.iter().filter(|actor| !actor.gone).count();
        match kind {
            0..30 if busy => self.leave(cpu),
            30..38 if self.m.is_free(cpu) => {
                self.m.ask(cpu, Leave::Ask);
            }
            38..40 => {
                if let Some(other) = self.m.executor.load_balance(at(self.m.now)) {
                    self.m.check();
                    self.m.interrupt(other);
                }
            }
            _ if kind < 52 && live < self.most => self.spawn(),
            _ => {
                if let Some(task) = self.alive() {
                    self.change(task, kind);
                }
            }
        }
        self.m.events += 1;
    }

    fn change(&mut self, task: usize, kind: u64) {
        let id = self.m.actors[task].id;
        let before = self.m.state(task);
        if (77..93).contains(&kind) {
            self.m.forget_waits(task);
        }
        match kind {
            0..65 => {
                let answer = self.m.unpark(task);
                assert!(answer.is_ok() != before.has_ended() || self.pending_kill(task));
            }
            65..75 => {
                let killed = self.pending_kill(task);
                let answer = self.m.wake(task);
                let waits = matches!(before, TaskState::Blocked | TaskState::Sleeping);
                assert_eq!(answer.is_ok(), waits && !killed, "{before}: {answer:?}");
            }
            75..77 => {
                let answer = self.m.kill(task);
                assert!(answer.is_ok() || before.has_ended() || self.pending_kill(task));
                if answer == Ok(true) {
                    assert!(self.m.state(task).has_ended());
                }
            }
            77..82 => {
                let mask = self.mask();
                match self.m.call(task, |x, now, id| x.set_affinity(now, id, mask)) {
                    Ok(_) => assert!(self.m.actors[task].gone || self.m.task(task, |t| t.affinity) == mask),
                    Err(e) => assert_eq!(e, SchedError::NoCpu),
                }
            }
            82..86 => {
                let priority = self.rng.below(256) as u8;
                self.m.call(task, |x, now, id| x.set_priority(now, id, priority)).unwrap();
            }
            86..89 => {
                let intent = self.intent();
                match self.m.set_intent(task, &intent) {
                    Ok(_) | Err(SchedError::NoCpu) => {}
                    Err(e) => assert!(e == SchedError::InvalidState && before.has_ended(), "{e}"),
                }
            }
            89..93 => {
                let lent = self.rng.chance(500).then(|| Urgency {
                    class: *self.rng.of(&QueueType::ALL),
                    priority: self.rng.below(256) as u8,
                    deadline: at(self.m.now + self.rng.below(ms(20))),
                });
                self.m.inherit(task, lent).unwrap();
                self.fix(task, lent.is_some());
            }
            93..95 => {
                let movable = self.rng.chance(700);
                self.m.executor.set_movable(id, movable).unwrap();
                self.fix(task, !movable);
            }
            95..98 => {
                let joiner = self.alive().expect("somebody");
                match self.m.join(task, joiner) {
                    Ok(Some(status)) => {
                        assert_eq!(before, TaskState::Zombie, "{status:?}");
                        self.stale.push(id);
                    }
                    Ok(None) => assert!(!before.has_ended()),
                    Err(e) => assert!(matches!(e, SchedError::TaskNotFound | SchedError::InvalidState)),
                }
            }
            _ => self.m.executor.detach(id).unwrap(),
        }
        self.m.check();
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

    fn run(&mut self, events: u64) {
        while self.m.events < events {
            let span = match self.rng.below(10) {
                0..=3 => 0,
                4..=5 => self.rng.below(us(2)),
                6..=7 => self.rng.below(us(500)),
                8 => self.rng.below(ms(5)),
                _ => self.rng.below(ms(60)),
            };
            self.m.run_for(span);
            self.event();
        }
        self.m.reconcile();
        self.stale_ids_stay_stale();
        self.drain();
    }

    fn stale_ids_stay_stale(&mut self) {
        self.stale.extend(self.m.actors.iter().filter(|actor| actor.gone).map(|actor| actor.id));
        for &id in &self.stale {
            assert_eq!(self.m.executor.with_task(id, Task::state), Err(SchedError::TaskNotFound));
            assert!(self.m.executor.unpark(at(self.m.now), id).is_err());
        }
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
                let id = self.m.actors[task].id;
                match self.m.state(task) {
                    TaskState::Zombie => self.m.executor.detach(id).unwrap(),
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
}

/// Registers are saved and interrupts delivered at once: the bounds on waiting hold to the nanosecond.
#[test]
fn a_prompt_host() {
    repeat(2, |seed| {
        let _replay = Replay(seed);
        let mut driver = Driver::new(seed);
        driver.m.wait_bounds = default_wait_bounds();
        driver.run(RUN);
        driver.m.events
    });
}

/// Both take a random time, in which everything else goes on.
#[test]
fn a_slow_host() {
    repeat(2, |seed| {
        let _replay = Replay(seed);
        let mut driver = Driver::new(seed);
        driver.m.save_delay = us(1 + driver.rng.below(400));
        driver.m.interrupt_delay = us(1 + driver.rng.below(400));
        driver.run(RUN);
        driver.m.events
    });
}

/// Policies forget tasks, name none or the wrong ones: the core replaces them, and nobody is lost.
#[test]
fn policies_that_misbehave() {
    let faults = Cell::new(0);
    repeat(8, |seed| {
        let _replay = Replay(seed);
        Faulty::seed(seed);
        let mut driver = Driver::with(seed, |rng| {
            let classes: Vec<QueueType> = QueueType::ALL.into_iter().filter(|_| rng.chance(700)).collect();
            with_made(&classes, Faulty::boxed)
        });
        driver.run(RUN);
        let found = QueueType::ALL.into_iter().map(|class| driver.m.executor.policy_faults(class)).sum::<u64>();
        assert_eq!(driver.m.executor.stats().policy_faults, found);
        faults.set(faults.get() + found);
        driver.m.events
    });
    assert!(faults.get() > 0, "none was found out");
}
