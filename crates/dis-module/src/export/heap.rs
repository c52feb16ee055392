//! The allocator of a library: the system's, counted and limited.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::abi::Memory;

/// Most bytes that a library may have in use: 256 MiB. A policy needs a few tens of bytes a task, and hosts reserve room for
/// hundreds of thousands.
pub const LIMIT: u64 = 256 << 20;

/// The system's allocator with a limit of [`LIMIT`] bytes. What goes beyond it fails, and unless the module can do without
/// (`try_reserve`), Rust then wants to end the process; a host stops the policy instead (`load/escape.rs`).
#[derive(Debug, Default)]
pub struct Heap;

static BYTES: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

impl Heap {
    /// Of this library; all are the same.
    pub const fn new() -> Heap {
        Heap
    }

    fn take(bytes: usize) -> bool {
        CALLS.fetch_add(1, Relaxed);
        let fits = BYTES.fetch_add(bytes as u64, Relaxed).saturating_add(bytes as u64) <= LIMIT;
        if !fits {
            BYTES.fetch_sub(bytes as u64, Relaxed);
            REFUSED.fetch_add(1, Relaxed);
        }
        fits
    }
}

// SAFETY: the system's allocator, or nothing.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Heap::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !Heap::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !Heap::take(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        let moved = unsafe { System.realloc(start, layout, size) };
        BYTES.fetch_sub(if moved.is_null() { size } else { layout.size() } as u64, Relaxed);
        moved
    }
}

pub(super) fn used() -> Memory {
    Memory { bytes: BYTES.load(Relaxed), calls: CALLS.load(Relaxed), refused: REFUSED.load(Relaxed) }
}

pub(super) unsafe extern "C" fn memory() -> Memory {
    used()
}
