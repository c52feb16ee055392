//! What the core knows, as the protocol tells it.

use dis_control::protocol::{ClassRow, CpuRow, ModuleRow, Reply, Stats, TaskRow};
use dis_core::api::{BlockReason, CpuMask, TaskId, TaskState, TaskStats};
use dis_core::intent::QueueType;

use super::observe::Observer;
use crate::modules::Modules;
use crate::runtime::Inner;
use crate::task::TaskRef;

/// Places of the core's table that are looked at under one lock.
const STEP: usize = 256;
/// Bytes of a name that are told.
const NAME: usize = 48;

/// What is taken down under the lock: no allocation.
#[derive(Clone, Copy)]
struct Raw {
    id: TaskId,
    name: [u8; NAME],
    named: usize,
    class: QueueType,
    competes: QueueType,
    state: TaskState,
    waits_for: Option<BlockReason>,
    throttled: bool,
    internal: bool,
    /// What was taken from its header is another's.
    in_call: bool,
    priority: u8,
    affinity: CpuMask,
    stats: TaskStats,
}

/// The tasks of one step. `from`: the CPU in the upper half, the place in its table in the lower.
pub(super) fn tasks(rt: &Inner, observer: &Observer, from: u64) -> Reply {
    let (cpu, place) = ((from >> 32) as usize, (from & 0xffff_ffff) as usize);
    let mut raw = Vec::with_capacity(STEP);
    let next = rt.exec.visit_tasks(cpu, place, STEP, |task| {
        let (name, named, internal) = about(task.context);
        raw.push(Raw {
            id: task.id,
            name,
            named,
            class: task.intent.class.queue(),
            competes: task.effective_class(),
            state: task.state(),
            waits_for: task.block_reason(),
            throttled: task.is_throttled(),
            internal,
            in_call: task.is_in_call(),
            priority: task.priority,
            affinity: task.affinity,
            stats: task.stats,
        });
    });
    for raw in raw.iter_mut().filter(|raw| raw.in_call) {
        if let Ok(own) = rt.exec.with_context(raw.id, |_, own| about(own)) {
            (raw.name, raw.named, raw.internal) = own;
        }
    }
    let next = match next {
        Some(place) => Some((cpu as u64) << 32 | place as u64),
        None => (cpu + 1 < rt.workers.len()).then_some((cpu as u64 + 1) << 32),
    };
    Reply::Tasks { tasks: raw.iter().map(|raw| row(rt, observer, cpu, raw)).collect(), next }
}

/// Its name, the length of that, and whether it serves futures. Under the core's lock: no allocation.
fn about(task: TaskRef) -> ([u8; NAME], usize, bool) {
    let header = task.header();
    let mut name = [0; NAME];
    let named = header.name.len().min(NAME);
    name[..named].copy_from_slice(&header.name.as_bytes()[..named]);
    (name, named, header.internal)
}

fn row(rt: &Inner, observer: &Observer, cpu: usize, raw: &Raw) -> TaskRow {
    let mut stats = raw.stats;
    if raw.state == TaskState::Running {
        // With the stretch that is under way.
        stats = rt.exec.task_stats(rt.now(), raw.id).unwrap_or(stats);
    }
    let (latency, reason) = observer.with(|seen| seen.task(raw.id)).unwrap_or_default();
    let name = String::from_utf8_lossy(&raw.name[..raw.named]);
    TaskRow {
        id: raw.id.0,
        // A character that was cut in two.
        name: name.trim_end_matches('\u{fffd}').into(),
        class: raw.class.name().into(),
        competes: raw.competes.name().into(),
        state: state(raw),
        cpu: rt.config.cpus.get(cpu).copied().unwrap_or(cpu),
        priority: raw.priority,
        affinity: machine_cpus(rt, &raw.affinity).iter().map(|cpu| cpu as u16).collect(),
        cpu_ns: stats.cpu_time,
        switches: stats.context_switches,
        preemptions: stats.preemptions,
        wakes: stats.wakes,
        migrations: stats.migrations,
        misses: stats.deadline_misses,
        overruns: stats.overruns,
        latency,
        reason: reason.map(|reason| reason.as_str().into()),
    }
}

fn state(raw: &Raw) -> String {
    let waits = match raw.waits_for {
        Some(BlockReason::Io) => "I/O",
        Some(BlockReason::Mutex) => "mutex",
        Some(BlockReason::Semaphore) => "semaphore",
        Some(BlockReason::Event) => "event",
        Some(BlockReason::ChildExit) => "join",
        Some(BlockReason::Ipc) => "message",
        Some(BlockReason::Receive) => "call",
        Some(BlockReason::Host) => "system call",
        None if raw.throttled => return "throttled".into(),
        None if raw.internal && raw.state == TaskState::Ready => return "ready (futures)".into(),
        None => return raw.state.to_string(),
    };
    format!("blocked: {waits}")
}

/// The machine's CPUs of a mask of workers.
pub(super) fn machine_cpus(rt: &Inner, workers: &CpuMask) -> CpuMask {
    let cpus = rt.workers.iter().filter(|worker| workers.contains(worker.cpu));
    cpus.map(|worker| worker.os_cpu).collect()
}

/// All counters.
pub(super) fn stats(rt: &Inner, observer: &Observer) -> Stats {
    let now = rt.now();
    let mut stats =
        Stats { now_ns: now.as_nanos(), live: rt.live.load(std::sync::atomic::Ordering::Acquire), ..Stats::default() };
    for worker in &rt.workers {
        let Some((counts, running)) = rt.exec.cpu_stats_at(worker.cpu, now) else { continue };
        let ran = observer.with(|seen| seen.ran(worker.cpu, now)).flatten();
        let class = |class: QueueType| {
            let queue = &counts.queue_stats[class];
            ClassRow {
                class: class.name().into(),
                ready: queue.length,
                dequeued: queue.dequeued,
                waited_ns: u64::try_from(queue.total_wait()).unwrap_or(u64::MAX),
                ran_ns: ran.map(|ran| ran[class.rank()]),
            }
        };
        stats.created += counts.tasks_created;
        stats.exited += counts.tasks_exited;
        stats.killed += counts.tasks_killed;
        stats.misses += counts.deadline_misses;
        stats.policy_faults += counts.policy_faults;
        stats.cpus.push(CpuRow {
            cpu: worker.os_cpu,
            running: running.map_or(0, |id| id.0),
            busy_ns: counts.total_cpu_time,
            switches: counts.context_switches,
            preemptions: counts.involuntary_switches,
            classes: QueueType::ALL.map(class).into(),
        });
    }
    let seen = observer.with(|seen| (seen.reasons(), seen.lost));
    let (reasons, lost) = seen.unwrap_or_default();
    stats.reasons = reasons.into_iter().map(|(reason, count)| (reason.as_str().into(), count)).collect();
    stats.lost = lost;
    stats
}

/// The modules.
pub(super) fn modules(rt: &Inner) -> Reply {
    let row = |module: crate::ModuleInfo| ModuleRow {
        name: module.name.into(),
        version: module.version.to_string(),
        active: module.active.into_iter().map(|class| class.name().into()).collect(),
        reverted: module.reverted.into_iter().map(|class| class.name().into()).collect(),
    };
    Reply::Modules { modules: Modules::of(rt).list().into_iter().map(row).collect() }
}
