//! A host of the scheduler's core without an operating system: an SMP x86_64 kernel, booted by QEMU.
//!
//! The core ([`dis_core`]) decides; this crate is what it leaves to a host: a clock ([`clock`]), a timer and interrupts to
//! other CPUs ([`arch::apic`]), registers and stacks ([`context`], [`memory::stacks`]), locks ([`lock`]). [`sched`] joins the
//! two, [`task`] is what a task may call. `docs/kernel.md` tells it in order.
//!
//! The binary (`main.rs`) holds what only a freestanding program has: the entry, the panic handler, the allocator. What is
//! pure computation here ([`acpi`], [`memory`], [`clock`], [`report`]) is tested on the machine it is developed on.
#![cfg(target_arch = "x86_64")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod arch;
pub mod boot;
pub mod channel;
pub mod clock;
pub mod command;
pub mod console;
pub mod context;
pub mod fault;
pub mod figures;
mod guard;
pub mod ipc;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod modules;
pub mod notification;
pub mod percpu;
pub mod pvh;
pub mod report;
pub mod sched;
pub mod selftest;
pub mod smp;
pub mod task;
pub mod turns;
pub mod user;
pub mod wait;
pub mod watch;
pub mod workload;
