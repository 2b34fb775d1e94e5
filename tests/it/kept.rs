//! State kept from one call to the next: the caller that a client's connection is known to be, the
//! connections to upstream, and the memory of answers that are not taken yet.

use std::time::Duration;

use changegate::simulator::{Options, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::world::client::{TOKEN, http1, http2, open, raw, read};
use crate::world::http2_upstream::{Does, Http2Upstream};
use crate::world::program::Folder;
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, Setup, call, eventually};

const AGENTS: &str = "/api/v1/cloud/agents";
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn two_tokens_on_one_connection_are_each_counted_as_themselves() {
    let config = "[rate_limit]\nread = { per_second = 1, burst = 3 }\n\
                  write = { per_second = 1, burst = 3 }\n";
    for speak_http2 in [false, true] {
        let world = Setup::new().config(config).start().await;
        let stream = TcpStream::connect(world.proxy()).await.unwrap();
        let mut statuses = Vec::new();
        // The first has spent its budget when the second has used half of its own.
        let calls = ["pt-one", "pt-one", "pt-two", "pt-one", "pt-one", "pt-two", "pt-onE", ""];
        let requests = calls.map(|token| Call::get(AGENTS).token(token));
        if speak_http2 {
            let mut sender = http2(stream).await;
            for request in requests {
                let answer = sender.send_request(request.http2("http://x")).await.unwrap();
                statuses.push(read(answer).await.status.as_u16());
            }
        } else {
            let mut sender = http1(stream).await;
            for request in requests {
                let answer = sender.send_request(request.http1("x")).await.unwrap();
                statuses.push(read(answer).await.status.as_u16());
            }
        }
        assert_eq!(statuses, [200, 200, 200, 200, 429, 200, 200, 401], "http2: {speak_http2}");
    }
}

#[tokio::test]
async fn a_reload_forgets_whom_a_connection_knows() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    let program = folder.serve().await;
    let mut sender = http1(TcpStream::connect(program.proxy).await.unwrap()).await;
    let answer = sender.send_request(Call::get(AGENTS).http1("x")).await.unwrap();
    assert_eq!(read(answer).await.status, 200);

    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let other = "actors.unknown = 'deny'\n[[actor]]\nfingerprint = 'pat_0000000000000000'\n\
                 name = 'other'\n";
    folder.write("changegate.toml", &format!("{config}\n{other}"));
    let events = program.events("reload", 1).await;
    assert_eq!(events[0]["detail"].get("error"), None, "{events:?}");
    let answer = sender.send_request(Call::get(AGENTS).http1("x")).await.unwrap();
    let answer = read(answer).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("is not listed here"), "{}", answer.text());
}

/// An upstream that answers each request on a connection, so many of them, and then closes it.
async fn upstream_that_closes_after(answers: usize) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (closed, closings) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for _ in 0..answers {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    (url, closings)
}

#[tokio::test]
async fn a_kept_connection_that_upstream_closed_is_not_used() {
    let (url, mut closings) = upstream_that_closes_after(2).await;
    let world = Setup::new().upstream(url).workers(1).start().await;
    for n in 0..6 {
        let request = if n == 2 { Call::post("/api/v1/cloud/files") } else { Call::get(AGENTS) };
        assert_eq!(call(world.proxy(), request).await.status, 200, "call {n}");
        if n % 2 == 1 {
            closings.recv().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_early_answer_is_not_taken() {
    const BYTES: usize = 8 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = Setup::new().upstream(url).start().await;
    // Answers with more than any buffer holds, and reads at the same time.
    let upstream = tokio::spawn(async move {
        let (mut reading, mut writing) = listener.accept().await.unwrap().0.into_split();
        let _ = reading.read_u8().await.unwrap();
        let answering = tokio::spawn(async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 4 * BYTES);
            writing.write_all(head.as_bytes()).await.unwrap();
            writing.write_all(&vec![b'x'; 4 * BYTES]).await.unwrap();
        });
        let (mut read, mut room) = (0, vec![0; 1 << 16]);
        while read < BYTES {
            read += reading.read(&mut room).await.unwrap();
        }
        answering.await.unwrap();
    });
    let (mut reading, mut writing) = TcpStream::connect(world.proxy()).await.unwrap().into_split();
    let head = format!(
        "POST /api/v1/cloud/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         connection: close\r\ncontent-length: {BYTES}\r\n\r\n"
    );
    writing.write_all(head.as_bytes()).await.unwrap();
    writing.write_all(b"y").await.unwrap();
    let mut text = vec![0; 12];
    reading.read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"HTTP/1.1 200");
    // All of it is sent before any more of the answer is looked at.
    let rest = vec![b'y'; BYTES - 1];
    let sent = tokio::time::timeout(PATIENCE, writing.write_all(&rest)).await;
    sent.expect("the upload goes on").unwrap();
    let whole = tokio::time::timeout(2 * PATIENCE, reading.read_to_end(&mut text)).await;
    whole.expect("the answer comes").unwrap();
    assert!(text.len() > 4 * BYTES, "{}", text.len());
    upstream.await.unwrap();
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_and_each_under_its_own_token() {
    // So slow a budget gains nothing within the test.
    let slow = "[rate_limit]\nread = { per_second = 1, burst = 100 }\n";
    let world = Setup::new().config(slow).start().await;
    let request = |token: &str, more: &str| {
        format!("GET {AGENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n")
    };
    let pipeline = request("pt-one", "x-request-id: first\r\n")
        + &request("pt-two", "x-request-id: second\r\n")
        + &request("pt-one", "x-request-id: third\r\nconnection: close\r\n");
    let text = raw(world.proxy(), pipeline.as_bytes(), PATIENCE).await;
    let places = ["first", "second", "third"].map(|id| text.find(&format!("x-request-id: {id}")));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    let count = |remaining: u8| text.matches(&format!("remaining: {remaining}\r\n")).count();
    assert_eq!((count(99), count(98)), (2, 1), "{text}");
}

/// A deployment of 8 MiB: sixteen of them are what one token's calls may hold.
fn long_deployment() -> serde_json::Value {
    serde_json::json!({"type": "deployment", "id": "dep_1", "name": "a", "agent": {"id": "a"},
        "metadata": {}, "schedule": null, "description": "x".repeat(8 << 20)})
}

#[tokio::test]
async fn answers_that_nobody_takes_hold_a_bounded_memory() {
    let shown = long_deployment().to_string();
    let upstream = Recorder::start(move |_| answer(200, &shown)).await;
    let patient = "[limits]\nwrite_timeout = 600\n";
    let world = Setup::new().upstream(&upstream.url).config(patient).start().await;
    let path = "/api/v1/cloud/deployments/dep_1";
    let get = || open(world.proxy(), Call::get(path));
    let update = || open(world.proxy(), Call::post(path).json(&serde_json::json!({"name": "a"})));
    let has_tag = |read: &http::Response<_>| read.headers().contains_key("etag");
    let mut untaken = Vec::new();
    for _ in 0..13 {
        untaken.push(get().await);
    }
    assert!(untaken.iter().all(has_tag));
    // A change's answer counts as well: beside these reads, there is room for one.
    untaken.push(update().await);
    assert_eq!(untaken.last().unwrap().status(), 200);
    assert_eq!(update().await.status(), 503);
    // A read is held whole for its etag alone: where there is no room, it passes as it comes.
    untaken.push(get().await);
    let passed = get().await;
    assert!(!has_tag(&passed));
    assert_eq!(read(passed).await.body.len(), long_deployment().to_string().len());
    drop(untaken);
    eventually("changes go on", async || (update().await.status() == 200).then_some(())).await;
}

#[tokio::test]
async fn an_upload_that_upstream_gives_up_over_http2_loses_no_next_request() {
    const EARLY: &[Does] = &[Does::AnswersEarly, Does::Answers, Does::AnswersEarly, Does::Answers];
    let mut kept = 0;
    for (body, rounds) in [(2, 40), (4 << 20, 1)] {
        for _ in 0..rounds {
            // On a machine with much else to do the answer often comes with its reset.
            if body == 2 && kept == 5 {
                break;
            }
            let upstream = Http2Upstream::start(&[EARLY], &[]).await;
            let world = upstream.world().start().await;
            let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
            let head = format!(
                "POST /api/v1/cloud/files HTTP/1.1\r\nhost: x\r\n\
                 authorization: Bearer {TOKEN}\r\ncontent-length: {body}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let told = until(&mut stream, "\r\n\r\n").await;
            assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
            // Where it says so, the next request is not sent here.
            if told.contains("connection: close") {
                continue;
            }
            kept += 1;
            // Upstream gives the stream up meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(&vec![b'y'; body]).await.unwrap();
            let next = format!(
                "GET /api/v1/cloud/agents HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 authorization: Bearer {TOKEN}\r\n\r\n"
            );
            stream.write_all(next.as_bytes()).await.unwrap();
            let told = until(&mut stream, "HTTP/1.1 200 ").await;
            assert!(told.ends_with("HTTP/1.1 200 "), "{told}");
        }
    }
    assert!(kept > 0, "upstream answered with no answer apart from its reset");
}

/// What comes up to the first place where this stands, or to the end.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let Ok(byte) = stream.read_u8().await else { break };
            text.push(char::from(byte));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time");
    text
}
