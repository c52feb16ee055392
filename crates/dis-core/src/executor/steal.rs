//! Sharing work between CPUs: an idle CPU steals, a loaded one asks others to take over.

use lock_api::RawMutex;

use super::Executor;
use crate::api::{TaskId, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::{CpuLoad, IDLE_RANK};
use crate::policy::TaskKey;
use crate::scheduler::state::CpuState;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Takes over one waiting task from another CPU, if one is more urgent than anything here, or if that CPU has at
    /// least two tasks more. Affinity, reservations and unsaved registers are respected. O(CPUs), then two locks.
    pub(super) fn pull(&self, cpu: usize, now: Timestamp) -> bool {
        let mine = self.load(cpu);
        // Most urgent waiting task first, then the longest queue, then the lowest number.
        let mut victims: [Option<(u8, u32, usize)>; 3] = [None; 3];
        for other in (0..self.cpu_count()).filter(|&other| other != cpu) {
            let load = self.load(other);
            if load.ready == 0 || !worth_pulling(mine, load) {
                continue;
            }
            let candidate = Some((load.waiting, u32::MAX - load.ready, other));
            let slot = victims.iter_mut().find(|v| v.is_none_or(|v| Some(v) > candidate));
            if let Some(slot) = slot {
                *slot = candidate;
            }
        }
        victims.into_iter().flatten().any(|(_, _, victim)| self.pull_from(cpu, victim, mine, now))
    }

    fn pull_from(&self, cpu: usize, victim: usize, mine: CpuLoad, now: Timestamp) -> bool {
        let (mut to, mut from) = self.lock_two(cpu, victim);
        let unsaved = TaskId(self.cpus[victim].unsaved.load(Ordering::Acquire));
        for class in QueueType::ALL {
            if !from.ready.contains(class) {
                continue;
            }
            let urgent = (class as u8) < mine.running.min(mine.waiting) && class <= QueueType::Interactive;
            let heavier = from.ready_count + u32::from(from.current.is_some()) >= mine.tasks() + 2;
            if mine.tasks() > 0 && !urgent && !heavier {
                continue;
            }
            let mut found: Option<TaskKey> = None;
            from.classes[class.rank()].policy.visit(&mut |key| {
                let may_move = from
                    .get(key)
                    .is_some_and(|task| task.id != unsaved && task.may_be_stolen() && task.affinity.contains(cpu));
                if may_move {
                    found = Some(key);
                }
                may_move
            });
            if let Some(key) = found
                && self.move_task(&mut from, &mut to, key, now).is_ok()
            {
                self.publish(&mut from);
                self.publish(&mut to);
                return true;
            }
        }
        false
    }

    /// A CPU that would do better with the most urgent task waiting here: an idle one, or one that runs something
    /// less urgent. It is told to look around, and must be interrupted.
    pub(super) fn find_taker(&self, state: &CpuState<C>) -> Option<usize> {
        let waiting = state.ready.first()?;
        let mut allowed = None;
        state.classes[waiting.rank()].policy.visit(&mut |key| {
            allowed = state.get(key).filter(|task| task.may_be_stolen()).map(|task| task.affinity);
            allowed.is_some()
        });
        let allowed = allowed?;
        let taker = self.idle_cpu(&allowed, state.cpu).or_else(|| {
            let urgent = waiting <= QueueType::Interactive;
            (0..self.cpu_count())
                .filter(|&cpu| urgent && cpu != state.cpu && allowed.contains(cpu))
                .map(|cpu| (self.load(cpu), cpu))
                .filter(|(load, _)| load.running.min(load.waiting) > waiting as u8)
                .max_by_key(|&(load, cpu)| (load.running, usize::MAX - cpu))
                .map(|(_, cpu)| cpu)
        })?;
        self.ask_to_look_around(taker);
        Some(taker)
    }

    /// A CPU with at least two tasks less than this one.
    pub(super) fn less_loaded(&self, state: &CpuState<C>) -> Option<usize> {
        // The running task counts as one here: it has not been put back yet.
        let mine = state.ready_count + 1;
        (0..self.cpu_count())
            .filter(|&cpu| cpu != state.cpu)
            .map(|cpu| (self.load(cpu).tasks(), cpu))
            .min()
            .and_then(|(tasks, cpu)| (tasks + 2 <= mine).then_some(cpu))
    }

    pub(super) fn ask_to_look_around(&self, cpu: usize) {
        self.cpus[cpu].look_around.store(true, Ordering::Release);
    }

    /// Balances the load once: the CPU with the most tasks gives one to the CPU with the fewest, if they are at least
    /// two apart. Answers the receiver, which must be interrupted. CPUs do this by themselves at the end of slices;
    /// the call is for hosts and tests.
    pub fn load_balance(&self, now: Timestamp) -> Option<usize> {
        let busiest = (0..self.cpu_count()).max_by_key(|&cpu| (self.load(cpu).tasks(), usize::MAX - cpu))?;
        let idlest = (0..self.cpu_count()).min_by_key(|&cpu| (self.load(cpu).tasks(), cpu))?;
        let apart = self.load(busiest).tasks() >= self.load(idlest).tasks() + 2;
        (apart && self.pull_from(idlest, busiest, self.load(idlest), now)).then_some(idlest)
    }

    /// Moves (or ends) the task that waited for its registers to be saved. Answers a CPU to interrupt.
    pub(super) fn flush_evicted(&self, cpu: usize, now: Timestamp) -> Option<usize> {
        let mut state = self.lock(cpu);
        let key = state.evict?;
        let Some(id) = state.get(key).map(|task| task.id) else {
            state.evict = None;
            return None;
        };
        if self.is_unsaved(cpu, id) {
            return None;
        }
        state.evict = None;
        if state.task(key).sched.killed {
            let joiner = self.end_task(&mut state, key, crate::api::ExitStatus::Killed);
            drop(state);
            return self.notify(now, joiner);
        }
        let (allowed, ppm) = (state.task(key).affinity, state.task(key).sched.reserved_ppm);
        drop(state);
        let here = || allowed.iter().take_while(|&c| c < self.cpu_count());
        let target = here()
            .find(|&c| ppm > 0 && c != cpu && self.has_room(&self.lock(c), ppm))
            .or_else(|| here().min_by_key(|&c| self.load(c).tasks()))?;
        if target == cpu {
            // The affinity has changed back meanwhile.
            let mut state = self.lock(cpu);
            if state.get(key).is_some_and(|task| task.id == id && task.state() == crate::api::TaskState::Ready) {
                self.admit_to_queue(&mut state, key, crate::policy::Arrival::Migrate, now);
            }
            return None;
        }
        let (mut from, mut to) = self.lock_two(cpu, target);
        if from.get(key).is_none_or(|task| task.id != id) {
            return None;
        }
        let wake = self.move_task(&mut from, &mut to, key, now).ok()?;
        self.publish(&mut to);
        (wake.interrupt || wake.until.is_some()).then_some(target)
    }
}

/// Whether a CPU loaded as `mine` should look into the queue of one loaded as `theirs`.
fn worth_pulling(mine: CpuLoad, theirs: CpuLoad) -> bool {
    let here = mine.running.min(mine.waiting);
    here == IDLE_RANK
        || (theirs.waiting < here && theirs.waiting <= QueueType::Interactive as u8)
        || theirs.tasks() >= mine.tasks() + 2
}
