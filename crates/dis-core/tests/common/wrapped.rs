//! Policies around others: what they do otherwise, or note.

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};

/// What is done around a policy. What is not written here goes through as it is.
pub trait Around: Send {
    /// Whether a task that becomes ready is queued, or forgotten.
    fn keeps(&mut self, _task: &Entity, _now: Timestamp) -> bool {
        true
    }
    /// Whom it selects instead of `right`.
    fn selects(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        right
    }
    /// Whom it would select.
    fn peeks(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        right
    }
    /// Whether it says that a task was there which it takes out.
    fn admits_to(&mut self, _task: &Entity, removed: bool, _now: Timestamp) -> bool {
        removed
    }
    /// Whether `ready` takes the CPU from `running`.
    fn preempts(&self, right: bool, _ready: &Entity, _running: &Entity) -> bool {
        right
    }
    /// A queued task is shown to whoever looks for one.
    fn shows(&self, _key: TaskKey) {}
    /// The queue has changed, perhaps.
    fn changed(&self, _inner: &dyn SchedulingPolicy) {}
}

/// A policy with something around it.
pub struct Wrapped<A> {
    inner: Box<dyn SchedulingPolicy>,
    around: A,
}

impl<A: Around + 'static> Wrapped<A> {
    pub fn boxed(inner: impl SchedulingPolicy + 'static, around: A) -> Box<dyn SchedulingPolicy> {
        Self::over(Box::new(inner), around)
    }

    pub fn over(inner: Box<dyn SchedulingPolicy>, around: A) -> Box<dyn SchedulingPolicy> {
        Box::new(Wrapped { inner, around })
    }
}

impl<A: Around> SchedulingPolicy for Wrapped<A> {
    fn name(&self) -> &'static str {
        "wrapped"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if self.around.keeps(task, now) {
            self.inner.on_ready(task, why, now);
        }
        self.around.changed(&*self.inner);
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        let selected = self.around.selects(self.inner.select(now), now);
        self.around.changed(&*self.inner);
        selected
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.around.peeks(self.inner.peek(now), now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.inner.on_block(task, now);
        self.around.changed(&*self.inner);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        let removed = self.inner.remove(task, now);
        let removed = self.around.admits_to(task, removed, now);
        self.around.changed(&*self.inner);
        removed
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.inner.update(task, priority, deadline, now);
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.inner.on_tick(task, ran, now);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.inner.time_slice(task)
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.around.preempts(self.inner.preempts(ready, running), ready, running)
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.inner.visit(&mut |key| {
            self.around.shows(key);
            visit(key)
        });
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.inner.reserve(keys);
    }
}
