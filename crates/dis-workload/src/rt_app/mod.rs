//! rt-app's JSON, read as rt-app and its front end `workgen` read it: the order of events matters, keys may repeat,
//! comments and trailing commas are fine, and `suspend` may go without a value.
//!
//! `docs/workload-format.md` says what each key becomes. What DIS ignores becomes a [`Note`](crate::Note).

mod classify;
mod events;
mod global;
mod json;
mod phases;
mod policy;
mod task;
mod values;

use std::collections::HashMap;

use crate::error::WorkloadError;
use crate::model::{FindingKind, Interner, MAX_INSTANCES, Repeat, TaskSpec, Workload, check};
use crate::text::{Context, did_you_mean, shorten};
use global::Global;
use json::{Member, Node, Value};

const SECTIONS: [&str; 3] = ["tasks", "resources", "global"];

impl Workload {
    /// Reads a workload in rt-app's JSON. `file_name` is what messages call it.
    ///
    /// # Errors
    /// Every problem of the file, up to [`MAX_PROBLEMS`](crate::MAX_PROBLEMS); of a file that is not JSON, the first.
    pub fn from_rt_app(text: &str, file_name: &str) -> Result<Workload, WorkloadError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut cx = Context::new(file_name, text);
        let mut workload = Workload::default();
        match json::parse(text) {
            Ok(root) => read(&mut cx, &root, &mut workload),
            Err((offset, message)) => cx.problem(offset, "", message),
        }
        workload.notes = cx.finish()?;
        Ok(workload)
    }
}

fn read(cx: &mut Context<'_>, root: &Node<'_>, workload: &mut Workload) {
    let Value::Object(sections) = &root.value else {
        let message = format!("the file is {}; rt-app's format is an object with \"tasks\"", root.value.kind());
        return cx.problem(root.at, "", message);
    };
    for section in sections {
        match section.key.as_ref() {
            "tasks" | "global" => {}
            "resources" => cx.note(section.at, "resources", "ignored: resources are made as the events name them"),
            other => {
                let hint = did_you_mean(other, SECTIONS);
                cx.note(section.at, shorten(other), format!("ignored: not a section of rt-app's format{hint}"));
            }
        }
    }
    let mut global = Global::default();
    for section in sections.iter().filter(|section| section.key == "global") {
        global.read(cx, &section.value);
    }
    workload.duration = global.duration;
    let mut reader = task::Reader {
        objects: Interner::default(),
        tasks: Vec::new(),
        places: Vec::new(),
        names: HashMap::new(),
        global,
    };
    let mut found = false;
    for section in sections.iter().filter(|section| section.key == "tasks") {
        found = true;
        match &section.value.value {
            Value::Object(tasks) if tasks.is_empty() => {
                cx.problem(section.value.at, "tasks", "is empty; a workload needs at least one task");
            }
            Value::Object(tasks) => tasks.iter().for_each(|member| reader.read(cx, member)),
            other => {
                let message = format!("is {}; it must be an object with one member for each task", other.kind());
                cx.problem(section.value.at, "tasks", message);
            }
        }
    }
    if !found {
        let message = "is missing, so this is no workload of its own; \
                       a fragment has to be merged with the file that holds the tasks first";
        cx.problem(root.at, "tasks", message);
    }
    finish(cx, reader, workload, sections);
}

/// What can only be said once all tasks are known.
fn finish(cx: &mut Context<'_>, reader: task::Reader, workload: &mut Workload, sections: &[Member<'_>]) {
    let task::Reader { objects, tasks, places, .. } = reader;
    let mut objects = objects.finish();
    objects.count_parties(&tasks);
    let total = tasks.iter().fold(0usize, |sum, task| sum.saturating_add(task.instances));
    if total > MAX_INSTANCES {
        cx.problem(0, "tasks", format!("the file asks for {total} tasks in all; at most {MAX_INSTANCES}"));
    }
    if !cx.failed() {
        for finding in check(&tasks, &objects) {
            let place = &places[finding.task];
            let field = format!("tasks.{}", tasks[finding.task].name);
            let offset = finding.at.and_then(|(p, s)| Some(*place.steps.get(p)?.get(s)?)).unwrap_or(place.at);
            // rt-app runs such a file, too: the task blocks until the run ends.
            match finding.kind.is_error() && finding.kind != FindingKind::NobodySignals {
                true => cx.problem(offset, field, finding.text),
                false => cx.note(offset, field, finding.text),
            }
        }
        let endless = |task: &TaskSpec| {
            task.repeat == Repeat::Forever || task.phases.iter().any(|phase| phase.repeat == u64::MAX)
        };
        if workload.duration.is_none() && tasks.iter().any(endless) {
            let at = sections.iter().find(|section| section.key == "global").map_or(0, |section| section.at);
            let text = "no end: the file sets no duration and has tasks that loop for ever, \
                        so the run goes on until it is interrupted or given a duration";
            cx.note(at, "global.duration", text);
        }
    }
    workload.objects = objects;
    workload.tasks = tasks;
}

#[cfg(test)]
mod tests;
