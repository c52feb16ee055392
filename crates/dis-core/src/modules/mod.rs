//! Scheduler modules: policies under a name and a version, and which of them serves which class.
//!
//! A module is made once and makes a policy whenever a CPU needs one. The [`SchedulerRegistry`] holds the modules and
//! says, for each intent class, which one is active; a [`TaskManager`](crate::scheduler::TaskManager::with_modules) is made
//! from it, and there is no other way to choose policies. Modules are linked in; loading them from files is the host's
//! affair.

pub(crate) mod builtin;
mod registry;

pub use builtin::{EdfScheduler, FairScheduler, PriorityScheduler, RoundRobinScheduler};
pub use registry::{PolicyGuard, SchedulerRegistry};

use alloc::boxed::Box;
use core::fmt;

use crate::api::SchedError;
use crate::intent::QueueType;
use crate::policy::SchedulingPolicy;

/// A version: major.minor.patch, compared in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when users have to change.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
    /// Changes when something is repaired.
    pub patch: u16,
}

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Version { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The result of a module's set-up or tear-down.
pub type ModuleResult<T> = Result<T, ModuleError>;

/// Why a module could not be set up or torn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleError {
    /// Memory or another resource ran out.
    ResourceExhausted,
    /// The host lacks what the module needs; the text says what.
    Unsupported(&'static str),
    /// Something else; the text says what.
    Failed(&'static str),
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModuleError::ResourceExhausted => f.write_str("a resource ran out"),
            ModuleError::Unsupported(what) => write!(f, "not supported: {what}"),
            ModuleError::Failed(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for ModuleError {}

impl From<ModuleError> for SchedError {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::ResourceExhausted => SchedError::ResourceExhausted,
            ModuleError::Unsupported(what) | ModuleError::Failed(what) => SchedError::NotSupported(what),
        }
    }
}

/// What every module has.
pub trait Module: Send + Sync {
    /// The name it is registered, selected and listed by.
    fn name(&self) -> &'static str;

    /// Its version.
    fn version(&self) -> Version;

    /// Called once, when it is registered; a module that fails is not registered.
    ///
    /// # Errors
    /// Whatever keeps the module from working.
    fn init(&mut self) -> ModuleResult<()> {
        Ok(())
    }

    /// Called once, when it is unregistered. Policies that it has made may still be in use.
    ///
    /// # Errors
    /// Whatever is left behind.
    fn cleanup(&mut self) -> ModuleResult<()> {
        Ok(())
    }
}

/// A module that makes scheduling policies.
pub trait SchedulerModule: Module {
    /// A policy without tasks. Called once for each CPU and class that the module serves; the policies may outlive it.
    fn policy(&self) -> Box<dyn SchedulingPolicy>;

    /// The classes whose promises the policy keeps (`docs/guarantees.md`). The module becomes active for those that have
    /// none when it is registered. It can be made active for others, which then do without their promises: a host says so
    /// to whoever chose it.
    fn supported_intents(&self) -> &[QueueType];

    /// Whether `class` is one whose promises the policy keeps.
    fn keeps_promise(&self, class: QueueType) -> bool {
        self.supported_intents().contains(&class)
    }

    /// Whether the module can be active for `class` at all. Every policy can order any tasks, so the answer is yes unless the
    /// module knows better.
    fn can_schedule(&self, _class: QueueType) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn versions_compare_by_their_parts_in_order() {
        assert!(Version::new(1, 2, 3) < Version::new(1, 3, 0));
        assert!(Version::new(1, 10, 0) > Version::new(1, 9, 9));
        assert_eq!(Version::new(1, 0, 2).to_string(), "1.0.2");
    }
}
