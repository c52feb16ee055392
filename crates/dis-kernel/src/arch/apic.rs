//! The local APIC, through memory: the timer, and interrupts to other CPUs.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{idt, pit};

const ID: usize = 0x20;
const EOI: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const ICR_LOW: usize = 0x300;
const ICR_HIGH: usize = 0x310;
const TIMER: usize = 0x320;
const INITIAL: usize = 0x380;
const CURRENT: usize = 0x390;
const DIVIDE: usize = 0x3e0;
const MASKED: u32 = 1 << 16;

/// Where the registers are mapped.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Timer ticks (of 16 bus clocks) per nanosecond, times 2^32.
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// The registers are at this virtual address from now on.
pub fn set_base(address: u64) {
    BASE.store(address, Ordering::Relaxed);
}

#[inline(always)]
fn read(register: usize) -> u32 {
    // SAFETY: the page of the APIC's registers is mapped there for ever; each CPU sees its own.
    unsafe { ((BASE.load(Ordering::Relaxed) as usize + register) as *const u32).read_volatile() }
}

#[inline(always)]
fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { ((BASE.load(Ordering::Relaxed) as usize + register) as *mut u32).write_volatile(value) }
}

/// This CPU's APIC id.
pub fn id() -> u32 {
    read(ID) >> 24
}

/// Turns this CPU's APIC on; its timer is one-shot and not armed.
pub fn enable() {
    write(SPURIOUS, 0x100 | u32::from(idt::SPURIOUS));
    write(DIVIDE, 0b0011);
    write(TIMER, MASKED | u32::from(idt::TIMER));
    write(INITIAL, 0);
    write(TIMER, u32::from(idt::TIMER));
}

/// Measures the timer against the PIT over 10 ms, and the TSC in the same window. Answers both frequencies, Hz.
pub fn calibrate(read_tsc: impl Fn() -> u64) -> (u64, u64) {
    const WINDOW: u16 = (pit::HZ / 100) as u16;
    write(TIMER, MASKED | u32::from(idt::TIMER));
    write(INITIAL, u32::MAX);
    let (timer, tsc) = (read(CURRENT), read_tsc());
    pit::wait(WINDOW);
    let (timer, tsc) = (timer - read(CURRENT), read_tsc() - tsc);
    write(INITIAL, 0);
    write(TIMER, u32::from(idt::TIMER));
    let per_second = |count: u64| count * pit::HZ / u64::from(WINDOW);
    TICKS_PER_NS.store((per_second(timer.into()) << 32) / 1_000_000_000, Ordering::Relaxed);
    (per_second(timer.into()), per_second(tsc))
}

/// The timer interrupts this CPU once, `ns` from now (rounded up to a tick, at most the longest that it can count).
#[inline]
pub fn arm(ns: u64) {
    let ticks = ((u128::from(ns) * u128::from(TICKS_PER_NS.load(Ordering::Relaxed))) >> 32) as u64 + 1;
    write(INITIAL, ticks.min(u32::MAX.into()) as u32);
}

/// The timer does not interrupt this CPU any more.
#[inline]
pub fn disarm() {
    write(INITIAL, 0);
}

/// The interrupt has been taken note of.
#[inline]
pub fn acknowledge() {
    write(EOI, 0);
}

fn command(apic_id: u32, low: u32) {
    while read(ICR_LOW) & (1 << 12) != 0 {
        core::hint::spin_loop();
    }
    write(ICR_HIGH, apic_id << 24);
    write(ICR_LOW, low);
}

/// Interrupts the CPU of that APIC.
pub fn interrupt(apic_id: u32, vector: u8) {
    command(apic_id, u32::from(vector));
}

/// Resets the CPU of that APIC and lets it wait for [`start`].
pub fn reset(apic_id: u32) {
    command(apic_id, 0x4500);
}

/// The CPU begins at `page` x 4 KiB, in real mode.
pub fn start(apic_id: u32, page: u8) {
    command(apic_id, 0x4600 | u32::from(page));
}
