//! Clients of HTTP/2 who mean no good: who flood, who open and leave, who never take an answer.
//! Each is cut off or bounded, and others are served meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::client::TOKEN;
use crate::world::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Heard, PING, PREFACE, PRIORITY,
    Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame, next, preface,
};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually};

const API: &str = "/api/v1/cloud";
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// How many frames a flood may get rid of: far more than any is listened to.
const FRAMES_MAX: u32 = 1_000_000;

/// How many are sent at once.
const AT_ONCE: u32 = 500;

fn fields(method: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let (path, credential) = (format!("{API}{path}"), format!("Bearer {TOKEN}"));
    let pseudo = [(":method", method), (":scheme", "http"), (":path", &path), (":authority", "x")];
    for (name, value) in pseudo.into_iter().chain([("authorization", credential.as_str())]) {
        field(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

/// Fields of some KB, which stand for many MB (RFC 7541, 7.3): a long field that is put into the
/// table, and then named again and again.
fn bomb() -> Vec<u8> {
    let mut block = fields("GET", "/agents");
    block.extend_from_slice(b"\x40\x03x-a\x7f\x81\x1d");
    block.extend([b'x'; 3_840]);
    block.extend([0xbe; 12_000]);
    block
}

fn one(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, kind, flags, stream, payload);
    bytes
}

/// A flood: its name, the bytes sent first, and the bytes sent the n-th time.
type Flood = (&'static str, Vec<u8>, Box<dyn Fn(u32) -> Vec<u8> + Send>);

fn flood(
    name: &'static str,
    first: Vec<u8>,
    nth: impl Fn(u32) -> Vec<u8> + Send + 'static,
) -> Flood {
    (name, first, Box::new(nth))
}

fn floods() -> Vec<Flood> {
    let upload = || one(HEADERS, END_HEADERS, 1, &fields("POST", "/files"));
    let begun = || one(HEADERS, 0, 1, &fields("GET", "/agents"));
    let mut long = Vec::new();
    field(&mut long, b"x-long", &[b'x'; 1_000]);
    let (get, post, bomb) = (fields("GET", "/agents"), fields("POST", "/files"), bomb());
    vec![
        flood("PING", Vec::new(), |_| one(PING, 0, 0, &[0; 8])),
        flood("PING that is acknowledged", Vec::new(), |_| one(PING, 1, 0, &[0; 8])),
        flood("SETTINGS", Vec::new(), |_| one(SETTINGS, 0, 0, &[])),
        flood("SETTINGS of the table", Vec::new(), |n| {
            one(SETTINGS, 0, 0, &[0, 1, 0, 0, n.to_be_bytes()[3], 0])
        }),
        flood("PRIORITY", Vec::new(), |n| one(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1])),
        flood("WINDOW_UPDATE", Vec::new(), |_| one(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        flood("frames that nobody knows", Vec::new(), |_| one(0x16, 0, 0, &[])),
        flood("empty DATA", upload(), |_| one(DATA, 0, 1, &[])),
        flood("DATA of one byte", upload(), |_| one(DATA, 0, 1, b"x")),
        flood("CONTINUATION", begun(), move |_| one(CONTINUATION, 0, 1, &long)),
        flood("empty CONTINUATION", begun(), |_| one(CONTINUATION, 0, 1, &[])),
        flood("requests that are reset", Vec::new(), move |n| {
            let mut bytes = one(HEADERS, WHOLE, 2 * n + 1, &get);
            frame(&mut bytes, RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]);
            bytes
        }),
        flood("requests that get themselves reset", Vec::new(), move |n| {
            let mut bytes = one(HEADERS, END_HEADERS, 2 * n + 1, &post);
            frame(&mut bytes, WINDOW_UPDATE, 0, 2 * n + 1, &[0; 4]);
            bytes
        }),
        flood("requests without an end", Vec::new(), |n| {
            one(HEADERS, END_HEADERS, 2 * n + 1, &fields("POST", "/files"))
        }),
        flood("fields that grow", Vec::new(), move |n| one(HEADERS, WHOLE, 2 * n + 1, &bomb)),
    ]
}

/// Sends until the server has had enough: how many were sent.
async fn send_all(world: &World, (_, first, nth): &Flood, listens: bool) -> u32 {
    let (mut reading, mut writing) = TcpStream::connect(world.proxy()).await.unwrap().into_split();
    let listening = tokio::spawn(async move {
        // Who does not listen leaves the server with its answers.
        while listens && matches!(next(&mut reading).await, Ok(Some(_))) {}
        reading
    });
    let mut sent = 0;
    let begun = [preface(), first.clone()].concat();
    let mut left = writing.write_all(&begun).await;
    while left.is_ok() && sent < FRAMES_MAX {
        let bytes: Vec<u8> = (sent..sent + AT_ONCE).flat_map(nth).collect();
        left = writing.write_all(&bytes).await;
        sent += AT_ONCE;
    }
    drop(listening);
    sent
}

async fn connect(world: &World) -> Peer<TcpStream> {
    let stream = TcpStream::connect(world.proxy()).await.unwrap();
    // Small frames are to go out one by one.
    stream.set_nodelay(true).unwrap();
    Peer(stream)
}

async fn is_served(world: &World) -> bool {
    call(world.proxy(), Call::get(&format!("{API}/agents"))).await.status == 200
}

#[tokio::test]
async fn floods_end_their_connection_and_others_are_served() {
    let setup = Setup::new().config("[limits]\nwrite_timeout = 1");
    let world = setup.start().await;
    for flood in floods() {
        for listens in [true, false] {
            let (sent, served) = tokio::join!(send_all(&world, &flood, listens), is_served(&world));
            assert!(sent < FRAMES_MAX, "{} is listened to on and on: {listens}", flood.0);
            assert!(served, "{}: {listens}", flood.0);
        }
    }
    assert_eq!(world.changes().await.len(), 0);
}

#[tokio::test]
async fn a_busy_client_is_no_flood() {
    let world = Setup::new().start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    // As a careful client does: room is made for each frame anew, in both windows.
    for n in 0..4_000 {
        let stream = 2 * n + 1;
        peer.say(HEADERS, WHOLE, stream, &fields("GET", "/agents")).await;
        let ended = peer.hear_until(
            |heard| matches!(heard, Heard::Frame(f) if f.stream == stream && f.ends_stream()),
        );
        let Heard::Frame(_) = ended.await else { panic!("the connection ended after {n} calls") };
        let mut bytes = one(WINDOW_UPDATE, 0, 0, &[0, 0, 64, 0]);
        frame(&mut bytes, WINDOW_UPDATE, 0, stream, &[0, 0, 64, 0]);
        frame(&mut bytes, PING, 0, 0, &[0; 8]);
        frame(&mut bytes, PRIORITY, 0, stream, &[0, 0, 0, 0, 1]);
        peer.send(&bytes).await;
    }
}

#[tokio::test]
async fn a_client_of_http2_that_asks_for_nothing_leaves_after_header_timeout() {
    let setup = Setup::new().config("[limits]\nheader_timeout = 0.3\nidle_timeout = 60");
    let world = setup.start().await;
    let get = fields("GET", "/agents");
    let asked = one(HEADERS, WHOLE, 1, &get);
    for (said, trickles) in [
        (PREFACE.to_vec(), false),
        (preface(), false),
        (preface(), true),
        ([preface(), one(HEADERS, END_STREAM, 1, &get)].concat(), false),
        ([preface(), one(HEADERS, WHOLE, 1, &get)[..20].to_vec()].concat(), false),
        // After a request that was answered, the fields of the next do not end.
        ([preface(), asked.clone(), one(HEADERS, END_STREAM, 3, &get)].concat(), false),
        ([preface(), asked, one(HEADERS, WHOLE, 3, &get)[..20].to_vec()].concat(), false),
    ] {
        let mut peer = connect(&world).await;
        peer.send(&said).await;
        if trickles {
            for _ in 0..40 {
                peer.say(PING, 0, 0, &[0; 8]).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let end = peer.hear_until(|heard| !matches!(heard, Heard::Frame(_))).await;
        assert!(matches!(end, Heard::Closed | Heard::Broken), "{said:?}: {end:?}");
    }
}

#[tokio::test]
async fn pings_keep_no_connection_and_its_end_is_told() {
    let setup = Setup::new().config("[limits]\nidle_timeout = 0.5");
    let world = setup.start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    peer.say(HEADERS, WHOLE, 5, &fields("GET", "/agents")).await;
    let mut pings = 0;
    let told = loop {
        peer.say(PING, 0, 0, &[0; 8]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        pings += 1;
        assert!(pings < 500, "pings keep the connection");
        let last =
            peer.hear_until(|heard| matches!(heard, Heard::Frame(f) if f.is(PING) || f.is(GOAWAY)));
        match last.await {
            Heard::Frame(frame) if frame.is(PING) => {}
            other => break other,
        }
    };
    let Heard::Frame(told) = told else { panic!("{told:?}") };
    assert_eq!(told.payload, [0, 0, 0, 5, 0, 0, 0, 0]);
}

#[tokio::test]
async fn requests_that_are_given_up_once_begun_come_to_an_end() {
    let world = Setup::new().start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    let events = fields("GET", "/sessions/s/events/stream?interval_ms=60000");
    let ended = async {
        for n in 0..20_000 {
            peer.send(
                &[one(HEADERS, WHOLE, 2 * n + 1, &events), one(PING, 0, 0, &[0; 8])].concat(),
            )
            .await;
            let pong = peer.hear_until(|heard| matches!(heard, Heard::Frame(f) if f.is(PING)));
            if !matches!(pong.await, Heard::Frame(_)) {
                return;
            }
            peer.say(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]).await;
        }
        panic!("requests are begun and given up on and on");
    };
    let served = async {
        for _ in 0..20 {
            assert!(is_served(&world).await);
        }
    };
    tokio::join!(ended, served);
}

#[tokio::test]
async fn requests_whose_bodies_never_come_are_answered_and_forgotten() {
    let world = Setup::new().config("[limits]\nbody_timeout = 1").start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    let governed = fields("POST", &format!("/deployments/{DEPLOYMENT}"));
    let streams = 120;
    for n in 0..streams {
        let fields = if n % 2 == 0 { &governed } else { &fields("POST", "/files") };
        peer.say(HEADERS, END_HEADERS, 2 * n + 1, fields).await;
    }
    assert!(is_served(&world).await);
    for _ in 0..streams {
        let answered = peer.hear_until(|heard| matches!(heard, Heard::Frame(f) if f.is(HEADERS)));
        assert!(matches!(answered.await, Heard::Frame(_)), "a stream is left without an answer");
    }
    assert_eq!(world.changes().await.len(), 0);
    assert_eq!(world.writes_received(), 0);
}

#[tokio::test]
async fn an_answer_without_room_does_not_hold_upstream() {
    for grows in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let setup = Setup::new().upstream(url).config("[limits]\nwrite_timeout = 0.4");
        let world = setup.start().await;
        let upstream = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(&[0; 16_384]).await.is_ok() {}
        });
        let mut peer = connect(&world).await;
        // A window of nothing.
        peer.shake_hands(&[0, 4, 0, 0, 0, 0]).await;
        peer.say(HEADERS, WHOLE, 1, &fields("GET", "/huge")).await;
        // One byte more, time and again: no progress that is worth the name.
        let more = one(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        let said = if grows { more } else { one(PING, 0, 0, &[0; 8]) };
        let growing = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                peer.send(&said).await;
            }
        };
        let cut = tokio::time::timeout(Duration::from_secs(20), upstream);
        tokio::select! {
            cut = cut => assert!(cut.is_ok(), "upstream is held (the window grows: {grows})"),
            () = growing => {}
        }
    }
}

#[tokio::test]
async fn an_error_in_one_stream_leaves_the_others_alone() {
    let world = Setup::new().start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    let events = fields("GET", "/sessions/s/events/stream?interval_ms=50&count=8");
    peer.say(HEADERS, WHOLE, 1, &events).await;
    let mut malformed = fields("GET", "/agents");
    field(&mut malformed, b"connection", b"close");
    let mut reset = Vec::new();
    for stream in [3, 5, 7] {
        peer.say(HEADERS, WHOLE, stream, &malformed).await;
        peer.say(HEADERS, END_HEADERS, stream + 6, &fields("POST", "/files")).await;
        peer.say(RST_STREAM, 0, stream + 6, &[0, 0, 0, 8]).await;
    }
    let mut text = Vec::new();
    loop {
        let Heard::Frame(frame) = peer.hear().await else { panic!("the connection ended") };
        assert!(!frame.is(GOAWAY), "{frame:?}");
        match frame.stream {
            1 if frame.is(DATA) => text.extend_from_slice(&frame.payload),
            stream if frame.is(RST_STREAM) => reset.push(stream),
            _ => {}
        }
        if frame.stream == 1 && frame.ends_stream() {
            break;
        }
    }
    assert_eq!(String::from_utf8_lossy(&text).matches("data: ").count(), 8);
    assert_eq!(reset, [3, 5, 7]);
}

#[tokio::test]
async fn a_governed_call_that_is_reset_at_once_is_recorded_or_not_sent() {
    let world = Setup::new().start().await;
    let mut peer = connect(&world).await;
    peer.shake_hands(&[]).await;
    let update = fields("POST", &format!("/deployments/{DEPLOYMENT}"));
    let body = json!({"description": "left"}).to_string();
    // No more than wait for one deployment of one caller.
    for n in 0..30 {
        let stream = 2 * n + 1;
        let mut bytes = one(HEADERS, END_HEADERS, stream, &update);
        frame(&mut bytes, DATA, END_STREAM, stream, body.as_bytes());
        let reset = one(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        if n % 3 == 0 {
            // In one read with its request.
            bytes.extend(reset);
            peer.send(&bytes).await;
        } else {
            peer.send(&bytes).await;
            tokio::time::sleep(Duration::from_micros(u64::from(n) * 100)).await;
            peer.send(&reset).await;
        }
    }
    // The last one is waited for: whatever began before it is in the log by then.
    let last = world.update(&json!({"description": "last"})).await;
    assert_eq!(last.status, 200);
    let all = eventually("the ends of all changes", async || {
        let changes = world.changes().await;
        changes.iter().all(|change| change["outcome"] == "applied").then_some(changes)
    });
    assert_eq!(all.await.len(), world.writes_received());
}
