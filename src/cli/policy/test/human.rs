//! The results as people read them: a line for each file, a block for each case that fails, what
//! is not tested, and a line for all.

use std::collections::BTreeSet;

use unicode_width::UnicodeWidthStr as _;

use super::{Ran, Results, SuiteRun, TestArgs, counted};
use crate::cli::Failure;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::{Terminal, cut, wrapped};
use crate::policy::case::coverage::{Coverage, word};
use crate::policy::case::verdict::{Difference, Explained};

/// The columns of the words before what is told.
const LABEL_WIDTH: usize = 11;

/// The least columns of a rule's name in a table.
const RULE_WIDTH_MIN: usize = 12;

/// Prints all of it.
pub(super) fn print(
    results: &Results,
    arguments: &TestArgs,
    terminal: Terminal,
) -> Result<(), Failure> {
    for suite in &results.suites {
        print_suite(suite, arguments.verbose, terminal)?;
    }
    if arguments.coverage {
        for coverage in &results.coverage {
            print_coverage(coverage, terminal)?;
        }
    }
    for gap in &results.gaps {
        line(&[stopped("GAP  "), Span::plain(gap.clone())], terminal)?;
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
        0 => String::new(),
        gaps => format!(", {}", counted(gaps, "gap")),
    };
    let passed = count - failed;
    let cases = counted(count, "case");
    format!("{cases} in {files} for {policies}: {passed} passed, {failed} failed{gaps}")
}

fn print_suite(suite: &SuiteRun, verbose: bool, terminal: Terminal) -> Result<(), Failure> {
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
            let note = format!(
                "note: {}: no rule is asked about a call such as this, so that it passes \
                 whatever they require",
                ran.case.name
            );
            for (text, number) in wrapped(&note, terminal.width - 10).into_iter().zip(0..) {
                let indent = if number == 0 { "     " } else { "           " };
                line(&[Span::plain(format!("{indent}{text}"))], terminal)?;
            }
        } else if verbose {
            let name = cut(&ran.case.name, terminal.width - 10);
            line(&[Span::plain(format!("     ok   {name}"))], terminal)?;
        }
    }
    Ok(())
}

fn print_failure(suite: &SuiteRun, ran: &Ran, terminal: Terminal) -> Result<(), Failure> {
    let name = wrapped(&ran.case.name, terminal.width - 10);
    for (text, number) in name.into_iter().zip(0..) {
        let mark = if number == 0 { stopped("     FAIL ") } else { stopped("          ") };
        line(&[mark, Span::plain(text)], terminal)?;
    }
    let place = format!("          {}:{}", suite.suite.path.display(), ran.case.line);
    line(&[Span::plain(place)], terminal)?;
    for told in differences(ran).into_iter().chain(ran.explained.iter().flat_map(explained)) {
        for text in folded(&told, terminal.width) {
            line(&[Span::plain(text)], terminal)?;
        }
    }
    Ok(())
}

/// What is not as expected, and the violations that were found, line by line.
pub(super) fn differences(ran: &Ran) -> Vec<String> {
    let (expected, verdict) = (&ran.case.expected, &ran.verdict);
    let mut lines = Vec::new();
    let mut pair = |label: &str, expected: String, found: String| {
        lines.push(format!("          {label:<LABEL_WIDTH$}expected  {expected}"));
        lines.push(format!("          {:<LABEL_WIDTH$}found     {found}", ""));
    };
    for difference in &verdict.differences {
        match difference {
            Difference::Decision => {
                let decision = expected.decision.map_or("", |decision| decision.name());
                pair("decision", decision.to_owned(), verdict.decision.name().to_owned());
            }
            Difference::Rules => {
                pair("rules", set(expected.rules.as_ref()), set(Some(&verdict.rules)));
            }
            Difference::Standing => {
                pair("standing", set(expected.standing.as_ref()), set(Some(&verdict.standing)));
            }
            Difference::Message(part) => {
                pair("message", format!("{part:?}"), "in no violation".to_owned());
            }
        }
    }
    for violation in &verdict.findings.violations {
        let place = if violation.path.is_empty() { "/" } else { &violation.path };
        lines.push(format!("          {:<LABEL_WIDTH$}{place}  {}", "violated", violation.message));
    }
    lines
}

fn set(rules: Option<&BTreeSet<String>>) -> String {
    let names: Vec<&str> = rules.into_iter().flatten().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The values of the parts of a rule's expressions.
fn explained(explained: &Explained) -> Vec<String> {
    let outcome = word(explained.outcome).replace('_', " ");
    let mut lines = vec![format!("          rule {}: {outcome}", explained.rule)];
    for part in &explained.parts {
        let indent = "  ".repeat(part.depth.min(8));
        let key = if part.depth == 0 { part.key } else { "" };
        lines.push(format!("            {key:<9}{indent}{}  =  {}", part.text, part.value));
    }
    lines
}

/// The lines of a text that begins indented, each indented beyond it.
fn folded(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let indent = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    for (part, number) in wrapped(text.trim_start(), width - indent - 12).into_iter().zip(0..) {
        let indent = if number == 0 { indent } else { indent + 11 };
        lines.push(format!("{}{part}", " ".repeat(indent)));
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
