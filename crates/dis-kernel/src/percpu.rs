//! What each CPU has of its own, found through the GS base.

use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use alloc::boxed::Box;
use dis_core::api::Timestamp;

use crate::arch::gdt::Segments;
use crate::context::Tcb;

/// Most CPUs the kernel starts.
pub const MAX_CPUS: usize = 64;

/// Size of the stack on which a CPU schedules and handles interrupts, bytes.
const STACK: usize = 64 << 10;

/// One CPU's own data. The first fields are used from assembly.
#[repr(C)]
pub struct PerCpu {
    /// Itself, to find it by one load.
    this: *const PerCpu,
    /// Top of the stack on which the CPU schedules.
    pub stack: u64,
    /// How often interrupts have been turned off; see [`irq`](crate::arch::irq).
    pub depth: Cell<u32>,
    /// Whether they come on again at the end.
    pub resume: Cell<u8>,
    /// Where a system call keeps the user's stack pointer until it has a stack of its own.
    pub user_rsp: Cell<u64>,
    /// Top of the kernel stack of the task that runs.
    pub task_stack: Cell<u64>,
    /// Its number, from 0 on.
    pub cpu: usize,
    /// Its local APIC's id.
    pub apic_id: u32,
    /// The task that runs here; the idle task if none.
    pub current: Cell<*const Tcb>,
    /// What is to run next, from the decision to the switch.
    pub next: Cell<*const Tcb>,
    /// When the CPU must ask again; `Timestamp::MAX`: not by itself.
    pub due: Cell<Timestamp>,
    /// The task that has ended here and whose stack is still in use.
    pub ended: Cell<*const Tcb>,
    /// The idle task.
    pub idle: Box<Tcb>,
    /// GDT and TSS.
    pub segments: Box<Segments>,
    /// Whether a fault is being handled: another one then is the kernel's own.
    pub in_fault: Cell<bool>,
    /// The policy that is being asked here, if it is not a built-in one.
    pub policy: Cell<Option<&'static str>>,
    /// The instant for which the timer is armed, ns, [`due`](Self::due) or before; `u64::MAX`: not armed. Others look at it for lost interrupts.
    pub armed: AtomicU64,
    /// Since when an interrupt sent here has not been answered, ns; 0: none is outstanding.
    pub asked_at: AtomicU64,
    /// What [`watch`](crate::watch) has for the next interrupt: its bits.
    pub attention: AtomicU32,
    /// When this CPU is to look after the others, if they look after each other.
    pub looks_at: Cell<Timestamp>,
    /// Counters for reports.
    pub counts: Counts,
}

/// What happened on a CPU.
#[derive(Default)]
pub struct Counts {
    /// Timer interrupts.
    pub timer: AtomicU64,
    /// Interrupts from other CPUs.
    pub ipi: AtomicU64,
    /// Interrupts that nobody asked for.
    pub spurious: AtomicU64,
    /// Timer interrupts that did not come, noticed here or by others.
    pub lost_timers: AtomicU64,
}

/// What GS points at before there is a heap to make a [`PerCpu`]: locks count in it how often interrupts are off.
pub struct Early(UnsafeCell<[u8; size_of::<PerCpu>()]>);
// SAFETY: only the first CPU, alone, uses it.
unsafe impl Sync for Early {}

/// See [`Early`].
pub static EARLY: Early = Early(UnsafeCell::new([0; size_of::<PerCpu>()]));

impl Early {
    /// Where it is.
    pub fn address(&self) -> u64 {
        self.0.get() as u64
    }
}

static CPUS: [AtomicPtr<PerCpu>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl PerCpu {
    /// The data of a CPU that is about to start; lives for ever.
    pub fn new(cpu: usize, apic_id: u32) -> &'static PerCpu {
        let stack = Box::leak(alloc::vec![0u128; STACK / 16].into_boxed_slice());
        let idle = Tcb::idle(cpu);
        let current: *const Tcb = &*idle;
        let this = Box::leak(Box::new(PerCpu {
            this: ptr::null(),
            stack: stack.as_ptr_range().end as u64,
            depth: Cell::new(0),
            resume: Cell::new(0),
            user_rsp: Cell::new(0),
            task_stack: Cell::new(0),
            cpu,
            apic_id,
            current: Cell::new(current),
            next: Cell::new(current),
            due: Cell::new(Timestamp::MAX),
            ended: Cell::new(ptr::null()),
            idle,
            segments: Segments::new(),
            in_fault: Cell::new(false),
            policy: Cell::new(None),
            armed: AtomicU64::new(u64::MAX),
            asked_at: AtomicU64::new(0),
            attention: AtomicU32::new(0),
            looks_at: Cell::new(Timestamp::ZERO),
            counts: Counts::default(),
        }));
        this.this = this;
        CPUS[cpu].store(this, Ordering::Release);
        COUNT.fetch_max(cpu + 1, Ordering::AcqRel);
        this
    }
}

/// The CPU that executes this. Meaningful only while it cannot change: with interrupts off.
#[inline(always)]
pub fn this() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS holds this CPU's data since it started; the data lives for ever.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) this, options(nostack, pure, readonly, preserves_flags));
        &*this
    }
}

/// CPU number `cpu`, once it has been set up. Of another CPU only what is atomic may be touched.
pub fn get(cpu: usize) -> Option<&'static PerCpu> {
    // SAFETY: what is stored there lives for ever.
    unsafe { CPUS.get(cpu)?.load(Ordering::Acquire).as_ref() }
}

/// How many CPUs have been set up.
pub fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// CPU number `cpu`, the last one, has not started.
pub fn forget(cpu: usize) {
    COUNT.store(cpu, Ordering::Release);
    CPUS[cpu].store(ptr::null_mut(), Ordering::Release);
}
