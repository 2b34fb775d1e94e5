use tokio::net::TcpListener;

use super::*;
use crate::config::{AllowedWrite, Origin, Upstream};
use crate::provider::Provider;
use crate::upstream::endpoint::HeadLimits;

fn dialer(connect_timeout: Duration) -> Dialer {
    let upstream = Upstream {
        name: "main".into(),
        provider: Provider::named("qoder").unwrap(),
        origin: Origin { tls: false, host: "upstream.example".to_owned(), port: 1 },
        proxy: None,
        ca_file: None,
        connect_timeout,
        response_timeout: Duration::from_secs(1),
        allow_writes: Vec::<AllowedWrite>::new(),
    };
    Dialer::new(&upstream, HeadLimits { bytes: 65_536, fields: 100 }).unwrap()
}

/// A name with two addresses; each listens as long as its listener lives.
async fn two() -> [(SocketAddr, TcpListener); 2] {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    [first, second].map(|listener| (listener.local_addr().unwrap(), listener))
}

async fn connected(dialer: &Dialer, addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let found = dialer.any_of(addresses.to_vec()).await.ok()?;
    dialer.favour_of(found.1);
    Some(found.1)
}

#[tokio::test]
async fn of_two_addresses_one_may_be_dead_and_come_back() {
    let dialer = dialer(Duration::from_secs(5));
    let [(one, first), (two, second)] = two().await;
    let both = [one, two];
    assert_eq!(connected(&dialer, &both).await, Some(one));
    drop(first);
    for _ in 0..3 {
        assert_eq!(connected(&dialer, &both).await, Some(two));
    }
    let first = TcpListener::bind(one).await.unwrap();
    assert_eq!(connected(&dialer, &both).await, Some(two), "what works is kept to");
    drop(second);
    assert_eq!(connected(&dialer, &both).await, Some(one), "it came back");
    drop(first);
    assert_eq!(connected(&dialer, &both).await, None);
}

#[tokio::test]
async fn an_address_that_takes_connections_and_answers_none_is_left_for_the_other() {
    let dialer = dialer(Duration::from_secs(5));
    let [(one, _first), (two, second)] = two().await;
    let both = [one, two];
    assert_eq!(connected(&dialer, &both).await, Some(one));
    assert!(dialer.trusts(one));
    dialer.doubt(one);
    assert!(!dialer.trusts(one), "no call gets a connection that was made before");
    assert!(dialer.trusts(two), "those to the other stay");
    assert_eq!(connected(&dialer, &both).await, Some(two));
    // Other calls on the same connections end later, and mean the same.
    dialer.doubt(one);
    assert_eq!(connected(&dialer, &both).await, Some(two));
    drop(second);
    assert_eq!(connected(&dialer, &both).await, Some(one), "last is not never");
    assert!(dialer.trusts(one), "it has taken one again");
}

#[tokio::test]
async fn an_only_address_is_never_in_doubt() {
    let dialer = dialer(Duration::from_secs(5));
    let [(one, _first), _] = two().await;
    assert_eq!(connected(&dialer, &[one]).await, Some(one));
    dialer.doubt(one);
    assert!(dialer.trusts(one));
}
