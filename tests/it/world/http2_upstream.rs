//! An upstream of HTTP/2 under TLS, by hand: servers in libraries do not break off as they are
//! told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpListener;

use super::certificate::Certificate;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PAYLOAD_MAX, PING,
    Peer, RST_STREAM, SETTINGS, field, frame, next,
};
use super::{DEPLOYMENT, Setup};

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// 200, and a deployment.
    Answers,
    /// Says that the request before was the last, for this reason.
    GoesAway(u32),
    /// Says that this request is the last, and closes.
    GoesAwayAfter,
    Resets(u32),
    Closes,
    /// 200 at once, and gives the stream up a moment later, as servers do that need no body.
    AnswersEarly,
    /// Nothing.
    Holds,
    /// The same as [`Answers`](Self::Answers), with so many more fields of a kilobyte each.
    Lengthens(usize),
}

/// The upstream.
pub(crate) struct Http2Upstream {
    port: u16,
    certificate: Certificate,
    /// The requests on each connection, and those with a body.
    seen: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Http2Upstream {
    /// Does with the requests of each connection as `script` says, and answers the others.
    pub(crate) async fn start(script: &'static [&'static [Does]], settings: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, seen) = (Certificate::of("localhost"), Arc::<Mutex<Vec<_>>>::default());
        let (acceptor, counts) = (certificate.acceptor(&["h2"]), Arc::clone(&seen));
        tokio::spawn(async move {
            for connection in 0.. {
                let stream = listener.accept().await.unwrap().0;
                counts.lock().unwrap().push((0, 0));
                let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let script = script.get(connection).copied().unwrap_or_default();
                    let count = |is_write: bool| {
                        let seen = &mut counts.lock().unwrap()[connection];
                        *seen = (seen.0 + 1, seen.1 + usize::from(is_write));
                    };
                    let _ = serve(stream, script, settings, count).await;
                });
            }
        });
        Self { port, certificate, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Its certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate.chain
    }

    /// A gateway before it.
    pub(crate) fn world(&self) -> Setup {
        let setup = Setup::new().upstream(self.url()).workers(1);
        setup.file("ca.pem", &self.certificate.chain).config("upstream.ca_file = 'ca.pem'\n")
    }

    /// How many requests came on each connection.
    pub(crate) fn seen(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(|seen| seen.0).collect()
    }

    /// How many requests with a body came.
    pub(crate) fn writes(&self) -> usize {
        self.seen.lock().unwrap().iter().map(|seen| seen.1).sum()
    }
}

async fn serve<W: AsyncRead + AsyncWrite + Unpin>(
    mut wire: W,
    script: &[Does],
    settings: &[u8],
    count: impl Fn(bool),
) -> std::io::Result<()> {
    wire.read_exact(&mut [0; 24]).await?;
    let mut peer = Peer(wire);
    peer.say(SETTINGS, 0, 0, settings).await;
    let mut requests = 0;
    let mut doing = Does::Answers;
    while let Some(came) = next(&mut peer.0).await? {
        match came.kind {
            SETTINGS if came.flags & ACK == 0 => peer.say(SETTINGS, ACK, 0, &[]).await,
            PING if came.flags & ACK == 0 => peer.say(PING, ACK, 0, &came.payload).await,
            HEADERS => {
                count(!came.ends_stream());
                doing = script.get(requests).copied().unwrap_or(Does::Answers);
                requests += 1;
                if doing == Does::Closes {
                    return Ok(());
                }
                say(&mut peer, doing, &came).await;
                if doing == Does::GoesAwayAfter {
                    return Ok(());
                }
            }
            _ => {}
        }
        let more = match doing {
            Does::Answers => 0,
            Does::Lengthens(more) => more,
            _ => continue,
        };
        if came.ends_stream() {
            answer(&mut peer, came.stream, more).await;
        }
    }
    Ok(())
}

async fn say<W: AsyncRead + AsyncWrite + Unpin>(peer: &mut Peer<W>, doing: Does, came: &Frame) {
    let goaway = |last: u32, code: u32| [last.to_be_bytes(), code.to_be_bytes()].concat();
    match doing {
        Does::GoesAway(code) => {
            peer.say(GOAWAY, 0, 0, &goaway(came.stream.saturating_sub(2), code)).await;
        }
        Does::GoesAwayAfter => peer.say(GOAWAY, 0, 0, &goaway(came.stream, 0)).await,
        Does::Resets(code) => peer.say(RST_STREAM, 0, came.stream, &code.to_be_bytes()).await,
        Does::AnswersEarly => {
            answer(peer, came.stream, 0).await;
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            // NO_ERROR.
            peer.say(RST_STREAM, 0, came.stream, &[0; 4]).await;
        }
        Does::Answers | Does::Closes | Does::Holds | Does::Lengthens(_) => {}
    }
}

async fn answer<W: AsyncRead + AsyncWrite + Unpin>(peer: &mut Peer<W>, stream: u32, more: usize) {
    // `:status: 200` stands in the table (RFC 7541, A).
    let mut block = vec![0x88];
    field(&mut block, b"content-type", b"application/json");
    for n in 0..more {
        field(&mut block, format!("x-more-{n}").as_bytes(), &[b'x'; 1000]);
    }
    let body = format!(
        r#"{{"type":"deployment","id":"{DEPLOYMENT}","metadata":{{}},"schedule":null,"name":"x"}}"#
    );
    let mut bytes = Vec::new();
    let mut parts = block.chunks(PAYLOAD_MAX).peekable();
    let mut kind = HEADERS;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
        frame(&mut bytes, kind, flags, stream, part);
        kind = CONTINUATION;
    }
    frame(&mut bytes, DATA, END_STREAM, stream, body.as_bytes());
    peer.send(&bytes).await;
}
