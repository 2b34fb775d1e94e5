//! `changegate audit hold`: whose records are never pruned or erased.

use anyhow::anyhow;
use serde_json::json;

use super::super::log::LogFile;
use super::super::{ConfigFile, Environment, Failure, load_config, print};
use super::prune::held;
use super::text::plain;
use crate::audit::redact::Redaction;
use crate::audit::retention::{
    HoldChange, HoldSubject, PruneError, SUBJECT_BYTES_MAX, change_hold, holds,
};
use crate::base::clock::Clock;
use crate::base::key::Key;

/// The actions on holds.
#[derive(Debug, clap::Subcommand)]
pub enum HoldCommand {
    /// Keeps the records of a deployment, an actor or a team from being pruned.
    Add(ChangeArgs),
    /// Lets them be pruned again.
    Remove(ChangeArgs),
    /// Lists all holds: the log's own, and those of the configuration.
    List(ListArgs),
}

/// The arguments of `audit hold add` and `audit hold remove`.
#[derive(Debug, clap::Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Why, in words: it stands in the log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print {"hold":{…},"changed":true}.
    #[arg(long)]
    json: bool,
}

/// Whose records they are.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SubjectArgs {
    /// Those of this deployment.
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// Those by this actor: a name, which stands for all tokens that had it, or a fingerprint.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Those by this team.
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
}

/// The arguments of `audit hold list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    file: LogFile,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl SubjectArgs {
    fn subject(&self) -> Result<HoldSubject, Failure> {
        let deployment = self.deployment.clone().map(HoldSubject::Deployment);
        let actor = self.actor.clone().map(HoldSubject::Actor);
        let subject = deployment.or(actor).or_else(|| self.team.clone().map(HoldSubject::Team));
        let fits = |subject: &HoldSubject| {
            let name = subject.name();
            !name.is_empty()
                && name.len() <= SUBJECT_BYTES_MAX
                && !name.chars().any(char::is_control)
        };
        subject.filter(fits).ok_or_else(|| {
            let fix = "write 1 to 512 bytes without control characters as the name that is held";
            Failure::Usage(anyhow!(fix))
        })
    }
}

/// Runs one of them.
pub(super) async fn run(command: &HoldCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        HoldCommand::Add(arguments) => change(arguments, true, environment).await,
        HoldCommand::Remove(arguments) => change(arguments, false, environment).await,
        HoldCommand::List(arguments) => list(arguments, environment).await,
    }
}

fn not_carried_out(error: PruneError) -> Failure {
    Failure::NotCarriedOut(error.into())
}

async fn change(
    arguments: &ChangeArgs,
    is_added: bool,
    environment: &Environment,
) -> Result<(), Failure> {
    let subject = arguments.subject.subject()?;
    let config = load_config(arguments.file.path(environment), environment)?;
    let key = Key::load(&config.audit.key_file);
    let key = key.map_err(|error| Failure::NotCarriedOut(error.into()))?;
    let redaction = Redaction::new(key, config.upstream.provider, &config.redact);
    let (database, reason) = (&config.audit.database, arguments.reason.clone());
    super::open_at_place(database).await?;
    let change = HoldChange { subject: subject.clone(), is_added, reason };
    let changed = change_hold(database, &change, &redaction, &Clock::System).await;
    let changed = changed.map_err(not_carried_out)?;
    if arguments.json {
        let hold = json!({subject.kind(): subject.name()});
        return print::line(json!({"hold": hold, "changed": changed}));
    }
    let named = plain(&subject.to_string());
    print::line(match (is_added, changed) {
        (true, true) => format!("The records of {named} are held: none of them is pruned."),
        (true, false) => format!("The records of {named} are held already."),
        (false, true) => format!("The records of {named} are not held any more."),
        (false, false) => format!("The log holds no records of {named}: nothing is changed."),
    })
}

async fn list(arguments: &ListArgs, environment: &Environment) -> Result<(), Failure> {
    let log = arguments.file.find(environment)?;
    super::open_at_place(&log.database).await?;
    let own = holds(&log.database).await.map_err(not_carried_out)?;
    let configured = held(log.holds);
    if arguments.json {
        for hold in &own {
            let subject = &hold.subject;
            print::line(json!({
                subject.kind(): subject.name(), "from": "log", "at": hold.at.to_string(),
                "reason": hold.reason,
            }))?;
        }
        for subject in &configured {
            let from = "configuration";
            print::line(json!({subject.kind(): subject.name(), "from": from}))?;
        }
        return Ok(());
    }
    for hold in &own {
        let (subject, at) = (plain(&hold.subject.to_string()), hold.at);
        let reason = hold.reason.as_deref().map(|reason| format!(": {}", plain(reason)));
        print::line(format_args!("{subject}, since {at}{}", reason.unwrap_or_default()))?;
    }
    for subject in &configured {
        print::line(format_args!("{}, by the configuration", plain(&subject.to_string())))?;
    }
    if own.is_empty() && configured.is_empty() {
        return print::line("Nothing is held.");
    }
    Ok(())
}
