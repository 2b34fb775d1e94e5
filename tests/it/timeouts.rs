//! Patience: what is slow is cut, what is slow but alive is not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use changegate::simulator::Fault;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::world::client::{TOKEN, http1, http2, open, raw, read};
use crate::world::frames::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, Heard, Peer, field, frame};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually};

const API: &str = "/api/v1/cloud";
const PATIENCE: Duration = Duration::from_secs(10);

async fn with_limits(limits: &str) -> World {
    Setup::new().config(&format!("[limits]\n{limits}")).start().await
}

fn head(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {API}{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn a_slow_head_gets_a_bare_408_and_the_end() {
    let world = with_limits("header_timeout = 0.3\nidle_timeout = 30").await;
    // The last one could become an HTTP/2 preface, too.
    for part in ["GET /x HTTP/1.1\r\nhost: x\r\n", "GET", "P"] {
        let started = Instant::now();
        let answer = raw(world.proxy(), part.as_bytes(), PATIENCE).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{part:?}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{part:?}: {answer}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(290) && took < PATIENCE / 4, "{part:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_gets_no_longer() {
    let world = with_limits("header_timeout = 0.3\nidle_timeout = 30").await;
    let (mut reading, mut writing) = TcpStream::connect(world.proxy()).await.unwrap().into_split();
    let trickle = tokio::spawn(async move {
        let bytes = b"GET / HTTP/1.1\r\nx-long: ".iter().chain(std::iter::repeat(&b'x'));
        for byte in bytes.take(400) {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    let read = tokio::time::timeout(PATIENCE / 4, reading.read_exact(&mut answer)).await;
    read.expect("an answer while bytes still come").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    trickle.abort();
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take() {
    let world = with_limits("header_timeout = 0.2\nidle_timeout = 30").await;
    // One call is passed on, the other is refused at once: both leave the connection at rest.
    for token in [TOKEN, ""] {
        let mut sender = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
        for rest in [600, 0] {
            let request = Call::get(&format!("{API}/agents")).token(token).http1("x");
            let answer = sender.send_request(request).await.expect("the connection is there");
            assert_eq!(read(answer).await.status, if token.is_empty() { 401 } else { 200 });
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let world = with_limits("header_timeout = 0.2\nidle_timeout = 0.5").await;
    for (request, answers) in [
        (String::new(), 0),
        (head("GET", "/agents", ""), 1),
        (head("GET", "/agents", "").replace(TOKEN, ""), 1),
    ] {
        let started = Instant::now();
        let text = raw(world.proxy(), request.as_bytes(), PATIENCE).await;
        let took = started.elapsed();
        assert_eq!(text.matches("HTTP/1.1 ").count(), answers, "{text}");
        assert!(took >= Duration::from_millis(490) && took < PATIENCE / 4, "{took:?}");
    }
    let mut sender = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let request = Call::get(&format!("{API}/agents")).http2("http://x");
    assert_eq!(read(sender.send_request(request).await.unwrap()).await.status, 200);
    let closed = async {
        while !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE / 4, closed).await.expect("an idle connection is closed");
}

#[tokio::test]
async fn a_slow_stream_of_events_outlives_every_timeout() {
    let limits =
        "header_timeout = 0.2\nidle_timeout = 0.3\nbody_timeout = 0.2\nwrite_timeout = 0.2";
    let config = format!("upstream.response_timeout = 0.3\n[limits]\n{limits}");
    let world = Setup::new().config(&config).start().await;
    let path = format!("{API}/sessions/s/events/stream?interval_ms=450&count=4");
    let answer = call(world.proxy(), Call::get(&path)).await;
    assert_eq!(answer.text().matches("data: ").count(), 4);
    let mut sender = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let answer = sender.send_request(Call::get(&path).http2("http://x")).await.unwrap();
    assert_eq!(read(answer).await.text().matches("data: ").count(), 4);
}

#[tokio::test]
async fn a_body_without_progress_gets_a_408_and_leaves_no_change() {
    let world = with_limits("body_timeout = 0.3").await;
    let deployment = format!("/deployments/{DEPLOYMENT}");
    for (path, framing) in [
        (deployment.as_str(), "content-length: 100\r\n"),
        ("/files", "content-length: 100\r\n"),
        ("/files", "transfer-encoding: chunked\r\n"),
    ] {
        let stalled = format!("{}5\r\n{{\"nam\r\n", head("POST", path, framing));
        let started = Instant::now();
        let text = raw(world.proxy(), stalled.as_bytes(), PATIENCE).await;
        assert!(text.starts_with("HTTP/1.1 408 "), "{path} {framing}: {text}");
        assert!(text.contains("invalid_request_error"), "{text}");
        assert!(started.elapsed() < PATIENCE / 4);
    }
    assert_eq!(world.changes().await.len(), 0);
    assert_eq!(world.writes_received(), 0);
}

#[tokio::test]
async fn a_body_that_is_none_is_the_clients_fault() {
    let world = with_limits("").await;
    let deployment = format!("/deployments/{DEPLOYMENT}");
    for path in [deployment.as_str(), "/files"] {
        let text = format!("{}zz\r\nabc\r\n", head("POST", path, "transfer-encoding: chunked\r\n"));
        let text = raw(world.proxy(), text.as_bytes(), PATIENCE).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_taken() {
    let world = with_limits("body_timeout = 0.3\nidle_timeout = 0.3").await;
    let body = json!({"name": "slow"}).to_string();
    for path in [format!("/deployments/{DEPLOYMENT}"), "/files".to_owned()] {
        let more = format!("connection: close\r\ncontent-length: {}\r\n", body.len());
        let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
        stream.write_all(head("POST", &path, &more).as_bytes()).await.unwrap();
        for byte in body.bytes() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_reader_without_progress_is_cut() {
    for speak_http2 in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = "[limits]\nwrite_timeout = 0.4\nidle_timeout = 0.4";
        let world = Setup::new().upstream(url).config(config).start().await;
        let upstream = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let block = vec![0; 1 << 20];
            while stream.write_all(&block).await.is_ok() {}
        });
        let get = Call::get(&format!("{API}/huge"));
        let answer = if speak_http2 {
            let mut sender = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
            sender.send_request(get.http2("http://x")).await.unwrap()
        } else {
            open(world.proxy(), get).await
        };
        let cut = tokio::time::timeout(PATIENCE / 2, upstream).await;
        assert!(cut.is_ok(), "http2: {speak_http2}: a stalled reader still holds upstream");
        let mut body = answer.into_body();
        let broken = async {
            while let Some(frame) = body.frame().await {
                if frame.is_err() {
                    return;
                }
            }
            panic!("a cut answer looks whole");
        };
        broken.await;
    }
}

#[tokio::test]
async fn over_the_cap_connections_wait_for_others_to_end() {
    let world = with_limits("connections = 2").await;
    let get = || Call::get(&format!("{API}/agents"));
    let stream = || Call::get(&format!("{API}/sessions/s/events/stream?interval_ms=50"));
    let _first = open(world.proxy(), stream()).await;
    let second = open(world.proxy(), stream()).await;
    let mut third = tokio::spawn(call(world.proxy(), get()));
    let early = tokio::time::timeout(Duration::from_millis(1500), &mut third).await;
    assert!(early.is_err(), "a connection over the cap is served");
    drop(second);
    let answer = tokio::time::timeout(PATIENCE / 2, third).await;
    assert_eq!(answer.expect("its turn comes").unwrap().status, 200);
}

#[tokio::test]
async fn over_the_cap_those_that_rest_longest_make_room() {
    let world = with_limits("connections = 3").await;
    let get = || Call::get(&format!("{API}/agents"));
    // One that never says a word, one that never ends its head, one that has been answered.
    let _silent = TcpStream::connect(world.proxy()).await.unwrap();
    let mut slow = TcpStream::connect(world.proxy()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut rested = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
    assert_eq!(read(rested.send_request(get().http1("x")).await.unwrap()).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    rested.ready().await.unwrap();
    assert_eq!(read(rested.send_request(get().http1("x")).await.unwrap()).await.status, 200);
    let started = Instant::now();
    for _ in 0..2 {
        let answer = tokio::time::timeout(PATIENCE / 2, call(world.proxy(), get())).await;
        assert_eq!(answer.expect("room is made").status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // Who asked last is served still.
    assert_eq!(read(rested.send_request(get().http1("x")).await.unwrap()).await.status, 200);
}

#[tokio::test]
async fn one_address_has_no_more_than_its_share_of_connections() {
    let world = with_limits("connections_per_address = 2").await;
    let get = || Call::get(&format!("{API}/agents"));
    let mut first = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let second = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
    assert_eq!(read(first.send_request(get().http1("x")).await.unwrap()).await.status, 200);
    let mut third = TcpStream::connect(world.proxy()).await.unwrap();
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
    drop(second);
    eventually("a place", async || {
        let mut again = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
        again.send_request(get().http1("x")).await.ok()
    })
    .await;
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let refused =
        metrics.lines().find_map(|l| l.strip_prefix("changegate_connections_refused_total "));
    assert!(refused.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
}

#[tokio::test]
async fn no_worker_keeps_the_last_connection_from_another() {
    let setup = Setup::new().config("[limits]\nconnections = 1").workers(2);
    let world = setup.start().await;
    let get = Call::get(&format!("{API}/agents")).header("connection", "close");
    let calls = (0..16).map(|_| tokio::spawn(call(world.proxy(), get.clone())));
    for answer in calls.collect::<Vec<_>>() {
        let answer = tokio::time::timeout(PATIENCE / 2, answer).await;
        assert_eq!(answer.expect("its turn comes").unwrap().status, 200);
    }
}

#[tokio::test]
async fn response_timeout_runs_to_the_head_only() {
    let world = Setup::new().config("upstream.response_timeout = 0.3").start().await;
    let slow: Fault = "slow-answer=80".parse().unwrap();
    world.simulator().state().set_faults([slow]);
    let deployment = format!("{API}/deployments/{DEPLOYMENT}");
    for path in [format!("{API}/agents"), deployment] {
        let answer = call(world.proxy(), Call::get(&path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.json().is_object());
    }
    let answer = world.update(&json!({"name": "slow"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.change_of(&answer).await["effect"], "exact");
}

/// Returns the outcome of an HTTP/2 request that is sent `after` its connection was made.
async fn outcome(proxy: SocketAddr, after: Duration) -> &'static str {
    let stream = TcpStream::connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut peer = Peer(stream);
    peer.shake_hands(&[]).await;
    let (mut block, mut bytes) = (Vec::new(), Vec::new());
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/api/v1/cloud/agents"),
        (":authority", "x"),
        ("authorization", &format!("Bearer {TOKEN}")),
    ] {
        field(&mut block, name.as_bytes(), value.as_bytes());
    }
    frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 1, &block);
    tokio::time::sleep(after).await;
    peer.send(&bytes).await;
    let mut heard = None;
    loop {
        match peer.hear().await {
            Heard::Frame(frame) if frame.is(GOAWAY) => {
                let last = frame.payload.get(3).copied();
                heard = heard.or(last);
            }
            Heard::Frame(frame) if frame.stream == 1 && frame.ends_stream() => return "answered",
            Heard::Frame(_) => {}
            _ if heard == Some(1) => return "lost, although it was heard",
            _ => return "not heard",
        }
    }
}

#[tokio::test]
async fn no_request_is_lost_to_the_end_of_the_wait_for_it() {
    let config = "[rate_limit]\nenabled = false\n[limits]\nheader_timeout = 1";
    let world = Setup::new().config(config).start().await;
    let mut calls = JoinSet::new();
    for n in 0..100 {
        calls.spawn(outcome(world.proxy(), Duration::from_micros(990_000 + n * 200)));
    }
    let outcomes = calls.join_all().await;
    assert!(!outcomes.iter().any(|outcome| outcome.starts_with("lost")), "{outcomes:?}");
}
