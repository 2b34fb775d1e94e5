//! `changegate audit erase`: the bodies of changes go for good, and everything that repeats them.

use anyhow::anyhow;
use serde_json::json;

use super::super::{ConfigFile, Environment, Failure, load_config, print};
use super::layout::Layout;
use super::printer::print_spans;
use super::text::plain;
use super::{change_id, print_json};
use crate::audit::erase::{self, EraseError, EraseRequest, EraseTarget, Erased, Erasure};
use crate::audit::redact::Redaction;
use crate::audit::retention::HoldSubject;
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::base::database::Database;
use crate::base::key::Key;
use crate::cli::terminal::Terminal;
use crate::config::Config;

/// The most changes beside the target that are named.
const BESIDE_SHOWN_MAX: usize = 20;

/// The variables that tell the login of who runs the command, the first that is set.
const LOGINS: [&str; 3] = ["SUDO_USER", "USER", "LOGNAME"];

/// The most bytes of a login.
const LOGIN_BYTES_MAX: usize = 128;

/// The arguments of `audit erase`.
#[derive(Debug, clap::Args)]
pub struct EraseArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// The change whose bodies go, `chg_…`.
    #[arg(value_name = "CHANGE", required_unless_present_any = ["deployment", "status"])]
    change: Option<String>,
    /// The bodies of every change of this deployment go.
    #[arg(long, value_name = "ID", conflicts_with = "change")]
    deployment: Option<String>,
    /// Why, in words: it stands in the log, for good.
    #[arg(long, value_name = "TEXT", required_unless_present = "status")]
    reason: Option<String>,
    /// List what was erased, and since when each erasure is complete; erase nothing.
    #[arg(long, conflicts_with_all = ["change", "deployment", "reason"])]
    status: bool,
    /// Print one JSON object; with --status one a line.
    #[arg(long)]
    json: bool,
}

impl EraseArgs {
    fn target(&self) -> Result<EraseTarget, Failure> {
        if let Some(text) = &self.change {
            return change_id(text).map(EraseTarget::Change);
        }
        let id = self.deployment.clone().unwrap_or_default();
        let fits = !id.is_empty() && id.len() <= 512 && !id.chars().any(char::is_control);
        let fix = "write 1 to 512 bytes without control characters as the deployment's id";
        if fits { Ok(EraseTarget::Deployment(id)) } else { Err(Failure::Usage(anyhow!(fix))) }
    }
}

/// Erases, or tells what was erased.
pub(super) async fn run(arguments: &EraseArgs, environment: &Environment) -> Result<(), Failure> {
    let config = load_config(arguments.file.path(environment), environment)?;
    let database = &config.audit.database;
    super::open_at_place(database).await?;
    if arguments.status {
        return status(database, arguments.json, Terminal::found(environment)).await;
    }
    let target = arguments.target()?;
    let key = Key::load(&config.audit.key_file);
    let key = key.map_err(|error| Failure::NotCarriedOut(error.into()))?;
    let redaction = Redaction::new(key, config.upstream.provider, &config.redact);
    let login = LOGINS.iter().find_map(|name| environment.of_terminal(name));
    let login = login.filter(|name| name.len() <= LOGIN_BYTES_MAX);
    let request = EraseRequest {
        target,
        reason: arguments.reason.clone().unwrap_or_default(),
        by: login.filter(|name| !name.chars().any(char::is_control)).map(str::to_owned),
        holds: holds(&config),
    };
    let erased = erase::erase(database, &request, &redaction, &Clock::System).await;
    let erased = erased.map_err(|error| match error {
        EraseError::BadReason => Failure::Usage(anyhow!("--reason: {error}")),
        EraseError::Unknown(_)
        | EraseError::NotEnded(_)
        | EraseError::Undecided(_)
        | EraseError::OnHold { .. }
        | EraseError::Altered(_) => Failure::NotHeld(error.into()),
        other => Failure::NotCarriedOut(other.into()),
    })?;
    if arguments.json {
        return print::line(json!({
            "changes": erased.changes,
            "beside": erased.beside,
            "beside_named": erased.beside_named,
            "documents": erased.documents,
            "originals": erased.originals,
            "sealed_under": erased.sealed_under,
            "scoured": erased.is_scoured,
        }));
    }
    tell(&request.target, &erased, database)
}

/// Those that the configuration holds.
fn holds(config: &Config) -> Vec<HoldSubject> {
    super::prune::held(config.retention.holds.clone())
}

fn tell(target: &EraseTarget, erased: &Erased, database: &Database) -> Result<(), Failure> {
    let target = plain(&target.to_string());
    if erased.changes == 0 {
        print::line(format_args!("Nothing is left to erase of {target}."))?;
    } else {
        print::line(format_args!(
            "The bodies of {} are erased: {} and {}.",
            counted(erased.changes, "change"),
            counted(erased.documents, "document"),
            counted(erased.originals, "sealed original"),
        ))?;
    }
    if erased.beside > 0 {
        let named = erased.beside_named.iter().take(BESIDE_SHOWN_MAX);
        let named: Vec<String> = named.map(ToString::to_string).collect();
        let more = if erased.beside > named.len() as u64 { " and more" } else { "" };
        print::line(format_args!(
            "{} shared a document with it and lost that half: {}{more}",
            counted(erased.beside, "other change"),
            named.join(", ")
        ))?;
    }
    if target.starts_with("change") && erased.changes > 0 {
        print::line(
            "Other changes of the deployment may hold the same texts in their own documents: \
             --deployment erases those too.",
        )?;
    }
    if let Database::Postgres(_) = database {
        print::line(
            "The server's files hold what is deleted until it is overwritten: as the owner, run \
             VACUUM FULL on the tables of the schema changegate, in a quiet hour. Its write-ahead \
             log holds it until old segments are overwritten or removed.",
        )?;
    }
    if erased.sealed_under.is_empty() {
        return print::line("Backups, replicas and archives of the log hold it until they go.");
    }
    print::line(format_args!(
        "Its originals are in backups too, and open with {} until `changegate key rotate --seal` \
         destroys that key: the erasure is complete then. `audit erase --status` tells.",
        erased.sealed_under.join(", ")
    ))
}

async fn status(
    database: &Database,
    json: bool,
    terminal: Option<Terminal>,
) -> Result<(), Failure> {
    let erasures = erase::erasures(database).await;
    let erasures = erasures.map_err(|error| Failure::NotCarriedOut(error.into()))?;
    if json {
        return print_json(&erasures);
    }
    if erasures.is_empty() {
        return print::line("Nothing was erased.");
    }
    let layout = Layout::of(terminal);
    erasures.iter().try_for_each(|erasure| print_spans(&layout.text(&line(erasure)), layout.colour))
}

/// An erasure, in one line where nothing folds it.
fn line(erasure: &Erasure) -> String {
    let target = match (&erasure.change, &erasure.deployment_id) {
        (Some(change), _) => plain(change),
        (None, id) => format!("deployment {}", plain(id.as_deref().unwrap_or("?"))),
    };
    let standing = match erasure.complete_at {
        Some(at) => format!("complete since {at}"),
        None => format!(
            "pending: `changegate key rotate --seal` destroys {}",
            plain(&erasure.waits_for.join(", "))
        ),
    };
    let by = erasure.by.as_deref().map(|by| format!(" by {}", plain(by))).unwrap_or_default();
    format!(
        "{at}  {target}: {}{by}, {standing}; {}",
        counted(erasure.changes, "change"),
        plain(&erasure.reason),
        at = erasure.at,
    )
}
