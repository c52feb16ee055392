//! Runs the workload that came as boot module, as tasks of this kernel.
//!
//! The steps are executed by `dis-workload`'s interpreter, the one that runs them in processes of Linux; here are the
//! `host` that it needs, the `mutex` of its steps, and the `trace`. What was measured goes out as it is, in
//! [messages](dis_workload::boot::Message); who reads the console makes the report.

mod host;
mod mutex;
mod refusal;
mod trace;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dis_core::api::{BlockReason, Duration, TaskId, TaskSpec, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::Domain;
use dis_core::optimizer::Limits;
use dis_core::scheduler::Config;
use dis_workload::boot::{Message, Start, decode};
use dis_workload::interp::{Park, Round, execute};
use dis_workload::model::Workload;
use dis_workload::report::{Counters, DomainReport, SchedulerReport};

use crate::arch::exit::Exit;
use crate::arch::{irq, uart};
use crate::boot::Booted;
use crate::sched::scheduler;
use crate::{clock, console, println, task};
use host::Bare;

/// How often the console is asked whether somebody wants the workload to end.
const LOOK: Duration = Duration::from_millis(250);
/// How long tasks may take to see that the workload is over. They look every 50 µs of their CPU time.
const GRACE: Duration = Duration::from_millis(3_000);
/// What ends the workload when it is typed: Ctrl-C.
const STOP: u8 = 3;
/// What the kernel itself needs for a Realtime job: to release it, to switch to it, and to go back and forth.
const OVERHEAD: Duration = Duration::from_micros(100);

/// How long before the workload begins its tasks are made: all of them are to be there by then.
const MARGIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 80 } else { 30 });
/// The same for each task.
const MARGIN_EACH: Duration = Duration::from_micros(if cfg!(debug_assertions) { 500 } else { 60 });

/// How the scheduler is set up for a boot module; the default one if that is no workload (which is told later).
pub fn config(module: &[u8], cpus: usize) -> Config {
    let config = Config::new(cpus);
    let base = Limits { budget_overhead: OVERHEAD, ..config.limits };
    let limits = decode(module).map_or(base, |workload| workload.limits.over(base));
    Config { limits: if limits.validate().is_ok() { limits } else { base }, ..config }
}

/// Runs the boot module; the first task does this. Answers how the machine ends.
pub fn run(booted: &Booted) -> Exit {
    let workload = match decode(&booted.module) {
        Ok(workload) => Arc::new(workload),
        Err(error) => {
            println!("{error}");
            return Exit::BadInput;
        }
    };
    // It looks after the others, so it goes first; it sleeps while they run.
    if let Err(error) = task::set_intent(task::current(), &Intent::system()) {
        println!("the first task cannot become a System task: {error}");
    }
    let speed = host::calibrate();
    let length = workload.duration.map_or(u64::MAX, |duration| duration.as_nanos());
    let count = workload.instances().count();
    let traced = booted.command.trace;
    let log = traced.then(|| trace::Log::start(booted.cpus));
    let start = clock::now() + MARGIN + MARGIN_EACH.mul_div(count as u64, 1);
    let mut round = Round::new(&workload, speed, start.as_nanos(), length);
    if traced {
        round = round.keep_misses();
    }
    let made = {
        let _off = irq::Off::new();
        workload.make_domains(|parent, spec| scheduler().create_domain(parent, spec))
    };
    let domains = match made {
        Ok(domains) => domains,
        Err((domain, error)) => {
            println!("domain \"{}\" is refused: {error}", workload.domains[domain].name);
            return Exit::BadInput;
        }
    };
    let mut run =
        Run { domains, workload, round: Arc::new(round), ids: Vec::with_capacity(count), gate: Arc::default() };
    if let Err((spec, why)) = run.spawn_all() {
        send(&Message::Refused(spec, why));
        return Exit::BadInput;
    }
    if clock::now() > start {
        send(&Message::Note("making the tasks took longer than was planned: the first jobs begin late".into()));
    }
    let cpus = booted.cpus;
    let begun = Start { cpus, tasks: count, boot_ns: clock::now().as_nanos(), start: start.as_nanos() };
    send(&Message::Start(begun));
    let failed = run.attend(start, cpus, log);
    if failed { Exit::TaskFailed } else { Exit::Success }
}

fn send(message: &Message) {
    console::write(format_args!("{}", message.to_line()));
}

/// What the tasks share with the first one.
struct Gate {
    /// Whether they may end: until then they exist, so that the core has their counters.
    open: AtomicBool,
    /// How many have not done all their steps.
    busy: AtomicUsize,
    /// The first task.
    main: TaskId,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { open: AtomicBool::new(false), busy: AtomicUsize::new(0), main: task::current() }
    }
}

struct Run {
    domains: Vec<Domain>,
    workload: Arc<Workload>,
    round: Arc<Round<Bare>>,
    /// In the order of the workload's instances.
    ids: Vec<TaskId>,
    gate: Arc<Gate>,
}

impl Run {
    /// Spawns all tasks. The error names one of `workload.tasks` and says why.
    fn spawn_all(&mut self) -> Result<(), (usize, alloc::string::String)> {
        let workload = Arc::clone(&self.workload);
        for (me, instance) in workload.instances().enumerate() {
            let (spec, at) = (instance.spec, instance.task);
            let mut intent = spec.intent.clone();
            refusal::give_in(spec, &mut intent, &mut |note| send(&Message::Note(note))).map_err(|why| (at, why))?;
            let origin = Timestamp::from_nanos(self.round.run.start() + spec.offset.as_nanos());
            let domain = spec.domain.and_then(|domain| self.domains.get(domain)).cloned();
            let task =
                TaskSpec { start: Some(origin), domain, ..TaskSpec::new(instance.name(), intent, ()) }.joinable();
            let (round, gate) = (Arc::clone(&self.round), Arc::clone(&self.gate));
            let host = Bare::new(spec);
            gate.busy.fetch_add(1, Ordering::SeqCst);
            let body = move || {
                execute(&host, &round, &round.workload.tasks[at], me);
                if gate.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
                    // It is gone only if the machine is about to be off.
                    let _ = task::unpark(gate.main);
                }
                while !gate.open.load(Ordering::SeqCst) {
                    round.shared.waiters[me].parker.park();
                }
                0
            };
            let id = task::spawn_with(task, Box::new(body)).map_err(|error| (at, refusal::explain(spec, error)))?;
            if let Some(Err(error)) = spec.priority.map(|priority| task::set_priority(id, priority)) {
                send(&Message::Note(format!("{}: priority: not set: {error}", spec.name)));
            }
            self.ids.push(id);
        }
        Ok(())
    }

    /// Waits for the end, measures, and tells. True if a task was ended by a fault.
    fn attend(self, start: Timestamp, cpus: usize, log: Option<trace::Log>) -> bool {
        let end = Timestamp::from_nanos(self.round.run.end());
        while clock::now() < end && self.gate.busy.load(Ordering::SeqCst) > 0 {
            task::block(BlockReason::Event, Some(end.min(clock::now() + LOOK)));
            if uart::receive() == Some(STOP) {
                break;
            }
        }
        let now = clock::now().min(end);
        let duration = now.since(start).as_nanos();
        let counters: Vec<Counters> =
            self.ids.iter().map(|&id| task::stats(id).as_ref().map(Counters::from).unwrap_or_default()).collect();
        let domains = DomainReport::all(&self.domains);
        let scheduler = SchedulerReport::from(&scheduler().stats_at(now));
        self.round.stop();
        if let Some(log) = &log {
            log.stop();
        }
        self.lift_budgets();
        let failed = self.collect();
        for ((me, mut record), counters) in self.round.records(now.as_nanos()).into_iter().enumerate().zip(counters) {
            record.counters += counters;
            send(&Message::Task(me, record));
        }
        if let Some(log) = log {
            log.send(cpus, &self.ids, &self.round.take_misses());
        }
        send(&Message::Domains(domains));
        send(&Message::Scheduler(scheduler));
        send(&Message::End(duration));
        failed
    }

    /// Every task is to see that it is over, even one that has used up its budget until a release far away.
    fn lift_budgets(&self) {
        for (&id, instance) in self.ids.iter().zip(self.workload.instances()) {
            if instance.spec.intent.class.queue() == QueueType::Realtime {
                // One that has ended needs no CPU any more.
                let _ = task::set_intent(id, &Intent::batch());
            }
        }
    }

    /// Ends all tasks; those that do not end by themselves are killed, and named. True if a fault ended one before.
    fn collect(&self) -> bool {
        let patience = clock::now() + GRACE;
        while self.gate.busy.load(Ordering::SeqCst) > 0 && !self.round.is_at_rest() && clock::now() < patience {
            task::sleep(Duration::from_millis(1));
        }
        self.gate.open.store(true, Ordering::SeqCst);
        self.round.shared.unpark_all();
        let mut failed = false;
        for ((&id, instance), slot) in self.ids.iter().zip(self.workload.instances()).zip(&self.round.slots) {
            let waits = slot.between_jobs.load(Ordering::SeqCst);
            if !slot.is_done() {
                match task::kill(id) {
                    Ok(()) if waits => {}
                    Ok(()) => send(&Message::Note(format!("{}: did not end by itself", instance.name()))),
                    Err(_) => {
                        failed = true;
                        send(&Message::Note(format!("{}: was ended by a fault", instance.name())));
                    }
                }
            }
        }
        failed
    }
}
