//! The etag of a deployment.

use serde_json::Value;

use crate::base::canonical::without;
use crate::base::ids::Hex;
use crate::base::key::Key;
use crate::provider::Provider;

/// The entity tag (RFC 9110, 8.8.3) of a deployment, quotes included: a keyed digest of it
/// without its computed fields.
#[must_use]
pub fn etag(key: &Key, provider: &Provider, deployment: &Value) -> String {
    format!("\"{}\"", Hex(&etag_bytes(key, provider, deployment)))
}

/// The digest that an [`etag`] is the text of.
#[must_use]
pub fn etag_bytes(key: &Key, provider: &Provider, deployment: &Value) -> [u8; 16] {
    let digest = key.digest("etag", &without(deployment, provider.computed));
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canonical::canonical;
    use crate::deployment::diff::same;
    use crate::deployment::patch;
    use crate::deployment::predict::without_computed_below;
    use serde_json::json;

    #[test]
    fn the_etag_stays_while_only_the_server_moves_things() {
        let key = Key::from_bytes([3; 32]);
        let provider = Provider::named("qoder-cn").unwrap();
        let deployment = json!({
            "name": "n", "updated_at": "1", "status": "active", "paused_reason": null,
            "schedule": {"timezone": "UTC", "upcoming_runs_at": [1], "last_run_at": 2},
            "metadata": {"cas_config": {"stats": {"runs": 1}, "config": {}}},
        });
        let tag = |deployment: &Value| etag(&key, provider, deployment);
        let first = tag(&deployment);
        assert_eq!(first.len(), 34);
        assert!(first.starts_with('"') && first.ends_with('"'));

        let mut moved = deployment.clone();
        for path in provider.computed {
            *moved.pointer_mut(path).unwrap() = json!("moved");
        }
        assert_eq!(tag(&moved), first);
        let lasting = canonical(&without_computed_below(provider, "", &moved));
        let digest = key.digest("etag", &lasting);
        assert_eq!(first, format!("\"{}\"", Hex(&digest[..16])));
        moved["name"] = json!("m");
        assert_ne!(tag(&moved), first);
        assert_ne!(etag(&Key::from_bytes([4; 32]), provider, &deployment), first);
    }

    /// The log keeps this text: what upstream printed must not come back as another number.
    #[test]
    fn numbers_print_as_they_were_read() {
        let numbers = [
            "0.1",
            "1744949106.4788737",
            "2.2250738585072014e-308",
            "5e-324",
            "1.7976931348623157e+308",
            "18446744073709551615",
            "-9223372036854775808",
        ];
        for text in numbers {
            let value = patch::parse_value(text.as_bytes(), 1).unwrap();
            assert_eq!(canonical(&value), text.as_bytes());
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
        }
        // Doubles from anywhere: each step moves sign, exponent and fraction.
        let mut bits: u64 = 1;
        for _ in 0..10_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let Some(number) = serde_json::Number::from_f64(f64::from_bits(bits)) else { continue };
            let text = canonical(&Value::Number(number.clone()));
            let value = patch::parse_value(&text, 1).unwrap();
            assert_eq!(canonical(&value), text);
            assert!(same(&value, &Value::Number(number)));
        }
    }

    #[test]
    fn members_print_in_the_order_of_their_names() {
        let value: Value = serde_json::from_str(r#"{"b": [1, 2], "a": {"d": 1, "c": 2}}"#).unwrap();
        assert_eq!(canonical(&value), br#"{"a":{"c":2,"d":1},"b":[1,2]}"#);
    }
}
