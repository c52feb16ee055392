//! Golden schedules of RTEMS (github.com/RTEMS/rtems, testsuites/sptests), restated: `spedfsched03` and `spcbssched03`.
//! `docs/golden-schedules.md` lists all golden schedules.

mod common;

use common::at;
use common::lock::Lock;
use dis_core::api::{TaskId, TaskSpec};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

/// A tick of the source, ns.
const TICK: u64 = 1_000_000;

/// Tasks 1 to 4 of `edfparams.h`: period, and the tick at which each has its first job; a job takes 10 ticks.
const PERIODIC: [(u64, u64); 4] = [(30, 2), (40, 12), (50, 22), (70, 42)];
const EXECUTION: u64 = 10;

/// Tasks 5 and 6, which run behind the others.
const BACKGROUND: [u64; 2] = [100, 5];

/// A tick more than a job takes, µs, as in the source's servers. (Its EDF has none.)
const BUDGET: u64 = 11_000;

/// What the source prints of a task: when its jobs began, and how many ticks later each one's end was noticed.
type Seen = (Vec<u64>, Vec<u64>);

/// The application of the source. It asks at every tick. A job measures the ticks that have *passed* since it began, those
/// of others included, and notices its end when it has the CPU.
struct Application {
    x: Executor<u32, Lock>,
    ids: [TaskId; 6],
    takes: [u64; 6],
    began: [Option<u64>; 6],
    seen: [Seen; 6],
    /// From this tick on, task 2 sleeps for ten ticks when a job begins.
    sleeps: u64,
    /// Task 4 does not end the job that begins at this tick until its overrun has been noticed.
    violates: u64,
}

impl Application {
    /// `order`: that of the ids, in which equal deadlines are served. `last_budget`: that of task 4, µs.
    fn new(order: [usize; 4], last_budget: u64) -> Application {
        // In the source nothing is set aside for System, and nobody is asked.
        let x = Executor::new(Config { admission: false, ..Config::new(1) }).unwrap();
        let mut ids = [TaskId::INVALID; 6];
        let mut spawn = |task: usize, intent, start| {
            let spec = TaskSpec { start: Some(at(start * TICK)), ..TaskSpec::new("", intent, task as u32) };
            ids[task] = x.spawn(at(0), None, spec).expect("admitted").0;
        };
        for task in order {
            let (period, first) = PERIODIC[task];
            let budget = if task == 3 { last_budget } else { BUDGET };
            spawn(task, Intent::realtime(period * 1_000, period * 1_000, budget), first);
        }
        spawn(5, Intent::background(), 2);
        spawn(4, Intent::background(), 2);
        let takes = [EXECUTION, EXECUTION, EXECUTION, EXECUTION, BACKGROUND[0], BACKGROUND[1]];
        let (began, seen) = ([None; 6], Default::default());
        Application { x, ids, takes, began, seen, sleeps: u64::MAX, violates: u64::MAX }
    }

    /// One tick: everything that happens at `t`.
    fn tick(&mut self, t: u64) {
        let mut leave = Leave::Ask;
        loop {
            let decision = self.x.schedule(0, at(t * TICK), leave).unwrap();
            self.x.switched(0);
            let Some(task) = decision.next.map(|next| next.context as usize) else { return };
            let began = match self.began[task] {
                Some(began) => began,
                None => {
                    self.began[task] = Some(t);
                    self.seen[task].0.push(t);
                    if task == 1 && t >= self.sleeps {
                        leave = Leave::Sleep(at((t + 10) * TICK));
                        continue;
                    }
                    t
                }
            };
            let overruns = || self.x.with_task(self.ids[task], |task| task.stats.overruns).unwrap();
            if t < began + self.takes[task] || (task == 3 && began == self.violates && overruns() == 0) {
                return;
            }
            self.began[task] = None;
            self.seen[task].1.push(t - began);
            leave = if task < 4 { Leave::NextPeriod } else { Leave::Exit(0) };
        }
    }

    fn misses(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|task| self.x.with_task(self.ids[task], |task| task.stats.deadline_misses).unwrap())
    }
}

fn every(step: u64, from: u64, jobs: usize) -> Vec<u64> {
    (0..).map(|i| from + step * i).take(jobs).collect()
}

/// The recording `spedfsched03.scn`, up to tick 841.
fn edf() -> [Seen; 6] {
    let (ten, some) = (|jobs| vec![10; jobs], |finishes: &[u64]| finishes.to_vec());
    [
        (every(30, 2, 28), ten(28)),
        (
            some(&[
                12, 52, 102, 142, 172, 222, 252, 292, 342, 372, 412, 462, 502, 532, 582, 612, 652, 702, 742, 772, 822,
            ]),
            ten(21),
        ),
        (
            some(&[22, 72, 132, 192, 232, 282, 322, 382, 432, 472, 522, 592, 642, 672, 732, 792, 832]),
            // The last one is noticed at the end of the test.
            some(&[20, 10, 10, 10, 10, 10, 20, 10, 10, 20, 10, 10, 10, 10, 10, 10]),
        ),
        (
            some(&[42, 112, 202, 262, 352, 402, 492, 552, 622, 682, 762]),
            some(&[30, 40, 20, 20, 10, 30, 10, 10, 20, 30, 10]),
        ),
        (vec![87], vec![225]),
        (vec![82], vec![5]),
    ]
}

/// The source serves equal deadlines in the order of their releases, which is that of falling periods.
const BY_RELEASE: [usize; 4] = [3, 2, 1, 0];

#[test]
fn spedfsched03_over_two_hyperperiods() {
    let mut application = Application::new(BY_RELEASE, BUDGET);
    (0..842).for_each(|t| application.tick(t));
    assert_eq!(application.seen, edf());
    assert_eq!(application.misses(), [0; 4]);
}

/// With our own order of equal deadlines, by id, some jobs with equal deadlines swap their places. All else is as recorded.
#[test]
fn spedfsched03_with_ties_by_id() {
    let mut application = Application::new([0, 1, 2, 3], BUDGET);
    (0..842).for_each(|t| application.tick(t));
    let golden = edf();
    let moved = |task: usize| -> Vec<(u64, u64)> {
        let pairs = golden[task].0.iter().zip(&application.seen[task].0);
        pairs.map(|(&golden, &ours)| (golden, ours)).filter(|(golden, ours)| golden != ours).collect()
    };
    assert_eq!(moved(0), []);
    assert_eq!(moved(1), [(142, 132), (502, 492), (742, 732)]);
    assert_eq!(moved(2), [(132, 142), (642, 622), (732, 742)]);
    assert_eq!(moved(3), [(492, 502), (622, 642)]);
    assert_eq!(application.misses(), [0; 4]);
}

/// The recording `spcbssched03.scn`: as above, but task 4's job of 262 overruns, task 3 doubles period and execution from
/// its release of 372 on, and task 2's jobs sleep in their middle from 532 on.
fn cbs() -> [Seen; 6] {
    let ten = |jobs| vec![10; jobs];
    let mut first = every(30, 2, 28);
    // Task 1 is released by its own clock; the overrun of task 4 costs it one tick, once.
    first[10] = 303;
    [
        (first, ten(28)),
        (
            vec![12, 52, 102, 142, 172, 222, 252, 293, 342, 372, 412, 462, 492, 532, 582, 622, 672, 702, 742, 792, 822],
            vec![10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 20, 40, 20, 30, 10, 20, 10, 10],
        ),
        (
            vec![22, 72, 132, 192, 232, 283, 322, 382, 502, 582, 682, 772],
            vec![20, 10, 10, 10, 10, 10, 20, 50, 20, 30, 20, 20],
        ),
        (
            vec![42, 112, 202, 262, 352, 402, 472, 532, 612, 672, 742, 822],
            vec![30, 40, 20, 51, 10, 30, 20, 20, 10, 10, 20, 10],
        ),
        (vec![87], vec![226]),
        (vec![82], vec![5]),
    ]
}

/// Differs from the recording in two things, both by design. Whoever has used up his budget is stopped until his next
/// period; in the source he goes on behind all others. Whoever wakes up late in his period has his deadline moved back (the
/// rule of Abeni and Buttazzo); in the source he goes on behind all others, and misses two deadlines.
#[test]
fn spcbssched03_with_hard_servers() {
    let mut application = Application::new(BY_RELEASE, 11_000);
    (application.violates, application.sleeps) = (262, 532);
    for t in 0..842 {
        if t == 350 {
            // Asleep until its release of 372.
            application.takes[2] = 2 * EXECUTION;
            let doubled = Intent::realtime(100_000, 100_000, 21_000);
            let wake = application.x.set_intent(at(t * TICK), application.ids[2], &doubled).unwrap();
            assert!(!wake.interrupt);
        }
        application.tick(t);
    }
    let mut golden = cbs();
    // The violator's end is seen in its next period, in which it has its next budget, not in the background at 313.
    golden[3].1[3] = 352 - 262;
    // Task 2 goes on when it is awake, unless somebody is due before its new deadline.
    let late = [582, 612, 652, 702, 732, 772, 822];
    golden[1].0.splice(14.., late);
    golden[1].1.splice(14.., [10, 10, 20, 10, 10, 20, 10]);
    // So a job of task 3 finds the CPU taken for ten ticks more.
    golden[2].1[9] = 40;
    assert_eq!(application.seen, golden);
    assert_eq!(application.misses(), [0, 0, 0, 1], "the overrun costs a deadline of its own task, and nobody else's");
}
