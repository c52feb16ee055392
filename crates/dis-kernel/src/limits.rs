//! What an intent may limit beside the CPU and this kernel holds no task to.

use dis_core::intent::{Intent, IoPriority};
use dis_workload::model::Constraint;

/// The first constraint of an intent that could not be kept here, and why, beginning with its name. `frames`: the task is one of ring 3, whose
/// memory is counted by page frames.
pub fn unsupported(intent: &Intent, frames: bool) -> Option<(Constraint, &'static str)> {
    let (constraints, qos) = (&intent.constraints, &intent.qos);
    if constraints.max_memory.is_some() && !frames {
        return Some((
            Constraint::Memory,
            "max_memory: the memory of kernel tasks is not accounted: they share one heap",
        ));
    }
    if constraints.numa_node.is_some_and(|node| node > 0) {
        return Some((Constraint::NumaNode, "numa_node: the machine has one NUMA node"));
    }
    if constraints.io_priority != IoPriority::BestEffort {
        return Some((Constraint::IoPriority, "io_priority: the machine has no disk"));
    }
    if constraints.net_priority != 0 {
        return Some((Constraint::NetPriority, "net_priority: the machine has no network"));
    }
    if qos.mem_bandwidth.is_some() {
        return Some((Constraint::MemBandwidth, "mem_bandwidth: the machine has no monitor of memory bandwidth"));
    }
    qos.io_bandwidth.is_some().then_some((Constraint::IoBandwidth, "io_bandwidth: the machine has no disk"))
}
