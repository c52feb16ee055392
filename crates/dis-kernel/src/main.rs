//! The kernel as a freestanding program: the entry, the allocator, the panic handler. All else is in the library.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::panic::PanicInfo;

use dis_kernel::arch::exit::Exit;
use dis_kernel::boot::{self, Booted};
use dis_kernel::memory::{Image, heap};
use dis_kernel::smp::Trampoline;
use dis_kernel::{fault, println, workload};

global_asm!(include_str!("boot.s"), options(att_syntax));
global_asm!(include_str!("mem.s"), options(att_syntax));

#[global_allocator]
static HEAP: heap::Kernel = heap::Kernel;

unsafe extern "C" {
    static text_start: u8;
    static rodata_start: u8;
    static data_start: u8;
    static kernel_end: u8;
    static boot_pml4: u8;
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_cr3: u8;
}

/// Where `boot.s` goes to, in 64-bit mode, with the address of PVH's `start_info`.
#[unsafe(no_mangle)]
unsafe extern "C" fn kmain(start_info: u64) -> ! {
    let address = |symbol: *const u8| symbol as u64;
    let (text, constants) = (address(&raw const text_start), address(&raw const rodata_start));
    let (data, end) = (address(&raw const data_start), address(&raw const kernel_end));
    let image = Image { text: text..constants, constants: constants..data, data: data..end };
    let (first, last) = (&raw const trampoline_start, &raw const trampoline_end);
    let parameters = address(&raw const trampoline_cr3) - address(first);
    // SAFETY: the linker lays the code out between the two symbols.
    let code = unsafe { core::slice::from_raw_parts(first, (address(last) - address(first)) as usize) };
    let trampoline = Trampoline { code, parameters: parameters as usize, tables: address(&raw const boot_pml4) };
    // SAFETY: this is the entry; the linker's script has put the parts there.
    unsafe { boot::start(start_info, &image, &trampoline, first_task) }
}

/// The first task, unless the command line asks for a test.
fn first_task(booted: Booted) -> Exit {
    if booted.module.is_empty() {
        println!("nothing to do: pass test=NAME, or a workload as boot module (`dis boot FILE` does)");
        return Exit::BadInput;
    }
    workload::run(&booted)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fault::panicked(info)
}

/// Compiled code names it; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("nothing unwinds here")
}
