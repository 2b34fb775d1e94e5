//! Beginnings, changes of mind, and ends.

use std::time::{Duration, Instant};

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use changegate::simulator::{Fault, Options, Simulator};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::world::client::{http1, http2, open, read};
use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, Setup, call, eventually, world};

const API: &str = "/api/v1/cloud";
const SSE: &str = "/api/v1/cloud/sessions/s/events/stream?interval_ms=50";

fn update(id: &str, patch: &Value) -> Call {
    Call::post(&format!("{API}/deployments/{id}")).json(patch)
}

#[tokio::test]
async fn the_end_cuts_no_call_that_has_begun() {
    let world = world().await;
    let ids = world.seed(12);
    world.simulator().state().set_faults(["delay=400@POST".parse::<Fault>().unwrap()]);
    let mut sender = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let mut calls = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let request = update(id, &json!({"name": format!("n{n}")}));
        calls.push(if n % 2 == 0 {
            tokio::spawn(call(world.proxy(), request))
        } else {
            let sent = sender.send_request(request.http2("http://x"));
            sender.ready().await.unwrap();
            tokio::spawn(async move { read(sent.await.unwrap()).await })
        });
    }
    let begun = || {
        let requests = world.simulator().state().requests();
        requests.iter().filter(|request| request.method == "POST").count()
    };
    eventually("all calls", async || (begun() == ids.len()).then_some(())).await;
    let (database, state) = (world.database(), world.simulator().state().clone());
    let _simulator = world.end().await;
    for answer in calls {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(ids.iter().all(|id| state.writes(id).applied == 1));
    let applied = count(&database, "SELECT count(*) FROM ends WHERE outcome = 'applied'").await;
    assert_eq!(applied, ids.len());
}

/// Returns the result of a counting query on the log.
async fn count(database: &std::path::Path, question: &'static str) -> usize {
    use sqlx::{ConnectOptions as _, Connection as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.unwrap();
    let found: i64 = sqlx::query_scalar(question).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found.try_into().unwrap()
}

#[tokio::test]
async fn times_on_record_are_those_of_the_clock() {
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let world = Setup::new().clock(Clock::Manual(clock)).start().await;
    let answer = call(world.proxy(), update(DEPLOYMENT, &json!({"name": "then"}))).await;
    let change = world.change_of(&answer).await;
    for at in ["received_at", "completed_at"] {
        assert_eq!(change[at], "2027-01-15T08:00:00.000Z");
    }
}

#[tokio::test]
async fn a_wall_clock_that_is_set_within_a_call_changes_no_duration() {
    let start = Timestamp::from_millis(1_800_000_000_000);
    for days in [1, -1] {
        let clock = ManualClock::at(start);
        let world = Setup::new().clock(Clock::Manual(clock.clone())).start().await;
        let state = world.simulator().state();
        state.set_faults(["delay=200:1@POST".parse::<Fault>().unwrap()]);
        let calling = call(world.proxy(), update(DEPLOYMENT, &json!({"name": "then"})));
        let set = async {
            eventually("the call", async || (world.writes_received() > 0).then_some(())).await;
            clock.set(Timestamp::from_millis(start.millis() + days * 86_400_000));
            clock.advance(Duration::from_millis(40));
        };
        let (answer, ()) = tokio::join!(calling, set);
        let change = world.change_of(&answer).await;
        assert_eq!(change["completed_at"], "2027-01-15T08:00:00.040Z", "{days}");
        let metrics = call(world.admin(), Call::get("/metrics")).await.text();
        assert!(metrics.contains("changegate_exchange_seconds_sum 0.04\n"), "{metrics}");
        let ready = call(world.admin(), Call::get("/readyz")).await;
        assert_eq!(ready.status, 200, "{days}: a store that rests is not late");
    }
}

#[tokio::test]
async fn the_end_loses_no_request_that_was_sent() {
    let world = world().await;
    let (path, proxy) = (format!("{API}/agents"), world.proxy());
    // Who asks one thing after the other on one connection, until told that it was the last.
    let callers = (0..24).map(|_| {
        let path = path.clone();
        tokio::spawn(async move {
            let mut sender = http1(TcpStream::connect(proxy).await.unwrap()).await;
            for answered in 0.. {
                let answer = sender.send_request(Call::get(&path).http1("x")).await;
                let answer = answer.unwrap_or_else(|error| panic!("after {answered}: {error:?}"));
                assert_eq!(answer.status(), 200);
                let last = answer.headers().get("connection").is_some_and(|value| value == "close");
                read(answer).await;
                if last {
                    return answered;
                }
                sender.ready().await.unwrap();
            }
            unreachable!("there is no end of numbers")
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // And who has connected, and asks only now.
    let late = TcpStream::connect(proxy).await.unwrap();
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        http1(late).await.send_request(Call::get(&path).http1("x")).await.unwrap().status()
    });
    let _simulator = world.end().await;
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert_eq!(late.await.unwrap(), 200);
}

#[tokio::test]
async fn an_endless_stream_is_cut_when_drain_timeout_is_over() {
    let setup = Setup::new().config("[limits]\ndrain_timeout = 0.5");
    let world = setup.start().await;
    let stream = open(world.proxy(), Call::get(SSE)).await;
    let started = Instant::now();
    let _simulator = world.end().await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(2), "{took:?}");
    let cut = http_body_util::BodyExt::collect(stream.into_body()).await;
    assert!(cut.is_err(), "a cut stream looks whole");
}

#[tokio::test]
async fn who_asks_nothing_does_not_hold_up_the_end() {
    let world = world().await;
    // One that has never said a word, and two at rest.
    let mut silent = TcpStream::connect(world.proxy()).await.unwrap();
    let mut first = http1(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let mut second = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
    let get = || Call::get(&format!("{API}/agents"));
    assert_eq!(first.send_request(get().http1("x")).await.unwrap().status(), 200);
    assert_eq!(second.send_request(get().http2("http://x")).await.unwrap().status(), 200);
    let started = Instant::now();
    let _simulator = world.end().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
}

async fn status_of(program: &Program, patch: &Value) -> u16 {
    call(program.proxy, update(DEPLOYMENT, patch)).await.status.as_u16()
}

fn simulator() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

#[tokio::test]
async fn policy_is_reloaded_on_change_and_on_sighup_and_a_broken_one_is_not() {
    let simulator = simulator();
    let folder = Folder::new(simulator.address(), "");
    let program = folder.serve().await;
    let patch = |n: u8| json!({"metadata": {"tier": format!("{n}")}});
    assert_eq!(status_of(&program, &patch(1)).await, 200);

    let forbidding = "[metadata]\nforbidden_keys = ['tier']\n";
    folder.write("policy.toml", forbidding);
    let events = program.events("reload", 1).await;
    assert_eq!(events[0]["detail"].get("error"), None);
    assert_eq!(status_of(&program, &patch(2)).await, 403);

    folder.write("policy.toml", &format!("{forbidding}\nnonsense = true\n"));
    let events = program.events("reload", 2).await;
    assert!(events[0]["detail"]["error"].is_string(), "{events:?}");
    assert_eq!(status_of(&program, &patch(3)).await, 403, "the former policy is in force");

    folder.write("policy.toml", "[metadata]\nforbidden_keys = ['other']\n");
    program.signal(Signal::HUP);
    program.events("reload", 3).await;
    assert_eq!(status_of(&program, &patch(4)).await, 200);
}

#[tokio::test]
async fn a_change_of_an_address_is_said_and_left() {
    let simulator = simulator();
    let folder = Folder::new(simulator.address(), "");
    let program = folder.serve().await;
    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let moved = config.replace("listen.proxy = '127.0.0.1:0'", "listen.proxy = '127.0.0.1:1'");
    assert_ne!(moved, config);
    folder.write("changegate.toml", &moved);
    program.signal(Signal::HUP);
    let events = program.events("reload", 1).await;
    assert_eq!(events[0]["detail"].get("error"), None, "{events:?}");
    program.says("needs a restart").await;
    assert_eq!(status_of(&program, &json!({"name": "x"})).await, 200);
}

#[tokio::test]
async fn a_second_gateway_on_a_log_ends_with_3_and_names_the_first() {
    let simulator = simulator();
    let folder = Folder::new(simulator.address(), "");
    let mut program = folder.serve().await;
    let second = folder.command(&["serve"]).output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("process {}", program.id())), "{said}");
    assert_eq!(status_of(&program, &json!({"name": "x"})).await, 200);
    // Readers may look beside it.
    let list = folder.command(&["audit", "list", "--json"]).output().unwrap();
    assert_eq!(list.status.code(), Some(0), "{list:?}");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    assert!(program.has_said("draining"));
}

#[tokio::test]
async fn sigterm_ends_with_0_after_the_calls_that_have_begun() {
    let simulator = simulator();
    let folder = Folder::new(simulator.address(), "");
    let mut program = folder.serve().await;
    simulator.state().set_faults(["delay-after=300@POST".parse::<Fault>().unwrap()]);
    let begun = tokio::spawn(call(program.proxy, update(DEPLOYMENT, &json!({"name": "late"}))));
    let applied = || simulator.state().writes(DEPLOYMENT).applied == 1;
    eventually("the call", async || applied().then_some(())).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    assert_eq!(begun.await.unwrap().status, 200);
    let list = folder.command(&["audit", "list", "--json"]).output().unwrap();
    let change: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(change["outcome"], "applied");
}
