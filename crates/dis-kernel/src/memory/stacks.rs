//! Stacks of tasks. Each slot is a page that is never mapped and the stack above it; what overflows faults.
//!
//! A stack that has been given back stays mapped and is used again, so no other CPU need forget a translation.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::paging::{self, Flags, Page};
use super::{frames, kernel_cr3};
use crate::lock::Lock;

/// Where the slots begin.
pub const AREA: u64 = 0xffff_c900_0000_0000;
/// Bytes of a stack. Unoptimised code needs more.
pub const SIZE: u64 = if cfg!(debug_assertions) { 64 << 10 } else { 16 << 10 };
const SLOT: u64 = SIZE + frames::SIZE;

struct Pool {
    /// Top of the first free stack, whose last word has the next; 0 ends the list.
    free: u64,
    made: u64,
}

static POOL: Lock<Pool> = Lock::new(Pool { free: 0, made: 0 });
static IN_USE: AtomicU64 = AtomicU64::new(0);

/// A stack in use; given back when dropped.
#[derive(Debug)]
pub struct Stack {
    top: u64,
}

impl Stack {
    /// A stack. `None`: out of memory.
    pub fn take() -> Option<Stack> {
        let mut pool = POOL.lock();
        let top = if pool.free != 0 {
            let top = pool.free;
            // SAFETY: a free stack is the pool's.
            pool.free = unsafe { (top as *const u64).sub(1).read() };
            top
        } else {
            let bottom = AREA + pool.made * SLOT + frames::SIZE;
            for page in (bottom..bottom + SIZE).step_by(frames::SIZE as usize) {
                if paging::translate(&frames::Direct, kernel_cr3(), page).is_some() {
                    // Left from an attempt that ran out of memory.
                    continue;
                }
                let frame = frames::zeroed()?;
                let flags = Flags::WRITE | Flags::NO_EXECUTE | Flags::GLOBAL;
                paging::map(&mut frames::Direct, kernel_cr3(), page, frame, flags, Page::Small)?;
            }
            pool.made += 1;
            bottom + SIZE
        };
        IN_USE.fetch_add(1, Ordering::Relaxed);
        Some(Stack { top })
    }

    /// The address above it, 16-byte aligned.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// The page below it, which is not mapped.
    pub fn guard(&self) -> Range<u64> {
        let bottom = self.top - SIZE;
        bottom - frames::SIZE..bottom
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut pool = POOL.lock();
        // SAFETY: nobody runs on it any more.
        unsafe { (self.top as *mut u64).sub(1).write(pool.free) };
        pool.free = self.top;
        IN_USE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many are in use, and how many there are.
pub fn count() -> (u64, u64) {
    (IN_USE.load(Ordering::Relaxed), POOL.lock().made)
}

/// Frames that all stacks have, those that are not in use too, with the page tables that only they need (one for 2 MiB, one for
/// 1 GiB of slots). Exact unless the machine ran out of frames within a stack.
pub fn frames() -> u64 {
    let made = POOL.lock().made;
    let slots = made * SLOT;
    made * (SIZE / frames::SIZE) + slots.div_ceil(2 << 20) + slots.div_ceil(1 << 30)
}
