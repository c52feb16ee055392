//! Each queue against the plainest model of it, under random calls. The seeds are fixed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::api::{TaskId, Timestamp};
use crate::policy::TaskKey;

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(400) }
}

/// A call: what (0..8), with which of few items, and with which of few keys, so that equal keys are frequent.
fn calls() -> impl Strategy<Value = Vec<(u8, u32, u8)>> {
    vec((0u8..8, 0u32..40, 0u8..12), 0..400)
}

/// Few levels, neighbours as well as both ends and all words of the bitmap.
fn level(n: u8) -> u8 {
    if n < 6 { n * 51 } else { n }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_heap_is_a_sorted_set((calls, room, ascending) in (calls(), 0usize..64, any::<bool>())) {
        let mut heap = IndexedHeap::<u64>::new();
        heap.reserve(room);
        let mut model: Vec<(u64, TaskKey)> = Vec::new();
        for (number, (call, item, key)) in calls.into_iter().enumerate() {
            let (item, key) = (TaskKey(item), u64::from(key));
            // Mostly ascending keys use the run, its gaps and its ends.
            let key = if ascending { number as u64 / 4 + key / 6 } else { key };
            let place = model.iter().position(|entry| entry.1 == item);
            match call {
                0..=2 => {
                    heap.push(item, key);
                    place.map(|place| model.remove(place));
                    model.push((key, item));
                }
                3 | 4 => {
                    let least = model.iter().min().copied();
                    model.retain(|&entry| Some(entry) != least);
                    prop_assert_eq!(heap.pop(), least);
                }
                5 => prop_assert_eq!(heap.remove(item), place.map(|place| model.remove(place).0)),
                6 => {
                    prop_assert_eq!(heap.update(item, key), place.is_some());
                    if let Some(place) = place {
                        model[place].0 = key;
                    }
                }
                _ => {
                    heap.reserve(room + number / 8);
                    prop_assert_eq!(heap.key(item), place.map(|place| model[place].0));
                }
            }
            prop_assert_eq!(heap.peek(), model.iter().min().copied());
            prop_assert_eq!(heap.len(), model.len());
        }
        let mut all: Vec<_> = heap.iter_late_first().collect();
        all.sort();
        model.sort();
        prop_assert_eq!(&all, &model);
        prop_assert!(model.into_iter().all(|entry| heap.pop() == Some(entry)));
    }

    #[test]
    fn the_fifo_is_a_deque(calls in calls()) {
        let mut fifo = FifoQueue::<TaskKey>::new();
        let mut model = VecDeque::new();
        for (call, item, _) in calls {
            let item = TaskKey(item);
            let place = model.iter().position(|&other| other == item);
            match call {
                0..=3 => {
                    place.map(|place| model.remove(place));
                    if call < 3 {
                        fifo.push_back(item);
                        model.push_back(item);
                    } else {
                        fifo.push_front(item);
                        model.push_front(item);
                    }
                }
                4 | 5 => prop_assert_eq!(fifo.pop(), model.pop_front()),
                6 => prop_assert_eq!(fifo.remove(item), place.and_then(|place| model.remove(place)).is_some()),
                _ => prop_assert_eq!(fifo.contains(item), place.is_some()),
            }
            prop_assert_eq!(fifo.peek(), model.front().copied());
            prop_assert_eq!(fifo.len(), model.len());
        }
        prop_assert!(fifo.iter_back().eq(model.into_iter().rev()));
    }

    #[test]
    fn the_priority_queue_is_a_deque_a_level(calls in calls()) {
        let mut queue = PriorityQueue::<TaskKey>::new();
        let mut model: Vec<VecDeque<TaskKey>> = (0..LEVELS).map(|_| VecDeque::new()).collect();
        for (call, item, key) in calls {
            let (item, level) = (TaskKey(item), level(key));
            let old = model.iter().position(|list| list.contains(&item));
            let take = |model: &mut Vec<VecDeque<TaskKey>>| model.iter_mut().for_each(|list| list.retain(|&i| i != item));
            match call {
                0..=2 => {
                    take(&mut model);
                    queue.push_back(item, level);
                    model[level as usize].push_back(item);
                }
                3 => {
                    take(&mut model);
                    queue.push_front(item, level);
                    model[level as usize].push_front(item);
                }
                4 | 5 => {
                    let first = model.iter_mut().find(|list| !list.is_empty()).and_then(VecDeque::pop_front);
                    prop_assert_eq!(queue.pop(), first);
                }
                6 => {
                    prop_assert_eq!(queue.remove(item), old.is_some());
                    take(&mut model);
                }
                _ => {
                    prop_assert_eq!(queue.update_priority(item, level), old.is_some());
                    if let Some(old) = old.filter(|&old| old != level as usize) {
                        take(&mut model);
                        let list = &mut model[level as usize];
                        if (level as usize) < old { list.push_back(item) } else { list.push_front(item) }
                    }
                }
            }
            prop_assert_eq!(queue.peek(), model.iter().find_map(|list| list.front().copied()));
            prop_assert_eq!(queue.first_level().map(usize::from), model.iter().position(|list| !list.is_empty()));
            prop_assert_eq!(queue.len(), model.iter().map(VecDeque::len).sum::<usize>());
        }
        prop_assert!(queue.iter_back().eq(model.iter().rev().flat_map(|list| list.iter().rev().copied())));
    }

    #[test]
    fn sleepers_come_out_in_order_and_none_early(calls in calls()) {
        let mut queue = SleepQueue::<TaskId>::new();
        let mut model: Vec<(Timestamp, TaskId)> = Vec::new();
        for (call, slot, time) in calls {
            let (id, time) = (TaskId::from_parts(slot, 1), Timestamp::from_nanos(time.into()));
            match call {
                0..=3 => {
                    model.retain(|entry| entry.1 != id);
                    model.push((time, id));
                    queue.insert(id, time);
                }
                4 => {
                    let known = model.iter().any(|entry| entry.1 == id);
                    model.retain(|entry| entry.1 != id);
                    prop_assert_eq!(queue.remove(id), known);
                }
                _ => {
                    let due = model.iter().copied().filter(|entry| entry.0 <= time).min();
                    model.retain(|&entry| Some(entry) != due);
                    prop_assert_eq!(queue.pop_expired(time), due.map(|entry| entry.1));
                }
            }
            prop_assert_eq!(queue.next(), model.iter().min().map(|entry| entry.0));
            prop_assert_eq!(queue.len(), model.len());
        }
    }
}

#[test]
fn equal_deadlines_go_by_id_and_older_generations_first() {
    let mut queue = DeadlineQueue::new();
    let ids = [TaskId::from_parts(9, 1), TaskId::from_parts(1, 2), TaskId::from_parts(2, 1)];
    ids.into_iter().for_each(|id| queue.insert(id, Timestamp::ZERO));
    queue.insert(TaskId::from_parts(3, 1), Timestamp::MAX);
    assert_eq!(queue.earliest(), Some(Timestamp::ZERO));
    let order: Vec<u32> = core::iter::from_fn(|| queue.pop()).map(TaskId::slot).collect();
    assert_eq!(order, [2, 9, 1, 3]);
}

#[test]
fn a_stale_id_is_in_no_queue() {
    let (old, new) = (TaskId::from_parts(3, 1), TaskId::from_parts(3, 2));
    let mut fifo = FifoQueue::new();
    fifo.push_back(new);
    assert!(!fifo.contains(old) && !fifo.remove(old) && fifo.remove(new));
    let mut deadlines = DeadlineQueue::new();
    deadlines.insert(new, Timestamp::ZERO);
    assert!(!deadlines.contains(old) && !deadlines.update(old, Timestamp::MAX) && !deadlines.remove(old));
    let mut levels = PriorityQueue::new();
    levels.push_back(new, 0);
    assert!(!levels.update_priority(old, 1) && !levels.remove(old) && levels.pop() == Some(new));
}

#[test]
fn an_item_takes_the_place_of_its_predecessor() {
    let (old, new) = (TaskId::from_parts(3, 1), TaskId::from_parts(3, 2));
    let mut heap = IndexedHeap::<u64, _>::new();
    heap.push(old, 1);
    heap.push(new, 2);
    assert_eq!((heap.len(), heap.pop()), (1, Some((2, new))));
    let mut fifo = FifoQueue::new();
    fifo.push_back(old);
    fifo.push_front(new);
    assert_eq!((fifo.len(), fifo.pop()), (1, Some(new)));
    let mut levels = PriorityQueue::new();
    levels.push_back(old, 1);
    levels.push_back(new, 2);
    assert_eq!((levels.len(), levels.first_level(), levels.pop()), (1, Some(2), Some(new)));
}
