//! The host's side of the core: what a CPU does with decisions.
//!
//! A CPU asks (`leave`, `interrupt`), obeys (`commit`, on the CPU's own stack, where the registers of the task that ran
//! are saved in any case), and goes on with `entry::restore`. Interrupts are off from the question to
//! the end. Nothing here ticks: the timer is armed for the instant that the core names, or not at all. (If the core names a later one
//! than before, as with each switch, the timer is left as it is and set anew when it comes.)

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use dis_core::api::{BlockReason, SchedError, SchedResult, TaskId, Timestamp};
use dis_core::executor::{Decision, Executor, Leave, Wake};
use dis_core::scheduler::ConfigError;

use crate::arch::selectors::Selectors;
use crate::arch::{apic, entry, idt, irq};
use crate::clock;
use crate::context::{FRAME_END, Registers, TaskRef, Tcb};
use crate::lock::{Lock, RawLock};
use crate::percpu::{self, PerCpu};
use crate::user::space::Space;
use crate::watch;

/// The scheduler of this machine.
pub type Scheduler = Executor<TaskRef, RawLock>;

static SCHEDULER: AtomicPtr<Scheduler> = AtomicPtr::new(ptr::null_mut());
/// Called with every decision; null: nobody watches.
static OBSERVER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// What an observer is told.
pub struct Observed<'a> {
    /// The CPU that asked.
    pub cpu: usize,
    /// When.
    pub now: Timestamp,
    /// How the running task left.
    pub leave: Leave,
    /// The task that ran; the CPU's idle task if none.
    pub previous: TaskId,
    /// The answer.
    pub decision: &'a Decision<TaskRef>,
}

/// The scheduler has been made. Once, before any CPU asks.
pub(crate) fn init(made: Result<Scheduler, ConfigError>) {
    let made = made.unwrap_or_else(|error| panic!("the scheduler cannot be set up: {error}"));
    SCHEDULER.store(Box::leak(Box::new(made)), Ordering::Release);
}

/// The scheduler.
#[inline(always)]
pub fn scheduler() -> &'static Scheduler {
    // SAFETY: set once, before it is used, and never freed.
    unsafe { &*SCHEDULER.load(Ordering::Relaxed) }
}

/// `observer` is called with every decision from now on, with interrupts off: it must be short and must not call the
/// scheduler.
pub fn observe(observer: fn(&Observed<'_>)) {
    OBSERVER.store(observer as *mut (), Ordering::Release);
}

/// The CPU starts to schedule; it never comes back.
///
/// # Safety
/// The CPU is set up: segments, interrupts, timer. Whatever its stack holds is lost.
pub unsafe fn start() -> ! {
    irq::push();
    let pc = percpu::this();
    pc.depth.set(1);
    // An interrupt that came while the CPU could not answer is answered by this question.
    pc.asked_at.store(0, Ordering::SeqCst);
    let answer = ask(pc, Leave::Ask, clock::now());
    plan(pc, granted(pc, &answer));
    // SAFETY: a decision is planned, interrupts are off, nothing here is needed any more.
    unsafe { entry::abandon() }
}

/// Asks the core and does at once what concerns other CPUs.
#[inline(always)]
fn ask(pc: &PerCpu, leave: Leave, now: Timestamp) -> SchedResult<Decision<TaskRef>> {
    let answer = scheduler().schedule(pc.cpu, now, leave);
    if let Ok(Decision { interrupt: Some(other), .. }) = answer {
        interrupt_cpu(other, now);
    }
    let observer = OBSERVER.load(Ordering::Relaxed);
    if !observer.is_null() {
        tell(observer, pc, now, leave, &answer);
    }
    answer
}

/// The core has answered: what.
#[inline(always)]
fn granted<'a>(pc: &PerCpu, answer: &'a SchedResult<Decision<TaskRef>>) -> &'a Decision<TaskRef> {
    match answer {
        Ok(decision) => decision,
        Err(error) => refused(pc.cpu, *error),
    }
}

#[cold]
#[inline(never)]
fn refused(cpu: usize, error: SchedError) -> ! {
    panic!("the core refuses to answer CPU {cpu}: {error}")
}

#[cold]
#[inline(never)]
fn tell(observer: *mut (), pc: &PerCpu, now: Timestamp, leave: Leave, answer: &SchedResult<Decision<TaskRef>>) {
    let Ok(decision) = answer else { return };
    // SAFETY: only `observe` writes it, with a function of this type.
    let observer: fn(&Observed<'_>) = unsafe { core::mem::transmute(observer) };
    // SAFETY: the current task's block lives while it is current.
    let previous = unsafe { (*pc.current.get()).id() };
    observer(&Observed { cpu: pc.cpu, now, leave, previous, decision });
}

/// Notes what [`commit`] is to do.
#[inline(always)]
fn plan(pc: &PerCpu, decision: &Decision<TaskRef>) {
    let next = match &decision.next {
        Some(next) => {
            // SAFETY: the core names a task that has not ended, whose block lives until it is buried.
            unsafe { (*next.context.0).id.store(next.id.0, Ordering::Relaxed) };
            next.context.0
        }
        None => &*pc.idle,
    };
    pc.next.set(next);
    pc.due.set(decision.until.unwrap_or(Timestamp::MAX));
}

/// The running task asks, or gives up the CPU. Comes back when it is to go on.
pub(crate) fn leave(leave: Leave) {
    irq::push();
    let pc = percpu::this();
    debug_assert!(pc.depth.get() == 1, "a task gives up the CPU while it holds a lock");
    let answer = ask(pc, leave, clock::now());
    let decision = granted(pc, &answer);
    if decision.next.as_ref().is_some_and(|next| !next.switch) {
        pc.due.set(decision.until.unwrap_or(Timestamp::MAX));
        arm(pc);
    } else {
        plan(pc, decision);
        // SAFETY: interrupts are off and a decision is planned; the registers are those of the running task.
        unsafe { entry::switch_away((*pc.current.get()).registers.get()) };
    }
    irq::pop();
}

/// The running task's stack gives its time to another, by a call of the core that always switches; comes back when it is to go on.
/// `question` is asked with interrupts off, and if it is answered, `then` is called before anybody else runs.
///
/// # Errors
/// What the core answers; nothing has changed then.
#[inline(always)]
pub(crate) fn exchange(
    question: impl FnOnce(&PerCpu) -> SchedResult<Decision<TaskRef>>,
    then: impl FnOnce(),
) -> SchedResult<()> {
    irq::push();
    let pc = percpu::this();
    debug_assert!(pc.depth.get() == 1, "a task gives up the CPU while it holds a lock");
    let answer = question(pc);
    let observer = OBSERVER.load(Ordering::Relaxed);
    if !observer.is_null() {
        tell(observer, pc, clock::now(), Leave::Block(BlockReason::Ipc, None), &answer);
    }
    let gone = match &answer {
        Ok(decision) => {
            then();
            if let Some(other) = decision.interrupt {
                interrupt_cpu(other, clock::now());
            }
            plan(pc, decision);
            // SAFETY: interrupts are off and a decision is planned; the registers are those of the running task.
            unsafe { entry::switch_away((*pc.current.get()).registers.get()) };
            Ok(())
        }
        Err(error) => Err(*error),
    };
    irq::pop();
    gone
}

/// The running task ends and never comes back.
pub(crate) fn end(code: i32) -> ! {
    irq::push();
    let pc = percpu::this();
    let task = pc.current.get();
    // Somebody who killed it at the same time may bury it before this CPU does.
    // SAFETY: a task's block is an `Arc`'s; only tasks call this.
    unsafe { Arc::increment_strong_count(task) };
    pc.ended.set(task);
    let answer = ask(pc, Leave::Exit(code), clock::now());
    plan(pc, granted(pc, &answer));
    // SAFETY: as in `start`; the task has ended.
    unsafe { entry::abandon() }
}

/// On the CPU's own stack: the registers of the task that ran are saved. Answers whose registers are loaded. What is rare in it is in
/// functions of its own, so that this one saves few registers.
pub(crate) extern "C" fn commit() -> *const Registers {
    let pc = percpu::this();
    // SAFETY: the block of the task that ran lives until it is buried, below at the earliest.
    let mut previous = unsafe { &*pc.current.get() };
    if previous.space.is_some() {
        leave_space(previous);
    }
    let task = loop {
        // An exchange, as who kills it looks at this mark after it has announced itself, and the announcement is looked for below.
        previous.on_cpu.swap(false, Ordering::SeqCst);
        let again = scheduler().switched(pc.cpu);
        let next = pc.next.get();
        pc.current.set(next);
        // SAFETY: a task that the core has chosen, or the idle task, lives.
        let task = unsafe { &*next };
        task.on_cpu.store(true, Ordering::Relaxed);
        if !again {
            break task;
        }
        ask_again(pc);
        previous = task;
    };
    let registers = task.registers.get();
    pc.segments.run_task(registers as u64 + FRAME_END as u64, task.stack_top);
    pc.task_stack.set(task.stack_top);
    // SAFETY: only the CPU that runs a task touches its registers.
    let (left_by_call, cr3) = unsafe { ((*registers).resume != 0, (*registers).cr3) };
    load_tables(cr3);
    if task.space.is_some() {
        enter_space(task);
    }
    // A task that left by a call turns interrupts on itself.
    pc.depth.set(u32::from(left_by_call));
    pc.resume.set(1);
    if !pc.ended.get().is_null() {
        bury_ended(pc);
    }
    if DOOMED_COUNT.load(Ordering::SeqCst) != 0 {
        bury_doomed();
    }
    arm(pc);
    registers
}

/// The task that ran is a user task, and leaves this CPU.
#[cold]
#[inline(never)]
fn leave_space(previous: &Tcb) {
    previous.times.was_system(clock::now().as_nanos());
    account(previous);
    // SAFETY: only the CPU that runs a task touches its registers.
    unsafe { (*previous.registers.get()).selectors = Selectors::save() };
    // Once the task is off this CPU, its page tables may be given back.
    load_tables(crate::memory::kernel_cr3());
}

/// A user task is about to run.
#[cold]
#[inline(never)]
fn enter_space(task: &Tcb) {
    task.times.begin(clock::now().as_nanos());
    if !cfg!(feature = "skip-segments") {
        // SAFETY: only the CPU that runs a task touches its registers.
        unsafe { (*task.registers.get()).selectors.load() };
    }
}

/// Something waited for the registers. Nothing of the new task is loaded yet, so it can still give way.
#[cold]
#[inline(never)]
fn ask_again(pc: &PerCpu) {
    let answer = ask(pc, Leave::Ask, clock::now());
    plan(pc, granted(pc, &answer));
}

/// The task that called [`end`] is off its stack.
#[cold]
#[inline(never)]
fn bury_ended(pc: &PerCpu) {
    let ended = pc.ended.replace(ptr::null());
    bury(TaskRef(ended));
    // SAFETY: the reference that `end` took.
    unsafe { Arc::decrement_strong_count(ended) };
}

/// Tells the core what has been measured of the running user task up to now.
pub(crate) fn account_current() {
    irq::push();
    // SAFETY: the current task's block lives.
    let task = unsafe { &*percpu::this().current.get() };
    task.times.was_system(clock::now().as_nanos());
    account(task);
    irq::pop();
}

/// Tells the core what has been measured of a user task.
fn account(task: &Tcb) {
    let (user, system) = task.times.take();
    let faults = task.space.as_ref().map_or(0, Space::take_faults);
    // It may have ended, and then nobody asks any more.
    let _ = scheduler().account(task.id(), user, system, faults);
}

#[inline(always)]
fn load_tables(cr3: u64) {
    let now: u64;
    // SAFETY: both tables map the kernel alike.
    unsafe {
        core::arch::asm!("mov {}, cr3", out(reg) now, options(nostack, preserves_flags));
        if now != cr3 {
            core::arch::asm!("mov cr3, {}", in(reg) cr3, options(nostack, preserves_flags));
        }
    }
}

/// An interrupt; the registers of what it interrupted are saved at `registers`. Answers whose are loaded.
pub(crate) extern "C" fn interrupt(registers: *const Registers, vector: u64) -> *const Registers {
    let pc = percpu::this();
    // Locks taken here must not turn interrupts on.
    pc.depth.set(1);
    match vector as u8 {
        idt::TIMER => {
            apic::acknowledge();
            pc.armed.store(u64::MAX, Ordering::Relaxed);
            pc.counts.timer.fetch_add(1, Ordering::Relaxed);
            let now = clock::now();
            watch::look_after_others(pc, now);
            if now < pc.due.get() {
                // It was armed for an earlier decision.
                set_timer(pc);
                pc.depth.set(0);
                return registers;
            }
        }
        idt::RESCHEDULE => {
            // Before the question: what is asked for later is answered later.
            pc.asked_at.store(0, Ordering::SeqCst);
            apic::acknowledge();
            pc.counts.ipi.fetch_add(1, Ordering::Relaxed);
            if pc.armed.load(Ordering::Relaxed) < clock::now().as_nanos() {
                // If it is not about to come, it was lost.
                pc.armed.store(u64::MAX, Ordering::Relaxed);
            }
            if pc.attention.load(Ordering::Relaxed) != 0 {
                watch::attend(pc, clock::now());
            }
        }
        // The APIC does not wait for an acknowledgement of this vector, but of all others.
        idt::SPURIOUS => _ = pc.counts.spurious.fetch_add(1, Ordering::Relaxed),
        _ => {
            apic::acknowledge();
            pc.counts.spurious.fetch_add(1, Ordering::Relaxed);
        }
    }
    #[cfg(feature = "clobber-red-zone")]
    crate::selftest::clobber_red_zone(registers);
    let now = clock::now();
    // SAFETY: the entry has saved them.
    let from_user = unsafe { (*registers).cs & 3 != 0 };
    if from_user {
        // SAFETY: the current task's block lives.
        unsafe { (*pc.current.get()).times.was_user(now.as_nanos()) };
    }
    let answer = ask(pc, Leave::Ask, now);
    let decision = granted(pc, &answer);
    // SAFETY: the current task's block lives.
    let same = decision.next.as_ref().map_or_else(
        || ptr::eq(pc.current.get(), &*pc.idle),
        |next| !next.switch && ptr::eq(next.context.0, pc.current.get()),
    );
    if same {
        pc.due.set(decision.until.unwrap_or(Timestamp::MAX));
        arm(pc);
        if from_user {
            // SAFETY: the current task's block lives.
            let task = unsafe { &*pc.current.get() };
            task.times.was_system(clock::now().as_nanos());
            account(task);
        }
        pc.depth.set(0);
        return registers;
    }
    plan(pc, decision);
    commit()
}

/// Sees to it that this CPU's timer comes when the CPU must ask, or not at all. It may come earlier, once: with each switch the CPU must
/// ask later than before, and to set the timer costs more than to be interrupted once a slice.
#[inline(always)]
fn arm(pc: &PerCpu) {
    let due = pc.due.get();
    if pc.armed.load(Ordering::Relaxed) > due.as_nanos() || due == Timestamp::MAX {
        set_timer(pc);
    }
}

#[inline(never)]
fn set_timer(pc: &PerCpu) {
    let now = clock::now();
    let until = pc.due.get().min(watch::horizon(pc, now));
    if pc.armed.load(Ordering::Relaxed) == until.as_nanos() {
        return;
    }
    pc.armed.store(until.as_nanos(), Ordering::Relaxed);
    if until == Timestamp::MAX {
        apic::disarm();
    } else {
        apic::arm(until.since(now).as_nanos());
    }
}

/// Interrupts another CPU so that it asks again.
pub(crate) fn interrupt_cpu(cpu: usize, now: Timestamp) {
    let Some(other) = percpu::get(cpu) else { return };
    // One interrupt that has not been answered is enough: the answer will see all that was done before.
    if other.asked_at.compare_exchange(0, now.as_nanos().max(1), Ordering::SeqCst, Ordering::Relaxed).is_ok() {
        apic::interrupt(other.apic_id, idt::RESCHEDULE);
    } else {
        watch::check_answer(other, now);
    }
}

/// Does what a wake-up asks for; interrupts are off. True: this CPU itself should ask again.
#[must_use]
pub(crate) fn obey(wake: &Wake, now: Timestamp) -> bool {
    if !wake.interrupt && wake.until.is_none() {
        return false;
    }
    if wake.cpu == percpu::this().cpu {
        return true;
    }
    interrupt_cpu(wake.cpu, now);
    false
}

/// Unparks a task where this CPU cannot ask at once, as when a task is buried: it does so by an interrupt to itself.
pub(crate) fn rouse(id: TaskId) {
    let _off = irq::Off::new();
    let now = clock::now();
    if scheduler().unpark(now, id).is_ok_and(|wake| obey(&wake, now)) {
        interrupt_cpu(percpu::this().cpu, now);
    }
}

/// Tasks that were killed while they ran elsewhere; whoever finds one ended and off its CPU buries it.
static DOOMED: Lock<alloc::vec::Vec<Arc<Tcb>>> = Lock::new(alloc::vec::Vec::new());
static DOOMED_COUNT: AtomicU64 = AtomicU64::new(0);

fn has_ended(task: &Tcb) -> bool {
    scheduler().with_task(task.id(), |task| task.state().has_ended()).unwrap_or(true)
}

/// The task has ended and nobody runs on its stack: gives back what it had. Once, whoever comes first.
fn bury(task: TaskRef) {
    // SAFETY: whoever calls this holds a reference, or is the CPU on which the task ended.
    let tcb = unsafe { &*task.0 };
    if !tcb.buried.swap(true, Ordering::AcqRel) {
        tcb.release();
        // SAFETY: the core's reference, given up once, as the core has forgotten the task or keeps only its status.
        unsafe { Arc::decrement_strong_count(task.0) };
    }
}

#[cold]
fn bury_doomed() {
    DOOMED.lock().retain(|task| {
        let over = !task.on_cpu.load(Ordering::SeqCst) && has_ended(task);
        if over {
            bury(TaskRef(Arc::as_ptr(task)));
            DOOMED_COUNT.fetch_sub(1, Ordering::SeqCst);
        }
        !over
    });
}

/// A task has been killed. Its memory is given back now, or by whoever takes it off its CPU.
pub(crate) fn doom(task: Arc<Tcb>) {
    DOOMED.lock().push(task);
    DOOMED_COUNT.fetch_add(1, Ordering::SeqCst);
    bury_doomed();
}

/// Tasks that faults and panics have ended.
static FAILURES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn note_failure() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// How many tasks have been ended by faults and panics.
pub fn failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}

/// Whether a task runs on this CPU: neither its boot nor its idle task.
pub(crate) fn runs_task() -> bool {
    let _off = irq::Off::new();
    let pc = percpu::this();
    !SCHEDULER.load(Ordering::Relaxed).is_null() && !ptr::eq(pc.current.get(), &*pc.idle)
}
