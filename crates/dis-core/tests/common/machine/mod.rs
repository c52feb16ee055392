//! A host under virtual time: CPUs, timers, interrupts and tasks with scripts.
//!
//! It does what the core asks of a host and nothing more: it asks again at `until`, delivers interrupts, saves
//! registers (at once, or after a random delay), and lets tasks do what their scripts say (`host`). Tests make the calls of `calls`
//! and `hotplug`. After every event it
//! looks at all tasks (`seen`) and checks what must always hold: tasks and queues (`seen`), counters (`counts`), orders,
//! caps and turns (`order`), budgets (`budgets`), waits (`waits`), fair shares (`shares`) and
//! how long they let wait (`turns`).

mod actor;
mod budgets;
mod calls;
mod counts;
mod delays;
mod host;
mod hotplug;
mod order;
mod seen;
mod shares;
mod turns;
mod waits;

use std::collections::{BTreeSet, VecDeque};

use dis_core::executor::{Executor, Leave, Placement, Reason};
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::optimizer::Limits;
use dis_core::scheduler::Config;

use super::lock::Lock;
use super::rng::Rng;
use super::{at, ms, us};
use actor::Actor;
#[allow(unused_imports)]
pub use actor::Op::{self, *};
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
    /// Since when each class has waited; below, when that was last forgotten.
    waits: [Option<u64>; 5],
    /// How many had been queued in each class at the last look.
    enqueued: [u64; 5],
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
    /// There are tasks in domains: what is owed to single tasks is not followed.
    grouped: bool,
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
    /// Tasks that hold nothing any more of what they have reserved.
    displaced: BTreeSet<usize>,
    /// When a CPU was last taken away.
    offline_at: Option<u64>,
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
            grouped: false,
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
            displaced: BTreeSet::new(),
            offline_at: None,
            waiter: None,
            unparked: None,
        }
    }

    /// After each look: what has changed since the look `before`.
    fn observe(&mut self, before: &[Option<Seen>], asked: bool) {
        self.count_changes(before, asked);
        self.check_counts();
        self.check_budgets(before);
        self.follow_waits(before);
    }
}
