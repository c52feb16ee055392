//! What a pool is asked for, and the checks on it.

use super::error::StackError;
use super::map;

/// The most stacks one pool can hold: 16,776,703. (Free-list heads keep an index in 24 bits.)
pub const MAX_STACKS: usize = (1 << 24) - 1 - super::shared::SPARE;

/// The largest stack: 1 GiB.
pub(super) const MAX_SIZE: usize = 1 << 30;

/// What a task needs besides a signal frame: a preempting handler, a panic with its message, a callback on overflow.
const HEADROOM: usize = 16 * 1024;

/// How a pool is laid out. Start from `StackConfig::default()` and change what you need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackConfig {
    /// Bytes per stack, rounded up to whole pages; from [`min_stack_size`] to 1 GiB. Default 64 KiB.
    ///
    /// The colour of a stack (at most 960 bytes) is taken from these; its guard comes on top.
    pub size: usize,
    /// How many stacks may be in use at a time, 1 to [`MAX_STACKS`]. Default 131,072. Costs address space (`size` plus
    /// a guard each), not memory.
    pub max_stacks: usize,
    /// How many free stacks keep their memory. Default 1024. The rest give it back to the kernel, 64 at a time.
    pub cache: usize,
    /// How guards are made. Default [`GuardPolicy::Auto`].
    pub guard: GuardPolicy,
    /// Whether [`StackPool::alloc`](super::StackPool::alloc) may hand out stacks **without a guard** when the process has
    /// used up its mappings (only with `mprotect` guards, beyond about 30,000 stacks). Default false: it fails with
    /// [`StackError::GuardLimit`] instead. An overflow of such a stack silently overwrites its neighbour.
    pub allow_unguarded: bool,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self { size: 64 * 1024, max_stacks: 131_072, cache: 1024, guard: GuardPolicy::Auto, allow_unguarded: false }
    }
}

/// Which kind of guard a pool is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// `MADV_GUARD_INSTALL` if the kernel has it, else `mprotect`.
    #[default]
    Auto,
    /// `MADV_GUARD_INSTALL` (Linux 6.13 or newer), else an error.
    Madvise,
    /// `mprotect`, as on older kernels: two mappings per stack.
    Mprotect,
    /// No guards: an overflow silently overwrites the neighbouring stack.
    None,
}

/// The smallest stack this machine allows, in bytes: the kernel's largest signal frame (`AT_MINSIGSTKSZ`, about 3.4 KiB
/// with AVX-512, 11 KiB with AMX) plus 16 KiB, in whole pages.
pub fn min_stack_size() -> usize {
    map::round_up(map::min_signal_stack() + HEADROOM, map::page_size())
}

impl StackConfig {
    /// The page-rounded size, or what is wrong with this configuration.
    pub(super) fn checked_size(&self) -> Result<usize, StackError> {
        let min = min_stack_size();
        if self.size < min {
            return Err(StackError::TooSmall { size: self.size, min });
        }
        if self.size > MAX_SIZE {
            return Err(StackError::TooLarge { size: self.size, max: MAX_SIZE });
        }
        if self.max_stacks == 0 || self.max_stacks > MAX_STACKS {
            return Err(StackError::BadCount { max_stacks: self.max_stacks, limit: MAX_STACKS });
        }
        Ok(map::round_up(self.size, map::page_size()))
    }
}
