//! Why a pool cannot be made or a stack not be had.

use std::fmt;
use std::io;

/// Why a pool or a stack could not be had. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// The stack size cannot hold a signal frame and some work.
    TooSmall {
        /// The size asked for, in bytes.
        size: usize,
        /// The least size on this machine, in bytes.
        min: usize,
    },
    /// The stack size is beyond what the pool supports.
    TooLarge {
        /// The size asked for, in bytes.
        size: usize,
        /// The greatest size, in bytes.
        max: usize,
    },
    /// The number of stacks is 0 or beyond what a pool can hold.
    BadCount {
        /// The number asked for.
        max_stacks: usize,
        /// The greatest number.
        limit: usize,
    },
    /// The kernel does not give the address space.
    Reserve {
        /// How much was asked for, in bytes.
        bytes: usize,
        /// The error number of `mmap`.
        errno: i32,
    },
    /// The kernel has no `MADV_GUARD_INSTALL`, and the configuration insists on it.
    GuardUnsupported,
    /// A guard could not be made, for another reason than those above.
    Guard {
        /// The error number of `madvise` or `mprotect`.
        errno: i32,
    },
    /// The process has no mappings left for `mprotect` guards.
    GuardLimit {
        /// How many guards of this kind the process has.
        guards: usize,
    },
    /// All stacks of the pool are in use.
    Exhausted {
        /// The configured number.
        max_stacks: usize,
    },
    /// The table of pools that the overflow handler searches is full.
    TooManyPools {
        /// How many pools may exist at a time.
        limit: usize,
    },
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { size, min } => write!(
                f,
                "a stack of {size} bytes is too small: a signal frame and its handler need {min} bytes on this machine; \
                 set StackConfig::size to at least that"
            ),
            Self::TooLarge { size, max } => {
                write!(f, "a stack of {size} bytes is too large; set StackConfig::size to at most {max}")
            }
            Self::BadCount { max_stacks, limit } => {
                write!(f, "a pool cannot hold {max_stacks} stacks; set StackConfig::max_stacks from 1 to {limit}")
            }
            Self::Reserve { bytes, errno } => write!(
                f,
                "cannot reserve {bytes} bytes of address space for stacks: {}; lower StackConfig::max_stacks or size, or \
                 raise the address space limit (ulimit -v) or vm.overcommit_memory",
                io::Error::from_raw_os_error(errno)
            ),
            Self::GuardUnsupported => write!(
                f,
                "MADV_GUARD_INSTALL does not work here (it needs Linux 6.13 and memory that is not locked); set \
                 StackConfig::guard to Auto or Mprotect"
            ),
            Self::Guard { errno } => write!(
                f,
                "cannot make a stack guard: {}; free some memory, or set another StackConfig::guard",
                io::Error::from_raw_os_error(errno)
            ),
            Self::GuardLimit { guards } => write!(
                f,
                "no mappings left for another guarded stack ({guards} in this process, two mappings each); raise \
                 vm.max_map_count, use Linux 6.13 or newer, or set StackConfig::allow_unguarded"
            ),
            Self::Exhausted { max_stacks } => {
                write!(
                    f,
                    "all {max_stacks} stacks of the pool are in use; raise StackConfig::max_stacks or end some tasks"
                )
            }
            Self::TooManyPools { limit } => {
                write!(f, "there are {limit} stack pools already; share one pool per stack size instead of making more")
            }
        }
    }
}

impl std::error::Error for StackError {}
