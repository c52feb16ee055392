//! The tasks that a CPU owns, by key.

use super::state::{CpuState, WINDOW};
use crate::api::{Task, TaskId, Timestamp};
use crate::policy::{SchedulingPolicy, TaskKey};

impl<C> CpuState<C> {
    /// Makes room for keys below `keys`, so that up to as many no call allocates. Memory is touched only as tasks come.
    pub fn reserve(&mut self, keys: usize) {
        self.slab.reserve(keys.saturating_sub(self.slab.len()));
        self.free.reserve(keys.saturating_sub(self.free.len()));
        self.timers.reserve(keys);
        self.leaving.reserve(keys.saturating_sub(self.leaving.len()));
        self.revoked.reserve(keys.saturating_sub(self.revoked.len()));
        for class in &mut self.classes {
            class.policy.reserve(keys);
        }
        for standby in self.standbys.iter_mut().flatten() {
            standby.reserve(keys);
        }
        self.reserved = self.reserved.max(keys);
    }

    /// For how many keys there is room.
    pub fn reserved_keys(&self) -> usize {
        self.reserved.max(self.slab.capacity())
    }

    /// Takes a task into the slab. Reserves queue room, so that no later call allocates.
    pub fn insert(&mut self, mut task: Task<C>) -> TaskKey {
        let key = self.take_key();
        task.sched.entity.key = key;
        self.has_domains |= task.sched.domain.is_some();
        self.slab[key.index()] = Some(task);
        self.follow_reservation(key);
        key
    }

    /// A key that nobody has, with room for it.
    pub(super) fn take_key(&mut self) -> TaskKey {
        self.free.pop().unwrap_or_else(|| {
            if self.slab.len() >= self.reserved {
                self.reserve((self.slab.len() + 1).next_power_of_two());
            }
            self.slab.push(None);
            TaskKey(self.slab.len() as u32 - 1)
        })
    }

    /// Takes a task out of the slab.
    pub fn take(&mut self, key: TaskKey) -> Option<Task<C>> {
        let task = self.slab.get_mut(key.index())?.take()?;
        self.vacated(key, task.sched.duty.reservation().is_some());
        Some(task)
    }

    /// Drops a task where it lies. Answers its id.
    pub fn discard(&mut self, key: TaskKey) -> Option<TaskId> {
        let slot = self.slab.get_mut(key.index())?;
        let task = slot.as_ref()?;
        let (id, reserves) = (task.id, task.sched.duty.reservation().is_some());
        *slot = None;
        self.vacated(key, reserves);
        Some(id)
    }

    fn vacated(&mut self, key: TaskKey, reserves: bool) {
        if reserves {
            self.reservations.retain(|&other| other != key);
        }
        self.free.push(key);
        self.leaving.retain(|&other| other != key);
        self.revoked.retain(|&other| other != key);
    }

    /// Notes whether the task has a reservation by share now.
    pub fn follow_reservation(&mut self, key: TaskKey) {
        let holds = peek(&self.slab, key).sched.duty.reservation().is_some();
        let noted = self.reservations.iter().position(|&other| other == key);
        match noted {
            None if holds => self.reservations.push(key),
            Some(place) if !holds => {
                self.reservations.swap_remove(place);
            }
            _ => {}
        }
    }

    /// A task that has a reservation is queued: at the end of the window it is to get its next budget.
    pub fn watch_window(&mut self, end: Timestamp) {
        // At the end of time there is no next one.
        if self.timers.wake_time(WINDOW).is_none() && end < Timestamp::MAX {
            self.timers.insert(WINDOW, end);
        }
    }

    /// Keys in use.
    pub fn live_keys(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    #[inline(always)]
    pub fn get(&self, key: TaskKey) -> Option<&Task<C>> {
        self.slab.get(key.index())?.as_ref()
    }

    pub fn tasks(&self) -> impl Iterator<Item = &Task<C>> {
        self.slab.iter().flatten()
    }

    /// A task that the core itself knows to be here.
    ///
    /// # Panics
    /// If it is not: the queues name a task that the slab does not hold, which no host and no policy can bring about
    /// (answers of policies are checked before they are used).
    #[inline(always)]
    pub fn task(&mut self, key: TaskKey) -> &mut Task<C> {
        slot(&mut self.slab, key)
    }

    /// The task and the policy of its class.
    #[inline(always)]
    pub fn task_and_policy(&mut self, key: TaskKey) -> (&mut Task<C>, &mut dyn SchedulingPolicy) {
        let task = slot(&mut self.slab, key);
        let policy = &mut *self.classes[task.sched.class.rank()].policy;
        (task, policy)
    }
}

/// The task under `key`, which the core knows to be there.
#[inline(always)]
pub(crate) fn slot<C>(slab: &mut [Option<Task<C>>], key: TaskKey) -> &mut Task<C> {
    match slab.get_mut(key.index()) {
        Some(Some(task)) => task,
        _ => missing(),
    }
}

/// The same for reading.
#[inline(always)]
pub(crate) fn peek<C>(slab: &[Option<Task<C>>], key: TaskKey) -> &Task<C> {
    match slab.get(key.index()) {
        Some(Some(task)) => task,
        _ => missing(),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn missing() -> ! {
    panic!("a queued task is in the slab")
}
