//! A policy that does not come back is noticed.
//!
//! A thread looks whether any policy has been in the same call for too long. It holds its CPU's lock meanwhile. It is made to leave
//! the call ([`escape`]); if that does not succeed for as long again, as it never is in code of its own (it waits in the system,
//! say), the thread says which policy it is, and ends the process.

use std::ffi::c_void;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::escape;
use super::library::Library;
use crate::abi::Answer;

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

impl Call {
    const ALL: [Call; 15] = [
        Call::OnReady,
        Call::Select,
        Call::Peek,
        Call::Exchange,
        Call::OnBlock,
        Call::Remove,
        Call::Update,
        Call::OnTick,
        Call::TimeSlice,
        Call::Preempts,
        Call::Visit,
        Call::Progress,
        Call::Vruntime,
        Call::Reserve,
        Call::Drop,
    ];

    /// The one of this number, if there is one.
    pub fn from_number(number: u8) -> Option<Call> {
        Call::ALL.into_iter().find(|call| *call as u8 == number)
    }

    pub fn name(self) -> &'static str {
        NAMES[self as usize - 1]
    }
}

/// Where a policy is.
#[derive(Debug)]
pub(super) struct Mark {
    /// The number of the call, times 256, and which it is; 0 in the lowest byte while it is in none.
    word: AtomicU64,
    /// The word at which the call is to be left.
    asked: AtomicU64,
    /// Which thread was the last to call.
    thread: AtomicI32,
    frame: escape::Frame,
    /// Where the library's code is.
    code: Range<usize>,
    module: &'static str,
    library: Arc<Library>,
}

static MARKS: Mutex<Vec<Weak<Mark>>> = Mutex::new(Vec::new());

impl Mark {
    pub fn new(module: &'static str, library: Arc<Library>) -> Arc<Mark> {
        let mark = Arc::new(Mark {
            word: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            thread: AtomicI32::new(0),
            frame: AtomicU64::new(0),
            code: library.code(),
            module,
            library,
        });
        MARKS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&mark));
        mark
    }

    /// Calls into the policy with `f`. `None`: it had to be stopped, and nothing of its library may be used any more.
    #[inline(always)]
    pub fn call<R: Copy>(&self, call: Call, f: impl FnOnce() -> R) -> Option<R> {
        self.during(call, || escape::call(self, f))
    }

    /// The same by [`escape::ask`].
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub unsafe fn ask(&self, call: Call, function: *const (), this: *mut c_void, args: [u64; 4]) -> Answer {
        // SAFETY: the caller's promise.
        self.during(call, || unsafe { escape::ask(self, function, this, args) })
    }

    #[inline(always)]
    fn during<R>(&self, call: Call, f: impl FnOnce() -> R) -> R {
        self.thread.store(escape::thread(), Relaxed);
        // Only one thread at a time is in a policy, so this need not be one operation.
        let word = self.word.load(Relaxed).wrapping_add(256) | call as u64;
        self.word.store(word, Relaxed);
        let answer = f();
        self.word.store(word & !255, Relaxed);
        answer
    }

    /// The call that is in progress is left. Async-signal-safe.
    pub(super) fn stop(&self) {
        if let Some(call) = Call::from_number(self.word.load(Relaxed) as u8) {
            Library::stop(&self.library, call);
        }
    }

    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Asks for the call to be left that has this word. False: that is not possible.
    fn ask_to_leave(&self, word: u64) -> bool {
        self.asked.store(word, Relaxed);
        escape::signal(self.thread.load(Relaxed))
    }

    pub(super) fn is_asked_to_leave(&self) -> bool {
        self.asked.load(Relaxed) == self.word.load(Relaxed)
    }

    pub(super) fn frame(&self) -> &escape::Frame {
        &self.frame
    }

    pub(super) fn code(&self) -> &Range<usize> {
        &self.code
    }

    /// Whether the library's own allocator has refused something. Not while the host's function is called by the policy.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.word.load(Relaxed) & 255 != Call::Visit as u64 && self.library.memory().refused > 0
    }
}

/// Begins to look, once for the process.
pub(super) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        escape::prepare();
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
            if *looks >= 2 * LOOKS || *looks >= LOOKS && !mark.ask_to_leave(word) {
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
        "dis-module: the policy '{module}' has not come back from {call} for {} s, and cannot be stopped where it is, so \
         the process ends",
        2 * PATIENCE.as_secs()
    );
    let len = cursor.position() as usize;
    // SAFETY: standard error, which is not closed here.
    let mut to = ManuallyDrop::new(unsafe { File::from_raw_fd(2) });
    let _ = to.write_all(&text[..len]);
    std::process::abort()
}
