//! Linux scheduling policies and what they become.

use super::json::{Node, Value};
use super::values::integer;
use crate::text::{Context, did_you_mean, join_or, shorten};

/// The policies that rt-app's files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Policy {
    #[default]
    Other,
    Batch,
    Idle,
    Fifo,
    Rr,
    Deadline,
}

const NAMES: [(&str, Policy); 7] = [
    ("SCHED_OTHER", Policy::Other),
    ("SCHED_NORMAL", Policy::Other),
    ("SCHED_BATCH", Policy::Batch),
    ("SCHED_IDLE", Policy::Idle),
    ("SCHED_FIFO", Policy::Fifo),
    ("SCHED_RR", Policy::Rr),
    ("SCHED_DEADLINE", Policy::Deadline),
];

impl Policy {
    pub fn read(cx: &mut Context<'_>, node: &Node<'_>, field: &str) -> Option<Policy> {
        let names = || NAMES.iter().map(|(name, _)| *name);
        let message = match &node.value {
            Value::String(text) => match NAMES.iter().find(|(name, _)| *name == text.as_ref()) {
                Some((_, policy)) => return Some(*policy),
                None => {
                    let hint = did_you_mean(text, names());
                    format!("\"{}\" is not a policy{hint} (allowed are {})", shorten(text), join_or(names()))
                }
            },
            other => format!("is {}; it must be {}", other.kind(), join_or(names())),
        };
        cx.problem(node.at, field, message);
        None
    }

    /// Whether `priority` is a nice value.
    pub const fn is_nice(self) -> bool {
        matches!(self, Policy::Other | Policy::Batch | Policy::Idle)
    }

    /// The file's priority in the policy's own range, the policy's default without one.
    pub fn priority(self, cx: &mut Context<'_>, node: Option<&Node<'_>>, field: &str) -> i64 {
        let (min, max, default) = match self {
            Policy::Fifo | Policy::Rr => (1, 99, 10),
            Policy::Deadline => (i64::from(i32::MIN), i64::from(i32::MAX), 0),
            _ => (-20, 19, 0),
        };
        node.and_then(|node| integer(cx, node, field, min, max)).unwrap_or(default)
    }
}

/// A DIS priority (0..=255, lower first): nice values move the class's base, real-time priorities turn round.
pub(super) fn dis_priority(policy: Policy, priority: i64, base: u8) -> u8 {
    let value = if policy.is_nice() { i64::from(base) + priority } else { 99 - priority };
    value.clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_nice_and_higher_real_time_priority_go_first() {
        assert_eq!(dis_priority(Policy::Other, -19, 50), 31);
        assert_eq!(dis_priority(Policy::Other, 19, 100), 119);
        assert_eq!(dis_priority(Policy::Fifo, 99, 0), 0);
        assert_eq!(dis_priority(Policy::Rr, 1, 0), 98);
        assert_eq!(dis_priority(Policy::Idle, 19, 250), 255);
    }
}
