//! What tasks undergo, counted by the host from its own questions and the answers, and compared with the core's counters.

use dis_core::api::{TaskState, Timestamp};
use dis_core::executor::{Decision, Leave, Reason};
use dis_core::intent::IntentClass;

use super::Machine;
use super::seen::Seen;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub switches: u64,
    pub yields: u64,
    pub preemptions: u64,
    pub blocks: u64,
    pub wakes: u64,
    pub migrations: u64,
    pub overruns: u64,
    pub misses: u64,
}

/// The task that ran, as it was before the question.
#[derive(Debug)]
pub(super) struct Ran {
    pub task: usize,
    pub seen: Seen,
    pub killed: bool,
    /// Whether its budget was used up; `None`: not followed.
    pub exhausted: Option<bool>,
}

impl Machine {
    /// Who is about to leave, or not.
    pub(super) fn ran(&self, cpu: usize) -> Option<Ran> {
        let (task, _) = self.cpus[cpu].current?;
        let seen = self.seen.get(task)?.clone()?;
        let exhausted = self.is_exhausted(task, &seen);
        Some(Ran { task, seen, killed: self.killed.contains(&task), exhausted })
    }

    /// Counts what the answer to `leave` means for the task that ran.
    pub(super) fn count_leave(&mut self, cpu: usize, ran: &Ran, leave: Leave, decision: &Decision<u32>) {
        let now = at(self.now);
        let (task, seen) = (ran.task, &ran.seen);
        let goes_on = decision.reason == Reason::Continue && decision.next.map(|n| n.context as usize) == Some(task);
        let late = u64::from(seen.is_realtime() && now > seen.job.deadline);
        let mut counts = self.actors[task].counts;
        let mut voluntary = true;
        let mut overrun = false;
        let mut stay = |counts: &mut Counts, overrun: &mut bool| {
            if !goes_on {
                counts.preemptions += 1;
                voluntary = false;
                *overrun = seen.affinity.contains(cpu);
            }
        };
        match leave {
            _ if ran.killed => {
                counts.misses += late;
                voluntary = false;
            }
            Leave::Exit(_) => {
                counts.misses += late;
                self.exits += 1;
            }
            Leave::Block(..) => {
                let blocked = self.executor.with_task(self.actors[task].id, |t| t.state()) == Ok(TaskState::Blocked);
                let token = self.actors[task].token.replace(false).unwrap_or(!blocked);
                assert_eq!(blocked, !token, "task {task} blocks unless a wake-up waits for it");
                if blocked {
                    counts.blocks += 1;
                } else {
                    stay(&mut counts, &mut overrun);
                }
            }
            Leave::Sleep(until) if until > now => counts.blocks += 1,
            Leave::NextPeriod | Leave::NextJob(_) if seen.is_realtime() => {
                let arrival = if let Leave::NextJob(arrival) = leave { arrival } else { Timestamp::ZERO };
                let (release, misses) = next_release(seen, arrival, now);
                counts.misses += misses;
                if release > now {
                    counts.blocks += 1;
                } else {
                    counts.yields += 1;
                }
            }
            Leave::Yield | Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_) => {
                counts.yields += 1;
                overrun = true;
            }
            Leave::Ask => stay(&mut counts, &mut overrun),
            Leave::Declined => unreachable!("this host never declines"),
        }
        if overrun && seen.is_realtime() {
            // Where the host does not follow the budget, it believes the core.
            let told = || self.executor.with_task(self.actors[task].id, |t| t.stats.overruns).unwrap_or(0);
            match ran.exhausted {
                Some(exhausted) => counts.overruns += u64::from(exhausted),
                None => counts.overruns = told(),
            }
        }
        self.misses += counts.misses - self.actors[task].counts.misses;
        self.actors[task].counts = counts;
        self.cpus[cpu].voluntary = if goes_on { self.cpus[cpu].voluntary } else { voluntary };
    }

    /// A switch has been decided.
    pub(super) fn count_switch(&mut self, cpu: usize, task: usize) {
        self.switches += 1;
        self.voluntary += u64::from(self.cpus[cpu].voluntary);
        self.actors[task].counts.switches += 1;
        self.actors[task].switches += 1;
    }

    /// Counts wake-ups, moves and ends by what has changed since the last look.
    pub(super) fn count_changes(&mut self, before: &[Option<Seen>], timers: bool) {
        for number in 0..self.actors.len() {
            let Some(old) = before.get(number).and_then(Option::as_ref) else { continue };
            let new = self.seen[number].as_ref();
            if let Some(new) = new {
                let counts = &mut self.actors[number].counts;
                counts.migrations += u64::from(new.home != old.home);
                if new.split || old.split {
                    // Its budgets are not followed, and may end when it is moved or woken.
                    counts.overruns = new.stats.overruns;
                }
                let waited = matches!(old.state, TaskState::Blocked | TaskState::Sleeping);
                let woken = waited && matches!(new.state, TaskState::Ready | TaskState::Running);
                // The start of a task that was spawned for later is no wake-up.
                let start = timers && old.stats.context_switches == 0;
                counts.wakes += u64::from(woken && !start);
            }
        }
        if let Some((task, old)) = self.unparked.and_then(|task| Some((task, before.get(task)?.as_ref()?)))
            && old.state == TaskState::Blocked
        {
            self.moved_twice(task, old);
        }
        for (number, old) in before.iter().enumerate() {
            let Some(old) = old else { continue };
            let ended = self.seen[number].as_ref().is_none_or(|new| new.state.has_ended());
            if !old.state.has_ended() && ended {
                self.told_of_end(number, before);
            }
        }
    }

    /// Whoever joined the task has been unparked.
    fn told_of_end(&mut self, task: usize, before: &[Option<Seen>]) {
        let Some(joiner) = self.actors[task].joiner.take() else { return };
        let Some(old) = before.get(joiner).and_then(Option::as_ref) else { return };
        let killed = self.killed.contains(&joiner) && old.state != TaskState::Running;
        match old.state {
            _ if killed => {}
            TaskState::Ready | TaskState::Running | TaskState::Sleeping => {
                let blocked = self.seen[joiner].as_ref().is_some_and(|new| new.state == TaskState::Blocked);
                self.actors[joiner].token = if blocked { None } else { Some(true) };
            }
            // Woken by the end, or by its time-out just before: then the wake-up waits for its next block.
            TaskState::Blocked => {
                self.actors[joiner].token = None;
                self.moved_twice(joiner, old);
            }
            _ => {}
        }
    }

    /// The end of another has woken it: the wake-up may have placed it elsewhere, and the CPU that has nothing to do now taken it
    /// over, in one event.
    fn moved_twice(&mut self, task: usize, old: &Seen) {
        if let Some(new) = &self.seen[task] {
            assert!(new.stats.migrations <= old.stats.migrations + 2);
            self.actors[task].counts.migrations = new.stats.migrations;
        }
    }

    /// The core has counted the same.
    pub(super) fn check_counts(&self) {
        for (number, seen) in self.seen.iter().enumerate() {
            let Some(seen) = seen else { continue };
            let told = Counts {
                switches: seen.stats.context_switches,
                yields: seen.stats.voluntary_yields,
                preemptions: seen.stats.preemptions,
                blocks: seen.stats.blocks,
                wakes: seen.stats.wakes,
                migrations: seen.stats.migrations,
                overruns: seen.stats.overruns,
                misses: seen.stats.deadline_misses,
            };
            assert_eq!(told, self.actors[number].counts, "what task {number} has undergone (core, host)");
        }
    }

    /// Compares the sums over all CPUs with the host's own.
    pub(super) fn reconcile_counts(&self) {
        let stats = self.executor.stats();
        let busy: u64 = self.cpus.iter().map(|cpu| cpu.busy).sum();
        assert_eq!(stats.total_cpu_time, busy, "CPU time");
        assert_eq!(stats.context_switches, self.switches, "switches");
        assert_eq!(stats.voluntary_switches, self.voluntary, "voluntary switches");
        assert_eq!(stats.involuntary_switches, self.switches - self.voluntary, "involuntary switches");
        assert_eq!(stats.deadline_misses, self.misses, "deadline misses");
        for (number, actor) in self.actors.iter().enumerate() {
            if let Ok(used) = self.executor.with_task(actor.id, |task| task.stats.cpu_time) {
                assert_eq!(used, actor.cpu_time, "CPU time of task {number}");
            }
        }
        let live = self.executor.task_ids().len() as u64;
        let zombies = self.actors.iter().filter(|actor| actor.zombie && !actor.gone).count() as u64;
        assert_eq!(stats.tasks_created, self.actors.len() as u64);
        assert_eq!(stats.tasks_created, stats.tasks_exited + stats.tasks_killed + live - zombies, "tasks");
        assert_eq!(stats.tasks_exited, self.exits, "exits");
    }
}

/// The release that follows a finished job, and how many deadlines were missed: the job's own, and those of the releases
/// that are skipped because their deadlines have passed as well.
fn next_release(seen: &Seen, arrival: Timestamp, now: Timestamp) -> (Timestamp, u64) {
    let IntentClass::Realtime { period_us, deadline_us, .. } = seen.class else { unreachable!("a Realtime task") };
    let (period, deadline) = (period_us * 1_000, deadline_us * 1_000);
    let mut misses = u64::from(now > seen.job.deadline);
    let mut release = (seen.job.release.as_nanos() + period).max(arrival.as_nanos());
    while release + deadline < now.as_nanos() {
        release += period;
        misses += 1;
    }
    (at(release), misses)
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}
