//! Making tasks ready.

use lock_api::RawMutex;

use super::TaskManager;
use super::homes::Home;
use super::slab::{peek, slot};
use super::split::PieceId;
use super::state::CpuState;
use crate::api::{BlockReason, Duration, SchedError, SchedResult, Task, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::IntentClass;
use crate::optimizer::{Wakes, Wanted, choose_cpu};
use crate::policy::{Arrival, TaskKey};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Whoever is not blocked or asleep is an error.
    Strict,
    /// Whoever is not blocked keeps the wake-up for its next block.
    Unpark,
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Wakes a blocked or sleeping task. O(log n) in the tasks of its class, O(CPUs) for the placement.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it is neither blocked nor sleeping.
    pub fn wake(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        self.rouse(now, id, Manner::Strict)
    }

    /// Wakes a blocked task, or remembers the wake-up so that the task's next block returns at once; a plain sleep is
    /// not cut short. With this, "check, then block" loses no wake-up that falls between the two.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it has ended.
    pub fn unpark(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        self.rouse(now, id, Manner::Unpark)
    }

    fn rouse(&self, now: Timestamp, id: TaskId, manner: Manner) -> SchedResult<Wake> {
        loop {
            let (mut state, own) = self.lock_home(id)?;
            let (home, mut key, stack) = (state.cpu, own, id);
            if state.task(key).sched.is_in_calls() {
                let (place, competes) = state.place_of_stack(key);
                if !competes {
                    // In a call, and so not blocked: it hears of it when that is over.
                    state.task(place).sched.token |= manner == Manner::Unpark;
                    let remembered = Ok(Wake::remembered(home));
                    return if manner == Manner::Unpark { remembered } else { Err(SchedError::InvalidState) };
                }
                key = place;
            }
            let task = state.task(key);
            let id = task.id;
            if task.sched.killed && task.state != TaskState::Running && !task.sched.carries() {
                return Err(SchedError::InvalidState);
            }
            match (task.state, manner) {
                (TaskState::Blocked, _) | (TaskState::Sleeping, Manner::Strict) => {}
                (TaskState::Ready | TaskState::Running | TaskState::Sleeping, Manner::Unpark) => {
                    task.sched.token = true;
                    return Ok(Wake::remembered(home));
                }
                _ => return Err(SchedError::InvalidState),
            }
            let (target, placement) = self.place(&state, key);
            if target == home {
                self.make_ready(&mut state, key, Arrival::Wake, now);
                let wake = self.assess(&mut state, key, placement, now);
                return Ok(self.settle(&mut state, key, wake));
            }
            drop(state);
            let (mut from, mut to) = self.lock_two(home, target);
            // Between the locks it may have been woken, moved or ended: then look again.
            let waits = |task: &Task<C>| {
                task.id == id
                    && matches!(task.state, TaskState::Blocked | TaskState::Sleeping)
                    && task.may_run(to.seat)
                    && (!task.sched.killed || task.sched.carries())
            };
            let same = from.get(own).is_some_and(|task| task.id == stack) && from.place_of_stack(own) == (key, true);
            if !same || !from.get(key).is_some_and(waits) || self.is_unsaved(&from, key) {
                continue;
            }
            let Some(key) = self.rehome(&mut from, &mut to, key) else { return Err(SchedError::ResourceExhausted) };
            drop(from);
            self.make_ready(&mut to, key, Arrival::Wake, now);
            let mut wake = self.assess(&mut to, key, placement, now);
            wake.interrupt |= !to.revoked.is_empty();
            return Ok(self.settle(&mut to, key, wake));
        }
    }

    /// Makes a blocked task ready on the CPU that it is at home on, which is about to choose. `None`, and nothing has happened, if
    /// it is not at home there, does not wait, or might better go elsewhere: then [`unpark`](Self::unpark) it.
    #[inline(always)]
    pub(crate) fn unpark_here(
        &self,
        state: &mut CpuState<C>,
        id: TaskId,
        now: Timestamp,
    ) -> Option<(TaskKey, Placement)> {
        let Home { cpu, key } = self.homes.get(id).filter(|home| home.cpu == state.cpu)?;
        let task = state.get(key)?;
        let waits = task.id == id && task.state == TaskState::Blocked;
        if !waits || task.sched.killed || task.sched.is_in_calls() {
            return None;
        }
        let (target, placement) = self.place(state, key);
        if target != cpu {
            return None;
        }
        self.make_ready(state, key, Arrival::Wake, now);
        Some((key, placement))
    }

    /// Where a task that becomes ready should go.
    #[inline(always)]
    fn place(&self, state: &CpuState<C>, key: TaskKey) -> (usize, Placement) {
        let home = state.cpu;
        let Some(task) = state.get(key) else { return (home, Placement::Bound) };
        let bound = task.sched.hold.is_some() || !task.sched.movable;
        if self.is_unsaved(state, key) || (bound && task.may_run(state.seat)) {
            return (home, Placement::Bound);
        }
        // The common cases without a look at other CPUs: nothing else is here, or there is no other.
        let alone = (state.current.is_none() && state.ready.is_empty()) || self.cpu_count() == 1;
        if alone && task.affinity.contains(state.seat) {
            return (home, Placement::Previous);
        }
        if let Some(cpu) = task.reserved_on() {
            // Whoever has just taken that CPU away is about to find it another.
            return (if self.load(cpu).is_offline() { home } else { cpu }, Placement::Bound);
        }
        let class = task.urgency().class;
        let wanted = Wanted { class, allowed: task.affinity, previous: home };
        choose_cpu(wanted, self.cpu_count(), |cpu| self.load(cpu)).unwrap_or((home, Placement::Bound))
    }

    /// A blocked, sleeping or new task becomes ready on this CPU: its deadline and class are determined, and it is
    /// queued, unless it must wait for its next budget.
    pub(crate) fn make_ready(&self, state: &mut CpuState<C>, key: TaskKey, why: Arrival, now: Timestamp) {
        state.clear_timer(key);
        let (share, burst) = (state.limits.interactive_share, state.limits.interactive_burst);
        let (overhead, window, exact) = (state.limits.budget_overhead, state.limits.window, state.exact);
        let task = slot(&mut state.slab, key);
        if task.state == TaskState::Blocked
            && task.sched.pending_release
            && let Some(job) = task.sched.duty.job()
        {
            job.release = job.release.max(now);
        }
        task.state = TaskState::Ready;
        // Whoever held what it wanted ran in its place, on its urgency: blocking, not a suspension.
        let was_blocked = task.sched.block_reason.take() == Some(BlockReason::Mutex);
        if why == Arrival::Wake {
            task.stats.wakes += 1;
        }
        if task.sched.is_interactive()
            && let Some(credit) = &mut task.sched.credit
        {
            task.deadline = Some(now + task.sched.target);
            credit.charge(Duration::ZERO, share, burst, now);
            if task.sched.domain.is_some() {
                task.share_credit(state.cpu, &state.limits, now);
            }
        } else if task.sched.limited
            && let IntentClass::Realtime { deadline_us, .. } = task.intent.class
        {
            let split = task.is_split();
            let wakes = if exact || split { Wakes::Postponed } else { Wakes::ByDensity };
            if core::mem::take(&mut task.sched.pending_release) {
                release_job(task, Duration::from_micros(deadline_us), wakes);
            } else if was_blocked && task.sched.server.is_some_and(|server| now < server.deadline()) {
                // It keeps what it has.
            } else if split {
                self.wake_split(task, now);
            } else if let Some(server) = &mut task.sched.server {
                server.wake(now, overhead, wakes);
            }
            task.deadline = task.sched.duty.job().map(|job| job.deadline);
        }
        if task.sched.limited
            && let Some(reservation) = task.sched.duty.reservation_mut()
        {
            reservation.wake(window, now);
        }
        self.admit_to_queue(state, key, why, now);
    }

    /// Queues a ready task under its present urgency, or lets it wait for its next budget. One that must leave this CPU
    /// is queued by the CPU it goes to.
    #[inline(always)]
    pub(crate) fn admit_to_queue(&self, state: &mut CpuState<C>, key: TaskKey, why: Arrival, now: Timestamp) {
        if state.leaving.contains(&key) {
            return;
        }
        let (seat, window, borrowing) = (state.seat, state.limits.window, state.limits.budget_borrowing);
        let task = state.task(key);
        if !task.may_run(seat) {
            self.evict(state, key);
            return;
        }
        let realtime = task.sched.is_realtime();
        if let Some(server) = &mut task.sched.server {
            if server.is_exhausted() && task.sched.hold.is_some_and(|hold| hold.piece != PieceId::NONE) {
                self.change_piece(state, key, why, now);
                return;
            }
            if !realtime && server.replenishment() <= now {
                server.release(now, Wakes::ByDensity);
            } else {
                server.replenish(now);
            }
            if server.is_exhausted() && realtime && borrowing && server.may_borrow(now) {
                server.borrow();
            }
            if server.is_exhausted() {
                // One that is a budget ahead may borrow again when that one's period begins.
                let at = if server.may_borrow(now) { server.replenishment() } else { server.start };
                task.sched.throttled = true;
                state.set_timer(key, at);
                return;
            }
        }
        if let Some(at) = task.out_of_quota(now) {
            task.sched.throttled = true;
            if let Some(domain) = &task.sched.domain {
                domain.note_throttled(now);
            }
            state.set_timer(key, at);
            return;
        }
        let mut window_end = None;
        if task.sched.limited
            && let Some(reservation) = task.sched.duty.reservation_mut()
        {
            reservation.roll(window, now);
            window_end = Some(reservation.deadline());
        }
        let urgency = task.urgency();
        if urgency.class != task.sched.class {
            // What is left of a slice of one class, and its length, mean nothing in another.
            task.sched.class = urgency.class;
            task.stats.time_slice = 0;
        }
        task.sched.entity.priority = urgency.priority;
        task.sched.entity.deadline = urgency.deadline;
        if let Some(end) = window_end {
            state.watch_window(end);
        }
        state.enqueue(key, why, now);
    }

    /// What the host has to do about a CPU in which `key` has just become ready.
    #[inline(always)]
    pub(crate) fn assess(&self, state: &mut CpuState<C>, key: TaskKey, placement: Placement, now: Timestamp) -> Wake {
        let cpu = state.cpu;
        let mut wake = Wake { cpu, interrupt: false, until: None, placement };
        if state.leaving.contains(&key) {
            wake.interrupt = true;
            return wake;
        }
        if !state.get(key).is_some_and(Task::is_queued) {
            // Throttled: its timer counts.
            return self.sleeper_added(state, state.timers.due(), placement, now);
        }
        let Some(running) = state.current else {
            wake.interrupt = true;
            return wake;
        };
        // Caps, budgets and slices are compared with what has been used up to now.
        state.charge(now);
        let CpuState { slab, classes, arbiter, ready, .. } = state;
        let (newcomer, running) = (&peek(slab, key).sched, &peek(slab, running).sched);
        let chosen = arbiter.choose(ready.with(running.class), now).map(|(class, _)| class);
        wake.interrupt = if chosen == Some(running.class) {
            let policy = &classes[running.class.rank()].policy;
            newcomer.class == running.class && policy.preempts(&newcomer.entity, &running.entity)
        } else {
            true
        };
        // With others of its class there already, nothing falls due earlier than it did, unless less is left to System.
        if !wake.interrupt && (classes[newcomer.class.rank()].stat.length == 1 || newcomer.hold.is_some()) {
            let horizon = self.horizon(state, now);
            if horizon < state.until {
                state.until = horizon;
                wake.until = Some(horizon);
            }
        }
        wake
    }

    /// What the host has to do about a CPU in whose timer queue `at` has been entered, or on which a reservation has been
    /// made, which leaves less to a System task that runs.
    pub(crate) fn sleeper_added(
        &self,
        state: &mut CpuState<C>,
        at: Timestamp,
        placement: Placement,
        now: Timestamp,
    ) -> Wake {
        state.charge(now);
        let at = at.min(self.horizon(state, now));
        let sooner = at < state.until;
        if sooner {
            state.until = at;
        }
        Wake { cpu: state.cpu, interrupt: false, until: sooner.then_some(at), placement }
    }

    /// When this CPU must decide anew if nothing happens before.
    #[inline(always)]
    pub(crate) fn horizon(&self, state: &mut CpuState<C>, now: Timestamp) -> Timestamp {
        let timer = state.timers.due().min(state.offer);
        let Some(key) = state.current else { return timer };
        slot(&mut state.slab, key).horizon(timer, &mut state.arbiter, state.ready, &state.limits, now)
    }
}

/// The next job of a Realtime task begins at the release recorded in its job.
fn release_job<C>(task: &mut Task<C>, deadline: Duration, wakes: Wakes) {
    let Some(job) = task.sched.duty.job() else { return };
    job.number += 1 + job.skipped;
    job.deadline = job.release + deadline;
    let release = job.release;
    if let Some(server) = &mut task.sched.server {
        server.release(release, wakes);
    }
}
