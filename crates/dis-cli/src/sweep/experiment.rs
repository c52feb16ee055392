//! What is to be done: the points of a sweep and the recipe of each.

use dis_sim::generate::{GenerateError, Generator, Periods, Recipe, seed_of};

use super::methods::{METHODS, Method};
use crate::cli::{SetArgs, SweepArgs, percent};
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

/// The sets for one number of CPUs.
#[derive(Debug)]
pub struct Machine {
    /// Number of CPUs.
    pub cpus: usize,
    /// Number of tasks in a set.
    pub tasks: usize,
    /// The utilisations, ascending; at least one, and as many on every machine.
    pub points: Vec<Point>,
}

/// A sweep: `sets` task sets at each point of each machine through each test.
#[derive(Debug)]
pub struct Experiment {
    /// Ascending; at least one.
    pub machines: Vec<Machine>,
    /// What all sets have in common.
    pub kind: Recipe,
    /// Number of sets at each point.
    pub sets: u32,
    /// The seed that the sets' seeds are made from.
    pub seed: u64,
    /// The tests, in the order of columns.
    pub methods: Vec<&'static Method>,
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
        let permilles: Vec<u64> = (args.from..=args.to).step_by(args.step as usize).collect();
        let (points, machines, sets) = (permilles.len() as u64, args.cpus.0.len() as u64, args.sets);
        let total = points * machines * u64::from(sets);
        if total > MOST_SETS {
            let text = format!(
                "{machines} machine{}, {points} utilisations of {sets} sets are {total}; at most {MOST_SETS} are possible",
                plural(args.cpus.0.len())
            );
            return Err(Failure::bad_input(format!("{text}: lower --sets or raise --step")));
        }
        let machine = |&cpus: &usize| Machine::new(cpus, &permilles, &args.set);
        let machines = args.cpus.0.iter().map(machine).collect::<Result<Vec<_>, _>>()?;
        let kind = args.set.recipe(1, 1000);
        Ok(Experiment { machines, kind, sets, seed: args.set.seed, methods })
    }

    /// Number of task sets altogether.
    pub fn total(&self) -> usize {
        self.points().count() * self.sets as usize
    }

    /// All points, those of the first machine first.
    pub fn points(&self) -> impl Iterator<Item = (&Machine, &Point)> {
        self.machines.iter().flat_map(|machine| machine.points.iter().map(move |point| (machine, point)))
    }

    /// The number of a set's point, as [`points`](Self::points) has them.
    pub fn point_of(&self, set: usize) -> usize {
        set / self.sets as usize
    }

    /// The machine and the point of a set.
    pub fn place_of(&self, set: usize) -> (&Machine, &Point) {
        let each = self.machines[0].points.len();
        let (point, machine) = (self.point_of(set) % each, &self.machines[self.point_of(set) / each]);
        (machine, &machine.points[point])
    }

    /// Makes a set and puts it through the tests: which accept it, in their order.
    ///
    /// # Errors
    /// The generator gave up.
    pub fn try_set(&self, set: usize) -> Result<Vec<bool>, Failure> {
        let (machine, point) = self.place_of(set);
        let seed = seed_of(self.seed, point.utilisation_ppb, (set % self.sets as usize) as u32);
        let drawn = point.generator.task_set(seed).map_err(|error| fail(point.permille, error))?;
        Ok(self.methods.iter().map(|method| (method.accepts)(&drawn.tasks, machine.cpus)).collect())
    }

    /// The experiment in a line.
    pub fn describe(&self) -> String {
        let Recipe { shares, periods, deadline_ratio: (from, to), .. } = self.kind;
        let machines = match &self.machines[..] {
            [only] => only.describe(),
            several => format!("{} machines", several.len()),
        };
        let periods = match periods {
            Periods::LogUniform { min, max } => format!("log-uniform {min}..{max}"),
            Periods::Automotive => "automotive".into(),
        };
        let deadlines = match (from, to) {
            (1.0, 1.0) => "deadline = period".into(),
            _ if from == to => format!("deadline ratio {from}"),
            _ => format!("deadline ratio {from}..{to}"),
        };
        let (sets, seed) = (self.sets, self.seed);
        let name = shares.name();
        format!(
            "{machines}, {deadlines}, periods {periods}, {name}, {sets} set{} each, seed {seed}",
            plural(sets as usize)
        )
    }
}

impl Machine {
    fn new(cpus: usize, permilles: &[u64], kind: &SetArgs) -> Result<Self, Failure> {
        let point = |&permille: &u64| {
            let recipe = kind.recipe(cpus, permille);
            let generator = Generator::new(recipe).map_err(|error| fail(permille, error))?;
            Ok(Point { permille, utilisation_ppb: recipe.utilisation_ppb, generator })
        };
        let points = permilles.iter().map(point).collect::<Result<Vec<_>, _>>()?;
        Ok(Machine { cpus, tasks: kind.recipe(cpus, 1000).tasks, points })
    }

    /// `8 CPUs, 32 tasks`.
    pub fn describe(&self) -> String {
        let (cpus, tasks) = (self.cpus, self.tasks);
        format!("{cpus} CPU{}, {tasks} task{}", plural(cpus), plural(tasks))
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn fail(permille: u64, error: GenerateError) -> Failure {
    Failure::bad_input(format!("at {} utilisation: {error}", percent(permille)))
}

fn chosen(args: &SweepArgs, method: &Method) -> bool {
    args.tests.iter().any(|chosen| chosen.name == method.name)
}
