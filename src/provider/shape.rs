//! Shapes of documents: what each member of a deployment holds.

/// The shape of a JSON value.
#[derive(Debug)]
pub enum Shape {
    /// Nothing is known of it.
    Any,
    /// True or false.
    Flag,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of such values.
    List(&'static Self),
    /// An object with these members, and maybe others.
    Members(&'static [Member]),
    /// An object whose keys are the client's.
    Keyed {
        /// The shape of its values.
        value: &'static Self,
        /// Keys whose values have another shape.
        but: &'static [(&'static str, Self)],
    },
}

/// One member of an object.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// Whether it may be null, or absent, which is the same.
    pub is_nullable: bool,
}

impl Shape {
    /// The shape of the elements, where it is a list.
    #[must_use]
    pub fn element(&self) -> &'static Self {
        match self {
            Self::List(element) => element,
            _ => &Self::Any,
        }
    }

    /// The shape of the member of that name, where it is an object.
    #[must_use]
    pub fn member(&self, name: &str) -> &'static Self {
        match self {
            Self::Members(members) => {
                members.iter().find(|member| member.name == name).map_or(&Self::Any, |m| &m.shape)
            }
            Self::Keyed { value, but } => {
                but.iter().find(|(key, _)| *key == name).map_or(value, |(_, shape)| shape)
            }
            _ => &Self::Any,
        }
    }
}

impl Member {
    /// Whether the provider shows it empty where nobody has set it: null, or without elements.
    #[must_use]
    pub fn is_shown_empty(&self) -> bool {
        self.is_nullable || matches!(self.shape, Shape::List(_) | Shape::Keyed { .. })
    }

    const fn always(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, is_nullable: false }
    }

    const fn nullable(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, is_nullable: true }
    }
}

/// Who makes a call.
pub static ACTOR: Shape = Shape::Members(&[
    Member::always("fingerprint", Shape::Text),
    Member::nullable("name", Shape::Text),
    Member::nullable("person", Shape::Text),
    Member::nullable("team", Shape::Text),
]);

/// A deployment of Qoder's.
pub(super) static QODER: Shape = Shape::Members(&deployment(Member::nullable(
    "budget",
    Shape::Members(&[
        Member::always("type", Shape::Text),
        Member::nullable("max_credit_cost", Shape::Number),
    ]),
)));

/// A deployment of Claude's.
pub(super) static CLAUDE: Shape = Shape::Members(&deployment(Member::nullable(
    "budget",
    Shape::Members(&[
        Member::always("type", Shape::Text),
        Member::nullable(
            "max_list_cost",
            Shape::Members(&[
                Member::nullable("amount", Shape::Any),
                Member::nullable("currency", Shape::Text),
            ]),
        ),
    ]),
)));

/// The members that every provider here shares, and its own budget.
const fn deployment(budget: Member) -> [Member; 18] {
    [
        Member::nullable("id", Shape::Text),
        Member::nullable("type", Shape::Text),
        Member::always("name", Shape::Text),
        Member::nullable("description", Shape::Text),
        Member::always("agent", AGENT),
        Member::always("environment_id", Shape::Text),
        Member::nullable("schedule", SCHEDULE),
        Member::always("initial_events", Shape::List(&EVENT)),
        Member::always("resources", Shape::List(&RESOURCE)),
        Member::always("vault_ids", Shape::List(&Shape::Text)),
        Member::always("metadata", METADATA),
        Member::nullable("environment_variables", Shape::Text),
        budget,
        Member::nullable("created_at", Shape::Text),
        Member::nullable("updated_at", Shape::Text),
        Member::nullable("archived_at", Shape::Text),
        Member::nullable("status", Shape::Text),
        Member::nullable("paused_reason", REASON),
    ]
}

const REASON: Shape = Shape::Members(&[Member::nullable("type", Shape::Text)]);

const AGENT: Shape = Shape::Members(&[
    Member::always("id", Shape::Text),
    Member::nullable("type", Shape::Text),
    Member::nullable("version", Shape::Whole),
]);

const SCHEDULE: Shape = Shape::Members(&[
    Member::nullable("type", Shape::Text),
    Member::always("expression", Shape::Text),
    Member::always("timezone", Shape::Text),
    Member::always("upcoming_runs_at", Shape::List(&Shape::Text)),
    Member::nullable("last_run_at", Shape::Text),
]);

const EVENT: Shape =
    Shape::Members(&[Member::always("type", Shape::Text), Member::nullable("content", Shape::Any)]);

const RESOURCE: Shape = Shape::Members(&[
    Member::always("type", Shape::Text),
    Member::nullable("url", Shape::Text),
    Member::nullable("authorization_token", Shape::Text),
    Member::nullable("password", Shape::Text),
    Member::nullable("mount_path", Shape::Text),
    Member::nullable("checkout", Shape::Any),
    Member::nullable("file_id", Shape::Text),
    Member::nullable("memory_store_id", Shape::Text),
    Member::nullable("access", Shape::Text),
]);

const METADATA: Shape = Shape::Keyed { value: &Shape::Text, but: &[("cas_config", Shape::Any)] };
