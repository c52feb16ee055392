//! Names to indices while a file is read.

use std::collections::HashMap;

use super::{
    Barrier, BarrierId, Distribution, DistributionId, Event, EventId, EventKind, Mutex, MutexId, Objects, Scope, Timer,
    TimerId,
};

/// Builds the [`Objects`] of a file: the first use of a name makes its row, later ones find it.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    objects: Objects,
    mutexes: HashMap<String, usize>,
    events: HashMap<String, usize>,
    timers: HashMap<String, usize>,
    barriers: HashMap<String, usize>,
}

fn intern<T>(
    index: &mut HashMap<String, usize>,
    rows: &mut Vec<T>,
    name: &str,
    row: impl FnOnce(String) -> T,
) -> usize {
    if let Some(&at) = index.get(name) {
        return at;
    }
    index.insert(name.into(), rows.len());
    rows.push(row(name.into()));
    rows.len() - 1
}

impl Interner {
    /// The mutex of that name.
    pub fn mutex(&mut self, name: &str) -> MutexId {
        MutexId(intern(&mut self.mutexes, &mut self.objects.mutexes, name, |name| Mutex { name }))
    }

    /// The event of that name; `kind` counts at its first use.
    pub fn event(&mut self, name: &str, kind: EventKind) -> EventId {
        EventId(intern(&mut self.events, &mut self.objects.events, name, |name| Event { name, kind }))
    }

    /// The timer of that name; `scope` counts at its first use.
    pub fn timer(&mut self, name: &str, scope: Scope) -> TimerId {
        TimerId(intern(&mut self.timers, &mut self.objects.timers, name, |name| Timer { name, scope }))
    }

    /// The barrier of that name; its parties are counted later.
    pub fn barrier(&mut self, name: &str) -> BarrierId {
        BarrierId(intern(&mut self.barriers, &mut self.objects.barriers, name, |name| Barrier { name, parties: 0 }))
    }

    /// A distribution that has a row.
    pub fn distribution_of(&self, id: DistributionId) -> &Distribution {
        &self.objects.distributions[id.0]
    }

    /// A distribution; each has a row of its own.
    pub fn distribution(&mut self, distribution: Distribution) -> DistributionId {
        self.objects.distributions.push(distribution);
        DistributionId(self.objects.distributions.len() - 1)
    }

    /// The tables.
    pub fn finish(self) -> Objects {
        self.objects
    }
}
