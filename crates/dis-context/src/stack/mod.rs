//! Stacks: where they lie (`geometry`), which are free (`freelist`), how memory is got and given back (`map`).

mod config;
mod error;
mod freelist;
mod geometry;
mod guard;
pub(crate) mod map;
mod pool;
pub(crate) mod registry;
mod shared;

pub use config::{GuardPolicy, MAX_STACKS, StackConfig, min_stack_size};
pub use error::StackError;
pub use geometry::Fault;
pub use guard::GuardKind;
pub use pool::{Stack, StackPool};
