//! Making guards, and the budget of those that cost mappings.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::GuardPolicy;
use super::error::StackError;
use super::map::Region;

/// How the guards of a pool are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardKind {
    /// `MADV_GUARD_INSTALL`: no mapping per stack, about 0.7 µs at the first use of a stack.
    Madvise,
    /// `mprotect`: two mappings per stack, so about 30,000 stacks in a process.
    Mprotect,
    /// None.
    None,
}

/// How many `mprotect` guards the process has.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// How many of them it may have: two mappings each, and a twelfth of the mappings left for everything else.
fn limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        let maps: usize = text.trim().parse().unwrap_or(65_530);
        (maps - maps / 12) / 2
    })
}

/// Finds out which kind works, by making the guard at `offset`.
pub(super) fn choose(policy: GuardPolicy, region: &Region, offset: usize, len: usize) -> Result<GuardKind, StackError> {
    limit(); // Reads a file the first time, which `make` must not do: it may run in a signal handler.
    match policy {
        GuardPolicy::Mprotect => Ok(GuardKind::Mprotect),
        GuardPolicy::None => Ok(GuardKind::None),
        GuardPolicy::Auto | GuardPolicy::Madvise => match region.guard_by_madvise(offset, len) {
            Ok(()) => Ok(GuardKind::Madvise),
            Err(libc::EINVAL) if policy == GuardPolicy::Auto => Ok(GuardKind::Mprotect),
            Err(libc::EINVAL) => Err(StackError::GuardUnsupported),
            Err(errno) => Err(StackError::Guard { errno }),
        },
    }
}

/// Makes one guard.
pub(super) fn make(kind: GuardKind, region: &Region, offset: usize, len: usize) -> Result<(), StackError> {
    match kind {
        GuardKind::None => Ok(()),
        GuardKind::Madvise => region.guard_by_madvise(offset, len).map_err(|errno| StackError::Guard { errno }),
        GuardKind::Mprotect => {
            let guards = GUARDS.fetch_add(1, Ordering::Relaxed);
            let made = if guards < limit() { region.guard_by_mprotect(offset, len) } else { Err(libc::ENOMEM) };
            made.map_err(|errno| {
                GUARDS.fetch_sub(1, Ordering::Relaxed);
                if errno == libc::ENOMEM { StackError::GuardLimit { guards } } else { StackError::Guard { errno } }
            })
        }
    }
}

/// Tells that `count` `mprotect` guards went with their pool.
pub(super) fn released(count: usize) {
    GUARDS.fetch_sub(count, Ordering::Relaxed);
}
