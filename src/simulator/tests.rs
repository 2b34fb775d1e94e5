//! The simulator through its socket.

mod deployments;
mod predicted;

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
use crate::base::clock::{ManualClock, Timestamp};

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
