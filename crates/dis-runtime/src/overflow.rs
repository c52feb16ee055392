//! Stack overflows name the task.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use dis_context::Fault;
use dis_context::overflow::{OverflowConfig, OverflowError, Verdict, install};

use crate::runtime::Inner;

/// How many runtimes the handler can look through.
const LIMIT: usize = 128;

/// Which runtime has the stack pool of which id.
static RUNTIMES: [(AtomicUsize, AtomicPtr<Inner>); LIMIT] =
    [const { (AtomicUsize::new(0), AtomicPtr::new(ptr::null_mut())) }; LIMIT];

/// Lets the handler know of a runtime, and installs it with the first.
pub(crate) fn remember(inner: &Inner) -> Result<(), OverflowError> {
    for (pool, runtime) in &RUNTIMES {
        let free = pool.compare_exchange(0, inner.stacks.id(), Ordering::AcqRel, Ordering::Relaxed);
        if free.is_ok() {
            runtime.store(ptr::from_ref(inner).cast_mut(), Ordering::Release);
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

/// The runtime is going away.
pub(crate) fn forget(pool_id: usize) {
    for (pool, runtime) in &RUNTIMES {
        if pool.load(Ordering::Acquire) == pool_id {
            runtime.store(ptr::null_mut(), Ordering::Release);
            pool.store(0, Ordering::Release);
        }
    }
}

/// Runs in a signal handler: reads atomics and copies bytes.
fn name(fault: &Fault, buffer: &mut [u8]) -> Verdict {
    for (pool, runtime) in &RUNTIMES {
        if pool.load(Ordering::Acquire) != fault.pool {
            continue;
        }
        // SAFETY: a runtime with a running task exists, and so does a task that is on its stack.
        let name = unsafe {
            let Some(runtime) = runtime.load(Ordering::Acquire).as_ref() else { break };
            let Some(owner) = runtime.stack_owners.get(fault.index) else { break };
            match owner.load(Ordering::Acquire).as_ref() {
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
