//! Concealed values, restored from the originals that are sealed.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::audit::record::Change;
use crate::cli::client::Client;
use crate::cli::log::LogFile;
use crate::cli::{Environment, Failure};

/// Puts the originals of a change's bodies in the place of what is recorded of them.
pub(super) async fn restore(
    change: &mut Change,
    reason: &str,
    (admin, ca_file, file): (Option<&str>, Option<&PathBuf>, &LogFile),
    environment: &Environment,
) -> Result<(), Failure> {
    let client = Client::at(admin, ca_file, file.config(), environment)?;
    let path = format!("/api/v1/changes/{}/unseal", change.id);
    let mut originals = client.post(&path, &json!({ "reason": reason })).await?;
    let Some(bodies) = &mut change.bodies else { return Ok(()) };
    let places = [
        ("patch", &mut bodies.patch),
        ("before", &mut bodies.before),
        ("after", &mut bodies.after),
    ];
    for (name, body) in places {
        let Some(original) = originals.get_mut(name).map(Value::take) else { continue };
        *body = Some(original);
        let below = format!("/{name}/");
        change.redacted.retain(|path| !path.starts_with(&below));
    }
    Ok(())
}
