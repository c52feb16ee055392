//! What is to be seen of the tasks after an event, and what must hold of it whatever the event was.

use dis_core::api::{CpuMask, Duration, Task, TaskId, TaskState, TaskStats, Timestamp};
use dis_core::executor::Job;
use dis_core::intent::{IntentClass, QueueType};
use dis_core::optimizer::{SPAWN_GRACE, Server};
use dis_core::policy::Lag;
use dis_core::scheduler::Urgency;

use super::{Machine, at};

/// A live task.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub state: TaskState,
    pub home: usize,
    /// In its class's queue.
    pub queued: bool,
    /// Ready, but out of its budget.
    pub throttled: bool,
    /// The class in whose queue it stands, if it does.
    pub queue: QueueType,
    pub urgency: Urgency,
    /// The priority with which it competes, and the deadline.
    pub priority: u8,
    pub deadline: Timestamp,
    pub class: IntentClass,
    /// Length of its requests to a fair queue, ns.
    pub slice: u64,
    /// Where it may run: by its affinity, by where its reservation is, and by which CPUs are online.
    pub affinity: CpuMask,
    /// Where its reservation is.
    pub reserved: Option<usize>,
    pub split: bool,
    pub cpu_min: u16,
    pub cpu_max: u16,
    pub created: Timestamp,
    pub job: Job,
    /// What limits it.
    pub server: Option<Server>,
    pub stats: TaskStats,
    /// What it is owed in a fair queue, ns; what it must be owed by now, once time has passed.
    pub lag: Option<i64>,
}

impl Seen {
    fn of(task: &Task<u32>, home: usize) -> Seen {
        Seen {
            state: task.state(),
            home,
            queued: false,
            throttled: task.is_throttled(),
            queue: task.effective_class(),
            urgency: task.urgency(),
            priority: task.effective_priority(),
            deadline: task.effective_deadline(),
            class: task.intent.class,
            slice: task.intent.class.time_quantum().max(Duration::from_millis(1)).as_nanos(),
            affinity: task.reserved_on().map_or(task.affinity, CpuMask::single),
            reserved: task.reserved_on(),
            split: task.is_split(),
            cpu_min: task.intent.qos.cpu_min,
            cpu_max: task.intent.qos.cpu_max,
            created: task.created,
            job: task.job(),
            server: task.server().copied(),
            stats: task.stats,
            lag: None,
        }
    }

    pub fn is_realtime(&self) -> bool {
        self.class.queue() == QueueType::Realtime
    }

    /// Whether its intent asks for a reservation.
    pub fn reserves(&self) -> bool {
        self.is_realtime() || self.cpu_min > 0
    }

    /// Its weight in a fair queue.
    pub fn weight(&self) -> u64 {
        256 - u64::from(self.priority)
    }
}

impl Machine {
    /// Whether the task was last seen in the queue of `class` on `cpu`.
    pub(super) fn queues(&self, cpu: usize, class: QueueType) -> impl Iterator<Item = (usize, &Seen)> {
        let here = move |seen: &Seen| seen.queued && seen.home == cpu && seen.queue == class;
        self.seen.iter().enumerate().filter_map(move |(n, seen)| Some((n, seen.as_ref().filter(|seen| here(seen))?)))
    }

    /// No task on two CPUs, none lost, none outside its mask, states that fit, counters that fit.
    pub fn check(&mut self) {
        self.look(false);
    }

    /// Looks at all tasks. `asked`: a CPU has asked, so timers may have fired.
    pub(super) fn look(&mut self, asked: bool) {
        if !self.checked {
            return;
        }
        self.pass_time();
        let seen =
            (0..self.actors.len()).map(|number| if self.actors[number].gone { None } else { self.look_at(number) });
        let seen = seen.collect();
        let before = std::mem::replace(&mut self.seen, seen);
        self.observe(&before, asked);
        let mut ready = vec![[0; 5]; self.cpus.len()];
        for seen in self.seen.iter().flatten().filter(|seen| seen.queued) {
            ready[seen.home][seen.queue.rank()] += 1;
        }
        for (cpu, ready) in ready.iter().enumerate() {
            self.check_queues(cpu, ready);
            self.follow_system_cap(cpu, self.executor.system_share(cpu));
            self.follow_turn(cpu);
        }
        self.check_offline();
        for cpu in 0..self.cpus.len() {
            self.cpus[cpu].seen = self.cpus[cpu].current;
        }
    }

    fn look_at(&mut self, number: usize) -> Option<Seen> {
        let id = self.actors[number].id;
        let on = (0..self.cpus.len()).filter(|&cpu| self.cpus[cpu].current.map(|(t, _)| t) == Some(number));
        let on: Vec<usize> = on.collect();
        assert!(on.len() <= 1, "task {number} runs on {on:?}");
        let home = self.executor.cpu_of(id).unwrap_or(usize::MAX);
        let seen = self.executor.with_task(id, |task| (Seen::of(task, home), task.block_reason().is_some()));
        let Ok((mut seen, reason)) = seen else {
            assert!(on.is_empty(), "task {number} has ended and runs");
            self.actors[number].gone = true;
            return None;
        };
        seen.affinity = seen.affinity.iter().filter(|&cpu| self.executor.is_online(cpu)).collect();
        let moved = self.seen.get(number).and_then(Option::as_ref).is_some_and(|old| old.home != home);
        let actor = &mut self.actors[number];
        assert!(!actor.zombie || seen.state == TaskState::Zombie, "a zombie became {}", seen.state);
        actor.zombie = seen.state == TaskState::Zombie;
        assert_eq!(seen.state == TaskState::Running, !on.is_empty(), "task {number} is {} on {on:?}", seen.state);
        assert!(!reason || seen.state == TaskState::Blocked);
        assert!(on.iter().all(|&cpu| cpu == home), "task {number} runs on {on:?}, owned by {home}");
        assert!(!seen.throttled || seen.state == TaskState::Ready);
        let ready = seen.state == TaskState::Ready;
        actor.leaving = ready && ((actor.leaving && !moved) || !seen.affinity.contains(home));
        seen.queued = ready && !seen.throttled && !actor.leaving;
        let own = seen.class.queue();
        // An Interactive task without credit competes in Batch, and does not return before it has blocked.
        let demoted = own == QueueType::Interactive && seen.queue == QueueType::Batch;
        // A task with a share of its own competes in Realtime until it has had that.
        let reserved = seen.cpu_min > 0 && seen.queue == QueueType::Realtime;
        // What has been reserved for it is gone.
        let displaced = own == QueueType::Realtime && seen.queue == QueueType::Batch && seen.reserved.is_none();
        let fits = seen.queue == own || demoted || reserved || displaced || actor.changed;
        assert!(!seen.queued || fits, "task {number}, {own}, is queued in {}", seen.queue);
        // One that runs and belongs to another class now, or has another intent, gets its due at the next decision.
        let told = self.cpus.get(home).is_some_and(|cpu| cpu.interrupt.is_some());
        let runs = seen.state == TaskState::Running && seen.urgency.class == seen.queue && !told;
        let competes = seen.queued || runs;
        let with = Urgency { class: seen.queue, priority: seen.priority, deadline: seen.deadline };
        assert!(!competes || with == seen.urgency, "task {number} competes with {with:?}: {seen:?}");
        if self.is_fair(seen.queue) && (seen.queued || seen.state == TaskState::Running) {
            seen.lag = self.executor.lag(at(self.now), id).expect("alive").map(Lag::as_nanos);
        }
        Some(seen)
    }

    /// What is queued is exactly what is ready, has a budget, and may run there.
    fn check_queues(&mut self, cpu: usize, ready: &[u32; 5]) {
        let stats = self.executor.cpu_stats(cpu).expect("a CPU");
        for (class, stat) in stats.queue_stats.iter() {
            assert_eq!(u64::from(stat.length), stat.enqueued - stat.dequeued, "{class} on {cpu}");
            assert_eq!(stat.length, ready[class.rank()], "{class} on {cpu} queues others than those that are ready");
            self.check_class_wait(cpu, class, stat);
        }
        let running = self.executor.current(cpu);
        let expected = self.cpus[cpu].current.map_or(TaskId::idle(cpu), |(task, _)| self.actors[task].id);
        assert_eq!(running, expected, "who runs on {cpu}");
    }

    /// No CPU idles while a task waits that it may take, save beside its parent for as long as that is allowed. A decision names
    /// one CPU to interrupt; who is to name a second asks again a nanosecond later.
    pub fn check_work_is_conserved(&self) {
        let idle = |&cpu: &usize| self.cpus[cpu].current.is_none() && self.executor.is_online(cpu);
        for idle in (0..self.cpus.len()).filter(idle) {
            for (number, seen) in self.seen.iter().enumerate() {
                let Some(seen) = seen.as_ref().filter(|seen| seen.queued && seen.affinity.contains(idle)) else {
                    continue;
                };
                let grace = Timestamp::from_nanos(self.now) < seen.created + SPAWN_GRACE;
                let child = seen.stats.context_switches == 0 && grace;
                // A policy that shows the wrong tasks is found out when it is to choose.
                if self.policies[seen.queue.rank()] == "made" {
                    continue;
                }
                let asks = self.cpus[seen.home].until.is_some_and(|t| t <= self.now + 1);
                let fixed =
                    child || asks || self.fixed.contains(&number) || self.cpus[seen.home].unsaved == Some(number);
                assert!(
                    seen.home != idle && (fixed || seen.reserved.is_some()),
                    "CPU {idle} idles while task {number} waits on {} at {}",
                    seen.home,
                    self.now
                );
            }
        }
    }
}
