//! A time in a step: fixed, or drawn from a distribution.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use dis_core::api::Duration;
use toml::de::{DeArray, DeTable, DeValue};

use super::fields::Fields;
use crate::model::{Distribution, DistributionId, Interner};
use crate::text::{Context, parse_duration, shorten};

const KINDS: [&str; 4] = ["uniform", "normal", "bursty", "trace"];
/// Largest trace file.
const MAX_BYTES: u64 = 16 << 20;

/// What a step's time is.
pub(super) enum Time {
    Fixed(Duration),
    Drawn(DistributionId),
}

/// The time under `key`, above 0.
pub(super) fn read(cx: &mut Context<'_>, fields: &Fields<'_, '_>, key: &str, objects: &mut Interner) -> Option<Time> {
    let (value, at) = fields.get(key)?;
    match value {
        DeValue::Table(table) => {
            let distribution = distribution(cx, table, at, fields.field(key))?;
            Some(Time::Drawn(objects.distribution(distribution)))
        }
        _ => fields.positive(cx, key).map(Time::Fixed),
    }
}

fn distribution(cx: &mut Context<'_>, table: &DeTable<'_>, at: usize, path: String) -> Option<Distribution> {
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| table.contains_key(*kind)).collect();
    let [kind] = kinds[..] else {
        let example = "{ uniform = [\"1ms\", \"3ms\"] }";
        let kinds = "`uniform`, `normal`, `bursty` or `trace`";
        cx.problem(at, path, format!("has to say how the time is drawn, by one of {kinds}: for instance {example}"));
        return None;
    };
    let allowed: &[&str] = if kind == "bursty" { &["bursty", "burst"] } else { &[kind] };
    let fields = Fields::new(cx, table, at, path, allowed);
    match kind {
        "uniform" => {
            let [low, high] = pair(cx, &fields, kind, "[\"1ms\", \"3ms\"], the shortest and the longest")?;
            let right = low <= high && !high.is_zero();
            right.then_some(Distribution::Uniform { low, high }).or_else(|| {
                let message = "the first is the shortest time, the second the longest, which is above 0";
                fields.problem(cx, kind, message);
                None
            })
        }
        "normal" => {
            let [mean, deviation] = pair(cx, &fields, kind, "[\"2ms\", \"500us\"], mean and standard deviation")?;
            (!mean.is_zero()).then_some(Distribution::Normal { mean, deviation }).or_else(|| {
                fields.problem(cx, kind, "the mean is 0; it must be above 0");
                None
            })
        }
        "bursty" => {
            let [short, long] = pair(cx, &fields, kind, "[\"1ms\", \"100ms\"], within and between bursts")?;
            let Some(burst) = fields.integer(cx, "burst", 1..=1_000_000) else {
                if fields.get("burst").is_none() {
                    fields.problem(cx, "burst", "is missing; give the mean length of a burst, such as burst = 8");
                }
                return None;
            };
            (!long.is_zero()).then_some(Distribution::Bursty { short, long, burst }).or_else(|| {
                fields.problem(cx, kind, "the time between bursts is 0; it must be above 0");
                None
            })
        }
        _ => {
            let file = fields.text(cx, kind, "the name of a file with a time in each line")?;
            // Relative to the file that names it, as that may be read from anywhere.
            let place = Path::new(cx.file()).parent().unwrap_or(Path::new("")).join(file);
            match recorded(&place) {
                Ok(times) => Some(Distribution::Recorded { file: file.into(), times }),
                Err(why) => {
                    fields.problem(cx, kind, format!("{}: {why}", shorten(&place.display().to_string())));
                    None
                }
            }
        }
    }
}

/// Two durations.
fn pair(cx: &mut Context<'_>, fields: &Fields<'_, '_>, key: &str, wanted: &str) -> Option<[Duration; 2]> {
    let items = fields.list(cx, key, wanted)?;
    match two(items) {
        Ok(Some(pair)) => Some(pair),
        Ok(None) => {
            fields.problem(cx, key, format!("must be {wanted}"));
            None
        }
        Err(message) => {
            fields.problem(cx, key, message);
            None
        }
    }
}

fn two(items: &DeArray<'_>) -> Result<Option<[Duration; 2]>, String> {
    if items.len() != 2 {
        return Ok(None);
    }
    let mut pair = [Duration::ZERO; 2];
    for (place, item) in pair.iter_mut().zip(items.iter()) {
        let DeValue::String(text) = item.get_ref() else { return Ok(None) };
        *place = parse_duration(text)?;
    }
    Ok(Some(pair))
}

/// The times of a file: one a line, with a unit; empty lines and what follows `#` do not count.
fn recorded(path: &Path) -> Result<Vec<Duration>, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::InvalidData => "is not text; write a time in each line, such as 1500us".into(),
        _ => format!("cannot be read: {error}; its name counts from the folder of this file"),
    };
    // A pipe or a device might never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not an ordinary file; give one with a time in each line, such as 1500us".into());
    }
    let mut text = String::new();
    File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB", MAX_BYTES >> 20));
    }
    let mut times = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            times.push(parse_duration(line).map_err(|message| format!("line {number}: {message}"))?);
        }
    }
    if times.iter().all(|time| time.is_zero()) {
        return Err("has no time above 0; write one a line, such as 1500us".into());
    }
    Ok(times)
}
