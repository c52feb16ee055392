//! The control socket: what comes by it, done with the host's rights.
//!
//! Everything here runs on ordinary threads, which no preemption signal stops, so they may hold a CPU's lock, but nothing is
//! allocated or freed under one: the allocator's lock may belong to a preempted task.

mod histogram;
mod observe;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dis_control::protocol::{About, Class, Command, Kind, Refusal, Reply};
use dis_control::{Controlled, Server};
use dis_core::api::{CpuMask, MAX_CPUS, SchedError, SchedResult, TaskId};
use dis_core::intent::{IntentClass, QueueType};
use dis_core::modules::Module;
use dis_module::Faults;

use crate::builder::BuildError;
use crate::join::{redeclare, set_affinity, set_priority};
use crate::modules::Modules;
use crate::runtime::Inner;
use crate::task::Header;
use observe::Observer;

/// The socket of a runtime, if it has one.
#[derive(Default)]
pub(crate) struct Service(Mutex<Option<(Server, Arc<Control>)>>);

impl Service {
    pub(crate) fn start(&self, path: Option<&Path>, inner: &Arc<Inner>) -> Result<(), BuildError> {
        let Some(path) = path else { return Ok(()) };
        let control =
            Arc::new(Control { rt: Arc::clone(inner), observer: Observer::new(inner), faults: Mutex::default() });
        let server = Server::start(path, Arc::<Control>::clone(&control)).map_err(BuildError::Control)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, control));
        Ok(())
    }

    /// Nobody is listened to any more.
    pub(crate) fn end(&self) {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((server, control)) = service {
            drop(server);
            control.observer.end();
        }
    }

    /// What modules that were loaded by the socket have done wrong.
    pub(crate) fn faults(&self) -> Vec<Faults> {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        service.as_ref().map_or_else(Vec::new, |(_, control)| control.faults())
    }
}

struct Control {
    rt: Arc<Inner>,
    observer: Observer,
    faults: Mutex<Vec<Faults>>,
}

fn done(text: impl Into<String>) -> Result<Reply, Refusal> {
    Ok(Reply::Done { text: text.into() })
}

fn refused(why: impl Into<String>) -> Refusal {
    Refusal::new(Kind::Refused, why)
}

impl Controlled for Control {
    fn answer(&self, command: Command) -> Reply {
        self.carry_out(command).unwrap_or_else(Reply::from)
    }
}

impl Control {
    fn carry_out(&self, command: Command) -> Result<Reply, Refusal> {
        let rt = &self.rt;
        match command {
            Command::Hello => Ok(Reply::Hello(About {
                dis: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
                name: rt.config.name.clone(),
            })),
            Command::Tasks { from } => Ok(rows::tasks(rt, &self.observer, from)),
            Command::Stats { watch } => {
                if watch {
                    self.observer.watch();
                }
                Ok(Reply::Stats(Box::new(rows::stats(rt, &self.observer))))
            }
            Command::Intent { task, class } => {
                self.change(task, |id| {
                    // It keeps its constraints, and how much it gets. The core counts CPUs in workers.
                    let mut intent = rt.exec.with_task(id, |task| task.intent.clone())?;
                    intent.class = class_of(class);
                    if let Some(workers) = &mut intent.constraints.cpu_affinity {
                        *workers = rows::machine_cpus(rt, workers);
                    }
                    redeclare(rt, id, &intent)
                })?;
                done(format!("task {task} is {} from now on", class.name()))
            }
            Command::Priority { task, priority } => {
                self.change(task, |id| set_priority(rt, id, priority))?;
                done(format!("task {task} has priority {priority} from now on"))
            }
            Command::Affinity { task, cpus } => {
                if let Some(cpu) = cpus.iter().find(|cpu| usize::from(**cpu) >= MAX_CPUS) {
                    return Err(refused(format!("there is no CPU {cpu}; the highest can be {}", MAX_CPUS - 1)));
                }
                let mask: CpuMask = cpus.into_iter().map(usize::from).collect();
                self.change(task, |id| set_affinity(rt, id, mask))?;
                done(format!("task {task} may run on the CPUs {mask} from now on"))
            }
            Command::Kill { task } => {
                self.change(task, |id| rt.abort_by_id(id))?;
                done(format!("task {task} ends where it next calls the runtime"))
            }
            Command::Modules => Ok(rows::modules(rt)),
            Command::Load { file } => self.load(file.into()),
            Command::Activate { class, name } => self.activate(&class, &name),
            Command::Unload { name } => match Modules::of(rt).unload(&name) {
                Ok(()) => done(format!("the module '{name}' is unloaded")),
                Err(SchedError::TaskNotFound) => Err(self.no_module(&name)),
                Err(SchedError::InvalidState) => {
                    let why = "is active for a class; activate another there first";
                    Err(refused(format!("the module '{name}' {why}")))
                }
                Err(error) => Err(refused(format!("the module '{name}': {error}"))),
            },
        }
    }

    /// Changes a task, if it is one that may be changed.
    fn change(&self, id: u64, change: impl FnOnce(TaskId) -> SchedResult<()>) -> Result<(), Refusal> {
        let gone = || Refusal::new(Kind::NotFound, format!("there is no task {id}; it may have ended"));
        let id = TaskId(id);
        let about = |header: &Header| (header.is_done(), header.internal);
        match self.rt.exec.with_context(id, |_, own| about(own.header())) {
            // Its thread may still be on its way out.
            Err(_) | Ok((true, _)) => return Err(gone()),
            Ok((_, true)) => return Err(refused(format!("task {} serves futures and cannot be changed", id.0))),
            Ok(_) => {}
        }
        change(id).map_err(|error| match error {
            SchedError::TaskNotFound => gone(),
            SchedError::NoCpu => refused(format!(
                "task {}: none of these CPUs is the runtime's (it has {}), or none has room for what the task reserves",
                id.0,
                self.rt.config.cpus.iter().copied().collect::<CpuMask>()
            )),
            error => refused(format!("task {}: {error}", id.0)),
        })
    }

    fn load(&self, file: PathBuf) -> Result<Reply, Refusal> {
        if !file.is_absolute() {
            return Err(refused(format!("{}: is no absolute path", file.display())));
        }
        let module = dis_module::load(&file).map_err(|error| refused(error.to_string()))?;
        let (faults, name, version) = (module.faults(), module.name(), module.version());
        Modules::of(&self.rt).load(Box::new(module)).map_err(|error| match error {
            SchedError::TaskExists => refused(format!("there is a module '{name}' already; unload it first")),
            error => refused(format!("the module '{name}' cannot be set up: {error}")),
        })?;
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(faults);
        done(format!("the module '{name}' {version} is loaded; no class uses it yet"))
    }

    fn faults(&self) -> Vec<Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn activate(&self, class: &str, name: &str) -> Result<Reply, Refusal> {
        let Some(class) = QueueType::from_name(class) else {
            let names = QueueType::ALL.map(QueueType::name).join(", ");
            return Err(Refusal::new(Kind::NotFound, format!("`{class}` is no class (classes: {names})")));
        };
        match Modules::of(&self.rt).activate(class, name) {
            Ok(summary) => {
                done(format!("{class} has the policy '{name}' from now on; {} tasks were handed over", summary.moved))
            }
            Err(SchedError::TaskNotFound) => Err(self.no_module(name)),
            Err(SchedError::InvalidState) => Err(refused(format!(
                "the policy '{name}' answered wrongly while tasks were handed over; {class} has its built-in policy, and no task is lost"
            ))),
            Err(error) => Err(refused(format!("'{name}' for {class}: {error}"))),
        }
    }

    fn no_module(&self, name: &str) -> Refusal {
        let names: Vec<_> = Modules::of(&self.rt).list().into_iter().map(|module| module.name).collect();
        Refusal::new(Kind::NotFound, format!("there is no module '{name}' (modules: {})", names.join(", ")))
    }
}

fn class_of(class: Class) -> IntentClass {
    match class {
        Class::Realtime { period_us, deadline_us, wcet_us } => {
            IntentClass::Realtime { period_us, deadline_us, wcet_us }
        }
        Class::Interactive { latency_us } => IntentClass::Interactive { target_latency_us: latency_us },
        Class::Batch => IntentClass::Batch,
        Class::Background => IntentClass::Background,
        Class::System => IntentClass::System,
    }
}
