//! What happened on the kernel's CPUs.

use dis_core::executor::Reason;
use dis_core::intent::QueueType;
use serde::{Deserialize, Serialize};

/// Something that happened on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", try_from = "Row")]
pub struct Event {
    /// When, ns of the kernel's clock.
    pub at: u64,
    /// Where.
    pub cpu: u16,
    /// Which of `workload.instances()`; without meaning for [`What::Idle`].
    pub task: u32,
    /// What.
    pub what: What,
}

/// What happens on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A task got the CPU.
    Started {
        /// The class it runs in.
        class: QueueType,
        /// Why it was chosen.
        reason: Reason,
        /// The highest class that had to wait.
        lost: Option<QueueType>,
        /// How long it was ready before, ns.
        waited: u64,
    },
    /// It had to give way.
    Preempted,
    /// It let others go first.
    Yielded,
    /// It waits for another task.
    Blocked,
    /// It waits for an instant.
    Sleeping,
    /// It has ended.
    Ended,
    /// Nothing is left to run.
    Idle,
    /// Its deadline has passed.
    Missed,
}

/// An event as eight numbers: at, CPU, task, what, and of a start class, reason, class that lost (5: none) and waited. A
/// serial line is slow, so names would cost.
type Row = (u64, u16, u32, u8, u8, u8, u8, u64);

const REASONS: [Reason; 6] =
    [Reason::Idle, Reason::Continue, Reason::ClassOrder, Reason::WaitBound, Reason::Cap, Reason::Stolen];
const NOBODY: u8 = QueueType::ALL.len() as u8;

impl From<Event> for Row {
    fn from(Event { at, cpu, task, what }: Event) -> Row {
        let plain = |what| (at, cpu, task, what, 0, 0, 0, 0);
        match what {
            What::Started { class, reason, lost, waited } => {
                let reason = REASONS.iter().position(|known| *known == reason).unwrap_or_default() as u8;
                let lost = lost.map_or(NOBODY, |class| class.rank() as u8);
                (at, cpu, task, 0, class.rank() as u8, reason, lost, waited)
            }
            What::Preempted => plain(1),
            What::Yielded => plain(2),
            What::Blocked => plain(3),
            What::Sleeping => plain(4),
            What::Ended => plain(5),
            What::Idle => plain(6),
            What::Missed => plain(7),
        }
    }
}

impl TryFrom<Row> for Event {
    type Error = &'static str;

    fn try_from((at, cpu, task, what, class, reason, lost, waited): Row) -> Result<Event, &'static str> {
        let what = match what {
            0 => What::Started {
                class: *QueueType::ALL.get(usize::from(class)).ok_or("no such class")?,
                reason: *REASONS.get(usize::from(reason)).ok_or("no such reason")?,
                lost: QueueType::ALL.get(usize::from(lost)).copied(),
                waited,
            },
            1 => What::Preempted,
            2 => What::Yielded,
            3 => What::Blocked,
            4 => What::Sleeping,
            5 => What::Ended,
            6 => What::Idle,
            7 => What::Missed,
            _ => return Err("no such kind of event"),
        };
        Ok(Event { at, cpu, task, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_rows_of_numbers() {
        let started = What::Started { class: QueueType::Batch, reason: Reason::Cap, lost: None, waited: 4 };
        let whats = [started, What::Preempted, What::Yielded, What::Blocked, What::Sleeping, What::Ended];
        for what in whats.into_iter().chain([What::Idle, What::Missed]) {
            let event = Event { at: u64::MAX, cpu: 3, task: 7, what };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
        let text = serde_json::to_string(&Event { at: 1, cpu: 2, task: 3, what: started }).unwrap();
        assert_eq!(text, "[1,2,3,0,3,4,5,4]");
        assert!(serde_json::from_str::<Event>("[1,2,3,9,0,0,0,0]").is_err());
    }
}
