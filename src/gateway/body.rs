//! A governed call's body: read whole, within its bounds, as one strict JSON object.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::{self, HeaderMap};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::call::{Call, CallBody, Judged, Unfit};
use super::memory::{MemoryShare, members_bytes};
use super::refusal::Refusal;
use crate::audit::record::RefusedBody;
use crate::base::ids::Hex;
use crate::base::key::DigestScope;
use crate::config::Limits;
use crate::deployment::patch;
use crate::net::throughput::StallMeter;
use crate::offload;
use crate::provider::Operation;

/// The most of a refused body that is read, in bytes, and for how long.
const DISCARDED_BYTES_MAX: usize = 64 << 20;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

/// How long a body is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyTimeouts {
    /// For each part of it.
    silence: Duration,
    /// For each share of it, see [`StallMeter`].
    pace: Duration,
}

impl BodyTimeouts {
    /// With a server, whose pace is its own: each part is waited for.
    pub(super) const fn of_upstream(silence: Duration) -> Self {
        Self { silence, pace: Duration::MAX }
    }
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the body did not come in time")]
    Slow,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the body's stream was reset before its end")]
    Cut,
    #[error("there is no room for the body now")]
    NoRoom,
    #[error("the body is too long")]
    TooLong {
        /// Bytes read before it was too much.
        read: u64,
    },
}

/// A governed call's body as it came: nothing of it is judged but its form.
#[derive(Debug)]
pub(super) enum Received {
    /// All of it.
    Whole(Bytes),
    /// Refused for its length or its type, its end perhaps unread.
    Unfit(Unfit),
    /// Not looked at.
    Unread,
}

/// The head of a governed call, as far as it tells of the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceivedHead<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) version: Version,
    /// Whether the client waits for 100 (Continue) before it sends a body.
    pub(super) awaits_go_ahead: bool,
}

impl Received {
    /// A body that is not read, of which so many bytes are known.
    pub(super) fn unread(refusal: Refusal, bytes: u64) -> Self {
        Self::Unfit(Unfit { refusal, body: RefusedBody { bytes, digest: None } })
    }

    /// The bytes of it, as far as they are known.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Unfit(unfit) => unfit.body.bytes,
            Self::Unread => 0,
        }
    }
}

/// Reads a governed call's body. The error is a call that has not begun, and leaves no record.
pub(super) async fn receive(
    ReceivedHead { headers, version, awaits_go_ahead }: ReceivedHead<'_>,
    incoming: &mut Incoming,
    held: &mut MemoryShare,
    limits: &Limits,
) -> Result<Received, Refusal> {
    let announced = incoming.size_hint().exact().unwrap_or(0);
    let unread = |refusal, bytes| Ok(Received::unread(refusal, bytes));
    let too_large = announced > limits.body_bytes as u64;
    // Where no byte of a body comes, its type says nothing (RFC 9110, 8.3): clients send one all
    // the same, and some wait to be told to send nothing. Otherwise only reading shows it.
    let may_be_empty =
        incoming.is_end_stream() || (incoming.size_hint().lower() == 0 && !awaits_go_ahead);
    let (bytes_max, unfit) = match accept_media_type(headers) {
        Err(refusal) if may_be_empty => (0, refusal),
        Err(refusal) => return unread(refusal, announced),
        Ok(()) if too_large => return unread(Refusal::too_large(limits.body_bytes), announced),
        Ok(()) => (limits.body_bytes, Refusal::too_large(limits.body_bytes)),
    };
    let patience = BodyTimeouts { silence: limits.body_timeout, pace: limits.pace_timeout };
    match collect(incoming, version, bytes_max, patience, Some(held)).await {
        Ok(bytes) => Ok(Received::Whole(bytes)),
        Err(ReadError::TooLong { read }) => unread(unfit, read),
        Err(ReadError::Slow) => Err(Refusal::too_slow()),
        Err(ReadError::NoRoom) => Err(Refusal::crowded()),
        Err(ReadError::Broken(_) | ReadError::Cut) => Err(Refusal::form("the body broke off")),
    }
}

/// Reads a body as what the call asks for. The error is a body beyond the memory budget.
pub(super) async fn read(
    call: &Call,
    bytes: Bytes,
    held: &mut MemoryShare,
) -> Result<CallBody, Refusal> {
    let takes_none = !matches!(call.operation, Operation::Create | Operation::Update);
    if takes_none && bytes.is_empty() {
        return Ok(CallBody::Judged(Judged { patch: Arc::default(), bytes }));
    }
    let scope = DigestScope::of_call(call.deployment_id(), call.caller.actor.fingerprint);
    let (text, key) = (bytes.clone(), call.connection.gateway.key.clone());
    let (provider, deployment_id) = (call.provider(), call.deployment_id().map(str::to_owned));
    let depth_max = call.connection.live.config.limits.json_depth;
    let read = offload::run(bytes.len(), move || {
        let read = patch::parse(provider, &text, depth_max);
        read.and_then(|patch| patch.of(deployment_id.as_deref())).map_err(|error| {
            let digest = Hex(&key.scoped("body", &scope, &text)).to_string();
            let body = RefusedBody { bytes: text.len() as u64, digest: Some(digest) };
            Unfit { refusal: Refusal::form(error.message).param(error.param), body }
        })
    });
    Ok(match read.await {
        Ok(patch) if !held.grow(members_bytes(&patch.object)) => return Err(Refusal::crowded()),
        Ok(patch) => CallBody::Judged(Judged { patch: Arc::new(patch), bytes }),
        Err(unfit) => CallBody::Unfit(unfit),
    })
}

/// Reads a refused body and forgets it, within bounds: many clients look for an answer only when
/// all was sent, and lose it where the connection closes before.
pub(super) async fn discard(incoming: &mut Incoming) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARDED_BYTES_MAX {
                return;
            }
        }
    };
    // Over time, the connection is closed on a client that is still sending.
    let _ = timeout(DISCARDING_MAX, reading).await;
}

/// JSON in UTF-8, not encoded in any way; no content type is taken as JSON.
fn accept_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Refusal::media_type(
            "a Content-Encoding is not taken here: send the JSON as it is",
        ));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return if headers.contains_key(header::CONTENT_TYPE) {
            Err(Refusal::media_type("more than one Content-Type: send exactly one"))
        } else {
            Ok(())
        };
    };
    let text = only.to_str().unwrap_or_default();
    let (media, parameters) = text.split_once(';').unwrap_or((text, ""));
    let json = ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|known| media.trim().eq_ignore_ascii_case(known));
    if json && parameters.split(';').all(accepts_parameter) {
        return Ok(());
    }
    Err(Refusal::media_type("send Content-Type: application/json, in UTF-8"))
}

fn accepts_parameter(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let charset = name.trim().eq_ignore_ascii_case("charset");
    let value = value.trim().trim_matches('"');
    parameter.trim().is_empty()
        || (charset && ["utf-8", "utf8"].iter().any(|utf8| value.eq_ignore_ascii_case(utf8)))
}

/// Reads a body whole: at most `bytes_max`, with `patience`, in the memory that is held for it.
pub(super) async fn collect<B>(
    incoming: &mut B,
    version: Version,
    bytes_max: usize,
    patience: BodyTimeouts,
    mut held: Option<&mut MemoryShare>,
) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut parts = BytesMut::new();
    let mut only = None;
    let mut waits = StallMeter::default();
    loop {
        waits.wait();
        let frame = timeout(patience.silence, incoming.frame()).await;
        let Some(frame) = frame.map_err(|_elapsed| ReadError::Slow)? else { break };
        let Ok(data) = frame.map_err(ReadError::Broken)?.into_data() else { continue };
        let read = parts.len() + only.as_ref().map_or(0, Bytes::len) + data.len();
        if read > bytes_max {
            return Err(ReadError::TooLong { read: read as u64 });
        }
        if held.as_mut().is_some_and(|held| !held.grow(data.len())) {
            return Err(ReadError::NoRoom);
        }
        if waits.advance(data.len(), patience.pace).is_err() && !incoming.is_end_stream() {
            return Err(ReadError::Slow);
        }
        // One part, as most bodies are, is kept as it came.
        match only.take() {
            None if parts.is_empty() => only = Some(data),
            first => {
                parts.extend_from_slice(&first.unwrap_or_default());
                parts.extend_from_slice(&data);
            }
        }
    }
    // hyper takes a stream that was reset with NO_ERROR (RFC 9113, 8.1) for one that has ended.
    if version == Version::HTTP_2 && !incoming.is_end_stream() {
        return Err(ReadError::Cut);
    }
    Ok(only.unwrap_or_else(|| parts.freeze()))
}
