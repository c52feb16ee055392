//! Which module serves which class.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::builtin::{DEFAULTS, default_policy};
use super::{EdfScheduler, FairScheduler, PriorityScheduler, RoundRobinScheduler, SchedulerModule};
use crate::api::{SchedError, SchedResult};
use crate::intent::{IntentClass, QueueType};
use crate::policy::SchedulingPolicy;

/// A host's wrapper around policies.
pub type PolicyGuard = fn(Box<dyn SchedulingPolicy>) -> Box<dyn SchedulingPolicy>;

/// The modules by name, and the active one of each class. What a scheduler is made from
/// ([`TaskManager::with_modules`](crate::scheduler::TaskManager::with_modules)).
///
/// Classes are told apart by what they are, not by their parameters: all Realtime tasks have the same module.
#[derive(Default)]
pub struct SchedulerRegistry {
    modules: BTreeMap<&'static str, Box<dyn SchedulerModule>>,
    /// Names of registered modules, by class rank.
    active: [Option<&'static str>; QueueType::ALL.len()],
    /// Names of the modules that [`with_builtins`](Self::with_builtins) has put in and that are still there.
    builtin: Vec<&'static str>,
    guard: Option<PolicyGuard>,
}

impl fmt::Debug for SchedulerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modules: Vec<_> = self.modules.values().map(|module| (module.name(), module.version())).collect();
        f.debug_struct("SchedulerRegistry").field("modules", &modules).field("active", &self.active).finish()
    }
}

impl SchedulerRegistry {
    /// A registry without modules.
    pub fn new() -> Self {
        Self::default()
    }

    /// The four built-in modules. System tasks go by priority, Realtime and Interactive ones by deadline, Batch and
    /// Background ones by fair share.
    pub fn with_builtins() -> Self {
        let mut registry = Self::new();
        let modules: [Box<dyn SchedulerModule>; 4] = [
            Box::new(PriorityScheduler),
            Box::new(EdfScheduler),
            Box::new(FairScheduler),
            Box::new(RoundRobinScheduler::default()),
        ];
        for module in modules {
            registry.builtin.push(module.name());
            registry.modules.insert(module.name(), module);
        }
        for (class, name) in DEFAULTS {
            registry.active[class.rank()] = Some(name);
        }
        registry
    }

    /// Sets up a module and adds it. It becomes active for those of its classes that have no module yet.
    ///
    /// # Errors
    /// [`SchedError::TaskExists`] if there is a module of this name; else what the module's set-up answered.
    pub fn register(&mut self, mut module: Box<dyn SchedulerModule>) -> SchedResult<()> {
        let name = module.name();
        if self.modules.contains_key(name) {
            return Err(SchedError::TaskExists);
        }
        module.init()?;
        for &class in module.supported_intents() {
            self.active[class.rank()].get_or_insert(name);
        }
        self.modules.insert(name, module);
        Ok(())
    }

    /// Takes a module out and tears it down. It is out even if tearing it down fails.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] if there is none of this name; [`SchedError::InvalidState`] if it is active for a
    /// class; else what the module's tear-down answered.
    pub fn unregister(&mut self, name: &str) -> SchedResult<()> {
        if self.active.contains(&Some(name)) {
            return Err(SchedError::InvalidState);
        }
        let mut module = self.modules.remove(name).ok_or(SchedError::TaskNotFound)?;
        self.builtin.retain(|known| *known != name);
        Ok(module.cleanup()?)
    }

    /// The module of that name.
    pub fn get(&self, name: &str) -> Option<&dyn SchedulerModule> {
        self.modules.get(name).map(|module| &**module)
    }

    /// The active module of a task's class, whatever the class's parameters.
    pub fn get_for_intent(&self, intent: &IntentClass) -> Option<&dyn SchedulerModule> {
        self.get_for_class(intent.queue())
    }

    /// The active module of a class.
    pub fn get_for_class(&self, class: QueueType) -> Option<&dyn SchedulerModule> {
        self.get(self.active[class.rank()]?)
    }

    /// Makes the module `name` the active one of `class`, even if it does not keep the class's promises
    /// ([`SchedulerModule::keeps_promise`]). Schedulers that have been made are not changed.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] if there is none of this name; [`SchedError::NotSupported`] if it cannot serve the
    /// class at all ([`SchedulerModule::can_schedule`]).
    pub fn set_active(&mut self, class: QueueType, name: &str) -> SchedResult<()> {
        let module = self.modules.get(name).ok_or(SchedError::TaskNotFound)?;
        if !module.can_schedule(class) {
            return Err(SchedError::NotSupported("the module cannot serve this intent class"));
        }
        self.active[class.rank()] = Some(module.name());
        Ok(())
    }

    /// Wraps policies of modules other than the built-in ones, from now on, in something of the host's: a policy under it can
    /// be watched. The wrapper must answer as the policy does.
    pub fn guard_policies(&mut self, guard: PolicyGuard) {
        self.guard = Some(guard);
    }

    /// A policy for a class: the active module's, or the built-in one if there is none.
    pub(crate) fn make_policy(&self, class: QueueType) -> Box<dyn SchedulingPolicy> {
        let Some(module) = self.get_for_class(class) else { return default_policy(class) };
        match self.guard.filter(|_| self.is_foreign(class)) {
            Some(guard) => guard(module.policy()),
            None => module.policy(),
        }
    }

    /// Whether the active module of a class is not one of the built-in ones.
    pub(crate) fn is_foreign(&self, class: QueueType) -> bool {
        self.active[class.rank()].is_some_and(|name| !self.builtin.contains(&name))
    }

    /// The modules' names in alphabetical order.
    pub fn list(&self) -> Vec<&'static str> {
        self.modules.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::{Module, ModuleError, ModuleResult, Version};
    use crate::policy::FairPolicy;
    use QueueType::*;
    use alloc::sync::Arc;
    use core::sync::atomic::{AtomicU32, Ordering};

    /// A module that counts its set-ups (1) and tear-downs (100) and may fail at setting up.
    struct Probe(Arc<AtomicU32>, ModuleResult<()>);

    impl Module for Probe {
        fn name(&self) -> &'static str {
            "probe"
        }
        fn version(&self) -> Version {
            Version::new(0, 1, 0)
        }
        fn init(&mut self) -> ModuleResult<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            self.1
        }
        fn cleanup(&mut self) -> ModuleResult<()> {
            self.0.fetch_add(100, Ordering::Relaxed);
            Err(ModuleError::Failed("left something behind"))
        }
    }

    impl SchedulerModule for Probe {
        fn policy(&self) -> Box<dyn SchedulingPolicy> {
            Box::new(FairPolicy::default())
        }
        fn supported_intents(&self) -> &[QueueType] {
            &[Batch, Realtime]
        }
        fn can_schedule(&self, class: QueueType) -> bool {
            class != System
        }
    }

    fn name(registry: &SchedulerRegistry, class: QueueType) -> Option<&'static str> {
        registry.get_for_class(class).map(|module| module.name())
    }

    #[test]
    fn builtins_have_the_product_defaults() {
        let registry = SchedulerRegistry::with_builtins();
        assert_eq!(registry.list(), ["edf", "fair", "priority", "round-robin"]);
        let active = QueueType::ALL.map(|class| name(&registry, class).unwrap());
        assert_eq!(active, ["priority", "edf", "edf", "fair", "fair"]);
        for module in registry.list() {
            assert_eq!(registry.get(module).unwrap().policy().name(), module);
        }
        for class in QueueType::ALL {
            assert!(registry.get_for_class(class).unwrap().keeps_promise(class));
        }
    }

    #[test]
    fn a_class_is_found_whatever_its_parameters() {
        let registry = SchedulerRegistry::with_builtins();
        for wcet_us in [1, 2] {
            let class = IntentClass::Realtime { period_us: 9, deadline_us: 8, wcet_us };
            assert_eq!(registry.get_for_intent(&class).unwrap().name(), "edf");
        }
    }

    #[test]
    fn set_active_says_what_is_wrong() {
        let mut registry = SchedulerRegistry::with_builtins();
        assert_eq!(registry.set_active(Batch, "lottery"), Err(SchedError::TaskNotFound));
        registry.register(Box::new(Probe(Arc::default(), Ok(())))).unwrap();
        assert!(matches!(registry.set_active(System, "probe"), Err(SchedError::NotSupported(_))));
        assert_eq!(name(&registry, System), Some("priority"));
        assert_eq!(registry.set_active(Batch, "round-robin"), Ok(()));
        assert_eq!((name(&registry, Batch), name(&registry, Realtime)), (Some("round-robin"), Some("edf")));
    }

    #[test]
    fn every_builtin_is_choosable_for_every_class() {
        let mut registry = SchedulerRegistry::with_builtins();
        let mut kept = Vec::new();
        for class in QueueType::ALL {
            for module in ["round-robin", "priority", "edf", "fair"] {
                registry.set_active(class, module).unwrap();
                assert_eq!(registry.make_policy(class).name(), module);
                if registry.get_for_class(class).unwrap().keeps_promise(class) {
                    kept.push((class, module));
                }
            }
        }
        let wanted = [
            (System, "priority"),
            (Realtime, "edf"),
            (Interactive, "edf"),
            (Batch, "round-robin"),
            (Batch, "fair"),
            (Background, "round-robin"),
            (Background, "fair"),
        ];
        assert_eq!(kept, wanted);
    }

    #[test]
    fn only_policies_from_elsewhere_are_guarded() {
        let mut registry = SchedulerRegistry::with_builtins();
        assert_eq!(SchedulerRegistry::new().make_policy(Batch).name(), "fair", "no module: the built-in policy");
        registry.guard_policies(|_| Box::new(crate::policy::EdfPolicy::new()));
        assert_eq!(registry.make_policy(Batch).name(), "fair");
        registry.register(Box::new(Probe(Arc::default(), Ok(())))).unwrap();
        registry.set_active(Batch, "probe").unwrap();
        assert_eq!((registry.is_foreign(Batch), registry.is_foreign(Background)), (true, false));
        assert_eq!((registry.make_policy(Batch).name(), registry.make_policy(Background).name()), ("edf", "fair"));
    }

    #[test]
    fn a_module_is_set_up_once_and_serves_free_classes() {
        let mut registry = SchedulerRegistry::new();
        registry.register(Box::new(EdfScheduler)).unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        registry.register(Box::new(Probe(calls.clone(), Ok(())))).unwrap();
        let again = registry.register(Box::new(Probe(calls.clone(), Ok(()))));
        assert_eq!((again, calls.load(Ordering::Relaxed)), (Err(SchedError::TaskExists), 1));
        assert_eq!((name(&registry, Batch), name(&registry, Realtime)), (Some("probe"), Some("edf")));
        assert_eq!(name(&registry, System), None);
    }

    #[test]
    fn an_active_module_stays_and_another_is_torn_down() {
        let mut registry = SchedulerRegistry::with_builtins();
        let calls = Arc::new(AtomicU32::new(0));
        registry.register(Box::new(Probe(calls.clone(), Ok(())))).unwrap();
        registry.set_active(Batch, "probe").unwrap();
        assert_eq!(registry.unregister("probe"), Err(SchedError::InvalidState));
        registry.set_active(Batch, "fair").unwrap();
        assert_eq!(registry.unregister("probe"), Err(SchedError::NotSupported("left something behind")));
        assert_eq!((registry.get("probe").is_none(), calls.load(Ordering::Relaxed)), (true, 101));
        assert_eq!(registry.unregister("probe"), Err(SchedError::TaskNotFound));
    }

    #[test]
    fn a_module_that_cannot_be_set_up_is_not_there() {
        let mut registry = SchedulerRegistry::new();
        let broken = Probe(Arc::default(), Err(ModuleError::ResourceExhausted));
        assert_eq!(registry.register(Box::new(broken)), Err(SchedError::ResourceExhausted));
        assert!(registry.list().is_empty() && registry.get_for_class(Batch).is_none());
    }
}
