//! What is told of a record, cut to a bound: what is longest is left out, by its name in `omitted`.

use std::io;

use serde_json::{Value, json};

use crate::base::excerpt::excerpt;
use crate::export::ocsf::Members;

/// The members of a change, an event or another record that make place, in this order, where it is
/// too long.
const LONG: [&str; 9] = [
    "diff",
    "text",
    "standing",
    "after_violations",
    "redacted",
    "violations",
    "unkept",
    "detail",
    "reason",
];

/// The object in an event of OCSF that holds what the schema has no place for.
const UNMAPPED: &str = "unmapped";

/// The members of an event of OCSF without which it is one still.
const DISPENSABLE: [&str; 5] =
    ["entity_result", "http_request", "policy", "status_detail", "message"];

/// The most characters of a text of an event that was cut in every other way.
const TEXT_CHARS_MAX: usize = 128;

/// The most bytes of a text of a record that was cut in every other way.
const TEXT_BYTES_MAX: usize = 256;

/// Prints a record, in no more than `bytes_max` bytes.
pub(super) fn record(
    data: &Members,
    bytes_max: usize,
    print: impl Fn(&Members) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    within((data, None), bytes_max, print, bare_record)
}

/// Prints an event of OCSF, in no more than `bytes_max` bytes.
pub(super) fn event(
    event: &Members,
    bytes_max: usize,
    print: impl Fn(&Members) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    within((event, Some(UNMAPPED)), bytes_max, print, bare_event)
}

/// Prints `whole`; where that is too long, without what is longest of it, or `inside` it; and where
/// it is still, what `bare` leaves of it.
fn within(
    (whole, inside): (&Members, Option<&str>),
    bytes_max: usize,
    print: impl Fn(&Members) -> io::Result<Vec<u8>>,
    bare: fn(&mut Members),
) -> io::Result<Vec<u8>> {
    let text = print(whole)?;
    if text.len() <= bytes_max {
        return Ok(text);
    }
    let (mut data, mut omitted) = (whole.clone(), Vec::new());
    for name in LONG {
        let Some(inner) = at(&mut data, inside) else { break };
        if inner.remove(name).is_none() {
            continue;
        }
        omitted.push(name);
        inner.insert("omitted".to_owned(), json!(omitted));
        let text = print(&data)?;
        if text.len() <= bytes_max {
            return Ok(text);
        }
    }
    bare(&mut data);
    print(&data)
}

/// Leaves what names a record.
fn bare_record(data: &mut Members) {
    let ids = ["position", "id", "deployment_id", "decision", "outcome", "kind"];
    data.retain(|name, value| {
        let is_short = value.as_str().is_none_or(|text| text.len() <= TEXT_BYTES_MAX);
        ids.contains(&name.as_str()) && is_short
    });
    data.insert("omitted".to_owned(), json!(["*"]));
}

/// Leaves what the schema asks for, and the record's position.
fn bare_event(event: &mut Members) {
    for name in DISPENSABLE {
        event.remove(name);
    }
    if let Some(inner) = at(event, Some(UNMAPPED)) {
        inner.retain(|name, _| name == "position");
        inner.insert("omitted".to_owned(), json!(["*"]));
    }
    event.values_mut().for_each(shorten);
}

/// The object of this name in another one, or that one itself.
fn at<'m>(data: &'m mut Members, inside: Option<&str>) -> Option<&'m mut Members> {
    match inside {
        Some(name) => data.get_mut(name).and_then(Value::as_object_mut),
        None => Some(data),
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT_CHARS_MAX => {
            *text = excerpt(text, TEXT_CHARS_MAX);
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(value: &Value) -> Members {
        value.as_object().unwrap().clone()
    }

    fn print(data: &Members) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&json!({ "type": "change.denied", "data": data }))?)
    }

    fn read(text: &[u8], bytes_max: usize) -> Value {
        assert!(text.len() <= bytes_max, "{} of {bytes_max}", text.len());
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn a_record_fits_its_bound_and_tells_what_it_leaves_out() {
        let data = members(&json!({
            "id": "chg_1", "decision": "deny", "position": 7, "diff": "d".repeat(5_000),
            "client": {"user_agent": "u".repeat(500)},
        }));
        let cut = |bytes_max| read(&record(&data, bytes_max, print).unwrap(), bytes_max);
        assert_eq!(cut(10_000)["data"]["omitted"], Value::Null);
        assert_eq!(cut(2_000)["data"]["omitted"], json!(["diff"]));
        let bare = cut(300);
        assert_eq!(
            (&bare["data"]["omitted"], &bare["data"]["position"]),
            (&json!(["*"]), &json!(7))
        );
        assert_eq!(bare["type"], "change.denied");
    }

    #[test]
    fn an_event_fits_its_bound_and_is_one_still() {
        let long = "夜".repeat(9_000);
        let whole = members(&json!({
            "class_uid": 3004, "metadata": {"uid": "chg_1", "correlation_uid": long},
            "actor": {"user": {"uid": "pat_1", "groups": [{"name": long}]}},
            "entity": {"uid": "dep_1", "name": long}, "entity_result": {"uid": "dep_1"},
            "message": "m", "http_request": {"user_agent": long},
            "unmapped": {"position": 7, "diff": [long, long], "violations": [], "outcome": "x"},
        }));
        let cut = |bytes_max| read(&event(&whole, bytes_max, print).unwrap(), bytes_max);
        assert_eq!(cut(1 << 20)["data"], json!(whole));
        let without = cut(120_000);
        assert_eq!(without["data"]["unmapped"]["omitted"], json!(["diff"]));
        assert_eq!(without["data"]["unmapped"]["outcome"], "x");
        let bare = &cut(2_500)["data"];
        assert_eq!(bare["unmapped"], json!({"position": 7, "omitted": ["*"]}));
        assert_eq!((&bare["class_uid"], &bare["metadata"]["uid"]), (&json!(3004), &json!("chg_1")));
        assert_eq!(bare["entity"]["uid"], "dep_1");
        assert!(bare.get("entity_result").is_none(), "{bare}");
    }
}
