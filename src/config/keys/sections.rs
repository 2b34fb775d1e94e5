//! What the sections are about.

/// The sections, each with its meaning in a sentence or two.
pub(super) const SECTIONS: [(&str, &str); 20] = [
    ("listen", "Where the gateway listens."),
    ("listen.tls", "TLS for clients. Without this section, the proxy listener speaks plain HTTP."),
    ("listen.admin_tls", "TLS for operators, likewise."),
    ("upstream", "The API behind the gateway."),
    ("node", "The gateway itself."),
    ("policy", "The rules that changes to deployments are held to."),
    (
        "rate_limit",
        "Budgets per personal access token. The defaults are what the upstream advises.",
    ),
    ("rate_limit.read", "GET, HEAD and OPTIONS."),
    ("rate_limit.write", "Everything else."),
    ("audit", "The log."),
    ("limits", "Bounds on what calls and connections may take, and how long."),
    ("actors", "Tokens that are known, and others."),
    ("admin", "The admin API."),
    ("admin.oidc", "Logins to the console by an issuer (OpenID Connect)."),
    ("admin.auth_proxy", "Logins by a proxy that stands before the admin listener."),
    ("admin.roles", "The roles of the groups that an issuer or a proxy tells of."),
    ("redact", "What is concealed in records."),
    ("evidence", "The tree over the log, by which `audit verify` finds what was altered."),
    ("retention", "How long records are kept. Without this section, for ever."),
    ("seal", "Originals of what is concealed in records, sealed."),
];
