//! Prometheus's text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

use std::fmt::{self, Write as _};
use std::time::Duration;

/// A text in Prometheus's exposition format, family by family.
///
/// ```
/// use dis_runtime::metrics::Exposition;
///
/// let mut text = Exposition::new();
/// text.counter("requests_total", "Requests answered.").sample(&[("path", "/")], 3);
/// assert_eq!(text.finish(), "# HELP requests_total Requests answered.\n# TYPE requests_total counter\nrequests_total{path=\"/\"} 3\n");
/// ```
#[derive(Debug, Default)]
pub struct Exposition(String);

/// The `Content-Type` of such a text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a sample says. Times are told in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A count.
    Count(u64),
    /// A time.
    Time(Duration),
    /// Any number.
    Number(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Value {
        Value::Count(count)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Value {
        Value::Time(time)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Count(count) => count.fmt(f),
            // Exact, unlike a number in floating point.
            Value::Time(time) => write!(f, "{}.{:09}", time.as_secs(), time.subsec_nanos()),
            Value::Number(number) if number == f64::INFINITY => f.write_str("+Inf"),
            Value::Number(number) if number == f64::NEG_INFINITY => f.write_str("-Inf"),
            Value::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Exposition {
    /// An empty text.
    pub fn new() -> Exposition {
        Exposition::default()
    }

    /// Begins a family of counters: what only grows.
    ///
    /// # Panics
    /// If `name` is not a metric's name that ends in `_total`, or the text has a family of that name already.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        assert!(name.ends_with("_total"), "the name of a counter ends in _total, unlike {name}");
        self.family(name, help, "counter")
    }

    /// Begins a family of gauges: what goes up and down.
    ///
    /// # Panics
    /// If `name` is not a metric's name, or the text has a family of that name already.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "gauge")
    }

    /// Begins a family of histograms; use [`Family::buckets`].
    ///
    /// # Panics
    /// As [`gauge`](Self::gauge).
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "histogram")
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> Family<'_> {
        assert!(is_name(name, ':'), "{name:?} is not a metric's name: letters, digits, _ and :, no digit first");
        let head = format!("# TYPE {name} ");
        assert!(!self.0.contains(&head), "the family {name} is there already");
        let _ = writeln!(self.0, "# HELP {name} {}\n{head}{kind}", Escaped(help, false));
        Family { text: &mut self.0, name }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A family of an [`Exposition`]: samples that differ by their labels.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Adds a sample.
    ///
    /// # Panics
    /// If a label's name is none.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        self.line("", labels, None, value.into())
    }

    /// Adds a histogram: of each bucket the upper bound and how many lie in it alone, in ascending order; how many lie beyond the
    /// last bound; the sum of all.
    ///
    /// # Panics
    /// As [`sample`](Self::sample).
    pub fn buckets(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl IntoIterator<Item = (Value, u64)>,
        beyond: u64,
        sum: impl Into<Value>,
    ) -> &mut Self {
        let mut count = 0;
        for (bound, own) in buckets {
            count += own;
            self.line("_bucket", labels, Some(bound), Value::Count(count));
        }
        count += beyond;
        self.line("_bucket", labels, Some(Value::Number(f64::INFINITY)), Value::Count(count));
        self.line("_sum", labels, None, sum.into()).line("_count", labels, None, Value::Count(count))
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<Value>, value: Value) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| bound.to_string());
        let all = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        let mut separator = '{';
        for (name, value) in all {
            assert!(is_name(name, '_'), "{name:?} is not a label's name: letters, digits and _, no digit first");
            let _ = write!(self.text, "{separator}{name}=\"{}\"", Escaped(value, true));
            separator = ',';
        }
        let _ = writeln!(self.text, "{} {value}", if separator == ',' { "}" } else { "" });
        self
    }
}

fn is_name(name: &str, also: char) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == also;
    name.chars().all(allowed) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Help, or a label's value.
struct Escaped<'a>(&'a str, bool);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.1 => f.write_str("\\\""),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_labels_are_escaped() {
        let mut text = Exposition::new();
        text.gauge("g:x_1", "Line\nback\\slash \"quoted\"").sample(&[("a", "b\\c\n\"d\""), ("e", "")], 1.5);
        let expected = "# HELP g:x_1 Line\\nback\\\\slash \"quoted\"\n# TYPE g:x_1 gauge\n\
                        g:x_1{a=\"b\\\\c\\n\\\"d\\\"\",e=\"\"} 1.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_infinity() {
        let mut text = Exposition::new();
        let buckets = [(Duration::from_micros(1).into(), 3), (0.5.into(), 0), (1.0.into(), 2)];
        text.histogram("h_seconds", "H.").buckets(&[("c", "x")], buckets, 4, Duration::from_millis(1500));
        let expected = "# HELP h_seconds H.\n# TYPE h_seconds histogram\n\
                        h_seconds_bucket{c=\"x\",le=\"0.000001000\"} 3\nh_seconds_bucket{c=\"x\",le=\"0.5\"} 3\n\
                        h_seconds_bucket{c=\"x\",le=\"1\"} 5\nh_seconds_bucket{c=\"x\",le=\"+Inf\"} 9\n\
                        h_seconds_sum{c=\"x\"} 1.500000000\nh_seconds_count{c=\"x\"} 9\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn numbers_are_prometheuss() {
        let shown = |value: Value| value.to_string();
        assert_eq!(shown(f64::INFINITY.into()), "+Inf");
        assert_eq!(shown(f64::NEG_INFINITY.into()), "-Inf");
        assert_eq!(shown(f64::NAN.into()), "NaN");
        assert_eq!(shown(u64::MAX.into()), "18446744073709551615");
        assert_eq!(shown(Duration::from_nanos(1_000_000_001).into()), "1.000000001");
    }

    #[test]
    #[should_panic(expected = "_total")]
    fn a_counter_is_named_so() {
        Exposition::new().counter("requests", "R.");
    }

    #[test]
    #[should_panic(expected = "already")]
    fn a_family_comes_once() {
        let mut text = Exposition::new();
        text.gauge("a", "A.");
        text.gauge("a", "A.");
    }

    #[test]
    #[should_panic(expected = "not a label")]
    fn labels_have_names() {
        Exposition::new().gauge("a", "A.").sample(&[("0", "")], 1);
    }
}
