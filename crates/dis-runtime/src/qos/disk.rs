//! The urgency of disk requests: Linux keeps it for each thread (`ioprio_set(2)`), and block devices whose scheduler knows
//! priorities (BFQ, mq-deadline) obey it.

use std::io;
use std::sync::OnceLock;

use dis_core::intent::IoPriority;

/// `IOPRIO_WHO_PROCESS`: a thread, 0 is the caller.
const WHO_THREAD: libc::c_int = 1;
/// A class in the upper three of sixteen bits, a level 0 (first) to 7 below.
const CLASS_SHIFT: u32 = 13;

fn value(priority: IoPriority) -> libc::c_int {
    let (class, level) = match priority {
        IoPriority::Realtime => (1, 4),
        // No class: the kernel takes the nice value, as for every thread that never asked.
        IoPriority::BestEffort => (0, 0),
        IoPriority::Idle => (3, 0),
    };
    (class << CLASS_SHIFT) | level
}

/// Sets the calling thread's. `permitted` has said that it may be set.
pub(crate) fn set(priority: IoPriority) {
    let _ = try_set(priority);
}

fn try_set(priority: IoPriority) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_THREAD, 0, value(priority)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether threads of this process may have this priority.
pub(crate) fn permitted(priority: IoPriority) -> Result<(), &'static str> {
    static REALTIME: OnceLock<bool> = OnceLock::new();
    static IDLE: OnceLock<bool> = OnceLock::new();
    let (known, why) = match priority {
        IoPriority::BestEffort => return Ok(()),
        IoPriority::Idle => (&IDLE, "io_priority: this system lets no thread change its own (ioprio_set)"),
        IoPriority::Realtime => (
            &REALTIME,
            "io_priority: realtime needs CAP_SYS_NICE or CAP_SYS_ADMIN (setcap cap_sys_nice+ep, or run as root)",
        ),
    };
    // On a thread of its own, so that it changes nothing for anybody.
    let try_it = || std::thread::Builder::new().spawn(move || try_set(priority).is_ok());
    if *known.get_or_init(|| try_it().is_ok_and(|tried| tried.join().unwrap_or(false))) { Ok(()) } else { Err(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intent, Runtime};

    fn get() -> libc::c_int {
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_THREAD, 0) as libc::c_int }
    }

    fn idle() -> Intent {
        let mut intent = Intent::batch();
        intent.constraints.io_priority = IoPriority::Idle;
        intent
    }

    #[test]
    fn a_task_has_its_priority_and_leaves_the_thread_as_it_was() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let plain = get();
        let tid = crate::sys::gettid;
        let (inside, thread) = rt.spawn_fn(idle(), move || (get(), tid())).unwrap().join().unwrap();
        assert_eq!(inside, 3 << CLASS_SHIFT);
        // Tasks until one runs on the same thread: threads of ended tasks are used again.
        for _ in 0..100 {
            let (after, other) = rt.spawn_fn(Intent::batch(), move || (get(), tid())).unwrap().join().unwrap();
            assert_eq!(after, plain);
            if other == thread {
                return;
            }
        }
        panic!("no task ran on the thread of the one before");
    }

    #[test]
    fn neither_parent_nor_neighbour_has_it_while_the_task_runs() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let seen = rt.spawn_fn(Intent::batch(), || {
            let child = crate::spawn_fn(idle(), || {
                crate::yield_now();
                get()
            });
            let child = child.unwrap().join().unwrap();
            (child, get())
        });
        let (child, parent) = seen.unwrap().join().unwrap();
        assert_eq!((child, parent >> CLASS_SHIFT), (3 << CLASS_SHIFT, 0));
    }

    #[test]
    fn a_future_has_it_too() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let seen = rt.spawn(idle(), async { get() }).unwrap();
        assert_eq!(seen.join().unwrap(), 3 << CLASS_SHIFT);
    }

    #[test]
    fn what_is_not_permitted_is_seen_in_advance() {
        // A thread without rights, as in a process of an ordinary user.
        let tried = std::thread::spawn(|| {
            crate::sys::drop_capabilities().unwrap();
            (try_set(IoPriority::Realtime).is_ok(), try_set(IoPriority::Idle).is_ok())
        });
        assert_eq!(tried.join().unwrap(), (false, true));
    }
}
