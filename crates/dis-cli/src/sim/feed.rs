//! Carries what a simulation records into the trace.

use dis_core::api::TaskId;
use dis_sim::{Departure, Kernel, Simulation, TraceEvent, TraceKind};

use super::plan::Plan;
use crate::trace::TraceFile;
use crate::trace::event::{Chosen, Happened, Left, What};

/// Knows the tasks' ids.
#[derive(Debug)]
pub struct Feed(Vec<TaskId>);

impl Feed {
    /// For the tasks of this simulation.
    pub fn new<K: Kernel>(simulation: &Simulation<'_, K>) -> Feed {
        Feed(simulation.task_ids())
    }

    /// Introduces them.
    pub fn begin(&self, plan: &Plan, file: &mut TraceFile) {
        let names = plan.workload.instances().map(|instance| instance.name());
        file.begin(plan.options.cpus, self.0.iter().copied().zip(names));
    }

    /// Writes what happened.
    pub fn pump(&self, events: &[TraceEvent], file: &mut TraceFile) {
        let id = |task: u32| self.0.get(task as usize).copied().unwrap_or(TaskId::INVALID);
        for event in events {
            let (at, cpu) = (event.at.as_nanos(), event.cpu);
            let what = match event.kind {
                TraceKind::Missed(task) => {
                    file.miss(id(task), at);
                    continue;
                }
                TraceKind::Left(task, departure) => What::Left(id(task), left(departure)),
                TraceKind::Started { task, class, reason, lost, waited } => {
                    What::Started(Chosen { id: id(task), class: Some(class), reason: Some(reason), lost, waited })
                }
            };
            file.happened(&[Happened { at, cpu, what }]);
        }
    }
}

fn left(departure: Departure) -> Left {
    match departure {
        Departure::Preempted => Left::Ready("preempted"),
        Departure::Yielded => Left::Ready("yielded"),
        Departure::Blocked => Left::Blocked("blocked"),
        Departure::Sleeping => Left::Blocked("sleeping"),
        Departure::Ended => Left::Ended,
    }
}
