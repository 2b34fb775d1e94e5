//! Requests that upstream did not process, and connections that it gives up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::client::{TOKEN, raw};
use crate::world::http2_upstream::{Does, Http2Upstream};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, call, eventually};

const AGENTS: &str = "/api/v1/cloud/agents";
const PATIENCE: Duration = Duration::from_secs(5);
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn what_upstream_did_not_process_goes_once_more_on_another_connection() {
    // The read before it has come first.
    let scripts: [&[&[Does]]; 3] = [
        &[&[Does::Answers, Does::GoesAway(0)]],
        &[&[Does::Answers, Does::Resets(REFUSED_STREAM)]],
        &[&[Does::GoesAway(0)], &[Does::Answers, Does::GoesAway(0)]],
    ];
    for script in scripts {
        let upstream = Http2Upstream::start(script, &[]).await;
        let world = upstream.world().start().await;
        let answer = world.update(&json!({"name": "x"})).await;
        assert_eq!(answer.status, 200, "{script:?}: {}", answer.text());
        assert_eq!(world.change_of(&answer).await["outcome"], "applied", "{script:?}");
        assert_eq!(upstream.seen().iter().sum::<usize>(), 2 + script.len(), "{script:?}");
    }
    let upstream = Http2Upstream::start(&[&[Does::GoesAway(0)]], &[]).await;
    let world = upstream.world().start().await;
    assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    assert_eq!(upstream.seen(), [1, 1]);
}

#[tokio::test]
async fn what_upstream_never_processes_has_failed_and_changed_nothing() {
    const REFUSED: Does = Does::Resets(REFUSED_STREAM);
    let script: &[&[Does]] = &[&[Does::Answers, REFUSED], &[REFUSED], &[REFUSED]];
    let upstream = Http2Upstream::start(script, &[]).await;
    let world = upstream.world().start().await;
    let answer = world.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("nothing was changed"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(world.change_of(&answer).await["outcome"], "failed");
    assert_eq!(upstream.seen(), [2, 1], "once more, and not again");
    // A body that is passed on as it comes is gone: its client is told that nothing was done.
    let post = Call::post("/api/v1/cloud/files").body("x");
    let answer = call(world.proxy(), post).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("nothing was done"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), None);
}

#[tokio::test]
async fn what_upstream_may_have_processed_is_not_sent_again() {
    let scripts: [&[&[Does]]; 5] = [
        &[&[Does::Answers, Does::GoesAwayAfter]],
        &[&[Does::Answers, Does::Closes]],
        &[&[Does::Answers, Does::Resets(ENHANCE_YOUR_CALM)]],
        &[&[Does::Answers, Does::GoesAway(ENHANCE_YOUR_CALM)]],
        // INTERNAL_ERROR.
        &[&[Does::Answers, Does::Resets(2)]],
    ];
    for script in scripts {
        let upstream = Http2Upstream::start(script, &[]).await;
        let world = upstream.world().start().await;
        let answer = world.update(&json!({"name": "x"})).await;
        assert_eq!(answer.status, 502, "{script:?}: {}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{script:?}");
        assert_eq!(world.change_of(&answer).await["outcome"], "unknown", "{script:?}");
        assert_eq!(upstream.writes(), 1, "{script:?}");
    }
}

/// An upstream that shows a deployment to the first `answers` requests of its first connections,
/// and closes as the next comes; it answers all on those after. What came goes to the list.
async fn closes_late(connections: usize, answers: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for request in 0.. {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let body = head.split("content-length: ").nth(1);
                    let body = body.and_then(|rest| rest.lines().next()?.parse().ok());
                    stream.read_exact(&mut vec![0; body.unwrap_or(0)]).await.unwrap();
                    log.lock().unwrap().push(head);
                    if connection < connections && request == answers {
                        return;
                    }
                    let shown = json!({
                        "type": "deployment", "id": DEPLOYMENT, "metadata": {}, "schedule": null,
                    });
                    let shown = shown.to_string();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                         content-length: {}\r\n\r\n{shown}",
                        shown.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_read_on_a_kept_connection_that_breaks_is_asked_once_more() {
    let deployment = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    for path in [AGENTS, &deployment] {
        let (url, seen) = closes_late(1, 1).await;
        let world = Setup::new().upstream(url).workers(1).start().await;
        for _ in 0..3 {
            let get = Call::get(path).header("x-mine", "1: 2").header("accept", "a/b");
            let answer = call(world.proxy(), get).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!(seen[1], seen[2], "the same request");
    }
    // The read before, on its own, and then the write on the connection that it has brought.
    let (url, seen) = closes_late(1, 1).await;
    let world = Setup::new().upstream(url).workers(1).start().await;
    assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    let answer = world.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(seen.lock().unwrap().len(), 4);

    let script: &[&[Does]] = &[&[Does::Answers, Does::Closes]];
    let upstream = Http2Upstream::start(script, &[]).await;
    let world = upstream.world().start().await;
    for _ in 0..2 {
        assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    }
    assert_eq!(upstream.seen(), [2, 1]);
}

#[tokio::test]
async fn what_is_no_read_or_breaks_twice_or_on_a_new_connection_is_not_asked_again() {
    let (url, seen) = closes_late(1, 1).await;
    let world = Setup::new().upstream(url).workers(1).start().await;
    assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    for (method, status) in [("POST", 502), ("PUT", 200), ("DELETE", 200)] {
        let write = Call::new(method, "/api/v1/cloud/files").body("x");
        assert_eq!(call(world.proxy(), write).await.status, status, "{method}");
    }
    assert_eq!(seen.lock().unwrap().len(), 4);
    for (connections, answers, expected) in [(9, 0, [502, 502]), (1, 0, [502, 200])] {
        let (url, seen) = closes_late(connections, answers).await;
        let world = Setup::new().upstream(url).workers(1).start().await;
        for status in expected {
            assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, status);
        }
        assert_eq!(seen.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn what_may_have_been_applied_says_so_unless_it_may_be_repeated() {
    let methods = [("POST", true), ("PATCH", true), ("PUT", false), ("DELETE", false)];
    for (method, is_unclear) in methods.into_iter().chain([("GET", false), ("OPTIONS", false)]) {
        let (broken, _) = closes_late(1, 0).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_url = format!("http://{}", silent.local_addr().unwrap());
        for (url, status, may_be) in [
            (broken, 502, is_unclear),
            (silent_url, 504, is_unclear),
            ("http://127.0.0.1:1".to_owned(), 502, false),
        ] {
            let setup = Setup::new().upstream(url).config("upstream.response_timeout = 0.2");
            let world = setup.start().await;
            let body = if method == "GET" { "" } else { "x" };
            let write = Call::new(method, "/api/v1/cloud/files").body(body);
            let answer = call(world.proxy(), write).await;
            let (text, retry) = (answer.text(), answer.header("x-should-retry"));
            assert_eq!(answer.status, status, "{method}: {text}");
            assert_eq!(retry, may_be.then_some("false"), "{method}: {text}");
            assert_eq!(text.contains("may have been applied"), may_be, "{method}: {text}");
        }
    }
}

#[tokio::test]
async fn a_call_beyond_what_upstream_allows_at_once_gets_another_connection() {
    // MAX_CONCURRENT_STREAMS of 2.
    let settings: &[u8] = &[0, 3, 0, 0, 0, 2];
    let script: &[&[Does]] = &[&[Does::Answers, Does::Holds, Does::Holds]];
    let upstream = Http2Upstream::start(script, settings).await;
    let world = upstream.world().start().await;
    assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    for _ in 0..2 {
        tokio::spawn(call(world.proxy(), Call::get(AGENTS)));
    }
    let held = async || (upstream.seen() == [3]).then_some(());
    eventually("two calls that are held", held).await;
    let next = tokio::time::timeout(PATIENCE, call(world.proxy(), Call::get(AGENTS))).await;
    assert_eq!(next.expect("an answer").status, 200);
    assert_eq!(upstream.seen(), [3, 1]);
}

/// An upstream that answers each connection's first request with this, and closes.
async fn says(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn the_head_of_an_answer_is_bounded_as_that_of_a_request() {
    let limits = "limits.header_bytes = '32 KiB'\nlimits.header_count = 50\n";
    let text = |fields: usize, bytes: usize| {
        let fields = (0..fields).map(|n| format!("x-more-{n}: {}\r\n", "x".repeat(bytes)));
        let fields = fields.collect::<Vec<_>>().concat();
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{fields}content-length: 2\r\n\r\nok")
    };
    for (fields, bytes, status) in [(40, 9, 200), (60, 9, 502), (30, 1000, 200), (40, 1000, 502)] {
        let world = Setup::new().upstream(says(text(fields, bytes)).await).config(limits);
        let answer = call(world.start().await.proxy(), Call::get(AGENTS)).await;
        assert_eq!(answer.status, status, "{fields} of {bytes}: {}", answer.text());
        if status == 502 {
            let text = answer.text();
            assert!(text.contains("limits.header_bytes") && text.contains("limits.header_count"));
        }
    }
    // By default the bounds are 64 KiB and 100 fields.
    let script: &[&[Does]] =
        &[&[Does::Lengthens(50), Does::Lengthens(70), Does::Lengthens(40), Does::Lengthens(70)]];
    let upstream = Http2Upstream::start(script, &[]).await;
    let world = upstream.world().start().await;
    for status in [200, 502] {
        let answer = call(world.proxy(), Call::get(AGENTS)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(status == 200 || answer.text().contains("limits.header_bytes"));
    }
    let answer = world.update(&json!({"name": "x"})).await;
    assert!(answer.text().contains("limits.header_count"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn equal_lengths_are_one_and_others_are_none() {
    for (lengths, status) in [("2, 2", 200), ("2,2, 2", 200), ("2, 3", 502)] {
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {lengths}\r\n\r\nok");
        let world = Setup::new().upstream(says(text).await).start().await;
        let answer = call(world.proxy(), Call::get(AGENTS)).await;
        assert_eq!(answer.status, status, "{lengths}");
        assert!(status == 502 || answer.header("content-length") == Some("2"), "{lengths}");
    }
}

#[tokio::test]
async fn the_words_for_a_status_without_any_pass() {
    let answer = "HTTP/1.1 529 Site is overloaded\r\ncontent-length: 0\r\n\r\n";
    for line in [
        format!("GET {AGENTS} HTTP/1.1"),
        format!("GET /api/v1/cloud/deployments/{DEPLOYMENT} HTTP/1.1"),
        format!("POST /api/v1/cloud/deployments/{DEPLOYMENT}/pause HTTP/1.1"),
    ] {
        let world = Setup::new().upstream(says(answer.to_owned()).await).start().await;
        let length = if line.starts_with("POST") { "content-length: 0\r\n" } else { "" };
        let request = format!(
            "{line}\r\nhost: x\r\nconnection: close\r\n{length}\
             authorization: Bearer {TOKEN}\r\n\r\n"
        );
        let text = raw(world.proxy(), request.as_bytes(), PATIENCE).await;
        assert!(text.starts_with("HTTP/1.1 529 Site is overloaded\r\n"), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_encoded_unasked_says_why_its_record_has_no_after() {
    let upstream = Recorder::start(|got| {
        let mut told = answer(200, json!({"data": []}));
        if got.method == "POST" {
            assert_eq!(got.headers["accept-encoding"], "identity");
            *told.body_mut() = bytes::Bytes::from_static(b"\x1f\x8b\x08").into();
            told.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        }
        told
    })
    .await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let create = Call::post("/api/v1/cloud/deployments").json(&json!({"name": "x"}));
    let told = call(world.proxy(), create).await;
    assert_eq!((told.status.as_u16(), told.body.as_ref()), (200, &b"\x1f\x8b\x08"[..]));
    assert_eq!(told.header("content-encoding"), Some("gzip"));
    let warning = told.header("warning").expect("a warning");
    let why = "upstream answered gzip-encoded though identity was asked for: the record has no";
    assert!(warning.contains(why), "{warning}");
    let change = world.change_of(&told).await;
    assert_eq!((&change["outcome"], &change["after"]), (&json!("applied"), &json!(null)));
}

#[tokio::test]
async fn a_deployment_that_is_encoded_unasked_is_a_502_that_names_the_coding() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x00";
    let world = Setup::new().upstream(says(answer.to_owned()).await).start().await;
    let answer = world.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 502);
    let told = "upstream answered gzip-encoded though identity was asked for; nothing was changed";
    assert!(answer.text().contains(told), "{}", answer.text());
    let change = world.change_of(&answer).await;
    assert_eq!(change["outcome"], "failed");
    assert!(change["reason"]["message"].as_str().unwrap().contains(told), "{change}");
}
