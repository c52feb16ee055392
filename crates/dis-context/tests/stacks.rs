//! Stacks: layout, reuse, limits, guards, memory given back.

use std::collections::HashSet;

use dis_context::{GuardKind, GuardPolicy, Stack, StackConfig, StackError, StackPool, min_stack_size};

fn small(max_stacks: usize) -> StackConfig {
    StackConfig { max_stacks, ..StackConfig::default() }
}

/// Whether the page at an address is resident.
fn resident(address: usize) -> bool {
    let mut state = 0u8;
    let page = (address & !4095) as *mut libc::c_void;
    // SAFETY: asks about one mapped page; one byte of answer.
    assert_eq!(unsafe { libc::mincore(page, 4096, &mut state) }, 0);
    state & 1 == 1
}

fn touch(stack: &Stack) {
    // SAFETY: the topmost byte of a stack that only this test uses.
    unsafe { stack.top().sub(1).write(1) };
}

#[test]
fn a_stack_is_where_it_says() {
    let pool = StackPool::new(small(20)).unwrap();
    let stacks: Vec<_> = (0..20).map(|_| pool.alloc().unwrap()).collect();
    for stack in &stacks {
        let (top, bottom) = (stack.top().addr(), stack.bottom().addr());
        assert_eq!((top % 64, bottom % 4096, top - bottom), (0, 0, stack.size()));
        assert!((65_536 - 960..=65_536).contains(&stack.size()));
        let at = |address| pool.locate(address).map(|f| (f.index, f.guard, f.pool == pool.id(), f.size));
        assert_eq!(at(top - 1), Some((stack.index(), false, true, 65_536)));
        assert_eq!(at(bottom), Some((stack.index(), false, true, 65_536)));
        assert_eq!(at(bottom - 1), Some((stack.index(), true, true, 65_536)));
        assert!(stack.index() < pool.index_limit());
    }
    assert_eq!(pool.locate(0), None);
    assert_eq!(stacks.iter().map(Stack::index).collect::<HashSet<_>>().len(), 20);
    assert_eq!(stacks.iter().map(|s| s.top().addr() % 4096).collect::<HashSet<_>>().len(), 16, "16 colours");
}

#[test]
fn the_last_one_returned_is_lent_first() {
    for cache in [0, 2, 100] {
        let pool = StackPool::new(StackConfig { cache, ..small(10) }).unwrap();
        let mut stacks: Vec<_> = (0..10).map(|_| pool.alloc().unwrap()).collect();
        assert_eq!(pool.in_use(), 10);
        let mut returned: Vec<_> = stacks.iter().map(Stack::index).collect();
        stacks.drain(..).for_each(drop);
        assert_eq!(pool.in_use(), 0);
        let again: Vec<_> = (0..10).map(|_| pool.alloc().unwrap()).collect();
        returned.reverse();
        assert_eq!(again.iter().map(Stack::index).collect::<Vec<_>>(), returned, "cache {cache}");
    }
}

#[test]
fn bad_configurations_are_refused_with_a_remedy() {
    let error = |config| StackPool::new(config).unwrap_err();
    let min = min_stack_size();
    let too_small = error(StackConfig { size: min - 1, ..small(1) });
    assert_eq!(too_small, StackError::TooSmall { size: min - 1, min });
    assert!(too_small.to_string().contains("set StackConfig::size"));
    assert!(matches!(error(StackConfig { size: usize::MAX, ..small(1) }), StackError::TooLarge { .. }));
    assert!(matches!(error(small(0)), StackError::BadCount { max_stacks: 0, .. }));
    assert!(matches!(error(small(usize::MAX)), StackError::BadCount { .. }));
    let huge = error(StackConfig { size: 1 << 30, ..small(dis_context::MAX_STACKS) });
    assert!(matches!(huge, StackError::Reserve { .. }), "{huge}");
    assert_eq!(StackPool::new(StackConfig { size: min, ..small(1) }).unwrap().stack_size(), min);
}

#[test]
fn a_pool_lends_no_more_than_it_may() {
    let pool = StackPool::new(small(3)).unwrap();
    let mut stacks: Vec<_> = (0..3).map(|_| pool.alloc().unwrap()).collect();
    assert_eq!(pool.alloc().unwrap_err(), StackError::Exhausted { max_stacks: 3 });
    assert_eq!(pool.in_use(), 3);
    stacks.pop();
    assert!(pool.alloc().is_ok());
}

#[test]
fn stacks_outlive_their_pool() {
    let pool = StackPool::new(small(2)).unwrap();
    let (one, two) = (pool.alloc().unwrap(), pool.alloc().unwrap());
    drop(pool);
    touch(&one);
    drop(one);
    touch(&two);
}

#[test]
fn stacks_beyond_the_cache_give_their_memory_back() {
    for guard in [GuardPolicy::Auto, GuardPolicy::Mprotect, GuardPolicy::None] {
        let pool = StackPool::new(StackConfig { cache: 10, guard, ..small(500) }).unwrap();
        let stacks: Vec<_> = (0..500).map(|_| pool.alloc().unwrap()).collect();
        stacks.iter().for_each(touch);
        let tops: Vec<_> = stacks.iter().map(|s| s.top().addr() - 1).collect();
        assert!(tops.iter().all(|&top| resident(top)));
        drop(stacks);
        let kept = tops.iter().filter(|&&top| resident(top)).count();
        // The cache, and less than a batch of those on the way.
        assert!((10..10 + 64).contains(&kept), "{guard:?}: {kept}");
        assert!(
            (0..500).map(|_| pool.alloc().unwrap()).collect::<Vec<_>>().iter().all(|s| s.index() < pool.index_limit())
        );
    }
}

#[test]
fn the_guard_can_be_forced() {
    let kind = |guard| StackPool::new(StackConfig { guard, ..small(2) }).map(|pool| pool.guard_kind());
    assert_eq!(kind(GuardPolicy::Mprotect), Ok(GuardKind::Mprotect));
    assert_eq!(kind(GuardPolicy::None), Ok(GuardKind::None));
    match kind(GuardPolicy::Madvise) {
        Ok(found) => assert_eq!((found, kind(GuardPolicy::Auto)), (GuardKind::Madvise, Ok(GuardKind::Madvise))),
        Err(error) => {
            assert_eq!(error, StackError::GuardUnsupported);
            assert_eq!(kind(GuardPolicy::Auto), Ok(GuardKind::Mprotect));
        }
    }
}

#[test]
fn threads_share_a_pool() {
    let pool = StackPool::new(StackConfig { cache: 8, ..small(400) }).unwrap();
    std::thread::scope(|s| {
        for t in 0..4u8 {
            let pool = &pool;
            s.spawn(move || {
                for round in 0..300 {
                    let held: Vec<_> = (0..(round * 7) % 100).map(|_| pool.alloc().unwrap()).collect();
                    for stack in &held {
                        // SAFETY: the stack is ours; another owner at the same time would be seen below.
                        unsafe { stack.top().sub(1).write_volatile(t) };
                    }
                    for stack in &held {
                        // SAFETY: as above.
                        assert_eq!(unsafe { stack.top().sub(1).read_volatile() }, t);
                    }
                }
            });
        }
    });
    assert_eq!(pool.in_use(), 0);
    let all: Vec<_> = (0..400).map(|_| pool.alloc().unwrap()).collect();
    assert_eq!(all.iter().map(Stack::index).collect::<HashSet<_>>().len(), 400);
}
