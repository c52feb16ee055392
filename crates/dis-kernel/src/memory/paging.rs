//! Page tables of four levels. The tables' memory is a parameter, so that all of this is tested without a machine.

use core::ops::BitOr;

/// Where tables come from and how they are read and written.
pub trait Tables {
    /// A frame, filled with zeroes; its physical address.
    fn allocate(&mut self) -> Option<u64>;
    /// Gives a frame back.
    fn free(&mut self, frame: u64);
    /// Entry `index` of the table in `frame`.
    fn entry(&self, frame: u64, index: usize) -> u64;
    /// Writes entry `index` of the table in `frame`.
    fn set(&mut self, frame: u64, index: usize, entry: u64);
}

/// What a page allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    /// The kernel may read and execute it.
    pub const NONE: Flags = Flags(0);
    /// It may be written.
    pub const WRITE: Flags = Flags(1 << 1);
    /// Ring 3 may use it.
    pub const USER: Flags = Flags(1 << 2);
    /// Registers of a device.
    pub const UNCACHED: Flags = Flags(1 << 3 | 1 << 4);
    /// The same in all address spaces.
    pub const GLOBAL: Flags = Flags(1 << 8);
    /// Nothing in it is executed.
    pub const NO_EXECUTE: Flags = Flags(1 << 63);

    /// Whether all of `other` is set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// How large a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
}

const PRESENT: u64 = 1;
const HUGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

/// The table of `level` that `address` lies in, made if need be. Upper tables allow everything; the last one decides.
fn table(tables: &mut impl Tables, root: u64, address: u64, level: u32) -> Option<u64> {
    let mut frame = root;
    for level in (level + 1..4).rev() {
        let place = index(address, level);
        let entry = tables.entry(frame, place);
        frame = if entry & PRESENT == 0 {
            let below = tables.allocate()?;
            let user = if address >> 63 == 0 { Flags::USER.0 } else { 0 };
            tables.set(frame, place, below | PRESENT | Flags::WRITE.0 | user);
            below
        } else if entry & HUGE != 0 {
            return None;
        } else {
            entry & ADDRESS
        };
    }
    Some(frame)
}

/// Maps one page. `None`: out of frames, or something is mapped there.
pub fn map(tables: &mut impl Tables, root: u64, address: u64, physical: u64, flags: Flags, page: Page) -> Option<()> {
    let (level, bit) = if page == Page::Large { (1, HUGE) } else { (0, 0) };
    let frame = table(tables, root, address, level)?;
    let place = index(address, level);
    if tables.entry(frame, place) & PRESENT != 0 {
        return None;
    }
    tables.set(frame, place, physical | flags.0 | bit | PRESENT);
    Some(())
}

/// Maps a large page anew. `None` if there is none.
pub fn replace(tables: &mut impl Tables, root: u64, address: u64, physical: u64, flags: Flags) -> Option<()> {
    let frame = table(tables, root, address, 1)?;
    let place = index(address, 1);
    (tables.entry(frame, place) & HUGE != 0).then(|| tables.set(frame, place, physical | flags.0 | HUGE | PRESENT))
}

/// Makes the root's entry for `address`, so that copies of the root share what is mapped below it later.
pub fn reserve(tables: &mut impl Tables, root: u64, address: u64) -> Option<()> {
    table(tables, root, address, 2).map(|_| ())
}

/// Where `address` is, and what its page allows.
pub fn translate(tables: &impl Tables, root: u64, address: u64) -> Option<(u64, Flags)> {
    let mut frame = root;
    for level in (0..4).rev() {
        let entry = tables.entry(frame, index(address, level));
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 || (level == 1 && entry & HUGE != 0) {
            let within = (1u64 << (12 + 9 * level)) - 1;
            return Some((((entry & ADDRESS) & !within) | (address & within), Flags(entry & !ADDRESS)));
        }
        frame = entry & ADDRESS;
    }
    None
}

/// A root that shares the kernel's half with `kernel` and has nothing in the user's.
pub fn user_root(tables: &mut impl Tables, kernel: u64) -> Option<u64> {
    let root = tables.allocate()?;
    for place in 256..512 {
        let entry = tables.entry(kernel, place);
        tables.set(root, place, entry);
    }
    Some(root)
}

/// Gives back the user's half: pages, tables, and the root. Answers how many pages it had.
pub fn free_user(tables: &mut impl Tables, root: u64) -> usize {
    let pages = free_below(tables, root, 3, 256);
    tables.free(root);
    pages
}

fn free_below(tables: &mut impl Tables, frame: u64, level: u32, entries: usize) -> usize {
    let mut pages = 0;
    for place in 0..entries {
        let entry = tables.entry(frame, place);
        if entry & PRESENT == 0 {
            continue;
        }
        pages += if level == 0 { 1 } else { free_below(tables, entry & ADDRESS, level - 1, 512) };
        tables.free(entry & ADDRESS);
    }
    pages
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Tables;
    use std::vec::Vec;

    /// Tables in a vector; frame n is at address n x 4096, from 1 on.
    #[derive(Default)]
    pub struct Memory {
        pub frames: Vec<[u64; 512]>,
        pub freed: Vec<u64>,
    }

    impl Tables for Memory {
        fn allocate(&mut self) -> Option<u64> {
            self.frames.push([0; 512]);
            Some(self.frames.len() as u64 * 4096)
        }
        fn free(&mut self, frame: u64) {
            self.freed.push(frame);
        }
        fn entry(&self, frame: u64, index: usize) -> u64 {
            self.frames[frame as usize / 4096 - 1][index]
        }
        fn set(&mut self, frame: u64, index: usize, entry: u64) {
            self.frames[frame as usize / 4096 - 1][index] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Memory;
    use super::*;

    #[test]
    fn a_page_is_found_where_it_was_mapped_and_nowhere_else() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        map(&mut memory, root, 0x40_0000, 0x7000, Flags::USER | Flags::WRITE, Page::Small).unwrap();
        assert_eq!(translate(&memory, root, 0x40_0123).unwrap().0, 0x7123);
        assert_eq!(translate(&memory, root, 0x40_1000), None);
        assert_eq!(map(&mut memory, root, 0x40_0000, 0x8000, Flags::NONE, Page::Small), None, "mapped already");
        map(&mut memory, root, 0x80_0000, 0x20_0000, Flags::NONE, Page::Large).unwrap();
        assert_eq!(translate(&memory, root, 0x81_2345).unwrap().0, 0x21_2345);
        assert_eq!(map(&mut memory, root, 0x81_0000, 0x8000, Flags::NONE, Page::Small), None, "inside a large page");
    }

    #[test]
    fn a_user_space_shares_the_kernels_half_and_gives_back_all_of_its_own() {
        let mut memory = Memory::default();
        let kernel = memory.allocate().unwrap();
        reserve(&mut memory, kernel, super::super::stacks::AREA).unwrap();
        let root = user_root(&mut memory, kernel).unwrap();
        map(&mut memory, kernel, super::super::stacks::AREA, 0x9000, Flags::WRITE, Page::Small).unwrap();
        assert!(translate(&memory, root, super::super::stacks::AREA).is_some(), "mapped after the copy was made");
        let before = memory.frames.len();
        let page = memory.allocate().unwrap();
        map(&mut memory, root, 0x40_0000, page, Flags::USER, Page::Small).unwrap();
        let own = memory.frames.len() - before;
        assert_eq!(free_user(&mut memory, root), 1);
        assert_eq!(memory.freed.len(), own + 1, "the page, three tables, the root");
        memory.freed.sort_unstable();
        memory.freed.dedup();
        assert_eq!(memory.freed.len(), own + 1, "each once");
    }
}
