//! Intents: what tasks are for, whether a declaration is consistent, and what follows from it.

mod analyzer;
mod history;
mod types;
mod validate;

pub use analyzer::{IntentAnalyzer, SchedulingDecision, SystemLoad};
pub use history::TaskHistory;
pub use types::{Intent, IntentClass, IntentConstraints, IoPriority, QosParameters, QueueType};
pub use validate::{IntentError, MAX_TIME_US};
