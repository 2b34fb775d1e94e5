//! The simulator through its socket.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::clock::{ManualClock, Timestamp};

const PATH: &str = "/deployments/dep_019ec55a2b687b3f94eee77dd77e4b2a";

/// A simulator whose clock stands where the provider's documentation took its example.
struct Scene {
    simulator: Simulator,
    clock: ManualClock,
    provider: &'static Provider,
    token: &'static str,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Scene {
    fn new() -> Self {
        Self::of("qoder-cn")
    }

    fn of(provider: &str) -> Self {
        let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:58:11Z").unwrap());
        let provider = Provider::named(provider).unwrap();
        let options =
            Options { provider, clock: Clock::Manual(clock.clone()), ..Options::default() };
        let simulator = Simulator::start(options).unwrap();
        Self { simulator, clock, provider, token: "pt-1" }
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let path = match path.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("{}{path}", self.provider.base_path),
        };
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        request.header("authorization", format!("Bearer {}", self.token))
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let stream = TcpStream::connect(self.simulator.address()).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        client.send_request(request).await
    }

    async fn try_call(&self, method: &str, path: &str, body: Value) -> Result<Value, Failed> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = self.request(method, path).body(Full::new(body)).unwrap();
        let answer = self.send(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        let mut body: Value = serde_json::from_slice(&body)?;
        if status != 200 {
            body["status"] = status.into();
        }
        Ok(body)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        self.try_call(method, path, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await
    }

    async fn update(&self, patch: Value) -> Value {
        self.call("POST", PATH, patch).await
    }

    /// Status and field at fault of an update that must be refused.
    async fn refusal(&self, patch: Value) -> (u64, String) {
        let answer = self.update(patch).await;
        let param = answer["error"]["param"].as_str().unwrap_or_default();
        (answer["status"].as_u64().unwrap_or(200), param.to_owned())
    }
}

fn new_deployment(name: &str) -> Value {
    json!({"name": name, "agent": {"id": AGENT_ID}, "environment_id": ENVIRONMENT_ID,
           "initial_events": [{"type": "user.message", "content": "go"}]})
}

/// The example answer of the provider's documentation.
fn documented() -> Value {
    json!({
        "agent": {"id": AGENT_ID, "type": "agent", "version": 1},
        "archived_at": null,
        "created_at": "2026-06-14T08:58:01Z",
        "description": "Deployment created for API documentation verification",
        "environment_id": ENVIRONMENT_ID,
        "id": DEPLOYMENT_ID,
        "initial_events": [{"content": "Generate today's status report", "type": "user.message"}],
        "metadata": {"cas_config": {
            "config": {"max_concurrent": 1, "max_retries": 0, "timeout_ms": 300_000},
            "session_strategy": "new_session",
            "stats": {"consecutive_failures": 0, "next_trigger_at": "2026-06-15T01:30:00Z",
                      "total_failures": 0, "total_runs": 0},
        }},
        "name": "api-doc-verification-deployment-v2",
        "paused_reason": null,
        "resources": [],
        "schedule": {
            "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai", "type": "cron",
            "upcoming_runs_at": ["2026-06-15T01:30:00Z", "2026-06-16T01:30:00Z",
                "2026-06-17T01:30:00Z", "2026-06-18T01:30:00Z", "2026-06-19T01:30:00Z"],
        },
        "status": "active",
        "type": "deployment",
        "updated_at": "2026-06-14T08:58:11Z",
        "vault_ids": [],
    })
}

#[tokio::test]
async fn the_documented_update_gets_the_documented_answer() {
    let scene = Scene::new();
    let before = scene.get(PATH).await;
    assert_eq!(before["name"], "api-doc-verification-deployment");
    assert_eq!(before["updated_at"], "2026-06-14T08:58:01Z");
    let after = scene
        .update(json!({
            "name": "api-doc-verification-deployment-v2",
            "schedule": {"type": "cron", "expression": "30 9 * * 1-5",
                         "timezone": "Asia/Shanghai"},
        }))
        .await;
    assert_eq!(after, documented());
    assert_eq!(scene.get(PATH).await, documented());
    let writes = scene.simulator.state().writes(DEPLOYMENT_ID);
    assert_eq!(writes, Writes { received: 1, applied: 1 });
}

#[tokio::test]
async fn what_the_server_computes_moves_with_the_clock() {
    let scene = Scene::new();
    scene.clock.advance(Duration::from_hours(48));
    let later = scene.get(PATH).await;
    let stats = &later["metadata"]["cas_config"]["stats"];
    assert_eq!(stats["total_runs"], 2, "Monday and Tuesday at nine");
    assert_eq!(stats["next_trigger_at"], "2026-06-17T01:00:00Z");
    assert_eq!(later["schedule"]["last_run_at"], "2026-06-16T01:00:00Z");
    assert_eq!(later["updated_at"], "2026-06-16T01:00:00Z");
    let runs = scene.get(&format!("{PATH}/runs")).await;
    assert_eq!(runs["data"].as_array().unwrap().len(), 2);
    scene.call("POST", &format!("{PATH}/pause"), Value::Null).await;
    scene.clock.advance(Duration::from_hours(48));
    let paused = scene.get(PATH).await;
    assert_eq!(paused["metadata"]["cas_config"]["stats"]["total_runs"], 2);
    assert_eq!(paused["schedule"]["upcoming_runs_at"], json!([]));
}

#[tokio::test]
async fn an_update_patches_metadata_by_key_and_replaces_all_else() {
    let scene = Scene::new();
    scene.update(json!({"metadata": {"team": "a", "tier": "1"}, "vault_ids": ["vlt_1"]})).await;
    let patch = json!({"description": null, "vault_ids": null, "metadata": {
        "tier": null, "团队": "b",
        "cas_config": {"config": {"max_retries": 2}, "stats": {"total_runs": 99}},
    }, "status": "paused", "unknown": 1});
    let after = scene.update(patch).await;
    let metadata = &after["metadata"];
    assert_eq!((&metadata["team"], &metadata["团队"]), (&json!("a"), &json!("b")));
    assert_eq!(metadata.get("tier"), None);
    assert_eq!(metadata["cas_config"]["config"], json!({"max_retries": 2}));
    assert_eq!(metadata["cas_config"].get("session_strategy"), None);
    assert_eq!(metadata["cas_config"]["stats"]["total_runs"], 0);
    assert_eq!((&after["description"], &after["vault_ids"]), (&Value::Null, &json!([])));
    assert_eq!(after["status"], "active");
    let unscheduled = scene.update(json!({"schedule": null})).await;
    assert_eq!(unscheduled["schedule"], Value::Null);
    assert_eq!(unscheduled["metadata"]["cas_config"]["stats"]["next_trigger_at"], Value::Null);
}

#[tokio::test]
async fn an_agent_named_by_id_alone_is_pinned_to_its_latest_version() {
    let scene = Scene::new();
    scene.call("POST", &format!("/agents/{AGENT_ID}"), json!({"model": "next"})).await;
    assert_eq!(scene.update(json!({"name": "n"})).await["agent"]["version"], 1);
    assert_eq!(scene.update(json!({"agent": AGENT_ID})).await["agent"]["version"], 2);
    let pinned = json!({"agent": {"id": AGENT_ID, "type": "agent", "version": 1}});
    assert_eq!(scene.update(pinned).await["agent"]["version"], 1);
    let beyond = json!({"agent": {"id": AGENT_ID, "version": 3}});
    assert_eq!(scene.refusal(beyond).await, (400, "agent".to_owned()));
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_its_field() {
    let scene = Scene::new();
    let cron = |expression: &str, zone: &str| json!({"schedule": {"type": "cron", "expression": expression, "timezone": zone}});
    let event = json!({"type": "user.message", "content": "x"});
    let keys: serde_json::Map<_, _> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    let cases = [
        (json!({"name": ""}), "name"),
        (json!({"name": "é".repeat(257)}), "name"),
        (json!({"name": null}), "name"),
        (json!({"description": 1}), "description"),
        (json!({"agent": null}), "agent"),
        (json!({"agent": "agent_none"}), "agent"),
        (json!({"environment_id": null}), "environment_id"),
        (json!({"schedule": {"type": "cron", "expression": "* * * * *"}}), "schedule.timezone"),
        (json!({"schedule": "daily"}), "schedule"),
        (cron("61 * * * *", "UTC"), "schedule.expression"),
        (cron("* * * * *", "Mars/Olympus"), "schedule.timezone"),
        (json!({"initial_events": []}), "initial_events"),
        (json!({"initial_events": vec![event; 51]}), "initial_events"),
        (json!({"initial_events": [{"type": "x"}]}), "initial_events.0.type"),
        (json!({"resources": [{"type": "disk"}]}), "resources.0.type"),
        (json!({"vault_ids": vec!["v"; 51]}), "vault_ids"),
        (json!({"metadata": null}), "metadata"),
        (json!({"metadata": keys}), "metadata"),
        (json!({"metadata": {"k": 1}}), "metadata.k"),
        (json!({"metadata": {"k": "v".repeat(513)}}), "metadata.k"),
        (json!({"metadata": {"cas_config": "x"}}), "metadata.cas_config"),
    ];
    let before = scene.get(PATH).await;
    for (patch, param) in cases {
        assert_eq!(scene.refusal(patch.clone()).await, (400, param.to_owned()), "{patch}");
    }
    assert_eq!(scene.get(PATH).await, before);
}

#[tokio::test]
async fn an_archived_agent_or_environment_is_refused() {
    let scene = Scene::new();
    scene.call("POST", &format!("/agents/{AGENT_ID}/archive"), Value::Null).await;
    scene.simulator.state().archive_environment(ENVIRONMENT_ID).unwrap();
    assert_eq!(scene.refusal(json!({"agent": AGENT_ID})).await, (400, "agent".to_owned()));
    let environment = json!({"environment_id": ENVIRONMENT_ID});
    assert_eq!(scene.refusal(environment).await, (400, "environment_id".to_owned()));
    assert_eq!(scene.update(json!({"name": "other fields still go"})).await["status"], "active");
}

#[tokio::test]
async fn pause_unpause_run_and_archive_do_what_they_say() {
    let scene = Scene::new();
    let act = async |verb: &str| scene.call("POST", &format!("{PATH}/{verb}"), json!({})).await;
    let paused = act("pause").await;
    assert_eq!(
        (&paused["status"], &paused["paused_reason"]["type"]),
        (&json!("paused"), &json!("manual"))
    );
    assert_eq!(act("unpause").await["paused_reason"], Value::Null);
    let run = act("run").await;
    assert_eq!((&run["type"], &run["error"]), (&json!("deployment_run"), &Value::Null));
    let id = run["id"].as_str().unwrap();
    assert!(id.starts_with("drun_"));
    assert_eq!(scene.get(&format!("/deployment_runs/{id}")).await, run);
    assert_eq!(scene.get("/deployment_runs").await["first_id"], id);
    assert_eq!(scene.get(PATH).await["metadata"]["cas_config"]["stats"]["total_runs"], 1);
    let archived = act("archive").await;
    assert_eq!(archived["name"], "api-doc-verification-deployment_archived_1781427491");
    assert_eq!(act("archive").await, archived);
    for verb in ["pause", "unpause", "run"] {
        assert_eq!(act(verb).await["error"]["type"], "conflict_error");
    }
    assert_eq!(scene.refusal(json!({"name": "late"})).await.0, 409);
    assert_eq!(act("explode").await["status"], 404);
}

#[tokio::test]
async fn a_listing_is_newest_first_and_goes_by_cursor() {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        let made = scene.call("POST", "/deployments", new_deployment(name)).await;
        assert!(made["id"].as_str().unwrap().starts_with("dep_"), "{made}");
    }
    let names = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = scene.get("/deployments?limit=2").await;
    assert_eq!((names(&first), &first["has_more"]), (vec!["c".into(), "b".into()], &json!(true)));
    let last = first["last_id"].as_str().unwrap();
    let second = scene.get(&format!("/deployments?after_id={last}")).await;
    assert_eq!(names(&second), ["a", "api-doc-verification-deployment"]);
    assert_eq!((&second["has_more"], &second["next_page"]), (&json!(false), &Value::Null));
    let page = first["next_page"].as_str().unwrap();
    assert_eq!(scene.get(&format!("/deployments?page={page}")).await["data"], second["data"]);
    scene.call("POST", &format!("/deployments/{last}/archive"), Value::Null).await;
    assert_eq!(scene.get("/deployments").await["data"].as_array().unwrap().len(), 3);
    let all = scene.get("/deployments?include_archived=true&agent_id=agent_none").await;
    assert_eq!(all["data"], json!([]));
    assert_eq!(scene.get("/deployments?status=paused").await["data"], json!([]));
    assert_eq!(scene.get("/deployments?limit=1001").await["error"]["param"], "limit");
}

#[tokio::test]
async fn who_may_not_is_told_so_in_the_envelope() {
    let mut scene = Scene::new();
    for (token, method, status) in [
        ("", "GET", 401),
        ("sk-other", "GET", 401),
        ("pt-expired", "GET", 401),
        ("pt-readonly", "POST", 403),
    ] {
        scene.token = token;
        let answer = scene.call(method, PATH, json!({})).await;
        assert_eq!(answer["status"], status, "{token}");
    }
    scene.token = "pt-readonly";
    assert_eq!(scene.get(PATH).await["id"], DEPLOYMENT_ID);
    let request = scene.request("GET", "/deployments/dep_none").header("x-request-id", "mine");
    let answer = scene.send(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let missing = json!({"type": "error", "request_id": "mine",
        "error": {"type": "not_found_error", "message": "deployment not found"}});
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), missing);
}

#[tokio::test]
async fn only_the_tokens_given_are_taken() {
    let tokens = vec!["pt-2".to_owned()];
    let simulator = Simulator::start(Options { tokens, ..Options::default() }).unwrap();
    let mut scene = Scene { simulator, ..Scene::new() };
    assert_eq!(scene.get(PATH).await["status"], 401);
    scene.token = "pt-2";
    assert_eq!(scene.get(PATH).await["id"], DEPLOYMENT_ID);
}

#[tokio::test]
async fn claude_wants_its_versions_and_names_things_its_own_way() {
    let scene = Scene::of("claude");
    assert_eq!(scene.get("/deployments?beta=true").await["status"], 400);
    let body = new_deployment("c").to_string();
    let request = Request::post("/v1/deployments?beta=true")
        .header("x-api-key", "sk-ant-1")
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "other,managed-agents-2026-04-01")
        .body(Full::new(body.into()))
        .unwrap();
    let answer = scene.send(request).await.unwrap();
    assert!(answer.headers()["request-id"].to_str().unwrap().starts_with("req_"));
    let made = answer.into_body().collect().await.unwrap().to_bytes();
    let made: Value = serde_json::from_slice(&made).unwrap();
    assert!(made["id"].as_str().unwrap().starts_with("depl_"), "{made}");
    assert_eq!(made["metadata"], json!({}));
}

#[tokio::test]
async fn secrets_are_taken_and_a_resource_never_shows_its_token() {
    let scene = Scene::new();
    let resource = json!({"type": "github_repository", "url": "u", "authorization_token": "t"});
    let patch = json!({"resources": [resource], "environment_variables": "A=1"});
    let after = scene.update(patch).await;
    assert_eq!(after["resources"], json!([{"type": "github_repository", "url": "u"}]));
    assert_eq!(after["environment_variables"], "A=1");
    let cleared = scene.update(json!({"environment_variables": null})).await;
    assert_eq!(cleared.get("environment_variables"), None);
}

#[tokio::test]
async fn malformed_bodies_and_unknown_paths_are_refused() {
    let scene = Scene::new();
    for body in ["", "{", "[]", "{} {}"] {
        let request = scene.request("POST", PATH).body(Full::new(body.into())).unwrap();
        assert_eq!(scene.send(request).await.unwrap().status(), StatusCode::BAD_REQUEST, "{body}");
    }
    for (method, path, status) in [
        ("PATCH", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", "/deployments", 405),
        ("GET", "/deployments/", 404),
        ("GET", "/nothing", 404),
        ("GET", "!/elsewhere", 404),
    ] {
        assert_eq!(scene.call(method, path, json!({})).await["status"], status, "{method} {path}");
    }
}

#[tokio::test]
async fn the_china_service_cuts_a_long_body_and_the_other_reads_it() {
    let description = "x".repeat(5 << 20);
    let patch = json!({"description": description});
    assert_eq!(Scene::new().refusal(patch.clone()).await, (400, String::new()));
    let whole = Scene::of("qoder").update(patch).await;
    assert_eq!(whole["description"].as_str().map(str::len), Some(5 << 20));
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge() {
    let scene = Scene::new();
    let stream = TcpStream::connect(scene.simulator.address()).await.unwrap();
    let executor = TokioExecutor::new();
    let io = TokioIo::new(stream);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let target = format!("http://localhost/api/v1/cloud{PATH}");
    let request = Request::get(target).header("authorization", "Bearer pt-1");
    let answer = client.send_request(request.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert_eq!(scene.simulator.state().requests()[0].version, http::Version::HTTP_2);
}

#[tokio::test]
async fn an_event_stream_resumes_after_the_last_event() {
    let scene = Scene::new();
    let path = "/sessions/sess_1/events/stream?interval_ms=1&count=2";
    let request = scene.request("GET", path).header("last-event-id", "7");
    let answer = scene.send(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(": heartbeat\n\n"));
    let data = "data: {\"sent_at\":1781427491000,\"sequence\":8}";
    assert!(text.contains(&format!("id: 8\nevent: message\n{data}\n\n")), "{text}");
    assert!(text.contains("id: 9\n") && !text.contains("id: 10\n"));
}

#[tokio::test]
async fn a_file_is_counted() {
    let scene = Scene::new();
    let request = scene.request("POST", "/files").body(Full::new(vec![0; 1 << 20].into()));
    let answer = scene.send(request.unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["bytes"], 1 << 20);
    assert!(scene.simulator.state().requests()[0].body.is_empty());
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_change_as_asked() {
    let scene = Scene::new();
    let state = scene.simulator.state();
    for (kind, name) in
        [(FaultKind::ResetBefore, "api-doc-verification-deployment"), (FaultKind::ResetAfter, "n")]
    {
        state.set_faults([Fault::new(kind, 0).times(1).on("POST", PATH)]);
        let head = format!("POST /api/v1/cloud{PATH} HTTP/1.1\r\nhost: x\r\n");
        let head = head + "authorization: Bearer pt-1\r\ncontent-length: 12\r\n\r\n";
        let mut stream = TcpStream::connect(scene.simulator.address()).await.unwrap();
        stream.write_all((head + "{\"name\":\"n\"}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
        assert!(answer.is_empty() && state.faults().is_empty());
        assert_eq!(scene.get(PATH).await["name"], name);
    }
    assert_eq!(state.writes(DEPLOYMENT_ID), Writes { received: 2, applied: 1 });
}

#[tokio::test]
async fn a_faulty_answer_hides_a_change_that_was_applied() {
    let scene = Scene::new();
    let state = scene.simulator.state();
    for fault in ["half-answer:1@POST", "garbage:1@POST", "status-after=500:1@POST"] {
        state.set_faults([fault.parse().unwrap()]);
        let answer = scene.try_call("POST", PATH, json!({"name": fault})).await;
        assert!(answer.is_err() || answer.unwrap()["status"] == 500, "{fault}");
        assert_eq!(scene.get(PATH).await["name"], fault);
    }
    state.set_faults(["slow-answer=1".parse().unwrap(), "delay=1".parse().unwrap()]);
    assert_eq!(scene.get(PATH).await["id"], DEPLOYMENT_ID);
    state.set_faults(["status=529:1".parse().unwrap()]);
    let overloaded = scene.update(json!({"name": "never"})).await;
    assert_eq!(overloaded["error"]["type"], "overloaded_error");
    assert_ne!(scene.get(PATH).await["name"], "never");
}

#[tokio::test]
async fn faults_are_switched_over_http() {
    let scene = Scene::new();
    let switch = "!/_simulator/faults";
    scene.call("POST", switch, json!("status=503:2@GET")).await;
    let set = scene.call("POST", switch, json!({"kind": "delay", "value": 1})).await;
    assert_eq!(set["data"].as_array().unwrap().len(), 2);
    assert_eq!(scene.get(PATH).await["status"], 503);
    assert_eq!(scene.get(switch).await["data"][0]["times"], 1);
    assert_eq!(scene.call("POST", switch, json!({"kind": "delay"})).await["status"], 400);
    let cleared = scene.call(Method::DELETE.as_str(), switch, Value::Null).await;
    assert_eq!(cleared["data"], json!([]));
    let received = scene.get("!/_simulator/requests").await;
    assert_eq!(received["data"].as_array().unwrap().len(), 1, "switches are not counted");
}

#[tokio::test]
async fn a_simulator_that_shut_down_frees_its_port() {
    let scene = Scene::new();
    let listen = scene.simulator.address();
    scene.simulator.shutdown().await;
    assert!(TcpStream::connect(listen).await.is_err());
    assert!(Simulator::start(Options { listen, ..Options::default() }).is_ok());
}
