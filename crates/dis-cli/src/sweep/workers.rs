//! The work, on several threads.
//!
//! Threads take sets in order, and each set counts for itself, so the sums do not depend on who did what. A thread that has
//! taken a set finishes it: after a signal exactly the sets before some point are done, not those that were quick.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::curves::Curves;
use super::experiment::Experiment;
use crate::cli::percent;
use crate::failure::Failure;
use crate::output::progress::{Progress, bar};
use crate::run::interrupt::Interrupt;
use crate::sys;

/// How often the progress line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// What the threads share.
struct Shared<'a> {
    experiment: &'a Experiment,
    /// The next set that nobody has taken.
    next: AtomicUsize,
    /// No more sets are to be taken.
    stop: AtomicBool,
    /// The earliest set that failed, and how.
    failure: Mutex<Option<(usize, Failure)>>,
}

/// Does the experiment, on `threads` threads or one for each CPU.
///
/// # Errors
/// A set could not be made.
pub fn run(
    experiment: &Experiment,
    threads: Option<u64>,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Curves, Failure> {
    let threads = threads.map_or_else(|| sys::allowed_cpus().len(), |threads| threads as usize);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let shared = &Shared { experiment, next, stop, failure: Mutex::new(None) };
    let mut curves = Curves::new(experiment);
    thread::scope(|scope| {
        let main = thread::current();
        let spawn = |_| {
            let main = main.clone();
            scope.spawn(move || {
                let done = shared.work();
                main.unpark();
                done
            })
        };
        let workers: Vec<_> = (0..threads.min(experiment.total())).map(spawn).collect();
        let begun = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::park_timeout(REDRAW);
            if interrupt.has_come() {
                shared.stop.store(true, Ordering::Relaxed);
            }
            shared.draw(progress, begun.elapsed());
        }
        for worker in workers {
            match worker.join() {
                Ok(done) => curves.add(&done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let failure = shared.failure.lock().map_or(None, |mut failure| failure.take());
    failure.map_or(Ok(curves), |(_, failure)| Err(failure))
}

impl Shared<'_> {
    fn work(&self) -> Curves {
        let mut done = Curves::new(self.experiment);
        while !self.stop.load(Ordering::Relaxed) {
            let set = self.next.fetch_add(1, Ordering::Relaxed);
            if set >= self.experiment.total() {
                break;
            }
            match self.experiment.try_set(set) {
                Ok(accepted) => done.count(self.experiment.point_of(set), &accepted),
                Err(failure) => self.fail(set, failure),
            }
        }
        done
    }

    /// Of several failures that of the first set counts, whoever came first: sets before it have been taken and are finished.
    fn fail(&self, set: usize, failure: Failure) {
        self.stop.store(true, Ordering::Relaxed);
        if let Ok(mut earliest) = self.failure.lock()
            && earliest.as_ref().is_none_or(|(known, _)| set < *known)
        {
            *earliest = Some((set, failure));
        }
    }

    fn draw(&self, progress: &mut Progress, elapsed: Duration) {
        let total = self.experiment.total();
        let taken = self.next.load(Ordering::Relaxed).min(total - 1);
        let part = taken as f64 / total as f64;
        let (machine, point) = self.experiment.place_of(taken);
        let at = format!("{}, {}", machine.describe(), percent(point.permille));
        let left = elapsed.as_secs_f64() * (1.0 - part) / part.max(1e-9);
        let left = if part > 0.01 { format!("  about {left:.0} s left") } else { String::new() };
        progress.draw(&format!("{}  {taken}/{total} sets, at {at}{left}", bar(part, 24)));
    }
}
