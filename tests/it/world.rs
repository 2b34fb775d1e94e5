//! A gateway on port 0 with a temporary log, an upstream, and clients to call it with.

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod connect_proxy;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod forwarder;
pub(crate) mod frames;
pub(crate) mod http2_upstream;
pub(crate) mod issuer;
pub(crate) mod load;
pub(crate) mod many;
pub(crate) mod program;
pub(crate) mod recorder;
pub(crate) mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use changegate::base::clock::Clock;
use changegate::base::ids::Hex;
use changegate::base::key::Key;
use changegate::provider::Provider;
use changegate::server::{Options, Server, check};
use changegate::simulator::{self, Simulator};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) use self::client::{Answer, Call, call};

/// The deployment that the simulator starts with.
pub(crate) const DEPLOYMENT: &str = simulator::DEPLOYMENT_ID;

/// The policy that most tests run under.
pub(crate) const POLICY: &str = r#"
[timezones]
allowed = ["Asia/Shanghai", "UTC"]

[metadata]
forbidden_keys = ["owner_override", "secret_*"]
protected_keys = ["cas_config.config.max_concurrent"]
"#;

/// The installation's secret in every test, so that a configuration can list fingerprints.
const KEY: [u8; 32] = [7; 32];

/// The fingerprint that the gateway records for a token.
pub(crate) fn fingerprint(token: &str) -> String {
    Key::from_bytes(KEY).fingerprint(token.as_bytes()).to_string()
}

/// The SHA-256 of an admin token, as the configuration has it.
pub(crate) fn sha256(token: &str) -> String {
    Hex(Sha256::digest(token).as_ref()).to_string()
}

/// An `[[admin.token]]` of that name and role.
pub(crate) fn admin_token(token: &str, name: &str, role: &str) -> String {
    let sha256 = sha256(token);
    format!("[[admin.token]]\nname = '{name}'\nrole = '{role}'\nsha256 = '{sha256}'\n")
}

/// Everything one test needs.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
    simulator: Option<Simulator>,
}

/// A world to be.
pub(crate) struct Setup {
    provider: &'static str,
    upstream: Option<String>,
    config: String,
    database: String,
    policy: String,
    clock: Clock,
    workers: usize,
    files: Vec<(String, String)>,
}

/// A world with the simulator behind the gateway and the usual policy.
pub(crate) async fn world() -> World {
    Setup::new().start().await
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            provider: "qoder-cn",
            upstream: None,
            // Budgets that no test reaches by accident.
            config: "[rate_limit]\nread = { per_second = 10000, burst = 10000 }\n\
                     write = { per_second = 10000, burst = 10000 }\n"
                .to_owned(),
            database: "sqlite://log.db".to_owned(),
            policy: POLICY.to_owned(),
            clock: Clock::System,
            workers: 1,
            files: Vec::new(),
        }
    }

    pub(crate) fn provider(mut self, name: &'static str) -> Self {
        self.provider = name;
        self
    }

    /// Another upstream than the simulator, such as `http://127.0.0.1:1`.
    pub(crate) fn upstream(mut self, url: impl Into<String>) -> Self {
        self.upstream = Some(url.into());
        self
    }

    /// The configuration beside `[upstream]`, `[audit]`, `[policy]` and the addresses.
    pub(crate) fn config(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config);
        self
    }

    /// Another place of the log than a file.
    pub(crate) fn log_at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.database);
        self
    }

    pub(crate) fn policy(mut self, text: &str) -> Self {
        text.clone_into(&mut self.policy);
        self
    }

    pub(crate) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) async fn start(self) -> World {
        let folder = tempfile::tempdir().unwrap();
        let simulator = self.upstream.is_none().then(|| {
            let provider = Provider::named(self.provider).unwrap();
            let clock = self.clock.clone();
            Simulator::start(simulator::Options { provider, clock, ..Default::default() }).unwrap()
        });
        let url = self
            .upstream
            .clone()
            .unwrap_or_else(|| format!("http://{}", simulator.as_ref().unwrap().address()));
        std::fs::write(folder.path().join("policy.toml"), &self.policy).unwrap();
        write_key(&folder.path().join("key"));
        for (name, text) in &self.files {
            write(&folder.path().join(name), text);
        }
        let (head, tables) = split_upstream(&self.config);
        let of_port = |key: &&str| !head.contains(key);
        let listen = ["listen.proxy", "listen.admin"].iter().filter(|key| of_port(key));
        let listen: Vec<_> = listen.map(|key| format!("{key} = '127.0.0.1:0'\n")).collect();
        let listen = listen.concat();
        let text = format!(
            "{listen}\
             upstream.provider = '{}'\nupstream.url = '{url}'\n\
             policy.file = 'policy.toml'\n\
             audit.database = '{}'\naudit.key_file = 'key'\n{head}\n{tables}",
            self.provider, self.database
        );
        let path = folder.path().join("changegate.toml");
        std::fs::write(&path, &text).unwrap();
        let checked = check(&path, &[]);
        let config = checked.config.unwrap_or_else(|| panic!("{text}\n{:#?}", checked.complaints));
        let options = Options { clock: self.clock, workers: Some(self.workers), source: None };
        let server = Server::start(config, options).await.unwrap();
        World { server, folder, simulator }
    }
}

/// Only its owner may read a key file.
pub(crate) fn write_key(path: &std::path::Path) {
    let hex = KEY.map(|byte| format!("{byte:02x}")).concat();
    std::fs::write(path, hex).unwrap();
    keep_secret(path);
}

/// Writes a file; what is called a secret is one.
pub(crate) fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    if path.extension().is_some_and(|end| end == "secret") {
        keep_secret(path);
    }
}

fn keep_secret(path: &std::path::Path) {
    let owners = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owners).unwrap();
}

/// Dotted keys come before the tables.
fn split_upstream(config: &str) -> (String, String) {
    let lines = config.lines();
    let dotted = |line: &&str| {
        line.starts_with("upstream.") || line.starts_with("audit.") || line.starts_with("listen.")
    };
    let head: Vec<&str> = lines.clone().filter(dotted).collect();
    let tables: Vec<&str> = lines.filter(|line| !dotted(line)).collect();
    (head.join("\n"), tables.join("\n"))
}

impl World {
    pub(crate) fn proxy(&self) -> SocketAddr {
        self.server.proxy_address().tcp().unwrap()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.server.admin_address().tcp().unwrap()
    }

    pub(crate) fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().unwrap()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    /// How many writes the simulator got for its first deployment.
    pub(crate) fn writes_received(&self) -> usize {
        self.simulator().state().writes(DEPLOYMENT).received.try_into().unwrap()
    }

    /// `POST /deployments/{id}` of the simulator's deployment.
    pub(crate) async fn update(&self, patch: &Value) -> Answer {
        let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
        call(self.proxy(), Call::post(&path).json(patch)).await
    }

    /// An answer of the admin API, which must be 200.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let answer = call(self.admin(), Call::get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The whole change that an answer names.
    pub(crate) async fn change_of(&self, answer: &Answer) -> Value {
        let id = answer.header("changegate-change").expect("the answer names its change");
        self.ask(&format!("/api/v1/changes/{id}")).await
    }

    /// All changes, newest first, without bodies.
    pub(crate) async fn changes(&self) -> Vec<Value> {
        let page = self.ask("/api/v1/changes?limit=1000").await;
        page["data"].as_array().unwrap().clone()
    }

    /// The same, with an admin token.
    pub(crate) async fn changes_as(&self, token: &str) -> Vec<Value> {
        let asked = Call::get("/api/v1/changes?limit=1000").token(token);
        call(self.admin(), asked).await.json()["data"].as_array().unwrap().clone()
    }

    /// A gateway on what another one has left, by the files that are there.
    pub(crate) async fn again(folder: TempDir, simulator: Option<Simulator>) -> Self {
        let config = check(&folder.path().join("changegate.toml"), &[]).config.unwrap();
        let options = Options { workers: Some(1), ..Options::default() };
        let server = Server::start(config, options).await.unwrap();
        Self { server, folder, simulator }
    }

    /// Stops the gateway, as SIGTERM does; the simulator stays.
    pub(crate) async fn end(self) -> (TempDir, Option<Simulator>) {
        self.server.shutdown().await;
        (self.folder, self.simulator)
    }

    /// Puts so many more deployments into the simulator, and tells their ids.
    pub(crate) fn seed(&self, count: usize) -> Vec<String> {
        seed(self.simulator(), count)
    }

    /// Events of a kind, once there are at least `count`: they are written beside the call.
    pub(crate) async fn events(&self, kind: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        for _ in 0..200 {
            let page = self.ask("/api/v1/events?limit=1000").await;
            let all = page["data"].as_array().unwrap();
            found = all.iter().filter(|event| event["kind"] == kind).cloned().collect();
            if found.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        found
    }
}

/// Puts so many more deployments into a simulator, and tells their ids.
pub(crate) fn seed(simulator: &Simulator, count: usize) -> Vec<String> {
    let body = json!({
        "agent": simulator::AGENT_ID,
        "environment_id": simulator::ENVIRONMENT_ID,
        "initial_events": [{"content": "Report", "type": "user.message"}],
        "name": "seeded",
    });
    let ids: Vec<String> = (0..count).map(|n| format!("dep_seeded_{n}")).collect();
    for id in &ids {
        simulator.state().seed_deployment(id, body.as_object().unwrap()).unwrap();
    }
    ids
}

/// Looks until `found` finds something, for at most ten seconds.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

/// Tells who sees a test fail, or asks for its output, what it can't tell otherwise.
#[expect(clippy::print_stdout, reason = "tests print what repeats them")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
