//! The pool and the stacks it lends: owners of the state in `shared`.

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::config::StackConfig;
use super::error::StackError;
use super::geometry::Fault;
use super::guard::GuardKind;
use super::shared::{HANDLE, Shared};

/// A pool of equal stacks. `Sync`: share it by reference or in an `Arc`.
///
/// Dropping the pool while stacks are lent is fine: the last of them unmaps the memory.
pub struct StackPool(NonNull<Shared>);

// SAFETY: `Shared` is `Sync` (atomics and owned mappings) and may be freed from any thread.
unsafe impl Send for StackPool {}
// SAFETY: as above.
unsafe impl Sync for StackPool {}

impl StackPool {
    /// Reserves address space for the stacks and finds out which guards work. No memory is used yet.
    ///
    /// With `mlockall(MCL_FUTURE)` in force the kernel would fill the whole reservation at once; use `MCL_ONFAULT`.
    ///
    /// # Errors
    /// A configuration out of range ([`StackError::TooSmall`], [`TooLarge`](StackError::TooLarge),
    /// [`BadCount`](StackError::BadCount)), address space refused ([`Reserve`](StackError::Reserve)), guards that do not
    /// work here ([`GuardUnsupported`](StackError::GuardUnsupported), [`Guard`](StackError::Guard)), or more than 128
    /// pools at a time ([`TooManyPools`](StackError::TooManyPools)).
    pub fn new(config: StackConfig) -> Result<Self, StackError> {
        let shared = Box::new(Shared::new(&config)?);
        Ok(Self(NonNull::from(Box::leak(shared))))
    }

    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: lives as long as the HANDLE bit is set, which only our drop clears.
        unsafe { self.0.as_ref() }
    }

    /// Lends a stack: the one returned last if there is one, then without a system call. Its contents are arbitrary.
    ///
    /// Lock-free; may be called in a signal handler.
    ///
    /// # Errors
    /// [`StackError::Exhausted`] if all are lent, [`StackError::GuardLimit`] or [`StackError::Guard`] if a stack that was
    /// never used before cannot get its guard.
    #[inline]
    pub fn alloc(&self) -> Result<Stack, StackError> {
        let shared = self.shared();
        let lent = shared.users.fetch_add(1, Ordering::Relaxed) & !HANDLE;
        let taken = if lent < shared.max_stacks {
            shared.take()
        } else {
            Err(StackError::Exhausted { max_stacks: shared.max_stacks })
        };
        match taken {
            Ok(index) => Ok(Stack { shared: self.0, index }),
            Err(error) => {
                shared.users.fetch_sub(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// How the guards of this pool are made.
    pub fn guard_kind(&self) -> GuardKind {
        self.shared().kind
    }

    /// How many of the pool's stacks have no guard although they should
    /// (see [`StackConfig::allow_unguarded`]); 0 unless mappings ran out.
    pub fn unguarded(&self) -> usize {
        self.shared().unguarded.load(Ordering::Relaxed)
    }

    /// Which stack of this pool an address belongs to. Async-signal-safe.
    pub fn locate(&self, address: usize) -> Option<Fault> {
        self.shared().geometry.locate(address)
    }

    /// How many stacks are lent. Momentary.
    pub fn in_use(&self) -> usize {
        self.shared().users.load(Ordering::Relaxed) & !HANDLE
    }

    /// The size of each stack, in bytes, as configured and rounded to pages.
    pub fn stack_size(&self) -> usize {
        self.shared().geometry.size
    }

    /// One more than the highest index a stack of this pool can have: `max_stacks` and a few. For tables by index.
    pub fn index_limit(&self) -> usize {
        self.shared().geometry.slots
    }

    /// Tells this pool from others, as in [`Fault::pool`]. Unique among the pools that exist at a time.
    pub fn id(&self) -> usize {
        self.shared().geometry.base
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        if self.shared().users.fetch_and(!HANDLE, Ordering::AcqRel) == HANDLE {
            // SAFETY: no stack is lent and no handle is left, so nobody else refers to it.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackPool")
            .field("stack_size", &self.stack_size())
            .field("in_use", &self.in_use())
            .field("max_stacks", &self.shared().max_stacks)
            .field("guard_kind", &self.guard_kind())
            .finish()
    }
}

/// A stack on loan. Dropping it returns it to its pool.
///
/// Drop it only when nothing runs on it and no context on it will be resumed; what lies on it is not dropped.
pub struct Stack {
    shared: NonNull<Shared>,
    index: usize,
}

// SAFETY: a `Stack` is a claim to an address range; `Shared` is `Sync` and may be freed from any thread.
unsafe impl Send for Stack {}
// SAFETY: as above; shared access reads addresses only.
unsafe impl Sync for Stack {}

impl Stack {
    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: this stack is counted in `users`, so it lives.
        unsafe { self.shared.as_ref() }
    }

    /// The upper end: one past the highest usable byte, a multiple of 64.
    #[inline]
    pub fn top(&self) -> *mut u8 {
        let shared = self.shared();
        // SAFETY: at most the end of the mapping.
        unsafe { shared.region.base().add(shared.geometry.top(self.index)) }
    }

    /// The lowest usable byte; the guard lies below.
    #[inline]
    pub fn bottom(&self) -> *mut u8 {
        let shared = self.shared();
        // SAFETY: within the mapping.
        unsafe { shared.region.base().add(shared.geometry.bottom(self.index)) }
    }

    /// The stack's index in its pool, below [`StackPool::index_limit`]. Stable while it is lent.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Usable bytes from bottom to top: the pool's stack size less the colour (at most 960 bytes).
    #[inline]
    pub fn size(&self) -> usize {
        self.top().addr() - self.bottom().addr()
    }
}

impl Drop for Stack {
    #[inline]
    fn drop(&mut self) {
        let shared = self.shared();
        shared.give_back(self.index);
        if shared.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the pool's handle is gone and this was the last stack, so nobody else refers to it.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        }
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("index", &self.index)
            .field("top", &self.top())
            .field("size", &self.size())
            .finish()
    }
}
