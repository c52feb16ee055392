//! The author's side: what [`export_scheduler!`](crate::export_scheduler) puts behind the C functions.

mod heap;
mod panics;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dis_core::api::{Duration, Timestamp};
use dis_core::modules::{ModuleError, ModuleResult, SchedulerModule};
use dis_core::policy::{Entity, SchedulingPolicy, TaskKey};

use crate::abi::{
    Answer, Classes, Clock, Descriptor, FAULTY_CLASSES, FAULTY_NUMBER, MAGIC, ModuleTable, Outcome, PolicyTable,
    TOOLKIT, Text, VERSION, Visitor, arrival, classes,
};
pub use heap::{Heap, LIMIT};

/// Exports a [`SchedulerModule`](dis_core::modules::SchedulerModule) with a `Default` from a `cdylib`.
///
/// It defines the symbol that hosts look for, and the library's allocator, a [`Heap`](crate::export::Heap) over the
/// system's that counts and has a limit. So a library has one export, and no `#[global_allocator]` of its own; with
/// `export_scheduler!(MyScheduler, allocator: none)` it may have one, and no limit. Panics must unwind.
///
/// ```
/// use dis_core::intent::QueueType;
/// use dis_core::modules::{Module, SchedulerModule, Version};
/// use dis_core::policy::{RoundRobinPolicy, SchedulingPolicy};
///
/// #[derive(Default)]
/// struct Turns;
///
/// impl Module for Turns {
///     fn name(&self) -> &'static str {
///         "turns"
///     }
///     fn version(&self) -> Version {
///         Version::new(0, 1, 0)
///     }
/// }
///
/// impl SchedulerModule for Turns {
///     fn policy(&self) -> Box<dyn SchedulingPolicy> {
///         Box::new(RoundRobinPolicy::default())
///     }
///     fn supported_intents(&self) -> &[QueueType] {
///         &[QueueType::Batch]
///     }
/// }
///
/// dis_module::export_scheduler!(Turns);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_scheduler {
    ($module:ty) => {
        $crate::export_scheduler!($module, allocator: none);

        #[global_allocator]
        static DIS_MODULE_HEAP: $crate::export::Heap = $crate::export::Heap::new();
    };
    ($module:ty, allocator: none) => {
        #[cfg(all(not(panic = "unwind"), not(target_arch = "wasm32")))]
        compile_error!("a scheduler module catches its panics: build it with panic = \"unwind\"");

        /// What hosts call where it is WebAssembly.
        #[cfg(target_arch = "wasm32")]
        mod dis_module_exports {
            use super::*;
            use $crate::export::wasm;

            #[unsafe(no_mangle)]
            extern "C" fn dis_abi() -> u32 {
                $crate::abi::wasm::VERSION
            }
            #[unsafe(no_mangle)]
            extern "C" fn dis_buffer() -> *mut u8 {
                wasm::buffer()
            }
            #[unsafe(no_mangle)]
            extern "C" fn dis_create() {
                wasm::create::<$module>();
            }
            #[unsafe(no_mangle)]
            extern "C" fn dis_ask(what: u32) -> u64 {
                wasm::ask(what)
            }
            #[unsafe(no_mangle)]
            extern "C" fn dis_call(what: u32, a: u64, b: u64, c: u64) -> u64 {
                wasm::call(what, a, b, c)
            }
        }

        /// What hosts look for.
        #[cfg(not(target_arch = "wasm32"))]
        #[unsafe(no_mangle)]
        pub static DIS_SCHEDULER_MODULE: $crate::abi::Descriptor = $crate::export::descriptor::<$module>();
    };
}

/// What a library exports for a module.
pub const fn descriptor<M: SchedulerModule + Default>() -> Descriptor {
    Descriptor {
        magic: MAGIC,
        version: VERSION,
        size: size_of::<Descriptor>() as u32,
        toolkit: Text::new(TOOLKIT),
        module: Exported::<M>::TABLE,
        policy: POLICY,
    }
}

/// The functions of a module.
struct Exported<M>(PhantomData<M>);

/// Runs `f`; a panic becomes `fault`.
fn guarded<T>(fault: T, f: impl FnOnce() -> T) -> T {
    // What was being changed is not used any more after a fault, but for being dropped.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        // What a panic carries may panic when it is dropped.
        std::mem::forget(payload);
        fault
    })
}

impl<M: SchedulerModule + Default> Exported<M> {
    const TABLE: ModuleTable = ModuleTable {
        create: Self::create,
        destroy: Self::destroy,
        name: Self::name,
        version: Self::version,
        init: Self::init,
        cleanup: Self::cleanup,
        supported: Self::supported,
        possible: Self::possible,
        policy: Self::policy,
        fault: panics::copy_first,
        memory: heap::memory,
    };

    /// # Safety
    /// `this` comes from `create` and has not been destroyed; nobody else uses it during the call. So it is with all
    /// functions here.
    unsafe fn with<T>(this: *mut c_void, fault: T, f: impl FnOnce(&mut M) -> T) -> T {
        // SAFETY: the caller's promise.
        let module = unsafe { &mut *this.cast::<M>() };
        guarded(fault, || f(module))
    }

    unsafe extern "C" fn create() -> *mut c_void {
        panics::record();
        guarded(std::ptr::null_mut(), || Box::into_raw(Box::<M>::default()).cast())
    }

    unsafe extern "C" fn destroy(this: *mut c_void) {
        // SAFETY: as for `with`.
        guarded((), || drop(unsafe { Box::from_raw(this.cast::<M>()) }));
    }

    unsafe extern "C" fn name(this: *mut c_void) -> Text {
        // SAFETY: as for `with`.
        unsafe { Self::with(this, Text::new(""), |module| Text::new(module.name())) }
    }

    unsafe extern "C" fn version(this: *mut c_void) -> u64 {
        let number = |module: &mut M| {
            let version = module.version();
            u64::from(version.major) << 48 | u64::from(version.minor) << 32 | u64::from(version.patch) << 16
        };
        // SAFETY: as for `with`.
        unsafe { Self::with(this, FAULTY_NUMBER, number) }
    }

    unsafe extern "C" fn init(this: *mut c_void) -> Outcome {
        // SAFETY: as for `with`.
        unsafe { Self::with(this, outcome_of_panic(), |module| outcome(module.init())) }
    }

    unsafe extern "C" fn cleanup(this: *mut c_void) -> Outcome {
        // SAFETY: as for `with`.
        unsafe { Self::with(this, outcome_of_panic(), |module| outcome(module.cleanup())) }
    }

    unsafe extern "C" fn supported(this: *mut c_void) -> Classes {
        // SAFETY: as for `with`.
        unsafe { Self::with(this, FAULTY_CLASSES, |module| classes(|class| module.keeps_promise(class))) }
    }

    unsafe extern "C" fn possible(this: *mut c_void) -> Classes {
        // SAFETY: as for `with`.
        unsafe { Self::with(this, FAULTY_CLASSES, |module| classes(|class| module.can_schedule(class))) }
    }

    unsafe extern "C" fn policy(this: *mut c_void) -> *mut c_void {
        let make = |module: &mut M| Box::into_raw(Box::new(module.policy())).cast();
        // SAFETY: as for `with`.
        unsafe { Self::with(this, std::ptr::null_mut(), make) }
    }
}

fn outcome_of_panic() -> Outcome {
    Outcome { code: Outcome::FAULT, why: Text::new("it panicked") }
}

fn outcome(result: ModuleResult<()>) -> Outcome {
    let (code, why) = match result {
        Ok(()) => (Outcome::DONE, ""),
        Err(ModuleError::ResourceExhausted) => (Outcome::EXHAUSTED, ""),
        Err(ModuleError::Unsupported(what)) => (Outcome::UNSUPPORTED, what),
        Err(ModuleError::Failed(what)) => (Outcome::FAILED, what),
    };
    Outcome { code, why: Text::new(why) }
}

/// The functions of all policies.
const POLICY: PolicyTable = PolicyTable {
    destroy,
    on_ready,
    select,
    peek,
    exchange,
    on_block,
    remove,
    update,
    on_tick,
    time_slice,
    preempts,
    visit,
    progress,
    vruntime,
    reserve,
};

type Boxed = Box<dyn SchedulingPolicy>;

/// # Safety
/// `this` comes from `ModuleTable::policy` and has not been destroyed; nobody else uses it during the call. So it is with
/// all functions here.
unsafe fn with(this: *mut c_void, f: impl FnOnce(&mut dyn SchedulingPolicy) -> u64) -> Answer {
    // SAFETY: the caller's promise.
    let policy = unsafe { &mut **this.cast::<Boxed>() };
    guarded(Answer { value: 0, len: Answer::FAULT }, || {
        let value = f(policy);
        Answer { value, len: policy.len() as u64 }
    })
}

/// The same for a function that changes nothing.
///
/// # Safety
/// As [`with`].
unsafe fn ask<T>(this: *mut c_void, fault: T, f: impl FnOnce(&mut dyn SchedulingPolicy) -> T) -> T {
    // SAFETY: the caller's promise.
    let policy = unsafe { &mut **this.cast::<Boxed>() };
    guarded(fault, || f(policy))
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

unsafe extern "C" fn destroy(this: *mut c_void) {
    // SAFETY: as for `with`.
    guarded((), || drop(unsafe { Box::from_raw(this.cast::<Boxed>()) }));
}

unsafe extern "C" fn on_ready(this: *mut c_void, task: &mut Entity, why: u8, now: u64) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        policy.on_ready(task, arrival(why).expect("an arrival of this ABI"), at(now));
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn select(this: *mut c_void, now: u64) -> Answer {
    // SAFETY: as for `with`.
    unsafe { with(this, |policy| Answer::of_key(policy.select(at(now)))) }
}

unsafe extern "C" fn peek(this: *mut c_void, now: u64) -> Answer {
    // SAFETY: as for `with`.
    unsafe { with(this, |policy| Answer::of_key(policy.peek(at(now)))) }
}

unsafe extern "C" fn exchange(this: *mut c_void, task: &mut Entity, why: u8, now: u64) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        let why = arrival(why).expect("an arrival of this ABI");
        Answer::of_key(policy.exchange(task, why, at(now)))
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn on_block(this: *mut c_void, task: &mut Entity, now: u64) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        policy.on_block(task, at(now));
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn remove(this: *mut c_void, task: &mut Entity, now: u64) -> Answer {
    // SAFETY: as for `with`.
    unsafe { with(this, |policy| u64::from(policy.remove(task, at(now)))) }
}

unsafe extern "C" fn update(this: *mut c_void, task: &mut Entity, priority: u8, deadline: u64, now: u64) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        policy.update(task, priority, at(deadline), at(now));
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn on_tick(this: *mut c_void, task: &mut Entity, ran: u64, now: u64) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        policy.on_tick(task, Duration::from_nanos(ran), at(now));
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn time_slice(this: *mut c_void, task: &Entity) -> u64 {
    // SAFETY: as for `with`. A slice of 584 years is no fault.
    unsafe { ask(this, FAULTY_NUMBER, |policy| policy.time_slice(task).as_nanos().min(FAULTY_NUMBER - 1)) }
}

unsafe extern "C" fn preempts(this: *mut c_void, ready: &Entity, running: &Entity) -> u64 {
    // SAFETY: as for `with`.
    unsafe { ask(this, FAULTY_NUMBER, |policy| u64::from(policy.preempts(ready, running))) }
}

unsafe extern "C" fn visit(this: *mut c_void, visitor: Visitor, context: *mut c_void) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        // SAFETY: the host's function, with what it gave for it.
        policy.visit(&mut |key| unsafe { visitor(context, key.0) } != 0);
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}

unsafe extern "C" fn progress(this: *mut c_void) -> Clock {
    // SAFETY: as for `with`.
    unsafe { ask(this, Clock::FAULT, |policy| policy.progress().map_or(Clock::NONE, Clock::from)) }
}

unsafe extern "C" fn vruntime(this: *mut c_void, key: u32) -> Clock {
    let of = |mean| Clock { mean, weight: 0, known: 1 };
    // SAFETY: as for `with`.
    unsafe { ask(this, Clock::FAULT, |policy| policy.vruntime(TaskKey(key)).map_or(Clock::NONE, of)) }
}

unsafe extern "C" fn reserve(this: *mut c_void, keys: usize) -> Answer {
    let call = |policy: &mut dyn SchedulingPolicy| {
        policy.reserve(keys);
        0
    };
    // SAFETY: as for `with`.
    unsafe { with(this, call) }
}
