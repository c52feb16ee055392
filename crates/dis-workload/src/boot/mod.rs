//! How a workload gets into a kernel that runs without an operating system, and its results out of it.
//!
//! In: [`encode`] makes the binary module that a boot loader passes to the kernel, which [`decode`]s it. Out: the kernel
//! writes [`Message`]s to its console, one a line, each behind the byte [`MARK`]; all other lines are for people. The kernel
//! sends what it measured as it is, and percentiles are computed by who reads the console.

mod message;
mod trace;

use alloc::vec::Vec;
use core::fmt;

pub use message::{MARK, Message, Start};
pub use trace::{Event, What};

use crate::model::Workload;

/// What every module begins with.
const MAGIC: [u8; 4] = *b"DISW";
/// Version of the encoding. It changes with the model: both sides come from one checkout, and this finds out if not.
pub const VERSION: u16 = 2;
/// Magic, version, length of the rest.
const HEADER: usize = 10;

/// Why a module is not a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// It does not begin as a workload does.
    NotAWorkload,
    /// It is of another version of this encoding.
    Version(u16),
    /// It ends too early, or holds more than it says.
    Length {
        /// Bytes that there should be, with the header.
        wanted: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// Its content makes no sense.
    Content,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::NotAWorkload => {
                f.write_str("the boot module is no workload of DIS; `dis boot FILE` makes one and passes it")
            }
            DecodeError::Version(found) => write!(
                f,
                "the boot module has version {found}, this kernel reads {VERSION}: build both from one checkout"
            ),
            DecodeError::Length { wanted, found } => {
                write!(f, "the boot module should have {wanted} bytes and has {found}: it was cut, or padded")
            }
            DecodeError::Content => f.write_str("the content of the boot module is damaged"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The workload as a boot module: 10 bytes of header (magic `DISW`, version and length, little-endian), then the model in
/// postcard's encoding. O(size).
///
/// # Errors
/// The workload is longer than 4 GiB.
pub fn encode(workload: &Workload) -> Result<Vec<u8>, DecodeError> {
    let body = postcard::to_allocvec(workload).map_err(|_| DecodeError::Content)?;
    let length = u32::try_from(body.len()).map_err(|_| DecodeError::Content)?;
    let mut module = Vec::with_capacity(HEADER + body.len());
    module.extend(MAGIC);
    module.extend(VERSION.to_le_bytes());
    module.extend(length.to_le_bytes());
    module.extend(body);
    Ok(module)
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// It is something else, of another version, or damaged.
pub fn decode(module: &[u8]) -> Result<Workload, DecodeError> {
    let (header, body) = module.split_at_checked(HEADER).ok_or(DecodeError::NotAWorkload)?;
    let [m0, m1, m2, m3, v0, v1, l0, l1, l2, l3] = *header else { return Err(DecodeError::NotAWorkload) };
    if [m0, m1, m2, m3] != MAGIC {
        return Err(DecodeError::NotAWorkload);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if body.len() != length {
        return Err(DecodeError::Length { wanted: HEADER.saturating_add(length), found: module.len() });
    }
    match postcard::take_from_bytes(body) {
        Ok((workload, [])) => Ok(workload),
        _ => Err(DecodeError::Content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_of_this_version_is_told_apart() {
        let module = encode(&Workload::default()).unwrap();
        assert_eq!(decode(&module), Ok(Workload::default()));
        assert_eq!(decode(b""), Err(DecodeError::NotAWorkload));
        assert_eq!(decode(b"\x7fELF______"), Err(DecodeError::NotAWorkload));
        let found = module.len();
        assert_eq!(decode(&module[..found - 1]), Err(DecodeError::Length { wanted: found, found: found - 1 }));
        let other = [&module[..4], &[9, 0], &module[6..]].concat();
        assert_eq!(decode(&other), Err(DecodeError::Version(9)));
        let long = [&module[..6], &(found as u32 - 9).to_le_bytes(), &module[10..], &[0]].concat();
        assert_eq!(decode(&long), Err(DecodeError::Content), "a byte too many");
    }
}
