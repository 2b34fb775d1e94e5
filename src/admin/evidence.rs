//! `/api/v1/log/…`: the tree over the log, in the form that public tools for transparency logs
//! read.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{Answer, Id, in_time, named};
use super::asked::{self, Asked};
use crate::audit::prove::ProveError;
use crate::base::ids::ChangeId;

/// The content type of notes and proofs.
const TEXT: &str = "text/plain; charset=utf-8";

/// The content type of tiles.
const BYTES: &str = "application/octet-stream";

/// The newest checkpoint: the size and the root of the tree, signed (C2SP tlog-checkpoint), with
/// the time until when it was the newest (a timestamped cosignature), and below it the signatures
/// of witnesses that have come.
#[utoipa::path(
    get,
    path = "/api/v1/log/checkpoint",
    params(Asked<asked::Nothing>),
    responses(
        (status = 200, description = "The note.", content_type = "text/plain", body = String),
    ),
)]
pub(super) async fn checkpoint(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let found = in_time(&asker.share.reading, api.reader().checkpoint()).await?;
    let missing = "no tree is signed yet: it is at the start, and at every evidence.interval";
    Ok(sent(TEXT, found.ok_or_else(|| Problem::not_found(missing))?.into()))
}

/// The keys that sign checkpoints, as verifiers take them, one a line: that of the log, and that of
/// its clock; those of former times before them.
#[utoipa::path(
    get,
    path = "/api/v1/log/key",
    params(Asked<asked::Nothing>),
    responses(
        (status = 200, description = "The keys.", content_type = "text/plain", body = String),
    ),
)]
pub(super) async fn key(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let keys = in_time(&asker.share.reading, api.reader().log_keys()).await?;
    Ok(sent(TEXT, (keys.join("\n") + "\n").into()))
}

/// A tile of the tree (C2SP tlog-tiles), or, below `entries/`, of the leaves' own texts. Where the
/// record of a leaf is no longer there, its tile of entries is not either.
#[utoipa::path(
    get,
    path = "/api/v1/log/tile/{path}",
    params(
        (
            "path" = String,
            Path,
            min_length = 4,
            description = "`L/N` or `entries/N`, with `.p/W` where partial.",
        ),
        Asked<asked::Nothing>,
    ),
    responses((
        status = 200,
        description = "Hashes of 32 bytes, or entries, each behind its length in two bytes.",
        content_type = "application/octet-stream",
        body = Vec<u8>,
    )),
)]
pub(super) async fn tile(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    path: Id,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let path = named(path)?;
    let found = in_time(&asker.share.scanning, api.reader().tile(&path)).await?;
    let missing = "the tree has no such tile: the checkpoint tells its size";
    Ok(sent(BYTES, found.ok_or_else(|| Problem::not_found(missing))?))
}

/// The proof that a change is in the tree that was signed last (C2SP tlog-proof).
#[utoipa::path(
    get,
    path = "/api/v1/log/proof/{id}",
    params(
        ("id" = ChangeId, Path, description = "The change's id."),
        Asked<asked::Nothing>,
    ),
    responses(
        (status = 200, description = "The proof.", content_type = "text/plain", body = String),
    ),
)]
pub(super) async fn proof(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let unknown = || Problem::not_found("no change has this id: /api/v1/changes lists them");
    let id: ChangeId = named(id)?.parse().map_err(|_no_id| unknown())?;
    let proof = async {
        match api.reader().leaf_proof(id).await {
            Ok(proof) => Ok(Ok(proof)),
            Err(ProveError::Query(error)) => Err(error),
            Err(ProveError::Unknown(_)) => Ok(Err(unknown())),
            Err(error) => Ok(Err(Problem::not_found(error.to_string()))),
        }
    };
    Ok(sent(TEXT, in_time(&asker.share.reading, proof).await??.into()))
}

fn sent(content_type: &'static str, body: Vec<u8>) -> Response {
    let mut answer = Response::new(Body::from(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
