//! The policy of a class is replaced while its tasks wait and run.
//!
//! On one CPU after the other, under its lock: first the running task goes over to the incoming policy, then those that wait,
//! a few at a time, in the order of the outgoing one. In between the lock is let go and the CPU decides as ever. Both policies
//! have tasks then, but only the incoming one is asked, and it has been given the first of the outgoing one's: whoever is
//! selected is so by the incoming policy among those. A CPU that selects meanwhile moves some on itself, so that nobody waits
//! for whoever replaces the policy.
//!
//! Whether tasks are left behind shows in a number that is compared at each decision anyway, that of the tasks in the policy. So
//! all this costs nothing while no policy is being replaced.

use alloc::boxed::Box;
use alloc::vec::Vec;

use lock_api::RawMutex;

use super::TaskManager;
use super::slab::slot;
use super::standby::Standby;
use super::state::CpuState;
use crate::api::{CpuMask, Timestamp};
use crate::intent::QueueType;
use crate::modules::SchedulerRegistry;
use crate::policy::{Arrival, SchedulingPolicy, TaskKey};

/// How many tasks go over in one step of a [`Handover`], unless [it is said](Handover::in_steps_of).
const STEP: u32 = 64;

/// The same when a CPU moves them on itself, in a decision.
const SHARE: u32 = 8;

/// The policy of a class is being replaced; see [`TaskManager::prepare_handover`].
///
/// If it is dropped before it is done, CPUs that it has begun with end it, and the others keep the old policy. The old policies
/// are dropped with it, so that is not to be done where nothing may be freed.
pub struct Handover {
    class: QueueType,
    parts: Vec<Part>,
    /// The CPU whose turn it is.
    cpu: usize,
    /// Tasks that go over in one step.
    step: u32,
    summary: HandoverSummary,
}

/// What was asked before, and has tasks left, or had.
pub(crate) struct Outgoing {
    policy: Box<dyn SchedulingPolicy>,
    /// What it says counts no more: the built-in policy has all its tasks. It stays where it is, as nothing may be freed there.
    void: bool,
}

impl Outgoing {
    fn len(&self) -> usize {
        if self.void { 0 } else { self.policy.len() }
    }

    /// The built-in policy takes over with all that are ready.
    pub fn forget(&mut self) {
        self.void = true;
    }
}

/// What one CPU gets, and what is left over there.
struct Part {
    incoming: Option<(Box<dyn SchedulingPolicy>, Standby)>,
    /// How many keys there is room for.
    keys: usize,
    /// How many domains had been seated on the CPU when the policies got to know them.
    seated: u64,
    /// How often the class's policy had been replaced for its faults when this began.
    faults: u64,
    /// Kept until it can be dropped. Has room for all there can be.
    old: Vec<Box<dyn SchedulingPolicy>>,
    old_standby: Option<Standby>,
}

/// How a handover went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandoverSummary {
    /// The tasks that went over, running ones included; those that CPUs moved themselves are not counted.
    pub moved: u64,
    /// Steps, each under one CPU's lock.
    pub steps: u64,
    /// The CPUs on which the new policy answered wrongly before all had gone over; they have the built-in policy.
    pub reverted: CpuMask,
}

impl Handover {
    /// At most so many tasks (default 64, at least 1) go over in a step, which is how long a CPU's lock is held: some hundred
    /// nanoseconds for each.
    pub fn in_steps_of(mut self, tasks: u32) -> Self {
        self.step = tasks.max(1);
        self
    }

    /// How it went so far.
    pub fn summary(&self) -> HandoverSummary {
        self.summary
    }

    /// The class.
    pub fn class(&self) -> QueueType {
        self.class
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Replaces the policy of `class` by that of its active module in `modules`, on every CPU, while its tasks wait and run. No
    /// task is lost, none runs twice, and none waits for the end of it. What a task is owed by the old policy's virtual time is
    /// kept if both have one.
    ///
    /// All [steps](Self::advance_handover) one after the other; a host that may not allocate in some places makes them itself.
    /// Replacing the policy of one class twice at a time is the caller's to prevent: which policy each CPU ends with is not said
    /// then.
    pub fn set_policy(
        &self,
        class: QueueType,
        modules: &SchedulerRegistry,
        mut clock: impl FnMut() -> Timestamp,
    ) -> HandoverSummary {
        let mut handover = self.prepare_handover(class, modules);
        while self.advance_handover(&mut handover, clock()) {}
        handover.summary()
    }

    /// Makes the policies, and room in them. Nothing has changed for any task. Allocates; takes each CPU's lock for an instant.
    pub fn prepare_handover(&self, class: QueueType, modules: &SchedulerRegistry) -> Handover {
        let make = |cpu| {
            let keys = self.lock(cpu).reserved_keys();
            let mut policy = modules.make_policy(class);
            let mut standby = Standby::new(class);
            policy.reserve(keys);
            standby.reserve(keys);
            let seated = self.introduce(cpu, class, &mut policy, keys);
            self.introduce(cpu, class, standby.policy(), keys);
            Part {
                incoming: Some((policy, standby)),
                keys,
                seated,
                faults: 0,
                old: Vec::with_capacity(4),
                old_standby: None,
            }
        };
        let parts = (0..self.cpu_count()).map(make).collect();
        Handover { class, parts, cpu: 0, step: STEP, summary: HandoverSummary::default() }
    }

    /// One step: under one CPU's lock, some tasks at most go over. Allocates nothing, unless tasks have been spawned since the
    /// preparation for which there is no room. False: it is done. O(log n) for each task that goes over.
    pub fn advance_handover(&self, handover: &mut Handover, now: Timestamp) -> bool {
        let (class, cpu) = (handover.class, handover.cpu);
        let Some(part) = handover.parts.get_mut(cpu) else { return false };
        if part.old.len() == part.old.capacity() {
            // Somebody replaces it at the same time, again and again.
            part.old.reserve(4);
        }
        let mut state = self.lock(cpu);
        handover.summary.steps += 1;
        if state.outgoing[class.rank()].as_ref().is_some_and(|old| old.len() > 0) {
            handover.summary.moved += u64::from(state.hand_over(class, handover.step, now));
            return true;
        }
        // Whoever it was has handed all over.
        part.old.extend(state.outgoing[class.rank()].take().map(|old| old.policy));
        let Some((mut policy, mut standby)) = part.incoming.take() else {
            state.audit(class, now);
            if state.classes[class.rank()].replaced != part.faults {
                handover.summary.reverted.add(cpu);
            }
            handover.cpu += 1;
            return handover.cpu < handover.parts.len();
        };
        let keys = state.reserved_keys();
        if keys > part.keys || state.seated != part.seated {
            // The queues have grown meanwhile, or there are other domains: room is made with the lock let go.
            drop(state);
            policy.reserve(keys);
            standby.reserve(keys);
            part.keys = keys;
            part.seated = self.introduce(cpu, class, &mut policy, keys);
            self.introduce(cpu, class, standby.policy(), keys);
            part.incoming = Some((policy, standby));
            return true;
        }
        // What has gone wrong before is not the newcomer's fault.
        state.audit(class, now);
        part.faults = state.classes[class.rank()].replaced;
        part.old_standby = state.standbys[class.rank()].replace(standby);
        handover.summary.moved += u64::from(state.begin_handover(class, policy, handover.step, now));
        true
    }
}

impl<C> CpuState<C> {
    /// From now on `policy` is asked. The running task goes over, and the first of those that wait. How many.
    fn begin_handover(
        &mut self,
        class: QueueType,
        policy: Box<dyn SchedulingPolicy>,
        most: u32,
        now: Timestamp,
    ) -> u32 {
        self.charge(now);
        let running = self.current.filter(|&key| self.get(key).is_some_and(|task| task.sched.class == class));
        if let Some(key) = running {
            let (task, policy) = self.task_and_policy(key);
            policy.on_block(&mut task.sched.entity, now);
        }
        let queue = &mut self.classes[class.rank()];
        let before = queue.policy.progress();
        let old = core::mem::replace(&mut queue.policy, policy);
        self.outgoing[class.rank()] = Some(Outgoing { policy: old, void: false });
        let queue = &mut self.classes[class.rank()];
        if let (Some(old), Some(new)) = (before, queue.policy.progress()) {
            // Where the tasks stand on the machine's axis stays the same.
            queue.origin = queue.origin.wrapping_add(old.mean.wrapping_sub(new.mean));
        }
        if let Some(key) = running {
            let (task, policy) = self.task_and_policy(key);
            policy.on_ready(&mut task.sched.entity, Arrival::Migrate, now);
            if policy.select(now) != Some(key) {
                self.distrust(class, now);
                return 1;
            }
        }
        u32::from(running.is_some()) + self.hand_over(class, most, now)
    }

    /// Up to `most` tasks go over from the outgoing policy, the first first. How many. If the outgoing one answers wrongly, the
    /// built-in policy takes over from both.
    #[cold]
    fn hand_over(&mut self, class: QueueType, most: u32, now: Timestamp) -> u32 {
        let mut moved = 0;
        while moved < most {
            let Some(old) = &mut self.outgoing[class.rank()] else { break };
            if old.len() == 0 {
                break;
            }
            let task = old.policy.peek(now).and_then(|key| self.slab.get_mut(key.index())?.as_mut());
            let Some(task) = task.filter(|task| task.is_queued() && task.sched.class == class) else {
                self.distrust(class, now);
                break;
            };
            if !old.policy.remove(&mut task.sched.entity, now) {
                self.distrust(class, now);
                break;
            }
            self.classes[class.rank()].policy.on_ready(&mut task.sched.entity, Arrival::Migrate, now);
            moved += 1;
        }
        moved
    }

    /// The policy of `class` has not as many tasks as it was given. Whether that is because the rest is with an outgoing one; some go
    /// over then.
    #[cold]
    #[inline(never)]
    pub fn hands_over(&mut self, class: QueueType, now: Timestamp) -> bool {
        let Some(old) = &self.outgoing[class.rank()] else { return false };
        let queue = &self.classes[class.rank()];
        if old.len() == 0 || queue.policy.len().checked_add(old.len()) != Some(queue.stat.length as usize) {
            return false;
        }
        self.hand_over(class, SHARE, now);
        !self.classes[class.rank()].policy.is_empty()
    }

    /// A queued task stops competing that the policy does not know.
    #[cold]
    pub(super) fn remove_from_outgoing(&mut self, key: TaskKey, now: Timestamp) {
        let task = slot(&mut self.slab, key);
        if let Some(old) = &mut self.outgoing[task.sched.class.rank()] {
            old.policy.remove(&mut task.sched.entity, now);
        }
    }

    /// A queued or running task gets another priority and deadline within its class.
    pub fn update(&mut self, key: TaskKey, priority: u8, deadline: Timestamp, now: Timestamp) {
        let task = slot(&mut self.slab, key);
        let rank = task.sched.class.rank();
        let entity = &mut task.sched.entity;
        let policy = &mut self.classes[rank].policy;
        if let Some(old) = &mut self.outgoing[rank]
            && task.sched.queued
            && old.policy.remove(entity, now)
        {
            // It has another place anyway: it takes that with the incoming policy.
            (entity.priority, entity.deadline) = (priority, deadline);
            return policy.on_ready(entity, Arrival::Migrate, now);
        }
        policy.update(entity, priority, deadline, now);
    }
}
