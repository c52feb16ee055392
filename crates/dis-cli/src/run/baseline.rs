//! The workload as plain threads under a policy of Linux.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dis_core::api::{CpuMask, Duration as Micros};
use dis_core::intent::{IntentClass, QueueType};
use dis_core::optimizer::Limits;
use dis_workload::Workload;
use dis_workload::model::TaskSpec;

use super::gate::{Gate, give_up};
use super::noise::NoiseMeter;
use super::outcome::{Outcome, hang_text};
use super::plan::Plan;
use super::watch::Watch;
use crate::host::Host;
use crate::host::threads::Threads;
use crate::sys::{self, Policy};
use crate::work::Speed;
use dis_workload::interp::{Round, execute};

/// How Linux schedules the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// All threads SCHED_OTHER at nice 0.
    Eevdf,
    /// System, Realtime and Interactive under SCHED_FIFO.
    Fifo,
    /// As `Fifo`, but Realtime under SCHED_DEADLINE.
    Deadline,
}

const SYSTEM_PRIORITY: u8 = 60;
const REALTIME_PRIORITY: u8 = 50;
const INTERACTIVE_PRIORITY: u8 = 20;
/// Stack of a thread: the interpreter needs little.
const STACK: usize = 128 << 10;
/// More threads than that exceed the mappings that Linux allows a process by default (vm.max_map_count).
const MOST_THREADS: usize = 10_000;
/// How long the threads may take to get ready, at least.
const PATIENCE: Duration = Duration::from_secs(10);

impl Baseline {
    /// All of them.
    pub const ALL: [Baseline; 3] = [Baseline::Eevdf, Baseline::Fifo, Baseline::Deadline];

    /// The `host` of its report.
    pub fn name(self) -> &'static str {
        match self {
            Baseline::Eevdf => "linux-eevdf",
            Baseline::Fifo => "linux-fifo",
            Baseline::Deadline => "linux-deadline",
        }
    }

    /// Whether it can be run here and says something that the others do not; if not, why.
    pub fn check(self, plan: &Plan) -> Result<(), String> {
        let tasks = plan.workload.instances().count();
        if tasks > MOST_THREADS {
            return Err(format!("{tasks} tasks are more than {MOST_THREADS}, the most that are run as threads"));
        }
        let classes: Vec<QueueType> = plan.workload.tasks.iter().map(|task| task.intent.class.queue()).collect();
        if self == Baseline::Eevdf {
            return Ok(());
        }
        if self == Baseline::Fifo && !classes.iter().any(|class| *class <= QueueType::Interactive) {
            return Err("no task is system, realtime or interactive, so it would be linux-eevdf".into());
        }
        if self == Baseline::Deadline && !classes.contains(&QueueType::Realtime) {
            return Err("no task is realtime, so it would be linux-fifo".into());
        }
        let throttle = fs::read_to_string("/proc/sys/kernel/sched_rt_runtime_us").unwrap_or_default();
        if throttle.trim() == "-1" {
            return Err(
                "the throttling of real-time threads is switched off, so a task that never blocks would freeze \
                        the machine (sysctl kernel.sched_rt_runtime_us=950000 switches it on)"
                    .into(),
            );
        }
        if self == Baseline::Deadline {
            let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
            let all = plan.cpus.iter().copied().collect::<CpuMask>();
            if !online.trim().is_empty() && online.trim() != all.to_string() {
                return Err(format!(
                    "Linux cannot restrict SCHED_DEADLINE threads to CPU {all} of {}; use all CPUs",
                    online.trim()
                ));
            }
            let bound =
                |task: &&TaskSpec| is_realtime(task) && task.intent.constraints.cpu_affinity.is_some_and(|m| m != all);
            if let Some(task) = plan.workload.tasks.iter().find(bound) {
                return Err(format!("Linux cannot restrict SCHED_DEADLINE threads as `{}` is", task.name));
            }
        }
        let tried = thread::spawn(|| sys::set_policy(Policy::Fifo(1))).join();
        match tried {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!(
                "this process may not use real-time policies ({error}); run it as root or with CAP_SYS_NICE"
            )),
            Err(_) => Err("a thread could not be started".into()),
        }
    }

    /// What a task gets.
    fn policy(self, workload: &Workload, spec: &TaskSpec, limits: &Limits) -> Policy {
        match (self, spec.intent.class) {
            (Baseline::Eevdf, _) | (_, IntentClass::Batch) => Policy::Other,
            (_, IntentClass::Background) => Policy::Idle,
            (_, IntentClass::System) => Policy::Fifo(SYSTEM_PRIORITY),
            (_, IntentClass::Interactive { .. }) => Policy::Fifo(INTERACTIVE_PRIORITY),
            (Baseline::Fifo, IntentClass::Realtime { period_us, .. }) => {
                Policy::Fifo(rate_monotonic(workload, period_us))
            }
            (Baseline::Deadline, IntentClass::Realtime { period_us, deadline_us, wcet_us }) => {
                // The same allowances as under DIS.
                let runtime = limits.budget(Micros::from_micros(wcet_us), Micros::from_micros(deadline_us));
                let (runtime, deadline) = (runtime.as_nanos(), deadline_us.saturating_mul(1_000));
                Policy::Deadline { runtime, deadline, period: period_us.saturating_mul(1_000) }
            }
        }
    }
}

fn is_realtime(task: &TaskSpec) -> bool {
    matches!(task.intent.class, IntentClass::Realtime { .. })
}

/// The shorter the period, the higher the priority; equal periods share one.
fn rate_monotonic(workload: &Workload, period_us: u64) -> u8 {
    let mut shorter: Vec<u64> = (workload.tasks.iter())
        .filter_map(|task| match task.intent.class {
            IntentClass::Realtime { period_us: other, .. } if other < period_us => Some(other),
            _ => None,
        })
        .collect();
    shorter.sort_unstable();
    shorter.dedup();
    let rank = u8::try_from(shorter.len()).unwrap_or(u8::MAX);
    REALTIME_PRIORITY.saturating_sub(rank).max(INTERACTIVE_PRIORITY + 1)
}

/// Runs one round of `length` ns. An error says why the operating system does not permit it.
pub fn run_round(
    baseline: Baseline,
    plan: &Plan,
    speed: Speed,
    length: u64,
    watch: &mut Watch<'_>,
) -> Result<Outcome, String> {
    let far = u64::MAX / 4;
    let round = Arc::new(Round::<Threads>::new(&plan.workload, speed, far, length).seed(plan.seed));
    let gate = Arc::new(Gate::default());
    let mut threads = Vec::new();
    for (me, instance) in plan.workload.instances().enumerate() {
        let policy = baseline.policy(&plan.workload, instance.spec, &plan.limits);
        let host = Threads { cpus: plan.cpus.clone(), pinned: !matches!(policy, Policy::Deadline { .. }) };
        let (round, gate2, task, name) = (Arc::clone(&round), Arc::clone(&gate), instance.task, instance.name());
        let body = move || {
            let spec = &round.workload.tasks[task];
            if gate2.pass(prepare(&host, spec, policy).map_err(|why| format!("{name}: {why}"))) {
                host.begin();
                execute(&host, &round, spec, me);
            }
        };
        match thread::Builder::new().stack_size(STACK).spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                give_up(&gate, threads.drain(..));
                return Err(format!("thread {} could not be started: {error} (see ulimit -u)", me + 1));
            }
        }
    }
    if let Err(why) = gate.wait(threads.len(), PATIENCE + Duration::from_millis(threads.len() as u64)) {
        give_up(&gate, threads.drain(..));
        return Err(why);
    }
    let noise = NoiseMeter::start(&plan.cpus);
    round.run.set_start(sys::monotonic() + 2_000_000 + 20_000 * threads.len() as u64);
    gate.open(true);
    let mut outcome = Outcome::default();
    let measure = || {
        outcome.noise = noise.read();
        sys::monotonic()
    };
    let (duration_ns, ended) = watch.attend(&round, String::new, || {}, measure);
    outcome.duration_ns = duration_ns;
    outcome.records = round.records(round.run.start() + duration_ns);
    if !plan.workload.domains.is_empty() {
        outcome.notes.push(format!("{}: domains have no effect in a baseline", baseline.name()));
    }
    if !ended {
        let named = plan.workload.instances().zip(&round.slots).filter(|(_, slot)| !slot.is_done());
        let hung: Vec<String> = named.map(|(instance, _)| instance.name()).collect();
        outcome.notes.push(hang_text(&format!("{}: threads", baseline.name()), &hung));
    }
    for (thread, instance) in threads.into_iter().zip(plan.workload.instances()) {
        // A thread that hangs is left behind; it ends with the process.
        if (ended || thread.is_finished()) && thread.join().is_err() {
            outcome.panics.push(format!("{}: {} panicked", baseline.name(), instance.name()));
        }
    }
    Ok(outcome)
}

fn prepare(host: &Threads, spec: &TaskSpec, policy: Policy) -> Result<(), String> {
    sys::exact_timers();
    if host.pinned {
        host.set_affinity(spec.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL))?;
    }
    if policy == Policy::Other {
        return Ok(());
    }
    sys::set_policy(policy).map_err(|error| {
        let remedy = match error.raw_os_error() {
            Some(libc::EBUSY) => "; more is reserved than Linux admits",
            Some(libc::EPERM) => "; it needs root or CAP_SYS_NICE",
            _ => "",
        };
        format!("{policy:?} was refused: {error}{remedy}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_core::intent::Intent;
    use dis_workload::model::{Step, TaskSpec};

    fn workload(intents: &[Intent]) -> Workload {
        let body = || vec![Step::Run(dis_core::api::Duration::from_millis(1))];
        let tasks = intents.iter().map(|intent| TaskSpec::new("t", intent.clone(), body())).collect();
        Workload { tasks, ..Workload::default() }
    }

    #[test]
    fn classes_become_policies() {
        let all = [
            Intent::system(),
            Intent::realtime(10_000, 8_000, 2_000),
            Intent::realtime(5_000, 5_000, 500),
            Intent::interactive(2_000),
            Intent::batch(),
            Intent::background(),
        ];
        let workload = workload(&all);
        let limits = Limits { budget_slack: 100, ..Limits::default() };
        let policies = |baseline: Baseline| {
            workload.tasks.iter().map(|task| baseline.policy(&workload, task, &limits)).collect::<Vec<_>>()
        };
        assert!(policies(Baseline::Eevdf).iter().all(|policy| *policy == Policy::Other));
        let fifo =
            [Policy::Fifo(60), Policy::Fifo(49), Policy::Fifo(50), Policy::Fifo(20), Policy::Other, Policy::Idle];
        assert_eq!(policies(Baseline::Fifo), fifo);
        let deadline = Policy::Deadline { runtime: 2_200_000, deadline: 8_000_000, period: 10_000_000 };
        assert_eq!(policies(Baseline::Deadline)[1], deadline);
        assert_eq!(policies(Baseline::Deadline)[3..], fifo[3..]);
    }

    #[test]
    fn many_periods_stay_above_interactive() {
        let intents: Vec<Intent> = (1..60).map(|n| Intent::realtime(n * 1_000, n * 1_000, 1)).collect();
        let workload = workload(&intents);
        assert_eq!([1, 2, 59].map(|n| rate_monotonic(&workload, n * 1_000)), [50, 49, 21]);
    }
}
