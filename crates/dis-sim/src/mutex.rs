//! Mutexes: hand-off to the most urgent waiter, whose urgency the holder inherits meanwhile; circles of waits.

use dis_core::api::Timestamp;
use dis_core::scheduler::Urgency;
use dis_workload::model::MutexId;

use crate::engine::Simulation;
use crate::error::{Blocked, SimError, WaitsFor};
use crate::kernel::Kernel;
use crate::task::Waiting;

/// How often the first waiter may be passed over by more urgent ones, as in the Linux runtime.
const MOST_PASSED: u32 = 16;

/// A mutex.
#[derive(Debug, Default)]
pub(crate) struct Mutex {
    owner: Option<u32>,
    /// In the order of their arrival.
    waiters: Vec<u32>,
    passed: u32,
}

impl Mutex {
    pub fn owner(&self) -> Option<u32> {
        self.owner
    }
}

impl<K: Kernel> Simulation<'_, K> {
    /// Takes the mutex; false if the task has to wait for it.
    pub(crate) fn lock(&mut self, me: u32, id: MutexId) -> Result<bool, SimError> {
        let Some(mutex) = self.mutexes.get_mut(id.0) else {
            return Err(self.misuse(me, "locks a mutex that is not there"));
        };
        let Some(owner) = mutex.owner else {
            mutex.owner = Some(me);
            self.actors[me as usize].held.push(id);
            return Ok(true);
        };
        mutex.waiters.push(me);
        self.actors[me as usize].waits_for = Some(Waiting::Mutex(id));
        self.check_circle(me)?;
        self.update_loan(owner);
        Ok(false)
    }

    /// Releases the mutex, and hands it over if somebody waits.
    pub(crate) fn unlock(&mut self, me: u32, id: MutexId) -> Result<(), SimError> {
        let held = &mut self.actors[me as usize].held;
        let Some(place) = held.iter().position(|held| *held == id) else {
            return Err(self.misuse(me, "unlocks a mutex that it does not hold"));
        };
        held.remove(place);
        let mutex = &self.mutexes[id.0];
        let first = mutex.waiters.first().copied();
        let heir = if mutex.passed < MOST_PASSED { self.most_urgent(&mutex.waiters) } else { first };
        let mutex = &mut self.mutexes[id.0];
        mutex.owner = heir;
        let Some(heir) = heir else { return Ok(()) };
        mutex.waiters.retain(|&waiter| waiter != heir);
        mutex.passed = if Some(heir) == first { 0 } else { mutex.passed + 1 };
        let actor = &mut self.actors[heir as usize];
        actor.held.push(id);
        actor.waits_for = None;
        self.update_loan(heir);
        self.update_loan(me);
        self.unpark(heir);
        Ok(())
    }

    /// The first among equals.
    fn most_urgent(&self, waiters: &[u32]) -> Option<u32> {
        let urgency = |task: u32| self.kernel.urgency(self.actors[task as usize].id).ok();
        let (&first, rest) = waiters.split_first()?;
        let more_urgent = |(best, most), task| match (urgency(task), most) {
            (Some(urgency), Some(most)) if !urgency.exceeds(&most) => (best, Some(most)),
            (urgency, _) => (task, urgency),
        };
        if rest.is_empty() {
            return Some(first);
        }
        Some(rest.iter().copied().fold((first, urgency(first)), more_urgent).0)
    }

    /// Computes anew what `task` inherits, and what follows for those that it waits for.
    fn update_loan(&mut self, task: u32) {
        let mut next = Some(task);
        while let Some(task) = next {
            let actor = &self.actors[task as usize];
            let waiters = actor.held.iter().flat_map(|id| &self.mutexes[id.0].waiters);
            let most = waiters.fold(None, |most: Option<Urgency>, &waiter| {
                let urgency = self.kernel.urgency(self.actors[waiter as usize].id).ok();
                match (most, urgency) {
                    (Some(most), Some(urgency)) if !urgency.exceeds(&most) => Some(most),
                    (most, urgency) => urgency.or(most),
                }
            });
            let (id, waits_for) = (actor.id, actor.waits_for);
            if most == actor.lent {
                return;
            }
            self.actors[task as usize].lent = most;
            if let Ok(wake) = self.kernel.inherit(Timestamp::from_nanos(self.now), id, most) {
                self.obey(wake);
            }
            next = match waits_for {
                Some(Waiting::Mutex(id)) => self.mutexes[id.0].owner,
                _ => None,
            };
        }
    }

    /// Whether `me`, which begins to wait for a mutex, closes a circle.
    fn check_circle(&self, me: u32) -> Result<(), SimError> {
        let mut chain = vec![me];
        loop {
            let last = chain[chain.len() - 1];
            let Some(Waiting::Mutex(id)) = self.actors[last as usize].waits_for else { return Ok(()) };
            match self.mutexes[id.0].owner {
                Some(owner) if owner == me => break,
                Some(owner) => chain.push(owner),
                None => return Ok(()),
            }
        }
        let cycle = chain.into_iter().map(|task| self.blocked(task)).collect();
        Err(SimError::Deadlock { at: Timestamp::from_nanos(self.now), cycle })
    }

    /// What a task that waits is waiting for, for people.
    pub(crate) fn blocked(&self, task: u32) -> Blocked {
        let objects = &self.workload.objects;
        let waits_for = match self.actors[task as usize].waits_for {
            Some(Waiting::Mutex(id)) => {
                let holder = self.mutexes[id.0].owner.map(|owner| self.name(owner)).unwrap_or_default();
                WaitsFor::Mutex { name: objects.mutex_name(id).into(), holder }
            }
            Some(Waiting::Barrier(index)) => WaitsFor::Barrier(objects.barriers[index].name.clone()),
            Some(Waiting::Event(index, _)) => WaitsFor::Event(objects.events[index].name.clone()),
            None => WaitsFor::Event(String::new()),
        };
        let actor = &self.actors[task as usize];
        let (spec, (phase, step)) = (&self.workload.tasks[actor.spec], actor.walk.place());
        let phase = (spec.phases.len() > 1).then_some(phase + 1);
        Blocked { task: self.name(task), line: spec.line, phase, step, waits_for }
    }
}
