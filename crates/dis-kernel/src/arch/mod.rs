//! The machine: what is x86 and no business of the scheduler.

pub mod apic;
pub mod entry;
pub mod exit;
pub mod gdt;
pub mod idt;
pub mod irq;
pub mod pit;
pub mod selectors;
pub mod uart;
