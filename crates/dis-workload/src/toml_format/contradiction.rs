//! Intents that contradict themselves: which key is wrong, and what it may be.

use dis_core::intent::{Intent, IntentError, QueueType};

use super::fields::Fields;
use crate::text::{Context, shorten};

/// Reports what is wrong with the intent of a task, at the key that is to be changed. (What a single key may hold is
/// checked where it is read.)
pub(super) fn check(cx: &mut Context<'_>, fields: &Fields<'_, '_>, intent: &Intent) {
    let Err(reason) = intent.validate() else { return };
    let (key, message) = explain(fields, intent, reason);
    fields.problem(cx, key, message);
}

fn explain(fields: &Fields<'_, '_>, intent: &Intent, reason: IntentError) -> (&'static str, String) {
    let text = |key: &str| fields.get(key).and_then(|(value, _)| value.as_str()).map_or(String::new(), shorten);
    let at_most = |key: &str, bound: &str, name: &str| {
        format!("is \"{}\"; it must be at most {name}, which is \"{}\"", text(key), text(bound))
    };
    let realtime = intent.class.queue() == QueueType::Realtime;
    let key = match reason {
        IntentError::WcetExceedsDeadline if fields.get("deadline").is_some() => {
            return ("wcet", at_most("wcet", "deadline", "`deadline`"));
        }
        IntentError::WcetExceedsDeadline => return ("wcet", at_most("wcet", "period", "`period`, the deadline")),
        IntentError::DeadlineExceedsPeriod => return ("deadline", at_most("deadline", "period", "`period`")),
        IntentError::MinExceedsMax => return ("cpu_min", at_most("cpu_min", "cpu_max", "`cpu_max`")),
        IntentError::RealtimeWithShare => {
            let key = if fields.get("cpu_min").is_some() { "cpu_min" } else { "cpu_max" };
            return (key, "a realtime task reserves CPU time by `wcet` and `period`; leave it out".into());
        }
        IntentError::ZeroPeriod => "period",
        IntentError::ZeroDeadline => "deadline",
        IntentError::ZeroWcet => "wcet",
        IntentError::ZeroTargetLatency => "latency",
        IntentError::TimeTooLong => {
            if realtime {
                "period"
            } else {
                "latency"
            }
        }
        IntentError::EmptyAffinity => "affinity",
        IntentError::ShareTooLarge => {
            if intent.qos.cpu_max > 1000 {
                "cpu_max"
            } else {
                "cpu_min"
            }
        }
        IntentError::ZeroMemory => "memory",
        IntentError::ZeroBandwidth => {
            if intent.qos.mem_bandwidth == Some(0) {
                "mem_bandwidth"
            } else {
                "io_bandwidth"
            }
        }
        IntentError::NetPriorityTooLarge => "net_priority",
    };
    (key, reason.to_string())
}
