//! In place of `span.rs`, without the feature `tracing`.

use std::fmt::Display;
use std::panic::Location;

use dis_core::intent::{Intent, IntentClass};

/// Nothing.
#[derive(Debug)]
pub(crate) struct TaskSpan;

impl TaskSpan {
    #[inline(always)]
    pub(crate) fn identify(&self, _: impl Display) {}
}

#[inline(always)]
pub(crate) fn future<F>(future: F, _: impl Fn() -> IntentClass, _: &Location<'_>) -> (F, TaskSpan) {
    (future, TaskSpan)
}

#[inline(always)]
pub(crate) fn closure<T, F: FnOnce() -> T>(closure: F, _: &Intent, _: &str, _: bool, _: &Location<'_>) -> F {
    closure
}
