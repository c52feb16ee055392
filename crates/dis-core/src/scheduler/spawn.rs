//! Birth of tasks, and the utilisation test for those that reserve.

use lock_api::RawMutex;

use super::TaskManager;
use super::duty::Duty;
use super::homes::{Home, MAX_KEYS};
use super::state::{CpuState, SchedState};
use crate::api::{CpuMask, Duration, SchedError, SchedResult, Task, TaskId, TaskSpec, TaskState, TaskStats, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::{Intent, IntentClass, QueueType, TaskHistory};
use crate::optimizer::{Credit, Limits, SPAWN_GRACE, Server, Wanted, choose_cpu, may_wait_for_parent};
use crate::policy::{Entity, TaskKey, VirtualTime};

fn budget(wcet_us: u64, deadline_us: u64, limits: &Limits) -> Duration {
    limits.budget(Duration::from_micros(wcet_us), Duration::from_micros(deadline_us))
}

/// Utilisation that an intent reserves, per million of one CPU, rounded up: `cpu_min`, or what a Realtime task needs.
///
/// Density: the budget over the shorter of deadline and period, so that utilisations up to the limit are schedulable
/// under EDF on one CPU (Liu and Layland 1973 for deadline = period; sufficient, not necessary, for shorter deadlines).
pub(super) fn reservation_ppm(intent: &Intent, limits: &Limits) -> u64 {
    match intent.class {
        IntentClass::Realtime { period_us, deadline_us, wcet_us } => {
            let span = Duration::from_micros(deadline_us.min(period_us).max(1));
            let budget = budget(wcet_us, deadline_us, limits);
            (u128::from(budget.as_nanos()) * 1_000_000).div_ceil(u128::from(span.as_nanos())) as u64
        }
        _ => u64::from(intent.qos.cpu_min) * 1000,
    }
}

/// The bandwidth server an intent asks for: its budget every period, or `cpu_max` of each 10 ms.
pub(super) fn server_for(intent: &Intent, limits: &Limits) -> Option<Server> {
    const CAP_PERIOD: Duration = Duration::from_millis(10);
    match intent.class {
        IntentClass::Realtime { period_us, deadline_us, wcet_us } => Some(Server::new(
            budget(wcet_us, deadline_us, limits),
            Duration::from_micros(deadline_us),
            Duration::from_micros(period_us),
        )),
        _ if (1..1000).contains(&intent.qos.cpu_max) => {
            Some(Server::new(CAP_PERIOD.mul_div(intent.qos.cpu_max.into(), 1000), CAP_PERIOD, CAP_PERIOD))
        }
        _ => None,
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Spawns a task from CPU `from` (`None`: from outside). Whoever reserves goes to the first CPU whose utilisation
    /// has room for it (first fit) and stays there; others go where [`Placement`] says. O(CPUs); O(log n) in the tasks of its class
    /// beside its parent.
    ///
    /// # Errors
    /// [`SchedError::InvalidIntent`]; [`SchedError::NoCpu`] if the affinity names no CPU of this machine, or no CPU has
    /// room for the reservation; [`SchedError::ResourceExhausted`] beyond `max_tasks`.
    pub fn spawn(&self, now: Timestamp, from: Option<usize>, spec: TaskSpec<C>) -> SchedResult<(TaskId, Wake)> {
        spec.intent.validate()?;
        let allowed = self.allowed(spec.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL))?;
        let ppm = reservation_ppm(&spec.intent, &self.config.limits);
        if ppm > 0 {
            for cpu in allowed.iter() {
                let mut state = self.lock(cpu);
                if self.has_room(&state, ppm) {
                    return self.spawn_on(&mut state, now, spec, None, Placement::Bound);
                }
            }
            return Err(SchedError::NoCpu);
        }
        let mut class = spec.intent.class.queue();
        let mut credit = None;
        let may_wait = may_wait_for_parent(&spec.intent.class) && spec.start.is_none_or(|start| start <= now);
        if let Some(from) =
            from.filter(|&from| from < self.cpu_count() && (may_wait || class == QueueType::Interactive))
        {
            let mut state = self.lock(from);
            if class == QueueType::Interactive {
                credit = inherited_credit(&mut state, now);
                if credit.is_some_and(|credit| credit.is_exhausted()) {
                    class = QueueType::Batch;
                }
            }
            if may_wait && allowed.contains(from) && takes_child(&state, class) {
                return self.spawn_on(&mut state, now, spec, credit, Placement::Parent);
            }
        }
        let previous = from.unwrap_or_else(|| self.least_loaded(&allowed));
        let (cpu, placement) = choose_cpu(Wanted { class, allowed, previous }, self.cpu_count(), |cpu| self.load(cpu))
            .ok_or(SchedError::NoCpu)?;
        let mut state = self.lock(cpu);
        self.spawn_on(&mut state, now, spec, credit, placement)
    }

    fn spawn_on(
        &self,
        state: &mut CpuState<C>,
        now: Timestamp,
        spec: TaskSpec<C>,
        credit: Option<Credit>,
        placement: Placement,
    ) -> SchedResult<(TaskId, Wake)> {
        if state.live_keys() >= MAX_KEYS {
            return Err(SchedError::ResourceExhausted);
        }
        let id = self.homes.fresh_id().ok_or(SchedError::ResourceExhausted)?;
        let start = spec.start.unwrap_or(now).max(now);
        let key = state.insert(new_task(id, spec, &self.config.limits, credit, now));
        self.homes.set(id, Home { cpu: state.cpu, key });
        let ppm = state.task(key).sched.reserved_ppm;
        state.realtime_ppm += ppm;
        state.arbiter.reserve(state.realtime_ppm);
        state.counts.tasks_created += 1;
        let wake = if start > now {
            let task = state.task(key);
            task.state = TaskState::Sleeping;
            if let Some(job) = task.sched.duty.job() {
                job.release = start;
            }
            task.sched.pending_release = matches!(task.intent.class, IntentClass::Realtime { .. });
            state.set_timer(key, start);
            self.sleeper_added(state, start, placement, now)
        } else {
            let task = state.task(key);
            task.sched.pending_release = true;
            self.make_ready(state, key, crate::policy::Arrival::Spawn, now);
            if placement == Placement::Parent {
                // Of several children, the first one's grace counts.
                let earlier = if state.ready_count > 1 { state.offer } else { Timestamp::MAX };
                state.offer = earlier.min(now + SPAWN_GRACE);
            }
            let wake = self.assess(state, key, placement, now);
            if placement == Placement::Parent && !wake.interrupt {
                // No idle CPU is told now: this one asks again in time.
                self.publish(state);
                return Ok((id, wake));
            }
            wake
        };
        Ok((id, self.settle(state, key, wake)))
    }

    /// The CPUs of `mask` that this machine has.
    pub(super) fn allowed(&self, mask: CpuMask) -> SchedResult<CpuMask> {
        let allowed = mask.intersection(&CpuMask::first(self.cpu_count()));
        if allowed.is_empty() { Err(SchedError::NoCpu) } else { Ok(allowed) }
    }

    /// Whether `ppm` more fits under the CPU's cap.
    pub(crate) fn has_room(&self, state: &CpuState<C>, ppm: u64) -> bool {
        state.realtime_ppm + ppm <= u64::from(self.config.limits.realtime) * 1000
    }

    fn least_loaded(&self, allowed: &CpuMask) -> usize {
        allowed.iter().min_by_key(|&cpu| self.load(cpu).tasks()).unwrap_or(0)
    }

    /// Utilisation reserved on each CPU, by Realtime tasks and by shares, per million.
    pub fn reserved_ppm(&self) -> alloc::vec::Vec<u64> {
        (0..self.cpu_count()).map(|cpu| self.lock(cpu).realtime_ppm).collect()
    }
}

/// Whether a new task of `class` may wait here for a while: at most other children wait so, and whoever runs is no less
/// urgent.
fn takes_child<C>(state: &CpuState<C>, class: QueueType) -> bool {
    let running = state.current.and_then(|key| state.get(key)).map(|task| task.sched.class);
    let children = state.ready_count == 0 || state.offer != Timestamp::MAX;
    children && running.is_some_and(|running| running <= class)
}

/// The credit of the running task, which its Interactive children begin with: a hog does not get a new head start by letting
/// children work for it (as in FreeBSD's ULE, `sched_interact_fork`). `None` if it is not Interactive.
fn inherited_credit<C>(state: &mut CpuState<C>, now: Timestamp) -> Option<Credit> {
    state.charge(now);
    state.current.and_then(|key| state.get(key)).and_then(|task| task.sched.credit)
}

fn new_task<C>(id: TaskId, spec: TaskSpec<C>, limits: &Limits, credit: Option<Credit>, now: Timestamp) -> Task<C> {
    let class = spec.intent.class.queue();
    let priority = spec.intent.class.to_priority();
    let slice = spec.intent.class.time_quantum();
    let ppm = reservation_ppm(&spec.intent, limits);
    let mut task = Task {
        id,
        parent: spec.parent,
        name: spec.name,
        state: TaskState::Blocked,
        context: spec.context,
        priority,
        affinity: spec.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL),
        stats: TaskStats::default(),
        deadline: None,
        created: now,
        history: TaskHistory::default(),
        sched: SchedState {
            entity: Entity {
                key: TaskKey(0),
                id,
                priority,
                deadline: Timestamp::MAX,
                slice,
                virt: VirtualTime::default(),
            },
            class,
            own_class: class,
            limited: false,
            target: Duration::ZERO,
            block_reason: None,
            exit: None,
            token: false,
            timed: false,
            queued: false,
            throttled: false,
            killed: false,
            dirty: false,
            movable: true,
            stealable: false,
            joinable: spec.joinable,
            joiner: TaskId::INVALID,
            ready_since: now,
            burst_start: 0,
            server: None,
            credit: None,
            inherited: None,
            duty: Duty::Free,
            pending_release: false,
            reserved_ppm: 0,
        },
        intent: spec.intent,
    };
    let server = server_for(&task.intent, limits);
    let duty = Duty::of(&task.intent, now);
    let credit = credit.unwrap_or(Credit::full(limits.interactive_burst, now));
    task.sched.declare(&task.intent, server, credit, duty, ppm);
    task
}
