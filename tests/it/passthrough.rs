//! A call that is not a governed call passes as it comes, in both directions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use changegate::base::clock::Clock;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::client::{TOKEN, open, raw};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, call, world};

const API: &str = "/api/v1/cloud";

#[tokio::test]
async fn an_event_stream_delivers_each_event_as_it_comes() {
    let world = world().await;
    let path = format!("{API}/sessions/s1/events/stream?interval_ms=60&count=5");
    let mut stream = open(world.proxy(), Call::get(&path)).await.into_body();
    let mut late = Vec::new();
    while let Some(frame) = stream.frame().await {
        let now = Clock::System.now().millis();
        let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            late.push(now - event["sent_at"].as_i64().unwrap());
        }
    }
    assert_eq!(late.len(), 5);
    late.sort_unstable();
    // Of a stream that is held back, most events would be late; one may be on a busy machine.
    assert!(late[2] <= 50, "events came so many milliseconds late: {late:?}");
}

#[tokio::test]
async fn a_write_to_another_resource_passes_and_leaves_an_event_without_its_body() {
    let world = world().await;
    let body = vec![b'x'; 3_000_000];
    let upload = Call::post(&format!("{API}/files")).header("content-type", "text/plain");
    let answer = call(world.proxy(), upload.body(body)).await;
    assert_eq!(answer.json()["bytes"], 3_000_000);
    assert_eq!(answer.header("changegate-change"), None);
    let events = world.events("other_write", 1).await;
    let detail = &events[0]["detail"];
    assert_eq!(detail["method"], "POST");
    assert_eq!(detail["path"], "/api/v1/cloud/files");
    assert_eq!(detail["status"], 200);
    assert_eq!(detail["request_bytes"], 3_000_000);
    assert_eq!(events[0]["request_id"], answer.header("x-request-id").unwrap());
}

#[tokio::test]
async fn other_writes_leave_nothing_where_that_is_switched_off() {
    let world = Setup::new().config("audit.other_writes = 'off'").start().await;
    call(world.proxy(), Call::post(&format!("{API}/files")).body("x")).await;
    call(world.proxy(), Call::new("DELETE", &format!("{API}/deployments/x"))).await;
    assert_eq!(world.events("refused_write", 1).await.len(), 1);
    assert_eq!(world.events("other_write", 0).await.len(), 0);
}

#[tokio::test]
async fn an_operator_may_let_a_write_below_deployments_pass() {
    let upstream = Recorder::start(|_| answer(200, json!({}))).await;
    let setup = Setup::new().upstream(&upstream.url);
    let setup = setup.config("upstream.allow_writes = ['DELETE /deployments/{id}']");
    let world = setup.start().await;
    let delete = |path: &str| Call::new("DELETE", &format!("{API}{path}"));
    assert_eq!(call(world.proxy(), delete("/deployments/x")).await.status, 200);
    assert_eq!(call(world.proxy(), delete("/deployments/x/y")).await.status, 403);
    let received = upstream.received();
    assert_eq!(received.iter().filter(|received| received.method == "DELETE").count(), 1);
    assert_eq!(world.events("other_write", 1).await[0]["detail"]["method"], "DELETE");
}

#[tokio::test]
async fn hop_by_hop_fields_and_the_clients_address_stay_here() {
    let upstream = Recorder::start(|_| answer(200, json!({}))).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let request = format!(
        "GET {API}/agents?a=%2F#x HTTP/1.1\r\nhost: gateway.example\r\n\
         authorization: Bearer {TOKEN}\r\nconnection: close, X-Private\r\nx-private: 1\r\n\
         keep-alive: 5\r\nupgrade: websocket\r\nte: trailers, gzip\r\nproxy-connection: x\r\n\
         x-forwarded-for: 192.0.2.7\r\nforwarded: for=192.0.2.7\r\nx-real-ip: 192.0.2.7\r\n\
         cookie: a=1\r\n\r\n"
    );
    let request = request.replace("#x", "");
    let text = raw(world.proxy(), request.as_bytes(), Duration::from_secs(5)).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let received = upstream.received();
    let headers = &received[0].headers;
    let absent = [
        "x-private",
        "keep-alive",
        "upgrade",
        "proxy-connection",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "connection",
    ];
    for name in absent {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(received[0].target, format!("{API}/agents?a=%2F"));
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["cookie"], "a=1");
    assert_eq!(headers["via"], "1.1 changegate");
    assert_eq!(format!("http://{}", headers["host"].to_str().unwrap()), upstream.url);
}

#[tokio::test]
async fn chunks_trailers_pipelines_and_expectations_are_understood() {
    let upstream = Recorder::start(|got| answer(200, String::from_utf8_lossy(&got.body))).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let head = format!("host: x\r\nauthorization: Bearer {TOKEN}\r\n");
    let pipeline = format!(
        "POST {API}/a HTTP/1.1\r\n{head}transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n\
         POST {API}/b HTTP/1.1\r\n{head}content-length: 3\r\n\r\ntwo\
         HEAD {API}/c HTTP/1.1\r\n{head}\r\n\
         GET {API}/d HTTP/1.1\r\n{head}connection: close\r\n\r\n"
    );
    let text = raw(world.proxy(), pipeline.as_bytes(), Duration::from_secs(5)).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 4, "{text}");
    assert!(text.find("one").unwrap() < text.find("two").unwrap());

    let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
    let expecting =
        format!("POST {API}/e HTTP/1.1\r\n{head}content-length: 2\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(expecting.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    let mut second = [0; 15];
    stream.read_exact(&mut second).await.unwrap();
    assert_eq!(&second, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_call_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = Setup::new().upstream(url).start().await;
    let request =
        format!("GET {API}/slow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let mut client = TcpStream::connect(world.proxy()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    let mut head = [0; 1024];
    assert!(upstream.read(&mut head).await.unwrap() > 0);
    drop(client);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), upstream.read_to_end(&mut rest));
    assert!(closed.await.is_ok(), "the call upstream goes on");
}

#[tokio::test]
async fn a_slow_reader_holds_upstream_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = Setup::new().upstream(url).start().await;
    let writing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        let size = 512_usize << 20;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (block, mut written) = (vec![0; 1 << 20], 0);
        while written < size {
            let write = tokio::time::timeout(Duration::from_millis(700), stream.write(&block));
            let Ok(wrote) = write.await else { break };
            written += wrote.unwrap();
        }
        written
    });
    let path = format!("{API}/huge");
    let answer = open(world.proxy(), Call::get(&path)).await;
    let written = writing.await.unwrap();
    drop(answer);
    assert!(written < 64 << 20, "{written} bytes were taken although nobody reads");
}

#[tokio::test]
async fn a_dead_upstream_is_told_at_once() {
    let world = Setup::new().upstream("http://127.0.0.1:1").start().await;
    let started = Instant::now();
    let answer = call(world.proxy(), Call::get(&format!("{API}/agents"))).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["type"], "api_error");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_silent_upstream_is_a_504() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = Setup::new().upstream(url).config("upstream.response_timeout = 0.2").start().await;
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    assert_eq!(call(world.proxy(), Call::get(&path)).await.status, 504);
    let write = call(world.proxy(), Call::post(&path).json(&json!({}))).await;
    assert_eq!(write.status, 504);
    // Upstream has not taken the token: nothing is recorded.
    assert_eq!(write.header("changegate-change"), None);
    assert!(world.changes().await.is_empty());
}

#[tokio::test]
async fn statuses_without_a_body_keep_none_and_upstreams_headers_win() {
    let upstream = Recorder::start(|got| {
        let status = got.target.rsplit('/').next().unwrap().parse().unwrap();
        let mut response = answer(status, "");
        response.headers_mut().insert("x-ratelimit-limit", "7".parse().unwrap());
        response.headers_mut().append("set-cookie", "a=1".parse().unwrap());
        response.headers_mut().append("set-cookie", "b=2".parse().unwrap());
        response
    })
    .await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    for status in [204, 304, 404, 529] {
        let answer = call(world.proxy(), Call::get(&format!("{API}/x/{status}"))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body, Bytes::new());
        assert_eq!(answer.header("x-ratelimit-limit"), Some("7"));
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    }
}
