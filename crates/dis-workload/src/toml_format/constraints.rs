//! Constraints and quality of service.

use dis_core::api::{CpuMask, MAX_CPUS};
use dis_core::intent::{Intent, IoPriority};
use toml::de::DeValue;

use super::fields::{Fields, integer, with_article};
use crate::model::Constraint;
use crate::text::{Context, did_you_mean, join_or, parse_bytes, parse_rate, parse_share, shorten};

/// The keys this module reads; `best_effort` lists some of them.
pub(super) const CONSTRAINT_KEYS: [&str; 9] = {
    let (mut keys, mut i) = ([""; 9], 0);
    while i < keys.len() {
        keys[i] = Constraint::ALL[i].key();
        i += 1;
    }
    keys
};

const IO_PRIORITIES: [(&str, IoPriority); 3] =
    [("realtime", IoPriority::Realtime), ("best-effort", IoPriority::BestEffort), ("idle", IoPriority::Idle)];

pub(super) fn read_constraints(cx: &mut Context<'_>, fields: &Fields<'_, '_>, intent: &mut Intent) {
    let constraints = &mut intent.constraints;
    constraints.cpu_affinity = read_affinity(cx, fields);
    constraints.max_memory = fields.parsed(cx, "memory", "a string such as \"64MiB\"", |text| {
        match parse_bytes(text).map(usize::try_from)? {
            Ok(0) => Err("is 0; leave it out for no limit".into()),
            Ok(bytes) => Ok(bytes),
            Err(_) => Err("is more than this machine can address".into()),
        }
    });
    constraints.numa_node = fields.integer(cx, "numa_node", 0..=1023).map(|node| node as u32);
    constraints.io_priority = fields
        .parsed(cx, "io_priority", "a string: `realtime`, `best-effort` or `idle`", |text| {
            let names = IO_PRIORITIES.map(|(name, _)| name);
            IO_PRIORITIES.iter().find(|(name, _)| *name == text).map(|(_, priority)| *priority).ok_or_else(|| {
                let hint = did_you_mean(text, names);
                format!("\"{}\" is not an I/O priority{hint} (allowed are {})", shorten(text), join_or(names))
            })
        })
        .unwrap_or_default();
    constraints.net_priority = fields.integer(cx, "net_priority", 0..=7).map_or(0, |priority| priority as u8);
    let mut share = |key| fields.parsed(cx, key, "a string such as \"20%\"", parse_share).unwrap_or(0);
    (intent.qos.cpu_min, intent.qos.cpu_max) = (share("cpu_min"), share("cpu_max"));
    intent.qos.mem_bandwidth = read_bandwidth(cx, fields, "mem_bandwidth", 1_000, "MB/s");
    intent.qos.io_bandwidth = read_bandwidth(cx, fields, "io_bandwidth", 1, "KB/s");
}

/// A rate in whole multiples of `unit` KB/s.
fn read_bandwidth(cx: &mut Context<'_>, fields: &Fields<'_, '_>, key: &str, unit: u64, name: &str) -> Option<u32> {
    fields.parsed(cx, key, "a string such as \"200MB/s\"", |text| match parse_rate(text)? {
        0 => Err("is 0; leave it out for no limit".into()),
        rate if rate % unit != 0 => Err(format!("must be a whole number of {name}")),
        rate => u32::try_from(rate / unit).map_err(|_| format!("is too large; at most {} {name}", u32::MAX)),
    })
}

fn read_affinity(cx: &mut Context<'_>, fields: &Fields<'_, '_>) -> Option<CpuMask> {
    let items = fields.list(cx, "affinity", "a list of CPU numbers such as [0, 1]")?;
    if items.is_empty() {
        fields.problem(cx, "affinity", "is empty; list the allowed CPUs, or leave it out to allow all");
        return None;
    }
    let mut mask = CpuMask::EMPTY;
    let last = MAX_CPUS as u64 - 1;
    for (index, item) in items.iter().enumerate() {
        match integer(item.get_ref(), &(0..=last)) {
            Ok(cpu) => mask.add(cpu as usize),
            Err(message) => cx.problem(item.span().start, fields.field(&format!("affinity[{index}]")), message),
        }
    }
    // With an item missing the mask would say something else than the file, but then the file is refused anyway.
    (!mask.is_empty()).then_some(mask)
}

/// The constraints that a host may leave unenforced.
pub(super) fn read_best_effort(cx: &mut Context<'_>, fields: &Fields<'_, '_>) -> Vec<Constraint> {
    let wanted = "a list of constraint keys such as [\"memory\"]";
    let Some(items) = fields.list(cx, "best_effort", wanted) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let message = match item.get_ref() {
            DeValue::String(text) => {
                let key = text.as_ref();
                match Constraint::ALL.into_iter().find(|constraint| constraint.key() == key) {
                    Some(constraint) if fields.get(key).is_some() => {
                        if !found.contains(&constraint) {
                            found.push(constraint);
                        }
                        continue;
                    }
                    Some(_) => format!("names `{key}`, which this task does not set; set it or leave it out here"),
                    None => {
                        let hint = did_you_mean(key, CONSTRAINT_KEYS);
                        let known = join_or(CONSTRAINT_KEYS);
                        format!("\"{}\" is not a constraint{hint} (allowed are {known})", shorten(key))
                    }
                }
            }
            other => format!("is {}; it must be the name of a constraint", with_article(other.type_str())),
        };
        cx.problem(item.span().start, fields.field(&format!("best_effort[{index}]")), message);
    }
    found
}
