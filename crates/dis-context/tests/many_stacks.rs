//! A hundred thousand stacks in one process. One test, so that nothing else counts towards the memory.

use std::fs;

use dis_context::{GuardKind, GuardPolicy, StackConfig, StackError, StackPool};

const N: usize = 100_000;

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn maps() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn a_hundred_thousand_stacks() {
    let pool = StackPool::new(StackConfig { max_stacks: N, ..StackConfig::default() }).unwrap();
    if pool.guard_kind() == GuardKind::Madvise {
        let (before, maps_before) = (resident(), maps());
        let stacks: Vec<_> = (0..N).map(|_| pool.alloc().unwrap()).collect();
        // SAFETY: the topmost bytes of stacks that only this test uses.
        stacks.iter().for_each(|s| unsafe { s.top().sub(8).cast::<usize>().write(s.index()) });
        let each = (resident() - before) as f64 / N as f64 / 1024.0;
        assert!(each < 4.3, "{each:.2} KiB per stack");
        let more = maps() - maps_before;
        assert!(more < 10, "{more} mappings more");
        println!("{each:.3} KiB per stack, {more} mappings more");
        // SAFETY: as above.
        assert!(stacks.iter().all(|s| unsafe { s.top().sub(8).cast::<usize>().read() } == s.index()));
        drop(stacks);
        let left = (resident() - before) / 1024;
        assert!(left < (1024 + 64) * 4 + 2048, "{left} KiB left with a cache of 1024");
    }
    drop(pool);
    mprotect_guards_end_with_a_clear_error();
}

fn mprotect_guards_end_with_a_clear_error() {
    let config = StackConfig { max_stacks: N, guard: GuardPolicy::Mprotect, ..StackConfig::default() };
    let limit: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if limit > 2 * N {
        return;
    }
    let pool = StackPool::new(config.clone()).unwrap();
    let mut stacks = Vec::new();
    let error = loop {
        match pool.alloc() {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    assert_eq!(error, StackError::GuardLimit { guards: stacks.len() });
    assert!(error.to_string().contains("vm.max_map_count"));
    assert!(stacks.len() > limit * 4 / 10 && stacks.len() < limit / 2, "{}", stacks.len());
    assert_eq!(pool.in_use(), stacks.len());
    // Those that have a guard go on.
    stacks.truncate(stacks.len() - 5);
    stacks.extend((0..5).map(|_| pool.alloc().unwrap()));
    assert_eq!(pool.alloc().unwrap_err(), error);
    drop((stacks, pool));

    let pool = StackPool::new(StackConfig { allow_unguarded: true, ..config }).unwrap();
    let stacks: Vec<_> = (0..N).map(|_| pool.alloc().unwrap()).collect();
    assert!(pool.unguarded() > 0 && pool.unguarded() < stacks.len());
    // SAFETY: the topmost bytes of stacks that only this test uses.
    stacks.iter().for_each(|s| unsafe { s.top().sub(1).write(1) });
}
