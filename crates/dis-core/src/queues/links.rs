//! Doubly-linked lists that share one table of links.

use alloc::vec::Vec;

use super::QueueItem;

/// End of a list.
const NIL: u32 = u32::MAX;

/// The links of all items, by item index. An item is in at most one list of the table.
#[derive(Debug, Clone)]
pub(super) struct Links<T>(Vec<Link<T>>);

#[derive(Debug, Clone, Copy)]
struct Link<T> {
    /// The item that is linked here; [`QueueItem::NONE`] if none is.
    item: T,
    prev: u32,
    next: u32,
    /// Whatever the queue notes with the item.
    tag: u8,
}

/// The two ends of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(super) const EMPTY: List = List { head: NIL, tail: NIL };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

impl<T> Default for Links<T> {
    fn default() -> Self {
        Links(Vec::new())
    }
}

impl<T: QueueItem> Links<T> {
    const FREE: Link<T> = Link { item: T::NONE, prev: NIL, next: NIL, tag: 0 };

    pub(super) fn reserve(&mut self, indices: usize) {
        self.0.reserve(indices.saturating_sub(self.0.len()));
    }

    /// Makes a row for `index`, if there is none yet, and answers whichever item is linked there.
    #[inline(always)]
    pub(super) fn cover(&mut self, index: usize) -> Option<T> {
        match self.0.get(index) {
            Some(link) if link.item == T::NONE => None,
            Some(link) => Some(link.item),
            None => {
                self.grow(index);
                None
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, index: usize) {
        self.0.resize(index + 1, Self::FREE);
    }

    /// Appends `item` and takes out the first, which is not it. `None`, and nothing has happened, if an item of this index is linked,
    /// or the list is empty, or there is no row for the item yet.
    #[inline(always)]
    pub(super) fn exchange(&mut self, list: &mut List, item: T, tag: u8) -> Option<T> {
        let at = item.index() as u32;
        if self.0.get(item.index())?.item != T::NONE {
            return None;
        }
        self.0.get_mut(list.tail as usize)?.next = at;
        let prev = core::mem::replace(&mut list.tail, at);
        self.0[item.index()] = Link { item, prev, next: NIL, tag };
        let first = self.0.get_mut(list.head as usize)?;
        let out = core::mem::replace(&mut first.item, T::NONE);
        list.head = first.next;
        if let Some(second) = self.0.get_mut(list.head as usize) {
            second.prev = NIL;
        }
        Some(out)
    }

    pub(super) fn contains(&self, item: T) -> bool {
        self.0.get(item.index()).is_some_and(|link| link.item == item)
    }

    /// What was noted with a linked item.
    pub(super) fn tag(&self, item: T) -> Option<u8> {
        self.0.get(item.index()).filter(|link| link.item == item).map(|link| link.tag)
    }

    #[inline(always)]
    pub(super) fn front(&self, list: &List) -> Option<T> {
        self.0.get(list.head as usize).map(|link| link.item)
    }

    /// Appends an item that is [covered](Self::cover) and in no list.
    #[inline(always)]
    pub(super) fn push_back(&mut self, list: &mut List, item: T, tag: u8) {
        let at = item.index() as u32;
        self.0[item.index()] = Link { item, prev: list.tail, next: NIL, tag };
        match self.0.get_mut(list.tail as usize) {
            Some(last) => last.next = at,
            None => list.head = at,
        }
        list.tail = at;
    }

    /// Prepends an item that is [covered](Self::cover) and in no list.
    #[inline(always)]
    pub(super) fn push_front(&mut self, list: &mut List, item: T, tag: u8) {
        let at = item.index() as u32;
        self.0[item.index()] = Link { item, prev: NIL, next: list.head, tag };
        match self.0.get_mut(list.head as usize) {
            Some(first) => first.prev = at,
            None => list.tail = at,
        }
        list.head = at;
    }

    /// Takes `item`, which must be in `list`, out of it.
    pub(super) fn unlink(&mut self, list: &mut List, item: T) {
        let Link { prev, next, .. } = core::mem::replace(&mut self.0[item.index()], Self::FREE);
        match self.0.get_mut(prev as usize) {
            Some(link) => link.next = next,
            None => list.head = next,
        }
        match self.0.get_mut(next as usize) {
            Some(link) => link.prev = prev,
            None => list.tail = prev,
        }
    }

    #[inline(always)]
    pub(super) fn pop_front(&mut self, list: &mut List) -> Option<T> {
        let first = self.0.get_mut(list.head as usize)?;
        let item = core::mem::replace(&mut first.item, T::NONE);
        list.head = first.next;
        match self.0.get_mut(list.head as usize) {
            Some(second) => second.prev = NIL,
            None => list.tail = NIL,
        }
        Some(item)
    }

    /// The items of `list` from the last to the first.
    pub(super) fn iter_back(&self, list: &List) -> impl Iterator<Item = T> + '_ {
        core::iter::successors(self.0.get(list.tail as usize), |link| self.0.get(link.prev as usize))
            .map(|link| link.item)
    }
}
