//! Budgets, followed from outside: what a Realtime task or one with `cpu_max` gets, and when.

use dis_core::intent::{IntentClass, QueueType};

use super::seen::Seen;
use super::{Machine, ms};

/// The budget of a Realtime task whose intent never changed and to which nothing was ever lent.
#[derive(Debug, Clone)]
pub(super) struct Account {
    budget: i64,
    deadline: u64,
    period: u64,
    /// When the present budget began; 0 before the first.
    start: u64,
    /// What is left of it up to `used`, ns; a debt is carried over.
    left: i64,
    /// The task's CPU time up to which that counts.
    used: u64,
}

impl Account {
    pub fn of(class: &IntentClass) -> Option<Account> {
        let IntentClass::Realtime { period_us, deadline_us, wcet_us } = *class else { return None };
        let budget = wcet_us as i64 * 1_000;
        let (period, deadline) = (period_us * 1_000, deadline_us * 1_000);
        Some(Account { budget, deadline, period, start: 0, left: budget, used: 0 })
    }
}

impl Machine {
    /// Only the plain hard server is followed; what a host's limits add to it is judged by the tests of that.
    pub(super) fn follows_servers(&self) -> bool {
        let limits = &self.limits;
        limits.budget_slack == 0 && limits.budget_overhead.is_zero() && !limits.budget_borrowing
    }

    /// CPU time of a task up to now.
    fn used(&self, task: usize) -> u64 {
        let running = self.cpus.iter().find(|cpu| cpu.current.is_some_and(|(t, _)| t == task));
        self.actors[task].cpu_time + running.map_or(0, |cpu| self.now - cpu.charged)
    }

    /// What is left of a budget that is followed.
    fn left(&self, task: usize) -> Option<i64> {
        let account = self.actors[task].account.as_ref().filter(|_| !self.actors[task].changed)?;
        Some(account.left - (self.used(task) - account.used) as i64)
    }

    pub(super) fn is_exhausted(&self, task: usize, seen: &Seen) -> Option<bool> {
        // With late timers there are debts, and when they are paid is not to be seen in all cases.
        let exact = seen.is_realtime() && !seen.split && self.lateness() == 0;
        if exact { self.left(task).map(|left| left <= 0) } else { None }
    }

    /// Longest that a timer may be late: the CPU does not answer while it saves registers.
    fn lateness(&self) -> i64 {
        self.slowest as i64
    }

    /// Each budget is spent at most once, and no budget begins before the one before it has earned it.
    pub(super) fn check_budgets(&mut self, before: &[Option<Seen>]) {
        for task in 0..self.actors.len() {
            let Some(seen) = self.seen[task].clone() else { continue };
            let old = before.get(task).and_then(Option::as_ref);
            if self.actors[task].changed {
                continue;
            }
            if seen.is_realtime() {
                // What the pieces of a split one get is judged by the tests of that.
                self.actors[task].changed |= seen.split;
                if !self.follows_servers() || seen.split {
                    continue;
                }
                self.check_server(task, seen, old);
            } else if (1..1000).contains(&seen.cpu_max) {
                self.check_cap(task, &seen, old);
            }
        }
    }

    fn check_server(&mut self, task: usize, seen: Seen, old: Option<&Seen>) {
        let class = if seen.reserved.is_some() { QueueType::Realtime } else { QueueType::Batch };
        assert!(seen.urgency.class == class || seen.state.has_ended(), "task {task}: {seen:?}");
        let used = self.used(task);
        let now = self.now;
        let dense = !self.executor.fits_by_density(seen.reserved.unwrap_or(seen.home));
        let mut account = self.actors[task].account.clone().expect("made at the spawn");
        let start = seen.budget_start.expect("a Realtime task").as_nanos();
        if start != account.start {
            let left = account.left - (used - account.used) as i64;
            let first = account.start == 0;
            let slept = old.is_some_and(|old| old.stats.wakes < seen.stats.wakes);
            let since = start.saturating_sub(account.start);
            let lost = |old: &Seen| old.reserved.is_none_or(|cpu| !self.executor.is_online(cpu));
            let anew = old.is_some_and(|old| old.reserved != seen.reserved && lost(old)) && start == now;
            assert!(first || anew || start > account.start, "task {task}: a budget begins before the last one");
            let earned = if first || since >= account.period || anew {
                // A period has passed since the last one began, for each budget or part of one; or it begins anew, as it had no place.
                true
            } else {
                // It woke up early, or its next job was released early as it had done so, or it came from another CPU in mid-job: what
                // it has used up to now is no more than its bandwidth up to its deadline.
                let released = start == seen.job.release.as_nanos() && old.is_some_and(|old| old.job != seen.job);
                let rest = account.deadline.saturating_sub(since);
                let spared = i128::from(left.max(0)) * i128::from(account.deadline);
                let moved = old.is_some_and(|old| old.reserved != seen.reserved);
                let now_or_then = ((slept || moved) && start == now) || released;
                now_or_then && (rest == 0 || spared > i128::from(rest) * i128::from(account.budget))
            };
            // Where densities do not fit, whoever has waited in mid-job goes on with the budget of the next period.
            let ahead = start.saturating_sub(now.max(seen.job.release.as_nanos()));
            assert!(ahead == 0 || (dense && ahead <= account.period), "task {task} is {ahead} ns ahead at {now}");
            assert!(earned, "task {task} gets a budget {since} ns after the last with {left} left at {now}");
            let periods = (since / account.period).max(1) as i64;
            // A task that owes more than a budget gets as many as have passed; nobody saves one up.
            let given = if left < 0 && !first && !anew { periods * account.budget } else { account.budget };
            account.left = (left.min(0) + given).min(account.budget);
            account.used = used;
            account.start = start;
            self.actors[task].account = Some(account);
        }
        let left = self.left(task).expect("followed");
        assert!(left >= -self.lateness(), "task {task} has overrun its budget by {} ns at {now}", -left);
        let held_back = seen.throttled && self.lateness() == 0;
        assert!(!held_back || left <= 0, "task {task} is held back with {left} ns left at {now}");
        assert!(!seen.queued || left > 0, "task {task} is ready although it owes {} ns at {now}", -left);
    }

    /// `cpu_max`: at most two budgets in any 10 ms, one at the end of a period and one at the beginning of the next, and
    /// eleven in any 100 ms. Who is held back has used one.
    fn check_cap(&self, task: usize, seen: &Seen, old: Option<&Seen>) {
        let period = ms(10);
        let budget = period / 1000 * u64::from(seen.cpu_max);
        let actor = &self.actors[task];
        let running = self.used(task) - actor.cpu_time;
        let late = self.lateness() as u64;
        for (spans, budgets) in [(1, 2), (10, 11)] {
            let used = actor.ran_between(self.now.saturating_sub(spans * period), self.now) + running;
            let most = budgets * budget + budgets * late;
            assert!(used <= most, "task {task} has used {used} of {most} ns in {spans} periods at {}", self.now);
        }
        if seen.throttled && old.is_some_and(|old| !old.throttled) && late == 0 {
            let used = actor.ran_between(self.now.saturating_sub(period), self.now);
            assert!(used >= budget, "task {task} is held back after {used} of {budget} ns at {}", self.now);
        }
    }
}
