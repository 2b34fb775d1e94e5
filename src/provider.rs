//! A provider as data: where its deployments live, what their fields mean, how it says no.
//!
//! Adding a provider is adding a table. Nothing else in Changegate knows a provider by name.

mod claude;
mod qoder;
pub mod shape;

use std::fmt;
use std::time::Duration;

use utoipa::ToSchema;

/// One provider's deployments API, as data.
#[derive(Debug)]
pub struct Provider {
    /// The name that configuration and records use, such as `qoder-cn`.
    pub name: &'static str,
    /// The path below which `/deployments` lies: starts with `/`, ends without one.
    pub base_path: &'static str,
    /// The headers a credential may come in; a call must carry exactly one.
    pub credentials: &'static [Credential],
    /// Query keys that the gateway's own GETs repeat: what a caller's query may choose of what is
    /// shown is not the caller's to choose there.
    pub repeated_query_keys: &'static [&'static str],
    /// A second response header that carries the request id, beside `x-request-id`.
    pub request_id_header: Option<&'static str>,
    /// The longest governed body by default, in bytes.
    pub body_bytes_max: usize,
    /// How long the head of an answer may take by default.
    pub response_timeout: Duration,
    /// The effect of an update on each field; a field that is not named is replaced and clearable.
    pub fields: &'static [Field],
    /// The shape of a deployment, for rules that name its members.
    pub shape: &'static shape::Shape,
    /// JSON Pointers (RFC 6901) of what the server changes by itself.
    pub computed: &'static [&'static str],
    /// Places that are shown otherwise than they are set. In a path `*` is any element of a list.
    pub shown_as: &'static [(&'static str, ShownAs)],
    /// Keys that outlive a `null`, each with the field that holds it and is patched key by key.
    pub reserved_keys: &'static [(&'static str, &'static str)],
    /// Fields that every Deployment is shown with: an answer that lacks one is not a whole one.
    pub always_shown: &'static [&'static str],
    /// Member names whose values are secrets wherever they stand in a body, as are those of names
    /// that end in one of them; without regard to case, `_`, `-`, a plural or a number behind it.
    pub secret_members: &'static [&'static str],
    /// Whether archiving appends `_archived_<unix seconds>` to the name.
    pub archive_renames: bool,
}

/// A header that a credential may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer <token>` (RFC 6750).
    Bearer,
    /// `x-api-key: <token>`.
    ApiKey,
}

/// One field of a deployment and what an update does to it.
#[derive(Debug)]
pub struct Field {
    /// The member's name.
    pub name: &'static str,
    /// How a value in a patch meets the value before.
    pub update: Update,
}

/// How a value in a patch meets the value before. A member that a patch omits is preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Replaced whole; `null` clears it.
    Replace,
    /// Replaced whole; the API refuses `null`.
    Required,
    /// Patched key by key: a value upserts its key, `null` deletes it.
    PerKey,
    /// Required, and a value that names an agent without a version takes its latest one.
    AgentReference,
    /// Never set by a client.
    Computed,
}

/// How upstream shows a place that was set: not as it was sent, and yet as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownAs {
    /// Never: it is write-only.
    Nothing,
    /// As the server chooses where it was left out.
    Default,
    /// A text as itself, or as a list of one block of text.
    TextBlock,
}

/// The deployment operations that are governed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Operation {
    /// `POST /deployments`.
    Create,
    /// `POST`, `PATCH` or `PUT /deployments/{id}`.
    Update,
    /// `POST /deployments/{id}/archive`.
    Archive,
    /// `POST /deployments/{id}/pause`.
    Pause,
    /// `POST /deployments/{id}/unpause`.
    Unpause,
    /// `POST /deployments/{id}/run`.
    Run,
}

/// The fields of the shape that every provider here shares.
static FIELDS: [Field; 18] = [
    Field { name: "id", update: Update::Computed },
    Field { name: "type", update: Update::Computed },
    Field { name: "name", update: Update::Required },
    Field { name: "description", update: Update::Replace },
    Field { name: "agent", update: Update::AgentReference },
    Field { name: "environment_id", update: Update::Required },
    Field { name: "schedule", update: Update::Replace },
    Field { name: "initial_events", update: Update::Required },
    Field { name: "resources", update: Update::Replace },
    Field { name: "vault_ids", update: Update::Replace },
    Field { name: "metadata", update: Update::PerKey },
    Field { name: "environment_variables", update: Update::Replace },
    Field { name: "budget", update: Update::Replace },
    Field { name: "created_at", update: Update::Computed },
    Field { name: "updated_at", update: Update::Computed },
    Field { name: "archived_at", update: Update::Computed },
    Field { name: "status", update: Update::Computed },
    Field { name: "paused_reason", update: Update::Computed },
];

/// The places that a server of this shape changes by itself. `/status` and `/paused_reason` are a
/// client's doing only where the operation is pause or unpause.
static COMPUTED: [&str; 6] = [
    "/updated_at",
    "/schedule/upcoming_runs_at",
    "/schedule/last_run_at",
    "/metadata/cas_config/stats",
    "/status",
    "/paused_reason",
];

/// The places of the shared shape that are shown otherwise than they are set.
static SHOWN_AS: [(&str, ShownAs); 4] = [
    ("/resources/*/authorization_token", ShownAs::Nothing),
    ("/resources/*/password", ShownAs::Nothing),
    ("/resources/*/mount_path", ShownAs::Default),
    ("/initial_events/*/content", ShownAs::TextBlock),
];

/// The keys of the shared shape that the server keeps, whatever a client makes of them.
static RESERVED_KEYS: [(&str, &str); 1] = [("metadata", "cas_config")];

/// The fields that every Deployment of the shared shape is shown with.
static ALWAYS_SHOWN: [&str; 2] = ["metadata", "schedule"];

/// Names of members that hold secrets in bodies of the shared shape, or their ends.
static SECRET_MEMBERS: [&str; 18] = [
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "credential",
    "private_key",
    "api_key",
    "access_key",
    "secret_key",
    "signing_key",
    "encryption_key",
    "connection_string",
    "database_url",
    "dsn",
    "cookie",
    "authorization",
];

impl Provider {
    /// Every provider that is served.
    pub const ALL: [&'static Self; 3] = [&qoder::CN, &qoder::GLOBAL, &claude::CLAUDE];

    /// Providers that are known but not served yet.
    pub const NOT_YET: [&'static str; 2] = ["model-studio", "bigmodel"];

    /// The provider of that name, if it is served.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|provider| provider.name == name)
    }

    /// The names of the members that a deployment has at any provider.
    pub fn members() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().flat_map(|provider| provider.fields.iter().map(|field| field.name))
    }

    /// The places that upstream takes and never shows.
    pub fn write_only(&self) -> impl Iterator<Item = &'static str> {
        let places = self.shown_as.iter();
        places.filter(|(_, shown)| *shown == ShownAs::Nothing).map(|(path, _)| *path)
    }

    /// The effect of an update on the field `name`.
    #[must_use]
    pub fn update_of(&self, name: &str) -> Update {
        self.fields.iter().find(|field| field.name == name).map_or(Update::Replace, |f| f.update)
    }
}

impl Operation {
    /// Every governed operation.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::Update, Self::Archive, Self::Pause, Self::Unpause, Self::Run];

    /// The name that configuration and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Archive => "archive",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Run => "run",
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The operation that `POST /deployments/{id}/<verb>` asks for.
    #[must_use]
    pub fn of_verb(verb: &str) -> Option<Self> {
        [Self::Archive, Self::Pause, Self::Unpause, Self::Run]
            .into_iter()
            .find(|operation| operation.name() == verb)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
