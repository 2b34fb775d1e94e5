//! Clients of every sort: patient ones, and those that hang up at any moment and in every way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::calls::{Planned, plan};
use super::ledger::{Kind, Ledger, Told};
use super::message::{Message, head_end};
use crate::world::dice::Dice;

/// No call may take longer, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(25);

/// One client.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) dice: Dice,
    pub(super) ledger: Arc<Ledger>,
    pub(super) proxy: SocketAddr,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) count: u32,
    /// The last call that may be repeated.
    pub(super) keyed: Option<Planned>,
}

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Fin,
    HalfClose,
    Reset,
}

impl Leaving {
    const fn name(self) -> &'static str {
        match self {
            Self::Fin => "FIN",
            Self::HalfClose => "half a close",
            Self::Reset => "RST",
        }
    }
}

impl Client {
    /// Calls until it is told to stop, or the gateway is gone.
    pub(super) async fn run(mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            let Ok(stream) = TcpStream::connect(self.proxy).await else { return };
            let called = if self.dice.chance(40) {
                self.over_http2(stream).await
            } else {
                self.over_http1(stream).await
            };
            if called.is_none() {
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn plan(&mut self) -> Planned {
        self.count += 1;
        let id = format!("{}-{}", self.name, self.count);
        let repeated = self.keyed.as_ref().filter(|_| self.dice.chance(25));
        let planned = match repeated {
            Some(keyed) => keyed.again(&id),
            None => plan(&mut self.dice, &id),
        };
        let may_be_keyed = planned.kind == Kind::Governed && planned.key.is_none();
        let planned = if may_be_keyed && self.dice.chance(30) { planned.keyed() } else { planned };
        self.keyed = self.keyed.take().or_else(|| planned.key.is_some().then(|| planned.clone()));
        if self.dice.chance(10) {
            self.keyed = None;
        }
        self.ledger.send(&planned.id, planned.kind, planned.key.as_deref());
        planned
    }

    async fn over_http1(&mut self, mut stream: TcpStream) -> Option<()> {
        if self.dice.chance(6) {
            let bytes = self.plan().http1();
            let cut = self.dice.roll(bytes.len().try_into().ok()?);
            stream.write_all(&bytes[..usize::try_from(cut).ok()?]).await.ok()?;
            self.leave(stream, None).await;
            return Some(());
        }
        let pipelined = if self.dice.chance(20) { 3 } else { 1 };
        let calls: Vec<Planned> = (0..pipelined).map(|_| self.plan()).collect();
        let bytes: Vec<u8> = calls.iter().flat_map(Planned::http1).collect();
        for call in &calls {
            self.ledger.sent_whole(&call.id);
        }
        stream.write_all(&bytes).await.ok()?;
        if self.dice.chance(35) {
            self.leave(stream, calls.first()).await;
            return Some(());
        }
        let mut buffer = Vec::new();
        for call in &calls {
            let answer = read_answer(&mut stream, &mut buffer);
            let answer = timeout(PATIENCE, answer).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer to {call:?}"))?;
            assert_eq!(answer.header("x-request-id"), Some(call.id.as_str()), "out of order");
            self.ledger.tell(&call.id, told(&answer));
        }
        Some(())
    }

    /// Hangs up: at once, after a moment, or when upstream has the call.
    async fn leave(&mut self, stream: TcpStream, call: Option<&Planned>) {
        match (self.dice.roll(4), call) {
            (0, _) | (1, None) => {}
            (1, Some(call)) if call.kind == Kind::Governed => {
                for _ in 0..100 {
                    if self.ledger.has_reached_upstream(&call.id) {
                        break;
                    }
                    sleep(Duration::from_millis(3)).await;
                }
            }
            (2, _) => sleep(self.dice.millis(0, 6)).await,
            _ => sleep(self.dice.millis(5, 80)).await,
        }
        let mut stream = stream;
        let leaving = self.dice.pick(&[Leaving::Fin, Leaving::HalfClose, Leaving::Reset]);
        if let Some(call) = call {
            self.ledger.left(&call.id, leaving.name());
        }
        match leaving {
            Leaving::Fin => drop(stream),
            Leaving::HalfClose => {
                // Whether it went is of no interest: the gateway may have closed first.
                let _ = stream.shutdown().await;
                sleep(self.dice.millis(0, 60)).await;
            }
            Leaving::Reset => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }

    /// Some calls at once on one connection; some are reset, or all are left.
    async fn over_http2(&mut self, stream: TcpStream) -> Option<()> {
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = timeout(PATIENCE, shaken).await.unwrap().ok()?;
        let connection = tokio::spawn(connection);
        let leaves_all = self.dice.chance(15).then(|| self.dice.millis(0, 60));
        let mut calls = JoinSet::new();
        for _ in 0..=self.dice.roll(4) {
            let planned = self.plan();
            self.ledger.sent_whole(&planned.id);
            let resets_after = self.dice.chance(30).then(|| self.dice.millis(0, 60));
            let (ledger, request) = (Arc::clone(&self.ledger), planned.http2());
            let sender = sender.clone();
            calls.spawn(async move {
                let patience = resets_after.unwrap_or(PATIENCE);
                let answered = timeout(patience, exchange(sender, request)).await;
                match (answered, resets_after) {
                    (Ok(Some(told)), _) => ledger.tell(&planned.id, told),
                    (Ok(None), _) => {}
                    (Err(_), Some(_)) => ledger.left(&planned.id, "RST_STREAM"),
                    (Err(_), None) => panic!("no answer to {planned:?}"),
                }
            });
        }
        if let Some(after) = leaves_all {
            sleep(after).await;
            calls.shutdown().await;
            connection.abort();
            return Some(());
        }
        while let Some(ended) = calls.join_next().await {
            ended.unwrap();
        }
        drop(sender);
        connection.abort();
        Some(())
    }
}

async fn exchange(
    mut sender: http2::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Option<Told> {
    sender.ready().await.ok()?;
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let change = head.headers.get("changegate-change");
    let replayed = head.headers.contains_key("idempotent-replayed");
    Some(Told {
        is_replayed: replayed,
        status: head.status.as_u16(),
        change: change.map(|id| id.to_str().unwrap().to_owned()),
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The next answer, whole; none where the connection breaks.
pub(super) async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Message> {
    let mut answer = loop {
        match head_end(buffer) {
            Some(end) => {
                let answer = Message::of(buffer.drain(..end).collect());
                if answer.status() != 100 && answer.status() != 103 {
                    break answer;
                }
            }
            None if stream.read_buf(buffer).await.ok()? == 0 => return None,
            None => {}
        }
    };
    // What comes in chunks was broken by upstream, and is not a governed answer.
    let length = match answer.header("content-length") {
        Some(length) => length.parse().unwrap(),
        None if answer.status() == 204 => 0,
        None => return None,
    };
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    answer.body = buffer.drain(..length).collect();
    Some(answer)
}

pub(super) fn told(answer: &Message) -> Told {
    Told {
        is_replayed: answer.header("idempotent-replayed").is_some(),
        status: answer.status(),
        change: answer.header("changegate-change").map(str::to_owned),
        text: String::from_utf8_lossy(&answer.body).into_owned(),
    }
}
