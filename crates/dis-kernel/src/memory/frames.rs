//! Page frames: a list of free ones that runs through the frames themselves, and ranges that were never used.

use core::ops::Range;

use super::at;
use super::paging::Tables;
use crate::lock::Lock;

/// Bytes of a frame.
pub const SIZE: u64 = 4096;
const RANGES: usize = 32;

/// All frames of the machine but the heap's.
pub static FRAMES: Lock<Frames> = Lock::new(Frames { fresh: [const { 0..0 }; RANGES], ranges: 0, free: 0, used: 0 });

/// An allocator of frames: O(1).
pub struct Frames {
    fresh: [Range<u64>; RANGES],
    ranges: usize,
    /// First of the list of freed frames; 0 ends it.
    free: u64,
    used: u64,
}

impl Frames {
    /// Gives it memory that nobody uses.
    pub fn add(&mut self, range: Range<u64>) {
        if self.ranges < RANGES && range.start < range.end {
            self.fresh[self.ranges] = range;
            self.ranges += 1;
        }
    }

    /// A frame with whatever is in it; its physical address.
    pub fn take(&mut self) -> Option<u64> {
        let frame = if self.free != 0 {
            let frame = self.free;
            // SAFETY: a free frame is ours, and its first word is the list's.
            self.free = unsafe { at(frame).cast::<u64>().read() };
            frame
        } else {
            let range = self.fresh[..self.ranges].iter_mut().find(|range| range.start < range.end)?;
            let frame = range.start;
            range.start += SIZE;
            frame
        };
        self.used += 1;
        Some(frame)
    }

    /// Gives a frame back.
    ///
    /// # Safety
    /// It came from [`take`](Self::take), and nobody uses it any more.
    pub unsafe fn give(&mut self, frame: u64) {
        // SAFETY: the frame is ours again (contract).
        unsafe { at(frame).cast::<u64>().write(self.free) };
        self.free = frame;
        self.used -= 1;
    }

    /// How many are in use.
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// A frame of zeroes.
pub fn zeroed() -> Option<u64> {
    let frame = FRAMES.lock().take()?;
    // SAFETY: the frame is ours.
    unsafe { at(frame).write_bytes(0, SIZE as usize) };
    Some(frame)
}

/// Page tables in frames.
pub struct Direct;

impl Tables for Direct {
    fn allocate(&mut self) -> Option<u64> {
        zeroed()
    }

    fn free(&mut self, frame: u64) {
        // SAFETY: whoever frees a table or a page has made sure that no CPU uses it (see `paging::free_user`).
        unsafe { FRAMES.lock().give(frame) };
    }

    fn entry(&self, frame: u64, index: usize) -> u64 {
        // SAFETY: `frame` is a table in a frame of ours.
        unsafe { at(frame).cast::<u64>().add(index).read_volatile() }
    }

    fn set(&mut self, frame: u64, index: usize, entry: u64) {
        // SAFETY: as above.
        unsafe { at(frame).cast::<u64>().add(index).write_volatile(entry) }
    }
}
