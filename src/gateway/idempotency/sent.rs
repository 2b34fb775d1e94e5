//! The value of `Idempotency-Key`: a structured field's String (RFC 9651, 3.3.3), as
//! draft-ietf-httpapi-idempotency-key-header-07 has it, or the same text bare, as most APIs do.

use http::HeaderMap;

use super::super::refusal::Refusal;

pub(in crate::gateway) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest key, in characters.
const CHARS_MAX: usize = 255;

/// The key that a call brings; `None` where it brings none. Equal ones are one.
pub(in crate::gateway) fn sent(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter().map(|value| read(value.as_bytes()));
    let Some(first) = keys.next().transpose()? else { return Ok(None) };
    for other in keys {
        if other? != first {
            return Err(Refusal::form("two Idempotency-Key headers that differ: send one"));
        }
    }
    Ok(Some(first))
}

fn read(value: &[u8]) -> Result<String, Refusal> {
    let fault = |fix: &str| Err(Refusal::form(format!("the Idempotency-Key {fix}")));
    let Some(text) = std::str::from_utf8(value).ok().filter(|text| is_printable(text)) else {
        return fault("has characters other than printable ASCII: send a UUID, for example");
    };
    let Some(key) = unquoted(text) else {
        return fault("is not one text: send it bare, or in double quotes as a whole");
    };
    match key.len() {
        0 => fault("is empty: send a UUID, for example, or no such header"),
        1..=CHARS_MAX => Ok(key),
        _ => fault("is longer than 255 characters: shorten it"),
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The text of a key, without its quotes and escapes; `None` where these do not fit.
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let (mut key, mut characters) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => key.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            plain => key.push(plain),
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        sent(&headers).map_err(|refusal| refusal.message)
    }

    #[test]
    fn a_key_is_read_bare_and_quoted_alike() {
        let long = "k".repeat(CHARS_MAX);
        let quoted = format!("\"{long}\"");
        let cases: [(&[u8], &str); 7] = [
            (b"abc", "abc"),
            (b"\"abc\"", "abc"),
            (b"a b, c;d=1 \\", "a b, c;d=1 \\"),
            (b"\"a\\\"b\\\\\"", "a\"b\\"),
            (b"' '", "' '"),
            (long.as_bytes(), &long),
            (quoted.as_bytes(), &long),
        ];
        for (value, key) in cases {
            assert_eq!(of(&[value]).unwrap().as_deref(), Some(key));
        }
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[b"abc", b"\"abc\""]).unwrap().as_deref(), Some("abc"));
    }

    #[test]
    fn a_key_that_could_be_read_as_another_is_refused() {
        let long = "k".repeat(CHARS_MAX + 1);
        let cases: [(&[&[u8]], &str); 14] = [
            (&[b""], "is empty"),
            (&[b"\"\""], "is empty"),
            (&[b"\""], "is not one text"),
            (&[b"\"abc"], "is not one text"),
            (&[b"abc\""], "is not one text"),
            (&[b"\"a\"b\""], "is not one text"),
            (&[b"\"a\", \"b\""], "is not one text"),
            (&[b"\"a\\n\""], "is not one text"),
            (&[b"\"a\\\""], "is not one text"),
            (&[b"\"a\";q=1"], "is not one text"),
            (&[b"a\tb"], "printable ASCII"),
            (&["schl\u{fc}ssel".as_bytes()], "printable ASCII"),
            (&[long.as_bytes()], "longer than 255"),
            (&[b"a", b"b"], "two Idempotency-Key headers"),
        ];
        for (values, told) in cases {
            let error = of(values).unwrap_err();
            assert!(error.contains(told), "{values:?}: {error}");
        }
    }
}
