//! Domains: groups of tasks with ceilings and quotas ([`dis_core::isolation`]).

use dis_core::api::{SchedError, SchedResult};
use dis_core::isolation::{Domain, DomainSpec};

use crate::host::Runtime;
use crate::klt;

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
}
