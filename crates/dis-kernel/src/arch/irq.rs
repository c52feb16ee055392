//! Interrupts off and on, nested. The count is the CPU's, not the lock's: two locks may be let go in either order, and
//! interrupts come on again with the last of them.

#[cfg(feature = "baremetal")]
mod machine {
    use crate::percpu::PerCpu;
    use core::arch::asm;
    use core::mem::offset_of;

    /// Whether this CPU takes interrupts now.
    #[inline(always)]
    pub fn enabled() -> bool {
        let flags: u64;
        // SAFETY: reads the flags by way of the stack.
        unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
        flags & 0x200 != 0
    }

    /// Turns interrupts off, until as many [`pop`]s have been called as `push`es.
    #[inline(always)]
    pub fn push() {
        let on = enabled();
        // SAFETY: with interrupts off nothing else runs on this CPU, so its counter is ours; GS is the CPU's own data.
        unsafe {
            asm!("cli", options(nostack));
            let depth: u32;
            asm!("mov {:e}, gs:[{}]", out(reg) depth, const offset_of!(PerCpu, depth), options(nostack, readonly));
            if depth == 0 {
                asm!("mov byte ptr gs:[{}], {}", const offset_of!(PerCpu, resume), in(reg_byte) u8::from(on), options(nostack));
            }
            asm!("inc dword ptr gs:[{}]", const offset_of!(PerCpu, depth), options(nostack));
        }
    }

    /// The counterpart of [`push`].
    #[inline(always)]
    pub fn pop() {
        // SAFETY: interrupts are off since `push`.
        unsafe {
            let (depth, resume): (u32, u8);
            asm!("dec dword ptr gs:[{}]", const offset_of!(PerCpu, depth), options(nostack));
            asm!("mov {:e}, gs:[{}]", out(reg) depth, const offset_of!(PerCpu, depth), options(nostack, readonly));
            if depth == 0 {
                asm!("mov {}, byte ptr gs:[{}]", out(reg_byte) resume, const offset_of!(PerCpu, resume), options(nostack, readonly));
                if resume != 0 {
                    asm!("sti", options(nostack));
                }
            }
        }
    }
}

/// On a development machine tests run in user mode, where interrupts are somebody else's affair.
#[cfg(not(feature = "baremetal"))]
mod machine {
    /// Always: nobody turns them off.
    pub fn enabled() -> bool {
        true
    }
    /// Does nothing.
    pub fn push() {}
    /// Does nothing.
    pub fn pop() {}
}

pub use machine::{enabled, pop, push};

/// Interrupts are off while it lives.
pub struct Off(());

impl Off {
    /// Turns them off.
    pub fn new() -> Self {
        push();
        Off(())
    }
}

impl Default for Off {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        pop();
    }
}
