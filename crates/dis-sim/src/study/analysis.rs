//! Whether a policy for study meets all deadlines of a set.

use std::cmp::Ordering;

use dis_core::admission::global::{self, ResponseBound};
use dis_core::admission::{Response, SporadicTask, Supply, TaskSet, Undecided, Verdict, edf, fp, response};
use dis_core::api::Duration;

use super::{Study, dp_wrap, pd2};

/// Sets up to this size get the least response bounds on one CPU; larger ones get those that are found sooner.
const EXACT_TASKS: usize = 200;

/// What is known of a set of tasks under a policy for study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The test that decided, or the last one that was asked.
    pub test: &'static str,
    /// Whether all deadlines hold.
    pub answer: Answer,
    /// For each task, how long its jobs take at most from release to end, as far as that is sure. [`Answer::Holds`] may come without
    /// bounds; without it, fixed priorities on one CPU alone have some, for those who are not disturbed by the others.
    pub bounds: Vec<Option<Duration>>,
}

/// Whether all deadlines hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They do, as long as jobs need at most their wcet and do not wait before their end.
    Holds,
    /// They do not, if releases fall together as badly as they can. In words.
    Fails(String),
    /// The tests do not accept the set, which may be schedulable all the same. In words.
    Open(String),
}

impl Study {
    /// Whether `tasks` meet all their deadlines under this policy on `cpus` CPUs, which have nothing else to do. Offsets are
    /// ignored, which is safe; `starts` are needed for the rounding of `dp-wrap` only, in whose slices they are cuts.
    ///
    /// | policy | one CPU | several CPUs |
    /// |---|---|---|
    /// | `rm`, `dm` | response-time analysis ([`fp`]), exact | response times by ranks ([`global::rta_ranked`]), sufficient |
    /// | `global-edf` | processor demand ([`edf`]), exact | [`global::gfb`], [`global::bcl`], [`global::rta`], sufficient |
    /// | `llf` | response times under any policy that does not idle, sufficient | the same |
    /// | `pd2`, `dp-wrap` | utilisation, exact | the same |
    ///
    /// Work is bounded as in the tests that are named.
    pub fn analyse(self, tasks: &[SporadicTask], starts: &[Duration], cpus: usize) -> Analysis {
        let one = cpus == 1;
        let analysis = match self {
            Study::Rm if one => by_priority(tasks, &ranks(tasks, |task| task.period)),
            Study::Dm if one => by_priority(tasks, &ranks(tasks, |task| task.deadline)),
            Study::GlobalEdf if one => demand(tasks),
            Study::Rm => by_rank(tasks, &ranks(tasks, |task| task.period), cpus),
            Study::Dm => by_rank(tasks, &ranks(tasks, |task| task.deadline), cpus),
            Study::Llf => by_rank(tasks, &vec![0; tasks.len()], cpus),
            Study::GlobalEdf => global_edf(tasks, cpus),
            Study::Pd2 => optimal(tasks, &pd2::in_quanta(tasks), cpus),
            Study::DpWrap => optimal(tasks, &dp_wrap::with_rounding(tasks, starts), cpus),
        };
        match analysis.answer {
            Answer::Holds => analysis,
            _ if one && matches!(self, Study::Rm | Study::Dm) => analysis,
            _ => Analysis { bounds: vec![None; tasks.len()], ..analysis },
        }
    }
}

fn ranks(tasks: &[SporadicTask], rank: impl Fn(&SporadicTask) -> Duration) -> Vec<u64> {
    tasks.iter().map(|task| rank(task).as_nanos()).collect()
}

/// Fixed priorities on one CPU. Of tasks of equal rank each may have to wait for the others.
fn by_priority(tasks: &[SporadicTask], ranks: &[u64]) -> Analysis {
    let test = "response-time analysis";
    let responses: Vec<Response> = (0..tasks.len())
        .map(|index| {
            let before = (0..tasks.len()).filter(|&other| other != index && ranks[other] <= ranks[index]);
            let ordered: Vec<SporadicTask> = before.chain([index]).map(|task| tasks[task]).collect();
            fp::response_of(&TaskSet::new(&ordered, Supply::dedicated()), ordered.len() - 1)
        })
        .collect();
    let bounds = responses.iter().map(|response| response.within()).collect();
    let answer = match responses.iter().position(|response| response.within().is_none()) {
        None => Answer::Holds,
        Some(index) => match responses[index] {
            Response::Undecided(why) => undecided(why),
            _ => Answer::Fails("some jobs can take longer than their deadlines".into()),
        },
    };
    Analysis { test, answer, bounds }
}

/// EDF on one CPU.
fn demand(tasks: &[SporadicTask]) -> Analysis {
    let set = TaskSet::new(tasks, Supply::dedicated());
    let responses = || if tasks.len() > EXACT_TASKS { response::quick(&set) } else { response::exact(&set) };
    let (answer, bounds) = match edf::test(&set) {
        Verdict::Schedulable => (Answer::Holds, responses().into_iter().map(Response::within).collect()),
        Verdict::Undecided(why) => (undecided(why), vec![None; tasks.len()]),
        verdict => (Answer::Fails(verdict.to_string()), vec![None; tasks.len()]),
    };
    Analysis { test: "processor demand", answer, bounds }
}

fn undecided(why: Undecided) -> Answer {
    Answer::Open(Verdict::Undecided(why).to_string())
}

/// Global EDF: any of the tests.
fn global_edf(tasks: &[SporadicTask], cpus: usize) -> Analysis {
    let bounds = known(&global::rta(tasks, cpus));
    let found = global::accepted_by(tasks, cpus);
    let answer = match found {
        Some(_) => Answer::Holds,
        None => {
            overload(tasks, cpus).unwrap_or_else(|| Answer::Open("none of gfb, bcl and rta accepts the set".into()))
        }
    };
    Analysis { test: found.map_or("gfb, bcl, rta", |test| test.name()), answer, bounds }
}

/// Response times by ranks on any number of CPUs.
fn by_rank(tasks: &[SporadicTask], ranks: &[u64], cpus: usize) -> Analysis {
    let bounds = known(&global::rta_ranked(tasks, ranks, cpus));
    let answer = match bounds.iter().all(Option::is_some) {
        true => Answer::Holds,
        false => overload(tasks, cpus).unwrap_or_else(|| {
            let open = bounds.iter().filter(|bound| bound.is_none()).count();
            Answer::Open(format!("no bound up to the deadline is known for {open} of {} tasks", tasks.len()))
        }),
    };
    Analysis { test: "response-time analysis", answer, bounds }
}

fn known(bounds: &[ResponseBound]) -> Vec<Option<Duration>> {
    let known = |bound: &ResponseBound| match *bound {
        ResponseBound::Within(time) => Some(time),
        ResponseBound::Unknown => None,
    };
    bounds.iter().map(known).collect()
}

/// What no policy can keep.
fn overload(tasks: &[SporadicTask], cpus: usize) -> Option<Answer> {
    let more = global::utilisation(tasks, cpus) == Some(Ordering::Greater);
    more.then(|| Answer::Fails(too_much(tasks, cpus)))
}

fn too_much(tasks: &[SporadicTask], cpus: usize) -> String {
    let ppb: u64 = tasks.iter().map(SporadicTask::utilisation_ppb).fold(0, u64::saturating_add);
    let percent = ppb.div_ceil(100_000);
    format!("{}.{:02} % of a CPU are needed in the long run, of {cpus}00 %", percent / 100, percent % 100)
}

/// Policies that keep whatever the CPUs can do. Jobs are done by their deadlines and not before. `needed`: with what rounding
/// costs.
fn optimal(tasks: &[SporadicTask], needed: &[SporadicTask], cpus: usize) -> Analysis {
    let answer = match global::utilisation(needed, cpus) {
        Some(Ordering::Less | Ordering::Equal) => Answer::Holds,
        Some(Ordering::Greater) if needed == tasks => Answer::Fails(too_much(needed, cpus)),
        Some(Ordering::Greater) => Answer::Fails(too_much(needed, cpus) + ", with wcet rounded up as this policy does"),
        None => Answer::Open("the utilisation is too close to the number of CPUs to be told from it".into()),
    };
    Analysis { test: "utilisation", answer, bounds: tasks.iter().map(|task| Some(task.deadline)).collect() }
}
