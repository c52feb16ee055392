//! What would help those that are rejected.

use dis_core::admission::{Admission, RejectReason, Rejection, Remedy, Request, Shortfall, SporadicTask};
use dis_core::api::{CpuMask, Duration, MAX_CPUS};
use dis_core::intent::{Intent, IntentClass};
use dis_core::optimizer::Limits;
use dis_core::scheduler::request;
use dis_workload::Workload;

use super::place::{Candidate, Placed, with_budget};
use crate::output::remedy_lines;

/// Times in workload files are in microseconds at the finest.
const STEP: Duration = Duration::from_micros(1);

/// On larger machines a remedy is sought for one CPU, the one that is used least: a search for pieces on all of them takes too long.
const MOST_CPUS: usize = 8;

/// What would make a rejected task fit beside all that is admitted, each alone; as lines of a workload file.
pub fn remedies(admission: &mut Admission, candidate: &Candidate<'_>, limits: &Limits) -> Vec<String> {
    let intent = &candidate.instance.spec.intent;
    let affinity = match candidate.rejection {
        Some(Rejection { reason: RejectReason::NoRoom(Shortfall { cpu, .. }), .. })
            if admission.cpu_count() > MOST_CPUS =>
        {
            CpuMask::single(cpu)
        }
        _ => candidate.request.affinity,
    };
    let mut fits = |request: Request| admission.ask(request.on(affinity)).is_ok();
    let IntentClass::Realtime { period_us, deadline_us, wcet_us } = intent.class else {
        let share = |share| request(&with_share(intent, share), limits);
        let (mut good, mut bad) = (0, intent.qos.cpu_min);
        while good + 1 < bad {
            let middle = good.midpoint(bad);
            if share(middle).is_some_and(&mut fits) { good = middle } else { bad = middle }
        }
        let line = format!("cpu_min = \"{}.{}%\"", good / 10, good % 10);
        return if good > 0 { vec![line] } else { Vec::new() };
    };
    let [period, deadline, wcet] = [period_us, deadline_us, wcet_us].map(Duration::from_micros);
    let declared = SporadicTask::new(wcet, deadline, period);
    let affinity = candidate.request.affinity;
    let remedy = Remedy::seek(&declared, STEP, |task| fits(Request::realtime(with_budget(task, limits)).on(affinity)));
    remedy_lines(&remedy)
}

/// Whether an admitted Realtime task would fit where it is, or elsewhere, with this wcet.
pub fn fits_with_wcet(admission: &mut Admission, candidate: &Candidate<'_>, wcet: Duration, limits: &Limits) -> bool {
    let declared = SporadicTask { wcet, ..candidate.request.task };
    let request = Request { task: with_budget(&declared, limits), ..candidate.request };
    let fits = declared.is_valid() && admission.change(candidate.id, request).is_ok();
    // What it holds now, it can hold again.
    fits && admission.change(candidate.id, candidate.request).is_ok()
}

fn with_share(intent: &Intent, share: u16) -> Intent {
    let mut intent = intent.clone();
    intent.qos.cpu_min = share;
    intent
}

/// A number of CPUs on which everything fits, if a few more or up to four times as many are enough.
pub fn enough_cpus(workload: &Workload, cpus: usize, limits: &Limits) -> Option<usize> {
    let more = [1, 2, 3, 4].map(|more| cpus + more).into_iter();
    let more = more.chain([2 * cpus, 4 * cpus].into_iter().filter(|&more| more > cpus + 4));
    more.filter(|&more| more <= MAX_CPUS).find(|&more| Placed::all_fit(workload, more, limits))
}

/// Whether everything fits on as many CPUs if those who need most of a CPU come first.
pub fn fits_largest_first(placed: &Placed<'_>, cpus: usize, limits: &Limits) -> bool {
    let mut order: Vec<&Candidate<'_>> = placed.candidates.iter().collect();
    order.sort_by_key(|candidate| std::cmp::Reverse(candidate.request.task.utilisation_ppb()));
    let mut admission = Admission::new(cpus, *limits);
    order.into_iter().all(|candidate| admission.admit(candidate.id, candidate.request).is_ok())
}
