//! Limits that several gateways share in a Redis.

mod away;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

#[path = "../servers/redis.rs"]
pub(crate) mod redis;

use self::redis::{TestRedis, cluster, listens};
use crate::world::certificate::Certificate;
use crate::world::client::{Answer, TOKEN};
use crate::world::command::run;
use crate::world::program::Folder;
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually, say};

/// A `[rate_limit]` of a thousand a second is none that a test reaches by accident.
fn config(backend: &str, read: (u32, u32), more: &str) -> String {
    let (rate, burst) = read;
    format!(
        "[rate_limit]\nbackend = '{backend}'\n{more}\n\
         read = {{ per_second = {rate}, burst = {burst} }}\n\
         write = {{ per_second = 1, burst = 3 }}\n"
    )
}

async fn gateway(upstream: &Recorder, config: &str) -> World {
    Setup::new().upstream(&upstream.url).config(config).start().await
}

async fn upstream() -> Recorder {
    Recorder::start(|_| answer(200, "{}")).await
}

async fn read(world: &World) -> Answer {
    read_as(world, TOKEN).await
}

async fn read_as(world: &World, token: &str) -> Answer {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    call(world.proxy(), Call::get(&path).token(token)).await
}

/// What remains of the budget, as the answer says, and its status.
fn remaining(answer: &Answer) -> (u16, i64) {
    let left = answer.header("x-ratelimit-remaining").unwrap_or("-1").parse().unwrap();
    (answer.status.as_u16(), left)
}

/// Whether the gateway says that the backend is away.
async fn is_away(world: &World) -> bool {
    let text = call(world.admin(), Call::get("/metrics")).await.text();
    let gauge = text.lines().find(|line| line.starts_with("changegate_rate_limit_away "));
    gauge.unwrap().ends_with(" 1")
}

async fn until(world: &World, away: bool) {
    eventually("another standing of the backend", async || {
        (is_away(world).await == away).then_some(())
    })
    .await;
}

/// Calls a gateway without a pause worth the name; how many passed, and how many did not.
async fn reads_for(proxy: SocketAddr, token: String, takes: Duration) -> (u32, u32) {
    let (mut passed, mut refused, begun) = (0, 0, Instant::now());
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    while begun.elapsed() < takes {
        match call(proxy, Call::get(&path).token(&token)).await.status.as_u16() {
            200 => passed += 1,
            429 => refused += 1,
            status => panic!("{status}"),
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    (passed, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_stay_within_five_percent_of_one_limit() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let (rate, burst) = (50_u32, 40_u32);
    let config = config(&redis.url(), (rate, burst), "");
    let mut worlds = Vec::new();
    for _ in 0..3 {
        worlds.push(gateway(&upstream, &config).await);
    }
    // Ten bursts: one at once, and nine as they come.
    let takes = Duration::from_secs_f64(f64::from(9 * burst) / f64::from(rate));
    for attempt in 0..3 {
        let begun = Instant::now();
        let mut calling = JoinSet::new();
        for world in &worlds {
            let token = format!("pt-attempt-{attempt:010}");
            calling.spawn(reads_for(world.proxy(), token, takes));
        }
        // On a machine that has more to do, answers may come too late: nothing is shared then.
        let mut was_away = false;
        while begun.elapsed() < takes {
            for world in &worlds {
                was_away |= is_away(world).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let counts = calling.join_all().await;
        if was_away {
            say(&format!("{counts:?} count for nothing: the backend was away"));
            continue;
        }
        let passed: u32 = counts.iter().map(|(passed, _)| passed).sum();
        assert!(counts.iter().all(|(_, refused)| *refused > 0), "{counts:?}");
        let may = f64::from(burst) + begun.elapsed().as_secs_f64() * f64::from(rate);
        let ratio = f64::from(passed) / may;
        say(&format!("{passed} of {may:.1} passed: {counts:?}"));
        return assert!((0.95..=1.05).contains(&ratio), "{passed} of {may} passed: {counts:?}");
    }
}

#[tokio::test]
async fn what_one_gateway_lets_pass_the_next_one_knows() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let config = config(&redis.url(), (1, 4), "");
    let [one, two] = [gateway(&upstream, &config).await, gateway(&upstream, &config).await];
    assert_eq!(remaining(&read(&one).await), (200, 3));
    // The last answer says that more than half is left: this read is charged a moment later.
    assert_eq!(remaining(&read(&one).await), (200, 2));
    eventually("the charge", async || {
        let kept = redis.ask("SCAN 0");
        let key = kept.iter().find(|line| line.contains("}:r"))?.clone();
        let level = redis.ask(&format!("GET {key}"))[1].clone();
        (level.split('.').next()?.parse::<u64>().ok()? > 1_500_000).then_some(())
    })
    .await;
    let answers = [read(&two).await, read(&two).await, read(&one).await, read(&two).await];
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((2..=3).contains(&passed), "{:?}", answers.map(|answer| remaining(&answer)));
    let over = read(&one).await;
    assert_eq!(remaining(&over), (429, 0));
    assert_eq!(over.header("retry-after"), Some("1"));
    assert_eq!(over.json()["error"]["type"], "rate_limit_error");
    // Another token has a budget of its own.
    assert_eq!(remaining(&read_as(&two, "pt-other-0123456789").await), (200, 3));
}

#[tokio::test]
async fn keys_hold_no_token_and_go_by_themselves() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let world = gateway(&upstream, &config(&redis.url(), (1, 4), "")).await;
    read(&world).await;
    let keys = redis.ask("KEYS *");
    let keys: Vec<&String> = keys.iter().filter(|line| line.starts_with("changegate:")).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        assert!(!key.contains(TOKEN));
        let life = redis.ask(&format!("PTTL {key}"))[0].clone();
        let life: i64 = life.strip_prefix(':').unwrap().parse().unwrap();
        assert!((1..=2_000).contains(&life), "{key}: {life}");
    }
}

#[tokio::test]
async fn a_script_that_was_flushed_is_loaded_again() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let world = gateway(&upstream, &config(&redis.url(), (1, 2), "")).await;
    assert_eq!(remaining(&read(&world).await), (200, 1));
    redis.ask("SCRIPT FLUSH");
    assert_eq!(remaining(&read(&world).await), (200, 0));
    assert_eq!(remaining(&read(&world).await), (429, 0));
    assert!(!is_away(&world).await);
}

#[tokio::test]
async fn a_clock_that_was_set_back_locks_nobody_out_and_gives_nothing() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let world = gateway(&upstream, &config(&redis.url(), (1, 2), "")).await;
    assert_eq!(remaining(&read(&world).await), (200, 1));
    assert_eq!(remaining(&read(&world).await), (200, 0));
    let key = redis.ask("SCAN 0").into_iter().find(|line| line.contains("}:r")).unwrap();
    let kept = redis.ask(&format!("GET {key}"))[1].clone();
    let (level, at) = kept.split_once(' ').unwrap();
    // An hour before, the server's clock was an hour ahead.
    let ahead = at.parse::<u64>().unwrap() + 3_600_000_000;
    redis.ask(&format!("SET {key} \"{level} {ahead}\" PX 600000"));
    assert_eq!(remaining(&read(&world).await), (429, 0));
    eventually("a drop", async || (read(&world).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn another_backend_comes_into_force_without_a_restart() {
    let (Some(one), Some(other)) = (TestRedis::start(), TestRedis::start()) else { return };
    let upstream = upstream().await;
    let address = upstream.url.strip_prefix("http://").unwrap().parse().unwrap();
    let limits = |redis: &TestRedis| {
        format!(
            "rate_limit.backend = '{}'\nrate_limit.away = 'deny'\n\
             rate_limit.read = {{ per_minute = 1, burst = 2 }}\n",
            redis.url()
        )
    };
    let folder = Folder::new(address, "");
    let path = folder.path().join("changegate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let with = |limits: &str| text.replace("rate_limit.enabled = false\n", limits);
    folder.write("changegate.toml", &with(&limits(&one)));
    let program = folder.serve().await;
    let read = async || call(program.proxy, Call::get("/api/v1/cloud/deployments")).await;
    assert_eq!([remaining(&read().await), remaining(&read().await)], [(200, 1), (200, 0)]);
    folder.write("changegate.toml", &with(&limits(&other)));
    // Nobody is refused since it is not connected to yet.
    let found = eventually("the other backend", async || {
        let answer = read().await;
        (answer.status != 429).then(|| remaining(&answer))
    });
    assert_eq!(found.await, (200, 1));
    assert!(!other.ask("SCAN 0").is_empty());
    assert!(!program.has_said("is away"), "{}", program.said());
}

#[tokio::test]
async fn a_backend_is_asked_under_tls_by_a_user_who_may_do_nothing_else() {
    let own = Certificate::of("localhost");
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        "PORT",
        "--tls-cert-file",
        "chain",
        "--tls-key-file",
        "key",
        "--tls-ca-cert-file",
        "chain",
        "--tls-auth-clients",
        "no",
        "--user",
        "changegate",
        "on",
        ">s3cr3t+pass",
        "~changegate:*",
        "+get",
        "+set",
        "+time",
        "+evalsha",
        "+script|load",
        "+select",
    ];
    let redis = TestRedis::with(&arguments, |folder| {
        std::fs::write(folder.path().join("chain"), &own.chain).unwrap();
        std::fs::write(folder.path().join("key"), &own.key).unwrap();
    });
    let Some(redis) = redis else { return };
    if !listens(redis.port()) {
        return say("left out: this Redis speaks no TLS");
    }
    let upstream = upstream().await;
    let url = format!("rediss://changegate:s3cr3t%2Bpass@localhost:{}/3", redis.port());
    let setup = Setup::new().upstream(&upstream.url).file("ca.pem", &own.chain);
    let world = setup.config(&config(&url, (1, 3), "ca_file = 'ca.pem'")).start().await;
    assert_eq!(remaining(&read(&world).await), (200, 2));
    assert!(!is_away(&world).await);
    let checked = run(world.folder.path(), &["check", "--config", "changegate.toml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let told = format!("shared by rediss://localhost:{}/3", redis.port());
    assert!(checked.out.contains(&told), "{checked:?}");
    assert!(!format!("{checked:?}").contains("s3cr3t"), "{checked:?}");
    // Whoever has another certificate is not believed.
    let distrusting = gateway(&upstream, &config(&url, (1, 3), "")).await;
    assert_eq!(remaining(&read(&distrusting).await), (200, 2));
    assert!(is_away(&distrusting).await);
}

#[tokio::test]
async fn a_cluster_has_each_token_where_its_slot_lies() {
    let Some(servers) = cluster() else { return };
    let upstream = upstream().await;
    let config = |n: usize| config(&format!("redis://127.0.0.1:{}", servers[n].port()), (1, 2), "");
    let [one, two] = [gateway(&upstream, &config(0)).await, gateway(&upstream, &config(1)).await];
    for n in 0..12 {
        let token = format!("pt-clustered-{n:010}");
        assert_eq!(remaining(&read_as(&one, &token).await), (200, 1), "{n}");
        assert_eq!(remaining(&read_as(&two, &token).await), (200, 0), "{n}");
        assert_eq!(remaining(&read_as(&one, &token).await), (429, 0), "{n}");
    }
    let sizes: Vec<String> = servers.iter().map(|server| server.ask("DBSIZE")[0].clone()).collect();
    assert!(sizes.iter().all(|size| size != ":0"), "{sizes:?}");
    assert!(!is_away(&one).await && !is_away(&two).await);
}
