//! A policy in WebAssembly, as the core sees it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};

use super::{FUEL, Guest, Log, MUCH_FUEL};
use crate::abi::wasm::{Call, NOBODY, TASK};
pub(super) use crate::load::Refuser;

/// What [`SchedulingPolicy::len`] answers after a fault: no core has given it so many tasks, so it is replaced.
const TOO_MANY: usize = usize::MAX;

/// What a task may run under a policy that was stopped, until that is noticed.
const FAULTY_SLICE: Duration = Duration::from_millis(1);

pub(super) struct WasmPolicy {
    name: &'static str,
    guest: RefCell<Guest>,
    len: Cell<usize>,
    log: Arc<Log>,
}

impl WasmPolicy {
    pub fn new(name: &'static str, guest: Guest, log: Arc<Log>) -> Self {
        WasmPolicy { name, guest: RefCell::new(guest), len: Cell::new(0), log }
    }

    /// Calls it with tasks in its buffer. `None`: it was stopped, now or before.
    fn raw(&self, call: Call, tasks: [Option<&Entity>; 2], a: u64, b: u64, c: u64) -> Option<u64> {
        if self.len.get() == TOO_MANY {
            return None;
        }
        let guest = &mut *self.guest.borrow_mut();
        for (place, task) in tasks.into_iter().enumerate() {
            let Some(task) = task else { continue };
            let at = guest.buffer + place * TASK;
            guest.memory.data_mut(&mut guest.store).get_mut(at..at + TASK)?.copy_from_slice(&bytes(task));
        }
        let fuel = if matches!(call, Call::Visit | Call::Reserve) { MUCH_FUEL } else { FUEL };
        let fuelled = guest.store.set_fuel(fuel);
        match fuelled.and_then(|()| guest.call.call(&mut guest.store, (call as u32, a, b, c))) {
            Ok(value) => Some(value),
            Err(error) => {
                self.len.set(TOO_MANY);
                self.log.note(format!("{} in {call:?}", guest.trap(&error)));
                None
            }
        }
    }

    /// The same for a call that may change the task, and tells how many are queued. Answers the lower half.
    fn call(&self, call: Call, mut task: Option<&mut Entity>, a: u64, b: u64, c: u64) -> Option<u32> {
        let answer = self.raw(call, [task.as_deref(), None], a, b, c)?;
        self.len.set((answer >> 32) as usize);
        if let Some(task) = &mut task {
            let guest = &mut *self.guest.borrow_mut();
            let place = guest.memory.data(&guest.store).get(guest.buffer..guest.buffer + TASK)?;
            take(task, place.try_into().ok()?);
        }
        Some(answer as u32)
    }
}

/// A task in the layout of the ABI.
fn bytes(task: &Entity) -> [u8; TASK] {
    let mut bytes = [0; TASK];
    bytes[..4].copy_from_slice(&task.key.0.to_le_bytes());
    bytes[4] = task.priority;
    bytes[8..16].copy_from_slice(&task.id.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&task.deadline.as_nanos().to_le_bytes());
    bytes[24..32].copy_from_slice(&task.slice.as_nanos().to_le_bytes());
    bytes[32..].copy_from_slice(&task.virt.lag.to_le_bytes());
    bytes
}

/// Takes over what a policy may change: not which task it is.
fn take(task: &mut Entity, bytes: &[u8; TASK]) {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    task.priority = bytes[4];
    task.deadline = Timestamp::from_nanos(word(16));
    task.slice = Duration::from_nanos(word(24));
    task.virt.lag = word(32) as i64;
}

fn key(answer: Option<u32>) -> Option<TaskKey> {
    answer.filter(|key| *key != NOBODY).map(TaskKey)
}

impl SchedulingPolicy for WasmPolicy {
    fn name(&self) -> &'static str {
        self.name
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        self.call(Call::OnReady, Some(task), why as u64, now.as_nanos(), 0);
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        key(self.call(Call::Select, None, now.as_nanos(), 0, 0))
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        key(self.call(Call::Peek, None, now.as_nanos(), 0, 0))
    }
    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        key(self.call(Call::Exchange, Some(task), why as u64, now.as_nanos(), 0))
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.call(Call::OnBlock, Some(task), now.as_nanos(), 0, 0);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.call(Call::Remove, Some(task), now.as_nanos(), 0, 0) == Some(1)
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        if self.call(Call::Update, Some(task), priority.into(), deadline.as_nanos(), now.as_nanos()).is_none() {
            (task.priority, task.deadline) = (priority, deadline);
        }
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.call(Call::OnTick, Some(task), ran.as_nanos(), now.as_nanos(), 0);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.raw(Call::TimeSlice, [Some(task), None], 0, 0, 0).map_or(FAULTY_SLICE, Duration::from_nanos)
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.raw(Call::Preempts, [Some(ready), Some(running)], 0, 0, 0) == Some(1)
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.guest.borrow_mut().store.data_mut().shown.clear();
        if self.raw(Call::Visit, [None, None], 0, 0, 0).is_some() {
            let shown = std::mem::take(&mut self.guest.borrow_mut().store.data_mut().shown);
            let _ = shown.into_iter().map(TaskKey).any(visit);
        }
    }
    fn len(&self) -> usize {
        self.len.get()
    }
    fn reserve(&mut self, keys: usize) {
        self.call(Call::Reserve, None, keys as u64, 0, 0);
    }
}
