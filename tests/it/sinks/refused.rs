//! Receivers that refuse, fail, hang, redirect or speak nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{message, messages, of_kind, order, sink, stands, webhook, world};
use crate::world::eventually;
use crate::world::recorder::{Received, Recorder, answer};

/// A receiver that takes connections and does nothing, or answers each with these bytes, over and
/// over.
pub(super) async fn odd(said: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(said) = said else {
                open.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let mut heard = [0; 1 << 10];
                let _ = stream.read(&mut heard).await;
                while stream.write_all(said).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receiver_slows_or_loses_a_change_whatever_it_does() {
    let elsewhere = Recorder::start(|_| answer(200, "")).await;
    let target = elsewhere.url.clone();
    let redirecting = Recorder::start(move |_| {
        let mut told = answer(307, "");
        told.headers_mut().insert("location", target.parse().unwrap());
        told
    });
    let redirecting = redirecting.await;
    let failing = Recorder::start(|_| answer(500, "{}")).await;
    let good = Recorder::start(|_| answer(200, "")).await;
    let bad = [
        ("hangs", odd(None).await),
        ("garbage", odd(Some(b"\x16\x03\x01garbage\r\n\r\n")).await),
        ("endless", odd(Some(b"HTTP/1.1 200 OK\r\nx-more: and more\r\n")).await),
        ("redirects", redirecting.url.clone()),
        ("fails", failing.url.clone()),
        ("away", "http://127.0.0.1:1".to_owned()),
    ];
    let tables: String =
        bad.iter().map(|(name, url)| webhook(name, url, "timeout = '1s'")).collect();
    let world = world(&(tables + &webhook("good", &good.url, ""))).await;
    for (name, _) in &bad {
        eventually(name, async || (!sink(&world, name).await.is_null()).then_some(())).await;
    }
    stands(&world, "good", "current").await;
    let began = Instant::now();
    for number in 0..30 {
        let answer = world.update(&json!({"name": format!("number {number}")})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    of_kind(&good, "change.applied", 30).await;
    for (name, url) in &bad {
        let standing = stands(&world, name, "waiting").await;
        assert!(standing["lag_positions"].as_u64().unwrap() >= 30, "{name}: {standing}");
        assert!(standing["error"].is_string() && standing["attempts"] != 0, "{name}: {standing}");
        assert_eq!(standing["to"], *url);
    }
    assert!(sink(&world, "redirects").await["error"].as_str().unwrap().contains("redirects"));
    assert!(elsewhere.received().is_empty(), "a redirect is not followed");
    assert_eq!(world.changes_as("auditor").await.len(), 30);
    let metrics = crate::world::call(world.admin(), crate::world::Call::get("/metrics")).await;
    let metrics = metrics.text();
    for line in ["sink_sent_total{sink=\"good\"} 3", "sink_failures_total{sink=\"hangs\"} "] {
        assert!(metrics.contains(&format!("changegate_{line}")), "{line}: {metrics}");
    }
    assert!(!metrics.contains("sink_failures_total{sink=\"hangs\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_message_that_is_refused_for_itself_is_passed_over_and_told() {
    let recorder = Recorder::start(|received| {
        let text = String::from_utf8_lossy(&received.body);
        answer(if text.contains("poison") { 422 } else { 200 }, "")
    });
    let recorder = recorder.await;
    let world = world(&webhook("hook", &recorder.url, "")).await;
    stands(&world, "hook", "current").await;
    for name in ["first", "poison", "last"] {
        world.update(&json!({"name": name})).await;
    }
    // The one before it differs by the poison too.
    eventually("the last one", async || {
        let standing = sink(&world, "hook").await;
        (standing["state"] == "current" && standing["dead_letters"] == 2).then_some(())
    })
    .await;
    let standing = sink(&world, "hook").await;
    assert_eq!(standing["attempts"], 0, "{standing}");
    let after = world.update(&json!({"name": "and so on"})).await;
    eventually("what comes later", async || {
        let id = after.header("changegate-change").unwrap();
        messages(&recorder).iter().any(|(_, body)| body["data"]["id"] == id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_loses_nothing() {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let recorder = Recorder::start(move |_| answer(told.load(Ordering::Relaxed), "")).await;
    let world = world(&webhook("hook", &recorder.url, "")).await;
    stands(&world, "hook", "current").await;
    status.store(400, Ordering::Relaxed);
    for number in 0..30 {
        world.update(&json!({"name": format!("number {number}")})).await;
    }
    let standing = stands(&world, "hook", "waiting").await;
    assert_eq!(standing["dead_letters"], 16, "{standing}");
    assert!(standing["lag_positions"].as_u64().unwrap() >= 14, "{standing}");
    status.store(200, Ordering::Relaxed);
    assert_eq!(order(&world, "admin", "hook/resume", &json!({})).await.status, 200);
    stands(&world, "hook", "current").await;
}

#[tokio::test]
async fn a_failed_delivery_comes_again_as_the_same_message() {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let recorder = Recorder::start(move |_| {
        let mut told = answer(told.load(Ordering::Relaxed), "");
        told.headers_mut().insert("retry-after", "1".parse().unwrap());
        told
    });
    let recorder = recorder.await;
    let world = world(&webhook("hook", &recorder.url, "")).await;
    stands(&world, "hook", "current").await;
    status.store(503, Ordering::Relaxed);
    world.update(&json!({"name": "first"})).await;
    stands(&world, "hook", "waiting").await;
    status.store(200, Ordering::Relaxed);
    // After what `retry-after` says, which is less than the five seconds of the schedule.
    let began = Instant::now();
    stands(&world, "hook", "current").await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let all = recorder.received();
    let same = |pair: &&[Received]| pair[0].headers["webhook-id"] == pair[1].headers["webhook-id"];
    let twice = all.windows(2).find(same).expect("a message that came twice");
    let data = |received: &Received| message(received).1["data"].take();
    assert_eq!(data(&twice[0]), data(&twice[1]));
}

#[tokio::test]
async fn gone_disables_a_sink_until_somebody_resumes_it() {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let recorder = Recorder::start(move |_| answer(told.load(Ordering::Relaxed), "")).await;
    let world = world(&webhook("hook", &recorder.url, "")).await;
    stands(&world, "hook", "current").await;
    status.store(410, Ordering::Relaxed);
    world.update(&json!({"name": "first"})).await;
    stands(&world, "hook", "disabled").await;
    world.update(&json!({"name": "second"})).await;
    let tries = recorder.received().len();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(recorder.received().len(), tries, "who wants no more gets no more");
    status.store(200, Ordering::Relaxed);
    assert_eq!(order(&world, "admin", "hook/resume", &json!({})).await.status, 200);
    of_kind(&recorder, "change.applied", 2).await;
    stands(&world, "hook", "current").await;
}
