//! `changegate policy explain`: one recorded change, rule by rule.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::source::PolicyFile;
use crate::audit::judged::{ReadyChange, RecordedPolicies};
use crate::audit::query::Reader;
use crate::base::clock::Clock;
use crate::base::visible::plain;
use crate::cli::audit::{Zone, ZoneArgs, change_id, missing, open_at, unanswered};
use crate::cli::log::LogFile;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::{Terminal, folded};
use crate::cli::{Environment, Failure, runtime};
use crate::policy::case::coverage::word;
use crate::policy::evaluate;
use crate::policy::gap::Gap;
use crate::policy::outcome::RuleOutcome;
use crate::policy::recorded::Rejudged;
use crate::policy::rule::Rule;
use crate::policy::rule::cel::ExplainedPart;
use crate::policy::{Decision, Policy, Violation};

/// The word for a decision that can't be told.
const UNTOLD: &str = "not replayable";

/// The arguments of `policy explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The change, `chg_…`.
    id: String,
    #[command(flatten)]
    file: LogFile,
    /// Another policy to judge it by; by default the one that is recorded with it.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    zone: ZoneArgs,
}

/// The outcome of a rule, and its reasons.
struct RuleTold<'p> {
    rule: &'p Rule,
    outcome: RuleOutcome,
    gap: Option<Gap>,
    violations: Vec<Violation>,
    standing: Vec<Violation>,
    parts: Vec<ExplainedPart>,
}

/// A change, judged and told.
struct Told<'p> {
    change: &'p ReadyChange,
    policy: &'p Policy,
    path: Option<&'p PathBuf>,
    decision: Option<Decision>,
    rules: Vec<RuleTold<'p>>,
}

/// Runs the command.
pub fn run(arguments: &ExplainArgs, environment: &Environment) -> Result<(), Failure> {
    let clock = Clock::System;
    runtime()?.block_on(async {
        let log = arguments.file.find(environment)?;
        let reader = open_at(&log).await?;
        let change = find(&reader, &arguments.id).await?;
        let policy = policy_for(arguments, environment, &reader, &change).await?;
        let rejudged = change.judged(&policy, &clock);
        let rules = told(&policy, &change, &rejudged, &clock);
        let path = arguments.policy.as_ref();
        let decision = rejudged.decision;
        let told = Told { change: &change, policy: &policy, path, decision, rules };
        if arguments.json {
            return print::line(told.json());
        }
        let zone = Zone::found(environment, clock.now(), arguments.zone.utc);
        told.print(&zone, Terminal::found(environment))
    })
}

/// The change, ready to be judged.
async fn find(reader: &Reader, id: &str) -> Result<ReadyChange, Failure> {
    let id = change_id(id)?;
    let found = reader.change(id).await.map_err(unanswered)?;
    let Some(change) = found else { return Err(missing(reader, id).await?) };
    ReadyChange::of_whole(change).map_err(|_not_asked| {
        Failure::NotHeld(anyhow!(
            "no policy was asked about {id}: `audit show {id}` tells why it was refused"
        ))
    })
}

async fn policy_for(
    arguments: &ExplainArgs,
    environment: &Environment,
    reader: &Reader,
    change: &ReadyChange,
) -> Result<Arc<Policy>, Failure> {
    if let Some(path) = &arguments.policy {
        return PolicyFile::find(Some(path), &arguments.file, environment)?.of(change.provider);
    }
    let recorded = RecordedPolicies::of(reader).get(change).await.map_err(unanswered)?;
    recorded.ok_or_else(|| {
        Failure::NotHeld(anyhow!(
            "this version can't read the policy that is recorded with the change: give --policy \
             FILE"
        ))
    })
}

/// The outcome of each rule.
fn told<'p>(
    policy: &'p Policy,
    change: &ReadyChange,
    rejudged: &Rejudged,
    clock: &Clock,
) -> Vec<RuleTold<'p>> {
    let of = |rule: &Rule, found: &[Violation]| -> Vec<Violation> {
        found.iter().filter(|found| rule.is_named(&found.rule)).cloned().collect()
    };
    let rules = policy.rules.iter().zip(&rejudged.outcomes).enumerate();
    let tell = |(at, (rule, outcome)): (usize, (&'p Rule, &RuleOutcome))| {
        let gap = rejudged.gaps.iter().find(|(of, _)| *of == at).map(|(_, gap)| *gap);
        let parts = match outcome {
            RuleOutcome::NotInScope => Vec::new(),
            _ => change.seen(clock, |seen| evaluate::explain(policy, &seen.subject, &rule.name)),
        };
        let violations = of(rule, &rejudged.findings.violations);
        let standing = of(rule, &rejudged.findings.standing);
        RuleTold { rule, outcome: *outcome, gap, violations, standing, parts }
    };
    rules.map(tell).collect()
}

impl Told<'_> {
    fn json(&self) -> Value {
        let change = &self.change.change;
        let rules: Vec<Value> = self.rules.iter().map(RuleTold::json).collect();
        json!({
            "id": change.id,
            "recorded": {"decision": change.decision, "policy_digest": &*change.policy_digest},
            "policy": {
                "file": self.path.map(|path| path.to_string_lossy()),
                "digest": self.policy.digest,
            },
            "decision": self.decision.map_or("not_replayable", Decision::name),
            "decided_at": change.decided_at,
            "rules": rules,
        })
    }

    fn print(&self, zone: &Zone, terminal: Option<Terminal>) -> Result<(), Failure> {
        let change = &self.change.change;
        let deployment = change.deployment_id.as_deref().map(plain).unwrap_or_default();
        let fingerprint = || change.actor.fingerprint.to_string();
        let actor = change.actor.name.as_deref().map_or_else(fingerprint, plain);
        let by = self.path.map_or_else(
            || "by the policy that is recorded with it".to_owned(),
            |path| format!("by {}", path.display()),
        );
        let at = change.decided_at.unwrap_or(change.received_at);
        let decision = self.decision.map_or(UNTOLD, Decision::name);
        let head = [
            format!("change      {}", change.id),
            format!("            {} {deployment} by {actor}", change.operation),
            format!("decided     {}", zone.whole(at)),
            format!("recorded    {}", change.decision.name()),
            format!("now         {decision}, {by}"),
        ];
        let lines = head.into_iter().map(|line| vec![Span::plain(line)]);
        let rules = self.rules.iter().flat_map(RuleTold::lines);
        lines.chain(rules).try_for_each(|line| print_folded(line, terminal))
    }
}

/// Prints a line, folded where the terminal is too narrow for it.
fn print_folded(mut line: Vec<Span>, terminal: Option<Terminal>) -> Result<(), Failure> {
    let Some(terminal) = terminal else { return print::spans(&line, false) };
    let whole: String = line.iter().map(|span| span.text.as_str()).collect();
    let mut folds = folded(&whole, terminal.width).into_iter();
    if let (Some(first), Some(last)) = (folds.next(), line.last_mut())
        && first.len() < whole.len()
    {
        let others = whole.len() - last.text.len();
        first.get(others..).unwrap_or_default().clone_into(&mut last.text);
        print::spans(&line, terminal.colour)?;
        return folds.try_for_each(print::line);
    }
    print::spans(&line, terminal.colour)
}

/// The value of a part of an expression, the deeper the further in.
fn part_line(part: &ExplainedPart) -> String {
    let indent = "  ".repeat(part.depth.min(8));
    let key = if part.depth == 0 { part.key } else { "" };
    format!("  {key:<9}{indent}{}  =  {}", plain(&part.text), plain(&part.value))
}

impl RuleTold<'_> {
    fn outcome(&self) -> String {
        self.gap.map_or_else(
            || word(self.outcome).replace('_', " "),
            |gap| format!("can't be judged: it {}", gap.words()),
        )
    }

    fn json(&self) -> Value {
        let part = |part: &ExplainedPart| {
            let ExplainedPart { key, depth, text, value } = part;
            json!({"key": key, "depth": depth, "text": text, "value": value})
        };
        json!({
            "rule": self.rule.name,
            "enforcement": self.rule.enforcement,
            "outcome": self.gap.map_or(word(self.outcome), |_gap| "not_replayable"),
            "why": self.gap.map(Gap::name),
            "violations": self.violations,
            "standing": self.standing,
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
        })
    }

    fn lines(&self) -> Vec<Vec<Span>> {
        let shade = match (self.gap, self.outcome) {
            (Some(_), _) | (None, RuleOutcome::Standing(_)) => Shade::Unclear,
            (None, RuleOutcome::Violated(_)) => Shade::Stopped,
            _ => Shade::Plain,
        };
        let enforcement = json!(self.rule.enforcement);
        let enforcement = enforcement.as_str().unwrap_or_default();
        let name = format!("rule {} ({enforcement}): ", plain(&self.rule.name));
        let mut lines = vec![
            vec![Span::plain(String::new())],
            vec![Span::plain(name), Span { text: self.outcome(), shade }],
        ];
        for found in self.violations.iter().chain(&self.standing) {
            let place = if found.path.is_empty() { "/" } else { found.path.as_str() };
            let text = format!("  {}  {}", plain(place), plain(&found.message));
            lines.push(vec![Span::plain(text)]);
        }
        lines.extend(self.parts.iter().map(|part| vec![Span::plain(part_line(part))]));
        lines
    }
}
