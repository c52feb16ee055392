//! What is to be done: the points of a sweep and the recipe of each.

use dis_sim::generate::{CPU_PPB, GenerateError, Generator, Periods, Recipe, seed_of};

use super::methods::{METHODS, Method};
use crate::cli::SweepArgs;
use crate::failure::Failure;

/// Most task sets altogether.
const MOST_SETS: u64 = 100_000_000;

/// One utilisation.
#[derive(Debug)]
pub struct Point {
    /// The utilisation of all CPUs, in thousandths.
    pub permille: u64,
    /// The same in parts per billion of one CPU.
    pub utilisation_ppb: u64,
    generator: Generator,
}

/// A sweep: `sets` task sets at each point through each test.
#[derive(Debug)]
pub struct Experiment {
    /// Number of CPUs.
    pub cpus: usize,
    /// What all points have in common.
    pub recipe: Recipe,
    /// Number of sets at each point.
    pub sets: u32,
    /// The seed that the sets' seeds are made from.
    pub seed: u64,
    /// The tests, in the order of columns.
    pub methods: Vec<&'static Method>,
    /// The utilisations, ascending; at least one.
    pub points: Vec<Point>,
}

impl Experiment {
    /// Checks the arguments against each other.
    ///
    /// # Errors
    /// Bad input.
    pub fn new(args: &SweepArgs) -> Result<Self, Failure> {
        if args.from > args.to {
            return Err(Failure::bad_input(format!(
                "--from {} is above --to {}; exchange them",
                percent(args.from),
                percent(args.to)
            )));
        }
        let mut methods: Vec<&'static Method> =
            METHODS.iter().filter(|method| args.tests.is_empty() || chosen(args, method)).collect();
        methods.dedup_by_key(|method| method.name);
        let recipe = Recipe {
            tasks: args.tasks.unwrap_or(4 * args.cpus) as usize,
            utilisation_ppb: 0,
            shares: args.generator,
            periods: args.periods,
            deadline_ratio: args.deadline_ratio,
        };
        let points = (args.from..=args.to).step_by(args.step as usize);
        let points = points.map(|permille| Point::new(permille, args.cpus, recipe)).collect::<Result<Vec<_>, _>>()?;
        let total = points.len() as u64 * u64::from(args.sets);
        if total > MOST_SETS {
            let (points, sets) = (points.len(), args.sets);
            let text = format!("{points} utilisations of {sets} sets are {total}; at most {MOST_SETS} are possible");
            return Err(Failure::bad_input(format!("{text}: lower --sets or raise --step")));
        }
        Ok(Experiment { cpus: args.cpus as usize, recipe, sets: args.sets, seed: args.seed, methods, points })
    }

    /// Number of task sets altogether.
    pub fn total(&self) -> usize {
        self.points.len() * self.sets as usize
    }

    /// The point of a set.
    pub fn point_of(&self, set: usize) -> usize {
        set / self.sets as usize
    }

    /// Makes a set and puts it through the tests: which accept it, in their order.
    ///
    /// # Errors
    /// The generator gave up.
    pub fn try_set(&self, set: usize) -> Result<Vec<bool>, Failure> {
        let point = &self.points[self.point_of(set)];
        let seed = seed_of(self.seed, point.utilisation_ppb, (set % self.sets as usize) as u32);
        let drawn = point.generator.task_set(seed).map_err(|error| point.failure(error))?;
        Ok(self.methods.iter().map(|method| (method.accepts)(&drawn.tasks, self.cpus)).collect())
    }

    /// The experiment in a line.
    pub fn describe(&self) -> String {
        let Recipe { tasks, shares, periods, deadline_ratio: (from, to), .. } = self.recipe;
        let s = |n: usize| if n == 1 { "" } else { "s" };
        let periods = match periods {
            Periods::LogUniform { min, max } => format!("log-uniform {min}..{max}"),
            Periods::Automotive => "automotive".into(),
        };
        let deadlines = match (from, to) {
            (1.0, 1.0) => "deadline = period".into(),
            _ if from == to => format!("deadline ratio {from}"),
            _ => format!("deadline ratio {from}..{to}"),
        };
        format!(
            "{} CPU{}, {tasks} task{}, {deadlines}, periods {periods}, {}, {} set{} each, seed {}",
            self.cpus,
            s(self.cpus),
            s(tasks),
            shares.name(),
            self.sets,
            s(self.sets as usize),
            self.seed
        )
    }
}

impl Point {
    fn new(permille: u64, cpus: u64, common: Recipe) -> Result<Self, Failure> {
        let utilisation_ppb = permille * cpus * (CPU_PPB / 1000);
        let mut point = |generator| Point { permille, utilisation_ppb, generator };
        Generator::new(Recipe { utilisation_ppb, ..common }).map(&mut point).map_err(|error| fail(permille, error))
    }

    fn failure(&self, error: GenerateError) -> Failure {
        fail(self.permille, error)
    }
}

fn fail(permille: u64, error: GenerateError) -> Failure {
    Failure::bad_input(format!("at {} utilisation: {error}", percent(permille)))
}

fn chosen(args: &SweepArgs, method: &Method) -> bool {
    args.tests.iter().any(|chosen| chosen.name == method.name)
}

/// `97.5 %`.
pub fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}
