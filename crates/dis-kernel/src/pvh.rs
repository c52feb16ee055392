//! What the boot protocol hands over (Xen's PVH, `start_info`): command line, memory, modules, where ACPI is.

use alloc::string::String;
use core::ops::Range;

/// First word of `start_info`.
const MAGIC: u32 = 0x336e_c578;
/// Type of memory that may be used.
const RAM: u32 = 1;

/// Reads `len` bytes of physical memory into `into`.
pub trait Physical {
    /// Fills `into` from `address` on.
    fn read(&self, address: u64, into: &mut [u8]);
}

/// Most ranges that are kept.
const RANGES: usize = 32;

/// What the kernel takes over. Without allocation, as there is no heap before it is known.
#[derive(Debug, Clone)]
pub struct BootInfo {
    /// Where the command line is, and how long; empty if there is none.
    pub command_line: Range<u64>,
    /// The boot module, empty if there is none.
    pub module: Range<u64>,
    /// Where ACPI's root pointer is; 0 if there is none.
    pub rsdp: u64,
    memory: [Range<u64>; RANGES],
    ranges: usize,
}

/// Why the boot information cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// The first word is not PVH's.
    Magic(u32),
    /// There is no memory map (version 0 of the structure).
    NoMemoryMap,
}

fn word<const N: usize>(memory: &impl Physical, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    memory.read(address, &mut bytes);
    bytes
}

fn u32_at(memory: &impl Physical, address: u64) -> u32 {
    u32::from_le_bytes(word(memory, address))
}

fn u64_at(memory: &impl Physical, address: u64) -> u64 {
    u64::from_le_bytes(word(memory, address))
}

impl BootInfo {
    /// Reads the structure at `at`.
    ///
    /// # Errors
    /// It is not one, or has no memory map.
    pub fn read(memory: &impl Physical, at: u64) -> Result<Self, BootError> {
        let magic = u32_at(memory, at);
        if magic != MAGIC {
            return Err(BootError::Magic(magic));
        }
        if u32_at(memory, at + 4) < 1 {
            return Err(BootError::NoMemoryMap);
        }
        let (modules, module_list) = (u32_at(memory, at + 12), u64_at(memory, at + 16));
        let command_line = u64_at(memory, at + 24);
        let module = if modules > 0 {
            let (start, size) = (u64_at(memory, module_list), u64_at(memory, module_list + 8));
            start..start + size
        } else {
            0..0
        };
        let mut length = 0;
        while command_line != 0 && length < 4096 && word::<1>(memory, command_line + length) != [0] {
            length += 1;
        }
        let mut info = BootInfo {
            command_line: command_line..command_line + length,
            module,
            rsdp: u64_at(memory, at + 32),
            memory: [const { 0..0 }; RANGES],
            ranges: 0,
        };
        let (table, entries) = (u64_at(memory, at + 40), u32_at(memory, at + 48));
        for entry in (0..entries).map(|entry| table + u64::from(entry) * 24) {
            let (start, size) = (u64_at(memory, entry), u64_at(memory, entry + 8));
            if u32_at(memory, entry + 16) == RAM && info.ranges < RANGES {
                info.memory[info.ranges] = start..start + size;
                info.ranges += 1;
            }
        }
        if info.ranges == 0 { Err(BootError::NoMemoryMap) } else { Ok(info) }
    }

    /// All RAM.
    pub fn memory(&self) -> &[Range<u64>] {
        &self.memory[..self.ranges]
    }

    /// The highest address of RAM.
    pub fn memory_end(&self) -> u64 {
        self.memory().iter().map(|range| range.end).max().unwrap_or(0)
    }

    /// Whole pages of RAM from `from` on that the boot module does not occupy.
    pub fn free_memory(&self, from: u64) -> impl Iterator<Item = Range<u64>> {
        let module = self.module.start & !4095..self.module.end.next_multiple_of(4096);
        self.memory()
            .iter()
            .flat_map(move |range| {
                let (start, end) = (range.start.max(from).next_multiple_of(4096), range.end & !4095);
                let before = start..end.min(if module.is_empty() { end } else { module.start.max(start) });
                let after = if module.is_empty() { end..end } else { start.max(module.end)..end };
                [before, after]
            })
            .filter(|range| range.start < range.end)
    }

    /// The command line as text.
    pub fn command_line_text(&self, memory: &impl Physical) -> String {
        let mut bytes = alloc::vec![0; (self.command_line.end - self.command_line.start) as usize];
        memory.read(self.command_line.start, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Image(Vec<u8>);
    impl Physical for Image {
        fn read(&self, address: u64, into: &mut [u8]) {
            into.copy_from_slice(&self.0[address as usize..][..into.len()]);
        }
    }

    /// `start_info` at 64, command line at 256, one module, a memory map at 512.
    fn image(modules: u32) -> Image {
        let mut bytes = std::vec![0; 1024];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(64, &MAGIC.to_le_bytes());
        put(68, &1u32.to_le_bytes());
        put(76, &modules.to_le_bytes());
        put(80, &300u64.to_le_bytes());
        put(88, &256u64.to_le_bytes());
        put(96, &0xf0000u64.to_le_bytes());
        put(104, &512u64.to_le_bytes());
        put(112, &3u32.to_le_bytes());
        put(256, b"test=hello\0");
        put(300, &0x50_0800u64.to_le_bytes());
        put(308, &0x1000u64.to_le_bytes());
        for (entry, (start, size, kind)) in
            [(0u64, 0x9fc00u64, 1u32), (0xf0000, 0x10000, 2), (0x10_0000, 0xf0_0000, 1)].into_iter().enumerate()
        {
            put(512 + entry * 24, &start.to_le_bytes());
            put(520 + entry * 24, &size.to_le_bytes());
            put(528 + entry * 24, &kind.to_le_bytes());
        }
        Image(bytes)
    }

    /// The only range of free memory.
    fn one(info: &BootInfo) -> Range<u64> {
        let ranges: Vec<_> = info.free_memory(0x30_0000).collect();
        assert_eq!(ranges.len(), 1, "{ranges:x?}");
        ranges[0].clone()
    }

    #[test]
    fn what_the_loader_wrote_is_read() {
        let memory = image(1);
        let info = BootInfo::read(&memory, 64).unwrap();
        assert_eq!(info.command_line_text(&memory), "test=hello");
        assert_eq!((info.module.clone(), info.rsdp), (0x50_0800..0x50_1800, 0xf0000));
        assert_eq!(info.memory(), [0..0x9fc00, 0x10_0000..0x100_0000]);
        let free: Vec<_> = info.free_memory(0x30_0000).collect();
        assert_eq!(free, [0x30_0000..0x50_0000, 0x50_2000..0x100_0000], "the module's pages are left out");
        let without = BootInfo::read(&image(0), 64).unwrap();
        assert_eq!(one(&without), 0x30_0000..0x100_0000);
    }

    #[test]
    fn a_module_at_the_edge_of_memory_leaves_one_range() {
        let mut info = BootInfo::read(&image(1), 64).unwrap();
        info.module = 0xff_f000..0x100_0000;
        assert_eq!(one(&info), 0x30_0000..0xff_f000);
        info.module = 0x20_0000..0x20_1000;
        assert_eq!(one(&info), 0x30_0000..0x100_0000);
    }

    #[test]
    fn something_else_is_refused() {
        assert_eq!(BootInfo::read(&Image(std::vec![0; 256]), 0).unwrap_err(), BootError::Magic(0));
    }
}
