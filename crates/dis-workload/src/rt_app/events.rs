//! Events: the members of a phase that become steps.

use std::collections::HashSet;

use dis_core::api::Duration;

use super::json::{Member, Node, Value};
use super::values::{integer, micros, name};
use crate::model::{EventKind, Interner, Scope, Step, TimerMode};
use crate::text::{Context, did_you_mean, shorten};

/// rt-app's event names. A member is an event if its key begins with one of them, so that `run0` and `run1` can
/// stand side by side; `runtime` comes before `run` as it begins with it.
pub(super) const EVENTS: [&str; 17] = [
    "runtime", "run", "sleep", "timer", "lock", "unlock", "wait", "signal", "broad", "sync", "suspend", "resume",
    "barrier", "yield", "mem", "iorun", "fork",
];

/// The event that a key names.
pub(super) fn event_of(key: &str) -> Option<&'static str> {
    // Of the grammar before 1.0; rt-app itself would stumble over it as a `lock` without a name.
    if key == "lock_order" {
        return None;
    }
    EVENTS.into_iter().find(|event| key.starts_with(event))
}

/// What the events of one task share.
pub(super) struct Events<'e> {
    pub objects: &'e mut Interner,
    /// The task's name in the file: what a `suspend` without a value waits for.
    pub task: &'e str,
    /// Mutexes locked so far.
    pub held: HashSet<String>,
}

/// Steps with the byte offsets of their events.
pub(super) type Steps = Vec<(Step, usize)>;

impl Events<'_> {
    /// Appends the steps of one event.
    pub fn read(&mut self, cx: &mut Context<'_>, event: &str, member: &Member<'_>, path: &str, steps: &mut Steps) {
        let field = format!("{path}.{}", shorten(&member.key));
        let (node, at) = (&member.value, member.at);
        if member.key[event.len()..].contains(|c: char| !c.is_ascii_digit()) {
            cx.note(at, &field, format!("read as `{event}`, as rt-app does with every key that begins so"));
        }
        if matches!(node.value, Value::Missing) && !matches!(event, "suspend" | "yield") {
            cx.problem(at, field, format!("`{event}` has no value; only `suspend` and `yield` may go without one"));
            return;
        }
        let mut push = |step| steps.push((step, at));
        match event {
            "run" | "runtime" => self.time(cx, node, &field, event).map(Step::Run).into_iter().for_each(push),
            "sleep" => self.time(cx, node, &field, event).map(Step::Sleep).into_iter().for_each(push),
            "timer" => self.timer(cx, node, &field).into_iter().for_each(push),
            "lock" => {
                if let Some(name) = name(cx, node, &field) {
                    self.held.insert(name.into());
                    push(Step::Lock(self.objects.mutex(name)));
                }
            }
            "unlock" => {
                if let Some(name) = name(cx, node, &field) {
                    self.held.remove(name);
                    push(Step::Unlock(self.objects.mutex(name)));
                }
            }
            "signal" => {
                name(cx, node, &field).map(|name| Step::Signal(self.pulse(name))).into_iter().for_each(push);
            }
            "broad" | "resume" => {
                name(cx, node, &field).map(|name| Step::Broadcast(self.pulse(name))).into_iter().for_each(push);
            }
            "suspend" => {
                let name = match node.value {
                    Value::Missing => Some(self.task),
                    Value::String(ref text) if text.is_empty() => Some(self.task),
                    _ => name(cx, node, &field),
                };
                let wait = name.map(|name| Step::Wait { event: self.pulse(name), mutex: None });
                wait.into_iter().for_each(push);
            }
            "wait" | "sync" => self.wait(cx, node, &field, event == "sync").into_iter().for_each(push),
            "barrier" => {
                name(cx, node, &field).map(|name| Step::Barrier(self.objects.barrier(name))).into_iter().for_each(push);
            }
            "yield" => push(Step::Yield),
            "fork" => cx.problem(at, field, "DIS starts all tasks at the beginning; use `delay` in the other task"),
            _ => {
                let what = if event == "mem" { "memory" } else { "I/O" };
                cx.note(at, field, format!("ignored: DIS has no {what} step; the task goes on with the next event"));
            }
        }
    }

    /// rt-app's condition variables forget a signal that nobody waits for.
    fn pulse(&mut self, name: &str) -> crate::model::EventId {
        self.objects.event(name, EventKind::Pulse)
    }

    /// A time above 0; a time of 0 is dropped with a note.
    fn time(&self, cx: &mut Context<'_>, node: &Node<'_>, field: &str, event: &str) -> Option<Duration> {
        let time = micros(cx, node, field)?;
        if time.is_zero() {
            cx.note(node.at, field, format!("ignored: a `{event}` of 0 does nothing"));
            return None;
        }
        Some(time)
    }

    fn timer(&mut self, cx: &mut Context<'_>, node: &Node<'_>, field: &str) -> Option<Step> {
        let members =
            object(cx, node, field, "{ \"ref\" : \"unique\", \"period\" : 10000 }", &["ref", "period", "mode"])?;
        let name = required(cx, node, members, field, "ref").and_then(|node| name(cx, node, &format!("{field}.ref")));
        let period = required(cx, node, members, field, "period")
            .and_then(|node| self.time(cx, node, &format!("{field}.period"), "timer"));
        let mode = match find(members, "mode") {
            None => TimerMode::Relative,
            Some(node) => match &node.value {
                Value::String(text) if text == "relative" => TimerMode::Relative,
                Value::String(text) if text == "absolute" => TimerMode::Absolute,
                other => {
                    let message = match other {
                        Value::String(text) => format!("\"{}\" is not a mode", shorten(text)),
                        other => format!("is {}", other.kind()),
                    };
                    cx.problem(node.at, format!("{field}.mode"), message + "; it must be `relative` or `absolute`");
                    return None;
                }
            },
        };
        let (name, period) = (name?, period?);
        let timer = match name.starts_with("unique") {
            true => self.objects.timer(&format!("{}/{name}", self.task), Scope::Instance),
            false => self.objects.timer(name, Scope::Workload),
        };
        Some(Step::Timer { timer, period, mode })
    }

    /// `wait`, and `sync`, which signals first. A `sync` without its mutex held takes it for the time being.
    fn wait(&mut self, cx: &mut Context<'_>, node: &Node<'_>, field: &str, sync: bool) -> Vec<Step> {
        let example = "{ \"ref\" : \"queue\", \"mutex\" : \"mutex\" }";
        let Some(members) = object(cx, node, field, example, &["ref", "mutex"]) else { return Vec::new() };
        let mut text = |key: &str| {
            let value = required(cx, node, members, field, key)?;
            name(cx, value, &format!("{field}.{key}"))
        };
        let (Some(event), Some(mutex_name)) = (text("ref"), text("mutex")) else { return Vec::new() };
        let (event, mutex) = (self.pulse(event), self.objects.mutex(mutex_name));
        let wait = Step::Wait { event, mutex: Some(mutex) };
        let held = self.held.contains(mutex_name);
        match (sync, held) {
            (false, _) => vec![wait],
            (true, true) => vec![Step::Signal(event), wait],
            (true, false) => vec![Step::Lock(mutex), Step::Signal(event), wait, Step::Unlock(mutex)],
        }
    }
}

/// The members of an event's object; unknown ones become notes.
fn object<'n, 'a>(
    cx: &mut Context<'_>,
    node: &'n Node<'a>,
    field: &str,
    example: &str,
    known: &[&str],
) -> Option<&'n [Member<'a>]> {
    let Value::Object(members) = &node.value else {
        cx.problem(node.at, field, format!("is {}; it must be an object such as {example}", node.value.kind()));
        return None;
    };
    for member in members.iter().filter(|member| !known.contains(&member.key.as_ref())) {
        let hint = did_you_mean(&member.key, known.iter().copied());
        cx.note(
            member.at,
            format!("{field}.{}", shorten(&member.key)),
            format!("ignored: not a key of this event{hint}"),
        );
    }
    Some(members)
}

fn find<'n, 'a>(members: &'n [Member<'a>], key: &str) -> Option<&'n Node<'a>> {
    members.iter().rev().find(|member| member.key == key).map(|member| &member.value)
}

fn required<'n, 'a>(
    cx: &mut Context<'_>,
    node: &Node<'_>,
    members: &'n [Member<'a>],
    field: &str,
    key: &str,
) -> Option<&'n Node<'a>> {
    let found = find(members, key);
    if found.is_none() {
        cx.problem(node.at, field, format!("has no \"{key}\""));
    }
    found
}

/// The loop count of a task or phase: -1 is for ever (`None`).
pub(super) fn loop_count(cx: &mut Context<'_>, node: &Node<'_>, field: &str) -> Option<Option<u64>> {
    match integer(cx, node, field, -1, i64::from(i32::MAX))? {
        -1 => Some(None),
        0 => {
            cx.problem(node.at, field, "is 0, so nothing would run; it must be -1 (for ever) or at least 1");
            None
        }
        count => Some(Some(count as u64)),
    }
}
