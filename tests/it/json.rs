//! The JSON that is judged is the JSON that is sent: text that parsers read differently reaches no
//! upstream, all other JSON reaches it byte for byte. Every case is a line of a file in
//! `tests/data/json`.

use std::path::Path;

use changegate::deployment::patch::parse_value;
use serde_json::json;

use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call};

/// The bound of the configuration, which `parse_value` is given too.
const DEPTH_MAX: usize = 64;

/// A title, and the bytes.
type Case = (String, Vec<u8>);

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("{line}"))).map(case).collect()
}

fn case((title, text): (&str, &str)) -> Case {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("\\x") {
        let (hex, tail) = after.split_at(2);
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    (title.to_owned(), bytes)
}

fn member(value: &[u8]) -> Vec<u8> {
    [b"{\"value\":", value, b"}"].concat()
}

async fn upstream_and_world() -> (Recorder, World) {
    let shown = json!({"type": "deployment", "id": DEPLOYMENT, "metadata": {}, "schedule": null});
    let upstream = Recorder::start(move |_| answer(200, &shown)).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    (upstream, world)
}

async fn update(world: &World, body: Vec<u8>) -> u16 {
    let update = Call::post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}"));
    let update = update.header("content-type", "application/json").body(body);
    call(world.proxy(), update).await.status.as_u16()
}

#[tokio::test]
async fn what_parsers_read_differently_is_refused_and_reaches_no_upstream() {
    let (upstream, world) = upstream_and_world().await;
    for (title, text) in cases("reject-values.txt") {
        assert!(parse_value(&text, DEPTH_MAX).is_err(), "{title}");
        let listed = [b"[", text.as_slice(), b"]"].concat();
        assert!(parse_value(&listed, DEPTH_MAX).is_err(), "{title}, listed");
        assert_eq!(update(&world, member(&text)).await, 400, "{title}");
    }
    for (title, body) in cases("reject-bodies.txt") {
        assert_eq!(update(&world, body).await, 400, "{title}");
    }
    assert!(upstream.received().iter().all(|received| received.method == "GET"));
}

#[tokio::test]
async fn what_all_parsers_read_alike_passes_byte_for_byte() {
    let (upstream, world) = upstream_and_world().await;
    for (title, text) in cases("accept-values.txt") {
        assert!(parse_value(&text, DEPTH_MAX).is_ok(), "{title}");
        let body = member(&text);
        assert_eq!(update(&world, body.clone()).await, 200, "{title}");
        let received = upstream.received();
        assert_eq!(received.last().unwrap().body, body, "{title}");
    }
}
