//! A mutex with hand-off and inheritance.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dis_core::api::{BlockReason, Timestamp};
use dis_core::scheduler::Urgency;

use super::wait::{WaitList, Waiter, Woken};
use crate::api::here;
use crate::gate::{check_abort, inside};
use crate::inherit::{self, Guard};
use crate::runtime::Inner;
use crate::task::Header;

/// The owner's address, or one of these; bit 0 says that there are waiters.
const FREE: usize = 0;
const CONTENDED: usize = 1;
/// Owned by an ordinary thread.
const THREAD: usize = 2;

/// The lock without the value.
///
/// Uncontended operations change one word. As soon as somebody waits, everything happens under the inheritance lock: the
/// owner is lent the urgency of its waiters, and unlocking hands the mutex to the most urgent of them, so that nobody can
/// overtake.
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
    const fn new() -> Core {
        Core { word: AtomicUsize::new(FREE), waiters: UnsafeCell::new(WaitList::new()), next: Cell::new(ptr::null()) }
    }

    fn waiters<'a>(&self, _guard: &'a mut Guard<'_>) -> &'a mut WaitList {
        // SAFETY: the guard proves that the lock is held, and borrowing it mutably that the list is borrowed once.
        unsafe { &mut *self.waiters.get() }
    }

    pub(crate) fn next_contended(&self, _guard: &Guard<'_>) -> *const Core {
        self.next.get()
    }

    /// The owner, if it is a task.
    pub(crate) fn owner(&self, _guard: &Guard<'_>) -> *const Header {
        let owner = self.word.load(Ordering::Relaxed) & !CONTENDED;
        if owner == THREAD || owner == FREE { ptr::null() } else { ptr::with_exposed_provenance(owner) }
    }

    pub(crate) fn most_urgent_waiter(&self, _rt: &Inner, _guard: &Guard<'_>) -> Option<Urgency> {
        // SAFETY: the guard proves that the lock is held; nothing changes the list while we read.
        let waiters = unsafe { &*self.waiters.get() };
        waiters.iter().fold(None, |most, waiter| inherit::higher(most, waiter.urgency()))
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let me = here().map(|(_, task)| task);
        let word = me.map_or(THREAD, |task| ptr::from_ref(task).expose_provenance());
        let locked = self.word.compare_exchange(FREE, word, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if locked && let Some(me) = me {
            me.mutexes.set(me.mutexes.get() + 1);
        }
        locked
    }

    #[cold]
    fn lock_slowly(&self, until: Option<Timestamp>) -> bool {
        let waiter = Waiter::new();
        let locked = inside(|| self.enter_list(&waiter));
        let woken = if locked { Woken::Granted } else { waiter.wait(BlockReason::Mutex, until) };
        if woken == Woken::Granted || inside(|| self.leave_list(&waiter)) {
            // Granted, perhaps in the moment in which we gave up.
            if let Some(me) = waiter.header() {
                me.mutexes.set(me.mutexes.get() + 1);
            }
            if woken == Woken::Aborted {
                self.unlock();
                check_abort();
            }
            return true;
        }
        if woken == Woken::Aborted {
            check_abort();
        }
        false
    }

    /// Takes the mutex if it has become free (then true), else enters the list.
    fn enter_list(&self, waiter: &Waiter) -> bool {
        let mut guard = inherit::lock();
        let me = if waiter.task.is_null() { THREAD } else { waiter.task.expose_provenance() };
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let new = if word == FREE { me } else { word | CONTENDED };
            match self.word.compare_exchange(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(FREE) => return true,
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        self.waiters(&mut guard).push(waiter);
        if let Some(me) = waiter.header() {
            me.waits_for.set(self);
        }
        // SAFETY: an owner that ends with a mutex locked is leaked.
        if let Some(owner) = unsafe { self.owner(&guard).as_ref() } {
            if word & CONTENDED == 0 {
                self.next.set(owner.contended.replace(self));
            }
            // SAFETY: a task's runtime exists.
            inherit::update(unsafe { &*owner.rt }, &guard, owner);
        }
        false
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
        // SAFETY: as in `enter_list`.
        if let Some(owner) = unsafe { self.owner(&guard).as_ref() } {
            if empty {
                self.forget_owner(&guard, owner);
            }
            // SAFETY: a task's runtime exists.
            inherit::update(unsafe { &*owner.rt }, &guard, owner);
        }
        if empty {
            self.word.fetch_and(!CONTENDED, Ordering::Relaxed);
        }
        false
    }

    #[inline]
    fn unlock(&self) {
        let me = here().map(|(_, task)| task);
        if let Some(me) = me {
            me.mutexes.set(me.mutexes.get() - 1);
        }
        let word = me.map_or(THREAD, |task| ptr::from_ref(task).expose_provenance());
        if self.word.compare_exchange(word, FREE, Ordering::Release, Ordering::Relaxed).is_err() {
            inside(|| self.hand_over(me));
        }
    }

    /// Gives the mutex to the most urgent waiter.
    #[cold]
    fn hand_over(&self, me: Option<&Header>) {
        let mut guard = inherit::lock();
        if let Some(me) = me {
            self.forget_owner(&guard, me);
        }
        let waiters = self.waiters(&mut guard);
        let Some(heir) = waiters.most_urgent().map(ptr::from_ref) else {
            // All have given up meanwhile.
            self.word.store(FREE, Ordering::Release);
            return;
        };
        // SAFETY: in the list, so alive.
        let waiter = unsafe { &*heir };
        waiters.remove(waiter);
        let more = !waiters.is_empty();
        let owner = if waiter.task.is_null() { THREAD } else { waiter.task.expose_provenance() };
        self.word.store(owner | if more { CONTENDED } else { 0 }, Ordering::Release);
        if let Some(task) = waiter.header() {
            task.waits_for.set(ptr::null());
            if more {
                self.next.set(task.contended.replace(self));
                // SAFETY: a task's runtime exists.
                inherit::update(unsafe { &*task.rt }, &guard, task);
            }
        }
        if let Some(me) = me {
            // SAFETY: as above.
            inherit::update(unsafe { &*me.rt }, &guard, me);
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

/// Mutual exclusion for tasks and threads.
///
/// A waiting task lets others run. The owner inherits class, priority and deadline of its most urgent waiter, along chains
/// of mutexes as well; unlocking hands the mutex to the most urgent waiter, first come first served among
/// equals. There is no poisoning: a panic unlocks.
pub struct Mutex<T: ?Sized> {
    core: Core,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the owner of the lock only.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Mutex { core: Core::new(), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting as long as it takes. Locking it twice in one task never returns.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.core.try_lock() {
            self.core.lock_slowly(None);
        }
        self.guard()
    }

    /// Locks if nobody has the lock.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.core.try_lock().then(|| self.guard())
    }

    /// Locks, waiting at most `timeout`.
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let until = crate::api::now() + timeout.into();
        (self.core.try_lock() || self.core.lock_slowly(Some(until))).then(|| self.guard())
    }

    /// The value; nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, not_send: PhantomData }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

/// The right to the value of a locked [`Mutex`]; dropping it unlocks.
#[must_use = "dropped at once, it unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// The owner has to unlock.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: locked.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.core.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
