//! The gateway itself: built, configured, started.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::child::{Child, command};
use super::http1;
use super::machine::free_address;

/// Rules as an installation has them.
const POLICY: &str = "[timezones]\nallowed = [\"Asia/Shanghai\", \"UTC\"]\n\n[metadata]\n\
    forbidden_keys = [\"owner_override\", \"secret_*\"]\n\
    protected_keys = [\"cas_config.config.max_concurrent\"]\n";

/// A budget that is drawn on like any other, and that nobody reaches.
const UNREACHED: u32 = 1_000_000_000;

/// The setup of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    pub(crate) upstream: SocketAddr,
    /// On one core, where one is named.
    pub(crate) core: Option<usize>,
    /// Every token's budgets, where there are any: calls per second, and at once.
    pub(crate) budget: Option<[u32; 2]>,
    /// The Redis that limits are shared in, if any.
    pub(crate) limits_at: Option<SocketAddr>,
    /// `audit.other_writes`.
    pub(crate) other_writes: &'static str,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// The log; one in the folder where none is named.
    pub(crate) database: Option<PathBuf>,
    /// The log that it shares with others, in place of a file.
    pub(crate) shared: Option<SharedLog>,
    /// The command it runs under, such as valgrind with its arguments.
    pub(crate) under: Vec<String>,
}

/// A log in PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct SharedLog {
    pub(crate) url: String,
    /// The name of the gateway among those that share it.
    pub(crate) node: String,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// The release build of the gateway: what is named, or one that is built now.
pub(crate) fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return std::path::absolute(named).context("--changegate names no file");
    }
    let Some(cargo) = std::env::var_os("CARGO") else {
        bail!("start this by `cargo run --release --bin bench`, or name a --changegate");
    };
    let arguments = ["build", "--release", "--bin", "changegate"];
    let built = Command::new(cargo).args(arguments).status().context("cargo can't be started")?;
    ensure!(built.success(), "the gateway does not build");
    // They lie side by side, where this is a release build itself.
    let own = std::env::current_exe().context("this program's file is not known")?;
    let beside = own.with_file_name("changegate");
    let target = own.ancestors().nth(2).map(|target| target.join("release/changegate"));
    let program = target.filter(|program| program.exists()).unwrap_or(beside);
    ensure!(program.exists(), "{} is missing: name a --changegate", program.display());
    Ok(program)
}

impl Setup {
    pub(crate) fn new(program: &Path, upstream: SocketAddr) -> Self {
        Self {
            program: program.to_owned(),
            upstream,
            core: None,
            budget: Some([UNREACHED; 2]),
            limits_at: None,
            other_writes: "off",
            tls: None,
            database: None,
            shared: None,
            under: Vec::new(),
        }
    }

    /// Starts it with its files in `folder`, and waits until it is ready.
    pub(crate) fn start(&self, folder: &Path) -> anyhow::Result<Gateway> {
        let mut gateway = self.spawn(folder)?;
        gateway.ready(Duration::from_mins(2))?;
        Ok(gateway)
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&self, folder: &Path) -> anyhow::Result<Gateway> {
        let (proxy, admin) = (free_address()?, free_address()?);
        let database = self.database.clone().unwrap_or_else(|| folder.join("log.db"));
        std::fs::write(folder.join("policy.toml"), POLICY)?;
        let config = folder.join("changegate.toml");
        std::fs::write(&config, self.config(proxy, admin, &database))?;
        let mut words = self.under.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
        words.push(self.program.clone().into());
        let (first, rest) = words.split_first().context("no program is named")?;
        let mut command = command(self.core, first);
        command.args(rest).args(["serve", "--config"]).arg(&config);
        let child = Child::start(command, "changegate", folder)?;
        Ok(Gateway { child, proxy, admin })
    }

    fn config(&self, proxy: SocketAddr, admin: SocketAddr, database: &Path) -> String {
        let [per_second, burst] = self.budget.unwrap_or([UNREACHED; 2]);
        let budget = format!("{{ per_second = {per_second}, burst = {burst} }}");
        let backend = self
            .limits_at
            .map_or_else(String::new, |address| format!("backend = 'redis://{address}'\n"));
        let key = database.with_file_name("key");
        let (log, node) = self.shared.as_ref().map_or_else(
            || (format!("sqlite://{}", database.display()), String::new()),
            |shared| (shared.url.clone(), format!("[node]\nname = '{}'\n\n", shared.node)),
        );
        let tls = self.tls.as_ref().map_or_else(String::new, |(cert, key)| {
            format!("tls.cert = '{}'\ntls.key = '{}'\n", cert.display(), key.display())
        });
        format!(
            "[listen]\nproxy = '{proxy}'\nadmin = '{admin}'\n{tls}\n\
             [upstream]\nprovider = 'qoder-cn'\nurl = 'http://{}'\n\n\
             [policy]\nfile = 'policy.toml'\n\n\
             [rate_limit]\nenabled = {}\n{backend}read = {budget}\nwrite = {budget}\n\n\
             [audit]\ndatabase = '{log}'\nkey_file = '{}'\nother_writes = '{}'\n\n{node}\
             [limits]\nconnections = 15000\nidle_timeout = '10m'\n",
            self.upstream,
            self.budget.is_some(),
            key.display(),
            self.other_writes,
        )
    }
}

impl Gateway {
    /// Waits until it says that it is ready.
    pub(crate) fn ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.child.ready(self.admin, patience)?;
        let (status, _body) = Client::new(self.admin)?.ask("/readyz")?;
        ensure!(status == 200, "the gateway is not ready: {status}");
        Ok(())
    }
}

/// A client of the admin API or the proxy, on one connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("the gateway takes no connection")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// The status and body of the answer to a `GET`.
    pub(crate) fn ask(&mut self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.call(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    }

    /// The status and body of the answer to a `POST`.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let length = body.len();
        self.call(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer pt-bench\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn call(&mut self, request: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request.as_bytes())?;
        self.received.clear();
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = self.stream.read(&mut piece)?;
            ensure!(read > 0, "the gateway closed the connection");
            self.received.extend_from_slice(piece.get(..read).unwrap_or_default());
            if let Some(extent) = http1::extent(&self.received) {
                let body = http1::body(&self.received, extent);
                return Ok((http1::status(&self.received), body));
            }
        }
    }
}
