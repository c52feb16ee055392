//! When the jobs of a sporadic task arrive and are released.

use super::{DistributionId, Draws, Instance, Objects, Release};

/// The releases of a sporadic task (Mok, PhD thesis, MIT, 1983), one after the other: a job is released when it arrives, but not
/// sooner than a period after the release before; until then it is deferred. They depend on the seed, the task and the instance
/// only, not on what the scheduler does, and have a stream of their own, so they do not depend on what the body draws either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    from: DistributionId,
    /// Least distance of two releases, ns.
    period: u64,
    draws: Draws,
    /// When the last job arrived, ns.
    arrival: u64,
    /// When it was released, ns.
    release: u64,
}

impl Arrivals {
    /// Those of an instance under a seed, if it is sporadic. The first job arrives at 0.
    pub fn of(instance: &Instance<'_>, seed: u64) -> Option<Arrivals> {
        let Release::Sporadic { separation, interarrival } = instance.spec.release else { return None };
        let draws = Draws::of_arrivals(seed, instance.task, instance.instance);
        let period = separation.as_nanos().max(1);
        Some(Arrivals { from: interarrival, period, draws, arrival: 0, release: 0 })
    }

    /// The same for a task whose first job arrives at `origin`, ns.
    pub fn starting(mut self, origin: u64) -> Arrivals {
        (self.arrival, self.release) = (origin, origin);
        self
    }

    /// The last release, ns.
    pub fn release(&self) -> u64 {
        self.release
    }

    /// The next release, ns.
    pub fn next(&mut self, objects: &Objects) -> u64 {
        let time = self.draws.draw(self.from, &objects.distributions[self.from.0]);
        self.arrival = self.arrival.saturating_add(time.as_nanos());
        self.release = self.release.saturating_add(self.period).max(self.arrival);
        self.release
    }

    /// The next release whose deadline, `deadline` ns later, has not passed at `now`, and how many before it are left out. O(of these).
    pub fn next_in_time(&mut self, objects: &Objects, deadline: u64, now: u64) -> (u64, u64) {
        let mut left_out = 0;
        while self.next(objects).saturating_add(deadline) < now {
            left_out += 1;
        }
        (self.release, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Distribution, Step, TaskSpec};
    use dis_core::api::Duration;
    use dis_core::intent::Intent;

    fn arrivals(from: Distribution) -> (Arrivals, Objects) {
        let mut spec = TaskSpec::new("t", Intent::realtime(10, 10, 1), vec![Step::Run(Duration::from_micros(1))]);
        let separation = Duration::from_micros(10);
        spec.release = Release::Sporadic { separation, interarrival: DistributionId(0) };
        let arrivals = Arrivals::of(&Instance { task: 0, instance: 0, spec: &spec }, 7).unwrap();
        (arrivals.starting(1_000), Objects { distributions: vec![from], ..Objects::default() })
    }

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// Arrivals at 1, 16, 18, 20, 21, 61, 76, …: three come too soon, and the fourth waits for them.
    #[test]
    fn what_arrives_too_soon_is_deferred() {
        let times = [15, 2, 2, 1, 40].map(us).to_vec();
        let (mut arrivals, objects) = arrivals(Distribution::Recorded { file: "f".into(), times });
        let releases: Vec<u64> = (0..6).map(|_| arrivals.next(&objects) / 1_000).collect();
        assert_eq!(releases, [16, 26, 36, 46, 61, 76]);
    }

    #[test]
    fn releases_whose_deadlines_have_passed_are_left_out() {
        let times = [15, 2, 2, 1, 40].map(us).to_vec();
        let (mut arrivals, objects) = arrivals(Distribution::Recorded { file: "f".into(), times });
        assert_eq!(arrivals.next_in_time(&objects, 8_000, 24_000), (16_000, 0), "due just now");
        assert_eq!(arrivals.next_in_time(&objects, 8_000, 44_001), (46_000, 2));
        assert_eq!(arrivals.release(), 46_000);
    }

    #[test]
    fn no_two_releases_are_closer_than_the_period_whatever_is_drawn() {
        for from in [
            Distribution::Uniform { low: us(0), high: us(30) },
            Distribution::Normal { mean: us(12), deviation: us(9) },
            Distribution::Bursty { short: us(0), long: us(100), burst: 9 },
        ] {
            let (mut arrivals, objects) = arrivals(from);
            for _ in 0..2_000 {
                let before = arrivals.release();
                assert!(arrivals.next(&objects) - before >= 10_000);
            }
        }
    }
}
