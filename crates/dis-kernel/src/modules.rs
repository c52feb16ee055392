//! The scheduler modules that are compiled in, and which class has the policy of which. Policies are exchanged while tasks run.
//!
//! The built-in modules are there from the boot on (`policy=CLASS=NAME` on the command line chooses among them); a kernel's author
//! [`register`]s others. There is no loading from files, and nothing protects from a module: a policy that panics, faults or never comes
//! back ends the machine, as it runs under a CPU's lock; the first two with a code of their own and the policy's name. One that answers wrongly is
//! replaced by the built-in one.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{SchedError, SchedResult, TaskId};
use dis_core::intent::QueueType;
use dis_core::modules::{SchedulerModule, SchedulerRegistry};
use dis_core::scheduler::{Handover, HandoverSummary};

use crate::lock::Lock;
use crate::sched::{self, Scheduler, scheduler};
use crate::{clock, guard, task};

static REGISTRY: Lock<Option<SchedulerRegistry>> = Lock::new(None);
/// The task that is replacing a policy, if it lives.
static REPLACER: AtomicU64 = AtomicU64::new(TaskId::INVALID.0);

fn with<T>(use_it: impl FnOnce(&mut SchedulerRegistry) -> T) -> T {
    use_it(REGISTRY.lock().get_or_insert_with(|| {
        let mut registry = SchedulerRegistry::with_builtins();
        registry.guard_policies(guard::guarded);
        registry
    }))
}

/// The choices of the command line, before there is a scheduler.
///
/// # Errors
/// What is wrong with one, and what could be chosen.
pub fn choose(choices: &[(QueueType, String)]) -> Result<(), String> {
    with(|registry| {
        for (class, name) in choices {
            registry.set_active(*class, name).map_err(|error| {
                let why = match error {
                    SchedError::TaskNotFound => format!("there is no such module; there are {:?}", registry.list()),
                    error => format!("{error}"),
                };
                format!("policy={class}={name}: {why}")
            })?;
        }
        Ok(())
    })
}

/// Makes the scheduler with the policies of the active modules. Once, before any CPU asks.
pub fn start(config: dis_core::scheduler::Config) {
    sched::init(with(|registry| Scheduler::with_modules(config, registry)));
}

/// Sets a module up and adds it. No class uses it yet.
///
/// # Errors
/// As [`SchedulerRegistry::register`].
pub fn register(module: Box<dyn SchedulerModule>) -> SchedResult<()> {
    with(|registry| registry.register(module))
}

/// Tears a module down and takes it out.
///
/// # Errors
/// As [`SchedulerRegistry::unregister`]: among others, it may not be active for a class.
pub fn unregister(name: &str) -> SchedResult<()> {
    with(|registry| registry.unregister(name))
}

/// The modules' names in alphabetical order.
pub fn list() -> Vec<&'static str> {
    with(|registry| registry.list())
}

/// The module that is active for a class.
pub fn active(class: QueueType) -> Option<&'static str> {
    with(|registry| registry.get_for_class(class).map(|module| module.name()))
}

/// Replaces the policy of `class` by that of the module `name` on every CPU, while the class's tasks wait and run. None is lost, none
/// runs twice. For tasks only; interrupts are off while policies are made (O(CPUs), and the memory that their queues need) and in each
/// step of at most 64 tasks.
///
/// # Errors
/// As [`SchedulerRegistry::set_active`]; [`SchedError::InvalidState`] if another task is replacing a policy, or if a policy of the module
/// answered wrongly before all tasks had gone over: then the class has its built-in policy on every CPU. One that answers wrongly later is
/// replaced on its CPU alone, and counted ([`policy_faults`](dis_core::executor::Executor::policy_faults)).
///
/// If the caller is killed meanwhile, CPUs that it has not come to keep the old policy until a policy of that class is replaced again.
pub fn activate(class: QueueType, name: &str) -> SchedResult<HandoverSummary> {
    let me = task::current().0;
    let before = REPLACER.load(Ordering::Relaxed);
    let free = before == TaskId::INVALID.0
        || scheduler().with_task(TaskId(before), |task| task.state().has_ended()).unwrap_or(true);
    if !free || REPLACER.compare_exchange(before, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return Err(SchedError::InvalidState);
    }
    let done = replace(class, name);
    REPLACER.store(TaskId::INVALID.0, Ordering::Release);
    done
}

fn replace(class: QueueType, name: &str) -> SchedResult<HandoverSummary> {
    let summary = finish(with(|registry| -> SchedResult<Handover> {
        registry.set_active(class, name)?;
        Ok(scheduler().prepare_handover(class, registry))
    })?);
    if summary.reverted.is_empty() {
        return Ok(summary);
    }
    let builtins = SchedulerRegistry::with_builtins();
    with(|registry| {
        let builtin = builtins.get_for_class(class).map_or("", |module| module.name());
        // A registry without it has the built-in policy for the class when it is asked.
        let _ = registry.set_active(class, builtin);
    });
    finish(scheduler().prepare_handover(class, &builtins));
    Err(SchedError::InvalidState)
}

/// All steps, with interrupts on between them.
fn finish(mut handover: Handover) -> HandoverSummary {
    while scheduler().advance_handover(&mut handover, clock::now()) {}
    handover.summary()
}
