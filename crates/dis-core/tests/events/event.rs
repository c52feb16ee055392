//! The events: a list that follows from a seed alone, so that any part of it can be tried again.
//!
//! Events name *slots*, not tasks. A slot holds a task or nothing; an event about a slot that holds nothing does nothing, and
//! so does one about a CPU that cannot be asked. So every part of a list is a list, whatever the scheduler makes of it.

use std::fmt;

use dis_core::api::{BlockReason, CpuMask};
use dis_core::executor::Leave;
use dis_core::intent::{Intent, IntentClass, QueueType};
use dis_core::scheduler::Urgency;

use crate::common::rng::Rng;
use crate::common::{at, ms, us};

const REASONS: [BlockReason; 6] = [
    BlockReason::Io,
    BlockReason::Mutex,
    BlockReason::Semaphore,
    BlockReason::Event,
    BlockReason::ChildExit,
    BlockReason::Ipc,
];

/// An event and its time, ns.
#[derive(Clone, PartialEq)]
pub struct Step {
    pub at: u64,
    pub event: Event,
}

/// What happens.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// Whoever runs on the CPU leaves it like this.
    Leave(usize, Leave),
    /// It ends, and whoever is in the slot is unparked.
    ExitAndUnpark(usize, usize),
    /// The CPU asks, for no reason.
    Ask(usize),
    /// The host balances the numbers of tasks.
    Balance,
    Spawn(Birth),
    Unpark(usize),
    Wake(usize),
    Kill(usize),
    SetAffinity(usize, CpuMask),
    SetPriority(usize, u8),
    SetIntent(usize, Intent),
    Inherit(usize, Option<Urgency>),
    SetMovable(usize, bool),
    /// The second is told of the end of the first.
    Join(usize, usize),
    Detach(usize),
    Offline(usize),
    Online(usize),
}

/// A task is spawned into a slot; one that is there already is unparked instead.
#[derive(Clone, PartialEq)]
pub struct Birth {
    pub slot: usize,
    /// The CPU of the task that spawns it; `None`: from outside.
    pub from: Option<usize>,
    pub intent: Intent,
    pub start: Option<u64>,
    pub joinable: bool,
}

/// The endless list of a seed.
pub struct Steps {
    rng: Rng,
    cpus: usize,
    slots: usize,
    now: u64,
}

impl Steps {
    /// For a machine of so many CPUs and slots.
    pub fn new(seed: u64, cpus: usize, slots: usize) -> Steps {
        Steps { rng: Rng::new(!seed), cpus, slots, now: 0 }
    }

    fn cpu(&mut self) -> usize {
        self.rng.below(self.cpus as u64) as usize
    }

    fn slot(&mut self) -> usize {
        self.rng.below(self.slots as u64) as usize
    }

    fn mask(&mut self) -> CpuMask {
        let mut mask: CpuMask = (0..self.cpus).filter(|_| self.rng.chance(500)).collect();
        if mask.is_empty() {
            mask.add(self.cpu());
        }
        mask
    }

    fn intent(&mut self) -> Intent {
        let rng = &mut self.rng;
        let mut intent = match rng.below(5) {
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
        if intent.class.queue() != QueueType::Realtime {
            let max = if rng.chance(150) { 50 + rng.below(900) as u16 } else { 0 };
            let most = if max == 0 { 700 } else { u64::from(max) };
            let min = if rng.chance(150) { 1 + rng.below(most) as u16 } else { 0 };
            intent = intent.with_cpu_share(min, max);
        }
        if self.rng.chance(250) { intent.with_affinity(self.mask()) } else { intent }
    }

    fn birth(&mut self) -> Birth {
        Birth {
            slot: self.slot(),
            from: self.rng.chance(700).then(|| self.cpu()),
            intent: self.intent(),
            start: self.rng.chance(200).then(|| self.now + self.rng.below(ms(20))),
            joinable: self.rng.chance(300),
        }
    }

    fn leave(&mut self) -> Event {
        let cpu = self.cpu();
        let later = at(self.now + self.rng.below(ms(30)));
        let reason = *self.rng.of(&REASONS);
        let leave = match self.rng.below(14) {
            0..=1 => Leave::Yield,
            2..=3 => Leave::Block(reason, None),
            4 => Leave::Block(reason, Some(later)),
            5..=6 => Leave::Sleep(later),
            7..=8 => Leave::Ask,
            9..=11 => Leave::NextPeriod,
            12 => Leave::NextJob(later),
            _ if self.rng.chance(300) => {
                return if self.rng.chance(500) {
                    Event::ExitAndUnpark(cpu, self.slot())
                } else {
                    Event::Leave(cpu, Leave::Exit(self.rng.below(3) as i32))
                };
            }
            _ => Leave::Yield,
        };
        Event::Leave(cpu, leave)
    }

    fn urgency(&mut self) -> Urgency {
        Urgency {
            class: *self.rng.of(&QueueType::ALL),
            priority: self.rng.below(256) as u8,
            deadline: at(self.now + self.rng.below(ms(20))),
        }
    }

    fn event(&mut self) -> Event {
        let slot = self.slot();
        match self.rng.below(100) {
            0..30 => self.leave(),
            30..38 => Event::Ask(self.cpu()),
            38..40 => Event::Balance,
            40..52 => Event::Spawn(self.birth()),
            52..65 => Event::Unpark(slot),
            65..75 => Event::Wake(slot),
            75..77 => Event::Kill(slot),
            77..82 => Event::SetAffinity(slot, self.mask()),
            82..86 => Event::SetPriority(slot, self.rng.below(256) as u8),
            86..89 => Event::SetIntent(slot, self.intent()),
            89..93 => Event::Inherit(slot, self.rng.chance(500).then(|| self.urgency())),
            93..95 => Event::SetMovable(slot, self.rng.chance(700)),
            95..97 => Event::Join(slot, self.slot()),
            97 => Event::Detach(slot),
            98 => Event::Offline(self.cpu()),
            _ => Event::Online(self.cpu()),
        }
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.now += match self.rng.below(10) {
            0..=3 => 0,
            4..=5 => self.rng.below(us(2)),
            6..=7 => self.rng.below(us(500)),
            8 => self.rng.below(ms(5)),
            _ => self.rng.below(ms(60)),
        };
        Some(Step { at: self.now, event: self.event() })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11} ns: {}", self.at, self.event)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Leave(cpu, leave) => write!(f, "on CPU {cpu}: {leave:?}"),
            Event::ExitAndUnpark(cpu, slot) => write!(f, "on CPU {cpu}: exit and unpark {slot}"),
            Event::Ask(cpu) => write!(f, "CPU {cpu} asks"),
            Event::Balance => f.write_str("balance"),
            Event::Spawn(birth) => birth.fmt(f),
            Event::Unpark(slot) => write!(f, "unpark {slot}"),
            Event::Wake(slot) => write!(f, "wake {slot}"),
            Event::Kill(slot) => write!(f, "kill {slot}"),
            Event::SetAffinity(slot, mask) => write!(f, "affinity of {slot}: {mask}"),
            Event::SetPriority(slot, priority) => write!(f, "priority of {slot}: {priority}"),
            Event::SetIntent(slot, intent) => write!(f, "intent of {slot}: {}", Told(intent)),
            Event::Inherit(slot, lent) => write!(f, "{slot} inherits {lent:?}"),
            Event::SetMovable(slot, movable) => write!(f, "{slot} may be moved: {movable}"),
            Event::Join(slot, joiner) => write!(f, "{joiner} joins {slot}"),
            Event::Detach(slot) => write!(f, "detach {slot}"),
            Event::Offline(cpu) => write!(f, "CPU {cpu} goes offline"),
            Event::Online(cpu) => write!(f, "CPU {cpu} comes online"),
        }
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spawn {}: {}", self.slot, Told(&self.intent))?;
        if let Some(cpu) = self.from {
            write!(f, ", from CPU {cpu}")?;
        }
        if let Some(start) = self.start {
            write!(f, ", for {start} ns")?;
        }
        f.write_str(if self.joinable { ", joinable" } else { "" })
    }
}

/// An intent in a few words.
struct Told<'a>(&'a Intent);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Intent { class, constraints, qos } = self.0;
        f.write_str(class.queue().name())?;
        match class {
            IntentClass::Realtime { period_us, deadline_us, wcet_us } => {
                write!(f, " ({period_us}, {deadline_us}, {wcet_us} µs)")?;
            }
            IntentClass::Interactive { target_latency_us } => write!(f, " ({target_latency_us} µs)")?,
            _ => {}
        }
        if (qos.cpu_min, qos.cpu_max) != (0, 0) {
            write!(f, " with a share of {} to {} ‰", qos.cpu_min, qos.cpu_max)?;
        }
        constraints.cpu_affinity.map_or(Ok(()), |mask| write!(f, " on {mask}"))
    }
}
