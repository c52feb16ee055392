//! From the entry to the first task.

use core::ops::Range;

use alloc::string::String;
use alloc::vec::Vec;

use dis_core::api::{Duration, TaskSpec};
use dis_core::intent::Intent;
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::GsBase;

use crate::arch::exit::{Exit, exit};
use crate::arch::{apic, idt, pit, selectors, uart};
use crate::command::Command;
use crate::memory::{self, Image, Machine};
use crate::percpu::{self, PerCpu};
use crate::pvh::{BootInfo, Physical};
use crate::smp::{self, Trampoline};
use crate::{acpi, clock, console, event, modules, println, sched, selftest, task, watch, workload};

/// What the first task finds.
pub struct Booted {
    /// The command line's own words.
    pub command: Command,
    /// All of the command line.
    pub text: String,
    /// The boot module; empty if there is none.
    pub module: Vec<u8>,
    /// CPUs that run.
    pub cpus: usize,
}

/// Brings the machine up and runs `main` as the first task; its answer is how the machine ends.
///
/// # Safety
/// Once, on the loader's page tables with interrupts off; `start_info`, `image` and `trampoline` must be true.
pub unsafe fn start(start_info: u64, image: &Image, trampoline: &Trampoline, main: fn(Booted) -> Exit) -> ! {
    GsBase::write(VirtAddr::new(percpu::EARLY.address()));
    uart::init();
    mask_legacy_interrupts();
    let info = match BootInfo::read(&Machine, start_info) {
        Ok(info) => info,
        Err(error) => bad_input(format_args!("the boot information cannot be used: {error:?}")),
    };
    // SAFETY: once, early (contract).
    unsafe { memory::init(&info, image) };
    let text = info.command_line_text(&Machine);
    let command = match Command::parse(&text) {
        Ok(command) => command,
        Err(word) => bad_input(format_args!("the command line's {:?} is not understood", word.0)),
    };
    if let Err(why) = modules::choose(&command.policies) {
        bad_input(format_args!("{why}"));
    }
    let module = read(info.module.clone());

    let pc = PerCpu::new(0, apic::id());
    // SAFETY: the table is filled once, before any CPU loads it; this CPU is set up once.
    unsafe {
        idt::init();
        set_up_cpu(pc);
    }
    if let Some(us) = command.interleave_us {
        pit::beat(us);
    }
    let (timer, tsc) = apic::calibrate(clock::tsc);
    clock::start(tsc);
    let ids = acpi::cpus(&Machine, info.rsdp).unwrap_or_else(|error| {
        println!("one CPU only, as ACPI does not tell of others: {error:?}");
        Vec::new()
    });
    // SAFETY: once; the first MiB is not given to anybody.
    let cpus = unsafe { smp::start_others(&ids, trampoline, command.cpus.unwrap_or(percpu::MAX_CPUS)) };
    modules::start(workload::config(&module, cpus));
    let memory = info.memory().iter().map(|range| range.end - range.start).sum::<u64>() >> 20;
    println!("dis-kernel: {cpus} CPUs, {memory} MiB, clock {} kHz, timer {} kHz", tsc / 1000, timer / 1000);
    event!("boot", "\"cpus\":{cpus},\"memory_mib\":{memory},\"tsc_hz\":{tsc},\"timer_hz\":{timer}");

    if command.watch_ms > 0 {
        watch::watch(Duration::from_millis(command.watch_ms));
    }
    let booted = Booted { command, text, module, cpus };
    let first = alloc::boxed::Box::new(move || match booted.command.test.clone() {
        Some(name) => exit(selftest::run(&name, &booted)),
        None => exit(main(booted)),
    });
    if let Err(error) = task::spawn_with(TaskSpec::new("main", Intent::batch(), ()), first) {
        bad_input(format_args!("the first task cannot be started: {error}"));
    }
    smp::go();
    // SAFETY: this CPU is set up.
    unsafe { sched::start() }
}

/// A CPU's segments, interrupts and APIC; its data is found through GS from now on.
///
/// # Safety
/// Once for each CPU, by that CPU, with interrupts off.
pub unsafe fn set_up_cpu(pc: &'static PerCpu) {
    // SAFETY: the tables are this CPU's own and live for ever (contract).
    unsafe { pc.segments.load() };
    GsBase::write(VirtAddr::from_ptr(pc));
    idt::load();
    apic::enable();
    // SAFETY: this CPU is being set up (contract).
    unsafe { selectors::allow_bases() };
}

/// The 8259s interrupt nobody: their vectors are the CPU's exceptions.
fn mask_legacy_interrupts() {
    for port in [0x21, 0xa1] {
        // SAFETY: the mask registers of the two 8259.
        unsafe { Port::<u8>::new(port).write(0xff) };
    }
}

fn read(range: Range<u64>) -> Vec<u8> {
    let mut bytes = alloc::vec![0; (range.end - range.start) as usize];
    Machine.read(range.start, &mut bytes);
    bytes
}

fn bad_input(what: core::fmt::Arguments<'_>) -> ! {
    console::write_anyway(format_args!("{what}\n"));
    exit(Exit::BadInput)
}
