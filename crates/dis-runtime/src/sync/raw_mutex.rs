//! The lock of a mutex: hand-off and inheritance.

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dis_core::api::{BlockReason, Timestamp};
use dis_core::scheduler::Urgency;

use super::deadlock::{self, Nowhere};
use super::wait::{WaitList, Waiter, Woken};
use crate::api::here;
use crate::gate::{check_abort, inside};
use crate::inherit::{self, Guard};
use crate::runtime::fatal;
use crate::task::Header;

/// The owner's address, or one of these; bit 0 says that there are waiters.
const FREE: usize = 0;
const CONTENDED: usize = 1;
/// Owned by an ordinary thread.
const THREAD: usize = 2;

/// What came of entering the list of waiters.
enum Entered {
    Locked,
    Waits,
    Refused,
}

/// The lock without the value.
///
/// Uncontended operations change one word. As soon as somebody waits, everything happens under the inheritance lock: the
/// owner is lent the urgency of its waiters, and unlocking hands the mutex to one of them, so that no newcomer can overtake.
///
/// The owner is the task (or thread) that locked. Whoever drops the guard need not be it: a neighbour on the same KLT may
/// find the guard in a thread-local. So the owner is always taken from the word, never from the caller.
pub(crate) struct Core {
    word: AtomicUsize,
    waiters: UnsafeCell<WaitList>,
    /// Next in the list of contended mutexes of its owner.
    next: Cell<*const Core>,
}

// SAFETY: `waiters` and `next` are used under the inheritance lock.
unsafe impl Sync for Core {}
// SAFETY: as above.
unsafe impl Send for Core {}

impl Core {
    pub(super) const fn new() -> Core {
        Core { word: AtomicUsize::new(FREE), waiters: UnsafeCell::new(WaitList::new()), next: Cell::new(ptr::null()) }
    }

    fn waiters<'a>(&self, _guard: &'a mut Guard<'_>) -> &'a mut WaitList {
        // SAFETY: the guard proves that the lock is held, and borrowing it mutably that the list is borrowed once.
        unsafe { &mut *self.waiters.get() }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        inside(|| self.waiters(&mut inherit::lock()).len())
    }

    pub(crate) fn next_contended(&self, _guard: &Guard<'_>) -> *const Core {
        self.next.get()
    }

    /// The owner of a contended mutex, if it is a task that has not ended.
    pub(crate) fn owner<'a>(&self, _guard: &'a Guard<'_>) -> Option<&'a Header> {
        // SAFETY: an owner of a contended mutex cannot unlock without the lock that the guard stands for; one that has ended
        // is leaked.
        let owner = unsafe { task_of(self.word.load(Ordering::Relaxed)).as_ref() };
        owner.filter(|owner| !owner.orphaned.get())
    }

    pub(crate) fn most_urgent_waiter(&self, _guard: &Guard<'_>) -> Option<Urgency> {
        // SAFETY: the guard proves that the lock is held; nothing changes the list while we read.
        let waiters = unsafe { &*self.waiters.get() };
        waiters.iter().fold(None, |most, waiter| inherit::higher(most, waiter.urgency()))
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.try_lock_as(here().map(|(_, task)| task))
    }

    /// The same for `me`, the running task, if one runs.
    #[inline]
    pub(super) fn try_lock_as(&self, me: Option<&Header>) -> bool {
        let word = me.map_or(THREAD, |task| ptr::from_ref(task).expose_provenance());
        let locked = self.word.compare_exchange(FREE, word, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if locked && let Some(me) = me {
            me.mutexes.set(me.mutexes.get() + 1);
        }
        locked
    }

    /// Waits for it. False: until `until`, in vain, or there was a circle that is gone now. Without `until` a circle of mutexes alone
    /// that this would close is a panic, unless the caller unwinds already.
    #[cold]
    #[track_caller]
    pub(super) fn lock_slowly(&self, until: Option<Timestamp>) -> bool {
        match self.lock_or_refuse(until, false) {
            Some(locked) => locked,
            None => {
                if let Some((_, me)) = here() {
                    deadlock::panic(self, me);
                }
                false
            }
        }
    }

    /// `None`: it would be for ever, as the owner waits for the caller. With `refuse` that is said of every circle; without it, of those
    /// of mutexes alone: if there is a call in it, that fails.
    #[cold]
    pub(super) fn lock_or_refuse(&self, until: Option<Timestamp>, refuse: bool) -> Option<bool> {
        let waiter = Waiter::new();
        let woken = match inside(|| self.enter_list(&waiter, until.is_some(), refuse)) {
            Entered::Locked => Woken::Granted,
            Entered::Waits => waiter.wait(BlockReason::Mutex, until),
            Entered::Refused => return None,
        };
        if woken == Woken::Granted || inside(|| self.leave_list(&waiter)) {
            // Granted, perhaps in the moment in which we gave up.
            if let Some(me) = waiter.header() {
                me.mutexes.set(me.mutexes.get() + 1);
            }
            if woken == Woken::Aborted {
                self.unlock();
                check_abort();
            }
            return Some(true);
        }
        if woken == Woken::Aborted {
            check_abort();
        }
        Some(false)
    }

    /// Takes the mutex if it has become free, else enters the list.
    fn enter_list(&self, waiter: &Waiter, gives_up: bool, refuse: bool) -> Entered {
        let mut guard = inherit::lock();
        let me = if waiter.task.is_null() { THREAD } else { waiter.task.expose_provenance() };
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let new = if word == FREE { me } else { word | CONTENDED };
            match self.word.compare_exchange(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(FREE) => return Entered::Locked,
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if let Some((owner, me)) = self.owner(&guard).zip(waiter.header()) {
            let refused = match inherit::circle(&guard, owner, me) {
                Some(_) if refuse => true,
                Some(Some(caller)) => {
                    inherit::break_circle(&guard, caller);
                    false
                }
                // Two panics would end the process.
                Some(None) => !gives_up && !thread::panicking() && deadlock::closes(&guard, self, me, &mut Nowhere),
                None => false,
            };
            if refused {
                if word & CONTENDED == 0 {
                    self.word.fetch_and(!CONTENDED, Ordering::Relaxed);
                }
                return Entered::Refused;
            }
        }
        self.waiters(&mut guard).push(waiter);
        if let Some(me) = waiter.header() {
            me.waits_for.set(self);
            me.gives_up.set(gives_up);
        }
        if let Some(owner) = self.owner(&guard) {
            if word & CONTENDED == 0 {
                self.next.set(owner.contended.replace(self));
            }
            inherit::update(&guard, owner);
        }
        Entered::Waits
    }

    /// Leaves the list; true if the mutex was handed over meanwhile.
    fn leave_list(&self, waiter: &Waiter) -> bool {
        let mut guard = inherit::lock();
        if waiter.is_granted() {
            return true;
        }
        let waiters = self.waiters(&mut guard);
        waiters.remove(waiter);
        let empty = waiters.is_empty();
        if let Some(me) = waiter.header() {
            me.waits_for.set(ptr::null());
        }
        if let Some(owner) = self.owner(&guard) {
            if empty {
                self.forget_owner(&guard, owner);
            }
            inherit::update(&guard, owner);
        }
        if empty {
            self.word.fetch_and(!CONTENDED, Ordering::Relaxed);
        }
        false
    }

    #[inline]
    pub(super) fn unlock(&self) {
        let word = self.word.load(Ordering::Relaxed);
        // SAFETY: the mutex is locked, so its owner has not ended, or is leaked.
        if let Some(owner) = unsafe { task_of(word).as_ref() } {
            owner.mutexes.set(owner.mutexes.get() - 1);
        }
        if self.word.compare_exchange(word & !CONTENDED, FREE, Ordering::Release, Ordering::Relaxed).is_err() {
            inside(|| self.hand_over());
        }
    }

    /// Gives the mutex to the waiter whose turn it is.
    #[cold]
    fn hand_over(&self) {
        let mut guard = inherit::lock();
        if self.word.load(Ordering::Relaxed) & CONTENDED == 0 {
            // All have given up meanwhile.
            self.word.store(FREE, Ordering::Release);
            return;
        }
        let before = self.owner(&guard).map(ptr::from_ref);
        // SAFETY: it has not ended: as its guard is being dropped on its own KLT, it cannot run before this call is over.
        let before = before.map(|owner| unsafe { &*owner });
        if let Some(before) = before {
            self.forget_owner(&guard, before);
        }
        let waiters = self.waiters(&mut guard);
        let Some(heir) = waiters.pop_heir() else { fatal(&format_args!("a contended mutex without waiters")) };
        let more = !waiters.is_empty();
        // SAFETY: it was in the list under this lock, so it is alive.
        let waiter = unsafe { &*heir };
        let owner = if waiter.task.is_null() { THREAD } else { waiter.task.expose_provenance() };
        self.word.store(owner | if more { CONTENDED } else { 0 }, Ordering::Release);
        if let Some(task) = waiter.header() {
            task.waits_for.set(ptr::null());
            if more {
                self.next.set(task.contended.replace(self));
                inherit::update(&guard, task);
            }
        }
        if let Some(before) = before {
            inherit::update(&guard, before);
        }
        // SAFETY: it was in the list under this lock.
        unsafe { Waiter::grant(heir) };
    }

    /// Takes this mutex out of its owner's list of contended ones.
    fn forget_owner(&self, _guard: &Guard<'_>, owner: &Header) {
        let next = self.next.replace(ptr::null());
        if ptr::eq(owner.contended.get(), self) {
            owner.contended.set(next);
            return;
        }
        let mut at = owner.contended.get();
        // SAFETY: contended mutexes are borrowed by their waiters.
        while let Some(mutex) = unsafe { at.as_ref() } {
            at = mutex.next.get();
            if ptr::eq(at, self) {
                mutex.next.set(next);
            }
        }
    }
}

/// The task in a mutex's word; null if it is free or a thread's.
fn task_of(word: usize) -> *const Header {
    match word & !CONTENDED {
        FREE | THREAD => ptr::null(),
        task => ptr::with_exposed_provenance(task),
    }
}

/// `task` ends, but mutexes name it as their owner: it forgot a guard, or left one in a thread-local. From here on they are
/// nobody's, like those of a thread: the task's runtime may go away before they do. Inside the runtime.
#[cold]
pub(crate) fn orphan(task: &Header) {
    let guard = inherit::lock();
    task.leak();
    task.orphaned.set(true);
    // SAFETY: contended mutexes are borrowed by their waiters.
    while let Some(mutex) = unsafe { task.contended.get().as_ref() } {
        task.contended.set(mutex.next.replace(ptr::null()));
    }
    inherit::update(&guard, task);
}
