//! TLS on both sides, and the addresses of upstream's name.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::CipherSuite;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::certificate::Certificate;
use crate::world::client::{http1, http2, read};
use crate::world::recorder::answer;
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually};

const API: &str = "/api/v1/cloud";

/// Counts of the connections and requests that reached an upstream under TLS.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    http1: AtomicUsize,
    http2: AtomicUsize,
}

/// An upstream under TLS that shows the same deployment to every call.
async fn upstream(acceptor: TlsAcceptor, handshake: Duration) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let counts = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(acceptor.clone(), stream, handshake, Arc::clone(&counts)));
        }
    });
    (port, seen)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, handshake: Duration, seen: Arc<Seen>) {
    tokio::time::sleep(handshake).await;
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let count = if request.version() == Version::HTTP_2 { &seen.http2 } else { &seen.http1 };
        count.fetch_add(1, Ordering::Relaxed);
        let held = request.uri().path().ends_with("/held");
        async move {
            if held {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(shown())
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(100);
    // How the gateway ends its connections is of no interest here.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn shown() -> Response<Full<Bytes>> {
    let shown = json!({"type": "deployment", "id": DEPLOYMENT, "metadata": {}, "schedule": null});
    answer(200, shown)
}

async fn behind(port: u16, certificate: Option<&Certificate>, more: &str) -> World {
    let mut setup = Setup::new().upstream(format!("https://localhost:{port}"));
    if let Some(certificate) = certificate {
        setup = setup.file("ca.pem", &certificate.chain);
        setup = setup.config(&format!("upstream.ca_file = 'ca.pem'\n{more}"));
    }
    setup.start().await
}

#[tokio::test]
async fn clients_agree_on_a_protocol_by_alpn() {
    let certificate = Certificate::of("localhost");
    let setup = Setup::new().file("cert.pem", &certificate.chain).file("key.pem", &certificate.key);
    let world = setup.config("[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'").start().await;
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    let update = || Call::post(&path).json(&json!({"name": "under TLS"}));
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = certificate.connect(world.proxy(), offered).await;
        let protocol = stream.get_ref().1.alpn_protocol();
        assert_eq!(protocol, agreed.map(str::as_bytes), "{offered:?}");
        // This client would rather have AES-256 with SHA-384.
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
        let answer = if agreed == Some("h2") {
            http2(stream).await.send_request(update().http2("https://localhost")).await
        } else {
            http1(stream).await.send_request(update().http1("localhost")).await
        };
        assert_eq!(read(answer.unwrap()).await.status, 200, "{offered:?}");
    }
    assert_eq!(world.changes().await.len(), 3);
}

#[tokio::test]
async fn who_speaks_no_tls_to_a_tls_listener_harms_nobody() {
    let certificate = Certificate::of("localhost");
    let setup = Setup::new().file("cert.pem", &certificate.chain).file("key.pem", &certificate.key);
    let limits = "[limits]\nheader_timeout = 0.3\n[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'";
    let world = setup.config(limits).start().await;
    let patience = Duration::from_secs(5);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", b"\x16\x03"] {
        let started = Instant::now();
        crate::world::client::raw(world.proxy(), bytes, patience).await;
        assert!(started.elapsed() < patience, "{bytes:?}: the connection stays");
    }
    let stream = certificate.connect(world.proxy(), &[]).await;
    let get = Call::get(&format!("{API}/agents")).http1("localhost");
    assert_eq!(read(http1(stream).await.send_request(get).await.unwrap()).await.status, 200);
}

#[tokio::test]
async fn upstream_may_speak_either_protocol_under_tls() {
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let certificate = Certificate::of("localhost");
        let (port, seen) = upstream(certificate.acceptor(alpn), Duration::ZERO).await;
        let world = behind(port, Some(&certificate), "").await;
        let answer = world.update(&json!({"description": "x"})).await;
        assert_eq!(answer.status, 200, "{alpn:?}: {}", answer.text());
        assert_eq!(world.change_of(&answer).await["outcome"], "applied");
        let path = format!("{API}/agents");
        let calls = (0..20).map(|_| tokio::spawn(call(world.proxy(), Call::get(&path))));
        for answer in calls.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().status, 200);
        }
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        if alpn.contains(&"h2") {
            assert_eq!((count(&seen.http1), count(&seen.http2)), (0, 22));
            assert_eq!(count(&seen.connections), 1, "an HTTP/2 connection is shared");
        } else {
            assert_eq!((count(&seen.http1), count(&seen.http2)), (22, 0));
        }
    }
}

#[tokio::test]
async fn calls_that_take_long_leave_room_for_others_on_a_shared_connection() {
    let certificate = Certificate::of("localhost");
    let (port, seen) = upstream(certificate.acceptor(&["h2"]), Duration::ZERO).await;
    let world = behind(port, Some(&certificate), "").await;
    let path = format!("{API}/held");
    for _ in 0..90 {
        tokio::spawn(call(world.proxy(), Call::get(&path)));
    }
    eventually("all that are held", async || {
        (seen.http2.load(Ordering::Relaxed) == 90).then_some(())
    })
    .await;
    let patch = json!({"description": "x"});
    let update = tokio::time::timeout(Duration::from_secs(5), world.update(&patch)).await;
    assert_eq!(update.expect("an answer in time").status, 200);
    // At most 64 calls are on one; and until upstream has told how many it takes, no more than 8.
    let connections = seen.connections.load(Ordering::Relaxed);
    assert!((2..=90_usize.div_ceil(8)).contains(&connections), "{connections} connections");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_a_502_and_nothing_is_sent() {
    let (other, elsewhere) = (Certificate::of("localhost"), Certificate::of("elsewhere.example"));
    let served = Certificate::of("localhost");
    for (certificate, trusted) in
        [(&served, None), (&served, Some(&other)), (&elsewhere, Some(&elsewhere))]
    {
        let (port, seen) = upstream(certificate.acceptor(&["h2"]), Duration::ZERO).await;
        let world = behind(port, trusted, "").await;
        let get = call(world.proxy(), Call::get(&format!("{API}/agents"))).await;
        assert_eq!(get.status, 502);
        assert!(get.json()["error"]["message"].as_str().unwrap().contains("nothing was sent"));
        let write = world.update(&json!({"name": "x"})).await;
        assert_eq!(write.status, 502);
        assert!(world.changes().await.is_empty(), "nobody knows whose token it is");
        assert_eq!(seen.http1.load(Ordering::Relaxed) + seen.http2.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn calls_do_not_queue_for_handshakes_where_connections_are_not_shared() {
    let certificate = Certificate::of("localhost");
    let handshake = Duration::from_millis(150);
    let (port, _) = upstream(certificate.acceptor(&["http/1.1"]), handshake).await;
    let world = behind(port, Some(&certificate), "").await;
    let path = format!("{API}/agents");
    let started = Instant::now();
    let calls = (0..16).map(|_| tokio::spawn(call(world.proxy(), Call::get(&path))));
    for answer in calls.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(started.elapsed() < handshake * 8, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_upstream_that_never_shakes_hands_keeps_nobody_longer_than_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = Certificate::of("localhost");
    let world = behind(port, Some(&certificate), "upstream.connect_timeout = 0.4").await;
    let path = format!("{API}/agents");
    let started = Instant::now();
    let calls = (0..10).map(|_| tokio::spawn(call(world.proxy(), Call::get(&path))));
    for answer in calls.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().status, 504);
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // Whichever of the two `localhost` stands for here: one listens, the other refuses.
    let stands_for: Vec<_> = tokio::net::lookup_host("localhost:0").await.unwrap().collect();
    for address in stands_for {
        let Ok(listener) = TcpListener::bind((address.ip(), 0)).await else { continue };
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(|_| async { Ok::<_, Infallible>(shown()) });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        let world = Setup::new().upstream(format!("http://localhost:{port}")).start().await;
        let started = Instant::now();
        for _ in 0..2 {
            let answer = call(world.proxy(), Call::get(&format!("{API}/agents"))).await;
            assert_eq!(answer.status, 200, "only {address} listens");
        }
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
