//! The program itself, as an operator runs it: started, signalled, killed, asked.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::disk::Disk;
use super::{Call, POLICY, call, eventually, write, write_key};

/// A folder with a configuration in it.
pub(crate) struct Folder(pub(crate) TempDir);

/// A running `changegate serve`; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Folder {
    /// A configuration for this upstream; `more` is added to it.
    pub(crate) fn new(upstream: SocketAddr, more: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            "changegate.toml",
            &format!(
                "listen.proxy = '127.0.0.1:0'\nlisten.admin = '127.0.0.1:0'\n\
                 upstream.provider = 'qoder-cn'\nupstream.url = 'http://{upstream}'\n\
                 policy.file = 'policy.toml'\naudit.database = 'sqlite://log.db'\n\
                 audit.key_file = 'key'\nrate_limit.enabled = false\n{more}"
            ),
        );
        folder.write("policy.toml", POLICY);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.path().join(name), text);
    }

    /// Has the log lie in PostgreSQL, under a key of the tests.
    pub(crate) fn keep_log_at(&self, url: &str) {
        let text = std::fs::read_to_string(self.path().join("changegate.toml")).unwrap();
        self.write("changegate.toml", &text.replace("sqlite://log.db", url));
        write_key(&self.path().join("key"));
    }

    /// A command of the program on this folder's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changegate"));
        command.args(arguments).arg("--config").arg(self.path().join("changegate.toml"));
        // What these tests are told is none of the program's.
        for name in ["SEED", "ROUNDS", "RECORDS"] {
            command.env_remove(format!("CHANGEGATE_{name}"));
        }
        command
    }

    /// Starts the gateway and waits until it serves.
    pub(crate) async fn serve(&self) -> Program {
        self.serve_as(self.command(&["serve"])).await
    }

    /// The same, on a disk that may fail.
    pub(crate) async fn serve_on(&self, disk: Option<&Disk>) -> Program {
        let mut command = self.command(&["serve"]);
        if let Some(disk) = disk {
            disk.put_under(&mut command);
        }
        self.serve_as(command).await
    }

    /// The same, by another command that leads to it.
    pub(crate) async fn serve_as(&self, mut command: Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let serving = eventually("serving", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {:?}", log.lock().unwrap());
            }
            let lines = log.lock().unwrap();
            let mut lines =
                lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "serving")
        });
        let serving = serving.await;
        let address = |key: &str| serving[key].as_str().unwrap().parse().unwrap();
        Program { proxy: address("proxy"), admin: address("admin"), child, log }
    }

    /// Starts the gateway with a standard error on which nobody hears it, at addresses that are
    /// free now; waits until it serves.
    pub(crate) async fn serve_unheard(&self, mut command: Command) -> Program {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (proxy, admin) = (free(), free());
        command.env("CHANGEGATE_LISTEN__PROXY", proxy.to_string());
        command.env("CHANGEGATE_LISTEN__ADMIN", admin.to_string());
        let mut child = command.spawn().unwrap();
        eventually("serving", async || {
            assert_eq!(child.try_wait().unwrap(), None);
            TcpStream::connect(admin).ok()
        })
        .await;
        Program { proxy, admin, child, log: Arc::default() }
    }

    /// The changes in the log, newest first; `full` adds bodies and differences.
    pub(crate) fn changes(&self, full: bool) -> Vec<Value> {
        let mut list = self.command(&["audit", "list", "--json", "--all"]);
        let list = list.args(full.then_some("--full")).output().unwrap();
        assert!(list.status.success(), "{list:?}");
        let text = String::from_utf8(list.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks a copy of the log, so that it is the gateway that has to recover the file itself.
    pub(crate) async fn check_file(&self) {
        let copy = tempfile::tempdir().unwrap();
        let there = |name: &&&str| self.path().join(name).exists();
        for name in ["log.db", "log.db-wal"].iter().filter(there) {
            std::fs::copy(self.path().join(name), copy.path().join(name)).unwrap();
        }
        let options = SqliteConnectOptions::new().filename(copy.path().join("log.db"));
        let mut connection = options.connect().await.unwrap();
        let check = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection);
        let verdict: String = check.await.unwrap();
        assert_eq!(verdict, "ok");
    }
}

impl Program {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        eventually("the program's end", async || self.child.try_wait().unwrap()).await
    }

    /// Ends the program as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until every change has its end, and no other has begun for a moment: a call whose
    /// client has gone may not be on record yet.
    pub(crate) async fn settle_down(&self) {
        let newest = async || self.ask("/api/v1/changes?limit=1").await["data"][0]["id"].clone();
        eventually("the end of every change", async || {
            let former = newest().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let pending = self.ask("/api/v1/changes?outcome=pending&limit=1").await;
            let none = pending["data"].as_array().unwrap().is_empty();
            (none && newest().await == former).then_some(())
        })
        .await;
    }

    /// The last that the program has said.
    pub(crate) fn said(&self) -> String {
        let log = self.log.lock().unwrap();
        log[log.len().saturating_sub(400)..].join("\n")
    }

    /// How many lines of the program hold this.
    pub(crate) fn said_times(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Everything that the program has said: each line is an object.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        self.log.lock().unwrap().iter().map(read).collect()
    }

    /// The first line with this message.
    pub(crate) fn line(&self, message: &str) -> Option<Value> {
        self.lines().into_iter().find(|line| line["message"] == message)
    }

    /// Whether the program has said this.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Waits until the program says this.
    pub(crate) async fn says(&self, text: &str) {
        eventually(text, async || self.has_said(text).then_some(())).await;
    }

    /// An answer of the admin API.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        call(self.admin, Call::get(path)).await.json()
    }

    /// Events of a kind, newest first, once there are so many.
    pub(crate) async fn events(&self, kind: &str, count: usize) -> Vec<Value> {
        eventually(kind, async || {
            let page = self.ask("/api/v1/events?limit=1000").await;
            let mut events = page["data"].as_array().unwrap().clone();
            events.retain(|event| event["kind"] == kind);
            (events.len() >= count).then_some(events)
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only where the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
