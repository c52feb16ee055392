//! What can go wrong.

use core::fmt;

use crate::intent::IntentError;

/// The result of a scheduler call.
pub type SchedResult<T> = Result<T, SchedError>;

/// Why a scheduler call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedError {
    /// No live task has this id (it ended and was reaped, or never was).
    TaskNotFound,
    /// Something of this name or id is there already.
    TaskExists,
    /// The task's state does not allow the call, for example waking a task that is ready.
    InvalidState,
    /// The intent contradicts itself; the reason says where.
    InvalidIntent(IntentError),
    /// The deadline has passed.
    DeadlineMissed,
    /// No CPU of the affinity mask is there and online, or none has room for the reservation.
    NoCpu,
    /// It is the last CPU that is online, and stays so.
    LastCpu,
    /// A bounded queue is full.
    QueueFull,
    /// Memory, task slots or another resource ran out.
    ResourceExhausted,
    /// The caller may not do this.
    PermissionDenied,
    /// The running task has used up its budget by the clock, and the host said that it can measure what the task really
    /// used: it is to say that ([`Executor::measured`](crate::executor::Executor::measured)) and ask again.
    Unmeasured,
    /// This host cannot do it; the text says what and why.
    NotSupported(&'static str),
}

impl fmt::Display for SchedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaskNotFound => f.write_str("no such task"),
            Self::TaskExists => f.write_str("already exists"),
            Self::InvalidState => f.write_str("the task's state does not allow this"),
            Self::InvalidIntent(reason) => write!(f, "invalid intent: {reason}"),
            Self::DeadlineMissed => f.write_str("deadline missed"),
            Self::NoCpu => f.write_str("no CPU is allowed and has room"),
            Self::LastCpu => f.write_str("the last CPU that is online cannot go offline"),
            Self::QueueFull => f.write_str("queue full"),
            Self::ResourceExhausted => f.write_str("resource exhausted"),
            Self::PermissionDenied => f.write_str("permission denied"),
            Self::Unmeasured => f.write_str("what the running task has used is to be measured first"),
            Self::NotSupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

impl core::error::Error for SchedError {}

impl From<IntentError> for SchedError {
    fn from(reason: IntentError) -> Self {
        SchedError::InvalidIntent(reason)
    }
}
