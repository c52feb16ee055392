//! No control socket, as the feature `control` is off.

use std::path::Path;
use std::sync::Arc;

use crate::builder::BuildError;
use crate::runtime::Inner;

/// Nobody listens.
#[derive(Default)]
pub(crate) struct Service {}

impl Service {
    pub(crate) fn start(&self, _: Option<&Path>, _: &Arc<Inner>) -> Result<(), BuildError> {
        Ok(())
    }

    pub(crate) fn end(&self) {}
}
