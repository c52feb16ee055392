//! Static checks of the tasks' bodies: what would hang or spin whatever the machine.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::{EventKind, Objects, Phase, Release, Repeat, Step, TaskSpec};

/// Something a body does that cannot work, or looks odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Index of the task.
    pub task: usize,
    /// Phase and step within the task; `None` for the body as a whole.
    pub at: Option<(usize, usize)>,
    /// What kind of finding.
    pub kind: FindingKind,
    /// The message for a person.
    pub text: String,
}

/// Kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Unlocks a mutex that the task does not hold.
    UnlockNotHeld,
    /// Locks a mutex that the task holds already.
    LockHeld,
    /// A pass ends while the task holds a mutex.
    LeftLocked,
    /// Waits with a mutex that the task does not hold.
    WaitWithoutMutex,
    /// An endless loop in which nothing takes time or blocks.
    NeverBlocks,
    /// Waits for an event that no task signals.
    NobodySignals,
    /// Signals an event that no task waits for: harmless.
    NobodyWaits,
}

impl FindingKind {
    /// Whether the workload would hang, spin or misuse a mutex.
    pub const fn is_error(self) -> bool {
        !matches!(self, FindingKind::NobodyWaits)
    }
}

/// Everything found in the bodies of all tasks, in their order.
pub fn check(tasks: &[TaskSpec], objects: &Objects) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let mut add = |at, kind, text| findings.push(Finding { task: index, at, kind, text });
        check_mutexes(task, objects, &mut add);
        check_progress(task, &mut add);
    }
    check_events(tasks, objects, &mut findings);
    findings.sort_by_key(|finding| (finding.task, finding.at));
    findings
}

type Add<'a> = &'a mut dyn FnMut(Option<(usize, usize)>, FindingKind, String);

/// Follows one pass. A phase that repeats is followed twice, which is enough to see a lock left by the first round.
fn check_mutexes(task: &TaskSpec, objects: &Objects, add: Add<'_>) {
    let mut held = BTreeSet::new();
    let mut reported = BTreeSet::new();
    for (p, phase) in task.phases.iter().enumerate() {
        for _round in 0..phase.repeat.min(2) {
            for (s, step) in phase.steps.iter().enumerate() {
                let (kind, text) = match *step {
                    Step::Lock(mutex) if held.contains(&mutex) => (
                        FindingKind::LockHeld,
                        format!(
                            "locks `{}`, which the task holds already; mutexes are not recursive, unlock it first",
                            objects.mutex_name(mutex)
                        ),
                    ),
                    Step::Lock(mutex) => {
                        held.insert(mutex);
                        continue;
                    }
                    Step::Unlock(mutex) if !held.contains(&mutex) => (
                        FindingKind::UnlockNotHeld,
                        format!(
                            "unlocks `{}`, which the task does not hold here; lock it first",
                            objects.mutex_name(mutex)
                        ),
                    ),
                    Step::Unlock(mutex) => {
                        held.remove(&mutex);
                        continue;
                    }
                    Step::Wait { event, mutex: Some(mutex) } if !held.contains(&mutex) => (
                        FindingKind::WaitWithoutMutex,
                        format!(
                            "waits for `{}` with the mutex `{}`, which the task does not hold here; lock it first",
                            objects.event_name(event),
                            objects.mutex_name(mutex)
                        ),
                    ),
                    _ => continue,
                };
                if reported.insert((p, s)) {
                    add(Some((p, s)), kind, text);
                }
            }
        }
    }
    for mutex in held {
        let name = objects.mutex_name(mutex);
        let text = format!("the pass ends while the task holds `{name}`; unlock it before the end of the loop");
        add(None, FindingKind::LeftLocked, text);
    }
}

/// An endless loop has to take time or block, or it would hold the CPU without doing anything.
fn check_progress(task: &TaskSpec, add: Add<'_>) {
    let progresses = |step: &Step| match step {
        Step::Run(time) => !time.is_zero(),
        Step::Wait { .. } | Step::Barrier(_) | Step::RunDrawn(_) => true,
        step => step.sleeps(),
    };
    let stuck = |phase: &Phase| !phase.steps.iter().any(progresses);
    let endless_phase = task.phases.iter().position(|phase| phase.repeat == u64::MAX && stuck(phase));
    let endless_task = matches!((task.repeat, task.release), (Repeat::Forever, Release::Free));
    if endless_phase.is_some() || (endless_task && task.phases.iter().all(stuck)) {
        let at = endless_phase.map(|p| (p, 0));
        let text = "the loop never takes time or blocks, so it would spin for ever; \
                    add a step that runs, sleeps or waits, or give a number of repetitions";
        add(at, FindingKind::NeverBlocks, text.into());
    }
}

/// Every event that is waited for needs a signal, and the other way round.
fn check_events(tasks: &[TaskSpec], objects: &Objects, findings: &mut Vec<Finding>) {
    let mut waits = vec![None; objects.events.len()];
    let mut signals = vec![None; objects.events.len()];
    for (t, task) in tasks.iter().enumerate() {
        for (p, phase) in task.phases.iter().enumerate() {
            for (s, step) in phase.steps.iter().enumerate() {
                let first = match step {
                    Step::Wait { event, .. } => waits.get_mut(event.0),
                    Step::Signal(event) | Step::Broadcast(event) => signals.get_mut(event.0),
                    _ => None,
                };
                if let Some(first) = first {
                    first.get_or_insert((t, p, s));
                }
            }
        }
    }
    for (event, places) in objects.events.iter().zip(waits.into_iter().zip(signals)) {
        let name = &event.name;
        let (at, kind, text) = match places {
            (Some(at), None) => {
                let how = match event.kind {
                    EventKind::Latched => "add a step `signal` or `broadcast` to another task",
                    EventKind::Pulse => "add `signal`, `broad`, `sync` or `resume` to another task",
                };
                let text = format!("waits for `{name}`, which no task signals, so it would wait for ever; {how}");
                (at, FindingKind::NobodySignals, text)
            }
            (None, Some(at)) => (at, FindingKind::NobodyWaits, format!("signals `{name}`, which no task waits for")),
            _ => continue,
        };
        findings.push(Finding { task: at.0, at: Some((at.1, at.2)), kind, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Interner, TimerMode};
    use dis_core::api::Duration;
    use dis_core::intent::Intent;

    type Found = Vec<(usize, Option<(usize, usize)>, FindingKind)>;

    fn kinds(bodies: &[&[Step]], objects: &Objects) -> Found {
        let tasks: Vec<_> = bodies.iter().map(|body| TaskSpec::new("t", Intent::batch(), body.to_vec())).collect();
        check(&tasks, objects).into_iter().map(|f| (f.task, f.at, f.kind)).collect()
    }

    const RUN: Step = Step::Run(Duration::from_millis(1));

    #[test]
    fn mutexes_are_followed_through_the_pass() {
        let mut names = Interner::default();
        let (m, n, e) = (names.mutex("m"), names.mutex("n"), names.event("e", EventKind::Latched));
        let objects = names.finish();
        let (lock, unlock) = (Step::Lock(m), Step::Unlock(m));
        let wait = Step::Wait { event: e, mutex: Some(n) };
        assert_eq!(kinds(&[&[lock, RUN, unlock]], &Objects { events: vec![], ..objects.clone() }), []);
        assert_eq!(
            kinds(&[&[unlock, RUN]], &Objects { events: vec![], ..objects.clone() })[0].2,
            FindingKind::UnlockNotHeld
        );
        let all = kinds(&[&[lock, lock, RUN, unlock, unlock], &[wait, Step::Signal(e)], &[lock, RUN]], &objects);
        assert_eq!(
            all,
            [
                (0, Some((0, 1)), FindingKind::LockHeld),
                (0, Some((0, 4)), FindingKind::UnlockNotHeld),
                (1, Some((0, 0)), FindingKind::WaitWithoutMutex),
                (2, None, FindingKind::LeftLocked),
            ]
        );
    }

    #[test]
    fn a_lock_left_by_one_round_is_seen_in_the_next() {
        let mut names = Interner::default();
        let m = names.mutex("m");
        let objects = names.finish();
        let mut task = TaskSpec::new("t", Intent::batch(), vec![Step::Lock(m), RUN]);
        task.phases[0].repeat = 5;
        task.phases.push(Phase { name: None, repeat: 1, affinity: None, steps: vec![Step::Unlock(m)] });
        let found = check(&[task], &objects);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].at, found[0].kind), (Some((0, 0)), FindingKind::LockHeld));
        assert_eq!(
            found[0].text,
            "locks `m`, which the task holds already; mutexes are not recursive, unlock it first"
        );
    }

    #[test]
    fn endless_loops_must_take_time() {
        let mut names = Interner::default();
        let (m, t) = (names.mutex("m"), names.timer("t", crate::model::Scope::Instance));
        let objects = names.finish();
        let timer = |ms| Step::Timer { timer: t, period: Duration::from_millis(ms), mode: TimerMode::Relative };
        let body = [Step::Lock(m), Step::Unlock(m), Step::Yield, timer(0), Step::Sleep(Duration::ZERO)];
        assert_eq!(kinds(&[&body, &[timer(1)]], &objects), [(0, None, FindingKind::NeverBlocks)]);
        let mut finite = TaskSpec::new("t", Intent::batch(), body.to_vec());
        finite.repeat = Repeat::Times(9);
        let periodic = TaskSpec::new("t", Intent::realtime(9, 9, 1), body.to_vec());
        assert_eq!(check(&[finite, periodic], &objects), []);
    }

    #[test]
    fn events_need_both_ends() {
        let mut names = Interner::default();
        let (a, b) = (names.event("a", EventKind::Latched), names.event("b", EventKind::Pulse));
        let objects = names.finish();
        let wait = |event| Step::Wait { event, mutex: None };
        assert_eq!(kinds(&[&[wait(a)], &[wait(b)], &[RUN, Step::Signal(a), Step::Broadcast(b)]], &objects), []);
        assert_eq!(
            kinds(&[&[RUN], &[wait(a)], &[RUN, Step::Signal(b)]], &objects),
            [(1, Some((0, 0)), FindingKind::NobodySignals), (2, Some((0, 1)), FindingKind::NobodyWaits)]
        );
        assert!(FindingKind::NobodySignals.is_error() && !FindingKind::NobodyWaits.is_error());
    }
}
