//! A loaded library, and what it exports.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::mem;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::watch::{Call, PATIENCE};
use super::{LoadError, elf, escape};
use crate::abi::{Descriptor, MAGIC, Memory, SYMBOL, VERSION};
use crate::export::LIMIT;

/// A library whose descriptor is of this ABI. Unloaded when it is dropped.
pub(super) struct Library {
    descriptor: *const Descriptor,
    faults: AtomicU64,
    /// In which [`Call`] one of its policies had to be stopped; 0: in none.
    stopped: AtomicU8,
    /// Keeps the rest valid.
    _handle: libloading::Library,
}

// SAFETY: the descriptor does not change.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Library {
    pub fn open(path: &Path) -> Result<Library, LoadError> {
        let io = |error| LoadError::Io { path: path.into(), error };
        let bytes = fs::read(path).map_err(io)?;
        if let Some(what) = elf::wrong(&bytes) {
            return Err(LoadError::NotALibrary { path: path.into(), what });
        }
        let copy = Copy::of(&bytes).map_err(io)?;
        // SAFETY: its constructors run. Whoever names a file as a module trusts its code.
        let handle = unsafe { libloading::Library::new(&copy.0) };
        let loader = |error: libloading::Error| {
            // The person knows the file by another name than the loader.
            let why = error.to_string().replace(&*copy.0.to_string_lossy(), &path.to_string_lossy());
            LoadError::Loader { path: path.into(), why }
        };
        let handle = handle.map_err(loader)?;
        // SAFETY: only the address is taken for now.
        let start = unsafe {
            let symbol = handle.get::<*const u8>(SYMBOL.as_bytes());
            symbol.ok().and_then(|symbol| symbol.try_as_raw_ptr())
        };
        let Some(start) = start.filter(|start| !start.is_null()) else {
            return Err(LoadError::NoSymbol { path: path.into() });
        };
        let descriptor = start.cast::<Descriptor>().cast_const();
        // SAFETY: a symbol has at least the bytes of the magic number before what comes next in the library, and after
        // that number the fields are those that all versions have.
        unsafe {
            if start.cast::<[u8; 8]>().read_unaligned() != MAGIC || !descriptor.is_aligned() {
                return Err(LoadError::NoDescriptor { path: path.into() });
            }
            let found = (&raw const (*descriptor).version).read();
            if found != VERSION {
                let toolkit = (&raw const (*descriptor).toolkit).read().to_text();
                return Err(LoadError::Version { path: path.into(), found, toolkit });
            }
            if (&raw const (*descriptor).size).read() as usize != size_of::<Descriptor>() {
                return Err(LoadError::NoDescriptor { path: path.into() });
            }
        }
        Ok(Library { descriptor, faults: AtomicU64::new(0), stopped: AtomicU8::new(0), _handle: handle })
    }

    pub fn descriptor(&self) -> &Descriptor {
        // SAFETY: checked by `open`, and the library is loaded as long as `self`.
        unsafe { &*self.descriptor }
    }

    /// A policy panicked. Allocates nothing.
    pub fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// One of its policies was stopped in a call: nothing of it may be called any more, and it stays loaded for good. Allocates
    /// nothing.
    #[cold]
    pub fn stop(library: &Arc<Library>, call: Call) {
        if library.stopped.swap(call as u8, Ordering::Relaxed) == 0 {
            mem::forget(Arc::clone(library));
        }
    }

    #[inline(always)]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) != 0
    }

    /// Where its code is.
    pub fn code(&self) -> Range<usize> {
        escape::code_around(self.descriptor as usize)
    }

    /// The message of the first panic, or why one of its policies was stopped.
    pub fn fault(&self) -> String {
        if let Some(call) = Call::from_number(self.stopped.load(Ordering::Relaxed)) {
            let why = match self.memory().refused {
                0 => format!("had not come back after {} s", PATIENCE.as_secs()),
                _ => format!("wanted more than the {} MiB of memory that it may have", LIMIT >> 20),
            };
            return format!("was stopped in {}: it {why}", call.name());
        }
        let mut text = [0; 512];
        // SAFETY: so much room.
        let len = unsafe { (self.descriptor().module.fault)(text.as_mut_ptr(), text.len()) };
        String::from_utf8_lossy(&text[..len.min(text.len())]).into_owned()
    }

    pub fn memory(&self) -> Memory {
        // SAFETY: a function of this ABI.
        unsafe { (self.descriptor().module.memory)() }
    }
}

/// A copy of a file under a name of its own: the loader takes two files of one name for the same. It is gone from the
/// directory after use; what is loaded stays.
struct Copy(PathBuf);

impl Copy {
    fn of(bytes: &[u8]) -> io::Result<Copy> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("dis-module-{}-{number}.so", std::process::id());
            let path = std::env::temp_dir().join(name);
            // Never through a link of somebody else's, and for nobody else to write.
            match fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
                Ok(mut file) => {
                    let copy = Copy(path);
                    file.write_all(bytes)?;
                    return Ok(copy);
                }
            }
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // It is a copy that nobody looks for.
        let _ = fs::remove_file(&self.0);
    }
}
