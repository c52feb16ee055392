//! Domains: groups of tasks with rights, ceilings and quotas ([`dis_core::isolation`]).
//!
//! What a task asks for is checked against the rights of its domain, also through handles that somebody passed on to it. Threads that run no
//! task are the host, and so are the tasks of another runtime.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dis_core::api::{SchedError, SchedResult, TaskId, Timestamp};
use dis_core::isolation::{Denial, Domain, DomainSpec, Right, Subject, Sweep};

use crate::gate::inside;
use crate::host::Runtime;
use crate::klt::{self, Klt};
use crate::lock::FutexLock;
use crate::runtime::Inner;
use crate::sys;
use crate::task::TaskRef;

/// When [`Runtime::destroy_domain`] looks for tasks again that are to be told, however few have ended: the first look may have missed some
/// that moved between CPUs.
const LOOK: Duration = Duration::from_millis(50);

/// Tells those who destroy domains of each task that ends.
#[derive(Default)]
pub(crate) struct Endings {
    /// How many threads want to know.
    watchers: AtomicU32,
    /// Futex word, changed by each end while there are any.
    count: AtomicU32,
}

impl Endings {
    /// A task has ended, as far as the core knows. Inside the runtime.
    #[inline]
    pub(crate) fn tell(&self) {
        // Sequentially consistent, as the domain's count: either we see who waits, or it sees that count.
        if self.watchers.load(Ordering::SeqCst) > 0 {
            self.count.fetch_add(1, Ordering::SeqCst);
            sys::futex_wake(&self.count, i32::MAX);
        }
    }
}

impl Runtime {
    /// Makes a domain, below another or below the root. Tasks go there with
    /// [`TaskBuilder::in_domain`](crate::TaskBuilder::in_domain).
    ///
    /// # Errors
    /// As [`TaskManager::create_domain`](dis_core::scheduler::TaskManager::create_domain); [`SchedError::NotSupported`] in a task, as the
    /// allocator may not be used there while a task's CPU is locked.
    pub fn create_domain(&self, parent: Option<&Domain>, spec: DomainSpec) -> SchedResult<Domain> {
        outside_tasks("making a domain in a task; make it on a thread that runs no task")?;
        self.inner.exec.create_domain(parent, spec)
    }

    /// Ends a domain and all below it. Nothing can be spawned there any more, and its tasks are aborted, as
    /// [`JoinHandle::abort`](crate::JoinHandle::abort) does; when the last has ended, all that was counted is given back to the domains above.
    /// Waits for that, `timeout` at most. False: some tasks have not ended, as they compute without calling the runtime; they end when they
    /// call it, so call again.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if it has been destroyed; [`SchedError::NotSupported`] in a task, which would wait for itself.
    pub fn destroy_domain(&self, domain: &Domain, timeout: Duration) -> SchedResult<bool> {
        outside_tasks("destroying a domain in a task; do it on a thread that runs no task")?;
        self.destroy(domain, timeout, LOOK)
    }

    fn destroy(&self, domain: &Domain, timeout: Duration, look: Duration) -> SchedResult<bool> {
        let (exec, endings, begun) = (&self.inner.exec, &self.inner.endings, Instant::now());
        exec.close_domain(domain)?;
        endings.watchers.fetch_add(1, Ordering::SeqCst);
        let mut looked = None::<Instant>;
        let all_ended = loop {
            if looked.is_none_or(|looked| looked.elapsed() >= look) {
                self.inner.abort_domain(domain);
                looked = Some(Instant::now());
            }
            let seen = endings.count.load(Ordering::SeqCst);
            if exec.tasks_within(domain) == 0 {
                break true;
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break false;
            }
            sys::futex_wait(&endings.count, seen, Some(left.min(look).as_nanos() as u64));
        };
        endings.watchers.fetch_sub(1, Ordering::SeqCst);
        // With no task left it ends none itself, which would take their stacks from under them.
        Ok(all_ended && exec.destroy_domain(self.now(), domain, &mut Sweep::default(), 1, |_, _| {})?)
    }

    /// How many calls of tasks have been refused for want of a right.
    pub fn denied(&self) -> u64 {
        inside(|| self.inner.exec.denied())
    }

    /// The last of them, 256 at most, oldest first.
    ///
    /// # Errors
    /// [`SchedError::NotSupported`] in a task, as this allocates under a lock.
    pub fn denials(&self) -> SchedResult<Vec<Denial>> {
        outside_tasks("reading the log of refused calls in a task; do it on a thread that runs no task")?;
        Ok(self.inner.exec.denials())
    }
}

fn outside_tasks(what: &'static str) -> SchedResult<()> {
    match klt::this().and_then(Klt::current) {
        Some(_) => Err(SchedError::NotSupported(what)),
        None => Ok(()),
    }
}

impl Inner {
    /// Asks `check` whether the calling task, which is in a domain, may do something. Else everything is allowed.
    #[inline]
    pub(crate) fn permit(
        &self,
        check: impl FnOnce(&Subject<'_, TaskRef, FutexLock>, Timestamp) -> SchedResult<()>,
    ) -> SchedResult<()> {
        if !self.exec.has_domains() {
            return Ok(());
        }
        let Some(me) = klt::this().and_then(Klt::current).filter(|me| ptr::eq(me.rt, self)) else { return Ok(()) };
        inside(|| {
            let subject = self.exec.as_task(me.id())?;
            if subject.domain().is_some() { check(&subject, self.now()) } else { Ok(()) }
        })
    }

    /// Whether the calling task may do that to another.
    pub(crate) fn permit_on(&self, right: Right, task: TaskId) -> SchedResult<()> {
        self.permit(|subject, now| subject.check_on(now, right, task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Event;
    use dis_core::intent::Intent;
    use std::sync::Arc;

    /// It would not look again for a minute, and the task ends after it has begun to wait.
    #[test]
    fn the_end_of_the_last_task_is_told() {
        let rt = Runtime::builder().workers(2).build().unwrap();
        let domain = rt.create_domain(None, DomainSpec::new("guests")).unwrap();
        let (begun, told) = (Arc::new(Event::manual()), Arc::new(Event::manual()));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (begun, told) = (Arc::clone(&begun), Arc::clone(&told));
                // What a destructor waits for, an abort does not end.
                let body = move || {
                    struct Late(Arc<Event>);
                    impl Drop for Late {
                        fn drop(&mut self) {
                            self.0.wait();
                        }
                    }
                    let _late = Late(told);
                    begun.set();
                    crate::park();
                };
                rt.task(Intent::batch()).in_domain(&domain).spawn(body).unwrap()
            })
            .collect();
        begun.wait();
        let opener = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            told.set();
        });
        let (minute, before) = (Duration::from_secs(60), Instant::now());
        assert_eq!(rt.destroy(&domain, minute, minute), Ok(true));
        assert!(before.elapsed() < minute / 2, "{:?}", before.elapsed());
        opener.join().unwrap();
        assert!(tasks.into_iter().all(|task| task.join().is_err_and(|error| error.is_cancelled())));
    }
}
