//! Phases: runs of events with a loop count of their own.

use super::events::{EVENTS, Events, Steps, event_of, loop_count};
use super::json::{Member, Node, Value};
use super::values::cpus;
use crate::model::Phase;
use crate::text::{Context, did_you_mean, shorten};

/// Phases and the byte offset of each step.
pub(super) type Phases = Vec<(Phase, Vec<usize>)>;

/// Keys of a phase that DIS ignores: they belong to the whole task here.
const TASK_ONLY: [&str; 9] = [
    "policy",
    "priority",
    "dl-runtime",
    "dl-period",
    "dl-deadline",
    "util_min",
    "util_max",
    "taskgroup",
    "nodes_membind",
];

/// The steps of the events among `members`, in order.
pub(super) fn read_events(cx: &mut Context<'_>, members: &[Member<'_>], path: &str, events: &mut Events<'_>) -> Steps {
    let mut steps = Steps::new();
    for member in members {
        if let Some(event) = event_of(&member.key) {
            events.read(cx, event, member, path, &mut steps);
        }
    }
    steps
}

/// The phases of a `phases` object. A phase whose events were all ignored is left out.
pub(super) fn read_phases(cx: &mut Context<'_>, node: &Node<'_>, path: &str, events: &mut Events<'_>) -> Phases {
    let mut phases = Phases::new();
    let Value::Object(members) = &node.value else {
        let message = format!("is {}; it must be an object with one member for each phase", node.value.kind());
        cx.problem(node.at, path, message);
        return phases;
    };
    if members.is_empty() {
        cx.problem(node.at, path, "is empty; a task needs at least one phase");
    }
    for (index, member) in members.iter().enumerate() {
        let path = format!("{path}.{}", shorten(&member.key));
        if let Some(phase) = read_phase(cx, member, &path, events) {
            if phase.0.repeat == u64::MAX && index + 1 < members.len() {
                let text = "loops for ever, so the phases after it are never reached";
                cx.note(member.at, format!("{path}.loop"), text);
            }
            phases.push(phase);
        }
    }
    phases
}

fn read_phase(
    cx: &mut Context<'_>,
    member: &Member<'_>,
    path: &str,
    events: &mut Events<'_>,
) -> Option<(Phase, Vec<usize>)> {
    let Value::Object(members) = &member.value.value else {
        let message = format!("is {}; a phase is an object with its events", member.value.value.kind());
        cx.problem(member.value.at, path, message);
        return None;
    };
    let (mut repeat, mut affinity) = (1, None);
    for member in members {
        let (key, field) = (member.key.as_ref(), format!("{path}.{}", shorten(&member.key)));
        match key {
            "loop" => repeat = loop_count(cx, &member.value, &field).map_or(1, |count| count.unwrap_or(u64::MAX)),
            "cpus" => affinity = cpus(cx, &member.value, &field),
            _ if event_of(key).is_some() => {}
            _ if TASK_ONLY.contains(&key) => {
                cx.note(member.at, field, "ignored: DIS keeps one intent for the whole task");
            }
            _ => {
                let hint = did_you_mean(key, EVENTS.into_iter().chain(["loop", "cpus"]));
                cx.note(member.at, field, format!("ignored: not a key of a phase{hint}"));
            }
        }
    }
    let events_there = members.iter().any(|member| event_of(&member.key).is_some());
    let (steps, places): (Vec<_>, Vec<_>) = read_events(cx, members, path, events).into_iter().unzip();
    if !events_there {
        cx.problem(member.at, path, "has no event; a phase needs at least one, such as \"run\" : 1000");
        return None;
    }
    if steps.is_empty() {
        return None;
    }
    Some((Phase { name: Some(member.key.to_string()), repeat, affinity, steps }, places))
}
