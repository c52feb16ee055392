//! Scheduling policies in files, loaded while the program runs.
//!
//! * A module's author implements [`SchedulerModule`](dis_core::modules::SchedulerModule) and writes
//!   [`export_scheduler!`]; the crate is a `cdylib`.
//! * A host calls [`load()`] and registers what it gets like any other module.
//! * [`abi`] is what lies between the two: C functions and C layouts, so that compilers need not agree. A panic never
//!   crosses it: it is caught in the module and arrives as a *fault*, after which the core replaces the policy by a
//!   built-in one.
//! * [`check`](check()) is the conformance suite, for any module, in a file or not.
//!
//! * With the feature `wasm`, `load_wasm` loads a module that need not be trusted, in WebAssembly.
//!
//! A native module is trusted as far as memory goes: it runs in the process, and nothing keeps it from writing where it
//! should not. What it *answers* is not trusted; see `docs/modules.md`.

pub mod abi;
mod check;
pub mod export;
#[cfg(feature = "load")]
mod load;
mod template;
#[cfg(feature = "wasm")]
mod wasm;

pub use check::{Check, Finding, Report, check};
#[cfg(feature = "load")]
pub use load::{Faults, LoadError, LoadedModule, PATIENCE, load};
pub use template::template;
#[cfg(feature = "wasm")]
pub use wasm::{FUEL, MEMORY, MUCH_FUEL, WasmModule, is_wasm, load_wasm};
