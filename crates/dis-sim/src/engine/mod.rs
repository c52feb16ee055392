//! The simulated machine: CPUs, timers and interrupts under virtual time, driven by what is due next.
//!
//! `machine` does for the core what a host does, `body` does what tasks do, `result` says how they fared.

mod body;
mod machine;
mod result;

use std::iter;

use dis_core::api::{Duration, TaskSpec, Timestamp};
use dis_core::executor::Executor;
use dis_core::intent::IntentClass;
use dis_core::isolation::Domain;
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use dis_workload::Workload;
use dis_workload::model::{Arrivals, Draws, Repeat};
use dis_workload::report::{Counters, Deadlines, Grid, Record};

use crate::agenda::Agenda;
use crate::error::SimError;
use crate::kernel::{Kernel, Lock};
use crate::mutex::Mutex;
use crate::objects::Shared;
use crate::options::{Costs, Options};
use crate::schedule::{Entry, Recorder};
use crate::task::{Actor, Pending, Waiting};
use crate::trace::TraceEvent;
use crate::walk::Walk;
use machine::Cpu;

/// Never, ns.
const NEVER: u64 = u64::MAX;

/// A workload under virtual time.
#[derive(Debug)]
pub struct Simulation<'w, K = Executor<u32, Lock>> {
    pub(crate) workload: &'w Workload,
    pub(crate) kernel: K,
    pub(crate) now: u64,
    end: u64,
    is_over: bool,
    cpus: Vec<Cpu>,
    agenda: Agenda,
    pub(crate) actors: Vec<Actor<'w>>,
    pub(crate) mutexes: Vec<Mutex>,
    shared: Shared,
    costs: Costs,
    /// Tasks that have not ended.
    live: usize,
    /// Calls of the core.
    events: u64,
    /// Steps and calls since time went on.
    since_tick: u64,
    recorder: Option<Box<Recorder>>,
    trace: Option<Vec<TraceEvent>>,
    /// What tasks that have ended had used.
    used: Vec<(u32, Counters)>,
    /// The workload's.
    domains: Vec<Domain>,
}

/// How far a simulation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Going,
    /// The duration is over, every task has ended, or nothing will ever happen again.
    Over,
}

impl<'w> Simulation<'w> {
    /// The workload on the product's core with its built-in policies. Everything stands at time 0.
    ///
    /// # Errors
    /// [`SimError::Config`], [`SimError::NoTask`], [`SimError::Endless`], [`SimError::Refused`].
    pub fn new(workload: &'w Workload, options: &Options) -> Result<Self, SimError> {
        Self::with_modules(workload, options, &SchedulerRegistry::with_builtins())
    }

    /// The same with the active policies of `modules`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_modules(
        workload: &'w Workload,
        options: &Options,
        modules: &SchedulerRegistry,
    ) -> Result<Self, SimError> {
        let config = Config { limits: options.limits, admission: options.admission, ..Config::new(options.cpus) };
        let executor = Executor::with_modules(config, modules).map_err(SimError::Config)?;
        Self::with_kernel(workload, options, executor)
    }
}

impl<'w, K: Kernel> Simulation<'w, K> {
    /// The same on a scheduler of one's own. `options.limits` are its affair.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_kernel(workload: &'w Workload, options: &Options, kernel: K) -> Result<Self, SimError> {
        if workload.tasks.is_empty() {
            return Err(SimError::NoTask);
        }
        if options.duration.is_none()
            && let Some(endless) = workload.tasks.iter().find(|task| task.repeat == Repeat::Forever)
        {
            return Err(SimError::Endless { task: endless.name.clone() });
        }
        let wanted = options.schedule || options.trace;
        let mut simulation = Simulation {
            workload,
            kernel,
            now: 0,
            end: options.duration.map_or(NEVER, |duration| duration.as_nanos()),
            is_over: false,
            cpus: vec![Cpu::default(); options.cpus],
            agenda: Agenda::new(options.cpus),
            actors: Vec::new(),
            mutexes: workload.objects.mutexes.iter().map(|_| Mutex::default()).collect(),
            shared: Shared::new(&workload.objects),
            costs: options.costs,
            live: 0,
            events: 0,
            since_tick: 0,
            recorder: wanted.then(|| Box::new(Recorder::new(options.cpus, options.schedule))),
            trace: options.trace.then(Vec::new),
            used: Vec::new(),
            domains: Vec::new(),
        };
        let made = workload.make_domains(|parent, spec| simulation.kernel.create_domain(parent, spec));
        simulation.domains =
            made.map_err(|(index, error)| SimError::Domain { domain: workload.domains[index].name.clone(), error })?;
        simulation.spawn_all(options.seed)?;
        simulation.pass_calendar(0);
        Ok(simulation)
    }

    fn spawn_all(&mut self, seed: u64) -> Result<(), SimError> {
        for (index, instance) in self.workload.instances().enumerate() {
            let spec = instance.spec;
            let origin = spec.offset.as_nanos();
            let wanted = TaskSpec {
                start: Some(Timestamp::from_nanos(origin)),
                domain: spec.domain.and_then(|domain| self.domains.get(domain)).cloned(),
                ..TaskSpec::new("", spec.intent.clone(), index as u32)
            };
            let (id, wake) = self.kernel.spawn(Timestamp::ZERO, wanted).map_err(|error| SimError::Refused {
                index,
                task: instance.name(),
                error,
            })?;
            self.obey(wake);
            self.events += 1;
            let arrivals = Arrivals::of(&instance, seed).map(|arrivals| Box::new(arrivals.starting(origin)));
            self.actors.push(Actor {
                id,
                spec: instance.task,
                left: 0,
                walk: Walk::new(spec),
                pending: Pending::Nothing,
                last_cpu: None,
                preempted: false,
                ended: false,
                periodic: spec.is_released_by_intent(),
                origin,
                period: spec.release.separation().map_or(0, |period| period.as_nanos().max(1)),
                deadline: match spec.intent.class {
                    IntentClass::Realtime { deadline_us, .. } => Duration::from_micros(deadline_us).as_nanos(),
                    _ => NEVER,
                },
                drawable: 0,
                most_drawn: spec.most_drawn().map_or(NEVER, |time| time.as_nanos()),
                grid: Grid::of(spec, origin, arrivals.as_deref().cloned()),
                calendar: arrivals.clone(),
                arrivals,
                deadlines: Deadlines::default(),
                release: origin,
                job: 1,
                settled: 0,
                in_job: false,
                since: None,
                timers: Vec::new(),
                draws: Draws::new(seed, instance.task, instance.instance),
                held: Vec::new(),
                waits_for: None,
                lent: None,
                record: Record::default(),
            });
            self.live += 1;
            if let Some(priority) = spec.priority
                && let Ok(wake) = self.kernel.set_priority(Timestamp::ZERO, id, priority)
            {
                self.obey(wake);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.plan(Entry { at: origin, deadline: false, task: index as u32, job: 1 });
            }
        }
        Ok(())
    }

    /// Simulates to the end.
    ///
    /// # Errors
    /// [`SimError::Deadlock`], [`SimError::TimeStands`], [`SimError::Misuse`], [`SimError::Kernel`].
    pub fn run(&mut self) -> Result<(), SimError> {
        while self.advance(u64::MAX)? == Progress::Going {}
        Ok(())
    }

    /// Simulates on for about so many calls of the core.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn advance(&mut self, calls: u64) -> Result<Progress, SimError> {
        let stop = self.events.saturating_add(calls);
        while !self.is_over {
            let (at, cpu) = self.agenda.first();
            if at > self.end || self.live == 0 || at == NEVER {
                self.check_standstill(at)?;
                self.conclude();
                break;
            }
            if at > self.now {
                self.pass_time(at);
            }
            self.serve(cpu)?;
            if self.events >= stop {
                return Ok(Progress::Going);
            }
        }
        Ok(Progress::Over)
    }

    /// Ends the simulation now, wherever the tasks are.
    pub fn stop(&mut self) {
        if !self.is_over {
            self.end = self.now;
            self.conclude();
        }
    }

    fn conclude(&mut self) {
        self.is_over = true;
        let at = if self.end == NEVER || self.live == 0 { self.now } else { self.end };
        if at > self.now {
            self.pass_time(at);
        }
        // Deadlines at the end count, releases do not.
        self.end = at;
        self.pass_calendar(at.saturating_add(1));
        if let Some(recorder) = &mut self.recorder {
            recorder.finish(at);
        }
    }

    /// Time goes on to `at`.
    fn pass_time(&mut self, at: u64) {
        if let Some(recorder) = &mut self.recorder {
            recorder.settle(self.now);
            self.pass_calendar(at);
        }
        self.now = at;
        self.since_tick = 0;
    }

    /// Nothing is due any more at `at`, and tasks wait: somebody who waits for a mutex will for ever.
    fn check_standstill(&self, at: u64) -> Result<(), SimError> {
        if at != NEVER || self.live == 0 {
            return Ok(());
        }
        let waits = |task: &u32| matches!(self.actors[*task as usize].waits_for, Some(Waiting::Mutex(_)));
        let Some(first) = (0..self.actors.len() as u32).find(waits) else { return Ok(()) };
        let chain = iter::successors(Some(first), |&task| self.holder_for(task));
        let cycle = chain.map(|task| self.blocked(task)).collect();
        Err(SimError::Deadlock { at: Timestamp::from_nanos(self.now), cycle })
    }

    /// Calls of the core so far: a question, a wake-up, a spawn, a loan, or a change.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }
}
