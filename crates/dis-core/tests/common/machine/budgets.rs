//! Budgets, followed from outside: what a Realtime task or one with `cpu_max` gets, and when.

use dis_core::intent::{Intent, IntentClass, QueueType};
use dis_core::optimizer::Server;

use super::seen::Seen;
use super::{Machine, ms};

/// The budget of a Realtime task, or one with `cpu_max`, whose intent never changed and to which nothing was ever lent.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// The whole of it; pieces of split tasks have parts.
    budget: i64,
    deadline: u64,
    period: u64,
    /// When the present budget, or part of one, began; 0 before the first.
    start: u64,
    /// How much that was.
    part: i64,
    /// What is left of it up to `used`, ns; a debt is carried over.
    left: i64,
    /// The task's CPU time up to which that counts.
    used: u64,
    /// The task is, or was, split: only its parts are followed.
    in_parts: bool,
    /// When CPUs were taken away with its reservation: each time it got a budget more.
    lost: Vec<u64>,
    /// Since when it has been split: before, it may have used more, up to its density.
    split_since: u64,
}

impl Account {
    pub fn of(intent: &Intent) -> Option<Account> {
        let (budget, deadline, period) = match intent.class {
            IntentClass::Realtime { period_us, deadline_us, wcet_us } => {
                (wcet_us as i64 * 1_000, deadline_us * 1_000, period_us * 1_000)
            }
            _ if (1..1000).contains(&intent.qos.cpu_max) => {
                (ms(10) as i64 / 1000 * i64::from(intent.qos.cpu_max), ms(10), ms(10))
            }
            _ => return None,
        };
        let part = budget;
        Some(Account {
            budget,
            deadline,
            period,
            start: 0,
            part,
            left: budget,
            used: 0,
            in_parts: false,
            lost: Vec::new(),
            split_since: 0,
        })
    }

    /// Nothing is given twice and no debt is forgiven: what is left changes by what is used, and grows by a budget, or
    /// part of one, only when that begins: `anew` if its CPU was taken away, perhaps the second one in an instant. A task that owes
    /// more gets as many as periods have passed, and one more if it has just `lost` its place; nobody saves one up.
    fn conserve(&self, task: usize, server: &Server, used: u64, anew: bool, lost: bool) {
        let remaining = signed(server);
        let left = self.left - (used - self.used) as i64;
        let (start, part) = (server.start.as_nanos(), server.budget.as_nanos() as i64);
        if (start, part) == (self.start, self.part) && !anew {
            // What is left when a split task's job is finished is not left to the next.
            let right = remaining == left || (self.in_parts && remaining == left.min(0));
            assert!(right, "task {task} has {remaining} ns left instead of {left}: {self:?} {server:?}");
            return;
        }
        let owed = left.min(0);
        let periods = (start.saturating_sub(self.start) / self.period).max(1) as i64 + i64::from(lost);
        // A debt may use up whole parts that begin at once.
        let begun = if self.in_parts { self.budget } else { part };
        let most = (owed + periods * begun).clamp(owed, part);
        assert!(
            (owed..=most).contains(&remaining),
            "task {task} begins with {remaining} ns left, not {owed} to {most}: {self:?} {server:?}"
        );
    }
}

/// What is left, or owed.
fn signed(server: &Server) -> i64 {
    server.remaining().as_nanos() as i64 - server.debt().as_nanos() as i64
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
            let Some(mut account) = self.actors[task].account.clone().filter(|_| self.follows_servers()) else {
                continue;
            };
            let server = seen.server.expect("it has an account");
            account.in_parts |= seen.split;
            if !old.is_some_and(|old| old.split) {
                account.split_since = self.now;
            }
            let moved = old.is_some_and(|old| old.reserved != seen.reserved);
            let lost = moved && old.is_some_and(|old| self.has_lost(old));
            if lost {
                account.lost.push(self.now);
            }
            let anew = moved && server.start.as_nanos() == self.now;
            account.conserve(task, &server, seen.stats.cpu_time, anew, lost);
            if seen.is_realtime() {
                let class = if seen.reserved.is_some() { QueueType::Realtime } else { QueueType::Batch };
                assert!(seen.urgency.class == class || seen.state.has_ended(), "task {task}: {seen:?}");
            }
            let begins = server.start.as_nanos() != account.start;
            if seen.is_realtime() && begins && !account.in_parts {
                self.check_begin(task, &seen, old, &account);
            }
            (account.left, account.used) = (signed(&server), seen.stats.cpu_time);
            (account.start, account.part) = (server.start.as_nanos(), server.budget.as_nanos() as i64);
            let (budget, period, since) = (account.budget as u64, account.period, account.split_since);
            let lost = |spans| account.lost.iter().filter(|&&at| at + spans * period > self.now).count() as u64;
            let most = [(1, 3), (10, 12)].map(|(spans, budgets)| (spans, budgets + lost(spans)));
            self.actors[task].account = Some(account);
            self.check_left(task, &seen);
            match seen.cpu_max {
                _ if seen.split => self.check_use(task, period, budget, &most, since),
                1..1000 if !seen.is_realtime() => self.check_cap(task, &seen, old),
                _ => {}
            }
        }
    }

    /// Whether the CPU of its reservation, or of some piece, was taken away, or had been before.
    fn has_lost(&self, old: &Seen) -> bool {
        let piece = old.split && self.offline_at == Some(self.now);
        piece || old.reserved.is_none_or(|cpu| !self.executor.is_online(cpu))
    }

    /// No budget begins before the one before it has earned it.
    fn check_begin(&self, task: usize, seen: &Seen, old: Option<&Seen>, account: &Account) {
        let now = self.now;
        let dense = !self.executor.fits_by_density(seen.reserved.unwrap_or(seen.home));
        let start = seen.server.expect("followed").start.as_nanos();
        let left = account.left - (seen.stats.cpu_time - account.used) as i64;
        let first = account.start == 0;
        let slept = old.is_some_and(|old| old.stats.wakes < seen.stats.wakes);
        let since = start.saturating_sub(account.start);
        let anew = old.is_some_and(|old| old.reserved != seen.reserved && self.has_lost(old)) && start == now;
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
    }

    /// Nobody overruns by more than timers are late, and whoever waits for a budget has none.
    fn check_left(&self, task: usize, seen: &Seen) {
        let now = self.now;
        let left = self.left(task).expect("followed");
        assert!(left >= -self.lateness(), "task {task} has overrun its budget by {} ns at {now}", -left);
        // Who waits for the beginning of a piece, or did when its task was split, may have that already.
        let in_parts = self.actors[task].account.as_ref().is_some_and(|account| account.in_parts);
        let held_back = seen.throttled && self.lateness() == 0 && !in_parts;
        assert!(!held_back || left <= 0, "task {task} is held back with {left} ns left at {now}");
        assert!(!seen.queued || left > 0, "task {task} is ready although it owes {} ns at {now}", -left);
    }

    /// In so many periods there are at most so many budgets, counted from `since` on.
    fn check_use(&self, task: usize, period: u64, budget: u64, most: &[(u64, u64)], since: u64) {
        let actor = &self.actors[task];
        let running = self.used(task) - actor.cpu_time;
        let late = self.lateness() as u64;
        for (spans, budgets) in most {
            let from = self.now.saturating_sub(spans * period).max(since);
            let used = actor.ran_between(from, self.now) + running;
            let most = budgets * budget + budgets * late;
            assert!(used <= most, "task {task} has used {used} of {most} ns in {spans} periods at {}", self.now);
        }
    }

    /// `cpu_max`: at most two budgets in any 10 ms, one at the end of a period and one at the beginning of the next, and
    /// eleven in any 100 ms. Who is held back has used one.
    fn check_cap(&self, task: usize, seen: &Seen, old: Option<&Seen>) {
        let period = ms(10);
        let budget = period / 1000 * u64::from(seen.cpu_max);
        self.check_use(task, period, budget, &[(1, 2), (10, 11)], 0);
        if seen.throttled && old.is_some_and(|old| !old.throttled) && self.lateness() == 0 {
            let used = self.actors[task].ran_between(self.now.saturating_sub(period), self.now);
            assert!(used >= budget, "task {task} is held back after {used} of {budget} ns at {}", self.now);
        }
    }
}
