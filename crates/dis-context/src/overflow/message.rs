//! Building the message without allocation.

use crate::Fault;

/// The greatest length of a task's name in the message, in bytes.
pub(super) const NAME: usize = 128;

/// A line in a fixed buffer; what does not fit is cut off.
pub(super) struct Line {
    bytes: [u8; 384],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: [0; 384], len: 0 }
    }

    fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(cell) = self.bytes.get_mut(self.len) {
                *cell = byte;
                self.len += 1;
            }
        }
    }

    fn number(&mut self, mut n: usize, base: usize) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdef"[n % base];
            n /= base;
            if n == 0 || at == 0 {
                break;
            }
        }
        self.text(&digits[at..]);
    }

    fn size(&mut self, bytes: usize) {
        if bytes.is_multiple_of(1024) {
            self.number(bytes / 1024, 10);
            self.text(b" KiB");
        } else {
            self.number(bytes, 10);
            self.text(b" bytes");
        }
    }

    fn task(&mut self, name: &[u8], fault: &Fault) {
        if name.is_empty() {
            self.text(b"the task on stack ");
            self.number(fault.index, 10);
        } else {
            self.text(b"task '");
            for &byte in name {
                self.text(&[if byte.is_ascii_control() { b'?' } else { byte }]);
            }
            self.text(b"'");
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// The line about a task that ran into its own guard, or, if `stray`, about a guard hit by somebody else.
pub(super) fn compose(fault: &Fault, name: &[u8], stray: bool) -> Line {
    let mut line = Line::new();
    if stray {
        line.text(b"stray access to address 0x");
        line.number(fault.address, 16);
        line.text(b", in the guard below the stack of ");
        line.task(name, fault);
        line.text(b", by code that runs elsewhere; look for a wild pointer\n");
    } else {
        line.task(name, fault);
        line.text(b" overflowed its stack (");
        line.size(fault.size);
        line.text(b"); recurse less, or spawn it with a larger stack\n");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &[u8], size: usize, stray: bool) -> String {
        let fault = Fault { index: 7, guard: true, address: 0xbeef, bottom: 0xc000, pool: 0, size };
        String::from_utf8(compose(&fault, name, stray).bytes().to_vec()).unwrap()
    }

    #[test]
    fn names_the_task_and_the_size() {
        let end = "; recurse less, or spawn it with a larger stack\n";
        assert_eq!(text(b"a\nb", 65_536, false), format!("task 'a?b' overflowed its stack (64 KiB){end}"));
        assert_eq!(text(b"", 1000, false), format!("the task on stack 7 overflowed its stack (1000 bytes){end}"));
        assert!(
            text(b"x", 1024, true)
                .starts_with("stray access to address 0xbeef, in the guard below the stack of task 'x'")
        );
        assert!(text(&[b'n'; 500], usize::MAX, false).len() <= 384);
    }
}
