//! Stack overflows name the task.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use dis_context::Fault;
use dis_context::overflow::{OverflowConfig, OverflowError, Verdict, install};

use crate::stacks::Stacks;

/// How many pools of stacks the handler can look through.
const LIMIT: usize = 128;

/// Those of all runtimes, by their ids.
static POOLS: [(AtomicUsize, AtomicPtr<Stacks>); LIMIT] =
    [const { (AtomicUsize::new(0), AtomicPtr::new(ptr::null_mut())) }; LIMIT];

/// Lets the handler know of stacks, and installs it with the first. They stay where they are until they are dropped.
pub(crate) fn remember(stacks: &Stacks) -> Result<(), OverflowError> {
    for (pool, known) in &POOLS {
        let free = pool.compare_exchange(0, stacks.pool.id(), Ordering::AcqRel, Ordering::Relaxed);
        if free.is_ok() {
            known.store(ptr::from_ref(stacks).cast_mut(), Ordering::Release);
            break;
        }
    }
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        // Whatever signals other runtimes will use: the handler is installed once.
        let block: Vec<i32> = crate::signal::usable().collect();
        result = match install(OverflowConfig { callback: Some(name), block: &block }) {
            // Another user of the same process was first: its handler stops the process as well, without names.
            Err(OverflowError::AlreadyInstalled) => Ok(()),
            other => other,
        };
    });
    result
}

/// The pool is going away.
pub(crate) fn forget(pool_id: usize) {
    for (pool, known) in &POOLS {
        if pool.load(Ordering::Acquire) == pool_id {
            known.store(ptr::null_mut(), Ordering::Release);
            pool.store(0, Ordering::Release);
        }
    }
}

/// Runs in a signal handler: reads atomics and copies bytes.
fn name(fault: &Fault, buffer: &mut [u8]) -> Verdict {
    for (pool, known) in &POOLS {
        if pool.load(Ordering::Acquire) != fault.pool {
            continue;
        }
        // SAFETY: the stacks of a running task exist, and so does a task that is on one of them.
        let name = unsafe {
            let Some(stacks) = known.load(Ordering::Acquire).as_ref() else { break };
            match stacks.owner(fault.index).as_ref() {
                Some(task) => task.name.as_bytes(),
                None => break,
            }
        };
        let len = name.len().min(buffer.len());
        buffer[..len].copy_from_slice(&name[..len]);
        return Verdict::Abort(len);
    }
    Verdict::Abort(0)
}
