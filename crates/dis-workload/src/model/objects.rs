//! What tasks share: mutexes, events, timers and barriers, each a row of a table that steps point into.

use super::{BarrierId, EventId, MutexId, TimerId};

/// The name tables. The index of an entry is its id; names are unique within a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objects {
    /// Mutexes, all unlocked at the start.
    pub mutexes: Vec<Mutex>,
    /// Events, none signalled at the start.
    pub events: Vec<Event>,
    /// Timers, none used at the start.
    pub timers: Vec<Timer>,
    /// Barriers, nobody waiting at the start.
    pub barriers: Vec<Barrier>,
}

/// A mutex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutex {
    /// Its name in the file.
    pub name: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name in the file.
    pub name: String,
    /// What a signal without a waiter does.
    pub kind: EventKind,
}

/// What a signal does when nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// One signal is remembered until a wait consumes it (auto-reset). The TOML format's events.
    Latched,
    /// The signal is lost, as with a condition variable. The events of rt-app: `signal`, `wait`, `resume`, `suspend`.
    Pulse,
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Its name in the file; for a [`Scope::Instance`] timer `task/name`.
    pub name: String,
    /// Who shares its reference.
    pub scope: Scope,
}

/// Who shares a timer's reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All tasks that name it.
    Workload,
    /// Each instance of the task has its own.
    Instance,
}

/// A barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// Its name in the file.
    pub name: String,
    /// How many tasks have to arrive before any goes on; at least 1.
    pub parties: usize,
}

fn intern<T>(table: &mut Vec<T>, same: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    table.iter().position(same).unwrap_or_else(|| {
        table.push(new());
        table.len() - 1
    })
}

impl Objects {
    /// The mutex of that name, added if new.
    pub fn mutex(&mut self, name: &str) -> MutexId {
        MutexId(intern(&mut self.mutexes, |m| m.name == name, || Mutex { name: name.into() }))
    }

    /// The event of that name, added with `kind` if new.
    pub fn event(&mut self, name: &str, kind: EventKind) -> EventId {
        EventId(intern(&mut self.events, |e| e.name == name, || Event { name: name.into(), kind }))
    }

    /// The timer of that name, added with `scope` if new.
    pub fn timer(&mut self, name: &str, scope: Scope) -> TimerId {
        TimerId(intern(&mut self.timers, |t| t.name == name, || Timer { name: name.into(), scope }))
    }

    /// The barrier of that name, added with no party if new.
    pub fn barrier(&mut self, name: &str) -> BarrierId {
        BarrierId(intern(&mut self.barriers, |b| b.name == name, || Barrier { name: name.into(), parties: 0 }))
    }

    /// The mutex's name; empty for an id of another workload.
    pub fn mutex_name(&self, id: MutexId) -> &str {
        self.mutexes.get(id.0).map_or("", |m| &m.name)
    }

    /// The event's name; empty for an id of another workload.
    pub fn event_name(&self, id: EventId) -> &str {
        self.events.get(id.0).map_or("", |e| &e.name)
    }
}

impl Objects {
    /// Sets every barrier's parties to the number of tasks, counted by instances, that name it.
    pub fn count_parties(&mut self, tasks: &[super::TaskSpec]) {
        for (index, barrier) in self.barriers.iter_mut().enumerate() {
            let names = |step: &super::Step| matches!(step, super::Step::Barrier(id) if id.0 == index);
            barrier.parties = tasks.iter().filter(|task| task.steps().any(names)).map(|task| task.instances).sum();
        }
    }
}
