//! The reverse proxies that stand side by side, each before the same upstream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Child, command};
use super::gateway::Setup;
use super::machine::{OTHER_CORE, PROXY_CORE, free_address};
use super::measure::serve;
use super::tool::tool;

/// How long a proxy may take to be ready; under valgrind everything is slow.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Splice,
    Nginx,
    Haproxy,
    Hyper,
    Changegate,
    /// With other writes recorded.
    Recording,
    /// With limits shared in a Redis.
    Sharing,
}

/// The protocol that clients speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Http1,
    Http2,
    Tls,
}

/// Where proxies are started.
#[derive(Clone, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) upstream: SocketAddr,
    /// The gateway's program.
    pub(crate) program: &'a Path,
    pub(crate) core: usize,
    /// Certificate and key; the two in one file are `both.pem` beside them.
    pub(crate) pair: Option<(PathBuf, PathBuf)>,
    /// The command that a proxy runs under, such as valgrind with its arguments.
    pub(crate) under: Vec<String>,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    /// The server that it needs beside it.
    _beside: Option<Child>,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Splice => "splice floor",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Hyper => "bare hyper",
            Self::Changegate => "changegate",
            Self::Recording => "changegate, other writes recorded",
            Self::Sharing => "changegate, limits shared in Redis",
        }
    }
}

impl<'a> Stage<'a> {
    /// Where proxies run as they are, in clear.
    pub(crate) fn new(folder: &'a Path, upstream: SocketAddr, program: &'a Path) -> Self {
        Self { folder, upstream, program, core: PROXY_CORE, pair: None, under: Vec::new() }
    }

    /// Starts a proxy; none where it is not installed, which a line then says.
    pub(crate) fn start(&self, kind: Kind, front: Front) -> anyhow::Result<Option<Rival>> {
        let folder = self.folder.join(format!("{kind:?}-{front:?}"));
        std::fs::create_dir_all(&folder)?;
        let mut beside = None;
        let (address, mut child) = match kind {
            Kind::Splice => self.own("splice", &folder)?,
            Kind::Hyper => self.own("hyper-proxy", &folder)?,
            Kind::Changegate => self.gateway("off", None, front, &folder)?,
            Kind::Recording => self.gateway("metadata", None, front, &folder)?,
            Kind::Sharing => {
                let Some(program) = tool("redis-server") else { return Ok(None) };
                let (redis, child) = redis(&program, &folder)?;
                beside = Some(child);
                self.gateway("off", Some(redis), front, &folder)?
            }
            Kind::Nginx => {
                let Some(program) = tool("nginx") else { return Ok(None) };
                self.nginx(&program, front, &folder)?
            }
            Kind::Haproxy => {
                let Some(program) = tool("haproxy") else { return Ok(None) };
                self.haproxy(&program, front, &folder)?
            }
        };
        child.ready(address, READY_WITHIN)?;
        Ok(Some(Rival { kind, address, child, _beside: beside }))
    }

    /// A proxy of this program's own.
    fn own(&self, name: &str, folder: &Path) -> anyhow::Result<(SocketAddr, Child)> {
        let upstream = format!("--upstream={}", self.upstream);
        if self.under.is_empty() {
            let server = serve(Some(self.core), &[name, &upstream], folder)?;
            return Ok((server.address, server.child));
        }
        let address = free_address()?;
        let mut command = self.command(&std::env::current_exe()?);
        command.args([name, &format!("--listen={address}"), &upstream]);
        Ok((address, Child::start(command, name, folder)?))
    }

    fn gateway(
        &self,
        other_writes: &'static str,
        limits_at: Option<SocketAddr>,
        front: Front,
        folder: &Path,
    ) -> anyhow::Result<(SocketAddr, Child)> {
        let setup = Setup {
            core: Some(self.core),
            other_writes,
            limits_at,
            tls: self.pair.clone().filter(|_pair| front == Front::Tls),
            under: self.under.clone(),
            ..Setup::new(self.program, self.upstream)
        };
        let gateway = setup.start(folder)?;
        Ok((gateway.proxy, gateway.child))
    }

    fn nginx(
        &self,
        program: &Path,
        front: Front,
        folder: &Path,
    ) -> anyhow::Result<(SocketAddr, Child)> {
        let address = free_address()?;
        let listen = match front {
            Front::Http1 => address.to_string(),
            Front::Http2 => format!("{address} http2"),
            Front::Tls => format!("{address} ssl"),
        };
        let pair = self.pair.as_ref().filter(|_pair| front == Front::Tls);
        let pair = pair.map_or_else(String::new, |(cert, key)| {
            let (cert, key) = (cert.display(), key.display());
            format!("ssl_certificate {cert}; ssl_certificate_key {key};")
        });
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};"))
            .join(" ");
        // Counting instructions is done in the one process that valgrind starts.
        let master = if self.under.is_empty() { "" } else { "master_process off;" };
        let config = format!(
            "daemon off; {master} worker_processes 1; worker_rlimit_nofile 19000; pid nginx.pid;\n\
             error_log stderr error; events {{ worker_connections 18000; }}\n\
             http {{ access_log off; {temporary} keepalive_timeout 600s;\n\
             keepalive_requests 1000000000;\n\
             upstream behind {{ server {}; keepalive 256; keepalive_requests 1000000000; }}\n\
             server {{ listen {listen}; {pair} location / {{ proxy_pass http://behind;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
            self.upstream
        );
        std::fs::write(folder.join("nginx.conf"), config)?;
        let mut command = self.command(program);
        command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(folder);
        Ok((address, Child::start(command, "nginx", folder)?))
    }

    fn haproxy(
        &self,
        program: &Path,
        front: Front,
        folder: &Path,
    ) -> anyhow::Result<(SocketAddr, Child)> {
        let address = free_address()?;
        let bind = match (front, &self.pair) {
            (Front::Http1, _) | (Front::Tls, None) => String::new(),
            (Front::Http2, _) => "proto h2".to_owned(),
            (Front::Tls, Some((cert, _key))) => {
                format!("ssl crt {}", cert.with_file_name("both.pem").display())
            }
        };
        let config = format!(
            "global\n    nbthread 1\n    maxconn 12000\n    no strict-limits\n\
             defaults\n    mode http\n    http-reuse always\n    timeout connect 5s\n    \
             timeout client 600s\n    timeout server 60s\n\
             frontend front\n    bind {address} {bind}\n    default_backend behind\n\
             backend behind\n    server behind {}\n",
            self.upstream
        );
        std::fs::write(folder.join("haproxy.cfg"), config)?;
        let mut command = self.command(program);
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        Ok((address, Child::start(command, "haproxy", folder)?))
    }

    fn command(&self, program: &Path) -> std::process::Command {
        match self.under.split_first() {
            None => command(Some(self.core), program),
            Some((first, rest)) => {
                let mut command = command(Some(self.core), first);
                command.args(rest).arg(program);
                command
            }
        }
    }
}

/// A Redis without data, on the core of the rest.
fn redis(program: &Path, folder: &Path) -> anyhow::Result<(SocketAddr, Child)> {
    let address = free_address()?;
    let mut command = command(Some(OTHER_CORE), program);
    command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir"]).arg(folder);
    command.args(["--port", &address.port().to_string()]);
    let mut child = Child::start(command, "redis-server", folder)?;
    child.ready(address, READY_WITHIN)?;
    Ok((address, child))
}
