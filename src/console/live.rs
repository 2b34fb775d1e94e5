//! The live tail of a list of changes: an event stream that tells each new one as it comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::deployments::values;
use super::text::at;
use crate::admin::Api;
use crate::admin::access::{Asker, Streamed};
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked, Key, Kind, key, text};
use crate::audit::query::{Filter, PageRequest};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many looks without a change a heartbeat comes after.
const LOOKS_PER_BEAT: u32 = 15;

/// How many looks a stream lasts: the browser asks for the next one by itself, and is made sure of
/// again.
const LOOKS_MAX: u32 = 1_800;

/// The most changes that are told at once; where more came, the page is to be loaded anew.
const CHANGES_MAX: u16 = 50;

/// The query of a stream: that of the list, and where it begins.
pub(super) enum Live {}

impl Kind for Live {
    const KEYS: &'static [&'static [Key]] = &[
        asked::WHICH,
        asked::WHO,
        asked::NARROWING,
        asked::REQUEST,
        asked::SPAN,
        asked::SEARCH,
        &[key("after", text, "The place in the log that it begins behind.")],
    ];
}

/// A stream as far as it has come.
struct Tail {
    api: Api,
    asker: Asker,
    filter: Filter,
    after: i64,
    looks: u32,
    quiet: u32,
    _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The stream.
pub(super) async fn stream(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    asked: Asked<Live>,
) -> Answer {
    let filter = asked.filter(&api, &asker)?;
    if filter.scans() {
        let message = "live changes can't be searched: leave out q, operation and effect";
        return Err(Problem::invalid("q", message));
    }
    // Each look asks anew; what stands for too many is told at once.
    api.with_named(&asker, filter.clone()).await?;
    let own = Arc::clone(&asker.share.streams).try_acquire_owned();
    let own = own.map_err(|_taken| Problem::too_many_streams())?;
    let place = Arc::clone(&api.streams).try_acquire_owned();
    let places = (own, place.map_err(|_taken| Problem::too_many_streams())?);
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.or(asked.text("after")).and_then(|seq| seq.parse().ok());
    let after = match after {
        Some(after) => after,
        None => newest(&api, &asker).await?,
    };
    let tail = Tail { api, asker, filter, after, looks: 0, quiet: 0, _places: places };
    let begin = Bytes::from_static(b"retry: 3000\n\n");
    let pieces = unfold((tail, Some(begin)), |(mut tail, begin)| async {
        let piece = match begin {
            Some(begin) => begin,
            None => tail.next().await?,
        };
        Some((Ok::<_, Infallible>(piece), (tail, None)))
    });
    let mut answer = Response::new(Body::from_stream(pieces));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer.extensions_mut().insert(Streamed);
    Ok(answer)
}

/// The place of the newest change.
async fn newest(api: &Api, asker: &Asker) -> Result<i64, Problem> {
    let part = PageRequest { limit: 1, cursor: None };
    let page = values(&api.seen_changes(asker, Filter::default(), part).await?)?;
    Ok(page.first().map_or(0, seq))
}

fn seq(change: &Value) -> i64 {
    change.get("seq").and_then(Value::as_i64).unwrap_or_default()
}

impl Tail {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let stopped = self.api.stop.clone();
        loop {
            stopped.run_until_cancelled(sleep(LOOK_EVERY)).await?;
            self.looks += 1;
            if self.looks > LOOKS_MAX || !self.asker.is_known(&self.api) {
                return None;
            }
            let part = PageRequest { limit: CHANGES_MAX, cursor: None };
            let page = self.api.seen_changes(&self.asker, self.filter.clone(), part).await;
            let found = page.and_then(|page| values(&page)).ok()?;
            let fresh = found.iter().take_while(|change| seq(change) > self.after);
            let fresh: Vec<&Value> = fresh.collect();
            if let Some(last) = fresh.first() {
                self.after = seq(last);
                self.quiet = 0;
                let is_more = fresh.len() == usize::from(CHANGES_MAX);
                let told = fresh.iter().rev().map(|change| event(change)).collect::<String>();
                let told = if is_more { "event: more\ndata: {}\n\n".to_owned() } else { told };
                return Some(told.into());
            }
            self.quiet += 1;
            if self.quiet >= LOOKS_PER_BEAT {
                self.quiet = 0;
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }
}

/// A change as an event: which one. The list itself has it as a line.
fn event(change: &Value) -> String {
    let told = json!({ "id": at(change, "/id") });
    format!("id: {}\ndata: {told}\n\n", seq(change))
}
