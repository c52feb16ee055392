//! Memory: frames, page tables, the heap, stacks, and where everything is mapped.
//!
//! | from | what |
//! |---|---|
//! | 0 | user mode (only in the page tables of user tasks) |
//! | [`PHYSICAL`] | all RAM and the local APIC, writable, not executable |
//! | [`stacks::AREA`] | stacks of tasks, each above a page that is not mapped |
//! | -2 GiB | the kernel: text executable and read-only, constants read-only, data not executable |

pub mod frames;
pub mod heap;
pub mod layout;
pub mod paging;
pub mod stacks;

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::pvh::{BootInfo, Physical};

/// Where physical memory is mapped once the kernel has its own page tables.
pub const PHYSICAL: u64 = 0xffff_8880_0000_0000;
/// What the kernel is linked above its physical addresses.
pub const KERNEL: u64 = 0xffff_ffff_8000_0000;

/// What is to be added to a physical address. At first the loader's identity mapping is used.
static OFFSET: AtomicU64 = AtomicU64::new(0);
static KERNEL_CR3: AtomicU64 = AtomicU64::new(0);

/// A physical address as a pointer.
#[inline(always)]
pub fn at(physical: u64) -> *mut u8 {
    (physical + OFFSET.load(Ordering::Relaxed)) as *mut u8
}

/// The kernel's page tables.
#[inline(always)]
pub fn kernel_cr3() -> u64 {
    KERNEL_CR3.load(Ordering::Relaxed)
}

/// Physical memory as it is.
pub struct Machine;

impl Physical for Machine {
    fn read(&self, address: u64, into: &mut [u8]) {
        for (offset, byte) in into.iter_mut().enumerate() {
            // SAFETY: RAM and firmware tables are mapped; nothing else writes what is read here.
            *byte = unsafe { at(address + offset as u64).read_volatile() };
        }
    }
}

/// Where the parts of the kernel are, virtual.
pub struct Image {
    /// Machine code.
    pub text: Range<u64>,
    /// Constants.
    pub constants: Range<u64>,
    /// Variables.
    pub data: Range<u64>,
}

/// Takes over memory: frames, then page tables of our own, then the heap.
///
/// # Safety
/// Once, by the first CPU, on the loader's page tables, which map the first 4 GiB where they are; `info` and `image` must
/// be true. The kernel's own stack must lie in its data.
pub unsafe fn init(info: &BootInfo, image: &Image) {
    let kernel_end = image.data.end - KERNEL;
    let total: u64 = info.free_memory(kernel_end).map(|range| range.end - range.start).sum();
    let mut heap = layout::heap(info.free_memory(kernel_end), total);
    {
        let mut frames = frames::FRAMES.lock();
        for range in info.free_memory(kernel_end) {
            // The heap is the end of one of them.
            let end = if range.end == heap.end { heap.start } else { range.end };
            frames.add(range.start..end);
        }
    }
    let root = layout::kernel_tables(&mut frames::Direct, info.memory_end(), image)
        .unwrap_or_else(|| panic!("no memory for the kernel's page tables"));
    KERNEL_CR3.store(root, Ordering::Relaxed);
    // SAFETY: the new tables map all that is in use where it is: the kernel with its stack. All else is reached by `at`.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack)) };
    OFFSET.store(PHYSICAL, Ordering::Relaxed);
    heap.start += PHYSICAL;
    heap.end += PHYSICAL;
    // SAFETY: nobody else has these frames (they were not given to `FRAMES`), and they are mapped.
    unsafe { heap::claim(heap) };
    crate::arch::apic::set_base(PHYSICAL + layout::APIC);
}
