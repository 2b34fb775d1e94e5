//! The texts of a rule → a rule that is ready.

use std::fmt;

use super::check::{Asked, Checker};
use super::message::{self, Part, Template, Typed};
use super::program::Program;
use super::tree::{Fault, cut, line_and_column};
use super::{Ready, parse, paths};
use crate::base::pointer::covers;
use crate::provider::{Operation, Provider};

/// The texts of a rule.
#[derive(Clone)]
pub(crate) struct CelSource {
    pub(crate) provider: &'static Provider,
    pub(crate) operations: Vec<Operation>,
    pub(crate) description: Option<String>,
    pub(crate) when: Option<String>,
    pub(crate) require: String,
    pub(crate) message: Option<String>,
    pub(crate) about: Option<Vec<String>>,
}

impl PartialEq for CelSource {
    fn eq(&self, other: &Self) -> bool {
        let texts = |source: &Self| {
            let Self { description, when, require, message, about, operations, .. } =
                source.clone();
            (description, when, require, message, about, operations)
        };
        self.provider.name == other.provider.name && texts(self) == texts(other)
    }
}

impl fmt::Debug for CelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CelSource").field("require", &self.require).finish_non_exhaustive()
    }
}

/// A fault of one of a rule's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CelError {
    /// The key whose text it is.
    pub(crate) key: &'static str,
    /// Its line within the text, from 1.
    pub(crate) line: usize,
    /// Its column within that line, from 1.
    pub(crate) column: usize,
    /// The part of the expression, and what is wrong with it; with its fix.
    pub(crate) message: String,
}

/// Makes a rule ready, or says everything that is wrong with it.
pub(super) fn ready(source: CelSource) -> Result<Ready, Vec<CelError>> {
    let mut errors = Vec::new();
    let mut checker = Checker::new(source.provider, &source.operations);
    let when = source
        .when
        .as_deref()
        .map(|text| compile(&mut checker, "when", text, 0, text, Asked::Guard, &mut errors));
    let require = source.require.as_str();
    let parsed = compile(&mut checker, "require", require, 0, require, Asked::Flag, &mut errors);
    let message = source.message.as_deref().map(|text| template(&mut checker, text, &mut errors));
    let message = message.flatten();
    let when = when.map(|compiled| compiled.ok_or(())).transpose();
    match (parsed, when) {
        (Some(parsed), Ok(when)) if errors.is_empty() => {
            let doubt = doubt(&source, &parsed, when.as_ref());
            let Compiled { program: require, object, patch: _ } = parsed;
            let when = when.map(|compiled| compiled.program);
            let about = source.about.clone().unwrap_or(object);
            Ok(Ready { source, when, require, message, about, doubt })
        }
        _ => Err(errors),
    }
}

/// An expression that is ready, and the places that it selects.
struct Compiled {
    program: Program,
    /// Those of `object`.
    object: Vec<String>,
    /// Those of `patch`.
    patch: Vec<String>,
}

/// The doubt about a rule that looks at what is sent to one place and is about another one: the
/// ratchet lets pass what is sent, for the other place stays as it was.
fn doubt(source: &CelSource, require: &Compiled, when: Option<&Compiled>) -> Option<String> {
    let is_about_some = source.about.is_none() && !require.object.is_empty();
    if !is_about_some || !source.operations.contains(&Operation::Update) {
        return None;
    }
    let sent = require.patch.iter().chain(when.into_iter().flat_map(|when| &when.patch));
    let is_beside = |place: &&String| !require.object.iter().any(|about| covers(about, place));
    let beside = sent.into_iter().find(is_beside)?;
    let read = format!("patch{}", beside.replace('/', "."));
    let about = require.object.iter().map(|place| format!("{place:?}")).collect::<Vec<_>>();
    Some(format!(
        "it reads `{read}`, but is about {} alone, and does not hold up an update that leaves \
         that as it is: write `about = []` to have it hold for every call, or list in `about` \
         what it is about",
        about.join(", ")
    ))
}

/// Compiles the expression `text`, which stands in the text `whole` of a key, `before` characters
/// behind its start. Gives the places that it selects as well.
fn compile(
    checker: &mut Checker,
    key: &'static str,
    whole: &str,
    before: usize,
    text: &str,
    asked: Asked,
    errors: &mut Vec<CelError>,
) -> Option<Compiled> {
    let tell = |fault: Fault| {
        let (line, column) = line_and_column(whole, before + fault.at.start);
        let part: String = cut(text, &fault.at).split_whitespace().collect::<Vec<_>>().join(" ");
        let part = crate::base::excerpt::excerpt(&part, 80);
        let message =
            if part.is_empty() { fault.message } else { format!("`{part}`: {}", fault.message) };
        CelError { key, line, column, message }
    };
    let (expression, place) = match parse::parse(text) {
        Ok(parsed) => parsed,
        Err(faults) => {
            errors.extend(faults.into_iter().map(tell));
            return None;
        }
    };
    let faults = checker.check(&expression, &place, asked);
    if !faults.is_empty() {
        errors.extend(faults.into_iter().map(tell));
        return None;
    }
    let [object, patch] =
        [paths::OBJECT, paths::PATCH].map(|root| paths::selected(&expression, root));
    Some(Compiled { program: Program::new(expression), object, patch })
}

fn template(checker: &mut Checker, text: &str, errors: &mut Vec<CelError>) -> Option<Template> {
    let typed = match message::parts(text) {
        Ok(typed) => typed,
        Err(message) => {
            errors.push(CelError { key: "message", line: 1, column: 1, message });
            return None;
        }
    };
    let mut parts = Vec::new();
    let mut before = 0;
    for part in typed {
        match part {
            Typed::Words(words) => {
                before += words.chars().count();
                parts.push(Part::Words(words.to_owned()));
            }
            Typed::Expression(shown) => {
                before += 2;
                let asked = Asked::Shown;
                let compiled = compile(checker, "message", text, before, shown, asked, errors);
                if let Some(compiled) = compiled {
                    parts.push(Part::Shown(compiled.program));
                }
                before += shown.chars().count() + 2;
            }
        }
    }
    Some(Template::new(parts))
}
