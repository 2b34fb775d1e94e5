//! The floor: a proxy that copies bytes and reads none of them.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Gives each client a connection to upstream.
pub(crate) async fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.context("the splice can't listen")?;
    loop {
        let (client, _address) = listener.accept().await.context("the splice can't accept")?;
        tokio::spawn(async move {
            // How a connection ends is of no interest: who called sees it too.
            drop(splice(client, upstream).await);
        });
    }
}

async fn splice(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
