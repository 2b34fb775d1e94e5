//! The program itself, as an operator runs it: started, signalled, killed, asked.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Call, POLICY, call, eventually};

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
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// A command of the program on this folder's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changegate"));
        command.args(arguments).arg("--config").arg(self.path().join("changegate.toml"));
        command
    }

    /// Starts the gateway and waits until it serves.
    pub(crate) async fn serve(&self) -> Program {
        let mut child = self.command(&["serve"]).stderr(Stdio::piped()).spawn().unwrap();
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

    /// Whether the program has said this.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
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
