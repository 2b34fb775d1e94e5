//! Words that rules are told in.

use std::time::Duration;

/// A length of time, as the policy file writes it: `1h30m`.
pub(super) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let told = parts.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told.map(|(number, unit)| format!("{number}{unit}")).collect();
    if told.is_empty() { format!("{}ms", length.as_millis()) } else { told.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for (millis, told) in [
            (0, "0ms"),
            (500, "500ms"),
            (90_000, "1m30s"),
            (900_000, "15m"),
            (216_000_000, "60h"),
            (5_400_000, "1h30m"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), told);
        }
    }
}
