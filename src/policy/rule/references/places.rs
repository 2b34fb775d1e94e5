//! The places of a deployment that refer to something else, however a server names them.

use serde_json::Value;

use crate::base::excerpt::excerpt;
use crate::base::pointer::child;
use crate::deployment::Object;
use crate::deployment::members::Members;
use crate::deployment::name::{folded_start, is_joined_as, is_taken_for};

/// The most characters of a member's name that is looked at, and shown.
const NAME_CHARS_MAX: usize = 64;

/// Names of members that hold a URL where they hold what may be one.
const LIKE_URL: [&str; 9] =
    ["git", "href", "link", "location", "origin", "remote", "repo", "repository", "source"];

/// The kinds of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Agents,
    Environments,
    Vaults,
    ResourceTypes,
    ResourceUrls,
}

/// One reference, and where it stands.
pub(super) struct Reference<'v> {
    /// The id; or why there is none, in words that go on with the place.
    pub(super) id: Result<&'v str, &'static str>,
    /// The value that stands there.
    pub(super) value: &'v Value,
    place: Vec<Step<'v>>,
}

/// One step of the way to a place.
#[derive(Clone, Copy)]
enum Step<'v> {
    Member(&'v str),
    Item(usize),
}

impl Kind {
    /// The part of the rule that it is, by the name of its key in the policy file.
    pub(super) const fn part(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Environments => "environments",
            Self::Vaults => "vaults",
            Self::ResourceTypes => "resource_types",
            Self::ResourceUrls => "resource_urls",
        }
    }

    /// The field of the provider's table, and other names of it, without the signs that join words.
    const fn field(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Agents => ("agent", &["agentid", "agents"]),
            Self::Environments => ("environment_id", &["environmentid", "environment", "envid"]),
            Self::Vaults => ("vault_ids", &["vaultids", "vaultid", "vaults", "vault"]),
            Self::ResourceTypes | Self::ResourceUrls => ("resources", &["resource"]),
        }
    }

    /// Hands over every reference of this kind. Null refers to nothing.
    pub(super) fn each<'v>(self, deployment: &'v Members<'_>, each: &mut dyn FnMut(Reference<'v>)) {
        let (field, others) = self.field();
        for (name, value) in deployment.iter() {
            let is_field =
                is_taken_for(name, field) || others.iter().any(|other| is_joined_as(name, other));
            if !is_field || value.is_null() {
                continue;
            }
            let place = vec![Step::Member(name)];
            match (self, value) {
                (Self::Vaults, Value::Array(vaults)) => {
                    for (number, vault) in vaults.iter().enumerate() {
                        id(vault, below(&place, Step::Item(number)), each);
                    }
                }
                (Self::Agents | Self::Environments | Self::Vaults, _) => id(value, place, each),
                (Self::ResourceTypes | Self::ResourceUrls, Value::Array(resources)) => {
                    for (number, resource) in resources.iter().enumerate() {
                        self.of_resource(resource, below(&place, Step::Item(number)), each);
                    }
                }
                (Self::ResourceTypes | Self::ResourceUrls, _) => {
                    self.of_resource(value, place, each);
                }
            }
        }
    }

    fn of_resource<'v>(
        self,
        resource: &'v Value,
        place: Vec<Step<'v>>,
        each: &mut dyn FnMut(Reference<'v>),
    ) {
        match (self, resource) {
            (Self::ResourceTypes, Value::Object(members)) => {
                named(members, "type", (resource, place), "there is no type", each);
            }
            (Self::ResourceTypes, _) => {
                let id = Err("what is no object can't be told");
                each(Reference { id, value: resource, place });
            }
            (_, Value::Object(members)) => urls(members, &place, each),
            _ => id(resource, place, each),
        }
    }
}

impl Reference<'_> {
    /// Where it stands, as a JSON Pointer.
    pub(super) fn pointer(&self) -> String {
        self.place.iter().fold(String::new(), |path, step| match step {
            Step::Member(name) => child(&path, name),
            Step::Item(number) => child(&path, &number.to_string()),
        })
    }

    /// Where it stands, as a person writes it: `resources[2].url`.
    pub(super) fn dotted(&self) -> String {
        self.place.iter().fold(String::new(), |path, step| match step {
            Step::Member(name) if path.is_empty() => excerpt(name, NAME_CHARS_MAX),
            Step::Member(name) => format!("{path}.{}", excerpt(name, NAME_CHARS_MAX)),
            Step::Item(number) => format!("{path}[{number}]"),
        })
    }
}

fn below<'v>(place: &[Step<'v>], step: Step<'v>) -> Vec<Step<'v>> {
    place.iter().copied().chain([step]).collect()
}

/// A reference by id: a text, or an object that has one.
fn id<'v>(value: &'v Value, place: Vec<Step<'v>>, each: &mut dyn FnMut(Reference<'v>)) {
    match value {
        Value::Null => {}
        Value::String(id) => each(Reference { id: Ok(id), value, place }),
        Value::Object(members) => named(members, "id", (value, place), "there is no id", each),
        _ => each(Reference { id: Err("what is no text can't be told"), value, place }),
    }
}

/// The members of an object that a server may take for one of that name.
fn named<'v>(
    members: &'v Object,
    known: &'static str,
    (around, place): (&'v Value, Vec<Step<'v>>),
    missing: &'static str,
    each: &mut dyn FnMut(Reference<'v>),
) {
    let mut is_there = false;
    for (name, value) in members.iter().filter(|(name, _)| is_taken_for(name, known)) {
        is_there = true;
        let id = value.as_str().ok_or("what is no text can't be told");
        each(Reference { id, value, place: below(&place, Step::Member(name)) });
    }
    if !is_there {
        each(Reference { id: Err(missing), value: around, place });
    }
}

/// The members of a resource, at any depth, that hold a URL by their name.
fn urls<'v>(members: &'v Object, place: &[Step<'v>], each: &mut dyn FnMut(Reference<'v>)) {
    for (name, value) in members {
        let place = below(place, Step::Member(name));
        match value {
            Value::Object(members) => urls(members, &place, each),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let place = below(&place, Step::Item(number));
                    match item {
                        Value::Object(members) => urls(members, &place, each),
                        _ => url(name, item, place, each),
                    }
                }
            }
            _ => url(name, value, place, each),
        }
    }
}

fn url<'v>(
    name: &str,
    value: &'v Value,
    place: Vec<Step<'v>>,
    each: &mut dyn FnMut(Reference<'v>),
) {
    let (name, _is_whole) = folded_start(name, NAME_CHARS_MAX);
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).collect();
    let is_url = ["url", "urls", "uri", "uris"].iter().any(|end| name.ends_with(end));
    match value {
        Value::Null => {}
        Value::String(text) => {
            let may_be = || text.contains(':') || text.contains("//");
            if is_url || (LIKE_URL.contains(&name.as_str()) && may_be()) {
                each(Reference { id: Ok(text), value, place });
            }
        }
        _ if is_url => {
            each(Reference { id: Err("what is no text can't be told"), value, place });
        }
        _ => {}
    }
}
