//! Policies for study, which take the core's place.

use dis_core::api::CpuMask;
use dis_core::intent::QueueType;
use dis_sim::study::Study;

use super::plan::Plan;
use crate::cli::SimArgs;
use crate::failure::Failure;

/// The policy for study that was chosen, if one was.
pub fn chosen(args: &SimArgs) -> Option<Study> {
    args.policy.iter().find_map(|choice| Study::from_name(choice.name))
}

/// Whether the workload and the options are such that the policy can be simulated; what to tell the person before.
///
/// # Errors
/// Bad input: tasks of other classes, tasks that may not run everywhere, other policies, or costs of which these policies know nothing.
pub fn check(study: Study, args: &SimArgs, plan: &Plan) -> Result<String, Failure> {
    let name = study.name();
    let bad = |what: String| Err(Failure::bad_input(what));
    if let Some(other) = args.policy.iter().find(|choice| choice.class != QueueType::Realtime) {
        let other = format!("{}={}", other.class, other.name);
        return bad(format!("--policy {other}: under realtime={name} there are no other classes; leave it out"));
    }
    let costs = plan.options.costs;
    if !costs.switch.is_zero() || !costs.timer_resolution.is_zero() {
        return bad(format!(
            "realtime={name} decides for all CPUs at exact instants: set --switch-cost and --timer-resolution to 0"
        ));
    }
    let cpus = CpuMask::first(plan.options.cpus);
    for task in &plan.workload.tasks {
        let place = plan.place(task);
        if task.intent.class.queue() != QueueType::Realtime {
            let class = task.intent.class.queue();
            return bad(format!(
                "{place}: is {class}, but realtime={name} schedules whole machines of realtime tasks; leave it out, or \
                 take another policy"
            ));
        }
        let everywhere = |mask: CpuMask| mask.intersection(&cpus) == cpus;
        if !task.intent.constraints.cpu_affinity.is_none_or(everywhere) {
            return bad(format!(
                "{place}: affinity: under realtime={name} every task may run everywhere; leave it out"
            ));
        }
    }
    Ok(format!("realtime: deadlines are not guaranteed under {name}: there is no admission, no cap and no budget"))
}
