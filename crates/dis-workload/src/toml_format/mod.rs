//! The TOML format: one file, one workload. `docs/workload-format.md` is its reference.

mod class;
mod constraints;
mod contradiction;
mod domain;
mod fields;
mod limits;
mod machine;
mod sporadic;
mod steps;
mod task;
mod times;

use toml::de::{DeTable, DeValue};

use crate::error::WorkloadError;
use crate::model::{Interner, MAX_INSTANCES, Workload, check};
use crate::text::Context;
use dis_core::api::MAX_CPUS;
use fields::Fields;

const KEYS: [&str; 7] = ["duration", "cpus", "seed", "limits", "sim", "domain", "task"];

impl Workload {
    /// Reads a workload in the TOML format. `file_name` is what messages call it.
    ///
    /// # Errors
    /// Every problem of the file, up to [`MAX_PROBLEMS`](crate::MAX_PROBLEMS). A file that is not TOML at all is
    /// answered with its syntax errors alone, as a half-read file would only produce consequences of them.
    pub fn from_toml(text: &str, file_name: &str) -> Result<Workload, WorkloadError> {
        let mut cx = Context::new(file_name, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            let message = error.message().trim().replace('\n', "; ");
            cx.problem(offset, "", format!("not valid TOML: {message}"));
        }
        let mut workload = Workload::default();
        if errors.is_empty() {
            read(&mut cx, root.get_ref(), &mut workload);
        }
        workload.notes = cx.finish()?;
        Ok(workload)
    }
}

fn read(cx: &mut Context<'_>, root: &DeTable<'_>, workload: &mut Workload) {
    let fields = Fields::new(cx, root, 0, String::new(), &KEYS);
    workload.duration = fields.positive(cx, "duration");
    workload.cpus = fields.integer(cx, "cpus", 1..=MAX_CPUS as u64).map(|cpus| cpus as usize);
    workload.seed = fields.integer(cx, "seed", 0..=u64::MAX / 2).unwrap_or(0);
    if let Some((table, at)) = fields.table(cx, "sim") {
        workload.machine = machine::read(cx, table, at);
    }
    if let Some((table, at)) = fields.table(cx, "limits") {
        workload.limits = limits::read(cx, table, at);
    }
    let mut domains = domain::Names::new();
    for (index, (table, at)) in tables(cx, &fields, "domain").into_iter().enumerate() {
        domain::read(cx, table, at, index, &mut domains, workload);
    }
    let mut interner = Interner::default();
    let mut places = Vec::new();
    let mut names = task::Names::new();
    for (index, (table, at)) in tasks(cx, &fields).into_iter().enumerate() {
        if let Some((mut spec, steps, fields)) = task::read(cx, table, at, index, &mut names, &mut interner) {
            spec.domain = domain::reference(cx, &fields, "domain", &domains);
            if let Some(why) = workload.forbids(spec.domain, &spec.intent) {
                fields.problem(cx, "intent", why);
            }
            workload.tasks.push(spec);
            places.push((at, steps));
        }
    }
    let mut objects = interner.finish();
    objects.count_parties(&workload.tasks);
    let total = workload.tasks.iter().fold(0usize, |sum, task| sum.saturating_add(task.instances));
    if total > MAX_INSTANCES {
        cx.problem(0, "task", format!("the file asks for {total} tasks in all; at most {MAX_INSTANCES}"));
    }
    too_many(cx, workload, &domains, root);
    // The event checks look at all tasks, so they mean nothing while one is missing.
    if !cx.failed() {
        for finding in check(&workload.tasks, &objects) {
            let (at, steps) = &places[finding.task];
            let name = &workload.tasks[finding.task].name;
            let (offset, field) = match finding.at {
                Some((_, step)) => (steps.get(step).copied().unwrap_or(*at), format!("task \"{name}\".loop[{step}]")),
                None => (*at, format!("task \"{name}\".loop")),
            };
            match finding.kind.is_error() {
                true => cx.problem(offset, field, finding.text),
                false => cx.note(offset, field, finding.text),
            }
        }
    }
    workload.objects = objects;
}

/// Reports the domains whose quotas of tasks the file itself exceeds.
fn too_many(cx: &mut Context<'_>, workload: &Workload, names: &domain::Names, root: &DeTable<'_>) {
    for (index, domain) in workload.domains.iter().enumerate() {
        let within = |other: Option<usize>| workload.domains_of(other).any(|other| core::ptr::eq(other, domain));
        let tasks = workload.tasks.iter().filter(|task| within(task.domain)).map(|task| task.instances);
        let below = workload.domains.iter().filter(|other| within(other.parent)).count();
        let count = tasks.fold(below, usize::saturating_add);
        let place = || root.get("domain")?.get_ref().as_array()?.get(index).map(|table| table.span().start);
        if let Some(most) = domain.tasks.filter(|&most| count > most as usize && names.contains_key(&domain.name)) {
            let message = format!(
                "is {most}, but the file puts {count} tasks and domains into it; allow more, or fewer `instances`"
            );
            cx.problem(place().unwrap_or(0), format!("domain \"{}\".tasks", domain.name), message);
        }
    }
}

/// The `[[task]]` tables with their offsets.
fn tasks<'a, 't>(cx: &mut Context<'_>, fields: &Fields<'a, 't>) -> Vec<(&'a DeTable<'t>, usize)> {
    let Some((value, at)) = fields.get("task") else {
        cx.problem(0, "task", "the file has no task; add at least one [[task]] with name, intent and loop");
        return Vec::new();
    };
    if value.as_array().is_some_and(|items| items.is_empty()) {
        cx.problem(at, "task", "the list of tasks is empty; add at least one [[task]]");
    }
    tables(cx, fields, "task")
}

/// The `[[key]]` tables with their offsets.
fn tables<'a, 't>(cx: &mut Context<'_>, fields: &Fields<'a, 't>, key: &str) -> Vec<(&'a DeTable<'t>, usize)> {
    let Some((value, at)) = fields.get(key) else { return Vec::new() };
    let DeValue::Array(items) = value else {
        let hint = format!("write [[{key}]] with two brackets, once for each {key}");
        cx.problem(at, key, format!("is a {}, not a list of tables; {hint}", value.type_str()));
        return Vec::new();
    };
    let mut tables = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.get_ref() {
            DeValue::Table(table) => tables.push((table, item.span().start)),
            other => {
                let message = format!("is a {}; each {key} is a table", other.type_str());
                cx.problem(item.span().start, format!("{key} #{}", index + 1), message);
            }
        }
    }
    tables
}

#[cfg(test)]
mod tests;
