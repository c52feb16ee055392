//! Numbers for people.

/// A time with three significant digits in the unit that suits it: `830 ns`, `12.4 µs`, `1.05 ms`, `3.20 s`.
pub(super) fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        // From 999.5 of a unit on, three digits round up into the next unit.
        1_000..999_500 => (ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A count with separated thousands: `1 234 567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A part of one CPU as per cent: `12.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `text` in lines of at most `width` characters, if its words permit. A number is not parted from its `%`.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = &mut lines[0];
        if !line.is_empty() && word != "%" && line.chars().count() + 1 + word.chars().count() > width {
            lines.insert(0, word.into());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_in_a_fitting_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_996, "10.0 µs"),
            (12_449, "12.4 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (16_000_000, "16.0 ms"),
            (3_200_000_000, "3.20 s"),
        ] {
            assert_eq!(time(ns), text, "{ns}");
        }
        assert_eq!([count(0), count(999), count(1_234_567)], ["0", "999", "1 234 567"]);
        assert_eq!(percent(0.1234), "12.3 %");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 3), ["one", "two", "three"]);
        assert_eq!(wrap("took 15 % of", 7), ["took 15 %", "of"]);
        assert_eq!((wrap("one", 0), wrap("", 5)), (vec!["one".to_string()], vec![String::new()]));
    }
}
