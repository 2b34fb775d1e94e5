//! Faults that can be asked for: which, where, and how often.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One fault: what goes wrong, on which calls, how many times.
///
/// As text, `KIND[=VALUE][:TIMES][@[METHOD][/PATH-PART]]`: `delay=200`, `status=503:2`,
/// `reset-after:3@POST/deployments/dep_1`. As JSON, its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of the fault.
    pub kind: FaultKind,
    /// The kind's number: milliseconds, or an HTTP status; zero where the kind takes none.
    #[serde(default)]
    pub value: u64,
    /// How many more calls it befalls; `None` for every one.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only calls of this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls whose request target contains this.
    #[serde(default)]
    pub path: Option<String>,
}

/// The kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Waits so many milliseconds before the call is carried out; a client that hangs up over
    /// HTTP/1.1 meanwhile prevents it.
    Delay,
    /// Carries the call out, then waits so many milliseconds before it answers.
    DelayAfter,
    /// Answers with this status in place of carrying the call out.
    Status,
    /// Carries the call out, then answers with this status all the same.
    StatusAfter,
    /// Resets the connection in place of carrying the call out.
    ResetBefore,
    /// Carries the call out, then resets the connection.
    ResetAfter,
    /// Carries the call out, then promises a whole answer, sends half of it and closes.
    HalfAnswer,
    /// Carries the call out, then answers 200 with what is not JSON.
    Garbage,
    /// Carries the call out, then sends its answer in pieces, so many milliseconds apart.
    SlowAnswer,
}

/// A text that describes no fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is not a fault: write KIND[=VALUE][:TIMES][@[METHOD][/PATH-PART]], with KIND one of \
     delay=MS, delay-after=MS, status=N, status-after=N, reset-before, reset-after, half-answer, \
     garbage, slow-answer=MS"
)]
pub struct BadFault {
    /// The text that was given.
    pub text: String,
}

/// The faults of one call: the kinds that befall it.
#[derive(Clone, Debug, Default)]
pub(super) struct Mishaps(Vec<(FaultKind, u64)>);

impl Fault {
    /// A fault of that kind on every call.
    #[must_use]
    pub const fn new(kind: FaultKind, value: u64) -> Self {
        Self { kind, value, times: None, method: None, path: None }
    }

    /// The same fault, for so many calls.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same fault, for calls of that method whose target contains `path`.
    #[must_use]
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = Some(path.to_owned());
        self
    }

    /// Whether its value is one that its kind can take.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self.kind {
            FaultKind::Delay | FaultKind::DelayAfter | FaultKind::SlowAnswer => self.value > 0,
            FaultKind::Status | FaultKind::StatusAfter => (200..=599).contains(&self.value),
            _ => self.value == 0,
        }
    }

    fn befalls(&self, method: &str, target: &str) -> bool {
        self.times != Some(0)
            && self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|part| target.contains(part.as_str()))
    }
}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        let bad = || BadFault { text: text.chars().take(128).collect() };
        let (what, scope) = text.split_once('@').unwrap_or((text, ""));
        let (what, times) = match what.split_once(':') {
            Some((what, times)) => (what, Some(times.parse().map_err(|_error| bad())?)),
            None => (what, None),
        };
        let (kind, value) = match what.split_once('=') {
            Some((kind, value)) => (kind, value.parse().map_err(|_error| bad())?),
            None => (what, 0),
        };
        let kind: FaultKind = serde_json::from_value(kind.into()).map_err(|_not_a_kind| bad())?;
        let (method, path) = scope.find('/').map_or((scope, ""), |at| scope.split_at(at));
        let some = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        let fault = Self { kind, value, times, method: some(method), path: some(path) };
        Some(fault).filter(Self::is_sound).ok_or_else(bad)
    }
}

impl Mishaps {
    /// Takes what befalls this call out of `faults`, and forgets the faults that are used up.
    pub(super) fn take(faults: &mut Vec<Fault>, method: &str, target: &str) -> Self {
        let mut mishaps = Vec::new();
        for fault in faults.iter_mut().filter(|fault| fault.befalls(method, target)) {
            fault.times = fault.times.map(|times| times - 1);
            mishaps.push((fault.kind, fault.value));
        }
        faults.retain(|fault| fault.times != Some(0));
        Self(mishaps)
    }

    /// Whether that kind befalls the call.
    pub(super) fn has(&self, kind: FaultKind) -> bool {
        self.value(kind).is_some()
    }

    /// The status that takes the answer's place.
    pub(super) fn status(&self, kind: FaultKind) -> Option<u16> {
        self.value(kind).and_then(|value| u16::try_from(value).ok())
    }

    /// The time that the kind takes.
    pub(super) fn duration(&self, kind: FaultKind) -> Option<Duration> {
        self.value(kind).map(Duration::from_millis)
    }

    fn value(&self, kind: FaultKind) -> Option<u64> {
        self.0.iter().find(|(known, _value)| *known == kind).map(|(_kind, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_its_text() {
        let fault: Fault = "reset-after:3@POST/deployments/dep_1".parse().unwrap();
        let meant = Fault::new(FaultKind::ResetAfter, 0).times(3).on("POST", "/deployments/dep_1");
        assert_eq!(fault, meant);
        assert_eq!("delay=200".parse(), Ok(Fault::new(FaultKind::Delay, 200)));
        let scoped: Fault = "status=503@GET".parse().unwrap();
        assert_eq!((scoped.method.as_deref(), scoped.path), (Some("GET"), None));
        for bad in ["", "delay", "status=99", "reset-after:x", "garbage=1", "explode"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_befalls_only_its_calls_and_so_many_of_them() {
        let mut faults = vec![Fault::new(FaultKind::Garbage, 0).times(1).on("POST", "/a")];
        assert!(!Mishaps::take(&mut faults, "GET", "/a").has(FaultKind::Garbage));
        assert!(!Mishaps::take(&mut faults, "POST", "/b").has(FaultKind::Garbage));
        assert!(Mishaps::take(&mut faults, "POST", "/a/b").has(FaultKind::Garbage));
        assert!(!Mishaps::take(&mut faults, "POST", "/a/b").has(FaultKind::Garbage));
        assert!(faults.is_empty());
    }
}
