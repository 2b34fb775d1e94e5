//! The meaning of a header's fields to the gateway, found in one pass over it: most headers hold
//! nothing of what would have to be refused, removed or changed, and are then left alone.

use std::sync::LazyLock;

use http::header::{HeaderMap, HeaderValue};

use crate::provider::Credential;

/// A credential as it was sent: in which field, and its value.
pub(in crate::gateway) type Sent<'a> = (Credential, &'a HeaderValue);

/// Fields by which some servers let a request say that it is another one.
const OVERRIDES: [&str; 18] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-http-verb-override",
    "method-override",
    "x-original-method",
    "x-rewrite-method",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-override-url",
    "x-override-uri",
    "x-request-uri",
    "x-forwarded-path",
    "x-forwarded-url",
    "x-forwarded-uri",
];

/// Fields that carry the client's address, or what it called and how; upstream need not know it.
pub(super) const TELLTALES: [&str; 16] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-envoy-original-method",
    "x-envoy-original-path",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

/// Fields that concern one connection only, whether `Connection` names them or not, beside those
/// that are looked at for themselves.
pub(super) const HOPS: [&str; 7] = [
    "upgrade",
    "close",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];

/// Frequent fields that mean nothing to the gateway here; known, so that their names need not be
/// looked at letter by letter.
const PLAIN: [&str; 8] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "if-match",
    "vary",
    "via",
];

/// Fields that are not lists (RFC 9110, 5.3): of two, servers take the first, the last, both as one
/// text, or none.
const SINGLE: [&str; 9] = [
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "max-forwards",
    "referer",
    "server",
    "user-agent",
];

/// A set of marks: how fields that a header holds are to be treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

impl Marks {
    pub(crate) const CONNECTION: Self = Self(1);
    pub(crate) const TE: Self = Self(1 << 1);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(crate) const HOP: Self = Self(1 << 3);
    pub(crate) const EXPECT: Self = Self(1 << 4);
    pub(crate) const TELLTALE: Self = Self(1 << 5);
    pub(crate) const COOKIE: Self = Self(1 << 6);
    /// A field that only the gateway may set.
    pub(crate) const OURS: Self = Self(1 << 7);
    /// `Connection` says more than whether the connection is kept: it may name fields.
    pub(crate) const CONNECTION_NAMES: Self = Self(1 << 8);
    /// In an answer: a URL that a client may follow, or the name of another server.
    pub(crate) const LEADS: Self = Self(1 << 9);

    /// A `Content-Length` that is a list (RFC 9110, 8.6).
    pub(crate) const LENGTHS: Self = Self(1 << 10);

    /// A credential that is there twice, in fields of one name.
    pub(crate) const TWIN: Self = Self(1 << 10);

    /// Whether a field of that kind is there.
    pub(crate) const fn any(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

/// A field of which there should be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sole<T> {
    #[default]
    None,
    One(T),
    Several,
}

impl<T> Sole<T> {
    fn add(&mut self, value: T) {
        *self = if matches!(self, Self::None) { Self::One(value) } else { Self::Several };
    }
}

/// The meaning of a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    Marked(Marks),
    Connection,
    Host,
    Credential(Credential),
    RequestId,
    Length,
    /// Of which there is one at most; its bit among them.
    Single(u16),
    /// Would make a request another one.
    Override,
    /// Not a name that every server reads alike.
    Odd,
}

/// A header's fields, looked through once.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) marks: Marks,
    pub(crate) host: Sole<&'a HeaderValue>,
    pub(crate) credential: Sole<Sent<'a>>,
    pub(crate) request_id: Sole<&'a HeaderValue>,
    /// The first name for which a request is refused, and what it is.
    pub(super) unfit: Option<(&'a str, Meaning)>,
    /// A field that is there more than once, and must not be.
    pub(crate) repeated: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Looks through `headers`.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let (mut fields, mut single) = (Self::default(), 0);
        for (name, value) in headers {
            match meaning(name.as_str()) {
                Meaning::Plain => {}
                Meaning::Marked(Marks(mark)) => fields.marks.0 |= mark,
                Meaning::Connection => {
                    let kept = [&b"keep-alive"[..], b"close"];
                    let plain = kept.iter().any(|kept| value.as_bytes().eq_ignore_ascii_case(kept));
                    let names = if plain { 0 } else { Marks::CONNECTION_NAMES.0 };
                    fields.marks.0 |= Marks::CONNECTION.0 | names;
                }
                Meaning::Host => fields.host.add(value),
                Meaning::Credential(kind) => fields.add_credential((kind, value)),
                Meaning::RequestId => fields.request_id.add(value),
                // HTTP/2 brings those, too, which some servers take for octal numbers.
                Meaning::Length => {
                    if let [b'0', _, ..] = value.as_bytes() {
                        fields.unfit.get_or_insert((name.as_str(), Meaning::Length));
                    }
                    if value.as_bytes().contains(&b',') {
                        fields.marks.0 |= Marks::LENGTHS.0;
                    }
                }
                Meaning::Single(bit) => {
                    if single & bit != 0 {
                        fields.repeated = Some(name.as_str());
                    }
                    single |= bit;
                    if bit == CONTENT_LOCATION {
                        fields.marks.0 |= Marks::LEADS.0;
                    }
                }
                unfit @ (Meaning::Override | Meaning::Odd) => {
                    fields.unfit.get_or_insert((name.as_str(), unfit));
                }
            }
        }
        fields
    }
}

impl<'a> Fields<'a> {
    /// Adds a credential. Where two hold the same token, they are one: SDKs send both headers where
    /// both of their variables are set.
    fn add_credential(&mut self, sent: Sent<'a>) {
        match self.credential {
            Sole::One(first) if bare(first) == bare(sent) => {
                if first.0 == sent.0 {
                    self.marks.0 |= Marks::TWIN.0;
                }
                let is_bearer = matches!(first.0, Credential::Bearer);
                self.credential = Sole::One(if is_bearer { first } else { sent });
            }
            _ => self.credential.add(sent),
        }
    }
}

/// The token in a credential's field, as far as it is one.
fn bare((kind, value): Sent<'_>) -> &[u8] {
    let value = value.as_bytes();
    match (kind, value.split_at_checked(7)) {
        (Credential::Bearer, Some((scheme, token))) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            token.trim_ascii()
        }
        _ => value,
    }
}

/// The known names, by their length and last letter: few have the same.
static KNOWN: LazyLock<[Vec<(&str, Meaning)>; PLACES]> = LazyLock::new(|| {
    let marked = |name, mark| (name, Meaning::Marked(mark));
    let single = [
        ("host", Meaning::Host),
        ("authorization", Meaning::Credential(Credential::Bearer)),
        ("x-api-key", Meaning::Credential(Credential::ApiKey)),
        ("x-request-id", Meaning::RequestId),
        ("content-length", Meaning::Length),
        ("connection", Meaning::Connection),
        marked("te", Marks::TE),
        marked("transfer-encoding", Marks::TRANSFER_ENCODING),
        marked("expect", Marks::EXPECT),
        marked("cookie", Marks::COOKIE),
        marked("changegate-change", Marks::OURS),
        marked("changegate-decision", Marks::OURS),
        marked("changegate-approval", Marks::OURS),
        marked("changegate-break-glass", Marks::OURS),
        marked("changegate-reverts", Marks::OURS),
        marked("location", Marks::LEADS),
        marked("link", Marks::LEADS),
        marked("refresh", Marks::LEADS),
        marked("alt-svc", Marks::LEADS),
    ];
    let known = single
        .into_iter()
        .chain(PLAIN.map(|name| (name, Meaning::Plain)))
        .chain(SINGLE.into_iter().zip(0..).map(|(name, bit)| (name, Meaning::Single(1 << bit))))
        .chain(HOPS.map(|name| marked(name, Marks::HOP)))
        .chain(TELLTALES.map(|name| marked(name, Marks::TELLTALE)))
        .chain(OVERRIDES.map(|name| (name, Meaning::Override)));
    let mut places = [const { Vec::new() }; PLACES];
    for (name, meaning) in known {
        if let Some(names) = places.get_mut(place(name)) {
            names.push((name, meaning));
        }
    }
    places
});

/// The bit of `Content-Location` among [`SINGLE`].
const CONTENT_LOCATION: u16 = 1;

const PLACES: usize = 32 * 16;

fn place(name: &str) -> usize {
    let last = name.as_bytes().last().copied().unwrap_or_default();
    name.len() % 32 * 16 + usize::from(last % 16)
}

fn meaning(name: &str) -> Meaning {
    let alike = KNOWN.get(place(name)).map(Vec::as_slice).unwrap_or_default();
    if let Some((_, meaning)) = alike.iter().find(|(known, _)| *known == name) {
        return *meaning;
    }
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && !is_nearly_framing(name) { Meaning::Plain } else { Meaning::Odd }
}

/// Whether a name differs in dashes alone from one that tells a body's length.
fn is_nearly_framing(name: &str) -> bool {
    let letters = || name.bytes().filter(|byte| *byte != b'-');
    letters().eq(*b"transferencoding") || letters().eq(*b"contentlength")
}

/// Whether a field of that name means nothing to the gateway and can be read in one way alone.
pub(super) fn is_plain(name: &str) -> bool {
    meaning(name) == Meaning::Plain
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn every_field_is_known_for_what_it_is() {
        for (name, expected) in [
            ("host", Meaning::Host),
            ("x-forwarded-for", Meaning::Marked(Marks::TELLTALE)),
            ("x-forwarded-uri", Meaning::Override),
            ("keep-alive", Meaning::Marked(Marks::HOP)),
            ("x-anything-2", Meaning::Plain),
            ("content-location", Meaning::Single(1)),
            ("x_anything", Meaning::Odd),
            ("transfer---encoding", Meaning::Odd),
            ("contentlength", Meaning::Odd),
            ("content-lengths", Meaning::Plain),
            ("a-name-that-is-longer-than-all-that-are-known", Meaning::Plain),
            ("a.name-that-is-longer-than-all-that-are-known", Meaning::Odd),
        ] {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }

    #[test]
    fn one_pass_finds_all_and_keeps_the_first_unfit_name() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "a"),
            ("te", "trailers"),
            ("authorization", "Bearer a"),
            ("x-api-key", "a"),
            ("x-http-method", "GET"),
            ("a_b", "c"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        assert!(fields.marks.any(Marks::TE) && !fields.marks.any(Marks::EXPECT));
        assert_eq!(fields.host, Sole::One(&HeaderValue::from_static("a")));
        let bearer = HeaderValue::from_static("Bearer a");
        assert_eq!(fields.credential, Sole::One((Credential::Bearer, &bearer)));
        assert_eq!(fields.unfit, Some(("x-http-method", Meaning::Override)));
    }
}
