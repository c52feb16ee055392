//! How long a task waits in a fair queue: the bound of `docs/guarantees.md`, "How long a fair class lets wait", step by step.
//!
//! With w, v and d the weight, the virtual runtime and the virtual deadline of a task, V the virtual time and W the sum of all
//! weights, lag = w·(V − v) is what it is owed, and *left* = w·(d − v) what is left of its request. All are in ns of service.

use dis_core::intent::QueueType;

use super::Machine;
use super::seen::Seen;
use super::shares::{GRANULARITY, Member, Place, ROUNDING, SLACK};

/// How long a task has waited in a fair queue, and may wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turn {
    /// What its peers have had meanwhile, ns.
    pub others: i64,
    /// The most that they may have, ns.
    most: i64,
    /// The longest request of a peer that `most` reckons with, ns.
    longest: i64,
    /// No less than what is left of its request, ns.
    left: i64,
}

impl Turn {
    /// The task itself has had `span`, and its requests are of this length.
    pub fn serve(&mut self, span: i64, request: i64) {
        // Whether a request that is all but over has been renewed depends on roundings; more is the safe side.
        const ALL_BUT: i64 = 100;
        self.left -= span;
        if self.left <= ALL_BUT {
            self.left += request;
        }
        if self.left <= ALL_BUT {
            self.left = request;
        }
    }
}

/// Those who compete in a class, and what an event has changed.
pub(super) struct Group<'a> {
    pub cpu: usize,
    pub class: QueueType,
    pub members: Vec<Member>,
    /// Nobody has come or gone, and all are owed what they were.
    pub same: bool,
    /// The tasks before the event, and what they were owed by then.
    pub before: &'a [Option<Seen>],
    /// Where each task competed before, and competes now.
    pub places: &'a [(Option<Place>, Option<Place>)],
}

impl Group<'_> {
    fn stays(&self, task: usize) -> bool {
        self.places[task].0 == self.places[task].1
    }

    /// What a task was owed just before the event.
    fn owed(&self, task: usize) -> Option<i64> {
        self.before.get(task)?.as_ref()?.lag
    }

    fn weight(&self) -> i64 {
        self.members.iter().map(|member| member.weight).sum()
    }

    /// The sum of the weights before the event.
    fn old_weight(&self) -> i64 {
        let here = |place: Option<Place>| place.is_some_and(|(cpu, class, _)| (cpu, class) == (self.cpu, self.class));
        let was_here = self.places.iter().zip(self.before).filter(|((was, _), _)| here(*was));
        was_here.filter_map(|(_, seen)| Some(seen.as_ref()?.weight() as i64)).sum()
    }
}

impl Machine {
    /// A task has yielded: a fresh request begins at V, if that is later. It need not wait, as nobody else may be eligible.
    pub(super) fn begin_request(&mut self, task: usize) {
        if let Some(seen) = &self.seen[task] {
            let left = &mut self.actors[task].turn.left;
            *left = (*left).max(seen.slice as i64 + seen.lag.unwrap_or(0).max(0));
        }
    }

    /// Judges the waits of a group, and finds out how far each may go on.
    pub(super) fn follow_turns(&mut self, group: &Group) {
        let late = self.slowest as i64;
        for member in group.members.iter().filter(|member| member.queued) {
            // Whoever is declared anew leaves and joins again, with a new request.
            let goes_on = |old: &Seen| old.queued && old.slice as i64 == member.request;
            let waited = group.before.get(member.task).and_then(Option::as_ref).is_some_and(goes_on);
            let mut turn = self.actors[member.task].turn;
            let carried = if group.stays(member.task) { turn.left } else { 0 };
            if !waited || !group.stays(member.task) {
                turn = begin(group, member, carried, late);
            } else if !group.same {
                turn.most += growth(group, member, &mut turn, late);
            }
            assert!(
                turn.others <= turn.most,
                "task {} has waited for {} ns of {} on {}, more than {} at {}",
                member.task,
                turn.others,
                group.class,
                group.cpu,
                turn.most,
                self.now
            );
            self.actors[member.task].turn = turn;
        }
    }
}

/// `member` begins to wait; of its request there was no more left than `carried` if it has not come only now.
fn begin(group: &Group, member: &Member, carried: i64, late: i64) -> Turn {
    // A request begins at v, or, after a yield, at V. It may have done so before others left, and V went back.
    let left = carried.max(member.request + member.lag.max(0));
    let peers = group.members.iter().filter(|peer| peer.task != member.task);
    let longest = peers.clone().map(|peer| peer.request).max().unwrap_or(0);
    let grants: i64 = peers.map(|peer| grant(member, left, peer, late)).sum();
    let most = until_eligible(member, member.lag, group.weight()) + longest + late + grants;
    Turn { others: 0, most, longest, left }
}

/// By how much longer `member`, which waits, may have to wait, now that others have come or gone.
fn growth(group: &Group, member: &Member, turn: &mut Turn, late: i64) -> i64 {
    let Some(own) = group.owed(member.task) else { return 0 };
    let mut more = 0;
    for peer in group.members.iter().filter(|peer| peer.task != member.task) {
        more += match group.owed(peer.task).filter(|_| group.stays(peer.task)) {
            // Its place in relation to this one has changed.
            Some(theirs) => {
                ((peer.lag - theirs) - (member.lag - own) * peer.weight / member.weight).max(0)
                    + ROUNDING * (1 + peer.weight / member.weight)
            }
            None => grant(member, turn.left, peer, late),
        };
        // The slice that is under way when this one becomes eligible may be longer now.
        more += (peer.request - turn.longest).max(0);
        turn.longest = turn.longest.max(peer.request);
    }
    let (before, now) =
        (until_eligible(member, own, group.old_weight()), until_eligible(member, member.lag, group.weight()));
    more += (now - before).max(0) + ROUNDING * (1 + group.weight() / member.weight);
    let slack = -SLACK * member.weight / 128;
    if own >= slack - ROUNDING && member.lag < slack + ROUNDING {
        // It was eligible: what counted as the slice under way then may have been used up.
        more += turn.longest + late;
    }
    more
}

/// What all may have before `member`, which is owed `lag`, is owed nothing, so that it is eligible.
fn until_eligible(member: &Member, lag: i64, all: i64) -> i64 {
    (-lag).max(0) * all / member.weight + 1
}

/// What `peer` may have while `member` is eligible and waits: it is chosen only while its deadline is not behind that of
/// `member`, so it gets no further than that, but for a slice's least length: w'·(d − v') and that. `left`: of the request of
/// `member`.
fn grant(member: &Member, left: i64, peer: &Member, late: i64) -> i64 {
    ((left - member.lag) * peer.weight / member.weight + 1 + peer.lag + GRANULARITY + late).max(0)
}
