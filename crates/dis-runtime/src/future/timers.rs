//! The timers of a lane, or of one call of `block_on`: which wakers are to be woken when.
//!
//! A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) whose nodes lie in the futures that wait, so nothing is allocated:
//! insertion is O(1), removal O(log n) amortised; a single removal may take O(n) after n insertions in a row. The poller
//! that serves the lane sleeps in the core until the first of them is due, so the core knows with which urgency that is waited for.

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::task::Waker;

use dis_core::api::Timestamp;

use crate::future::poller::Poller;
use crate::gate::inside;
use crate::lock::Locked;
use crate::task::quietly;

/// How many wakers are woken under one lock.
const STEP: usize = 32;

/// See the module.
pub(crate) struct Timers {
    heap: Locked<Heap>,
    /// When the first is due, ns; `u64::MAX`: there is none.
    first: AtomicU64,
    /// A poller of the lane that they belong to, if they do.
    pub(crate) poller: AtomicPtr<Poller>,
}

/// A node; pinned while it is in a heap, and used under its lock.
pub(crate) struct Node(UnsafeCell<Entry>, PhantomPinned);

struct Entry {
    at: u64,
    waker: Option<Waker>,
    within: bool,
    child: *const Node,
    sibling: *const Node,
    /// The sibling before it, or the parent if it is the first child.
    before: *const Node,
}

// SAFETY: used under the heap's lock, or by the owner while it is in no heap.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new() -> Node {
        Node(
            UnsafeCell::new(Entry {
                at: 0,
                waker: None,
                within: false,
                child: ptr::null(),
                sibling: ptr::null(),
                before: ptr::null(),
            }),
            PhantomPinned,
        )
    }
}

struct Heap {
    root: *const Node,
}

// SAFETY: nodes are taken out before they are dropped.
unsafe impl Send for Heap {}

/// # Safety
/// The heap that the node is in is locked, and no other reference to the entry is alive.
unsafe fn entry<'a>(node: *const Node) -> &'a mut Entry {
    // SAFETY: the caller's promise.
    unsafe { &mut *(*node).0.get() }
}

impl Heap {
    /// Makes one tree of two.
    ///
    /// # Safety
    /// Both are roots, or null, of trees under this heap's lock.
    unsafe fn merge(a: *const Node, b: *const Node) -> *const Node {
        if a.is_null() || b.is_null() {
            return if a.is_null() { b } else { a };
        }
        // SAFETY: the caller's promise; they are different nodes.
        unsafe {
            let (top, under) = if entry(b).at < entry(a).at { (b, a) } else { (a, b) };
            let first = entry(top).child;
            entry(under).sibling = first;
            entry(under).before = top;
            if !first.is_null() {
                entry(first).before = under;
            }
            entry(top).child = under;
            top
        }
    }

    /// Makes one tree of the children of a node, in two passes.
    ///
    /// # Safety
    /// As for `merge`.
    unsafe fn merge_children(node: *const Node) -> *const Node {
        // SAFETY: the caller's promise.
        unsafe {
            let mut next = std::mem::replace(&mut entry(node).child, ptr::null());
            let mut pairs: *const Node = ptr::null();
            while !next.is_null() {
                let a = next;
                let b = std::mem::replace(&mut entry(a).sibling, ptr::null());
                next = if b.is_null() { b } else { std::mem::replace(&mut entry(b).sibling, ptr::null()) };
                let pair = Heap::merge(a, b);
                entry(pair).sibling = pairs;
                pairs = pair;
            }
            let mut root: *const Node = ptr::null();
            while !pairs.is_null() {
                let pair = pairs;
                pairs = std::mem::replace(&mut entry(pair).sibling, ptr::null());
                root = Heap::merge(root, pair);
            }
            if !root.is_null() {
                entry(root).before = ptr::null();
            }
            root
        }
    }

    fn insert(&mut self, node: *const Node) {
        // SAFETY: under the lock; the node was in no heap.
        self.root = unsafe { Heap::merge(self.root, node) };
    }

    fn remove(&mut self, node: *const Node) {
        // SAFETY: under the lock; the node is in this heap.
        unsafe {
            let rest = Heap::merge_children(node);
            if ptr::eq(node, self.root) {
                self.root = rest;
            } else {
                let (before, sibling) = (entry(node).before, entry(node).sibling);
                match ptr::eq(entry(before).child, node) {
                    true => entry(before).child = sibling,
                    false => entry(before).sibling = sibling,
                }
                if !sibling.is_null() {
                    entry(sibling).before = before;
                }
                self.root = Heap::merge(self.root, rest);
            }
            let entry = entry(node);
            (entry.sibling, entry.before, entry.within) = (ptr::null(), ptr::null(), false);
        }
    }

    fn first(&self) -> u64 {
        // SAFETY: under the lock.
        if self.root.is_null() { u64::MAX } else { unsafe { entry(self.root).at } }
    }
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            heap: Locked::new(Heap { root: ptr::null() }),
            first: AtomicU64::new(u64::MAX),
            poller: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[inline]
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.first.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let first = self.first.load(Ordering::SeqCst);
        (first != u64::MAX).then(|| Timestamp::from_nanos(first))
    }

    /// As [`fire`](Self::fire), if there is anything to be done.
    pub(crate) fn fire_due(&self, now: Timestamp) {
        if self.is_due(now) {
            self.fire(now);
        }
    }

    /// Wakes those that are due. Outside the runtime: wakers may be anybody's. One that panics keeps nobody from being woken.
    pub(crate) fn fire(&self, now: Timestamp) {
        loop {
            let mut due = [const { None }; STEP];
            let count = inside(|| {
                let mut heap = self.heap.lock();
                let mut count = 0;
                while count < STEP && heap.first() <= now.as_nanos() {
                    let node = heap.root;
                    heap.remove(node);
                    // SAFETY: under the lock.
                    due[count] = unsafe { entry(node).waker.take() };
                    count += 1;
                }
                self.first.store(heap.first(), Ordering::SeqCst);
                count
            });
            due.into_iter().flatten().for_each(|waker| quietly(|| waker.wake()));
            if count < STEP {
                return;
            }
        }
    }

    /// Enters a node, or changes its waker. Outside the runtime.
    ///
    /// # Safety
    /// The node is in no other heap, stays where it is, and is [removed](Self::remove) before it is dropped.
    pub(crate) unsafe fn set(&self, node: &Node, at: Timestamp, waker: &Waker) {
        let mut waker = Some(waker.clone());
        let sooner = inside(|| {
            let mut heap = self.heap.lock();
            // SAFETY: under the lock.
            let within = unsafe {
                let entry = entry(node);
                std::mem::swap(&mut entry.waker, &mut waker);
                if !entry.within {
                    entry.at = at.as_nanos();
                }
                std::mem::replace(&mut entry.within, true)
            };
            if within {
                return false;
            }
            let before = heap.first();
            heap.insert(node);
            self.first.store(heap.first(), Ordering::SeqCst);
            at.as_nanos() < before
        });
        drop(waker);
        // SAFETY: pollers live as long as the runtime, which the caller is in.
        if sooner && let Some(poller) = unsafe { self.poller.load(Ordering::Relaxed).as_ref() } {
            poller.hear_of_timer();
        }
    }

    /// Takes a node out if it is in.
    pub(crate) fn remove(&self, node: &Node) {
        let waker = inside(|| {
            let mut heap = self.heap.lock();
            // SAFETY: under the lock.
            if unsafe { entry(node).within } {
                heap.remove(node);
                self.first.store(heap.first(), Ordering::SeqCst);
            }
            // SAFETY: as above.
            unsafe { entry(node).waker.take() }
        });
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_out_in_order_whatever_is_removed() {
        let mut seed = 1u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..50 {
            let nodes: Vec<Node> = (0..200).map(|_| Node::new()).collect();
            let mut heap = Heap { root: ptr::null() };
            let mut times = Vec::new();
            for node in &nodes {
                let at = random(1000);
                // SAFETY: alone here.
                unsafe { entry(node).at = at };
                heap.insert(node);
            }
            for node in &nodes {
                if random(3) == 0 {
                    heap.remove(node);
                } else {
                    // SAFETY: alone here.
                    times.push(unsafe { entry(node).at });
                }
            }
            times.sort_unstable();
            for time in times {
                assert_eq!(heap.first(), time);
                let root = heap.root;
                heap.remove(root);
            }
            assert!(heap.root.is_null());
        }
    }
}
