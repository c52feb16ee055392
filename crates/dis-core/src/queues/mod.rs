//! Queues of ready and sleeping tasks.
//!
//! All of them are *intrusive by index*: an item says which row of a side table is its own
//! ([`QueueItem::index`]), and the row says where the item stands. So an item is found, removed and moved without a
//! search, a queue never allocates once its side table has been [reserved](IndexedHeap::reserve), and an item is in a
//! queue at most once.
//!
//! | queue | order | push | peek, pop | remove, reprioritise |
//! |---|---|---|---|---|
//! | [`FifoQueue`] | arrival | O(1) | O(1) | O(1) |
//! | [`PriorityQueue`] | 256 levels, arrival within a level | O(1) | O(1) | O(1) |
//! | [`DeadlineQueue`] | (deadline, item) | O(log n) | O(1), O(log n) | O(log n) |
//! | [`SleepQueue`] | (wake-up time, item) | O(log n) | O(1), O(log n) | O(log n) |
//!
//! The last two are an [`IndexedHeap`]. The orders are total, so the same calls give the same answers.
//! [`SchedulerQueues`] puts them together to a plain strict-class scheduler for kernels that want no policies.

mod class;
mod deadline;
mod entry;
mod fifo;
mod heap;
mod implicit;
mod links;
mod priority;
mod sleep;
#[cfg(test)]
mod tests;

pub use class::SchedulerQueues;
pub use deadline::DeadlineQueue;
pub use entry::HeapKey;
pub use fifo::FifoQueue;
pub use heap::IndexedHeap;
pub use priority::{LEVELS, PriorityQueue};
pub use sleep::SleepQueue;

use crate::api::TaskId;
use crate::policy::TaskKey;

/// Something that can stand in a queue: a small value with an index of its own.
///
/// Two items with the same index may not be in one queue at the same time. Items whose indices are used again
/// ([`TaskId`]: slot and generation) compare unequal to their predecessors, so a stale item is found nowhere.
pub trait QueueItem: Copy + Eq {
    /// Stands in the rows of side tables that no item uses; never queued.
    const NONE: Self;

    /// The item's row. Small and dense, as tables have the length of the highest index.
    fn index(self) -> usize;

    /// Says who goes first among equals where keys are equal, lower first; different for different items.
    fn rank(self) -> u64;
}

impl QueueItem for TaskKey {
    const NONE: Self = TaskKey(u32::MAX);

    fn index(self) -> usize {
        self.0 as usize
    }

    fn rank(self) -> u64 {
        self.0.into()
    }
}

impl QueueItem for TaskId {
    const NONE: Self = TaskId::INVALID;

    fn index(self) -> usize {
        self.slot() as usize
    }

    fn rank(self) -> u64 {
        self.0
    }
}
