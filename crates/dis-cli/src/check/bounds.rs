//! Response-time bounds of what is placed on one CPU, and what is left there to System.

use std::collections::HashMap;

use dis_core::admission::{
    Admission, Assignment, CpuTasks, Locking, Response, SporadicTask, TaskSet, edf, fp, response,
};
use dis_core::api::{Duration, TaskId};
use dis_core::optimizer::Limits;

use super::locks::Locks;

/// Sets up to this size get the least bounds that the analysis knows, if that takes no more than [`EXACT_WORK`].
const EXACT_TASKS: usize = 40;
/// Some milliseconds.
const EXACT_WORK: u64 = 1_000_000;
/// The same for the faster bounds. Beyond, a CPU that is full to the last thousandth has none, and its tasks are sure of their deadlines
/// all the same, as admission has proven them in another way.
const QUICK_WORK: u64 = 100_000;

/// In which order Realtime tasks run on their CPU.
#[derive(Debug)]
pub enum Order {
    /// By deadline, which is what admission reckons with.
    Edf,
    /// By these priorities, lower first; any order among equals.
    Priorities(HashMap<TaskId, u8>),
}

/// The answers for one CPU.
#[derive(Debug)]
pub struct CpuBounds {
    /// What System may use of each window without a deadline being missed, per mille.
    pub system: u16,
    /// What the scheduler lets it use, which does not know of locks.
    pub granted: u16,
    /// For each task or piece: how long it takes if System uses that, and if it uses nothing.
    pub responses: HashMap<TaskId, (Response, Response)>,
    /// Tasks of this CPU share locks, of which admission knows nothing.
    pub has_locks: bool,
    /// Why nothing is known about its tasks: what is here counts on another order than theirs.
    pub uncovered: Option<&'static str>,
    /// Lower classes share locks with tasks of this CPU, and may run between their jobs in the cap's remainder: not covered.
    pub capped_locks: bool,
}

impl CpuBounds {
    /// Analyses `cpu`.
    pub fn of(admission: &mut Admission, cpu: usize, limits: &Limits, locks: &Locks, order: &Order) -> CpuBounds {
        let granted = admission.system_share(cpu);
        let floor = admission.system_floor();
        let analysis = Analysis { admission, cpu, locks, order };
        let has_locks = analysis.has_locks(floor);
        let as_admitted = !has_locks && matches!(order, Order::Edf);
        let system = if as_admitted { granted } else { analysis.most_for_system(floor, granted) };
        let (worst, idle) = (analysis.tasks(system), analysis.tasks(0));
        let bounds = analysis.bounds(&worst).into_iter().zip(analysis.bounds(&idle));
        let capped = worst.supply.rate().0 + limits.window.mul_div(system.into(), 1000) < limits.window;
        CpuBounds {
            system,
            granted,
            responses: worst.owners.iter().copied().zip(bounds).collect(),
            has_locks,
            uncovered: analysis.uncovered(&worst),
            capped_locks: capped && locks.lower.contains_key(&cpu),
        }
    }
}

struct Analysis<'a> {
    admission: &'a Admission,
    cpu: usize,
    locks: &'a Locks,
    order: &'a Order,
}

impl Analysis<'_> {
    /// The CPU's tasks with their sections, and the supply that sections of lower classes leave.
    fn tasks(&self, system: u16) -> CpuTasks {
        let lower = self.locks.lower.get(&self.cpu).copied().unwrap_or_default();
        let loan = lower.sections.mul_div(lower.waiters, 1);
        let empty = || CpuTasks { tasks: Vec::new(), owners: Vec::new(), supply: Default::default() };
        let mut on = self.admission.cpu_tasks(self.cpu, system, loan).unwrap_or_else(empty);
        for (task, owner) in on.tasks.iter_mut().zip(&on.owners) {
            let section = self.locks.sections.get(owner).copied().unwrap_or(Duration::ZERO);
            *task = task.with_section(section.min(task.wcet));
        }
        on.supply = on.supply.less(lower.sections);
        on
    }

    fn has_locks(&self, floor: u16) -> bool {
        let on = || self.admission.cpu_tasks(self.cpu, floor, Duration::ZERO);
        let shares = |on: CpuTasks| on.owners.iter().any(|owner| self.locks.sections.contains_key(owner));
        self.locks.lower.contains_key(&self.cpu) || on().is_some_and(shares)
    }

    /// The most up to `granted` with which all deadlines hold that do with `floor`.
    fn most_for_system(&self, floor: u16, granted: u16) -> u16 {
        let at_floor = self.in_time(&self.tasks(floor));
        let (mut holds, mut most) = (floor, granted);
        while holds < most {
            let share = holds.midpoint(most + 1);
            match self.in_time(&self.tasks(share)) == at_floor {
                true => holds = share,
                false => most = share - 1,
            }
        }
        holds
    }

    /// Which of the deadlines hold; under EDF, whether all do.
    fn in_time(&self, on: &CpuTasks) -> Vec<bool> {
        match self.order {
            Order::Edf => vec![edf::test(&set(on)).is_schedulable()],
            Order::Priorities(_) => self.bounds(on).iter().map(|bound| bound.within().is_some()).collect(),
        }
    }

    fn bounds(&self, on: &CpuTasks) -> Vec<Response> {
        match self.order {
            Order::Edf => bounds(on),
            Order::Priorities(priorities) => by_priority(on, priorities),
        }
    }

    /// Pieces of split tasks have no laxity, and reservations are due at the ends of windows: neither holds but under EDF.
    fn uncovered(&self, on: &CpuTasks) -> Option<&'static str> {
        let split = || on.owners.iter().any(|&id| self.admission.assignment(id).is_some_and(Assignment::is_split));
        match self.order {
            Order::Edf => None,
            Order::Priorities(_) if on.tasks.len() > on.owners.len() => {
                Some("a reservation (cpu_min) is on its CPU, which needs realtime=edf")
            }
            Order::Priorities(_) if split() => Some("a task is split there, which needs realtime=edf"),
            Order::Priorities(_) => None,
        }
    }
}

/// Response times under fixed priorities. Of tasks of equal priority each may have to wait for all others.
fn by_priority(on: &CpuTasks, priorities: &HashMap<TaskId, u8>) -> Vec<Response> {
    let level = |index: usize| on.owners.get(index).and_then(|owner| priorities.get(owner));
    let before = |other: usize, index: usize| other != index && level(other) <= level(index);
    let all = || 0..on.tasks.len();
    let response = |index: usize| {
        let first = all().filter(|&other| before(other, index));
        let last = all().filter(|&other| other != index && !before(other, index));
        let place = first.clone().count();
        let ordered: Vec<SporadicTask> = first.chain([index]).chain(last).map(|task| on.tasks[task]).collect();
        fp::response_of(&TaskSet::new(&ordered, on.supply).with_locking(Locking::Inheritance), place)
    };
    all().map(response).collect()
}

fn set(on: &CpuTasks) -> TaskSet<'_> {
    TaskSet::new(&on.tasks, on.supply).with_locking(Locking::Inheritance)
}

/// The least bounds where they are found soon, else others.
fn bounds(on: &CpuTasks) -> Vec<Response> {
    let set = set(on);
    let quick = || response::quick(&set.with_work(QUICK_WORK));
    if on.tasks.len() > EXACT_TASKS {
        return quick();
    }
    let exact = response::exact(&set.with_work(EXACT_WORK));
    if !exact.iter().any(|bound| matches!(bound, Response::Undecided(_))) {
        return exact;
    }
    let known = |(exact, quick)| if matches!(exact, Response::Undecided(_)) { quick } else { exact };
    exact.into_iter().zip(quick()).map(known).collect()
}
