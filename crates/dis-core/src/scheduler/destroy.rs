//! Ending a domain with all that is in it.

use lock_api::RawMutex;

use super::TaskManager;
use crate::api::{SchedError, SchedResult, TaskId, TaskState, Timestamp};
use crate::executor::Kill;
use crate::isolation::{Domain, Sweep};

/// How many tasks are taken note of under one lock.
const AT_ONCE: usize = 16;

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// From now on nothing can be spawned in the domain or below it. For hosts that end tasks in a way of their own: when
    /// [`tasks_within`](Self::tasks_within) is 0, [`destroy_domain`](Self::destroy_domain) has none left to end.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if it has been destroyed.
    pub fn close_domain(&self, domain: &Domain) -> SchedResult<()> {
        if domain.is_gone() {
            return Err(SchedError::InvalidState);
        }
        domain.close();
        Ok(())
    }

    /// A step of the destruction of a domain and all below it. From the first on, nothing can be spawned there any more. Each
    /// step looks at up to `most` places for tasks (16 at least) and ends those of the domain; `told` hears of each: how it was killed, or `None` if
    /// it had ended already and its exit status will be collected by nobody now. True: nothing is left, and all that was counted
    /// has been given back to the domains above. As long as it is false, call again, with the same `sweep`, when the CPUs
    /// of [`Kill::Pending`] have been interrupted. O(places + killed tasks · log n).
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if it has been destroyed.
    pub fn destroy_domain(
        &self,
        now: Timestamp,
        domain: &Domain,
        sweep: &mut Sweep,
        most: usize,
        mut told: impl FnMut(TaskId, Option<Kill>),
    ) -> SchedResult<bool> {
        self.close_domain(domain)?;
        let mut left = most.max(AT_ONCE);
        while left > 0 && self.tasks_within(domain) > 0 {
            let place = left.min(AT_ONCE);
            left -= place;
            let (mut found, mut count) = ([TaskId::INVALID; AT_ONCE], 0);
            let next = self.visit_tasks(sweep.cpu, sweep.place, place, |task| {
                let doomed = !task.sched.killed || task.state == TaskState::Zombie;
                if doomed && task.domain().is_some_and(|other| other.is_within(domain)) {
                    found[count] = task.id;
                    count += 1;
                }
            });
            match next {
                Some(place) => sweep.place = place,
                None => *sweep = Sweep { cpu: (sweep.cpu + 1) % self.cpu_count(), place: 0 },
            }
            for &id in &found[..count] {
                let ended = self.with_task(id, |task| task.state.has_ended()).unwrap_or(true);
                // Gone in the meantime: all the better.
                let _ = self.detach(id);
                told(id, if ended { None } else { self.kill(now, id).ok() });
            }
        }
        if self.tasks_within(domain) > 0 {
            return Ok(false);
        }
        {
            let all = self.domains.all.lock();
            domain.uncharge_memory(domain.usage().memory);
            for other in all.iter().filter(|other| !other.is_gone() && other.is_within(domain)) {
                other.set_gone();
                if let Some(parent) = other.parent() {
                    parent.leave();
                }
                self.domains.give_slot_back(other.group());
            }
        }
        self.domains.forget();
        Ok(true)
    }

    /// How many tasks are in the domain and below; domains are not counted. O(domains).
    pub fn tasks_within(&self, domain: &Domain) -> u32 {
        let all = self.domains.all.lock();
        let below = all.iter().filter(|other| *other != domain && !other.is_gone() && other.is_within(domain)).count();
        domain.usage().tasks.saturating_sub(below as u32)
    }
}
