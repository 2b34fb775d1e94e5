//! The strict reading of a governed body: bytes that every parser must read alike, or a refusal.

mod reader;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use self::reader::{Keys, Reader};
use super::Object;
use super::name::folded_start;
use crate::base::excerpt::excerpt;
use crate::provider::Provider;

/// The deepest nesting that can be asked for. Reading recurses, so the stack sets a bound.
pub const DEPTH_MAX: usize = 128;

/// The most metadata keys that one body may hold, nested ones included: far more than any provider
/// takes, and few enough that judging each by its look holds nobody up.
const METADATA_KEYS_MAX: usize = 1_000;

/// The most members that a body may have: far more than there are fields.
const MEMBERS_MAX: usize = 1_000;

/// The longest key in `metadata`, in letters: twice what a provider takes. Keys are compared by
/// their look, which takes time.
const KEY_LETTERS_MAX: usize = 128;

/// The most letters of all keys in `metadata` together, each as many as its compatibility form has.
const KEYS_LETTERS_MAX: usize = 16_384;

/// The most values that a body may hold, nested ones included: each takes memory, and few bytes
/// are enough to write one.
const VALUES_MAX: usize = 100_000;

/// The most values that upstream's answer may hold.
const ANSWER_VALUES_MAX: usize = 1_000_000;

/// Members by which some servers let a body say that it is another method's.
const METHOD_MEMBERS: [&str; 2] = ["_method", "_httpmethod"];

/// The most characters of a member's name that a refusal shows.
const NAME_CHARS_MAX: usize = 64;

/// The body of a governed call: one JSON object, proven unambiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// The object's members.
    pub object: Object,
}

/// Why a body is refused. The message names the place and the fix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct PatchError {
    /// A sentence that says what is wrong and how to fix it; it never quotes a value.
    pub message: String,
    /// The dotted path of the offending member, where there is one.
    pub param: Option<String>,
}

/// Reads a governed body (RFC 8259): exactly one object, valid UTF-8, no byte order mark, no
/// duplicate keys after unescaping, no lone surrogates, no trailing bytes, no number beyond a
/// finite double, at most `depth_max` levels of nesting (itself at most [`DEPTH_MAX`]), no control
/// character in any key, `metadata` an object where it is given, no member that some servers would
/// take for one of the provider's fields and others not.
///
/// An empty body is refused like any other text that is not an object: where a call needs no body,
/// its absence is [`Patch::default`].
pub fn parse(provider: &Provider, body: &[u8], depth_max: usize) -> Result<Patch, PatchError> {
    let Value::Object(object) = read(body, Reader::new(depth_max, VALUES_MAX, Keys::Sane))? else {
        return Err(PatchError::whole("the body is not a JSON object: send exactly one"));
    };
    if object.len() > MEMBERS_MAX {
        let message = format!("the body has more than {MEMBERS_MAX} members: send fewer");
        return Err(PatchError::whole(message));
    }
    if let Some(error) = object.keys().find_map(|name| misleading(provider, name)) {
        return Err(error);
    }
    if let Some(metadata) = object.get("metadata") {
        check_metadata(metadata)?;
    }
    Ok(Patch { object })
}

impl Patch {
    /// The patch, if it is one of the deployment of that id: clients send whole objects again, but
    /// some servers go by the body where it names another deployment than the path.
    pub(crate) fn of(self, deployment_id: Option<&str>) -> Result<Self, PatchError> {
        let named = self.object.get("id").filter(|named| !named.is_null());
        match (deployment_id, named) {
            (Some(id), Some(named)) if named != id => Err(PatchError {
                message: "`id` is not the one in the path: leave it out".into(),
                param: Some("id".into()),
            }),
            _ => Ok(self),
        }
    }
}

/// Complains of a member that is none of the fields and may be taken for one, or for the method.
fn misleading(provider: &Provider, name: &str) -> Option<PatchError> {
    let is_field = |name: &str| provider.fields.iter().any(|field| field.name == name);
    if is_field(name) {
        return None;
    }
    let (start, is_whole) = folded_start(name, NAME_CHARS_MAX);
    let shown = excerpt(name, NAME_CHARS_MAX);
    let root = root_of(&start);
    let message = if is_whole && METHOD_MEMBERS.contains(&start.as_str()) {
        format!("`{shown}` would make this another method: remove it")
    } else if is_whole && is_field(&start) {
        format!("`{shown}` is not a field, but some servers take it for one: write `{start}`")
    } else if root.len() < start.len() && is_field(root) {
        format!(
            "`{shown}` is not a field, but some servers take it for a place in one: write it \
             inside `{root}`"
        )
    } else {
        return None;
    };
    Some(PatchError { message, param: Some(shown) })
}

/// The first word of a name: the field that `metadata.key`, `metadata[key]` and `/metadata/key` are
/// places in for servers that read names as paths.
fn root_of(name: &str) -> &str {
    let is_joint = |c: char| !c.is_alphanumeric() && c != '_';
    name.split(is_joint).find(|word| !word.is_empty()).unwrap_or_default()
}

/// Complains of metadata that is not an object, or has more or longer keys than can be judged.
fn check_metadata(metadata: &Value) -> Result<(), PatchError> {
    let complain = |message| Err(PatchError { message, param: Some("metadata".into()) });
    if !metadata.is_object() {
        return complain(
            "`metadata` is not an object: send an object, with null at keys to delete".to_owned(),
        );
    }
    if keys_in(metadata) > METADATA_KEYS_MAX {
        return complain(format!(
            "`metadata` holds more than {METADATA_KEYS_MAX} keys, nested ones included: send fewer"
        ));
    }
    let mut letters_left = KEYS_LETTERS_MAX;
    match unfit_key(metadata, &mut letters_left) {
        None => Ok(()),
        Some(Unfit::Long(key)) => {
            let shown = excerpt(key, NAME_CHARS_MAX);
            complain(format!(
                "the key `{shown}` in `metadata` has more than {KEY_LETTERS_MAX} letters: \
                 shorten it"
            ))
        }
        Some(Unfit::Beyond) => complain(format!(
            "the keys in `metadata` have more than {KEYS_LETTERS_MAX} letters together, nested \
             ones included: send fewer or shorter ones"
        )),
    }
}

/// Why keys of metadata are not taken.
enum Unfit<'k> {
    Long(&'k str),
    Beyond,
}

/// A key that is too long, or makes all of them too many letters, at any level.
fn unfit_key<'v>(value: &'v Value, letters_left: &mut usize) -> Option<Unfit<'v>> {
    match value {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            if key.chars().nth(KEY_LETTERS_MAX).is_some() {
                return Some(Unfit::Long(key));
            }
            let letters = if key.is_ascii() { key.len() } else { key.nfkc().count() };
            match letters_left.checked_sub(letters) {
                None => return Some(Unfit::Beyond),
                Some(left) => *letters_left = left,
            }
            unfit_key(value, letters_left)
        }),
        Value::Array(elements) => {
            elements.iter().find_map(|element| unfit_key(element, letters_left))
        }
        _ => None,
    }
}

/// How many keys a value holds at all levels.
fn keys_in(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len() + members.values().map(keys_in).sum::<usize>(),
        Value::Array(elements) => elements.iter().map(keys_in).sum(),
        _ => 0,
    }
}

/// Reads any JSON text as strictly as [`parse`] does, but for control characters in keys, which
/// are none of the client's doing where upstream answers with them.
pub fn parse_value(text: &[u8], depth_max: usize) -> Result<Value, PatchError> {
    read(text, Reader::new(depth_max, ANSWER_VALUES_MAX, Keys::Any))
}

impl PatchError {
    /// A complaint about the body as a whole.
    fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None }
    }
}

fn read(body: &[u8], mut reader: Reader) -> Result<Value, PatchError> {
    if body.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        return Err(PatchError::whole("the body is empty: send one JSON object"));
    }
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(PatchError::whole(
            "the body starts with a byte order mark: send UTF-8 without one",
        ));
    }
    let text = str::from_utf8(body).map_err(|source| {
        let place = source.valid_up_to() + 1;
        PatchError::whole(format!("the body is not UTF-8 at byte {place}: encode it as UTF-8"))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    // The reader counts the levels itself, and to a bound that can be chosen.
    json.disable_recursion_limit();
    let value = reader.read(&mut json)?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// The parser's own words name what is wrong, never what stands there.
fn malformed(error: &serde_json::Error) -> PatchError {
    let whole = error.to_string();
    let reason = whole.split(" at line ").next().unwrap_or_default();
    let (line, column) = (error.line(), error.column());
    PatchError::whole(format!(
        "the body is not strict JSON at line {line}, column {column} ({reason}): \
         fix it by RFC 8259"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;

    fn parse_strict(body: &[u8], depth_max: usize) -> Result<Patch, PatchError> {
        parse(Provider::named("qoder-cn").unwrap(), body, depth_max)
    }

    #[test]
    fn every_case_is_read_or_refused_as_its_file_says() {
        for case in cases("patch") {
            let [body, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let found = match parse_strict(body.as_bytes(), 8) {
                Ok(patch) => format!("ok {}", Value::Object(patch.object)),
                Err(error) => {
                    format!("{} | {}", error.param.as_deref().unwrap_or("-"), error.message)
                }
            };
            assert_eq!(&found, expected, "{}", case.title);
        }
    }

    #[test]
    fn bytes_that_are_no_clean_text_are_refused() {
        let refused = |body: &[u8]| parse_strict(body, 64).unwrap_err().message;
        assert!(refused(b"\xEF\xBB\xBF{}").contains("byte order mark"));
        assert!(refused(b"{\"a\":\"\xFF\"}").contains("byte 7"));
        assert!(refused(b"\xFE\xFF\0{\0}").contains("UTF-8"));
        assert!(refused(b"{\"\xED\xA0\x80\":1}").contains("UTF-8"));
        assert!(refused(b"{}\0").contains("trailing"));
        for empty in [b"".as_slice(), b" \t\r\n"] {
            assert!(refused(empty).contains("empty"));
        }
    }

    #[test]
    fn a_control_character_raw_or_c1_in_a_key_is_refused() {
        for key in ["a\\u0000", "a\\n", "\\u007f", "\\u0085", "\u{7f}", "\u{9b}31m"] {
            let error =
                parse_strict(format!("{{\"m\":{{\"{key}\":1}}}}").as_bytes(), 64).unwrap_err();
            assert!(error.message.contains("control character"), "{key:?} {error}");
            assert!(!error.message.chars().any(char::is_control));
            assert!(!error.param.unwrap().chars().any(char::is_control));
            let answer = format!("{{\"{key}\":1}}");
            assert!(parse_value(answer.as_bytes(), 64).is_ok());
        }
    }

    #[test]
    fn nesting_is_counted_to_the_level() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for depth_max in [1, 64, 128] {
            assert!(parse_value(nested(depth_max).as_bytes(), depth_max).is_ok());
            let error = parse_value(nested(depth_max + 1).as_bytes(), depth_max).unwrap_err();
            assert!(error.message.contains(&format!("{depth_max} levels")), "{error}");
        }
        assert!(parse_value(nested(129).as_bytes(), usize::MAX).is_err());
        assert!(parse_value("[".repeat(4 << 20).as_bytes(), 64).is_err());
    }

    #[test]
    fn any_value_may_stand_alone_in_an_answer() {
        for text in ["null", " true ", "\"\\ud83d\\ude00\"", "-0", "1E-2", "[1,\n2]", "0e+1"] {
            assert!(parse_value(text.as_bytes(), 64).is_ok(), "{text}");
        }
        for text in ["NaN", "Infinity", "1e999", "-", "01", "+1", ".5", "1.", "'a'", "[1,]", "nul"]
        {
            assert!(parse_value(text.as_bytes(), 64).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_short_and_quotes_no_value() {
        let long = "k".repeat(100_000);
        let body = format!("{{\"{long}\":{{\"{long}\":\"pt-secret\",\"{long}\":\"pt-secret\"}}}}");
        let error = parse_strict(body.as_bytes(), 64).unwrap_err();
        assert!(error.message.len() < 1_000 && !error.message.contains("pt-secret"), "{error}");
        let error = parse_strict(b"{\"a\": \"pt-secret\" \"b\"}", 64).unwrap_err();
        assert!(!error.message.contains("pt-secret"), "{error}");
    }
}
