//! A span of `tracing` for each task, entered whenever the task runs: around each poll of a future, around the whole of a closure.
//!
//! `tracing` keeps in a thread-local which spans the thread is in. That is sound and right here, as what is said in
//! `docs/soundness.md` holds for every thread-local: a poll that is preempted, or displaced, keeps its thread to its end, and so do
//! closures; what runs meanwhile runs on other threads. Only tasks that share a thread by promise would be told from each
//! other wrongly: they are not entered.

use std::fmt::Display;
use std::panic::Location;

use dis_core::intent::{Intent, IntentClass};
use tracing::field::{Empty, display};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Level, Span, span};

use crate::runtime::Inner;

/// A task's span.
#[derive(Debug, Clone)]
pub(crate) struct TaskSpan(Span);

impl TaskSpan {
    /// The task's id is known.
    pub(crate) fn identify(&self, id: impl Display) {
        self.0.record("id", display(id));
    }
}

/// `class` is asked for if anybody listens.
fn new(kind: &str, class: impl Fn() -> IntentClass, name: Option<&str>, from: &Location<'_>) -> Span {
    let span = span!(
        target: "dis_runtime::task",
        parent: None,
        Level::DEBUG,
        "task",
        kind,
        id = Empty,
        intent = class().queue().name(),
        target_us = target(&class()),
        task.name = name,
        loc.file = from.file(),
        loc.line = from.line(),
    );
    span.follows_from(Span::current());
    span
}

fn target(class: &IntentClass) -> Option<u64> {
    match *class {
        IntentClass::Interactive { target_latency_us } => Some(target_latency_us),
        _ => None,
    }
}

/// A future in its span, while it is polled and while it is dropped.
pub(crate) fn future<F>(
    future: F,
    class: impl Fn() -> IntentClass,
    from: &Location<'_>,
) -> (Instrumented<F>, TaskSpan) {
    let span = new("future", class, None, from);
    (future.instrument(span.clone()), TaskSpan(span))
}

/// A closure with its span around it. `alone`: the task is not declared to share a thread.
pub(crate) fn closure<T, F: FnOnce() -> T>(
    closure: F,
    intent: &Intent,
    name: &str,
    alone: bool,
    from: &Location<'_>,
) -> impl FnOnce() -> T + use<T, F> {
    let span = TaskSpan(new("closure", || intent.class, Some(name).filter(|name| !name.is_empty()), from));
    move || {
        if let Some(id) = crate::current() {
            span.identify(id);
        }
        let alone = alone && crate::api::here().is_none_or(|(klt, _)| never_shares(klt.rt()));
        let _entered = alone.then(|| span.0.enter());
        closure()
    }
}

fn never_shares(rt: &Inner) -> bool {
    rt.config.identities == usize::MAX
}
