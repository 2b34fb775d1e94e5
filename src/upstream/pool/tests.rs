use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::idle::AGE_SWEEPS_MAX;
use super::*;
use crate::config::{AllowedWrite, Origin, Upstream};
use crate::provider::Provider;
use crate::upstream::endpoint::HeadLimits;

#[tokio::test]
async fn a_connection_that_is_in_use_all_the_time_is_replaced_when_it_is_old() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let made = Arc::<Mutex<u32>>::default();
    let count = Arc::clone(&made);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *count.lock().await += 1;
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    let upstream = Upstream {
        name: "main".into(),
        provider: Provider::named("qoder").unwrap(),
        origin: Origin { tls: false, host: "127.0.0.1".to_owned(), port },
        proxy: None,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        allow_writes: Vec::<AllowedWrite>::new(),
    };
    let (dialer, pool) = (
        Arc::new(Dialer::new(&upstream, HeadLimits { bytes: 65_536, fields: 100 }).unwrap()),
        Arc::<Pool>::default(),
    );
    for sweep in 1..=2 * AGE_SWEEPS_MAX {
        let mut request = Request::new(RequestBody::Empty);
        let sent = pool.send(&dialer, &mut request, None, Duration::from_secs(5), &ALWAYS).await;
        assert_eq!(sent.unwrap().status(), 200);
        pool.sweep();
        let expected = if sweep <= AGE_SWEEPS_MAX { 1 } else { 2 };
        assert_eq!(*made.lock().await, expected, "sweep {sweep}");
    }
}
