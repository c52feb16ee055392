//! The step language: what a task does, one step after the other.

use dis_core::api::Duration;
use serde::{Deserialize, Serialize};

use super::DistributionId;

/// Index of a mutex in [`Objects::mutexes`](super::Objects::mutexes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MutexId(pub usize);

/// Index of an event in [`Objects::events`](super::Objects::events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub usize);

/// Index of a timer in [`Objects::timers`](super::Objects::timers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId(pub usize);

/// Index of a barrier in [`Objects::barriers`](super::Objects::barriers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BarrierId(pub usize);

/// One step of a task's body. A step begins when the one before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Uses this much CPU time of the task's own. Preemption does not count; the step ends when the task itself has
    /// computed for that long. A host calibrates the work on the machine it runs on.
    Run(Duration),
    /// The same for a time drawn from this distribution each time the step is made, from the instance's
    /// [`Draws`](super::Draws). A time of 0 ends the step at once.
    RunDrawn(DistributionId),
    /// Gives up the CPU and becomes ready this long after the step began, whatever else happens.
    Sleep(Duration),
    /// The same for a time drawn from this distribution. A time of 0 ends the step at once.
    SleepDrawn(DistributionId),
    /// Stays ready but lets others of its class go first.
    Yield,
    /// Takes the mutex; blocks while another task holds it. Waiters are served in the order that the host's mutex
    /// defines (hand-off, with inheritance of urgency). Not recursive.
    Lock(MutexId),
    /// Releases the mutex, which this task holds.
    Unlock(MutexId),
    /// Wakes the task that has waited longest for the event. With nobody waiting, a
    /// [`Latched`](super::EventKind::Latched) event remembers *one* signal (further ones change nothing), and a
    /// [`Pulse`](super::EventKind::Pulse) event forgets it. Never blocks.
    Signal(EventId),
    /// Wakes every task that waits for the event. With nobody waiting it acts as [`Step::Signal`]. Never blocks.
    Broadcast(EventId),
    /// Blocks until the event is signalled. A remembered signal is consumed and the step ends at once. With a mutex,
    /// which this task must hold, the mutex is released and the wait begun in one atomic step, and it is taken again
    /// before the step ends.
    Wait {
        /// What to wait for.
        event: EventId,
        /// Released while waiting, as a condition variable does.
        mutex: Option<MutexId>,
    },
    /// Blocks until all parties of the barrier have arrived; the last one to arrive releases the others and goes on.
    Barrier(BarrierId),
    /// Sleeps until the timer's next tick. The timer's first use sets its reference to the task's start; each use
    /// moves the reference on by `period` and sleeps until it. When that instant is past, the step ends at once, and
    /// [`TimerMode`] says what the next use counts from.
    Timer {
        /// Which timer; uses of one timer share its reference.
        timer: TimerId,
        /// How far this use moves the reference.
        period: Duration,
        /// What happens to the reference after a missed tick.
        mode: TimerMode,
    },
}

impl Step {
    /// Whether the task may be off the CPU until something else happens: time passing or another task.
    pub const fn blocks(&self) -> bool {
        matches!(self, Step::Wait { .. } | Step::Barrier(_) | Step::Lock(_)) || self.sleeps()
    }

    /// Whether the step ends by the clock alone.
    pub const fn sleeps(&self) -> bool {
        match self {
            Step::Sleep(time) => !time.is_zero(),
            Step::SleepDrawn(_) => true,
            Step::Timer { period, .. } => !period.is_zero(),
            _ => false,
        }
    }
}

/// What a timer's next use counts from when its tick was already past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TimerMode {
    /// From now: one late pass delays all later ticks.
    #[default]
    Relative,
    /// From the grid of the first use: later passes catch up.
    Absolute,
}
