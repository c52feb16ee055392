//! Primitives that park the task instead of the thread. All of them may be used by ordinary threads as well.

pub(crate) mod mutex;
mod wait;

pub use mutex::{Mutex, MutexGuard};
