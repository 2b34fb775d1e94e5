//! Lengths of time as texts: `1h30m`, `-1.5s`, `100ms`.

use jiff::SignedDuration;

/// The units, each with its nanoseconds; a longer name before one that it begins with.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a sequence of numbers, each with its unit and maybe a fraction, behind an optional sign.
pub(super) fn parse(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() || text.len() > 64 {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let (name, unit) = UNITS.iter().find(|(name, _)| behind.starts_with(name))?;
        rest = behind.strip_prefix(name)?;
        nanos = nanos.checked_add(scaled(number, *unit)?)?;
    }
    let nanos = nanos.checked_mul(sign)?;
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let part = i64::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    SignedDuration::from_secs(seconds).checked_add(SignedDuration::from_nanos(part))
}

/// A decimal number of units, in nanoseconds.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: String = fraction.chars().take(18).collect();
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)
}

/// Seconds, with as many digits behind the point as are needed.
pub(super) fn print(length: SignedDuration) -> String {
    let sign = if length.is_negative() { "-" } else { "" };
    let (seconds, nanos) = (length.as_secs().unsigned_abs(), length.subsec_nanos().unsigned_abs());
    if nanos == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{nanos:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_printed() {
        for (text, printed) in [
            ("0", "0s"),
            ("1h30m", "5400s"),
            ("-1.5s", "-1.5s"),
            ("100ms", "0.1s"),
            ("1us", "0.000001s"),
            (".5h", "1800s"),
            ("+1m0.25s", "60.25s"),
            ("-1ns", "-0.000000001s"),
        ] {
            assert_eq!(parse(text).map(print).as_deref(), Some(printed), "{text}");
        }
        for text in ["", "-", "1", "s", "1d", "1h 2m", ".s", "1.2.3s", "one"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
