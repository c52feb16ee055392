//! What a CPU's lock protects: the tasks that the CPU owns, their queues, and the CPU's clockwork.

use alloc::vec::Vec;

use super::handover::Outgoing;
use super::queue::ClassQueue;
use super::seats::Seat;
use super::slab::{peek, slot};
use super::standby::Standby;
use crate::api::{CpuMask, Duration, Task, TaskState, Timestamp};
use crate::executor::Balance;
use crate::intent::QueueType;
use crate::modules::SchedulerRegistry;
use crate::optimizer::{Arbiter, ClassSet, CpuLoad, IDLE_RANK, Limits};
use crate::policy::{Arrival, TaskKey};
use crate::queues::SleepQueue;
use crate::stats::{QueueStat, SchedulerStats};

/// The key that no task has: in the timer queue it stands for the end of a window, when the next budgets of
/// [`Reservation`]s are to be had.
pub(crate) const WINDOW: TaskKey = TaskKey(0);

/// The most tasks that hold reservations by share on a CPU: each has a per mille at least.
const MOST_RESERVATIONS: usize = 1000;

/// Everything of one CPU.
pub(crate) struct CpuState<C> {
    pub cpu: usize,
    /// Its number as what tasks ask for ([`Task::may_run`]): no CPU's while it is offline, so that nobody may run here.
    pub seat: usize,
    pub slab: Vec<Option<Task<C>>>,
    pub(super) free: Vec<TaskKey>,
    pub(super) reserved: usize,
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
    /// The tasks in calls that are to end without a reply, at the next question.
    pub revoked: Vec<TaskKey>,
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
    /// What each class's policy has replaced, while that one still has tasks.
    pub outgoing: [Option<Outgoing>; 5],
    /// The domains, by the slots in which policies know them.
    pub seats: Vec<Seat>,
    /// How often one has been seated.
    pub seated: u64,
    /// A task of a domain has been here.
    pub has_domains: bool,
}

impl<C> CpuState<C> {
    pub fn new(cpu: usize, limits: Limits, modules: &SchedulerRegistry) -> Self {
        CpuState {
            cpu,
            seat: cpu,
            has_domains: false,
            seats: Vec::new(),
            seated: 0,
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
            revoked: Vec::new(),
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
            outgoing: [const { None }; 5],
        }
    }

    /// Whether tasks may be at home here.
    #[inline(always)]
    pub fn is_online(&self) -> bool {
        self.seat == self.cpu
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
        if !self.classes[class.rank()].is_sound() && !self.hands_over(class, now) {
            return false;
        }
        let queue = &mut self.classes[class.rank()];
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
        let known = queue.policy.remove(&mut task.sched.entity, now);
        queue.release(&mut task.sched, now);
        if !known {
            // A policy that does not know the task has forgotten it, all the better; or it is not its task yet.
            self.remove_from_outgoing(key, now);
        }
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
        task.judge_stealable();
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
        task.charge(ran, self.cpu, &mut self.classes, &self.limits, now);
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
