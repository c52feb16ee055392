//! Where a task that becomes ready should run.

use crate::api::{CpuMask, Duration};
use crate::executor::Placement;
use crate::intent::{IntentClass, QueueType};

/// The rank an idle CPU's "running class" counts as: below every class.
pub(crate) const IDLE_RANK: u8 = 5;

/// How long a spawned task may wait on the CPU of the task that spawned it while another CPU idles.
///
/// Most tasks that spawn one soon wait for its end. Then the CPU that they leave is free, and its cache warm, sooner than an
/// idle CPU can be roused.
pub const SPAWN_GRACE: Duration = Duration::from_micros(500);

/// Whether a task of this intent may wait so long: an Interactive one if that is little of its target latency.
pub(crate) const fn may_wait_for_parent(class: &IntentClass) -> bool {
    match *class {
        IntentClass::Interactive { target_latency_us } => target_latency_us >= 4 * SPAWN_GRACE.as_nanos() / 1_000,
        IntentClass::Batch | IntentClass::Background => true,
        IntentClass::System | IntentClass::Realtime { .. } => false,
    }
}

/// What other CPUs know of a CPU: one word that it publishes, read without its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuLoad {
    /// Rank of the class that runs, [`IDLE_RANK`] if none.
    pub running: u8,
    /// Rank of the highest class that waits, [`IDLE_RANK`] if none.
    pub waiting: u8,
    /// Number of tasks that wait.
    pub ready: u32,
}

impl CpuLoad {
    /// What a CPU publishes that takes no tasks: more to do than any other, and nothing less urgent than System.
    pub(crate) const OFFLINE: CpuLoad = CpuLoad { running: 0, waiting: IDLE_RANK, ready: u32::MAX / 2 };

    /// Whether the CPU takes no tasks.
    pub(crate) const fn is_offline(self) -> bool {
        self.ready == CpuLoad::OFFLINE.ready
    }

    pub(crate) const fn pack(self) -> u64 {
        self.running as u64 | (self.waiting as u64) << 8 | (self.ready as u64) << 32
    }

    pub(crate) const fn unpack(word: u64) -> Self {
        CpuLoad { running: word as u8, waiting: (word >> 8) as u8, ready: (word >> 32) as u32 }
    }

    /// Whether nothing waits or runs.
    pub(crate) const fn is_idle(self) -> bool {
        self.running == IDLE_RANK && self.ready == 0
    }

    /// Whether nothing of Realtime waits or runs; false if that cannot be told, as something of System waits.
    pub(crate) const fn is_without_realtime(self) -> bool {
        let realtime = QueueType::Realtime as u8;
        self.running != realtime && self.waiting > realtime
    }

    /// Tasks that wait or run.
    pub(crate) const fn tasks(self) -> u32 {
        self.ready + (self.running < IDLE_RANK) as u32
    }
}

/// What a task asks of a CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub class: QueueType,
    pub allowed: CpuMask,
    pub previous: usize,
}

/// The CPU for a task: its previous one while that is idle or runs something less urgent (its cache is warm), else an
/// idle one, else (for the latency-sensitive classes) the one that runs the least urgent task, else the least loaded.
/// O(CPUs), without locks. `None` if the mask allows no CPU below `cpus` that is online.
pub(crate) fn choose_cpu(wanted: Wanted, cpus: usize, load: impl Fn(usize) -> CpuLoad) -> Option<(usize, Placement)> {
    let home = (wanted.previous < cpus && wanted.allowed.contains(wanted.previous)).then_some(wanted.previous);
    let urgent = wanted.class <= QueueType::Interactive;
    let rank = wanted.class as u8;
    if let Some(home) = home {
        let load = load(home);
        if load.running == IDLE_RANK && load.ready == 0 {
            return Some((home, Placement::Previous));
        }
    }
    let mut least_urgent: Option<(usize, CpuLoad)> = None;
    let mut least_loaded: Option<(usize, CpuLoad)> = None;
    for cpu in wanted.allowed.iter().take_while(|&cpu| cpu < cpus) {
        let here = load(cpu);
        if here.running == IDLE_RANK && here.ready == 0 {
            return Some((cpu, Placement::Idle));
        }
        // Equal CPUs: the previous one.
        let better = |best: Option<(usize, CpuLoad)>, key: fn(CpuLoad) -> (u8, u32)| {
            best.is_none_or(|(_, b)| key(here) < key(b) || (key(here) == key(b) && home == Some(cpu)))
        };
        if better(least_urgent, |l| (IDLE_RANK - l.running.min(l.waiting), 0)) {
            least_urgent = Some((cpu, here));
        }
        if better(least_loaded, |l| (0, l.tasks())) {
            least_loaded = Some((cpu, here));
        }
    }
    if let (true, Some((cpu, found))) = (urgent, least_urgent)
        && found.running.min(found.waiting) > rank
    {
        let placement = if home == Some(cpu) { Placement::Previous } else { Placement::LessUrgent };
        return Some((cpu, placement));
    }
    let (cpu, found) = least_loaded.filter(|(_, found)| !found.is_offline())?;
    match home {
        // One task more or less is not worth a cold cache.
        Some(home) if load(home).tasks() <= found.tasks() + 1 => Some((home, Placement::Previous)),
        _ => Some((cpu, Placement::LeastLoaded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(class: QueueType, previous: usize, loads: &[(u8, u8, u32)]) -> Option<(usize, Placement)> {
        let wanted = Wanted { class, allowed: CpuMask::ALL, previous };
        choose_cpu(wanted, loads.len(), |cpu| {
            let (running, waiting, ready) = loads[cpu];
            CpuLoad { running, waiting, ready }
        })
    }

    const IDLE: (u8, u8, u32) = (5, 5, 0);

    #[test]
    fn loads_survive_packing() {
        let load = CpuLoad { running: 3, waiting: 4, ready: u32::MAX };
        assert_eq!(CpuLoad::unpack(load.pack()), load);
    }

    #[test]
    fn the_order_of_preference() {
        use QueueType::*;
        assert_eq!(place(Batch, 1, &[IDLE, IDLE]), Some((1, Placement::Previous)));
        assert_eq!(place(Batch, 1, &[IDLE, (3, 5, 0)]), Some((0, Placement::Idle)));
        // An urgent task goes where the least urgent one runs; equal ones: stay.
        assert_eq!(place(Interactive, 0, &[(2, 5, 0), (3, 5, 0)]), Some((1, Placement::LessUrgent)));
        assert_eq!(place(Interactive, 0, &[(3, 5, 0), (3, 5, 0)]), Some((0, Placement::Previous)));
        assert_eq!(place(System, 0, &[(3, 5, 0), (4, 5, 0)]), Some((1, Placement::LessUrgent)));
        // Others stay unless it is two tasks worse.
        assert_eq!(place(Batch, 0, &[(3, 3, 1), (3, 5, 0)]), Some((0, Placement::Previous)));
        assert_eq!(place(Batch, 0, &[(3, 3, 2), (3, 5, 0)]), Some((1, Placement::LeastLoaded)));
    }

    #[test]
    fn an_offline_cpu_is_no_choice() {
        use QueueType::*;
        let off = |class, previous, others: &[CpuLoad]| {
            let wanted = Wanted { class, allowed: CpuMask::ALL, previous };
            choose_cpu(wanted, others.len(), |cpu| others[cpu]).map(|(cpu, _)| cpu)
        };
        let busy = CpuLoad { running: 0, waiting: 0, ready: 7 };
        for class in [System, Interactive, Batch] {
            assert_eq!(off(class, 0, &[CpuLoad::OFFLINE, busy]), Some(1));
            assert_eq!(off(class, 1, &[busy, CpuLoad::OFFLINE]), Some(0));
            assert_eq!(off(class, 0, &[CpuLoad::OFFLINE; 2]), None);
        }
        assert!(!CpuLoad::OFFLINE.is_idle());
    }

    #[test]
    fn a_mask_without_a_cpu_of_this_machine_has_no_answer() {
        let wanted = Wanted { class: QueueType::Batch, allowed: CpuMask::single(7), previous: 0 };
        assert_eq!(choose_cpu(wanted, 2, |_| CpuLoad::unpack(5 | 5 << 8)), None);
    }
}
