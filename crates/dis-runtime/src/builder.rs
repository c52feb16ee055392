//! Setting a runtime up.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dis_context::{StackConfig, StackError};
use dis_core::api::{CpuMask, Duration, MAX_CPUS, SchedError};
use dis_core::executor::Executor;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::optimizer::Limits;
use dis_core::scheduler::{Config, ConfigError};

use crate::control::Service;
use crate::future::{Listener, Overrun};
use crate::host::Runtime;
use crate::numa::{self, Nodes};
#[cfg(feature = "tokio")]
use crate::reactor::Own;
use crate::reactor::{Choice, Reactor};
use crate::runtime::{self, Inner};
use crate::stacks::Stacks;
use crate::watcher::{self, BlockingWatch};
use crate::{overflow, signal, sys};

/// What the threads of a runtime need to know.
pub(crate) struct Settings {
    pub(crate) name: String,
    /// The machine's CPU of each worker.
    pub(crate) cpus: Box<[usize]>,
    pub(crate) signal: i32,
    pub(crate) identities: usize,
    /// Spares to keep ready, at least.
    pub(crate) spares: usize,
    pub(crate) fifo: Option<i32>,
    pub(crate) fifo_granted: Option<i32>,
    /// Events to keep per worker; 0: none are recorded.
    pub(crate) trace: usize,
    pub(crate) watch: BlockingWatch,
    /// Most KLTs.
    pub(crate) klts: usize,
    pub(crate) poll_stack_size: usize,
    pub(crate) on_overrun: Option<Listener>,
    pub(crate) measure_waits: bool,
    pub(crate) nodes: Nodes,
}

/// Why a runtime could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// No worker, or more than [`MAX_CPUS`].
    Workers(usize),
    /// A CPU that the process may not use, or that the machine does not have.
    Cpu(usize),
    /// No module of that name is registered.
    UnknownPolicy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The module of that name cannot serve the class at all.
    PolicyRefuses(String, QueueType),
    /// The core refuses the configuration.
    Config(ConfigError),
    /// The stacks cannot be had.
    Stacks(StackError),
    /// Somebody else handles the preemption signal; choose another with [`Builder::signal`].
    SignalTaken(i32),
    /// Not a signal that can be used for preemption.
    BadSignal(i32),
    /// The control socket cannot be made.
    #[cfg(feature = "control")]
    Control(dis_control::SocketError),
    /// A kernel thread cannot be had.
    Thread(String),
    /// A system call failed.
    System {
        /// Which.
        call: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl BuildError {
    pub(crate) fn last(call: &'static str) -> BuildError {
        BuildError::System { call, error: io::Error::last_os_error() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Workers(n) => write!(f, "{n} workers; it must be 1 to {MAX_CPUS}"),
            BuildError::Cpu(cpu) => write!(f, "this process may not use CPU {cpu}"),
            BuildError::UnknownPolicy { name, known } => {
                write!(f, "no policy is named '{name}'; there are {}", known.join(", "))
            }
            BuildError::PolicyRefuses(name, class) => write!(f, "the policy '{name}' cannot serve the class {class}"),
            BuildError::Config(e) => e.fmt(f),
            BuildError::Stacks(e) => e.fmt(f),
            BuildError::SignalTaken(n) => write!(f, "signal {n} has a handler already; choose another signal"),
            BuildError::BadSignal(n) => write!(f, "signal {n} cannot be used for preemption"),
            #[cfg(feature = "control")]
            BuildError::Control(error) => write!(f, "control socket: {error}"),
            BuildError::Thread(why) => write!(f, "cannot make a kernel thread: {why}"),
            BuildError::System { call, error } => write!(f, "{call} failed: {error}"),
        }
    }
}

impl std::error::Error for BuildError {}

/// The core's limits, with allowances on Realtime budgets for what a process under Linux pays and cannot see: a slack of
/// 100 ‰ for timer interrupts and the clock speed, 100 µs a job for the release, the switch to the job's thread and
/// preemptions, and borrowing for what a hypervisor takes unseen. Admission counts slack and overhead. See
/// `docs/guarantees.md` for the measurements.
pub fn default_limits() -> Limits {
    Limits {
        budget_slack: 100,
        budget_overhead: Duration::from_micros(100),
        budget_borrowing: true,
        ..Limits::default()
    }
}

/// Most kernel threads of one runtime, which is also the most tasks that can have begun and not ended, unless they share.
pub const MAX_KLTS: usize = 4096;

/// Sets a [`Runtime`] up. Made by [`Runtime::builder`].
pub struct Builder {
    name: String,
    workers: Option<usize>,
    cpus: Option<CpuMask>,
    stack_size: usize,
    poll_stack_size: usize,
    on_overrun: Option<Listener>,
    measure_waits: bool,
    max_tasks: u32,
    modules: SchedulerRegistry,
    policies: Vec<(QueueType, String)>,
    limits: Limits,
    signal: i32,
    identities: usize,
    fifo: Option<i32>,
    trace: usize,
    watch: bool,
    reactor: Choice,
    control: Option<PathBuf>,
    /// Where the kernel describes NUMA nodes.
    pub(crate) sysfs: PathBuf,
    /// Most KLTs.
    pub(crate) klts: usize,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            name: "dis".into(),
            workers: None,
            cpus: None,
            stack_size: StackConfig::default().size,
            poll_stack_size: 2 << 20,
            on_overrun: None,
            measure_waits: false,
            max_tasks: 131_072,
            modules: SchedulerRegistry::with_builtins(),
            policies: Vec::new(),
            limits: default_limits(),
            signal: libc::SIGURG,
            identities: usize::MAX,
            fifo: None,
            trace: 0,
            watch: true,
            reactor: Choice::default(),
            control: None,
            klts: MAX_KLTS,
            sysfs: numa::SYSFS.into(),
        }
    }

    /// Prefix of the threads' names. Default `dis`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Number of workers, 1 to [`MAX_CPUS`]. Default: one for each CPU of [`cpus`](Self::cpus). More workers than CPUs
    /// share CPUs, which is good for tests only.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The machine's CPUs to use, in ascending order. Default: all that the process may use.
    pub fn cpus(mut self, cpus: CpuMask) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Bytes of stack for each task, rounded up to pages. Default 64 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Bytes of stack for the polls of futures, rounded up to pages. Default 2 MiB, as threads have. There are as many as polls at
    /// a time, and what is not touched costs only address space.
    pub fn poll_stack_size(mut self, bytes: usize) -> Self {
        self.poll_stack_size = bytes;
        self
    }

    /// Calls `listener` whenever a poll has ended that took so long that the other futures of its lane went on without it
    /// ([`Runtime::overruns`] also knows those that have not ended). It is called in the task that has polled. Default: nobody is
    /// told.
    pub fn on_overrun(mut self, listener: impl Fn(&Overrun) + Send + Sync + 'static) -> Self {
        self.on_overrun = Some(std::sync::Arc::new(listener));
        self
    }

    /// Measures for how long each future is ready before it is polled, and idle ([`FutureTimes`](crate::future::FutureTimes),
    /// [`WaitHistogram`](crate::future::WaitHistogram)): a reading of the clock for each wake-up, and an allocation for each future.
    /// Default: no.
    pub fn measure_waits(mut self, measure: bool) -> Self {
        self.measure_waits = measure;
        self
    }

    /// Most tasks at a time. Default 131,072. Costs address space, not memory.
    pub fn max_tasks(mut self, tasks: u32) -> Self {
        self.max_tasks = tasks;
        self
    }

    /// The modules that policies come from: for each class the active one's. Default: the built-in ones. A class without an
    /// active module has its built-in policy. `docs/policies.md` shows how to write one. If a policy of your own panics, the
    /// process ends with a message; a panic hook that the first such runtime installs sees to it.
    pub fn modules(mut self, modules: SchedulerRegistry) -> Self {
        self.modules = modules;
        self
    }

    /// Makes the module of that name the active one of a class ([`SchedulerRegistry::set_active`]), whether it keeps the
    /// class's promises or not. Built in are `round-robin`, `priority`, `edf` and `fair`.
    pub fn policy(mut self, class: QueueType, name: impl Into<String>) -> Self {
        self.policies.push((class, name.into()));
        self
    }

    /// Caps, floors and waits of the classes. Default: [`default_limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The signal that preempts. Default SIGURG, which is ignored by default everywhere and which nobody else uses. A
    /// process can have several runtimes with the same signal. A signal that faults raise is refused.
    pub fn signal(mut self, signal: i32) -> Self {
        self.signal = signal;
        self
    }

    /// Lets tasks share kernel threads once there are more than `tasks` (at least 1) of them; those that are declared
    /// dedicated never do. Tasks that share one switch in nanoseconds while they cooperate, but wait for each other when one
    /// is preempted. Default: no task shares unless it is declared [`shared`](crate::TaskBuilder::shared).
    ///
    /// # Safety
    /// As for [`TaskBuilder::shared`](crate::TaskBuilder::shared), for every task of the runtime that is not declared dedicated.
    pub unsafe fn share_beyond(mut self, tasks: usize) -> Self {
        self.identities = tasks.max(1);
        self
    }

    /// Asks for SCHED_FIFO with this priority (1 to 99) for the worker threads. If the process may not, the
    /// workers run under the ordinary policy; [`Runtime::os_policy`] tells. Default: not asked for.
    ///
    /// With it a task that never yields keeps ordinary threads of the machine from its CPU, apart from what the kernel
    /// reserves for them: by default 50 ms of each second (`kernel.sched_rt_runtime_us`), in which no task of that CPU
    /// runs, Realtime ones included. So it helps where the CPUs have idle time; where they have none, deadlines are
    /// missed once a second unless that setting is -1.
    pub fn fifo(mut self, priority: i32) -> Self {
        self.fifo = Some(priority);
        self
    }

    /// Records what happens, the newest `events` per CPU (32 bytes each); read them with [`Runtime::trace`]. Default: 0,
    /// nothing is recorded.
    pub fn trace(mut self, events: usize) -> Self {
        self.trace = events;
        self
    }

    /// Whether tasks that block in the kernel are noticed, so that their worker goes on with others: one more thread for each worker,
    /// of the idle class. Default: yes. [`Runtime::blocking_watch`] tells whether the system permits it. Without it a task that
    /// blocks keeps its worker until the next interruption, which interrupts its system call.
    pub fn watch_blocking(mut self, watch: bool) -> Self {
        self.watch = watch;
        self
    }

    /// Lets tokio's types work in futures of this runtime, by a tokio runtime that it starts: one thread, which sleeps until a
    /// socket is ready or a timer due. What libraries spawn by `tokio::spawn` runs on that thread, not as a task of this runtime, and
    /// holds up everybody's I/O while it computes; `tokio::task::spawn_blocking` uses tokio's own threads. `docs/async.md` says more.
    #[cfg(feature = "tokio")]
    pub fn tokio(mut self) -> Self {
        self.reactor = Choice::Own(Own::default());
        self
    }

    /// As [`tokio`](Self::tokio), by a thread under SCHED_FIFO with this priority (1 to 99) if the process may use it. Then a packet never
    /// waits for the kernel's scheduler; but what libraries spawn by `tokio::spawn` and compute there has the CPU before everybody.
    #[cfg(feature = "tokio")]
    pub fn tokio_fifo(mut self, priority: i32) -> Self {
        self.reactor = Choice::Own(Own { fifo: Some(priority), look_every: None });
        self
    }

    /// As [`tokio`](Self::tokio); says how often a worker that computes looks whether the reactor's thread waits for its CPU, which Linux
    /// makes it do now and then for up to 4 ms, and lets it run first. A look costs about 5 µs. Default 300 µs; zero: never.
    #[cfg(feature = "tokio")]
    pub fn tokio_look_every(mut self, time: std::time::Duration) -> Self {
        let look_every = Some(time.into()).filter(|_| !time.is_zero());
        self.reactor = Choice::Own(Own { look_every, fifo: None });
        self
    }

    /// As [`tokio`](Self::tokio), by a tokio runtime of the caller's: it must have I/O and time enabled, and outlive this
    /// runtime's futures, which else see errors of tokio's.
    #[cfg(feature = "tokio")]
    pub fn tokio_handle(mut self, handle: tokio::runtime::Handle) -> Self {
        self.reactor = Choice::Foreign(handle);
        self
    }

    /// Lets the user of this process, and root, observe and control the runtime by a UNIX socket (`dis ctl`, `dis top`;
    /// `docs/control.md`). It is made with mode 0600, in place of one that a process has left behind, and removed at the end. What
    /// comes by it is done with the host's rights. Costs two threads, which sleep until they are asked.
    #[cfg(feature = "control")]
    pub fn control_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.control = Some(path.into());
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(mut self) -> Result<Runtime, BuildError> {
        crate::process::remember();
        let allowed = sys::allowed_cpus().map_err(|error| BuildError::System { call: "sched_getaffinity", error })?;
        let chosen: Vec<usize> = match &self.cpus {
            Some(mask) => mask.iter().collect(),
            None => allowed.clone(),
        };
        if let Some(&cpu) = chosen.iter().find(|cpu| !allowed.contains(cpu)) {
            return Err(BuildError::Cpu(cpu));
        }
        let workers = self.workers.unwrap_or(chosen.len());
        if !(1..=MAX_CPUS).contains(&workers) || chosen.is_empty() {
            return Err(BuildError::Workers(if chosen.is_empty() { 0 } else { workers }));
        }
        if !signal::usable().any(|usable| usable == self.signal) {
            return Err(BuildError::BadSignal(self.signal));
        }
        let mut config = Config::new(workers);
        config.max_tasks = self.max_tasks;
        // Growth under the core's lock would wait for the allocator, whose lock a preempted task may hold.
        config.reserve = self.max_tasks;
        // The kernel counts for each thread what it really ran.
        config.measures = true;
        config.limits = self.limits;
        for (class, name) in &self.policies {
            self.modules.set_active(*class, name).map_err(|error| match error {
                SchedError::NotSupported(_) => BuildError::PolicyRefuses(name.clone(), *class),
                _ => BuildError::UnknownPolicy { name: name.clone(), known: self.modules.list() },
            })?;
        }
        self.modules.guard_policies(crate::policy::guard);
        let exec = Executor::with_modules(config, &self.modules).map_err(BuildError::Config)?;
        // Each kernel thread may keep one.
        let stacks = Stacks::new(self.stack_size, (self.max_tasks as usize).saturating_add(self.klts));
        signal::install(self.signal)?;
        let fifo_granted = self.fifo.filter(|&priority| may_be_fifo(priority));
        let settings = Settings {
            name: self.name,
            cpus: (0..workers).map(|worker| chosen[worker % chosen.len()]).collect(),
            signal: self.signal,
            identities: self.identities,
            spares: workers + 1,
            fifo: self.fifo,
            fifo_granted,
            trace: self.trace,
            watch: match watcher::prepare() {
                _ if !self.watch => BlockingWatch::Off,
                Ok(()) => BlockingWatch::On,
                Err(why) => BlockingWatch::Unavailable(why),
            },
            nodes: Nodes::read(&self.sysfs),
            klts: self.klts,
            poll_stack_size: self.poll_stack_size,
            on_overrun: self.on_overrun,
            measure_waits: self.measure_waits,
        };
        let reactor = Reactor::new(self.reactor, &settings.name, fifo_granted)?;
        let inner = Inner::new(settings, exec, self.modules, stacks.map_err(BuildError::Stacks)?, reactor);
        overflow::remember(&inner.stacks).map_err(|error| BuildError::Thread(error.to_string()))?;
        runtime::start(&inner)?;
        let runtime = Runtime { inner: Arc::clone(&inner), control: Service::default() };
        // If it fails, dropping the runtime ends the threads.
        runtime.control.start(self.control.as_deref(), &inner)?;
        Ok(runtime)
    }
}

/// Tries it on a thread of its own, so that the caller keeps its policy.
fn may_be_fifo(priority: i32) -> bool {
    std::thread::spawn(move || sys::become_fifo(priority).is_ok()).join().unwrap_or(false)
}
