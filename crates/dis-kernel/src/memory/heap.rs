//! The kernel's heap.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;

use talc::TalcLock;
use talc::source::Manual;

use crate::lock::RawLock;

/// The allocator, for `#[global_allocator]`. Its lock keeps interrupts off, so the scheduler may allocate.
pub static HEAP: TalcLock<RawLock, Manual> = TalcLock::new(Manual);

/// Gives the heap its memory.
///
/// # Safety
/// The range must be mapped, writable, and nobody else's for ever.
pub unsafe fn claim(range: Range<u64>) {
    // SAFETY: as above.
    unsafe { HEAP.lock().claim(range.start as *mut u8, (range.end - range.start) as usize) };
}

/// Bytes in use, and in how many pieces.
pub fn used() -> (usize, usize) {
    let heap = HEAP.lock();
    let counters = heap.counters();
    (counters.allocated_bytes, counters.allocation_count)
}

/// Bytes that are free.
pub fn free() -> usize {
    HEAP.lock().counters().available_bytes
}

/// [`HEAP`] as a global allocator.
pub struct Kernel;

// SAFETY: all is handed on to `HEAP`, which is an allocator.
unsafe impl GlobalAlloc for Kernel {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { HEAP.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { HEAP.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { HEAP.realloc(pointer, layout, size) }
    }
}
