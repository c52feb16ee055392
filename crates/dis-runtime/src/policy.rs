//! Policies that come with a program, and what becomes of it if one of them panics.
//!
//! A policy runs under its CPU's lock, in a task's call or in the signal handler on top of a task. Unwinding out of it would
//! leave the core in the middle of a change, and end a task that has nothing to do with it, or the thread of a worker. So
//! the process ends. It must end before the program's panic hook runs: that takes the lock of standard error, which a preempted
//! task of this very CPU may hold.

use std::cell::Cell;
use std::mem;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, Progress, SchedulingPolicy, TaskKey};

use crate::runtime::die;

thread_local! {
    /// The policy that this thread is in.
    static INSIDE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Wraps a policy so that the process ends if it panics.
pub(crate) fn guard(policy: Box<dyn SchedulingPolicy>) -> Box<dyn SchedulingPolicy> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| match INSIDE.get() {
            Some(name) => panicked(name, info),
            None => next(info),
        }));
    });
    Box::new(Guarded { name: policy.name(), policy })
}

fn panicked(name: &str, info: &PanicHookInfo<'_>) -> ! {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    match info.location() {
        Some(place) => die(&format_args!("the policy '{name}' panicked at {place}: {text}")),
        None => die(&format_args!("the policy '{name}' panicked: {text}")),
    }
}

struct Guarded {
    name: &'static str,
    policy: Box<dyn SchedulingPolicy>,
}

/// Ends the process when it is dropped: the panic hook has been replaced since, and has returned.
struct Unwound(&'static str);

impl Drop for Unwound {
    fn drop(&mut self) {
        die(&format_args!("the policy '{}' panicked", self.0));
    }
}

impl Guarded {
    fn call<T>(&self, f: impl FnOnce(&dyn SchedulingPolicy) -> T) -> T {
        enter(self.name, || f(&*self.policy))
    }

    fn call_mut<T>(&mut self, f: impl FnOnce(&mut dyn SchedulingPolicy) -> T) -> T {
        enter(self.name, || f(&mut *self.policy))
    }
}

fn enter<T>(name: &'static str, f: impl FnOnce() -> T) -> T {
    INSIDE.set(Some(name));
    let unwound = Unwound(name);
    let answer = f();
    mem::forget(unwound);
    INSIDE.set(None);
    answer
}

impl SchedulingPolicy for Guarded {
    fn name(&self) -> &'static str {
        self.name
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        self.call_mut(|policy| policy.on_ready(task, why, now));
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.call_mut(|policy| policy.select(now))
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.call_mut(|policy| policy.peek(now))
    }
    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        self.call_mut(|policy| policy.exchange(task, why, now))
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.call_mut(|policy| policy.on_block(task, now));
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.call_mut(|policy| policy.remove(task, now))
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.call_mut(|policy| policy.update(task, priority, deadline, now));
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.call_mut(|policy| policy.on_tick(task, ran, now));
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.call(|policy| policy.time_slice(task))
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.call(|policy| policy.preempts(ready, running))
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.call(|policy| policy.visit(visit));
    }
    fn progress(&mut self) -> Option<Progress> {
        self.call_mut(|policy| policy.progress())
    }
    fn vruntime(&self, key: TaskKey) -> Option<i64> {
        self.call(|policy| policy.vruntime(key))
    }
    fn len(&self) -> usize {
        self.call(|policy| policy.len())
    }
    fn is_empty(&self) -> bool {
        self.call(|policy| policy.is_empty())
    }
    fn reserve(&mut self, keys: usize) {
        self.call_mut(|policy| policy.reserve(keys));
    }
}
