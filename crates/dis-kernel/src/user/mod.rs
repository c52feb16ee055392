//! Tasks in ring 3: an address space each, pages that come when they are touched, system calls for the task API, time in
//! user and in system mode measured apart.

pub mod calls;
pub mod ipc;
pub mod space;
pub mod times;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use dis_core::api::{SchedError, SchedResult, TaskId, TaskSpec};
use dis_core::intent::Intent;

use crate::arch::gdt;
use crate::context::Tcb;
use crate::memory::stacks::Stack;
use crate::task;
use ipc::Handle;
use space::Space;

/// What a user task executes: machine code for the address [`space::TEXT`], the same for all tasks of the program.
pub type Program = &'static [u8];

/// Pages that a user task may have if its intent does not say (1 MiB).
const PAGES: u64 = 256;

/// Spawns a task in ring 3 that begins `entry` bytes behind the program's start, with `argument` in rdi. The intent's
/// `max_memory` bounds the pages that it may touch (its text excluded).
///
/// # Errors
/// As [`task::spawn`]; [`SchedError::ResourceExhausted`] also if there is no memory for its address space.
pub fn spawn(name: &str, intent: Intent, program: Program, entry: u64, argument: u64) -> SchedResult<TaskId> {
    let spec = TaskSpec::new(String::from(name), intent, ()).joinable();
    spawn_with(spec, program, entry, argument, Vec::new())
}

/// As [`spawn`], as `spec` says, with `handles` for its system calls. For each server among them that has no task yet, it is the task.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    spec: TaskSpec<()>,
    program: Program,
    entry: u64,
    argument: u64,
    handles: Vec<Handle>,
) -> SchedResult<TaskId> {
    let limit = spec.intent.constraints.max_memory.map_or(PAGES, |bytes| bytes as u64 / 4096);
    let servers: Vec<_> = handles.iter().filter_map(Handle::server).cloned().collect();
    let space = Space::new(program, limit, handles).ok_or(SchedError::ResourceExhausted)?;
    let stack = Stack::take().ok_or(SchedError::ResourceExhausted)?;
    let root = space.root();
    let tcb = Tcb::new(stack, Box::new(|| 0), Some(space));
    // SAFETY: nobody else has the task yet.
    let registers = unsafe { &mut *tcb.registers.get() };
    registers.rip = space::TEXT + entry;
    registers.rsp = space::STACK.end - 8;
    registers.cs = gdt::USER_CODE.into();
    registers.ss = gdt::USER_DATA.into();
    registers.general.rdi = argument;
    registers.cr3 = root;
    let id = task::spawn_prepared(spec, tcb)?;
    for server in servers {
        // If it has one already, that one is it.
        let _ = server.attach(id);
    }
    Ok(id)
}
