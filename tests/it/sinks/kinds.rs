//! Splunk, OTLP, syslog and files: what each is sent, word by word.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::{sink, stands, world};
use crate::world::certificate::Certificate;
use crate::world::recorder::{Recorder, answer};
use crate::world::{World, eventually};

/// Three changes of different ends.
pub(super) async fn change(world: &World) {
    world.update(&json!({"name": "first"})).await;
    world.update(&json!({"metadata": {"owner_override": "me"}})).await;
    world.update(&json!({"name": "second"})).await;
}

/// The objects in a text, one after the other.
pub(super) fn objects(text: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(text).into_iter().map(Result::unwrap).collect()
}

fn kinds<'v>(messages: impl IntoIterator<Item = &'v Value>) -> Vec<&'v str> {
    let kinds = messages.into_iter().map(|message| message["type"].as_str().unwrap());
    kinds.filter(|kind| kind.starts_with("change.")).collect()
}

const CHANGES: [&str; 3] = ["change.applied", "change.denied", "change.applied"];

#[tokio::test]
async fn splunk_is_sent_events_one_after_the_other_and_finds_a_bad_one() {
    let recorder = Recorder::start(|received| {
        let is_bad = String::from_utf8_lossy(&received.body).contains("/metadata/owner_override");
        let bad = json!({"text": "Invalid data format", "code": 6});
        let good = json!({"text": "Success", "code": 0});
        if is_bad { answer(400, bad) } else { answer(200, good) }
    });
    let recorder = recorder.await;
    let table = format!(
        "[[sink]]\nname = 'hec'\nkind = 'splunk-hec'\nurl = '{}'\nindex = 'audit'\n\
         secret_file = 'hec.secret'\n",
        recorder.url
    );
    let world = world(&table).await;
    stands(&world, "hec", "current").await;
    change(&world).await;
    eventually("all but one", async || {
        let found = sink(&world, "hec").await;
        (found["state"] == "current" && found["dead_letters"] == 1).then_some(())
    })
    .await;
    let mut sent = Vec::new();
    for received in recorder.received() {
        assert_eq!(received.target, "/services/collector/event");
        let token = "Splunk b0221cd8-c4b4-465a-9a3c-273e3a75aa29";
        assert_eq!(received.headers["authorization"], token);
        sent.extend(objects(&received.body));
    }
    let applied = sent.iter().find(|event| event["event"]["type"] == "change.applied").unwrap();
    assert_eq!((&applied["index"], &applied["host"]), (&json!("audit"), &json!("main")));
    assert_eq!(applied["sourcetype"], "changegate");
    assert!(applied["time"].as_f64().unwrap() > 1e9, "{applied}");
    assert!(sink(&world, "hec").await["error"].is_null(), "a refusal is no failure");
}

#[tokio::test]
async fn otlp_is_sent_log_records() {
    let recorder = Recorder::start(|_| answer(200, json!({"partialSuccess": {}}))).await;
    let table = format!(
        "[[sink]]\nname = 'otlp'\nkind = 'otlp'\nurl = '{}'\nsecret_file = 'otlp.secret'\n\
         from = 'start'\n",
        recorder.url
    );
    let world = world(&table).await;
    change(&world).await;
    let records = eventually("three changes", async || {
        let mut records = Vec::new();
        for received in recorder.received() {
            assert_eq!(received.target, "/v1/logs");
            assert_eq!(received.headers["authorization"], "Bearer otlp-token");
            assert_eq!(received.headers["x-tenant"], "audit");
            let body: Value = serde_json::from_slice(&received.body).unwrap();
            let scope = &body["resourceLogs"][0]["scopeLogs"][0];
            records.extend(scope["logRecords"].as_array().unwrap().clone());
        }
        records.retain(|record| record["eventName"].as_str().unwrap().starts_with("change."));
        (records.len() >= 3).then_some(records)
    })
    .await;
    let denied = &records[1];
    assert_eq!((&denied["severityText"], &denied["severityNumber"]), (&json!("WARN"), &json!(13)));
    let nanos = denied["timeUnixNano"].as_str().unwrap();
    assert!(nanos.len() == 19 && nanos.ends_with("000000"), "{nanos}");
    let attributes = denied["attributes"].as_array().unwrap();
    let position = attributes.iter().find(|at| at["key"] == "changegate.position").unwrap();
    assert!(position["value"]["intValue"].is_string(), "{position}");
    let body = denied["body"]["stringValue"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["type"], "change.denied");
}

/// A receiver of syslog under TLS, which keeps what comes.
pub(super) async fn syslog(certificate: &Certificate) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, acceptor) = (Arc::<Mutex<Vec<u8>>>::default(), certificate.acceptor(&[]));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut part).await {
                kept.lock().unwrap().extend_from_slice(&part[..read]);
            }
        }
    });
    (format!("tls://localhost:{port}"), heard)
}

/// Messages that are counted in octets.
pub(super) fn counted(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let Some(line) = bytes.get(space + 1..space + 1 + length) else { break };
        assert!(length <= 8_192, "{length}");
        found.push(String::from_utf8(line.to_vec()).unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    found
}

#[tokio::test]
async fn syslog_is_sent_counted_messages_under_tls() {
    let certificate = Certificate::of("localhost");
    let (url, heard) = syslog(&certificate).await;
    let table = format!(
        "[[sink]]\nname = 'syslog'\nkind = 'syslog'\nurl = '{url}'\nca_file = 'ca.pem'\n\
         from = 'start'\n"
    );
    let world = crate::world::Setup::new()
        .config(&(crate::world::admin_token("auditor", "auditor", "auditor") + &table))
        .file("ca.pem", &certificate.chain)
        .start()
        .await;
    change(&world).await;
    let lines = eventually("three changes", async || {
        let lines = counted(&heard.lock().unwrap());
        let changes = lines.into_iter().filter(|line| line.contains(" change."));
        let changes: Vec<String> = changes.collect();
        (changes.len() >= 3).then_some(changes)
    })
    .await;
    for (line, (severity, kind)) in lines.iter().zip([6, 4, 6].into_iter().zip(CHANGES)) {
        let parts: Vec<&str> = line.splitn(8, ' ').collect();
        assert_eq!(parts[0], format!("<{}>1", 13 * 8 + severity), "{line}");
        assert_eq!((parts[2], parts[3], parts[5]), ("main", "changegate", kind), "{line}");
        let (data, message) = line.split_once("] {").unwrap();
        assert!(data.contains(" [changegate@32473 log=\""), "{line}");
        let message: Value = serde_json::from_str(&format!("{{{message}")).unwrap();
        let position = message["data"]["position"].as_u64().unwrap();
        assert!(data.contains(&format!(" position=\"{position}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_file_has_whole_lines_and_is_put_aside() {
    let table = "[[sink]]\nname = 'file'\nkind = 'file'\npath = 'out.jsonl'\nmax_bytes = 3000\n\
                 keep = 50\nfrom = 'start'\n";
    let world = world(table).await;
    change(&world).await;
    stands(&world, "file", "current").await;
    let mut names = vec!["out.jsonl".to_owned()];
    names.extend((1..50).map(|number| format!("out.jsonl.{number}")));
    let mut texts = Vec::new();
    for name in names {
        let path = world.folder.path().join(name);
        texts.extend(std::fs::read_to_string(path).ok());
    }
    assert!(texts.len() > 1, "{texts:?}");
    assert!(texts.iter().all(|text| text.ends_with('\n')), "{texts:?}");
    texts.reverse();
    let messages: Vec<Value> = objects(texts.concat().as_bytes());
    assert_eq!(kinds(&messages), CHANGES);
    let positions = messages.iter().map(|message| message["data"]["position"].as_u64().unwrap());
    assert!(positions.is_sorted(), "{messages:?}");
}
