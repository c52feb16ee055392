//! Domains: groups of tasks with rights, ceilings and quotas ([`dis_core::isolation`]).
//!
//! What a task asks for is checked against the rights of its domain, also through handles that somebody passed on to it. Threads that run no
//! task are the host, and so are the tasks of another runtime.

use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use dis_core::api::{SchedError, SchedResult, TaskId, Timestamp};
use dis_core::isolation::{Denial, Domain, DomainSpec, Right, Subject, Sweep};

use crate::gate::inside;
use crate::host::Runtime;
use crate::klt::{self, Klt};
use crate::lock::FutexLock;
use crate::runtime::Inner;
use crate::task::TaskRef;

/// How often [`Runtime::destroy_domain`] looks whether the tasks have ended.
const LOOK: Duration = Duration::from_millis(1);

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
        let (exec, begun) = (&self.inner.exec, Instant::now());
        exec.close_domain(domain)?;
        loop {
            self.inner.abort_domain(domain);
            // With no task left it ends none itself, which would take their stacks from under them.
            if exec.tasks_within(domain) == 0
                && exec.destroy_domain(self.now(), domain, &mut Sweep::default(), 1, |_, _| {})?
            {
                return Ok(true);
            }
            if begun.elapsed() >= timeout {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
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
