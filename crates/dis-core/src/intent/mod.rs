//! Intents: what tasks are for, whether a declaration is consistent, and what follows from it.

mod types;
mod validate;

pub use types::{Intent, IntentClass, IntentConstraints, IoPriority, QosParameters, QueueType};
pub use validate::{IntentError, MAX_TIME_US};
