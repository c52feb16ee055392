//! The stacks of tasks, and whose they are.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use dis_context::{Stack, StackConfig, StackError, StackPool};

use crate::overflow;
use crate::task::Header;

/// A pool, and which task is on which of its stacks: read by the overflow handler, which knows the pool by its id. Its address must
/// not change once it is [remembered](overflow::remember).
pub(crate) struct Stacks {
    pub(crate) pool: StackPool,
    owners: Box<[AtomicPtr<Header>]>,
}

impl Stacks {
    pub(crate) fn new(size: usize, max_stacks: usize) -> Result<Stacks, StackError> {
        let max_stacks = max_stacks.min(dis_context::MAX_STACKS);
        let pool = StackPool::new(StackConfig { size, max_stacks, ..StackConfig::default() })?;
        let owners = (0..pool.index_limit()).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Ok(Stacks { pool, owners })
    }

    /// `task` is on `stack` now; null: nobody.
    pub(crate) fn own(&self, stack: &Stack, task: *const Header) {
        self.owners[stack.index()].store(task.cast_mut(), Ordering::Release);
    }

    /// Who is on the stack of that index. For the overflow handler.
    pub(crate) fn owner(&self, index: usize) -> *const Header {
        self.owners.get(index).map_or(ptr::null(), |owner| owner.load(Ordering::Acquire).cast_const())
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        overflow::forget(self.pool.id());
    }
}
