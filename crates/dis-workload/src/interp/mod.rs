//! Executes the steps of a task and measures what the scheduler makes of it.
//!
//! * **Wake latency**: from the instant at which a sleep, a timer or a release was due, or an event was signalled, to the
//!   task's next instruction. A task that need not block has none.
//! * **Response time**: of a periodic task from the release to the end of the pass; of others from the wake-up to the
//!   next step that waits for time or an event. Waiting for a mutex is part of it.
//! * **Misses**: the releases of a periodic task whose deadlines came, at the latest at the end of the round, before their
//!   jobs had ended; those that were left out, or whose jobs never ended, are among them. A Realtime task that paces
//!   itself misses when a response takes longer than its relative deadline.
//! * **CPU time**, switches, migrations and overruns are the host's counts.

mod body;
mod host;
mod objects;
mod record;
mod work;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{Arrivals, Draws, Instance, Workload};
use crate::report::{Grid, Record};

pub use body::execute;
pub use host::{Host, Lock, NextJob, Park};
pub use objects::{Barrier, Event, Shared, Waiter, Woken};
pub use record::Slot;
pub use work::{CHUNK_NS, Speed, spin};

/// One round of a workload on one host.
pub struct Round<H: Host> {
    /// What is run.
    pub workload: Arc<Workload>,
    /// Mutexes, events and so on.
    pub shared: Shared<H>,
    /// One for each task, in the order of [`Workload::instances`].
    pub slots: Vec<Slot>,
    /// Begin and end.
    pub run: Run,
    /// Speed of the CPUs.
    pub speed: Speed,
    /// The random times of each task, from their beginning.
    pub draws: Vec<Draws>,
    /// The arrivals of each sporadic task, as if it began at 0.
    pub arrivals: Vec<Option<Arrivals>>,
    /// Deadlines missed, for a trace: which task, when. `None`: nobody wants to know.
    pub misses: Option<H::Mutex<Vec<(usize, u64)>>>,
}

/// Most misses kept between two looks at them.
const MOST_MISSES: usize = 65_536;

/// When a round begins and ends.
#[derive(Debug)]
pub struct Run {
    start: AtomicU64,
    length: u64,
    stopped: AtomicBool,
}

impl<H: Host> Round<H> {
    /// A round of `length` ns that begins at `start`.
    pub fn new(workload: &Arc<Workload>, speed: Speed, start: u64, length: u64) -> Self {
        let tasks = workload.instances().count();
        Round {
            workload: Arc::clone(workload),
            shared: Shared::new(&workload.objects, tasks),
            slots: (0..tasks).map(|_| Slot::default()).collect(),
            run: Run { start: start.into(), length, stopped: AtomicBool::new(false) },
            speed,
            draws: Vec::new(),
            arrivals: Vec::new(),
            misses: None,
        }
        .seed(workload.seed)
    }

    /// Random times depend on this seed, and not on the workload's own.
    pub fn seed(mut self, seed: u64) -> Self {
        let workload = &self.workload;
        self.draws = workload.instances().map(|one| Draws::new(seed, one.task, one.instance)).collect();
        self.arrivals = workload.instances().map(|one| Arrivals::of(&one, seed)).collect();
        self
    }

    /// Keeps the instants of missed deadlines, for [`take_misses`](Self::take_misses).
    pub fn keep_misses(mut self) -> Self {
        self.misses = Some(H::Mutex::new(Vec::new()));
        self
    }

    /// The deadlines missed since the last call.
    pub fn take_misses(&self) -> Vec<(usize, u64)> {
        self.misses.as_ref().map(|misses| core::mem::take(&mut *misses.lock())).unwrap_or_default()
    }

    fn missed(&self, task: usize, at: u64) {
        if let Some(misses) = &self.misses {
            let mut misses = misses.lock();
            if misses.len() < MOST_MISSES {
                misses.push((task, at));
            }
        }
    }

    /// Ends the round now, wherever the tasks are.
    pub fn stop(&self) {
        self.run.stopped.store(true, Ordering::SeqCst);
        self.shared.unpark_all();
    }

    /// Whether every task has ended.
    pub fn is_done(&self) -> bool {
        self.slots.iter().all(Slot::is_done)
    }

    /// Whether every task has ended or waits for a release only.
    pub fn is_at_rest(&self) -> bool {
        self.slots.iter().all(Slot::is_at_rest)
    }

    /// When the jobs of each task are due, for [`missed_by`](Self::missed_by); `None` for tasks that have no deadlines. To be asked when the
    /// start is known.
    pub fn grids(&self) -> Vec<Option<Grid>> {
        let grid = |(instance, arrivals): (Instance<'_>, &Option<Arrivals>)| {
            Grid::of(instance.spec, self.run.start() + instance.spec.offset.as_nanos(), arrivals.clone())
        };
        self.workload.instances().zip(&self.arrivals).map(grid).collect()
    }

    /// Deadlines missed up to `end`, task by task. With the same `grids`, `end` does not go back. O(tasks + releases of sporadic ones since
    /// the last question).
    pub fn missed_by(&self, grids: &mut [Option<Grid>], end: u64) -> impl Iterator<Item = u64> {
        let tasks = self.workload.instances().zip(&self.slots).zip(grids);
        tasks.map(move |((instance, slot), grid)| {
            let (spec, objects) = (instance.spec, &self.workload.objects);
            let jobs = slot.jobs.load(Ordering::Relaxed);
            let missed = |grid| slot.deadlines.missed(grid, objects, spec.repeat, jobs, end);
            grid.as_mut().map_or(0, missed)
        })
    }

    /// The records of a round that ended at `end`. To be asked when the tasks have ended or are not waited for any more.
    pub fn records(&self, end: u64) -> Vec<Record> {
        let end = end.min(self.run.end());
        let mut grids = self.grids();
        self.slots.iter().zip(self.missed_by(&mut grids, end)).map(|(slot, missed)| slot.take(missed)).collect()
    }
}

impl Run {
    /// When it begins.
    pub fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// Begins at `start` instead; for hosts whose tasks wait for the start.
    pub fn set_start(&self, start: u64) {
        self.start.store(start, Ordering::Release);
    }

    /// When it ends.
    pub fn end(&self) -> u64 {
        self.start().saturating_add(self.length)
    }

    /// Whether it was stopped or its end was seen to have come.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
