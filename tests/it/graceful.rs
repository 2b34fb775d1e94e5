//! Ends and reloads in the middle of everything: whatever was begun comes to its own end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use changegate::simulator::{Fault, Options, Simulator};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::certificate::Certificate;
use crate::world::client::{http1, http2};
use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, call, eventually, seed};

const API: &str = "/api/v1/cloud";

/// How many calls of each kind keep going.
const CALLERS: usize = 4;

/// The kinds of calls: an update, a read, an answer that comes over time.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Update,
    Read,
    Stream,
}

const KINDS: [Kind; 3] = [Kind::Update, Kind::Read, Kind::Stream];

/// Callers that send one call after another until the gateway accepts no more.
#[derive(Clone)]
struct Callers {
    proxy: SocketAddr,
    tls: Option<Arc<Certificate>>,
    ids: Arc<Vec<String>>,
    answered: Arc<[AtomicUsize; 3]>,
}

impl Callers {
    fn new(simulator: &Simulator, proxy: SocketAddr, tls: Option<Arc<Certificate>>) -> Self {
        // Slow ones, so that many are under way at any moment.
        let faults = ["delay=30@POST", "delay-after=30@POST", "delay=20@GET"];
        simulator.state().set_faults(faults.map(|fault| fault.parse::<Fault>().unwrap()));
        let ids = Arc::new(seed(simulator, 4 * CALLERS));
        Self { proxy, tls, ids, answered: Arc::default() }
    }

    fn call(&self, kind: Kind, caller: usize, n: usize) -> Call {
        match kind {
            Kind::Update => {
                let id = &self.ids[caller % self.ids.len()];
                let patch = json!({"metadata": {"tier": format!("{caller}-{n}")}});
                Call::post(&format!("{API}/deployments/{id}")).json(&patch)
            }
            Kind::Read => Call::get(&format!("{API}/agents")),
            Kind::Stream => {
                Call::get(&format!("{API}/sessions/s/events/stream?interval_ms=20&count=10"))
            }
        }
    }

    /// All of them, over HTTP/1.1 and HTTP/2.
    fn begin(&self) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for kind in KINDS {
            for caller in 0..CALLERS {
                all.spawn(self.clone().over_http1(kind, caller));
                all.spawn(self.clone().over_http2(kind, CALLERS + caller));
            }
        }
        all
    }

    async fn over_http1(self, kind: Kind, caller: usize) {
        let mut sender = match &self.tls {
            Some(tls) => http1(tls.connect(self.proxy, &["http/1.1"]).await).await,
            None => http1(TcpStream::connect(self.proxy).await.unwrap()).await,
        };
        for n in 0.. {
            let sent = sender.try_send_request(self.call(kind, caller, n).http1("localhost")).await;
            let Some(answer) = begun(kind, sent) else { return };
            let last = answer.headers().get("connection").is_some_and(|value| value == "close");
            self.whole(kind, answer).await;
            if last || sender.ready().await.is_err() {
                return;
            }
        }
    }

    async fn over_http2(self, kind: Kind, caller: usize) {
        let mut sender = match &self.tls {
            Some(tls) => http2(tls.connect(self.proxy, &["h2"]).await).await,
            None => http2(TcpStream::connect(self.proxy).await.unwrap()).await,
        };
        for n in 0.. {
            if sender.ready().await.is_err() {
                return;
            }
            let request = self.call(kind, caller, n).http2("https://localhost");
            let Some(answer) = begun(kind, sender.try_send_request(request).await) else { return };
            self.whole(kind, answer).await;
        }
    }

    async fn whole(&self, kind: Kind, answer: Response<Incoming>) {
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.unwrap_or_else(|error| panic!("{kind:?} was cut: {error:?}")).to_bytes();
        let told = String::from_utf8_lossy(&body);
        let fine = match kind {
            // The policy may forbid it.
            Kind::Update => status == 200 || status == 403,
            Kind::Read => status == 200,
            Kind::Stream => status == 200 && told.matches("\"sequence\"").count() == 10,
        };
        assert!(fine, "{kind:?}: {status} {told}");
        self.answered[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls of each kind were answered.
    fn answered(&self) -> [usize; 3] {
        self.answered.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Waits until each kind has been answered so many times more.
    async fn go_on(&self, more: usize) {
        let before = self.answered();
        let enough = || self.answered().iter().zip(before).all(|(now, was)| *now >= was + more);
        eventually("more answers", async || enough().then_some(())).await;
    }
}

/// The answer to a call; none where the gateway had said that it takes no more, so that the call
/// was not begun: over HTTP/2, what lies beyond the last stream that it named (RFC 9113, 6.8).
fn begun(
    kind: Kind,
    sent: Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>,
) -> Option<Response<Incoming>> {
    match sent {
        Ok(answer) => Some(answer),
        Err(mut failed) => {
            let untouched = failed.take_message().is_some();
            let error = format!("{:?}", failed.into_error());
            assert!(
                untouched || error.contains("GoAway(b\"\", NO_ERROR, Remote)"),
                "{kind:?}: {error}"
            );
            None
        }
    }
}

fn folder(simulator: &Simulator, tls: Option<&Certificate>) -> Folder {
    let more = tls.map_or("", |_| "[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'\n");
    let folder = Folder::new(simulator.address(), more);
    if let Some(tls) = tls {
        folder.write("cert.pem", &tls.chain);
        folder.write("key.pem", &tls.key);
    }
    folder
}

/// Whatever reached upstream was answered whole, and every update is on record.
fn check(folder: &Folder, simulator: &Simulator, answered: [usize; 3]) {
    let changes = folder.changes(false);
    assert!(changes.iter().all(|change| change["outcome"] == "applied"), "{changes:?}");
    assert_eq!(changes.len(), answered[Kind::Update as usize]);
    let requests = simulator.state().requests();
    let count = |method: &str, part: &str| {
        let alike = |target: &str| target.contains(part);
        requests.iter().filter(|one| one.method == method && alike(&one.target)).count()
    };
    let begun = [count("POST", "/deployments/"), count("GET", "/agents"), count("GET", "/events/")];
    assert_eq!(begun, answered);
}

/// Ends the program while `callers` go on, and waits for both.
async fn end(mut program: Program, signal: Signal, mut callers: JoinSet<()>) {
    program.signal(signal);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(program.end().await.code(), Some(0), "{}", program.said());
    for cut in ["drain_timeout is over", "did not end in time"] {
        assert!(!program.has_said(cut), "{}", program.said());
    }
}

#[tokio::test]
async fn the_end_under_load_cuts_nothing_that_was_begun() {
    for (tls, signal) in [(false, Signal::TERM), (true, Signal::TERM), (false, Signal::INT)] {
        let simulator = Simulator::start(Options::default()).unwrap();
        let tls = tls.then(|| Arc::new(Certificate::of("localhost")));
        let folder = folder(&simulator, tls.as_deref());
        let program = folder.serve().await;
        let callers = Callers::new(&simulator, program.proxy, tls);
        let all = callers.begin();
        callers.go_on(3).await;
        end(program, signal, all).await;
        check(&folder, &simulator, callers.answered());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_nothing_either() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator, None);
    let mut program = folder.serve().await;
    simulator.state().set_faults(["delay-after=700@POST".parse::<Fault>().unwrap()]);
    let update = Call::post(&format!("{API}/deployments/{DEPLOYMENT}"));
    let begun = tokio::spawn(call(program.proxy, update.json(&json!({"name": "late"}))));
    let applied = || simulator.state().writes(DEPLOYMENT).applied == 1;
    eventually("the call", async || applied().then_some(())).await;
    for (signal, told) in
        [(Signal::TERM, "\"draining\""), (Signal::INT, "already"), (Signal::TERM, "already")]
    {
        program.signal(signal);
        program.says(told).await;
    }
    assert_eq!(begun.await.unwrap().status, 200);
    assert_eq!(program.end().await.code(), Some(0));
    check(&folder, &simulator, [1, 0, 0]);
}

#[tokio::test]
async fn a_reload_under_load_drops_nothing_and_each_call_has_one_policy() {
    const FORBIDDING: &str = "[metadata]\nforbidden_keys = ['tier']\n";
    const ALLOWING: &str = "[metadata]\nforbidden_keys = ['other']\n";
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator, None);
    folder.write("policy.toml", ALLOWING);
    let program = folder.serve().await;
    let callers = Callers::new(&simulator, program.proxy, None);
    let all = callers.begin();
    let mut forbidding = Vec::new();
    // A broken one keeps the former in force.
    let texts = [FORBIDDING, "nonsense = 1\n", ALLOWING, "[metadata\n", FORBIDDING, ALLOWING];
    for (n, text) in texts.iter().enumerate() {
        callers.go_on(1).await;
        folder.write("policy.toml", text);
        program.signal(Signal::HUP);
        // A change may be seen twice: by the signal, and by a look at the file.
        let wanted = digest(text);
        let detail = eventually("a reload", async || {
            let events = program.events("reload", n + 1).await;
            let found = events.iter().map(|event| event["detail"].clone()).next().unwrap();
            let broken = found.get("error").is_some();
            (broken == wanted.is_none()
                && (broken || found["policy_digest"] == *wanted.as_ref()?))
            .then_some(found)
        });
        let detail = detail.await;
        if *text == FORBIDDING {
            forbidding.push(detail["policy_digest"].clone());
        }
    }
    callers.go_on(1).await;
    end(program, Signal::TERM, all).await;
    let changes = folder.changes(false);
    assert_eq!(changes.len(), callers.answered()[Kind::Update as usize]);
    let mut seen = [0, 0];
    for change in &changes {
        let forbade = forbidding.contains(&change["policy_digest"]);
        let (decision, outcome) = if forbade { ("deny", "denied") } else { ("allow", "applied") };
        assert_eq!((&change["decision"], &change["outcome"]), (&json!(decision), &json!(outcome)));
        seen[usize::from(forbade)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// The digest of a policy that is sound.
fn digest(policy: &str) -> Option<Value> {
    let loaded =
        changegate::policy::load::load(policy, changegate::provider::Provider::ALL[0]).ok()?;
    Some(json!(loaded.digest))
}
