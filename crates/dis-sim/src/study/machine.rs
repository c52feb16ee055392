//! What takes the core's place.

use std::cell::RefCell;

use dis_core::admission::SporadicTask;
use dis_core::api::{CpuMask, Duration, SchedError, SchedResult, TaskId, TaskSpec, TaskStats, Timestamp};
use dis_core::executor::{Decision, Leave, Next, Placement, Reason, Wake};
use dis_core::intent::{IntentClass, QueueType};
use dis_core::scheduler::Urgency;
use dis_core::stats::SchedulerStats;

use super::task::{State, StudyTask};
use super::{GlobalPolicy, Study};
use crate::kernel::Kernel;

/// A machine whose CPUs share one queue of Realtime tasks, under a policy for study.
///
/// The CPUs ask one after the other, but what happens at one instant is decided as one: each question decides anew who runs
/// where, from who had the CPUs before this instant, and has the CPUs asked that have something else. Each question takes O(n log n).
#[derive(Debug)]
pub struct Machine(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Box<dyn GlobalPolicy>,
    tasks: Vec<StudyTask>,
    now: u64,
    cpus: Vec<Cpu>,
    /// When the policy wants to be asked again.
    again: Option<u64>,
    stats: SchedulerStats,
    /// Kept to be filled again.
    chosen: Vec<usize>,
}

/// Tasks by their numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    /// Who had it before this instant, if its job goes on.
    before: Option<usize>,
    /// Who is to have it.
    wanted: Option<usize>,
    /// Who has it.
    running: Option<usize>,
}

impl Machine {
    /// An empty machine with so many CPUs.
    pub fn new(study: Study, cpus: usize) -> Machine {
        Machine(RefCell::new(Inner {
            policy: study.policy(cpus),
            tasks: Vec::new(),
            now: 0,
            cpus: vec![Cpu::default(); cpus],
            again: None,
            stats: SchedulerStats::default(),
            chosen: Vec::new(),
        }))
    }
}

impl Inner {
    fn spawn(&mut self, now: Timestamp, spec: &TaskSpec<u32>) -> SchedResult<(TaskId, Wake)> {
        let IntentClass::Realtime { period_us, deadline_us, wcet_us } = spec.intent.class else {
            return Err(SchedError::NotSupported("a policy for study schedules all tasks, so all must be realtime"));
        };
        let [wcet, deadline, period] = [wcet_us, deadline_us, period_us].map(Duration::from_micros);
        let model = SporadicTask::new(wcet, deadline, period);
        let start = spec.start.unwrap_or(now).max(now).as_nanos();
        self.policy.accepts(&model, start).map_err(SchedError::NotSupported)?;
        let id = TaskId::from_parts(self.tasks.len() as u32, 1);
        self.tasks.push(StudyTask::new(id, spec.context, model, start));
        self.stats.tasks_created += 1;
        Ok((id, wake(0, Some(Timestamp::from_nanos(start)))))
    }

    fn find(&self, id: TaskId) -> SchedResult<usize> {
        self.tasks.iter().position(|task| task.id == id && task.state != State::Ended).ok_or(SchedError::TaskNotFound)
    }

    /// Time has gone on to `now`: what ran is charged.
    fn pass(&mut self, now: u64) {
        if now == self.now {
            return;
        }
        let ran = now - self.now;
        self.now = now;
        self.tasks.iter_mut().for_each(|task| task.ran = false);
        for cpu in &mut self.cpus {
            cpu.before = cpu.running;
            if let Some(running) = cpu.running {
                let task = &mut self.tasks[running];
                task.ran = true;
                task.executed = task.executed.saturating_add(ran);
                task.stats.cpu_time += ran;
                self.stats.record_cpu_time(Duration::from_nanos(ran));
            }
        }
    }

    /// The task that runs on `cpu` leaves so.
    fn leave(&mut self, cpu: usize, leave: Leave) {
        let Some(running) = self.cpus[cpu].running else { return };
        let task = &mut self.tasks[running];
        let forever = u64::MAX;
        match leave {
            Leave::Ask | Leave::Yield => return,
            Leave::Block(..) if std::mem::take(&mut task.token) => return,
            Leave::Block(_, until) => task.state = State::Blocked(until.map_or(forever, Timestamp::as_nanos)),
            Leave::Declined => task.state = State::Blocked(forever),
            Leave::Sleep(until) => task.state = State::Blocked(until.as_nanos()),
            Leave::NextPeriod => task.finish(self.now, 0),
            Leave::NextJob(arrival) => task.finish(self.now, arrival.as_nanos()),
            Leave::Exit(_) => {
                task.state = State::Ended;
                self.stats.tasks_exited += 1;
            }
        }
        task.ran = false;
        task.stats.blocks += 1;
        self.cpus[cpu].before = None;
    }

    /// Decides who is to run where.
    fn decide(&mut self) {
        let now = self.now;
        self.tasks.iter_mut().for_each(|task| task.wake_if_due(now));
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        self.again = self.policy.choose(now, &self.tasks, self.cpus.len(), &mut chosen);
        for cpu in &mut self.cpus {
            cpu.wanted = cpu.before.filter(|&before| self.tasks[before].ran && chosen.contains(&before));
        }
        chosen.retain(|&task| self.cpus.iter().all(|cpu| cpu.wanted != Some(task)));
        let free = self.cpus.iter_mut().filter(|cpu| cpu.wanted.is_none());
        free.zip(&chosen).for_each(|(cpu, &task)| cpu.wanted = Some(task));
        self.chosen = chosen;
    }

    /// When all CPUs have to ask again: at the next release, or when the policy says so.
    fn until(&self) -> Option<Timestamp> {
        self.tasks.iter().filter_map(StudyTask::due).chain(self.again).min().map(Timestamp::from_nanos)
    }

    fn schedule(&mut self, cpu: usize, now: Timestamp, leave: Leave) -> Decision<u32> {
        self.pass(now.as_nanos());
        self.leave(cpu, leave);
        self.decide();
        let before = self.cpus[cpu].running;
        // Who moves here has to leave the other CPU first, which is asked, and asks this one again.
        let elsewhere = |task| self.cpus.iter().enumerate().any(|(other, at)| other != cpu && at.running == Some(task));
        let next = self.cpus[cpu].wanted.filter(|&task| !elsewhere(task));
        self.cpus[cpu].running = next;
        let switch = next != before;
        if switch && let Some(before) = before.filter(|&before| self.tasks[before].is_ready()) {
            self.tasks[before].since = self.now;
            self.tasks[before].stats.preemptions += 1;
        }
        let next = next.map(|index| self.start(index, cpu, switch, leave == Leave::Ask));
        let reason = match next {
            None => Reason::Idle,
            Some(next) if next.switch => Reason::ClassOrder,
            Some(_) => Reason::Continue,
        };
        let interrupt = self.cpus.iter().enumerate().position(|(other, at)| other != cpu && at.wanted != at.running);
        let vacate = next.is_none() && before.is_some();
        Decision { next, until: self.until(), reason, lost: None, interrupt, vacate }
    }

    fn start(&mut self, index: usize, cpu: usize, switch: bool, involuntary: bool) -> Next<u32> {
        let (now, task) = (self.now, &mut self.tasks[index]);
        let mut waited = Duration::ZERO;
        if switch {
            waited = Duration::from_nanos(now - task.since);
            self.stats.record_switch(!involuntary);
            let moved = std::mem::replace(&mut task.cpu, cpu) != cpu;
            task.stats.migrations += u64::from(moved && task.stats.context_switches > 0);
            task.stats.context_switches += 1;
            task.stats.last_scheduled = Timestamp::from_nanos(now);
        }
        Next { id: task.id, context: task.context, class: QueueType::Realtime, switch, waited }
    }

    fn unpark(&mut self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        let index = self.find(id)?;
        let task = &mut self.tasks[index];
        if !matches!(task.state, State::Blocked(_)) {
            task.token = true;
            return Ok(wake(task.cpu, None));
        }
        task.state = State::Blocked(now.as_nanos());
        Ok(wake(task.cpu, Some(now)))
    }
}

/// Nothing but that `cpu` has to ask at `until`.
fn wake(cpu: usize, until: Option<Timestamp>) -> Wake {
    Wake { cpu, interrupt: false, until, placement: Placement::Previous }
}

impl Kernel for Machine {
    fn spawn(&self, now: Timestamp, spec: TaskSpec<u32>) -> SchedResult<(TaskId, Wake)> {
        self.0.borrow_mut().spawn(now, &spec)
    }

    fn schedule(&self, cpu: usize, now: Timestamp, leave: Leave) -> SchedResult<Decision<u32>> {
        Ok(self.0.borrow_mut().schedule(cpu, now, leave))
    }

    fn switched(&self, _cpu: usize) -> bool {
        false
    }

    fn unpark(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        self.0.borrow_mut().unpark(now, id)
    }

    fn urgency(&self, id: TaskId) -> SchedResult<Urgency> {
        let inner = self.0.borrow();
        let task = &inner.tasks[inner.find(id)?];
        Ok(Urgency { class: QueueType::Realtime, priority: 0, deadline: Timestamp::from_nanos(task.deadline) })
    }

    fn inherit(&self, _now: Timestamp, id: TaskId, _lent: Option<Urgency>) -> SchedResult<Wake> {
        let inner = self.0.borrow();
        inner.find(id).map(|index| wake(inner.tasks[index].cpu, None))
    }

    fn set_priority(&self, now: Timestamp, id: TaskId, _priority: u8) -> SchedResult<Wake> {
        self.inherit(now, id, None)
    }

    fn set_affinity(&self, _now: Timestamp, _id: TaskId, _mask: CpuMask) -> SchedResult<Wake> {
        Err(SchedError::NotSupported("under a policy for study every task may run on every CPU"))
    }

    fn cpu_of(&self, id: TaskId) -> SchedResult<usize> {
        let inner = self.0.borrow();
        inner.find(id).map(|index| inner.tasks[index].cpu)
    }

    fn task_stats(&self, _now: Timestamp, id: TaskId) -> SchedResult<TaskStats> {
        let inner = self.0.borrow();
        inner.find(id).map(|index| inner.tasks[index].stats)
    }

    fn stats_at(&self, _now: Timestamp) -> SchedulerStats {
        let inner = self.0.borrow();
        let misses = inner.tasks.iter().map(|task| task.stats.deadline_misses).sum();
        SchedulerStats { deadline_misses: misses, ..inner.stats.clone() }
    }
}
