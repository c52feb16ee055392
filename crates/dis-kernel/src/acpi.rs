//! Which CPUs there are: ACPI's multiple APIC description table (MADT), sections 5.2.5 and 5.2.12 of the specification.

use alloc::vec::Vec;

use crate::pvh::Physical;

/// Why no list of CPUs could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcpiError {
    /// No root pointer where the loader said.
    NoRootPointer,
    /// A table's bytes do not add up to 0; its signature.
    Checksum([u8; 4]),
    /// There is no MADT.
    NoMadt,
}

fn bytes(memory: &impl Physical, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![0; length];
    memory.read(address, &mut bytes);
    bytes
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes.iter().skip(at).take(size).rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fn table(memory: &impl Physical, address: u64) -> Result<Vec<u8>, AcpiError> {
    let length = number(&bytes(memory, address, 8), 4, 4);
    // No table of interest is longer than a few KiB; a wrong length must not exhaust the heap.
    let table = bytes(memory, address, length.clamp(36, 1 << 20) as usize);
    if table.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) != 0 {
        return Err(AcpiError::Checksum([table[0], table[1], table[2], table[3]]));
    }
    Ok(table)
}

/// The APIC ids of the CPUs that can be used, as the firmware lists them.
///
/// # Errors
/// The tables are missing or damaged.
pub fn cpus(memory: &impl Physical, rsdp: u64) -> Result<Vec<u32>, AcpiError> {
    let root = bytes(memory, rsdp, 36);
    if rsdp == 0 || &root[..8] != b"RSD PTR " {
        return Err(AcpiError::NoRootPointer);
    }
    let extended = root[15] >= 2 && number(&root, 24, 8) != 0;
    let (address, size) = if extended { (number(&root, 24, 8), 8) } else { (number(&root, 16, 4), 4) };
    let list = table(memory, address)?;
    for pointer in list[36..].chunks_exact(size) {
        let address = number(pointer, 0, size);
        if bytes(memory, address, 4) == b"APIC" {
            return Ok(local_apics(&table(memory, address)?));
        }
    }
    Err(AcpiError::NoMadt)
}

/// Entries of type 0 (local APIC) that are enabled.
fn local_apics(madt: &[u8]) -> Vec<u32> {
    let (mut found, mut at) = (Vec::new(), 44);
    while at + 2 <= madt.len() {
        let (kind, length) = (madt[at], usize::from(madt[at + 1]));
        if length < 2 || at + length > madt.len() {
            break;
        }
        if kind == 0 && length >= 8 && number(madt, at + 4, 4) & 1 != 0 {
            found.push(u32::from(madt[at + 3]));
        }
        at += length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Image(Vec<u8>);
    impl Physical for Image {
        fn read(&self, address: u64, into: &mut [u8]) {
            let start = address as usize;
            let have = self.0.get(start..).unwrap_or_default();
            let length = have.len().min(into.len());
            into[..length].copy_from_slice(&have[..length]);
        }
    }

    fn put(image: &mut Vec<u8>, at: usize, value: &[u8]) {
        image.resize(image.len().max(at + value.len()), 0);
        image[at..at + value.len()].copy_from_slice(value);
    }

    fn put_table(image: &mut Vec<u8>, at: usize, signature: &[u8; 4], body: &[u8]) {
        let mut table = std::vec![0u8; 36];
        table[..4].copy_from_slice(signature);
        table[4..8].copy_from_slice(&(36 + body.len() as u32).to_le_bytes());
        table.extend_from_slice(body);
        table[9] = table.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
        put(image, at, &table);
    }

    /// CPUs with the ids 0, 2 (disabled) and 5, and an I/O APIC between them.
    fn image() -> Image {
        let mut image = Vec::new();
        put(&mut image, 16, b"RSD PTR ");
        put(&mut image, 32, &256u32.to_le_bytes());
        put_table(&mut image, 256, b"RSDT", &[512u32.to_le_bytes(), 1024u32.to_le_bytes()].concat());
        put_table(&mut image, 512, b"FACP", &[0; 8]);
        let mut body = std::vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
        body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        body.extend([1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        body.extend([0, 8, 1, 2, 0, 0, 0, 0]);
        body.extend([0, 8, 2, 5, 1, 0, 0, 0]);
        put_table(&mut image, 1024, b"APIC", &body);
        Image(image)
    }

    #[test]
    fn enabled_cpus_are_listed() {
        assert_eq!(cpus(&image(), 16).unwrap(), [0, 5]);
    }

    #[test]
    fn damage_is_noticed() {
        assert_eq!(cpus(&image(), 0), Err(AcpiError::NoRootPointer));
        let mut damaged = image();
        damaged.0[1024 + 47] ^= 1;
        assert_eq!(cpus(&damaged, 16), Err(AcpiError::Checksum(*b"APIC")));
        let mut without = image();
        without.0[1024] = b'X';
        assert_eq!(cpus(&without, 16), Err(AcpiError::NoMadt));
        // An entry of length 0 does not loop for ever.
        assert!(local_apics(&[0; 64]).is_empty());
    }
}
