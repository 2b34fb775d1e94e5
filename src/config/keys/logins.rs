//! The keys of logins that somebody else vouches for.

use crate::settings::key::{KeySpec, ValueKind};

/// Logins by an issuer or a proxy, in the reference file's order.
pub(super) const LOGINS: [KeySpec; 17] = [
    KeySpec::new(
        "admin.oidc.issuer",
        ValueKind::Text,
        "The URL of an issuer (OpenID Connect) whose people may log in to the console, exactly as \
         its discovery document names it. With it `client_id` and `redirect_url` are needed.",
    )
    .example("\"https://login.example.com/realms/main\""),
    KeySpec::new(
        "admin.oidc.client_id",
        ValueKind::Name(256),
        "The name under which the issuer knows this console.",
    )
    .example("\"changegate\""),
    KeySpec::new(
        "admin.oidc.client_secret_file",
        ValueKind::Text,
        "A file with the secret of that client, readable by its owner only. Without one the client \
         is public, and PKCE alone protects the login.",
    )
    .example("\"oidc.secret\""),
    KeySpec::new(
        "admin.oidc.redirect_url",
        ValueKind::Text,
        "Where the issuer sends browsers back to: this console's own address, and \
         `/login/oidc/callback`. https, but for loopback.",
    )
    .example("\"https://changegate.example.com/login/oidc/callback\""),
    KeySpec::new(
        "admin.oidc.ca_file",
        ValueKind::Text,
        "PEM file of certificate authorities trusted beside the system's for the issuer.",
    )
    .example("\"tls/ca.pem\""),
    KeySpec::new(
        "admin.oidc.scopes",
        ValueKind::Texts(16),
        "What the issuer is asked for; `openid` is always asked for.",
    )
    .default("['openid', 'profile', 'email']"),
    KeySpec::new(
        "admin.oidc.person_claim",
        ValueKind::Name(128),
        "The claim that names the human, by the same name as `person` in `[[actor]]`: one that \
         nobody can choose for themselves. `email` counts only where the issuer does not call it \
         unverified.",
    )
    .default("'sub'"),
    KeySpec::new(
        "admin.oidc.groups_claim",
        ValueKind::Name(128),
        "The claim of the ID token that lists the human's groups; `realm_access.roles` is a member \
         within a member.",
    )
    .default("'groups'"),
    KeySpec::new(
        "admin.oidc.session",
        ValueKind::Duration,
        "How long a login lasts, whatever happens meanwhile: a minute at least.",
    )
    .default("'8h'"),
    KeySpec::new(
        "admin.auth_proxy.addresses",
        ValueKind::Texts(64),
        "Ranges of addresses (or single ones) of proxies that authenticate people and are believed \
         who they are; `\"unix\"` is whoever connects by a socket file. Whoever else can send from \
         there can be anybody.",
    )
    .default("[]"),
    KeySpec::new(
        "admin.auth_proxy.user_header",
        ValueKind::Text,
        "The header field by which such a proxy names the human, by the same name as `person` in \
         `[[actor]]`. The proxy must remove what a client sends of it.",
    )
    .default("'x-forwarded-user'"),
    KeySpec::new(
        "admin.auth_proxy.groups_header",
        ValueKind::Text,
        "The header field that lists the human's groups, with commas between them.",
    )
    .default("'x-forwarded-groups'"),
    KeySpec::new(
        "admin.roles.viewer",
        ValueKind::Texts(200),
        "Groups of the issuer or the proxy whose people are viewers. Who is in several groups has \
         the highest role.",
    )
    .default("[]"),
    KeySpec::new("admin.roles.auditor", ValueKind::Texts(200), "Groups of auditors.").default("[]"),
    KeySpec::new("admin.roles.approver", ValueKind::Texts(200), "Groups of approvers.")
        .default("[]"),
    KeySpec::new("admin.roles.admin", ValueKind::Texts(200), "Groups of admins.").default("[]"),
    KeySpec::new(
        "admin.roles.default",
        ValueKind::Choice(&["viewer", "none"]),
        "Who is in none of these groups: `\"viewer\"`, or `\"none\"`, who is let in no further.",
    )
    .default("'viewer'"),
];
