//! Where stack i lies, and which stack an address belongs to.

use super::map;

/// Distance between two colours: a cache line, in bytes.
const LINE: usize = 64;
/// Number of colours. The greatest offset, 960 bytes, leaves three quarters of the first page.
const COLOURS: usize = 16;

/// A slot is a guard with a stack above it; slot i starts at `base + i * stride`. All in bytes but `slots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) base: usize,
    pub(crate) guard: usize,
    pub(crate) size: usize,
    pub(crate) slots: usize,
}

impl Geometry {
    /// The layout for stacks of `size` bytes (whole pages), before its place is known. The guard has one or two pages,
    /// so that a slot is an odd number of pages: equal frames of many stacks then spread over all sets of the L2 cache.
    pub(super) fn new(size: usize, slots: usize) -> Self {
        let page = map::page_size();
        let guard = if (size / page).is_multiple_of(2) { page } else { 2 * page };
        Self { base: 0, guard, size, slots }
    }

    pub(crate) fn stride(&self) -> usize {
        self.guard + self.size
    }

    /// The length of the whole, `None` if it does not fit an address.
    pub(super) fn len(&self) -> Option<usize> {
        self.stride().checked_mul(self.slots).filter(|&len| len < 1 << 56)
    }

    /// Offset of slot `index` from the base.
    #[inline]
    pub(super) fn slot(&self, index: usize) -> usize {
        index * self.stride()
    }

    /// Offset of the lowest usable byte of stack `index`.
    #[inline]
    pub(super) fn bottom(&self, index: usize) -> usize {
        self.slot(index) + self.guard
    }

    /// Offset of the coloured top of stack `index`.
    #[inline]
    pub(super) fn top(&self, index: usize) -> usize {
        self.slot(index) + self.stride() - (index % COLOURS) * LINE
    }

    pub(crate) fn locate(&self, address: usize) -> Option<Fault> {
        let offset = address.checked_sub(self.base)?;
        let index = offset / self.stride();
        (index < self.slots).then(|| Fault {
            index,
            guard: offset % self.stride() < self.guard,
            address,
            bottom: self.base + self.bottom(index),
            pool: self.base,
            size: self.size,
        })
    }
}

/// Which stack an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The stack's index in its pool, as [`Stack::index`](super::Stack::index) gives it.
    pub index: usize,
    /// Whether the address lies in the guard below that stack.
    pub guard: bool,
    /// The address itself.
    pub address: usize,
    /// The lowest usable address of that stack.
    pub bottom: usize,
    /// Which pool: equals [`StackPool::id`](super::StackPool::id).
    pub pool: usize,
    /// The size of the pool's stacks, in bytes.
    pub size: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_an_odd_number_of_pages() {
        for pages in [5, 6, 16, 17, 64] {
            let page = map::page_size();
            assert_eq!(Geometry::new(pages * page, 3).stride() / page % 2, 1, "{pages}");
        }
    }

    #[test]
    fn an_address_is_found_in_guard_stack_or_nowhere() {
        let mut g = Geometry::new(16 * 4096, 3);
        g.base = 0x10_0000;
        let start = g.base + g.slot(2);
        let at = |address| g.locate(address).map(|f| (f.index, f.guard));
        assert_eq!(at(g.base - 1), None);
        assert_eq!(at(g.base), Some((0, true)));
        assert_eq!(at(start - 1), Some((1, false)));
        assert_eq!(at(start), Some((2, true)));
        assert_eq!(at(start + g.guard - 1), Some((2, true)));
        assert_eq!(at(start + g.guard), Some((2, false)));
        assert_eq!(at(start + g.stride()), None);
    }

    #[test]
    fn colours_stay_in_the_first_page_and_aligned() {
        let g = Geometry::new(16 * 4096, 100);
        for i in 0..100 {
            let end = g.slot(i) + g.stride();
            assert!(end - g.top(i) < 1024 && g.top(i).is_multiple_of(64));
        }
        assert_ne!(g.top(1) % 4096, g.top(2) % 4096);
    }
}
