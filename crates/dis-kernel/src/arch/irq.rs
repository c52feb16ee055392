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
    ///
    /// A count above 0 means that they are off. Whoever finds 0, and is interrupted and moved to another CPU before they are off,
    /// finds 0 there too.
    #[inline(always)]
    pub fn push() {
        // SAFETY: with interrupts off nothing else runs on this CPU, so its counter is ours; GS is the CPU's own data.
        unsafe {
            asm!(
                "cmp dword ptr gs:[{depth}], 0",
                "jne 2f",
                "pushfq",
                "pop rax",
                "cli",
                "and ah, 2",
                "mov byte ptr gs:[{resume}], ah",
                "2:",
                "inc dword ptr gs:[{depth}]",
                depth = const offset_of!(PerCpu, depth),
                resume = const offset_of!(PerCpu, resume),
                out("rax") _,
            );
        }
    }

    /// The counterpart of [`push`].
    #[inline(always)]
    pub fn pop() {
        // SAFETY: interrupts are off since `push`.
        unsafe {
            asm!(
                "dec dword ptr gs:[{depth}]",
                "jnz 2f",
                "cmp byte ptr gs:[{resume}], 0",
                "je 2f",
                "sti",
                "2:",
                depth = const offset_of!(PerCpu, depth),
                resume = const offset_of!(PerCpu, resume),
                options(nostack),
            );
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
