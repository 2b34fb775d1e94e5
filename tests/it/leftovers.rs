//! An upstream that sends more than an answer: whatever lies on a connection from one call is never
//! the answer to another caller's.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::world::client::raw;
use crate::world::{Call, DEPLOYMENT, Setup, call};

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that only the first caller may see.
const SECRET: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";

/// How the first call is made and answered: what it is, what is sent at once, what is sent once
/// the first caller has been answered.
const CASES: [(&str, &str, &str, &str); 15] = [
    ("two answers", "GET", "200\r\ncontent-length: 2\r\n\r\nok<SECRET>", ""),
    ("two answers to a write", "POST", "200\r\ncontent-length: 2\r\n\r\nok<SECRET>", ""),
    ("two answers, the second later", "GET", "200\r\ncontent-length: 2\r\n\r\nok", "<SECRET>"),
    ("more than its length", "GET", "200\r\ncontent-length: 2\r\n\r\noksecret", ""),
    ("more than its length, later", "GET", "200\r\ncontent-length: 2\r\n\r\nok", "secret"),
    ("half a head", "GET", "200\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", ""),
    (
        "after the last chunk",
        "GET",
        "200\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n<SECRET>",
        "",
    ),
    ("a length beside chunks", "GET", "200\r\n<BOTH>\r\n\r\n2\r\nok\r\n0\r\n\r\n<SECRET>", ""),
    ("a body where there is none", "HEAD", "200\r\ncontent-length: 6\r\n\r\nsecret", ""),
    ("a body of 204", "GET", "204\r\ncontent-length: 6\r\n\r\nsecret", ""),
    ("a whole answer after 304", "GET", "304\r\n\r\n<SECRET>", ""),
    ("a whole answer after HEAD", "HEAD", "200\r\ncontent-length: 6\r\n\r\nsecret<SECRET>", ""),
    ("an unasked 1xx behind", "GET", "200\r\ncontent-length: 2\r\n\r\nok<EARLY>", ""),
    ("an unasked 1xx behind, later", "GET", "200\r\ncontent-length: 2\r\n\r\nok", "<EARLY>"),
    ("less than its length", "GET", "200\r\ncontent-length: 9\r\n\r\nok", "<CLOSE>"),
];

fn spelled(text: &str) -> String {
    let both = "content-length: 3\r\ntransfer-encoding: chunked";
    let early = format!("HTTP/1.1 103 Early Hints\r\nlink: <secret>\r\n\r\n{SECRET}");
    text.replace("<SECRET>", SECRET).replace("<BOTH>", both).replace("<EARLY>", &early)
}

/// An upstream that answers `/odd` as the case says, a governed call with a deployment and the case
/// behind it, and everything else truthfully.
struct Odd {
    url: String,
    /// Asks for what is sent later.
    go_on: mpsc::UnboundedSender<()>,
    /// Tells that it is sent.
    sent: mpsc::UnboundedReceiver<()>,
}

async fn odd(at_once: String, later: String) -> Odd {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, asked) = mpsc::unbounded_channel();
    let (tell, sent) = mpsc::unbounded_channel();
    let (asked, texts) = (Arc::new(tokio::sync::Mutex::new(asked)), Arc::new((at_once, later)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&texts), Arc::clone(&asked), tell.clone()));
        }
    });
    Odd { url, go_on, sent }
}

async fn converse(
    mut stream: TcpStream,
    texts: Arc<(String, String)>,
    asked: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>>,
    tell: mpsc::UnboundedSender<()>,
) -> Option<()> {
    let (at_once, later) = &*texts;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(stream.read_u8().await.ok()?));
        }
        let length = head.split("content-length: ").nth(1).map(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.flatten().map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
        let path = head.split(' ').nth(1).unwrap();
        if !path.ends_with("/odd") {
            let truth = if path.contains("/deployments") {
                json!({"type": "deployment", "id": DEPLOYMENT, "metadata": {}, "schedule": null})
                    .to_string()
            } else {
                path.to_owned()
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", truth.len());
            stream.write_all(format!("{head}{truth}").as_bytes()).await.ok()?;
            continue;
        }
        stream.write_all(format!("HTTP/1.1 {at_once}").as_bytes()).await.ok()?;
        if later == "<CLOSE>" {
            return None;
        }
        if !later.is_empty() {
            asked.lock().await.recv().await?;
            stream.write_all(later.as_bytes()).await.ok()?;
            tell.send(()).ok()?;
        }
    }
}

#[tokio::test]
async fn what_upstream_sends_beyond_an_answer_reaches_no_other_caller() {
    for (case, method, at_once, later) in CASES {
        let mut upstream = odd(spelled(at_once), spelled(later)).await;
        let world = Setup::new().upstream(upstream.url).workers(1).start().await;
        let request = format!(
            "{method} /api/v1/cloud/odd HTTP/1.1\r\nhost: x\r\nauthorization: Bearer pt-alice\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
        let first = raw(world.proxy(), request.as_bytes(), PATIENCE).await;
        let status = format!("HTTP/1.1 {} ", at_once.split("\r\n").next().unwrap());
        let cut = later == "<CLOSE>" && first.is_empty();
        assert!(cut || first.starts_with(&status), "{case}: {first}");
        assert!(!first.contains("secret"), "{case}: {first}");
        if !later.is_empty() && later != "<CLOSE>" {
            upstream.go_on.send(()).unwrap();
            upstream.sent.recv().await.unwrap();
        }
        for n in 0..3 {
            let path = format!("/api/v1/cloud/agents/{n}");
            let second = call(world.proxy(), Call::get(&path).token("pt-bob")).await;
            assert_eq!((second.status.as_u16(), second.text()), (200, path), "{case}");
        }
        let governed = world.update(&json!({"name": "n"})).await;
        assert_eq!(governed.status, 200, "{case}: {}", governed.text());
        assert_eq!(governed.json()["id"], DEPLOYMENT, "{case}");
    }
}
