//! An address space: the program's text, and two regions whose pages are made when they are touched.

use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use super::Program;
use super::ipc::Handle;
use crate::memory::frames::{self, Direct};
use crate::memory::paging::{self, Flags, Page};
use crate::memory::{at, kernel_cr3};

/// Where the program is; it may be executed, not written.
pub const TEXT: u64 = 0x40_0000;
/// Memory for data, zero at first; written, not executed.
pub const HEAP: Range<u64> = 0x1000_0000..0x5000_0000;
/// The same for the stack.
pub const STACK: Range<u64> = 0x7000_0000_0000..0x7000_0010_0000;

/// What became of a page fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The page is there now.
    Yes,
    /// The address is in no region.
    NotThere,
    /// The task has as many pages as it may have.
    Limit,
    /// The machine has no more frames.
    OutOfMemory,
}

/// A task's address space. Only the CPU that runs the task uses it.
pub struct Space {
    root: u64,
    program: Program,
    limit: u64,
    handles: Vec<Handle>,
    pages: Cell<u64>,
    faults: Cell<u64>,
}

impl Space {
    /// A space with the program in it, and what its task may use by system calls. `None`: out of frames.
    pub fn new(program: Program, limit: u64, handles: Vec<Handle>) -> Option<Space> {
        let root = paging::user_root(&mut Direct, kernel_cr3())?;
        let space = Space { root, program, limit, handles, pages: Cell::new(0), faults: Cell::new(0) };
        for (page, bytes) in program.chunks(4096).enumerate() {
            let frame = frames::zeroed()?;
            // SAFETY: the frame is ours, and a chunk is no longer than it.
            unsafe { at(frame).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            let address = TEXT + page as u64 * 4096;
            if paging::map(&mut Direct, root, address, frame, Flags::USER, Page::Small).is_none() {
                // SAFETY: nobody has it.
                unsafe { frames::FRAMES.lock().give(frame) };
                return None;
            }
        }
        Some(space)
    }

    /// Its page tables.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// What it was made from.
    pub fn program(&self) -> Program {
        self.program
    }

    /// How many pages its task may touch.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What its task may use by system calls.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Page faults since the last call.
    pub fn take_faults(&self) -> u64 {
        self.faults.take()
    }

    /// A page that is not there was touched.
    pub fn serve(&self, address: u64) -> Served {
        self.faults.set(self.faults.get() + 1);
        if !HEAP.contains(&address) && !STACK.contains(&address) {
            return Served::NotThere;
        }
        if self.pages.get() >= self.limit {
            return Served::Limit;
        }
        let Some(frame) = frames::zeroed() else { return Served::OutOfMemory };
        let flags = Flags::USER | Flags::WRITE | Flags::NO_EXECUTE;
        if paging::map(&mut Direct, self.root, address & !4095, frame, flags, Page::Small).is_none() {
            // SAFETY: nobody has it.
            unsafe { frames::FRAMES.lock().give(frame) };
            return Served::OutOfMemory;
        }
        self.pages.set(self.pages.get() + 1);
        Served::Yes
    }

    /// Where the kernel finds the byte at `address`, which ring 3 may read (or write), made if need be.
    fn find(&self, address: u64, write: bool) -> Option<*mut u8> {
        if address >= STACK.end {
            return None;
        }
        if paging::translate(&Direct, self.root, address).is_none() && self.serve(address) != Served::Yes {
            return None;
        }
        let (physical, flags) = paging::translate(&Direct, self.root, address)?;
        let allowed = flags.contains(Flags::USER) && (!write || flags.contains(Flags::WRITE));
        allowed.then(|| at(physical))
    }

    /// Whether the task may write those bytes. Pages that it has not touched yet are made, so they can be written later: nothing
    /// takes a page from a task.
    pub fn may_write(&self, to: u64, length: usize) -> bool {
        pieces(to, length).is_some_and(|mut all| all.all(|(address, _)| self.find(address, true).is_some()))
    }

    /// Copies from the task's memory. `None`: it may not read all of that.
    pub fn copy_in(&self, from: u64, into: &mut [u8]) -> Option<()> {
        let mut done = 0;
        for (address, length) in pieces(from, into.len())? {
            let part = &mut into[done..done + length];
            // SAFETY: bytes of one page of this space, which only this task uses, and `part` is as long.
            unsafe { part.as_mut_ptr().copy_from_nonoverlapping(self.find(address, false)?, length) };
            done += length;
        }
        Some(())
    }

    /// Copies to the task's memory. `None`: it may not write all of that.
    pub fn copy_out(&self, to: u64, from: &[u8]) -> Option<()> {
        let mut done = 0;
        for (address, length) in pieces(to, from.len())? {
            // SAFETY: as above.
            unsafe { self.find(address, true)?.copy_from_nonoverlapping(from[done..].as_ptr(), length) };
            done += length;
        }
        Some(())
    }
}

impl Drop for Space {
    /// Gives back all of its pages and tables. A task's control block is dropped when no CPU has them loaded.
    fn drop(&mut self) {
        paging::free_user(&mut Direct, self.root);
    }
}

/// The parts of a range of addresses that lie in one page each, with their lengths. `None`: it goes beyond the last address.
fn pieces(address: u64, length: usize) -> Option<impl Iterator<Item = (u64, usize)>> {
    let end = address.checked_add(length as u64)?;
    let mut next = address;
    Some(core::iter::from_fn(move || {
        let begin = next;
        next = end.min((begin | 4095).saturating_add(1));
        (begin < end).then_some((begin, (next - begin) as usize))
    }))
}

#[cfg(test)]
mod tests {
    use super::pieces;
    use std::vec::Vec;

    #[test]
    fn a_range_is_cut_at_pages_and_refused_where_addresses_end() {
        let cut = |address, length| pieces(address, length).map(Iterator::collect::<Vec<_>>);
        assert_eq!(cut(0x1ffe, 3).unwrap(), [(0x1ffe, 2), (0x2000, 1)]);
        assert_eq!(cut(0x1000, 0x2000).unwrap(), [(0x1000, 0x1000), (0x2000, 0x1000)]);
        assert_eq!(cut(5, 0).unwrap(), []);
        assert!(cut(u64::MAX - 2, 4).is_none());
        assert_eq!(cut(u64::MAX - 2, 2).unwrap(), [(u64::MAX - 2, 2)]);
    }
}
