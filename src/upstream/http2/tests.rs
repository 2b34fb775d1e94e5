use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{AllowedWrite, Origin, Upstream};
use crate::provider::Provider;
use crate::upstream::endpoint::HeadLimits;

fn dialer() -> Arc<Dialer> {
    let upstream = Upstream {
        name: "main".into(),
        provider: Provider::named("qoder").unwrap(),
        origin: Origin { tls: false, host: "upstream.example".to_owned(), port: 1 },
        proxy: None,
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        allow_writes: Vec::<AllowedWrite>::new(),
    };
    Arc::new(Dialer::new(&upstream, HeadLimits { bytes: 65_536, fields: 100 }).unwrap())
}

/// A connection, and its other end, which says nothing.
async fn line() -> (Http2Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let line = Http2Connection::over(Wire::Plain(stream), &dialer(), address).await.unwrap();
    (line, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_connection_without_a_call_is_given_up() {
    let (dialer, mut shared) = (dialer(), Shared::default());
    let (line, _end) = line().await;
    let first = shared.add(line, &dialer);
    for _ in 0..2 * REST_SWEEPS_MAX {
        shared.sweep();
    }
    drop(first);
    for _ in 0..REST_SWEEPS_MAX - 1 {
        shared.sweep();
    }
    assert!(shared.place(&dialer).is_some(), "it has not rested for long");
    for _ in 0..REST_SWEEPS_MAX - 1 {
        shared.sweep();
    }
    assert!(shared.place(&dialer).is_some(), "the call before began its rest anew");
    for _ in 0..REST_SWEEPS_MAX {
        shared.sweep();
    }
    assert!(shared.place(&dialer).is_none());
}

#[tokio::test]
async fn an_old_connection_gets_no_new_call() {
    let (dialer, mut shared) = (dialer(), Shared::default());
    let (line, _end) = line().await;
    let held = shared.add(line, &dialer);
    for _ in 1..AGE_SWEEPS_MAX {
        shared.sweep();
        assert!(shared.place(&dialer).is_some());
    }
    shared.sweep();
    assert!(shared.place(&dialer).is_none());
    assert!(!held.sender.is_closed(), "the calls on it go on");
}

#[tokio::test]
async fn no_more_calls_than_upstream_allows_share_a_connection() {
    let (dialer, mut shared) = (dialer(), Shared::default());
    let ((one, _end), (two, _other_end)) = (line().await, line().await);
    let mut held = vec![shared.add(one, &dialer)];
    for _ in 1..UNTOLD_STREAMS_MAX {
        held.push(shared.place(&dialer).unwrap());
    }
    assert!(shared.place(&dialer).is_none(), "nothing is known yet");
    held.push(shared.add(two, &dialer));
    held.push(shared.place(&dialer).unwrap());
    assert!(held.pop().is_some() && shared.place(&dialer).is_some());
}
