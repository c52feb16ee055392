//! The TOML format: one file, one workload. `docs/workload-format.md` is its reference.

mod class;
mod constraints;
mod contradiction;
mod fields;
mod limits;
mod machine;
mod steps;
mod task;
mod times;

use toml::de::{DeTable, DeValue};

use crate::error::WorkloadError;
use crate::model::{Interner, MAX_INSTANCES, Workload, check};
use crate::text::Context;
use dis_core::api::MAX_CPUS;
use fields::Fields;

const KEYS: [&str; 6] = ["duration", "cpus", "seed", "limits", "sim", "task"];

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
    let mut interner = Interner::default();
    let mut places = Vec::new();
    let mut names = task::Names::new();
    for (index, (table, at)) in tasks(cx, &fields).into_iter().enumerate() {
        if let Some((spec, steps)) = task::read(cx, table, at, index, &mut names, &mut interner) {
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

/// The `[[task]]` tables with their offsets.
fn tasks<'a, 't>(cx: &mut Context<'_>, fields: &Fields<'a, 't>) -> Vec<(&'a DeTable<'t>, usize)> {
    let Some((value, at)) = fields.get("task") else {
        cx.problem(0, "task", "the file has no task; add at least one [[task]] with name, intent and loop");
        return Vec::new();
    };
    let DeValue::Array(items) = value else {
        let hint = "write [[task]] with two brackets, once for each task";
        cx.problem(at, "task", format!("is a {}, not a list of tables; {hint}", value.type_str()));
        return Vec::new();
    };
    if items.is_empty() {
        cx.problem(at, "task", "the list of tasks is empty; add at least one [[task]]");
    }
    let mut tables = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.get_ref() {
            DeValue::Table(table) => tables.push((table, item.span().start)),
            other => {
                let message = format!("is a {}; each task is a table", other.type_str());
                cx.problem(item.span().start, format!("task #{}", index + 1), message);
            }
        }
    }
    tables
}

#[cfg(test)]
mod tests;
