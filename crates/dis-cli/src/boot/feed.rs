//! Carries what the kernel recorded into the trace.

use dis_core::api::TaskId;
use dis_workload::boot::{Event, What as Kernel};

use super::plan::Plan;
use crate::trace::TraceFile;
use crate::trace::event::{Chosen, Happened, Left, What};

/// Writes all events into the file. Its time 0 is the start of the workload, and its end `duration` ns later.
pub fn write(plan: &Plan, mut events: Vec<Event>, start: u64, duration: u64, file: &mut TraceFile) {
    let names = plan.workload.instances().map(|instance| instance.name());
    file.begin(plan.cpus, names.enumerate().map(|(index, name)| (id(index as u32), name)));
    // Stable: those of one CPU keep their order.
    events.sort_by_key(|event| event.at);
    for Event { at, cpu, task, what } in events {
        let at = at.saturating_sub(start);
        let what = match what {
            Kernel::Missed => {
                file.miss(id(task), at);
                continue;
            }
            Kernel::Started { class, reason, lost, waited } => {
                let (class, reason) = (Some(class), Some(reason));
                What::Started(Chosen { id: id(task), class, reason, lost, waited })
            }
            Kernel::Preempted => What::Left(id(task), Left::Ready("preempted")),
            Kernel::Yielded => What::Left(id(task), Left::Ready("yielded")),
            Kernel::Blocked => What::Left(id(task), Left::Blocked("blocked")),
            Kernel::Sleeping => What::Left(id(task), Left::Blocked("sleeping")),
            Kernel::Ended => What::Left(id(task), Left::Ended),
            Kernel::Idle => What::Idle,
        };
        file.happened(&[Happened { at, cpu: cpu.into(), what }]);
    }
    file.end(duration);
}

/// An id for the trace; the kernel's own ids mean nothing here.
fn id(task: u32) -> TaskId {
    TaskId::from_parts(task, 1)
}
