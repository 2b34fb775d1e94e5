//! The files that pages take along: one stylesheet, one script, one icon. A digest is part of each
//! name, so that browsers keep them for ever, and a new version has new ones.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::base::ids::Hex;

/// The path of every file begins so.
pub(super) const PREFIX: &str = "/assets/";

/// All of them.
pub(super) static ALL: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("style", "css", "text/css; charset=utf-8", STYLE),
        Asset::new("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")),
        Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")),
    ]
});

/// The stylesheet: what holds everywhere first.
const STYLE: &str = concat!(include_str!("style.css"), include_str!("narrow.css"));

/// A file that pages take along.
pub(super) struct Asset {
    pub(super) path: String,
    media_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> Self {
        let digest = Sha256::digest(text);
        let digest = Hex(digest.get(..8).unwrap_or(&digest)).to_string();
        Self { path: format!("{PREFIX}{name}-{digest}.{extension}"), media_type, text }
    }

    /// The answer that has it.
    pub(super) fn answer(&self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type))], self.text)
            .into_response()
    }
}

/// The path of the stylesheet, of the script and of the icon.
pub(super) fn paths() -> [&'static str; 3] {
    let [style, script, icon] = &*ALL;
    [&style.path, &script.path, &icon.path]
}
