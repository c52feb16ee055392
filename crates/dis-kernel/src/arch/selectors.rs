//! The segment registers of a user task: data segments, and the bases of `fs` and `gs`, which it sets by `wrfsbase` and
//! `wrgsbase`. The kernel uses none of them but its own base of `gs`, so they are exchanged when another user task runs, not
//! at each interrupt.

use core::arch::asm;

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

use super::gdt;

/// What a user task has in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selectors {
    ds: u16,
    es: u16,
    fs: u16,
    gs: u16,
    fs_base: u64,
    gs_base: u64,
}

impl Selectors {
    /// Of a task that has not begun.
    pub const NEW: Selectors =
        Selectors { ds: gdt::USER_DATA, es: gdt::USER_DATA, fs: 0, gs: 0, fs_base: 0, gs_base: 0 };

    /// What is in the registers of this CPU; interrupts are off, and the user's `gs` base is the one that `swapgs` brings.
    pub fn save() -> Selectors {
        let (ds, es, fs, gs): (u16, u16, u16, u16);
        // SAFETY: reads four registers.
        unsafe {
            asm!("mov {:x}, ds", "mov {:x}, es", "mov {:x}, fs", "mov {:x}, gs", out(reg) ds, out(reg) es, out(reg) fs,
                out(reg) gs, options(nomem, nostack, preserves_flags));
        }
        Selectors { ds, es, fs, gs, fs_base: FsBase::read().as_u64(), gs_base: KernelGsBase::read().as_u64() }
    }

    /// Loads them into this CPU; as [`save`](Self::save).
    pub fn load(&self) {
        // SAFETY: a task had loaded them from the same table, so they can be loaded. To load `gs` sets the active base, which is
        // the user's between the two `swapgs`; interrupts are off.
        unsafe {
            asm!("mov ds, {:x}", "mov es, {:x}", "mov fs, {:x}", "swapgs", "mov gs, {:x}", "swapgs", in(reg) self.ds,
                in(reg) self.es, in(reg) self.fs, in(reg) self.gs, options(nostack, preserves_flags));
        }
        // Both were in the registers, so they are canonical.
        FsBase::write(VirtAddr::new_truncate(self.fs_base));
        KernelGsBase::write(VirtAddr::new_truncate(self.gs_base));
    }
}

/// Lets tasks set the bases, if this CPU has the instructions for that; else they are 0 for ever.
///
/// # Safety
/// While the CPU is set up.
pub unsafe fn allow_bases() {
    let leaf = core::arch::x86_64::__cpuid_count(7, 0);
    if leaf.ebx & 1 != 0 {
        // SAFETY: the CPU has it; whose `gs` is active is told by the code segment, not by the base.
        unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::FSGSBASE)) };
    }
}
