//! Every key of the configuration file.

mod evidence;
mod logins;
mod people;
mod redact;
mod retention;
mod seal;
mod sections;
mod sinks;

use crate::settings::key::{KeySpec, KeyTable, ValueKind};

/// The most bytes of a message that is read whole.
const WHOLE_MAX: u64 = 1 << 30;

/// The most entries of a list.
const LIST_MAX: usize = 1_000;

/// A name in records.
const LABEL: &str = "^[a-z0-9-]{1,63}$";

/// The keys of the configuration file, and the sections that are not known yet.
pub(crate) static KEYS: KeyTable = KeyTable {
    parts: &[
        &ALL,
        &people::PEOPLE,
        &logins::LOGINS,
        &redact::REDACT,
        &evidence::EVIDENCE,
        &retention::RETENTION,
        &seal::SEAL,
        &sinks::SINKS,
    ],
    sections: &sections::SECTIONS,
    may_lack_sections: false,
};

/// The keys up to those of people, in the reference file's order.
const ALL: [KeySpec; 48] = [
    KeySpec::new(
        "listen.proxy",
        ValueKind::Text,
        "Where clients point their base URL: an IP address and a port, or a socket file such as \
         `unix:/run/changegate/proxy.sock`.",
    )
    .default("'127.0.0.1:8080'")
    .restart("yes"),
    KeySpec::new(
        "listen.admin",
        ValueKind::Text,
        "Where operators go: API, `/healthz`, `/readyz`, `/metrics`. An address that others can \
         reach needs an `[[admin.token]]`.",
    )
    .default("'127.0.0.1:8081'")
    .restart("yes"),
    KeySpec::new(
        "listen.trusted_proxies",
        ValueKind::Texts(LIST_MAX),
        "Ranges of addresses (or single ones) whose `X-Forwarded-For` is believed, such as \
         `\"10.0.0.0/8\"`; `\"unix\"` is whoever connects by a socket file.",
    )
    .default("[]")
    .restart("yes"),
    KeySpec::new(
        "listen.socket_mode",
        ValueKind::Pattern("^0?[0-7]{3}$"),
        "The permission bits of socket files: who may connect.",
    )
    .default("'0660'")
    .restart("yes"),
    KeySpec::new(
        "listen.cors",
        ValueKind::Texts(LIST_MAX),
        "Origins whose pages may call from a browser (CORS), such as \
         `\"https://console.example.com\"`: scheme, host, and port where it is not the scheme's \
         own. Their preflights are answered here, without a credential.",
    )
    .default("[]")
    .restart("yes"),
    KeySpec::new(
        "listen.tls.cert",
        ValueKind::Text,
        "PEM file of the certificate chain for the proxy listener, the server's own certificate \
         first. Renewed files are taken without a restart.",
    )
    .example("\"tls/cert.pem\"")
    .restart("no; with or without TLS: yes"),
    KeySpec::new(
        "listen.tls.key",
        ValueKind::Text,
        "PEM file of its private key. Both or neither.",
    )
    .example("\"tls/key.pem\""),
    KeySpec::new(
        "listen.admin_tls.cert",
        ValueKind::Text,
        "The same for the admin listener, which speaks HTTP/1.1.",
    )
    .example("\"tls/cert.pem\"")
    .restart("no; with or without TLS: yes"),
    KeySpec::new(
        "listen.admin_tls.key",
        ValueKind::Text,
        "PEM file of its private key. Both or neither.",
    )
    .example("\"tls/key.pem\""),
    KeySpec::new(
        "upstream.name",
        ValueKind::Pattern(LABEL),
        "The name that records know this API by: a-z, 0-9 and `-`.",
    )
    .default("'main'"),
    KeySpec::new(
        "upstream.provider",
        ValueKind::Choice(&["qoder-cn", "qoder", "claude"]),
        "Whose API it is: `qoder-cn`, `qoder` or `claude`.",
    )
    .example("\"qoder-cn\"")
    .required(),
    KeySpec::new(
        "upstream.url",
        ValueKind::Text,
        "Scheme, host and port; no path, since paths pass unchanged.",
    )
    .example("\"https://api.qoder.com.cn\"")
    .required()
    .hidden(),
    KeySpec::new(
        "upstream.proxy",
        ValueKind::Text,
        "An HTTP proxy that makes the connections to upstream (CONNECT): \
         `http://user:password@host:port` or `https://…`, the user and the password where it asks \
         for them. `HTTPS_PROXY` and the like are not read.",
    )
    .example("\"http://proxy.example.com:3128\"")
    .hidden(),
    KeySpec::new(
        "upstream.ca_file",
        ValueKind::Text,
        "PEM file of certificate authorities trusted beside the system's, by upstream and the \
         proxy.",
    )
    .example("\"tls/ca.pem\""),
    KeySpec::new(
        "upstream.connect_timeout",
        ValueKind::Duration,
        "To a connection that is ready, all addresses together.",
    )
    .default("'5s'"),
    KeySpec::new(
        "upstream.response_timeout",
        ValueKind::Duration,
        "From the end of a request to the head of its answer; by default 10 minutes for `claude`, \
         60 seconds for the others, and never more than a minute for a governed call. The body may \
         take as long as it likes, so that event streams live for hours.",
    )
    .example("\"60s\""),
    KeySpec::new(
        "upstream.allow_writes",
        ValueKind::Texts(LIST_MAX),
        "Writes below `/deployments` that pass although they are not a governed operation, such \
         as `\"DELETE /deployments/{id}\"`: a method and a path below the provider's base; `{…}` \
         stands for any one segment. A governed route can't be named.",
    )
    .default("[]"),
    KeySpec::new(
        "node.name",
        ValueKind::Pattern(LABEL),
        "The name that records know this gateway by: a-z, 0-9 and `-`.",
    )
    .default("'main'")
    .restart("yes"),
    KeySpec::new(
        "policy.file",
        ValueKind::Text,
        "The file with the rules. Without one every change is recorded and none is forbidden, \
         which is a warning.",
    )
    .example("\"policy.toml\""),
    KeySpec::new("rate_limit.enabled", ValueKind::Flag, "Whether there is a limit at all.")
        .default("true"),
    KeySpec::new(
        "rate_limit.backend",
        ValueKind::Text,
        "A Redis (7 and later) or Valkey in which several gateways share the budgets: \
         `redis://user:password@host:port/database`, `rediss://…` with TLS, or \
         `redis+unix:///path?db=0&user=…&pass=…`. Without one, each gateway limits by itself.",
    )
    .example("\"rediss://redis.example.com:6379/0\"")
    .hidden(),
    KeySpec::new(
        "rate_limit.ca_file",
        ValueKind::Text,
        "PEM file of certificate authorities trusted beside the system's for the backend.",
    )
    .example("\"tls/ca.pem\""),
    KeySpec::new(
        "rate_limit.away",
        ValueKind::Choice(&["share", "deny"]),
        "While the backend does not answer: `\"share\"`, each gateway limits by itself to its \
         share of the budgets, or `\"deny\"`, what would be limited is answered with 503.",
    )
    .default("'share'"),
    KeySpec::new(
        "rate_limit.read.per_second",
        ValueKind::Count(1, u32::MAX),
        "How fast the budget of GET, HEAD and OPTIONS refills.",
    )
    .default("50"),
    KeySpec::new(
        "rate_limit.read.per_minute",
        ValueKind::Count(1, u32::MAX),
        "The same by the minute, in place of `per_second`.",
    )
    .example("30"),
    KeySpec::new(
        "rate_limit.read.burst",
        ValueKind::Count(1, u32::MAX),
        "How many of them may come at once.",
    )
    .default("100"),
    KeySpec::new(
        "rate_limit.write.per_second",
        ValueKind::Count(1, u32::MAX),
        "How fast the budget of everything else refills.",
    )
    .default("20"),
    KeySpec::new(
        "rate_limit.write.per_minute",
        ValueKind::Count(1, u32::MAX),
        "The same by the minute, in place of `per_second`.",
    )
    .example("12"),
    KeySpec::new(
        "rate_limit.write.burst",
        ValueKind::Count(1, u32::MAX),
        "How many of those may come at once.",
    )
    .default("40"),
    KeySpec::new(
        "audit.database",
        ValueKind::Text,
        "The log: an SQLite file, which one gateway writes and whose folder must exist and be \
         writable; or a database of PostgreSQL (15 or later), which several gateways write, by its \
         URL: `\"postgres://changegate@db.example.com/changegate\"`. Off this machine its \
         certificate is verified (`sslmode=verify-full`; `sslrootcert=FILE` names an authority of \
         your own). A password may also come by the variable `PGPASSWORD`. `changegate migrate` \
         makes its tables.",
    )
    .default("'sqlite://changegate.db'")
    .hidden()
    .restart("yes"),
    KeySpec::new(
        "audit.key_file",
        ValueKind::Text,
        "The secret under which tokens are fingerprinted: 64 hex digits, readable by its owner \
         only; made on first start. Back it up: without it, old fingerprints can't be matched to \
         tokens any more.",
    )
    .default("'changegate.key'")
    .restart("yes"),
    KeySpec::new(
        "audit.other_writes",
        ValueKind::Choice(&["metadata", "off"]),
        "Whether writes to other resources than deployments are recorded, without bodies: \
         `\"metadata\"` or `\"off\"`.",
    )
    .default("'metadata'"),
    KeySpec::new(
        "audit.finish_timeout",
        ValueKind::Duration,
        "How long an answer waits until its record is complete on disk.",
    )
    .default("'5s'"),
    KeySpec::new(
        "limits.body_bytes",
        ValueKind::Size(1, WHOLE_MAX),
        "The longest body of a governed call; by default 4 MiB for `qoder-cn`, 32 MiB for the \
         others. More than that is a warning: the provider does not read it.",
    )
    .example("\"4 MiB\""),
    KeySpec::new(
        "limits.answer_bytes",
        ValueKind::Size(1, WHOLE_MAX),
        "The longest answer that is read whole (governed calls).",
    )
    .default("'32 MiB'"),
    KeySpec::new(
        "limits.header_bytes",
        ValueKind::Size(8 << 10, 1 << 20),
        "The longest head of a request, and of upstream's answer; 8 KiB to 1 MiB.",
    )
    .default("'64 KiB'"),
    KeySpec::new(
        "limits.header_count",
        ValueKind::Count(1, 1_000),
        "The most header fields of a request, and of upstream's answer; 1 to 1000.",
    )
    .default("100"),
    KeySpec::new(
        "limits.json_depth",
        ValueKind::Count(1, 128),
        "The deepest nesting of a governed body; 1 to 128.",
    )
    .default("64"),
    KeySpec::new(
        "limits.kept_bytes_per_minute",
        ValueKind::Size(0, 1 << 40),
        "The most bytes of bodies that are kept of one token's calls in a minute. Of what comes \
         beyond, the record keeps sizes and digests.",
    )
    .default("'64 MiB'"),
    KeySpec::new(
        "limits.header_timeout",
        ValueKind::Duration,
        "To a whole request head; on HTTP/2 also from connecting to the first request.",
    )
    .default("'10s'"),
    KeySpec::new(
        "limits.body_timeout",
        ValueKind::Duration,
        "Without progress of a request's body.",
    )
    .default("'30s'"),
    KeySpec::new(
        "limits.write_timeout",
        ValueKind::Duration,
        "Without progress of an answer to the client.",
    )
    .default("'30s'"),
    KeySpec::new(
        "limits.pace_timeout",
        ValueKind::Duration,
        "Waiting for a client to send, or to take, 4 KiB, all waits together; of a single \
         silence, which has the bounds above, at most half of it counts. Waiting for upstream \
         does not count.",
    )
    .default("'20s'"),
    KeySpec::new(
        "limits.idle_timeout",
        ValueKind::Duration,
        "Of a connection without a request; before its first byte 15 s at most.",
    )
    .default("'75s'"),
    KeySpec::new(
        "limits.connections",
        ValueKind::Count(1, 1_000_000),
        "The most client connections; 1 to 1000000. Once they are taken, those that have rested \
         longest are closed for new ones, then those whose request waits for nobody but its \
         client; of the address first that has the most.",
    )
    .default("10000"),
    KeySpec::new(
        "limits.connections_per_address",
        ValueKind::Count(1, 1_000_000),
        "The most connections of one client address, or of one /64 of IPv6; more are closed at \
         once. Addresses in `listen.trusted_proxies` have no such bound.",
    )
    .default("1000000"),
    KeySpec::new(
        "limits.turn_timeout",
        ValueKind::Duration,
        "Waiting for a deployment's turn: one governed write at a time per deployment.",
    )
    .default("'30s'"),
    KeySpec::new("limits.drain_timeout", ValueKind::Duration, "From SIGTERM to the end.")
        .default("'8s'"),
];
