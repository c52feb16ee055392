//! The x86_64 System V switch. Uses `core` only.
//!
//! A suspended context's stack pointer addresses its resume address; what lies above is known only to the code there.
//! Register contract at every resume address: rsi holds the argument, rsp addresses the word above the resume address.

use core::arch::{asm, naked_asm};

/// The initial mxcsr: all exceptions masked, round to nearest.
const MXCSR: u32 = 0x1F80;
/// The initial x87 control word: all exceptions masked, 64-bit mantissa, round to nearest.
const X87CW: u32 = 0x037F;

/// Expands to the one `asm!` of a switch, with instructions to run before the frame is sealed and after it is resumed.
macro_rules! switch_asm {
    ($save:expr, $to:expr, $arg:expr, [$($before:literal),*], [$($after:literal),*]) => {{
        let result: usize;
        asm!(
            "push rbp",
            "push rbx",
            $($before,)*
            "lea rax, [rip + 2f]",
            "push rax",
            // Read the target before leaving this stack: an empty context faults here, where a debugger can see it.
            "mov rcx, [rdx]",
            "mov [rdi], rsp",
            "lea rsp, [rdx + 8]",
            "jmp rcx",
            "2:",
            $($after,)*
            "pop rbx",
            "pop rbp",
            inlateout("rdi") $save => _,
            inlateout("rdx") $to => _,
            inlateout("rsi") $arg => result,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
        result
    }};
}

/// Saves the caller at `*save`, resumes `to` with `arg`.
///
/// # Safety
/// See [`crate::switch`].
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut usize, to: usize, arg: usize) -> usize {
    // SAFETY: `save` is writable and `to` is the address of a suspended frame (caller). All registers that the other
    // side may change are declared, rbx and rbp are pushed; no `nostack`, so the pushes do not hit the red zone.
    unsafe { switch_asm!(save, to, arg, [], []) }
}

/// As [`switch`]; also keeps mxcsr and the x87 control word of the saved side.
///
/// # Safety
/// See [`crate::switch_with_fp`].
#[inline(always)]
pub(crate) unsafe fn switch_with_fp(save: *mut usize, to: usize, arg: usize) -> usize {
    // As at a call, the status bits of mxcsr (0x3F) are nobody's; to load them needlessly costs 75 ns on a Zen 4, so
    // mxcsr is loaded only if a control bit differs.
    // SAFETY: as for `switch`; the control words lie in the 16 bytes made below rbx and are restored from there.
    unsafe {
        switch_asm!(
            save,
            to,
            arg,
            ["sub rsp, 16", "stmxcsr dword ptr [rsp]", "fnstcw word ptr [rsp + 4]"],
            [
                "stmxcsr dword ptr [rsp + 8]",
                "mov eax, dword ptr [rsp + 8]",
                "xor eax, dword ptr [rsp]",
                "test eax, 0xFFC0",
                "jz 3f",
                "ldmxcsr dword ptr [rsp]",
                "3:",
                "fldcw word ptr [rsp + 4]",
                "add rsp, 16"
            ]
        )
    }
}

/// Resumes `to` with `arg` and forgets the caller.
///
/// # Safety
/// See [`crate::jump`].
#[inline(always)]
pub(crate) unsafe fn jump(to: usize, arg: usize) -> ! {
    // SAFETY: `to` is the address of a suspended frame (caller); the current stack is not used again.
    unsafe {
        asm!(
            "mov rcx, [rdx]",
            "lea rsp, [rdx + 8]",
            "jmp rcx",
            in("rdx") to,
            in("rsi") arg,
            options(noreturn),
        )
    }
}

/// Writes the first frame below `top` and returns its address: the context.
///
/// # Safety
/// The 64 bytes below `top` are writable.
pub(crate) unsafe fn prepare(top: *mut u8, entry: usize, data: usize, with_fp: bool) -> usize {
    let aligned = top.map_addr(|top| top & !15).cast::<usize>();
    let start = if with_fp { trampoline_with_fp as *const () } else { trampoline as *const () };
    // SAFETY: five words below `aligned`, which is at most 15 bytes below `top`, lie within the 64 (caller).
    unsafe {
        aligned.sub(1).write(0);
        aligned.sub(2).write(0);
        aligned.sub(3).write(entry);
        aligned.sub(4).write(data);
        aligned.sub(5).write(start.expose_provenance());
        aligned.sub(5).expose_provenance()
    }
}

/// Where a new context starts: calls entry(data, arg). `cfi_undefined rip` tells an unwinder that this is the outermost
/// frame, the zero in rbp tells it to one that follows frame pointers. After the two pops rsp is aligned for the call.
///
/// # Safety
/// Reached only by a switch to a frame that `prepare` wrote.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "pop rax",
        "xor ebp, ebp",
        "call rax",
        "ud2",
        ".cfi_endproc",
    )
}

/// As [`trampoline`], with the initial floating-point control words.
///
/// # Safety
/// As for [`trampoline`].
#[unsafe(naked)]
unsafe extern "C" fn trampoline_with_fp() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "pop rax",
        "xor ebp, ebp",
        "push {mxcsr}",
        "ldmxcsr dword ptr [rsp]",
        "mov dword ptr [rsp], {x87cw}",
        "fldcw word ptr [rsp]",
        "add rsp, 8",
        "call rax",
        "ud2",
        ".cfi_endproc",
        mxcsr = const MXCSR,
        x87cw = const X87CW,
    )
}
