//! `[[domain]]`: groups of tasks with limits.

use std::collections::HashMap;

use dis_core::api::Duration;
use dis_core::intent::QueueType;
use dis_core::isolation::{MAX_DEPTH, Right};
use toml::de::{DeTable, DeValue};

use super::fields::{Fields, with_article};
use crate::model::{DomainSpec, Workload};
use crate::text::{Context, did_you_mean, join_or, parse_bytes, parse_cpus, shorten};

const KEYS: [&str; 10] =
    ["name", "parent", "rights", "ceiling", "ceiling_priority", "weight", "tasks", "memory", "cpu", "cpu_period"];

/// The domains by name.
pub(super) type Names = HashMap<String, usize>;

/// Reads one; it is entered into `workload` and `names` even if something is wrong with it, so that what names it is not wrong too.
pub(super) fn read(
    cx: &mut Context<'_>,
    table: &DeTable<'_>,
    at: usize,
    index: usize,
    names: &mut Names,
    workload: &mut Workload,
) {
    let label = match table.get("name").and_then(|name| name.get_ref().as_str()) {
        Some(name) if !name.is_empty() => format!("domain \"{}\"", shorten(name)),
        _ => format!("domain #{}", index + 1),
    };
    let fields = Fields::new(cx, table, at, label, &KEYS);
    let mut domain = DomainSpec::new("");
    domain.line = cx.line(at);
    domain.parent = reference(cx, &fields, "parent", names);
    domain.rights = rights(cx, &fields);
    domain.ceiling = fields.parsed(cx, "ceiling", "a class such as \"batch\"", |text| {
        let classes = QueueType::ALL.map(QueueType::name);
        QueueType::from_name(text).ok_or_else(|| {
            let hint = did_you_mean(text, classes);
            format!("\"{}\" is not a class{hint} (allowed are {})", shorten(text), join_or(classes))
        })
    });
    domain.ceiling_priority = fields.integer(cx, "ceiling_priority", 0..=255).map_or(0, |priority| priority as u8);
    if domain.ceiling.is_none() && fields.get("ceiling").is_none() && fields.get("ceiling_priority").is_some() {
        fields.problem(cx, "ceiling_priority", "has no `ceiling` to belong to; give one, such as ceiling = \"batch\"");
    }
    domain.weight = fields.integer(cx, "weight", 1..=10_000).map_or(100, |weight| weight as u16);
    domain.tasks = fields.integer(cx, "tasks", 1..=u64::from(u32::MAX)).map(|tasks| tasks as u32);
    domain.memory = fields.parsed(cx, "memory", "a string such as \"64MiB\"", parse_bytes);
    domain.cpu = cpu(cx, &fields);
    if let Some(name) = fields.text(cx, "name", "a string such as \"guest\"") {
        if name.is_empty() || name.chars().any(char::is_control) || name.chars().count() > 64 {
            fields.problem(cx, "name", "must be 1 to 64 printable characters");
        } else if let Some(&earlier) = names.get(name) {
            let line = workload.domains[earlier].line;
            fields.problem(cx, "name", format!("is taken by the domain in line {line}; names must be unique"));
        } else {
            names.insert(name.to_string(), workload.domains.len());
            domain.name = name.to_string();
        }
    } else if fields.get("name").is_none() {
        fields.problem(cx, "name", "is missing; every domain needs a name, such as \"guest\"");
    }
    for (key, why) in
        [("rights", "no step of a loop needs a right"), ("memory", "no host charges what a workload uses")]
    {
        if fields.get(key).is_some() {
            cx.note(fields.place(key), fields.field(key), format!("has no effect: {why}"));
        }
    }
    inherits(cx, &fields, workload, &domain);
    workload.domains.push(domain);
}

/// The domain that `key` names.
pub(super) fn reference(cx: &mut Context<'_>, fields: &Fields<'_, '_>, key: &str, names: &Names) -> Option<usize> {
    let name = fields.text(cx, key, "the name of a domain")?;
    let found = names.get(name).copied();
    if found.is_none() {
        let hint = did_you_mean(name, names.keys().map(String::as_str));
        let before = if key == "parent" { " before this one" } else { "" };
        let message = format!(
            "there is no domain \"{}\"{before}{hint}; add [[domain]] with that name{}",
            shorten(name),
            if key == "parent" { " above" } else { "" }
        );
        fields.problem(cx, key, message);
    }
    found
}

fn rights(cx: &mut Context<'_>, fields: &Fields<'_, '_>) -> Option<Vec<String>> {
    let items = fields.list(cx, "rights", "a list of rights such as [\"spawn\", \"wake\"]")?;
    let known = Right::ALL.map(Right::name);
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let message = match item.get_ref() {
            DeValue::String(text) if Right::from_name(text).is_some() => {
                found.push(text.to_string());
                continue;
            }
            DeValue::String(text) => {
                let hint = did_you_mean(text, known);
                format!("\"{}\" is not a right{hint} (allowed are {})", shorten(text), join_or(known))
            }
            other => format!("is {}; it must be the name of a right", with_article(other.type_str())),
        };
        cx.problem(item.span().start, fields.field(&format!("rights[{index}]")), message);
    }
    Some(found)
}

fn cpu(cx: &mut Context<'_>, fields: &Fields<'_, '_>) -> Option<(Duration, Duration)> {
    let period = fields.positive(cx, "cpu_period");
    let share = fields.parsed(cx, "cpu", "a string such as \"150%\", of one CPU", parse_cpus);
    if fields.get("cpu").is_none() && fields.get("cpu_period").is_some() {
        fields.problem(cx, "cpu_period", "has no `cpu` to belong to; give one, such as cpu = \"50%\"");
    }
    let period = period.unwrap_or(Duration::from_millis(10));
    if !(Duration::from_millis(1)..=Duration::from_secs(1)).contains(&period) {
        fields.problem(cx, "cpu_period", "must be from \"1ms\" to \"1s\"");
        return None;
    }
    let budget = period.mul_div(u64::from(share?), 1000);
    if budget < Duration::from_micros(100) {
        fields.problem(cx, "cpu", "is less than 100 us in a period; give more, or a longer `cpu_period`");
        return None;
    }
    Some((budget, period))
}

/// Checks what a domain may not have more of than the one that it is in.
fn inherits(cx: &mut Context<'_>, fields: &Fields<'_, '_>, workload: &Workload, domain: &DomainSpec) {
    let above = || workload.domains_of(domain.parent);
    if above().count() >= MAX_DEPTH {
        fields.problem(cx, "parent", format!("is the {MAX_DEPTH}th in a row; domains may be nested {MAX_DEPTH} deep"));
    }
    for outer in above() {
        let name = &outer.name;
        if let (Some(own), Some(theirs)) = (&domain.rights, &outer.rights)
            && let Some(more) = own.iter().find(|right| !theirs.contains(right))
        {
            let message =
                format!("has \"{more}\", which domain \"{name}\" above it has not; leave it out here, or add it there");
            fields.problem(cx, "rights", message);
            return;
        }
    }
    for outer in above() {
        let name = &outer.name;
        if let (Some(own), Some(theirs)) = (domain.ceiling, outer.ceiling) {
            if (own, domain.ceiling_priority) < (theirs, outer.ceiling_priority) {
                let message = format!("is above that of domain \"{name}\", \"{theirs}\"; lower it to that");
                fields.problem(cx, "ceiling", message);
            }
            return;
        }
    }
}
