//! What lies between a host and a policy in WebAssembly: five exports, two imports, and a buffer for two tasks.
//!
//! | export | what |
//! |---|---|
//! | `dis_abi() -> i32` | [`VERSION`] |
//! | `dis_buffer() -> i32` | where the host puts a task, and a second one behind it, each in [`TASK`] bytes with the layout of `Entity` |
//! | `dis_create()` | makes the module |
//! | `dis_ask(i32) -> i64` | one of the questions below |
//! | `dis_call(i32, i64, i64, i64) -> i64` | a [`Call`] of the policy, tasks in the buffer |
//!
//! A call of a policy answers with the number of queued tasks in the upper half and a key (or [`NOBODY`]), a truth value or 0 in the lower;
//! [`Call::TimeSlice`] with nanoseconds, [`Call::Preempts`] with a truth value. Imports, of `dis`: `show(i32) -> i32`, with each
//! task that a policy shows, and `panicked(i32, i32)`, with a message. An instance has one policy. A virtual clock is not told.

/// The version of all this.
pub const VERSION: u32 = 1;
/// Bytes of a task.
pub const TASK: usize = 40;
/// In place of a key.
pub const NOBODY: u32 = u32::MAX;

/// The module's name: where in the upper half, its length in the lower.
pub const NAME: u32 = 0;
/// Its version, as [`ModuleTable::version`](super::ModuleTable::version) has it.
pub const MODULE_VERSION: u32 = 1;
/// The classes whose promises it keeps.
pub const SUPPORTED: u32 = 2;
/// The classes it can serve.
pub const POSSIBLE: u32 = 3;
/// Sets it up; an [`Outcome`](super::Outcome)'s code.
pub const INIT: u32 = 4;
/// Makes the policy.
pub const MAKE_POLICY: u32 = 5;

/// The methods of a policy, with what `a`, `b` and `c` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Call {
    /// Arrival, now.
    OnReady,
    /// Now.
    Select,
    /// Now.
    Peek,
    /// Arrival, now.
    Exchange,
    /// Now.
    OnBlock,
    /// Now.
    Remove,
    /// Priority, deadline, now.
    Update,
    /// Time that it ran, now.
    OnTick,
    /// Nothing.
    TimeSlice,
    /// Nothing; the one that runs is the second.
    Preempts,
    /// Nothing.
    Visit,
    /// How many.
    Reserve,
}

impl Call {
    /// The call of that number.
    pub fn of(number: u32) -> Option<Call> {
        use Call::*;
        let all =
            [OnReady, Select, Peek, Exchange, OnBlock, Remove, Update, OnTick, TimeSlice, Preempts, Visit, Reserve];
        all.get(number as usize).copied()
    }
}
