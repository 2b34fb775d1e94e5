//! Meanings of typed values: addresses, durations, sizes. Each reader says what to write instead.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::raw::{Node, Value};

/// The meaning of a value, or the text to write in its place.
pub(crate) type Meant<T> = Result<T, String>;

/// The longest duration that makes sense anywhere.
const DURATION_MAX: Duration = Duration::from_hours(24);

/// Text that is not empty.
pub(crate) fn text(node: &Node) -> Meant<String> {
    let text = node.text().filter(|text| !text.trim().is_empty());
    text.map(str::to_owned).ok_or_else(|| "write a text in quotes that is not empty".to_owned())
}

/// A name for people: 1 to `max` characters, none of them a control character.
pub(crate) fn name(max: usize) -> impl Fn(&Node) -> Meant<String> {
    move |node| {
        let fits =
            |name: &String| name.chars().count() <= max && !name.chars().any(char::is_control);
        let fix = format!("write 1 to {max} characters, none of them a control character");
        text(node).ok().filter(fits).ok_or(fix)
    }
}

/// `true` or `false`.
pub(crate) fn flag(node: &Node) -> Meant<bool> {
    match node.value {
        Value::Boolean(flag) => Ok(flag),
        _ => Err("write true or false".to_owned()),
    }
}

/// One of some words.
pub(crate) fn choice<T: Clone>(choices: &[(&str, T)]) -> impl Fn(&Node) -> Meant<T> {
    move |node| {
        let chosen = choices.iter().find(|(word, _)| Some(*word) == node.text());
        let words = || choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
        chosen
            .map(|(_, meant)| meant.clone())
            .ok_or_else(|| format!("write {}", words().join(" or ")))
    }
}

/// A whole number within bounds.
pub(crate) fn count(bounds: RangeInclusive<u32>) -> impl Fn(&Node) -> Meant<u32> {
    move |node| {
        let number = match node.value {
            Value::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        };
        let fix = || format!("write a whole number from {} to {}", bounds.start(), bounds.end());
        number.filter(|number| bounds.contains(number)).ok_or_else(fix)
    }
}

/// A number of bytes, also as text such as `4 MiB`, within bounds.
pub(crate) fn size(bounds: RangeInclusive<u64>) -> impl Fn(&Node) -> Meant<usize> {
    move |node| {
        let bytes = match &node.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::Text(text) => bytes_of(text),
            _ => None,
        };
        let fix = || {
            let (least, most) = (bounds.start(), bounds.end());
            format!("write a size from {least} to {most} bytes, such as 65536 or \"4 MiB\"")
        };
        let bytes = bytes.filter(|bytes| bounds.contains(bytes));
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(fix)
    }
}

/// A duration of at least a millisecond and at most a day: seconds, or text such as `500ms`.
pub(crate) fn duration(node: &Node) -> Meant<Duration> {
    let duration = length(node);
    let fix = "write seconds, or a text such as \"500ms\", \"30s\", \"2m\" or \"1h\"; \
        at least 1ms, at most 24h";
    let fits = |d: &Duration| (Duration::from_millis(1)..=DURATION_MAX).contains(d);
    duration.filter(fits).ok_or_else(|| fix.to_owned())
}

/// A length of time within bounds, told in the same way.
pub(crate) fn span(bounds: RangeInclusive<Duration>) -> impl Fn(&Node) -> Meant<Duration> {
    move |node| {
        let fix = || {
            let hours = |length: &Duration| match length.as_secs() {
                seconds if seconds >= 8_640_000 => format!("{}d", seconds / 86_400),
                seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
                seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
                seconds => format!("{seconds}s"),
            };
            let example = hours(&bounds.start().saturating_mul(2).min(*bounds.end()));
            let (least, most) = (hours(bounds.start()), hours(bounds.end()));
            format!("write a text such as \"{example}\"; at least {least}, at most {most}")
        };
        length(node).filter(|length| bounds.contains(length)).ok_or_else(fix)
    }
}

fn length(node: &Node) -> Option<Duration> {
    match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Decimal(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Value::Text(text) => duration_of(text),
        _ => None,
    }
}

fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn duration_of(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    // Digits and a point only: `parse` alone would take "inf" and "1e9" too.
    let seconds = number.parse::<f64>().ok()? * scale;
    // Rounded, since 0.3 s is not quite 300 ms in binary.
    Duration::try_from_secs_f64((seconds * 1e6).round() / 1e6).ok()
}

/// Splits `30 s` into its number and its unit.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("30 s", Some(30_000)),
            (" 1.5s ", Some(1_500)),
            ("0.3s", Some(300)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("400d", Some(34_560_000_000)),
            ("7", Some(7_000)),
            ("", None),
            ("s", None),
            ("1 day", None),
            ("-1s", None),
            ("1e3s", None),
            ("inf", None),
            ("1m30s", None),
            ("1..2s", None),
            ("99999999999999999999999999h", None),
        ] {
            assert_eq!(duration_of(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("512", Some(512)),
            ("512 B", Some(512)),
            ("64KiB", Some(64 << 10)),
            ("4 MiB", Some(4 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1 MB", Some(1_000_000)),
            ("1 kB", Some(1_000)),
            ("1.5 MiB", None),
            ("4 mib", None),
            ("MiB", None),
            ("-1", None),
            ("99999999999999999999 GB", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text:?}");
        }
    }
}
