//! Is an intent consistent in itself? Whether a machine has room for it is admission's question.

use core::fmt;

use super::{Intent, IntentClass};

/// The longest time an intent may name, µs: about 292 years, so that sums of two in nanoseconds fit 64 bits.
pub const MAX_TIME_US: u64 = u64::MAX / 1_000 / 2;

/// Why an intent contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentError {
    /// A Realtime period of 0.
    ZeroPeriod,
    /// A Realtime deadline of 0.
    ZeroDeadline,
    /// A Realtime wcet of 0: it would reserve nothing and never run.
    ZeroWcet,
    /// The job cannot be finished in time even alone.
    WcetExceedsDeadline,
    /// Deadlines beyond the next release are not supported: two jobs of a task would be due at once.
    DeadlineExceedsPeriod,
    /// An Interactive target of 0 cannot be met.
    ZeroTargetLatency,
    /// A time above [`MAX_TIME_US`].
    TimeTooLong,
    /// An affinity mask without a CPU.
    EmptyAffinity,
    /// A CPU share above 1000 ‰.
    ShareTooLarge,
    /// The reserved CPU share is above the cap.
    MinExceedsMax,
    /// A Realtime task's reservation is its wcet and period; a second one by share contradicts it.
    RealtimeWithShare,
    /// A memory limit of 0 bytes.
    ZeroMemory,
    /// A bandwidth limit of 0: the task could never finish a transfer.
    ZeroBandwidth,
    /// A network priority above 7.
    NetPriorityTooLarge,
}

impl fmt::Display for IntentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroPeriod => "the period is 0; it must be at least 1 us",
            Self::ZeroDeadline => "the deadline is 0; it must be at least the wcet",
            Self::ZeroWcet => "the wcet is 0; it must be at least 1 us",
            Self::WcetExceedsDeadline => "the wcet is longer than the deadline; lower the wcet or extend the deadline",
            Self::DeadlineExceedsPeriod => {
                "the deadline is longer than the period, which is not supported; lengthen the period"
            }
            Self::ZeroTargetLatency => "the target latency is 0; it must be at least 1 us",
            Self::TimeTooLong => "a time is longer than 292 years",
            Self::EmptyAffinity => "the affinity mask holds no CPU; leave it out to allow all",
            Self::ShareTooLarge => "a CPU share is above 1000 per mille of one CPU",
            Self::MinExceedsMax => "cpu_min is above cpu_max; the reservation must fit under the cap",
            Self::RealtimeWithShare => {
                "a realtime task reserves CPU time by wcet and period; leave cpu_min and cpu_max out"
            }
            Self::ZeroMemory => "the memory limit is 0 bytes; leave it out for no limit",
            Self::ZeroBandwidth => "a bandwidth limit is 0; leave it out for no limit",
            Self::NetPriorityTooLarge => "the network priority is above 7",
        })
    }
}

impl core::error::Error for IntentError {}

impl Intent {
    /// Checks the declaration against itself.
    ///
    /// # Errors
    /// The first contradiction found, in the order of the fields.
    pub fn validate(&self) -> Result<(), IntentError> {
        self.class.validate()?;
        let (limits, qos) = (&self.constraints, &self.qos);
        let fail = |bad: bool, reason| if bad { Err(reason) } else { Ok(()) };
        fail(limits.cpu_affinity.is_some_and(|mask| mask.is_empty()), IntentError::EmptyAffinity)?;
        fail(limits.max_memory == Some(0), IntentError::ZeroMemory)?;
        fail(limits.net_priority > 7, IntentError::NetPriorityTooLarge)?;
        fail(qos.cpu_min > 1000 || qos.cpu_max > 1000, IntentError::ShareTooLarge)?;
        fail(qos.cpu_max != 0 && qos.cpu_min > qos.cpu_max, IntentError::MinExceedsMax)?;
        let realtime = matches!(self.class, IntentClass::Realtime { .. });
        fail(realtime && (qos.cpu_min != 0 || qos.cpu_max != 0), IntentError::RealtimeWithShare)?;
        fail(qos.mem_bandwidth == Some(0) || qos.io_bandwidth == Some(0), IntentError::ZeroBandwidth)
    }
}

impl IntentClass {
    /// Checks the class's parameters.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn validate(&self) -> Result<(), IntentError> {
        match *self {
            IntentClass::Realtime { period_us: 0, .. } => Err(IntentError::ZeroPeriod),
            IntentClass::Realtime { deadline_us: 0, .. } => Err(IntentError::ZeroDeadline),
            IntentClass::Realtime { wcet_us: 0, .. } => Err(IntentError::ZeroWcet),
            IntentClass::Realtime { period_us, .. } if period_us > MAX_TIME_US => Err(IntentError::TimeTooLong),
            IntentClass::Realtime { deadline_us, wcet_us, .. } if wcet_us > deadline_us => {
                Err(IntentError::WcetExceedsDeadline)
            }
            IntentClass::Realtime { period_us, deadline_us, .. } if deadline_us > period_us => {
                Err(IntentError::DeadlineExceedsPeriod)
            }
            IntentClass::Interactive { target_latency_us: 0 } => Err(IntentError::ZeroTargetLatency),
            IntentClass::Interactive { target_latency_us } if target_latency_us > MAX_TIME_US => {
                Err(IntentError::TimeTooLong)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CpuMask;

    #[test]
    fn consistent_intents_pass() {
        for intent in [
            Intent::realtime(10, 10, 10),
            Intent::realtime(MAX_TIME_US, MAX_TIME_US, 1),
            Intent::interactive(1),
            Intent::batch().with_cpu_share(0, 1000).with_affinity(CpuMask::single(255)),
            Intent::background().with_cpu_share(1000, 0).with_memory_limit(1),
            Intent::system().with_net_priority(7).with_io_bandwidth(1).with_mem_bandwidth(1),
        ] {
            assert_eq!(intent.validate(), Ok(()), "{intent:?}");
        }
    }

    #[test]
    fn each_contradiction_is_named() {
        use IntentError::*;
        for (intent, reason) in [
            (Intent::realtime(0, 1, 1), ZeroPeriod),
            (Intent::realtime(5, 0, 1), ZeroDeadline),
            (Intent::realtime(5, 5, 0), ZeroWcet),
            (Intent::realtime(u64::MAX, u64::MAX, u64::MAX), TimeTooLong),
            (Intent::realtime(10, 5, 6), WcetExceedsDeadline),
            (Intent::realtime(10, 11, 6), DeadlineExceedsPeriod),
            (Intent::interactive(0), ZeroTargetLatency),
            (Intent::interactive(u64::MAX), TimeTooLong),
            (Intent::batch().with_affinity(CpuMask::EMPTY), EmptyAffinity),
            (Intent::batch().with_cpu_share(0, 1001), ShareTooLarge),
            (Intent::batch().with_cpu_share(500, 499), MinExceedsMax),
            (Intent::realtime(10, 10, 5).with_cpu_share(0, 10), RealtimeWithShare),
            (Intent::batch().with_memory_limit(0), ZeroMemory),
            (Intent::batch().with_io_bandwidth(0), ZeroBandwidth),
            (Intent::batch().with_net_priority(8), NetPriorityTooLarge),
        ] {
            assert_eq!(intent.validate(), Err(reason), "{intent:?}");
        }
    }
}
