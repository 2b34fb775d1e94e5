//! Files of secrets that others gave: lines of text, which only the owner can read.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::file;
use crate::base::key::Token;

/// The longest such file, in bytes.
const BYTES_MAX: u64 = 16 << 10;

/// The most secrets of one file.
const LINES_MAX: usize = 8;

/// How the secret of a webhook begins (Standard Webhooks, 1.0.0).
const SIGNS: &str = "whsec_";

/// How many bytes the secret of a webhook has.
const SIGNS_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The lines of a file, empty ones aside, or how to fix it.
pub(super) fn lines(path: &Path) -> Result<Vec<Token>, String> {
    let shown = path.display();
    let unread = |error| format!("can't read {shown} ({error}): name a readable file");
    let text = file::text_within(path, BYTES_MAX).map_err(unread)?;
    if file::exposed(&std::fs::metadata(path).map_err(unread)?) {
        return Err(format!("{shown} is readable by others: chmod 600 it"));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<Token> = lines.map(Token::new).collect();
    match lines.len() {
        0 => Err(format!("{shown} is empty: write the secret into it")),
        count if count > LINES_MAX => {
            Err(format!("{shown} has more than {LINES_MAX} lines: remove old ones"))
        }
        _ => Ok(lines),
    }
}

/// The bytes of the secrets by which a webhook is signed, or how to fix them.
pub(super) fn signing(path: &Path) -> Result<Vec<Token>, String> {
    let lines = lines(path)?;
    let is_sound = |line: &Token| {
        let bytes = line.expose().strip_prefix(SIGNS).and_then(|text| STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| SIGNS_BYTES.contains(&bytes.len()))
    };
    if lines.iter().all(is_sound) {
        return Ok(lines);
    }
    Err(format!(
        "{} holds another thing than secrets of webhooks: write {SIGNS} and the base64 of 24 to 64 \
         bytes, such as `echo \"{SIGNS}$(openssl rand -base64 32)\"` prints",
        path.display()
    ))
}

/// Header fields, or how to fix them.
pub(super) fn fields(path: &Path) -> Result<Vec<(http::HeaderName, Token)>, String> {
    let field = |line: &Token| {
        let (name, value) = line.expose().split_once(':')?;
        let value = value.trim();
        let is_value = http::HeaderValue::try_from(value).is_ok() && !value.is_empty();
        let name = http::HeaderName::try_from(name.trim()).ok()?;
        is_value.then(|| (name, Token::new(value)))
    };
    let fields: Option<Vec<_>> = lines(path)?.iter().map(field).collect();
    fields.ok_or_else(|| {
        format!(
            "{} holds another thing than header fields: write lines such as `authorization: \
             Bearer TOKEN`",
            path.display()
        )
    })
}

/// The one token of a file, or how to fix it.
pub(super) fn token(path: &Path) -> Result<Token, String> {
    let lines = lines(path)?;
    match lines.as_slice() {
        [token] if http::HeaderValue::try_from(token.expose()).is_ok() => Ok(token.clone()),
        _ => Err(format!("{} holds more than a token: write one line into it", path.display())),
    }
}
