//! The workload as tasks of DIS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use dis_core::api::{SchedError, TaskId, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::Domain;
use dis_module::Faults;
use dis_runtime::{BuildError, JoinError, JoinHandle, Runtime, SpawnError};
use dis_workload::model::TaskSpec;
use dis_workload::report::{Counters, DomainReport, SchedulerReport};

use super::fifo;
use super::noise::NoiseMeter;
use super::outcome::{Outcome, hang_text};
use super::plan::Plan;
use super::policies::{Chosen, change_notes, fault_notes};
use super::refusal::{explain, give_in, pointless};
use super::watch::Watch;
use crate::failure::Failure;
use crate::host::Park;
use crate::host::dis::{Dis, Handle};
use crate::output::remedy_lines;
use crate::sys;
use crate::trace::{Feed, KEPT, TraceFile};
use crate::work::Speed;
use dis_workload::interp::{Round, execute};

/// How long a task may take to see that it has been aborted, ns.
const ABORT_NS: u64 = 200_000_000;
/// Tasks that the runtime may have besides those of the workload; costs address space only.
const ROOM: usize = 8_192;
/// Tasks that have a kernel thread each; with more of them they share.
const OWN_THREADS: usize = 64;
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
        let (runtime, faults) = self.build(count)?;
        let mut outcome = Outcome::default();
        if plan.fifo {
            outcome.notes.extend(fifo::texts(runtime.os_policy()));
        }
        // Late enough that all tasks are there by then.
        let start = runtime.now().as_nanos() + 10_000_000 + 20_000 * count as u64;
        let mut round = Round::new(&plan.workload, self.speed, start, self.length).seed(plan.seed);
        if self.trace.is_some() {
            round = round.keep_misses();
        }
        let domains = plan.workload.make_domains(|parent, spec| runtime.create_domain(parent, spec));
        let domains = domains.map_err(|(index, error)| {
            let domain = &plan.workload.domains[index];
            Failure::bad_input(format!("{}:{}: domain \"{}\": {error}", plan.file, domain.line, domain.name))
        })?;
        let (released, handles) = (Arc::default(), Vec::with_capacity(count));
        let mut tasks = Tasks { round: Arc::new(round), released, handles, domains };
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
            outcome.domains = DomainReport::all(&tasks.domains);
            outcome.scheduler = Some(SchedulerReport::from(&runtime.stats()));
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
        let changes = runtime.modules().changes();
        outcome.notes.extend(change_notes(&changes, start));
        outcome.notes.extend(fault_notes(faults.iter().chain(&runtime.module_faults())));
        if !runtime.shutdown(PATIENCE) {
            outcome.notes.push("the runtime did not end in time; its threads end with this process".into());
        }
        Ok(outcome)
    }

    fn build(&self, tasks: usize) -> Result<(Runtime, Vec<Faults>), Failure> {
        let plan = self.plan;
        let mut builder = Runtime::builder()
            .workers(plan.cpus.len())
            .cpus(plan.cpus.iter().copied().collect())
            .limits(plan.limits)
            .max_tasks(u32::try_from(tasks + ROOM).unwrap_or(u32::MAX));
        // The policies keep what they need of the modules.
        let Chosen { modules, faults } = Chosen::new(&plan.modules, &plan.policies)?;
        builder = builder.modules(modules);
        builder = sys::share_threads(builder, OWN_THREADS);
        if plan.fifo {
            builder = builder.fifo(fifo::PRIORITY);
        }
        if self.trace.is_some() {
            builder = builder.trace(KEPT);
        }
        if let Some(path) = &plan.control {
            builder = builder.control_socket(path);
        }
        let runtime = builder.build();
        let runtime = runtime.map_err(|error| match error {
            BuildError::Control(error) => Failure::bad_input(format!("--control {error}")),
            error => Failure::failed(format!("the runtime cannot be started: {error}")),
        })?;
        Ok((runtime, faults))
    }
}

/// The tasks of a round.
struct Tasks {
    round: Arc<Round<Dis>>,
    /// Whether they may go: until then they exist, so the core has their counters.
    released: Arc<AtomicBool>,
    handles: Vec<Handle>,
    /// The workload's.
    domains: Vec<Domain>,
}

impl Tasks {
    fn spawn_all(&mut self, runtime: &Runtime, plan: &Plan, notes: &mut Vec<String>) -> Result<(), Failure> {
        for (me, instance) in plan.workload.instances().enumerate() {
            let (spec, name) = (instance.spec, instance.name());
            let mut intent = spec.intent.clone();
            if let Some(mask) = &mut intent.constraints.cpu_affinity {
                *mask = plan.real_cpus(mask);
            }
            while let Some(why) = pointless(&intent) {
                give_in(plan, spec, &mut intent, why, notes)?;
            }
            let origin = Timestamp::from_nanos(self.round.run.start() + spec.offset.as_nanos());
            let handle = loop {
                let mut builder = runtime.task(intent.clone()).name(name.clone()).start_at(origin);
                if let Some(domain) = spec.domain.and_then(|domain| self.domains.get(domain)) {
                    builder = builder.in_domain(domain);
                }
                if spec.dedicated {
                    builder = builder.dedicated();
                }
                match builder.spawn(self.body(plan, spec, instance.task, me)) {
                    Ok(handle) => break handle,
                    Err(SpawnError::Refused(SchedError::NotSupported(why))) => {
                        give_in(plan, spec, &mut intent, why, notes)?;
                    }
                    Err(error @ (SpawnError::NumaNodeOffline { .. } | SpawnError::NumaNodeWithoutCpu(_))) => {
                        give_in(plan, spec, &mut intent, &format!("numa_node: {error}"), notes)?;
                    }
                    Err(error) => {
                        let reason = runtime.admission(&intent).err();
                        let reason = reason.map(|reason| (reason, remedy_lines(&runtime.remedy(&intent))));
                        let message = format!("{}: {}", plan.place(spec), explain(spec, error, reason));
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
        let periodic = spec.is_released_by_intent();
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
        self.handles.iter().map(|handle| stats(handle).as_ref().map(Counters::from).unwrap_or_default()).collect()
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
        let all = || plan.workload.instances().zip(&self.handles).zip(&self.round.slots);
        if !ended {
            all().filter(|(_, slot)| !slot.is_done()).for_each(|((_, handle), _)| {
                handle.with(JoinHandle::abort);
            });
        }
        // One patience for all, as there may be very many.
        let patience = sys::monotonic() + ABORT_NS;
        for ((instance, handle), slot) in all() {
            let Some(handle) = handle.take() else { continue };
            while !ended && !slot.is_done() && !handle.is_finished() && sys::monotonic() < patience {
                sleep(Duration::from_millis(1));
            }
            if (ended || handle.is_finished())
                && let Err(error @ JoinError::Panic(_)) = handle.join()
            {
                outcome.panics.push(format!("{}: {error}", instance.name()));
            }
        }
        outcome.records = self.round.records(self.round.run.start() + outcome.duration_ns);
        outcome.records.iter_mut().zip(stats).for_each(|(record, stats)| record.counters += *stats);
    }
}
