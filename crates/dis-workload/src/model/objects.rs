//! What tasks share: mutexes, events, timers and barriers, each a row of a table that steps point into.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{BarrierId, Distribution, EventId, MutexId, Step, TaskSpec};

/// The name tables. The index of an entry is its id; names are unique within a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Objects {
    /// Mutexes, all unlocked at the start.
    pub mutexes: Vec<Mutex>,
    /// Events, none signalled at the start.
    pub events: Vec<Event>,
    /// Timers, none used at the start.
    pub timers: Vec<Timer>,
    /// Barriers, nobody waiting at the start.
    pub barriers: Vec<Barrier>,
    /// Distributions of times that are drawn at random.
    pub distributions: Vec<Distribution>,
}

/// A mutex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutex {
    /// Its name in the file.
    pub name: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its name in the file.
    pub name: String,
    /// What a signal without a waiter does.
    pub kind: EventKind,
}

/// What a signal does when nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// One signal is remembered until a wait consumes it (auto-reset). The TOML format's events.
    Latched,
    /// The signal is lost, as with a condition variable. The events of rt-app: `signal`, `wait`, `resume`, `suspend`.
    Pulse,
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Its name in the file; for a [`Scope::Instance`] timer `task/name`.
    pub name: String,
    /// Who shares its reference.
    pub scope: Scope,
}

/// Who shares a timer's reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All tasks that name it.
    Workload,
    /// Each instance of the task has its own.
    Instance,
}

/// A barrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Its name in the file.
    pub name: String,
    /// How many tasks have to arrive before any goes on; at least 1.
    pub parties: usize,
}

impl Objects {
    /// The mutex's name; empty for an id of another workload.
    pub fn mutex_name(&self, id: MutexId) -> &str {
        self.mutexes.get(id.0).map_or("", |m| &m.name)
    }

    /// The event's name; empty for an id of another workload.
    pub fn event_name(&self, id: EventId) -> &str {
        self.events.get(id.0).map_or("", |e| &e.name)
    }

    /// Sets every barrier's parties to the number of tasks, counted by instances, that name it.
    pub fn count_parties(&mut self, tasks: &[TaskSpec]) {
        self.barriers.iter_mut().for_each(|barrier| barrier.parties = 0);
        for task in tasks {
            let mut named: Vec<_> = task.steps().filter_map(barrier_of).collect();
            named.sort_unstable();
            named.dedup();
            for id in named {
                if let Some(barrier) = self.barriers.get_mut(id.0) {
                    barrier.parties = barrier.parties.saturating_add(task.instances);
                }
            }
        }
    }
}

fn barrier_of(step: &Step) -> Option<BarrierId> {
    match step {
        Step::Barrier(id) => Some(*id),
        _ => None,
    }
}
