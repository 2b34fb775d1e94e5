//! The check: typed values → the checked [`Config`], or every complaint at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::evidence;
use super::exposure::{self, Places};
use super::files;
use super::keys::KEYS;
use super::listen;
use super::logins;
use super::people;
use super::persons;
use super::retention;
use super::rules;
use super::seal;
use super::shared_limits;
use super::sinks;
use super::upstream;
use super::views::{self, QueryCheck};
use super::{AuditConfig, Budget, Config, EvidenceConfig, Limits, Rate, RateLimit, SealConfig};
use crate::base::database::Database;
use crate::base::verbosity::Verbosity;
use crate::provider::Provider;
use crate::settings::complaint::{Complaint, Complaints, Location};
use crate::settings::raw::{Node, Typed};
use crate::settings::reader::{Reader, read_text};
use crate::settings::value::{Meant, choice, duration, flag, text};

/// The variable that says which lines of the diagnostic log are said.
const LOG: &str = "CHANGEGATE_LOG";

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, where no complaint forbids it.
    pub config: Option<Config>,
    /// Everything found, in the order of the files' lines.
    pub complaints: Vec<Complaint>,
    /// The files that were looked at, whether they could be read or not.
    pub files: Vec<PathBuf>,
}

impl Checked {
    /// The result of a check of the file at `path` that broke off.
    pub(crate) fn broken_off(path: &Path, files: Vec<PathBuf>) -> Self {
        let mut complaints = Complaints::about(path.to_owned());
        let message = "the check broke off: a bug, please report it; undo the last change";
        complaints.error(&Location::File, message);
        Self { config: None, complaints: complaints.in_order(), files }
    }
}

/// Reads and checks a configuration, and all files it names, but for the queries of saved views,
/// which the console reads. `environment` holds the process's variables.
#[must_use]
pub fn check(path: &Path, environment: &[(String, String)]) -> Checked {
    check_with(path, environment, |_query| Ok(()))
}

/// Reads and checks a configuration as [`check`] does, and the queries of saved views by `queries`.
#[must_use]
pub fn check_with(path: &Path, environment: &[(String, String)], queries: QueryCheck) -> Checked {
    match read_text(path) {
        Ok(text) => check_text_with(path, &text, environment, queries),
        Err(why) => {
            let mut complaints = Complaints::about(path.to_owned());
            let message = format!("{why}: make the file, or name another one with --config");
            complaints.error(&Location::File, &message);
            let files = vec![path.to_owned()];
            Checked { config: None, complaints: complaints.in_order(), files }
        }
    }
}

/// Checks the text of the file at `path`, as [`check`] does.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_text(path: &Path, text: &str, environment: &[(String, String)]) -> Checked {
    check_text_with(path, text, environment, |_query| Ok(()))
}

/// Checks the text of the file at `path`, as [`check_with`] does.
pub(super) fn check_text_with(
    path: &Path,
    text: &str,
    environment: &[(String, String)],
    queries: QueryCheck,
) -> Checked {
    let mut complaints = Complaints::about(path.to_owned());
    check_verbosity(environment, &mut complaints);
    let typed = Typed::read(&KEYS, text, environment, &mut complaints);
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut files = vec![path.to_owned()];
    let config = typed.and_then(|typed| {
        let mut reader = Reader { typed, folder, complaints: &mut complaints };
        reader.config(&mut files, queries)
    });
    let complaints = complaints.in_order();
    let forbidden = complaints.iter().any(|complaint| !complaint.warning);
    Checked { config: config.filter(|_| !forbidden), complaints, files }
}

/// `CHANGEGATE_LOG`, which is no key: a word that is not understood would silence the log.
fn check_verbosity(environment: &[(String, String)], complaints: &mut Complaints) {
    let typed = environment.iter().filter(|(name, text)| name == LOG && !text.is_empty());
    for bad in typed.filter_map(|(_, text)| text.parse::<Verbosity>().err()) {
        complaints.error(&Location::Variable(LOG.into()), &bad.to_string());
    }
}

impl Reader<'_> {
    fn config(&mut self, files: &mut Vec<PathBuf>, queries: QueryCheck) -> Option<Config> {
        let (typed, places) = (self.typed.texts(), Places::of(&self.typed));
        let listen = listen::read(self, files);
        let upstream = upstream::read(self, files);
        let node = self.read("node.name", upstream::name);
        // Where the provider is not told, that is complained of; any other serves meanwhile.
        let provider = upstream.as_ref().map_or(Provider::ALL[0], |upstream| upstream.provider);
        let mut persons = Vec::new();
        let actors = people::actors(self, &mut persons);
        let rate_limit = self.rate_limit();
        let shared_limits = shared_limits::read(self, files);
        let audit = self.audit();
        let audit_key = audit.as_ref().map(|audit| audit.key_file.clone()).unwrap_or_default();
        let evidence = evidence::read(self, &audit_key);
        let retention = retention::read(self);
        let seal = seal::read(self, audit.as_ref());
        let is_shared =
            audit.as_ref().is_some_and(|audit| matches!(audit.database, Database::Postgres(_)));
        let policy = rules::read(self, provider, is_shared, &actors, files);
        let limits = self.limits(upstream.as_ref().map(|upstream| upstream.provider));
        let admin_tokens = people::admin_tokens(self, &mut persons);
        let logins = logins::read(self, files);
        persons::tell_apart(&persons, self.complaints);
        let views = views::read(self, queries);
        let sinks = sinks::read(self, files);
        let own = own_files(files, audit.as_ref(), &evidence, &seal);
        sinks::hold_apart(self, &sinks, &own);
        let redact = self.each("redact.pointers", pointer);
        let config = Config {
            listen: listen?,
            upstream: upstream?,
            node: node?.0,
            policy: policy?.into(),
            rate_limit,
            shared_limits,
            audit: audit?,
            evidence,
            retention,
            seal,
            limits,
            actors,
            admin_tokens,
            logins,
            views: views.into(),
            sinks,
            redact: redact.into_iter().map(|(pointer, _)| pointer).collect(),
            typed,
            files: files.clone(),
        };
        exposure::warn(&config, &places, self.complaints);
        persons::warn(&config, self.complaints);
        Some(config)
    }

    fn rate_limit(&mut self) -> Option<RateLimit> {
        let enabled = self.value("rate_limit.enabled", flag);
        let (read, write) = (self.budget("rate_limit.read"), self.budget("rate_limit.write"));
        enabled.then_some(RateLimit { read, write })
    }

    /// A budget, refilled by the second unless it is told by the minute.
    fn budget(&mut self, section: &str) -> Budget {
        let [second, minute, burst] =
            ["per_second", "per_minute", "burst"].map(|name| format!("{section}.{name}"));
        let by_minute = self.typed.place(&minute).cloned();
        if let (Some(place), Some(_)) = (&by_minute, self.typed.place(&second)) {
            let message = format!("`{minute}` and `{second}` are both there: remove one of them");
            self.complaints.error(place, &message);
        }
        let rate = if by_minute.is_some() {
            Rate::PerMinute(self.count(&minute))
        } else {
            Rate::PerSecond(self.count(&second))
        };
        Budget { rate, burst: self.count(&burst) }
    }

    fn audit(&mut self) -> Option<AuditConfig> {
        let database = self.read("audit.database", files::database);
        let key_file = self.path("audit.key_file");
        let other_writes =
            self.value("audit.other_writes", choice(&[("metadata", true), ("off", false)]));
        let finish_timeout = self.value("audit.finish_timeout", duration);
        let database = database.map(|(found, place)| (found.within(&self.folder), place));
        let kept = database.as_ref().and_then(|(found, place)| Some((found.file()?, place)));
        let kept = kept.map(|(file, place)| ("database", place, files::can_keep(file)));
        let key = key_file.as_ref().map(|(file, place)| ("key_file", place, files::key(file)));
        for (name, place, found) in kept.into_iter().chain(key) {
            if let Err(message) = found {
                self.complaints.error(place, &format!("`audit.{name}`: {message}"));
            }
        }
        let (database, key_file) = (database?.0, key_file?.0);
        Some(AuditConfig { database, key_file, other_writes, finish_timeout })
    }

    fn limits(&mut self, provider: Option<&Provider>) -> Limits {
        let most = provider.map_or(0, |provider| provider.body_bytes_max);
        let body_bytes = self.size("limits.body_bytes");
        if let (Some((bytes, place)), Some(provider)) = (&body_bytes, provider)
            && *bytes > most
        {
            let message = format!(
                "`limits.body_bytes` is {bytes}, but {} reads no more than {most} bytes of a \
                 body: lower it, or longer bodies fail upstream",
                provider.name
            );
            self.complaints.warn(place, &message);
        }
        let time = |reader: &mut Self, path| -> Duration { reader.value(path, duration) };
        let bytes = |reader: &mut Self, path| reader.size(path).map_or(0, |(bytes, _)| bytes);
        Limits {
            body_bytes: body_bytes.map_or(most, |(bytes, _)| bytes),
            answer_bytes: bytes(self, "limits.answer_bytes"),
            // The HTTP library reads heads through a buffer of at least 8 KiB.
            header_bytes: bytes(self, "limits.header_bytes"),
            header_count: self.count("limits.header_count"),
            json_depth: self.count("limits.json_depth"),
            kept_bytes_per_minute: bytes(self, "limits.kept_bytes_per_minute"),
            header_timeout: time(self, "limits.header_timeout"),
            body_timeout: time(self, "limits.body_timeout"),
            write_timeout: time(self, "limits.write_timeout"),
            pace_timeout: time(self, "limits.pace_timeout"),
            idle_timeout: time(self, "limits.idle_timeout"),
            connections: self.count("limits.connections"),
            connections_per_address: self.count("limits.connections_per_address"),
            turn_timeout: time(self, "limits.turn_timeout"),
            drain_timeout: time(self, "limits.drain_timeout"),
        }
    }
}

/// A JSON Pointer (RFC 6901); a segment `*` stands for every member or item.
fn pointer(node: &Node) -> Meant<String> {
    let sound = |pointer: &str| {
        let mut escapes = pointer.split('~').skip(1);
        pointer.starts_with('/') && escapes.all(|after| after.starts_with(['0', '1']))
    };
    let fix = "write JSON Pointers such as \"/metadata/ticket\" or \"/resources/*/url\" \
        (~0 stands for ~, ~1 for /)";
    text(node).ok().filter(|text| sound(text)).ok_or_else(|| fix.to_owned())
}

/// The files that are the program's own.
fn own_files(
    read: &[PathBuf],
    audit: Option<&AuditConfig>,
    evidence: &EvidenceConfig,
    seal: &SealConfig,
) -> Vec<PathBuf> {
    let mut own = read.to_vec();
    if let Some(audit) = audit {
        own.push(audit.key_file.clone());
        for end in ["", "-wal", "-shm"] {
            let file = audit.database.file().map(|file| {
                let mut file = file.as_os_str().to_owned();
                file.push(end);
                PathBuf::from(file)
            });
            own.extend(file);
        }
    }
    own.push(evidence.newest_file.clone());
    own.extend(evidence.checkpoint_file.clone());
    own.extend(evidence.key_file.clone());
    own.extend(seal.key_file.clone());
    own
}
