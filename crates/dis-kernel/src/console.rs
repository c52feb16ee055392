//! Text on the serial line: for people as it is, for machines one line each that begins with the byte 0x1e.

use core::fmt::{self, Write};

use crate::arch::uart;
use crate::lock::Lock;

/// What a machine line begins with (ASCII record separator, as in RFC 7464).
pub const RECORD: char = '\x1e';

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(uart::send);
        Ok(())
    }
}

static SERIAL: Lock<Serial> = Lock::new(Serial);

/// Writes; one call is one piece, whoever else writes.
pub fn write(arguments: fmt::Arguments<'_>) {
    let _ = SERIAL.lock().write_fmt(arguments);
}

/// Writes although another CPU, or what has failed on this one, may hold the line. For the last words.
pub fn write_anyway(arguments: fmt::Arguments<'_>) {
    for _ in 0..1_000_000 {
        if let Some(mut serial) = SERIAL.try_lock() {
            let _ = serial.write_fmt(arguments);
            return;
        }
        core::hint::spin_loop();
    }
    let _ = Serial.write_fmt(arguments);
}

/// A line of text.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::console::write(format_args!("{}\n", format_args!($($text)*))) };
}
