//! The built-in rule on time zones.

use super::Enforcement;

/// `[timezones]`: a schedule's zone must be one of these, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct TimezoneRule {
    /// IANA zone names.
    pub allowed: Vec<String>,
    /// What a violation does.
    pub enforcement: Enforcement,
}
