//! Values of options.

use std::convert::Infallible;
use std::path::PathBuf;

use dis_core::api::Duration;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_sim::study::Study;

/// Where a document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// A policy chosen for a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyChoice {
    /// The class.
    pub class: QueueType,
    /// The name of its module: a built-in one, or one from a file, which has not been loaded yet.
    pub name: &'static str,
}

const UNITS: [(&str, u64); 6] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000)];

/// Longest duration: a year is longer than anybody means.
const LONGEST_NS: u64 = 366 * 24 * 3_600 * 1_000_000_000;

/// A positive time with a unit: `1.5s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err("write a number and a unit, such as 10s".into());
    }
    if unit.is_empty() {
        return Err(format!("has no unit; write for instance {text}s (units: ns, us, ms, s, min)"));
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is no unit (units: ns, us, ms, s, min)"));
    };
    let value: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    let ns = value * *scale as f64;
    if ns < 1.0 {
        return Err("is 0; give a time above 0, such as 10s".into());
    }
    if ns > LONGEST_NS as f64 {
        return Err("is more than a year".into());
    }
    Ok(Duration::from_nanos(ns.round() as u64))
}

/// A time with a unit that may be 0, with or without one.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let number = text.trim().trim_end_matches(|c: char| c.is_alphabetic()).trim_end();
    let zero = !number.is_empty() && number.chars().all(|c| c == '0' || c == '.') && number.contains('0');
    let unit = text.trim()[number.len()..].trim();
    if zero && (unit.is_empty() || UNITS.iter().any(|(name, _)| *name == unit)) {
        return Ok(Duration::ZERO);
    }
    duration(text)
}

/// `CLASS=NAME`, where the class may be `realtime` and the name that of a policy for study.
pub fn simulated_policy(text: &str) -> Result<PolicyChoice, String> {
    let choice = policy(text)?;
    match Study::from_name(choice.name).map(Study::name) {
        Some(name) if choice.class != QueueType::Realtime => {
            Err(format!("`{name}` is for study, and for realtime only: write realtime={name}"))
        }
        _ => Ok(choice),
    }
}

/// `CLASS=NAME`. Whether there is a policy of that name is seen when all modules are loaded.
pub fn policy(text: &str) -> Result<PolicyChoice, String> {
    let classes = QueueType::ALL.map(QueueType::name);
    let Some((class, name)) = text.split_once('=').filter(|(_, name)| !name.is_empty()) else {
        let names = list(&SchedulerRegistry::with_builtins().list());
        return Err(format!("write CLASS=NAME, for instance batch=round-robin (names: {names})"));
    };
    let Some(class) = QueueType::from_name(class) else {
        let hint = classes.iter().find(|known| class.starts_with(**known) || known.starts_with(class));
        let hint =
            hint.filter(|_| !class.is_empty()).map_or(String::new(), |known| format!(", did you mean `{known}`?"));
        return Err(format!("`{class}` is no class{hint} (classes: {})", list(&classes)));
    };
    // As names of modules are: for the life of the program.
    Ok(PolicyChoice { class, name: Box::leak(name.into()) })
}

/// A size in MiB from `512M`, `1G`, `256MiB`: 16 MiB to 1 TiB.
pub fn megabytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit.trim() {
        "M" | "MiB" => 1,
        "G" | "GiB" => 1_024,
        _ => return Err("write a number and M or G, such as 256M".into()),
    };
    let number: u64 = number.parse().map_err(|_| "write a number and M or G, such as 256M".to_string())?;
    match number.checked_mul(scale) {
        Some(size @ 16..=1_048_576) => Ok(size),
        _ => Err("give 16M to 1024G".into()),
    }
}

/// A file, or `-`.
pub fn destination(text: &str) -> Result<Destination, Infallible> {
    Ok(if text == "-" { Destination::Stdout } else { Destination::File(text.into()) })
}

pub fn list(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ns) in [("500ms", 500_000_000), ("1.5 s", 1_500_000_000), ("3µs", 3_000), ("1min", 60_000_000_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        for text in ["", "s", "10", "-1s", "0s", "1.2.3s", "4h", "1e9s", "9999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn some_durations_may_be_zero() {
        for text in ["0", "0s", "0.0 us", " 0ms"] {
            assert_eq!(duration_or_zero(text), Ok(Duration::ZERO), "{text}");
        }
        assert_eq!(duration_or_zero("1.5us"), Ok(Duration::from_nanos(1_500)));
        for text in ["", ".", "s", "0h", "10", "-1us"] {
            assert!(duration_or_zero(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_names_class_and_policy() {
        let choice = policy("realtime=fair").unwrap();
        assert_eq!((choice.class, choice.name), (QueueType::Realtime, "fair"));
        for text in ["batch", "=fair", "batch=", "Batch=fair"] {
            assert!(policy(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_simulation_has_policies_for_study() {
        for study in Study::ALL {
            let choice = simulated_policy(&format!("realtime={}", study.name())).unwrap();
            assert_eq!((choice.class, choice.name), (QueueType::Realtime, study.name()));
        }
        assert_eq!(simulated_policy("batch=edf").unwrap().class, QueueType::Batch);
        assert!(simulated_policy("batch=rm").unwrap_err().contains("write realtime=rm"));
    }

    #[test]
    fn memory_has_a_unit_and_bounds() {
        for (text, size) in [("16M", 16), ("256MiB", 256), ("1G", 1_024), (" 2 GiB ", 2_048)] {
            assert_eq!(megabytes(text), Ok(size), "{text}");
        }
        for text in ["", "M", "256", "1K", "15M", "2000G", "-1M", "99999999999999999999G"] {
            assert!(megabytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!(destination("-"), Ok(Destination::Stdout));
        assert_eq!(destination("./-"), Ok(Destination::File("./-".into())));
    }
}
