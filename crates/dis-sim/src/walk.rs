//! Walks a task's body, as [`Cursor`] does, but at once for the usual body: one phase, repeated once, with no CPUs of
//! its own. The simulator spends most of its steps in such bodies, and this way it need not look at the specification.

use dis_workload::model::{Action, Cursor, Repeat, Step, TaskSpec};

/// A place in a task's body.
#[derive(Debug)]
pub(crate) enum Walk<'w> {
    /// The usual body.
    Plain {
        steps: &'w [Step],
        next: u32,
        in_pass: bool,
        passes: u64,
        /// How many passes there are.
        most: u64,
    },
    /// Any body.
    General(Box<Cursor>),
}

impl<'w> Walk<'w> {
    /// The beginning of the body.
    pub fn new(spec: &'w TaskSpec) -> Walk<'w> {
        match &spec.phases[..] {
            [phase] if phase.repeat == 1 && phase.affinity.is_none() && phase.steps.len() < u32::MAX as usize => {
                let most = match spec.repeat {
                    Repeat::Forever => u64::MAX,
                    Repeat::Times(times) => times,
                };
                Walk::Plain { steps: &phase.steps, next: 0, in_pass: false, passes: 0, most }
            }
            _ => Walk::General(Box::default()),
        }
    }

    /// The phase (from 0) and the step (from 1) of the last [`Action::Step`].
    pub fn place(&self) -> (usize, usize) {
        match self {
            Walk::Plain { next, .. } => (0, *next as usize),
            Walk::General(cursor) => cursor.place(),
        }
    }

    /// The next action; the body must be the same at every call.
    #[inline]
    pub fn next(&mut self, spec: &'w TaskSpec) -> Action<'w> {
        let (steps, next, in_pass, passes, most) = match self {
            Walk::Plain { steps, next, in_pass, passes, most } => (*steps, next, in_pass, passes, *most),
            Walk::General(cursor) => return cursor.next(spec),
        };
        if !*in_pass {
            if *passes >= most {
                return Action::Exit;
            }
            (*in_pass, *next) = (true, 0);
            return Action::BeginPass(*passes);
        }
        if let Some(step) = steps.get(*next as usize) {
            *next += 1;
            return Action::Step(step);
        }
        *in_pass = false;
        *passes += 1;
        Action::EndPass(*passes - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_core::api::{CpuMask, Duration};
    use dis_core::intent::Intent;

    /// Both ways answer the same.
    #[test]
    fn the_short_way_is_the_cursors() {
        let step = |ms| Step::Run(Duration::from_millis(ms));
        let mut plain = TaskSpec::new("t", Intent::batch(), vec![step(1), Step::Yield, step(2)]);
        let mut phased = plain.clone();
        phased.phases.push(plain.phases[0].clone());
        phased.phases[1].affinity = Some(CpuMask::single(1));
        let mut repeated = plain.clone();
        repeated.phases[0].repeat = 3;
        plain.repeat = Repeat::Times(2);
        for (spec, is_plain) in [(&plain, true), (&phased, false), (&repeated, false)] {
            let (mut walk, mut cursor) = (Walk::new(spec), Cursor::new());
            assert_eq!(matches!(walk, Walk::Plain { .. }), is_plain);
            for _ in 0..50 {
                assert_eq!(walk.next(spec), cursor.next(spec));
                let is_step = cursor.place().1 > 0 && cursor.place().0 < spec.phases.len();
                assert!(!is_step || walk.place() == cursor.place());
            }
        }
    }
}
