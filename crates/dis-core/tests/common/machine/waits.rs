//! Bounds on waiting, for classes and for Interactive tasks.

use dis_core::intent::QueueType;
use dis_core::stats::QueueStat;

use super::seen::Seen;
use super::shares::Place;
use super::{Machine, ms, us};

/// The longest slice of an Interactive task.
const INTERACTIVE_SLICE: u64 = ms(4);

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
                QueueType::Batch | QueueType::Background => self.pass_fair(cpu, class, running, self.now - from),
                _ => {}
            }
        }
    }

    /// Interactive goes by deadline (wake-up + target), and a deadline only moves back when a slice ends: once a task's
    /// deadline has passed, each of those before it has at most the rest of one slice.
    fn pass_interactive(&mut self, cpu: usize, running: usize, from: u64) {
        if self.policies[QueueType::Interactive.rank()] != "edf" {
            return;
        }
        // A slice ends with a timer, which may be late.
        let (lent, late) = (self.actors[running].lent, self.slowest);
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
            let most = (INTERACTIVE_SLICE + late) * wait.peers.len() as u64;
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
        let mut places = Vec::with_capacity(self.actors.len());
        let mut groups = std::mem::take(&mut self.groups);
        groups.clear();
        for number in 0..self.actors.len() {
            let old = before.get(number).and_then(Option::as_ref);
            let new = self.seen[number].as_ref();
            let (was, is) = (self.competes(number, old, false), self.competes(number, new, true));
            let queued = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.queued);
            let deadline = |seen: Option<&Seen>| seen.map(|seen| seen.urgency.deadline);
            let waits = was.is_some() && was == is && queued(old) && queued(new);
            let moved = deadline(old) != deadline(new);
            places.push((was, is));
            groups.extend(is.map(|(cpu, class, _)| (cpu, class)).filter(|&(_, class)| self.is_fair(class)));
            if !waits || moved {
                self.actors[number].wait = Default::default();
            }
        }
        groups.sort_unstable();
        groups.dedup();
        for &(cpu, class) in &groups {
            self.follow_shares(cpu, class, before, &places);
        }
        self.groups = groups;
    }

    /// The class in which a task competes, and where: queued or running.
    fn competes(&self, number: usize, seen: Option<&Seen>, now: bool) -> Option<Place> {
        let seen = seen?;
        if seen.queued {
            return Some((seen.home, seen.queue, seen.priority));
        }
        let cpu = &self.cpus[seen.home];
        let (task, class) = if now { cpu.current? } else { cpu.seen? };
        (task == number).then_some((seen.home, class, seen.priority))
    }

    /// A class that has something ready is served within its bound.
    pub(super) fn check_class_wait(&mut self, cpu: usize, class: QueueType, stat: &QueueStat) {
        let here = &mut self.cpus[cpu];
        let served = here.current.is_some_and(|(_, running)| running == class);
        let since = &mut here.waits[class.rank()];
        // If all who waited at the last look have left, the queue may have been empty in between.
        let enqueued = std::mem::replace(&mut here.enqueued[class.rank()], stat.enqueued);
        if stat.dequeued >= enqueued && since.is_some() {
            (*since, here.forgotten) = (Some(self.now), Some(self.now));
        }
        if stat.length == 0 || served {
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
            self.cpus[cpu].waits.iter_mut().flatten().for_each(|since| *since = self.now);
            self.cpus[cpu].forgotten = Some(self.now);
        }
    }
}

/// The default bounds on how long a class waits; see `docs/guarantees.md`.
pub fn default_wait_bounds() -> [Option<u64>; 5] {
    // A class is due after its own wait, Interactive at once. Then each turn of another low class may take what two windows
    // leave, and before and after them System and Realtime may have their caps.
    let after = |turns: u64| turns * 2 * ms(10) + 2 * us(9_500);
    [None, None, Some(after(2)), Some(ms(75) + after(1)), Some(ms(250) + after(1))]
}
