//! The kernel's memory calls, as little of them as is needed.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

const AT_MINSIGSTKSZ: libc::c_ulong = 51;
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// `n` rounded up to a multiple of `unit`, a power of two. `n` is far below `usize::MAX` in all uses.
pub(crate) fn round_up(n: usize, unit: usize) -> usize {
    (n + unit - 1) & !(unit - 1)
}

/// The page size in bytes.
pub(crate) fn page_size() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    let known = PAGE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).ok().filter(|p| p.is_power_of_two()).unwrap_or(4096);
    PAGE.store(page, Ordering::Relaxed);
    page
}

/// The size of the largest frame the kernel writes for a signal, in bytes.
pub(crate) fn min_signal_stack() -> usize {
    // SAFETY: getauxval has no preconditions; it gives 0 for an entry that the kernel does not supply.
    let frame = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
    frame.max(libc::MINSIGSTKSZ)
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn check(result: libc::c_int) -> Result<(), i32> {
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// A private anonymous mapping, readable and writable, zeroed, without reserved swap. Unmapped on drop.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a `Region` is an address range owned by this value; all access goes through raw pointers whose users
// synchronise on their own.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes (more than 0); the error is the error number.
    pub(crate) fn new(len: usize) -> Result<Self, i32> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(errno());
        }
        NonNull::new(base.cast()).map(|base| Self { base, len }).ok_or(libc::ENOMEM)
    }

    /// The lowest address.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn range(&self, offset: usize, len: usize) -> Result<*mut libc::c_void, i32> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(libc::EINVAL);
        }
        // SAFETY: the offset is within the mapping.
        Ok(unsafe { self.base().add(offset) }.cast())
    }

    /// Keeps the kernel from backing stacks with huge pages, which would make one touched page cost 2 MiB.
    /// A kernel without huge pages refuses, which is as good.
    pub(crate) fn no_huge_pages(&self) {
        // SAFETY: the advice changes no contents.
        let _ = unsafe { libc::madvise(self.base().cast(), self.len, libc::MADV_NOHUGEPAGE) };
    }

    /// Makes a guard that does not split the mapping.
    pub(crate) fn guard_by_madvise(&self, offset: usize, len: usize) -> Result<(), i32> {
        let at = self.range(offset, len)?;
        // SAFETY: in range, and the pages hold nothing: guards are made before a slot is first used.
        check(unsafe { libc::madvise(at, len, MADV_GUARD_INSTALL) })
    }

    /// Makes a guard by taking all access away.
    pub(crate) fn guard_by_mprotect(&self, offset: usize, len: usize) -> Result<(), i32> {
        let at = self.range(offset, len)?;
        // SAFETY: in range, and the pages hold nothing: guards are made before a slot is first used.
        check(unsafe { libc::mprotect(at, len, libc::PROT_NONE) })
    }

    /// Gives the memory of a range back; it reads as zero afterwards. Guards in it stay.
    ///
    /// # Safety
    /// Nothing in the range is in use.
    pub(crate) unsafe fn discard(&self, offset: usize, len: usize) -> Result<(), i32> {
        let at = self.range(offset, len)?;
        // SAFETY: in range; the caller says that the contents are not needed.
        check(unsafe { libc::madvise(at, len, libc::MADV_DONTNEED) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and nothing can refer to it any more.
        let _ = unsafe { libc::munmap(self.base().cast(), self.len) };
    }
}
