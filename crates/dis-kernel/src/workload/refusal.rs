//! Tasks that this kernel cannot run as their file says.

use alloc::format;
use alloc::string::{String, ToString};

use dis_core::api::SchedError;
use dis_core::intent::{Intent, IntentClass};
use dis_workload::model::TaskSpec;

use crate::limits::unsupported;

/// Drops what this kernel does not enforce, if the task says that it may, and notes that.
pub fn give_in(spec: &TaskSpec, intent: &mut Intent, note: &mut dyn FnMut(String)) -> Result<(), String> {
    while let Some((constraint, why)) = unsupported(intent, false) {
        let key = constraint.key();
        // It begins with the name that the constraint has in an intent; in a file it has the key.
        let why = why.split_once(": ").map_or(why, |(_, why)| why);
        let refused = SchedError::NotSupported(why);
        if !spec.best_effort.contains(&constraint) {
            return Err(format!("{key}: {refused}; leave it out, or add best_effort = [\"{key}\"] to run without it"));
        }
        note(format!("task \"{}\": {key}: not enforced (best_effort): {why}", spec.name));
        constraint.clear(intent);
    }
    Ok(())
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
