//! What a task declares itself to be for.

use crate::api::{CpuMask, Duration};

/// A task's declaration: its class with parameters, its constraints, its quality of service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Intent {
    /// What the task is for.
    pub class: IntentClass,
    /// What it may use.
    pub constraints: IntentConstraints,
    /// How much of it.
    pub qos: QosParameters,
}

/// The five kinds of purpose. Times are in microseconds, as the reference has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum IntentClass {
    /// Periodic work with deadlines: a job every `period_us` needs at most `wcet_us` of CPU time and must be
    /// finished `deadline_us` after its release.
    Realtime {
        /// Distance of two releases, µs.
        period_us: u64,
        /// Deadline relative to the release, µs; at most the period.
        deadline_us: u64,
        /// Worst-case execution time of one job, µs; at most the deadline.
        wcet_us: u64,
    },
    /// Someone waits for the answer: once woken, the task should begin within `target_latency_us`.
    Interactive {
        /// Target time from wake-up to running, µs.
        target_latency_us: u64,
    },
    /// Throughput counts.
    Batch,
    /// Whatever is left over.
    Background,
    /// The scheduler's and the host's own work; runs at once, bounded by a bandwidth cap.
    System,
}

/// An intent class without its parameters: the row of a table, the index of a queue.
///
/// The discriminant is the class's rank: a lower one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum QueueType {
    /// Fixed priorities, first.
    System = 0,
    /// Earliest deadline first.
    Realtime = 1,
    /// Earliest (wake-up + target latency) first.
    Interactive = 2,
    /// Weighted fair share.
    Batch = 3,
    /// Weighted fair share of the rest.
    Background = 4,
}

impl QueueType {
    /// All classes, highest first.
    pub const ALL: [QueueType; 5] =
        [QueueType::System, QueueType::Realtime, QueueType::Interactive, QueueType::Batch, QueueType::Background];

    /// Position in [`QueueType::ALL`]: 0 goes first.
    pub const fn rank(self) -> usize {
        self as usize
    }

    /// The class's name as the workload format and the reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            QueueType::System => "system",
            QueueType::Realtime => "realtime",
            QueueType::Interactive => "interactive",
            QueueType::Batch => "batch",
            QueueType::Background => "background",
        }
    }

    /// The base priority of its tasks, see [`IntentClass::to_priority`].
    pub const fn default_priority(self) -> u8 {
        match self {
            QueueType::System => 0,
            QueueType::Realtime => 10,
            QueueType::Interactive => 50,
            QueueType::Batch => 100,
            QueueType::Background => 200,
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<QueueType> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl core::fmt::Display for QueueType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl IntentClass {
    /// The class without parameters.
    pub const fn queue(&self) -> QueueType {
        match self {
            IntentClass::System => QueueType::System,
            IntentClass::Realtime { .. } => QueueType::Realtime,
            IntentClass::Interactive { .. } => QueueType::Interactive,
            IntentClass::Batch => QueueType::Batch,
            IntentClass::Background => QueueType::Background,
        }
    }

    /// The class's base priority, 0..=255, lower first.
    pub const fn to_priority(&self) -> u8 {
        self.queue().default_priority()
    }

    /// How long a task of this class runs before another of its class gets its turn.
    pub const fn time_quantum(&self) -> Duration {
        match self {
            IntentClass::System => Duration::from_millis(1),
            IntentClass::Realtime { wcet_us, .. } => Duration::from_micros(*wcet_us),
            IntentClass::Interactive { .. } => Duration::from_millis(4),
            IntentClass::Batch => Duration::from_millis(10),
            IntentClass::Background => Duration::from_millis(50),
        }
    }
}

/// What a task may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IntentConstraints {
    /// Most memory it may hold, bytes.
    pub max_memory: Option<usize>,
    /// CPUs it may run on; `None` means all.
    pub cpu_affinity: Option<CpuMask>,
    /// NUMA node its memory should come from.
    pub numa_node: Option<u32>,
    /// Urgency of its disk requests.
    pub io_priority: IoPriority,
    /// Urgency of its packets, 0 (default) to 7, as SO_PRIORITY counts.
    pub net_priority: u8,
}

/// Urgency of disk requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum IoPriority {
    /// Ahead of all others.
    Realtime,
    /// The ordinary treatment.
    #[default]
    BestEffort,
    /// Only when the disk is idle.
    Idle,
}

/// How much a task gets. Shares are per mille of one CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QosParameters {
    /// Reserved share, 0..=1000 ‰ of one CPU; 0 reserves nothing.
    pub cpu_min: u16,
    /// Most it may use, 0..=1000 ‰ of one CPU; 0 sets no limit.
    pub cpu_max: u16,
    /// Memory bandwidth limit, MB/s.
    pub mem_bandwidth: Option<u32>,
    /// I/O bandwidth limit, KB/s.
    pub io_bandwidth: Option<u32>,
}

impl Intent {
    const fn of(class: IntentClass) -> Self {
        Self {
            class,
            constraints: IntentConstraints {
                max_memory: None,
                cpu_affinity: None,
                numa_node: None,
                io_priority: IoPriority::BestEffort,
                net_priority: 0,
            },
            qos: QosParameters { cpu_min: 0, cpu_max: 0, mem_bandwidth: None, io_bandwidth: None },
        }
    }

    /// A job of at most `wcet_us` every `period_us`, each finished `deadline_us` after its release (all µs).
    pub const fn realtime(period_us: u64, deadline_us: u64, wcet_us: u64) -> Self {
        Self::of(IntentClass::Realtime { period_us, deadline_us, wcet_us })
    }

    /// Should run within `target_latency_us` µs of its wake-up.
    pub const fn interactive(target_latency_us: u64) -> Self {
        Self::of(IntentClass::Interactive { target_latency_us })
    }

    /// Throughput counts.
    pub const fn batch() -> Self {
        Self::of(IntentClass::Batch)
    }

    /// Whatever is left over.
    pub const fn background() -> Self {
        Self::of(IntentClass::Background)
    }

    /// The host's own work.
    pub const fn system() -> Self {
        Self::of(IntentClass::System)
    }

    /// Restricts the task to the CPUs of `mask`.
    pub const fn with_affinity(mut self, mask: CpuMask) -> Self {
        self.constraints.cpu_affinity = Some(mask);
        self
    }

    /// Limits the task's memory to `limit` bytes.
    pub const fn with_memory_limit(mut self, limit: usize) -> Self {
        self.constraints.max_memory = Some(limit);
        self
    }

    /// Prefers memory of NUMA node `node`.
    pub const fn with_numa_node(mut self, node: u32) -> Self {
        self.constraints.numa_node = Some(node);
        self
    }

    /// Sets the urgency of disk requests.
    pub const fn with_io_priority(mut self, priority: IoPriority) -> Self {
        self.constraints.io_priority = priority;
        self
    }

    /// Sets the urgency of packets, 0..=7.
    pub const fn with_net_priority(mut self, priority: u8) -> Self {
        self.constraints.net_priority = priority;
        self
    }

    /// Reserves `min` ‰ and caps at `max` ‰ of one CPU (0: no reservation, no cap).
    pub const fn with_cpu_share(mut self, min: u16, max: u16) -> Self {
        self.qos.cpu_min = min;
        self.qos.cpu_max = max;
        self
    }

    /// Limits memory bandwidth to `mb_per_s` MB/s.
    pub const fn with_mem_bandwidth(mut self, mb_per_s: u32) -> Self {
        self.qos.mem_bandwidth = Some(mb_per_s);
        self
    }

    /// Limits I/O bandwidth to `kb_per_s` KB/s.
    pub const fn with_io_bandwidth(mut self, kb_per_s: u32) -> Self {
        self.qos.io_bandwidth = Some(kb_per_s);
        self
    }
}
