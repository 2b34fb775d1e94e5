//! An in-memory upstream that speaks the deployments API, for demos and tests.
//!
//! It keeps the API's limits and errors, its computed fields move with the injected clock, and
//! it can be told to fail: before or after it has applied a call, slowly, or halfway through its
//! answer. Everything it holds is bounded, and gone when it stops.
//!
//! Beside the API it answers `GET /_simulator/requests` (what it received), and `GET`, `POST` and
//! `DELETE /_simulator/faults`.

mod catalog;
mod deployment;
mod dialect;
mod exchange;
mod fault;
mod fields;
mod problem;
mod query;
mod received;
mod route;
mod seed;
mod shelf;
mod state;
mod stream;
mod timetable;
mod wire;
mod world;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use self::fault::{BadFault, Fault, FaultKind};
pub use self::received::{Received, Writes};
pub use self::seed::{AGENT_ID, DEPLOYMENT_ID, ENVIRONMENT_ID};
pub use self::state::{SeedError, State};
use crate::base::clock::Clock;
use crate::provider::Provider;

/// How many connections are open at once; those beyond are closed as they come.
const CONNECTIONS_MAX: usize = 10_000;

/// How long accepting rests after the operating system has refused a connection.
const ACCEPT_RESTS: Duration = Duration::from_millis(10);

/// The options of a simulator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The provider whose API it speaks.
    pub provider: &'static Provider,
    /// The only tokens that it takes. Where there are none it takes each one that starts with
    /// `pt-` (for Claude, `sk-ant-` too) and holds neither `invalid` nor `expired`. A token that
    /// holds `readonly` may not write.
    pub tokens: Vec<String>,
    /// The faults that are there from the start.
    pub faults: Vec<Fault>,
    /// Where its time comes from.
    pub clock: Clock,
}

/// A running simulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    state: State,
    accepting: JoinHandle<()>,
}

impl Default for Options {
    /// Qoder in China, on any free port of the loopback, by the machine's clock.
    fn default() -> Self {
        let [provider, ..] = Provider::ALL;
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            provider,
            tokens: Vec::new(),
            faults: Vec::new(),
            clock: Clock::System,
        }
    }
}

impl Simulator {
    /// Starts a simulator. Fails where the address can't be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let dialect = dialect::Dialect::of(options.provider, options.tokens);
        let state = State::seeded(dialect, options.clock, options.faults);
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state that it holds.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Stops listening and drops every connection; the port is free when this returns.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // The task was aborted just now, so that its end as cancelled is no news.
        drop((&mut self.accepting).await);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections until it is aborted, which aborts the connections too.
async fn accept(listener: TcpListener, state: State) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _client)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(serve(stream, state.clone()));
                }
                Ok(_too_many) => {}
                Err(_out_of_descriptors) => tokio::time::sleep(ACCEPT_RESTS).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Serves one connection, HTTP/1.1 or HTTP/2 with prior knowledge.
async fn serve(stream: TcpStream, state: State) {
    // Without this, small answers may wait for the client's acknowledgement.
    drop(stream.set_nodelay(true));
    let (wire, reset) = wire::Wire::new(stream);
    let answers =
        service_fn(move |request| exchange::answer(state.clone(), reset.clone(), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // How a client's connection ends is of no interest here: the state tells what came of it.
    drop(server.serve_connection(TokioIo::new(wire), answers).await);
}
