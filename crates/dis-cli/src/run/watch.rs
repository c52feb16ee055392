//! Watches over a round from outside: the end of its time, Ctrl-C, the progress line, tasks that hang.

use std::thread::sleep;
use std::time::Duration;

use super::interrupt::Interrupt;
use crate::host::Host;
use crate::output::progress::{Progress, bar};
use crate::sys;
use dis_workload::interp::{Round, Slot};
use dis_workload::report::Grid;

/// How often the line is drawn.
const FRAME_NS: u64 = 100_000_000;
/// How often it is looked whether all tasks have ended.
const LOOK_NS: u64 = 20_000_000;
/// How long tasks may take to see that the round is over. They look every 50 µs of their CPU time, so this covers a
/// machine that is very busy.
const GRACE_NS: u64 = 3_000_000_000;

/// What a round is watched with.
#[derive(Debug)]
pub struct Watch<'a> {
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// The line.
    pub progress: &'a mut Progress,
    /// Which round it is: `DIS 1/3`; empty if there is only one.
    pub label: String,
    /// Time of the whole command before this round, and altogether, ns; altogether 0 if there is no end.
    pub before: u64,
    /// See `before`.
    pub total: u64,
}

impl Watch<'_> {
    /// Waits until the round is over and stops it. Answers how long it took, ns, and whether all tasks ended. Asks for
    /// `extra` text when it draws the line, and calls `tick` every now and then. When the time is over it calls
    /// `measure`, which answers the instant up to which it has measured: what tasks use until they have seen that the
    /// round is over belongs to nothing.
    pub fn attend<H: Host>(
        &mut self,
        round: &Round<H>,
        extra: impl Fn() -> String,
        mut tick: impl FnMut(),
        measure: impl FnOnce() -> u64,
    ) -> (u64, bool) {
        let (start, end) = (round.run.start(), round.run.end());
        let (mut drawn, mut grids) = (0, round.grids());
        loop {
            let now = sys::monotonic();
            if now >= end || self.interrupt.has_come() || round.is_done() {
                break;
            }
            if self.progress.is_on() && now >= drawn + FRAME_NS {
                drawn = now;
                let line = self.line(now.saturating_sub(start), round, &mut grids, &extra());
                self.progress.draw(&line);
            }
            tick();
            sleep(Duration::from_nanos(LOOK_NS.min(end - now)));
        }
        let measured = measure();
        round.stop();
        let patience = sys::monotonic() + GRACE_NS;
        while !round.is_at_rest() && sys::monotonic() < patience {
            sleep(Duration::from_millis(1));
        }
        (measured.saturating_sub(start), round.is_done())
    }

    fn line<H: Host>(&self, elapsed: u64, round: &Round<H>, grids: &mut [Option<Grid>], extra: &str) -> String {
        let sum = |count: fn(&Slot) -> u64| round.slots.iter().map(count).sum::<u64>();
        let jobs = sum(|slot| slot.jobs.load(std::sync::atomic::Ordering::Relaxed));
        let paced = sum(|slot| slot.misses.load(std::sync::atomic::Ordering::Relaxed));
        let misses = paced + round.missed_by(grids, round.run.start() + elapsed).sum::<u64>();
        let elapsed = self.before + elapsed;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let label = if self.label.is_empty() { String::new() } else { format!("{}  ", self.label) };
        let time = match self.total {
            0 => format!("{:.1} s (Ctrl-C ends it)", seconds(elapsed)),
            total => {
                let bar = bar(elapsed as f64 / total as f64, 20);
                format!("{bar} {:.1} / {:.1} s", seconds(elapsed), seconds(total))
            }
        };
        format!("{label}{time}  {jobs} jobs  {misses} missed{extra}")
    }
}
