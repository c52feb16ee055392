//! Weighted fair shares with latency bounds: earliest eligible virtual deadline first.
//!
//! EEVDF (Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First: A Flexible and Accurate Mechanism for
//! Proportional Share Resource Allocation", Old Dominion University TR-95-22, 1995). Every task has a *weight* w and
//! asks for CPU time in *requests* of length r. Its *virtual runtime* v advances by (time run)/w; the queue's *virtual
//! time* V is the weighted mean of v over all that compete, the running task included. V − v is the task's *lag*: the
//! service it is owed, divided by its weight. The rule:
//!
//! 1. a task is *eligible* if it is owed something or nothing: v <= V;
//! 2. of the eligible tasks, the one with the earliest *virtual deadline* runs, where a request's deadline is the v
//!    at which it began + r/w; ties in order of arrival;
//! 3. it runs to the end of its request.
//!
//! While nobody joins or leaves, no task's lag leaves the bounds ± the longest request (in virtual time), so each has its
//! share within a request's length. (The product's policy counts a task that is ahead by no more than 50 µs as eligible, which
//! widens the bounds by as much.) Short requests bring service early and often, not more of it.
//!
//! **Who joins and leaves.** A task that stops competing takes its lag along, at most one request either way: a
//! sleeper hoards no credit, and one who has overdrawn does not get rid of it by a nap. A new task starts with lag 0:
//! it takes nothing from the old ones but its share from now on. Who was behind on a slower CPU brings up to
//! [`MOST_OWED`], so that it catches up with the tasks of this one.
//!
//! **Cost.** Two heaps: one by deadline, and one by v for tasks that were first by deadline and not eligible, until V
//! passes their v. As V falls when a task leaves that had run ahead, a task that has come back from there may be not
//! eligible again; at most [`RECHECKS`](queue::RECHECKS) such tasks are put back for one choice, then the earliest
//! deadline is taken as it is. So all calls are O(log n) amortised.
//!
//! **Precision.** See [`clock`]: V is exact, a charge loses less than 1/256 ns, a saved lag less than one unit.

use alloc::boxed::Box;
use alloc::sync::Arc;

mod clock;
mod group;
mod queue;
#[cfg(test)]
mod tests;

use self::clock::{MAX_REQUEST, VirtualClock, service};
pub(crate) use self::clock::{SCALE_BITS, virtual_length};
pub(crate) use self::group::MOST_WEIGHT;
pub use self::group::{GroupRoom, GroupShare};
use self::queue::{Member, Queued, VirtualQueue};
use super::{Arrival, Entity, Progress, SchedulingPolicy, TaskKey};
use crate::api::{Duration, Timestamp};

/// Shares the CPU in proportion to weights (256 − priority): the earliest eligible virtual deadline first (EEVDF; Stoica and
/// Abdel-Wahab 1995).
///
/// A task that has had no more than its share is eligible; of the eligible tasks, the one whose request is due first runs
/// to the end of its request. A task's share is never off by more than a request, sleepers hoard no credit, and a new task
/// takes nothing from the old ones but its share from now on. Calls are O(log n) amortised, O(1) while requests are of
/// one length in virtual time (same weight and slice).
#[derive(Debug)]
pub struct FairPolicy {
    requests: Requests,
    min_granularity: Duration,
    clock: VirtualClock,
    queue: VirtualQueue,
    /// CPU time that the running task has had since it was selected.
    served: Duration,
    /// Numbers arrivals.
    turns: u32,
}

/// How long requests are.
#[derive(Debug, Clone, Copy)]
enum Requests {
    /// This at weight 256, in proportion for others.
    ByWeight(Duration),
    /// What the intent says.
    ByIntent,
}

/// By how much service, at the default priority, a task of the product's policy may be ahead and still be eligible: about what a
/// switch costs with all that it brings. Without it, tasks that yield after some nanoseconds are held back for each other's
/// jitter: they are moved between the heaps and chosen again instead of letting the other go.
const SLACK: Duration = Duration::from_micros(50);

/// The most service that a task which comes from another CPU may be owed.
pub(crate) const MOST_OWED: Duration = Duration::from_millis(200);

/// The weight of a priority, 1..=256.
pub(crate) const fn weight(priority: u8) -> u16 {
    256 - priority as u16
}

impl FairPolicy {
    /// Requests of 20 ms · weight / 256, at least 1 ms.
    pub fn new() -> Self {
        Self::with_requests(Requests::ByWeight(Duration::from_millis(20)), Duration::from_millis(1))
    }

    /// Requests as long as the intents' own slices ([`Entity::slice`]), at least `min_granularity`, at most 4.3 s.
    pub fn with_intent_slices(min_granularity: Duration) -> Self {
        let policy = Self::with_requests(Requests::ByIntent, min_granularity);
        FairPolicy { clock: VirtualClock::with_slack(virtual_length(SLACK, weight(128))), ..policy }
    }

    fn with_requests(requests: Requests, min_granularity: Duration) -> Self {
        let (clock, queue) = (VirtualClock::default(), VirtualQueue::default());
        FairPolicy { requests, min_granularity, clock, queue, served: Duration::ZERO, turns: 0 }
    }

    /// The length of `task`'s requests.
    #[inline]
    fn request(&self, task: &Entity) -> Duration {
        let request = match self.requests {
            Requests::ByWeight(full) => full.mul_div(u64::from(weight(task.priority)), 256),
            Requests::ByIntent => task.slice,
        };
        request.max(self.min_granularity).clamp(Duration::from_nanos(1), MAX_REQUEST)
    }

    /// The same in virtual time.
    fn request_length(&self, task: &Entity, weight: u16) -> i64 {
        virtual_length(self.request(task), weight)
    }

    /// Places `task`, which does not compete yet, and begins its first request.
    fn begin(&mut self, task: &Entity, lag: i64) -> Member {
        let weight = weight(task.priority);
        let length = self.request_length(task, weight);
        // What was saved here is within a request; more is owed only to a task that was behind on a slower CPU.
        let most = length.max(virtual_length(MOST_OWED, weight));
        let vruntime = self.clock.place(lag.clamp(-length, most), weight);
        self.clock.join(vruntime, weight);
        self.turns = self.turns.wrapping_add(1);
        let turn = self.turns;
        Member { vruntime, vdeadline: vruntime.after(length), length, turn, weight, queued: Queued::No }
    }

    /// Ends `task`'s competing and saves its lag. Whether it was queued.
    fn end(&mut self, task: &mut Entity) -> bool {
        let Some(member) = self.queue.member(task.key) else { return false };
        let queued = self.queue.take(task.key);
        task.virt.lag = self.clock.now().since(member.vruntime).clamp(-member.length, member.length);
        self.clock.leave(member.vruntime, member.weight);
        self.queue.forget(task.key);
        queued
    }
}

impl Default for FairPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl SchedulingPolicy for FairPolicy {
    fn name(&self) -> &'static str {
        "fair"
    }

    #[inline(always)]
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _now: Timestamp) {
        if self.queue.is_queued(task.key) {
            self.queue.take(task.key);
        }
        let Some(member) = self.queue.member_mut(task.key) else {
            let member = self.begin(task, if why == Arrival::Spawn { 0 } else { task.virt.lag });
            self.queue.set(task.key, member);
            return self.queue.insert(task.key, &self.clock);
        };
        // A request that was consumed has been renewed by the last charge.
        if why != Arrival::Preempt {
            self.turns = self.turns.wrapping_add(1);
            member.turn = self.turns;
        }
        if why == Arrival::Yield {
            // A fresh request, which begins now: behind every eligible task whose requests are as long.
            member.vdeadline = self.clock.now().after(member.length).max(member.vdeadline);
        }
        self.queue.insert(task.key, &self.clock);
    }

    #[inline(always)]
    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.served = Duration::ZERO;
        self.queue.pop(&self.clock)
    }

    #[inline(always)]
    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        if why == Arrival::Yield
            && let Some(member) = self.queue.running_mut(task.key)
        {
            self.turns = self.turns.wrapping_add(1);
            member.turn = self.turns;
            member.vdeadline = self.clock.now().after(member.length).max(member.vdeadline);
            if let Some(next) = self.queue.exchange(task.key, &self.clock) {
                self.served = Duration::ZERO;
                return Some(next);
            }
            self.queue.insert(task.key, &self.clock);
            return self.select(now);
        }
        self.on_ready(task, why, now);
        self.select(now)
    }

    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.queue.first(&self.clock)
    }

    fn on_block(&mut self, task: &mut Entity, _now: Timestamp) {
        self.end(task);
    }

    fn remove(&mut self, task: &mut Entity, _now: Timestamp) -> bool {
        self.queue.is_queued(task.key) && self.end(task)
    }

    /// A task keeps the service that it is owed (w · lag) and the rest of its request (in CPU time). Then V stays
    /// where it is: w'·(V − v') = w·(V − v).
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
        let Some(old) = self.queue.member(task.key) else { return };
        let weight = weight(priority);
        if weight == old.weight {
            return;
        }
        let rescaled = |span: i64| (i128::from(span) * i128::from(old.weight) / i128::from(weight)) as i64;
        let now = self.clock.now();
        let vruntime = now.after(-rescaled(now.since(old.vruntime)));
        let vdeadline = vruntime.after(rescaled(old.vdeadline.since(old.vruntime)));
        self.clock.leave(old.vruntime, old.weight);
        self.clock.join(vruntime, weight);
        let member = Member { vruntime, vdeadline, length: self.request_length(task, weight), weight, ..old };
        let queued = self.queue.take(task.key);
        self.queue.set(task.key, member);
        if queued {
            self.queue.insert(task.key, &self.clock);
        }
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, _now: Timestamp) {
        let Some(member) = self.queue.member_mut(task.key) else { return };
        let length = virtual_length(ran, member.weight).min(self.clock.headroom(member.vruntime));
        self.clock.advance(length, member.weight);
        self.served += ran;
        member.vruntime = member.vruntime.after(length);
        if member.vruntime >= member.vdeadline {
            // The request is consumed, the next one begins where it ended; late charges may have used that up as well.
            member.vdeadline = member.vdeadline.after(member.length);
            if member.vruntime >= member.vdeadline {
                member.vdeadline = member.vruntime.after(member.length);
            }
        }
    }

    /// The rest of the task's request, but at least the minimum granularity.
    fn time_slice(&self, task: &Entity) -> Duration {
        let request = self.request(task);
        let Some(member) = self.queue.member(task.key) else { return request };
        let rest = service(member.vdeadline.since(member.vruntime), member.weight);
        rest.clamp(self.min_granularity.min(request), request)
    }

    /// A newcomer takes the CPU if the rule would choose it, and if the running task has had the minimum granularity
    /// since it was selected. So a request is interrupted only by one that is more urgent: shorter, or owed more.
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        let (Some(new), Some(old)) = (self.queue.member(ready.key), self.queue.member(running.key)) else {
            return false;
        };
        self.served >= self.min_granularity && new.vdeadline < old.vdeadline && self.clock.reached(new.vruntime)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.queue.iter_late_first().any(visit);
    }

    fn progress(&mut self) -> Option<Progress> {
        Some(Progress { mean: self.clock.now().0, weight: self.clock.weight() })
    }

    fn vruntime(&self, key: TaskKey) -> Option<i64> {
        self.queue.member(key).map(|member| member.vruntime.0)
    }

    fn add_group(
        &mut self,
        key: TaskKey,
        share: &Arc<GroupShare>,
        room: &mut GroupRoom,
    ) -> Option<Box<dyn SchedulingPolicy>> {
        let mut grouped = self.with_groups(room)?;
        grouped.add(key, share, room);
        Some(grouped)
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.queue.reserve(keys);
    }
}
