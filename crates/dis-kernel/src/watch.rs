//! CPUs look after each other: a timer that did not come, a CPU that does not answer.
//!
//! An interrupt to another CPU is noted until it is answered. A CPU that leaves one unanswered for [`SILENCE`] is reported and
//! *taken offline* in the core: its tasks go on elsewhere, those that were bound to it too. The task that it was running stays
//! where it is, as its registers are in that CPU, and nobody else may run it. If the CPU answers after all, it is online again.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{CpuMask, Duration, SchedError, Timestamp};

use crate::arch::{apic, idt, irq};
use crate::lock::Lock;
use crate::percpu::{self, PerCpu};
use crate::report::Quoted;
use crate::sched::{self, scheduler};
use crate::{clock, event, println};

/// After how long without an answer to an interrupt a CPU is reported and taken offline.
pub const SILENCE: Duration = Duration::from_millis(1000);
/// How late a timer may be before it counts as lost.
const GRACE: Duration = Duration::from_millis(200);

/// CPUs look after each other at least so often, ns; 0: not at all.
static WATCH: AtomicU64 = AtomicU64::new(0);
/// A CPU goes offline, or comes back, under this lock: which of both it was told last is what holds.
static HOTPLUG: Lock<()> = Lock::new(());

/// [`PerCpu::attention`]: this CPU was reported as silent.
pub const SILENT: u32 = 1;
/// [`PerCpu::attention`]: this CPU has found another one silent.
const FOUND: u32 = 2;

/// From now on each CPU's timer is armed for at most `period`, and when it comes, the CPU looks whether the others' came.
pub fn watch(period: Duration) {
    WATCH.store(period.as_nanos(), Ordering::SeqCst);
    // One that sleeps without a timer would look after nobody.
    let _off = irq::Off::new();
    let now = clock::now();
    (0..percpu::count()).for_each(|cpu| sched::interrupt_cpu(cpu, now));
}

/// The latest instant for which this CPU's timer may be armed.
#[inline(always)]
pub(crate) fn horizon(here: &PerCpu, now: Timestamp) -> Timestamp {
    match WATCH.load(Ordering::Relaxed) {
        0 => Timestamp::MAX,
        period => {
            // Not "now and a period": then each decision would have to write to the timer.
            if here.looks_at.get() <= now || here.looks_at.get().since(now).as_nanos() > period {
                here.looks_at.set(now + Duration::from_nanos(period));
            }
            here.looks_at.get()
        }
    }
}

/// This CPU's timer has come: did those of the others, and do they answer? O(CPUs).
pub(crate) fn look_after_others(here: &PerCpu, now: Timestamp) {
    if WATCH.load(Ordering::Relaxed) == 0 {
        return;
    }
    for other in (0..percpu::count()).filter(|&cpu| cpu != here.cpu).filter_map(percpu::get) {
        let armed = Timestamp::from_nanos(other.armed.load(Ordering::Relaxed));
        if other.asked_at.load(Ordering::SeqCst) != 0 {
            check_answer(other, now);
        } else if armed < now && now.since(armed) > GRACE {
            other.counts.lost_timers.fetch_add(1, Ordering::Relaxed);
            event!("timer-lost", "\"cpu\":{},\"due_ns\":{}", other.cpu, armed.as_nanos());
            println!("CPU {}: its timer did not come; it is asked to look itself", other.cpu);
            sched::interrupt_cpu(other.cpu, now);
        }
    }
}

/// Looks whether a CPU has left an interrupt unanswered for too long. Interrupts are off, and the core's locks may not be taken
/// here: what follows from it is done by an interrupt to this CPU itself.
pub(crate) fn check_answer(other: &PerCpu, now: Timestamp) {
    let asked = other.asked_at.load(Ordering::SeqCst);
    if asked == 0 || now.since(Timestamp::from_nanos(asked)) < SILENCE {
        return;
    }
    if other.attention.fetch_or(SILENT, Ordering::SeqCst) & SILENT == 0 {
        let here = percpu::this();
        here.attention.fetch_or(FOUND, Ordering::SeqCst);
        apic::interrupt(here.apic_id, idt::RESCHEDULE);
    }
    // Perhaps it was lost on the way.
    apic::interrupt(other.apic_id, idt::RESCHEDULE);
}

/// This CPU has found another one silent, or was found so itself. In an interrupt, before the core is asked.
#[cold]
pub(crate) fn attend(here: &PerCpu, now: Timestamp) {
    if here.attention.load(Ordering::SeqCst) & SILENT != 0 {
        answers_again(here, now);
    }
    if here.attention.fetch_and(!FOUND, Ordering::SeqCst) & FOUND != 0 {
        for other in (0..percpu::count()).filter(|&cpu| cpu != here.cpu).filter_map(percpu::get) {
            take_offline(other, now);
        }
    }
}

fn is_silent(cpu: &PerCpu) -> bool {
    cpu.attention.load(Ordering::SeqCst) & SILENT != 0
}

fn take_offline(other: &PerCpu, now: Timestamp) {
    let moved = {
        let _one = HOTPLUG.lock();
        if !is_silent(other) || !scheduler().is_online(other.cpu) {
            return;
        }
        scheduler().set_offline(other.cpu, now)
    };
    let running = scheduler().current(other.cpu);
    let task = scheduler().with_task(running, |task| task.name.clone()).unwrap_or_default();
    println!(
        "CPU {} does not answer; the task {task:?} that it runs stays there, the others go on elsewhere",
        other.cpu
    );
    event!(
        "cpu-silent",
        "\"cpu\":{},\"since_ns\":{},\"now_ns\":{},\"task\":{},\"id\":{}",
        other.cpu,
        other.asked_at.load(Ordering::SeqCst),
        now.as_nanos(),
        Quoted(&task),
        running.0
    );
    match moved {
        Ok(moved) => {
            for rejection in &moved.displaced {
                println!("a reservation of CPU {} has no place any more: {rejection}", other.cpu);
            }
            interrupt_all(&moved.interrupts, now);
        }
        Err(SchedError::LastCpu) => println!("no other CPU is left"),
        Err(error) => println!("CPU {} cannot be taken offline: {error}", other.cpu),
    }
}

/// A CPU that was reported as silent has answered.
fn answers_again(here: &PerCpu, now: Timestamp) {
    let back = {
        let _one = HOTPLUG.lock();
        here.attention.fetch_and(!SILENT, Ordering::SeqCst);
        if scheduler().is_online(here.cpu) { None } else { scheduler().set_online(here.cpu, now).ok() }
    };
    println!("CPU {} answers again", here.cpu);
    event!("cpu-answers", "\"cpu\":{}", here.cpu);
    if let Some(back) = back {
        interrupt_all(&back.interrupts, now);
    }
}

fn interrupt_all(cpus: &CpuMask, now: Timestamp) {
    cpus.iter().take_while(|&cpu| cpu < percpu::count()).for_each(|cpu| sched::interrupt_cpu(cpu, now));
}

/// The numbers of the CPUs that do not answer, for last words: allocates nothing.
pub struct SilentCpus;

impl fmt::Display for SilentCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut silent = (0..percpu::count()).filter_map(percpu::get).filter(|cpu| is_silent(cpu)).peekable();
        if silent.peek().is_none() {
            return f.write_str("none");
        }
        silent.try_for_each(|cpu| write!(f, "{} ", cpu.cpu))
    }
}
