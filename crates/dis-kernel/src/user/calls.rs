//! System calls: `int 0x80` with the number in rax and arguments in rdi, rsi, rdx, r10, r8; the answer is in rax, negative if refused.
//!
//! | number | call | arguments | answer |
//! |---|---|---|---|
//! | 0 | exit | code | |
//! | 1 | yield | | 0 |
//! | 2 | sleep | ns | 0 |
//! | 3 | block | reason, 0 to 5 (I/O, mutex, semaphore, event, child's end, message) | 0 |
//! | 4, 5 | wake, unpark | task | 0 |
//! | 6 | spawn another task of the program | entry, argument, class (0 Batch, 1 Background, 2 Interactive) | task |
//! | 7 | wait for the end of a child | task | its code as 32 bits, 2^32 if it was killed |
//! | 8 | kill | task | 0 |
//! | 9, 10 | priority, affinity | task, priority or mask of CPUs | 0 |
//! | 11, 12 | who am I, the time | | task, ns |
//! | 13 | write a line to the console | address, length | bytes written |
//! | 14 | statistics | task, address of 5 words | 0 |
//! | 15 | call a server | handle, question, its length, address for the answer, until | the answer's length |
//! | 16 | be a server: wait to be called | handle, address for the question | its length |
//! | 17 | answer, and wait to be called again | handle, answer, its length, address for the next question | its length |
//! | 18 | send to a channel | handle, message, its length, until | 0 |
//! | 19 | receive from a channel | handle, address, until | the message's length |
//! | 20 | notify | handle, flags | 0 |
//! | 21 | wait for a notification | handle, address for the flags (a word), until | 0 |
//!
//! Messages have at most [`MESSAGE`](super::ipc::MESSAGE) bytes, and where one is to go there must be room for so many. `until` is an
//! instant of call 12's clock; 0: do not wait; 2^64 - 1: without end. What a task of a domain asks for is checked against the
//! domain's rights.

use alloc::string::String;
use alloc::vec;

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, SchedResult, TaskId, TaskSpec};
use dis_core::intent::Intent;
use dis_core::isolation::Right;

use super::ipc;
use super::space::Space;
use crate::arch::irq;
use crate::context::{General, Registers};
use crate::sched::scheduler;
use crate::{clock, console, percpu, sched, task};

/// A refused call: the scheduler says no.
pub(super) const REFUSED: i64 = -1;
/// No such task, or the server has ended.
pub(super) const NO_TASK: i64 = -2;
/// An address that the task may not use.
pub(super) const BAD_ADDRESS: i64 = -3;
/// There is no such call, or an argument is out of range.
pub(super) const BAD_CALL: i64 = -4;
/// The task's domain has no right to that.
pub(super) const DENIED: i64 = -5;
/// Not in time.
pub(super) const TIMED_OUT: i64 = -6;
/// The channel is closed.
pub(super) const CLOSED: i64 = -7;
/// There is no such handle, or it is not for this call.
pub(super) const NO_HANDLE: i64 = -8;
/// The answer of a wait for a task that was killed; others answer the exit code as 32 bits.
const KILLED: i64 = 1 << 32;
/// Most bytes that one call writes to the console.
const LINE: u64 = 256;

pub(super) fn code(error: SchedError) -> i64 {
    match error {
        SchedError::TaskNotFound => NO_TASK,
        SchedError::PermissionDenied => DENIED,
        SchedError::DeadlineMissed => TIMED_OUT,
        _ => REFUSED,
    }
}

/// Runs `call` if the domain of the calling task has the right to do that to `object`.
fn allowed(right: Right, object: TaskId, call: impl FnOnce() -> SchedResult<()>) -> i64 {
    let allowed = {
        // A subject has a share of the domain, which must not stay with a task that is killed here.
        let _off = irq::Off::new();
        scheduler().as_task(task::current()).and_then(|subject| subject.check_on(clock::now(), right, object))
    };
    answer(allowed.and_then(|()| call()))
}

fn answer(result: Result<(), SchedError>) -> i64 {
    result.map_or_else(code, |()| 0)
}

const REASONS: [BlockReason; 6] = [
    BlockReason::Io,
    BlockReason::Mutex,
    BlockReason::Semaphore,
    BlockReason::Event,
    BlockReason::ChildExit,
    BlockReason::Ipc,
];

/// A user task has called; interrupts are off, and are when this returns. Its registers are on its kernel stack, of which
/// `frame` shows the part that the entry saves.
pub(crate) extern "C" fn enter(frame: *mut Registers) {
    // SAFETY: the current task's block lives while it runs, and this is on its stack.
    let tcb = unsafe { &*percpu::this().current.get() };
    tcb.times.was_user(clock::now().as_nanos());
    x86_64::instructions::interrupts::enable();
    // SAFETY: the entry has saved all registers up to `ss` there; the rest is not touched.
    let General { rax: number, rdi, rsi, rdx, r10, r8, .. } = unsafe { (*frame).general };
    let answer = match &tcb.space {
        Some(space) => call(space, number, [rdi, rsi, rdx, r10, r8]),
        None => BAD_CALL,
    };
    // SAFETY: as above.
    unsafe { (*frame).general.rax = answer as u64 };
    x86_64::instructions::interrupts::disable();
    tcb.times.was_system(clock::now().as_nanos());
}

fn call(space: &Space, number: u64, arguments: [u64; 5]) -> i64 {
    let [a, b, c, ..] = arguments;
    match number {
        0 => task::exit(a as i32),
        1 => task::yield_now(),
        2 => task::sleep(Duration::from_nanos(a)),
        3 => match REASONS.get(a as usize) {
            Some(&reason) => task::block(reason, None),
            None => return BAD_CALL,
        },
        4 => return allowed(Right::Wake, TaskId(a), || task::wake(TaskId(a))),
        5 => return allowed(Right::Wake, TaskId(a), || task::unpark(TaskId(a))),
        6 => {
            let mut intent = match c {
                0 => Intent::batch(),
                1 => Intent::background(),
                2 => Intent::interactive(1000),
                _ => return BAD_CALL,
            };
            // A child gets no more than its parent may have.
            intent.constraints.max_memory = Some(space.limit() as usize * 4096);
            let may = {
                let _off = irq::Off::new();
                scheduler().as_task(task::current()).and_then(|me| me.check_spawn(clock::now(), None, &intent))
            };
            let spec = TaskSpec::new(String::from("user child"), intent, ()).joinable();
            let spawned = may.and_then(|()| super::spawn_with(spec, space.program(), a, b, space.handles().to_vec()));
            return spawned.map_or_else(code, |id| id.0 as i64);
        }
        7 => {
            return match task::join(TaskId(a)) {
                Ok(ExitStatus::Exited(code)) => i64::from(code as u32),
                Ok(ExitStatus::Killed) => KILLED,
                Err(error) => code(error),
            };
        }
        8 => return allowed(Right::Kill, TaskId(a), || task::kill(TaskId(a))),
        9 => {
            let priority = b.min(255) as u8;
            return allowed(Right::SetPriority, TaskId(a), || task::set_priority(TaskId(a), priority));
        }
        10 => {
            let mask: CpuMask = (0..64).filter(|cpu| b >> cpu & 1 != 0).collect();
            return allowed(Right::SetAffinity, TaskId(a), || task::set_affinity(TaskId(a), mask));
        }
        11 => return task::current().0 as i64,
        12 => return clock::now().as_nanos() as i64,
        13 => {
            let mut text = vec![0; b.min(LINE) as usize];
            if space.copy_in(a, &mut text).is_none() {
                return BAD_ADDRESS;
            }
            console::write(format_args!("{}", String::from_utf8_lossy(&text)));
            return text.len() as i64;
        }
        14 => {
            // Else it would see its own times and page faults as they were when it last left the CPU.
            sched::account_current();
            let stats = match task::stats(TaskId(a)) {
                Ok(stats) => stats,
                Err(error) => return code(error),
            };
            let numbers = [stats.user_time, stats.system_time, stats.page_faults, stats.cpu_time, stats.preemptions];
            let bytes = numbers.map(u64::to_le_bytes).concat();
            return space.copy_out(b, &bytes).map_or(BAD_ADDRESS, |()| 0);
        }
        15..=21 => return ipc::call(space, number, arguments).unwrap_or_else(|refused| refused),
        _ => return BAD_CALL,
    }
    0
}
