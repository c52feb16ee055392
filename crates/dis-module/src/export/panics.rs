//! What becomes of the message of a panic: it is kept for the host, which may be where nothing may be printed.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Longest message that is kept, in bytes.
const ROOM: usize = 256;

/// The first panic's message.
struct First {
    begun: AtomicBool,
    /// 0 until it is complete.
    len: AtomicUsize,
    text: UnsafeCell<[u8; ROOM]>,
}

// SAFETY: whoever sets `begun` writes, once; the others read after `len` is there.
unsafe impl Sync for First {}

static FIRST: First =
    First { begun: AtomicBool::new(false), len: AtomicUsize::new(0), text: UnsafeCell::new([0; ROOM]) };

/// Writes as much as there is room for.
struct Buffer<'a>(&'a mut [u8; ROOM], usize);

impl Write for Buffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.len().min(ROOM - self.1);
        self.0[self.1..self.1 + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.1 += taken;
        Ok(())
    }
}

/// From now on panics of this library are kept instead of printed.
pub(super) fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            if FIRST.begun.swap(true, Ordering::AcqRel) {
                return;
            }
            // SAFETY: this thread alone has set the mark.
            let mut buffer = Buffer(unsafe { &mut *FIRST.text.get() }, 0);
            let text = info.payload().downcast_ref::<&str>().copied();
            let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
            let _ = match info.location() {
                Some(place) => write!(buffer, "panicked at {place}: {}", text.unwrap_or("no message")),
                None => write!(buffer, "panicked: {}", text.unwrap_or("no message")),
            };
            FIRST.len.store(buffer.1, Ordering::Release);
        }));
    });
}

/// See [`ModuleTable::fault`](crate::abi::ModuleTable::fault).
pub(super) unsafe extern "C" fn copy_first(to: *mut u8, room: usize) -> usize {
    let len = FIRST.len.load(Ordering::Acquire).min(room);
    // SAFETY: complete, so nobody writes any more; `to` has that much room.
    unsafe { std::ptr::copy_nonoverlapping(FIRST.text.get().cast::<u8>(), to, len) };
    len
}
