//! A line on the terminal while a run goes on.

use std::io::{self, IsTerminal, Write};

/// A line on standard error that is drawn again and again; nothing where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    on: bool,
    drawn: bool,
}

impl Progress {
    /// A progress line, unless it is not wanted.
    pub fn new(wanted: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Progress { on: wanted && io::stderr().is_terminal() && !dumb, drawn: false }
    }

    /// Whether drawing has an effect.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Shows `text` instead of what was shown, cut to the terminal's width.
    pub fn draw(&mut self, text: &str) {
        if !self.on {
            return;
        }
        // Room for the `^C` that a terminal echoes.
        let width = super::Stream::Err.width().saturating_sub(3);
        let text: String = text.chars().take(width).collect();
        let _ = io::stderr().write_all(format!("\r{text}\x1b[K").as_bytes());
        self.drawn = true;
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.drawn {
            let _ = io::stderr().write_all(b"\r\x1b[K");
            self.drawn = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar of `width` cells, filled to `part` (0 to 1).
pub fn bar(part: f64, width: usize) -> String {
    let filled = (part.clamp(0.0, 1.0) * width as f64).round() as usize;
    "█".repeat(filled) + &"░".repeat(width - filled)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_fills() {
        assert_eq!([super::bar(0.0, 4), super::bar(0.5, 4), super::bar(7.0, 4)], ["░░░░", "██░░", "████"]);
        assert_eq!(super::bar(f64::NAN, 2), "░░");
    }
}
