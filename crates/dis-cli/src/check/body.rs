//! What a Realtime task's body says of its jobs: how long they run, hold locks, and whether they wait.

use std::collections::BTreeSet;

use dis_core::api::Duration;
use dis_workload::model::{MutexId, Objects, Step, TaskSpec};

/// A stretch of a job in which it holds locks without a pause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The locks.
    pub mutexes: BTreeSet<MutexId>,
    /// CPU time from the first lock to the last unlock.
    pub length: Duration,
    /// Whether the job sleeps or waits meanwhile.
    pub waits: bool,
}

/// One pass through a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// CPU time of a pass; saturates.
    pub runs: Duration,
    /// The first step that waits for anything but a lock.
    pub waits: Option<&'static str>,
    /// Whether phases change the CPUs that it may use.
    pub moves: bool,
    /// All stretches under locks.
    pub sections: Vec<Section>,
}

impl Body {
    /// Follows one pass. The second round of a phase stands for all later ones.
    pub fn of(task: &TaskSpec, objects: &Objects) -> Body {
        let mut body = Body { moves: task.phases.iter().any(|phase| phase.affinity.is_some()), ..Body::default() };
        let mut held: BTreeSet<MutexId> = BTreeSet::new();
        let mut drawable = task.most_drawn().unwrap_or(Duration::MAX);
        for phase in &task.phases {
            for round in 0..phase.repeat.min(2) {
                let times = if round == 1 { phase.repeat - 1 } else { 1 };
                // What is locked from before is locked in all those rounds; what is locked in one of them, in that one.
                let mut locked_before = !held.is_empty();
                for step in &phase.steps {
                    let times_locked = if locked_before { times } else { 1 };
                    match *step {
                        Step::Run(time) => {
                            body.runs += time.mul_div(times, 1);
                            body.holds(time.mul_div(times_locked, 1), &held);
                        }
                        Step::RunDrawn(id) => {
                            let longest = objects.distributions[id.0].longest();
                            // What they may take together may all be taken while the locks are held.
                            let [all, locked] =
                                [times, times_locked].map(|times| longest.mul_div(times, 1).min(drawable));
                            drawable = drawable - all;
                            body.runs += all;
                            body.holds(locked, &held);
                        }
                        _ => body.step(step, &mut held),
                    }
                    locked_before &= !held.is_empty();
                }
            }
        }
        body
    }

    /// Computes with these locks.
    fn holds(&mut self, time: Duration, held: &BTreeSet<MutexId>) {
        if let Some(section) = self.sections.last_mut().filter(|_| !held.is_empty()) {
            section.length += time;
        }
    }

    fn step(&mut self, step: &Step, held: &mut BTreeSet<MutexId>) {
        match *step {
            Step::Lock(mutex) => {
                if held.is_empty() {
                    self.sections.push(Section::default());
                }
                held.insert(mutex);
                if let Some(section) = self.sections.last_mut() {
                    section.mutexes.insert(mutex);
                }
            }
            Step::Unlock(mutex) => {
                held.remove(&mutex);
            }
            _ => {
                let what = match step {
                    Step::Sleep(_) | Step::SleepDrawn(_) if step.sleeps() => "sleeps",
                    Step::Timer { .. } if step.sleeps() => "waits for a timer",
                    Step::Wait { .. } => "waits for an event",
                    Step::Barrier(_) => "waits at a barrier",
                    _ => return,
                };
                self.waits.get_or_insert(what);
                if let Some(section) = self.sections.last_mut().filter(|_| !held.is_empty()) {
                    section.waits = true;
                }
            }
        }
    }

    /// The longest stretch under any lock that `counts`.
    pub fn longest(&self, counts: impl Fn(MutexId) -> bool) -> Duration {
        let shared = self.sections.iter().filter(|section| section.mutexes.iter().any(|&mutex| counts(mutex)));
        shared.map(|section| section.length).max().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_core::intent::Intent;
    use dis_workload::Workload;
    use dis_workload::model::Phase;

    fn body(steps: &str) -> Body {
        let text = format!(
            "cpus = 1\nduration = \"1s\"\n[[task]]\nname = \"t\"\nintent = \"realtime\"\nperiod = \"9s\"\n\
             wcet = \"1s\"\n{steps}\n[[task]]\nname = \"s\"\nintent = \"batch\"\nloop = [ {{ signal = \"e\" }}, {{ run = \"1ms\" }} ]"
        );
        let workload = Workload::from_toml(&text, "t.toml").unwrap();
        Body::of(&workload.tasks[0], &workload.objects)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn nested_and_overlapping_locks_are_one_section() {
        let body = body(
            "loop = [ { run = \"1ms\" }, { lock = \"a\" }, { run = \"2ms\" }, { lock = \"b\" }, { run = \"3ms\" }, \
             { unlock = \"a\" }, { run = \"4ms\" }, { unlock = \"b\" }, { lock = \"a\" }, { run = \"5ms\" }, { unlock = \"a\" } ]",
        );
        assert_eq!((body.runs, body.waits), (ms(15), None));
        assert_eq!(body.sections.iter().map(|s| s.length).collect::<Vec<_>>(), [ms(9), ms(5)]);
        assert_eq!((body.longest(|m| m.0 == 0), body.longest(|m| m.0 == 1)), (ms(9), ms(9)));
        assert_eq!(body.longest(|_| false), ms(0));
    }

    #[test]
    fn phases_that_repeat_count_as_often() {
        let (mutex, run) = (MutexId(0), Step::Run(ms(2)));
        let phase = |repeat, steps: &[Step]| Phase { name: None, repeat, affinity: None, steps: steps.to_vec() };
        let mut task = TaskSpec::new("t", Intent::realtime(100_000, 100_000, 50_000), vec![run]);
        task.phases = vec![
            phase(3, &[Step::Lock(mutex), run, Step::Unlock(mutex)]),
            phase(1, &[Step::Lock(mutex)]),
            phase(4, &[run]),
            phase(1, &[Step::Unlock(mutex)]),
        ];
        let body = Body::of(&task, &Objects::default());
        assert_eq!((body.runs, body.longest(|_| true)), (ms(14), ms(8)));
        task.phases.truncate(1);
        assert_eq!(Body::of(&task, &Objects::default()).longest(|_| true), ms(2));
    }

    #[test]
    fn drawn_times_count_as_the_longest_that_may_be() {
        let drawn = "loop = [ { run = \"100ms\" }, { lock = \"a\" }, { run = { uniform = [\"1ms\", \"2s\"] } }, { unlock = \"a\" } ]";
        let cut = body(drawn);
        assert_eq!((cut.runs, cut.longest(|_| true)), (ms(1_000), ms(900)));
        let free = body(&format!("overrun = true\n{drawn}"));
        assert_eq!((free.runs, free.longest(|_| true)), (ms(2_100), ms(2_000)));
        assert_eq!(
            body("loop = [ { run = \"1ms\" }, { sleep = { uniform = [\"0s\", \"1ms\"] } } ]").waits,
            Some("sleeps")
        );
    }

    #[test]
    fn waits_are_found() {
        assert_eq!(body("loop = [ { run = \"1ms\" }, { sleep = \"1ms\" } ]").waits, Some("sleeps"));
        let body = body("loop = [ { lock = \"a\" }, { wait = \"e\" }, { unlock = \"a\" }, { run = \"1ms\" } ]");
        assert_eq!(body.waits, Some("waits for an event"));
        assert!(body.sections[0].waits);
    }
}
