//! Redis for tests: a throw-away server for each, on a socket file or on ports of this machine.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The word to those who have none.
const LEFT_OUT: &str = "Redis tests left out: no redis-server or valkey-server in PATH";

/// A server without data of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct TestRedis {
    folder: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    server: Child,
    /// The port, where there is one.
    port: u16,
}

impl TestRedis {
    /// One on a socket file. `None` where there is none, which is said.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[], |_| ())
    }

    /// The same, with these arguments, in which `PORT` is a free port, and what `prepare` writes
    /// into its folder.
    pub(crate) fn with(more: &[&str], prepare: impl FnOnce(&TempDir)) -> Option<Self> {
        let Some(program) = program() else {
            // Past libtest, which keeps what passing tests print.
            drop(writeln!(io::stderr(), "{LEFT_OUT}"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        prepare(&folder);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = ["--save", "", "--appendonly", "no", "--unixsocket", "s", "--port"];
        let mut arguments: Vec<String> = base.map(str::to_owned).into();
        match more.iter().position(|argument| *argument == "--port") {
            Some(_) => drop(arguments.pop()),
            None => arguments.push("0".to_owned()),
        }
        arguments.extend(more.iter().map(|argument| argument.replace("PORT", &free.to_string())));
        let server = run(&program, &arguments, &folder);
        let redis = Self { folder, program, arguments, server, port: free };
        redis.wait();
        Some(redis)
    }

    /// The URL by its socket file.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The port that stood for `PORT`.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The lines of the answer to a command, in which no word has spaces.
    pub(crate) fn ask(&self, command: &str) -> Vec<String> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        write!(stream, "{command}\r\nQUIT\r\n").unwrap();
        let mut lines: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
        assert_eq!(lines.pop().as_deref(), Some("+OK"), "{lines:?}");
        lines
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server), signal).unwrap();
    }

    /// Ends it as the kernel would, for want of memory.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again, empty, where it was.
    pub(crate) fn start_again(&mut self) {
        self.server = run(&self.program, &self.arguments, &self.folder);
        self.wait();
    }

    fn wait(&self) {
        let begun = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            assert!(begun.elapsed() < Duration::from_secs(10), "{log:?}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Three servers that are a cluster, each on a port of its own.
pub(crate) fn cluster() -> Option<Vec<TestRedis>> {
    let arguments = ["--port", "PORT", "--cluster-enabled", "yes", "--cluster-node-timeout", "500"];
    // A cluster's own port is the other plus 10,000, unless it is said.
    let bus: Vec<u16> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .collect();
    let start = |bus: &u16| {
        let bus = bus.to_string();
        TestRedis::with(&[&arguments[..], &["--cluster-port", &bus]].concat(), |_| ())
    };
    let servers = bus.iter().map(start).collect::<Option<Vec<_>>>()?;
    for (n, server) in servers.iter().enumerate() {
        let slots = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)][n];
        server.ask(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1));
        let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", servers[0].port, bus[0]);
        server.ask(&meet);
    }
    let begun = Instant::now();
    let is_whole = |server: &TestRedis| {
        server.ask("CLUSTER INFO").iter().any(|line| line == "cluster_state:ok")
    };
    while !servers.iter().all(is_whole) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", servers[0].ask("CLUSTER INFO"));
        sleep(Duration::from_millis(20));
    }
    Some(servers)
}

/// Whether a server takes connections at this port.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn run(program: &PathBuf, arguments: &[String], folder: &TempDir) -> Child {
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn().unwrap()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["redis-server", "valkey-server"];
    let mut programs = names.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    programs.find(|program| program.is_file())
}
