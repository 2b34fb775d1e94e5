//! The admin listener under those who mean no good, and under those who ask for much.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::world::{Call, Setup, World, call, eventually, world};

/// A request, and how often it is sent: its unread answers fill every buffer on the way.
const UNREAD: &str = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
const UNREAD_TIMES: usize = 200;

/// The time in which a probe has to be answered, on a machine that does other things too.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// A connection from this address of the loopback.
async fn from(address: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn probes_are_answered(world: &World, while_what: &str) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let started = Instant::now();
        let answer = call(world.admin(), Call::get(path)).await;
        assert_eq!(answer.status, 200, "{path} while {while_what}");
        assert!(started.elapsed() < PROBE_MAX, "{path}: {:?}, {while_what}", started.elapsed());
    }
}

#[tokio::test]
async fn whatever_connections_are_held_probes_are_answered() {
    let world = world().await;
    let one = |_: usize| IpAddr::from([127, 0, 0, 1]);
    let many = |n: usize| IpAddr::from([127, 0, 1, u8::try_from(n % 250).unwrap() + 1]);
    let unread = UNREAD.repeat(UNREAD_TIMES);
    let sent = [
        ("unread answers", unread.as_str()),
        ("nothing", ""),
        ("half a head", "GET /healthz HTTP/1.1\r\nhost: a\r\nx: "),
        (
            "a body that does not come",
            "GET /readyz HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n",
        ),
    ];
    let addresses: [(&str, &dyn Fn(usize) -> IpAddr); 2] = [("one", &one), ("many", &many)];
    for (what, bytes) in sent {
        for (whose, address) in addresses {
            let mut held = Vec::new();
            for n in 0..500 {
                let stream = from(address(n), world.admin()).await;
                // Who has to make room meanwhile can't take it any more.
                let _ = stream.try_write(bytes.as_bytes());
                held.push(stream);
                if n % 100 == 99 {
                    probes_are_answered(&world, &format!("{n} hold {what} from {whose}")).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn who_takes_nothing_is_cut_and_who_reads_is_not() {
    let config = "[limits]\nwrite_timeout = 0.5\n";
    let world = Setup::new().config(config).start().await;
    let mut silent = TcpStream::connect(world.admin()).await.unwrap();
    let mut reader = TcpStream::connect(world.admin()).await.unwrap();
    let request = UNREAD.repeat(UNREAD_TIMES);
    for stream in [&mut silent, &mut reader] {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    let (mut read, mut piece) = (0, vec![0; 64 << 10]);
    eventually("the end of who takes nothing", async || {
        // A little of what comes, now and then, is enough not to be cut.
        read += reader.read(&mut piece).await.unwrap();
        silent.take_error().unwrap()
    })
    .await;
    assert!(read > 0);
    assert!(reader.take_error().unwrap().is_none());
    reader.write_all(UNREAD.as_bytes()).await.unwrap();
}

/// A log that takes long to look through for [`SOUGHT`].
async fn slow_log() -> World {
    let world = world().await;
    world.update(&json!({"name": "first"})).await;
    let options = SqliteConnectOptions::new().filename(world.database());
    let mut connection = options.connect().await.unwrap();
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
        INSERT INTO changes (upstream, policy, node, operation, deployment, actor_fingerprint, \
        client_ip, request_id, received_at, decided_at, decision, id, violations) \
        SELECT upstream, policy, node, operation, deployment, actor_fingerprint, client_ip, 'x', \
        received_at, decided_at, 'allow', randomblob(16), ?1 \
        FROM changes, n";
    let message = "a".repeat(20_000);
    let violations = json!([{
        "rule": "timezones", "enforcement": "audit", "path": "/x", "message": message,
    }]);
    sqlx::query(rows).bind(violations.to_string()).execute(&mut connection).await.unwrap();
    world
}

/// Almost all of it is found everywhere, and all of it nowhere.
fn sought() -> String {
    format!("/api/v1/changes?q={}b", "a".repeat(150))
}

fn seek(world: &World) -> JoinHandle<u16> {
    let (admin, sought) = (world.admin(), sought());
    tokio::spawn(async move { call(admin, Call::get(&sought)).await.status.as_u16() })
}

#[tokio::test]
async fn who_looks_through_the_whole_log_holds_up_no_other_question() {
    let world = slow_log().await;
    let started = Instant::now();
    let seeking: Vec<_> = (0..4).map(|_| seek(&world)).collect();
    for _ in 0..50 {
        let asked = Instant::now();
        let page = world.ask("/api/v1/changes?limit=1").await;
        assert_eq!(page["data"].as_array().unwrap().len(), 1);
        assert!(asked.elapsed() < PROBE_MAX, "{:?}", asked.elapsed());
    }
    for seeking in seeking {
        assert_eq!(seeking.await.unwrap(), 503, "it is given up in time");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // Nothing goes on: who looks for less is answered at once.
    let asked = Instant::now();
    assert_eq!(world.ask("/api/v1/changes?q=chg_no&since=2999-01-01").await["data"], json!([]));
    assert!(asked.elapsed() < PROBE_MAX, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_question_whose_asker_is_gone_is_interrupted() {
    let world = slow_log().await;
    for _ in 0..6 {
        let seeking = call(world.admin(), Call::get(&sought()));
        let left = tokio::time::timeout(Duration::from_millis(100), seeking).await;
        assert!(left.is_err(), "it takes far longer");
    }
    let asked = Instant::now();
    assert_eq!(world.ask("/api/v1/changes?q=chg_no&since=2999-01-01").await["data"], json!([]));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
