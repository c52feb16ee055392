//! Birth of tasks.

use lock_api::RawMutex;

use super::TaskManager;
use super::book::Plan;
use super::domains::under_ceiling;
use super::duty::Duty;
use super::homes::{Home, MAX_KEYS};
use super::state::CpuState;
use super::tcb::{Ended, SchedState};
use crate::admission::Assignment;
use crate::api::{CpuMask, Duration, SchedError, SchedResult, Task, TaskId, TaskSpec, TaskState, TaskStats, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::{Intent, IntentClass, QueueType, TaskHistory};
use crate::ipc::Calls;
use crate::isolation::Domain;
use crate::optimizer::{Credit, Limits, SPAWN_GRACE, Server, Wanted, choose_cpu, may_wait_for_parent};
use crate::policy::{Entity, TaskKey, VirtualTime};

fn budget(wcet_us: u64, deadline_us: u64, limits: &Limits) -> Duration {
    limits.budget(Duration::from_micros(wcet_us), Duration::from_micros(deadline_us))
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
    /// [`SchedError::InvalidIntent`]; [`SchedError::NoCpu`] if the affinity names no CPU of this machine that is online, or no CPU has
    /// room for the reservation; [`SchedError::ResourceExhausted`] beyond `max_tasks`, or the quota of a domain;
    /// [`SchedError::PermissionDenied`] for a class above the domain's ceiling; [`SchedError::InvalidState`] if the domain is being
    /// destroyed.
    pub fn spawn(&self, now: Timestamp, from: Option<usize>, mut spec: TaskSpec<C>) -> SchedResult<(TaskId, Wake)> {
        spec.intent.validate()?;
        let allowed = self.allowed(spec.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL))?;
        self.settle_domain(&mut spec);
        if self.reserves(&spec.intent) {
            let mut book = self.open_book();
            if let Some(plan) = book.plan_spawn(&spec.intent)? {
                let spawned = self.spawn_planned(now, spec, &plan);
                if spawned.is_err() {
                    book.abandon(plan);
                }
                return spawned;
            }
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
                return self.spawn_on(&mut state, now, spec, credit, Placement::Parent, None);
            }
        }
        let previous = from.unwrap_or_else(|| self.least_loaded(&allowed));
        loop {
            let wanted = Wanted { class, allowed, previous };
            let (cpu, placement) =
                choose_cpu(wanted, self.cpu_count(), |cpu| self.load(cpu)).ok_or(SchedError::NoCpu)?;
            let mut state = self.lock(cpu);
            // It may have gone offline since.
            if state.is_online() {
                return self.spawn_on(&mut state, now, spec, credit, placement, None);
            }
        }
    }

    /// Spawns a task for which a [`Plan`] has been made, of the same intent; the book is still open.
    ///
    /// # Errors
    /// Of those of [`spawn`](Self::spawn), those that are not rejections: the plan is to be [abandoned](super::OpenBook::abandon).
    pub fn spawn_planned(&self, now: Timestamp, mut spec: TaskSpec<C>, plan: &Plan) -> SchedResult<(TaskId, Wake)> {
        self.settle_domain(&mut spec);
        let sooner = self.tell_news(Some(plan), now);
        let cpu = plan.assignment().map_or(0, Assignment::first_cpu);
        let (id, wake) = self.spawn_on(&mut self.lock(cpu), now, spec, None, Placement::Bound, Some(plan))?;
        Ok((id, self.interrupt_all(wake, sooner)))
    }

    fn spawn_on(
        &self,
        state: &mut CpuState<C>,
        now: Timestamp,
        spec: TaskSpec<C>,
        credit: Option<Credit>,
        placement: Placement,
        plan: Option<&Plan>,
    ) -> SchedResult<(TaskId, Wake)> {
        if state.live_keys() >= MAX_KEYS {
            return Err(SchedError::ResourceExhausted);
        }
        let priority = under_ceiling(spec.domain.as_ref(), &spec.intent)?;
        if let Some(domain) = &spec.domain {
            domain.enter()?;
        }
        let planned = plan.map(|plan| plan.id);
        let Some(id) = planned.or_else(|| self.homes.fresh_id()) else {
            if let Some(domain) = &spec.domain {
                domain.leave();
            }
            return Err(SchedError::ResourceExhausted);
        };
        let start = spec.start.unwrap_or(now).max(now);
        let mut task = new_task(id, spec, priority, &self.config.limits, credit, now);
        if let Some(plan) = plan {
            self.assign(&mut task, plan.assignment());
        }
        let key = state.insert(task);
        self.homes.set(id, Home { cpu: state.cpu, key });
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

    /// The CPUs of `mask` that this machine has; one at least is online.
    pub(super) fn allowed(&self, mask: CpuMask) -> SchedResult<CpuMask> {
        let allowed = mask.intersection(&CpuMask::first(self.cpu_count()));
        if self.is_any_online(&allowed) { Ok(allowed) } else { Err(SchedError::NoCpu) }
    }

    fn least_loaded(&self, allowed: &CpuMask) -> usize {
        allowed.iter().min_by_key(|&cpu| self.load(cpu).tasks()).unwrap_or(0)
    }
}

/// Whether a new task of `class` may wait here for a while: at most other children wait so, and whoever runs is no less
/// urgent.
fn takes_child<C>(state: &CpuState<C>, class: QueueType) -> bool {
    let running = state.current.and_then(|key| state.get(key)).map(|task| task.sched.class);
    let children = state.ready_count == 0 || state.offer != Timestamp::MAX;
    children && state.is_online() && running.is_some_and(|running| running <= class)
}

/// The credit of the running task, which its Interactive children begin with: a hog does not get a new head start by letting
/// children work for it (as in FreeBSD's ULE, `sched_interact_fork`). `None` if it never was Interactive.
fn inherited_credit<C>(state: &mut CpuState<C>, now: Timestamp) -> Option<Credit> {
    state.charge(now);
    state.current.and_then(|key| state.get(key)).and_then(|task| task.sched.credit)
}

fn new_task<C>(
    id: TaskId,
    spec: TaskSpec<C>,
    priority: u8,
    limits: &Limits,
    credit: Option<Credit>,
    now: Timestamp,
) -> Task<C> {
    let class = spec.intent.class.queue();
    let slice = spec.intent.class.time_quantum();
    let mut task = Task {
        id,
        parent: spec.parent,
        name: spec.name,
        state: TaskState::Blocked,
        context: spec.context,
        exit_code: 0,
        priority,
        affinity: spec.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL),
        stats: TaskStats::default(),
        deadline: None,
        created: now,
        history: TaskHistory::default(),
        sched: SchedState {
            entity: Entity {
                key: TaskKey(0),
                group: spec.domain.as_ref().map_or(0, Domain::group),
                id,
                priority,
                deadline: Timestamp::MAX,
                slice,
                virt: VirtualTime::default(),
            },
            class,
            own_class: class,
            limited: false,
            given_at: u8::MAX >> 1,
            target: Duration::ZERO,
            block_reason: None,
            ended: Ended::No,
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
            calls: Calls::NONE,
            lent: None,
            duty: Duty::Free,
            pending_release: false,
            hold: None,
            domain: spec.domain,
        },
        memory: 0,
        intent: spec.intent,
    };
    let server = server_for(&task.intent, limits);
    let duty = Duty::of(&task.intent, now);
    let credit = credit.unwrap_or(Credit::full(limits.interactive_burst, now));
    task.sched.declare(&task.intent, server, credit, duty);
    task.judge_stealable();
    task
}
