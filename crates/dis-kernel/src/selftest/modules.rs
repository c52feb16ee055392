//! Policies are replaced while tasks wait and run, by right ones and by wrong ones.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::{Module, ModuleError, ModuleResult, SchedulerModule, Version};
use dis_core::policy::{Arrival, Entity, FairPolicy, SchedulingPolicy, TaskKey};

use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::modules::{activate, active, list, register, unregister};
use crate::sched::scheduler;
use crate::{clock, println, task};

const BATCH: QueueType = QueueType::Batch;
const MOST: usize = 64;
static TURNS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static OVER: AtomicBool = AtomicBool::new(false);

/// Replacements by the built-in policies, then by modules that fail in each way that can be survived.
pub fn modules(booted: &Booted) -> Outcome {
    task::set_intent(task::current(), &Intent::system()).map_err(refused)?;
    let tasks = spawn_all(booted.cpus)?;
    all_go_on(tasks.len(), "the tasks begin")?;
    let mut moved = 0;
    for round in 0..16 {
        let name = ["round-robin", "edf", "fair", "priority"][round % 4];
        moved += activate(BATCH, name).map_err(refused)?.moved;
        ensure(active(BATCH) == Some(name), || format!("{name} is not active"))?;
        if round % 2 == 0 {
            // The two that give everybody a turn.
            all_go_on(tasks.len(), name)?;
        } else {
            task::sleep(Duration::from_millis(1));
        }
    }
    println!("16 replacements while {} tasks waited and ran, {moved} handed over", tasks.len());
    ensure(scheduler().policy_faults(BATCH) == 0, || "a built-in policy answered wrongly".into())?;
    refusals()?;
    activator_killed(tasks.len())?;
    wrong_ones(tasks.len())?;
    OVER.store(true, Ordering::SeqCst);
    for (number, id) in tasks.into_iter().enumerate() {
        let status = task::join(id);
        ensure(status == Ok(ExitStatus::Exited(number as i32)), || format!("task {number} ended with {status:?}"))?;
    }
    Ok(())
}

/// A policy that panics takes the machine along, which says which one it was.
pub fn policy_panic(booted: &Booted) -> Outcome {
    let tasks = spawn_all(booted.cpus)?;
    all_go_on(tasks.len(), "the tasks begin")?;
    register(Box::new(Wrong::new("panics", Fault::Panics, 100))).map_err(refused)?;
    activate(BATCH, "panics").map_err(refused)?;
    eventually("the policy panics, and this is never said", || false)
}

/// Four tasks for each CPU: one that is bound to it and never gives way, and three that yield, sleep and block.
fn spawn_all(cpus: usize) -> Result<Vec<TaskId>, String> {
    let spawn = |number: usize| {
        let bound = number.is_multiple_of(4).then(|| CpuMask::single(number / 4));
        let intent = bound.map_or(Intent::batch(), |mask| Intent::batch().with_affinity(mask));
        task::spawn("works", intent, move || work(number)).map_err(refused)
    };
    (0..(4 * cpus).min(MOST)).map(spawn).collect()
}

fn work(number: usize) -> i32 {
    while !OVER.load(Ordering::Relaxed) {
        let turn = TURNS[number].fetch_add(1, Ordering::Relaxed);
        match (number % 4, turn % 3) {
            (0, _) => core::hint::spin_loop(),
            (_, 0) => task::yield_now(),
            (_, 1) => task::sleep(Duration::from_micros(20)),
            _ => task::block(BlockReason::Event, Some(clock::now() + Duration::from_micros(20))),
        }
    }
    number as i32
}

/// Whoever was lost would never have another turn.
fn all_go_on(count: usize, when: &str) -> Outcome {
    let before: Vec<u64> = TURNS[..count].iter().map(|turns| turns.load(Ordering::Relaxed)).collect();
    eventually(&format!("another turn for each task ({when})"), || {
        TURNS.iter().zip(&before).all(|(turns, &before)| turns.load(Ordering::Relaxed) > before)
    })
}

/// What is not there, is in use, or cannot be set up.
fn refusals() -> Outcome {
    let wants = |what: &str, got: Result<(), SchedError>, error| {
        ensure(got == Err(error), || format!("{what}: {got:?} instead of {error:?}"))
    };
    wants("an unknown module", activate(BATCH, "lottery").map(|_| ()), SchedError::TaskNotFound)?;
    wants("an active module", unregister("priority"), SchedError::InvalidState)?;
    wants("a second one of a name", register(Box::new(Wrong::new("edf", Fault::Names, 0))), SchedError::TaskExists)?;
    wants("no set-up", register(Box::new(Wrong::new("broken", Fault::SetUp, 0))), SchedError::ResourceExhausted)?;
    ensure(list() == ["edf", "fair", "priority", "round-robin"], || format!("there are {:?}", list()))
}

/// Whoever replaces policies is killed, most likely in the midst of it: others can replace them again, and nobody is lost.
fn activator_killed(count: usize) -> Outcome {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let replaces = task::spawn("replaces", Intent::interactive(1_000), || {
        loop {
            for name in ["fair", "round-robin"] {
                DONE.fetch_add(u64::from(activate(BATCH, name).is_ok()), Ordering::Relaxed);
            }
        }
    });
    let replaces = replaces.map_err(refused)?;
    eventually("policies are replaced by a task", || DONE.load(Ordering::Relaxed) > 10)?;
    task::kill(replaces).map_err(refused)?;
    ensure(task::join(replaces) == Ok(ExitStatus::Killed), || "the replacing task did not end".into())?;
    activate(BATCH, "fair").map_err(refused)?;
    all_go_on(count, "after the end of a task that replaced policies")
}

/// Policies that answer wrongly, at once or later: the built-in one takes over.
fn wrong_ones(count: usize) -> Outcome {
    let faults = || scheduler().policy_faults(BATCH);
    for fault in [Fault::Forgets, Fault::Names] {
        for after in [0, 500] {
            let before = faults();
            register(Box::new(Wrong::new("wrong", fault, after))).map_err(refused)?;
            let went = activate(BATCH, "wrong");
            // One that names nobody who is there is found out when it is asked, which may be after all have gone over.
            let at_once = (fault, after) == (Fault::Forgets, 0);
            ensure(!at_once || went == Err(SchedError::InvalidState), || format!("{fault:?} at once: {went:?}"))?;
            let has = active(BATCH);
            ensure(has == Some(if went.is_ok() { "wrong" } else { "fair" }), || format!("{went:?}, but {has:?}"))?;
            eventually("the wrong policy is found out", || faults() > before)?;
            all_go_on(count, "after a wrong policy")?;
            activate(BATCH, "fair").map_err(refused)?;
            unregister("wrong").map_err(refused)?;
            println!("{fault:?} after {after} answers: {went:?}, replaced {} times", faults() - before);
        }
    }
    all_go_on(count, "in the end")
}

/// What is wrong with a [`Wrong`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It forgets tasks.
    Forgets,
    /// It names a task that is not there.
    Names,
    /// It cannot be set up.
    SetUp,
    /// It panics when it is asked.
    Panics,
}

/// A module, and its policy: the fair one, but for its fault, from some answers on.
struct Wrong {
    name: &'static str,
    fault: Fault,
    after: u32,
    policy: FairPolicy,
}

impl Wrong {
    fn new(name: &'static str, fault: Fault, after: u32) -> Wrong {
        Wrong { name, fault, after, policy: FairPolicy::default() }
    }

    /// Whether it errs now.
    fn errs(&mut self, fault: Fault) -> bool {
        self.after = self.after.saturating_sub(1);
        self.fault == fault && self.after == 0
    }
}

impl Module for Wrong {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Version {
        Version::new(0, 1, 0)
    }

    fn init(&mut self) -> ModuleResult<()> {
        if self.fault == Fault::SetUp { Err(ModuleError::ResourceExhausted) } else { Ok(()) }
    }
}

impl SchedulerModule for Wrong {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        Box::new(Wrong::new(self.name, self.fault, self.after))
    }

    fn supported_intents(&self) -> &[QueueType] {
        &[BATCH]
    }
}

impl SchedulingPolicy for Wrong {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if !self.errs(Fault::Forgets) {
            self.policy.on_ready(task, why, now);
        }
    }

    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        assert!(!self.errs(Fault::Panics), "on purpose");
        if self.errs(Fault::Names) { Some(TaskKey(u32::MAX)) } else { self.policy.select(now) }
    }

    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.policy.peek(now)
    }

    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.policy.on_block(task, now);
    }

    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.policy.remove(task, now)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.policy.update(task, priority, deadline, now);
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.policy.on_tick(task, ran, now);
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        self.policy.time_slice(task)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.policy.preempts(ready, running)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.policy.visit(visit);
    }

    fn len(&self) -> usize {
        self.policy.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.policy.reserve(keys);
    }
}
