//! In place of `reactor.rs`, without the feature `tokio`.

use dis_core::api::Duration;

use crate::builder::BuildError;

#[derive(Debug, Clone, Default)]
pub(crate) enum Choice {
    #[default]
    None,
}

#[derive(Debug)]
pub(crate) struct Reactor;

/// No context.
pub(crate) struct Guard;

impl Reactor {
    pub(crate) fn new(_: Choice, _: &str, _: Option<i32>) -> Result<Reactor, BuildError> {
        Ok(Reactor)
    }

    pub(crate) fn stop(&self) {}

    #[inline(always)]
    pub(crate) fn look_every(&self) -> Option<Duration> {
        None
    }

    #[inline(always)]
    pub(crate) fn stand_aside(&self, _: usize) {}

    pub(crate) fn stood_aside(&self) -> (u64, u64) {
        (0, 0)
    }

    pub(crate) fn enter(&self) -> Option<Guard> {
        None
    }
}
