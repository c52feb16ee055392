//! Finds a small part of a list that fails as the whole does.

/// Leaves out of `list` what is not needed for `fails`, which holds for `list`: halves first, then ever smaller parts, until
/// no element can be left out, or `fails` has had enough and answers `None` (Zeller and Hildebrandt, "Simplifying and isolating
/// failure-inducing input", IEEE TSE 28(2), 2002, complements only). The order is kept.
pub fn shrink<T: Clone>(mut list: Vec<T>, mut fails: impl FnMut(&[T]) -> Option<bool>) -> Vec<T> {
    let mut size = list.len().div_ceil(2).max(1);
    loop {
        let before = list.len();
        let mut from = 0;
        while from < list.len() {
            let to = (from + size).min(list.len());
            let rest = [&list[..from], &list[to..]].concat();
            match fails(&rest) {
                Some(true) => list = rest,
                Some(false) => from = to,
                None => return list,
            }
        }
        if size == 1 && list.len() == before {
            return list;
        }
        size = (size / 2).max(1);
    }
}
