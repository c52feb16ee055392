//! Places the tasks as the scheduler does: one after the other, in the order of the file.

use dis_core::admission::{Admission, Rejection, Request, SporadicTask};
use dis_core::api::TaskId;
use dis_core::optimizer::Limits;
use dis_core::scheduler::request;
use dis_workload::Workload;
use dis_workload::model::Instance;

use super::body::Body;

/// After so many rejections nobody else is placed: each takes a search for pieces on all CPUs, and `dis run` refuses the workload for
/// the first.
const MOST_REJECTIONS: usize = 8;

/// A task that wants to be sure of CPU time.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Which task.
    pub instance: Instance<'a>,
    /// Its id in the book.
    pub id: TaskId,
    /// What it asks for.
    pub request: Request,
    /// Why it is not admitted.
    pub rejection: Option<Rejection>,
    /// False: too many were rejected before it.
    pub asked: bool,
}

/// A machine with what has been admitted on it.
#[derive(Debug)]
pub struct Placed<'a> {
    /// The book.
    pub admission: Admission,
    /// Everybody who asked.
    pub candidates: Vec<Candidate<'a>>,
    /// What the bodies of the tasks do, by the index of the task.
    pub bodies: Vec<Body>,
}

/// A declared task with what the host adds to its wcet.
pub fn with_budget(declared: &SporadicTask, limits: &Limits) -> SporadicTask {
    SporadicTask { wcet: limits.budget(declared.wcet, declared.deadline), ..*declared }
}

impl Candidate<'_> {
    /// Whether it has a place.
    pub fn is_admitted(&self) -> bool {
        self.asked && self.rejection.is_none()
    }
}

/// What the tasks do, in the order of the workload.
pub fn bodies(workload: &Workload) -> Vec<Body> {
    workload.tasks.iter().map(|task| Body::of(task, &workload.objects)).collect()
}

impl<'a> Placed<'a> {
    /// Places the tasks of `workload` on `cpus` CPUs.
    pub fn new(workload: &'a Workload, cpus: usize, limits: &Limits) -> Placed<'a> {
        Self::up_to(workload, cpus, limits, MOST_REJECTIONS)
    }

    /// The same up to the first that is rejected.
    pub fn until_rejected(workload: &'a Workload, cpus: usize, limits: &Limits) -> Placed<'a> {
        Self::up_to(workload, cpus, limits, 1)
    }

    /// Whether all fit on `cpus` CPUs.
    pub fn all_fit(workload: &Workload, cpus: usize, limits: &Limits) -> bool {
        !Placed::until_rejected(workload, cpus, limits).rejects()
    }

    fn up_to(workload: &'a Workload, cpus: usize, limits: &Limits, most_rejections: usize) -> Placed<'a> {
        let (mut admission, mut rejections) = (Admission::new(cpus, *limits), 0);
        let candidates = workload.instances().enumerate().filter_map(|(number, instance)| {
            let request = request(&instance.spec.intent, limits)?;
            let id = TaskId::from_parts(u32::try_from(number).ok()?, 1);
            let asked = rejections < most_rejections;
            let rejection = if asked { admission.admit(id, request).err() } else { None };
            rejections += usize::from(rejection.is_some());
            Some(Candidate { instance, id, request, rejection, asked })
        });
        let candidates = candidates.collect();
        Placed { candidates, admission, bodies: bodies(workload) }
    }

    /// Whether somebody is not admitted.
    pub fn rejects(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.rejection.is_some())
    }
}
