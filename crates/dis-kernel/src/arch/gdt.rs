//! Segments and the stacks that the CPU itself switches to.
//!
//! Every vector has a stack of the interrupt stack table, as compiled code keeps data below its stack pointer (the red
//! zone). IST 1 is no stack: it is the end of the running task's register area, so that the CPU pushes the interrupted
//! context straight into the task control block.

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

/// Selector of the kernel's code.
pub const KERNEL_CODE: u16 = 0x08;
/// Selector of the kernel's data.
pub const KERNEL_DATA: u16 = 0x10;
/// Selector of user data; `syscall` wants it right before that of user code.
pub const USER_DATA: u16 = 0x18 | 3;
/// Selector of user code.
pub const USER_CODE: u16 = 0x20 | 3;

/// The interrupt stack table: the running task's registers.
pub const IST_TASK: u8 = 1;
/// NMI, double fault, machine check.
pub const IST_FATAL: u8 = 2;
/// All other exceptions.
pub const IST_FAULT: u8 = 3;

const STACK: usize = 32 << 10;

/// One CPU's GDT and TSS.
pub struct Segments {
    gdt: UnsafeCell<GlobalDescriptorTable<8>>,
    tss: UnsafeCell<TaskStateSegment>,
}

impl Segments {
    /// Tables with two stacks for exceptions; these live for ever.
    pub fn new() -> Box<Self> {
        let mut tss = TaskStateSegment::new();
        for ist in [IST_FATAL, IST_FAULT] {
            let stack = Box::leak(alloc::vec![0u128; STACK / 16].into_boxed_slice());
            tss.interrupt_stack_table[usize::from(ist) - 1] = VirtAddr::from_ptr(stack.as_ptr_range().end);
        }
        Box::new(Segments { gdt: UnsafeCell::new(GlobalDescriptorTable::empty()), tss: UnsafeCell::new(tss) })
    }

    /// Loads them on this CPU, whose own they are.
    ///
    /// # Safety
    /// Once, by the CPU they belong to; they must live for ever.
    pub unsafe fn load(&'static self) {
        // SAFETY: only this CPU uses them (contract), and nobody holds a reference to the parts.
        unsafe {
            let gdt = &mut *self.gdt.get();
            gdt.append(Descriptor::kernel_code_segment());
            gdt.append(Descriptor::kernel_data_segment());
            gdt.append(Descriptor::user_data_segment());
            gdt.append(Descriptor::user_code_segment());
            let tss = gdt.append(Descriptor::tss_segment_unchecked(self.tss.get()));
            (*self.gdt.get()).load_unsafe();
            CS::set_reg(SegmentSelector(KERNEL_CODE));
            SS::set_reg(SegmentSelector(KERNEL_DATA));
            DS::set_reg(SegmentSelector(KERNEL_DATA));
            ES::set_reg(SegmentSelector(KERNEL_DATA));
            load_tss(tss);
        }
    }

    /// From now on interrupts push into the area that ends at `registers`, and what comes from ring 3 otherwise would go on
    /// the stack with the top `stack`.
    #[inline]
    pub fn run_task(&self, registers: u64, stack: u64) {
        // The fields lie at 4 (rsp0) and 36 (ist1) of the TSS, which is packed.
        // SAFETY: only this CPU writes its TSS, with interrupts off; the CPU reads it at the next interrupt.
        unsafe {
            let tss = self.tss.get().cast::<u8>();
            asm!(
                "mov qword ptr [{tss} + 4], {stack}", "mov qword ptr [{tss} + 36], {registers}",
                tss = in(reg) tss, stack = in(reg) stack, registers = in(reg) registers, options(nostack, preserves_flags)
            );
        }
    }
}
