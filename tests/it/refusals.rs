//! Requests that the gateway refuses: every case is a file in `tests/data/refusals`.
//!
//! A case is a raw HTTP/1.1 request (`\xNN` stands for a byte, `<TOKEN>` for a usable token,
//! `<ID>` for the deployment, `<repeat N TEXT>` for N times the text), a line `----`, and what
//! must come of it: `status`, and optionally `type`, `param`, `record` (the outcome of the
//! change, or `none`) and `says` (a part of the message), each on a line of its own.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::client::{TOKEN, raw};
use crate::world::{Call, DEPLOYMENT, World, call, world};

const API: &str = "/api/v1/cloud";
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn every_case_gets_its_answer_and_reaches_no_deployment() {
    let world = world().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/refusals");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (n, case) in text.split("\n====\n").enumerate() {
            let name = format!("{} case {}", file.file_name().unwrap().display(), n + 1);
            try_case(&world, &name, case).await;
        }
    }
    assert_eq!(world.writes_received(), 0);
}

async fn try_case(world: &World, name: &str, case: &str) {
    let (request, expected) = case.split_once("\n----\n").unwrap_or_else(|| panic!("{name}"));
    let before = world.changes().await.len();
    let answer = raw(world.proxy(), &bytes_of(request), Duration::from_secs(10)).await;
    let recorded = world.changes().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    let envelope: Value = serde_json::from_str(body).unwrap_or_default();
    for line in expected.lines().filter(|line| !line.trim().is_empty()) {
        let (key, wanted) = line.split_once(": ").unwrap();
        let holds = match key {
            "status" => head.split(' ').nth(1) == Some(wanted),
            "type" => envelope["error"]["type"] == wanted,
            "param" => envelope["error"]["param"] == wanted,
            "says" => envelope["error"]["message"].as_str().unwrap_or("").contains(wanted),
            "record" if wanted == "none" => recorded.len() == before,
            "record" => recorded.len() == before + 1 && recorded[0]["outcome"] == wanted,
            _ => panic!("{name}: unknown expectation {key}"),
        };
        assert!(holds, "{name}: {line}\ngot {answer}\nrecorded {:?}", recorded.first());
    }
    // The record says why in the words of the answer.
    if recorded.len() > before {
        let error = &envelope["error"];
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let said = json!({"status": status, "type": error["type"], "message": error["message"]});
        assert_eq!(recorded[0]["reason"], said, "{name}");
    }
}

/// The bytes that a case's request stands for.
fn bytes_of(request: &str) -> Vec<u8> {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let body = expanded(body);
    let head = expanded(&head.replace('\n', "\r\n"));
    let length = format!("{}", body.len());
    let mut bytes = String::from_utf8_lossy(&head).replace("<LENGTH>", &length).into_bytes();
    bytes.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

fn expanded(text: &str) -> Vec<u8> {
    let mut text = text.replace("<TOKEN>", TOKEN).replace("<ID>", DEPLOYMENT);
    while let Some((before, rest)) = text.split_once("<repeat ") {
        let (instruction, after) = rest.split_once('>').unwrap();
        let (times, unit) = instruction.split_once(' ').unwrap();
        let repeated = unit.repeat(times.parse().unwrap());
        text = format!("{before}{repeated}{after}");
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let (hex, tail) = after.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[tokio::test]
async fn what_is_no_message_is_answered_in_its_turn_and_ends_the_connection() {
    let world = world().await;
    let get = |more: &str| {
        format!(
            "GET {API}/agents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{more}\r\n"
        )
    };
    // Two good ones, then one that other servers may read as two, then a good one that is not read.
    let bad = get("content-length: 5\r\ncontent-length: 6\r\n");
    let sent = [get(""), get("x-request-id: second\r\n"), bad, get("x-request-id: last\r\n")];
    let told = raw(world.proxy(), sent.concat().as_bytes(), PATIENCE).await;
    let answers = told.split("HTTP/1.1 ").skip(1);
    let statuses: Vec<_> = answers.filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{told}");
    assert!(told.contains("x-request-id: second\r\n") && !told.contains("x-request-id: last"));
    assert!(told.ends_with("\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), "{told}");
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let counted = r#"changegate_requests_total{class="refused",kind="read",status="4xx"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}
