//! Answers for people.

use dis_control::protocol::{ModuleRow, Stats, TaskRow};
use dis_core::api::CpuMask;

use crate::output::{Stream, align, time};

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(ToString::to_string).collect();
    align(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), Stream::Out.width())
}

/// The live tasks.
pub fn tasks(tasks: &[TaskRow]) -> String {
    let watched = tasks.iter().any(|task| task.latency.is_some());
    let mut head =
        vec!["NAME", "ID", "CLASS", "STATE", "CPU", "MAY", "PRIO", "CPU TIME", "SWITCHES", "PREEMPTED", "MISSED"];
    if watched {
        head.extend(["WAKE P50", "P99"]);
    }
    let row = |task: &TaskRow| {
        let class = match task.class == task.competes {
            true => task.class.clone(),
            false => format!("{} as {}", task.class, task.competes),
        };
        let may: CpuMask = task.affinity.iter().map(|cpu| usize::from(*cpu)).collect();
        let mut row = vec![
            task.name.clone(),
            task.id.to_string(),
            class,
            task.state.clone(),
            task.cpu.to_string(),
            may.to_string(),
            task.priority.to_string(),
            time(task.cpu_ns),
            task.switches.to_string(),
            task.preemptions.to_string(),
            task.misses.to_string(),
        ];
        if watched {
            row.extend(task.latency.map_or(["-".into(), "-".into()], |latency| [time(latency.p50), time(latency.p99)]));
        }
        row
    };
    if tasks.is_empty() {
        return "no task is live\n".into();
    }
    table(&head, tasks.iter().map(row))
}

/// The machine.
pub fn stats(stats: &Stats) -> String {
    let mut text = format!(
        "tasks: {} live, {} created, {} exited, {} killed\ndeadline misses: {}\n",
        stats.live, stats.created, stats.exited, stats.killed, stats.misses
    );
    if stats.policy_faults > 0 {
        text += &format!("policies replaced after wrong answers: {}\n", stats.policy_faults);
    }
    let rows = stats.cpus.iter().flat_map(|cpu| {
        let whole = vec![
            format!("CPU {}", cpu.cpu),
            String::new(),
            cpu.classes.iter().map(|class| class.ready).sum::<u32>().to_string(),
            time(cpu.busy_ns),
            cpu.switches.to_string(),
            cpu.preemptions.to_string(),
            String::new(),
        ];
        let used = cpu.classes.iter().filter(|class| class.dequeued > 0 || class.ready > 0);
        let classes = used.map(|class| {
            vec![
                String::new(),
                class.class.clone(),
                class.ready.to_string(),
                class.ran_ns.map_or(String::new(), time),
                String::new(),
                String::new(),
                class.waited_ns.checked_div(class.dequeued).map_or("-".into(), time),
            ]
        });
        std::iter::once(whole).chain(classes).collect::<Vec<_>>()
    });
    text += &table(&["", "CLASS", "READY", "CPU TIME", "SWITCHES", "PREEMPTED", "MEAN WAIT"], rows);
    if !stats.reasons.is_empty() {
        let reasons: Vec<_> = stats.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        text += &format!("decisions: {}\n", reasons.join(", "));
    }
    text
}

/// The modules.
pub fn modules(modules: &[ModuleRow]) -> String {
    let row = |module: &ModuleRow| {
        let told = |class: &String| {
            let reverted = if module.reverted.contains(class) { " (built-in again, after wrong answers)" } else { "" };
            format!("{class}{reverted}")
        };
        let active: Vec<String> = module.active.iter().map(told).collect();
        let active = if active.is_empty() { "-".into() } else { active.join(", ") };
        vec![module.name.clone(), module.version.clone(), active]
    };
    table(&["NAME", "VERSION", "ACTIVE FOR"], modules.iter().map(row))
}
