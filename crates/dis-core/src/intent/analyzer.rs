//! From an intent, its constraints and the load to a first decision.

use alloc::vec::Vec;

use super::{Intent, IntentClass, QueueType, TaskHistory};
use crate::api::{CpuMask, Duration, Task, Timestamp};

/// How loaded the machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemLoad {
    /// Per CPU: share of the recent past that it was busy, 0..=100.
    pub cpu_load: Vec<u8>,
    /// CPUs in use.
    pub active_cpus: u32,
    /// Tasks that wait for a CPU.
    pub runqueue_length: u32,
    /// 0..=100; reported by the host, 0 if it does not know.
    pub memory_pressure: u8,
    /// Share of the time spent waiting for I/O, 0..=100; reported by the host, 0 if it does not know.
    pub io_wait: u8,
}

/// What the analyzer proposes for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulingDecision {
    /// The class's queue.
    pub queue: QueueType,
    /// Priority within it, lower first.
    pub priority: u8,
    /// How long it may run before its peers get their turn.
    pub time_slice: Duration,
    /// The CPU it should go to, if one is better than the others.
    pub cpu_hint: Option<usize>,
}

/// Turns intents into decisions. Pure: time and load come from outside.
#[derive(Debug, Clone, Default)]
pub struct IntentAnalyzer {
    load: SystemLoad,
}

impl IntentAnalyzer {
    /// An analyzer that knows of no load yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the load.
    pub fn update_load(&mut self, load: SystemLoad) {
        self.load = load;
    }

    /// The load as last told.
    pub fn system_load(&self) -> &SystemLoad {
        &self.load
    }

    /// The class an intent belongs to.
    pub fn classify(&self, intent: &Intent) -> QueueType {
        intent.class.queue()
    }

    /// Decides on a task as it stands at `now`.
    pub fn analyze<C>(&self, task: &Task<C>, now: Timestamp) -> SchedulingDecision {
        let mut decision = self.analyze_intent(&task.intent);
        decision.priority = match task.intent.class {
            IntentClass::Realtime { .. } => {
                task.deadline.map_or(decision.priority, |deadline| Self::deadline_to_priority(deadline, now))
            }
            IntentClass::Interactive { target_latency_us } => {
                let waited = now.since(task.stats.last_scheduled.max(task.created));
                Self::interactive_priority(Duration::from_micros(target_latency_us), waited)
            }
            _ => task.priority,
        };
        decision
    }

    /// Decides on an intent that has no task yet.
    pub fn analyze_intent(&self, intent: &Intent) -> SchedulingDecision {
        let queue = intent.class.queue();
        let placed = matches!(queue, QueueType::Realtime | QueueType::Interactive);
        SchedulingDecision {
            queue,
            priority: intent.class.to_priority(),
            time_slice: intent.class.time_quantum(),
            cpu_hint: placed.then(|| self.best_cpu(intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL))).flatten(),
        }
    }

    /// Absolute deadline of work that becomes ready at `now`: Realtime by its relative deadline, Interactive by its
    /// target latency, others none.
    pub fn deadline(&self, class: &IntentClass, now: Timestamp) -> Option<Timestamp> {
        match *class {
            IntentClass::Realtime { deadline_us, .. } => Some(now + Duration::from_micros(deadline_us)),
            IntentClass::Interactive { target_latency_us } => Some(now + Duration::from_micros(target_latency_us)),
            _ => None,
        }
    }

    /// The least loaded active CPU of `allowed`, the lowest-numbered of equals.
    pub fn best_cpu(&self, allowed: CpuMask) -> Option<usize> {
        let active = self.load.active_cpus as usize;
        allowed
            .iter()
            .take_while(|&cpu| cpu < active)
            .min_by_key(|&cpu| (self.load.cpu_load.get(cpu).copied().unwrap_or(0), cpu))
    }

    /// Records an execution in a task's history.
    pub fn record_completion(&self, history: &mut TaskHistory, execution: Duration, missed: bool) {
        history.record(execution, missed);
    }

    /// Priority 0..=49 by seconds left to the deadline: all Realtime ahead of all Interactive.
    fn deadline_to_priority(deadline: Timestamp, now: Timestamp) -> u8 {
        deadline.since(now).as_secs().min(49) as u8
    }

    /// Priority 50, raised by one for each millisecond waited beyond the target, at most to 10.
    fn interactive_priority(target: Duration, waited: Duration) -> u8 {
        let beyond = waited.saturating_sub(target).as_nanos() / 1_000_000;
        50 - beyond.min(40) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(loads: &[u8]) -> IntentAnalyzer {
        let mut a = IntentAnalyzer::new();
        a.update_load(SystemLoad { cpu_load: loads.into(), active_cpus: loads.len() as u32, ..Default::default() });
        a
    }

    #[test]
    fn classes_get_the_reference_numbers() {
        let a = loaded(&[50, 20, 20]);
        for (intent, queue, priority, slice, hint) in [
            (Intent::system(), QueueType::System, 0, Duration::from_millis(1), None),
            (Intent::realtime(9, 8, 7), QueueType::Realtime, 10, Duration::from_micros(7), Some(1)),
            (Intent::interactive(5), QueueType::Interactive, 50, Duration::from_millis(4), Some(1)),
            (Intent::batch(), QueueType::Batch, 100, Duration::from_millis(10), None),
            (Intent::background(), QueueType::Background, 200, Duration::from_millis(50), None),
        ] {
            let expected = SchedulingDecision { queue, priority, time_slice: slice, cpu_hint: hint };
            assert_eq!(a.analyze_intent(&intent), expected);
            assert_eq!(a.classify(&intent), queue);
        }
    }

    #[test]
    fn the_best_cpu_is_allowed_active_and_least_loaded() {
        let a = loaded(&[10, 0, 5]);
        assert_eq!(a.best_cpu(CpuMask::ALL), Some(1));
        assert_eq!(a.best_cpu([0, 2].into_iter().collect()), Some(2));
        assert_eq!(a.best_cpu(CpuMask::single(3)), None);
    }

    #[test]
    fn boosts_clamp_before_they_narrow() {
        let s = Duration::from_secs;
        // 256 + 5 s left must not look like 5 s left; 300 ms beyond the target must not look like 44.
        assert_eq!(IntentAnalyzer::deadline_to_priority(Timestamp::ZERO + s(261), Timestamp::ZERO), 49);
        assert_eq!(IntentAnalyzer::deadline_to_priority(Timestamp::ZERO + s(5), Timestamp::ZERO), 5);
        let target = Duration::from_millis(1);
        assert_eq!(IntentAnalyzer::interactive_priority(target, target), 50);
        assert_eq!(IntentAnalyzer::interactive_priority(target, Duration::from_millis(8)), 43);
        assert_eq!(IntentAnalyzer::interactive_priority(target, Duration::from_millis(301)), 10);
    }
}
