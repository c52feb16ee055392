//! What happens at a stack overflow, observed from outside: each test runs `child` in a process of its own.

mod common;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, mem, ptr};

use common::{Task, pool};
use dis_context::overflow::{AltStack, OverflowConfig, OverflowError, Verdict, install};
use dis_context::{Context, Fault, GuardPolicy, StackConfig, StackPool, jump, switch};

const SCENE: &str = "DIS_CONTEXT_OVERFLOW_SCENE";

fn run(scene: &str) -> (Output, String) {
    let mut command = Command::new(env::current_exe().unwrap());
    let output =
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(SCENE, scene).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[inline(never)]
fn recurse(n: usize) -> usize {
    let frame = black_box([n; 32]);
    if n == usize::MAX { 0 } else { recurse(n + 1) + frame[n % 32] }
}

/// Takes a signal when 2 KiB are left, less than a frame with AVX state.
#[inline(never)]
fn descend(bottom: usize) -> usize {
    let frame = black_box([0u8; 64]);
    if frame.as_ptr().addr() - bottom > 2048 {
        return descend(bottom) + usize::from(black_box(frame)[0]);
    }
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR2) as usize }
}

fn name(text: &str, buffer: &mut [u8]) -> usize {
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

fn callback(_: &Fault, buffer: &mut [u8]) -> Verdict {
    // SAFETY: asks for the current mask only.
    let blocked = unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
        libc::sigismember(&mask, libc::SIGUSR1) == 1 && libc::sigismember(&mask, libc::SIGUSR2) == 0
    };
    Verdict::Abort(name(if blocked { "parser" } else { "mask is wrong" }, buffer))
}

fn with(callback: dis_context::overflow::Callback) -> AltStack {
    install(OverflowConfig { callback: Some(callback), block: &[libc::SIGUSR1] }).unwrap();
    AltStack::install().unwrap()
}

fn overflow(pool: &StackPool) {
    let _ = Task::new(pool, |_, _| recurse(0)).resume(0);
}

fn forced(guard: GuardPolicy) -> StackPool {
    StackPool::new(StackConfig { max_stacks: 4, guard, ..StackConfig::default() }).unwrap()
}

static HOST: AtomicUsize = AtomicUsize::new(0);

fn leave(_: Fault) -> ! {
    // SAFETY: HOST holds the address of the context suspended in `diverge`.
    unsafe { jump(*(HOST.load(Ordering::Relaxed) as *const Context), 77) }
}

unsafe extern "C" fn only_recurse(_: usize, _: usize) -> ! {
    recurse(0);
    std::process::abort()
}

fn diverge() {
    let _alt = with(|_, buffer| Verdict::Diverge(name("lost", buffer), leave));
    let pool = pool(2);
    for _ in 0..3 {
        let stack = pool.alloc().unwrap();
        let mut host = Context::empty();
        HOST.store(&raw mut host as usize, Ordering::Relaxed);
        // SAFETY: the stack is ours and the task is never resumed after it overflowed.
        let said = unsafe { switch(&raw mut host, Context::new(stack.top(), only_recurse, 0), 0) };
        assert_eq!(said, 77);
    }
    eprintln!("survived");
}

extern "C" fn previous(_: libc::c_int) {
    // SAFETY: async-signal-safe, ends the process.
    unsafe { libc::_exit(42) }
}

fn set(handler: usize) {
    // SAFETY: a valid handler or SIG_DFL, in a child that does nothing else.
    unsafe { libc::signal(libc::SIGSEGV, handler) };
}

fn null() {
    // SAFETY: none: this is the fault that the test wants. It touches an unmapped page only.
    unsafe { black_box(ptr::without_provenance_mut::<u8>(black_box(8))).write_volatile(1) };
}

#[test]
fn child() {
    let Ok(scene) = env::var(SCENE) else { return };
    // SAFETY: no core files from a process that is meant to crash.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
    match scene.as_str() {
        "named" => overflow((&pool(4), with(callback)).0),
        "mprotect" => overflow((&forced(GuardPolicy::Mprotect), with(callback)).0),
        "standard alternate stack" => {
            install(OverflowConfig::default()).unwrap();
            overflow(&pool(4));
        }
        "diverge" => return diverge(),
        "stray" => {
            let _alt = with(callback);
            let pool = pool(4);
            let stack = pool.alloc().unwrap();
            // SAFETY: none: the write hits the guard, which is what the test wants.
            unsafe { stack.bottom().sub(1).write_volatile(1) };
        }
        "null, previous" => {
            set(previous as *const () as usize);
            let _alt = with(callback);
            null();
        }
        "null, standard" => {
            let _alt = with(callback);
            null();
        }
        "sent, default" => {
            set(libc::SIG_DFL);
            let _alt = with(callback);
            // SAFETY: no preconditions.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "signal" => {
            extern "C" fn nothing(_: libc::c_int) {}
            // SAFETY: a handler that does nothing, run on the stack that is interrupted.
            unsafe { libc::signal(libc::SIGUSR2, nothing as *const () as usize) };
            let _alt = with(callback);
            let pool = pool(1);
            let bottom = pool.locate(pool.alloc().unwrap().bottom().addr()).unwrap().bottom;
            let _ = Task::new(&pool, move |_, _| descend(bottom)).resume(0);
        }
        "protection" => {
            let _alt = with(callback);
            let pool = pool(1);
            let _ = Task::new(&pool, |_, _| {
                // SAFETY: none: a non-canonical address, which is a fault without an address.
                unsafe { black_box(ptr::without_provenance_mut::<u8>(black_box(1 << 60))).write_volatile(1) };
                0
            })
            .resume(0);
        }
        "thread" => {
            let _alt = with(callback);
            let _ = std::thread::Builder::new().name("plain".into()).spawn(|| recurse(0)).unwrap().join();
        }
        _ => {}
    }
    eprintln!("still alive");
    std::process::exit(9);
}

fn aborts_with(scene: &str, message: &str) {
    let (output, said) = run(scene);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert!(said.contains(message), "{said}");
    assert!(!said.contains("still alive"), "{said}");
}

#[test]
fn an_overflow_names_the_task_and_aborts() {
    aborts_with("named", "task 'parser' overflowed its stack (64 KiB); ");
}

#[test]
fn an_overflow_into_an_mprotect_guard_as_well() {
    aborts_with("mprotect", "task 'parser' overflowed its stack (64 KiB); ");
}

#[test]
fn a_signal_without_room_for_its_frame_is_an_overflow() {
    // SAFETY: no preconditions. 51 is AT_MINSIGSTKSZ.
    if unsafe { libc::getauxval(51) } > 2048 {
        aborts_with("signal", "task 'parser' overflowed its stack (64 KiB); ");
    }
}

#[test]
fn without_callback_and_own_alternate_stack_the_number_is_given() {
    // The main thread of a test has the standard library's alternate stack.
    aborts_with("standard alternate stack", "the task on stack 0 overflowed its stack (64 KiB); ");
}

#[test]
fn a_wild_pointer_into_a_guard_is_not_called_an_overflow() {
    aborts_with("stray", "in the guard below the stack of task 'parser', by code that runs elsewhere");
}

#[test]
fn the_callback_may_abandon_the_task() {
    let (output, said) = run("diverge");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.matches("task 'lost' overflowed its stack").count(), 3, "{said}");
    assert!(said.contains("survived"), "{said}");
}

#[test]
fn other_faults_reach_the_previous_handler() {
    assert_eq!(run("null, previous").0.status.code(), Some(42));
}

#[test]
fn other_faults_have_their_default_effect() {
    for scene in ["null, standard", "sent, default", "protection"] {
        let (output, said) = run(scene);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{scene}: {output:?}");
        assert!(!said.contains("overflowed"), "{said}");
    }
}

#[test]
fn overflows_of_plain_threads_are_left_to_the_standard_library() {
    aborts_with("thread", "thread 'plain'");
}

#[test]
fn a_bad_signal_is_refused() {
    let error = install(OverflowConfig { callback: None, block: &[libc::SIGUSR1, 9999] }).unwrap_err();
    assert_eq!(error, OverflowError::BadSignal(9999));
    assert!(error.to_string().contains("OverflowConfig::block"));
}

#[test]
fn alternate_stacks_nest_per_thread() {
    fn current() -> usize {
        // SAFETY: a null new stack only asks; a zeroed stack_t is valid.
        unsafe {
            let mut stack: libc::stack_t = mem::zeroed();
            assert_eq!(libc::sigaltstack(ptr::null(), &mut stack), 0);
            stack.ss_sp.addr()
        }
    }
    let before = current();
    let outer = AltStack::install().unwrap();
    let first = current();
    assert_ne!(first, before);
    drop(AltStack::install().unwrap());
    assert_eq!(current(), first);
    drop(outer);
    assert_eq!(current(), before);
}
