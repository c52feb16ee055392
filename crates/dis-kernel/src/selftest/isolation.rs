//! A task's fault ends that task, the kernel's ends the machine.

use alloc::boxed::Box;
use alloc::format;
use core::hint::black_box;

use dis_core::api::{Duration, ExitStatus, TaskId, TaskSpec};
use dis_core::intent::Intent;

use super::{Outcome, ensure, refused};
use crate::arch::irq;
use crate::boot::Booted;
use crate::context::Work;
use crate::fault::{FAULTED, PANICKED};
use crate::memory::stacks;
use crate::{fault, sched, task};

const PAGE_FAULT: i32 = FAULTED + 14;

static CONSTANT: u64 = 0x0bad_cafe;
static RETURN: [u8; 16] = [0xc3; 16];

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is wrong on purpose: the kernel is to end the task")]
fn cases() -> [(&'static str, i32, Work); 8] {
    [
        ("panic", PANICKED, Box::new(|| panic!("on purpose"))),
        (
            "divide",
            FAULTED,
            Box::new(|| unsafe {
                core::arch::asm!("movabs r12, 0x1122334455667788", "xor edx, edx", "xor eax, eax", "div eax", out("eax") _,
                    out("edx") _, out("r12") _);
                0
            }),
        ),
        ("undefined", FAULTED + 6, Box::new(|| unsafe { core::arch::asm!("ud2", options(noreturn)) })),
        ("null", PAGE_FAULT, Box::new(|| unsafe { black_box(8 as *const i32).read_volatile() })),
        (
            "write-text",
            PAGE_FAULT,
            Box::new(|| unsafe {
                (black_box(cases as *const () as u64) as *mut u8).write_volatile(0xc3);
                0
            }),
        ),
        (
            "write-constant",
            PAGE_FAULT,
            Box::new(|| unsafe {
                (&raw const CONSTANT).cast_mut().write_volatile(1);
                0
            }),
        ),
        (
            "run-constant",
            PAGE_FAULT,
            Box::new(|| unsafe {
                let code: extern "C" fn() -> i32 = core::mem::transmute(black_box(&RETURN));
                code()
            }),
        ),
        ("overflow", PAGE_FAULT, Box::new(|| deep(black_box(0)) as i32)),
    ]
}

#[allow(unconditional_recursion, reason = "it is to overflow the stack")]
fn deep(n: u64) -> u64 {
    let room = black_box([n; 32]);
    deep(n + 1) + room[(n % 32) as usize]
}

/// The report names the task, says why, and shows the registers.
fn is_reported(name: &str, id: TaskId) -> Outcome {
    let reason = match name {
        "panic" => "panic: on purpose",
        "divide" => "divide error",
        "undefined" => "invalid opcode",
        "overflow" => "stack overflow",
        _ => "page fault",
    };
    let mut wanted = alloc::vec![
        format!("\"task\":\"{name}\",\"id\":{},", id.0),
        format!("\"reason\":\"{reason}\""),
        // On a stack of the kernel's half.
        "\"rsp\":\"0xffff".into(),
        "\"rip\":\"0xffff".into(),
        "\"r15\":\"0x".into(),
    ];
    if name == "divide" {
        wanted.push("\"r12\":\"0x1122334455667788\"".into());
    }
    let report = fault::last_report();
    let missing = wanted.iter().find(|part| !report.contains(part.as_str()));
    ensure(missing.is_none(), || format!("{name}: {missing:?} is not in its report: {report}"))
}

/// Eight ways to fail, while another task works on; all memory comes back.
pub fn isolation(_: &Booted) -> Outcome {
    let bystander = task::spawn("bystander", Intent::interactive(1000), || {
        (0..200).for_each(|_| task::sleep(Duration::from_micros(500)));
        7
    });
    let bystander = bystander.map_err(refused)?;
    let before = (stacks::count().0, sched::failures());
    let cases = cases();
    let count = cases.len() as u64;
    for (name, code, work) in cases {
        let id = task::spawn_with(TaskSpec::new(name, Intent::batch(), ()).joinable(), work).map_err(refused)?;
        let status = task::join(id).map_err(refused)?;
        ensure(status == ExitStatus::Exited(code), || format!("{name}: {status:?} instead of {code}"))?;
        is_reported(name, id)?;
    }
    ensure(sched::failures() == before.1 + count, || "not every failure was noted".into())?;
    let status = task::join(bystander).map_err(refused)?;
    ensure(status == ExitStatus::Exited(7), || format!("the bystander: {status:?}"))?;
    super::eventually("the stacks come back", || stacks::count().0 + 1 == before.0)
}

/// A fault with interrupts off is the kernel's own: the machine ends with that exit code.
pub fn kernel_fault(_: &Booted) -> Outcome {
    let _off = irq::Off::new();
    // SAFETY: wrong on purpose.
    unsafe { black_box(8 as *mut u32).write_volatile(1) };
    Err("it went on".into())
}

/// The same with a panic.
pub fn kernel_panic(_: &Booted) -> Outcome {
    let _off = irq::Off::new();
    panic!("on purpose");
}
