//! Limits that several gateways share in a Redis.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

#[path = "../servers/redis.rs"]
mod redis;

use self::redis::{TestRedis, cluster, listens};
use crate::world::certificate::Certificate;
use crate::world::client::{Answer, TOKEN};
use crate::world::command::run;
use crate::world::program::{Folder, Program};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually};

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
    let begun = Instant::now();
    let mut calling = tokio::task::JoinSet::new();
    for world in &worlds {
        let proxy = world.proxy();
        calling.spawn(async move {
            let (mut passed, mut refused) = (0_u32, 0_u32);
            let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
            while begun.elapsed() < takes {
                match call(proxy, Call::get(&path)).await.status.as_u16() {
                    200 => passed += 1,
                    429 => refused += 1,
                    status => panic!("{status}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (passed, refused)
        });
    }
    let counts = calling.join_all().await;
    let passed: u32 = counts.iter().map(|(passed, _)| passed).sum();
    assert!(counts.iter().all(|(_, refused)| *refused > 0), "{counts:?}");
    let may = f64::from(burst) + begun.elapsed().as_secs_f64() * f64::from(rate);
    let ratio = f64::from(passed) / may;
    assert!((0.95..=1.05).contains(&ratio), "{passed} of {may} passed: {counts:?}");
    for world in &worlds {
        assert!(!is_away(world).await);
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
async fn without_the_backend_a_gateway_limits_by_itself_until_it_is_back() {
    let Some(mut redis) = TestRedis::start() else { return };
    let upstream = Recorder::start(|_| answer(200, "{}")).await;
    let more = format!(
        "rate_limit.backend = '{}?pass='\nrate_limit.read = {{ per_second = 1, burst = 2 }}\n",
        redis.url()
    );
    let address = upstream.url.strip_prefix("http://").unwrap().parse().unwrap();
    let folder = Folder::new(address, "");
    let path = folder.path().join("changegate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("rate_limit.enabled = false\n", &more);
    std::fs::write(&path, text).unwrap();
    let program = folder.serve().await;
    let call_once =
        async |program: &Program| call(program.proxy, Call::get("/api/v1/cloud/deployments")).await;
    assert_eq!(call_once(&program).await.status, 200);
    redis.kill();
    let begun = Instant::now();
    let statuses: Vec<u16> = vec![
        call_once(&program).await.status.as_u16(),
        call_once(&program).await.status.as_u16(),
        call_once(&program).await.status.as_u16(),
    ];
    assert_eq!(statuses, [200, 200, 429], "the own budgets are full at first");
    assert!(begun.elapsed() < Duration::from_secs(1));
    eventually("the line", async || program.has_said("backend is away").then_some(())).await;
    redis.start_again();
    eventually("the line", async || program.has_said("backend is back").then_some(())).await;
    assert_eq!(call_once(&program).await.status, 200);
    assert_eq!(program.said_times("backend is away"), 1, "{}", program.said());
    assert_eq!(program.said_times("backend is back"), 1, "{}", program.said());
}

#[tokio::test]
async fn a_backend_that_hangs_holds_calls_up_for_a_quarter_of_a_second_at_most() {
    let Some(redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let world = gateway(&upstream, &config(&redis.url(), (1_000, 10), "")).await;
    let token = |n: u32| format!("pt-caller-{n:010}");
    read(&world).await;
    redis.signal(Signal::STOP);
    // Each asks, for nothing is known of these.
    for n in 0..8 {
        let begun = Instant::now();
        assert_eq!(read_as(&world, &token(n)).await.status, 200);
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    }
    until(&world, true).await;
    let begun = Instant::now();
    for n in 0..20 {
        assert_eq!(read_as(&world, &token(n)).await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for what is away");
    redis.signal(Signal::CONT);
    until(&world, false).await;
    assert_eq!(remaining(&read_as(&world, &token(99)).await), (200, 9));
}

#[tokio::test]
async fn nothing_passes_without_the_backend_where_that_is_said() {
    let Some(mut redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
    let world = gateway(&upstream, &config(&redis.url(), (10, 10), "away = 'deny'")).await;
    assert_eq!(read(&world).await.status, 200);
    redis.kill();
    until(&world, true).await;
    let refused = read(&world).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    let text = refused.text();
    assert!(text.contains("rate_limit.away = \\\"share\\\""), "{text}");
    let received = upstream.received().len();
    assert_eq!(world.update(&serde_json::json!({"name": "x"})).await.status, 503);
    assert_eq!(upstream.received().len(), received, "nothing was sent");
    assert!(world.changes().await.is_empty());
    redis.start_again();
    until(&world, false).await;
    assert_eq!(read(&world).await.status, 200);
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

/// Says the same to whatever it is asked.
fn parrot(socket: &std::path::Path, says: &'static [u8]) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(says).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[tokio::test]
async fn a_backend_that_talks_nonsense_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = upstream().await;
    let nonsense: [&[u8]; 7] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*3\r\n:1\r\n:4294967295\r\n:0\r\n",
        b"*3\r\n:2\r\n:1\r\n:0\r\n",
        b"$-1\r\n",
        b"*3\r\n$1\r\nx\r\n*0\r\n:-1\r\n",
        b"\x00\xff\xfe\r\n",
        b"-MOVED 1 127.0.0.1:1\r\n",
    ];
    for (n, says) in nonsense.into_iter().enumerate() {
        let socket = folder.path().join(n.to_string());
        parrot(&socket, says);
        let url = format!("redis+unix://{}", socket.display());
        let world = gateway(&upstream, &config(&url, (1, 3), "")).await;
        for left in [2, 1, 0] {
            assert_eq!(remaining(&read(&world).await), (200, left), "{n}");
        }
        assert_eq!(remaining(&read(&world).await), (429, 0), "{n}");
        assert!(is_away(&world).await, "{n}");
    }
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
        return crate::world::say("left out: this Redis speaks no TLS");
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
