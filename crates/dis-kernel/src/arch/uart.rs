//! The first serial port, a 16550.

use x86_64::instructions::port::Port;

const BASE: u16 = 0x3f8;

/// Sets it up: 115,200 baud, 8N1, FIFO on, no interrupts.
pub fn init() {
    for (register, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (2, 0xc7), (4, 0x03)] {
        // SAFETY: the ports are those of COM1.
        unsafe { Port::<u8>::new(BASE + register).write(value) };
    }
}

/// The next byte that has come, if any.
pub fn receive() -> Option<u8> {
    // SAFETY: as above.
    unsafe { (Port::<u8>::new(BASE + 5).read() & 1 != 0).then(|| Port::<u8>::new(BASE).read()) }
}

/// Sends one byte; waits until the transmitter takes it.
pub fn send(byte: u8) {
    // SAFETY: as above.
    unsafe {
        while Port::<u8>::new(BASE + 5).read() & 0x20 == 0 {
            core::hint::spin_loop();
        }
        Port::<u8>::new(BASE).write(byte);
    }
}
