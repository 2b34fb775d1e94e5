//! `[[sink]]`: where finished records are sent.

mod digest;
mod filter;
mod target;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::digest::digest;
pub use self::filter::SinkFilter;
use self::target::target;
use super::Origin;
use super::files;
use super::secret_file;
use super::upstream::{is_loopback, name};
use crate::base::clock::Clock;
use crate::base::key::Token;
use crate::settings::raw::Node;
use crate::settings::reader::{Placed, Reader, member};
use crate::settings::value::{choice, count, name as label, size, span, text};

/// The most sinks: each reads the log by itself.
const SINKS_MAX: usize = 16;

/// How long a delivery may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a file grows, and how many former ones are kept, where nothing is said.
const FILE_BYTES: usize = 64 << 20;
const FILES_KEPT: u32 = 8;

/// The number of documentation (RFC 5612).
const ENTERPRISE: u32 = 32_473;

/// The kinds, by their names.
const KINDS: [(&str, Kind); 5] = [
    ("webhook", Kind::Webhook),
    ("splunk-hec", Kind::SplunkHec),
    ("syslog", Kind::Syslog),
    ("otlp", Kind::Otlp),
    ("file", Kind::File),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Webhook,
    SplunkHec,
    Syslog,
    Otlp,
    File,
}

/// One `[[sink]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Its name, by which the log knows how far it has come.
    pub name: Arc<str>,
    /// The kind, and where it is.
    pub kind: SinkKind,
    /// Whether it begins at the start of the log, where the log does not know it yet.
    pub from_start: bool,
    /// The form in which it is told of records.
    pub format: SinkFormat,
    /// How long one delivery may take (default 20 s).
    pub timeout: Duration,
    /// The records that are sent.
    pub filter: SinkFilter,
    /// Another one where its kind, its place or its secret is another.
    pub digest: String,
}

/// The form in which a sink is told of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkFormat {
    /// Changes and all else, as the admin API lists them.
    Change,
    /// Changes as events of the Open Cybersecurity Schema Framework, and nothing else.
    Ocsf,
}

impl SinkFormat {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Ocsf => "ocsf",
        }
    }
}

/// The kind of a sink, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Standard Webhooks.
    Webhook {
        /// Where it is.
        to: Target,
        /// The secrets that sign, each `whsec_` and base64.
        secrets: Vec<Token>,
    },
    /// Splunk's HTTP Event Collector.
    SplunkHec(HecSink),
    /// RFC 5424 over TCP or TLS.
    Syslog(SyslogSink),
    /// OTLP/HTTP, logs as JSON.
    Otlp {
        /// Where it is.
        to: Target,
        /// Header fields of each request.
        fields: Vec<(http::HeaderName, Token)>,
    },
    /// JSON lines in a file.
    File(FileSink),
}

/// Where a sink of the network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub origin: Origin,
    /// The path and the query, which may hold a secret; empty for syslog.
    pub path: Token,
    /// PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HecSink {
    /// Where it is.
    pub to: Target,
    /// Its token.
    pub token: Token,
    /// The index; `None` for that of the token.
    pub index: Option<String>,
}

/// A receiver of syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSink {
    /// Where it is.
    pub to: Target,
    /// The private enterprise number in the name of the structured data.
    pub enterprise: u32,
}

/// A file that grows, and is put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// The file.
    pub path: PathBuf,
    /// How long it grows.
    pub bytes_max: u64,
    /// How many former ones are kept.
    pub keep: u32,
}

impl SinkKind {
    /// The name that the configuration uses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::SplunkHec(_) => "splunk-hec",
            Self::Syslog(_) => "syslog",
            Self::Otlp { .. } => "otlp",
            Self::File(_) => "file",
        }
    }

    /// Where it is, fit to be shown: without the path of a URL, which may hold a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Webhook { to, .. }
            | Self::SplunkHec(HecSink { to, .. })
            | Self::Otlp { to, .. } => to.origin.to_string(),
            Self::Syslog(SyslogSink { to, .. }) => {
                let scheme = if to.origin.tls { "tls" } else { "tcp" };
                format!("{scheme}://{}", to.origin.host_and_port())
            }
            Self::File(file) => file.path.display().to_string(),
        }
    }
}

/// Reads every `[[sink]]`.
pub(super) fn read(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Vec<SinkConfig> {
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    let mut sinks = Vec::new();
    for table in reader.tables("sink") {
        let Some((sink, place)) = sink(reader, &table, files) else { continue };
        if !names.insert(Arc::clone(&sink.name)) {
            let message = format!("two [[sink]] are named {:?}: rename one", sink.name);
            reader.complaints.error(&place, &message);
        }
        if let SinkKind::File(file) = &sink.kind
            && !paths.insert(file.path.clone())
        {
            let message = "two [[sink]] write this file: give each its own";
            reader.complaints.error(&place, message);
        }
        if sinks.len() == SINKS_MAX {
            let message = format!("there are more than {SINKS_MAX} [[sink]]: remove some");
            reader.complaints.error(&place, &message);
        }
        sinks.push(sink);
    }
    sinks
}

fn sink(
    reader: &mut Reader<'_>,
    table: &Node,
    files: &mut Vec<PathBuf>,
) -> Option<Placed<SinkConfig>> {
    let name = reader.field(table, "sink[].name", name);
    let kind = reader.field(table, "sink[].kind", choice(&KINDS));
    let from = choice(&[("now", false), ("start", true)]);
    let from_start = reader.optional(table, "sink[].from", from);
    let bounds = reader.span("sink[].timeout").unwrap_or(TIMEOUT..=TIMEOUT);
    let timeout = reader.optional(table, "sink[].timeout", span(bounds));
    let formats = [SinkFormat::Change, SinkFormat::Ocsf].map(|format| (format.name(), format));
    let format = choice(&formats);
    let format = reader.optional(table, "sink[].format", format);
    let format = format.map_or(SinkFormat::Change, |(format, _)| format);
    let filter = filter::read(reader, table, format);
    let kind = meant(reader, table, kind.as_ref(), files);
    let ((name, place), kind) = (name?, kind?);
    let (from_start, timeout) = (from_start.is_some_and(|(start, _)| start), timeout);
    let timeout = timeout.map_or(TIMEOUT, |(timeout, _)| timeout);
    let digest = digest(&kind);
    Some((SinkConfig { name, kind, from_start, format, timeout, filter, digest }, place))
}

/// Complains of keys that mean nothing for a kind.
fn own_keys(reader: &mut Reader<'_>, table: &Node, kind: Kind) {
    use Kind::{File, Otlp, SplunkHec, Syslog, Webhook};
    for (name, kinds) in [
        ("url", &[Webhook, SplunkHec, Syslog, Otlp][..]),
        ("ca_file", &[Webhook, SplunkHec, Syslog, Otlp]),
        ("secret_file", &[Webhook, SplunkHec, Otlp]),
        ("path", &[File]),
        ("max_bytes", &[File]),
        ("keep", &[File]),
        ("enterprise", &[Syslog]),
        ("index", &[SplunkHec]),
    ] {
        let Some(node) = member(table, name).filter(|_| !kinds.contains(&kind)) else { continue };
        let named = KINDS.iter().find(|(_, other)| *other == kind).map_or("", |(name, _)| *name);
        let message =
            format!("`sink.{name}` means nothing for a sink of kind \"{named}\": remove it");
        reader.complaints.error(&node.place, &message);
    }
    let is_secret = matches!(kind, Webhook | SplunkHec);
    if is_secret && member(table, "secret_file").is_none() {
        let what = if kind == Webhook { "the secret that signs" } else { "the token" };
        let message = format!("`secret_file` is missing in this [[sink]]: name a file with {what}");
        reader.complaints.error(&table.place, &message);
    }
    let needed = if kind == File { "path" } else { "url" };
    if member(table, needed).is_none() {
        let message = format!("`{needed}` is missing in this [[sink]]: add it");
        reader.complaints.error(&table.place, &message);
    }
}

/// The kind with all that belongs to it. Every key is looked at, whatever the kind.
fn meant(
    reader: &mut Reader<'_>,
    table: &Node,
    kind: Option<&Placed<Kind>>,
    files: &mut Vec<PathBuf>,
) -> Option<SinkKind> {
    let file = file(reader, table);
    let ca_file = ca_file(reader, table, files);
    let of_kind = kind.map_or(Kind::Webhook, |(kind, _)| *kind);
    let url = reader.optional(table, "sink[].url", |node| target(node, of_kind));
    let secret_file = reader.optional(table, "sink[].secret_file", text);
    let secret_file = secret_file.map(|(file, place)| (reader.folder.join(file), place));
    files.extend(secret_file.as_ref().map(|(file, _)| file.clone()));
    let enterprise = reader.optional(table, "sink[].enterprise", count(1..=u32::MAX));
    let index = reader.optional(table, "sink[].index", label(80)).map(|(index, _)| index);
    let (kind, _place) = kind?;
    own_keys(reader, table, *kind);
    let mut secrets = Secrets { reader, file: secret_file };
    if *kind == Kind::File {
        return file.map(SinkKind::File);
    }
    if let Some((to, place)) = &url
        && *kind == Kind::Syslog
        && !to.origin.tls
        && !is_loopback(&to.origin.host)
    {
        let message = "`sink.url` is plain syslog to another host, so that records travel in \
            clear: use tls:// where it takes that";
        secrets.reader.complaints.warn(place, message);
    }
    let to = url.map(|(to, _place)| Target { ca_file, ..to });
    Some(match kind {
        Kind::Webhook => {
            let secrets = secrets.read(secret_file::signing);
            SinkKind::Webhook { to: to?, secrets: secrets? }
        }
        Kind::SplunkHec => {
            let token = secrets.read(secret_file::token);
            SinkKind::SplunkHec(HecSink { to: to?, token: token?, index })
        }
        Kind::Otlp if secrets.file.is_none() => SinkKind::Otlp { to: to?, fields: Vec::new() },
        Kind::Otlp => {
            let fields = secrets.read(secret_file::fields);
            SinkKind::Otlp { to: to?, fields: fields? }
        }
        Kind::Syslog | Kind::File => {
            let enterprise = enterprise.map_or(ENTERPRISE, |(number, _)| number);
            SinkKind::Syslog(SyslogSink { to: to?, enterprise })
        }
    })
}

/// The file of secrets that a sink names.
struct Secrets<'r, 'a> {
    reader: &'r mut Reader<'a>,
    file: Option<Placed<PathBuf>>,
}

impl Secrets<'_, '_> {
    fn read<T>(&mut self, meaning: fn(&std::path::Path) -> Result<T, String>) -> Option<T> {
        let (file, place) = self.file.as_ref()?;
        let read = meaning(file);
        read.inspect_err(|fix| {
            self.reader.complaints.error(place, &format!("`sink.secret_file`: {fix}"));
        })
        .ok()
    }
}

fn ca_file(reader: &mut Reader<'_>, table: &Node, files: &mut Vec<PathBuf>) -> Option<PathBuf> {
    let (file, place) = reader.optional(table, "sink[].ca_file", text)?;
    let path = reader.folder.join(file);
    if let Err(message) = files::certificates(&path) {
        reader.complaints.error(&place, &format!("`sink.ca_file`: {message}"));
    }
    if let Some(message) = files::lapsed(&path, Clock::System.now()) {
        reader.complaints.warn(&place, &format!("`sink.ca_file`: {message}"));
    }
    files.push(path.clone());
    Some(path)
}

/// Holds that no sink writes to a file of the program's own: what is in it would be cut.
pub(super) fn hold_apart(reader: &mut Reader<'_>, sinks: &[SinkConfig], own: &[PathBuf]) {
    let own: Vec<PathBuf> = own.iter().map(|path| files::real(path)).collect();
    for sink in sinks {
        let SinkKind::File(file) = &sink.kind else { continue };
        if own.contains(&files::real(&file.path)) {
            let place = reader.typed.home("sink");
            let shown = file.path.display();
            let message = format!(
                "`sink.path`: {shown} is a file of the program's own: name one for this sink alone"
            );
            reader.complaints.error(&place, &message);
        }
    }
}

fn file(reader: &mut Reader<'_>, table: &Node) -> Option<FileSink> {
    let bytes_max = reader.optional(table, "sink[].max_bytes", size(1 << 10..=1 << 40));
    let keep = reader.optional(table, "sink[].keep", count(0..=1_000));
    let (path, place) = reader.optional(table, "sink[].path", text)?;
    let path = reader.folder.join(path);
    if let Err(message) = files::can_keep(&path) {
        reader.complaints.error(&place, &format!("`sink.path`: {message}"));
    }
    let bytes_max = bytes_max.map_or(FILE_BYTES, |(bytes, _)| bytes);
    let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    Some(FileSink { path, bytes_max, keep: keep.map_or(FILES_KEPT, |(keep, _)| keep) })
}
