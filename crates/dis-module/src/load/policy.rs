//! A policy of a loaded module, as the core sees it.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, Progress, SchedulingPolicy, TaskKey};

use super::library::Library;
use super::watch::{Call, Mark};
use crate::abi::{Answer, Clock, FAULTY_NUMBER, PolicyTable};

/// What [`SchedulingPolicy::len`] answers after a fault: no core has given it so many tasks, so it is replaced.
const TOO_MANY: usize = usize::MAX;

/// What a task may run under a policy that has panicked, until that is noticed.
const FAULTY_SLICE: Duration = Duration::from_millis(1);

/// A policy of a loaded module.
///
/// The number of queued tasks comes with each answer, so the core's check of it costs no call. After a panic, or when it or
/// another policy of its library had to be stopped, nothing is called any more; the number is one that the core does not believe,
/// so that the built-in policy takes over at the next decision.
pub(super) struct LoadedPolicy {
    this: *mut c_void,
    table: PolicyTable,
    len: Cell<usize>,
    /// Keeps the library loaded.
    mark: Arc<Mark>,
    name: &'static str,
}

// SAFETY: the policy over there is `Send`, as `SchedulingPolicy` says.
unsafe impl Send for LoadedPolicy {}

impl LoadedPolicy {
    pub fn new(name: &'static str, this: *mut c_void, library: Arc<Library>) -> Self {
        let table = library.descriptor().policy;
        LoadedPolicy { this, table, len: Cell::new(0), mark: Mark::new(name, library), name }
    }

    #[inline(always)]
    fn is_faulty(&self) -> bool {
        self.len.get() == TOO_MANY || self.mark.library().is_stopped()
    }

    #[cold]
    fn fault(&self) {
        self.len.set(TOO_MANY);
        self.mark.library().count_fault();
    }

    /// Calls over there. `None`: it has panicked, now or before.
    #[inline(always)]
    fn call(&self, what: Call, f: impl FnOnce(&PolicyTable, *mut c_void) -> Answer) -> Option<Answer> {
        if self.is_faulty() {
            return None;
        }
        match self.mark.call(what, || f(&self.table, self.this)) {
            Some(answer) if answer.len != Answer::FAULT => {
                self.len.set(answer.len as usize);
                Some(answer)
            }
            _ => {
                self.fault();
                None
            }
        }
    }

    /// The same for a function that answers with a number.
    #[inline(always)]
    fn number(&self, what: Call, f: impl FnOnce(&PolicyTable, *mut c_void) -> u64) -> Option<u64> {
        if self.is_faulty() {
            return None;
        }
        let number = self.mark.call(what, || f(&self.table, self.this)).filter(|&number| number != FAULTY_NUMBER);
        if number.is_none() {
            self.fault();
        }
        number
    }

    #[inline(always)]
    fn clock(&self, what: Call, f: impl FnOnce(&PolicyTable, *mut c_void) -> Clock) -> Option<Clock> {
        if self.is_faulty() {
            return None;
        }
        match self.mark.call(what, || f(&self.table, self.this)) {
            Some(Clock { known: 0, .. }) => None,
            Some(clock @ Clock { known: 1, .. }) => Some(clock),
            _ => {
                self.fault();
                None
            }
        }
    }
}

// SAFETY of the calls below: the functions are of this ABI, the library is loaded and not stopped, `this` was made by it, and `&mut self`, or
// `Send` without `Sync`, keeps others out.
impl SchedulingPolicy for LoadedPolicy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        // SAFETY: see above.
        let call = |table: &PolicyTable, this| unsafe { (table.on_ready)(this, task, why as u8, now.as_nanos()) };
        self.call(Call::OnReady, call);
    }

    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        // SAFETY: see above.
        self.call(Call::Select, |table, this| unsafe { (table.select)(this, now.as_nanos()) })?.key()
    }

    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        // SAFETY: see above.
        self.call(Call::Peek, |table, this| unsafe { (table.peek)(this, now.as_nanos()) })?.key()
    }

    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        // SAFETY: see above.
        let call = |table: &PolicyTable, this| unsafe { (table.exchange)(this, task, why as u8, now.as_nanos()) };
        self.call(Call::Exchange, call)?.key()
    }

    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        // SAFETY: see above.
        self.call(Call::OnBlock, |table, this| unsafe { (table.on_block)(this, task, now.as_nanos()) });
    }

    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        // SAFETY: see above.
        let call = |table: &PolicyTable, this| unsafe { (table.remove)(this, task, now.as_nanos()) };
        self.call(Call::Remove, call).is_some_and(|answer| answer.value == 1)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        let call = |table: &PolicyTable, this| {
            // SAFETY: see above.
            unsafe { (table.update)(this, task, priority, deadline.as_nanos(), now.as_nanos()) }
        };
        if self.call(Call::Update, call).is_none() {
            // Whoever replaces it has to find the task as it is now.
            (task.priority, task.deadline) = (priority, deadline);
        }
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        // SAFETY: see above.
        let call = |table: &PolicyTable, this| unsafe { (table.on_tick)(this, task, ran.as_nanos(), now.as_nanos()) };
        self.call(Call::OnTick, call);
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        // SAFETY: see above.
        let nanos = self.number(Call::TimeSlice, |table, this| unsafe { (table.time_slice)(this, task) });
        nanos.map_or(FAULTY_SLICE, Duration::from_nanos)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        // SAFETY: see above.
        let answer = self.number(Call::Preempts, |table, this| unsafe { (table.preempts)(this, ready, running) });
        // After a fault: let the core decide, and notice.
        answer.is_none_or(|answer| answer == 1)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        type Visitor<'a> = &'a mut dyn FnMut(TaskKey) -> bool;
        unsafe extern "C" fn visitor(context: *mut c_void, key: u32) -> u32 {
            // SAFETY: what `visit` gives along.
            let visit = unsafe { &mut *context.cast::<Visitor<'_>>() };
            // If it panics, this aborts: it is the core's own function.
            u32::from(visit(TaskKey(key)))
        }
        let mut context: Visitor<'_> = visit;
        let context = (&raw mut context).cast();
        // SAFETY: see above; the context lives until the call is over.
        self.call(Call::Visit, |table, this| unsafe { (table.visit)(this, visitor, context) });
    }

    fn progress(&mut self) -> Option<Progress> {
        // SAFETY: see above.
        let clock = self.clock(Call::Progress, |table, this| unsafe { (table.progress)(this) })?;
        Some(Progress { mean: clock.mean, weight: clock.weight })
    }

    fn vruntime(&self, key: TaskKey) -> Option<i64> {
        // SAFETY: see above.
        Some(self.clock(Call::Vruntime, |table, this| unsafe { (table.vruntime)(this, key.0) })?.mean)
    }

    fn len(&self) -> usize {
        if self.is_faulty() { TOO_MANY } else { self.len.get() }
    }

    fn reserve(&mut self, keys: usize) {
        // SAFETY: see above.
        self.call(Call::Reserve, |table, this| unsafe { (table.reserve)(this, keys) });
    }
}

impl Drop for LoadedPolicy {
    fn drop(&mut self) {
        if self.mark.library().is_stopped() {
            return;
        }
        // SAFETY: made by the library, and not used any more.
        if self.mark.call(Call::Drop, || unsafe { (self.table.destroy)(self.this) }).is_none() {
            self.fault();
        }
    }
}

/// In place of a policy that could not be made: wrong from the first question on.
pub(crate) struct Refuser {
    name: &'static str,
}

impl Refuser {
    pub fn new(name: &'static str) -> Self {
        Refuser { name }
    }
}

impl SchedulingPolicy for Refuser {
    fn name(&self) -> &'static str {
        self.name
    }
    fn on_ready(&mut self, _task: &mut Entity, _why: Arrival, _now: Timestamp) {}
    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        None
    }
    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        None
    }
    fn on_block(&mut self, _task: &mut Entity, _now: Timestamp) {}
    fn remove(&mut self, _task: &mut Entity, _now: Timestamp) -> bool {
        false
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
    }
    fn on_tick(&mut self, _task: &mut Entity, _ran: Duration, _now: Timestamp) {}
    fn time_slice(&self, _task: &Entity) -> Duration {
        FAULTY_SLICE
    }
    fn preempts(&self, _ready: &Entity, _running: &Entity) -> bool {
        true
    }
    fn visit(&self, _visit: &mut dyn FnMut(TaskKey) -> bool) {}
    fn len(&self) -> usize {
        TOO_MANY
    }
    fn reserve(&mut self, _keys: usize) {}
}
