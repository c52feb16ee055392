//! The programmable interval timer, which all other clocks are measured against.

use core::hint::spin_loop;

use x86_64::instructions::port::Port;

/// Its frequency, Hz.
pub const HZ: u64 = 1_193_182;

/// Waits `ticks` of the PIT's channel 2 (at most 65,535, which is 55 ms).
pub fn wait(ticks: u16) {
    let (mut gate, mut mode, mut data) = (Port::<u8>::new(0x61), Port::<u8>::new(0x43), Port::<u8>::new(0x42));
    // SAFETY: these ports are the PIT's channel 2 and its gate (PC/AT); nobody else uses it. The speaker stays off.
    unsafe {
        let idle = gate.read() & !0x03;
        gate.write(idle);
        mode.write(0b1011_0000);
        data.write(ticks as u8);
        data.write((ticks >> 8) as u8);
        gate.write(idle | 1);
        while gate.read() & 0x20 == 0 {
            spin_loop();
        }
    }
}

/// Waits `ms` milliseconds.
pub fn wait_ms(ms: u64) {
    for _ in 0..ms {
        wait((HZ / 1000) as u16);
    }
}

/// Lets channel 0, whose interrupt is masked, beat every `us` microseconds (at most 54,000). For QEMU's mode that counts
/// instructions, which runs one CPU until the next timer of the machine is due: without a beat, and without a tick of ours,
/// the others would stand still for 55 ms (the firmware's setting of this channel).
pub fn beat(us: u64) {
    let count = (us * HZ / 1_000_000).clamp(2, 65_535);
    // SAFETY: the ports are the PIT's channel 0; nobody else uses it.
    unsafe {
        Port::<u8>::new(0x43).write(0b0011_0100);
        Port::<u8>::new(0x40).write(count as u8);
        Port::<u8>::new(0x40).write((count >> 8) as u8);
    }
}
