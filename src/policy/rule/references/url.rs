//! URLs as any server reads them, and patterns of URLs.
//!
//! What two servers may read differently is not read at all: it fits no pattern. The rest is
//! brought into one form first, so that a pattern is compared with what is meant.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::glob::Glob;
use crate::deployment::name::seen_in;

/// The longest URL that is read, in bytes.
const BYTES_MAX: usize = 4_096;

/// A URL in the one form that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: String,
    host: String,
    port: Option<u16>,
    path: String,
    /// The query and the fragment, with the signs before them.
    rest: String,
}

/// A URL, or a glob of URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    text: String,
    /// `None` for any URL that can be read.
    parts: Option<PatternParts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PatternParts {
    scheme: String,
    host: HostPattern,
    port: Option<u16>,
    path: Glob,
    rest: Glob,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Exactly(String),
    /// Some labels, then these with a dot before them.
    Below(String),
}

impl Url {
    /// Reads a URL, or says why it can't be told what it is. `git@host:path` is one of `ssh`.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("it is longer than 4096 bytes");
        }
        if text.contains('\\') {
            return Err("it holds a backslash");
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Self::of_scp(text) };
        let is_of_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.bytes().all(is_of_scheme)
        {
            return Err("its scheme is none");
        }
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let port = port.filter(|port| default_port(&scheme) != Some(*port));
        let (path, rest) = path_and_rest(path)?;
        Ok(Self { scheme, host, port, path, rest })
    }

    /// `git@host:path`, as git takes it.
    fn of_scp(text: &str) -> Result<Self, &'static str> {
        const NONE: &str = "it is no URL: write its scheme, such as https://";
        let (user, rest) = text.split_once('@').ok_or(NONE)?;
        let (host, path) = rest.split_once(':').ok_or(NONE)?;
        if user.is_empty() || !user.bytes().all(is_of_user) {
            return Err(NONE);
        }
        let (host, _no_port) = host_and_port(host)?;
        let (path, rest) = path_and_rest(&format!("/{}", path.trim_start_matches('/')))?;
        Ok(Self { scheme: "ssh".to_owned(), host, port: None, path, rest })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// The host in small letters, and the port if one is told. Who logs in there does not matter.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let host = match authority.split_once('@') {
        Some((user, host)) if user.bytes().all(|b| is_of_user(b) || b == b':') => host,
        Some(_) => return Err("what stands before its host can be read in two ways"),
        None => authority,
    };
    let after_host =
        if host.starts_with('[') { host.find(']').map_or(0, |end| end + 1) } else { 0 };
    let (host, port) = match host.get(after_host..).and_then(|rest| rest.find(':')) {
        Some(at) => host.split_at(after_host + at),
        None => (host, ""),
    };
    let port = match port.strip_prefix(':') {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_error| "its port is none")?)
        }
        Some(_) => return Err("its port is none"),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_of_literal = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_sound = match literal {
        Some(address) => !address.is_empty() && address.bytes().all(is_of_literal),
        None => host.split('.').all(is_label),
    };
    if !is_sound {
        return Err("its host can be read in more ways than one: write it in plain ASCII letters");
    }
    Ok((host, port))
}

fn is_label(label: &str) -> bool {
    let is_of_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !label.is_empty() && label.bytes().all(is_of_label)
}

fn is_of_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-' | b'+' | b'=' | b'%')
}

const fn default_port(scheme: &str) -> Option<u16> {
    match scheme.as_bytes() {
        b"http" => Some(80),
        b"https" => Some(443),
        b"ssh" => Some(22),
        b"git" => Some(9_418),
        _ => None,
    }
}

/// The path, with what needs no encoding decoded and what needs one encoded, and what follows it.
fn path_and_rest(text: &str) -> Result<(String, String), &'static str> {
    let (path, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let path = plain(path)?;
    let is_dots = |segment: &str| {
        // Some servers leave out what follows a semicolon.
        matches!(segment.split(';').next(), Some("." | ".."))
    };
    if path.split('/').any(is_dots) {
        return Err("its path leads through `.` or `..`: write where it leads");
    }
    let path = if path.is_empty() { "/".to_owned() } else { path };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its query holds what should be encoded");
    }
    Ok((path, rest.to_owned()))
}

fn plain(path: &str) -> Result<String, &'static str> {
    let mut plain = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => {
                let digits: String = letters.by_ref().take(2).collect();
                let byte =
                    if digits.len() == 2 { u8::from_str_radix(&digits, 16).ok() } else { None };
                let byte = byte.filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                match byte.ok_or("its path is encoded wrongly")? {
                    byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                        plain.push(char::from(byte));
                    }
                    0..=0x1f | 0x7f | b'/' | b'\\' | b'%' | b'?' | b'#' | b';' => {
                        return Err("its path holds an encoded sign that servers decode or don't");
                    }
                    byte => push_encoded(&mut plain, byte),
                }
            }
            '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}' => {
                return Err("its path holds a sign that should be encoded");
            }
            letter if letter.is_ascii_graphic() => plain.push(letter),
            letter => {
                let mut bytes = [0; 4];
                let text = letter.encode_utf8(&mut bytes);
                let is_plain = seen_in(text.chars()).count() == 1 && text.nfkc().eq(text.chars());
                if !letter.is_alphanumeric() || !is_plain {
                    return Err("its path holds what can't be seen, or looks like another sign");
                }
                text.bytes().for_each(|byte| push_encoded(&mut plain, byte));
            }
        }
    }
    Ok(plain)
}

fn push_encoded(plain: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).map_or('0', |digit| char::from(*digit));
    plain.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

impl UrlPattern {
    /// Reads a pattern, or says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_owned();
        if text == "*" {
            return Ok(Self { text, parts: None });
        }
        let fix = |why: &str| format!("{why}: write it like \"https://git.example.com/*\"");
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fix("it has no scheme"));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(fix("who logs in does not count"));
        }
        let below = authority.strip_prefix("*.");
        let is_any = authority == "*";
        let plain = if is_any { "any" } else { below.unwrap_or(authority) };
        if plain.contains('*') {
            let why = "a `*` in the host stands for all of it, or for labels at its beginning";
            return Err(format!("{why}: write \"https://*.example.com/*\""));
        }
        if path.is_empty() {
            return Err(fix("it has no path"));
        }
        // Read as a URL, the star as the letter that it is.
        let url = Url::read(&format!("{scheme}://{plain}{path}")).map_err(fix)?;
        let host = match below {
            _ if is_any => HostPattern::Any,
            Some(_) => HostPattern::Below(format!(".{}", url.host)),
            None => HostPattern::Exactly(url.host),
        };
        let path = Glob::of(&url.path);
        let open = url.rest.is_empty() && path.ends_open();
        let rest = Glob::of(if open { "*" } else { &url.rest });
        let parts = PatternParts { scheme: url.scheme, host, port: url.port, path, rest };
        Ok(Self { text, parts: Some(parts) })
    }

    /// Whether it names a URL.
    pub(super) fn names(&self, url: &Url) -> bool {
        let Some(parts) = &self.parts else { return true };
        let host = match &parts.host {
            HostPattern::Any => true,
            HostPattern::Exactly(host) => *host == url.host,
            HostPattern::Below(end) => url.host.len() > end.len() && url.host.ends_with(end),
        };
        host && parts.scheme == url.scheme
            && parts.port == url.port
            && parts.path.fits(&url.path)
            && parts.rest.fits(&url.rest)
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
