//! The interrupt descriptor table, the same for all CPUs.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

use super::entry;
use super::gdt::{IST_FATAL, IST_FAULT, IST_TASK, KERNEL_CODE};

/// Vector of the local APIC's timer.
pub const TIMER: u8 = 0x20;
/// Vector of interrupts from other CPUs.
pub const RESCHEDULE: u8 = 0xf0;
/// Stands for all vectors that nobody has set up.
pub const UNEXPECTED: u8 = 0x30;
/// The APIC's spurious vector.
pub const SPURIOUS: u8 = 0xff;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate([u64; 2]);

impl Gate {
    /// An interrupt gate of ring 0: interrupts are off in its handler.
    fn new(handler: u64, ist: u8) -> Gate {
        let low = (handler & 0xffff)
            | u64::from(KERNEL_CODE) << 16
            | u64::from(ist) << 32
            | 0x8e << 40
            | (handler >> 16 & 0xffff) << 48;
        Gate([low, handler >> 32])
    }
}

/// Vector of system calls.
pub const SYSTEM_CALL: u8 = 0x80;

struct Table(UnsafeCell<[Gate; 256]>);
// SAFETY: written once, by the first CPU before any other runs.
unsafe impl Sync for Table {}

static IDT: Table = Table(UnsafeCell::new([Gate([0; 2]); 256]));
static WAITING: Table = Table(UnsafeCell::new([Gate([0; 2]); 256]));

/// Fills the tables.
///
/// # Safety
/// Once, before the first [`load`].
pub unsafe fn init() {
    // SAFETY: nobody else uses them yet (contract).
    unsafe { (*WAITING.0.get()).fill(Gate::new(entry::nothing as *const () as u64, IST_FAULT)) };
    // SAFETY: as above.
    let table = unsafe { &mut *IDT.0.get() };
    // A vector that nobody uses is counted as spurious.
    table.fill(Gate::new(entry::unexpected as *const () as u64, IST_TASK));
    for (vector, handler) in entry::exceptions() {
        let fatal = matches!(vector, 2 | 8 | 18);
        table[usize::from(vector)] = Gate::new(handler, if fatal { IST_FATAL } else { IST_FAULT });
    }
    table[usize::from(SPURIOUS)] = Gate::new(entry::spurious as *const () as u64, IST_TASK);
    table[usize::from(TIMER)] = Gate::new(entry::timer as *const () as u64, IST_TASK);
    // On the task's kernel stack, and ring 3 may use it.
    let Gate([low, high]) = Gate::new(entry::system_call as *const () as u64, 0);
    table[usize::from(SYSTEM_CALL)] = Gate([low | 3 << 45, high]);
    table[usize::from(RESCHEDULE)] = Gate::new(entry::reschedule as *const () as u64, IST_TASK);
}

/// Loads it on this CPU.
pub fn load() {
    load_table(&IDT);
}

/// Loads a table with which interrupts do nothing but end a `hlt`. Whoever waits so acknowledges them itself.
pub fn load_waiting() {
    load_table(&WAITING);
}

fn load_table(table: &'static Table) {
    let pointer = DescriptorTablePointer { limit: 4095, base: VirtAddr::from_ptr(table.0.get()) };
    // SAFETY: the table lives for ever and has been filled.
    unsafe { x86_64::instructions::tables::lidt(&pointer) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_has_its_parts_where_the_cpu_looks_for_them() {
        let Gate([low, high]) = Gate::new(0x1122_3344_5566_7788, 3);
        assert_eq!(low, 0x5566_8e03_0008_7788);
        assert_eq!(high, 0x1122_3344);
    }
}
