//! What tasks share besides mutexes: events, barriers, timers.

use std::collections::VecDeque;

use dis_workload::model::{EventKind, Objects};

/// An event: who waits, and the instant of a signal that is remembered.
#[derive(Debug)]
pub(crate) struct Event {
    kind: EventKind,
    waiting: VecDeque<u32>,
    latched: Option<u64>,
}

/// A barrier: who waits for the rest.
#[derive(Debug)]
pub(crate) struct Barrier {
    parties: usize,
    waiting: Vec<u32>,
}

/// The objects of a workload, by the ids of the model.
#[derive(Debug)]
pub(crate) struct Shared {
    pub events: Vec<Event>,
    pub barriers: Vec<Barrier>,
    /// References of timers that several tasks share.
    pub timers: Vec<Option<u64>>,
}

impl Shared {
    pub fn new(objects: &Objects) -> Shared {
        let event = |kind| Event { kind, waiting: VecDeque::new(), latched: None };
        let barrier = |parties| Barrier { parties, waiting: Vec::new() };
        Shared {
            events: objects.events.iter().map(|e| event(e.kind)).collect(),
            barriers: objects.barriers.iter().map(|b| barrier(b.parties)).collect(),
            timers: vec![None; objects.timers.len()],
        }
    }
}

impl Event {
    /// Answers whom to wake: who has waited longest, or all. With nobody waiting, a latched event remembers it.
    pub fn signal(&mut self, all: bool, now: u64) -> Vec<u32> {
        let count = if all { self.waiting.len() } else { self.waiting.len().min(1) };
        if count == 0 && self.kind == EventKind::Latched {
            self.latched.get_or_insert(now);
        }
        self.waiting.drain(..count).collect()
    }

    /// The instant of the remembered signal, which is used up; without one, the task waits.
    pub fn wait(&mut self, task: u32) -> Option<u64> {
        let latched = self.latched.take();
        if latched.is_none() {
            self.waiting.push_back(task);
        }
        latched
    }
}

impl Barrier {
    /// If all are here now, answers whom to wake; else the task waits.
    pub fn arrive(&mut self, task: u32) -> Option<Vec<u32>> {
        if self.waiting.len() + 1 >= self.parties {
            return Some(std::mem::take(&mut self.waiting));
        }
        self.waiting.push(task);
        None
    }
}
