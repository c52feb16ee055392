//! What is said of a set under a policy for study, against what the simulation does with it.

mod common;

use common::{Numbers, options, task, workload};
use dis_core::admission::SporadicTask;
use dis_core::api::Duration;
use dis_sim::Simulation;
use dis_sim::study::{Answer, Machine, Study};

/// Times are in units of 100 us.
const UNIT: u64 = 100_000;

#[derive(Debug, Clone, Copy)]
enum Releases {
    /// All at once, each job as long as it can be.
    Synchronous,
    Offsets,
    /// With offsets, and jobs that end early.
    Shorter,
}

fn model(tasks: &[[u64; 3]]) -> Vec<SporadicTask> {
    let time = |units: u64| Duration::from_nanos(units * UNIT);
    tasks.iter().map(|&[wcet, deadline, period]| SporadicTask::new(time(wcet), time(deadline), time(period))).collect()
}

/// Whether anybody misses, and the longest responses.
fn run(study: Study, tasks: &[[u64; 3]], cpus: usize, releases: Releases, random: &mut Numbers) -> (bool, Vec<u64>) {
    let text: String = tasks
        .iter()
        .enumerate()
        .map(|(number, &[wcet, deadline, period])| {
            let [w, d, p] = [wcet, deadline, period].map(|units| units * UNIT / 1_000);
            let times = format!("intent = \"realtime\"\nwcet = \"{w}us\"\ndeadline = \"{d}us\"\nperiod = \"{p}us\"");
            // Under PD2 in whole quanta.
            let offset = match releases {
                Releases::Synchronous => 0,
                _ => random.below(period) / 10 * 1_000,
            };
            let run = match releases {
                Releases::Shorter => format!("loop = [ {{ run = {{ uniform = [\"1us\", \"{w}us\"] }} }} ]"),
                _ => String::new(),
            };
            task(&format!("t{number}"), &format!("{times}\noffset = \"{offset}us\"\n{run}"))
        })
        .collect();
    let workload = workload(&text);
    let options = options(cpus, 600);
    let mut simulation = Simulation::with_kernel(&workload, &options, Machine::new(study, cpus)).unwrap();
    simulation.run().unwrap();
    let responses = simulation.report().tasks.iter().map(|task| task.response_ns.map_or(0, |ns| ns.max)).collect();
    (simulation.all_misses() > 0, responses)
}

/// As the policy needs them: with deadlines equal to periods, and periods in whole ms.
fn random_set(study: Study, cpus: usize, random: &mut Numbers) -> Vec<[u64; 3]> {
    let optimal = matches!(study, Study::Pd2 | Study::DpWrap);
    let count = cpus as u64 + 1 + random.below(4);
    // The test for any policy that does not idle accepts little.
    let full = if study == Study::Llf && random.below(2) > 0 { 40 } else { 100 };
    let each = (full * cpus as u64 / count).min(90);
    (0..count)
        .map(|_| {
            let period = 10 * [3, 4, 5, 6, 8, 10, 12, 15, 20][random.below(9) as usize];
            let wcet = (period * (each / 3 + random.below(each)) / 100).clamp(1, period);
            let deadline =
                if optimal || random.below(2) == 0 { period } else { wcet + random.below(period - wcet + 1) };
            [wcet, deadline, period]
        })
        .collect()
}

/// What is accepted misses nothing, and no response is above its bound. On one CPU, what the exact tests reject misses.
#[test]
fn what_is_said_is_so() {
    let mut random = Numbers::new(3);
    let sets = if cfg!(debug_assertions) { 200 } else { 800 };
    for study in Study::ALL {
        let (mut held, mut rejected, mut open, mut tight) = (0, 0, 0, 0);
        for set in 0..sets {
            let cpus = 1 + set % 4;
            let tasks = random_set(study, cpus, &mut random);
            let analysis = study.analyse(&model(&tasks), &[], cpus);
            assert_eq!(analysis.bounds.len(), tasks.len());
            match &analysis.answer {
                Answer::Holds => {
                    held += 1;
                    for releases in [Releases::Synchronous, Releases::Offsets, Releases::Shorter] {
                        let (missed, responses) = run(study, &tasks, cpus, releases, &mut random);
                        assert!(!missed, "{study:?} on {cpus}, {releases:?}: {tasks:?} {analysis:?}");
                        for (&response, bound) in responses.iter().zip(&analysis.bounds) {
                            let bound = bound.unwrap_or(Duration::MAX).as_nanos();
                            assert!(response <= bound, "{study:?} on {cpus}, {releases:?}: {tasks:?} {analysis:?}");
                            tight += u64::from(response == bound);
                        }
                    }
                }
                Answer::Fails(_) => {
                    rejected += 1;
                    let priorities = matches!(study, Study::Rm | Study::Dm);
                    let key = |task: &[u64; 3]| if study == Study::Rm { task[2] } else { task[1] };
                    let ties = (1..tasks.len()).any(|n| tasks[..n].iter().any(|other| key(other) == key(&tasks[n])));
                    if cpus == 1 && !(priorities && ties) || matches!(study, Study::DpWrap) {
                        let (missed, _) = run(study, &tasks, cpus, Releases::Synchronous, &mut random);
                        assert!(missed, "{study:?} on {cpus}: {tasks:?} {analysis:?}");
                    }
                }
                Answer::Open(_) => open += 1,
            }
        }
        // Neither of the answers goes without saying.
        let some = sets as u64 / 50;
        assert!(held > some && rejected > some && tight > some, "{study:?}: {held} {rejected} {open} {tight}");
    }
}

#[test]
fn known_sets() {
    let answer = |study: Study, tasks: &[[u64; 3]], cpus| study.analyse(&model(tasks), &[], cpus).answer;
    let full = [[20, 30, 30]; 3];
    for study in [Study::Pd2, Study::DpWrap] {
        assert_eq!(answer(study, &full, 2), Answer::Holds, "{study:?}");
        assert!(matches!(answer(study, &[[20, 30, 30]; 4], 2), Answer::Fails(_)), "{study:?}");
    }
    for study in [Study::Rm, Study::Dm, Study::Llf, Study::GlobalEdf] {
        assert!(matches!(answer(study, &full, 2), Answer::Open(_)), "{study:?}");
        assert!(matches!(answer(study, &[[20, 30, 30]; 4], 2), Answer::Fails(_)), "{study:?}");
        assert_eq!(answer(study, &full, 3), Answer::Holds, "{study:?}");
    }
    // Rounded up to a millisecond each, three tasks need more than a CPU.
    let short = [[5, 20, 20]; 3];
    assert!(matches!(answer(Study::Pd2, &short, 1), Answer::Fails(why) if why.contains("rounded up")));
    assert_eq!(answer(Study::DpWrap, &short, 1), Answer::Holds);
    // The bound of rate monotonic on one CPU is that of the analysis, not of Liu and Layland: harmonic periods fill it.
    assert_eq!(answer(Study::Rm, &[[10, 20, 20], [10, 40, 40], [20, 80, 80]], 1), Answer::Holds);
    assert!(matches!(answer(Study::Rm, &[[20, 50, 50], [40, 70, 70]], 1), Answer::Fails(_)));
    assert_eq!(answer(Study::GlobalEdf, &[[20, 50, 50], [40, 70, 70]], 1), Answer::Holds);
}

/// Shares of less than a nanosecond of a slice: nobody is late because another one had its nanosecond before.
#[test]
fn shares_of_less_than_a_nanosecond_count_as_one() {
    // A slice of 100 us is 10^5 ns; a task of 1 ns in 10^6 of them gets a tenth of one in each.
    let light = SporadicTask::implicit(Duration::from_nanos(1), Duration::from_nanos(10 * UNIT));
    let heavy = SporadicTask::implicit(Duration::from_nanos(UNIT - 1), Duration::from_nanos(UNIT));
    let answer = |count: usize| {
        let set = [vec![heavy], vec![light; count]].concat();
        Study::DpWrap.analyse(&set, &[Duration::from_nanos(3 * UNIT)], 1).answer
    };
    assert_eq!(answer(1), Answer::Holds);
    assert!(matches!(answer(2), Answer::Fails(why) if why.contains("rounded up")));
}
