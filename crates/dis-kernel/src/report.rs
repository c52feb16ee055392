//! Machine lines: one JSON object each.

use core::fmt::{self, Write};

/// Writes `text` as the inside of a JSON string.
pub struct Escaped<W>(pub W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' | '\\' => {
                    self.0.write_char('\\')?;
                    self.0.write_char(character)?;
                }
                control if control < ' ' || control == '\x7f' => write!(self.0, "\\u{:04x}", u32::from(control))?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// `value`, as a JSON string.
pub struct Quoted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escaped(&mut *f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// A machine line with the event's name, and after it fields written as `"name":value`, separated by commas.
#[macro_export]
macro_rules! event {
    ($name:literal, $($fields:tt)*) => {
        $crate::console::write(format_args!(
            "{}{{\"event\":\"{}\",{}}}\n", $crate::console::RECORD, $name, format_args!($($fields)*)
        ))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_of_any_kind_becomes_a_json_string() {
        assert_eq!(Quoted("a \"b\"\\\n\x1e é").to_string(), "\"a \\\"b\\\"\\\\\\u000a\\u001e é\"");
    }
}
