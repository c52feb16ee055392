//! What `dis module new` writes, as a library.

#[path = "../template/lib.rs"]
mod template;

pub use template::MyScheduler;
