//! Random events: what may happen (`event`), what it does to a machine (`driver`), the search for a list of events that breaks
//! something (`explore`), and for a small part of that list (`shrink`).

mod driver;
mod event;
mod explore;
mod shrink;

pub use driver::Driver;
pub use explore::{Test, explore};
pub use shrink::shrink;
