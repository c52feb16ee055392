//! What the interpreter of workloads needs, as this kernel has it.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, TaskId, Timestamp};
use dis_workload::interp::{CHUNK_NS, Host, NextJob, Park, Speed, spin};
use dis_workload::model::TaskSpec;
use dis_workload::report::Counters;

use super::mutex::Mutex;
use crate::arch::irq;
use crate::sched::scheduler;
use crate::{clock, task};

/// Rounds of one measurement of the speed, and how many measurements the median is taken of.
const ROUNDS: u64 = 20_000;
const SAMPLES: usize = 9;
/// Work between two looks at the clock, and between two `pause` instructions. Where one thread emulates all CPUs, that is
/// when another one gets its turn: without it each would run on until the next timer.
const PIECE_NS: u64 = 1_000;

/// How fast this CPU computes; nobody interrupts it meanwhile.
pub fn calibrate() -> Speed {
    let mut samples = [0; SAMPLES];
    for sample in &mut samples {
        let _off = irq::Off::new();
        let begin = clock::now();
        spin(ROUNDS);
        *sample = clock::now().since(begin).as_nanos();
    }
    samples.sort_unstable();
    Speed::measured(ROUNDS, samples[SAMPLES / 2])
}

/// A task of this kernel as it sees itself.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Whether its jobs are released by the scheduler.
    periodic: bool,
}

impl Bare {
    /// For a task that does what `spec` says.
    pub fn new(spec: &TaskSpec) -> Bare {
        Bare { periodic: spec.is_released_by_intent() }
    }
}

impl Bare {
    /// CPU time that the calling task has used, ns.
    fn used(&self) -> u64 {
        task::stats(task::current()).map_or(0, |stats| stats.cpu_time)
    }
}

impl Host for Bare {
    type Mutex<T: Send + 'static> = Mutex<T>;
    type Parker = Parker;

    fn now(&self) -> u64 {
        clock::now().as_nanos()
    }

    fn yield_now(&self) {
        task::yield_now();
    }

    fn set_affinity(&self, mask: CpuMask) -> Result<(), String> {
        task::set_affinity(task::current(), mask).map_err(|error| format!("affinity {mask} was refused: {error}"))
    }

    fn next_job(&self, arrival: Option<u64>) -> Option<NextJob> {
        if !self.periodic {
            return None;
        }
        match arrival {
            None => task::next_period(),
            Some(arrival) => task::next_job(Timestamp::from_nanos(arrival)),
        }
        let job = scheduler().with_task(task::current(), |task| task.job()).ok()?;
        Some(NextJob { release: job.release.as_nanos(), skipped: job.skipped })
    }

    /// By the scheduler's own account: how fast an emulated CPU computes depends on what the others do.
    fn burn(&self, speed: Speed, ns: u64, mut go_on: impl FnMut() -> bool) -> u64 {
        let begin = self.used();
        let mut done = 0;
        while done < ns {
            if done > 0 && !go_on() {
                return done;
            }
            // No task uses more than the time that passes, so nothing need be asked before.
            let until = clock::now() + Duration::from_nanos((ns - done).min(CHUNK_NS));
            while clock::now() < until {
                speed.spin(PIECE_NS);
                core::hint::spin_loop();
            }
            done = self.used().saturating_sub(begin);
        }
        ns
    }

    /// The core itself counts overruns, which is what this is asked for.
    fn cpu_time(&self) -> Option<u64> {
        None
    }

    /// The core counts; its numbers are added at the end.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Blocks one task.
pub struct Parker {
    /// Who parks here, once it has.
    task: AtomicU64,
    unparked: AtomicBool,
}

impl Parker {
    fn wait(&self, until: Option<Timestamp>) {
        self.task.store(task::current().0, Ordering::SeqCst);
        if !self.unparked.swap(false, Ordering::SeqCst) {
            // Who unparks from now on finds the task, and if it is not blocked yet the core remembers that.
            task::block(BlockReason::Event, until);
            self.unparked.store(false, Ordering::SeqCst);
        }
    }
}

impl Park for Parker {
    fn new() -> Parker {
        Parker { task: AtomicU64::new(TaskId::INVALID.0), unparked: AtomicBool::new(false) }
    }

    fn park(&self) {
        self.wait(None);
    }

    fn park_until(&self, due: u64) {
        self.wait(Some(Timestamp::from_nanos(due)));
    }

    fn unpark(&self) {
        self.unparked.store(true, Ordering::SeqCst);
        let id = TaskId(self.task.load(Ordering::SeqCst));
        if id != TaskId::INVALID {
            // One that has ended waits for nothing.
            let _ = task::unpark(id);
        }
    }
}
