//! The author's side in WebAssembly: what [`export_scheduler!`](crate::export_scheduler) exports for the target
//! `wasm32-unknown-unknown`. One instance holds one policy, and is used by one thread.

use std::cell::UnsafeCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dis_core::api::{Duration, Timestamp};
use dis_core::modules::{ModuleError, ModuleResult, SchedulerModule};
use dis_core::policy::{Entity, SchedulingPolicy, TaskKey};

use crate::abi::wasm::{self, Call};
use crate::abi::{Outcome, arrival, classes};

#[link(wasm_import_module = "dis")]
unsafe extern "C" {
    /// A task that `visit` shows; true (1) to stop.
    safe fn show(key: u32) -> u32;
    /// The message of a panic, which ends the instance.
    fn panicked(start: *const u8, len: usize);
}

static MODULE: Mutex<Option<Box<dyn SchedulerModule>>> = Mutex::new(None);
static POLICY: Mutex<Option<Box<dyn SchedulingPolicy>>> = Mutex::new(None);

/// Room for two tasks, which the host fills before a call and reads after it.
struct Buffer(UnsafeCell<[u64; 2 * wasm::TASK / 8]>);

// SAFETY: there is one thread.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; 2 * wasm::TASK / 8]));

fn lock<T>(what: &'static Mutex<T>) -> MutexGuard<'static, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the host puts tasks.
pub fn buffer() -> *mut u8 {
    BUFFER.0.get().cast()
}

/// Makes the module.
pub fn create<M: SchedulerModule + Default + 'static>() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        // SAFETY: valid memory.
        unsafe { panicked(text.as_ptr(), text.len()) };
    }));
    *lock(&MODULE) = Some(Box::new(M::default()));
}

/// Asks the module; see [`wasm::Ask`].
pub fn ask(what: u32) -> u64 {
    let mut module = lock(&MODULE);
    let module = module.as_mut().expect("it has been made");
    let outcome = |result: ModuleResult<()>| {
        u64::from(match result {
            Ok(()) => Outcome::DONE,
            Err(ModuleError::ResourceExhausted) => Outcome::EXHAUSTED,
            Err(ModuleError::Unsupported(_)) => Outcome::UNSUPPORTED,
            Err(ModuleError::Failed(_)) => Outcome::FAILED,
        })
    };
    match what {
        wasm::NAME => {
            let name = module.name();
            (name.as_ptr() as u64) << 32 | name.len() as u64
        }
        wasm::MODULE_VERSION => {
            let version = module.version();
            u64::from(version.major) << 48 | u64::from(version.minor) << 32 | u64::from(version.patch) << 16
        }
        wasm::SUPPORTED => u64::from(classes(|class| module.keeps_promise(class))),
        wasm::POSSIBLE => u64::from(classes(|class| module.can_schedule(class))),
        wasm::INIT => outcome(module.init()),
        wasm::MAKE_POLICY => {
            *lock(&POLICY) = Some(module.policy());
            0
        }
        _ => panic!("no question of this ABI"),
    }
}

/// Calls the policy; see [`Call`].
pub fn call(what: u32, a: u64, b: u64, c: u64) -> u64 {
    let mut policy = lock(&POLICY);
    let policy = policy.as_mut().expect("it has been made");
    // SAFETY: there is one thread, and the host does not touch the buffer during a call; it holds two tasks, which are numbers only.
    let [task, other] = unsafe { &mut *BUFFER.0.get().cast::<[Entity; 2]>() };
    let at = Timestamp::from_nanos;
    let of_key = |key: Option<TaskKey>| key.map_or(wasm::NOBODY, |key| key.0);
    let value = match Call::of(what).expect("a call of this ABI") {
        Call::OnReady => {
            policy.on_ready(task, arrival(a as u8).expect("an arrival"), at(b));
            0
        }
        Call::Select => of_key(policy.select(at(a))),
        Call::Peek => of_key(policy.peek(at(a))),
        Call::Exchange => of_key(policy.exchange(task, arrival(a as u8).expect("an arrival"), at(b))),
        Call::OnBlock => {
            policy.on_block(task, at(a));
            0
        }
        Call::Remove => u32::from(policy.remove(task, at(a))),
        Call::Update => {
            policy.update(task, a as u8, at(b), at(c));
            0
        }
        Call::OnTick => {
            policy.on_tick(task, Duration::from_nanos(a), at(b));
            0
        }
        Call::TimeSlice => return policy.time_slice(task).as_nanos(),
        Call::Preempts => return u64::from(policy.preempts(task, other)),
        Call::Visit => {
            policy.visit(&mut |key| show(key.0) != 0);
            0
        }
        Call::Reserve => {
            policy.reserve(a as usize);
            0
        }
    };
    (policy.len() as u64) << 32 | u64::from(value)
}
