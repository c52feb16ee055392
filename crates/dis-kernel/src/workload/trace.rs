//! What happened on the CPUs: each writes its own log, which is read when all is over.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use dis_core::api::TaskId;
use dis_core::executor::{Leave, Reason};
use dis_core::intent::QueueType;
use dis_workload::boot::{Event, Message, What};

use super::send;
use crate::memory;
use crate::sched::{self, Observed};

/// Most events of one CPU.
const MOST: usize = 1 << 18;
/// Events in one message.
const BATCH: usize = 256;

/// What a CPU did.
#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    task: TaskId,
    what: What,
}

/// Written by one CPU, at the end; what is there never changes.
struct Page {
    entries: Box<[UnsafeCell<Entry>]>,
    count: AtomicUsize,
    lost: AtomicU64,
}

/// The logs of all CPUs.
pub struct Log {
    pages: &'static [Page],
    stopped: &'static AtomicBool,
}

// SAFETY: an entry is written by its CPU before the count says that it is there, and never after.
unsafe impl Sync for Page {}

static PAGES: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());
static STOPPED: AtomicBool = AtomicBool::new(false);

impl Log {
    /// Starts to record.
    pub fn start(cpus: usize) -> Log {
        let empty = Entry { at: 0, task: TaskId::INVALID, what: What::Idle };
        // A quarter of what is free at most.
        let room = memory::heap::free() / 4 / cpus / size_of::<Entry>();
        let page = || Page {
            entries: (0..room.min(MOST)).map(|_| UnsafeCell::new(empty)).collect(),
            count: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        };
        let pages: &'static mut [Page] = (0..cpus).map(|_| page()).collect::<Vec<_>>().leak();
        PAGES.store(pages.as_mut_ptr(), Ordering::Release);
        sched::observe(observe);
        Log { pages, stopped: &STOPPED }
    }

    /// What happens from now on belongs to nothing.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Sends all of it. `ids` are the workload's tasks in its order, `misses` the deadlines that they missed.
    pub fn send(&self, cpus: usize, ids: &[TaskId], misses: &[(usize, u64)]) {
        let index: BTreeMap<TaskId, u32> = ids.iter().enumerate().map(|(index, &id)| (id, index as u32)).collect();
        for (cpu, page) in self.pages.iter().enumerate().take(cpus) {
            let count = page.count.load(Ordering::Acquire);
            // SAFETY: entries below the count do not change.
            let entries: Vec<Entry> = page.entries[..count].iter().map(|entry| unsafe { *entry.get() }).collect();
            // The kernel's own task is not the workload's.
            let event = |entry: &Entry| match (index.get(&entry.task), entry.what) {
                (Some(&task), what) => Some(Event { at: entry.at, cpu: cpu as u16, task, what }),
                (None, What::Idle) => Some(Event { at: entry.at, cpu: cpu as u16, task: 0, what: What::Idle }),
                (None, _) => None,
            };
            for entries in entries.chunks(BATCH) {
                send(&Message::Trace(entries.iter().filter_map(event).collect()));
            }
            match page.lost.load(Ordering::Relaxed) {
                0 => {}
                lost => send(&Message::TraceLost(lost)),
            }
        }
        let missed = |&(task, at): &(usize, u64)| Event { at, cpu: 0, task: task as u32, what: What::Missed };
        for misses in misses.chunks(BATCH) {
            send(&Message::Trace(misses.iter().map(missed).collect()));
        }
    }
}

/// Called with every decision, with interrupts off.
fn observe(seen: &Observed<'_>) {
    if STOPPED.load(Ordering::Relaxed) {
        return;
    }
    let Some(page) = page(seen.cpu) else { return };
    let at = seen.now.as_nanos();
    let next = seen.decision.next.as_ref();
    if next.is_some_and(|next| !next.switch) {
        return;
    }
    let ran = !seen.previous.is_idle();
    if ran {
        page.push(Entry { at, task: seen.previous, what: departure(seen.leave) });
    }
    match next {
        Some(next) => {
            let (class, reason, lost) = (next.class, seen.decision.reason, seen.decision.lost);
            page.push(Entry { at, task: next.id, what: started(class, reason, lost, next.waited.as_nanos()) });
        }
        None if ran => page.push(Entry { at, task: TaskId::INVALID, what: What::Idle }),
        None => {}
    }
}

fn started(class: QueueType, reason: Reason, lost: Option<QueueType>, waited: u64) -> What {
    What::Started { class, reason, lost, waited }
}

fn departure(leave: Leave) -> What {
    match leave {
        Leave::Ask | Leave::Declined => What::Preempted,
        Leave::Yield => What::Yielded,
        Leave::Block(_, None) => What::Blocked,
        Leave::Block(_, Some(_)) | Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_) => What::Sleeping,
        Leave::Exit(_) => What::Ended,
    }
}

fn page(cpu: usize) -> Option<&'static Page> {
    let pages = PAGES.load(Ordering::Acquire);
    // SAFETY: there is one for each CPU, and they live for ever.
    (!pages.is_null()).then(|| unsafe { &*pages.add(cpu) })
}

impl Page {
    fn push(&self, entry: Entry) {
        let count = self.count.load(Ordering::Relaxed);
        match self.entries.get(count) {
            Some(place) => {
                // SAFETY: only this CPU writes, with interrupts off, and nobody reads what is not counted yet.
                unsafe { *place.get() = entry };
                self.count.store(count + 1, Ordering::Release);
            }
            None => _ = self.lost.fetch_add(1, Ordering::Relaxed),
        }
    }
}
