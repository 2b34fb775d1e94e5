//! The arguments of the questions to the log.

use super::super::log::LogFile;
use super::super::proxy::ViaArgs;
use super::pages::Wanted;

/// The arguments of `audit list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) file: LogFile,
    #[command(flatten)]
    pub(super) which: FilterArgs,
    #[command(flatten)]
    pub(super) part: PartArgs,
    /// Include what was sent, the deployment before and after, and the difference.
    #[arg(long, conflicts_with = "csv")]
    pub(super) full: bool,
    /// List what is not a governed call instead: other writes, reloads, settlements; of a
    /// deployment by path or change, with --q in kind and detail.
    #[arg(long, conflicts_with_all = [
        "deployment_name", "operation", "decision", "outcome", "effect", "rule", "path",
        "asked_path", "full",
    ])]
    pub(super) events: bool,
}

/// The changes that a command is about.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FilterArgs {
    /// Only of this deployment.
    #[arg(long, value_name = "ID")]
    deployment_id: Option<String>,
    /// Only of deployments whose newest name has this text in it, in any case.
    #[arg(long, visible_alias = "name", value_name = "TEXT")]
    deployment_name: Option<String>,
    /// Only by this actor: a fingerprint (`pat_…`), or a name, which finds too what its tokens did
    /// before they were named.
    #[arg(long)]
    actor: Option<String>,
    /// Only by this team.
    #[arg(long)]
    team: Option<String>,
    /// Only of this operation: create, update, archive, pause, unpause or run.
    #[arg(long)]
    operation: Option<String>,
    /// Only so decided: allow, warn, deny or refuse.
    #[arg(long)]
    decision: Option<String>,
    /// Only so ended: pending, applied, denied, refused, rejected, failed or unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// Only with this effect: exact, partial, none or other.
    #[arg(long)]
    effect: Option<String>,
    /// Only what breaks this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Only what changed this place or one below it, such as `/schedule`.
    #[arg(long, value_name = "POINTER")]
    path: Option<String>,
    /// Only what was asked to change this place or one below it, whatever came of it: denied tries
    /// too.
    #[arg(long, value_name = "POINTER")]
    asked_path: Option<String>,
    /// Only of this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only what has this text in ids, names, those of deployments too, user agent, messages or
    /// changed paths.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

/// Which part of a list, and how it is printed.
#[derive(Debug, clap::Args)]
pub(super) struct PartArgs {
    #[command(flatten)]
    pub(super) span: SpanArgs,
    #[command(flatten)]
    pub(super) shown: ShownArgs,
}

/// The time that a command is about.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SpanArgs {
    /// Only at or after: a time (RFC 3339), a date, which is its begin in UTC also where times are
    /// told as local ones, or how long ago, such as 24h or 7d. The local begin of a day is
    /// 2026-06-14T00:00+08:00.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before: as for --since, and later than that. One day is --since 2026-06-14 --until
    /// 2026-06-15.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// How much of a list is printed, and in which form.
#[derive(Debug, clap::Args)]
pub(super) struct ShownArgs {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,
    /// Print each as one JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
    /// Print CSV (RFC 4180) with a header row; no cell is a formula.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
}

/// The zone that times are told in.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ZoneArgs {
    /// Tell times in UTC on a terminal too, where they are local (TZ) otherwise.
    #[arg(long)]
    pub(in crate::cli) utc: bool,
}

/// The arguments of `audit show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The change, `chg_…`.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) file: LogFile,
    /// Print it as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
}

/// The arguments of `audit history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The deployment.
    pub(super) deployment_id: String,
    #[command(flatten)]
    pub(super) file: LogFile,
    #[command(flatten)]
    pub(super) part: PartArgs,
    /// With --json: include what was sent, and the deployment before and after.
    #[arg(long, conflicts_with = "csv")]
    pub(super) full: bool,
}

/// The arguments of `audit at`.
#[derive(Debug, clap::Args)]
pub struct AtArgs {
    /// The deployment.
    pub(super) deployment_id: String,
    /// The moment: a time (RFC 3339), a date, how long ago, such as 24h or 7d, or now.
    pub(super) time: String,
    #[command(flatten)]
    pub(super) file: LogFile,
    /// Print it as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
}

/// The arguments of `audit blame`.
#[derive(Debug, clap::Args)]
pub struct BlameArgs {
    /// The deployment.
    pub(super) deployment_id: String,
    /// Tell of the deployment as it was at this moment: a time (RFC 3339), a date, or how long ago,
    /// such as 24h or 7d.
    #[arg(long, value_name = "WHEN")]
    pub(super) at: Option<String>,
    #[command(flatten)]
    pub(super) file: LogFile,
    /// Print each value as one JSON object a line, those that the server keeps too.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
}

/// The arguments of `audit diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The former state: `chg_…`, as that change left it; `DEPLOYMENT@WHEN`, as it was seen then;
    /// or `DEPLOYMENT`, as it was seen last.
    #[arg(value_name = "FROM")]
    pub(super) former: String,
    /// The latter state; without it, FROM is a change, and what it changed is told.
    #[arg(value_name = "TO")]
    pub(super) latter: Option<String>,
    #[command(flatten)]
    pub(super) file: LogFile,
    /// Print both states and their difference as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
}

/// The arguments of `audit drift`.
#[derive(Debug, clap::Args)]
pub struct DriftArgs {
    /// Only of this deployment.
    #[arg(long, value_name = "ID")]
    pub(super) deployment_id: Option<String>,
    #[command(flatten)]
    pub(super) file: LogFile,
    #[command(flatten)]
    pub(super) part: PartArgs,
    /// Ask upstream, through the gateway, for every deployment that the log knows, and tell which
    /// are not as their last change left them.
    #[arg(long, requires = "token_env", conflicts_with_all = ["since", "until", "limit", "all"])]
    pub(super) sweep: bool,
    /// The environment variable that holds your token for the API behind the gateway.
    #[arg(long, value_name = "NAME", requires = "sweep")]
    pub(super) token_env: Option<String>,
    /// How many deployments are asked for in a second, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "sweep",
        value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) per_second: u16,
    #[command(flatten)]
    pub(super) via: ViaArgs,
}

/// The arguments of `audit deployments`.
#[derive(Debug, clap::Args)]
pub struct DeploymentsArgs {
    #[command(flatten)]
    pub(super) file: LogFile,
    #[command(flatten)]
    pub(super) shown: ShownArgs,
}

impl ListArgs {
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.which.given(name).or_else(|| self.part.given(name))
    }
}

impl FilterArgs {
    /// The text that is given for a key of a filter, times aside.
    pub(in crate::cli) fn given(&self, name: &str) -> Option<&str> {
        let text = match name {
            "deployment_id" => &self.deployment_id,
            "deployment_name" => &self.deployment_name,
            "actor" => &self.actor,
            "team" => &self.team,
            "operation" => &self.operation,
            "decision" => &self.decision,
            "outcome" => &self.outcome,
            "effect" => &self.effect,
            "rule" => &self.rule,
            "path" => &self.path,
            "asked_path" => &self.asked_path,
            "request_id" => &self.request_id,
            "q" => &self.q,
            _ => return None,
        };
        text.as_deref()
    }
}

impl PartArgs {
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.span.given(name)
    }
}

impl SpanArgs {
    /// The text that is given for a time of a filter.
    pub(in crate::cli) fn given(&self, name: &str) -> Option<&str> {
        match name {
            "since" => self.since.as_deref(),
            "until" => self.until.as_deref(),
            _ => None,
        }
    }
}

impl ShownArgs {
    /// Whether another program reads it.
    pub(super) fn is_for_programs(&self) -> bool {
        self.json || self.csv
    }

    pub(super) fn wanted(&self) -> Wanted {
        match self.limit {
            _all if self.all => Wanted::new(None),
            1 if self.is_for_programs() => Wanted::newest(),
            limit => Wanted::new(Some(limit)),
        }
    }
}
