//! Fresh connections to upstream: every address of its name tried, TLS, HTTP/1.1 or HTTP/2 by ALPN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::{DialError, Dialer};
use super::http1::Http1Connection;
use super::http2::Http2Connection;
use super::tunnel::ProxyError;
use crate::net::stream::{ALPN_H2, Wire};

/// How long the next address waits for the former (RFC 8305, 5: Connection Attempt Delay).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// A fresh connection.
pub(crate) enum Dialed {
    Http1(Box<Http1Connection>),
    Http2(Http2Connection),
}

impl Dialer {
    /// Connects within `connect_timeout`, all addresses together, by the proxy where there is one.
    pub(crate) async fn dial(self: &Arc<Self>) -> Result<Dialed, DialError> {
        self.connected().await.map_err(|error| match (self.proxy(), error) {
            (Some(_), DialError::Resolve(error)) => DialError::Proxy(ProxyError::Resolve(error)),
            (Some(_), DialError::Connect { address, source }) => {
                DialError::Proxy(ProxyError::Connect { address, source })
            }
            (_, error) => error,
        })
    }

    async fn connected(self: &Arc<Self>) -> Result<Dialed, DialError> {
        let due = Instant::now() + self.connect_timeout();
        let named = timeout_at(due, self.addresses()).await.unwrap_or(Err(DialError::Timeout))?;
        let taken = timeout_at(due, self.any_of(named)).await.unwrap_or(Err(DialError::Timeout));
        let (stream, address) = taken?;
        let ready = timeout_at(due, self.over(stream, address)).await;
        let ready = ready.unwrap_or(Err(DialError::Timeout));
        match ready {
            Ok(_) => self.favour_of(address),
            Err(_) => self.doubt(address),
        }
        ready
    }

    /// Speaks TLS and HTTP, as far as upstream does.
    async fn over(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Dialed, DialError> {
        // Fails only where the socket is dead already, which the next write will tell.
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::Plain(stream);
        if let Some(proxy) = self.proxy() {
            wire = proxy.lead(wire).await.map_err(DialError::Proxy)?;
        }
        if let Some((connector, name)) = self.tls() {
            wire = wire.secure(connector, name).await.map_err(DialError::Tls)?;
        }
        let http2 = wire.alpn() == Some(ALPN_H2);
        self.learn_version(http2);
        if http2 {
            let line = Http2Connection::over(wire, self, address).await;
            return line.map(Dialed::Http2).map_err(DialError::Handshake);
        }
        let line = Http1Connection::over(wire, self, address).await;
        line.map(Dialed::Http1).map_err(DialError::Handshake)
    }

    /// The addresses that the name of upstream, or of the proxy, stands for now.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        let hop = self.first_hop();
        let named = tokio::net::lookup_host((hop.host.as_str(), hop.port));
        Ok(named.await.map_err(DialError::Resolve)?.take(ADDRESSES_MAX).collect())
    }

    /// The first address that answers; the next is tried when one fails or is slow.
    async fn any_of(
        &self,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        self.rank(&mut addresses);
        // All of them get their try, also where little time is allowed.
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let next_after = NEXT_ADDRESS_AFTER.min(self.connect_timeout() / count);
        let mut waiting = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut last = DialError::Nameless;
        loop {
            if let Some(address) = waiting.next() {
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            } else if attempts.is_empty() {
                return Err(last);
            }
            let patience = if waiting.len() > 0 { next_after } else { self.connect_timeout() };
            match timeout(patience, attempts.join_next()).await {
                Ok(Some(Ok((address, Ok(stream))))) => return Ok((stream, address)),
                Ok(Some(Ok((address, Err(source))))) => {
                    last = DialError::Connect { address, source }
                }
                // An attempt is never aborted while it is waited for; a slow one goes on.
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
