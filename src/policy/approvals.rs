//! The terms of approvals and of break-glass.

use std::time::Duration;

/// The longest reason that is taken, in bytes.
pub const REASON_BYTES_MAX: usize = 1_024;

/// `[approvals]`: how approvals are asked for and used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalTerms {
    /// How long one that nobody has decided on stays open.
    pub expires_after: Duration,
    /// How long one may be used, once approved.
    pub run_within: Duration,
    /// The fewest characters of a reason, of a decision and of break-glass alike.
    pub reason_chars_min: usize,
}

impl Default for ApprovalTerms {
    fn default() -> Self {
        Self {
            expires_after: Duration::from_hours(72),
            run_within: Duration::from_hours(24),
            reason_chars_min: 10,
        }
    }
}

impl ApprovalTerms {
    /// The reason that a text gives, or what to write in its place. White space counts once, and
    /// dots alone give none.
    pub fn reason(&self, text: &str) -> Result<String, String> {
        let reason = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let least = self.reason_chars_min;
        if reason.chars().count() < least || !reason.chars().any(char::is_alphanumeric) {
            return Err(format!(
                "write why, in {least} characters at least, of which one is a letter or a digit"
            ));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(format!("write a reason of {REASON_BYTES_MAX} bytes at most"));
        }
        if reason.chars().any(char::is_control) {
            return Err("write a reason without control characters".to_owned());
        }
        Ok(reason)
    }
}

/// `[break_glass]`: who may make a change pass that the policy denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlassTerms {
    /// The persons.
    pub persons: Vec<String>,
    /// How often each may within 24 hours.
    pub per_day: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        let terms = ApprovalTerms::default();
        assert_eq!(terms.reason("  fixed\t the\n outage ").unwrap(), "fixed the outage");
        assert!(ApprovalTerms { reason_chars_min: 4, ..terms.clone() }.reason("修复故障").is_ok());
        let long = "x".repeat(REASON_BYTES_MAX + 1);
        for bad in
            ["", ".", "..............", "short", "a              b", "abcdefghij\u{7}", &long]
        {
            assert!(terms.reason(bad).is_err(), "{bad:?}");
        }
    }
}
