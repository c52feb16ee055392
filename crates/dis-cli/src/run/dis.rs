//! The workload as tasks of DIS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use dis_core::api::{SchedError, TaskId, Timestamp};
use dis_core::intent::{Intent, IntentClass, IoPriority, QueueType};
use dis_runtime::{JoinError, JoinHandle, OsPolicy, Runtime, SpawnError};
use dis_workload::model::{Constraint, Release, TaskSpec};

use super::noise::NoiseMeter;
use super::outcome::{Outcome, hang_text, scheduler_report};
use super::plan::Plan;
use super::watch::Watch;
use crate::failure::Failure;
use crate::host::dis::{Dis, Handle, counters};
use crate::host::{Counters, Park};
use crate::interp::{Round, execute};
use crate::sys;
use crate::trace::{Feed, KEPT, TraceFile};
use crate::work::Speed;

/// Priority of the worker threads under SCHED_FIFO: above what a desktop uses for sound, below kernel threads.
const FIFO_PRIORITY: i32 = 40;
/// How long a task may take to see that it has been aborted, ns.
const ABORT_NS: u64 = 200_000_000;
/// Tasks that the runtime may have besides those of the workload; costs address space only.
const ROOM: usize = 8_192;
/// How long the runtime may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// One round under DIS.
pub struct DisRound<'a> {
    /// What to run.
    pub plan: &'a Plan,
    /// Speed of the CPUs.
    pub speed: Speed,
    /// How long, ns.
    pub length: u64,
    /// Where to write what happens.
    pub trace: Option<&'a mut TraceFile>,
}

impl DisRound<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// The runtime cannot be built, or refuses a task.
    pub fn run(mut self, watch: &mut Watch<'_>) -> Result<Outcome, Failure> {
        let plan = self.plan;
        let count = plan.workload.instances().count();
        let runtime = self.build(count)?;
        let mut outcome = Outcome::default();
        if plan.fifo {
            outcome.notes.push(policy_text(runtime.os_policy()));
        }
        // Late enough that all tasks are there by then.
        let start = runtime.now().as_nanos() + 10_000_000 + 20_000 * count as u64;
        let mut round = Round::new(&plan.workload, self.speed, start, self.length);
        if self.trace.is_some() {
            round = round.keep_misses();
        }
        let mut tasks = Tasks { round: Arc::new(round), released: Arc::default(), handles: Vec::with_capacity(count) };
        if let Err(failure) = tasks.spawn_all(&runtime, plan, &mut outcome.notes) {
            tasks.round.stop();
            tasks.release();
            tasks.handles.iter().for_each(|handle| drop(handle.take()));
            runtime.shutdown(PATIENCE);
            return Err(failure);
        }
        let round = Arc::clone(&tasks.round);
        let mut feed = Feed::new(tasks.ids());
        if let Some(trace) = &mut self.trace {
            let names = plan.workload.instances().map(|instance| instance.name());
            trace.begin(plan.cpus.len(), tasks.ids().into_iter().zip(names));
        }
        let noise = NoiseMeter::start(&plan.cpus);
        let live = || {
            let stats = runtime.stats();
            format!("  {} switches  {} preemptions", stats.context_switches, stats.involuntary_switches)
        };
        let tick = || {
            if let Some(trace) = &mut self.trace {
                feed.pump(&runtime, &round, trace, None);
            }
        };
        let mut stats = Vec::new();
        let measure = || {
            stats = tasks.stats();
            outcome.scheduler = Some(scheduler_report(&runtime.stats()));
            outcome.noise = noise.read();
            // Later than all of that, so that no task has had more than the time that is reported.
            let measured = runtime.now().as_nanos();
            round.stop();
            tasks.lift_budgets(plan);
            measured
        };
        let (duration_ns, ended) = watch.attend(&round, live, tick, measure);
        outcome.duration_ns = duration_ns;
        if let Some(trace) = &mut self.trace {
            feed.finish(&runtime, &round, trace, start.saturating_add(duration_ns));
        }
        tasks.collect(plan, ended, &stats, &mut outcome);
        if !runtime.shutdown(PATIENCE) {
            outcome.notes.push("the runtime did not end in time; its threads end with this process".into());
        }
        Ok(outcome)
    }

    fn build(&self, tasks: usize) -> Result<Runtime, Failure> {
        let plan = self.plan;
        let mut builder = Runtime::builder()
            .workers(plan.cpus.len())
            .cpus(plan.cpus.iter().copied().collect())
            .limits(plan.limits)
            .max_tasks(u32::try_from(tasks + ROOM).unwrap_or(u32::MAX));
        for choice in &plan.policies {
            builder = builder.policy(choice.class, choice.name);
        }
        if plan.fifo {
            builder = builder.fifo(FIFO_PRIORITY);
        }
        if self.trace.is_some() {
            builder = builder.trace(KEPT);
        }
        builder.build().map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))
    }
}

/// The tasks of a round.
struct Tasks {
    round: Arc<Round<Dis>>,
    /// Whether they may go: until then they exist, so the core has their counters.
    released: Arc<AtomicBool>,
    handles: Vec<Handle>,
}

impl Tasks {
    fn spawn_all(&mut self, runtime: &Runtime, plan: &Plan, notes: &mut Vec<String>) -> Result<(), Failure> {
        for (me, instance) in plan.workload.instances().enumerate() {
            let (spec, name) = (instance.spec, instance.name());
            let mut intent = spec.intent.clone();
            if let Some(mask) = &mut intent.constraints.cpu_affinity {
                *mask = plan.real_cpus(mask);
            }
            let origin = Timestamp::from_nanos(self.round.run.start() + spec.offset.as_nanos());
            let handle = loop {
                let mut builder = runtime.task(intent.clone()).name(name.clone()).start_at(origin);
                if spec.dedicated {
                    builder = builder.dedicated();
                }
                match builder.spawn(self.body(plan, spec, instance.task, me)) {
                    Ok(handle) => break handle,
                    Err(SpawnError::Refused(SchedError::NotSupported(why))) => {
                        give_in(plan, spec, &mut intent, why, notes)?;
                    }
                    Err(error) => {
                        let message = format!("{}: {}", plan.place(spec), explain(spec, error));
                        return Err(Failure::bad_input(message));
                    }
                }
            };
            if let Some(Err(error)) = spec.priority.map(|priority| handle.set_priority(priority)) {
                notes.push(format!("{}: priority: not set: {error}", plan.place(spec)));
            }
            if let Some(place) = self.handles.get(me) {
                place.put(handle);
            }
        }
        Ok(())
    }

    fn body(&mut self, plan: &Plan, spec: &TaskSpec, task: usize, me: usize) -> impl FnOnce() + Send + 'static {
        self.handles.truncate(me);
        self.handles.push(Handle::default());
        let periodic = matches!((spec.release, &spec.intent.class),
            (Release::Periodic(period), IntentClass::Realtime { period_us, .. })
                if period.as_nanos() == period_us.saturating_mul(1_000));
        let host = Dis { cpus: plan.cpus.clone(), periodic, handle: self.handles[me].clone() };
        let (round, released) = (Arc::clone(&self.round), Arc::clone(&self.released));
        move || {
            execute(&host, &round, &round.workload.tasks[task], me);
            while !released.load(Ordering::SeqCst) {
                round.shared.waiters[me].parker.park();
            }
        }
    }

    fn ids(&self) -> Vec<TaskId> {
        let id = |handle: &Handle| handle.with(JoinHandle::id).unwrap_or(TaskId::INVALID);
        self.handles.iter().map(id).collect()
    }

    fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
        self.round.shared.unpark_all();
    }

    /// What each has used and undergone up to now.
    fn stats(&self) -> Vec<Counters> {
        let stats = |handle: &Handle| handle.with(JoinHandle::scheduler_stats).flatten();
        self.handles.iter().map(|handle| stats(handle).as_ref().map(counters).unwrap_or_default()).collect()
    }

    /// The round is over, and every task is to see that, even one that has used up its budget until a release far away.
    fn lift_budgets(&self, plan: &Plan) {
        for (handle, instance) in self.handles.iter().zip(plan.workload.instances()) {
            if instance.spec.intent.class.queue() == QueueType::Realtime {
                // One that has ended needs no CPU any more.
                let _ = handle.with(|handle| handle.set_intent(&Intent::batch()));
            }
        }
    }

    /// Takes the records and joins the tasks; those that hang are aborted and counted.
    fn collect(self, plan: &Plan, ended: bool, stats: &[Counters], outcome: &mut Outcome) {
        let hangs = |me: usize| !ended && !self.round.slots[me].is_at_rest();
        let named = plan.workload.instances().map(|instance| instance.name()).enumerate();
        let hung: Vec<String> = named.filter(|(me, _)| hangs(*me)).map(|(_, name)| name).collect();
        if !hung.is_empty() {
            outcome.notes.push(hang_text("linux: tasks", &hung));
        }
        self.release();
        for (me, instance) in plan.workload.instances().enumerate() {
            let slot = &self.round.slots[me];
            if let Some(handle) = self.handles[me].take() {
                if !ended && !slot.is_done() {
                    handle.abort();
                    let patience = sys::monotonic() + ABORT_NS;
                    while !handle.is_finished() && sys::monotonic() < patience {
                        sleep(Duration::from_millis(1));
                    }
                }
                if (ended || handle.is_finished())
                    && let Err(error @ JoinError::Panic(_)) = handle.join()
                {
                    outcome.panics.push(format!("{}: {error}", instance.name()));
                }
            }
        }
        outcome.records = self.round.records(self.round.run.start() + outcome.duration_ns);
        outcome.records.iter_mut().zip(stats).for_each(|(record, stats)| record.counters += *stats);
    }
}

/// What `--fifo` came to.
fn policy_text(policy: OsPolicy) -> String {
    match policy {
        OsPolicy::Ordinary => "worker threads run under the ordinary policy".into(),
        OsPolicy::FifoRefused => {
            "SCHED_FIFO was not permitted (it needs root or CAP_SYS_NICE); the workers run under the ordinary policy"
                .into()
        }
        OsPolicy::Fifo(priority) => format!("worker threads run under SCHED_FIFO, priority {priority}"),
    }
}

/// Drops the constraint that the runtime cannot enforce, if the task says that it may.
fn give_in(
    plan: &Plan,
    spec: &TaskSpec,
    intent: &mut Intent,
    why: &str,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let place = plan.place(spec);
    let (name, why) = why.split_once(": ").unwrap_or(("", why));
    let constraint = Constraint::ALL
        .into_iter()
        .find(|constraint| constraint.key() == name || (name == "max_memory" && *constraint == Constraint::Memory));
    let Some(constraint) = constraint else {
        return Err(Failure::bad_input(format!("{place}: not supported: {name}{why}")));
    };
    let key = constraint.key();
    if !spec.best_effort.contains(&constraint) {
        return Err(Failure::bad_input(format!(
            "{place}: {key}: cannot be enforced here: {why}; leave it out, or add best_effort = [\"{key}\"] to run without it"
        )));
    }
    let note = format!("{place}: {key}: not enforced (best_effort): {why}");
    if !notes.contains(&note) {
        notes.push(note);
    }
    let (constraints, qos) = (&mut intent.constraints, &mut intent.qos);
    match constraint {
        Constraint::Affinity => constraints.cpu_affinity = None,
        Constraint::Memory => constraints.max_memory = None,
        Constraint::NumaNode => constraints.numa_node = None,
        Constraint::IoPriority => constraints.io_priority = IoPriority::BestEffort,
        Constraint::NetPriority => constraints.net_priority = 0,
        Constraint::CpuMin => qos.cpu_min = 0,
        Constraint::CpuMax => qos.cpu_max = 0,
        Constraint::MemBandwidth => qos.mem_bandwidth = None,
        Constraint::IoBandwidth => qos.io_bandwidth = None,
    }
    Ok(())
}

/// Why a task was refused, and what to do.
fn explain(spec: &TaskSpec, error: SpawnError) -> String {
    match (error, spec.intent.class) {
        (SpawnError::Refused(SchedError::NoCpu), IntentClass::Realtime { wcet_us, deadline_us, period_us }) => {
            let share = wcet_us as f64 / deadline_us.min(period_us).max(1) as f64 * 100.0;
            format!(
                "no CPU has room for its reservation of {share:.1} % (wcet {wcet_us} us within {deadline_us} us); \
                 lower `wcet`, lengthen `period` or `deadline`, add CPUs, or raise `realtime` in [limits]"
            )
        }
        (SpawnError::Refused(SchedError::ResourceExhausted), _) => "too many tasks; lower `instances`".into(),
        (error, _) => error.to_string(),
    }
}
