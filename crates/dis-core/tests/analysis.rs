//! The analyses of one CPU against the crate `response-time-analysis`, which follows machine-checked proofs (Bozhko and Brandenburg,
//! "Abstract response-time analysis", ECRTS 2020): the same verdicts and the same bounds, on random sets.
//!
//! `DIS_SETS` and `DIS_SEED` give other numbers of sets and other sets.

#[allow(dead_code)]
#[path = "common/rng.rs"]
mod rng;

use dis_core::admission::{Response, SporadicTask, Supply, TaskSet, edf, fp, response};
use dis_core::api::Duration;
use response_time_analysis as rta;
use rng::{Rng, number_from_env};
use rta::arrival::Sporadic;
use rta::demand::RBF;
use rta::time::Service;
use rta::wcet::Scalar;

/// Above what the other crate checks by brute force in a debug build.
const LIMIT: u64 = 1_000_000;

fn sets() -> u64 {
    number_from_env("DIS_SETS").unwrap_or(if cfg!(debug_assertions) { 300 } else { 3_000 })
}

fn d(n: u64) -> Duration {
    Duration::from_nanos(n)
}

/// What a random set may have.
struct Shape {
    jitter: bool,
    sections: bool,
}

/// 2 to 8 tasks with a utilisation of 0.6 to 1.02 and constrained deadlines.
fn random_set(rng: &mut Rng, shape: &Shape) -> Vec<SporadicTask> {
    const PERIODS: [u64; 12] = [5, 8, 10, 12, 20, 25, 30, 40, 50, 75, 100, 120];
    let count = 2 + rng.below(7);
    let parts: Vec<u64> = (0..count).map(|_| 1 + rng.below(100)).collect();
    let (whole, per_mille) = (parts.iter().sum::<u64>(), 600 + rng.below(420));
    let task = |part: &u64| {
        let period = *rng.of(&PERIODS) * 10;
        let wcet = (period * per_mille * part / (1000 * whole)).max(1);
        let deadline = if rng.chance(300) { period } else { wcet.max(period - rng.below(period * 2 / 3)) };
        let jitter = if shape.jitter && rng.chance(400) { rng.below(deadline - wcet + 1) } else { 0 };
        let section = if shape.sections && rng.chance(500) { rng.below(wcet) } else { 0 };
        SporadicTask::new(d(wcet), d(deadline), d(period)).with_jitter(d(jitter)).with_section(d(section))
    };
    parts.iter().map(task).collect()
}

fn request_bound(task: &SporadicTask) -> RBF<Sporadic, Scalar> {
    let arrivals = Sporadic::new(task.period.as_nanos().into(), task.jitter.as_nanos().into());
    RBF::new(arrivals, Scalar::new(task.wcet.as_nanos().into()))
}

fn nanos(bound: rta::fixed_point::SearchResult) -> Option<u64> {
    bound.ok().map(u64::from)
}

/// Their bounds under EDF. A section of theirs has begun a tick before whoever waits for it comes, so that a tick less of it is in the
/// way; ours is all in the way.
fn their_edf(tasks: &[SporadicTask]) -> Vec<Option<u64>> {
    use rta::edf::floating_nonpreemptive::{InterferingTask, TaskUnderAnalysis, dedicated_uniproc_rta};
    let rbfs: Vec<_> = tasks.iter().map(request_bound).collect();
    let bound = |index: usize| {
        let tua = TaskUnderAnalysis { rbf: &rbfs[index], deadline: tasks[index].deadline.as_nanos().into() };
        let others: Vec<_> = (0..tasks.len())
            .filter(|&other| other != index)
            .map(|other| InterferingTask {
                rbf: &rbfs[other],
                deadline: tasks[other].deadline.as_nanos().into(),
                max_np_segment: Service::from(tasks[other].section.as_nanos() + 1),
            })
            .collect();
        nanos(dedicated_uniproc_rta(&tua, &others, LIMIT.into()))
    };
    (0..tasks.len()).map(bound).collect()
}

/// Their bounds under fixed priorities, from the instant at which a job becomes ready at the earliest.
fn their_fp(tasks: &[SporadicTask]) -> Vec<Option<u64>> {
    use rta::fixed_priority::floating_nonpreemptive::{TaskUnderAnalysis, dedicated_uniproc_rta};
    let rbfs: Vec<_> = tasks.iter().map(request_bound).collect();
    let bound = |index: usize| {
        let section = tasks[index + 1..].iter().map(|task| task.section.as_nanos()).max().unwrap_or(0);
        let tua = TaskUnderAnalysis { rbf: &rbfs[index], blocking_bound: Service::from(section) };
        nanos(dedicated_uniproc_rta(&tua, &rbfs[..index], LIMIT.into()))
    };
    (0..tasks.len()).map(bound).collect()
}

fn in_time(task: &SporadicTask, bound: Option<u64>) -> bool {
    bound.is_some_and(|bound| d(bound) <= task.deadline)
}

/// Compares `sets()` sets of this shape under EDF.
fn compare_edf(seed: u64, shape: &Shape) {
    let mut rng = Rng::new(number_from_env("DIS_SEED").unwrap_or(seed));
    let (mut accepted, mut tight) = (0, 0);
    for _ in 0..sets() {
        let tasks = random_set(&mut rng, shape);
        let set = TaskSet::new(&tasks, Supply::dedicated());
        let theirs = their_edf(&tasks);
        let schedulable = tasks.iter().zip(&theirs).all(|(task, &bound)| in_time(task, bound));
        assert_eq!(edf::test(&set).is_schedulable(), schedulable, "{tasks:?}\ntheirs: {theirs:?}");
        if !schedulable {
            continue;
        }
        accepted += 1;
        let exact = response::exact(&set);
        let expected: Vec<Response> = theirs.iter().map(|bound| Response::Within(d(bound.unwrap_or(0)))).collect();
        assert_eq!(exact, expected, "{tasks:?}");
        for ((task, exact), quick) in tasks.iter().zip(&exact).zip(response::quick(&set)) {
            let (exact, quick) = (exact.within().unwrap(), quick.within().expect("deadlines hold"));
            assert!(exact <= quick && quick <= task.deadline, "{tasks:?}");
            tight += u64::from(exact == quick);
        }
    }
    println!("{} sets, {accepted} schedulable, {tight} quick bounds exact", sets());
    assert!(accepted * 5 > sets() && accepted * 20 < sets() * 19, "{accepted} schedulable of {}", sets());
}

#[test]
fn edf_agrees() {
    compare_edf(1, &Shape { jitter: false, sections: false });
}

#[test]
fn edf_with_sections_agrees() {
    compare_edf(2, &Shape { jitter: false, sections: true });
}

#[test]
fn fixed_priorities_agree_with_jitter_and_sections() {
    let mut rng = Rng::new(number_from_env("DIS_SEED").unwrap_or(3));
    let mut in_time_all = 0;
    for _ in 0..sets() {
        let mut tasks = random_set(&mut rng, &Shape { jitter: true, sections: true });
        // Deadline monotonic.
        tasks.sort_by_key(|task| task.deadline);
        let ours = fp::responses(&TaskSet::new(&tasks, Supply::dedicated()));
        let theirs = their_fp(&tasks);
        for ((task, ours), theirs) in tasks.iter().zip(&ours).zip(&theirs) {
            // Theirs begins when the job becomes ready, ours when it is released.
            let theirs = theirs.map(|bound| bound + task.jitter.as_nanos());
            match ours {
                Response::Within(bound) => assert_eq!(Some(bound.as_nanos()), theirs, "{tasks:?}"),
                Response::Beyond(_) => assert!(!in_time(task, theirs), "{tasks:?}"),
                Response::Undecided(why) => panic!("{why:?}: {tasks:?}"),
            }
        }
        in_time_all += u64::from(ours.iter().all(|response| response.within().is_some()));
    }
    println!("{} sets, {in_time_all} schedulable", sets());
    assert!(in_time_all * 10 > sets() && in_time_all * 20 < sets() * 19, "{in_time_all} of {}", sets());
}
