//! Keeping a task on its worker: as long as it shares an identity, another worker could not run it anyway, so the core is
//! told not to move it.

use std::sync::atomic::Ordering;

use crate::klt::Klt;
use crate::runtime::Inner;
use crate::task::Header;

/// Values of `Header::kept`.
pub(crate) const MOVABLE: u8 = 0;
/// The core knows it as not movable.
const KEPT: u8 = 1;
/// It begins on a shared identity. Most such tasks end before they leave the CPU, so the core is told when they leave.
const LATER: u8 = 2;

/// Tells the core now.
pub(crate) fn keep(rt: &Inner, task: &Header) {
    if task.kept.load(Ordering::Relaxed) != KEPT && task.kept.swap(KEPT, Ordering::Relaxed) != KEPT {
        let _ = rt.exec.set_movable(task.id(), false);
    }
}

/// Tells the core when the task, which is about to begin, first leaves the CPU otherwise than by its end.
pub(crate) fn keep_later(task: &Header) {
    task.kept.store(LATER, Ordering::Relaxed);
}

/// `me` is about to leave the CPU of `klt`.
#[inline]
pub(crate) fn before_leave(klt: &Klt, me: &Header) {
    if me.kept.load(Ordering::Relaxed) == LATER {
        catch_up(klt, me);
    }
}

#[cold]
fn catch_up(klt: &Klt, me: &Header) {
    if klt.identity.bound() > 1 {
        keep(klt.rt(), me);
    } else {
        release(klt, me);
    }
}

/// `me` is about to leave for longer, or was preempted: if it is alone on its identity again, it may be moved again.
#[inline]
pub(crate) fn before_wait(klt: &Klt, me: &Header) {
    if me.kept.load(Ordering::Relaxed) != MOVABLE {
        if klt.identity.bound() == 1 { release(klt, me) } else { keep(klt.rt(), me) }
    }
}

fn release(klt: &Klt, me: &Header) {
    me.chain.store(1, Ordering::Relaxed);
    if me.kept.swap(MOVABLE, Ordering::Relaxed) == KEPT {
        let _ = klt.rt().exec.set_movable(me.id(), true);
    }
}
