//! Leaving QEMU with a code.

use x86_64::instructions::port::Port;

/// How the kernel ends. QEMU's exit code is twice the value plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Exit code 33: everything went well.
    Success = 0x10,
    /// 35: a fault or a panic of the kernel itself.
    KernelFault = 0x11,
    /// 37: a self-test failed.
    TestFailed = 0x12,
    /// 39: the command line or the boot module cannot be used.
    BadInput = 0x13,
    /// 41: the workload ran, but a task of it was ended by a fault, a panic or its memory limit.
    TaskFailed = 0x14,
    /// 43: a policy that is not built in has panicked or faulted.
    PolicyFault = 0x15,
}

/// Ends the machine.
pub fn exit(how: Exit) -> ! {
    // SAFETY: the port is QEMU's isa-debug-exit; without that device nothing happens.
    unsafe { Port::<u32>::new(0xf4).write(how as u32) };
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
