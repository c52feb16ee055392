//! Fair shares (EEVDF): what each task is owed follows from what it and its peers get, and bounds how long it waits.

use dis_core::intent::QueueType;

use super::seen::Seen;
use super::{Machine, ms, us};

/// The most that a task may be owed which comes from another CPU, or whose lag is of another weight, ns.
const MOST_OWED: i64 = ms(200) as i64;

/// How far a slice may go beyond the end of a request, ns.
const GRANULARITY: i64 = ms(1) as i64;

/// By how much a task of weight 128 may be ahead and still be eligible, ns.
const SLACK: i64 = us(50) as i64;

/// What rounding may make of a lag between two looks, ns.
const ROUNDING: i64 = 4;

/// Where a task competes, and with which priority.
pub(super) type Place = (usize, QueueType, u8);

/// How long a task has waited in a fair queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turn {
    /// What its peers have had meanwhile, ns.
    others: i64,
    /// The most that they may have, ns.
    most: i64,
}

/// One that competes.
#[derive(Debug, Clone, Copy)]
struct Member {
    task: usize,
    weight: i64,
    lag: i64,
    /// The length of its requests, ns.
    request: i64,
    queued: bool,
}

impl Member {
    fn of(task: usize, seen: &Seen) -> Option<Member> {
        let (weight, request) = (seen.weight() as i64, seen.slice as i64);
        Some(Member { task, weight, lag: seen.lag?, request, queued: seen.queued })
    }

    fn is_eligible(&self) -> bool {
        self.lag >= -SLACK * self.weight / 128 - ROUNDING
    }

    /// What `peer` may have before `self`, which begins to wait, is chosen: it is chosen only while its deadline is not
    /// behind that of `self`, so it gets no further than that but for a slice's granularity. With v and d the virtual runtime and
    /// deadline, V the virtual time and w the weight of each, that is w·(d − v) + the granularity: w·(d − V) + its lag + that.
    /// A request begins at v, or, after a yield, at V: it may be two long then.
    fn grants(&self, peer: &Member, late: i64) -> i64 {
        let deadline = (2 * self.request + (-self.lag).max(0)) * peer.weight / self.weight + 1;
        (deadline + peer.lag + GRANULARITY + late).max(0)
    }

    /// What all may have before it is eligible, and what is left of the slice that is under way then.
    fn eligible_after(&self, behind: i64, all: i64, longest: i64, late: i64) -> i64 {
        behind.max(0) * all / self.weight + 1 + longest + late
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
        class >= QueueType::Batch && self.policies[class.rank()] == "fair"
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
        let stays = |task: usize| places[task].0 == places[task].1;
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
        let all: i64 = members.iter().map(|member| member.weight).sum();
        let longest = members.iter().map(|member| member.request).max().unwrap_or(0);
        let late = self.slowest as i64;
        for member in members.iter().filter(|member| member.queued) {
            let waited = before.get(member.task).and_then(Option::as_ref).is_some_and(|old| old.queued);
            let mut turn = self.actors[member.task].turn;
            let peers = || members.iter().filter(|peer| peer.task != member.task);
            if !waited || !stays(member.task) {
                let first = member.eligible_after(-member.lag, all, longest, late);
                turn = Turn { others: 0, most: first + peers().map(|peer| member.grants(peer, late)).sum::<i64>() };
            } else if !same {
                // Whoever has come, or whose place has changed in relation to this one, may have more or less from now on.
                for peer in peers() {
                    let grown = match (expected(peer.task), expected(member.task)) {
                        (Some(theirs), Some(own)) if stays(peer.task) => {
                            (peer.lag - theirs) - (member.lag - own) * peer.weight / member.weight
                        }
                        _ => member.grants(peer, late),
                    };
                    turn.most += grown.max(0);
                }
                let fell = expected(member.task).map_or(0, |own| own - member.lag);
                if fell > ROUNDING && !member.is_eligible() {
                    turn.most += member.eligible_after(fell, all, longest, late);
                }
            }
            assert!(
                turn.others <= turn.most,
                "task {} has waited for {} ns of {class} on {cpu}, more than {} at {}",
                member.task,
                turn.others,
                turn.most,
                self.now
            );
            self.actors[member.task].turn = turn;
        }
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
