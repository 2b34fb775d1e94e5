//! A proxy of hyper and nothing else: a thread per core, each with a listener of its own and a
//! pool of its own connections. What the gateway costs beyond it is the gateway's own doing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One thread's connections to upstream.
struct Pool {
    upstream: SocketAddr,
    kept: Mutex<Vec<SendRequest<Incoming>>>,
}

/// Runs as many threads as there are cores.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads: Vec<_> =
        (0..cores).map(|_| std::thread::spawn(move || worker(listen, upstream))).collect();
    for thread in threads {
        let ended = thread.join();
        ended.unwrap_or_else(|_panic| Err(anyhow::anyhow!("a worker panicked")))?;
    }
    Ok(())
}

fn worker(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listener(listen).context("the hyper proxy can't listen")?;
        let pool = Arc::new(Pool { upstream, kept: Mutex::default() });
        loop {
            let (stream, _address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let pool = Arc::clone(&pool);
            let service = service_fn(move |request| forward(Arc::clone(&pool), request));
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How a connection ends is of no interest: who called sees it too.
            tokio::spawn(async move { drop(serving.await) });
        }
    })
}

fn listener(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn forward(
    pool: Arc<Pool>,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    let mut sender = match pool.ready() {
        Some(sender) => sender,
        None => connect(pool.upstream).await?,
    };
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err("upstream switched protocols".into());
    }
    response.headers_mut().remove(http::header::CONNECTION);
    pool.kept.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    Ok(response)
}

impl Pool {
    /// A connection whose last answer was read whole, the one used last first.
    fn ready(&self) -> Option<SendRequest<Incoming>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = kept.iter().rposition(SendRequest::is_ready)?;
        Some(kept.swap_remove(ready))
    }
}

async fn connect(upstream: SocketAddr) -> Result<SendRequest<Incoming>, Error> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
