//! Which locks Realtime tasks share, with whom, and what that means for the analysis.
//!
//! Covered is a mutex whose users all run on one CPU, and none of which sleeps or waits while it holds it: there, sections of
//! Realtime tasks block more urgent ones under priority inheritance, and sections of lower classes go first, once, on loan.

use std::collections::HashMap;

use dis_core::api::{CpuMask, Duration, TaskId};
use dis_core::intent::{IntentClass, QueueType};
use dis_workload::Workload;
use dis_workload::model::{MutexId, TaskSpec};

use super::body::Body;
use super::place::Placed;

/// What locks mean for the analysis.
#[derive(Debug, Default)]
pub struct Locks {
    /// The longest section of each Realtime task that others on its CPU may wait for.
    pub sections: HashMap<TaskId, Duration>,
    /// For each CPU where lower classes share locks with Realtime tasks: the time for which they may be in the way.
    pub lower: HashMap<usize, Lower>,
    /// Why a task is not covered, by the index of the task.
    pub uncovered: HashMap<usize, String>,
}

/// Lower classes that share locks with Realtime tasks of one CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lower {
    /// One section of each of them.
    pub sections: Duration,
    /// How many Realtime jobs of a window may have to wait for one, at most.
    pub waiters: u64,
}

struct User<'a> {
    task: usize,
    spec: &'a TaskSpec,
    body: &'a Body,
    /// Where its instances may run, and how many they are.
    cpus: CpuMask,
    instances: u64,
}

impl Locks {
    /// Looks at all bodies. `slack`, per mille, is added to the sections.
    pub fn of(workload: &Workload, placed: &Placed<'_>, slack: u16, window: Duration) -> Locks {
        let users = users(workload, placed);
        let mut locks = Locks::default();
        // The CPU of each mutex that is covered.
        let mut covered: HashMap<MutexId, usize> = HashMap::new();
        for (number, mutex) in workload.objects.mutexes.iter().enumerate() {
            let id = MutexId(number);
            let of_this: Vec<&User<'_>> =
                users.iter().filter(|user| user.body.sections.iter().any(|s| s.mutexes.contains(&id))).collect();
            let shared = of_this.iter().map(|user| user.instances).sum::<u64>() > 1;
            if !shared || !of_this.iter().any(|user| is_realtime(user.spec)) {
                continue;
            }
            match obstacle(&of_this, id, &mutex.name) {
                Ok(cpu) => {
                    covered.insert(id, cpu);
                }
                Err(why) => {
                    for user in of_this.iter().filter(|user| is_realtime(user.spec)) {
                        locks.uncovered.entry(user.task).or_insert_with(|| why.clone());
                    }
                }
            }
        }
        let longest =
            |body: &Body| body.longest(|mutex| covered.contains_key(&mutex)).mul_div(1000 + u64::from(slack), 1000);
        for candidate in placed.candidates.iter().filter(|candidate| candidate.is_admitted()) {
            let section = longest(&placed.bodies[candidate.instance.task]);
            if is_realtime(candidate.instance.spec) && !section.is_zero() {
                locks.sections.insert(candidate.id, section);
            }
        }
        for user in users.iter().filter(|user| !is_realtime(user.spec)) {
            let section = longest(user.body);
            if let Some(cpu) = user.cpus.iter().next().filter(|_| !section.is_zero()) {
                locks.lower.entry(cpu).or_default().sections += section.mul_div(user.instances, 1);
            }
        }
        for &id in locks.sections.keys() {
            let (Some(request), Some(assignment)) = (placed.admission.request(id), placed.admission.assignment(id))
            else {
                continue;
            };
            if let Some(lower) = locks.lower.get_mut(&assignment.first_cpu()) {
                lower.waiters += 1 + window.as_nanos().div_ceil(request.task.period.as_nanos().max(1));
            }
        }
        locks
    }
}

fn is_realtime(spec: &TaskSpec) -> bool {
    matches!(spec.intent.class, IntentClass::Realtime { .. })
}

/// The CPU on which all users of a mutex run; or why the mutex is not covered.
fn obstacle(users: &[&User<'_>], mutex: MutexId, name: &str) -> Result<usize, String> {
    let holds =
        |user: &User<'_>| user.body.sections.iter().any(|section| section.waits && section.mutexes.contains(&mutex));
    if let Some(user) = users.iter().find(|user| holds(user)) {
        return Err(format!("it shares the mutex `{name}` with `{}`, which waits while it holds it", user.spec.name));
    }
    if let Some(user) = users.iter().find(|user| user.spec.intent.class.queue() == QueueType::System) {
        return Err(format!("it shares the mutex `{name}` with the System task `{}`", user.spec.name));
    }
    let cpus = users.iter().fold(CpuMask::EMPTY, |cpus, user| cpus.union(&user.cpus));
    let mut cpus_of = cpus.iter();
    match (cpus_of.next(), cpus_of.next()) {
        (Some(cpu), None) => Ok(cpu),
        _ => Err(format!("it shares the mutex `{name}` across CPUs ({cpus})")),
    }
}

/// All tasks with sections, as far as they are admitted.
fn users<'a>(workload: &'a Workload, placed: &'a Placed<'_>) -> Vec<User<'a>> {
    let mut held: HashMap<usize, (CpuMask, u64)> = HashMap::new();
    for candidate in &placed.candidates {
        let cpus = placed.admission.assignment(candidate.id).map_or(CpuMask::EMPTY, |assignment| assignment.cpus());
        let entry = held.entry(candidate.instance.task).or_insert((CpuMask::EMPTY, 0));
        *entry = (entry.0.union(&cpus), entry.1 + u64::from(candidate.is_admitted()));
    }
    let all = CpuMask::first(placed.admission.cpu_count());
    let tasks = workload.tasks.iter().enumerate().zip(&placed.bodies).filter(|(_, body)| !body.sections.is_empty());
    tasks
        .map(|((task, spec), body)| {
            let free = || {
                let mask = spec.intent.constraints.cpu_affinity.unwrap_or(all);
                let phases = spec.phases.iter().filter_map(|phase| phase.affinity);
                (phases.fold(mask, |mask, phase| mask.union(&phase)).intersection(&all), spec.instances as u64)
            };
            let (cpus, instances) = held.get(&task).copied().unwrap_or_else(free);
            User { task, spec, body, cpus, instances }
        })
        .collect()
}
