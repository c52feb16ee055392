//! Typed access to a table's keys; every mismatch becomes a problem at its place.

use std::ops::RangeInclusive;

use dis_core::api::Duration;
use toml::de::{DeArray, DeTable, DeValue};

use crate::text::{Context, did_you_mean, join_or, parse_duration, shorten};

/// A table of the file and where it is.
pub(super) struct Fields<'a, 't> {
    table: &'a DeTable<'t>,
    /// Byte offset of the table.
    pub at: usize,
    path: String,
}

impl<'a, 't> Fields<'a, 't> {
    /// Takes `table` and reports the keys that are not in `allowed`.
    pub fn new(cx: &mut Context<'_>, table: &'a DeTable<'t>, at: usize, path: String, allowed: &[&str]) -> Self {
        let fields = Self { table, at, path };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !allowed.contains(&name) {
                let hint = did_you_mean(name, allowed.iter().copied());
                let known = join_or(allowed.iter().copied());
                let message = format!("unknown key{hint} (allowed are {known})");
                cx.problem(key.span().start, fields.field(&shorten(name)), message);
            }
        }
        fields
    }

    /// The name of a field in messages.
    pub fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key and its offset.
    pub fn get(&self, key: &str) -> Option<(&'a DeValue<'t>, usize)> {
        self.table.get(key).map(|value| (value.get_ref(), value.span().start))
    }

    /// Where the key's value is; the table's place without one.
    pub fn place(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, |(_, at)| at)
    }

    /// Adds a problem about `key`.
    pub fn problem(&self, cx: &mut Context<'_>, key: &str, message: impl Into<String>) {
        cx.problem(self.place(key), self.field(key), message);
    }

    fn wrong_type(&self, cx: &mut Context<'_>, key: &str, found: &DeValue<'_>, wanted: &str) {
        self.problem(cx, key, format!("is {}; it must be {wanted}", with_article(found.type_str())));
    }

    /// A string.
    pub fn text(&self, cx: &mut Context<'_>, key: &str, wanted: &str) -> Option<&'a str> {
        match self.get(key)?.0 {
            DeValue::String(text) => Some(text.as_ref()),
            other => {
                self.wrong_type(cx, key, other, wanted);
                None
            }
        }
    }

    /// A string that `parse` understands.
    pub fn parsed<T>(
        &self,
        cx: &mut Context<'_>,
        key: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(cx, key, wanted)?;
        parse(text).map_err(|message| self.problem(cx, key, message)).ok()
    }

    /// A duration, which may be zero.
    pub fn duration(&self, cx: &mut Context<'_>, key: &str) -> Option<Duration> {
        self.parsed(cx, key, "a string with a unit, such as \"10ms\"", parse_duration)
    }

    /// A duration above zero.
    pub fn positive(&self, cx: &mut Context<'_>, key: &str) -> Option<Duration> {
        let duration = self.duration(cx, key)?;
        if duration.is_zero() {
            self.problem(cx, key, "is 0; it must be longer than 0");
            return None;
        }
        Some(duration)
    }

    /// A duration above zero in whole microseconds, which is what intents count in.
    pub fn micros(&self, cx: &mut Context<'_>, key: &str) -> Option<u64> {
        let nanos = self.positive(cx, key)?.as_nanos();
        if nanos % 1_000 != 0 {
            self.problem(
                cx,
                key,
                format!("is {nanos} ns; it must be a whole number of microseconds, at least \"1us\""),
            );
            return None;
        }
        Some(nanos / 1_000)
    }

    /// An integer within `range`.
    pub fn integer(&self, cx: &mut Context<'_>, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let (value, _) = self.get(key)?;
        integer(value, &range).map_err(|message| self.problem(cx, key, message)).ok()
    }

    /// `true` or `false`.
    pub fn boolean(&self, cx: &mut Context<'_>, key: &str) -> Option<bool> {
        match self.get(key)?.0 {
            DeValue::Boolean(value) => Some(*value),
            other => {
                self.wrong_type(cx, key, other, "true or false");
                None
            }
        }
    }

    /// A table.
    pub fn table(&self, cx: &mut Context<'_>, key: &str) -> Option<(&'a DeTable<'t>, usize)> {
        match self.get(key)? {
            (DeValue::Table(table), at) => Some((table, at)),
            (other, _) => {
                self.wrong_type(cx, key, other, "a table");
                None
            }
        }
    }

    /// A list.
    pub fn list(&self, cx: &mut Context<'_>, key: &str, wanted: &str) -> Option<&'a DeArray<'t>> {
        match self.get(key)?.0 {
            DeValue::Array(items) => Some(items),
            other => {
                self.wrong_type(cx, key, other, wanted);
                None
            }
        }
    }
}

/// An integer within `range`, or what is wrong.
pub(super) fn integer(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    let DeValue::Integer(number) = value else {
        return Err(format!("is {}; it must be {allowed}", with_article(value.type_str())));
    };
    match u64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("is {}; it must be {allowed}", shorten(number.as_str()))),
    }
}

/// `a string`, `an integer`.
pub(super) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}
