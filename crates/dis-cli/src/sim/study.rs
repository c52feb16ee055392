//! Simulations under policies for study.

use dis_sim::study::Answer;

use super::plan::Plan;
use crate::cli::SimArgs;
use crate::failure::Failure;
use crate::study::StudySet;

/// Whether the workload and the options are such that the policy can be simulated, and keeps all deadlines; what to tell the person
/// before.
///
/// # Errors
/// Bad input: what [`StudySet::new`] refuses, costs of which these policies know nothing, or deadlines that are not sure, unless
/// there is no admission.
pub fn admit(set: &StudySet, args: &SimArgs, plan: &Plan) -> Result<String, Failure> {
    let (name, costs) = (set.study.name(), plan.options.costs);
    if !costs.switch.is_zero() || !costs.timer_resolution.is_zero() {
        return Err(Failure::bad_input(format!(
            "realtime={name} decides for all CPUs at exact instants: set --switch-cost and --timer-resolution to 0"
        )));
    }
    if args.no_admission {
        return Ok(format!("realtime: deadlines are not guaranteed under {name}: no admission, no cap and no budget"));
    }
    let analysis = set.analyse(plan.options.cpus);
    let test = analysis.test;
    match analysis.answer {
        Answer::Holds => {
            let costs = match costs.migration.is_zero() && costs.preemption.is_zero() {
                true => "",
                false => ", and what migrations and preemptions cost",
            };
            Ok(format!(
                "realtime: {name} keeps all deadlines (test: {test}), if `wcet` is the most a job runs{costs}: there is no budget"
            ))
        }
        Answer::Fails(why) | Answer::Open(why) => Err(Failure::bad_input(format!(
            "{}: deadlines are not sure under realtime={name} ({test}): {why}; see `dis check --policy realtime={name}`, or run it \
             with --no-admission",
            plan.file()
        ))),
    }
}
