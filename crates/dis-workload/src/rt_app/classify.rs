//! Which class a task of an ordinary policy (SCHED_OTHER) belongs to: the documented rule.
//!
//! One pass of the body is looked at, each phase as often as it loops (an endless phase counts once):
//! 1. A body that never blocks is Batch.
//! 2. If it sleeps by the clock, a pass takes at least run + sleep, and at least the sum of its timer periods. When
//!    running is at most half of that, the task is Interactive.
//! 3. If it waits for other tasks (`wait`, `sync`, `suspend`, `barrier`) and no *burst* (run time between two
//!    blocking steps; `lock` is none) is longer than 20 ms, it is Interactive.
//! 4. Everything else is Batch.
//!
//! The target latency is a tenth of the shortest sleep or timer period, within 500 µs and 4 ms; 2 ms for a body
//! that only waits for others.

use dis_core::api::Duration;
use dis_core::intent::IntentClass;

use crate::model::{Phase, Step};

const MAX_BURST_US: u64 = 20_000;
const TARGET_US: (u64, u64) = (500, 4_000);
const WOKEN_TARGET_US: u64 = 2_000;

#[derive(Default)]
struct Shape {
    run: u128,
    sleep: u128,
    timers: u128,
    shortest: Option<u64>,
    waits: bool,
    burst: u128,
    longest_burst: u128,
}

impl Shape {
    fn of(phases: &[Phase]) -> Self {
        let mut shape = Shape::default();
        // Twice round, so that a burst that goes over the end of the pass is seen whole; sums double alike.
        for _ in 0..2 {
            phases.iter().for_each(|phase| shape.add(phase));
        }
        shape.longest_burst = shape.longest_burst.max(shape.burst);
        shape
    }

    fn add(&mut self, phase: &Phase) {
        let rounds = if phase.repeat == u64::MAX { 1 } else { u128::from(phase.repeat) };
        let in_round: u128 = phase.steps.iter().map(run_nanos).sum();
        let blocks = |step: &Step| step.blocks() && !matches!(step, Step::Lock(_));
        if !phase.steps.iter().any(blocks) {
            self.burst = self.burst.saturating_add(in_round.saturating_mul(rounds));
        }
        for step in &phase.steps {
            let clock = match *step {
                Step::Sleep(time) => Some((time, &mut self.sleep)),
                Step::Timer { period, .. } => Some((period, &mut self.timers)),
                _ => None,
            };
            if let Some((time, sum)) = clock.filter(|(time, _)| !time.is_zero()) {
                *sum = sum.saturating_add(u128::from(time.as_nanos()).saturating_mul(rounds));
                self.shortest = Some(self.shortest.map_or(time.as_nanos(), |other| other.min(time.as_nanos())));
            }
            self.waits |= matches!(step, Step::Wait { .. } | Step::Barrier(_));
        }
        self.run = self.run.saturating_add(in_round.saturating_mul(rounds));
        if phase.steps.iter().any(blocks) {
            // The last burst of a round runs into the first of the next.
            for _ in 0..rounds.min(2) {
                for step in &phase.steps {
                    self.burst = self.burst.saturating_add(run_nanos(step));
                    if blocks(step) {
                        self.longest_burst = self.longest_burst.max(std::mem::take(&mut self.burst));
                    }
                }
            }
        }
    }
}

fn run_nanos(step: &Step) -> u128 {
    match step {
        Step::Run(time) => u128::from(time.as_nanos()),
        _ => 0,
    }
}

/// The class of a body by the rule above.
pub(super) fn classify(phases: &[Phase]) -> IntentClass {
    let shape = Shape::of(phases);
    // A timer's period includes the run time before it, a sleep comes on top.
    let idle = shape.sleep.saturating_add(shape.timers.saturating_sub(shape.run.saturating_add(shape.sleep)));
    let rests = idle > 0 && shape.run <= idle;
    let reacts = shape.waits && shape.longest_burst <= u128::from(Duration::from_micros(MAX_BURST_US).as_nanos());
    if !rests && !reacts {
        return IntentClass::Batch;
    }
    let target = shape.shortest.map_or(WOKEN_TARGET_US, |nanos| (nanos / 10_000).clamp(TARGET_US.0, TARGET_US.1));
    IntentClass::Interactive { target_latency_us: target }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, TimerId, TimerMode};

    fn run(us: u64) -> Step {
        Step::Run(Duration::from_micros(us))
    }

    fn sleep(us: u64) -> Step {
        Step::Sleep(Duration::from_micros(us))
    }

    fn timer(us: u64) -> Step {
        Step::Timer { timer: TimerId(0), period: Duration::from_micros(us), mode: TimerMode::Relative }
    }

    const WAIT: Step = Step::Wait { event: EventId(0), mutex: None };

    fn class(phases: &[(u64, &[Step])]) -> IntentClass {
        let phases: Vec<_> = phases
            .iter()
            .map(|(repeat, steps)| Phase { name: None, repeat: *repeat, affinity: None, steps: steps.to_vec() })
            .collect();
        classify(&phases)
    }

    fn interactive(target_latency_us: u64) -> IntentClass {
        IntentClass::Interactive { target_latency_us }
    }

    #[test]
    fn a_body_that_never_blocks_is_batch() {
        assert_eq!(class(&[(1, &[run(10), Step::Yield])]), IntentClass::Batch);
        assert_eq!(class(&[(1, &[sleep(0), run(10), timer(0)])]), IntentClass::Batch);
    }

    #[test]
    fn the_share_decides_for_bodies_that_sleep() {
        assert_eq!(class(&[(1, &[run(1_000), sleep(1_000)])]), interactive(500));
        assert_eq!(class(&[(1, &[run(1_001), sleep(1_000)])]), IntentClass::Batch);
        assert_eq!(class(&[(1, &[run(5_000), timer(10_000)])]), interactive(1_000));
        assert_eq!(class(&[(1, &[run(7_000), timer(10_000)])]), IntentClass::Batch);
        assert_eq!(class(&[(1, &[run(50_000), timer(1_000_000)])]), interactive(4_000));
        // Two phases of different weight: 300 x 1 ms and 300 x 7 ms in 600 periods of 10 ms.
        assert_eq!(
            class(&[(300, &[run(1_000), timer(10_000)]), (300, &[run(7_000), timer(10_000)])]),
            interactive(1_000)
        );
    }

    #[test]
    fn the_burst_decides_for_bodies_that_wait_for_others() {
        assert_eq!(class(&[(1, &[WAIT, run(20_000)])]), interactive(2_000));
        assert_eq!(class(&[(1, &[WAIT, run(20_001)])]), IntentClass::Batch);
        // 15 ms after the wait and 10 ms before it are one burst of 25 ms.
        assert_eq!(class(&[(1, &[run(10_000), WAIT, run(15_000)])]), IntentClass::Batch);
        // 50 rounds of 3 ms without a blocking step are one burst of 150 ms.
        assert_eq!(class(&[(1, &[WAIT]), (50, &[run(3_000)])]), IntentClass::Batch);
    }

    #[test]
    fn huge_counts_do_not_overflow() {
        let long = Duration::from_nanos(u64::MAX / 2);
        class(&[(u64::MAX - 1, &[Step::Run(long), Step::Sleep(long), WAIT]), (u64::MAX, &[Step::Run(long)])]);
    }
}
