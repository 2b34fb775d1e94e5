//! A receiver of syslog that hangs: nothing says that it has read what was written to it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{sink, stands, world};
use crate::world::eventually;

/// The positions in what came.
fn positions(heard: &[u8]) -> BTreeSet<u64> {
    let text = String::from_utf8_lossy(heard);
    let numbers = text.split(" position=\"").skip(1).filter_map(|rest| rest.split('"').next());
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[tokio::test]
async fn what_a_receiver_that_hung_had_not_read_is_sent_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hanging) =
        (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Option<TcpStream>>>::default());
    let (kept, hangs) = (Arc::clone(&heard), Arc::clone(&hanging));
    tokio::spawn(async move {
        // The first connection is never read from.
        let (first, _) = listener.accept().await.unwrap();
        *hangs.lock().unwrap() = Some(first);
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut part).await {
                kept.lock().unwrap().extend_from_slice(&part[..read]);
            }
        }
    });
    let world = world(&format!(
        "[[sink]]\nname = 'siem'\nkind = 'syslog'\nurl = 'tcp://127.0.0.1:{port}'\nfrom = 'start'\n"
    ))
    .await;
    for name in ["first", "second", "third"] {
        world.update(&json!({"name": name})).await;
    }
    let sent = eventually("three changes and more", async || {
        let standing = stands(&world, "siem", "current").await;
        standing["sent"].as_u64().filter(|sent| *sent >= 4)
    })
    .await;
    // It ends unread, and no record comes that would show it.
    drop(hanging.lock().unwrap().take().unwrap());
    let came = eventually("everything once more", async || {
        let came = positions(&heard.lock().unwrap());
        (came.len() as u64 >= sent).then_some(came)
    })
    .await;
    assert_eq!(came.first(), Some(&0), "{came:?}");
    stands(&world, "siem", "current").await;
    let error = sink(&world, "siem").await["error"].clone();
    assert_eq!(error, "the connection broke");
}
