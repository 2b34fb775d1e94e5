//! The most that callers without a token of upstream's can cost, measured on the program itself:
//! memory, disk, and the time of others' calls. docs/threat-model.md says the same sums.

use std::time::Duration;

use bytes::Bytes;
use changegate::base::clock::Clock;
use http::Response;
use http_body_util::Full;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::program::{Folder, Program};
use crate::world::recorder::{Received, Recorder, answer};
use crate::world::{Call, call, say};

const BASE: &str = "/api/v1/cloud/deployments";
const KNOWN: &str = "pt-known-0123456789";

/// The most memory that all of it takes: the strangers' share of bodies, twice for the copies that
/// the sockets and the allocator hold, and what the gateway takes at rest.
const MEMORY_MIB_MAX: u64 = 320;

/// The most that the log grows by strangers' calls: summaries, once a minute.
const LOG_KIB_MAX: u64 = 256;

fn only_the_known(got: &Received) -> Response<Full<Bytes>> {
    let token = got.headers["authorization"].to_str().unwrap();
    if !token.ends_with(KNOWN) {
        let error = json!({"type": "authentication_error", "message": "no such token"});
        return answer(401, json!({"type": "error", "error": error}));
    }
    let shown = json!({"type": "deployment", "id": "dep_1", "name": "a", "agent": {"id": "a"},
        "metadata": {}, "schedule": null});
    answer(200, shown)
}

/// Bodies that cost much where they are judged, of about so many bytes.
fn dear_bodies(bytes: usize) -> Vec<String> {
    let some = |item: &str| item.repeat(bytes / item.len());
    let letters: Vec<String> =
        (0..1_000).map(|n| format!("\"{}{n}\":1", "\u{fdfa}".repeat(bytes / 3_100))).collect();
    vec![
        format!("{{\"description\":\"{}\"}}", some("pt-aaaaaaaa ")),
        format!("{{\"{}\":[{}0]}}", "k".repeat(bytes / 2), "{\"token\":1},".repeat(1_000)),
        format!("{{\"resources\":[{}0]}}", some("{\"\":0},")),
        format!("{{\"metadata\":{{{}}}}}", letters.join(",")),
        format!("{{\"environment_variables\":\"{}\"}}", some("A=b;")),
        format!("{{\"description\":\"{}", some("cut off ")),
    ]
}

/// The most memory that the program has held at a time, in MiB.
fn peak_mib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

fn log_kib(folder: &Folder) -> u64 {
    let bytes =
        |name: &str| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    (bytes("log.db") + bytes("log.db-wal")) >> 10
}

/// The longest that an update of the known caller takes, while `attack` goes on.
async fn slowest_update(program: &Program, mut attack: JoinSet<()>) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut updates = 0;
    while !attack.is_empty() || updates < 20 {
        let began = Clock::System.instant();
        let update = Call::post(&format!("{BASE}/dep_1")).token(KNOWN);
        let answer = call(program.proxy, update.json(&json!({"name": "b"}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        slowest = slowest.max(began.elapsed());
        updates += 1;
        while attack.try_join_next().is_some() {}
    }
    slowest
}

/// Creates of every dear kind at once, each with a token of its own.
fn dear_creates(program: &Program, bytes: usize, rounds: usize) -> JoinSet<()> {
    let mut attack = JoinSet::new();
    for round in 0..rounds {
        for (kind, body) in dear_bodies(bytes).into_iter().enumerate() {
            let create = Call::post(BASE).token(&format!("pt-made-up-{round}-{kind}"));
            let create = create.header("content-type", "application/json").body(body);
            let proxy = program.proxy;
            attack.spawn(async move {
                let status = call(proxy, create).await.status.as_u16();
                assert!(matches!(status, 400 | 401 | 413 | 503), "{status}");
            });
        }
    }
    attack
}

/// Small calls of every kind, one after another.
fn small_calls(program: &Program, count: usize) -> JoinSet<()> {
    let mut attack = JoinSet::new();
    for worker in 0..4 {
        let proxy = program.proxy;
        attack.spawn(async move {
            for n in 0..count {
                let token = format!("pt-made-up-{worker}-{n}");
                let asked = match n % 3 {
                    0 => Call::post(&format!("{BASE}/dep_{n}")).body("{"),
                    1 => Call::new("DELETE", &format!("{BASE}/dep_{n}")),
                    _ => Call::post("/api/v1/cloud/sessions").body("x"),
                };
                assert!(call(proxy, asked.token(&token)).await.status.is_client_error());
            }
        });
    }
    attack
}

/// Connections with the heads of governed calls whose bodies do not come.
async fn heads_without_bodies(program: &Program, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for n in 0..count {
        let mut stream = TcpStream::connect(program.proxy).await.unwrap();
        let head = format!(
            "POST {BASE}/dep_1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer pt-made-up-{n}\r\n\
             content-type: application/json\r\ncontent-length: 4000000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn strangers_cost_a_bounded_memory_no_disk_and_nobodys_time() {
    let upstream = Recorder::start(only_the_known).await;
    let address = upstream.url.trim_start_matches("http://").parse().unwrap();
    let folder = Folder::new(address, "");
    let mut program = folder.serve().await;
    let calm = slowest_update(&program, JoinSet::new()).await;
    let (rest_mib, rest_kib) = (peak_mib(&program), log_kib(&folder));

    let dear = slowest_update(&program, dear_creates(&program, 4 << 20, 6)).await;
    let small = slowest_update(&program, small_calls(&program, 300)).await;
    let open = heads_without_bodies(&program, 300).await;
    let waiting = slowest_update(&program, JoinSet::new()).await;
    drop(open);

    let mib = peak_mib(&program);
    let changes = folder.changes(false);
    // The write-ahead log is emptied at the end.
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let grown_kib = log_kib(&folder).saturating_sub(rest_kib);
    say(&format!(
        "memory {rest_mib} -> {mib} MiB, log +{grown_kib} KiB; updates at most {calm:?} calm, \
         {dear:?} beside dear bodies, {small:?} beside small calls, {waiting:?} beside heads"
    ));
    let known = |change: &Value| change["actor"]["fingerprint"].clone();
    assert!(changes.iter().all(|change| known(change) == known(&changes[0])));
    assert!(mib <= MEMORY_MIB_MAX, "{mib} MiB");
    // Each update of the known caller is kept, some hundred bytes of each.
    let own_kib = changes.len() as u64 * 4;
    assert!(grown_kib <= LOG_KIB_MAX + own_kib, "{grown_kib} KiB for {} changes", changes.len());
    for slowest in [dear, small, waiting] {
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    }
}

#[tokio::test]
async fn a_long_body_of_a_known_caller_holds_up_no_other_call() {
    let upstream = Recorder::start(only_the_known).await;
    let address = upstream.url.trim_start_matches("http://").parse().unwrap();
    let folder = Folder::new(address, "");
    let program = folder.serve().await;
    let first = Call::post(&format!("{BASE}/dep_1")).token(KNOWN).json(&json!({"name": "b"}));
    let first = call(program.proxy, first).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let mut stream = TcpStream::connect(program.proxy).await.unwrap();
    let body = dear_bodies(2 << 20).swap_remove(0);
    let head = format!(
        "POST {BASE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KNOWN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut slowest = Duration::ZERO;
    let mut byte = [0];
    let mut answered = tokio::spawn(async move { stream.read_exact(&mut byte).await.map(drop) });
    while !answered.is_finished() {
        let began = Clock::System.instant();
        let read = call(program.proxy, Call::get("/api/v1/cloud/agents").token(KNOWN)).await;
        assert_eq!(read.status, 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!((&mut answered).await.unwrap().is_ok());
    say(&format!("a passed read took at most {slowest:?}"));
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
