//! An upstream that misbehaves at every point, and keeps the truth of what it did: it stands before
//! the simulator, which carries out what is to be carried out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use changegate::simulator::{Options, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::ledger::Ledger;
use super::message::{Message, head_end};
use crate::world::dice::Dice;

/// The upstream.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    pub(super) simulator: Arc<Simulator>,
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    ledger: Arc<Ledger>,
    simulator: SocketAddr,
    is_calm: AtomicBool,
    /// Calls that it is at work on, also where nobody waits for the answer any more.
    at_work: AtomicUsize,
}

/// The mishap that befalls one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    Nothing,
    /// Before anything is applied: after the head, within the body, at its end.
    CutAtHead,
    CutInBody,
    CutBefore,
    /// A no that is not a fault: nothing is applied.
    No(u16),
    /// An answer before the body is read; what it says is true.
    EarlyNo,
    EarlyYes,
    /// Slow before or after applying; too slow for who waits.
    SlowBefore,
    SlowAfter,
    TooSlowBefore,
    TooSlowAfter,
    /// Applied, and then no whole answer.
    CutAfter,
    HalfHead,
    HalfBody,
    TooLong,
    TooShort,
    BadChunks,
    EndlessChunks,
    StalledBody,
    Nonsense,
    Switched,
    Flood,
    /// Applied, and a whole answer, in a strange form.
    Dripped,
    Interims,
    Garbage,
    Empty,
    AnotherOne,
    /// Applied, and told to be broken.
    Broken(u16),
}

const OF_WRITES: &[Mishap] = &[
    Mishap::CutAtHead,
    Mishap::CutInBody,
    Mishap::CutBefore,
    Mishap::No(400),
    Mishap::No(409),
    Mishap::No(429),
    Mishap::No(500),
    Mishap::No(503),
    Mishap::No(301),
    Mishap::EarlyNo,
    Mishap::EarlyYes,
    Mishap::SlowBefore,
    Mishap::SlowAfter,
    Mishap::TooSlowBefore,
    Mishap::TooSlowAfter,
    Mishap::CutAfter,
    Mishap::HalfHead,
    Mishap::HalfBody,
    Mishap::TooLong,
    Mishap::TooShort,
    Mishap::BadChunks,
    Mishap::EndlessChunks,
    Mishap::StalledBody,
    Mishap::Nonsense,
    Mishap::Switched,
    Mishap::Flood,
    Mishap::Dripped,
    Mishap::Interims,
    Mishap::Garbage,
    Mishap::Empty,
    Mishap::AnotherOne,
    Mishap::Broken(500),
    Mishap::Broken(502),
    Mishap::Broken(504),
    Mishap::Broken(529),
];

/// How long a call that is too slow takes: longer than the gateway waits.
const TOO_SLOW: Duration = Duration::from_millis(500);

impl Upstream {
    pub(super) async fn start(seed: u64, ledger: &Arc<Ledger>) -> Self {
        let simulator = Arc::new(Simulator::start(Options::default()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seed,
            ledger: Arc::clone(ledger),
            simulator: simulator.address(),
            is_calm: AtomicBool::new(false),
            at_work: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut number = 0_u64;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                let mut dice = Dice::of(serving.seed, &format!("connection {number}"));
                // Closed before it is read: what the gateway has written is lost.
                if serving.is_calm() || !dice.chance(2) {
                    tokio::spawn(serve(Arc::clone(&serving), stream));
                }
            }
        });
        Self { address, simulator, shared }
    }

    /// From now on nothing goes wrong, or anything may.
    pub(super) fn calm(&self, is_calm: bool) {
        self.shared.is_calm.store(is_calm, Ordering::SeqCst);
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.shared.at_work.load(Ordering::SeqCst) == 0
    }
}

impl Shared {
    fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::SeqCst)
    }

    /// Picks a call's mishap by its id, so that a seed repeats it in any order.
    fn mishap(&self, request: &Message) -> Mishap {
        let id = request.header("x-request-id").unwrap_or_default();
        let mut dice = Dice::of(self.seed, &format!("{} {id}", request.method()));
        let is_write = request.method() != "GET";
        if self.is_calm() || !dice.chance(if is_write { 60 } else { 8 }) {
            return Mishap::Nothing;
        }
        dice.pick(OF_WRITES)
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer).await {
        shared.at_work.fetch_add(1, Ordering::SeqCst);
        let goes_on = answer(&shared, &mut stream, &mut buffer, head).await;
        shared.at_work.fetch_sub(1, Ordering::SeqCst);
        if goes_on.is_none() {
            break;
        }
    }
}

/// The next request's head, taken from the front of `buffer`.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Message> {
    loop {
        if let Some(end) = head_end(buffer) {
            return Some(Message::of(buffer.drain(..end).collect()));
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(buffer.drain(..length).collect())
}

/// Serves one call; none where the connection is over.
async fn answer(
    shared: &Arc<Shared>,
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mut request: Message,
) -> Option<()> {
    let mishap = shared.mishap(&request);
    let id = request.header("x-request-id").unwrap_or_default().to_owned();
    let is_governed = request.method() != "GET" && request.path().contains("/deployments");
    let note = |change: fn(&mut super::ledger::Fate)| {
        if is_governed {
            change(shared.ledger.fates().entry(id.clone()).or_default());
        }
    };
    note(|fate| fate.seen += 1);
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    match mishap {
        Mishap::CutAtHead => return None,
        Mishap::CutInBody => {
            read_body(stream, buffer, length / 2).await;
            return None;
        }
        Mishap::EarlyNo => {
            write(stream, b"HTTP/1.1 413 X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
                .await;
            return None;
        }
        Mishap::EarlyYes => {
            note(|fate| fate.lied = true);
            write(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        }
        _ => {}
    }
    request.body = read_body(stream, buffer, length).await?;
    match mishap {
        Mishap::CutBefore => return None,
        Mishap::No(status) => {
            let body = br#"{"type":"error","error":{"type":"x","message":"no"}}"#;
            return write(stream, &whole(status, body)).await;
        }
        Mishap::SlowBefore => sleep(Duration::from_millis(40)).await,
        Mishap::TooSlowBefore => sleep(TOO_SLOW).await,
        _ => {}
    }
    let carried_out = ask(shared.simulator, &request.whole()).await?;
    if carried_out.status() == 200 {
        note(|fate| fate.applied += 1);
    }
    // What the simulator refuses is told as it is: a client error is not a fault.
    let keeps = matches!(mishap, Mishap::Broken(_) | Mishap::EarlyYes);
    let fails = carried_out.status() != 200 && is_governed;
    let mishap = if fails && !keeps { Mishap::Nothing } else { mishap };
    match mishap {
        // One request, one answer: whose a second one would be, nobody could tell.
        Mishap::EarlyYes => Some(()),
        Mishap::SlowAfter => {
            sleep(Duration::from_millis(40)).await;
            write(stream, &whole(carried_out.status(), &carried_out.body)).await
        }
        Mishap::TooSlowAfter => {
            sleep(TOO_SLOW).await;
            None
        }
        _ => tell(stream, mishap, &carried_out).await,
    }
}

/// Tells what was carried out, or does not.
async fn tell(stream: &mut TcpStream, mishap: Mishap, done: &Message) -> Option<()> {
    let plain = whole(done.status(), &done.body);
    let length = done.body.len();
    let promised = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), &done.body].concat()
    };
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (bytes, goes_on) = match mishap {
        Mishap::CutAfter => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
            return None;
        }
        Mishap::HalfHead => (plain[..20].to_vec(), false),
        Mishap::HalfBody => (plain[..plain.len() - length / 2 - 1].to_vec(), false),
        Mishap::TooLong => (promised(length + 10), false),
        Mishap::TooShort => (promised(length / 2), true),
        Mishap::BadChunks => ([chunked.as_slice(), b"5\r\n{\"id\"\r\nzz\r\n"].concat(), false),
        Mishap::EndlessChunks => ([chunked.as_slice(), b"5\r\n{\"id\"\r\n"].concat(), false),
        Mishap::Nonsense => (b"HTTP/9 what\r\n\r\n".to_vec(), false),
        Mishap::Switched => {
            let head = "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
            (head.as_bytes().to_vec(), false)
        }
        Mishap::Interims => {
            let interims =
                ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"];
            ([interims.concat().repeat(150).as_bytes(), &plain].concat(), true)
        }
        Mishap::Garbage => (whole(200, b"{\"id\": \"dep_"), true),
        Mishap::Empty => (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), true),
        Mishap::AnotherOne => {
            (whole(200, b"{\"type\":\"deployment\",\"id\":\"dep_another\",\"name\":\"x\"}"), true)
        }
        Mishap::Broken(status) => (whole(status, b"{}"), true),
        Mishap::Flood => return flood(stream).await,
        Mishap::StalledBody => {
            write(stream, &plain[..plain.len() - length / 2 - 1]).await?;
            sleep(TOO_SLOW).await;
            return None;
        }
        Mishap::Dripped => {
            for piece in plain.chunks(plain.len() / 7 + 1) {
                write(stream, piece).await?;
                sleep(Duration::from_millis(3)).await;
            }
            return Some(());
        }
        _ => (plain, true),
    };
    write(stream, &bytes).await.filter(|()| goes_on)
}

/// Interim answers and never a final one.
async fn flood(stream: &mut TcpStream) -> Option<()> {
    for _ in 0..200 {
        write(stream, &b"HTTP/1.1 102 Processing\r\n\r\n".repeat(20)).await?;
        sleep(Duration::from_millis(3)).await;
    }
    None
}

fn whole(status: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).await.ok()
}

/// Lets the simulator carry a call out.
async fn ask(simulator: SocketAddr, request: &[u8]) -> Option<Message> {
    let mut stream = TcpStream::connect(simulator).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut buffer = Vec::new();
    let asked = async {
        let mut answer = read_head(&mut stream, &mut buffer).await?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = read_body(&mut stream, &mut buffer, length).await?;
        Some(answer)
    };
    timeout(Duration::from_secs(10), asked).await.unwrap()
}
