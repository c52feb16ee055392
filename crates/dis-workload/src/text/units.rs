//! Numbers with units: durations, shares, sizes and rates. Integers only, so that `0.3` is exact or refused.

use dis_core::api::Duration;

use super::shorten;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const BYTE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
const RATE_UNITS: [(&str, u64); 3] = [("KB/s", 1), ("MB/s", 1_000), ("GB/s", 1_000_000)];

/// Splits `"1.5ms"` into digits, decimals and unit.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(decimals)).then_some((whole, decimals, unit.trim_start()))
}

/// `whole.decimals * scale`, if that is a whole number that fits 64 bits.
fn scaled(whole: &str, decimals: &str, scale: u64) -> Result<u64, &'static str> {
    let decimals = decimals.trim_end_matches('0');
    let whole: u64 = whole.parse().map_err(|_| "too large")?;
    let mut value = u128::from(whole) * u128::from(scale);
    if !decimals.is_empty() {
        let places = u32::try_from(decimals.len()).ok().filter(|&places| places <= 18).ok_or("too fine")?;
        let fraction = decimals.parse::<u128>().map_err(|_| "too fine")? * u128::from(scale);
        let unit = 10u128.pow(places);
        if fraction % unit != 0 {
            return Err("too fine");
        }
        value += fraction / unit;
    }
    u64::try_from(value).map_err(|_| "too large")
}

fn quantity(text: &str, units: &[(&str, u64)], what: &str, example: &str) -> Result<u64, String> {
    let allowed = || units.iter().map(|(unit, _)| *unit).filter(|unit| unit.is_ascii()).collect::<Vec<_>>().join(", ");
    let shown = shorten(text);
    if text.trim_start().starts_with('-') {
        return Err(format!("\"{shown}\" is negative; a {what} such as \"{example}\" is needed"));
    }
    let Some((whole, decimals, unit)) = split(text) else {
        return Err(format!("\"{shown}\" is not a {what}; write a number and a unit, such as \"{example}\""));
    };
    if unit.is_empty() {
        return Err(format!("\"{shown}\" has no unit; write for instance \"{example}\" (units: {})", allowed()));
    }
    let Some(&(_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("\"{}\" is not a unit of a {what}; allowed are {}", shorten(unit), allowed()));
    };
    scaled(whole, decimals, scale).map_err(|why| match why {
        "too fine" => format!("\"{shown}\" is finer than the smallest unit, 1 {}", units[0].0),
        _ => format!("\"{shown}\" is too large; at most {} {}", u64::MAX, units[0].0),
    })
}

/// A duration such as `10ms`, at most 292 years (half of what [`Duration`] holds, so that sums of two stay exact).
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let nanos = quantity(text, &DURATION_UNITS, "duration", "10ms")?;
    if nanos > u64::MAX / 2 {
        return Err(format!("\"{}\" is too long; at most 292 years", shorten(text)));
    }
    Ok(Duration::from_nanos(nanos))
}

/// A number of bytes such as `64MiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    quantity(text, &BYTE_UNITS, "size", "64MiB")
}

/// A rate such as `200MB/s`, in KB/s.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    quantity(text, &RATE_UNITS, "rate", "200MB/s")
}

/// A share such as `95%` or `0.5%`, in per mille, `1..=1000`.
pub(crate) fn parse_share(text: &str) -> Result<u16, String> {
    let shown = shorten(text);
    let Some(("%", (whole, decimals))) = split(text).map(|(whole, decimals, unit)| (unit, (whole, decimals))) else {
        return Err(format!("\"{shown}\" is not a share; write per cent of one CPU, such as \"95%\" or \"0.5%\""));
    };
    match scaled(whole, decimals, 10) {
        Ok(share @ 1..=1000) => Ok(share as u16),
        Ok(0) => Err("a share of 0 % has no effect; leave the key out, or give 0.1% to 100%".into()),
        Err("too fine") => Err(format!("\"{shown}\" is finer than the smallest share, 0.1%")),
        _ => Err(format!("\"{shown}\" is more than one CPU; give 0.1% to 100%")),
    }
}

/// A share of CPUs, ‰ of one: "50%", or "250%" for two and a half; at most 512 CPUs.
pub(crate) fn parse_cpus(text: &str) -> Result<u32, String> {
    let shown = shorten(text);
    let Some(("%", (whole, decimals))) = split(text).map(|(whole, decimals, unit)| (unit, (whole, decimals))) else {
        return Err(format!("\"{shown}\" is not a share; write per cent of one CPU, such as \"50%\" or \"250%\""));
    };
    match scaled(whole, decimals, 10) {
        Ok(share @ 1..=512_000) => Ok(share as u32),
        Ok(0) => Err("a share of 0 % lets nothing run; leave the key out for no limit".into()),
        Err("too fine") => Err(format!("\"{shown}\" is finer than the smallest share, 0.1%")),
        _ => Err(format!("\"{shown}\" is more than 512 CPUs; leave the key out for no limit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("10ms", 10_000_000),
            ("1800us", 1_800_000),
            ("2s", 2_000_000_000),
            ("500ns", 500),
            ("1.5ms", 1_500_000),
            ("0s", 0),
            (" 7 us ", 7_000),
            ("3µs", 3_000),
            ("1.000000000s", 1_000_000_000),
        ] {
            assert_eq!(parse_duration(text.trim_end()), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for (text, message) in [
            ("10", "\"10\" has no unit; write for instance \"10ms\" (units: ns, us, ms, s)"),
            ("", "\"\" is not a duration; write a number and a unit, such as \"10ms\""),
            ("-1ms", "\"-1ms\" is negative; a duration such as \"10ms\" is needed"),
            ("5min", "\"min\" is not a unit of a duration; allowed are ns, us, ms, s"),
            ("0.5ns", "\"0.5ns\" is finer than the smallest unit, 1 ns"),
            ("99999999999999999999s", "\"99999999999999999999s\" is too large; at most 18446744073709551615 ns"),
            ("18446744073s", "\"18446744073s\" is too long; at most 292 years"),
            ("1e3ms", "\"e3ms\" is not a unit of a duration; allowed are ns, us, ms, s"),
            (".5ms", "\".5ms\" is not a duration; write a number and a unit, such as \"10ms\""),
        ] {
            assert_eq!(parse_duration(text), Err(message.to_string()), "{text}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(parse_share("95%"), Ok(950));
        assert_eq!(parse_share("0.5%"), Ok(5));
        assert_eq!(parse_share("100.0 %"), Ok(1000));
        for text in ["", "95", "0%", "100.1%", "0.05%", "-5%", "99999999999999999999%", "5 %%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("1.5KB"), Ok(1500));
        assert!(parse_bytes("64M").unwrap_err().contains("MiB"));
        assert_eq!(parse_rate("2MB/s"), Ok(2000));
    }
}
