//! Stacks and register switching for stackful tasks.
//!
//! A *context* is a point at which execution can be resumed: everything it needs lies on its stack, so all that remains
//! is one stack pointer. [`switch`] writes the caller's into a [`Context`] and goes on at another one. There is no
//! parent and no child, only two equal contexts; who may run whom is the scheduler's business.
//!
//! ```text
//!   higher addresses
//!   ┌──────────────────────────────┐ end of the slot
//!   │ colour: 0 … 960 bytes unused │ differs by index, so that equal frames of many tasks use different cache sets
//!   ├──────────────────────────────┤ Stack::top()
//!   │ 0, 0                         │ ends a walk along frame pointers
//!   │ entry                        │ ┐
//!   │ data                         │ │ written by Context::new; popped by the first switch to it
//!   │ trampoline                   │ ┘
//!   ├ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─┤
//!   │ frames of entry and callees  │
//!   │ …                            │
//!   │ rbp                          │ ┐
//!   │ rbx                          │ │ pushed by `switch` when this context gives way
//!   │ resume address               │ ┘ ◄── Context holds this address
//!   ├ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─┤
//!   │ never touched: no memory yet │
//!   ├──────────────────────────────┤ Stack::bottom()
//!   │ guard, 1 or 2 pages          │ an access raises SIGSEGV: module `overflow` names the task
//!   └──────────────────────────────┘ start of the slot = end of the slot before
//!   lower addresses
//! ```
//!
//! # The switch
//!
//! `switch` is inline assembly that declares every register clobbered, so the compiler saves exactly what is live at that
//! place, often nothing. Two registers cannot be declared (LLVM keeps rbx and rbp for itself) and are pushed by hand.
//! The resume address is reached by an indirect jump, not by `ret`, which the return predictor would get wrong.
//! Unwinding works from any suspended or running context and ends at its entry; only a profiler's signal that hits the
//! few instructions of the switch itself may see a wrong caller.
//!
//! What belongs to a context and what does not:
//!
//! | state | with the context? |
//! |---|---|
//! | general, vector, mask, tile and x87 data registers | yes, as far as they are live |
//! | direction flag | clear on both sides: the ABI says so at every call, and the kernel clears it for a signal handler |
//! | red zone below the stack pointer | not used by a function that contains a `switch` (the assembly may push) |
//! | mxcsr, x87 control word | no; [`switch_with_fp`] saves them, about 2 ns more |
//! | thread-local storage, fs base, `errno` | no: they belong to the thread, see below |
//! | signal mask, alternate signal stack | no: they belong to the kernel thread |
//! | shadow stack (CET) | no: a process that runs with user shadow stacks enabled must not use this crate |
//!
//! # Threads
//!
//! The mechanism lets any thread resume any context. Rust code does not: the compiler may compute the address of a
//! thread-local before a switch and use it afterwards. A context that was started may therefore go on on another thread
//! only if nothing on its stack touched thread-locals in a way that outlives the switch, which `std` does in many
//! places (a panic being unwound, a held `ReentrantLock`, `thread::current`). When in doubt, keep it on its thread.
//!
//! # Stacks
//!
//! [`StackPool`] reserves address space for all its stacks in one mapping and lets the kernel supply memory page by page
//! at the first touch. Guards are installed with `MADV_GUARD_INSTALL` (Linux 6.13), which does not split the mapping,
//! so a million stacks count as one mapping; on older kernels it uses `mprotect`, of which a process can afford about
//! 30,000. Free stacks lie on a lock-free LIFO; those beyond a configured number give their memory back in batches.
//!
//! # Overflow
//!
//! [`overflow::install`] turns the SIGSEGV of a hit guard into a message that names the task. It needs an alternate
//! signal stack on each thread that runs tasks: [`overflow::AltStack`].
//!
//! # Example
//!
//! ```
//! use dis_context::{Context, StackConfig, StackPool, jump, switch};
//!
//! /// Adds what it gets to `data`, gives way once, and ends.
//! unsafe extern "C" fn entry(data: usize, arg: usize) -> ! {
//!     let pair = data as *mut [Context; 2];
//!     // SAFETY: the host is suspended below whenever this runs, and `pair` outlives this context.
//!     unsafe {
//!         let next = switch(&raw mut (*pair)[1], (*pair)[0], arg + 1);
//!         jump((*pair)[0], next * 2)
//!     }
//! }
//!
//! let pool = StackPool::new(StackConfig { max_stacks: 10, ..StackConfig::default() })?;
//! let stack = pool.alloc()?;
//! let mut pair = [Context::empty(); 2];
//! let p = &raw mut pair;
//! // SAFETY: the stack and the pair outlive the new context, which is resumed once after each suspension.
//! unsafe {
//!     (*p)[1] = Context::new(stack.top(), entry, p as usize);
//!     assert_eq!(switch(&raw mut (*p)[0], (*p)[1], 5), 6);
//!     assert_eq!(switch(&raw mut (*p)[0], (*p)[1], 21), 42);
//! }
//! # Ok::<(), dis_context::StackError>(())
//! ```
#![warn(missing_docs)]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "dis-context supports x86_64 Linux only: for another target write its src/arch module (switch, trampoline) and, \
     outside Linux, its src/stack/map.rs and src/overflow"
);

#[path = "arch/x86_64.rs"]
mod arch;
mod context;
pub mod overflow;
mod stack;

pub use context::{Context, Entry, jump, switch, switch_with_fp};
pub use stack::{Fault, GuardKind, GuardPolicy, MAX_STACKS, Stack, StackConfig, StackError, StackPool, min_stack_size};
