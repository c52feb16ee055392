//! The kernel's calls that a runtime of threads needs: futexes, signals to one thread, pinning.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Sleeps while `*word == expected`, at most `timeout` nanoseconds. May return at any time for no reason, so callers
/// check their condition in a loop. Async-signal-safe; changes `errno`.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<u64>) {
    let spec = timeout.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let spec = spec.as_ref().map_or(ptr::null(), ptr::from_ref);
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` is a live aligned 32-bit word, `spec` is null or points to a valid timespec.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, expected, spec) };
}

/// Rouses up to `count` threads that sleep on `word`. The word may be gone already: then nobody sleeps on it, or somebody
/// is roused for no reason. Async-signal-safe; changes `errno`.
pub(crate) fn futex_wake(word: *const AtomicU32, count: i32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a private wake uses the address as a key and never reads memory there.
    unsafe { libc::syscall(libc::SYS_futex, word, op, count) };
}

/// The kernel's number of the calling thread.
pub(crate) fn gettid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Sends `signal` to one thread of this process. A thread that has ended is no error.
pub(crate) fn tgkill(pid: i32, tid: i32, signal: i32) {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
}

/// CPUs of the machine as the kernel has them, a bit each.
pub(crate) type CpuWords = [u64; 16];

/// Pins a thread (0: the caller) to one CPU of the machine. Async-signal-safe.
pub(crate) fn pin(tid: i32, cpu: usize) -> io::Result<()> {
    let mut words: CpuWords = [0; 16];
    if let Some(word) = words.get_mut(cpu / 64) {
        *word |= 1 << (cpu % 64);
    }
    set_affinity(tid, &words)
}

/// Says on which CPUs a thread (0: the caller) may run. Async-signal-safe.
pub(crate) fn set_affinity(tid: i32, cpus: &CpuWords) -> io::Result<()> {
    // SAFETY: the mask is valid memory of the given length.
    let done = unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, size_of_val(cpus), cpus.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPUs that the calling thread may run on.
pub(crate) fn affinity() -> io::Result<CpuWords> {
    let mut words: CpuWords = [0; 16];
    // SAFETY: the mask is valid memory of the given length.
    let got = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&words), words.as_mut_ptr()) };
    if got <= 0 { Err(io::Error::last_os_error()) } else { Ok(words) }
}

/// The same, ascending.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let words = affinity()?;
    Ok((0..words.len() * 64).filter(|cpu| words[cpu / 64] & (1 << (cpu % 64)) != 0).collect())
}

/// Lets the calling thread's timeouts expire as exactly as the hardware allows (default slack: 50 µs).
pub(crate) fn exact_timeouts() {
    // A kernel that refuses leaves the default.
    let _ = set_timer_slack(1);
}

/// How late the calling thread's timeouts may expire, ns. Async-signal-safe.
pub(crate) fn set_timer_slack(ns: u64) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let done = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, ns as libc::c_ulong) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The same, asked.
pub(crate) fn timer_slack() -> Option<u64> {
    // SAFETY: no memory is passed.
    u64::try_from(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }).ok()
}

/// Gives the calling thread the real-time policy SCHED_FIFO.
pub(crate) fn become_fifo(priority: i32) -> io::Result<()> {
    set_fifo(0, priority)
}

/// Gives a thread of this process that policy. Async-signal-safe.
pub(crate) fn set_fifo(tid: i32, priority: i32) -> io::Result<()> {
    set_policy(tid, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)
}

/// Gives the calling thread the policy SCHED_IDLE: it runs when nobody else wants the CPU. No privilege is needed.
pub(crate) fn become_idle() -> io::Result<()> {
    set_policy(0, libc::SCHED_IDLE, 0)
}

/// Asks for a slice of that length, ns, for the calling thread under the ordinary policy. Linux before 6.12 accepts and ignores it.
#[cfg(feature = "tokio")]
pub(crate) fn ask_for_slice(ns: u64) -> io::Result<()> {
    /// `struct sched_attr`, as far as it was from the first.
    #[repr(C)]
    struct Attr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    // SAFETY: no memory is passed. The calling thread's nice value; -1 may be one, so errors are not told from it.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attr = Attr {
        size: size_of::<Attr>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice,
        priority: 0,
        runtime: ns,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `attr` is valid, and says how long it is.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_policy(tid: i32, policy: i32, priority: i32) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is valid.
    let done = unsafe { libc::sched_setscheduler(tid, policy, &param) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const MEMBARRIER_EXPEDITED: i32 = 1 << 3;
const MEMBARRIER_REGISTER: i32 = 1 << 4;

/// Must have succeeded before [`membarrier`].
pub(crate) fn register_membarrier() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_REGISTER, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A full memory barrier on every processor that runs a thread of this process. Async-signal-safe.
pub(crate) fn membarrier() {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_EXPEDITED, 0, 0) };
}

/// Keeps all signals from the calling thread.
pub(crate) fn block_signals() {
    // SAFETY: the set is valid.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
    }
}

/// The calling thread's error number, to be put back by [`set_errno`] at the end of a signal handler.
pub(crate) fn errno() -> i32 {
    // SAFETY: glibc's location of the calling thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's error number.
pub(crate) fn set_errno(value: i32) {
    // SAFETY: as for `errno`.
    unsafe { *libc::__errno_location() = value };
}

/// Takes all capabilities from the calling thread.
#[cfg(test)]
pub(crate) fn drop_capabilities() -> io::Result<()> {
    // `struct __user_cap_header_struct`, version 3, the calling thread; three sets of 64 bits, all empty.
    let (header, data) = ([0x2008_0522_u32, 0], [0u32; 6]);
    // SAFETY: both are valid memory of the sizes that version 3 has.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
