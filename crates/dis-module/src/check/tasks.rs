//! Tasks for a policy, with what the suite knows of each.

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey, VirtualTime};

/// A linear congruential generator (Knuth's constants): the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) * n) >> 32
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Away,
    Queued,
    Running,
}

/// A policy, and what it should know. Each method makes one call, and compares.
pub struct Bench {
    pub policy: Box<dyn SchedulingPolicy>,
    pub tasks: Vec<(Entity, Place)>,
    pub running: Option<TaskKey>,
    pub queued: usize,
    pub now: Timestamp,
    /// Calls made.
    pub calls: u64,
}

pub type Verdict<T = ()> = Result<T, String>;

impl Bench {
    /// `count` tasks that are away. Keys begin at 1, as on a CPU.
    pub fn new(policy: Box<dyn SchedulingPolicy>, count: u32, random: &mut Random) -> Bench {
        let mut bench =
            Bench { policy, tasks: Vec::new(), running: None, queued: 0, now: Timestamp::from_nanos(1_000), calls: 0 };
        bench.policy.reserve(count as usize + 1);
        for key in 0..=count {
            let entity = Entity {
                key: TaskKey(key),
                group: 0,
                id: TaskId::from_parts(count - key, 1 + key % 3),
                priority: random.below(256) as u8,
                deadline: bench.deadline(random),
                slice: Duration::from_nanos(1 + random.below(10_000_000)),
                virt: VirtualTime::default(),
            };
            bench.tasks.push((entity, Place::Away));
        }
        bench
    }

    pub fn deadline(&self, random: &mut Random) -> Timestamp {
        match random.below(10) {
            0 => Timestamp::MAX,
            _ => self.now + Duration::from_nanos(random.below(50_000_000)),
        }
    }

    fn counted(&mut self, call: &str) -> Verdict {
        self.calls += 1;
        let says = self.policy.len();
        if says == usize::MAX {
            return Err(format!("{call} panicked or was stopped"));
        }
        match says == self.queued {
            true => Ok(()),
            false => Err(format!("after {call} it counts {says} queued tasks, and there are {}", self.queued)),
        }
    }

    pub fn ready(&mut self, key: TaskKey, why: Arrival) -> Verdict {
        let (entity, place) = &mut self.tasks[key.index()];
        self.policy.on_ready(entity, why, self.now);
        *place = Place::Queued;
        self.queued += 1;
        if self.running == Some(key) {
            self.running = None;
        }
        self.counted("on_ready")
    }

    /// Whom it named is queued, and was to be expected.
    fn judge(&mut self, call: &str, named: Option<TaskKey>) -> Verdict<Option<TaskKey>> {
        if self.policy.len() == usize::MAX {
            return Err(format!("{call} panicked or was stopped"));
        }
        match named {
            None if self.queued == 0 => Ok(None),
            None => Err(format!("{call} names nobody, and {} are ready", self.queued)),
            Some(key) => match self.tasks.get(key.index()) {
                Some((_, Place::Queued)) => Ok(Some(key)),
                Some((_, place)) => Err(format!("{call} names task {}, which is {place:?}", key.0)),
                None => Err(format!("{call} names task {}, which does not exist", key.0)),
            },
        }
    }

    pub fn select(&mut self) -> Verdict<Option<TaskKey>> {
        let peeked = self.policy.peek(self.now);
        let peeked = self.judge("peek", peeked)?;
        self.counted("peek")?;
        let selected = self.policy.select(self.now);
        let selected = self.judge("select", selected)?;
        if selected != peeked {
            return Err(format!("peek names {peeked:?} and select {selected:?}"));
        }
        self.started(selected);
        self.counted("select")?;
        Ok(selected)
    }

    fn started(&mut self, selected: Option<TaskKey>) {
        if let Some(key) = selected {
            self.tasks[key.index()].1 = Place::Running;
            self.queued -= 1;
            self.running = selected;
        }
    }

    /// The running task gives way, and the next one runs.
    pub fn exchange(&mut self, why: Arrival) -> Verdict<Option<TaskKey>> {
        let Some(key) = self.running.take() else { return self.select() };
        let (entity, place) = &mut self.tasks[key.index()];
        let selected = self.policy.exchange(entity, why, self.now);
        *place = Place::Queued;
        self.queued += 1;
        let selected = self.judge("exchange", selected)?;
        self.started(selected);
        self.counted("exchange")?;
        Ok(selected)
    }

    pub fn block(&mut self) -> Verdict {
        let Some(key) = self.running.take() else { return Ok(()) };
        let (entity, place) = &mut self.tasks[key.index()];
        self.policy.on_block(entity, self.now);
        *place = Place::Away;
        self.counted("on_block")
    }

    pub fn remove(&mut self, key: TaskKey) -> Verdict {
        let (entity, place) = &mut self.tasks[key.index()];
        let found = self.policy.remove(entity, self.now);
        let queued = *place == Place::Queued;
        if queued {
            *place = Place::Away;
            self.queued -= 1;
        }
        self.counted("remove")?;
        match found == queued {
            true => Ok(()),
            false => Err(format!("remove answers {found} for task {}, and it was queued: {queued}", key.0)),
        }
    }

    pub fn update(&mut self, key: TaskKey, random: &mut Random) -> Verdict {
        let deadline = self.deadline(random);
        let entity = &mut self.tasks[key.index()].0;
        let priority = random.below(256) as u8;
        self.policy.update(entity, priority, deadline, self.now);
        let entity = self.tasks[key.index()].0;
        self.counted("update")?;
        match (entity.priority, entity.deadline) == (priority, deadline) && entity.key == key {
            true => Ok(()),
            false => Err("update has not put the new priority and deadline into the task".into()),
        }
    }

    /// The running task has run on.
    pub fn tick(&mut self, ran: Duration) -> Verdict {
        self.now += ran;
        let Some(key) = self.running else { return Ok(()) };
        let entity = &mut self.tasks[key.index()].0;
        self.policy.on_tick(entity, ran, self.now);
        self.counted("on_tick")?;
        let slice = self.policy.time_slice(&self.tasks[key.index()].0);
        self.counted("time_slice")?;
        match slice.is_zero() {
            true => Err("time_slice answers 0: nobody could run".into()),
            false => Ok(()),
        }
    }

    /// All that are queued come out, each once.
    pub fn drain(&mut self) -> Verdict {
        self.block()?;
        while self.select()?.is_some() {
            self.block()?;
        }
        match self.tasks.iter().find(|(_, place)| *place != Place::Away) {
            Some((task, place)) => Err(format!("task {} is still {place:?} when the queue is empty", task.key.0)),
            None => Ok(()),
        }
    }
}
