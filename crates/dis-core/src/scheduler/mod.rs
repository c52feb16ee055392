//! The tasks of a machine, spread over its CPUs.
//!
//! Each CPU *owns* some of the tasks: their control blocks, the queues they stand in and their timers lie behind that
//! CPU's lock, and nothing else protects them. A task that moves to another CPU is moved as a value, under both locks
//! (taken in the order of CPU numbers). Who owns a task is one atomic word, so finding it takes no lock; the word is
//! checked again once the lock is held. There is no global lock.
//!
//! [`TaskManager`] is what one task does to another (spawn, wake, kill, change); what a CPU does for itself is the
//! [`Executor`](crate::executor::Executor)'s part.

mod axis;
mod book;
pub(crate) mod change;
mod declare;
mod destroy;
mod domains;
mod duty;
mod end;
mod evacuate;
mod handover;
mod homes;
mod hotplug;
mod inquire;
mod moves;
mod queue;
mod quota;
mod seats;
pub(crate) mod slab;
mod spawn;
mod split;
mod standby;
pub(crate) mod state;
mod tcb;
mod wake;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use lock_api::{Mutex, MutexGuard, RawMutex};

use crate::api::{CpuMask, MAX_CPUS, SchedError, SchedResult, Task, TaskId, TaskStats, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::{IntentAnalyzer, SystemLoad};
use crate::modules::SchedulerRegistry;
use crate::optimizer::{CpuLoad, IDLE_RANK, Limits, LimitsError};
use crate::policy::{Lag, TaskKey};
use crate::stats::SchedulerStats;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use book::Book;
pub use book::{OpenBook, Plan, PlanError, request};
use domains::Domains;
pub(crate) use duty::Duty;
pub use handover::{Handover, HandoverSummary};
use homes::{Home, Homes};
pub use hotplug::{Offline, Online};
use split::Pieces;
use state::CpuState;
pub use tcb::Urgency;
pub(crate) use tcb::{Ended, SchedState};

/// How a machine is set up. The policies are the [`SchedulerRegistry`]'s affair.
#[derive(Debug, Clone)]
pub struct Config {
    /// Number of CPUs, 1..=[`MAX_CPUS`].
    pub cpus: usize,
    /// Most tasks alive at once. Default 4 million.
    pub max_tasks: u32,
    /// How many tasks each CPU has room for from the start; up to as many no call allocates (spawn included, but for the
    /// task's own name), except those that open the [book of reservations](OpenBook). Costs address space; memory is touched only as tasks come. A host whose scheduler may run while
    /// some task holds the allocator's lock sets this to `max_tasks`. Default 0: room is made as tasks come.
    pub reserve: u32,
    /// Whether the host can measure how long a task has really run: not while the host's own scheduler, or a hypervisor, ran
    /// somebody else on the CPU. Then no Realtime budget counts as used up before it has been measured
    /// ([`SchedError::Unmeasured`]). Default false: what the clock says counts.
    pub measures: bool,
    /// Whether what does not fit is refused. Default true; if false, it goes where least is reserved, and no deadline is
    /// promised to anybody.
    pub admission: bool,
    /// Caps, floors and waits.
    pub limits: Limits,
}

impl Config {
    /// `cpus` CPUs, all else default.
    pub fn new(cpus: usize) -> Self {
        Config { cpus, max_tasks: 1 << 22, reserve: 0, measures: false, admission: true, limits: Limits::default() }
    }
}

/// Why a machine cannot be set up so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// Not 1..=[`MAX_CPUS`] CPUs.
    Cpus(usize),
    /// Room for no task.
    NoTasks,
    /// A limit out of range.
    Limits(LimitsError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Cpus(n) => write!(f, "{n} CPUs; it must be 1 to {MAX_CPUS}"),
            ConfigError::NoTasks => f.write_str("max_tasks is 0; it must be at least 1"),
            ConfigError::Limits(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

/// A CPU as the others see it, and what its lock protects.
pub(crate) struct Cpu<C, R> {
    pub state: Mutex<R, CpuState<C>>,
    /// The task whose registers are not saved yet, if any (its id).
    pub unsaved: AtomicU64,
    /// Something waits for those registers to be saved: the CPU should ask again right then.
    pub waits_for_save: AtomicBool,
    /// Somebody thinks that this CPU should take over a task from another.
    pub look_around: AtomicBool,
    load: AtomicU64,
    /// A task that held a reservation here has ended, and Realtime work has been there without a pause since.
    owes: AtomicBool,
}

/// All tasks and all CPUs. `C` is the host's part of a task, `R` the host's lock.
pub struct TaskManager<C, R> {
    pub(crate) cpus: Box<[Cpu<C, R>]>,
    homes: Homes,
    book: Mutex<R, Book>,
    /// How many tasks that held reservations have ended.
    ended_reservations: AtomicU64,
    pieces: Mutex<R, Pieces>,
    domains: Domains<R>,
    pub(crate) config: Config,
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// An empty machine with the built-in policies: priority, edf, edf, fair, fair.
    ///
    /// # Errors
    /// A number of CPUs or tasks, or a limit, that is out of range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_modules(config, &SchedulerRegistry::with_builtins())
    }

    /// An empty machine. The policies of each class, one for each CPU, come from its active module in `modules`; a class
    /// without one has the built-in policy. `modules` may change afterwards: nothing here does.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_modules(config: Config, modules: &SchedulerRegistry) -> Result<Self, ConfigError> {
        if !(1..=MAX_CPUS).contains(&config.cpus) {
            return Err(ConfigError::Cpus(config.cpus));
        }
        if config.max_tasks == 0 {
            return Err(ConfigError::NoTasks);
        }
        config.limits.validate().map_err(ConfigError::Limits)?;
        let cpus = (0..config.cpus)
            .map(|cpu| Cpu {
                state: Mutex::new(CpuState::new(cpu, config.limits, modules)),
                unsaved: AtomicU64::new(TaskId::INVALID.0),
                waits_for_save: AtomicBool::new(false),
                look_around: AtomicBool::new(false),
                owes: AtomicBool::new(false),
                load: AtomicU64::new(CpuLoad { running: IDLE_RANK, waiting: IDLE_RANK, ready: 0 }.pack()),
            })
            .collect();
        let book = Mutex::new(Book::new(config.cpus, config.limits));
        let (homes, pieces) = (Homes::new(config.max_tasks), Mutex::new(Pieces::new(config.cpus)));
        let (ended_reservations, domains) = (AtomicU64::new(0), Domains::new());
        let tasks: Self = TaskManager { cpus, homes, book, ended_reservations, pieces, domains, config };
        if tasks.config.reserve > 0 {
            tasks.homes.grow(tasks.config.reserve.min(tasks.config.max_tasks));
            // One key is no task's.
            let keys = (tasks.config.reserve as usize + 1).min(homes::MAX_KEYS);
            (0..tasks.cpu_count()).for_each(|cpu| tasks.lock(cpu).reserve(keys));
        }
        Ok(tasks)
    }

    /// Caps, floors and waits.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Number of CPUs.
    pub fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    /// Calls `f` with a live task. Takes one lock.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn with_task<T>(&self, id: TaskId, f: impl FnOnce(&Task<C>) -> T) -> SchedResult<T> {
        let (state, key) = self.lock_home(id)?;
        state.get(key).map(f).ok_or(SchedError::TaskNotFound)
    }

    /// A task's counters up to `now`, the time for which it has had the CPU since the last decision included.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn task_stats(&self, now: Timestamp, id: TaskId) -> SchedResult<TaskStats> {
        let (state, key) = self.lock_home(id)?;
        let mut stats = state.get(key).ok_or(SchedError::TaskNotFound)?.stats;
        if state.current == Some(key) {
            stats.cpu_time += state.uncharged(now).as_nanos();
        }
        Ok(stats)
    }

    /// What a task lends to one that holds what it waits for: how urgent it is now, inheritance included. A reservation by
    /// share is not lent.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn urgency(&self, id: TaskId) -> SchedResult<Urgency> {
        let (state, key) = self.lock_home(id)?;
        state.get(state.carrier(key)).map(Task::lends).ok_or(SchedError::TaskNotFound)
    }

    /// When a task that waits is woken at the latest, if it is known. O(1).
    pub fn wake_time(&self, id: TaskId) -> Option<Timestamp> {
        let (state, key) = self.lock_home(id).ok()?;
        state.timers.wake_time(key)
    }

    /// What a task is owed at `now` by those who compete with it on its CPU and in its class; `None` if it neither waits nor runs, or
    /// its policy has no virtual clock. O(1).
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn lag(&self, now: Timestamp, id: TaskId) -> SchedResult<Option<Lag>> {
        let (mut state, key) = self.lock_home(id)?;
        Ok(state.lag(key, now))
    }

    /// The CPU that owns the task: where it runs, waits, or last ran.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn cpu_of(&self, id: TaskId) -> SchedResult<usize> {
        self.homes.get(id).map(|home| home.cpu).ok_or(SchedError::TaskNotFound)
    }

    /// The ids of all live tasks, CPU by CPU. O(tasks); for reports, not for decisions.
    pub fn task_ids(&self) -> Vec<TaskId> {
        let mut ids = Vec::new();
        for cpu in 0..self.cpu_count() {
            ids.extend(self.lock(cpu).tasks().map(|task| task.id));
        }
        ids
    }

    /// Shows `visit` the live tasks that `cpu` owns, in the places from `from` on, `most` places under one lock. Answers where to
    /// go on, `None` at the end. A task that moves to another CPU between two calls may be missed. `visit` must not call the
    /// scheduler.
    pub fn visit_tasks(&self, cpu: usize, from: usize, most: usize, mut visit: impl FnMut(&Task<C>)) -> Option<usize> {
        let state = self.cpus.get(cpu)?.state.lock();
        let end = from.saturating_add(most).min(state.slab.len());
        state.slab.get(from..end)?.iter().flatten().for_each(&mut visit);
        (end < state.slab.len()).then_some(end)
    }

    /// The counters of all CPUs together, as of their last decisions.
    pub fn stats(&self) -> SchedulerStats {
        self.stats_at(Timestamp::ZERO)
    }

    /// The counters of all CPUs together up to `now`, the time for which tasks have had them since the last decisions
    /// included.
    pub fn stats_at(&self, now: Timestamp) -> SchedulerStats {
        let mut sum = SchedulerStats::default();
        for cpu in 0..self.cpu_count() {
            let state = self.lock(cpu);
            sum.merge(&state.stats());
            sum.record_cpu_time(state.uncharged(now));
        }
        sum
    }

    /// The counters of one CPU.
    pub fn cpu_stats(&self, cpu: usize) -> Option<SchedulerStats> {
        (cpu < self.cpu_count()).then(|| self.lock(cpu).stats())
    }

    /// The counters of one CPU up to `now`, as [`stats_at`](Self::stats_at), and the task that it runs.
    pub fn cpu_stats_at(&self, cpu: usize, now: Timestamp) -> Option<(SchedulerStats, Option<TaskId>)> {
        let state = self.cpus.get(cpu)?.state.lock();
        let mut stats = state.stats();
        stats.record_cpu_time(state.uncharged(now));
        Some((stats, state.current.and_then(|key| state.get(key)).map(|task| task.id)))
    }

    /// How loaded the machine is: CPU time used between two calls gives `cpu_load`; `earlier` holds the busy times
    /// and the instant of the call before.
    pub fn system_load(&self, earlier: &mut LoadSample, now: Timestamp) -> SystemLoad {
        let span = now.since(earlier.at).as_nanos().max(1);
        earlier.busy.resize(self.cpu_count(), 0);
        let online = (0..self.cpu_count()).filter(|&cpu| self.is_online(cpu)).count();
        let mut load = SystemLoad { active_cpus: online as u32, ..SystemLoad::default() };
        for cpu in 0..self.cpu_count() {
            let state = self.lock(cpu);
            let busy = state.counts.total_cpu_time + state.uncharged(now).as_nanos();
            let used = busy.saturating_sub(core::mem::replace(&mut earlier.busy[cpu], busy));
            load.cpu_load.push((u128::from(used) * 100 / u128::from(span)).min(100) as u8);
            load.runqueue_length += state.ready_count;
        }
        earlier.at = now;
        load
    }

    /// An analyzer that knows the present load.
    pub fn analyzer(&self, earlier: &mut LoadSample, now: Timestamp) -> IntentAnalyzer {
        let mut analyzer = IntentAnalyzer::new();
        analyzer.update_load(self.system_load(earlier, now));
        analyzer
    }

    pub(crate) fn lock(&self, cpu: usize) -> MutexGuard<'_, R, CpuState<C>> {
        self.cpus[cpu].state.lock()
    }

    /// Locks the CPU that owns `id`.
    pub(crate) fn lock_home(&self, id: TaskId) -> SchedResult<(MutexGuard<'_, R, CpuState<C>>, TaskKey)> {
        loop {
            let home = self.homes.get(id).ok_or(SchedError::TaskNotFound)?;
            let state = self.lock(home.cpu);
            if state.get(home.key).is_some_and(|task| task.id == id) {
                return Ok((state, home.key));
            }
            // It moved or ended between the two looks; the word says which by now.
        }
    }

    /// Locks two different CPUs in the order of their numbers; the guards come in the order asked for.
    pub(crate) fn lock_two(
        &self,
        a: usize,
        b: usize,
    ) -> (MutexGuard<'_, R, CpuState<C>>, MutexGuard<'_, R, CpuState<C>>) {
        if a < b {
            let first = self.lock(a);
            let second = self.lock(b);
            (first, second)
        } else {
            let first = self.lock(b);
            let second = self.lock(a);
            (second, first)
        }
    }

    /// Moves a task that is in no queue from one CPU's slab to another's, without its timer, and the servers on its time with it, with
    /// theirs. `None`, and nothing has happened: there is no room.
    pub(crate) fn rehome(&self, from: &mut CpuState<C>, to: &mut CpuState<C>, key: TaskKey) -> Option<TaskKey> {
        let company = from.servers(key).count();
        if to.live_keys() + company >= homes::MAX_KEYS {
            return None;
        }
        from.clear_timer(key);
        let mut server = from.get(key)?.sched.calls.top;
        let carrier = self.carry_over(from, to, key)?;
        let mut above = None;
        for _ in 0..company {
            let timer = from.timers.wake_time(server).filter(|_| from.task(server).sched.timed);
            from.clear_timer(server);
            let below = from.task(server).sched.calls.below;
            let key = self.carry_over(from, to, server)?;
            to.task(key).sched.calls.on = carrier;
            match above {
                None => to.task(carrier).sched.calls.top = key,
                Some(above) => to.task(above).sched.calls.below = key,
            }
            if let Some(at) = timer {
                to.set_timer(key, at);
            }
            (above, server) = (Some(key), below);
        }
        Some(carrier)
    }

    /// Moves one control block from one CPU's slab to another's.
    fn carry_over(&self, from: &mut CpuState<C>, to: &mut CpuState<C>, key: TaskKey) -> Option<TaskKey> {
        let revoked = from.revoked.contains(&key);
        let mut task = from.take(key)?;
        let id = task.id;
        task.stats.migrations += 1;
        let key = to.insert(task);
        self.homes.set(id, Home { cpu: to.cpu, key });
        if revoked {
            to.revoked.push(key);
        }
        Some(key)
    }

    pub(crate) fn load(&self, cpu: usize) -> CpuLoad {
        CpuLoad::unpack(self.cpus[cpu].load.load(Ordering::SeqCst))
    }

    /// Publishes what others may know of the CPU; nothing is written if nothing changed.
    #[inline(always)]
    pub(crate) fn publish(&self, state: &mut CpuState<C>) {
        let load = state.summary();
        self.publish_load(state, load);
    }

    #[inline(always)]
    pub(crate) fn publish_load(&self, state: &mut CpuState<C>, load: CpuLoad) {
        if load != state.load {
            if !state.is_online() {
                return;
            }
            state.load = load;
            // Sequentially consistent: an idle CPU that looks for work after this either sees the work, or is seen idle.
            let here = &self.cpus[state.cpu];
            here.load.store(load.pack(), Ordering::SeqCst);
            if here.owes.load(Ordering::Relaxed) && load.is_without_realtime() {
                here.owes.store(false, Ordering::Release);
            }
        }
    }

    /// [Publishes](Self::publish) after `key` has been queued. Another CPU may have gone idle since the place was chosen,
    /// or may be allowed only now: then this CPU sees to it that the task is taken.
    #[inline(always)]
    pub(crate) fn settle(&self, state: &mut CpuState<C>, key: TaskKey, mut wake: Wake) -> Wake {
        self.publish(state);
        let others = state.current.is_some() || state.ready_count > 1;
        let here = state.cpu;
        let idle = |task: &Task<C>| {
            let allowed = |cpu| cpu != here && task.affinity.contains(cpu);
            task.may_be_stolen() && (0..self.cpu_count()).any(|cpu| allowed(cpu) && self.load(cpu).is_idle())
        };
        if others && self.cpu_count() > 1 && state.get(key).is_some_and(idle) {
            state.surplus = true;
            wake.interrupt = true;
        }
        wake
    }

    /// Whether the registers of the task, or of a server on its time, are in the CPU still.
    #[inline(always)]
    pub(crate) fn is_unsaved(&self, state: &CpuState<C>, key: TaskKey) -> bool {
        let unsaved = TaskId(self.cpus[state.cpu].unsaved.load(Ordering::Acquire));
        unsaved != TaskId::INVALID && state.holds(key, unsaved)
    }

    /// Where a task lives, at this moment.
    pub(crate) fn home_of(&self, id: TaskId) -> SchedResult<(usize, TaskKey)> {
        self.homes.get(id).map(|home| (home.cpu, home.key)).ok_or(SchedError::TaskNotFound)
    }

    /// The idle CPUs other than `except`.
    pub(crate) fn idle_cpus(&self, except: usize) -> CpuMask {
        let idle = |&cpu: &usize| cpu != except && self.load(cpu).is_idle();
        (0..self.cpu_count()).filter(idle).collect()
    }
}

/// What [`TaskManager::system_load`] remembers between two calls.
#[derive(Debug, Clone, Default)]
pub struct LoadSample {
    busy: Vec<u64>,
    at: Timestamp,
}

impl Wake {
    /// Nothing to do: the task was not blocked.
    pub(crate) fn remembered(cpu: usize) -> Wake {
        Wake { cpu, interrupt: false, until: None, placement: Placement::Remembered }
    }
}
