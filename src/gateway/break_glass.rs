//! The request's header that breaks the glass, as it was sent.

use http::header::{HeaderMap, HeaderName};

/// Its name.
pub(super) const BREAK_GLASS: HeaderName = HeaderName::from_static("changegate-break-glass");

/// The header as it was sent: upstream never sees it.
#[derive(Clone, Debug)]
pub(super) enum GlassHeader {
    /// A reason, whatever it says.
    Reason(String),
    /// More than one, or no text in UTF-8.
    Unfit,
}

impl GlassHeader {
    /// The one in a request's header, if any.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(BREAK_GLASS).iter();
        let first = sent.next()?;
        let text = std::str::from_utf8(first.as_bytes()).ok().filter(|_| sent.next().is_none());
        Some(text.map_or(Self::Unfit, |text| Self::Reason(text.to_owned())))
    }
}
