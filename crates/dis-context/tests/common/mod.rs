//! A minimal coroutine over the crate's API, as a runtime would have one: a closure on a stack of its own.
#![allow(dead_code, reason = "each test uses a part")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dis_context::{Context, Stack, StackConfig, StackPool, jump, switch};

/// What the task's closure uses to give way.
pub struct Yielder {
    task: Context,
    host: Context,
}

impl Yielder {
    /// Hands `value` to the host; returns what the host resumes with.
    #[inline(never)]
    pub fn give(&mut self, value: usize) -> usize {
        // SAFETY: the host is suspended in `Task::resume` on its own stack.
        unsafe { switch(&mut self.task, self.host, value) }
    }
}

type Body = Box<dyn FnOnce(&mut Yielder, usize) -> usize + Send>;
pub type Outcome = Result<usize, Box<dyn Any + Send>>;

struct Shared {
    yielder: Yielder,
    body: Option<Body>,
    outcome: Option<Outcome>,
}

pub struct Task {
    shared: Box<Shared>,
    pub stack: Stack,
}

unsafe extern "C" fn entry(data: usize, arg: usize) -> ! {
    let shared = data as *mut Shared;
    // SAFETY: `data` is the address of the task's `Shared`, alive while the task is; the host does not touch it while the
    // task runs.
    let (body, yielder) = unsafe { ((*shared).body.take(), &mut (*shared).yielder) };
    let outcome = body.map(|body| catch_unwind(AssertUnwindSafe(|| body(yielder, arg))));
    // SAFETY: as above; all values of this frame are moved out, and the host is suspended in `resume`.
    unsafe {
        (*shared).outcome = outcome;
        jump((*shared).yielder.host, 0)
    }
}

impl Task {
    pub fn new(pool: &StackPool, body: impl FnOnce(&mut Yielder, usize) -> usize + Send + 'static) -> Self {
        let stack = pool.alloc().unwrap();
        let yielder = Yielder { task: Context::empty(), host: Context::empty() };
        let mut shared = Box::new(Shared { yielder, body: Some(Box::new(body)), outcome: None });
        // SAFETY: the stack belongs to this task, and so does `shared`, whose address does not change.
        shared.yielder.task = unsafe { Context::new(stack.top(), entry, &raw mut *shared as usize) };
        Self { shared, stack }
    }

    /// Runs the task until it gives way (`Ok(value)`) or ends (`Err(outcome)`).
    #[inline(never)]
    pub fn resume(&mut self, arg: usize) -> Result<usize, Outcome> {
        let shared = &raw mut *self.shared;
        // SAFETY: the task is suspended (fresh, or in `give`): it did not end, because its outcome is taken only once.
        let value = unsafe {
            let task = (*shared).yielder.task;
            switch(&raw mut (*shared).yielder.host, task, arg)
        };
        match self.shared.outcome.take() {
            Some(outcome) => Err(outcome),
            None => Ok(value),
        }
    }
}

pub fn pool(max_stacks: usize) -> StackPool {
    StackPool::new(StackConfig { max_stacks, ..StackConfig::default() }).unwrap()
}
