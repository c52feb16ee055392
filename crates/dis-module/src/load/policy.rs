//! A policy of a loaded module, as the core sees it.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
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

    /// Calls over there. `None`: it has panicked or was stopped, now or before.
    ///
    /// # Safety
    /// A function of the table that answers with an [`Answer`], with its arguments after the first.
    #[inline(always)]
    unsafe fn call(&self, what: Call, function: *const (), args: [u64; 4]) -> Option<Answer> {
        if self.is_faulty() {
            return None;
        }
        // SAFETY: the caller's promise.
        let answer = unsafe { self.mark.ask(what, function, self.this, args) };
        if answer.len == Answer::FAULT {
            self.fault();
            return None;
        }
        self.len.set(answer.len as usize);
        Some(answer)
    }

    /// The same for a function that answers with a number.
    ///
    /// # Safety
    /// As for `call`.
    #[inline(always)]
    unsafe fn number(&self, what: Call, function: *const (), args: [u64; 4]) -> Option<u64> {
        if self.is_faulty() {
            return None;
        }
        // SAFETY: the caller's promise.
        let number = unsafe { self.mark.ask(what, function, self.this, args) }.value;
        if number == FAULTY_NUMBER {
            self.fault();
            return None;
        }
        Some(number)
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

fn address(task: &mut Entity) -> u64 {
    ptr::from_mut(task) as u64
}

// SAFETY of the calls below: the functions are of this ABI, the library is loaded and not stopped, `this` was made by it, and `&mut self`, or
// `Send` without `Sync`, keeps others out.
impl SchedulingPolicy for LoadedPolicy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        let args = [address(task), why as u64, now.as_nanos(), 0];
        // SAFETY: see above.
        unsafe { self.call(Call::OnReady, self.table.on_ready as *const (), args) };
    }

    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        // SAFETY: see above.
        unsafe { self.call(Call::Select, self.table.select as *const (), [now.as_nanos(), 0, 0, 0]) }?.key()
    }

    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        // SAFETY: see above.
        unsafe { self.call(Call::Peek, self.table.peek as *const (), [now.as_nanos(), 0, 0, 0]) }?.key()
    }

    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        let args = [address(task), why as u64, now.as_nanos(), 0];
        // SAFETY: see above.
        unsafe { self.call(Call::Exchange, self.table.exchange as *const (), args) }?.key()
    }

    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        let args = [address(task), now.as_nanos(), 0, 0];
        // SAFETY: see above.
        unsafe { self.call(Call::OnBlock, self.table.on_block as *const (), args) };
    }

    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        let args = [address(task), now.as_nanos(), 0, 0];
        // SAFETY: see above.
        unsafe { self.call(Call::Remove, self.table.remove as *const (), args) }.is_some_and(|answer| answer.value == 1)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        let args = [address(task), u64::from(priority), deadline.as_nanos(), now.as_nanos()];
        // SAFETY: see above.
        if unsafe { self.call(Call::Update, self.table.update as *const (), args) }.is_none() {
            // Whoever replaces it has to find the task as it is now.
            (task.priority, task.deadline) = (priority, deadline);
        }
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        let args = [address(task), ran.as_nanos(), now.as_nanos(), 0];
        // SAFETY: see above.
        unsafe { self.call(Call::OnTick, self.table.on_tick as *const (), args) };
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        let args = [ptr::from_ref(task) as u64, 0, 0, 0];
        // SAFETY: see above.
        let nanos = unsafe { self.number(Call::TimeSlice, self.table.time_slice as *const (), args) };
        nanos.map_or(FAULTY_SLICE, Duration::from_nanos)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        let args = [ptr::from_ref(ready) as u64, ptr::from_ref(running) as u64, 0, 0];
        // SAFETY: see above.
        let answer = unsafe { self.number(Call::Preempts, self.table.preempts as *const (), args) };
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
        let args = [visitor as *const () as u64, &raw mut context as u64, 0, 0];
        // SAFETY: see above; the context lives until the call is over.
        unsafe { self.call(Call::Visit, self.table.visit as *const (), args) };
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
        unsafe { self.call(Call::Reserve, self.table.reserve as *const (), [keys as u64, 0, 0, 0]) };
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
