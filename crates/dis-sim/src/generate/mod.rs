//! Random task sets: a [`Recipe`] says what kind, a seed which one.
//!
//! A set is drawn in three independent steps: the utilisations, uniformly among all that have the wanted sum and of which
//! none exceeds one CPU ([`Shares`]); the periods ([`Periods`]); the deadlines ([`Recipe::deadline_ratio`]). Then the wcet of
//! a task is its utilisation times its period, rounded down to a tick of 1 µs, and 1 tick at least.
//!
//! The same recipe and seed give the same set on every machine. The generator is ChaCha8, whose output is fixed by its
//! documentation. Floating point occurs between the random bits and the integers of the result, and only as additions,
//! multiplications, divisions and comparisons, which IEEE 754 defines to the last bit, and as `exp`, `log` and `pow` of the
//! crate `libm`, which is made of these.

mod fixed_sum;
mod periods;
mod random;
mod uunifast;

use std::fmt;

use dis_core::admission::SporadicTask;
use dis_core::api::Duration;

pub use periods::Periods;

use fixed_sum::FixedSum;
use random::Random;

/// Utilisation of one CPU, in parts per billion.
pub const CPU_PPB: u64 = 1_000_000_000;

/// The unit of all times in a set.
pub const TICK: Duration = Duration::from_micros(1);

/// How the total utilisation is divided among the tasks. Both are uniform over the same vectors, so they differ in cost only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// UUniFast (Bini and Buttazzo, "Measuring the Performance of Schedulability Tests", Real-Time Systems 30, 2005),
    /// repeated until no task exceeds one CPU (Davis and Burns, "Priority Assignment for Global Fixed Priority Pre-emptive
    /// Scheduling in Multiprocessor Real-Time Systems", RTSS 2009). Repeats ever more as the mean approaches one CPU.
    UUniFastDiscard,
    /// Stafford's RandFixedSum, as Emberson, Stafford and Davis use it ("Techniques for the Synthesis of Multiprocessor
    /// Tasksets", WATERS 2010). Never repeats.
    FixedSum,
}

impl Shares {
    /// All, in the order in which help shows them.
    pub const ALL: [Shares; 2] = [Shares::UUniFastDiscard, Shares::FixedSum];

    /// The name as `--generator` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Shares::UUniFastDiscard => "uunifast-discard",
            Shares::FixedSum => "fixed-sum",
        }
    }
}

/// What kind of task set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Number of tasks, 1..=[`MAX_TASKS`].
    pub tasks: usize,
    /// Sum of the utilisations before they are rounded, in parts per billion of one CPU: above 0, at most
    /// `tasks` × [`CPU_PPB`].
    pub utilisation_ppb: u64,
    /// How it is divided.
    pub shares: Shares,
    /// The periods.
    pub periods: Periods,
    /// Least and greatest r, 0 ≤ least ≤ greatest ≤ 1, where the deadline is wcet + r · (period − wcet) and r is uniform.
    /// (1, 1) are implicit deadlines.
    pub deadline_ratio: (f64, f64),
}

/// Most tasks in a set.
pub const MAX_TASKS: usize = 10_000;

/// Why there is no such task set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GenerateError {
    /// The number of tasks is 0 or above [`MAX_TASKS`].
    Tasks(usize),
    /// The utilisation is 0 or more than one CPU a task.
    Utilisation {
        /// What was wanted, ppb.
        ppb: u64,
        /// The number of tasks.
        tasks: usize,
    },
    /// The range of periods is empty, begins below a tick or ends beyond 1,000 s.
    Periods(Duration, Duration),
    /// The range of deadline ratios is empty or not within 0 to 1.
    DeadlineRatio(f64, f64),
    /// So many vectors were discarded in a row.
    Discarded(u32),
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            GenerateError::Tasks(tasks) => write!(f, "{tasks} tasks: a set has 1 to {MAX_TASKS} tasks"),
            GenerateError::Utilisation { ppb: 0, .. } => f.write_str("a utilisation of 0; it must be above 0"),
            GenerateError::Utilisation { ppb, tasks } => {
                let cpus = ppb as f64 / CPU_PPB as f64;
                write!(f, "{tasks} tasks cannot use {cpus} CPUs, as each uses at most one; take more tasks")
            }
            GenerateError::Periods(min, max) => {
                let (min, max) = (min.as_nanos() / 1_000, max.as_nanos() / 1_000);
                write!(f, "periods from {min} to {max} µs: give a range within 1 µs to 1000 s, the shorter one first")
            }
            GenerateError::DeadlineRatio(from, to) => {
                write!(f, "deadline ratios from {from} to {to}: give a range within 0 to 1, the smaller one first")
            }
            GenerateError::Discarded(times) => {
                write!(f, "uunifast-discard gave up after {times} vectors; take fixed-sum, which discards none")
            }
        }
    }
}

impl std::error::Error for GenerateError {}

/// A random task set, and what it takes to have it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSet {
    /// The seed it was made from.
    pub seed: u64,
    /// The tasks, in no particular order.
    pub tasks: Vec<SporadicTask>,
}

/// Makes task sets of one recipe.
#[derive(Debug)]
pub struct Generator {
    recipe: Recipe,
    /// Prepared for this number of tasks and sum, if it is needed.
    fixed_sum: Option<FixedSum>,
}

impl Generator {
    /// Checks the recipe and prepares what all its sets have in common. O(tasks · utilisation) for [`Shares::FixedSum`].
    ///
    /// # Errors
    /// There are no such sets; the error says why.
    pub fn new(recipe: Recipe) -> Result<Self, GenerateError> {
        let Recipe { tasks, utilisation_ppb: ppb, deadline_ratio: (from, to), .. } = recipe;
        if tasks == 0 || tasks > MAX_TASKS {
            return Err(GenerateError::Tasks(tasks));
        }
        if ppb == 0 || ppb > tasks as u64 * CPU_PPB {
            return Err(GenerateError::Utilisation { ppb, tasks });
        }
        if !(0.0 <= from && from <= to && to <= 1.0) {
            return Err(GenerateError::DeadlineRatio(from, to));
        }
        recipe.periods.check()?;
        let sum = ppb as f64 / CPU_PPB as f64;
        let fixed_sum = (recipe.shares == Shares::FixedSum).then(|| FixedSum::new(tasks, sum));
        Ok(Generator { recipe, fixed_sum })
    }

    /// The set of a seed.
    ///
    /// # Errors
    /// [`GenerateError::Discarded`], of UUniFast-Discard only.
    pub fn task_set(&self, seed: u64) -> Result<TaskSet, GenerateError> {
        let mut random = Random::new(seed);
        let utilisations = self.utilisations(&mut random)?;
        let (from, to) = self.recipe.deadline_ratio;
        let draw = |ppb: u64| {
            let period = self.recipe.periods.draw(&mut random);
            let ticks = period.as_nanos() / TICK.as_nanos();
            let wcet = (u128::from(ppb) * u128::from(ticks) / u128::from(CPU_PPB)).max(1) as u64;
            let ratio = from + (to - from) * random.unit();
            let deadline = wcet + (ratio * (ticks - wcet) as f64) as u64;
            let time = |ticks: u64| Duration::from_nanos(ticks * TICK.as_nanos());
            SporadicTask::new(time(wcet), time(deadline), period)
        };
        Ok(TaskSet { seed, tasks: utilisations.into_iter().map(draw).collect() })
    }

    /// Utilisations in parts per billion, with exactly the wanted sum.
    fn utilisations(&self, random: &mut Random) -> Result<Vec<u64>, GenerateError> {
        let total = self.recipe.utilisation_ppb;
        let shares = match &self.fixed_sum {
            Some(prepared) => prepared.draw(random),
            None => uunifast::draw_discard(self.recipe.tasks, total as f64 / CPU_PPB as f64, random)?,
        };
        Ok(to_ppb(&shares, total))
    }
}

/// The seed of set number `index` of the sets with this utilisation, in an experiment with one seed. Other sets, other numbers
/// of sets and other utilisations in the same experiment change nothing.
pub fn seed_of(experiment: u64, utilisation_ppb: u64, index: u32) -> u64 {
    let mut random = Random::new(experiment);
    random.go_to_stream(utilisation_ppb);
    random.skip_words(u128::from(index) * 2);
    random.bits()
}

/// Rounds down to parts per billion and hands out what that leaves (at most one part a task) from the first task on.
fn to_ppb(shares: &[f64], total: u64) -> Vec<u64> {
    let mut ppb: Vec<u64> = shares.iter().map(|share| ((share * CPU_PPB as f64) as u64).min(CPU_PPB)).collect();
    let mut sum: u64 = ppb.iter().sum();
    for task in (0..ppb.len()).cycle() {
        if sum < total && ppb[task] < CPU_PPB {
            ppb[task] += 1;
            sum += 1;
        } else if sum > total && ppb[task] > 0 {
            ppb[task] -= 1;
            sum -= 1;
        } else if sum == total {
            break;
        }
    }
    ppb
}

#[cfg(test)]
mod tests;
