//! Disguised updates: every case is a few lines in `tests/data/bypass`, sent as the bytes that it
//! says, at HTTP/1.1 and HTTP/2, in clear and under TLS. Behind the gateway is the most forgiving
//! server imaginable ([`lenient`]). Whatever it takes for a change of a deployment must be in the
//! log and must keep the policy, and each request must stay what it was on its connection.

mod case;
mod coding;
mod frames;
mod harm;
mod lenient;
mod loose;
mod understood;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::case::{Case, Fields, Names};
use self::lenient::{Lenient, Seen, Write};
use crate::postgres::server::TestDatabase;
use crate::world::certificate::Certificate;
use crate::world::command::run;
use crate::world::frames::preface;
use crate::world::{Setup, World, fingerprint};

/// How many cases are on their way at once.
const AT_ONCE: usize = 24;

/// How long a case is waited for; longer than the gateway waits for the rest of a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// The base path of Qoder's API, which most cases are sent to.
const QODER: &str = "/api/v1/cloud";

/// How cases are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    http2: bool,
    tls: bool,
    /// The log is in PostgreSQL.
    postgres: bool,
}

/// A gateway before a lenient server of its own.
struct Place {
    world: World,
    upstream: Lenient,
    certificate: Option<Certificate>,
    api: &'static str,
    _database: Option<TestDatabase>,
}

/// The outcome of a case.
struct Played {
    case: Case,
    names: Names,
    /// The first answer's status, or `reset`, or `closed`.
    status: String,
    /// The fault found in the answers, if any.
    complaint: Option<String>,
    told: String,
}

#[tokio::test]
async fn no_disguise_brings_a_change_past_the_gateway_over_http1() {
    play_all(Way { http2: false, tls: false, postgres: false }).await;
}

#[tokio::test]
async fn no_disguise_brings_a_change_past_the_gateway_over_http2() {
    play_all(Way { http2: true, tls: false, postgres: false }).await;
}

#[tokio::test]
async fn no_disguise_brings_a_change_past_the_gateway_over_http1_under_tls() {
    play_all(Way { http2: false, tls: true, postgres: false }).await;
}

#[tokio::test]
async fn no_disguise_brings_a_change_past_the_gateway_over_http2_under_tls() {
    play_all(Way { http2: true, tls: true, postgres: false }).await;
}

#[tokio::test]
async fn no_disguise_brings_a_change_past_a_gateway_whose_log_is_in_postgresql() {
    play_all(Way { http2: false, tls: false, postgres: true }).await;
}

/// The corpus is worth something only as far as its requests do harm where nothing is in front.
#[tokio::test]
async fn without_the_gateway_the_same_bytes_do_harm() {
    let upstream = Lenient::start().await;
    let address = upstream.url.trim_start_matches("http://").to_owned();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut sending = JoinSet::new();
    for (number, case) in corpus().into_iter().enumerate() {
        if case.suits(false) && !case.is("claude") {
            let names = Names::of(number, QODER);
            let (address, room) = (address.clone(), Arc::clone(&room));
            sending.spawn(async move {
                let _turn = room.acquire().await.unwrap();
                let mut stream = TcpStream::connect(address).await.unwrap();
                let _ = stream.write_all(&case.http1(&names)).await;
                let _ = stream.shutdown().await;
                let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
                case.is_harmless().then_some(names.case)
            });
        }
    }
    let harmless: Vec<String> = sending.join_all().await.into_iter().flatten().collect();
    let seen = upstream.seen.lock().unwrap();
    let harmed: HashSet<&str> =
        seen.writes.iter().filter(|write| write.harm.is_some()).map(|w| w.case.as_str()).collect();
    assert!(harmed.len() > 600, "{} cases do harm", harmed.len());
    let wrong: Vec<_> = harmless.iter().filter(|case| harmed.contains(case.as_str())).collect();
    assert!(wrong.is_empty(), "harmless by their name alone: {wrong:?}");
}

fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bypass");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        case::read(&name, &std::fs::read_to_string(file).unwrap())
    };
    files.iter().flat_map(read).collect()
}

async fn play_all(way: Way) {
    let mut places = Vec::new();
    for provider in ["qoder-cn", "claude"] {
        let Some(place) = Place::start(provider, way).await else { return };
        places.push(Arc::new(place));
    }
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for (number, case) in corpus().into_iter().enumerate() {
        if !case.suits(way.http2) {
            continue;
        }
        let place = Arc::clone(&places[usize::from(case.is("claude"))]);
        let room = Arc::clone(&room);
        playing.spawn(async move {
            let _turn = room.acquire().await.unwrap();
            place.play(case, number, way).await
        });
    }
    let played: Vec<Played> = playing.join_all().await;
    let mut complaints: Vec<String> = played.iter().filter_map(|one| one.complaint(way)).collect();
    let names = played.iter().map(|one| (one.names.case.clone(), one)).collect::<HashMap<_, _>>();
    for place in &places {
        complaints.extend(place.complaints(&names).await);
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{way:?}\n{}", complaints.join("\n"));
    assert!(played.len() > 600, "{way:?}: only {} cases", played.len());
}

impl Place {
    /// `None` where its log has no server.
    async fn start(provider: &'static str, way: Way) -> Option<Self> {
        let upstream = Lenient::start().await;
        let certificate = way.tls.then(|| Certificate::of("localhost"));
        let limits = "[limits]\nheader_timeout = 2\nbody_timeout = 2\n\
                      [rate_limit]\nenabled = false";
        let mut setup = Setup::new().provider(provider).upstream(&upstream.url).config(limits);
        if let Some(certificate) = &certificate {
            let paths = "\n[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'";
            setup = setup.config(&(limits.to_owned() + paths));
            setup = setup.file("cert.pem", &certificate.chain).file("key.pem", &certificate.key);
        }
        let database = way.postgres.then(TestDatabase::new);
        if let Some(database) = &database {
            let owner = database.as_ref()?.url();
            let made = run(Path::new("/"), &["migrate", "--database", &owner]);
            assert_eq!(made.code, 0, "{made:?}");
            setup = setup.log_at(&owner.replace("//postgres@", "//changegate@"));
        }
        let api = if provider == "claude" { "/v1" } else { QODER };
        let world = setup.start().await;
        Some(Self { world, upstream, certificate, api, _database: database.flatten() })
    }

    async fn play(&self, case: Case, number: usize, way: Way) -> Played {
        let names = Names::of(number, self.api);
        let stream = TcpStream::connect(self.world.proxy()).await.unwrap();
        match &self.certificate {
            None => play_on(stream, case, names, way).await,
            Some(certificate) => {
                drop(stream);
                let alpn = if way.http2 { "h2" } else { "http/1.1" };
                let stream = certificate.connect(self.world.proxy(), &[alpn]).await;
                play_on(stream, case, names, way).await
            }
        }
    }

    /// Lists everything that upstream saw but should not have seen.
    async fn complaints(&self, played: &HashMap<String, &Played>) -> Vec<String> {
        let changes = self.forwarded().await;
        let seen = self.upstream.seen.lock().unwrap();
        let named = |case: &str| {
            played.get(case).map_or_else(|| format!("{case}?"), |played| played.case.title.clone())
        };
        let host = self.upstream.url.trim_start_matches("http://");
        let mut complaints = misread(&seen, host);
        for write in &seen.writes {
            let title = named(&write.case);
            if let Some(harm) = &write.harm {
                complaints.push(format!("{title}: {harm}: {:?}", write.request));
            }
            if !changes.iter().any(|change| records(change, write)) {
                complaints.push(format!("{title}: no record of {write:?}"));
            }
        }
        complaints
    }

    /// The changes in the log that were sent on.
    async fn forwarded(&self) -> Vec<Value> {
        let (mut changes, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.world.ask(&format!("/api/v1/changes?limit=1000{cursor}")).await;
            changes.extend(page["data"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        changes.retain(|change| change["outcome"] == "applied");
        changes
    }
}

/// Whether a change is the record of what upstream was asked for.
fn records(change: &Value, write: &Write) -> bool {
    change["request_id"] == *write.case
        && change["operation"] == *write.operation
        && change["deployment_id"] == *write.deployment
        && change["actor"]["fingerprint"] == fingerprint(&write.token)
}

/// Requests that the gateway would not have made: such were within another.
fn misread(seen: &Seen, host: &str) -> Vec<String> {
    let made = |request: &&understood::Request| {
        let words: Vec<&str> = request.line.split(' ').collect();
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        matches!(words[..], [method, target, "HTTP/1.1"]
            if known.contains(&method) && target.starts_with('/'))
            && !request.line.contains('#')
            && request.count("close") == 0
            && request.field("host") == Some(host)
            && request.field("via").is_some_and(|via| via.ends_with(" changegate"))
            && ["host", "x-request-id", "authorization", "x-api-key", "content-length"]
                .iter()
                .all(|name| request.count(name) < 2)
            && !(request.count("content-length") > 0 && request.count("transfer-encoding") > 0)
    };
    let strange = seen.requests.iter().filter(|request| !made(request));
    strange.map(|request| format!("upstream was sent {request:?}")).collect()
}

async fn play_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    case: Case,
    names: Names,
    way: Way,
) -> Played {
    let (status, complaint, told) = if way.http2 {
        play_http2(&mut stream, &case, &names, way).await
    } else {
        play_http1(&mut stream, &case, &names).await
    };
    Played { case, names, status, complaint, told }
}

async fn play_http2(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    case: &Case,
    names: &Names,
    way: Way,
) -> (String, Option<String>, String) {
    let scheme = if way.tls { "https" } else { "http" };
    let mut bytes = preface();
    bytes.extend(frames::request(1, &case.http2(names, scheme)));
    bytes.extend(frames::request(3, &probe_fields(names, scheme)));
    // A server that has heard enough may close before the last byte; what it said counts.
    let _ = stream.write_all(&bytes).await;
    let Ok([first, probe]) = timeout(PATIENCE, frames::listen(stream)).await else {
        return ("late".to_owned(), Some("no end".to_owned()), String::new());
    };
    let probed = String::from_utf8_lossy(&probe.body).contains(&names.probe());
    let told = String::from_utf8_lossy(&first.body).into_owned();
    let complaint = match (first.status, probe.status) {
        _ if told.contains(&names.probe()) => Some("the answer is the next one's".to_owned()),
        (_, Some(200)) if !probed => Some("the next call's answer is another".to_owned()),
        (Some(_), None | Some(201..)) => Some(format!("the next call got {probe:?}")),
        _ => None,
    };
    let status = match first.status {
        Some(status) => status.to_string(),
        None if first.reset => "reset".to_owned(),
        None => "closed".to_owned(),
    };
    (status, complaint, told)
}

fn probe_fields(names: &Names, scheme: &str) -> Fields {
    let mut head: Vec<(Vec<u8>, Vec<u8>)> =
        [(":method", "GET"), (":scheme", scheme), (":path", names.probe().as_str())]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
    head.extend(names.fields().lines().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        let name = if name == "host" { ":authority" } else { name };
        (name.into(), value.into())
    }));
    // Pseudo-fields come first.
    head.sort_by_key(|(name, _): &(Vec<u8>, Vec<u8>)| name.first() != Some(&b':'));
    Fields { head, body: Vec::new(), trailers: Vec::new() }
}

async fn play_http1(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    case: &Case,
    names: &Names,
) -> (String, Option<String>, String) {
    let mut bytes = case.http1(names);
    let fields = names.fields();
    bytes.extend_from_slice(
        format!("GET {} HTTP/1.1\r\n{fields}connection: close\r\n\r\n", names.probe()).as_bytes(),
    );
    let _ = stream.write_all(&bytes).await;
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut said)).await.is_ok();
    let answers = answers(&String::from_utf8_lossy(&said), bytes.starts_with(b"HEAD "));
    let probes: Vec<usize> =
        (0..answers.len()).filter(|at| answers[*at].1.contains(&names.probe())).collect();
    let complaint = match (answers.as_slice(), probes.as_slice()) {
        _ if !ended => Some("no end".to_owned()),
        // Where something was wrong, a connection may be closed, with the answer or after it.
        (_, []) if case.is_kept() => Some("the next call got no answer".to_owned()),
        (all, [at]) if *at == 0 || at + 1 != all.len() => {
            Some("the answer is the next one's".to_owned())
        }
        (_, [_, _, ..]) => Some("the next call was answered twice".to_owned()),
        _ => None,
    };
    let status = answers.first().map_or("closed".to_owned(), |(status, _)| status.clone());
    (status, complaint, String::from_utf8_lossy(&said).into_owned())
}

/// The statuses and texts of answers one behind another, without the interim ones; that to a HEAD
/// has no body.
fn answers(text: &str, mut head_alone: bool) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    let mut rest = text;
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).unwrap_or_default();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.filter(|_| !std::mem::take(&mut head_alone));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let (body, next) = after.split_at_checked(length).unwrap_or((after, ""));
        rest = next;
        if !status.starts_with('1') {
            answers.push((status.to_owned(), format!("{head}\n\n{body}")));
        }
    }
    answers
}

impl Played {
    fn complaint(&self, way: Way) -> Option<String> {
        let title = &self.case.title;
        if let Some(complaint) = &self.complaint {
            return Some(format!("{title}: {complaint}: {:?}", self.told));
        }
        let expected = self.case.expected(way.http2);
        let status = &self.status;
        (expected != status).then(|| format!("{title}: {status}, not {expected}: {:?}", self.told))
    }
}
