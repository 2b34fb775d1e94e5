//! `changegate check`: validates the configuration and all files it names.

mod explained;

use std::path::Path;

use anyhow::anyhow;
use serde_json::json;

use super::{ConfigFile, Environment, Failure, print, runtime};
use crate::audit::keys;
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::base::visible::chain;
use crate::config::{Config, Rate, told_shared_limits};
use crate::server::check;
use crate::settings::complaint::Complaint;

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Print each complaint as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Prints every complaint, and for people one line about what would be run.
pub fn run(arguments: &CheckArgs, environment: &Environment) -> Result<(), Failure> {
    let path = arguments.file.path(environment);
    let mut checked = check(path, environment.variables());
    if let Some(config) = &checked.config {
        checked.complaints.extend(key_warning(path, config)?);
    }
    let mut printed = Ok(());
    for complaint in &checked.complaints {
        if arguments.json {
            printed = printed.and_then(|()| print::line(as_json(complaint)));
        } else {
            print::complaint(complaint);
        }
    }
    // What does not hold must be told by the code even where nobody reads the output.
    let config = checked.config.ok_or_else(|| invalid(path, &checked.complaints))?;
    printed?;
    if arguments.json {
        return Ok(());
    }
    print::line(summary(path, &config))?;
    explained::lines(&config.policy, Clock::System.now()).iter().try_for_each(print::line)
}

/// A complaint about the key of the log, which only a start would find.
fn key_warning(path: &Path, config: &Config) -> Result<Option<Complaint>, Failure> {
    let runtime = runtime()?;
    let (database, key_file) = (&config.audit.database, &config.audit.key_file);
    let wrong = runtime.block_on(keys::check(database, key_file)).err();
    Ok(wrong.map(|wrong| Complaint {
        file: path.to_owned(),
        line: None,
        column: None,
        warning: true,
        message: chain(&wrong),
    }))
}

/// The failure of a configuration that has errors.
pub(super) fn invalid(path: &Path, complaints: &[Complaint]) -> Failure {
    let errors = complaints.iter().filter(|complaint| !complaint.warning);
    let mut files: Vec<&Path> = errors.clone().map(|error| error.file.as_path()).collect();
    files.dedup();
    // Where all of it is wrong elsewhere, such as in the policy, the configuration is not blamed.
    let file = if let [only] = files[..] { only } else { path };
    let errors = counted(errors.count(), "error");
    Failure::Usage(anyhow!("{} is not valid: fix the {errors} named above", file.display()))
}

fn as_json(complaint: &Complaint) -> serde_json::Value {
    json!({
        "file": complaint.file.to_string_lossy(),
        "line": complaint.line,
        "severity": complaint.severity(),
        "message": complaint.message,
    })
}

fn summary(path: &Path, config: &Config) -> String {
    let upstream = &config.upstream;
    let rules = config.policy.violation_names().count();
    let limits = config.rate_limit.map_or("no rate limit".to_owned(), |limit| {
        let told = |what, rate: Rate| format!("{} {what} a {}", rate.count(), rate.unit());
        format!("{} and {}", told("reads", limit.read.rate), told("writes", limit.write.rate))
    });
    format!(
        "{} is valid: {} at {}, {}, {}, {}, {limits}{}",
        path.display(),
        upstream.provider.name,
        upstream.origin,
        counted(rules, "policy rule"),
        counted(config.actors.count(), "actor"),
        counted(config.admin_tokens.len(), "admin token"),
        told_shared_limits(config.rate_limit, &config.shared_limits),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_read_as_compilers_print_them() {
        let complaint = |line, warning| Complaint {
            file: "c.toml".into(),
            line,
            column: None,
            warning,
            message: "fix it".to_owned(),
        };
        assert_eq!(complaint(Some(3), false).to_string(), "c.toml:3: error: fix it");
        assert_eq!(complaint(None, true).to_string(), "c.toml: warning: fix it");
        let expected = json!(
            {"file": "c.toml", "line": 3, "severity": "error", "message": "fix it"}
        );
        assert_eq!(as_json(&complaint(Some(3), false)), expected);
        assert_eq!(as_json(&complaint(None, true))["line"], serde_json::Value::Null);
    }

    #[test]
    fn the_file_that_is_wrong_is_named() {
        let complaint = |file: &str, warning| {
            let message = "fix it".to_owned();
            Complaint { file: file.into(), line: None, column: None, warning, message }
        };
        for (files, named) in [
            (&["c.toml"][..], "c.toml is not valid: fix the 1 error"),
            (&["policy.toml", "policy.toml"], "policy.toml is not valid: fix the 2 errors"),
            (&["policy.toml", "environment"], "c.toml is not valid: fix the 2 errors"),
        ] {
            let mut complaints = vec![complaint("c.toml", true)];
            complaints.extend(files.iter().map(|file| complaint(file, false)));
            let failure = invalid(Path::new("c.toml"), &complaints);
            assert!(failure.error().unwrap().to_string().starts_with(named), "{failure:?}");
        }
    }

    #[test]
    fn the_summary_says_what_would_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        let text = "[upstream]\nprovider = 'qoder'\nurl = 'https://api.qoder.com'\n\
            [[actor]]\nfingerprint = 'pat_0011223344556677'\nname = 'nightly'\n";
        std::fs::write(&file, text).unwrap();
        let config = check(&file, &[]).config.unwrap();
        assert_eq!(
            summary(Path::new("c.toml"), &config),
            "c.toml is valid: qoder at https://api.qoder.com, 0 policy rules, 1 actor, \
             0 admin tokens, 50 reads a second and 20 writes a second"
        );
    }
}
