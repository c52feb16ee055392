//! Sharing work between CPUs: an idle CPU steals, a loaded one asks others to take over what is urgent. How busy CPUs share
//! is written in `balance`.

use lock_api::RawMutex;

use super::Executor;
use crate::api::{TaskId, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::{CpuLoad, IDLE_RANK};
use crate::policy::TaskKey;
use crate::scheduler::state::CpuState;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Takes over one waiting task from another CPU than `except`, if nothing is here, or if it is more urgent than anything here.
    /// Affinity, reservations and unsaved registers are respected. O(CPUs), then two locks; for each CPU from which nothing
    /// may be taken, the same again.
    pub(super) fn pull(&self, cpu: usize, except: Option<usize>, now: Timestamp) -> Option<Pulled> {
        let mine = self.load(cpu);
        // Most urgent waiting task first, then the longest queue, then the lowest number.
        let mut tried = None;
        for _ in 1..self.cpu_count() {
            let victim = (0..self.cpu_count())
                .filter(|&other| other != cpu && Some(other) != except)
                .filter_map(|other| {
                    let load = self.load(other);
                    let rank = Some((load.waiting, u32::MAX - load.ready, other));
                    (load.ready > 0 && !load.is_offline() && worth_pulling(mine, load) && rank > tried).then_some(rank)
                })
                .min()?;
            tried = victim;
            if let Some(pulled) = self.pull_from(cpu, victim?.2, mine, now) {
                return Some(pulled);
            }
        }
        None
    }

    fn pull_from(&self, cpu: usize, victim: usize, mine: CpuLoad, now: Timestamp) -> Option<Pulled> {
        let (mut to, mut from) = self.lock_two(cpu, victim);
        if !to.is_online() {
            return None;
        }
        let unsaved = TaskId(self.cpus[victim].unsaved.load(Ordering::Acquire));
        let mut later = false;
        for class in QueueType::ALL {
            if !from.stealable.contains(class) {
                continue;
            }
            let urgent = (class as u8) < mine.running.min(mine.waiting) && class <= QueueType::Interactive;
            if mine.tasks() > 0 && !urgent {
                continue;
            }
            from.audit(class, now);
            let mut found: Option<TaskKey> = None;
            from.classes[class.rank()].policy.visit(&mut |key| {
                let task = from.get(key).filter(|task| task.may_be_stolen() && task.affinity.contains(cpu));
                // It could not run here either.
                let task = task.filter(|task| task.out_of_quota(now).is_none());
                later |= task.is_some() && from.holds(key, unsaved);
                let may_move = task.is_some() && !from.holds(key, unsaved);
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
                // What is left there may be for yet another CPU.
                let taker = if from.ready_count > 0 { self.find_taker(&mut from, true, now) } else { None };
                return Some(Pulled { taker: taker.filter(|&taker| taker != cpu) });
            }
        }
        if later {
            // It can be taken once its registers are saved: that CPU is to find a taker then.
            from.surplus = true;
            self.cpus[victim].waits_for_save.store(true, Ordering::SeqCst);
            if self.cpus[victim].unsaved.load(Ordering::Acquire) != unsaved.0 {
                // They were saved before the mark was there to be seen.
                drop((from, to));
                return self.pull_from(cpu, victim, mine, now);
            }
        }
        None
    }

    /// A CPU that would do better with a task waiting here: an idle one, or, if `urgent`, one that runs something less
    /// urgent than the most urgent task. It is told to look around, and must be interrupted. O(1) while nothing here may be
    /// taken, O(CPUs) while nobody would take it; else O(tasks waiting here that those CPUs may not run).
    #[inline(always)]
    pub(super) fn find_taker(&self, state: &mut CpuState<C>, urgent: bool, now: Timestamp) -> Option<usize> {
        if self.cpu_count() == 1 || state.stealable.is_empty() {
            return None;
        }
        let most_urgent = state.stealable.first()?;
        self.find_taker_among_others(state, urgent, most_urgent, now)
    }

    fn find_taker_among_others(
        &self,
        state: &mut CpuState<C>,
        urgent: bool,
        most_urgent: QueueType,
        now: Timestamp,
    ) -> Option<usize> {
        let would_take = |load: CpuLoad| {
            let idle = load.running == IDLE_RANK;
            let less_urgent = load.running.min(load.waiting) > most_urgent as u8;
            (idle && load.ready == 0) || (urgent && most_urgent <= QueueType::Interactive && less_urgent && !idle)
        };
        if !(0..self.cpu_count()).any(|cpu| cpu != state.cpu && would_take(self.load(cpu))) {
            return None;
        }
        let idle = self.idle_cpus(state.cpu);
        let unsaved = TaskId(self.cpus[state.cpu].unsaved.load(Ordering::Acquire));
        let (mut taker, mut later, mut first) = (None, false, None);
        let takeable = state.stealable;
        for class in QueueType::ALL.into_iter().filter(|&class| takeable.contains(class)) {
            state.audit(class, now);
            state.classes[class.rank()].policy.visit(&mut |key| {
                let Some(task) = state.get(key).filter(|task| task.may_be_stolen()) else { return false };
                first = first.or(Some((class, task.affinity)));
                if idle.intersects(&task.affinity) {
                    if state.holds(key, unsaved) {
                        later = true;
                    } else {
                        // Several CPUs at a time may look for takers: each asks another, if it can.
                        let takers = idle.intersection(&task.affinity);
                        let asked = |&cpu: &usize| self.cpus[cpu].look_around.load(Ordering::Relaxed);
                        taker = takers.iter().find(|cpu| !asked(cpu)).or_else(|| takers.iter().next());
                    }
                }
                taker.is_some() || idle.is_empty()
            });
            if taker.is_some() || idle.is_empty() {
                break;
            }
        }
        if taker.is_none() && later {
            // It can be taken once its registers are saved: look again then.
            state.surplus = true;
            self.cpus[state.cpu].waits_for_save.store(true, Ordering::Release);
            return None;
        }
        let taker = taker.or_else(|| {
            let (class, allowed) = first.filter(|_| urgent)?;
            (0..self.cpu_count())
                .filter(|&cpu| class <= QueueType::Interactive && cpu != state.cpu && allowed.contains(cpu))
                .map(|cpu| (self.load(cpu), cpu))
                .filter(|(load, _)| load.running.min(load.waiting) > class as u8 && load.running != IDLE_RANK)
                .max_by_key(|&(load, cpu)| (load.running, usize::MAX - cpu))
                .map(|(_, cpu)| cpu)
        })?;
        self.ask_to_look_around(taker);
        Some(taker)
    }

    /// A CPU that was asked to look around has taken something else, or nothing, as it has better things to do by now:
    /// finds an idle CPU for what it was asked to take.
    pub(super) fn pass_on(&self, cpu: usize, now: Timestamp) -> Option<usize> {
        if self.idle_cpus(cpu).is_empty() {
            return None;
        }
        (0..self.cpu_count())
            .filter(|&other| other != cpu && self.load(other).ready > 0 && !self.load(other).is_offline())
            .find_map(|other| self.find_taker(&mut self.lock(other), false, now))
            .filter(|&taker| taker != cpu)
    }

    pub(super) fn ask_to_look_around(&self, cpu: usize) {
        self.cpus[cpu].look_around.store(true, Ordering::Release);
    }

    /// Moves (or ends) a task that had to leave this CPU and whose registers are saved. `None`: there is none. Else a CPU to
    /// interrupt, if any.
    pub(super) fn flush_evicted(&self, cpu: usize, now: Timestamp) -> Option<Option<usize>> {
        loop {
            let mut state = self.lock(cpu);
            let saved = |&&key: &&TaskKey| {
                // Calls of one that is to end are settled first.
                let ready = |task: &crate::api::Task<C>| !task.sched.is_in_calls() || !task.sched.killed;
                state.get(key).is_some_and(ready) && !self.is_unsaved(&state, key)
            };
            let key = *state.leaving.iter().find(saved)?;
            let seat = state.seat;
            let task = state.task(key);
            let id = task.id;
            if task.sched.killed {
                let joiner = self.end_task(&mut state, key, crate::api::ExitStatus::Killed);
                drop(state);
                // This CPU is deciding anyway.
                return Some(self.notify(now, joiner).filter(|&other| other != cpu));
            }
            self.lift_mask(&mut state, key);
            let task = state.task(key);
            if task.may_run(seat) {
                // That has changed back meanwhile.
                let waits = task.state() == crate::api::TaskState::Ready && !task.sched.throttled;
                state.leaving.retain(|&other| other != key);
                if waits {
                    self.admit_to_queue(&mut state, key, crate::policy::Arrival::Migrate, now);
                }
                return Some(None);
            }
            let (reserved, allowed) = (task.reserved_on(), task.affinity);
            drop(state);
            let least = || allowed.iter().take_while(|&c| c < self.cpu_count()).min_by_key(|&c| self.load(c).tasks());
            let target = reserved.or_else(least)?;
            if self.load(target).is_offline() && reserved.is_some() {
                // Whoever has just taken that CPU away moves it.
                return None;
            }
            let (mut from, mut to) = self.lock_two(cpu, target);
            // Between the locks it may have been killed or moved, or where it may run have changed: then look again.
            let same = |task: &crate::api::Task<C>| {
                task.id == id && !task.sched.killed && task.may_run(to.seat) && !task.may_run(from.seat)
            };
            if !from.leaving.contains(&key) || !from.get(key).is_some_and(same) {
                continue;
            }
            let wake = self.move_task(&mut from, &mut to, key, now).ok()?;
            self.publish(&mut to);
            return Some((wake.interrupt || wake.until.is_some()).then_some(target));
        }
    }
}

/// A task has been taken over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulled {
    /// Another CPU to interrupt, as more waits where the task came from.
    pub taker: Option<usize>,
}

/// Whether a CPU loaded as `mine` should look into the queue of one loaded as `theirs`.
fn worth_pulling(mine: CpuLoad, theirs: CpuLoad) -> bool {
    let here = mine.running.min(mine.waiting);
    here == IDLE_RANK || (theirs.waiting < here && theirs.waiting <= QueueType::Interactive as u8)
}
