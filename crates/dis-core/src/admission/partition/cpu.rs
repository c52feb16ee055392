//! What is admitted on one CPU, and whether more fits.

use alloc::vec::Vec;

use super::reserved;
use super::rules::{Rules, WORK};
use super::sums::Sums;
use crate::admission::{Overload, SporadicTask, Supply, TaskSet, Verdict, edf};
use crate::api::{Duration, TaskId};

/// What a task wants of one CPU: all of it, a piece of it, or its reservation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Jobs with deadlines.
    Task(SporadicTask),
    /// So much of each window of the caps.
    Reservation(Duration),
}

/// The book of one CPU. Questions take O(1) where sums decide, else one run of QPA.
#[derive(Debug, Clone, Default)]
pub(super) struct CpuBook {
    tasks: Vec<SporadicTask>,
    /// Whose the task at the same place is.
    owners: Vec<TaskId>,
    reservations: Vec<(TaskId, Duration)>,
    sums: Sums,
}

impl CpuBook {
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    pub fn tasks(&self) -> &[SporadicTask] {
        &self.tasks
    }

    /// Puts `part` here, whether it fits or not. O(1).
    pub fn add(&mut self, rules: &Rules, owner: TaskId, part: &Part) {
        self.sums = with(self.sums, rules, part);
        match *part {
            Part::Task(task) => {
                self.tasks.push(task);
                self.owners.push(owner);
            }
            Part::Reservation(budget) => self.reservations.push((owner, budget)),
        }
    }

    /// Takes what belongs to `owner` away. O(n).
    pub fn remove(&mut self, rules: &Rules, owner: TaskId) {
        let mut others = self.owners.iter().map(|&other| other != owner);
        self.tasks.retain(|_| others.next().unwrap_or(true));
        self.owners.retain(|&other| other != owner);
        self.reservations.retain(|&(other, _)| other != owner);
        let tasks = self.tasks.iter().map(|&task| Part::Task(task));
        let reservations = self.reservations.iter().map(|&(_, budget)| Part::Reservation(budget));
        self.sums = tasks.chain(reservations).fold(Sums::default(), |sums, part| with(sums, rules, &part));
    }

    /// Whether `part` fits beside what is here, with the least share of System.
    pub fn fits(&mut self, rules: &Rules, part: &Part) -> bool {
        let sums = with(self.sums, rules, part);
        self.decide(rules, rules.floor(), &sums, Some(part))
    }

    /// Whether what is here holds if System may use `system` per mille of each window.
    pub fn holds(&mut self, rules: &Rules, system: u16) -> bool {
        let sums = self.sums;
        self.decide(rules, system, &sums, None)
    }

    fn decide(&mut self, rules: &Rules, system: u16, sums: &Sums, part: Option<&Part>) -> bool {
        if reserved::overload(rules, system, sums).is_some() {
            return false;
        }
        let supply = rules.supply(system, sums.load);
        sums.decide(&supply).unwrap_or_else(|| self.analyse(rules, supply, sums, part).is_schedulable())
    }

    /// What the analysis says about `part` beside what is here.
    pub fn verdict(&mut self, rules: &Rules, part: &Part) -> Verdict {
        let sums = with(self.sums, rules, part);
        if let Some(overload) = reserved::overload(rules, rules.floor(), &sums) {
            return Verdict::Overload(overload);
        }
        let supply = rules.supply(rules.floor(), sums.load);
        match sums.decide(&supply) {
            Some(true) => Verdict::Schedulable,
            _ => self.analyse(rules, supply, &sums, Some(part)),
        }
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

    fn analyse(&mut self, rules: &Rules, supply: Supply, sums: &Sums, part: Option<&Part>) -> Verdict {
        if let Some(Part::Task(task)) = part {
            self.tasks.push(*task);
        }
        let (demand, supply) = reserved::demand(rules, supply, sums);
        self.tasks.extend(demand);
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
