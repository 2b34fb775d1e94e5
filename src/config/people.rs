//! Actors and operators: `[[actor]]`, `[actors]` and `[[admin.token]]`.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::{ActorName, Actors, AdminToken, Role, SubjectName};
use crate::base::ids::{Fingerprint, unhex};
use crate::settings::complaint::Location;
use crate::settings::raw::Node;
use crate::settings::reader::{Placed, Reader, member};
use crate::settings::value::{Meant, choice, name, text};

/// SHA-256 of nothing, what a digest of an unset variable comes to.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Tokens that an attacker tries first: that of the Compose file, and common words.
const GUESSED: [&str; 10] = [
    "changegate-demo",
    "admin",
    "changeme",
    "demo",
    "password",
    "secret",
    "test",
    "test1",
    "test2",
    "token",
];

/// How many equal bytes at its beginning make a digest one that was typed, not computed.
const TYPED_BYTES: usize = 16;

/// Reads `[[actor]]` and `[actors]`, and adds the humans behind them.
pub(super) fn actors(reader: &mut Reader<'_>, persons: &mut Vec<Placed<String>>) -> Actors {
    let unknown = reader.read("actors.unknown", choice(&[("allow", false), ("deny", true)]));
    let (deny_unknown, place) = unknown.unwrap_or((false, Location::File));
    let mut known = HashMap::new();
    let tables = reader.tables("actor");
    if deny_unknown && tables.is_empty() {
        let message = "`actors.unknown` is \"deny\" and no [[actor]] is listed, so that every \
            call is refused: list those who may";
        reader.complaints.warn(&place, message);
    }
    let mut subjects: HashMap<String, Vec<SubjectName>> = HashMap::new();
    for table in tables {
        let sign = sign(reader, &table);
        let holder = reader.field(&table, "actor[].name", name(128));
        let team = reader.optional(&table, "actor[].team", name(128)).map(|(team, _)| team);
        let person = reader.optional(&table, "actor[].person", name(128));
        persons.extend(person.clone());
        let person = person.map(|(person, _)| person);
        let (Some((sign, place)), Some((name, _))) = (sign, holder) else { continue };
        let name = ActorName { name, team, person };
        let (told, is_listed) = match sign {
            Sign::Fingerprint(token) => (token.to_string(), known.insert(token, name).is_some()),
            Sign::Subject { subject, issuer } => {
                let listed = subjects.entry(subject.clone()).or_default();
                let is_listed = listed.iter().any(|other| other.issuer == issuer);
                listed.push(SubjectName { issuer, name });
                (format!("the subject {subject:?}"), is_listed)
            }
        };
        if is_listed {
            let message = format!("{told} is listed twice: keep one [[actor]] of it");
            reader.complaints.error(&place, &message);
        }
    }
    Actors { deny_unknown, known, subjects }
}

/// The sign by which an actor is found.
enum Sign {
    /// One token.
    Fingerprint(Fingerprint),
    /// All tokens of a service account.
    Subject { subject: String, issuer: Option<String> },
}

/// Reads the sign of an `[[actor]]`, of which there is one.
fn sign(reader: &mut Reader<'_>, table: &Node) -> Option<Placed<Sign>> {
    let has = |path| member(table, path).is_some();
    let (by_token, by_subject) = (has("actor[].fingerprint"), has("actor[].subject"));
    if by_token == by_subject {
        let message = if by_token {
            "an [[actor]] is found by its `fingerprint` or by its `subject`: remove one of them"
        } else {
            "`fingerprint` is missing in this [[actor]]: add it, or the `subject` of a service \
             account"
        };
        reader.complaints.error(&table.place, message);
    }
    if by_token && has("actor[].issuer") {
        let message = "`issuer` stands beside a `subject` alone: remove it";
        reader.complaints.error(&table.place, message);
    }
    let subject = reader.optional(table, "actor[].subject", name(256));
    let issuer = reader.optional(table, "actor[].issuer", name(256)).map(|(issuer, _)| issuer);
    let fingerprint = reader.optional(table, "actor[].fingerprint", fingerprint);
    match (fingerprint, subject) {
        (Some((fingerprint, place)), _) => Some((Sign::Fingerprint(fingerprint), place)),
        (None, Some((subject, place))) => Some((Sign::Subject { subject, issuer }, place)),
        (None, None) => None,
    }
}

/// Reads `[[admin.token]]`, and adds the humans who hold them.
pub(super) fn admin_tokens(
    reader: &mut Reader<'_>,
    persons: &mut Vec<Placed<String>>,
) -> Vec<AdminToken> {
    const ROLES: [(&str, Role); 4] = [
        ("viewer", Role::Viewer),
        ("auditor", Role::Auditor),
        ("approver", Role::Approver),
        ("admin", Role::Admin),
    ];
    let (mut names, mut digests) = (HashSet::new(), HashSet::new());
    let mut tokens = Vec::new();
    for table in reader.tables("admin.token") {
        let person = reader.optional(&table, "admin.token[].person", name(128));
        persons.extend(person.clone());
        let person = person.map(|(person, _)| person);
        let name = reader.field(&table, "admin.token[].name", name(64));
        let role = reader.field(&table, "admin.token[].role", choice(&ROLES));
        let sha256 = reader.field(&table, "admin.token[].sha256", sha256);
        if let Some((name, place)) = &name
            && !names.insert(name.clone())
        {
            let message = format!("two [[admin.token]] are named {name:?}: rename one");
            reader.complaints.error(place, &message);
        }
        if let Some((sha256, place)) = &sha256
            && !digests.insert(*sha256)
        {
            let message = "two [[admin.token]] have this sha256: give each its own token";
            reader.complaints.error(place, message);
        }
        if let Some((sha256, place)) = &sha256
            && let Some(message) = not_a_secret(sha256)
        {
            reader.complaints.warn(place, &message);
        }
        if let (Some((name, _)), Some((role, _)), Some((sha256, _))) = (name, role, sha256) {
            tokens.push(AdminToken { name, role, person, sha256 });
        }
    }
    tokens
}

fn fingerprint(node: &Node) -> Meant<Fingerprint> {
    let fix = "write pat_ and 16 lower-case hex digits, as `changegate token fingerprint` prints";
    node.text().and_then(|text| text.parse().ok()).ok_or_else(|| fix.to_owned())
}

fn sha256(node: &Node) -> Meant<[u8; 32]> {
    let text = text(node)?.to_ascii_lowercase();
    if text == EMPTY_SHA256 {
        return Err("this is the digest of no token at all: digest the token itself".to_owned());
    }
    let fix = "write the 64 hex digits of the token's SHA-256, as \
        `printf %s \"$TOKEN\" | sha256sum` prints";
    unhex(&text).ok_or_else(|| fix.to_owned())
}

/// The doubt about a digest whose token is no secret, or that is no token's.
fn not_a_secret(sha256: &[u8; 32]) -> Option<String> {
    const FIX: &str = "make a token with `openssl rand -hex 32` and write its digest here";
    if let Some(token) = GUESSED.into_iter().find(|token| Sha256::digest(token)[..] == sha256[..]) {
        return Some(format!("the token of this sha256 is `{token}`, which anybody knows: {FIX}"));
    }
    let (first, _) = sha256.split_first()?;
    let is_typed = sha256.iter().take(TYPED_BYTES).all(|byte| byte == first);
    is_typed.then(|| format!("this sha256 is a placeholder, which no token has: {FIX}"))
}
