//! Typed access to members; every mismatch becomes a problem at its place.

use dis_core::api::{CpuMask, Duration, MAX_CPUS};

use super::json::{Node, Value};
use crate::text::{Context, shorten};

/// The longest time that rt-app's microseconds may name here: 292 years.
const MAX_MICROS: i64 = (u64::MAX / 2 / 1_000) as i64;

/// An integer from `min` to `max`.
pub(super) fn integer(cx: &mut Context<'_>, node: &Node<'_>, field: &str, min: i64, max: i64) -> Option<i64> {
    let allowed = || format!("it must be a whole number from {min} to {max}");
    let message = match &node.value {
        Value::Number(text) => match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => return Some(number),
            _ => format!("is {}; {}", shorten(text), allowed()),
        },
        other => format!("is {}; {}", other.kind(), allowed()),
    };
    cx.problem(node.at, field, message);
    None
}

/// A time in microseconds, possibly 0.
pub(super) fn micros(cx: &mut Context<'_>, node: &Node<'_>, field: &str) -> Option<Duration> {
    let message = match &node.value {
        Value::Number(text) => match text.parse::<i64>() {
            Ok(micros @ 0..=MAX_MICROS) => return Some(Duration::from_micros(micros as u64)),
            Ok(..0) => format!("is {}; a time cannot be negative (the unit is microseconds)", shorten(text)),
            Ok(_) => format!("is {}; at most {MAX_MICROS} microseconds", shorten(text)),
            Err(_) => format!("is {}; it must be a whole number of microseconds up to {MAX_MICROS}", shorten(text)),
        },
        other => format!("is {}; it must be a whole number of microseconds", other.kind()),
    };
    cx.problem(node.at, field, message);
    None
}

/// A string that is not empty.
pub(super) fn name<'n>(cx: &mut Context<'_>, node: &'n Node<'_>, field: &str) -> Option<&'n str> {
    match &node.value {
        Value::String(text) if !text.is_empty() => return Some(text),
        Value::String(_) => cx.problem(node.at, field, "is an empty name"),
        other => cx.problem(node.at, field, format!("is {}; it must be a name in quotes", other.kind())),
    }
    None
}

/// A list of CPUs.
pub(super) fn cpus(cx: &mut Context<'_>, node: &Node<'_>, field: &str) -> Option<CpuMask> {
    let Value::Array(items) = &node.value else {
        let message = format!("is {}; it must be a list of CPU numbers such as [0, 1]", node.value.kind());
        cx.problem(node.at, field, message);
        return None;
    };
    if items.is_empty() {
        cx.problem(node.at, field, "is empty; list the allowed CPUs, or leave it out to allow all");
        return None;
    }
    let mut mask = CpuMask::EMPTY;
    for item in items {
        mask.add(integer(cx, item, field, 0, MAX_CPUS as i64 - 1)? as usize);
    }
    Some(mask)
}
