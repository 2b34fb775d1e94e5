//! The keys of sinks.

use crate::settings::key::{KeySpec, ValueKind};

/// Where finished records are sent, in the reference file's order.
pub(super) const SINKS: [KeySpec; 15] = [
    KeySpec::new(
        "sink",
        ValueKind::Tables,
        "Where finished records are sent as they come. At most 16.",
    ),
    KeySpec::new(
        "sink[].name",
        ValueKind::Pattern(super::LABEL),
        "Its name: a-z, 0-9 and `-`, each once. The log knows by it how far the sink has come.",
    )
    .example("\"siem\"")
    .required(),
    KeySpec::new(
        "sink[].kind",
        ValueKind::Choice(&["webhook", "splunk-hec", "syslog", "otlp", "file"]),
        "`\"webhook\"` (Standard Webhooks, signed), `\"splunk-hec\"` (HTTP Event Collector), \
         `\"syslog\"` (RFC 5424 over TCP or TLS), `\"otlp\"` (OTLP/HTTP, logs as JSON), or \
         `\"file\"` (JSON lines).",
    )
    .example("\"webhook\"")
    .required(),
    KeySpec::new(
        "sink[].url",
        ValueKind::Text,
        "Where it is, of every kind but `file`: `https://…`, of syslog `tls://host:port` or \
         `tcp://host:port`; plain `http://` is for this machine alone. Redirects are not \
         followed, and `HTTPS_PROXY` and the like are not read. Without a path, that of the kind \
         is taken: `/services/collector/event`, `/v1/logs`.",
    )
    .example("\"https://siem.example.com/changegate\"")
    .hidden(),
    KeySpec::new("sink[].path", ValueKind::Text, "The file, of a sink of kind `file`."),
    KeySpec::new(
        "sink[].secret_file",
        ValueKind::Text,
        "A file that only its owner can read. Of a webhook: the secret that signs, `whsec_` and \
         the base64 of 24 to 64 bytes; two lines sign twice, while one takes the other's place. Of \
         Splunk: the token. Of OTLP: header fields, `name: value`, one a line.",
    )
    .example("\"siem.secret\""),
    KeySpec::new(
        "sink[].ca_file",
        ValueKind::Text,
        "PEM file of certificate authorities trusted beside the system's.",
    ),
    KeySpec::new(
        "sink[].from",
        ValueKind::Choice(&["now", "start"]),
        "Where a sink begins that the log does not know yet: with what comes from `\"now\"` on, \
         which it is where nothing is said, or at the `\"start\"` of the log.",
    )
    .example("\"now\""),
    KeySpec::new(
        "sink[].format",
        ValueKind::Choice(&["change", "ocsf"]),
        "The form of what is sent: `\"change\"`, which it is where nothing is said, as the API \
         lists changes and all else; or `\"ocsf\"`: changes alone, each as an event of the Open \
         Cybersecurity Schema Framework 1.8.0, as `audit export --format ocsf` writes them, \
         without bodies.",
    )
    .example("\"change\""),
    KeySpec::new(
        "sink[].timeout",
        ValueKind::Span(1, 120),
        "How long one delivery may take, 1 s to 2 minutes; 20 s where nothing is said.",
    )
    .example("\"20s\""),
    KeySpec::new(
        "sink[].filter",
        ValueKind::Table,
        "What is sent, where not all is: `decision`, `outcome`, `operation`, `effect`, \
         `deployment_id`, `team`, `actor` (a name or a fingerprint) and `rule` as in the API, all \
         of which must hold; and `events = true` for what is no change, which is sent by default \
         where nothing else stands in the filter.",
    )
    .example("{ decision = \"deny\" }"),
    KeySpec::new(
        "sink[].max_bytes",
        ValueKind::Size(1 << 10, 1 << 40),
        "Of a file: how long it grows before the next one is begun, 1 KiB to 1 TiB; 64 MiB where \
         nothing is said.",
    ),
    KeySpec::new(
        "sink[].keep",
        ValueKind::Count(0, 1_000),
        "Of a file: how many former ones are kept beside it, as `FILE.1`, `FILE.2` and so on, 0 to \
         1000; 8 where nothing is said.",
    ),
    KeySpec::new(
        "sink[].enterprise",
        ValueKind::Count(1, u32::MAX),
        "Of syslog: your private enterprise number, by which its structured data is named; 32473, \
         that of documentation, where nothing is said.",
    ),
    KeySpec::new(
        "sink[].index",
        ValueKind::Name(80),
        "Of Splunk: the index, where it is not that of the token.",
    ),
];
