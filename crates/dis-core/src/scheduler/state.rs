//! What a CPU's lock protects: the tasks that the CPU owns, their queues, and the CPU's clockwork.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::duty::Duty;
use super::split::Hold;
use super::standby::Standby;
use crate::api::{BlockReason, CpuMask, Duration, ExitStatus, Task, TaskId, TaskState, Timestamp};
use crate::executor::Balance;
use crate::intent::{Intent, IntentClass, QueueType};
use crate::modules::SchedulerRegistry;
use crate::optimizer::{Arbiter, ClassSet, CpuLoad, Credit, IDLE_RANK, Limits, Server};
use crate::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};
use crate::queues::SleepQueue;
use crate::stats::{QueueStat, SchedulerStats};

/// Slice of an Interactive task while another waits: so many can each begin within a few milliseconds.
const CONTENDED_SLICE: Duration = Duration::from_millis(1);

/// The key that no task has: in the timer queue it stands for the end of a window, when the next budgets of
/// [`Reservation`]s are to be had.
pub(crate) const WINDOW: TaskKey = TaskKey(0);

/// The most tasks that hold reservations by share on a CPU: each has a per mille at least.
const MOST_RESERVATIONS: usize = 1000;

/// How urgent a task is: what a waiting task lends to the one that holds what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Urgency {
    /// Effective class.
    pub class: QueueType,
    /// Effective priority within it.
    pub priority: u8,
    /// Effective deadline; [`Timestamp::MAX`] without one.
    pub deadline: Timestamp,
}

/// How much less weight an Interactive task has while it counts as Batch: what lies between the base priorities of the two.
const DEMOTION: u8 = IntentClass::Batch.to_priority() - IntentClass::Interactive { target_latency_us: 1 }.to_priority();

impl Urgency {
    /// Whether `self` goes before `other`.
    pub fn exceeds(&self, other: &Urgency) -> bool {
        (self.class, self.deadline, self.priority) < (other.class, other.deadline, other.priority)
    }
}

/// The scheduler's own part of a task; what every decision reads and writes comes first.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct SchedState {
    /// The class whose queue it uses now: its own, Batch for a demoted Interactive task, Realtime while a reservation by
    /// share lasts, or an inherited one.
    pub class: QueueType,
    /// The class of its intent.
    pub own_class: QueueType,
    /// It stands in its class's queue.
    pub queued: bool,
    /// Other CPUs may take it while it is queued, as far as its affinity allows.
    pub stealable: bool,
    /// It ends when its CPU asks next.
    pub killed: bool,
    /// Its class, priority, deadline or affinity changed while it ran.
    pub dirty: bool,
    /// It has a server, a credit or a reservation by share.
    pub limited: bool,
    pub entity: Entity,
    pub ready_since: Timestamp,
    /// The task's CPU time at its last wake-up, for the history.
    pub burst_start: u64,
    /// Interactive tasks, and no others, have one.
    pub credit: Option<Credit>,
    /// The target latency of an Interactive task.
    pub target: Duration,
    pub inherited: Option<Urgency>,
    pub server: Option<Server>,
    /// A wake-up came before the block it was meant for.
    pub token: bool,
    /// It has an entry in the timer queue (sleep, time-out, or replenishment).
    pub timed: bool,
    /// It is ready but out of its budget.
    pub throttled: bool,
    /// The host lets it move to another CPU.
    pub movable: bool,
    /// The next time it becomes ready is the release of a job.
    pub pending_release: bool,
    pub joinable: bool,
    pub block_reason: Option<BlockReason>,
    /// What it has reserved, by its period or by its share, and where.
    pub hold: Option<Hold>,
    pub duty: Duty,
    pub joiner: TaskId,
    pub exit: Option<ExitStatus>,
}

impl SchedState {
    /// Takes over what an intent of this class says: the target latency, what limits the task, and what it holds.
    pub fn declare(&mut self, intent: &Intent, server: Option<Server>, credit: Credit, duty: Duty) {
        self.own_class = intent.class.queue();
        self.target = match intent.class {
            IntentClass::Interactive { target_latency_us } => Duration::from_micros(target_latency_us),
            _ => Duration::ZERO,
        };
        self.credit = (self.own_class == QueueType::Interactive).then_some(credit);
        self.server = server;
        self.duty = duty;
        self.limited = self.credit.is_some() || self.server.is_some() || self.duty.reservation().is_some();
        self.judge_stealable();
    }

    /// Whether its jobs have deadlines of their own.
    #[inline(always)]
    pub fn is_realtime(&self) -> bool {
        self.own_class == QueueType::Realtime
    }

    /// Reckons [`stealable`](Self::stealable) anew.
    pub fn judge_stealable(&mut self) {
        self.stealable = self.movable && self.hold.is_none() && self.inherited.is_none();
    }
}

/// One class on one CPU.
pub(crate) struct ClassQueue {
    pub policy: Box<dyn SchedulingPolicy>,
    /// The counters, the average aside. What the policy says of its length is compared with the length here.
    pub stat: QueueStat,
    /// How often the policy was replaced because its answers were wrong.
    pub replaced: u64,
    /// How many of the queued tasks other CPUs may take, as far as the tasks' affinities allow.
    pub stealable: u32,
    /// What the policy's virtual time is off the machine's (see [`axis`](super::axis)).
    pub origin: i64,
}

impl ClassQueue {
    /// Whether the policy has as many tasks as it was given.
    #[inline(always)]
    pub fn is_sound(&self) -> bool {
        self.policy.len() == self.stat.length as usize
    }

    /// Notes a task that joins the queue.
    #[inline(always)]
    pub fn admit(&mut self, task: &mut SchedState, now: Timestamp) {
        task.ready_since = now;
        task.queued = true;
        self.stat.record_enqueue();
        self.stealable += u32::from(task.stealable);
    }

    /// Notes that a task has left the queue. How long it waited.
    #[inline(always)]
    pub fn release(&mut self, task: &mut SchedState, now: Timestamp) -> Duration {
        let waited = now.since(task.ready_since);
        task.queued = false;
        self.stat.count_dequeue(waited);
        self.stealable -= u32::from(task.stealable);
        waited
    }

    /// A new slice, ns; shortened while a latency-sensitive task waits.
    #[inline(always)]
    pub fn new_slice(&self, entity: &Entity, class: QueueType, ready: ClassSet) -> u64 {
        let slice = self.policy.time_slice(entity);
        let contended = class == QueueType::Interactive && ready.contains(class);
        let slice = if contended { slice.min(CONTENDED_SLICE) } else { slice };
        slice.as_nanos().max(1)
    }
}

/// Everything of one CPU.
pub(crate) struct CpuState<C> {
    pub cpu: usize,
    pub slab: Vec<Option<Task<C>>>,
    free: Vec<TaskKey>,
    reserved: usize,
    pub classes: [ClassQueue; 5],
    pub ready: ClassSet,
    pub ready_count: u32,
    /// The classes in which a task is queued that other CPUs may take.
    pub stealable: ClassSet,
    pub timers: SleepQueue<TaskKey>,
    /// The tasks here that have reservations by share.
    pub reservations: Vec<TaskKey>,
    pub current: Option<TaskKey>,
    /// Up to when the running task's time has been accounted.
    pub charged: Timestamp,
    /// The `until` of the last decision.
    pub until: Timestamp,
    /// The tasks that must leave this CPU (or end) as soon as their registers are saved.
    pub leaving: Vec<TaskKey>,
    /// Whether the task that ran last gave up the CPU by itself (nobody before the first).
    pub left_voluntarily: bool,
    pub arbiter: Arbiter,
    pub limits: Limits,
    /// All counters but those of the queues, see [`stats`](Self::stats).
    pub counts: SchedulerStats,
    /// What is reserved here fits by the demand of jobs, not by the sum of their densities.
    pub exact: bool,
    pub load: CpuLoad,
    pub balance: Balance,
    /// A task waits here that another CPU may be able to take: look for one at the next decision.
    pub surplus: bool,
    /// From when on a task that waits beside its parent is surplus; [`Timestamp::MAX`]: there is none.
    pub offer: Timestamp,
    /// CPUs to interrupt that the last decisions had no room to name.
    pub owed: Option<CpuMask>,
    /// What takes over from each class's policy, if that is not a built-in one.
    pub standbys: [Option<Standby>; 5],
}

impl<C> CpuState<C> {
    pub fn new(cpu: usize, limits: Limits, modules: &SchedulerRegistry) -> Self {
        CpuState {
            cpu,
            // No task has the first key: see [`WINDOW`].
            slab: Vec::from([None]),
            free: Vec::new(),
            reserved: 0,
            classes: QueueType::ALL.map(|class| ClassQueue {
                policy: modules.make_policy(class),
                stat: QueueStat::default(),
                replaced: 0,
                stealable: 0,
                origin: 0,
            }),
            ready: ClassSet::default(),
            ready_count: 0,
            stealable: ClassSet::default(),
            timers: SleepQueue::new(),
            reservations: Vec::with_capacity(MOST_RESERVATIONS),
            current: None,
            charged: Timestamp::ZERO,
            until: Timestamp::MAX,
            leaving: Vec::new(),
            left_voluntarily: true,
            arbiter: Arbiter::new(limits),
            limits,
            counts: SchedulerStats::default(),
            exact: false,
            load: CpuLoad { running: IDLE_RANK, waiting: IDLE_RANK, ready: 0 },
            balance: Balance::default(),
            surplus: false,
            offer: Timestamp::MAX,
            owed: None,
            standbys: QueueType::ALL.map(|class| modules.is_foreign(class).then(|| Standby::new(class))),
        }
    }

    /// Makes room for keys below `keys`, so that up to as many no call allocates. Memory is touched only as tasks come.
    pub fn reserve(&mut self, keys: usize) {
        self.slab.reserve(keys.saturating_sub(self.slab.len()));
        self.free.reserve(keys.saturating_sub(self.free.len()));
        self.timers.reserve(keys);
        self.leaving.reserve(keys.saturating_sub(self.leaving.len()));
        for class in &mut self.classes {
            class.policy.reserve(keys);
        }
        for standby in self.standbys.iter_mut().flatten() {
            standby.reserve(keys);
        }
        self.reserved = self.reserved.max(keys);
    }

    /// Takes a task into the slab. Reserves queue room, so that no later call allocates.
    pub fn insert(&mut self, mut task: Task<C>) -> TaskKey {
        let key = self.free.pop().unwrap_or(TaskKey(self.slab.len() as u32));
        task.sched.entity.key = key;
        if key.index() == self.slab.len() {
            if self.slab.len() >= self.reserved {
                self.reserve((self.slab.len() + 1).next_power_of_two());
            }
            self.slab.push(Some(task));
        } else {
            self.slab[key.index()] = Some(task);
        }
        self.follow_reservation(key);
        key
    }

    /// Takes a task out of the slab.
    pub fn take(&mut self, key: TaskKey) -> Option<Task<C>> {
        let task = self.slab.get_mut(key.index())?.take()?;
        self.vacated(key, task.sched.duty.reservation().is_some());
        Some(task)
    }

    /// Drops a task where it lies. Answers its id.
    pub fn discard(&mut self, key: TaskKey) -> Option<TaskId> {
        let slot = self.slab.get_mut(key.index())?;
        let task = slot.as_ref()?;
        let (id, reserves) = (task.id, task.sched.duty.reservation().is_some());
        *slot = None;
        self.vacated(key, reserves);
        Some(id)
    }

    fn vacated(&mut self, key: TaskKey, reserves: bool) {
        if reserves {
            self.reservations.retain(|&other| other != key);
        }
        self.free.push(key);
        self.leaving.retain(|&other| other != key);
    }

    /// Notes whether the task has a reservation by share now.
    pub fn follow_reservation(&mut self, key: TaskKey) {
        let holds = peek(&self.slab, key).sched.duty.reservation().is_some();
        let noted = self.reservations.iter().position(|&other| other == key);
        match noted {
            None if holds => self.reservations.push(key),
            Some(place) if !holds => {
                self.reservations.swap_remove(place);
            }
            _ => {}
        }
    }

    /// A task that has a reservation is queued: at the end of the window it is to get its next budget.
    pub fn watch_window(&mut self, end: Timestamp) {
        // At the end of time there is no next one.
        if self.timers.wake_time(WINDOW).is_none() && end < Timestamp::MAX {
            self.timers.insert(WINDOW, end);
        }
    }

    /// Keys in use.
    pub fn live_keys(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    #[inline(always)]
    pub fn get(&self, key: TaskKey) -> Option<&Task<C>> {
        self.slab.get(key.index())?.as_ref()
    }

    pub fn tasks(&self) -> impl Iterator<Item = &Task<C>> {
        self.slab.iter().flatten()
    }

    /// A task that the core itself knows to be here.
    ///
    /// # Panics
    /// If it is not: the queues name a task that the slab does not hold, which no host and no policy can bring about
    /// (answers of policies are checked before they are used).
    #[inline(always)]
    pub fn task(&mut self, key: TaskKey) -> &mut Task<C> {
        slot(&mut self.slab, key)
    }

    /// The task and the policy of its class.
    #[inline(always)]
    pub fn task_and_policy(&mut self, key: TaskKey) -> (&mut Task<C>, &mut dyn SchedulingPolicy) {
        let task = slot(&mut self.slab, key);
        let policy = &mut *self.classes[task.sched.class.rank()].policy;
        (task, policy)
    }

    /// Puts a task whose state is Ready into its class's queue.
    #[inline(always)]
    pub fn enqueue(&mut self, key: TaskKey, why: Arrival, now: Timestamp) {
        // The newcomer has no part in what the running task has had so far.
        self.charge(now);
        let task = slot(&mut self.slab, key);
        let class = task.sched.class;
        let queue = &mut self.classes[class.rank()];
        queue.admit(&mut task.sched, now);
        queue.policy.on_ready(&mut task.sched.entity, why, now);
        if !self.ready.contains(class) {
            self.arbiter.begin_wait(class, now);
        }
        self.ready_count += 1;
        self.recount(class);
    }

    /// Makes the first task of `class` the running one. False, and nothing has changed but the policy's mind, if the
    /// policy's answer is wrong: it names a task that is not ready in the class, or none, or has lost count of them.
    #[inline(always)]
    pub fn start_first(&mut self, class: QueueType, now: Timestamp) -> bool {
        let queue = &mut self.classes[class.rank()];
        if !queue.is_sound() {
            return false;
        }
        let Some(key) = queue.policy.select(now) else { return false };
        let Some(Some(task)) = self.slab.get_mut(key.index()) else { return false };
        if !task.is_queued() || task.sched.class != class {
            return false;
        }
        queue.release(&mut task.sched, now);
        debug_assert!(task.state.may_become(TaskState::Running), "a queued task is ready");
        task.state = TaskState::Running;
        task.stats.last_scheduled = now;
        task.sched.dirty = false;
        self.current = Some(key);
        self.charged = now;
        self.ready_count = self.ready_count.saturating_sub(1);
        self.ready.set(class, queue.stat.length > 0);
        self.stealable.set(class, queue.stealable > 0);
        if task.stats.time_slice == 0 {
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, self.ready);
        }
        true
    }

    /// A new slice.
    pub fn refill_slice(&mut self, key: TaskKey) {
        let task = slot(&mut self.slab, key);
        let class = task.sched.class;
        task.stats.time_slice = self.classes[class.rank()].new_slice(&task.sched.entity, class, self.ready);
    }

    /// Takes a queued task out of its class's queue; it stops competing.
    pub fn dequeue(&mut self, key: TaskKey, now: Timestamp) {
        let task = slot(&mut self.slab, key);
        let class = task.sched.class;
        let queue = &mut self.classes[class.rank()];
        // A policy that does not know the task has forgotten it; all the better.
        queue.policy.remove(&mut task.sched.entity, now);
        queue.release(&mut task.sched, now);
        self.ready_count = self.ready_count.saturating_sub(1);
        self.recount(class);
    }

    /// Sees whether a task is ready in `class`, and whether one may be stolen.
    #[inline(always)]
    pub fn recount(&mut self, class: QueueType) {
        let queue = &self.classes[class.rank()];
        self.ready.set(class, queue.stat.length > 0);
        self.stealable.set(class, queue.stealable > 0);
    }

    /// The counters, those of the queues included.
    pub fn stats(&self) -> SchedulerStats {
        let mut stats = self.counts.clone();
        for class in QueueType::ALL {
            stats.queue_stats[class] = self.classes[class.rank()].stat.averaged();
        }
        stats
    }

    /// Counts a task anew whose being stealable may have changed.
    pub fn recount_stealable(&mut self, key: TaskKey) {
        let task = slot(&mut self.slab, key);
        let class = task.sched.class;
        let queue = &mut self.classes[class.rank()];
        queue.stealable -= u32::from(task.may_be_stolen());
        task.sched.judge_stealable();
        queue.stealable += u32::from(task.may_be_stolen());
        self.recount(class);
    }

    /// Enters `at` for the task in the timer queue.
    pub fn set_timer(&mut self, key: TaskKey, at: Timestamp) {
        self.clear_timer(key);
        self.timers.insert(key, at);
        self.task(key).sched.timed = true;
    }

    /// Takes the task out of the timer queue.
    pub fn clear_timer(&mut self, key: TaskKey) {
        if core::mem::take(&mut self.task(key).sched.timed) {
            self.timers.remove(key);
        }
    }

    /// Charges the running task for the time since it was last charged.
    #[inline(always)]
    pub fn charge(&mut self, now: Timestamp) {
        let Some(key) = self.current else { return };
        let ran = now.since(self.charged);
        if ran.is_zero() {
            return;
        }
        self.charged = now;
        self.counts.total_cpu_time += ran.as_nanos();
        let task = slot(&mut self.slab, key);
        task.charge(ran, &mut self.classes, &self.limits, now);
        self.arbiter.charge(task.sched.class, ran, now);
    }

    /// How long the running task has had the CPU without having been charged for it.
    pub fn uncharged(&self, now: Timestamp) -> Duration {
        self.current.map_or(Duration::ZERO, |_| now.since(self.charged))
    }

    /// What others may know of this CPU.
    #[inline(always)]
    pub fn summary(&self) -> CpuLoad {
        let running = self.current.map_or(IDLE_RANK, |key| peek(&self.slab, key).sched.class as u8);
        let waiting = self.ready.first().map_or(IDLE_RANK, |class| class as u8);
        CpuLoad { running, waiting, ready: self.ready_count }
    }
}

/// The task under `key`, which the core knows to be there.
#[inline(always)]
pub(crate) fn slot<C>(slab: &mut [Option<Task<C>>], key: TaskKey) -> &mut Task<C> {
    match slab.get_mut(key.index()) {
        Some(Some(task)) => task,
        _ => missing(),
    }
}

/// The same for reading.
#[inline(always)]
pub(crate) fn peek<C>(slab: &[Option<Task<C>>], key: TaskKey) -> &Task<C> {
    match slab.get(key.index()) {
        Some(Some(task)) => task,
        _ => missing(),
    }
}

#[cold]
#[inline(never)]
fn missing() -> ! {
    panic!("a queued task is in the slab")
}

impl<C> Task<C> {
    /// An execution has come to its end.
    pub(crate) fn end_burst(&mut self, missed: bool) {
        let burst = self.stats.cpu_time - core::mem::replace(&mut self.sched.burst_start, self.stats.cpu_time);
        self.history.record(Duration::from_nanos(burst), missed);
    }

    /// The task has run for `ran`, up to `now`.
    #[inline(always)]
    pub(crate) fn charge(&mut self, ran: Duration, classes: &mut [ClassQueue; 5], limits: &Limits, now: Timestamp) {
        self.stats.cpu_time += ran.as_nanos();
        self.stats.time_slice = self.stats.time_slice.saturating_sub(ran.as_nanos());
        classes[self.sched.class.rank()].policy.on_tick(&mut self.sched.entity, ran, now);
        if !self.sched.limited {
            return;
        }
        if let Some(server) = &mut self.sched.server {
            server.charge(ran);
        }
        if let Some(credit) = &mut self.sched.credit {
            credit.charge(ran, limits.interactive_share, limits.interactive_burst, now);
        }
        if self.sched.duty.reservation().is_some() {
            self.charge_reservation(ran, classes, limits, now);
        }
    }

    /// The class in which it competes by itself when its reservation is used up.
    #[inline(always)]
    pub(super) fn unreserved_class(&self) -> QueueType {
        match self.sched.own_class {
            QueueType::Interactive if self.sched.credit.is_some_and(|c| c.is_exhausted()) => QueueType::Batch,
            class => class,
        }
    }

    /// Its turn is over: an Interactive task that runs on has its next target behind those who wait already.
    pub(crate) fn renew_target(&mut self, now: Timestamp) {
        if self.sched.credit.is_some() {
            self.deadline = Some(now + self.sched.target);
        }
    }

    /// How urgent the task is: its own urgency or what it has inherited, whichever is higher.
    #[inline(always)]
    pub fn urgency(&self) -> Urgency {
        let own = self.own_urgency();
        match self.sched.inherited {
            Some(lent) if lent.exceeds(&own) => lent,
            _ => own,
        }
    }

    #[inline(always)]
    pub(super) fn own_urgency(&self) -> Urgency {
        if self.sched.limited
            && let Some(reservation) = self.sched.duty.reservation()
            && reservation.is_owed()
        {
            let deadline = reservation.deadline();
            return Urgency { class: QueueType::Realtime, priority: self.priority, deadline };
        }
        self.unreserved_urgency()
    }

    #[inline(always)]
    pub(super) fn unreserved_urgency(&self) -> Urgency {
        let class = self.unreserved_class();
        let deadline = match (class, &self.sched.server) {
            (QueueType::Realtime, Some(server)) => server.deadline(),
            (QueueType::Interactive, _) => self.deadline.unwrap_or(Timestamp::MAX),
            _ => Timestamp::MAX,
        };
        // An Interactive task without credit has a Batch task's weight: a hog must not gain by its declaration.
        let demoted = class == QueueType::Batch && self.sched.own_class == QueueType::Interactive;
        let priority = self.priority.saturating_add(if demoted { DEMOTION } else { 0 });
        Urgency { class, priority, deadline }
    }

    /// When the CPU on which the task runs must decide anew if nothing happens before. `timer` is when the next timer
    /// fires, `ready` the classes in which others wait.
    #[inline(always)]
    pub(crate) fn horizon(
        &self,
        timer: Timestamp,
        arbiter: &mut Arbiter,
        ready: ClassSet,
        limits: &Limits,
        now: Timestamp,
    ) -> Timestamp {
        let mut horizon = timer;
        let class = self.sched.class;
        if self.sched.limited {
            if let Some(server) = &self.sched.server {
                horizon = horizon.min(now + server.remaining());
            }
            if let Some(reservation) = self.sched.duty.reservation() {
                horizon = horizon.min(self.reservation_horizon(reservation, ready, now));
            }
        }
        if !ready.is_empty() {
            horizon = horizon.min(arbiter.horizon(class, ready, now).unwrap_or(Timestamp::MAX));
            if ready.contains(class) {
                horizon = horizon.min(now + Duration::from_nanos(self.stats.time_slice));
            }
            // Without credit it is here on loan.
            if let (QueueType::Interactive, Some(credit)) = (class, &self.sched.credit)
                && !credit.is_exhausted()
            {
                horizon = horizon.min(now + credit.lasts(limits.interactive_share));
            }
        }
        // Never "ask again now": the answer would be the same.
        horizon.max(now + Duration::from_nanos(1))
    }

    /// Whether a Realtime task is about to be stopped because it has used all that it may.
    pub(crate) fn overruns(&self, borrowing: bool, now: Timestamp) -> bool {
        let stopped = |server: Server| server.is_exhausted() && !(borrowing && server.may_borrow(now));
        // Those of split tasks are counted when their last pieces are over.
        self.sched.is_realtime() && !self.is_split() && self.sched.server.is_some_and(stopped)
    }

    /// Whether another CPU may take the task out of its queue, as far as its affinity allows.
    #[inline(always)]
    pub(crate) fn may_be_stolen(&self) -> bool {
        self.sched.queued && self.sched.stealable
    }

    /// Whether the task is in its class's queue.
    #[inline(always)]
    pub(crate) fn is_queued(&self) -> bool {
        self.sched.queued
    }
}
