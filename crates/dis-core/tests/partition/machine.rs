//! Partitioned EDF with split tasks, executed tick by tick: what the analysis must not promise too much for.

use std::collections::VecDeque;

use dis_core::admission::{Assignment, Piece, SporadicTask};

use crate::common::rng::Rng;

/// A task as the machine runs it: on its pieces, one for a whole task.
#[derive(Debug, Clone)]
pub struct Task {
    pub task: SporadicTask,
    pub pieces: Vec<Piece>,
    /// A reservation: its windows are the clock's; it may wake in one, and has then its share of the rest.
    pub reservation: bool,
}

impl Task {
    pub fn new(task: SporadicTask, assignment: &Assignment) -> Task {
        let pieces = match assignment {
            Assignment::Whole(cpu) => {
                let (offset, budget) = (dis_core::api::Duration::ZERO, task.wcet);
                vec![Piece { cpu: *cpu, budget, offset, deadline: task.deadline }]
            }
            Assignment::Split(pieces) => pieces.clone(),
        };
        Task { task, pieces, reservation: false }
    }
}

/// A deadline that was not met: of which task, which of its pieces, when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss {
    pub task: usize,
    pub piece: usize,
    pub at: u64,
}

/// How jobs come and what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// All at once, as often and as long as they may.
    Full,
    /// Offsets, gaps, jitter and shorter jobs, at random.
    Random,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    release: u64,
    ready: u64,
    left: u64,
    piece: usize,
    budget: u64,
}

/// Who uses ticks of a CPU before EDF does: asked for each tick with whether EDF has something to run; true takes it.
pub trait Rival {
    fn takes(&mut self, cpu: usize, now: u64, wanted: bool, rng: &mut Rng) -> bool;
}

/// Nobody.
pub struct Nobody;

impl Rival for Nobody {
    fn takes(&mut self, _: usize, _: u64, _: bool, _: &mut Rng) -> bool {
        false
    }
}

/// System and the lower classes, as the arbiter lets them: System runs at once, for so much of each window; the lower classes
/// always have something to do, and get what System and EDF leave of the cap.
pub struct Classes {
    window: u64,
    cap: u64,
    /// For each CPU: System's share, and what of this window System and all above the lower classes have used.
    cpus: Vec<(u64, u64, u64)>,
    /// When in a window System begins to want the CPU.
    begins: u64,
}

impl Classes {
    pub fn new(window: u64, cap: u64, system: Vec<u64>) -> Classes {
        Classes { window, cap, cpus: system.into_iter().map(|share| (share, 0, 0)).collect(), begins: 0 }
    }
}

impl Rival for Classes {
    fn takes(&mut self, cpu: usize, now: u64, wanted: bool, rng: &mut Rng) -> bool {
        let at = now % self.window;
        if at == 0 && cpu == 0 {
            self.cpus.iter_mut().for_each(|(_, system, high)| (*system, *high) = (0, 0));
            self.begins = if rng.chance(500) { 0 } else { rng.below(self.window) };
        }
        let (share, system, high) = &mut self.cpus[cpu];
        // Late enough for the last tick of the window, so that it goes on in the next one.
        let begins = if self.begins == 0 { 0 } else { self.begins.min(self.window - (*share).min(self.window)) };
        if *high >= self.cap {
            return true;
        }
        let takes = at >= begins && *system < *share;
        *system += u64::from(takes);
        *high += u64::from(takes || wanted);
        takes
    }
}

/// Runs `tasks` on `cpus` CPUs for `ticks`; ties go to the lower index. The first miss, if there is one.
pub fn run(tasks: &[Task], cpus: usize, ticks: u64, load: Load, rival: &mut impl Rival, rng: &mut Rng) -> Option<Miss> {
    let mut next: Vec<u64> = tasks
        .iter()
        .map(|task| {
            let full = load == Load::Full || task.reservation;
            if full { 0 } else { rng.below(2 * task.task.period.as_nanos()) }
        })
        .collect();
    let mut jobs: Vec<VecDeque<Job>> = vec![VecDeque::new(); tasks.len()];
    for now in 0..ticks {
        for (i, Task { task, pieces, reservation }) in tasks.iter().enumerate() {
            if *reservation {
                if next[i] == now {
                    let window = task.period.as_nanos();
                    let late = if load == Load::Random && rng.chance(500) { rng.below(window) } else { 0 };
                    let left = task.wcet.as_nanos() * (window - late) / window;
                    // Who woke late has not been promised the window's rest.
                    if jobs[i].pop_front().is_some_and(|job| job.ready == job.release) {
                        return Some(Miss { task: i, piece: 0, at: now });
                    }
                    if left > 0 {
                        jobs[i].push_back(Job { release: now, ready: now + late, left, piece: 0, budget: left });
                    }
                    next[i] = now + window;
                }
                continue;
            }
            if next[i] == now {
                let (wcet, jitter) = (task.wcet.as_nanos(), task.jitter.as_nanos());
                let random = load == Load::Random;
                let left = if random && rng.chance(400) { 1 + rng.below(wcet) } else { wcet };
                let ready = now + if random { rng.below(jitter + 1) } else { 0 };
                let gap = if random && rng.chance(300) { rng.below(task.period.as_nanos()) } else { 0 };
                jobs[i].push_back(Job { release: now, ready, left, piece: 0, budget: pieces[0].budget.as_nanos() });
                next[i] = now + task.period.as_nanos() + gap;
            }
            if let Some(job) = jobs[i].front() {
                let due = job.release + pieces[job.piece].deadline.as_nanos();
                if due <= now {
                    return Some(Miss { task: i, piece: job.piece, at: now });
                }
            }
        }
        for cpu in 0..cpus {
            let due = |i: usize| {
                let (job, pieces) = (jobs[i].front()?, &tasks[i].pieces);
                let piece = pieces[job.piece];
                let here = piece.cpu == cpu && job.ready <= now && job.release + piece.offset.as_nanos() <= now;
                here.then_some((job.release + piece.deadline.as_nanos(), i))
            };
            // A job that moved in this tick runs in the next one.
            let first = (0..tasks.len()).filter_map(due).min();
            if rival.takes(cpu, now, first.is_some(), rng) {
                continue;
            }
            let Some((_, i)) = first else { continue };
            let Some(job) = jobs[i].front_mut() else { continue };
            job.left -= 1;
            job.budget -= 1;
            if job.left == 0 {
                jobs[i].pop_front();
            } else if job.budget == 0 {
                job.piece += 1;
                job.budget = tasks[i].pieces[job.piece].budget.as_nanos();
                job.ready = job.ready.max(now + 1);
            }
        }
    }
    None
}
