//! The modules of a runtime that runs: what policies there are, and which class has which.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use dis_core::api::{SchedError, SchedResult, Timestamp};
use dis_core::intent::QueueType;
use dis_core::isolation::Right;
use dis_core::modules::{SchedulerModule, SchedulerRegistry, Version};
use dis_core::scheduler::HandoverSummary;

use crate::host::Runtime;
use crate::runtime::Inner;

/// The modules of a runtime. Made by [`Runtime::modules`].
///
/// One call at a time; the others wait. Replacing a policy disturbs tasks for some tens of microseconds at a time (see
/// `docs/modules.md`).
#[derive(Clone, Copy)]
pub struct Modules<'a>(&'a Inner);

impl fmt::Debug for Modules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// A module that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: Version,
    /// The classes that it is active for.
    pub active: Vec<QueueType>,
    /// Those of them for which one CPU or more has the built-in policy, as the module's policy answered wrongly there.
    pub reverted: Vec<QueueType>,
}

/// A policy that was replaced while the runtime ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleChange {
    /// When it was asked for, on the runtime's clock.
    pub at: Timestamp,
    /// Whose policy.
    pub class: QueueType,
    /// The module that was active before; nothing: the built-in policy without a name of its own.
    pub from: Option<&'static str>,
    /// The module that was asked for.
    pub to: &'static str,
    /// Tasks that were handed over.
    pub moved: u64,
    /// Whether it answered wrongly before all had gone over, so that the class has its built-in policy.
    pub reverted: bool,
    /// How many policies of the class had been replaced because of wrong answers when this one began to serve it.
    pub faults: u64,
}

/// The last changes.
pub(crate) type ModuleLog = Mutex<Vec<ModuleChange>>;

/// Changes that are kept.
const MOST_CHANGES: usize = 1_000;

impl Runtime {
    /// The modules that policies come from, which can be changed while tasks run.
    pub fn modules(&self) -> Modules<'_> {
        Modules(&self.inner)
    }
}

impl<'a> Modules<'a> {
    #[cfg(feature = "control")]
    pub(crate) fn of(inner: &'a Inner) -> Modules<'a> {
        Modules(inner)
    }
}

impl Modules<'_> {
    fn permit(&self) -> SchedResult<()> {
        self.0.permit(|subject, now| subject.check(now, Right::LoadModule))
    }

    fn registry(&self) -> MutexGuard<'_, SchedulerRegistry> {
        self.0.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The modules in alphabetical order.
    pub fn list(&self) -> Vec<ModuleInfo> {
        let registry = self.registry();
        let active = |name| {
            let serves = |class: &QueueType| registry.get_for_class(*class).is_some_and(|module| module.name() == name);
            QueueType::ALL.into_iter().filter(serves).collect()
        };
        let changes = self.changes();
        let faulty = |class: &QueueType| {
            let before = changes.iter().rev().find(|change| change.class == *class).map_or(0, |change| change.faults);
            self.0.exec.policy_faults(*class) > before
        };
        let info = |name| {
            let active: Vec<_> = active(name);
            let reverted = active.iter().copied().filter(faulty).collect();
            Some(ModuleInfo { name, version: registry.get(name)?.version(), active, reverted })
        };
        registry.list().into_iter().filter_map(info).collect()
    }

    /// Sets a module up and adds it. No class uses it yet ([`activate`](Self::activate)), unless one has had none.
    ///
    /// # Errors
    /// As [`SchedulerRegistry::register`]; [`SchedError::PermissionDenied`] to a task whose domain has not the right.
    pub fn load(&self, module: Box<dyn SchedulerModule>) -> SchedResult<()> {
        self.permit()?;
        self.registry().register(module)
    }

    /// Tears a module down and takes it out.
    ///
    /// # Errors
    /// As [`SchedulerRegistry::unregister`]: among others, it may not be active for a class. [`SchedError::PermissionDenied`] to a task whose
    /// domain has not the right.
    pub fn unload(&self, name: &str) -> SchedResult<()> {
        self.permit()?;
        self.registry().unregister(name)
    }

    /// Replaces the policy of `class` by that of the module `name`, on every worker, while the class's tasks wait and run. None
    /// is lost, none runs twice.
    ///
    /// # Errors
    /// As [`SchedulerRegistry::set_active`], and [`SchedError::InvalidState`] if a policy of the module answered wrongly before
    /// all tasks had gone over. Then the class has its built-in policy on every worker, and nobody has been lost either.
    /// [`SchedError::PermissionDenied`] to a task whose domain has not the right.
    pub fn activate(&self, class: QueueType, name: &str) -> SchedResult<HandoverSummary> {
        self.permit()?;
        let mut registry = self.registry();
        let (at, from) = (self.0.now(), registry.get_for_class(class).map(|module| module.name()));
        let faults = self.0.exec.policy_faults(class);
        registry.set_active(class, name)?;
        let summary = self.hand_over(class, &registry);
        let Some(to) = registry.get(name).map(|module| module.name()) else { return Ok(summary) };
        let change = ModuleChange { at, class, from, to, moved: summary.moved, reverted: false, faults };
        if summary.reverted.is_empty() {
            self.note(change);
            return Ok(summary);
        }
        let builtins = SchedulerRegistry::with_builtins();
        if let Some(module) = builtins.get_for_class(class) {
            // A registry without it has the built-in policy for the class when it is asked.
            let _ = registry.set_active(class, module.name());
        }
        self.hand_over(class, &builtins);
        self.note(ModuleChange { reverted: true, faults: self.0.exec.policy_faults(class), ..change });
        Err(SchedError::InvalidState)
    }

    /// The policies that were replaced so far, the newest thousand.
    pub fn changes(&self) -> Vec<ModuleChange> {
        self.0.module_log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: ModuleChange) {
        let mut log = self.0.module_log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= MOST_CHANGES {
            log.remove(0);
        }
        log.push(change);
    }

    /// On a thread of its own: no signal preempts it while it holds a CPU's lock, and it may allocate between.
    fn hand_over(&self, class: QueueType, registry: &SchedulerRegistry) -> HandoverSummary {
        let inner = self.0;
        let work = || inner.exec.set_policy(class, registry, || inner.now());
        thread::scope(|scope| match scope.spawn(work).join() {
            Ok(summary) => summary,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}
