//! The functions that rules may call: what each takes and gives, and what it is charged.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter hands arguments over by value")]

mod access;
mod cost;
mod schedule;
mod text;

use std::sync::LazyLock;

use cel::common::functions::Function;
use cel::common::types::DYN_TYPE;
use cel::{Env, extensions};

use super::bind::bind;
use super::time;
use super::types::Type;

/// The charge for a call, beside what is charged for its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// Nothing: it takes no longer, however long its arguments are.
    Nothing,
    /// Its first argument is read.
    Read,
    /// It makes a text no longer than its first argument.
    Make,
    /// It keeps a copy of its first argument.
    Keep,
    /// Another function does it, which charges by itself.
    Own(&'static str),
    /// The same, and it is told the time.
    OwnByTime(&'static str),
}

/// One overload of a function.
#[derive(Debug)]
pub(super) struct Signature {
    /// The name, with that of its library.
    pub(super) name: String,
    /// The type that it is called on; `None` where it is called by itself.
    pub(super) receiver: Option<Type>,
    pub(super) parameters: Vec<Type>,
    pub(super) result: Type,
}

use Charge::{Keep, Make, Nothing, Own, OwnByTime, Read};

/// The functions of the specification, those on texts that its libraries agree on, and our own.
/// `A` and `B` stand for any type, `any` also for what may be null.
#[rustfmt::skip]
const TABLE: [(&str, Charge, &[&str]); 70] = [
    ("size", Read, &[
        "(string) int", "(bytes) int", "(list(A)) int", "(map(A,B)) int",
        "string.() int", "bytes.() int", "list(A).() int", "map(A,B).() int",
    ]),
    ("contains", Read, &["string.(string) bool"]),
    ("startsWith", Nothing, &["string.(string) bool"]),
    ("endsWith", Nothing, &["string.(string) bool"]),
    ("matches", Nothing, &["string.(string) bool", "(string,string) bool"]),
    ("bool", Nothing, &["(bool) bool", "(string) bool"]),
    ("int", Nothing, &[
        "(int) int", "(uint) int", "(double) int", "(string) int", "(timestamp) int",
    ]),
    ("uint", Nothing, &["(uint) uint", "(int) uint", "(double) uint", "(string) uint"]),
    ("double", Nothing, &["(double) double", "(int) double", "(uint) double", "(string) double"]),
    ("bytes", Make, &["(bytes) bytes", "(string) bytes"]),
    ("string", Make, &[
        "(string) string", "(bool) string", "(int) string", "(uint) string", "(double) string",
        "(bytes) string", "(timestamp) string", "(duration) string",
    ]),
    ("dyn", Nothing, &["(any) dyn"]),
    ("type", Nothing, &["(any) type"]),
    ("timestamp", Nothing, &["(timestamp) timestamp", "(string) timestamp", "(int) timestamp"]),
    ("duration", Nothing, &["(duration) duration", "(string) duration", "(int) duration"]),
    ("getFullYear", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getMonth", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getDate", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getDayOfMonth", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getDayOfWeek", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getDayOfYear", Nothing, &["timestamp.() int", "timestamp.(string) int"]),
    ("getHours", Nothing, &["timestamp.() int", "timestamp.(string) int", "duration.() int"]),
    ("getMinutes", Nothing, &["timestamp.() int", "timestamp.(string) int", "duration.() int"]),
    ("getSeconds", Nothing, &["timestamp.() int", "timestamp.(string) int", "duration.() int"]),
    ("getMilliseconds", Nothing, &[
        "timestamp.() int", "timestamp.(string) int", "duration.() int",
    ]),
    ("optional.of", Keep, &["(A) optional(A)"]),
    ("optional.ofNonZeroValue", Keep, &["(A) optional(A)"]),
    ("optional.none", Nothing, &["() optional(A)"]),
    ("hasValue", Nothing, &["optional(A).() bool"]),
    ("value", Nothing, &["optional(A).() A"]),
    ("or", Nothing, &["optional(A).(optional(A)) optional(A)"]),
    ("orValue", Nothing, &["optional(A).(A) A"]),
    ("charAt", Make, &["string.(int) string"]),
    ("indexOf", Own("@indexOf"), &["string.(string) int", "string.(string,int) int"]),
    ("lastIndexOf", Own("@lastIndexOf"), &["string.(string) int", "string.(string,int) int"]),
    ("join", Own("@join"), &["list(string).() string", "list(string).(string) string"]),
    ("lowerAscii", Make, &["string.() string"]),
    ("upperAscii", Make, &["string.() string"]),
    ("trim", Make, &["string.() string"]),
    ("replace", Own("@replace"), &[
        "string.(string,string) string", "string.(string,string,int) string",
    ]),
    ("split", Make, &["string.(string) list(string)", "string.(string,int) list(string)"]),
    ("substring", Make, &["string.(int) string", "string.(int,int) string"]),
    ("reverse", Make, &["string.() string"]),
    ("strings.quote", Make, &["(string) string"]),
    ("math.@max", Read, &EXTREME),
    ("math.@min", Read, &EXTREME),
    ("math.abs", Nothing, &["(int) int", "(uint) uint", "(double) double"]),
    ("math.sign", Nothing, &["(int) int", "(uint) uint", "(double) double"]),
    ("math.sqrt", Nothing, &["(int) double", "(uint) double", "(double) double"]),
    ("math.ceil", Nothing, &["(double) double"]),
    ("math.floor", Nothing, &["(double) double"]),
    ("math.round", Nothing, &["(double) double"]),
    ("math.trunc", Nothing, &["(double) double"]),
    ("math.isInf", Nothing, &["(double) bool"]),
    ("math.isNaN", Nothing, &["(double) bool"]),
    ("math.isFinite", Nothing, &["(double) bool"]),
    ("math.bitAnd", Nothing, &["(int,int) int", "(uint,uint) uint"]),
    ("math.bitOr", Nothing, &["(int,int) int", "(uint,uint) uint"]),
    ("math.bitXor", Nothing, &["(int,int) int", "(uint,uint) uint"]),
    ("math.bitNot", Nothing, &["(int) int", "(uint) uint"]),
    ("math.bitShiftLeft", Nothing, &["(int,int) int", "(uint,int) uint"]),
    ("math.bitShiftRight", Nothing, &["(int,int) int", "(uint,int) uint"]),
    ("touches", Nothing, &["(string) bool"]),
    ("added", Nothing, &["(string) list(dyn)"]),
    ("removed", Nothing, &["(string) list(dyn)"]),
    ("firesPerDay", OwnByTime("@firesPerDay"), &["(any) int"]),
    ("nextRuns", OwnByTime("@nextRuns"), &["(any,int) list(timestamp)"]),
    ("zoneOffset", Nothing, &["(string,timestamp) duration"]),
    ("globMatch", Nothing, &["(string,string) bool"]),
    ("get", Nothing, &["(any,string,A) A"]),
];

/// The arguments of `math.greatest` and `math.least` once the parser has read them.
const EXTREME: [&str; 16] = [
    "(int) int",
    "(uint) uint",
    "(double) double",
    "(int,int) int",
    "(uint,uint) uint",
    "(double,double) double",
    "(int,uint) dyn",
    "(int,double) dyn",
    "(uint,int) dyn",
    "(uint,double) dyn",
    "(double,int) dyn",
    "(double,uint) dyn",
    "(list(int)) int",
    "(list(uint)) uint",
    "(list(double)) double",
    "(list(dyn)) dyn",
];

/// The libraries whose functions are called by their names.
const LIBRARIES: [&str; 3] = ["math", "optional", "strings"];

/// Functions of the rewritten expression, and those of the table that are our own.
#[rustfmt::skip]
const OWN: [(&str, usize, Function); 24] = [
    ("@range", 2, cost::range),
    ("@copy", 1, cost::copy),
    ("@read", 1, cost::read),
    ("@make", 1, cost::make),
    ("@add", 2, cost::add),
    ("@equal", 2, access::equal),
    ("@isIn", 2, access::is_in),
    ("@has", 2, access::has),
    ("@optionalSelect", 2, access::optional),
    ("@optionalIndex", 2, access::optional),
    ("get", 3, access::get),
    ("@matches", 2, text::matches),
    ("@indexOf", 2, text::index_of),
    ("@indexOf", 3, text::index_of),
    ("@lastIndexOf", 2, text::last_index_of),
    ("@lastIndexOf", 3, text::last_index_of),
    ("@join", 1, text::join),
    ("@join", 2, text::join),
    ("@replace", 3, text::replace),
    ("@replace", 4, text::replace),
    ("globMatch", 2, text::glob_match),
    ("@firesPerDay", 2, schedule::fires_per_day),
    ("@nextRuns", 3, schedule::next_runs),
    ("zoneOffset", 2, schedule::zone_offset),
];

/// Every signature, sorted by name.
static SIGNATURES: LazyLock<Vec<Signature>> = LazyLock::new(|| {
    let all = TABLE.iter().flat_map(|(name, _, forms)| forms.iter().map(move |form| (name, form)));
    let mut all: Vec<Signature> = all.filter_map(|(name, form)| signature(name, form)).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
});

/// Every overload of a function.
pub(super) fn signatures(name: &str) -> &'static [Signature] {
    let all = SIGNATURES.as_slice();
    let start = all.partition_point(|signature| signature.name.as_str() < name);
    let end = all.partition_point(|signature| signature.name.as_str() <= name);
    all.get(start..end).unwrap_or_default()
}

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _, _)| *name).filter(|name| !name.contains('@'))
}

/// The charge for a call by that name; by the name within its library where it has one.
pub(super) fn charge_of(name: &str) -> Charge {
    let is = |known: &str| known == name || known.rsplit('.').next() == Some(name);
    TABLE.iter().find(|(known, _, _)| is(known)).map_or(Nothing, |(_, charge, _)| *charge)
}

/// The name that a function is called by where it is typed: macros have others of their own.
pub(super) fn typed_name(name: &str) -> &str {
    match name {
        "math.@max" => "math.greatest",
        "math.@min" => "math.least",
        name => name,
    }
}

/// Whether a name before a dot is that of a library.
pub(super) fn is_library(name: &str) -> bool {
    LIBRARIES.contains(&name)
}

/// The variable that stands for a function of a literal pointer.
pub(super) fn about_the_change(name: &str) -> Option<&'static str> {
    match name {
        "touches" => Some("@touches"),
        "added" => Some("@added"),
        "removed" => Some("@removed"),
        _ => None,
    }
}

/// Whether a function or an operator gives a flag, whatever it is called with.
pub(super) fn is_flag(name: &str) -> bool {
    use cel::common::ast::operators::{
        EQUALS, GREATER, GREATER_EQUALS, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR,
        NOT_EQUALS,
    };
    let operators = [
        EQUALS,
        NOT_EQUALS,
        LESS,
        LESS_EQUALS,
        GREATER,
        GREATER_EQUALS,
        LOGICAL_AND,
        LOGICAL_OR,
        LOGICAL_NOT,
        "@equal",
        "@isIn",
        "@has",
        "@matches",
    ];
    operators.contains(&name)
}

/// The environment that rules are run in.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib();
    for extension in [extensions::strings, extensions::math] {
        let added = env.add_extension(extension);
        debug_assert!(added.is_ok(), "{added:?}");
    }
    for (name, arity, function) in OWN {
        let id = format!("{name}/{arity}");
        let added = env.add_overload(name, &id, (0..arity).map(|_| DYN_TYPE).collect(), function);
        debug_assert!(added.is_ok(), "{added:?}");
    }
    let added = time::add_to(&mut env);
    debug_assert!(added.is_ok(), "{added:?}");
    let added = env.add_macro(bind());
    debug_assert!(added.is_ok(), "{added:?}");
    env
}

/// Reads `receiver.(parameter,…) result`.
fn signature(name: &str, form: &str) -> Option<Signature> {
    let (receiver, rest) = match form.split_once(".(") {
        Some((receiver, rest)) => (Some(Type::parse(receiver)?), rest),
        None => (None, form.strip_prefix('(')?),
    };
    let (parameters, result) = rest.rsplit_once(") ")?;
    let parameters = Type::parse_list(parameters)?;
    let result = Type::parse(result)?;
    Some(Signature { name: name.to_owned(), receiver, parameters, result })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_table_is_a_signature() {
        for (name, _, forms) in TABLE {
            for form in forms {
                assert!(signature(name, form).is_some(), "{name} {form}");
            }
        }
        assert_eq!(signatures("size").len(), 8);
        assert_eq!(signatures("nothing").len(), 0);
    }

    #[test]
    fn the_environment_takes_all_of_them() {
        let env = environment();
        assert!(env.find_overload("get", &[]).is_none());
    }
}
