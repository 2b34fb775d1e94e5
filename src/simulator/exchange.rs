//! The way of one call: it arrives, is read, suffers its faults, is carried out, is answered.

use std::io;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Channel, Either, Full};
use hyper::body::Incoming;
use tokio::time::sleep;

use super::fault::{FaultKind, Mishaps};
use super::problem::Problem;
use super::received::{Received, Ticket};
use super::route::{Call, Content, is_switch};
use super::state::State;
use super::stream::{Events, half, slow};
use super::wire::Reset;
use super::world::World;
use crate::base::clock::Clock;
use crate::base::ids::RequestId;

/// The body of an answer.
pub(super) type AnswerBody = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// Why a call gets no answer: a fault cut its connection, or the client broke off.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(super) struct ConnectionCut;

/// Answers one call.
pub(super) async fn answer(
    state: State,
    reset: Reset,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, ConnectionCut> {
    let (head, body) = request.into_parts();
    let (arrival, mishaps) = state.with(|world| arrive(world, &head));
    let (body, body_bytes) = read(body, arrival.keep_bytes).await?;
    if let Some(ticket) = arrival.ticket {
        state.with(|world| world.remember_body(ticket, &body, body_bytes));
    }
    if let Some(pause) = mishaps.duration(FaultKind::Delay) {
        sleep(pause).await;
    }
    if mishaps.has(FaultKind::ResetBefore) {
        reset.pull();
        return Err(ConnectionCut);
    }
    let call = Call { head, body, body_bytes };
    let mut outcome = match mishaps.status(FaultKind::Status) {
        Some(status) => Err(fault_answer(status)),
        None => state.with(|world| carry_out(world, &call, &arrival)),
    };
    if let Some(pause) = mishaps.duration(FaultKind::DelayAfter) {
        sleep(pause).await;
    }
    if mishaps.has(FaultKind::ResetAfter) {
        reset.pull();
        return Err(ConnectionCut);
    }
    if let Some(status) = mishaps.status(FaultKind::StatusAfter) {
        outcome = Err(fault_answer(status));
    }
    let (header, request_id) =
        state.with(|world| world.dialect.request_id(&call.head.headers, world.clock.now()));
    let mut response = match outcome {
        Ok(Content::Events(events)) => stream(events, state.with(|world| world.clock.clone())),
        Ok(Content::Document(document)) => {
            whole(StatusCode::OK, &document.to_string().into(), &mishaps)
        }
        Err(problem) => refuse(&problem, &request_id, &mishaps),
    };
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(header, value);
    }
    Ok(response)
}

/// The facts of a call that its head tells.
struct Arrival {
    /// Where it is remembered; the simulator's own switches are not.
    ticket: Option<Ticket>,
    /// The deployment that it would write to.
    written: Option<String>,
    /// How much of its body the server keeps.
    keep_bytes: usize,
}

/// Remembers a call by its head, and picks the faults that befall it.
fn arrive(world: &mut World, head: &Parts) -> (Arrival, Mishaps) {
    let path = head.uri.path();
    let is_file = world.segments(path).is_some_and(|path| path == ["files"]);
    let keep_bytes = if is_file { 0 } else { world.dialect.provider.body_bytes_max };
    if is_switch(path) {
        return (Arrival { ticket: None, written: None, keep_bytes }, Mishaps::default());
    }
    let written = world.written_deployment(head).map(str::to_owned);
    let call = Received::of(head, world.clock.now());
    let mishaps = Mishaps::take(&mut world.faults, &call.method, &call.target);
    let ticket = Some(world.remember_call(call, written.as_deref()));
    (Arrival { ticket, written, keep_bytes }, mishaps)
}

fn carry_out(world: &mut World, call: &Call, arrival: &Arrival) -> Result<Content, Problem> {
    let outcome = world.carry_out(call);
    let status = outcome.as_ref().map_or_else(|problem| problem.status, |_content| 200);
    if let Some(ticket) = arrival.ticket {
        world.remember_end(ticket, arrival.written.as_deref(), status);
    }
    outcome
}

fn stream(events: Events, clock: Clock) -> Response<AnswerBody> {
    let (client, body) = Channel::new(1);
    tokio::spawn(events.send(client, clock));
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Reads a body to its end and keeps the first `keep_bytes` of it.
async fn read(mut body: Incoming, keep_bytes: usize) -> Result<(Bytes, u64), ConnectionCut> {
    let mut kept = Vec::new();
    let mut total = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_client_is_gone| ConnectionCut)?.into_data() else {
            continue;
        };
        total += data.len() as u64;
        let room = keep_bytes.saturating_sub(kept.len());
        kept.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok((kept.into(), total))
}

fn fault_answer(status: u16) -> Problem {
    Problem::new(status, "a fault of the simulator's answers here")
}

fn refuse(problem: &Problem, request_id: &RequestId, mishaps: &Mishaps) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let envelope = problem.envelope(request_id.as_str()).to_string().into();
    let mut response = whole(status, &envelope, mishaps);
    match problem.status {
        405 => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        429 | 503 | 529 => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// A JSON answer, unless a fault keeps it from being whole.
fn whole(status: StatusCode, json: &Bytes, mishaps: &Mishaps) -> Response<AnswerBody> {
    let length = HeaderValue::from(json.len());
    let (body, promised) = if mishaps.has(FaultKind::HalfAnswer) {
        (Either::Right(half(json)), Some(length))
    } else if let Some(pause) = mishaps.duration(FaultKind::SlowAnswer) {
        (Either::Right(slow(json.clone(), pause)), Some(length))
    } else if mishaps.has(FaultKind::Garbage) {
        (Either::Left(Full::from("{\"type\":\"deployment\",\"id\":")), None)
    } else {
        (Either::Left(Full::from(json.clone())), None)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(length) = promised {
        headers.insert(CONTENT_LENGTH, length);
    }
    response
}
