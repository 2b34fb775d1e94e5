//! Recorded values as people read them.

use serde_json::Value;

pub(super) use crate::base::visible::plain;

/// `value` as JSON on one line.
pub(super) fn json(value: &Value) -> String {
    plain(&value.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_does_not_steer_the_terminal() {
        let value = serde_json::json!("\u{7f}\n");
        assert_eq!(super::json(&value), "\"\\u{7f}\\n\"");
    }
}
