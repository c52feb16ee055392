//! One `[[task]]`.

use std::collections::HashMap;

use dis_core::api::Duration;
use toml::de::DeTable;

use super::class::read_class;
use super::constraints::{CONSTRAINT_KEYS, read_best_effort, read_constraints};
use super::contradiction;
use super::fields::Fields;
use super::sporadic;
use super::steps::read_loop;
use crate::model::{Interner, MAX_INSTANCES, Phase, Repeat, Step, TaskSpec};
use crate::text::{Context, shorten};
use dis_core::intent::{Intent, IntentClass};

const OWN_KEYS: [&str; 16] = [
    "name",
    "intent",
    "period",
    "deadline",
    "wcet",
    "interarrival",
    "overrun",
    "latency",
    "priority",
    "offset",
    "instances",
    "dedicated",
    "repeat",
    "loop",
    "best_effort",
    "domain",
];

/// The names taken by earlier tasks, and the offsets of these.
pub(super) type Names = HashMap<String, usize>;

/// The task, the offset of each of its steps, and its table; `None` if it is too broken to be checked further.
pub(super) fn read<'a, 't>(
    cx: &mut Context<'_>,
    table: &'a DeTable<'t>,
    at: usize,
    index: usize,
    names: &mut Names,
    objects: &mut Interner,
) -> Option<(TaskSpec, Vec<usize>, Fields<'a, 't>)> {
    let allowed: Vec<&str> = OWN_KEYS.into_iter().chain(CONSTRAINT_KEYS).collect();
    let label = match table.get("name").and_then(|name| name.get_ref().as_str()) {
        Some(name) if !name.is_empty() => format!("task \"{}\"", shorten(name)),
        _ => format!("task #{}", index + 1),
    };
    let fields = Fields::new(cx, table, at, label, &allowed);
    let name = read_name(cx, &fields, names);
    let class = read_class(cx, &fields);
    let priority = fields.integer(cx, "priority", 0..=255).map(|priority| priority as u8);
    let offset = fields.duration(cx, "offset").unwrap_or(Duration::ZERO);
    let instances = fields.integer(cx, "instances", 1..=MAX_INSTANCES as u64).map_or(1, |count| count as usize);
    let dedicated = fields.boolean(cx, "dedicated").unwrap_or(false);
    let repeat = fields.integer(cx, "repeat", 1..=u64::MAX / 2).map_or(Repeat::Forever, Repeat::Times);
    let best_effort = read_best_effort(cx, &fields);
    let interarrival = sporadic::read(cx, &fields, objects);
    let overrun = fields.boolean(cx, "overrun").unwrap_or(false);
    let mut intent = class.map(|class| Intent { class, constraints: Default::default(), qos: Default::default() });
    // The constraints are read even where the class is wrong, to report their problems too.
    let mut scratch = Intent::batch();
    read_constraints(cx, &fields, intent.as_mut().unwrap_or(&mut scratch));
    let body = read_loop(cx, &fields, name.unwrap_or(""), objects);
    let (steps, places) = match (body, class) {
        (Some(body), _) => body,
        (None, Some(IntentClass::Realtime { wcet_us, .. })) if fields.get("loop").is_none() => {
            (vec![Step::Run(Duration::from_micros(wcet_us))], vec![at])
        }
        (None, class) => {
            if fields.get("loop").is_none() && class.is_some() {
                let example = "loop = [ { run = \"5ms\" }, { sleep = \"10ms\" } ]";
                fields.problem(cx, "loop", format!("is missing; say what the task does, for instance {example}"));
            }
            (Vec::new(), Vec::new())
        }
    };
    let intent = intent?;
    // Where a parameter could not be read, its problem is reported already.
    contradiction::check(cx, &fields, &intent);
    if steps.is_empty() {
        return None;
    }
    let phases = vec![Phase { name: None, repeat: 1, affinity: None, steps }];
    let spec = TaskSpec {
        name: name?.to_string(),
        instances,
        release: sporadic::release(&intent, interarrival),
        intent,
        priority,
        offset,
        phases,
        repeat,
        overrun,
        dedicated,
        best_effort,
        domain: None,
        line: cx.line(at),
    };
    sporadic::remark(cx, &fields, &spec, objects);
    Some((spec, places, fields))
}

fn read_name<'a>(cx: &mut Context<'_>, fields: &Fields<'a, '_>, names: &mut Names) -> Option<&'a str> {
    if fields.get("name").is_none() {
        fields.problem(cx, "name", "is missing; every task needs a name, such as \"encode\"");
        return None;
    }
    let name = fields.text(cx, "name", "a string such as \"encode\"")?;
    let complaint = if name.is_empty() {
        "is empty; every task needs a name, such as \"encode\"".to_string()
    } else if name.contains('/') {
        "contains `/`, which separates a task from its instance (`encode/0`); use another character".to_string()
    } else if name.chars().any(char::is_control) {
        "contains a control character; use printable ones".to_string()
    } else if name.chars().count() > 64 {
        "is longer than 64 characters; shorten it".to_string()
    } else if let Some(earlier) = names.get(name) {
        let line = cx.line(*earlier);
        format!("is taken by the task in line {line}; names must be unique (for copies of one task use `instances`)")
    } else {
        names.insert(name.to_string(), fields.at);
        return Some(name);
    };
    fields.problem(cx, "name", complaint);
    None
}
