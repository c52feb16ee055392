//! What the tasks of a run share: mutexes, events, barriers and timers at work.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::model::{EventKind, Objects};

use super::Run;
use super::host::{Host, Lock, Park};

/// The objects of a workload, by the ids of the model.
pub struct Shared<H: Host> {
    /// Mutexes.
    pub mutexes: Vec<H::Mutex<()>>,
    /// Events.
    pub events: Vec<Event<H>>,
    /// Barriers.
    pub barriers: Vec<Barrier<H>>,
    /// References of timers; those of an instance's own timers stay unused.
    pub timers: Vec<H::Mutex<Option<u64>>>,
    /// One for each task.
    pub waiters: Vec<Waiter<H>>,
}

/// Where one task waits.
pub struct Waiter<H: Host> {
    /// What blocks it.
    pub parker: H::Parker,
    /// When it was woken; 0 while it waits.
    woken: AtomicU64,
}

type Mutex<H, T> = <H as Host>::Mutex<T>;

/// An event: who waits, and the instant of a signal that is remembered.
pub struct Event<H: Host> {
    kind: EventKind,
    state: Mutex<H, EventState>,
}

#[derive(Default)]
struct EventState {
    waiting: VecDeque<usize>,
    latched: Option<u64>,
}

/// A barrier: who waits for the rest.
pub struct Barrier<H: Host> {
    parties: usize,
    waiting: Mutex<H, Vec<usize>>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The task blocked and was woken at this instant.
    At(u64),
    /// What it waited for had happened already, at this instant.
    Already(u64),
    /// The run is over.
    Over,
}

impl<H: Host> Shared<H> {
    /// The objects of `objects` for so many tasks.
    pub fn new(objects: &Objects, tasks: usize) -> Self {
        let waiter = || Waiter { parker: H::Parker::new(), woken: AtomicU64::new(0) };
        Shared {
            mutexes: objects.mutexes.iter().map(|_| H::Mutex::new(())).collect(),
            events: (objects.events.iter())
                .map(|event| Event { kind: event.kind, state: H::Mutex::new(EventState::default()) })
                .collect(),
            barriers: (objects.barriers.iter())
                .map(|barrier| Barrier { parties: barrier.parties, waiting: H::Mutex::new(Vec::new()) })
                .collect(),
            timers: objects.timers.iter().map(|_| H::Mutex::new(None)).collect(),
            waiters: (0..tasks).map(|_| waiter()).collect(),
        }
    }

    /// Unparks every task, so that it sees that the run is over.
    pub fn unpark_all(&self) {
        self.waiters.iter().for_each(|waiter| waiter.parker.unpark());
    }

    fn wake(&self, task: usize, now: u64) {
        self.waiters[task].woken.store(now.max(1), Ordering::Release);
        self.waiters[task].parker.unpark();
    }

    /// Blocks task `me`, which is in a list of waiters, until somebody takes it out and wakes it.
    fn wait(&self, me: usize, run: &Run) -> Woken {
        let waiter = &self.waiters[me];
        loop {
            match waiter.woken.load(Ordering::Acquire) {
                0 if run.is_stopped() => return Woken::Over,
                0 => waiter.parker.park(),
                at => return Woken::At(at),
            }
        }
    }
}

impl<H: Host> Event<H> {
    /// Wakes the task that has waited longest, or all; with nobody waiting, a latched event remembers it.
    pub fn signal(&self, host: &H, shared: &Shared<H>, all: bool) {
        let mut state = self.state.lock();
        let now = host.now();
        let count = if all { state.waiting.len() } else { state.waiting.len().min(1) };
        if count == 0 && self.kind == EventKind::Latched {
            state.latched.get_or_insert(now);
        }
        let woken: Vec<usize> = state.waiting.drain(..count).collect();
        drop(state);
        woken.into_iter().for_each(|task| shared.wake(task, now));
    }

    /// Waits for a signal. `release` is called once the task is on the list, so no signal of whoever takes the mutex
    /// that it releases is lost.
    pub fn wait(&self, shared: &Shared<H>, me: usize, run: &Run, release: impl FnOnce()) -> Woken {
        let mut state = self.state.lock();
        if let Some(at) = state.latched.take() {
            return Woken::Already(at);
        }
        shared.waiters[me].woken.store(0, Ordering::Relaxed);
        state.waiting.push_back(me);
        drop(state);
        release();
        shared.wait(me, run)
    }
}

impl<H: Host> Barrier<H> {
    /// Waits until all parties are here; the last one goes on at once.
    pub fn arrive(&self, host: &H, shared: &Shared<H>, me: usize, run: &Run) -> Woken {
        let mut waiting = self.waiting.lock();
        if waiting.len() + 1 >= self.parties {
            let others = core::mem::take(&mut *waiting);
            drop(waiting);
            let now = host.now();
            others.into_iter().for_each(|task| shared.wake(task, now));
            return Woken::Already(now);
        }
        shared.waiters[me].woken.store(0, Ordering::Relaxed);
        waiting.push(me);
        drop(waiting);
        shared.wait(me, run)
    }
}
