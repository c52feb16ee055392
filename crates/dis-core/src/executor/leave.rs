//! How the running task leaves, or stays.

use lock_api::RawMutex;

use super::{Executor, Leave, Turn};
use crate::api::{BlockReason, Duration, ExitStatus, TaskId, TaskState, Timestamp};
use crate::intent::IntentClass;
use crate::policy::{Arrival, TaskKey};
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Carries out `leave`. Afterwards the CPU has a current task only if that one goes on. Answers a joiner to tell.
    pub(super) fn leave(
        &self,
        state: &mut CpuState<C>,
        leave: Leave,
        turn: &mut Turn,
        now: Timestamp,
    ) -> Option<TaskId> {
        let key = state.current?;
        let task = state.task(key);
        let carries = task.sched.carries();
        // A carrier ends when its calls have been settled.
        if task.sched.killed && !carries {
            return self.finish(state, key, ExitStatus::Killed, now);
        }
        match leave {
            Leave::Exit(code) if carries => {
                // A server ends in mid-call: its caller goes on, unless somebody is to go first.
                let server = state.runner(key);
                state.give_back(key, server, 0);
                let joiner = self.end_task(state, server, ExitStatus::Exited(code));
                let _ = self.reapply(state, key, now);
                self.stay(state, key, turn, now);
                return joiner;
            }
            Leave::Exit(code) => return self.finish(state, key, ExitStatus::Exited(code), now),
            Leave::Block(reason, until) => {
                if !core::mem::take(&mut task.sched.token) {
                    self.block(state, key, Some(reason), until, now);
                    return None;
                }
                self.stay(state, key, turn, now);
            }
            Leave::Declined => {
                if core::mem::take(&mut task.sched.token) {
                    self.give_way(state, key, Arrival::Preempt, turn, now);
                } else {
                    self.block(state, key, Some(BlockReason::Mutex), None, now);
                }
            }
            Leave::Sleep(until) if until > now => self.block(state, key, None, Some(until), now),
            Leave::NextPeriod | Leave::NextJob(_) if matches!(task.intent.class, IntentClass::Realtime { .. }) => {
                turn.surplus = true;
                let arrival = if let Leave::NextJob(arrival) = leave { arrival } else { Timestamp::ZERO };
                self.next_job(state, key, arrival, now);
            }
            // A sleep that is over already, and a job without a period, let the peers go first.
            Leave::Yield | Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_) => {
                task.stats.voluntary_yields += 1;
                state.left_voluntarily = true;
                self.give_way(state, key, Arrival::Yield, turn, now);
            }
            Leave::Ask => self.stay(state, key, turn, now),
        }
        None
    }

    /// The task is ready still and lets others go first; or it waits for its next budget, or goes where it must.
    fn give_way(&self, state: &mut CpuState<C>, key: TaskKey, why: Arrival, turn: &mut Turn, now: Timestamp) {
        turn.surplus = true;
        let (ready, borrowing) = (state.ready, state.limits.budget_borrowing);
        let task = state.task(key);
        let exhausted =
            task.sched.server.is_some_and(|server| server.is_exhausted()) || task.out_of_quota(now).is_some();
        if exhausted || task.sched.dirty || task.changes_class(ready) {
            task.renew_target(now);
            task.stats.overruns += u64::from(task.overruns(borrowing, now));
            task.stats.time_slice = 0;
            self.stop_competing(state, key, TaskState::Ready, now);
            self.admit_to_queue(state, key, Arrival::Migrate, now);
        } else if state.ready.is_empty() {
            // Nobody to let go first.
            turn.surplus = false;
            state.refill_slice(key);
        } else {
            self.requeue(state, key, why, now);
        }
    }

    /// The task would go on; may it?
    fn stay(&self, state: &mut CpuState<C>, key: TaskKey, turn: &mut Turn, now: Timestamp) {
        let (seat, ready, borrowing) = (state.seat, state.ready, state.limits.budget_borrowing);
        let task = state.task(key);
        let class = task.sched.class;
        let why = if core::mem::take(&mut task.sched.dirty) {
            if !task.may_run(seat) {
                self.preempted(state, key);
                self.stop_competing(state, key, TaskState::Ready, now);
                self.evict(state, key);
                return;
            }
            Arrival::Migrate
        } else if task.sched.server.is_some_and(|server| server.is_exhausted()) || task.out_of_quota(now).is_some() {
            // Requeuing finds the budget empty, and lets it wait for the next, or go on with that.
            task.renew_target(now);
            task.stats.overruns += u64::from(task.overruns(borrowing, now));
            Arrival::Migrate
        } else if task.changes_class(ready) {
            task.renew_target(now);
            Arrival::Migrate
        } else {
            let chosen = state.arbiter.choose(state.ready.with(class), now).map(|(class, _)| class);
            let slice_over = state.task(key).stats.time_slice == 0;
            if chosen != Some(class) {
                // A slice that ends just when another class goes first has ended all the same.
                if slice_over { Arrival::SliceEnd } else { Arrival::Preempt }
            } else if !state.ready.contains(class) {
                if slice_over {
                    state.refill_slice(key);
                }
                return;
            } else if slice_over {
                Arrival::SliceEnd
            } else if self.peer_preempts(state, key, now) {
                Arrival::Preempt
            } else {
                return;
            }
        };
        self.preempted(state, key);
        turn.surplus = true;
        if why == Arrival::Migrate {
            self.stop_competing(state, key, TaskState::Ready, now);
            self.admit_to_queue(state, key, Arrival::Migrate, now);
        } else {
            self.requeue(state, key, why, now);
        }
    }

    pub(super) fn preempted(&self, state: &mut CpuState<C>, key: TaskKey) {
        state.task(key).stats.preemptions += 1;
        state.left_voluntarily = false;
    }

    /// Whether the first of the running task's class should take its place.
    pub(super) fn peer_preempts(&self, state: &mut CpuState<C>, key: TaskKey, now: Timestamp) -> bool {
        let class = state.task(key).sched.class;
        let Some(first) = state.classes[class.rank()].policy.peek(now) else { return false };
        let (Some(first), running) = (state.get(first).map(|t| t.sched.entity), state.task(key).sched.entity) else {
            return false;
        };
        state.classes[class.rank()].policy.preempts(&first, &running)
    }

    /// The running task is ready again, in the class it ran in.
    pub(super) fn requeue(&self, state: &mut CpuState<C>, key: TaskKey, why: Arrival, now: Timestamp) {
        state.current = None;
        let task = state.task(key);
        task.state = TaskState::Ready;
        // Its turn is over: an Interactive task that runs on gets a new deadline behind those who wait already.
        if why != Arrival::Preempt
            && let IntentClass::Interactive { target_latency_us } = task.intent.class
        {
            task.deadline = Some(now + Duration::from_micros(target_latency_us));
            let (task, policy) = state.task_and_policy(key);
            task.keep_up(policy, now);
        }
        let task = state.task(key);
        if why != Arrival::Preempt {
            task.stats.time_slice = 0;
        }
        let class = task.sched.class;
        if task.sched.limited
            && let Some(reservation) = task.sched.duty.reservation()
        {
            let end = reservation.deadline();
            state.watch_window(end);
        }
        state.enqueue(key, why, now);
        state.arbiter.begin_wait(class, now);
    }

    /// The running task leaves its policy's care.
    #[inline(always)]
    pub(crate) fn stop_competing(&self, state: &mut CpuState<C>, key: TaskKey, next: TaskState, now: Timestamp) {
        state.current = None;
        let (task, policy) = state.task_and_policy(key);
        policy.on_block(&mut task.sched.entity, now);
        let class = task.sched.class;
        debug_assert!(task.state.may_become(next), "a running task may become {next}");
        task.state = next;
        state.arbiter.begin_wait(class, now);
    }

    #[inline(always)]
    fn block(
        &self,
        state: &mut CpuState<C>,
        key: TaskKey,
        reason: Option<BlockReason>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) {
        let next = if reason.is_some() { TaskState::Blocked } else { TaskState::Sleeping };
        self.stop_competing(state, key, next, now);
        state.left_voluntarily = true;
        let task = state.task(key);
        task.sched.block_reason = reason;
        task.stats.blocks += 1;
        task.stats.time_slice = 0;
        // A Realtime execution is a whole job, blocking included.
        if !task.sched.is_realtime() {
            task.end_burst(false);
        }
        let seat = state.seat;
        let forbidden = !state.task(key).may_run(seat);
        if let Some(at) = until {
            state.set_timer(key, at);
        }
        if forbidden {
            self.evict(state, key);
        }
    }

    /// A Realtime job is finished: the task sleeps until the next release, which is a period after the last one or when the next
    /// job arrives, whichever is later; or it goes on if that has come.
    fn next_job(&self, state: &mut CpuState<C>, key: TaskKey, arrival: Timestamp, now: Timestamp) {
        let task = state.task(key);
        let IntentClass::Realtime { period_us, deadline_us, .. } = task.intent.class else { return };
        let (period, deadline) = (Duration::from_micros(period_us), Duration::from_micros(deadline_us));
        let Some(job) = task.sched.duty.job() else { return };
        let missed = now > job.deadline;
        job.release = (job.release + period).max(arrival);
        // Releases whose deadlines have passed too are skipped: their jobs could only be late.
        let late = now.since(job.release + deadline).as_nanos();
        let skipped = late.div_ceil(period.as_nanos().max(1));
        job.release += period.mul_div(skipped, 1);
        job.missed = missed;
        job.skipped = skipped;
        let release = job.release;
        let misses = skipped + u64::from(missed);
        task.end_burst(missed);
        task.stats.deadline_misses += misses;
        task.sched.pending_release = true;
        self.back_to_first_piece(task, release);
        state.counts.deadline_misses += misses;
        if release > now {
            self.block(state, key, None, Some(release), now);
        } else {
            self.stop_competing(state, key, TaskState::Ready, now);
            state.left_voluntarily = true;
            let task = state.task(key);
            task.stats.voluntary_yields += 1;
            task.stats.time_slice = 0;
            self.make_ready(state, key, Arrival::Migrate, now);
        }
    }

    fn finish(&self, state: &mut CpuState<C>, key: TaskKey, status: ExitStatus, now: Timestamp) -> Option<TaskId> {
        let missed = {
            let task = state.task(key);
            let late = task.sched.duty.job().is_some_and(|job| now > job.deadline);
            task.stats.deadline_misses += u64::from(late);
            u64::from(late)
        };
        state.counts.deadline_misses += missed;
        state.left_voluntarily = matches!(status, ExitStatus::Exited(_));
        self.stop_competing(state, key, TaskState::Zombie, now);
        self.end_task(state, key, status)
    }
}
