//! `loop`: the body of a task.

use toml::de::{DeTable, DeValue};

use super::fields::{Fields, with_article};
use super::times::{self, Time};
use crate::model::{EventKind, Interner, Scope, Step, TimerMode};
use crate::text::{Context, did_you_mean, join_or, shorten};

const ACTIONS: [&str; 10] =
    ["run", "sleep", "yield", "lock", "unlock", "signal", "broadcast", "wait", "barrier", "timer"];
/// Keys that say more about an action.
const MODIFIERS: [(&str, &str); 2] = [("mutex", "wait"), ("mode", "timer")];

/// The steps and the offset of each; `None` when there is no loop or it is not a list.
pub(super) fn read_loop(
    cx: &mut Context<'_>,
    fields: &Fields<'_, '_>,
    task: &str,
    objects: &mut Interner,
) -> Option<(Vec<Step>, Vec<usize>)> {
    let items = fields.list(cx, "loop", "a list of steps such as [ { run = \"5ms\" } ]")?;
    if items.is_empty() {
        fields.problem(cx, "loop", "is empty; a task needs at least one step, such as { run = \"5ms\" }");
        return None;
    }
    let (mut steps, mut places) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let (at, path) = (item.span().start, fields.field(&format!("loop[{index}]")));
        let step = match item.get_ref() {
            DeValue::String(word) if word == "yield" => Some(Step::Yield),
            DeValue::Table(table) => read_step(cx, table, at, path, task, objects),
            other => {
                let message = format!(
                    "is {}; a step is a table with one action, such as {{ run = \"5ms\" }}, or \"yield\"",
                    with_article(other.type_str())
                );
                cx.problem(at, path, message);
                None
            }
        };
        if let Some(step) = step {
            steps.push(step);
            places.push(at);
        }
    }
    Some((steps, places))
}

fn read_step(
    cx: &mut Context<'_>,
    table: &DeTable<'_>,
    at: usize,
    path: String,
    task: &str,
    objects: &mut Interner,
) -> Option<Step> {
    let allowed: Vec<&str> = ACTIONS.into_iter().chain(MODIFIERS.map(|(key, _)| key)).collect();
    let known = table.keys().all(|key| allowed.contains(&key.get_ref().as_ref()));
    let actions: Vec<&str> = ACTIONS.into_iter().filter(|action| table.contains_key(*action)).collect();
    let [action] = actions[..] else {
        if !known {
            unknown_actions(cx, table, &path, &allowed);
        } else if actions.is_empty() {
            cx.problem(at, path, format!("has no action; a step has one of {}", join_or(ACTIONS)));
        } else {
            let both = join_or(actions.iter().copied()).replace(" or ", " and ");
            cx.problem(at, path, format!("has {} actions, {both}; write one step for each", actions.len()));
        }
        return None;
    };
    let keys: Vec<&str> =
        std::iter::once(action).chain(MODIFIERS.iter().filter(|(_, of)| *of == action).map(|(key, _)| *key)).collect();
    let fields = Fields::new(cx, table, at, path, &keys);
    match action {
        "run" => times::read(cx, &fields, "run", objects).map(|time| match time {
            Time::Fixed(time) => Step::Run(time),
            Time::Drawn(id) => Step::RunDrawn(id),
        }),
        "sleep" => times::read(cx, &fields, "sleep", objects).map(|time| match time {
            Time::Fixed(time) => Step::Sleep(time),
            Time::Drawn(id) => Step::SleepDrawn(id),
        }),
        "yield" => match fields.boolean(cx, "yield")? {
            true => Some(Step::Yield),
            false => {
                fields.problem(cx, "yield", "is false; write `yield = true`, or leave the step out");
                None
            }
        },
        "lock" => name(cx, &fields, "lock").map(|name| Step::Lock(objects.mutex(name))),
        "unlock" => name(cx, &fields, "unlock").map(|name| Step::Unlock(objects.mutex(name))),
        "signal" => name(cx, &fields, "signal").map(|name| Step::Signal(objects.event(name, EventKind::Latched))),
        "broadcast" => {
            name(cx, &fields, "broadcast").map(|name| Step::Broadcast(objects.event(name, EventKind::Latched)))
        }
        "wait" => {
            let event = name(cx, &fields, "wait").map(|name| objects.event(name, EventKind::Latched));
            let mutex = match fields.get("mutex") {
                Some(_) => Some(objects.mutex(name(cx, &fields, "mutex")?)),
                None => None,
            };
            Some(Step::Wait { event: event?, mutex })
        }
        "barrier" => name(cx, &fields, "barrier").map(|name| Step::Barrier(objects.barrier(name))),
        _ => {
            let period = fields.positive(cx, "timer");
            let mode = fields.parsed(cx, "mode", "\"relative\" or \"absolute\"", |text| match text {
                "relative" => Ok(TimerMode::Relative),
                "absolute" => Ok(TimerMode::Absolute),
                _ => Err(format!("\"{}\" is not a mode; it must be `relative` or `absolute`", shorten(text))),
            });
            let timer = objects.timer(&format!("{task}/timer"), Scope::Instance);
            Some(Step::Timer { timer, period: period?, mode: mode.unwrap_or_default() })
        }
    }
}

fn unknown_actions(cx: &mut Context<'_>, table: &DeTable<'_>, path: &str, allowed: &[&str]) {
    for key in table.keys() {
        let word = key.get_ref().as_ref();
        if !allowed.contains(&word) {
            let hint = did_you_mean(word, ACTIONS);
            let message = format!("`{}` is not an action{hint} (allowed are {})", shorten(word), join_or(ACTIONS));
            cx.problem(key.span().start, path, message);
        }
    }
}

/// The name of a mutex, event or barrier.
fn name<'a>(cx: &mut Context<'_>, fields: &Fields<'a, '_>, key: &str) -> Option<&'a str> {
    let name = fields.text(cx, key, "a name in quotes")?;
    if name.is_empty() {
        fields.problem(cx, key, "is an empty name");
        return None;
    }
    Some(name)
}
