//! EDF with release jitter and sections against all that can happen: a search through every state that small sets of sporadic tasks
//! can reach, tick by tick.
//!
//! The crate `response-time-analysis`, which `analysis.rs` compares with, has jitter in its arrival curves, but under EDF it counts the
//! deadline from the instant at which a job becomes ready. Here it counts from the release, so that crate is no oracle for it.
//!
//! `DIS_SETS` and `DIS_SEED` give other numbers of sets and other sets.

#[allow(dead_code)]
#[path = "common/rng.rs"]
mod rng;

use std::collections::HashSet;

use dis_core::admission::{Response, SporadicTask, Supply, TaskSet, Undecided, edf, response};
use dis_core::api::Duration;
use rng::{Rng, number_from_env};

/// In ticks.
#[derive(Debug, Clone, Copy)]
struct Task {
    wcet: u8,
    deadline: u8,
    period: u8,
    jitter: u8,
    section: u8,
}

/// What a task is doing. Jobs always take their whole wcet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    /// Since its last release, up to the period.
    since: u8,
    /// What is left of its job.
    left: u8,
    /// The job is released and not ready yet.
    waits: bool,
}

/// All tasks, and who is in a section for how much longer.
type All = (Vec<State>, Option<(usize, u8)>);

/// The longest response of each task; `None` if some deadline can be missed.
fn longest(tasks: &[Task]) -> Option<Vec<u8>> {
    let idle = |task: &Task| State { since: task.period, left: 0, waits: false };
    let first: All = (tasks.iter().map(idle).collect(), None);
    let (mut seen, mut open) = (HashSet::from([first.clone()]), vec![first]);
    let mut longest = vec![0; tasks.len()];
    while let Some((states, section)) = open.pop() {
        for states in releases(tasks, &states) {
            for (mut states, section) in choices(tasks, &states, section) {
                for (index, (task, state)) in tasks.iter().zip(&mut states).enumerate() {
                    state.since = (state.since + 1).min(task.period);
                    let pending = state.waits || (state.left > 0 && state.left != FINISHED);
                    if pending && state.since >= task.deadline {
                        return None;
                    }
                    if state.left == FINISHED {
                        state.left = 0;
                        longest[index] = state.since.max(longest[index]);
                    }
                }
                let next = (states, section);
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    Some(longest)
}

/// `left` of a job that has ended in this tick.
const FINISHED: u8 = u8::MAX;

/// Everything that may be released and become ready at one instant.
fn releases(tasks: &[Task], states: &[State]) -> Vec<Vec<State>> {
    let mut all = vec![Vec::new()];
    for (task, &state) in tasks.iter().zip(states) {
        let ready = State { left: task.wcet, waits: false, ..state };
        let released = State { since: 0, left: 0, waits: true };
        let may = if state.waits {
            if state.since < task.jitter { vec![state, ready] } else { vec![ready] }
        } else if state.left == 0 && state.since >= task.period {
            let at_once = State { since: 0, left: task.wcet, waits: false };
            if task.jitter > 0 { vec![state, released, at_once] } else { vec![state, at_once] }
        } else {
            vec![state]
        };
        all = all.iter().flat_map(|before| may.iter().map(move |&next| [&before[..], &[next]].concat())).collect();
    }
    all
}

/// Who may run in the next tick, in a section or not.
fn choices(tasks: &[Task], states: &[State], section: Option<(usize, u8)>) -> Vec<All> {
    let run = |who: usize, section: Option<(usize, u8)>| {
        let mut states = states.to_vec();
        states[who].left -= 1;
        if states[who].left == 0 {
            states[who].left = FINISHED;
        }
        (states, section.filter(|&(_, left)| left > 0))
    };
    if let Some((holder, left)) = section {
        return vec![run(holder, Some((holder, left - 1)))];
    }
    let due = |index: usize| tasks[index].deadline - states[index].since;
    let ready = || (0..tasks.len()).filter(|&index| states[index].left > 0);
    let Some(first) = ready().map(due).min() else { return vec![(states.to_vec(), None)] };
    let first = ready().filter(|&index| due(index) == first);
    first
        .flat_map(|index| {
            let enters = tasks[index].section.min(states[index].left);
            let in_section = (enters > 1).then(|| run(index, Some((index, enters - 1))));
            [Some(run(index, None)), in_section].into_iter().flatten()
        })
        .collect()
}

fn random_set(rng: &mut Rng, sections: bool) -> Vec<Task> {
    let count = 2 + rng.below(2);
    let task = |_| {
        let period = 3 + rng.below(7) as u8;
        let wcet = 1 + rng.below(u64::from(period) * 2 / (count + 1)) as u8;
        let deadline = wcet + rng.below(u64::from(period - wcet) + 1) as u8;
        let jitter = rng.below(u64::from(deadline - wcet) + 1) as u8;
        let section = if sections { rng.below(u64::from(wcet) + 1) as u8 } else { 0 };
        Task { wcet, deadline, period, jitter, section }
    };
    (0..count).map(task).collect()
}

/// A section of s ticks has begun one before whoever waits for it comes; ours is in the way as a whole.
fn as_sporadic(task: &Task) -> SporadicTask {
    let [wcet, deadline, period, jitter] =
        [task.wcet, task.deadline, task.period, task.jitter].map(|ticks| Duration::from_nanos(ticks.into()));
    let section = Duration::from_nanos(task.section.saturating_sub(1).into());
    SporadicTask::new(wcet, deadline, period).with_jitter(jitter).with_section(section)
}

fn sets() -> u64 {
    number_from_env("DIS_SETS").unwrap_or(if cfg!(debug_assertions) { 60 } else { 1_000 })
}

/// Exact: the same verdicts, and the same bounds.
#[test]
fn jitter_is_exact() {
    let mut rng = Rng::new(number_from_env("DIS_SEED").unwrap_or(1));
    let mut accepted = 0;
    for _ in 0..sets() {
        let tasks = random_set(&mut rng, false);
        let sporadic: Vec<SporadicTask> = tasks.iter().map(as_sporadic).collect();
        let set = TaskSet::new(&sporadic, Supply::dedicated());
        let longest = longest(&tasks);
        assert_eq!(edf::test(&set).is_schedulable(), longest.is_some(), "{tasks:?}");
        let Some(longest) = longest else { continue };
        accepted += 1;
        let bounds = response::exact(&set);
        for (bound, longest) in bounds.iter().zip(&longest) {
            assert_eq!(bound.within(), Some(Duration::from_nanos((*longest).into())), "{tasks:?} {bounds:?}");
        }
    }
    println!("{} sets, {accepted} schedulable", sets());
    assert!(accepted * 8 > sets() && accepted * 10 < sets() * 9, "{accepted}");
}

/// Safe: what is accepted misses nothing, and no response is above its bound. How often that is more than can happen is counted.
#[test]
fn jitter_and_sections_are_safe() {
    let mut rng = Rng::new(number_from_env("DIS_SEED").unwrap_or(2));
    let (mut accepted, mut schedulable, mut tight, mut bounds_of, mut unbounded) = (0, 0, 0, 0, 0);
    for _ in 0..sets() {
        let tasks = random_set(&mut rng, true);
        let sporadic: Vec<SporadicTask> = tasks.iter().map(as_sporadic).collect();
        let set = TaskSet::new(&sporadic, Supply::dedicated());
        let longest = longest(&tasks);
        schedulable += u64::from(longest.is_some());
        if !edf::test(&set).is_schedulable() {
            continue;
        }
        accepted += 1;
        let longest = longest.unwrap_or_else(|| panic!("accepted, and can be late: {tasks:?}"));
        for (bound, longest) in response::exact(&set).iter().zip(&longest) {
            // With a utilisation of 1 and a section there is no end to the busy period, and no bound.
            let Some(bound) = bound.within().map(|bound| bound.as_nanos()) else {
                assert_eq!(*bound, Response::Undecided(Undecided::Work), "{tasks:?}");
                unbounded += 1;
                continue;
            };
            assert!(bound >= u64::from(*longest), "{tasks:?}: {bound} < {longest}");
            tight += u64::from(bound == u64::from(*longest));
            bounds_of += 1;
        }
    }
    println!(
        "{} sets, {schedulable} schedulable, {accepted} accepted; {tight} of {bounds_of} bounds are reached",
        sets()
    );
    assert!(unbounded * 20 < bounds_of && accepted * 10 > schedulable * 8, "{accepted} of {schedulable}");
}
