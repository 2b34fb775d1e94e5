mod description;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit::Settings;
use crate::audit::intent::{Completion, Intent};
use crate::audit::record::{Client, Outcome};
use crate::audit::retention::Retention;
use crate::audit::samples::intent;
use crate::base::clock::{ManualClock, Timestamp};
use crate::base::ids::{ChangeId, Fingerprint};
use crate::base::key::Key;
use crate::config::Role;
use crate::deployment::patch::Patch;
use crate::policy::{Actor, Decision, Enforcement, Violation};
use crate::provider::{Operation, Provider};
use crate::sinks::SinksNow;
use crate::telemetry::Metrics;

const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);

/// An admin listener over a log of its own.
struct World {
    _folder: TempDir,
    audit: Audit,
    budget: AnswerBudget,
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
}

/// Sinks, of which none is configured.
fn sinks_of(audit: &Audit, clock: &Clock) -> Sinks {
    let metrics = Arc::new(Metrics::new(NOW));
    let none: SinksNow = Arc::new(Vec::new);
    Sinks::new(audit.clone(), clock.clone(), metrics, "main".into(), none)
}

/// No paths beside the API's.
fn no_more(_api: Api, routes: Router) -> Router {
    routes
}

/// An answer, read whole.
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl World {
    async fn new(tokens: &[(&str, Role)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::Manual(ManualClock::at(NOW));
        let settings = Settings {
            database: folder.path().join("log.db").into(),
            node: "main".into(),
            provider: Provider::named("qoder-cn").unwrap(),
            redact: Vec::new(),
            policy_digest: String::new(),
            sealing: None,
        };
        let key = Key::from_bytes([7; 32]);
        let audit = Audit::start(settings, key, clock.clone()).await.unwrap();
        let tokens = tokens.iter().map(|(token, role)| AdminToken {
            name: "someone".to_owned(),
            role: *role,
            person: None,
            sha256: Sha256::digest(token.as_bytes()).into(),
        });
        let tokens: Arc<Vec<AdminToken>> = Arc::new(tokens.collect());
        let state = AdminState {
            audit: audit.clone(),
            tokens: Arc::new(move || Arc::clone(&tokens)),
            limits: Arc::new(|| None),
            logins: Arc::new(Arc::default),
            person_named: Arc::new(str::to_owned),
            tokens_of: Arc::new(|_name| Vec::new()),
            actors: Arc::new(crate::config::Actors::default),
            policy: Arc::new(Arc::default),
            provider: Arc::new(|| Provider::ALL[0]),
            metrics_text: Arc::new(|| "# EOF\n".to_owned()),
            decided: Arc::new(|_kind, _verdict| {}),
            clock: clock.clone(),
            tls: None,
            patience: Arc::new(|| Patience {
                write: Duration::from_secs(30),
                pace: Duration::from_secs(20),
            }),
            ended: Arc::new(|| None),
            refused_config: Arc::new(|| None),
            sinks: sinks_of(&audit, &clock),
            views: Arc::new(Arc::default),
            retention: Arc::new(Retention::default),
            node: Arc::new(|| "main".to_owned()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let api = Api::new(state);
        let budget = api.budget.clone();
        let served = tokio::spawn(serve_by(Listener::Tcp(listener), api, no_more, stop.clone()));
        Self { _folder: folder, audit, budget, address, stop, served }
    }

    /// Records a change that the policy denied.
    async fn denied(&self, deployment_id: &str) -> ChangeId {
        self.denied_of(deployment_id, json!({"id": deployment_id, "name": "daily"})).await
    }

    async fn denied_of(&self, deployment_id: &str, before: Value) -> ChangeId {
        let violation = Violation {
            rule: "timezones".to_owned(),
            enforcement: Enforcement::Deny,
            path: "/schedule/timezone".to_owned(),
            message: "use UTC".to_owned(),
            actual: Some(json!("Mars/Base")),
        };
        let patch = json!({"schedule": {"timezone": "Mars/Base"}});
        let object = patch.as_object().unwrap().clone();
        let call = intent(deployment_id, NOW);
        let intent = Intent {
            actor: Actor { name: Some("nightly".to_owned()), ..call.actor },
            decision: Decision::Deny,
            violations: vec![violation.clone()],
            standing: vec![violation],
            patch: Some(Arc::new(Patch { object })),
            before: Some(before.into()),
            policy: Arc::default(),
            ..call
        };
        let end = Completion {
            completed_at: NOW,
            outcome: Outcome::Denied,
            upstream: None,
            reason: None,
            deployment_id: None,
            after: None,
            effect: None,
            after_violations: Vec::new(),
        };
        self.audit.record(intent, end).await.unwrap()
    }

    async fn send(&self, head: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), text: text.to_owned() }
    }

    async fn ask(&self, target: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: localhost")).await
    }

    async fn ask_with(&self, target: &str, token: &str) -> Answer {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a.example\r\nauthorization: {token}");
        self.send(&head).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

#[tokio::test]
async fn probes_ask_for_no_token_and_everything_else_does() {
    let world = World::new(&[("secret", Role::Viewer)]).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(world.ask(path).await.status, 200, "{path}");
    }
    let closed = ["/api/v1/changes", "/api/v1/events", "/api/v1/nothing", "/nothing", "//healthz"];
    for path in closed {
        let answer = world.ask(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"));
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        assert_eq!(world.ask_with(path, "Bearer wrong").await.status, 401, "{path}");
        assert_ne!(world.ask_with(path, "Bearer secret").await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let world = World::new(&[]).await;
    for target in ["/healthz", "/nothing", "/api/v1/changes", "/api/v1/changes?x=1"] {
        let head = world.ask(target).await.head;
        for line in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "x-frame-options: deny",
        ] {
            assert!(head.contains(line), "{target}: {head}");
        }
        assert!(!head.contains("access-control"), "{target}");
    }
}

#[tokio::test]
async fn without_tokens_a_foreign_web_page_is_kept_out() {
    let world = World::new(&[]).await;
    for (lines, expected) in [
        ("host: localhost:8081", 200),
        ("host: [::1]:8081\r\nsec-fetch-site: same-origin", 200),
        ("host: evil.example", 403),
        ("host: localhost\r\nhost: evil.example", 403),
        ("host: localhost\r\nsec-fetch-site: cross-site", 403),
    ] {
        let answer = world.send(&format!("GET /api/v1/changes HTTP/1.1\r\n{lines}")).await;
        assert_eq!(answer.status, expected, "{lines}");
    }
    let foreign = "GET http://evil.example/api/v1/changes HTTP/1.1\r\nhost: localhost";
    assert_eq!(world.send(foreign).await.status, 403);
}

#[tokio::test]
async fn a_method_that_writes_is_refused_with_those_that_do_not() {
    let world = World::new(&[]).await;
    let answer = world.send("DELETE /api/v1/changes HTTP/1.1\r\nhost: localhost").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head"));
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(world.send("HEAD /api/v1/changes HTTP/1.1\r\nhost: localhost").await.status, 200);
}

#[tokio::test]
async fn a_query_that_means_nothing_names_its_key() {
    let world = World::new(&[]).await;
    for (target, param) in [
        ("/api/v1/changes?colour=red", "colour"),
        ("/api/v1/changes?limit=0", "limit"),
        ("/api/v1/changes?limit=1001", "limit"),
        ("/api/v1/changes?limit=%2B5", "limit"),
        ("/api/v1/changes?team=a&team=b", "team"),
        ("/api/v1/changes?cursor=x", "cursor"),
        ("/api/v1/changes?since=yesterday", "since"),
        ("/api/v1/changes?outcome=ok", "outcome"),
        ("/api/v1/changes?path=/a~2", "path"),
        ("/api/v1/deployments?q=x", "q"),
        ("/api/v1/deployments/dep_1/history?deployment_id=x", "deployment_id"),
        ("/api/v1/deployments/dep_1/at", "time"),
        ("/api/v1/events?actor=pat_x", "actor"),
        ("/api/v1/events?operation=update", "operation"),
    ] {
        let answer = world.ask(target).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.json()["error"]["param"], param, "{target}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    let long = format!("/api/v1/changes?q={}", "x".repeat(8192));
    assert_eq!(world.ask(&long).await.status, 400);
}

#[tokio::test]
async fn changes_are_listed_page_by_page_and_shown_whole() {
    let world = World::new(&[]).await;
    let first = world.denied("dep_1").await;
    let second = world.denied("dep_2").await;
    let page = world.ask("/api/v1/changes?limit=1&actor=nightly&since=1h").await.json();
    assert_eq!(page["data"][0]["id"], json!(second));
    assert_eq!(page["data"][0].get("before"), None);
    assert_eq!(page["has_more"], true);
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = world.ask(&format!("/api/v1/changes?limit=1&cursor={cursor}")).await.json();
    assert_eq!(page["data"][0]["id"], json!(first));
    assert_eq!((&page["has_more"], &page["next_cursor"]), (&json!(false), &Value::Null));
    let change = world.ask(&format!("/api/v1/changes/{first}")).await.json();
    assert_eq!(change["before"]["name"], "daily");
    let history = world.ask("/api/v1/deployments/dep_1/history").await.json();
    assert_eq!(history["data"][0], change);
    let deployments = world.ask("/api/v1/deployments").await.json();
    assert_eq!(deployments["data"].as_array().unwrap().len(), 2);
    let at = world.ask("/api/v1/deployments/dep_1/at?time=0s").await.json();
    assert_eq!(at["deployment"]["name"], "daily");
}

#[tokio::test]
async fn what_the_log_does_not_know_is_not_found() {
    let world = World::new(&[]).await;
    for target in [
        "/api/v1/changes/chg_1",
        "/api/v1/changes/chg_00000000000000000000000000000000",
        "/api/v1/deployments/dep_1/history",
        "/api/v1/deployments/dep_1/at?time=0s",
        "/api/v1/deployments/%FF/history",
        "/api/v2/changes",
    ] {
        let answer = world.ask(target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.json()["error"]["type"], "not_found_error", "{target}");
    }
}

#[tokio::test]
async fn a_viewer_sees_that_something_changed_but_not_what() {
    let world = World::new(&[("see", Role::Viewer), ("audit", Role::Auditor)]).await;
    let id = world.denied("dep_1").await;
    let targets = [
        format!("/api/v1/changes/{id}"),
        "/api/v1/changes".to_owned(),
        "/api/v1/deployments/dep_1/history".to_owned(),
    ];
    for target in targets {
        let viewer = world.ask_with(&target, "Bearer see").await;
        assert_eq!(viewer.status, 200);
        assert!(!viewer.text.contains("Mars/Base"), "{target}");
        assert!(!viewer.text.contains("daily"), "{target}");
        let auditor = world.ask_with(&target, "Bearer audit").await;
        assert!(auditor.text.contains("Mars/Base"), "{target}");
    }
    let at = "/api/v1/deployments/dep_1/at?time=0s";
    assert_eq!(world.ask_with(at, "Bearer see").await.status, 403);
    assert_eq!(world.ask_with(at, "Bearer audit").await.status, 200);
}

#[tokio::test]
async fn events_are_listed() {
    let world = World::new(&[]).await;
    world.audit.close(Duration::from_secs(30)).await;
    let page = world.ask("/api/v1/events?since=1h").await.json();
    assert_eq!(page["data"][0]["kind"], "start");
    assert_eq!(page["data"][0]["at"], json!(NOW));
    assert_eq!(page["data"][0]["actor"], Value::Null);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let world = World::new(&[]).await;
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    world.stop.cancel();
    world.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn readers_of_a_large_change_hold_a_bounded_memory_and_give_it_back() {
    const READERS: usize = 24;
    let world = World::new(&[]).await;
    let large = json!({"id": "dep_1", "description": "x".repeat(9 << 20)});
    let id = world.denied_of("dep_1", large).await;
    let head = format!("GET /api/v1/changes/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let (mut shown, mut refused) = (Vec::new(), 0);
    for _ in 0..READERS {
        let mut reader = TcpStream::connect(world.address).await.unwrap();
        reader.write_all(head.as_bytes()).await.unwrap();
        // The status, and no more of it.
        let mut first = [0; 12];
        reader.read_exact(&mut first).await.unwrap();
        match &first {
            b"HTTP/1.1 200" => shown.push(reader),
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(world.budget.held_kib() <= 64 << 10);
    }
    // Seven fit, and one may go beyond.
    assert_eq!((shown.len(), refused), (8, READERS - 8));
    drop(shown);
    while world.budget.held_kib() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.ask(&format!("/api/v1/changes/{id}")).await.status, 200);
}
