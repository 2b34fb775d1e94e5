//! A backend that is gone, hangs or talks nonsense.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::redis::TestRedis;
use super::{config, gateway, is_away, read, read_as, remaining, until, upstream};
use crate::world::program::{Folder, Program};
use crate::world::{Call, call};

#[tokio::test]
async fn without_the_backend_a_gateway_limits_by_itself_until_it_is_back() {
    let Some(mut redis) = TestRedis::start() else { return };
    let upstream = upstream().await;
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
    program.says("backend is away").await;
    redis.start_again();
    program.says("backend is back").await;
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

/// Says the same to whatever it is asked.
fn parrot(socket: &Path, says: &'static [u8]) {
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
