//! Hostile clients: who is slow on purpose is cut, who holds places gives them up, and nobody else
//! notices.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::world::certificate::Certificate;
use crate::world::client::{TOKEN, http1, open, read};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually, fingerprint};

const API: &str = "/api/v1/cloud";
const PATIENCE: Duration = Duration::from_secs(20);

/// Timeouts too long to end a test's connection: a test that is ended by one fails.
const NEVER: &str = "header_timeout = 600\nbody_timeout = 600\nwrite_timeout = 600\n\
                     idle_timeout = 600\n";

fn head(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {API}{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{more}\r\n"
    )
}

/// Sends `first`, then `drop` every 30 ms, until the server closes: what it said.
async fn drip(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    first: String,
    drop: &'static str,
) -> String {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let dripping = tokio::spawn(async move {
        writing.write_all(first.as_bytes()).await.unwrap();
        while writing.write_all(drop.as_bytes()).await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    let mut said = Vec::new();
    let end = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut said)).await;
    // How it ends is no matter, but it has to.
    let _ = end.expect("the server closes");
    dripping.abort();
    String::from_utf8_lossy(&said).into_owned()
}

async fn under_tls(limits: &str) -> (World, Certificate) {
    let certificate = Certificate::of("localhost");
    let setup = Setup::new().file("cert.pem", &certificate.chain).file("key.pem", &certificate.key);
    let tls = format!("[limits]\n{limits}\n[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'");
    (setup.config(&tls).start().await, certificate)
}

#[tokio::test]
async fn a_body_at_a_snails_pace_gets_a_408_and_leaves_no_change() {
    let limits = format!("{NEVER}pace_timeout = 0.6");
    let (world, certificate) = under_tls(&limits).await;
    let clear = Setup::new().config(&format!("[limits]\n{limits}")).start().await;
    let deployment = format!("/deployments/{DEPLOYMENT}");
    for path in [deployment.as_str(), "/files"] {
        for (framing, begun, drop) in [
            ("content-length: 100000\r\n", "{", " "),
            ("transfer-encoding: chunked\r\n", "1\r\n{\r\n", "1\r\n \r\n"),
            ("transfer-encoding: chunked\r\n", "1\r\n{\r\n", "1;a=b\r\n \r\n"),
        ] {
            let first = format!("{}{begun}", head("POST", path, framing));
            let stream = TcpStream::connect(clear.proxy()).await.unwrap();
            let tls = certificate.connect(world.proxy(), &["http/1.1"]).await;
            let said = tokio::join!(drip(stream, first.clone(), drop), drip(tls, first, drop));
            for said in [said.0, said.1] {
                assert!(said.starts_with("HTTP/1.1 408 "), "{path} {framing} {drop:?}: {said}");
                assert!(said.contains("invalid_request_error"), "{said}");
            }
        }
    }
    for world in [world, clear] {
        assert_eq!((world.changes().await.len(), world.writes_received()), (0, 0));
    }
}

#[tokio::test]
async fn a_chunk_or_a_trailer_that_never_ends_is_silence() {
    let limits = NEVER.replace("body_timeout = 600", "body_timeout = 0.6");
    let world = Setup::new().config(&format!("[limits]\n{limits}")).start().await;
    let deployment = format!("/deployments/{DEPLOYMENT}");
    for path in [deployment.as_str(), "/files"] {
        for (begun, drop) in [("1;a=", "x"), ("2\r\n{}\r\n0\r\n", "x-a: b\r\n"), ("0000", "0")] {
            let first = format!("{}{begun}", head("POST", path, "transfer-encoding: chunked\r\n"));
            let stream = TcpStream::connect(world.proxy()).await.unwrap();
            let said = drip(stream, first, drop).await;
            // Where too much has come in that time, it is refused before.
            let refused = said.starts_with("HTTP/1.1 408 ") || said.starts_with("HTTP/1.1 400 ");
            assert!(refused, "{path} {begun:?}: {said}");
        }
    }
    assert_eq!((world.changes().await.len(), world.writes_received()), (0, 0));
}

#[tokio::test]
async fn who_brings_a_share_now_and_then_may_take_as_long_as_it_takes() {
    let limits = format!("{NEVER}pace_timeout = 2");
    let world = Setup::new().config(&format!("[limits]\n{limits}")).start().await;
    let share = " ".repeat(4096);
    let (shares, end) = (10, "{\"name\": \"slow\"}");
    let length = shares * share.len() + end.len();
    let slow = async |path: &str| {
        let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
        let more = format!("connection: close\r\ncontent-length: {length}\r\n");
        stream.write_all(head("POST", path, &more).as_bytes()).await.unwrap();
        for part in std::iter::repeat_n(share.as_str(), shares).chain([end]) {
            tokio::time::sleep(Duration::from_millis(250)).await;
            stream.write_all(part.as_bytes()).await.unwrap();
        }
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{path}: {said}");
    };
    let deployment = format!("/deployments/{DEPLOYMENT}");
    tokio::join!(slow(&deployment), slow("/files"));
}

#[tokio::test]
async fn who_never_says_a_word_is_gone_long_before_idle_timeout() {
    let (world, certificate) = under_tls(NEVER).await;
    let clear = Setup::new().config(&format!("[limits]\n{NEVER}")).start().await;
    let gone = async |mut stream: Box<dyn Both>| {
        // Some say at once what they would speak: that is not a request.
        let mut said = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        let _ = end.expect("a silent connection is closed");
        assert!(said.is_empty(), "{said:?}");
    };
    let tls = async |alpn: &[&str]| Box::new(certificate.connect(world.proxy(), alpn).await);
    tokio::join!(
        gone(Box::new(TcpStream::connect(clear.proxy()).await.unwrap())),
        gone(tls(&["http/1.1"]).await),
        gone(tls(&["h2"]).await),
        gone(tls(&[]).await),
    );
}

trait Both: AsyncRead + Unpin {}
impl<T: AsyncRead + Unpin> Both for T {}

#[tokio::test]
async fn half_a_preface_under_tls_gets_no_longer_than_a_head() {
    let (world, certificate) = under_tls("header_timeout = 1\nidle_timeout = 600").await;
    let stream = certificate.connect(world.proxy(), &["h2"]).await;
    drip(stream, "PRI * HTTP/2.0\r".to_owned(), "").await;
}

/// An upstream that sends `bytes` to everyone who asks.
async fn sends(bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let block = vec![0; bytes.min(1 << 16)];
                for _ in 0..bytes.div_ceil(block.len()) {
                    if stream.write_all(&block).await.is_err() {
                        return;
                    }
                }
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    url
}

/// A client that asks, with room for next to nothing.
async fn asks(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(world.proxy()).await.unwrap();
    stream.write_all(head("GET", "/huge", "").as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    stream
}

/// How many client connections the gateway has open.
async fn open_connections(world: &World) -> usize {
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("changegate_connections "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up_wherever_it_lies() {
    // The one waits for the client here, the other fits into the kernel's memory.
    for bytes in [1 << 30, 100_000] {
        let limits = "write_timeout = 0.5\nidle_timeout = 600";
        let setup = Setup::new().upstream(sends(bytes).await);
        let world = setup.config(&format!("[limits]\n{limits}")).start().await;
        let mut stream = asks(&world).await;
        eventually("the end of the connection", async || {
            (open_connections(&world).await == 0).then_some(())
        })
        .await;
        // What came before the end may be read still; then there is no more.
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        end.expect("an end").expect_err("an answer that was given up looks whole");
        assert!(rest.len() < bytes);
    }
}

#[tokio::test]
async fn who_takes_an_answer_with_a_straw_keeps_its_connection_and_no_more() {
    let setup = Setup::new().upstream(sends(1 << 30).await);
    let config = "[limits]\nwrite_timeout = 1\npace_timeout = 600\nidle_timeout = 600";
    let world = setup.config(config).start().await;
    let answer = open(world.proxy(), Call::get(&format!("{API}/huge"))).await;
    let mut body = answer.into_body();
    // Slow, but alive: longer than the timeout in all.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let frame = http_body_util::BodyExt::frame(&mut body).await;
        frame.expect("more").expect("no cut");
    }
}

/// A client that keeps reading is alive, however little room it has, and whatever the kernel makes
/// of it.
#[tokio::test]
async fn who_takes_an_answer_slowly_but_steadily_gets_all_of_it() {
    const BYTES: usize = 200_000;
    let limits = "[limits]\nwrite_timeout = 2\nidle_timeout = 600";
    let world = Setup::new().upstream(sends(BYTES).await).config(limits).start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut stream = socket.connect(world.proxy()).await.unwrap();
    stream.write_all(head("GET", "/huge", "connection: close\r\n").as_bytes()).await.unwrap();
    let (mut taken, mut room) = (0, [0; 2048]);
    loop {
        tokio::time::sleep(Duration::from_millis(40)).await;
        match stream.read(&mut room).await.expect("no cut") {
            0 => break,
            read => taken += read,
        }
    }
    assert!(taken > BYTES, "{taken}");
}

#[tokio::test]
async fn over_the_cap_who_keeps_requests_waiting_makes_room() {
    let upstream = sends(1 << 30).await;
    let limits = format!("[limits]\n{NEVER}pace_timeout = 600\nconnections = 3");
    let world = Setup::new().upstream(upstream).config(&limits).start().await;
    let mut held = Vec::new();
    for path in [format!("/deployments/{DEPLOYMENT}"), "/files".to_owned()] {
        let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
        let half = format!("{}{{", head("POST", &path, "content-length: 100\r\n"));
        stream.write_all(half.as_bytes()).await.unwrap();
        held.push(stream);
    }
    held.push(asks(&world).await);
    for _ in 0..3 {
        let answer = open(world.proxy(), Call::get(&format!("{API}/agents")));
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("room is made");
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn held_connections_keep_nobody_waiting() {
    let most: usize =
        std::env::var("CHANGEGATE_HELD").map_or(200, |text| text.parse().expect("a number"));
    let config = format!("[rate_limit]\nenabled = false\n[limits]\nconnections = {most}");
    let world = Setup::new().config(&config).start().await;
    let post = |path: &str| format!("{}{{", head("POST", path, "content-length: 100\r\n"));
    let kinds = [
        String::new(),
        "GET / HTTP/1.1\r\nhost: x\r\n".to_owned(),
        post("/files"),
        post(&format!("/deployments/{DEPLOYMENT}")),
        head("GET", "/agents", ""),
    ];
    let mut held = Vec::new();
    for (_, begun) in (0..most).zip(kinds.iter().cycle()) {
        let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let (proxy, get) = (world.proxy(), Call::get(&format!("{API}/agents?n={n}")));
        calls.spawn(async move { call(proxy, get).await.status });
    }
    let all = tokio::time::timeout(PATIENCE, calls.join_all()).await.expect("room is made");
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    let answer = world.update(&serde_json::json!({"name": "x"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_range_is_upstreams_to_judge_however_many_it_names() {
    let upstream = Recorder::start(|_| answer(416, "{}")).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let many = format!("bytes={}0-", "0-,5-,".repeat(8_000));
    let get = Call::get(&format!("{API}/files/f")).header("range", &many);
    assert_eq!(call(world.proxy(), get).await.status, 416);
    let received = upstream.received();
    assert_eq!(received.len(), 1, "asked for once");
    assert_eq!(received[0].headers["range"], many.as_str());
}

#[tokio::test]
async fn a_flood_of_made_up_tokens_holds_up_no_good_one() {
    let upstream = Recorder::start(|call| {
        let made_up = call.headers["authorization"].to_str().unwrap().contains("made-up");
        answer(if made_up { 401 } else { 200 }, "{}")
    })
    .await;
    let actor = format!("[[actor]]\nfingerprint = '{}'\nname = 'new'\n", fingerprint("pt-listed"));
    let world = Setup::new().upstream(&upstream.url).config(&actor).start().await;
    let get = |token: &str| Call::get(&format!("{API}/agents")).token(token);
    // Upstream has taken this one before the flood comes.
    assert_eq!(call(world.proxy(), get(TOKEN)).await.status, 200);
    let mut sender = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let (mut refused, mut held_up) = (0, 0);
    for n in 0..400 {
        let request = get(&format!("pt-made-up-{n}")).http1("x");
        match read(sender.send_request(request).await.unwrap()).await.status.as_u16() {
            401 => refused += 1,
            429 => held_up += 1,
            other => panic!("{other}"),
        }
        if n % 50 == 0 {
            assert_eq!(call(world.proxy(), get(TOKEN)).await.status, 200);
        }
    }
    assert!(refused >= 20 && held_up > 0, "{refused} reached upstream, {held_up} did not");
    // Nor one that has not been seen before and that an operator vouches for.
    assert_eq!(call(world.proxy(), get("pt-listed")).await.status, 200);
    assert_eq!(upstream.received().len(), refused + 10);
}

#[tokio::test]
async fn no_browser_guesses_what_the_gateways_own_answers_are() {
    let upstream = Recorder::start(|_| answer(200, "{}")).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let get = Call::get(&format!("{API}/agents"));
    let guessed = "x-content-type-options";
    let own = call(world.proxy(), get.clone().without("authorization")).await;
    assert_eq!((own.status.as_u16(), own.header(guessed)), (401, Some("nosniff")));
    // Upstream's are as they come.
    assert_eq!(call(world.proxy(), get).await.header(guessed), None);
}
