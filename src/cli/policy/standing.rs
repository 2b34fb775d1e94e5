//! `changegate policy standing`: the deployments that break a rule as they are. Each is judged as
//! if who changed it last sent it again as it is, now: what that would leave broken stands.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::replay::counted;
use super::source::PolicyFile;
use crate::audit::judged::ReadyChange;
use crate::audit::query::{
    Cursor, DeploymentAt, DeploymentSummary, LIMIT_MAX, PageRequest, Reader, RecordedChange,
};
use crate::audit::record::Unkept;
use crate::base::clock::{Clock, Timestamp};
use crate::base::visible::plain;
use crate::cli::audit::{Zone, ZoneArgs, open_at, unanswered};
use crate::cli::log::LogFile;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::{Terminal, cut};
use crate::cli::{Environment, Failure, runtime};
use crate::policy::gap::Gap;
use crate::policy::{Decision, Enforcement, Violation};
use crate::provider::Operation;

/// The most columns of a rule's name.
const RULE_WIDTH_MAX: usize = 28;

/// The arguments of `policy standing`.
#[derive(Debug, Args)]
pub struct StandingArgs {
    #[command(flatten)]
    file: LogFile,
    /// The policy; by default `policy.file` of the configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Judge archived deployments as well.
    #[arg(long)]
    archived: bool,
    /// Print each deployment that breaks a rule, or can't be judged by one, as one JSON object a
    /// line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    zone: ZoneArgs,
}

/// A deployment that was judged.
struct Judged {
    id: String,
    name: Option<String>,
    seen_at: Timestamp,
    change: String,
    standing: Vec<Violation>,
    untold: Vec<(String, Gap)>,
}

/// How many deployments came to what.
#[derive(Default)]
struct Counts {
    deployments: u64,
    broken: u64,
    untold: u64,
    archived: u64,
    unseen: u64,
}

/// Runs the command.
pub fn run(arguments: &StandingArgs, environment: &Environment) -> Result<(), Failure> {
    let clock = Clock::System;
    let now = clock.now();
    runtime()?.block_on(async {
        let given = arguments.policy.as_deref();
        let mut policy = PolicyFile::find(given, &arguments.file, environment)?;
        let log = arguments.file.find(environment)?;
        let reader = open_at(&log).await?;
        let printer = Printer {
            json: arguments.json,
            zone: Zone::found(environment, now, arguments.zone.utc),
            terminal: Terminal::found(environment).unwrap_or_default(),
        };
        let mut counts = Counts::default();
        let mut page = PageRequest { limit: LIMIT_MAX, cursor: None };
        loop {
            let part = reader.deployments(page, true).await.map_err(unanswered)?;
            for summary in part.data {
                let judging = judge(&reader, &summary, &mut policy, (&clock, now));
                let judged = judging.await?;
                if let Some(judged) = counts.count(judged, arguments.archived) {
                    printer.deployment(&judged)?;
                }
            }
            let cursor = part.next_cursor.as_deref().map(Cursor::parse).transpose();
            page.cursor = cursor.map_err(unanswered)?;
            if page.cursor.is_none() {
                break;
            }
        }
        if arguments.json { Ok(()) } else { print::line(summary(&counts, &policy)) }
    })
}

/// The result of the look at a deployment.
enum Looked {
    /// The log has no document of it.
    Unseen,
    At(Box<Judged>, bool),
}

async fn judge(
    reader: &Reader,
    summary: &DeploymentSummary,
    policies: &mut PolicyFile,
    (clock, now): (&Clock, Timestamp),
) -> Result<Looked, Failure> {
    let at = reader.deployment_at(&summary.id, now).await.map_err(unanswered)?;
    let Some(at) = at else { return Ok(Looked::Unseen) };
    let last = reader.bare_change(at.change).await.map_err(unanswered)?;
    let Some(last) = last else { return Ok(Looked::Unseen) };
    // Of either document of that change: what was concealed in one is in the other.
    let concealed = last.redacted.iter().filter_map(|place| {
        let place = place.strip_prefix("/before").or_else(|| place.strip_prefix("/after"))?;
        Some(format!("/before{place}"))
    });
    let redacted: Vec<String> = concealed.collect();
    let DeploymentAt { deployment, seen_at, change, .. } = at;
    let is_archived = deployment.get("archived_at").is_some_and(|at| !at.is_null());
    let ready = ReadyChange::of(RecordedChange {
        seq: last.seq,
        id: last.id,
        provider: last.provider,
        operation: Operation::Update,
        method: None,
        deployment_id: last.deployment_id,
        actor: last.actor,
        received_at: now,
        decided_at: Some(now),
        decision: Decision::Allow,
        is_excepted: false,
        violations: Vec::new(),
        standing: Vec::new(),
        patch: Some(json!({})),
        before: Some(Arc::new(deployment)),
        redacted,
        unkept: Unkept::default(),
        policy_digest: "".into(),
    });
    let Ok(ready) = ready else { return Ok(Looked::Unseen) };
    let policy = policies.of(ready.provider)?;
    let rejudged = ready.judged(&policy, clock);
    let named = |at: usize| policy.rules.get(at).map(|rule| rule.name.to_string());
    let untold = rejudged.gaps.iter().filter_map(|(at, gap)| Some((named(*at)?, *gap))).collect();
    let judged = Judged {
        id: summary.id.clone(),
        name: summary.name.clone(),
        seen_at,
        change: change.to_string(),
        // What is no deployment's but the call's is violated by the call.
        standing: rejudged.findings.standing,
        untold,
    };
    Ok(Looked::At(Box::new(judged), is_archived))
}

impl Counts {
    /// Counts a deployment, and gives it back where something is to be told of it.
    fn count(&mut self, looked: Looked, with_archived: bool) -> Option<Judged> {
        let Looked::At(judged, is_archived) = looked else {
            self.unseen += 1;
            return None;
        };
        if is_archived && !with_archived {
            self.archived += 1;
            return None;
        }
        self.deployments += 1;
        self.broken += u64::from(!judged.standing.is_empty());
        self.untold += u64::from(!judged.untold.is_empty());
        let is_told = !judged.standing.is_empty() || !judged.untold.is_empty();
        is_told.then_some(*judged)
    }
}

fn summary(counts: &Counts, policy: &PolicyFile) -> String {
    let path = policy.path.display();
    if counts.deployments == 0 && counts.archived == 0 {
        return "No deployment is recorded yet.".to_owned();
    }
    let deployments = if counts.deployments == 1 { "deployment" } else { "deployments" };
    let verb = if counts.broken == 1 { "breaks" } else { "break" };
    let mut told = format!(
        "{} of {} {deployments} {verb} a rule of {path}",
        counted(counts.broken),
        counted(counts.deployments)
    );
    for (count, what) in [
        (counts.untold, "can't be judged by every rule"),
        (counts.archived, "archived left out"),
        (counts.unseen, "never seen whole"),
    ] {
        if count > 0 {
            told.extend(["; ", &counted(count), " ", what]);
        }
    }
    told
}

/// Prints deployments, for people or as JSON.
struct Printer {
    json: bool,
    zone: Zone,
    terminal: Terminal,
}

impl Printer {
    fn deployment(&self, judged: &Judged) -> Result<(), Failure> {
        if self.json {
            return print::line(as_json(judged));
        }
        let width = self.terminal.width;
        let name = judged.name.as_deref().map(plain).unwrap_or_default();
        let seen = self.zone.second(judged.seen_at);
        let head = format!("{}  {name}", plain(&judged.id));
        print::line(cut(head.trim_end(), width))?;
        print::line(cut(&format!("  as of {seen}, {}", judged.change), width))?;
        for found in &judged.standing {
            let text = format!(
                "{:<RULE_WIDTH_MAX$}  {}",
                cut(&plain(&found.rule), RULE_WIDTH_MAX),
                plain(&found.path)
            );
            let shade = match found.enforcement {
                Enforcement::Approve | Enforcement::Deny => Shade::Stopped,
                Enforcement::Audit | Enforcement::Warn => Shade::Unclear,
            };
            let word = json!(found.enforcement).as_str().unwrap_or_default().to_owned();
            let word = Span { text: format!("  {word:<8}"), shade };
            let line = [word, Span::plain(cut(text.trim_end(), width - 10))];
            print::spans(&line, self.terminal.colour)?;
        }
        for (rule, gap) in &judged.untold {
            print::line(cut(&format!("  ?       {}  {}", plain(rule), gap.words()), width))?;
        }
        print::line("")
    }
}

fn as_json(judged: &Judged) -> Value {
    let untold = judged.untold.iter();
    let untold = untold.map(|(rule, gap)| json!({"rule": rule, "why": gap.name()}));
    json!({
        "deployment_id": judged.id,
        "name": judged.name,
        "seen_at": judged.seen_at,
        "change": judged.change,
        "standing": judged.standing,
        "not_replayable": untold.collect::<Vec<_>>(),
    })
}
