//! What goes where: the heap's share of memory, the kernel's page tables.

use core::ops::Range;

use super::paging::{self, Flags, Page, Tables};
use super::{Image, KERNEL, PHYSICAL};

/// The local APIC's registers, physical.
pub const APIC: u64 = 0xfee0_0000;
const LARGE: u64 = 2 << 20;

/// The heap gets a quarter of `total`, from the end of the largest range (at most half of that).
pub fn heap(ranges: impl Iterator<Item = Range<u64>>, total: u64) -> Range<u64> {
    let largest = ranges.max_by_key(|range| range.end - range.start).unwrap_or(0..0);
    let size = (total / 4).min((largest.end - largest.start) / 2) & !4095;
    largest.end - size..largest.end
}

/// The kernel's page tables. `None`: out of frames.
pub fn kernel_tables(tables: &mut impl Tables, memory_end: u64, image: &Image) -> Option<u64> {
    let root = tables.allocate()?;
    for physical in (0..memory_end).step_by(LARGE as usize) {
        let flags = Flags::WRITE | Flags::NO_EXECUTE;
        paging::map(tables, root, PHYSICAL + physical, physical, flags, Page::Large)?;
    }
    let flags = Flags::WRITE | Flags::NO_EXECUTE | Flags::UNCACHED;
    if memory_end <= APIC {
        paging::map(tables, root, PHYSICAL + APIC, APIC & !(LARGE - 1), flags, Page::Large)?;
    } else {
        paging::replace(tables, root, PHYSICAL + APIC, APIC & !(LARGE - 1), flags)?;
    }
    let parts = [
        (&image.text, Flags::NONE),
        (&image.constants, Flags::NO_EXECUTE),
        (&image.data, Flags::WRITE | Flags::NO_EXECUTE),
    ];
    for (part, flags) in parts {
        for page in part.clone().step_by(4096) {
            paging::map(tables, root, page, page - KERNEL, flags | Flags::GLOBAL, Page::Small)?;
        }
    }
    // User tasks copy the upper half of the root, so nothing may be added to it later.
    paging::reserve(tables, root, super::stacks::AREA)?;
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::super::paging::testing::Memory;
    use super::*;

    #[test]
    fn the_heap_is_a_quarter_at_the_end_of_the_largest_range() {
        let ranges = [0x10_0000..0x20_0000, 0x40_0000..0x440_0000];
        let total = 0x410_0000;
        assert_eq!(heap(ranges.into_iter(), total), 0x33c_0000..0x440_0000);
        assert_eq!(heap([0..0x8000, 0x10000..0x18000].into_iter(), 0x10000), 0x14000..0x18000);
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        let image = Image {
            text: KERNEL + 0x20_0000..KERNEL + 0x22_0000,
            constants: KERNEL + 0x22_0000..KERNEL + 0x22_8000,
            data: KERNEL + 0x22_8000..KERNEL + 0x24_0000,
        };
        let mut memory = Memory::default();
        let root = kernel_tables(&mut memory, 64 << 20, &image).unwrap();
        let flags = |address| paging::translate(&memory, root, address);
        let text = flags(KERNEL + 0x20_1234).unwrap();
        assert_eq!(text.0, 0x20_1234);
        assert!(!text.1.contains(Flags::WRITE) && !text.1.contains(Flags::NO_EXECUTE));
        let constants = flags(KERNEL + 0x22_0000).unwrap().1;
        assert!(!constants.contains(Flags::WRITE) && constants.contains(Flags::NO_EXECUTE));
        let data = flags(KERNEL + 0x22_8000).unwrap().1;
        assert!(data.contains(Flags::WRITE) && data.contains(Flags::NO_EXECUTE));
        let direct = flags(PHYSICAL + 0x20_1234).unwrap();
        assert_eq!(direct.0, 0x20_1234);
        assert!(direct.1.contains(Flags::NO_EXECUTE), "the text's other mapping is not executable");
        assert!(flags(PHYSICAL + APIC + 0x20).unwrap().1.contains(Flags::UNCACHED));
        assert_eq!(flags(0x20_0000), None, "no low memory");
        assert_eq!(flags(KERNEL + 0x24_0000), None);
    }
}
