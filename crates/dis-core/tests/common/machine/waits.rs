//! Bounds on waiting, for classes and for single tasks.

use dis_core::intent::QueueType;

use super::actor::Wait;
use super::seen::Seen;
use super::{Machine, ms};

/// Fixed point of fluid service: 2^-20 ns.
const FRACTION: u32 = 20;

/// The longest slice of an Interactive task.
const INTERACTIVE_SLICE: u64 = ms(4);

/// The most that a task which comes from another CPU may be owed, ns.
const MOST_OWED: u64 = ms(200);

/// How far a slice may go beyond the end of a request, ns.
const GRANULARITY: u64 = ms(1);

impl Machine {
    /// Time has passed since the last look: counts what the waiting tasks' peers got, and what System and Realtime used.
    pub(super) fn pass_time(&mut self) {
        let from = std::mem::replace(&mut self.seen_at, self.now);
        if from == self.now {
            return;
        }
        for cpu in 0..self.cpus.len() {
            let Some((running, class)) = self.cpus[cpu].seen else { continue };
            self.use_window(cpu, class, from);
            match class {
                QueueType::Interactive => self.pass_interactive(cpu, running, from),
                QueueType::Batch | QueueType::Background => self.pass_fair(cpu, class, running, from),
                _ => {}
            }
        }
    }

    /// Fair shares (EEVDF). While nobody joins or leaves, no task's lag (what it is owed) leaves ± one longest request; a
    /// request that began with a yield may be two long. A task is eligible when it is chosen, so its lag when it begins to
    /// wait is at least minus its own request, and the next one is as long: a fluid scheduler would give it two of its own
    /// and two of the longest at most until it is chosen again.
    ///
    /// Whoever joins or leaves with a lag of his own shifts the virtual time of all: in terms of the service of one of
    /// weight w among others of weight W altogether, by his lag · w/W.
    fn pass_fair(&mut self, cpu: usize, class: QueueType, running: usize, from: u64) {
        if self.policies[class.rank()] != "fair" {
            return;
        }
        let members: Vec<(usize, u64)> = self.queues(cpu, class).map(|(n, seen)| (n, seen.weight())).collect();
        let Some(seen) = &self.seen[running] else { return };
        let weights = seen.weight() + members.iter().map(|&(_, weight)| weight).sum::<u64>();
        for (task, weight) in members {
            self.actors[task].wait.fluid += (u128::from((self.now - from) * weight) << FRACTION) / u128::from(weights);
        }
    }

    /// Interactive goes by deadline (wake-up + target), and a deadline only moves back when a slice ends: once a task's
    /// deadline has passed, each of those before it has at most the rest of one slice.
    fn pass_interactive(&mut self, cpu: usize, running: usize, from: u64) {
        if self.policies[QueueType::Interactive.rank()] != "edf" {
            return;
        }
        let lent = self.actors[running].lent;
        let waiting: Vec<(usize, u64)> =
            self.queues(cpu, QueueType::Interactive).map(|(n, seen)| (n, seen.urgency.deadline.as_nanos())).collect();
        for (task, deadline) in waiting {
            // A loan's deadline is the lender's affair, and so is how long it goes before all others.
            if self.actors[task].lent || lent || self.now <= deadline {
                continue;
            }
            let wait = &mut self.actors[task].wait;
            wait.overdue += self.now - from.max(deadline);
            wait.peers.insert(running);
            let most = INTERACTIVE_SLICE * wait.peers.len() as u64;
            assert!(
                wait.overdue <= most,
                "task {task} waits on {cpu} {} ns beyond its target for {:?} at {}",
                wait.overdue,
                wait.peers,
                self.now
            );
        }
    }

    /// Compares who competes with who competed at the last look.
    pub(super) fn follow_waits(&mut self, before: &[Option<Seen>]) {
        for number in 0..self.actors.len() {
            let old = before.get(number).and_then(Option::as_ref);
            let new = self.seen[number].clone();
            let (was, is) = (self.competes(number, old, false), self.competes(number, new.as_ref(), true));
            let queued = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.queued);
            let deadline = |seen: Option<&Seen>| seen.map(|seen| seen.urgency.deadline);
            let stays = was.is_some() && was == is;
            let starts = queued(old) && !queued(new.as_ref());
            let wait = &mut self.actors[number].wait;
            if !stays || starts {
                *wait = Default::default();
            } else if !queued(old) {
                // What has shifted its lag while it ran counts for the wait that begins.
                *wait = Wait { shifts: wait.shifts, ..Default::default() };
            }
            if deadline(old) != deadline(new.as_ref()) {
                (wait.overdue, wait.peers) = (0, Default::default());
            }
            if was != is {
                self.shift(number, was, old);
                self.shift(number, is, new.as_ref());
            }
        }
        for number in 0..self.actors.len() {
            self.check_share(number);
        }
    }

    /// The class in which a task competes, and where: queued or running.
    fn competes(&self, number: usize, seen: Option<&Seen>, now: bool) -> Option<(usize, QueueType, u8)> {
        let seen = seen?;
        if seen.queued {
            return Some((seen.home, seen.queue, seen.urgency.priority));
        }
        let cpu = &self.cpus[seen.home];
        let (task, class) = if now { cpu.current? } else { cpu.seen? };
        (task == number).then_some((seen.home, class, seen.urgency.priority))
    }

    /// A task has joined those at `place`, left them or changed its weight: the lag of the others may have shifted.
    fn shift(&mut self, number: usize, place: Option<(usize, QueueType, u8)>, seen: Option<&Seen>) {
        let (Some((cpu, class, _)), Some(seen)) = (place, seen) else { return };
        if class < QueueType::Batch {
            return;
        }
        let running = self.cpus[cpu].current.filter(|&(_, c)| c == class).map(|(task, _)| task);
        let others: Vec<usize> = self.queues(cpu, class).map(|(n, _)| n).chain(running).collect();
        let others: Vec<(usize, u64, u64)> = (others.into_iter().filter(|&n| n != number))
            .filter_map(|n| self.seen[n].as_ref().map(|seen| (n, seen.weight(), seen.slice)))
            .collect();
        let weights = others.iter().map(|&(_, weight, _)| weight).sum::<u64>();
        let longest = others.iter().map(|&(_, _, slice)| slice).max().unwrap_or(0).max(seen.slice);
        // Its lag is its own request at most, and what one longest request of another makes of it; one that balancing has
        // moved may be owed more, also if it competes here only later.
        let lag = if seen.stats.migrations > 0 { MOST_OWED } else { 2 * longest };
        for (task, weight, _) in others {
            self.actors[task].wait.shifts += (u128::from(lag * weight) << FRACTION) / u128::from(weights);
        }
    }

    fn check_share(&mut self, number: usize) {
        let Some(seen) = self.seen[number].as_ref().filter(|seen| seen.queued) else { return };
        let class = seen.queue;
        if class < QueueType::Batch || self.policies[class.rank()] != "fair" {
            return;
        }
        let peers = self.queues(seen.home, class).map(|(_, seen)| seen.slice).max().unwrap_or(0);
        let lent = |n: usize| self.actors[n].changed;
        let loans = self.queues(seen.home, class).any(|(n, _)| lent(n));
        if loans || self.cpus[seen.home].current.is_some_and(|(task, _)| lent(task)) {
            // What a loan or a new intent makes of a weight, and of a lag, is not to be seen from here.
            self.actors[number].wait = Wait::default();
            return;
        }
        let running = self.cpus[seen.home].current.and_then(|(task, _)| self.seen[task].as_ref());
        let longest = peers.max(running.map_or(0, |seen| seen.slice));
        let (own, late) = (seen.slice, self.slowest);
        let wait = &mut self.actors[number].wait;
        wait.longest = wait.longest.max(longest);
        let most = (u128::from(2 * (own + wait.longest) + GRANULARITY + late) << FRACTION) + wait.shifts;
        assert!(
            wait.fluid <= most,
            "task {number} has waited for {} ns of its share of {class}, more than {} at {}",
            wait.fluid >> FRACTION,
            most >> FRACTION,
            self.now
        );
    }

    /// A class that has something ready is served within its bound.
    pub(super) fn check_class_wait(&mut self, cpu: usize, class: QueueType, length: u32) {
        let here = &mut self.cpus[cpu];
        let served = here.current.is_some_and(|(_, running)| running == class);
        let since = &mut here.waits[class.rank()];
        if length == 0 || served {
            *since = None;
            return;
        }
        let waited = self.now - *since.get_or_insert(self.now);
        let longest = &mut self.longest_wait[class.rank()];
        *longest = waited.max(*longest);
        if let Some(bound) = self.wait_bounds[class.rank()] {
            if waited > bound {
                for e in self.trace.iter().filter(|e| e.cpu == cpu) {
                    eprintln!("{} {:?} {:?} {:?} lost {:?} {:?}", e.t, e.leave, e.task, e.class, e.lost, e.reason);
                }
            }
            assert!(waited <= bound, "{class} has waited {waited} ns on CPU {cpu} at {}", self.now);
        }
    }

    /// What a task declared itself to be for was changed: the wait that its class has behind it does not count.
    pub fn forget_waits(&mut self, task: usize) {
        if let Ok(cpu) = self.executor.cpu_of(self.actors[task].id) {
            self.cpus[cpu].waits = [None; 5];
            self.cpus[cpu].forgotten = Some(self.now);
        }
    }
}

/// The default bounds on how long a class waits; see `docs/guarantees.md`.
pub fn default_wait_bounds() -> [Option<u64>; 5] {
    // A class is due after its own wait. Then at most one turn of the other low class is under way or due earlier, and
    // what is left of two windows may belong to System and Realtime. Interactive is due at once, but both low classes may
    // have their turns before it, and what System and Realtime leave of the third window is its own at the latest.
    [None, None, Some(ms(5 + 3 + 30)), Some(ms(75 + 3 + 20)), Some(ms(250 + 5 + 20))]
}
