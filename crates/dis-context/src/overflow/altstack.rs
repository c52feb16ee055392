//! The stack on which the overflow handler runs.

use std::marker::PhantomData;
use std::mem;
use std::ptr;

use super::OverflowError;
use crate::stack::map::{self, Region};

/// Room for the handler and its callback besides the kernel's frame, in bytes.
const ROOM: usize = 64 * 1024;

/// An alternate signal stack for the current thread, with a guard page, in force until it is dropped.
///
/// 64 KiB plus `AT_MINSIGSTKSZ`. Not `Send`: it belongs to the kernel thread that installed it. Dropping it puts back the
/// one that was in force before; drop it in the reverse order of installation.
#[derive(Debug)]
pub struct AltStack {
    /// `None` only while dropping.
    region: Option<Region>,
    previous: libc::stack_t,
    _not_send: PhantomData<*mut ()>,
}

impl AltStack {
    /// Makes an alternate stack and puts it in force for the current thread.
    ///
    /// # Errors
    /// [`OverflowError::System`] if there is no memory, or if the thread is running on an alternate stack now.
    pub fn install() -> Result<Self, OverflowError> {
        let system = |call| move |errno| OverflowError::System { call, errno };
        let page = map::page_size();
        let size = map::round_up(ROOM + map::min_signal_stack(), page);
        let region = Region::new(page + size).map_err(system("mmap"))?;
        region.guard_by_mprotect(0, page).map_err(system("mprotect"))?;
        // SAFETY: one page into a mapping of more than that.
        let bottom = unsafe { region.base().add(page) };
        let stack = libc::stack_t { ss_sp: bottom.cast(), ss_flags: 0, ss_size: size };
        // SAFETY: an all-zero stack_t is valid: a plain struct of pointer and integers.
        let mut previous: libc::stack_t = unsafe { mem::zeroed() };
        // SAFETY: both point to valid structs; the memory stays mapped until `drop` has put it out of force.
        if unsafe { libc::sigaltstack(&stack, &mut previous) } != 0 {
            return Err(OverflowError::last("sigaltstack"));
        }
        Ok(Self { region: Some(region), previous, _not_send: PhantomData })
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let Some(region) = self.region.take() else { return };
        // SAFETY: as above.
        let mut current: libc::stack_t = unsafe { mem::zeroed() };
        // SAFETY: a null new stack only asks.
        let asked = unsafe { libc::sigaltstack(ptr::null(), &mut current) } == 0;
        let own = region.base().addr()..region.base().addr() + region.len();
        if asked && !own.contains(&current.ss_sp.addr()) {
            return; // Somebody has put another one in force; ours is not in use.
        }
        // SAFETY: `previous` came from the kernel; whoever made it keeps it mapped (standard library: for the thread's
        // life).
        let restored = asked && unsafe { libc::sigaltstack(&self.previous, ptr::null_mut()) } == 0;
        if !restored {
            mem::forget(region); // We are running on it, or it is still in force: better leaked than unmapped.
        }
    }
}
