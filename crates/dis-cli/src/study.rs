//! Policies for study, which take the core's place: `dis sim --policy realtime=NAME`, `dis check --policy realtime=NAME`.

use dis_core::admission::SporadicTask;
use dis_core::api::{CpuMask, Duration};
use dis_core::intent::{IntentClass, QueueType};
use dis_sim::study::{Analysis, Study};
use dis_workload::Workload;
use dis_workload::model::Release;

use crate::cli::PolicyChoice;
use crate::failure::Failure;
use crate::run::plan::place;

/// The policy for study that was chosen, if one was.
pub fn chosen(choices: &[PolicyChoice]) -> Option<Study> {
    choices.iter().find_map(|choice| Study::from_name(choice.name))
}

/// Tasks that such a policy can schedule, instance by instance.
#[derive(Debug, Clone)]
pub struct StudySet {
    pub study: Study,
    pub tasks: Vec<SporadicTask>,
    /// The first releases.
    pub starts: Vec<Duration>,
}

impl StudySet {
    /// The tasks of the workload, if the policy can schedule them on `cpus` CPUs beside what else was chosen.
    ///
    /// # Errors
    /// Bad input: tasks of other classes, tasks that may not run everywhere, other policies, or tasks that the policy does not have.
    pub fn new(
        study: Study,
        workload: &Workload,
        file: &str,
        cpus: usize,
        choices: &[PolicyChoice],
    ) -> Result<StudySet, Failure> {
        let name = study.name();
        let bad = |what: String| Err(Failure::bad_input(what));
        if let Some(other) = choices.iter().find(|choice| choice.class != QueueType::Realtime) {
            let other = format!("{}={}", other.class, other.name);
            return bad(format!("--policy {other}: under realtime={name} there are no other classes; leave it out"));
        }
        let everywhere = |mask: CpuMask| mask.intersection(&CpuMask::first(cpus)) == CpuMask::first(cpus);
        let mut set = StudySet { study, tasks: Vec::new(), starts: Vec::new() };
        for instance in workload.instances() {
            let (spec, place) = (instance.spec, || place(file, instance.spec));
            let IntentClass::Realtime { period_us, deadline_us, wcet_us } = spec.intent.class else {
                let class = spec.intent.class.queue();
                return bad(format!(
                    "{}: is {class}, but realtime={name} schedules whole machines of realtime tasks; leave it out, or take \
                     another policy",
                    place()
                ));
            };
            if !spec.intent.constraints.cpu_affinity.is_none_or(everywhere) {
                return bad(format!(
                    "{}: affinity: under realtime={name} every task may run everywhere; leave it out",
                    place()
                ));
            }
            let [wcet, deadline, period] = [wcet_us, deadline_us, period_us].map(Duration::from_micros);
            let task = SporadicTask::new(wcet, deadline, period);
            if let Err(what) = study.accepts(&task, spec.offset) {
                return bad(format!("{}: {what}", place()));
            }
            if matches!(study, Study::Pd2 | Study::DpWrap) && matches!(spec.release, Release::Sporadic { .. }) {
                return bad(format!(
                    "{}: interarrival: {name} divides time by periodic releases; leave it out, or take rm, dm, llf or global-edf",
                    place()
                ));
            }
            set.tasks.push(task);
            set.starts.push(spec.offset);
        }
        Ok(set)
    }

    /// Whether all deadlines hold on so many CPUs.
    pub fn analyse(&self, cpus: usize) -> Analysis {
        self.study.analyse(&self.tasks, &self.starts, cpus)
    }
}
