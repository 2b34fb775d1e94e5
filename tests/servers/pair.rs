//! A PostgreSQL server of a test's own, and a standby that takes its place: both can be killed.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::postgres::server::shared::{RunAs, drop_privileges, run_as};
use crate::postgres::server::{OWNER, program};

/// How long a server may take to start, to follow, and to be promoted.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server on a socket file. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OwnServer {
    bin: PathBuf,
    data: PathBuf,
    run_as: Option<RunAs>,
    server: Option<Child>,
}

/// A primary, and a standby that each commit waits for, or none does.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) primary: OwnServer,
    pub(crate) standby: OwnServer,
    _folder: TempDir,
}

impl Pair {
    /// `None` without a PostgreSQL; another one has said so.
    pub(crate) fn start() -> Option<Self> {
        let pair = Self::start_apart()?;
        pair.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        pair.primary.sql("SELECT pg_reload_conf()");
        pair.primary.wait("SELECT sync_state FROM pg_stat_replication", "sync");
        Some(pair)
    }

    /// The same, of which no commit waits for the standby.
    pub(crate) fn start_apart() -> Option<Self> {
        let initdb = program("initdb").and_then(|path| path.canonicalize().ok())?;
        let (bin, run_as) = (initdb.parent()?.to_owned(), run_as(OWNER));
        let folder = tempfile::tempdir().unwrap();
        if let Some(RunAs { uid, gid }) = run_as {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let server = |name: &str| OwnServer {
            bin: bin.clone(),
            data: folder.path().join(name),
            run_as,
            server: None,
        };
        let (mut primary, mut standby) = (server("p"), server("s"));
        let made = ["-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8", "-U", OWNER, "-D"];
        primary.carry_out(primary.command("initdb").args(made).arg(&primary.data));
        primary.start();
        let copied = ["-U", OWNER, "-c", "fast", "-R", "-X", "stream", "--no-sync", "-h"];
        let mut copy = primary.command("pg_basebackup");
        primary.carry_out(copy.args(copied).arg(&primary.data).arg("-D").arg(&standby.data));
        // It says that the primary has the socket.
        std::fs::remove_file(standby.data.join(".s.PGSQL.5432.lock")).unwrap();
        std::fs::set_permissions(&standby.data, Permissions::from_mode(0o700)).unwrap();
        standby.start();
        primary.wait("SELECT state FROM pg_stat_replication", "streaming");
        Some(Self { primary, standby, _folder: folder })
    }
}

impl OwnServer {
    /// The socket file.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join(".s.PGSQL.5432")
    }

    /// The URL of its one database, as its owner.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://{OWNER}@{}/postgres",
            self.data.display().to_string().replace('/', "%2F")
        )
    }

    /// The output of `psql` for a statement.
    pub(crate) fn sql(&self, text: &str) -> String {
        let done = self.try_sql(text).unwrap();
        assert!(done.status.success(), "{text}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// Ends it as a crash does, and starts it again.
    pub(crate) fn restart(&mut self) {
        let mut server = self.server.take().unwrap();
        kill_process(Pid::from_child(&server), Signal::QUIT).unwrap();
        server.wait().unwrap();
        self.start();
    }

    /// Ends it, and all that it has started, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let children = format!("/proc/{0}/task/{0}/children", server.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        server.kill().unwrap();
        let pids = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        for pid in pids {
            // It may have gone by itself.
            let _gone = kill_process(pid, Signal::KILL);
        }
        server.wait().unwrap();
    }

    /// Has a standby hear of nothing more, once a statement has this answer there.
    pub(crate) fn leave_behind(&self, text: &str, answer: &str) {
        self.wait(text, answer);
        self.sql("ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("SELECT pg_reload_conf()");
        self.wait("SELECT count(*) FROM pg_stat_wal_receiver", "0");
    }

    /// Has a standby take records, now that there is no other.
    pub(crate) fn promote(&self) {
        self.sql("SELECT pg_promote()");
        self.wait("SELECT pg_is_in_recovery()", "f");
    }

    fn start(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.data);
        for setting in ["listen_addresses=", "shared_buffers=32MB", "wal_sender_timeout=5s"] {
            command.args(["-c", setting]);
        }
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        self.wait("SELECT 1", "1");
    }

    /// Waits until a statement has this answer.
    fn wait(&self, text: &str, answer: &str) {
        let deadline = Instant::now() + PATIENCE;
        let has_come = || {
            let done = self.try_sql(text).unwrap();
            done.status.success() && done.stdout.trim_ascii() == answer.as_bytes()
        };
        while !has_come() {
            assert!(Instant::now() < deadline, "{text} is never {answer}");
            sleep(Duration::from_millis(20));
        }
    }

    fn try_sql(&self, text: &str) -> io::Result<Output> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-h"]);
        psql.arg(&self.data).args(["-c", text, "postgres"]).output()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(&self.bin).join(name));
        drop_privileges(&mut command, self.run_as);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    fn carry_out(&self, command: &mut Command) {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}: {done:?}", self.data.display());
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}
