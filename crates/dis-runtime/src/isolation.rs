//! Domains: groups of tasks with rights, ceilings and quotas ([`dis_core::isolation`]).
//!
//! What a task asks for is checked against the rights of its domain, also through handles that somebody passed on to it. Threads that run no
//! task are the host, and so are the tasks of another runtime.

use std::ptr;

use dis_core::api::{SchedError, SchedResult, Timestamp};
use dis_core::isolation::{Denial, Domain, DomainSpec, Subject};

use crate::gate::inside;
use crate::host::Runtime;
use crate::klt::{self, Klt};
use crate::lock::FutexLock;
use crate::runtime::Inner;
use crate::task::TaskRef;

impl Runtime {
    /// Makes a domain, below another or below the root. Tasks go there with
    /// [`TaskBuilder::in_domain`](crate::TaskBuilder::in_domain).
    ///
    /// # Errors
    /// As [`TaskManager::create_domain`](dis_core::scheduler::TaskManager::create_domain); [`SchedError::NotSupported`] in a task, as the
    /// allocator may not be used there while a task's CPU is locked.
    pub fn create_domain(&self, parent: Option<&Domain>, spec: DomainSpec) -> SchedResult<Domain> {
        if klt::this().is_some_and(|klt| klt.current().is_some()) {
            return Err(SchedError::NotSupported("making a domain in a task; make it on a thread that runs no task"));
        }
        self.inner.exec.create_domain(parent, spec)
    }

    /// How many calls of tasks have been refused for want of a right.
    pub fn denied(&self) -> u64 {
        inside(|| self.inner.exec.denied())
    }

    /// The last of them, 256 at most, oldest first. For threads that run no task: allocates.
    pub fn denials(&self) -> Vec<Denial> {
        self.inner.exec.denials()
    }
}

impl Inner {
    /// Asks `check` whether the calling task may do something. Outside a task of this runtime everything is allowed.
    pub(crate) fn permit(
        &self,
        check: impl FnOnce(&Subject<'_, TaskRef, FutexLock>, Timestamp) -> SchedResult<()>,
    ) -> SchedResult<()> {
        let me = klt::this().and_then(Klt::current).filter(|me| ptr::eq(me.rt, self));
        me.map_or(Ok(()), |me| inside(|| check(&self.exec.as_task(me.id())?, self.now())))
    }
}
