//! `PgBouncer` in transaction mode, before the server of the tests.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::server::OWNER;
use crate::postgres::server::shared::{RunAs, drop_privileges, run_as};

/// The word to those who have none.
const LEFT_OUT: &str = "PgBouncer tests left out: no pgbouncer in PATH or /usr/sbin";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pooler. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pooler {
    pub(crate) port: u16,
    server: Child,
    _folder: TempDir,
}

impl Pooler {
    /// One that has fewer connections to the server in this folder than it takes. `None` where
    /// there is none, which is said.
    pub(crate) fn before(socket: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let mut programs = folders.map(|folder| folder.join("pgbouncer"));
        let Some(program) = programs.find(|program| program.is_file()) else {
            // Past libtest, which keeps what passing tests print.
            drop(writeln!(io::stderr(), "{LEFT_OUT}"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (users, settings) = (folder.path().join("users"), folder.path().join("settings"));
        std::fs::write(&users, "\"changegate\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={}\n[pgbouncer]\npool_mode = transaction\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
             auth_file = {}\ndefault_pool_size = 4\n",
            socket.display(),
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        let run_as = run_as(OWNER);
        if let Some(RunAs { uid, gid }) = run_as {
            for path in [folder.path(), &users, &settings] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        let mut command = Command::new(program);
        drop_privileges(&mut command, run_as);
        command.arg(&settings).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let pooler = Self { port, server: command.spawn().unwrap(), _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not start");
            sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.server.kill();
        let _waited = self.server.wait();
    }
}
