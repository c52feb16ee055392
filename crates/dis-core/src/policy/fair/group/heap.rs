//! Heaps that share one table: each is a number, the index of its first row.
//!
//! Pairing heaps (Fredman, Sedgewick, Sleator and Tarjan, "The pairing heap: a new form of self-adjusting heap", Algorithmica 1,
//! 1986): insertion in O(1), removal in O(log n) amortised. They need no memory but the links in the rows, so a CPU can have any number of
//! them without room for all tasks in each.

use super::Row;

/// No row.
pub(super) const NIL: u32 = u32::MAX;

/// Where a row is in its heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Its first child.
    child: u32,
    /// Its next sibling.
    next: u32,
    /// Its previous sibling; of a first child, the parent.
    prev: u32,
}

impl Link {
    pub(super) const NONE: Link = Link { child: NIL, next: NIL, prev: NIL };
}

/// Inserts `row`, which is in no heap.
pub(super) fn push(rows: &mut [Row], root: &mut u32, row: u32) {
    rows[row as usize].link = Link::NONE;
    *root = meld(rows, *root, row);
}

/// Takes out `row`, which is in this heap.
pub(super) fn remove(rows: &mut [Row], root: &mut u32, row: u32) {
    let Link { child, next, prev } = core::mem::replace(&mut rows[row as usize].link, Link::NONE);
    let below = pair(rows, child);
    if *root == row {
        *root = below;
        return;
    }
    let before = &mut rows[prev as usize].link;
    if before.child == row {
        before.child = next;
    } else {
        before.next = next;
    }
    if next != NIL {
        rows[next as usize].link.prev = prev;
    }
    *root = meld(rows, *root, below);
}

/// Makes one heap of two; `a` and `b` have no siblings.
fn meld(rows: &mut [Row], a: u32, b: u32) -> u32 {
    if a == NIL || b == NIL {
        return if a == NIL { b } else { a };
    }
    let (first, second) = if rows[b as usize].goes_before(&rows[a as usize]) { (b, a) } else { (a, b) };
    let child = core::mem::replace(&mut rows[first as usize].link.child, second);
    if child != NIL {
        rows[child as usize].link.prev = second;
    }
    rows[second as usize].link.next = child;
    rows[second as usize].link.prev = first;
    first
}

/// Makes one heap of the siblings from `first` on: two and two from the first to the last, then all from the last to the first.
fn pair(rows: &mut [Row], mut first: u32) -> u32 {
    let mut pairs = NIL;
    while first != NIL {
        let second = detach(rows, first);
        let rest = if second == NIL { NIL } else { detach(rows, second) };
        let pair = meld(rows, first, second);
        rows[pair as usize].link.next = pairs;
        pairs = pair;
        first = rest;
    }
    let mut root = NIL;
    while pairs != NIL {
        let next = detach(rows, pairs);
        root = meld(rows, root, pairs);
        pairs = next;
    }
    root
}

/// Takes the siblings of `row` from it. The next one.
fn detach(rows: &mut [Row], row: u32) -> u32 {
    let link = &mut rows[row as usize].link;
    link.prev = NIL;
    core::mem::replace(&mut link.next, NIL)
}

#[cfg(test)]
mod tests {
    use super::super::super::clock::Instant;
    use super::*;
    use alloc::vec::Vec;

    /// Random pushes, pops and removals against a sorted list.
    #[test]
    fn the_first_is_always_the_least() {
        let mut seed = 1u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        let mut rows = Vec::from([Row::NOBODY; 64]);
        let (mut roots, mut lists) = ([NIL; 2], [Vec::new(), Vec::new()]);
        for turn in 0..20_000u32 {
            let (heap, row) = (random(2) as usize, random(64) as u32);
            let list: &mut Vec<(i64, u32, u32)> = &mut lists[heap];
            match random(3) {
                0 | 1 if rows[row as usize].turn == 0 => {
                    let start = random(50) as i64;
                    (rows[row as usize].start, rows[row as usize].turn) = (Instant(start), turn + 1);
                    push(&mut rows, &mut roots[heap], row);
                    list.push((start, turn + 1, row));
                    list.sort();
                }
                2 if !list.is_empty() => {
                    let (_, _, row) = list.remove(random(list.len() as u64) as usize);
                    remove(&mut rows, &mut roots[heap], row);
                    rows[row as usize].turn = 0;
                }
                _ => {}
            }
            assert_eq!(roots[heap], list.first().map_or(NIL, |&(_, _, row)| row));
        }
        assert!(lists.iter().any(|list| !list.is_empty()));
    }
}
