//! Walks a task's body.

use dis_core::api::CpuMask;

use super::{Repeat, Step, TaskSpec};

/// A place in a task's body. Asked again and again, it answers with every action of the task in order, so hosts need
/// not know about phases and loop counts.
///
/// The order is: [`Action::BeginPass`], then for each phase an [`Action::Affinity`] where the mask changes and the
/// phase's steps as often as it repeats, then [`Action::EndPass`]; after the last pass [`Action::Exit`], for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    passes: u64,
    phase: usize,
    round: u64,
    step: usize,
    affinity: Option<CpuMask>,
    at: Place,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    PassStart,
    PhaseStart,
    Steps,
}

/// What a task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// A pass begins: with periodic release, wait for release number `pass` (from 0) first.
    BeginPass(u64),
    /// From here on the task may use these CPUs; `None`: those of its intent.
    Affinity(Option<CpuMask>),
    /// Execute this step.
    Step(&'a Step),
    /// Pass number `pass` (from 0) is complete: one job done.
    EndPass(u64),
    /// The task has made all its passes.
    Exit,
}

impl Cursor {
    /// The beginning of the body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes completed.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// The phase (from 0) and the step (from 1) of the last [`Action::Step`].
    pub fn place(&self) -> (usize, usize) {
        (self.phase, self.step)
    }

    /// The next action. `task` must be the same at every call.
    pub fn next<'a>(&mut self, task: &'a TaskSpec) -> Action<'a> {
        loop {
            match self.at {
                Place::PassStart => {
                    if matches!(task.repeat, Repeat::Times(count) if self.passes >= count) {
                        return Action::Exit;
                    }
                    (self.phase, self.at) = (0, Place::PhaseStart);
                    return Action::BeginPass(self.passes);
                }
                Place::PhaseStart => {
                    let Some(phase) = task.phases.get(self.phase) else {
                        self.at = Place::PassStart;
                        self.passes += 1;
                        return Action::EndPass(self.passes - 1);
                    };
                    (self.round, self.step, self.at) = (0, 0, Place::Steps);
                    if phase.affinity != self.affinity {
                        self.affinity = phase.affinity;
                        return Action::Affinity(phase.affinity);
                    }
                }
                Place::Steps => {
                    let Some(phase) = task.phases.get(self.phase).filter(|phase| self.round < phase.repeat) else {
                        self.phase += 1;
                        self.at = Place::PhaseStart;
                        continue;
                    };
                    if let Some(step) = phase.steps.get(self.step) {
                        self.step += 1;
                        return Action::Step(step);
                    }
                    (self.round, self.step) =
                        if phase.steps.is_empty() { (phase.repeat, 0) } else { (self.round + 1, 0) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;
    use dis_core::api::Duration;
    use dis_core::intent::Intent;

    fn phase(repeat: u64, cpu: Option<usize>, nanos: &[u64]) -> Phase {
        let steps = nanos.iter().map(|&n| Step::Run(Duration::from_nanos(n))).collect();
        Phase { name: None, repeat, affinity: cpu.map(CpuMask::single), steps }
    }

    #[test]
    fn phases_repeat_on_their_own_and_passes_are_counted() {
        let mut task = TaskSpec::new("t", Intent::batch(), Vec::new());
        task.phases = vec![phase(2, None, &[1, 2]), phase(1, Some(3), &[3])];
        task.repeat = Repeat::Times(2);
        let run = |n| Step::Run(Duration::from_nanos(n));
        let (one, two, three, mut cursor) = (run(1), run(2), run(3), Cursor::new());
        let pass = |n, back: bool| {
            let mut actions = vec![Action::BeginPass(n)];
            if back {
                actions.push(Action::Affinity(None));
            }
            actions.extend([Action::Step(&one), Action::Step(&two), Action::Step(&one), Action::Step(&two)]);
            actions.extend([Action::Affinity(Some(CpuMask::single(3))), Action::Step(&three), Action::EndPass(n)]);
            actions
        };
        let expected = [pass(0, false), pass(1, true), vec![Action::Exit, Action::Exit]].concat();
        for (index, action) in expected.into_iter().enumerate() {
            assert_eq!(cursor.next(&task), action, "action {index}");
        }
    }

    #[test]
    fn an_empty_body_makes_passes_without_steps() {
        let mut task = TaskSpec::new("t", Intent::batch(), Vec::new());
        task.phases[0].repeat = u64::MAX;
        let mut cursor = Cursor::new();
        assert_eq!(cursor.next(&task), Action::BeginPass(0));
        assert_eq!(cursor.next(&task), Action::EndPass(0));
        assert_eq!(cursor.passes(), 1);
    }
}
