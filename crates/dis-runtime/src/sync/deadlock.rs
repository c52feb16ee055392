//! Circles of tasks that wait for each other's mutexes.

use std::fmt::{self, Write};
use std::io::Cursor;
use std::sync::atomic::Ordering;

use super::raw_mutex::Core;
use crate::gate::inside;
use crate::inherit::{self, Guard, MAX_CHAIN};
use crate::task::Header;

/// Bytes of what is told; the names of a long circle's tasks do not fit.
const TOLD: usize = 1024;

/// A sink that keeps what fits.
struct Text(Cursor<[u8; TOLD]>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let _ = std::io::Write::write_all(&mut self.0, text.as_bytes());
        Ok(())
    }
}

/// A sink that keeps nothing.
pub(super) struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

/// Whether `me` would wait for ever if it waited for `mutex`: each owner on the way waits for the next one's mutex without an end, and
/// the last is `me`. What the circle is goes to `out`. O(tasks in it); longer ones than [`MAX_CHAIN`] are not found.
pub(super) fn closes(guard: &Guard<'_>, mutex: &Core, me: &Header, out: &mut impl Write) -> bool {
    let mut mutex = mutex;
    for _ in 0..MAX_CHAIN {
        let Some(owner) = mutex.owner(guard) else { return false };
        // One that is to end, gives up after a while, or has called somebody, may be on its way out.
        let stays = !owner.aborted.load(Ordering::Relaxed) && owner.server.load(Ordering::Relaxed).is_null();
        if !stays {
            return false;
        }
        let _ = write!(out, "waits for mutex {mutex:p}, held by task {}", owner.id().0);
        if !owner.name.is_empty() {
            let _ = write!(out, " '{}'", owner.name);
        }
        let own = std::ptr::eq(owner, me);
        let _ = out.write_str(if own { " itself" } else { ", which " });
        if own {
            return true;
        }
        // SAFETY: whoever waits for a mutex borrows it, and cannot stop waiting without the lock.
        mutex = match unsafe { owner.waits_for.get().as_ref() } {
            Some(next) if !owner.gives_up.get() => next,
            _ => return false,
        };
    }
    false
}

/// Ends the calling task, `me`, by a panic that tells of the circle that it would have closed; returns if there is none any more.
///
/// In a function of its own, so that the text takes no room on the stacks of those who wait.
#[cold]
#[inline(never)]
#[track_caller]
pub(super) fn panic(mutex: &Core, me: &Header) {
    let mut text = Text(Cursor::new([0; TOLD]));
    let _ = write!(text, "deadlock: ");
    // Nothing may be allocated under the lock.
    if inside(|| closes(&inherit::lock(), mutex, me, &mut text)) {
        let len = text.0.position() as usize;
        panic!("{}", String::from_utf8_lossy(&text.0.get_ref()[..len]));
    }
}
