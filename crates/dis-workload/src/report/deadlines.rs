//! How many deadlines a periodic task has missed.
//!
//! Counted from the releases, not from the jobs: a job that never ends, a task that hangs or is aborted, and releases
//! that were left out because they could only be late all miss, on every host alike.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::boxed::Box;

use crate::model::{Arrivals, Objects, Repeat, TaskSpec};
use dis_core::intent::IntentClass;

/// What a Realtime task has done; others read it while it runs.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// Releases whose jobs have ended or were left out.
    settled: AtomicU64,
    /// Jobs that ended by their deadlines.
    in_time: AtomicU64,
    /// When the last of these was due.
    last_due: AtomicU64,
}

/// When the jobs of a Realtime task are released and due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    origin: u64,
    period: u64,
    deadline: u64,
    /// Of a sporadic task, from the first release on that has not been counted.
    arrivals: Option<Box<Arrivals>>,
    /// How many of those have been counted.
    counted: u64,
}

impl Grid {
    /// That of a task whose own time begins at `origin`, with its arrivals if it is sporadic; `None` if its jobs are not released
    /// for it, or are never due.
    pub fn of(spec: &TaskSpec, origin: u64, arrivals: Option<Arrivals>) -> Option<Grid> {
        let period = spec.release.separation()?;
        let IntentClass::Realtime { deadline_us, .. } = spec.intent.class else { return None };
        Some(Grid {
            origin,
            period: period.as_nanos().max(1),
            deadline: deadline_us.saturating_mul(1_000),
            arrivals: arrivals.map(|arrivals| Box::new(arrivals.starting(origin))),
            counted: 0,
        })
    }

    /// The number of the release of a periodic task at that instant, from 0.
    pub fn number(&self, release: u64) -> u64 {
        release.saturating_sub(self.origin) / self.period
    }

    /// How many releases are due at or before `end`, which is not before that of the last question. O(1) for a periodic task,
    /// O(releases since the last question) for a sporadic one.
    fn due_by(&mut self, objects: &Objects, end: u64) -> u64 {
        if let Some(arrivals) = &mut self.arrivals {
            while arrivals.release().saturating_add(self.deadline) <= end {
                self.counted += 1;
                arrivals.next(objects);
            }
            return self.counted;
        }
        let first = self.origin.saturating_add(self.deadline);
        if end < first { 0 } else { (end - first) / self.period + 1 }
    }
}

impl Deadlines {
    /// The job of this release, numbered from 0, begins; those before it are dealt with.
    pub fn begin(&self, number: u64) {
        self.settled.store(number, Ordering::Relaxed);
    }

    /// The job of this release ends now.
    pub fn end(&self, grid: &Grid, number: u64, release: u64, now: u64) {
        self.settled.store(number + 1, Ordering::Relaxed);
        let due = release.saturating_add(grid.deadline);
        if now <= due {
            self.last_due.store(due, Ordering::Relaxed);
            // Only the task itself writes.
            self.in_time.store(self.in_time.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Releases due at or before `end` whose jobs had not ended by then, of a task that has ended `jobs` jobs. `objects` are those of the
    /// workload. For one grid, `end` does not go back.
    pub fn missed(&self, grid: &mut Grid, objects: &Objects, repeat: Repeat, jobs: u64, end: u64) -> u64 {
        let mut due = grid.due_by(objects, end);
        if let Repeat::Times(times) = repeat {
            // A task that exits owes no more than these.
            due = due.min(self.settled.load(Ordering::Relaxed).saturating_add(times.saturating_sub(jobs)));
        }
        // Only the last job can have ended in time and yet be due after `end`: the next one begins after its deadline.
        let early = u64::from(self.last_due.load(Ordering::Relaxed) > end);
        due.saturating_sub(self.in_time.load(Ordering::Relaxed).saturating_sub(early))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Distribution, DistributionId, Instance, Release, Step};
    use alloc::vec;
    use dis_core::api::Duration;
    use dis_core::intent::Intent;

    const GRID: Grid = Grid { origin: 100, period: 10, deadline: 8, arrivals: None, counted: 0 };

    fn missed(deadlines: &Deadlines, repeat: Repeat, jobs: u64, end: u64) -> u64 {
        deadlines.missed(&mut GRID.clone(), &Objects::default(), repeat, jobs, end)
    }

    #[test]
    fn every_release_that_was_due_counts() {
        let none = Deadlines::default();
        let missed = |end| missed(&none, Repeat::Forever, 0, end);
        assert_eq!([0, 107, 108, 117, 118, 1_100].map(missed), [0, 0, 1, 1, 2, 100]);
    }

    #[test]
    fn jobs_in_time_do_not() {
        let deadlines = Deadlines::default();
        for (number, took) in [(0, 8), (1, 9), (2, 3)] {
            let release = 100 + number * 10;
            deadlines.begin(number);
            deadlines.end(&GRID, number, release, release + took);
        }
        let missed = |end| missed(&deadlines, Repeat::Forever, 3, end);
        // The third was due at 128. An end before that counts neither it nor what it was in time for.
        assert_eq!([127, 128, 137, 138, 148].map(missed), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn a_task_that_exits_owes_nothing_more() {
        let deadlines = Deadlines::default();
        // One job of two, in the middle of the second: it ran over the releases 1 and 2, the fourth is its second.
        deadlines.begin(0);
        assert_eq!(missed(&deadlines, Repeat::Times(2), 0, 10_000), 2);
        deadlines.end(&GRID, 0, 100, 125);
        deadlines.begin(3);
        assert_eq!(missed(&deadlines, Repeat::Times(2), 1, 10_000), 4);
        deadlines.end(&GRID, 3, 130, 135);
        assert_eq!(missed(&deadlines, Repeat::Times(2), 2, 10_000), 3);
    }

    /// Counting all of them anew at each question would take hours.
    #[test]
    fn releases_of_a_sporadic_task_are_counted_once() {
        const RELEASES: u64 = 200_000;
        let mut spec = TaskSpec::new("t", Intent::realtime(10, 8, 1), vec![Step::Run(Duration::from_micros(1))]);
        let separation = Duration::from_micros(10);
        spec.release = Release::Sporadic { separation, interarrival: DistributionId(0) };
        let distributions = vec![Distribution::Uniform { low: separation, high: Duration::from_micros(20) }];
        let objects = Objects { distributions, ..Objects::default() };
        let arrivals = || Arrivals::of(&Instance { task: 0, instance: 0, spec: &spec }, 7);
        let grid = || Grid::of(&spec, 1_000, arrivals()).unwrap();
        let (mut watched, mut times) = (grid(), arrivals().unwrap().starting(1_000));
        for number in 0..RELEASES {
            let due = times.release() + 8_000;
            assert_eq!([due - 1, due].map(|end| watched.due_by(&objects, end)), [number, number + 1]);
            if number % 50_000 == 0 {
                assert_eq!(grid().due_by(&objects, due), number + 1);
            }
            times.next(&objects);
        }
    }
}
