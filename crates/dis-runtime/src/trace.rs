//! What happened, for traces: a ring of events per worker, filled without allocation or lock.
//!
//! Off by default; then it costs one load and one jump per decision. Each ring is written by the carrier of its worker,
//! inside the runtime, so there is one writer at a time; a reader takes what is complete, and is told how much it missed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use dis_core::api::{TaskId, Timestamp};
use dis_core::executor::{Decision, Leave, Reason};
use dis_core::intent::QueueType;

use crate::runtime::Inner;
use crate::task::TaskRef;

/// What happened to a task on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TraceKind {
    /// It got the CPU; `waited` says how long it was ready before.
    Run = 0,
    /// It lost the CPU without wanting to, and is ready.
    Preempt = 1,
    /// It waits until it is woken.
    Block = 2,
    /// It waits for an instant.
    Sleep = 3,
    /// It let others go first.
    Yield = 4,
    /// It ended.
    Exit = 5,
    /// The CPU has nothing to run.
    Idle = 6,
    /// It was chosen, but its kernel thread is in use by another task, for which it now waits.
    Declined = 7,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceEvent {
    /// When, on the runtime's clock.
    pub at: Timestamp,
    /// The scheduler's CPU (see `Runtime::cpus` for the machine's).
    pub cpu: usize,
    /// What.
    pub kind: TraceKind,
    /// Which task; [`TaskId::INVALID`] for [`TraceKind::Idle`].
    pub task: TaskId,
    /// The class it runs in, for [`TraceKind::Run`].
    pub class: Option<QueueType>,
    /// Why the CPU decided so, for [`TraceKind::Run`] and [`TraceKind::Idle`].
    pub reason: Option<Reason>,
    /// The highest class that had to wait.
    pub lost: Option<QueueType>,
    /// How long the task had been ready, ns, for [`TraceKind::Run`]: `at - waited` is when it became ready.
    pub waited: u64,
    /// When the task is woken at the latest, for [`TraceKind::Block`] and [`TraceKind::Sleep`], if that is known.
    pub until: Option<Timestamp>,
}

const WORDS: usize = 4;

/// A worker's events.
pub(crate) struct Ring {
    /// Events written so far; the place of event n is n modulo the length.
    head: AtomicU64,
    /// The task that runs here as far as the trace knows, to name those that leave.
    running: AtomicU64,
    places: Box<[[AtomicU64; WORDS]]>,
}

impl Ring {
    /// A ring with room for `events`.
    pub(crate) fn new(events: usize) -> Ring {
        let place = || [const { AtomicU64::new(0) }; WORDS];
        Ring { head: AtomicU64::new(0), running: AtomicU64::new(0), places: (0..events).map(|_| place()).collect() }
    }

    fn push(&self, event: [u64; WORDS]) {
        let n = self.head.load(Ordering::Relaxed);
        let Some(place) = self.places.get((n % self.places.len().max(1) as u64) as usize) else { return };
        // A reader that sees words of this event sees at least this head, and gives up on the place.
        // A reader that sees this head sees the words of the events before this one.
        self.head.store(n + 1, Ordering::Release);
        fence(Ordering::Release);
        for (cell, word) in place.iter().zip(event) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    /// How many events are complete.
    fn complete(&self) -> u64 {
        // The event before the head may be half-written.
        self.head.load(Ordering::Acquire).saturating_sub(1)
    }

    /// Event number `n`, if it is complete and has not been overwritten.
    fn get(&self, cpu: usize, n: u64) -> Option<TraceEvent> {
        let len = self.places.len() as u64;
        let place = self.places.get((n % len.max(1)) as usize)?;
        let words: [u64; WORDS] = std::array::from_fn(|i| place[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if self.head.load(Ordering::Relaxed) > n + len { None } else { decode(cpu, words) }
    }
}

fn encode(at: Timestamp, kind: TraceKind, task: TaskId, decision: Option<&Decision<TaskRef>>) -> [u64; WORDS] {
    let class = |class: Option<QueueType>| class.map_or(0, |class| class as u64 + 1);
    let next = decision.and_then(|d| d.next.as_ref());
    let reason = decision.map_or(0, |d| d.reason as u64 + 1);
    let lost = class(decision.and_then(|d| d.lost));
    let packed = kind as u64 | class(next.map(|n| n.class)) << 8 | reason << 16 | lost << 24;
    [at.as_nanos(), task.0, packed, next.map_or(0, |n| n.waited.as_nanos())]
}

/// As [`encode`] for a task that waits.
fn encode_wait(at: Timestamp, kind: TraceKind, task: TaskId, until: Option<Timestamp>) -> [u64; WORDS] {
    [at.as_nanos(), task.0, kind as u64, until.unwrap_or(Timestamp::MAX).as_nanos()]
}

fn decode(cpu: usize, [at, task, packed, time]: [u64; WORDS]) -> Option<TraceEvent> {
    use TraceKind::*;
    let kind = *[Run, Preempt, Block, Sleep, Yield, Exit, Idle, Declined].get((packed & 0xff) as usize)?;
    let class = |byte: u64| QueueType::ALL.get((byte as usize & 0xff).wrapping_sub(1)).copied();
    let reason = Reason::ALL.get(((packed >> 16) as usize & 0xff).wrapping_sub(1)).copied();
    Some(TraceEvent {
        at: Timestamp::from_nanos(at),
        cpu,
        kind,
        task: TaskId(task),
        class: class(packed >> 8),
        reason,
        lost: class(packed >> 24),
        waited: if kind == Run { time } else { 0 },
        until: (matches!(kind, Block | Sleep) && time != Timestamp::MAX.as_nanos())
            .then_some(Timestamp::from_nanos(time)),
    })
}

/// Notes a decision. Called by the carrier, inside the runtime.
#[inline]
pub(crate) fn decision(rt: &Inner, cpu: usize, now: Timestamp, leave: Leave, decision: &Decision<TaskRef>) {
    if rt.recording.load(Ordering::Relaxed)
        && let Some(ring) = rt.rings.get().and_then(|rings| rings.get(cpu))
    {
        note(rt, ring, now, leave, decision);
    }
}

/// Notes a call, or a reply, as [`decision`] does.
#[inline]
pub(crate) fn exchange(rt: &Inner, cpu: usize, leave: Leave, exchanged: &Decision<TaskRef>) {
    if rt.recording.load(Ordering::Relaxed) {
        decision(rt, cpu, rt.now(), leave, exchanged);
    }
}

#[cold]
fn note(rt: &Inner, ring: &Ring, now: Timestamp, leave: Leave, decision: &Decision<TaskRef>) {
    let before = TaskId(ring.running.load(Ordering::Relaxed));
    let next = decision.next.as_ref().map_or(TaskId::INVALID, |next| next.id);
    if before != TaskId::INVALID {
        let kind = match leave {
            Leave::Ask if next == before => return,
            Leave::Ask => TraceKind::Preempt,
            Leave::Yield => TraceKind::Yield,
            Leave::Block(..) => TraceKind::Block,
            Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_) => TraceKind::Sleep,
            Leave::Exit(_) => TraceKind::Exit,
            Leave::Declined => TraceKind::Declined,
        };
        let until = match leave {
            Leave::Sleep(until) => Some(until),
            Leave::Block(_, until) => until,
            Leave::NextPeriod | Leave::NextJob(_) => rt.exec.wake_time(before),
            _ => None,
        };
        ring.push(match kind {
            TraceKind::Block | TraceKind::Sleep => encode_wait(now, kind, before, until),
            _ => encode(now, kind, before, None),
        });
    } else if next == TaskId::INVALID && leave == Leave::Ask {
        return;
    }
    ring.running.store(next.0, Ordering::Relaxed);
    let kind = if next == TaskId::INVALID { TraceKind::Idle } else { TraceKind::Run };
    ring.push(encode(now, kind, next, Some(decision)));
}

/// Reads the events of a runtime that was built with `Builder::trace`. See `Runtime::trace`.
#[derive(Debug, Clone, Default)]
pub struct TraceReader {
    cursors: Vec<Cursor>,
    /// The instants of the cursors' events, and their rings.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    lost: u64,
}

/// How far a ring has been read.
#[derive(Debug, Clone, Default)]
struct Cursor {
    /// The number of the event after `event`.
    next: u64,
    end: u64,
    event: Option<TraceEvent>,
}

impl TraceReader {
    /// Gives `each` all events that are complete now, in the order of their instants; those of a CPU as they happened. Allocates at the
    /// first call only: a buffer of all events would be several MiB, many times a second. O(log CPUs) for each event.
    pub(crate) fn each(&mut self, rings: &[Ring], mut each: impl FnMut(TraceEvent)) {
        self.cursors.resize(rings.len(), Cursor::default());
        for (cpu, ring) in rings.iter().enumerate() {
            let cursor = &mut self.cursors[cpu];
            cursor.end = ring.complete().max(cursor.next);
            self.advance(cpu, ring);
        }
        while let Some(Reverse((_, cpu))) = self.order.pop() {
            if let Some(event) = self.cursors[cpu].event.take() {
                each(event);
            }
            self.advance(cpu, &rings[cpu]);
        }
    }

    /// Goes on to the next event of a ring that is still there.
    fn advance(&mut self, cpu: usize, ring: &Ring) {
        let cursor = &mut self.cursors[cpu];
        while cursor.next < cursor.end {
            let oldest = (ring.complete() + 1).saturating_sub(ring.places.len() as u64);
            let n = cursor.next.max(oldest.min(cursor.end));
            self.lost += n - cursor.next;
            cursor.next = n;
            if n == cursor.end {
                return;
            }
            cursor.next += 1;
            match ring.get(cpu, n) {
                Some(event) => {
                    self.order.push(Reverse((event.at, cpu)));
                    cursor.event = Some(event);
                    return;
                }
                None => self.lost += 1,
            }
        }
    }

    pub(crate) fn read(&mut self, rings: &[Ring]) -> Vec<TraceEvent> {
        let mut events = Vec::new();
        self.each(rings, |event| events.push(event));
        events
    }

    /// How many events were overwritten before they were read.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_and_counts_the_lost() {
        let ring = Ring::new(8);
        for n in 0..20u64 {
            ring.push(encode(Timestamp::from_nanos(n), TraceKind::Yield, TaskId(n + 1), None));
        }
        let (rings, mut reader) = ([ring], TraceReader::default());
        let events = reader.read(&rings);
        // The last one is not taken: it may be half-written.
        assert_eq!((reader.lost(), events.len()), (12, 7));
        assert_eq!((events[0].at.as_nanos(), events[0].task, events[0].cpu), (12, TaskId(13), 0));
        assert_eq!((reader.read(&rings), reader.lost()), (Vec::new(), 12));
        rings[0].push(encode(Timestamp::from_nanos(20), TraceKind::Yield, TaskId(21), None));
        assert_eq!(reader.read(&rings).iter().map(|event| event.task).collect::<Vec<_>>(), [TaskId(20)]);
    }

    #[test]
    fn events_of_several_cpus_come_in_order() {
        let rings = [Ring::new(64), Ring::new(64), Ring::new(64)];
        // Two at one instant on one CPU stay as they were pushed.
        for (n, cpu) in [0, 2, 2, 1, 0, 2, 1, 1, 0, 0, 2, 1].into_iter().enumerate() {
            let at = Timestamp::from_nanos(n as u64 / 3);
            rings[cpu].push(encode(at, TraceKind::Yield, TaskId(n as u64 + 1), None));
        }
        let events = TraceReader::default().read(&rings);
        assert_eq!(events.len(), 9);
        assert!(events.is_sorted_by_key(|event| event.at));
        for cpu in 0..3 {
            let of_it: Vec<_> = events.iter().filter(|event| event.cpu == cpu).map(|event| event.task.0).collect();
            assert!(of_it.len() == 3 && of_it.is_sorted(), "CPU {cpu}: {of_it:?}");
        }
    }
}
