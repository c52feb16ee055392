//! System calls: `int 0x80` with the number in rax and arguments in rdi, rsi, rdx; the answer is in rax, negative if refused.

use alloc::vec;

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId};
use dis_core::intent::Intent;

use super::space::Space;
use crate::context::Registers;
use crate::{clock, console, percpu, task};

/// A refused call: the scheduler says no.
const REFUSED: i64 = -1;
/// No such task.
const NO_TASK: i64 = -2;
/// An address that the task may not use.
const BAD_ADDRESS: i64 = -3;
/// There is no such call, or an argument is out of range.
const BAD_CALL: i64 = -4;
/// The answer of a wait for a task that was killed; others answer the exit code as 32 bits.
const KILLED: i64 = 1 << 32;
/// Most bytes that one call writes to the console.
const LINE: u64 = 256;

fn code(error: SchedError) -> i64 {
    if error == SchedError::TaskNotFound { NO_TASK } else { REFUSED }
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
    let (number, arguments) =
        unsafe { ((*frame).general.rax, [(*frame).general.rdi, (*frame).general.rsi, (*frame).general.rdx]) };
    let answer = match &tcb.space {
        Some(space) => call(space, number, arguments),
        None => BAD_CALL,
    };
    // SAFETY: as above.
    unsafe { (*frame).general.rax = answer as u64 };
    x86_64::instructions::interrupts::disable();
    tcb.times.was_system(clock::now().as_nanos());
}

fn call(space: &Space, number: u64, [a, b, c]: [u64; 3]) -> i64 {
    match number {
        0 => task::exit(a as i32),
        1 => task::yield_now(),
        2 => task::sleep(Duration::from_nanos(a)),
        3 => match REASONS.get(a as usize) {
            Some(&reason) => task::block(reason, None),
            None => return BAD_CALL,
        },
        4 => return answer(task::wake(TaskId(a))),
        5 => return answer(task::unpark(TaskId(a))),
        6 => {
            let mut intent = match c {
                0 => Intent::batch(),
                1 => Intent::background(),
                2 => Intent::interactive(1000),
                _ => return BAD_CALL,
            };
            // A child gets no more than its parent may have.
            intent.constraints.max_memory = Some(space.limit() as usize * 4096);
            let spawned = super::spawn("user child", intent, space.program(), a, b);
            return spawned.map_or_else(code, |id| id.0 as i64);
        }
        7 => {
            return match task::join(TaskId(a)) {
                Ok(ExitStatus::Exited(code)) => i64::from(code as u32),
                Ok(ExitStatus::Killed) => KILLED,
                Err(error) => code(error),
            };
        }
        8 => return answer(task::kill(TaskId(a))),
        9 => return answer(task::set_priority(TaskId(a), b.min(255) as u8)),
        10 => {
            let mask: CpuMask = (0..64).filter(|cpu| b >> cpu & 1 != 0).collect();
            return answer(task::set_affinity(TaskId(a), mask));
        }
        11 => return task::current().0 as i64,
        12 => return clock::now().as_nanos() as i64,
        13 => {
            let mut text = vec![0; b.min(LINE) as usize];
            if space.copy_in(a, &mut text).is_none() {
                return BAD_ADDRESS;
            }
            console::write(format_args!("{}", alloc::string::String::from_utf8_lossy(&text)));
            return text.len() as i64;
        }
        14 => {
            let stats = match task::stats(TaskId(a)) {
                Ok(stats) => stats,
                Err(error) => return code(error),
            };
            let numbers = [stats.user_time, stats.system_time, stats.page_faults, stats.cpu_time, stats.preemptions];
            let bytes = numbers.map(u64::to_le_bytes).concat();
            return space.copy_out(b, &bytes).map_or(BAD_ADDRESS, |()| 0);
        }
        _ => return BAD_CALL,
    }
    0
}
