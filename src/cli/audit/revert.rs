//! `changegate audit revert`: takes a change back, by a call through the gateway.

mod judged;
mod sent;
mod unsealed;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::layout::Layout;
use super::printer::print_spans;
use super::text::{json as shown_json, plain};
use super::{
    Environment, Failure, change_id, differences, missing, open_at, print, print_json, unanswered,
};
use crate::audit::record::{Change, Outcome};
use crate::cli::log::LogFile;
use crate::cli::print::Shade;
use crate::cli::proxy::{ProxyClient, Shown, ViaArgs};
use crate::cli::terminal::Terminal;
use crate::deployment::Object;
use crate::deployment::revert::{Former, Irrevocable, Reverting, revert};
use crate::provider::{Operation, Provider};

/// The arguments of `audit revert`.
#[derive(Debug, clap::Args)]
pub struct RevertArgs {
    /// The change to take back, `chg_…`.
    id: String,
    #[command(flatten)]
    file: LogFile,
    /// Show the call and what the policy says of it; nothing is sent but a read.
    #[arg(long)]
    dry_run: bool,
    /// Take it back though other places were changed since: these stay as they are.
    #[arg(long)]
    merge: bool,
    /// Restore concealed values too, from the originals that are sealed, for this reason: the admin
    /// API shows them to the role admin and records that, by the token in `CHANGEGATE_ADMIN_TOKEN`.
    #[arg(long, value_name = "REASON")]
    unseal: Option<String>,
    /// The admin API, such as `http://127.0.0.1:8081`; by default that of the configuration.
    #[arg(long, value_name = "URL", requires = "unseal")]
    admin: Option<String>,
    /// The environment variable that holds your token for the API behind the gateway.
    #[arg(long, value_name = "NAME")]
    token_env: String,
    #[command(flatten)]
    via: ViaArgs,
    /// Print what is sent and what came of it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A change that is being taken back.
struct Work {
    change: Change,
    provider: &'static Provider,
    deployment_id: String,
    now: Shown,
    reverting: Reverting,
}

/// Takes it back.
pub(super) async fn run(arguments: &RevertArgs, environment: &Environment) -> Result<(), Failure> {
    let log = arguments.file.find(environment)?;
    let reader = open_at(&log).await?;
    let id = change_id(&arguments.id)?;
    let found = reader.change(id).await.map_err(unanswered)?;
    let Some(mut change) = found else { return Err(missing(&reader, id).await?) };
    let (provider, deployment_id) = revertible(&change)?;
    if let Some(reason) = &arguments.unseal {
        let place = (arguments.admin.as_deref(), arguments.via.ca_file(), &arguments.file);
        unsealed::restore(&mut change, reason, place, environment).await?;
    }
    let (via, token_env) = (&arguments.via, &arguments.token_env);
    let client = ProxyClient::of(via, token_env, &arguments.file, environment)?;
    let now = client.read(provider, &deployment_id).await?;
    let reverting = planned(&change, provider, &now.document)?;
    let work = Work { change, provider, deployment_id, now, reverting };
    if !work.reverting.later.is_empty() && !arguments.merge {
        return Err(work.changed_since());
    }
    if work.reverting.is_done {
        let left = work.left_lines(&Layout::WHOLE);
        print_spans(&left, false)?;
        return Err(Failure::NotHeld(anyhow!("nothing is sent: there is nothing left to restore")));
    }
    if arguments.dry_run {
        return work.dry_run(arguments, environment);
    }
    work.send(&client, arguments, environment).await
}

/// The provider and the deployment of a change that can be taken back.
fn revertible(change: &Change) -> Result<(&'static Provider, String), Failure> {
    let settled = change.settled.as_ref().and_then(|settled| settled.applied);
    let was_applied = match change.outcome {
        Outcome::Applied => true,
        Outcome::Unknown => settled == Some(true),
        _ => false,
    };
    if !was_applied {
        let outcome = change.outcome.name();
        let what = format!("{} is {outcome}: nothing is known that could be taken back", change.id);
        return Err(Failure::NotHeld(anyhow!(what)));
    }
    let provider = Provider::named(&change.provider);
    let known = || anyhow!("provider {} is not known to this version", plain(&change.provider));
    let provider = provider.ok_or_else(|| Failure::NotCarriedOut(known()))?;
    let deployment = change.deployment_id.clone();
    let deployment = deployment.ok_or_else(|| {
        Failure::NotHeld(anyhow!("{} names no deployment that could be restored", change.id))
    })?;
    Ok((provider, deployment))
}

fn planned(
    change: &Change,
    provider: &'static Provider,
    now: &Value,
) -> Result<Reverting, Failure> {
    let nothing = Object::new();
    let documents = change.bodies.as_ref();
    let documents = documents.and_then(|bodies| {
        let patch = bodies.patch.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
        Some((patch, bodies.before.as_ref()?, bodies.after.as_ref()?))
    });
    let (patch, before, after) = documents.ok_or_else(|| {
        let fix = match change.operation {
            _ if !change.unkept.erased.is_empty() => {
                "its bodies were erased, `audit erase --status` tells why"
            }
            Operation::Create => "archive the deployment instead",
            _ => "the log has no deployment before and after it",
        };
        Failure::NotHeld(anyhow!("{} can't be taken back: {fix}", change.id))
    })?;
    let operation = change.operation;
    let former = Former { provider, operation, patch, before, after, redacted: &change.redacted };
    revert(&former, now).map_err(|error| {
        let hint = match &error {
            Irrevocable::ChangedAgain(_) => ": see `audit blame`, and take those back first",
            Irrevocable::Operation(_) => "",
        };
        Failure::NotHeld(anyhow!(
            "{} can't be taken back: {}{hint}",
            change.id,
            plain(&error.to_string())
        ))
    })
}

impl Work {
    fn changed_since(&self) -> Failure {
        let places: Vec<String> =
            self.reverting.later.iter().take(8).map(|place| plain(&place.path)).collect();
        Failure::NotHeld(anyhow!(
            "the deployment was changed since, at {}{}: --merge takes {} back and leaves that",
            places.join(", "),
            if self.reverting.later.len() > places.len() { " and more" } else { "" },
            self.change.id
        ))
    }

    fn body(&self) -> Value {
        Value::Object(self.reverting.patch.clone())
    }

    /// The call as one object.
    fn told(&self) -> Value {
        json!({
            "reverts": self.change.id,
            "deployment_id": self.deployment_id,
            "operation": self.reverting.operation,
            "patch": self.body(),
            "if_match": self.now.etag,
            "not_restored": self.reverting.left,
            "changed_since": self.reverting.later,
        })
    }

    fn left_lines(&self, layout: &Layout) -> Vec<super::layout::Spans> {
        let left = self.reverting.left.iter();
        left.flat_map(|left| {
            let line = format!("not restored: {}: {}", plain(&left.path), left.why);
            layout.shaded(&line, Shade::Unclear)
        })
        .collect()
    }

    fn dry_run(&self, arguments: &RevertArgs, environment: &Environment) -> Result<(), Failure> {
        let judged = judged::by_policy(self, &arguments.file, environment);
        if arguments.json {
            let mut told = self.told();
            if let Value::Object(told) = &mut told {
                told.insert("evaluation".to_owned(), judged.told());
            }
            return print_json(&[told]);
        }
        let layout = Layout::of(Terminal::found(environment));
        let mut lines = layout.text(&format!(
            "would {} {}, taking {} back:",
            self.reverting.operation, self.deployment_id, self.change.id
        ));
        for (name, value) in &self.reverting.patch {
            lines.extend(layout.text(&format!("  {}: {}", plain(name), shown_json(value))));
        }
        if !judged.diff.is_empty() {
            lines.push(Vec::new());
            lines.extend(layout.shaded("it would change:", Shade::Heading));
            lines.extend(judged.diff.iter().flat_map(|at| differences::lines(at, &layout, 2)));
        }
        lines.push(Vec::new());
        lines.extend(self.left_lines(&layout));
        lines.extend(judged.lines(&layout));
        print_spans(&lines, layout.colour)
    }

    async fn send(
        &self,
        client: &ProxyClient,
        arguments: &RevertArgs,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let sent = sent::send(client, self).await?;
        if arguments.json {
            let mut told = self.told();
            if let Value::Object(told) = &mut told {
                told.insert("status".to_owned(), json!(sent.status.as_u16()));
                told.insert("change".to_owned(), json!(sent.change));
                told.insert("decision".to_owned(), json!(sent.decision));
                told.insert("error".to_owned(), json!(sent.message));
            }
            print_json(&[told])?;
        }
        let record = sent.change.as_deref().unwrap_or("no change");
        if sent.status.is_success() {
            if arguments.json {
                return Ok(());
            }
            let layout = Layout::of(Terminal::found(environment));
            print_spans(&self.left_lines(&layout), layout.colour)?;
            let decision = sent.decision.as_deref().unwrap_or("allow");
            return print::line(format_args!(
                "{} is taken back by {} ({})",
                self.change.id,
                plain(record),
                plain(decision)
            ));
        }
        let message = sent.message.unwrap_or_else(|| format!("it answered {}", sent.status));
        let hint = if sent.status.as_u16() == 412 { ": run the command again" } else { "" };
        let error = anyhow!("{} is not taken back: {}{hint}", self.change.id, plain(&message));
        let is_refused = sent.status.is_client_error();
        Err(if is_refused { Failure::NotHeld(error) } else { Failure::NotCarriedOut(error) })
    }
}
