//! Tasks that this kernel cannot run as their file says.

use alloc::format;
use alloc::string::{String, ToString};

use dis_core::api::SchedError;
use dis_core::intent::{Intent, IntentClass, IoPriority};
use dis_workload::model::{Constraint, TaskSpec};

/// Drops what this kernel does not enforce, if the task says that it may, and notes that.
pub fn give_in(spec: &TaskSpec, intent: &mut Intent, note: &mut dyn FnMut(String)) -> Result<(), String> {
    while let Some((constraint, why)) = unsupported(intent) {
        let key = constraint.key();
        let refused = SchedError::NotSupported(why);
        if !spec.best_effort.contains(&constraint) {
            return Err(format!("{key}: {refused}; leave it out, or add best_effort = [\"{key}\"] to run without it"));
        }
        note(format!("task \"{}\": {key}: not enforced (best_effort): {why}", spec.name));
        constraint.clear(intent);
    }
    Ok(())
}

/// The first constraint of an intent that means nothing here, and why.
fn unsupported(intent: &Intent) -> Option<(Constraint, &'static str)> {
    let (constraints, qos) = (&intent.constraints, &intent.qos);
    let memory = "the memory of kernel tasks is not accounted: they share one heap";
    let nodes = "the machine has one NUMA node";
    let disks = "the machine has no disk";
    let network = "the machine has no network";
    let bandwidth = "the machine has no monitor of memory bandwidth";
    if constraints.max_memory.is_some() {
        return Some((Constraint::Memory, memory));
    }
    if constraints.numa_node.is_some_and(|node| node > 0) {
        return Some((Constraint::NumaNode, nodes));
    }
    if constraints.io_priority != IoPriority::BestEffort {
        return Some((Constraint::IoPriority, disks));
    }
    if constraints.net_priority != 0 {
        return Some((Constraint::NetPriority, network));
    }
    if qos.mem_bandwidth.is_some() {
        return Some((Constraint::MemBandwidth, bandwidth));
    }
    qos.io_bandwidth.is_some().then_some((Constraint::IoBandwidth, disks))
}

/// Why a task was refused, and what to do.
pub fn explain(spec: &TaskSpec, error: SchedError) -> String {
    match (error, spec.intent.class) {
        (SchedError::NoCpu, IntentClass::Realtime { .. }) => {
            "no CPU has room for its reservation; lower `wcet`, lengthen `period` or `deadline`, add CPUs, or raise \
             `realtime` in [limits]; `dis check` says by how much"
                .into()
        }
        (SchedError::NoCpu, _) => {
            "no CPU has room for its reservation; lower `cpu_min`, allow more CPUs by `affinity`, or raise `realtime` in \
             [limits]"
                .into()
        }
        (SchedError::ResourceExhausted, _) => {
            "there is no memory for its stack; lower `instances`, or give the machine more (--memory)".into()
        }
        (error, _) => error.to_string(),
    }
}
