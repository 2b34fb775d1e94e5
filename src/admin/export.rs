//! `GET /api/v1/export`: changes with their bodies, streamed in the format that is asked for.

use std::error::Error;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::Answer;
use super::asked::{self, Asked};
use crate::audit::query::{Cursor, Filter};
use crate::audit::record::{Event, EventKind};
use crate::export::{Encoder, ExportWalk, Format};

/// The most exports on their way.
pub(super) const EXPORTS_MAX: usize = 4;

/// The bytes after which a piece of an export is sent: it holds at most one change more.
const PIECE_BYTES: usize = 256 << 10;

/// The bytes of bodies that are written where the question came from; more are written on a thread
/// of their own, since probes are answered here.
const HERE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a filter that are recorded.
const FILTER_BYTES_MAX: usize = 1_024;

/// An export, as far as it has come.
struct Export {
    api: Api,
    asker: Asker,
    /// `None` while it is at work, and after it has failed.
    encoder: Option<Encoder>,
    walk: ExportWalk,
    is_begun: bool,
    is_over: bool,
    _turn: OwnedSemaphorePermit,
}

/// Why an export broke off.
type BrokenOff = Box<dyn Error + Send + Sync>;

/// Changes with their bodies, newest first, as a file. It leaves an event. An export that broke off
/// goes on behind the last change that came whole, by its seq as cursor.
#[utoipa::path(
    get,
    path = "/api/v1/export",
    security(("token" = ["auditor"]), ()),
    params(Asked<asked::Export>),
    responses(
        (
            status = 200,
            description = "The changes, in the format that is asked for.",
            content_type = "application/x-ndjson",
            body = String,
        ),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Export>,
) -> Answer {
    asker.may_look_inside()?;
    let filter = asked.filter(&api, &asker)?;
    let before = asked.text("cursor").map(place).transpose()?;
    let unknown = || Problem::invalid("format", "format: write jsonl, csv, parquet or ocsf");
    let format = asked.text("format").and_then(Format::named).ok_or_else(unknown)?;
    let turn = Arc::clone(&api.exports).try_acquire_owned();
    let turn = turn.map_err(|_taken| Problem::no_room())?;
    let filter = Filter { actor: api.with_tokens(filter.actor).await?, ..filter };
    // Once for all of it.
    let filter = api.with_named(&asker, filter).await?;
    note(&api, &asker, format, &asked);
    let walk = ExportWalk::new(filter, before);
    let encoder = Some(Encoder::new(format).map_err(|error| Problem::broke_off(&error))?);
    let (is_begun, is_over) = (false, false);
    let export = Export { api, asker, encoder, walk, is_begun, is_over, _turn: turn };
    let pieces = unfold(export, |mut export| async {
        if export.is_over {
            return None;
        }
        let piece = export.piece().await;
        if let Err(error) = &piece {
            tracing::error!(error = &**error as &dyn Error, "an export broke off");
        }
        export.is_over |= piece.is_err();
        Some((piece, export))
    });
    let mut answer = Response::new(Body::from_stream(pieces));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let name = format!("attachment; filename=\"changes.{}\"", format.extension());
    headers
        .extend(HeaderValue::try_from(name).ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(answer)
}

/// The place that an export goes on behind: a change's `seq`, or a cursor of a list.
fn place(text: &str) -> Result<i64, Problem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && let Ok(seq) = text.parse() {
        return Ok(seq);
    }
    Ok(Cursor::parse(text)?.seq)
}

impl Export {
    /// The next piece. Nothing of the log is held until it is sent.
    async fn piece(&mut self) -> Result<Bytes, BrokenOff> {
        let mut piece = Vec::new();
        let broken = || io::Error::other("the export has broken off");
        let mut encoder = self.encoder.take().ok_or_else(broken)?;
        if !self.is_begun {
            encoder.begin(&mut piece)?;
            self.is_begun = true;
        }
        let _looking = self.asker.turns(self.walk.scans()).acquire().await?;
        let _own = self.asker.share.bodies.acquire().await?;
        let _turn = self.api.bodies.acquire().await?;
        let reader = self.api.reader();
        if !self.walk.fill(reader).await? {
            self.is_over = true;
            encoder.finish(&mut piece)?;
            return Ok(piece.into());
        }
        let mut texts = reader.texts().await?;
        while piece.len() < PIECE_BYTES
            && let Some((change, bodies)) = self.walk.take(&mut texts).await?
        {
            let is_long = encoder.may_take_long() || texts.read_bytes() > HERE_BYTES_MAX;
            let write = move || -> io::Result<(Vec<u8>, Encoder)> {
                encoder.write(&change, &bodies, &mut piece)?;
                Ok((piece, encoder))
            };
            (piece, encoder) =
                if is_long { tokio::task::spawn_blocking(write).await?? } else { write()? };
        }
        self.encoder = Some(encoder);
        Ok(piece.into())
    }
}

/// Leaves a word of it in the log, before anything is sent.
fn note(api: &Api, asker: &Asker, format: Format, asked: &Asked<asked::Export>) {
    let by = asker.holder.as_ref().map(|holder| holder.name.clone());
    let mut filter = asked.pairs().filter(|(key, _)| *key != "format").fold(
        String::new(),
        |told, (key, text)| {
            let comma = if told.is_empty() { "" } else { ", " };
            format!("{told}{comma}{key}={text}")
        },
    );
    filter.truncate(filter.floor_char_boundary(FILTER_BYTES_MAX));
    api.state.audit.note(Event {
        at: api.state.clock.now(),
        kind: EventKind::Export,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!({ "format": format.name(), "by": by, "filter": filter }),
    });
}
