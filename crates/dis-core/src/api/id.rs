//! Task identifiers.

use core::fmt;

/// Names one task for ever: a slot of the task table and the slot's generation.
///
/// A slot is used again after its task has been reaped, with a higher generation, so a stale id finds no task
/// instead of another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct TaskId(pub u64);

impl TaskId {
    /// No task.
    pub const INVALID: TaskId = TaskId(0);
    /// The idle task of CPU 0; see [`TaskId::idle`].
    pub const IDLE: TaskId = TaskId::idle(0);

    /// The idle task of `cpu`. Each CPU has its own, so that a trace can tell them apart.
    pub const fn idle(cpu: usize) -> TaskId {
        TaskId(1 + cpu as u64)
    }

    /// Whether this is some CPU's idle task.
    pub const fn is_idle(self) -> bool {
        self.0 != 0 && self.generation() == 0
    }

    /// The id of `slot` in its `generation` (from 1 on; generation 0 belongs to the idle tasks).
    pub const fn from_parts(slot: u32, generation: u32) -> TaskId {
        TaskId((generation as u64) << 32 | slot as u64)
    }

    /// The slot of the task table.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// How often the slot has been used, this task included.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.generation()) {
            (0, _) => f.write_str("invalid"),
            (n, 0) => write!(f, "idle/{}", n - 1),
            (_, 1) => write!(f, "{}", self.slot()),
            (_, generation) => write!(f, "{}.{generation}", self.slot()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_trip_and_special_ids_are_no_tasks() {
        let id = TaskId::from_parts(7, 3);
        assert_eq!((id.slot(), id.generation()), (7, 3));
        assert!(!id.is_idle() && !TaskId::INVALID.is_idle());
        assert!(TaskId::IDLE.is_idle() && TaskId::idle(255).is_idle());
        assert_ne!(TaskId::idle(0), TaskId::idle(1));
    }
}
