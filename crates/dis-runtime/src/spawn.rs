//! Spawning.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use dis_core::api::{CpuMask, SchedError, TaskSpec, Timestamp};
use dis_core::intent::Intent;
use dis_core::isolation::Domain;

use crate::gate::inside;
use crate::host::Runtime;
use crate::join::JoinHandle;
use crate::klt::{self, Klt};
use crate::planned::Planned;
use crate::qos::Limits;
use crate::runtime::Inner;
use crate::span;
use crate::task::{Body, Cell2, Header, Sharing, TaskRef};

/// Why a task could not be spawned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The scheduler refuses the intent, or has no room.
    Refused(SchedError),
    /// The affinity names no CPU of this runtime.
    NoCpu,
    /// The machine has no such NUMA node, or it is not online.
    NumaNodeOffline {
        /// The node that was asked for.
        node: u32,
        /// Those that are online, as a set of numbers (up to 255).
        online: CpuMask,
    },
    /// None of this NUMA node's CPUs is both in the task's affinity and of this runtime.
    NumaNodeWithoutCpu(u32),
    /// The runtime is shutting down.
    Closing,
    /// The free function was called outside a task.
    OutsideTask,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Refused(error) => error.fmt(f),
            SpawnError::NoCpu => f.write_str("the affinity names no CPU of this runtime"),
            SpawnError::NumaNodeOffline { node, online } => {
                write!(f, "NUMA node {node} is not online; those online are {online}")
            }
            SpawnError::NumaNodeWithoutCpu(node) => {
                write!(f, "NUMA node {node} has no CPU on which the task may run")
            }
            SpawnError::Closing => f.write_str("the runtime is shutting down"),
            SpawnError::OutsideTask => f.write_str("called outside a task; use Runtime::spawn_fn"),
        }
    }
}

impl std::error::Error for SpawnError {}

/// A task to be: an intent and what else is known of it.
#[must_use = "nothing is spawned until `spawn` is called"]
#[derive(Clone)]
pub struct TaskBuilder<'rt> {
    rt: Option<&'rt Runtime>,
    intent: Intent,
    name: Box<str>,
    sharing: Sharing,
    best_effort: bool,
    start: Option<Timestamp>,
    domain: Option<Domain>,
    /// The workers for it, whatever its affinity.
    workers: Option<CpuMask>,
    /// See `Header::internal`.
    internal: bool,
}

impl<'rt> TaskBuilder<'rt> {
    pub(crate) fn new(rt: Option<&'rt Runtime>, intent: Intent) -> Self {
        TaskBuilder {
            rt,
            intent,
            name: "".into(),
            sharing: Sharing::WhenMany,
            best_effort: false,
            start: None,
            domain: None,
            workers: None,
            internal: false,
        }
    }

    /// A task that serves futures, on these workers.
    pub(crate) fn internal(intent: Intent, workers: CpuMask) -> Self {
        TaskBuilder { workers: Some(workers), ..Self::of_future(intent) }
    }

    /// A task that polls one future.
    pub(crate) fn of_future(intent: Intent) -> Self {
        TaskBuilder { sharing: Sharing::Never, internal: true, ..Self::new(None, intent) }
    }

    /// A name for people: reports, traces, the message of a stack overflow.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives the task a kernel thread of its own, which it never shares: no other task can make it wait by being preempted,
    /// and it can block in the kernel holding thread-bound resources. Costs a thread, and microseconds per switch.
    /// If there are no threads left (a runtime makes at most 4096, and the system may allow less), it begins when another
    /// task's thread is free.
    pub fn dedicated(mut self) -> Self {
        self.sharing = Sharing::Never;
        self
    }

    /// Lets the task share a kernel thread with the others of its worker and class that are declared so: switches
    /// between them at cooperative points (`yield_now`, waits) cost nanoseconds instead of microseconds. For tasks that
    /// come to such a point soon: one that computes on makes its neighbours wait, and while one of them is preempted
    /// the others lend it their urgency instead of running.
    ///
    /// # Safety
    /// The tasks of a thread begin and end independently of each other, so thread-local state that one sets up before a
    /// cooperative point and takes down after it does not nest with that of the others. The closure, and all that it calls,
    /// must not rely on thread-locals across a cooperative point: nothing that is unsound if another task of this kind has
    /// run in between and has not finished (pointers in scoped thread-locals, as `scoped-tls` has them; re-entrant locks;
    /// guards that must be dropped in the reverse order). Crates for coroutines ask the same of all their tasks, `may` and
    /// `corosensei` among them.
    ///
    /// Safe, but a trap: a lock of std held over a cooperative point may dead-lock with a neighbour that wants it, and
    /// while a task unwinds its waits keep the thread, so it must not wait for a neighbour then.
    pub unsafe fn shared(mut self) -> Self {
        self.sharing = Sharing::Always;
        self
    }

    /// The machine's CPUs on which it may run.
    pub fn affinity(mut self, cpus: CpuMask) -> Self {
        self.intent.constraints.cpu_affinity = Some(cpus);
        self
    }

    /// Accepts constraints that cannot be enforced here (`docs/hosts.md` says which, and where) instead of refusing the task. They are
    /// then without effect.
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// The first release of a Realtime task, or when a task of another class becomes ready, on [`Runtime::now`]'s clock.
    pub fn start_at(mut self, at: Timestamp) -> Self {
        self.start = Some(at);
        self
    }

    /// In this domain ([`Runtime::create_domain`]), with its limits; without one, in that of the task that spawns it. A task
    /// may name its own domain and those below it.
    pub fn in_domain(mut self, domain: &Domain) -> Self {
        self.domain = Some(domain.clone());
        self
    }

    /// Spawns the task. Returns at once.
    ///
    /// # Errors
    /// See [`SpawnError`]; the closure is dropped.
    #[track_caller]
    pub fn spawn<F, T>(self, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let alone = self.sharing != Sharing::Always;
        let closure = span::closure(closure, &self.intent, &self.name, alone, Location::caller());
        match self.rt {
            Some(rt) => self.spawn_on(&rt.inner, closure),
            None => match klt::this().filter(|klt| klt.current().is_some()) {
                Some(klt) => self.spawn_on(klt.rt(), closure),
                None => Err(SpawnError::OutsideTask),
            },
        }
    }

    pub(crate) fn spawn_on<F, T>(mut self, rt: &Inner, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if rt.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing);
        }
        // What polls futures for all is nobody's child, and so in nobody's domain.
        let lane = self.workers.is_some();
        if !lane {
            let (place, intent) = (self.domain.as_ref(), &self.intent);
            rt.permit(|subject, now| subject.check_spawn(now, place, intent)).map_err(SpawnError::Refused)?;
        }
        let limits = Limits::of(&mut self.intent, self.best_effort).map_err(SpawnError::Refused)?;
        if limits.as_ref().is_some_and(|limits| limits.need_thread()) {
            self.sharing = Sharing::Never;
        }
        match home(rt, &self.intent) {
            Ok(workers) => self.intent.constraints.cpu_affinity = workers,
            Err(SpawnError::NumaNodeOffline { .. } | SpawnError::NumaNodeWithoutCpu(_)) if self.best_effort => {
                self.intent.constraints.numa_node = None;
                self.intent.constraints.cpu_affinity = home(rt, &self.intent)?;
            }
            Err(error) => return Err(error),
        }
        if self.workers.is_some() {
            self.intent.constraints.cpu_affinity = self.workers;
        }
        let class = self.intent.class.queue();
        let header = Header::new(&Cell2::<F, T>::VTABLE, rt, class, self.name, self.sharing, self.internal, limits);
        let cell = Box::into_raw(Box::new(Cell2 { header, body: UnsafeCell::new(Body::<F, T>::Closure(closure)) }));
        // SAFETY: just made; two references: the runtime's and the handle's.
        let task = unsafe { &(*cell).header };
        // The core keeps no name: it would be freed under its lock.
        let mut spec = TaskSpec::new(String::new(), self.intent, TaskRef::new(task));
        spec.start = self.start;
        spec.domain = self.domain;
        let mut planned = match Planned::spawn(rt, &spec.intent) {
            Ok(planned) => planned,
            Err(error) => {
                // SAFETY: nobody else knows of it.
                drop(unsafe { Box::from_raw(cell) });
                return Err(SpawnError::Refused(error));
            }
        };
        let spawned = inside(|| {
            let from = klt::this().filter(|klt| ptr::eq(klt.rt, rt) && klt.has_role());
            if let Some(me) = from.and_then(Klt::current).filter(|_| !lane) {
                spec.parent = me.id();
            }
            rt.live.fetch_add(1, Ordering::AcqRel);
            let now = rt.now();
            let spawned = match planned.plan() {
                Some(plan) => rt.exec.spawn_planned(now, spec, plan),
                None => rt.exec.spawn(now, from.map(|klt| klt.worker().cpu), spec),
            };
            planned.close();
            match spawned {
                Ok((id, wake)) => {
                    task.set_id(id);
                    rt.after(wake, now);
                    Ok(id)
                }
                Err(error) => {
                    if rt.live.fetch_sub(1, Ordering::AcqRel) == 1 {
                        rt.all_ended();
                    }
                    Err(error)
                }
            }
        });
        if spawned.is_err() {
            planned.abandon(rt);
        }
        match spawned {
            Ok(id) => {
                let handle = JoinHandle::new(NonNull::from(task), rt.handle(), Cell2::<F, T>::take_outcome, id);
                // Between the look above and the spawn the runtime may have begun to close; then its keeper has looked
                // through the tasks before or after this one was entered.
                if rt.closing.load(Ordering::SeqCst) && !self.internal {
                    rt.abort(task);
                }
                Ok(handle)
            }
            Err(error) => {
                // SAFETY: nobody else knows of it.
                drop(unsafe { Box::from_raw(cell) });
                Err(SpawnError::Refused(error))
            }
        }
    }
}

/// The workers on which a task of this intent may run, by its affinity and its NUMA node; `None`: all.
pub(crate) fn home(rt: &Inner, intent: &Intent) -> Result<Option<CpuMask>, SpawnError> {
    let workers = |mask: &CpuMask| rt.worker_mask(mask).ok_or(SpawnError::NoCpu);
    let allowed = intent.constraints.cpu_affinity.as_ref().map(workers).transpose()?;
    let Some(node) = intent.constraints.numa_node else { return Ok(allowed) };
    let nodes = &rt.config.nodes;
    let cpus = nodes.cpus(node).ok_or(SpawnError::NumaNodeOffline { node, online: nodes.online() })?;
    let of_node = workers(&cpus).map_err(|_| SpawnError::NumaNodeWithoutCpu(node))?;
    let both = of_node.intersection(&allowed.unwrap_or(of_node));
    if both.is_empty() { Err(SpawnError::NumaNodeWithoutCpu(node)) } else { Ok(Some(both)) }
}

impl Runtime {
    /// Spawns a closure as a task.
    ///
    /// # Errors
    /// See [`SpawnError`].
    #[track_caller]
    pub fn spawn_fn<F, T>(&self, intent: Intent, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task(intent).spawn(closure)
    }

    /// As the function [`spawn_blocking`](crate::spawn_blocking), which see.
    ///
    /// # Errors
    /// See [`SpawnError`].
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, intent: Intent, closure: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task(intent).dedicated().spawn(closure)
    }

    /// A task with more than an intent.
    pub fn task(&self, intent: Intent) -> TaskBuilder<'_> {
        TaskBuilder::new(Some(self), intent)
    }
}
