//! The book of what is admitted on a machine.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::assignment::Assignment;
use super::cpu::{CpuBook, Part};
use super::rejection::{RejectReason, Rejection, Shortfall};
use super::request::{Claim, Request};
use super::rules::Rules;
use super::split::split;
use crate::admission::{Locking, SporadicTask, Verdict};
use crate::api::{CpuMask, Duration, MAX_CPUS, TaskId};
use crate::optimizer::Limits;

/// Which tasks are sure of their deadlines and reservations, on which CPUs: partitioned EDF with an exact test for each CPU,
/// and C=D splitting of what fits nowhere whole.
///
/// Tasks come and go one by one; what is placed stays where it is. Deterministic: the same calls give the same places.
#[derive(Debug, Clone)]
pub struct Admission {
    pub(super) rules: Rules,
    pub(super) cpus: Vec<CpuBook>,
    admitted: BTreeMap<TaskId, Entry>,
    max_splits: usize,
    splits: usize,
    /// CPUs that take nobody.
    offline: CpuMask,
}

/// An admitted task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub request: Request,
    pub assignment: Assignment,
}

impl Admission {
    /// A machine of `cpus` CPUs (at most [`MAX_CPUS`]) whose classes are arbitrated by `limits`: of each, Realtime gets what
    /// System (its least share: [`SYSTEM_FLOOR`](super::SYSTEM_FLOOR)) and the cap leave.
    pub fn new(cpus: usize, limits: Limits) -> Admission {
        Self::with_rules(cpus, Some(limits), limits.budget_overhead)
    }

    /// A machine that runs nothing but these tasks.
    pub fn dedicated(cpus: usize) -> Admission {
        Self::with_rules(cpus, None, Duration::ZERO)
    }

    fn with_rules(cpus: usize, limits: Option<Limits>, per_piece: Duration) -> Admission {
        let count = cpus.min(MAX_CPUS);
        Admission {
            rules: Rules { limits, locking: Locking::default(), per_piece },
            cpus: alloc::vec![CpuBook::default(); count],
            admitted: BTreeMap::new(),
            max_splits: count.saturating_sub(1),
            splits: 0,
            offline: CpuMask::EMPTY,
        }
    }

    /// The same machine, still empty, with at most `splits` split tasks; never more than CPUs - 1, the default. 0: none.
    pub fn with_max_splits(self, splits: usize) -> Admission {
        Admission { max_splits: splits.min(self.cpus.len().saturating_sub(1)), ..self }
    }

    /// The same machine, still empty, with sections that add up in another way.
    pub fn with_locking(mut self, locking: Locking) -> Admission {
        self.rules.locking = locking;
        self
    }

    /// From now on `cpu` takes nobody, or takes tasks again. Who is there already stays until he is [released](Self::release).
    pub fn set_offline(&mut self, cpu: usize, offline: bool) {
        if offline {
            self.offline.add(cpu);
        } else {
            self.offline.remove(cpu);
        }
    }

    /// The CPUs that take tasks.
    pub fn online(&self) -> CpuMask {
        (0..self.cpus.len()).filter(|&cpu| !self.offline.contains(cpu)).collect()
    }

    /// Admits a task: on the first CPU that takes it whole, else split.
    ///
    /// O(CPUs) if densities decide, as they do for deadlines equal to periods on whole CPUs; else up to one QPA run a CPU, each of
    /// which is bounded to a millisecond; splitting takes O(CPUs²).
    ///
    /// # Errors
    /// A [`Rejection`]; nothing has changed then.
    pub fn admit(&mut self, id: TaskId, request: Request) -> Result<&Assignment, Rejection> {
        self.place(id, request, None)
    }

    /// Whether a request would be admitted now, and where. Changes nothing, not even what is remembered of earlier questions: what
    /// is admitted next does not depend on what has been asked in between. As long as [`admit`](Self::admit), and O(CPUs + tasks of one).
    ///
    /// # Errors
    /// A [`Rejection`].
    pub fn ask(&mut self, request: Request) -> Result<Assignment, Rejection> {
        let before: Vec<_> = self.cpus.iter().map(CpuBook::memory).collect();
        let answer = self.admit(TaskId::INVALID, request).cloned();
        self.release(TaskId::INVALID);
        self.cpus.iter_mut().zip(before).for_each(|(cpu, before)| cpu.recall(before));
        answer
    }

    /// Takes a task out of the book. False if it is not there.
    pub fn release(&mut self, id: TaskId) -> bool {
        let Some(entry) = self.admitted.remove(&id) else { return false };
        self.splits -= usize::from(entry.assignment.is_split());
        for cpu in entry.assignment.cpus().iter() {
            self.cpus[cpu].remove(&self.rules, id);
        }
        true
    }

    /// Replaces a task's request: on the CPU where it begins now if that takes it whole, else as [`admit`](Self::admit) does.
    ///
    /// # Errors
    /// A [`Rejection`]; the task keeps then what it has.
    pub fn change(&mut self, id: TaskId, request: Request) -> Result<&Assignment, Rejection> {
        let Some(before) = self.admitted.get(&id).cloned() else {
            return Err(Rejection { task: id, reason: RejectReason::Unknown });
        };
        self.release(id);
        match self.place(id, request, Some(before.assignment.first_cpu())) {
            Ok(_) => Ok(&self.admitted[&id].assignment),
            Err(rejection) => {
                self.enter(id, before);
                Err(rejection)
            }
        }
    }

    fn place(&mut self, id: TaskId, request: Request, preferred: Option<usize>) -> Result<&Assignment, Rejection> {
        let allowed = self.check(id, &request)?;
        let assignment = self
            .whole(&request, &allowed, preferred)
            .or_else(|| self.split(&request, &allowed))
            .ok_or_else(|| self.no_room(id, &request, &allowed))?;
        Ok(self.enter(id, Entry { request, assignment }))
    }

    /// Admits a task on the first CPU that takes it whole.
    pub(super) fn admit_whole(&mut self, id: TaskId, request: Request) -> Result<&Assignment, Rejection> {
        let allowed = self.check(id, &request)?;
        let whole = self.whole(&request, &allowed, None);
        let assignment = whole.ok_or_else(|| self.no_room(id, &request, &allowed))?;
        Ok(self.enter(id, Entry { request, assignment }))
    }

    /// The CPUs of the request that this machine has and that are online.
    pub(super) fn allowed(&self, request: &Request) -> CpuMask {
        let there = request.affinity.intersection(&CpuMask::first(self.cpus.len()));
        if self.offline.is_empty() { there } else { there.intersection(&self.online()) }
    }

    /// The same, if the request is one that makes sense.
    pub(super) fn check(&self, id: TaskId, request: &Request) -> Result<CpuMask, Rejection> {
        let allowed = self.allowed(request);
        let reason = match request {
            _ if self.admitted.contains_key(&id) => RejectReason::Known,
            _ if !request.task.is_valid() => RejectReason::Invalid,
            _ if allowed.is_empty() => RejectReason::NoCpu,
            _ => return Ok(allowed),
        };
        Err(Rejection { task: id, reason })
    }

    /// The first CPU that takes all of a task, `preferred` before the others.
    pub(super) fn whole(
        &mut self,
        request: &Request,
        allowed: &CpuMask,
        preferred: Option<usize>,
    ) -> Option<Assignment> {
        let part = self.part(request);
        let first = preferred.filter(|&cpu| allowed.contains(cpu));
        first
            .into_iter()
            .chain(allowed.iter())
            .find(|&cpu| self.cpus[cpu].fits(&self.rules, &part))
            .map(Assignment::Whole)
    }

    /// What the utilisations leave of all CPUs together, 64 bits behind the point.
    pub(super) fn room(&self) -> u128 {
        self.cpus.iter().map(|book| book.room(&self.rules)).sum()
    }

    /// Pieces of a task, if it and the number of splits allow that.
    fn split(&mut self, request: &Request, allowed: &CpuMask) -> Option<Assignment> {
        let online = self.cpus.len() - self.offline.count() as usize;
        if !request.is_divisible() || self.splits >= self.max_splits.min(online.saturating_sub(1)) {
            return None;
        }
        split(&mut self.cpus, &self.rules, &request.task, allowed).map(Assignment::Split)
    }

    /// Enters a task where `entry` says, whether it fits or not.
    pub(super) fn enter(&mut self, id: TaskId, entry: Entry) -> &Assignment {
        self.splits += usize::from(entry.assignment.is_split());
        match self.part(&entry.request) {
            part @ Part::Reservation(_) => self.cpus[entry.assignment.first_cpu()].add(&self.rules, id, &part),
            Part::Task(task) => {
                for (cpu, part) in entry.assignment.parts(&task) {
                    self.cpus[cpu].add(&self.rules, id, &Part::Task(part));
                }
            }
        }
        &self.admitted.entry(id).insert_entry(entry).into_mut().assignment
    }

    /// What to say of a task that fits nowhere: how it stands on the CPU that is used least.
    fn no_room(&mut self, id: TaskId, request: &Request, allowed: &CpuMask) -> Rejection {
        let part = self.part(request);
        let used = |cpu: &usize| self.cpus[*cpu].sums().utilisation.high;
        let cpu = allowed.iter().min_by_key(used).unwrap_or(0);
        let verdict = self.cpus[cpu].verdict(&self.rules, &part);
        let late = match (&part, &verdict) {
            (Part::Task(task), Verdict::Overload(overload)) => self.cpus[cpu].late(id, task, overload),
            _ => None,
        };
        Rejection { task: id, reason: RejectReason::NoRoom(Shortfall { cpu, verdict, late }) }
    }

    /// What a request means for a CPU that takes it whole. Only parts of the caps' own windows count as reservations.
    fn part(&self, request: &Request) -> Part {
        match (request.claim, &self.rules.limits) {
            (Claim::Reservation, Some(limits)) if request.task.period == limits.window => {
                Part::Reservation(request.task.wcet)
            }
            _ => Part::Task(request.task),
        }
    }

    /// How many CPUs there are.
    pub fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    /// How many tasks are admitted.
    pub fn len(&self) -> usize {
        self.admitted.len()
    }

    /// Whether nothing is admitted.
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty()
    }

    /// The ids of all admitted tasks, in their order.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> {
        self.admitted.keys().copied()
    }

    /// How many tasks are split.
    pub fn split_count(&self) -> usize {
        self.splits
    }

    /// Where an admitted task runs.
    pub fn assignment(&self, id: TaskId) -> Option<&Assignment> {
        self.admitted.get(&id).map(|entry| &entry.assignment)
    }

    /// What an admitted task has asked for.
    pub fn request(&self, id: TaskId) -> Option<&Request> {
        self.admitted.get(&id).map(|entry| &entry.request)
    }

    /// The tasks with deadlines, and pieces of such, that EDF executes on a CPU; none if there is no such CPU.
    pub fn tasks_on(&self, cpu: usize) -> &[SporadicTask] {
        self.cpus.get(cpu).map_or(&[], CpuBook::tasks)
    }

    /// What is admitted on a CPU, in parts per billion of it, rounded up; 0 if there is no such CPU.
    pub fn utilisation_ppb(&self, cpu: usize) -> u64 {
        self.cpus.get(cpu).map_or(0, |book| book.sums().utilisation.ppb())
    }

    /// Whether the densities (wcet / deadline) of what is admitted on a CPU add up to no more than the share of it that is
    /// supplied. Then tasks may also ask for their share of any interval, as those do that wait in mid-job.
    pub fn fits_by_density(&self, cpu: usize) -> bool {
        self.cpus.get(cpu).is_none_or(|book| book.sums().fits_by_density(&self.rules))
    }

    /// The largest share of each window, in per mille, that System may use on a CPU without endangering what is admitted
    /// there: at most the limit's, and at least [`SYSTEM_FLOOR`](super::SYSTEM_FLOOR), with which everything was
    /// admitted. 0 for a dedicated machine. O(log 1000) questions as [`admit`](Self::admit) asks them.
    pub fn system_share(&mut self, cpu: usize) -> u16 {
        let (Some(limits), Some(book)) = (self.rules.limits, self.cpus.get_mut(cpu)) else { return 0 };
        book.system_share(&self.rules, self.rules.floor(), limits.system)
    }
}
