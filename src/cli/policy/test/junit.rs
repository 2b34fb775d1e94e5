//! The results as XML for `JUnit`, in the form that both its common schemas take.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::human::differences;
use super::{Ran, Results, SuiteRun};
use crate::base::clock::{Clock, Timestamp};
use crate::cli::Failure;

/// Writes the report.
pub(super) fn write(path: &Path, results: &Results) -> Result<(), Failure> {
    let text = of(results, Clock::default().now());
    let broken = || format!("can't write {}", path.display());
    std::fs::write(path, text).with_context(broken).map_err(Failure::NotCarriedOut)
}

fn of(results: &Results, now: Timestamp) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for (suite, id) in results.suites.iter().zip(0..) {
        of_suite(&mut xml, suite, id, now);
    }
    if results.is_strict && !results.gaps.is_empty() {
        of_gaps(&mut xml, &results.gaps, results.suites.len(), now);
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// One suite for each file.
fn of_suite(xml: &mut String, suite: &SuiteRun, id: usize, now: Timestamp) {
    let failed = suite.ran.iter().filter(|ran| !ran.verdict.passes()).count();
    let took = suite.ran.iter().map(|ran| ran.took).sum();
    let name = suite.suite.path.to_string_lossy();
    begin_suite(xml, &name, id, (suite.ran.len(), failed), took, now);
    let policy = &suite.suite.policy;
    let properties = [
        ("policy", policy.path.to_string_lossy().into_owned()),
        ("policy_digest", policy.policy.digest.clone()),
        ("provider", suite.suite.provider.name.to_owned()),
    ];
    xml.push_str("    <properties>\n");
    for (name, value) in properties {
        let value = escaped(&value);
        // Writing to a `String` never fails.
        let _never = writeln!(xml, "      <property name=\"{name}\" value=\"{value}\"/>");
    }
    xml.push_str("    </properties>\n");
    for ran in &suite.ran {
        let failure = (!ran.verdict.passes()).then(|| failure_of(ran));
        of_case(xml, &ran.case.name, &name, ran.took, failure);
    }
    end_suite(xml);
}

/// The gaps that `--strict` fails for, as cases of their own: a report must not pass where the
/// command does not.
fn of_gaps(xml: &mut String, gaps: &[String], id: usize, now: Timestamp) {
    begin_suite(xml, "coverage", id, (gaps.len(), gaps.len()), Duration::ZERO, now);
    xml.push_str("    <properties/>\n");
    for gap in gaps {
        of_case(xml, gap, "coverage", Duration::ZERO, Some((gap.clone(), String::new())));
    }
    end_suite(xml);
}

fn begin_suite(
    xml: &mut String,
    name: &str,
    id: usize,
    (count, failed): (usize, usize),
    took: Duration,
    now: Timestamp,
) {
    let (name, time) = (escaped(name), seconds(took));
    // The schema wants it without a zone.
    let at: String = now.to_string().chars().take("2026-01-05T09:00:00".len()).collect();
    let _never = writeln!(
        xml,
        "  <testsuite name=\"{name}\" package=\"changegate\" id=\"{id}\" tests=\"{count}\" \
         failures=\"{failed}\" errors=\"0\" time=\"{time}\" timestamp=\"{at}\" \
         hostname=\"localhost\">"
    );
}

fn end_suite(xml: &mut String) {
    xml.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

fn of_case(
    xml: &mut String,
    name: &str,
    suite: &str,
    took: Duration,
    failure: Option<(String, String)>,
) {
    let (name, class, time) = (escaped(name), escaped(suite), seconds(took));
    let _never = write!(xml, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{time}\"");
    let Some((message, text)) = failure else {
        xml.push_str("/>\n");
        return;
    };
    let (message, text) = (escaped(&message), escaped(&text).replace("&#10;", "\n"));
    let _never = writeln!(
        xml,
        ">\n      <failure type=\"policy\" message=\"{message}\">{text}</failure>\n    </testcase>"
    );
}

/// The differences, in a few words and in full.
fn failure_of(ran: &Ran) -> (String, String) {
    let lines: Vec<String> = differences(ran).iter().map(ToString::to_string).collect();
    let pairs = ran.verdict.differences.len() * 2;
    let message: Vec<&str> = lines.iter().take(pairs.min(4)).map(String::as_str).collect();
    (message.join(", "), lines.join("\n"))
}

fn seconds(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64())
}

/// A text as XML 1.0 has it in an attribute or between tags; characters that it has not are
/// replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => _ = write!(escaped, "&#{};", u32::from(c)),
            // XML 1.0, 2.2.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_leaves_its_place() {
        let text = "a<b>&\"c'\n\t\u{1}\u{fffe}\u{85}夜";
        let expected = "a&lt;b&gt;&amp;&quot;c'&#10;&#9;\u{fffd}\u{fffd}\u{fffd}夜";
        assert_eq!(escaped(text), expected);
    }
}
