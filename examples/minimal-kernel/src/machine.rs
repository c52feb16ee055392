//! What the machine offers, as far as a scheduler needs it: a clock, one timer, a place to print, memory.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, x86_64::_rdtsc};
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use dis_core::api::Timestamp;

pub fn out(port: u16, value: u8) {
    // SAFETY: only ports of the devices below.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

fn input(port: u16) -> u8 {
    let value: u8;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nostack)) };
    value
}

/// Leaves QEMU with the exit code `2 * code + 1`.
pub fn exit(code: u8) -> ! {
    out(0xf4, code);
    loop {
        core::hint::spin_loop();
    }
}

/// The first serial port.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| out(0x3f8, byte));
        Ok(())
    }
}

const APIC: usize = 0xfee0_0000;

pub fn apic(register: usize, value: u32) {
    // SAFETY: the local APIC is there, and its registers are written one at a time.
    unsafe { ((APIC + register) as *mut u32).write_volatile(value) };
}

/// Counts of the time stamp counter and of the timer in a millisecond.
static RATES: [AtomicU64; 2] = [const { AtomicU64::new(1) }; 2];

/// Measures both clocks against 10 ms of the PIT's second channel, and lets the timer interrupt at vector 32.
pub fn start_clocks() {
    out(0x21, 0xff); // nothing from the old interrupt controllers
    out(0xa1, 0xff);
    apic(0xf0, 0x1ff);
    apic(0x3e0, 3); // divide by 16
    apic(0x320, 0x1_0000);
    out(0x61, (input(0x61) & !2) | 1);
    out(0x43, 0xb0);
    out(0x42, 0x9c); // 11,932 of its counts
    out(0x42, 0x2e);
    apic(0x380, u32::MAX);
    // SAFETY: every CPU of this kind has the counter.
    let begin = unsafe { _rdtsc() };
    while input(0x61) & 0x20 == 0 {}
    // SAFETY: as above; the APIC's current count may be read.
    let (end, left) = unsafe { (_rdtsc(), ((APIC + 0x390) as *const u32).read_volatile()) };
    RATES[0].store(((end - begin) / 10).max(1), Relaxed);
    RATES[1].store((u64::from(u32::MAX - left) / 10).max(1), Relaxed);
    apic(0x320, 32); // one-shot, vector 32
    apic(0x380, 0);
}

pub fn now() -> Timestamp {
    // SAFETY: as above.
    let count = unsafe { _rdtsc() };
    Timestamp::from_nanos((u128::from(count) * 1_000_000 / u128::from(RATES[0].load(Relaxed))) as u64)
}

/// The timer fires at `until`, or not at all.
pub fn arm(until: Option<Timestamp>) {
    let count = until.map_or(0, |until| (until.since(now()).as_nanos() * RATES[1].load(Relaxed) / 1_000_000).max(1));
    apic(0x380, count.min(u32::MAX.into()) as u32);
}

/// Memory from 16 MiB on, handed out and never taken back.
pub struct Heap;
static FREE: AtomicUsize = AtomicUsize::new(16 << 20);

// SAFETY: each range is given out once, aligned; that memory is nobody else's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = FREE.load(Relaxed).next_multiple_of(layout.align());
        FREE.store(at + layout.size(), Relaxed); // one CPU, and no interrupt allocates
        if at + layout.size() > 64 << 20 { core::ptr::null_mut() } else { at as *mut u8 }
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
