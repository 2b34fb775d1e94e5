//! JSON documents within files of settings.

use serde_json::{Map, Number, Value as Json};

use super::complaint::Location;
use super::raw::{Node, Value};

/// A value that JSON does not have: where it was typed, and the fix.
pub(crate) type NotJson = (Location, String);

/// The JSON value that a typed value stands for.
pub(crate) fn json(node: &Node) -> Result<Json, NotJson> {
    let refused = |fix: &str| Err((node.place.clone(), format!("{} {fix}", node.shown())));
    Ok(match &node.value {
        Value::Text(text) => Json::String(text.clone()),
        Value::Integer(number) => Json::from(*number),
        Value::Decimal(number) => match Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => return refused("is no number in JSON: write one that is finite"),
        },
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Array(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Value::Table(fields) => {
            let member =
                |(name, node): (&String, &Node)| json(node).map(|value| (name.clone(), value));
            Json::Object(fields.iter().map(member).collect::<Result<Map<_, _>, _>>()?)
        }
        Value::Moment(_) => return refused("is none in JSON: put it in quotes"),
        Value::Other(_) => return refused("is none in JSON: write the document as a text in JSON"),
    })
}
