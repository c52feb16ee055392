//! The log of refused calls.

use alloc::collections::VecDeque;

use super::domain::DomainId;
use super::rights::Right;
use crate::api::{TaskId, Timestamp};

/// How many refusals are remembered.
const REMEMBERED: usize = 256;

/// A call: by whom, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// The domain on whose behalf it was made.
    pub domain: DomainId,
    /// The task that made it; [`TaskId::INVALID`] if the host made it for the domain as a whole.
    pub subject: TaskId,
    /// The right that it needs.
    pub right: Right,
    /// The task that it is about; [`TaskId::INVALID`]: none.
    pub object: TaskId,
}

/// A call that was refused with [`SchedError::PermissionDenied`](crate::api::SchedError::PermissionDenied).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: Act,
}

/// The last refusals.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    last: VecDeque<Denial>,
    total: u64,
}

impl Denials {
    /// Makes room, so that noting allocates nothing.
    pub fn reserve(&mut self) {
        self.last.reserve_exact(REMEMBERED - self.last.len());
    }

    pub fn note(&mut self, denial: Denial) {
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(denial);
        self.total += 1;
    }

    pub fn last(&self) -> impl Iterator<Item = &Denial> {
        self.last.iter()
    }

    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_all_are_counted() {
        let mut denials = Denials::default();
        denials.reserve();
        let room = denials.last.capacity();
        let act = Act { domain: DomainId(1), subject: TaskId::INVALID, right: Right::Kill, object: TaskId::INVALID };
        for n in 0..1000 {
            denials.note(Denial { at: Timestamp::from_nanos(n), act });
        }
        assert_eq!((denials.total(), denials.last().count(), denials.last.capacity()), (1000, REMEMBERED, room));
        assert_eq!(denials.last().next().map(|denial| denial.at), Some(Timestamp::from_nanos(1000 - 256)));
    }
}
