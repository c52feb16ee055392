//! What is admitted on one CPU, and whether more fits.

use alloc::vec::Vec;

use super::linear::{self, Line};
use super::reserved;
use super::rules::{Rules, WORK};
use super::sums::Sums;
use super::witness::Witnesses;
use crate::admission::utilisation::rate;
use crate::admission::{Overload, SporadicTask, Supply, TaskSet, Undecided, Verdict, edf};
use crate::api::{Duration, TaskId};

/// What a task wants of one CPU: all of it, a piece of it, or its reservation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Jobs with deadlines.
    Task(SporadicTask),
    /// So much of each window of the caps.
    Reservation(Duration),
}

impl Part {
    fn task(&self) -> Option<&SporadicTask> {
        match self {
            Part::Task(task) => Some(task),
            Part::Reservation(_) => None,
        }
    }
}

/// The book of one CPU. A question is answered by the first that can: sums, in O(1); intervals in which tasks did not fit before,
/// in O(1); lines above the demand, in O(n); else QPA. QPA takes ever longer the closer the utilisation is to the supply; where it
/// has given up, nothing is admitted closer than that and half as much again.
#[derive(Debug, Clone, Default)]
pub(super) struct CpuBook {
    /// In ascending order of deadline - jitter.
    tasks: Vec<SporadicTask>,
    /// Of the task at the same place: whose it is, and its line.
    owners: Vec<TaskId>,
    lines: Vec<Line>,
    reservations: Vec<(TaskId, Duration)>,
    sums: Sums,
    witnesses: Witnesses,
    /// How much of the CPU, 64 bits behind the point, must be left so that QPA is asked: 0 until it has given up.
    margin: u128,
}

/// What questions leave behind in a [`CpuBook`]. How the tasks there came in shows in the roundings of the sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    sums: Sums,
    witnesses: Witnesses,
    margin: u128,
}

impl CpuBook {
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    pub fn tasks(&self) -> &[SporadicTask] {
        &self.tasks
    }

    /// Whose the tasks are.
    pub fn owners(&self) -> &[TaskId] {
        &self.owners
    }

    /// What is remembered beside what is here.
    pub fn memory(&self) -> Memory {
        Memory { sums: self.sums, witnesses: self.witnesses, margin: self.margin }
    }

    /// Nothing has been asked since `memory`; the same tasks are here as then.
    pub fn recall(&mut self, memory: Memory) {
        (self.sums, self.witnesses, self.margin) = (memory.sums, memory.witnesses, memory.margin);
    }

    /// Puts `part` here, whether it fits or not. O(n).
    pub fn add(&mut self, rules: &Rules, owner: TaskId, part: &Part) {
        self.sums = with(self.sums, rules, part);
        match part {
            Part::Task(task) => {
                let line = Line::of(task);
                let at = self.place_of(&line);
                self.tasks.insert(at, *task);
                self.owners.insert(at, owner);
                self.lines.insert(at, line);
                self.witnesses.add(task);
            }
            Part::Reservation(budget) => self.reservations.push((owner, *budget)),
        }
    }

    /// Takes what belongs to `owner` away. O(n).
    pub fn remove(&mut self, rules: &Rules, owner: TaskId) {
        let mut stays = self.owners.iter().map(|&other| other != owner);
        self.tasks.retain(|_| stays.next().unwrap_or(true));
        let mut stays = self.owners.iter().map(|&other| other != owner);
        self.lines.retain(|_| stays.next().unwrap_or(true));
        self.owners.retain(|&other| other != owner);
        self.reservations.retain(|&(other, _)| other != owner);
        self.witnesses = Witnesses::default();
        self.margin = 0;
        let tasks = self.tasks.iter().map(|&task| Part::Task(task));
        let reservations = self.reservations.iter().map(|&(_, budget)| Part::Reservation(budget));
        self.sums = tasks.chain(reservations).fold(Sums::default(), |sums, part| with(sums, rules, &part));
    }

    /// What the analysis says about `part` beside what is here, with the least share of System.
    pub fn verdict(&mut self, rules: &Rules, part: &Part) -> Verdict {
        let sums = with(self.sums, rules, part);
        self.decide(rules, rules.floor(), &sums, part.task())
    }

    /// Whether `part` fits.
    pub fn fits(&mut self, rules: &Rules, part: &Part) -> bool {
        self.verdict(rules, part).is_schedulable()
    }

    /// The largest share of each window, per mille, up to `most` that System may use so that what is here holds; `floor` is known to
    /// be one. Leaves what is remembered as it was: what is admitted next must not depend on who has asked for this.
    pub fn system_share(&mut self, rules: &Rules, floor: u16, mut most: u16) -> u16 {
        let (sums, memory, mut holds) = (self.sums, self.memory(), floor);
        while holds < most {
            let share = holds.midpoint(most + 1);
            if self.decide(rules, share, &sums, None).is_schedulable() {
                holds = share;
            } else {
                most = share - 1;
            }
        }
        self.recall(memory);
        holds
    }

    fn decide(&mut self, rules: &Rules, system: u16, sums: &Sums, task: Option<&SporadicTask>) -> Verdict {
        if let Some(overload) = reserved::overload(rules, system, sums) {
            return Verdict::Overload(overload);
        }
        let supply = rules.supply(system, sums.load);
        sums.decide(&supply).unwrap_or_else(|| self.analyse(rules, supply, sums, task))
    }

    /// What the utilisation leaves of the CPU, less what must be left so that QPA is asked; 64 bits behind the point.
    pub fn room(&self, rules: &Rules) -> u128 {
        let supply = rules.supply(rules.floor(), self.sums.load);
        rate(&supply).high.saturating_sub(self.sums.utilisation.low).saturating_sub(self.margin)
    }

    /// The first deadline after `t` of `task` or what is here, if all become ready at 0. O(n).
    pub fn next_deadline(&self, task: &SporadicTask, t: u64) -> Option<u64> {
        let next = |task: &SporadicTask| match t.checked_sub(task.effective_deadline()) {
            Some(since) => t.checked_add(task.period.as_nanos() - since % task.period.as_nanos()),
            None => Some(task.effective_deadline()),
        };
        self.tasks.iter().chain([task]).filter_map(next).min()
    }

    /// Whether demand exceeds supply in an interval of `t`, with `task` and the least share of System. Leaves out sections, and
    /// the line of reservations. O(n).
    pub fn overload(&self, rules: &Rules, task: &SporadicTask, t: u64) -> Option<Overload> {
        let supply = rules.supply(rules.floor(), self.sums.with_task(rules, task).load);
        let demand = edf::demand(&self.tasks, t).saturating_add(edf::demand(core::slice::from_ref(task), t));
        let (interval, demand) = (Duration::from_nanos(t), Duration::from_nanos(demand));
        let supply = supply.within(interval);
        (demand > supply).then_some(Overload { interval, demand, supply })
    }

    /// Whose deadline is at the end of the interval at which `task` fails here: its own, or that of one that is here.
    pub fn late(&self, owner: TaskId, task: &SporadicTask, overload: &Overload) -> Option<TaskId> {
        let due = |task: &SporadicTask| {
            let rest = overload.interval.as_nanos().checked_sub(task.effective_deadline());
            rest.is_some_and(|rest| rest % task.period.as_nanos() == 0)
        };
        let here = self.tasks.iter().zip(self.owners.iter().copied());
        core::iter::once((task, owner)).chain(here).find(|(task, _)| due(task)).map(|(_, owner)| owner)
    }

    fn place_of(&self, line: &Line) -> usize {
        self.lines.partition_point(|other| other.deadline <= line.deadline)
    }

    fn below_the_lines(&self, sums: &Sums, supply: &Supply, task: Option<&SporadicTask>) -> bool {
        let line = task.map(Line::of);
        let (before, behind) = self.lines.split_at(line.as_ref().map_or(0, |line| self.place_of(line)));
        linear::holds(before.iter().chain(&line).chain(behind), sums, supply)
    }

    fn analyse(&mut self, rules: &Rules, supply: Supply, sums: &Sums, task: Option<&SporadicTask>) -> Verdict {
        if let Some(overload) = self.witnesses.overload(task, sums, &supply) {
            return Verdict::Overload(overload);
        }
        let left = rate(&supply).high.saturating_sub(sums.utilisation.low);
        if left < self.margin {
            return Verdict::Undecided(Undecided::Work);
        }
        if self.below_the_lines(sums, &supply, task) {
            return Verdict::Schedulable;
        }
        let verdict = self.ask(rules, supply, sums, task);
        match verdict {
            Verdict::Overload(overload) => self.witnesses.remember(&self.tasks, overload.interval),
            Verdict::Undecided(_) => self.margin = left + left / 2 + 1,
            Verdict::Schedulable | Verdict::Overutilised { .. } => {}
        }
        verdict
    }

    fn ask(&mut self, rules: &Rules, supply: Supply, sums: &Sums, task: Option<&SporadicTask>) -> Verdict {
        self.tasks.extend(task);
        let (reserved, supply) = reserved::demand(rules, supply, sums);
        self.tasks.extend(reserved);
        let set = TaskSet::new(&self.tasks, supply).with_locking(rules.locking).with_work(WORK);
        let verdict = edf::test(&set);
        self.tasks.truncate(self.owners.len());
        verdict
    }
}

fn with(sums: Sums, rules: &Rules, part: &Part) -> Sums {
    match part {
        Part::Task(task) => sums.with_task(rules, task),
        Part::Reservation(budget) => sums.with_reservation(*budget, rules.window()),
    }
}
