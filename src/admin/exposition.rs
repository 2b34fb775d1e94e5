//! The two text formats of metrics: `OpenMetrics`, and the classic one of Prometheus for those who
//! do not ask for it, such as `curl` and `promtool`.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};

/// The form of a reading of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposition {
    OpenMetrics,
    Classic,
}

impl Exposition {
    /// The form that the asker takes: `OpenMetrics` only where it is named.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_named = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let is_unwanted = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00"));
            kind.eq_ignore_ascii_case("application/openmetrics-text") && !is_unwanted
        };
        let named = fields.flat_map(|field| field.split(',')).any(is_named);
        if named { Self::OpenMetrics } else { Self::Classic }
    }

    /// The value of `Content-Type`.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A text of `OpenMetrics` in this form.
    pub(super) fn of(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Classic => classic(&text),
        }
    }
}

/// In the classic format a counter's family is named as its samples are, and there is no end mark.
fn classic(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + text.len() / 16);
    let mut help = None;
    for line in text.lines() {
        let described = |kind| line.strip_prefix(kind)?.split_once(' ');
        if let Some(described) = described("# HELP ") {
            help = Some(described);
        } else if let Some((name, kind)) = described("# TYPE ") {
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                // Writing to a String does not fail.
                let _never = writeln!(shown, "# HELP {name}{end} {help}");
            }
            let _never = writeln!(shown, "# TYPE {name}{end} {kind}");
        } else if !line.starts_with('#') {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_those_who_name_them() {
        for (accept, expected) in [
            ("application/openmetrics-text; version=1.0.0; q=0.8, */*", Exposition::OpenMetrics),
            ("text/plain;q=0.5, Application/OpenMetrics-Text;q=0.4", Exposition::OpenMetrics),
            ("application/openmetrics-text;q=0, text/plain", Exposition::Classic),
            ("text/plain; version=0.0.4", Exposition::Classic),
            ("*/*", Exposition::Classic),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Exposition::asked(&headers), expected, "{accept}");
        }
        assert_eq!(Exposition::asked(&HeaderMap::new()), Exposition::Classic);
    }

    #[test]
    fn a_counters_family_is_named_as_its_samples_are() {
        let text = "# HELP a_calls Calls.\n# TYPE a_calls counter\n# UNIT a_calls s\n\
                    a_calls_total{x=\"# y\"} 1\n# HELP a_open Open.\n# TYPE a_open gauge\n\
                    a_open 2\n# EOF\n";
        let expected = "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\n\
                        a_calls_total{x=\"# y\"} 1\n# HELP a_open Open.\n# TYPE a_open gauge\n\
                        a_open 2\n";
        assert_eq!(Exposition::Classic.of(text.to_owned()), expected);
        assert_eq!(Exposition::OpenMetrics.of(text.to_owned()), text);
    }
}
