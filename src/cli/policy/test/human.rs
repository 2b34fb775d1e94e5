//! The results as people read them: a line for each file, a block for each case that fails, what
//! is not tested, and a line for all.

use std::collections::BTreeSet;
use std::fmt;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Ran, Results, SuiteRun, TestArgs};
use crate::base::count::counted;
use crate::cli::Failure;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::{Terminal, cut, wrapped};
use crate::policy::case::coverage::{Coverage, word};
use crate::policy::case::verdict::{Difference, Explained};

/// The columns before what is told of a case.
const INDENT: usize = 10;

/// The columns of the labels there.
const LABEL_WIDTH: usize = 9;

/// The deepest parts of an expression that are moved to the right.
const DEPTH_MAX: usize = 8;

/// The least columns of a rule's name in a table.
const RULE_WIDTH_MIN: usize = 12;

/// Prints all of it.
pub(super) fn print(
    results: &Results,
    arguments: &TestArgs,
    terminal: Terminal,
) -> Result<(), Failure> {
    for suite in &results.suites {
        print_suite(suite, arguments, terminal)?;
    }
    if arguments.coverage {
        for coverage in &results.coverage {
            print_coverage(coverage, terminal)?;
        }
    }
    if arguments.strict {
        for gap in &results.gaps {
            line(&[stopped("GAP  "), Span::plain(gap.clone())], terminal)?;
        }
    } else if !(results.gaps.is_empty() || arguments.coverage || arguments.run.is_some()) {
        let (are, them) = match results.gaps.len() {
            1 => ("1 rule is".to_owned(), "it"),
            many => (format!("{many} rules are"), "them"),
        };
        let text = format!("{are} never violated, or never satisfied: --coverage names {them}");
        print_told(&Told { indent: 0, label: "note".to_owned(), width: 4, text }, terminal)?;
    }
    print::line(summary(results))
}

/// One line about everything.
fn summary(results: &Results) -> String {
    let (count, failed) = (results.count(), results.failed());
    let files = counted(results.suites.len(), "file");
    let policies = match &results.coverage[..] {
        [only] => format!("{} as {}", only.policy.display(), only.provider.name),
        many => counted(many.len(), "policy").replace("policys", "policies"),
    };
    let gaps = match results.gaps.len() {
        gaps if results.is_strict && gaps > 0 => format!(", {}", counted(gaps, "gap")),
        _ => String::new(),
    };
    let passed = count - failed;
    let cases = counted(count, "case");
    format!("{cases} in {files} for {policies}: {passed} passed, {failed} failed{gaps}")
}

fn print_suite(suite: &SuiteRun, arguments: &TestArgs, terminal: Terminal) -> Result<(), Failure> {
    if suite.ran.is_empty() && arguments.run.is_some() {
        return Ok(());
    }
    let failed = suite.ran.iter().filter(|ran| !ran.verdict.passes()).count();
    let mark = if failed == 0 { Span::plain("ok   ".to_owned()) } else { stopped("FAIL ") };
    let told = if failed == 0 {
        counted(suite.ran.len(), "case")
    } else {
        format!("{failed} of {} failed", counted(suite.ran.len(), "case"))
    };
    let path = suite.suite.path.display();
    line(&[mark, Span::plain(format!("{path}: {told}"))], terminal)?;
    for ran in &suite.ran {
        if !ran.verdict.passes() {
            print_failure(suite, ran, terminal)?;
        } else if ran.verdict.asks_no_rule {
            let text = format!(
                "{}: no rule is asked about such a call, so this case passes whatever they require",
                ran.case.name
            );
            print_told(&Told { indent: 5, label: "note".to_owned(), width: 4, text }, terminal)?;
        } else if arguments.verbose > 0 {
            let name = cut(&ran.case.name, terminal.width - 10);
            line(&[Span::plain(format!("     ok   {name}"))], terminal)?;
        }
    }
    Ok(())
}

fn print_failure(suite: &SuiteRun, ran: &Ran, terminal: Terminal) -> Result<(), Failure> {
    for (text, number) in wrapped(&ran.case.name, terminal.width - 10).into_iter().zip(0..) {
        let mark = if number == 0 { stopped("     FAIL ") } else { stopped("          ") };
        line(&[mark, Span::plain(text)], terminal)?;
    }
    let place = format!("          {}:{}", suite.suite.path.display(), ran.case.line);
    line(&[Span::plain(place)], terminal)?;
    for told in differences(ran).into_iter().chain(ran.explained.iter().flat_map(explained)) {
        print_told(&told, terminal)?;
    }
    Ok(())
}

/// Something that is told behind a label.
pub(super) struct Told {
    indent: usize,
    label: String,
    /// The columns of labels beside this one.
    width: usize,
    text: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:<1$} {2}", self.label, self.width, self.text))
    }
}

fn print_told(told: &Told, terminal: Terminal) -> Result<(), Failure> {
    let Told { indent, label, width, text } = told;
    let left = indent + width + 1;
    let parts = wrapped(text, terminal.width - left).into_iter();
    let parts = parts.flat_map(|part| broken(&part, terminal.width - left));
    for (part, number) in parts.zip(0..) {
        let label = if number == 0 { label.as_str() } else { "" };
        line(&[Span::plain(format!("{:indent$}{label:<width$} {part}", ""))], terminal)?;
    }
    Ok(())
}

/// The lines of a text that is wider than a line, wherever it breaks.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut columns = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if columns + wide > width {
            lines.push(String::new());
            columns = 0;
        }
        columns += wide;
        lines.last_mut().into_iter().for_each(|line| line.push(c));
    }
    lines
}

/// The differences from what is expected, and the violations that were found.
pub(super) fn differences(ran: &Ran) -> Vec<Told> {
    let told = |label: &str, text: String| Told {
        indent: INDENT,
        label: label.to_owned(),
        width: LABEL_WIDTH,
        text,
    };
    let (expected, verdict) = (&ran.case.expected, &ran.verdict);
    let mut lines = Vec::new();
    for difference in &verdict.differences {
        let (label, expected, found) = match difference {
            Difference::Decision => {
                let decision = expected.decision.map_or("", |decision| decision.name());
                ("decision", decision.to_owned(), verdict.decision.name().to_owned())
            }
            Difference::Rules => ("rules", set(expected.rules.as_ref()), set(Some(&verdict.rules))),
            Difference::Standing => {
                ("standing", set(expected.standing.as_ref()), set(Some(&verdict.standing)))
            }
            Difference::Message(part) => {
                ("message", format!("{part:?}"), "in no message of a violation".to_owned())
            }
        };
        lines.push(told(label, format!("expected  {expected}")));
        lines.push(told("", format!("found     {found}")));
    }
    for violation in &verdict.findings.violations {
        let place = match violation.path.as_str() {
            "" => String::new(),
            path => format!(" ({path})"),
        };
        lines.push(told("violated", format!("{}{place}", violation.message)));
    }
    let omitted = verdict.findings.violations_omitted;
    if omitted > 0 {
        lines.push(told("", format!("and {omitted} more")));
    }
    lines
}

fn set(rules: Option<&BTreeSet<String>>) -> String {
    let names: Vec<&str> = rules.into_iter().flatten().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The values of the parts of a rule's expressions.
fn explained(explained: &Explained) -> Vec<Told> {
    let told = |depth: usize, label: &str, text: String| Told {
        indent: INDENT,
        label: label.to_owned(),
        width: LABEL_WIDTH + 2 * depth.min(DEPTH_MAX),
        text,
    };
    let outcome = word(explained.outcome).replace('_', " ");
    let mut lines = vec![told(0, "rule", format!("{}: {outcome}", explained.rule))];
    for part in &explained.parts {
        let key = if part.depth == 0 { part.key } else { "" };
        lines.push(told(part.depth, key, format!("{} = {}", part.text, part.value)));
    }
    lines
}

/// In how many cases each rule came to what.
fn print_coverage(coverage: &Coverage, terminal: Terminal) -> Result<(), Failure> {
    const HEADINGS: [&str; 6] =
        ["satisfied", "violated", "standing", "error", "skipped", "not asked"];
    let columns: usize = HEADINGS.iter().map(|heading| heading.len() + 1).sum();
    let longest = coverage.rules.iter().map(|rule| rule.rule.width()).max().unwrap_or_default();
    let most = terminal.width.saturating_sub(columns);
    let width = longest.clamp(RULE_WIDTH_MIN, most);
    print::line(format!("coverage of {}", coverage.policy.display()))?;
    print::line(format!("{:<width$} {}", "rule", HEADINGS.join(" ")))?;
    for rule in &coverage.rules {
        let counts = [
            rule.satisfied,
            rule.violated,
            rule.standing,
            rule.error,
            rule.skipped,
            rule.not_asked,
        ];
        let cells = counts.iter().zip(HEADINGS);
        let cells = cells.map(|(count, heading)| format!(" {count:>0$}", heading.len()));
        let row = format!("{:<width$}{}", cut(&rule.rule, width), cells.collect::<String>());
        let shade = if rule.missing().is_some() { Shade::Unclear } else { Shade::Plain };
        line(&[Span { text: row, shade }], terminal)?;
    }
    Ok(())
}

fn stopped(text: &str) -> Span {
    Span { text: text.to_owned(), shade: Shade::Stopped }
}

fn line(parts: &[Span], terminal: Terminal) -> Result<(), Failure> {
    print::spans(parts, terminal.colour)
}
