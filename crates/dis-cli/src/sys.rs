//! The calls into Linux that `std` does not have: thread scheduling, thread clocks, thread counters.
//!
//! All `unsafe` of this crate is here. Every function but one wraps one call whose arguments are plain numbers or point to a
//! local of the right size; none keeps a pointer.

use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::Command;

use dis_core::api::{CpuMask, MAX_CPUS};
use dis_runtime::Builder;

/// Lets the tasks of a workload share kernel threads when there are more than `beyond`.
pub fn share_threads(builder: Builder, beyond: usize) -> Builder {
    // SAFETY: the tasks are ours: the interpreter of workloads, which keeps nothing in thread-locals.
    unsafe { builder.share_beyond(beyond) }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// CPU time that this thread has used, ns.
pub fn thread_cpu_time() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that this process has used, ns.
pub fn process_cpu_time() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the result; these clocks exist on every Linux.
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// The CPUs that this process may use, in ascending order; never empty.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero set is a valid (empty) set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is of the size given.
    let ok = unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) } == 0;
    // SAFETY: below CPU_SETSIZE.
    let cpus: Vec<usize> = (0..MAX_CPUS).filter(|&cpu| ok && unsafe { libc::CPU_ISSET(cpu, &set) }).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Restricts this thread to the CPUs of `mask`.
pub fn set_affinity(mask: &CpuMask) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid (empty) set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for cpu in mask.iter() {
        // SAFETY: MAX_CPUS is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is of the size given.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) })
}

/// How the kernel schedules a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// SCHED_OTHER, nice 0.
    Other,
    /// SCHED_IDLE.
    Idle,
    /// SCHED_FIFO with this priority, 1..=99.
    Fifo(u8),
    /// SCHED_DEADLINE; all in ns.
    Deadline {
        /// CPU time in each period.
        runtime: u64,
        /// Relative deadline.
        deadline: u64,
        /// Period.
        period: u64,
    },
}

/// The kernel's `struct sched_attr`, first version.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the policy of this thread.
pub fn set_policy(policy: Policy) -> io::Result<()> {
    const SCHED_DEADLINE: u32 = 6;
    let mut attr = SchedAttr {
        size: mem::size_of::<SchedAttr>() as u32,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    match policy {
        Policy::Other => attr.policy = libc::SCHED_OTHER as u32,
        Policy::Idle => attr.policy = libc::SCHED_IDLE as u32,
        Policy::Fifo(priority) => (attr.policy, attr.priority) = (libc::SCHED_FIFO as u32, priority.into()),
        Policy::Deadline { runtime, deadline, period } => {
            attr.policy = SCHED_DEADLINE;
            (attr.runtime, attr.deadline, attr.period) = (runtime, deadline, period);
        }
    }
    // SAFETY: the kernel reads `size` bytes of `attr`, which has them.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attr, 0) };
    check(result as i32)
}

/// Lets this thread's timers fire within a nanosecond of their time instead of the usual 50 µs.
pub fn exact_timers() {
    // SAFETY: plain numbers. A failure leaves the usual slack, which is no harm.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0) };
}

/// How often this thread has lost the CPU: (voluntarily, involuntarily).
pub fn thread_switches() -> (u64, u64) {
    // SAFETY: all-zero is a valid value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is a valid place for the result.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) } != 0 {
        return (0, 0);
    }
    (usage.ru_nvcsw as u64, usage.ru_nivcsw as u64)
}

/// Clock ticks a second, the unit of `/proc/stat`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: a plain number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}

/// The process that `command` starts dies when this thread does, however that ends.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes two system calls, which is allowed there, and touches no memory of
    // the parent's.
    unsafe {
        command.pre_exec(|| {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0))?;
            // The parent may have gone before the call: then nobody would send the signal.
            if libc::getppid() == 1 { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
        })
    };
}

/// Limits the address space of this process, in bytes. If that cannot be done, there is no limit.
pub fn limit_memory(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a valid structure.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_affinities_are_obeyed() {
        let (wall, cpu) = (monotonic(), thread_cpu_time());
        while thread_cpu_time() < cpu + 1_000_000 {}
        assert!(monotonic() >= wall + 900_000);
        let cpus = allowed_cpus();
        std::thread::spawn(move || {
            let last = *cpus.last().unwrap();
            set_affinity(&CpuMask::single(last)).unwrap();
            assert_eq!(allowed_cpus(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn refusals_are_errors() {
        assert!(set_affinity(&CpuMask::EMPTY).is_err());
        assert!(set_policy(Policy::Fifo(200)).is_err());
        std::thread::spawn(|| set_policy(Policy::Idle)).join().unwrap().unwrap();
    }
}
