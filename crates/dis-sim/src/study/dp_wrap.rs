//! DP-Wrap.

use dis_core::admission::SporadicTask;
use dis_core::api::Duration;

use super::GlobalPolicy;
use super::task::{State, StudyTask};

/// DP-Wrap (Levin, Funk, Sadowski, Pye and Brandt, "DP-FAIR: A Simple Model for Understanding Optimal Multiprocessor Scheduling",
/// ECRTS 2010): time is divided into slices by the deadlines of all tasks. In a slice each task gets its share, wcet / period of
/// its length, so that all have had exactly what they need whenever one is due. The shares are laid end to end along the CPUs
/// (McNaughton's wrap-around rule, 1959); a task that is cut by the end of a CPU has the end of the slice there and the beginning
/// on the next one, and never both at once, as no share is longer than the slice.
///
/// Shares are rounded to ns, up where that fits. A task that gets less than a nanosecond of the shortest slice may have had one in
/// advance where another one needs it, so such a task needs that nanosecond in every slice to be safe ([`with_rounding`]). What a job leaves of its wcet stays unused. O(n + CPUs) for each change.
#[derive(Debug)]
pub(super) struct DpWrap {
    cpus: u64,
    /// The present slice, ns.
    begin: u64,
    end: u64,
    /// Where each task's share begins and ends, ns along all CPUs.
    shares: Vec<(u64, u64)>,
    /// What each task has been given up to the end of the slice.
    given: Vec<u64>,
}

/// The tasks with what rounding may cost. The shares of a slice fit the CPUs if each task gets at least 1 ns of it, as then nobody
/// has had more at its beginning than is its due at its end, and all together have had at least their shares; so a lighter task is
/// counted as 1 ns of the shortest slice there can be, which is the greatest common divisor of periods and first releases.
pub(super) fn with_rounding(tasks: &[SporadicTask], starts: &[Duration]) -> Vec<SporadicTask> {
    let cuts = tasks.iter().map(|task| task.period).chain(starts.iter().copied()).map(|cut| cut.as_nanos());
    let slice = cuts.fold(0, gcd).max(1);
    let rounded = |task: &SporadicTask| {
        let light = u128::from(task.wcet.as_nanos()) * u128::from(slice) < u128::from(task.period.as_nanos());
        let wcet = if light { Duration::from_nanos(task.period.as_nanos().div_ceil(slice)) } else { task.wcet };
        SporadicTask { wcet, ..*task }
    };
    tasks.iter().map(rounded).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl DpWrap {
    pub fn new(cpus: usize) -> Self {
        DpWrap { cpus: cpus as u64, begin: 0, end: 0, shares: Vec::new(), given: Vec::new() }
    }

    /// Divides the slice that begins now.
    fn divide(&mut self, now: u64, tasks: &[StudyTask]) {
        self.given.resize(tasks.len(), 0);
        let alive = |task: &&StudyTask| task.state != State::Ended;
        let next = |task: &StudyTask| match now.checked_sub(task.start) {
            Some(passed) => task.start + (passed / task.period() + 1) * task.period(),
            None => task.start,
        };
        self.begin = now;
        self.end = tasks.iter().filter(alive).map(next).min().unwrap_or(u64::MAX);
        let length = self.end - now;
        // For each task the least and the most that keeps it within a nanosecond of its share.
        let bounds = |(index, task): (usize, &StudyTask)| {
            if self.end <= task.start || task.state == State::Ended {
                return (0, 0);
            }
            let share = u128::from(task.wcet()) * u128::from(self.end - task.start);
            let (least, most) = (share / u128::from(task.period()), share.div_ceil(u128::from(task.period())));
            let rest = |total: u128| (total as u64).saturating_sub(self.given[index]).min(length);
            (rest(least), rest(most))
        };
        let bounds: Vec<(u64, u64)> = tasks.iter().enumerate().map(bounds).collect();
        let capacity = u128::from(length) * u128::from(self.cpus);
        let mut spare = capacity.saturating_sub(bounds.iter().map(|&(least, _)| u128::from(least)).sum());
        let mut at = 0;
        self.shares.clear();
        for (index, (least, most)) in bounds.into_iter().enumerate() {
            let more = u128::from(most - least).min(spare);
            spare -= more;
            let share = least + more as u64;
            self.given[index] += share;
            self.shares.push((at, at + share));
            at += share;
        }
    }
}

impl GlobalPolicy for DpWrap {
    fn accepts(&self, task: &SporadicTask, _start: u64) -> Result<(), &'static str> {
        if task.deadline == task.period {
            Ok(())
        } else {
            Err("dp-wrap needs deadlines equal to periods; take llf or global-edf for others")
        }
    }

    fn choose(&mut self, now: u64, tasks: &[StudyTask], _cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        if now >= self.end {
            self.divide(now, tasks);
        }
        if self.end == u64::MAX {
            return None;
        }
        let (length, passed) = (self.end - self.begin, now - self.begin);
        let mut next = length;
        for (index, &(from, to)) in self.shares.iter().enumerate() {
            // The part of the share on each CPU that it touches: at most two.
            for cpu in from / length..to.div_ceil(length).min(self.cpus) {
                let (from, to) = (from.max(cpu * length) - cpu * length, to.min((cpu + 1) * length) - cpu * length);
                if from <= passed && passed < to && tasks[index].is_ready() {
                    chosen.push(index);
                }
                next = [from, to].into_iter().filter(|&at| at > passed).fold(next, u64::min);
            }
        }
        Some(self.begin + next)
    }
}
