//! Domains as the policies know them: groups that share as one ([`Entity::group`](crate::policy::Entity::group)).
//!
//! Each CPU knows the domains by their slots, with a key each that is no task's. Its policies are told of them when a domain is made, or
//! when the policy comes. All memory for that is had before the CPU is locked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use lock_api::RawMutex;

use super::TaskManager;
use super::state::CpuState;
use crate::intent::QueueType;
use crate::isolation::{Domain, Shares};
use crate::policy::{GroupRoom, SchedulingPolicy, TaskKey};
use crate::queues::QueueItem;

/// A domain on a CPU.
#[derive(Clone)]
pub(crate) struct Seat {
    /// Stands for it in the policies.
    pub key: TaskKey,
    /// `None`: a slot without a domain.
    pub shares: Option<Shares>,
}

/// What a CPU needs to know another domain.
struct Room {
    /// The number of keys for which it was made.
    keys: usize,
    seats: Vec<Seat>,
    /// For the policies of each class that have virtual clocks, and for what takes over from them.
    groups: [Option<[GroupRoom; 2]>; 5],
    old: Option<Shares>,
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// The policies of `cpu` get to know a domain.
    pub(super) fn seat(&self, cpu: usize, domain: &Domain) {
        let slots = (usize::from(domain.group()) + 1).next_power_of_two();
        loop {
            let (keys, clocks) = {
                let mut state = self.lock(cpu);
                (state.reserved_keys(), QueueType::ALL.map(|class| state.has_clock(class)))
            };
            let room = |_| GroupRoom::new(slots, keys);
            let groups = clocks.map(|clock| clock.then(|| [0, 1].map(room)));
            let mut room = Room { keys, seats: Vec::with_capacity(slots), groups, old: None };
            let seated = self.lock(cpu).seat(domain, &mut room);
            // What was replaced is dropped here, with the lock let go.
            drop(room);
            if seated {
                return;
            }
        }
    }

    /// A policy that is to come to `cpu` gets to know its domains. How many had been seated there at the beginning: if it is not as many when the
    /// policy comes, this is to be done again.
    pub(super) fn introduce(
        &self,
        cpu: usize,
        class: QueueType,
        policy: &mut Box<dyn SchedulingPolicy>,
        keys: usize,
    ) -> u64 {
        let (seated, slots) = {
            let state = self.lock(cpu);
            (state.seated, state.seats.len())
        };
        for slot in 0..slots {
            let seat = self.lock(cpu).seats[slot].clone();
            if let (Some(shares), true) = (&seat.shares, policy.progress().is_some()) {
                let mut room = GroupRoom::new(slots.next_power_of_two(), keys);
                if let Some(other) = policy.add_group(seat.key, &shares[class.rank()], &mut room) {
                    *policy = other;
                }
            }
        }
        seated
    }
}

impl<C> CpuState<C> {
    fn has_clock(&mut self, class: QueueType) -> bool {
        self.classes[class.rank()].policy.progress().is_some() || self.standbys[class.rank()].is_some()
    }

    /// False if there is not enough room.
    fn seat(&mut self, domain: &Domain, room: &mut Room) -> bool {
        if QueueType::ALL.into_iter().any(|class| self.has_clock(class) && room.groups[class.rank()].is_none()) {
            return false;
        }
        let slot = usize::from(domain.group());
        if self.seats.capacity() <= slot {
            room.seats.append(&mut self.seats);
            core::mem::swap(&mut self.seats, &mut room.seats);
        }
        while self.seats.len() <= slot {
            self.seats.push(Seat { key: TaskKey::NONE, shares: None });
        }
        if self.seats[slot].key == TaskKey::NONE {
            self.seats[slot].key = self.take_key();
        }
        if self.reserved_keys() != room.keys {
            return false;
        }
        let key = self.seats[slot].key;
        room.old = self.seats[slot].shares.replace(domain.shares().clone());
        self.seated += 1;
        for class in QueueType::ALL {
            let share = &domain.shares()[class.rank()];
            let Some([room, reserve]) = &mut room.groups[class.rank()] else { continue };
            let policy = &mut self.classes[class.rank()].policy;
            if let Some(other) = policy.add_group(key, share, room) {
                room.keep(core::mem::replace(policy, other));
            }
            if let Some(standby) = &mut self.standbys[class.rank()]
                && let Some(other) = standby.policy().add_group(key, share, reserve)
            {
                reserve.keep(core::mem::replace(standby.policy(), other));
            }
        }
        true
    }
}
