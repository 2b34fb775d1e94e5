//! HTTP/2 in clear, with prior knowledge, and what must change towards an upstream that speaks
//! HTTP/1.1.

use std::time::Duration;

use changegate::simulator::Fault;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::client::conn::http2 as client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::client::{TOKEN, http2, open, raw, read};
use crate::world::frames::{self, HEADERS, RST_STREAM};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, eventually, world};

const API: &str = "/api/v1/cloud";
const ORIGIN: &str = "http://gateway.example";

type Sender = client::SendRequest<http_body_util::Full<bytes::Bytes>>;

async fn connect(world: &World) -> Sender {
    http2(TcpStream::connect(world.proxy()).await.unwrap()).await
}

fn deployment() -> String {
    format!("{API}/deployments/{DEPLOYMENT}")
}

#[tokio::test]
async fn a_governed_update_is_the_same_call() {
    let world = world().await;
    let mut sender = connect(&world).await;
    let patch = json!({"name": "over-http2"});
    let request = Call::post(&deployment()).json(&patch).http2(ORIGIN);
    let answer = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let change = world.change_of(&answer).await;
    assert_eq!((&change["patch"], &change["outcome"]), (&patch, &json!("applied")));
    let denied = Call::post(&deployment()).json(&json!({"metadata": {"owner_override": "x"}}));
    let denied = read(sender.send_request(denied.http2(ORIGIN)).await.unwrap()).await;
    assert_eq!(denied.status, 403);
    let read_back = Call::get(&deployment()).http2(ORIGIN);
    let read_back = read(sender.send_request(read_back).await.unwrap()).await;
    assert_eq!(read_back.header("etag"), answer.header("etag"));
}

#[tokio::test]
async fn an_event_stream_comes_event_by_event() {
    let world = world().await;
    let mut sender = connect(&world).await;
    let path = format!("{API}/sessions/s/events/stream?interval_ms=60&count=4");
    let mut body = sender.send_request(Call::get(&path).http2(ORIGIN)).await.unwrap().into_body();
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
        frames += usize::from(text.contains("data: "));
    }
    assert_eq!(frames, 4, "events were held back");
}

#[tokio::test]
async fn one_connection_carries_many_calls_at_once() {
    let world = world().await;
    let sender = connect(&world).await;
    let ids = world.seed(10);
    let calls = (0..200).map(|n| {
        let mut sender = sender.clone();
        let call = match n % 4 {
            0 => {
                let path = format!("{API}/deployments/{}", ids[n / 4 % 10]);
                Call::post(&path).json(&json!({"name": format!("n{n}")}))
            }
            1 => Call::post(&format!("{API}/files")).body(vec![b'x'; 100_000]),
            _ => Call::get(&format!("{API}/agents")),
        };
        tokio::spawn(async move {
            sender.ready().await.unwrap();
            read(sender.send_request(call.http2(ORIGIN)).await.unwrap()).await.status
        })
    });
    for status in calls.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(world.changes().await.len(), 50);
}

#[tokio::test]
async fn what_only_http2_may_is_put_right_towards_http1() {
    let upstream = Recorder::start(|_| {
        let mut response = answer(200, json!({}));
        for (name, value) in [("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=5")]
        {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    });
    let upstream = upstream.await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let mut sender = connect(&world).await;
    let mut request = Call::get(&format!("{API}/agents?a=b")).http2(ORIGIN);
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let answer = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status, 200);
    for name in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let [got] = &upstream.received()[..] else { panic!("{:?}", upstream.received()) };
    assert_eq!(got.target, format!("{API}/agents?a=b"));
    assert_eq!(got.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    assert_eq!(got.headers["via"], "2 changegate");
    assert_eq!(format!("http://{}", got.headers["host"].to_str().unwrap()), upstream.url);
    assert_eq!(got.headers.get_all("host").iter().count(), 1);
}

#[tokio::test]
async fn a_host_beside_another_authority_is_refused() {
    let world = world().await;
    let mut sender = connect(&world).await;
    for (host, status) in [("gateway.example", 200), ("Gateway.Example", 200), ("other", 400)] {
        let mut request = Call::get(&format!("{API}/agents")).http2(ORIGIN);
        request.headers_mut().insert("host", host.parse().unwrap());
        let answer = read(sender.send_request(request).await.unwrap()).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
}

#[tokio::test]
async fn connection_specific_fields_make_a_request_malformed() {
    let upstream = Recorder::start(|_| answer(200, json!({}))).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    for field in [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip")] {
        let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
        stream.write_all(&request_with(field)).await.unwrap();
        let kind = tokio::time::timeout(Duration::from_secs(5), first_word(&mut stream)).await;
        let kind = kind.expect("an answer").expect("no end of the connection");
        assert_eq!(kind, RST_STREAM, "{field:?}");
    }
    let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
    stream.write_all(&request_with(("te", "trailers"))).await.unwrap();
    assert_eq!(first_word(&mut stream).await, Some(HEADERS));
    assert_eq!(upstream.received().len(), 1);
}

/// A GET in HTTP/2 with one field more: every field is a literal without indexing (RFC 7541,
/// 6.2.2), since clients that are polite do not send such fields.
fn request_with(field: (&str, &str)) -> Vec<u8> {
    // END_STREAM and END_HEADERS.
    request_of("GET", &format!("{API}/agents"), field, 5)
}

/// Preface, settings, and one request's head on stream 1 with these flags.
fn request_of(method: &str, path: &str, field: (&str, &str), flags: u8) -> Vec<u8> {
    let token = format!("Bearer {TOKEN}");
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
        ("authorization", &token),
        field,
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        frames::field(&mut block, name.as_bytes(), value.as_bytes());
    }
    let mut bytes = frames::preface();
    frames::frame(&mut bytes, HEADERS, flags, 1, &block);
    bytes
}

/// The type of the first frame on stream 1.
async fn first_word(stream: &mut TcpStream) -> Option<u8> {
    while let Ok(Some(frame)) = frames::next(stream).await {
        if frame.stream == 1 {
            return Some(frame.kind);
        }
    }
    None
}

#[tokio::test]
async fn more_fields_than_header_count_are_too_many() {
    let world = Setup::new().config("[limits]\nheader_count = 20").start().await;
    let mut sender = connect(&world).await;
    for (fields, status) in [(19, 200), (20, 431)] {
        // A credential is the first one.
        let mut request = Call::get(&format!("{API}/agents")).http2(ORIGIN);
        for _ in 0..fields {
            request.headers_mut().append("x-many", "1".parse().unwrap());
        }
        let answer = read(sender.send_request(request).await.unwrap()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_after_its_body_is_still_recorded() {
    let world = world().await;
    world.simulator().state().set_faults(["delay=300@POST".parse::<Fault>().unwrap()]);
    let mut sender = connect(&world).await;
    let request = Call::post(&deployment()).json(&json!({"description": "left"})).http2(ORIGIN);
    let mut sent = Box::pin(sender.send_request(request));
    let reset = eventually("the intent", async || {
        let answered = tokio::time::timeout(Duration::ZERO, &mut sent).await;
        assert!(answered.is_err(), "too early");
        let changes = world.changes().await;
        changes.iter().any(|change| change["outcome"] == "pending").then_some(())
    });
    reset.await;
    drop(sent);
    eventually("the end of the change", async || {
        (world.changes().await[0]["outcome"] == "applied").then_some(())
    })
    .await;
    // The connection goes on.
    let request = Call::get(&deployment()).http2(ORIGIN);
    let shown = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(shown.json()["description"], "left");
}

#[tokio::test]
async fn a_slow_reader_that_still_reads_gets_all_of_a_long_answer() {
    let body = vec![b'x'; 1_500_000];
    let upstream = Recorder::start(move |_| answer(200, String::from_utf8_lossy(&body))).await;
    let setup = Setup::new().upstream(&upstream.url).config("[limits]\nwrite_timeout = 1");
    let world = setup.start().await;
    let stream = TcpStream::connect(world.proxy()).await.unwrap();
    // A window that is much smaller than the answer.
    let (mut sender, connection) = client::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_536)
        .handshake::<_, http_body_util::Full<bytes::Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let get = Call::get(&format!("{API}/long")).http2(ORIGIN);
    let answer = sender.send_request(get).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "1500000");
    let (mut body, mut read) = (answer.into_body(), 0);
    let mut pauses = 12;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len();
        if read > 300_000 && pauses > 0 {
            pauses -= 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(read, 1_500_000);
}

/// An upstream for one call: what it got, after it has answered with trailers.
async fn with_trailers(listener: TcpListener, end: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = String::new();
    while !got.ends_with(end) {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "{got}");
        got.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    got
}

async fn trailing() -> (World, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (Setup::new().upstream(url).start().await, listener)
}

#[tokio::test]
async fn trailers_of_an_answer_reach_who_takes_them() {
    for (speak_http2, te) in [(false, true), (false, false), (true, true), (true, false)] {
        let (world, listener) = trailing().await;
        let upstream = tokio::spawn(with_trailers(listener, "\r\n\r\n"));
        let mut get = Call::get(&format!("{API}/agents"));
        if te {
            get = get.header("te", "trailers");
            get = if speak_http2 { get } else { get.header("connection", "te") };
        }
        let answer = if speak_http2 {
            let sent = connect(&world).await.send_request(get.http2(ORIGIN)).await;
            sent.unwrap()
        } else {
            open(world.proxy(), get).await
        };
        let whole = answer.into_body().collect().await.unwrap();
        let sum = whole.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        assert_eq!(whole.to_bytes(), "abc");
        let got = upstream.await.unwrap();
        assert_eq!(got.contains("te: trailers"), te, "{got}");
        if te {
            assert_eq!(sum.expect("a trailer"), "6", "http2: {speak_http2}");
        } else if !speak_http2 {
            assert_eq!(sum, None, "nobody asked for trailers");
        }
    }
}

#[tokio::test]
async fn trailers_of_an_upload_reach_upstream() {
    let (world, listener) = trailing().await;
    let upstream = tokio::spawn(with_trailers(listener, "0\r\nx-check: 7\r\n\r\n"));
    let upload = format!(
        "POST {API}/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         trailer: x-check\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-check: 7\r\n\r\n"
    );
    let reading = raw(world.proxy(), upload.as_bytes(), Duration::from_millis(500));
    let (text, got) = tokio::join!(reading, tokio::time::timeout(Duration::from_secs(5), upstream));
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(got.expect("the trailers").unwrap().contains("abc"));

    let (world, listener) = trailing().await;
    let upstream = tokio::spawn(with_trailers(listener, "0\r\nx-check: 7\r\n\r\n"));
    let stream = TcpStream::connect(world.proxy()).await.unwrap();
    let (mut sender, connection) =
        client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut writing, body) = Channel::<bytes::Bytes, std::io::Error>::new(1);
    let (head, _) = Call::post(&format!("{API}/files")).http2(ORIGIN).into_parts();
    let mut request = http::Request::from_parts(head, body);
    request.headers_mut().insert("trailer", "x-check".parse().unwrap());
    let sent = sender.send_request(request);
    writing.send_data("abc".into()).await.unwrap();
    let trailers = http::HeaderMap::from_iter([("x-check".parse().unwrap(), "7".parse().unwrap())]);
    writing.send_trailers(trailers).await.unwrap();
    drop(writing);
    assert_eq!(sent.await.unwrap().status(), 200);
    let got = tokio::time::timeout(Duration::from_secs(5), upstream).await;
    assert!(got.expect("the trailers").unwrap().contains("abc"));
}

#[tokio::test]
async fn a_body_whose_stream_is_reset_is_not_taken_for_whole() {
    let world = world().await;
    // NO_ERROR is the code that hyper takes for an end; CANCEL is what most clients send.
    for code in [0, 8] {
        for (path, length) in [(deployment() + "/archive", "2"), (deployment(), "40")] {
            let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
            let field = ("content-length", length);
            let mut bytes = request_of("POST", &path, field, 4);
            bytes.extend_from_slice(&[0, 0, 4, RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, code]);
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ =
                tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        }
    }
    assert_eq!(world.changes().await.len(), 0);
    assert_eq!(world.writes_received(), 0);
}
