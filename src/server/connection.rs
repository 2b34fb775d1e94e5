//! One client connection: HTTP/1.1 or HTTP/2, its requests, and its graceful end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::{sleep, timeout};

use super::control_frames::PREFACE;
use super::framed::Framed;
use super::guard::{ConnectionTimeouts, Guarded, TOO_SLOW};
use super::peer::Peer;
use super::sending::{Answers, Sending};
use crate::config::Limits;
use crate::gateway::{ConnectionContext, answer};
use crate::net::stream::{ALPN_H2, Wire};

/// How long a new connection may say nothing, its handshake included: who has not asked anything
/// yet gets less time than who rests between two requests.
const FIRST_WORD_MAX: Duration = Duration::from_secs(15);

/// How long a connection stays open on which nothing is asked once the server stops: what its
/// client has just sent is still answered.
const FAREWELL: Duration = Duration::from_millis(250);

/// The most requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;

/// How much of an upload one HTTP/2 stream may have in flight, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// How much one HTTP/2 connection may have in flight, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(mut wire: Wire, peer: &Peer) {
    let live = peer.gateway.live();
    let limits = &live.config.limits;
    let patience = ConnectionTimeouts {
        header: limits.header_timeout,
        idle: limits.idle_timeout,
        write: limits.write_timeout,
        pace: limits.pace_timeout,
    };
    let Some((ahead, http2)) = sniff(&mut wire, patience, peer).await else { return };
    let (requests, answers) = (peer.requests.clone(), Answers::new(http2));
    let guarded = Guarded::new(wire, ahead, !http2, requests.clone(), patience);
    let context = RefCell::new(Arc::new(ConnectionContext::new(&peer.gateway, &peer.pool)));
    let (address, sending, all) = (peer.address, answers.clone(), peer.connections.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let context = ConnectionContext::in_force(&mut context.borrow_mut());
        let (underway, sending, all) = (requests.begin(), sending.clone(), all.clone());
        async move {
            let mut reply = answer(context, address, request).await;
            if !http2 && all.is_closed() {
                // The last one here: the client asks elsewhere, and loses nothing.
                reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(reply.map(|body| sending.send(body, underway)))
        }
    });
    if http2 {
        // Boxed: HTTP/2 takes much room, and a connection of HTTP/1.1 none of it.
        let serving = Box::pin(serve_http2(TokioIo::new(guarded), service, limits, peer));
        tokio::select! {
            () = serving => {}
            () = answers.cut_stalled(patience.write) => {}
        }
    } else {
        let framed = TokioIo::new(Framed::new(guarded, peer));
        serve_http1(framed, service, limits, peer).await;
    }
}

async fn serve_http1<S>(io: TokioIo<Framed>, service: S, limits: &Limits, peer: &Peer)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Sending>, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // Most answers are small: one copy of them costs less than two places to write from.
        .writev(false)
        .max_buf_size(limits.header_bytes.max(8192))
        .max_headers(limits.header_count)
        .serve_connection(io, service);
    finish(Box::pin(connection), http1::Connection::graceful_shutdown, peer).await;
}

async fn serve_http2<S>(io: TokioIo<Guarded>, service: S, limits: &Limits, peer: &Peer)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Sending>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .serve_connection(io, service);
    finish(Box::pin(connection), http2::Connection::graceful_shutdown, peer).await;
}

/// Leads a connection to its end; when the server stops, to a graceful one.
async fn finish<C>(mut connection: Pin<Box<C>>, shut_down: impl FnOnce(Pin<&mut C>), peer: &Peer)
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut stopping = pin!(dismissed(peer));
    let mut waits = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        // Once it waits for the end, it need not be asked for as long as none is near.
        if !waits || peer.connections.is_closed() {
            waits = true;
            // Without a budget, for it is asked only once and must have heard it.
            ready!(Pin::new(&mut unconstrained(stopping.as_mut())).poll(cx));
            return Poll::Ready(None);
        }
        Poll::Pending
    });
    let ended = if let Some(ended) = ended.await {
        ended
    } else {
        shut_down(connection.as_mut());
        connection.await
    };
    if let Err(error) = ended {
        // Clients go away as they like: worth a line only for who looks for it.
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
    }
}

/// Resolves once a connection on which nothing is asked may be closed, since the server stops.
async fn dismissed(peer: &Peer) {
    peer.dismissed.cancelled().await;
    sleep(FAREWELL).await;
}

/// Reads the first bytes, enough to tell HTTP/2 with prior knowledge (RFC 9113, 3.3) from HTTP/1.1
/// where ALPN has not: what was read, and whether it is HTTP/2. `None` where that is not told in
/// time, or where nothing was said by the end of the server.
async fn sniff(
    wire: &mut Wire,
    patience: ConnectionTimeouts,
    peer: &Peer,
) -> Option<(Bytes, bool)> {
    let agreed = wire.alpn().map(|protocol| protocol == ALPN_H2);
    let silence = patience.idle.min(FIRST_WORD_MAX.saturating_sub(peer.requests.age()));
    let first = tokio::select! {
        first = timeout(silence, glance(wire)) => first,
        () = dismissed(peer) => return None,
    };
    let mut read = first.ok()?.ok()?;
    if agreed == Some(false) && !read.is_empty() {
        return Some((read.freeze(), false));
    }
    let told = async {
        while !read.is_empty() && read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
            let more = glance(wire).await.ok().filter(|more| !more.is_empty())?;
            read.extend_from_slice(&more);
        }
        (!read.is_empty()).then(|| read.starts_with(PREFACE))
    };
    if let Ok(http2) = timeout(patience.header, told).await {
        // Whoever agreed on HTTP/2 and speaks something else is told so in HTTP/2.
        return Some((read.freeze(), http2? || agreed.is_some()));
    }
    if agreed.is_some() {
        return None;
    }
    // What begins as a preface may as well be a slow POST.
    let _ = timeout(patience.write, wire.write_all(TOO_SLOW)).await;
    None
}

/// The next bytes; empty at the end. There is room for them only once they are there: many
/// connections wait for a long time.
async fn glance(wire: &mut Wire) -> io::Result<BytesMut> {
    poll_fn(|cx| {
        let mut room = [const { MaybeUninit::uninit() }; 1024];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *wire).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(BytesMut::from(read.filled())))
    })
    .await
}
