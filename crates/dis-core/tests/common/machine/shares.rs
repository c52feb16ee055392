//! Fair shares (EEVDF): what each task is owed follows from what it and its peers get. How that bounds waiting is in `turns`.

use dis_core::intent::QueueType;

use super::seen::Seen;
use super::turns::Group;
use super::{Machine, ms, us};

/// The most that a task may be owed which comes from another CPU, or whose lag is of another weight, ns.
const MOST_OWED: i64 = ms(200) as i64;

/// How far a slice may go beyond the end of a request, ns.
pub(super) const GRANULARITY: i64 = ms(1) as i64;

/// By how much a task of weight 128 may be ahead and still be eligible, ns.
pub(super) const SLACK: i64 = us(50) as i64;

/// What rounding may make of a lag between two looks, ns.
pub(super) const ROUNDING: i64 = 4;

/// Where a task competes, and with which priority.
pub(super) type Place = (usize, QueueType, u8);

/// One that competes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub task: usize,
    pub weight: i64,
    pub lag: i64,
    /// The length of its requests, ns.
    pub request: i64,
    pub queued: bool,
}

impl Member {
    fn of(task: usize, seen: &Seen) -> Option<Member> {
        let (weight, request) = (seen.weight() as i64, seen.slice as i64);
        Some(Member { task, weight, lag: seen.lag?, request, queued: seen.queued })
    }

    fn is_eligible(&self) -> bool {
        self.lag >= -SLACK * self.weight / 128 - ROUNDING
    }
}

impl Machine {
    /// `running` has had `span` of a fair class: what its peers wait for, and what everybody is owed now.
    pub(super) fn pass_fair(&mut self, cpu: usize, class: QueueType, running: usize, span: u64) {
        if !self.is_fair(class) {
            return;
        }
        let queued: Vec<(usize, i64)> = self.queues(cpu, class).map(|(n, seen)| (n, seen.weight() as i64)).collect();
        let Some(seen) = &mut self.seen[running] else { return };
        self.actors[running].turn.serve(span as i64, seen.slice as i64);
        let (span, own) = (span as i64, seen.weight() as i64);
        let all = own + queued.iter().map(|&(_, weight)| weight).sum::<i64>();
        seen.lag = seen.lag.map(|lag| lag + span * own / all - span);
        for (task, weight) in queued {
            self.actors[task].turn.others += span;
            if let Some(lag) = self.seen[task].as_mut().and_then(|seen| seen.lag.as_mut()) {
                *lag += span * weight / all;
            }
        }
    }

    /// Whether the class is ordered by the product's fair policy.
    pub(super) fn is_fair(&self, class: QueueType) -> bool {
        !self.grouped && class >= QueueType::Batch && self.policies[class.rank()] == "fair"
    }

    /// Those who compete in a class.
    fn members(&self, cpu: usize, class: QueueType) -> Vec<Member> {
        let running = self.cpus[cpu].current.filter(|&(_, running)| running == class);
        let running = running.and_then(|(task, _)| Some((task, self.seen[task].as_ref()?)));
        let all = self.queues(cpu, class).chain(running);
        all.filter_map(|(task, seen)| Member::of(task, seen)).collect()
    }

    /// Compares what everybody is owed in a class with what it should be, and judges the waits. `places`: where each task competed
    /// before and competes now.
    pub(super) fn follow_shares(
        &mut self,
        cpu: usize,
        class: QueueType,
        before: &[Option<Seen>],
        places: &[(Option<Place>, Option<Place>)],
    ) {
        let members = self.members(cpu, class);
        if members.is_empty() {
            return;
        }
        let sum: i64 = members.iter().map(|member| member.lag).sum();
        let most = ROUNDING * members.len() as i64;
        assert!(sum.abs() <= most, "on {cpu}, {class} tasks owe each other {sum} ns at {}", self.now);
        let here = |place: &Option<Place>| place.is_some_and(|(c, q, _)| (c, q) == (cpu, class));
        let same = places.iter().all(|(was, is)| was == is || !(here(was) || here(is)));
        let expected = |task: usize| before.get(task)?.as_ref()?.lag;
        // Whoever leaves and joins again in one event is at the same place in relation to all, but for what is forgotten of his lag.
        let forgotten = |member: &Member| {
            let owed = expected(member.task).unwrap_or(0);
            // The length of the old requests counts, if it was another.
            let length =
                member.lag.abs().abs_diff(member.request) <= ROUNDING as u64 || self.actors[member.task].changed;
            owed.abs() > member.lag.abs() + ROUNDING && length
        };
        let same = same && !self.redeclared && !members.iter().any(forgotten);
        if same {
            for member in &members {
                let Some(owed) = expected(member.task) else { continue };
                assert!(
                    member.lag.abs_diff(owed) <= ROUNDING as u64,
                    "task {} of {class} on {cpu} is owed {} ns instead of {owed} at {}",
                    member.task,
                    member.lag,
                    self.now
                );
            }
        }
        let changed = places.iter().filter(|(was, is)| was != is && (here(was) || here(is))).count();
        for member in members.iter().filter(|member| changed == 1 && !here(&places[member.task].0)) {
            let owed = member.request.max(MOST_OWED) + GRANULARITY;
            let range = -(member.request + GRANULARITY)..=owed;
            assert!(range.contains(&member.lag), "task {} joins {class} on {cpu} with {member:?}", member.task);
        }
        self.follow_turns(&Group { cpu, class, members, same, before, places });
    }

    /// The chosen task has had no more than its share, unless that is true of nobody.
    pub(super) fn check_eligible(&self, cpu: usize, chosen: usize, class: QueueType) {
        if !self.checked || !self.is_fair(class) {
            return;
        }
        let members = self.members(cpu, class);
        let eligible = |of: &dyn Fn(&Member) -> bool| members.iter().any(|member| of(member) && member.is_eligible());
        let right = eligible(&|member| member.task == chosen) || !eligible(&|member| member.queued);
        assert!(right, "{class} on {cpu}: {chosen} is chosen of {members:?} at {}", self.now);
    }
}
