//! Numbers per second, from two samples.

use std::collections::HashMap;

use dis_control::protocol::{ClassRow, Stats, TaskRow};

/// What the process says at one instant.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub stats: Stats,
    pub tasks: Vec<TaskRow>,
}

/// What happened between two samples.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    pub cpus: Vec<CpuRate>,
    pub classes: Vec<ClassRate>,
    /// Decisions per second, by reason.
    pub reasons: Vec<(String, f64)>,
    tasks: HashMap<u64, TaskRate>,
}

#[derive(Debug, Clone, Default)]
pub struct CpuRate {
    pub cpu: usize,
    /// Share of the time in which a task ran, 0 to 1.
    pub load: f64,
    pub ready: u32,
    /// Per second.
    pub switches: f64,
    /// Per second.
    pub preemptions: f64,
    /// The name of the task that runs.
    pub running: String,
}

#[derive(Debug, Clone, Default)]
pub struct ClassRate {
    pub class: String,
    /// CPUs' worth of time.
    pub load: f64,
    pub ready: u32,
    /// Mean wait for the CPU of those that got it, ns.
    pub wait: Option<u64>,
}

/// Of one task.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskRate {
    /// CPUs' worth of time.
    pub load: f64,
    /// Per second.
    pub switches: f64,
}

impl Rates {
    pub fn between(before: &Sample, now: &Sample) -> Rates {
        let seconds = now.stats.now_ns.saturating_sub(before.stats.now_ns).max(1) as f64 / 1e9;
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let share = |now: u64, before: u64| per_second(now, before) / 1e9;
        let earlier: HashMap<u64, &TaskRow> = before.tasks.iter().map(|task| (task.id, task)).collect();
        let cpus = now.stats.cpus.iter().enumerate().map(|(index, cpu)| {
            let old = before.stats.cpus.get(index).cloned().unwrap_or_default();
            let name = |task: &&TaskRow| task.id == cpu.running;
            let running = match cpu.running {
                0 => "idle".into(),
                id => now.tasks.iter().find(name).map_or_else(|| id.to_string(), |task| task.name.clone()),
            };
            CpuRate {
                cpu: cpu.cpu,
                load: share(cpu.busy_ns, old.busy_ns).min(1.0),
                ready: cpu.classes.iter().map(|class| class.ready).sum(),
                switches: per_second(cpu.switches, old.switches),
                preemptions: per_second(cpu.preemptions, old.preemptions),
                running,
            }
        });
        let classes = now.stats.cpus.first().map_or(0, |cpu| cpu.classes.len());
        let classes = (0..classes).map(|rank| {
            let (new, old) = (sum(&now.stats, rank), sum(&before.stats, rank));
            let count = new.dequeued.saturating_sub(old.dequeued);
            ClassRate {
                load: share(new.ran_ns.unwrap_or(0), old.ran_ns.unwrap_or(0)),
                ready: new.ready,
                wait: new.waited_ns.saturating_sub(old.waited_ns).checked_div(count),
                class: new.class,
            }
        });
        let reasons = now.stats.reasons.iter().map(|(reason, count)| {
            let old = before.stats.reasons.iter().find(|(other, _)| other == reason).map_or(0, |(_, count)| *count);
            (reason.clone(), per_second(*count, old))
        });
        let tasks = now.tasks.iter().map(|task| {
            // One that is new has done all that it did since.
            let old = earlier.get(&task.id).map_or((0, 0), |old| (old.cpu_ns, old.switches));
            let rate =
                TaskRate { load: share(task.cpu_ns, old.0).min(1.0), switches: per_second(task.switches, old.1) };
            (task.id, rate)
        });
        Rates { cpus: cpus.collect(), classes: classes.collect(), reasons: reasons.collect(), tasks: tasks.collect() }
    }

    pub fn task(&self, id: u64) -> TaskRate {
        self.tasks.get(&id).copied().unwrap_or_default()
    }
}

/// A class on all CPUs.
fn sum(stats: &Stats, rank: usize) -> ClassRow {
    let mut sum = ClassRow::default();
    for class in stats.cpus.iter().filter_map(|cpu| cpu.classes.get(rank)) {
        sum.class.clone_from(&class.class);
        sum.ready += class.ready;
        sum.dequeued += class.dequeued;
        sum.waited_ns = sum.waited_ns.saturating_add(class.waited_ns);
        sum.ran_ns = class.ran_ns.map(|ran| ran + sum.ran_ns.unwrap_or(0)).or(sum.ran_ns);
    }
    sum
}
