//! A policy that does not come back is noticed.
//!
//! It holds its CPU's lock and cannot be taken out of it: native code that loops can only be ended with its process. A
//! thread looks whether any policy has been in the same call for too long, says which, and ends the process.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long a policy may be in one call: 2 s. Far longer than any takes, as the machine may be busy.
pub const PATIENCE: Duration = Duration::from_millis(LOOKS as u64 * LOOK_MS);

/// Time between two looks, ms.
const LOOK_MS: u64 = 100;

/// So many looks at the same call are too many. Looks are counted, not time: a process that was stopped has not looped.
const LOOKS: u32 = 20;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Call {
    OnReady = 1,
    Select,
    Peek,
    Exchange,
    OnBlock,
    Remove,
    Update,
    OnTick,
    TimeSlice,
    Preempts,
    Visit,
    Progress,
    Vruntime,
    Reserve,
    Drop,
}

/// The methods' names, in the order of [`Call`].
const NAMES: [&str; 15] = [
    "on_ready",
    "select",
    "peek",
    "exchange",
    "on_block",
    "remove",
    "update",
    "on_tick",
    "time_slice",
    "preempts",
    "visit",
    "progress",
    "vruntime",
    "reserve",
    "drop",
];

/// Where a policy is.
#[derive(Debug)]
pub(super) struct Mark {
    /// The number of the call, times 256, and which it is; 0 in the lowest byte while it is in none.
    word: AtomicU64,
    module: &'static str,
}

static MARKS: Mutex<Vec<Weak<Mark>>> = Mutex::new(Vec::new());

impl Mark {
    pub fn new(module: &'static str) -> Arc<Mark> {
        let mark = Arc::new(Mark { word: AtomicU64::new(0), module });
        MARKS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&mark));
        mark
    }

    #[inline(always)]
    pub fn enter(&self, call: Call) {
        // Only one thread at a time is in a policy, so this need not be one operation.
        self.word.store(self.word.load(Relaxed).wrapping_add(256) | call as u64, Relaxed);
    }

    #[inline(always)]
    pub fn leave(&self) {
        self.word.store(self.word.load(Relaxed) & !255, Relaxed);
    }
}

/// Begins to look, once for the process.
pub(super) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let looks = thread::Builder::new().name("dis-modules".into()).spawn(look);
        // Without a thread nobody looks; all else works.
        drop(looks);
    });
}

fn look() {
    let mut seen: Vec<(Weak<Mark>, u64, u32)> = Vec::new();
    loop {
        thread::sleep(Duration::from_millis(LOOK_MS));
        seen.extend(MARKS.lock().unwrap_or_else(PoisonError::into_inner).drain(..).map(|mark| (mark, 0, 0)));
        seen.retain_mut(|(mark, last, looks)| {
            let Some(mark) = mark.upgrade() else { return false };
            let word = mark.word.load(Relaxed);
            *looks = if word & 255 != 0 && word == *last { *looks + 1 } else { 0 };
            *last = word;
            if *looks >= LOOKS {
                give_up(mark.module, word);
            }
            true
        });
    }
}

fn give_up(module: &str, word: u64) -> ! {
    let call = NAMES.get((word & 255) as usize - 1).copied().unwrap_or("?");
    // Not through the standard library's lock of standard error, which a task may hold.
    let mut text = [0_u8; 256];
    let mut cursor = std::io::Cursor::new(&mut text[..]);
    let _ = writeln!(
        cursor,
        "dis-module: the policy '{module}' has not come back from {call} for {} s; native code cannot be stopped, so \
         the process ends",
        PATIENCE.as_secs()
    );
    let len = cursor.position() as usize;
    // SAFETY: standard error, which is not closed here.
    let mut to = ManuallyDrop::new(unsafe { File::from_raw_fd(2) });
    let _ = to.write_all(&text[..len]);
    std::process::abort()
}
