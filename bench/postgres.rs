//! A throw-away PostgreSQL: its files on the disk that is measured, its socket beside them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::child::Child;
use super::load::now;

/// The user that the server belongs to, as the packages name it: none of its programs runs as root.
const OWNER: &str = "postgres";

/// How long a server may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    _child: Child,
}

impl Postgres {
    /// Starts one with its files in `folder`; `None` where the machine has no PostgreSQL.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        let own = folder.join("pg");
        let mut made = Command::new("install");
        made.args(["-d", "-m", "700"]);
        if is_root()? {
            made.args(["-o", OWNER]);
        }
        done(made.arg(&own))?;
        let data = own.join("data");
        let mut made = as_owner(&programs.join("initdb"))?;
        done(made.args(["-A", "trust", "--no-locale", "-E", "UTF8", "-U", OWNER]).arg(&data))?;
        let mut server = as_owner(&programs.join("postgres"))?;
        server.arg("-D").arg(&data).arg("-k").arg(&own);
        for setting in ["listen_addresses=", "log_line_prefix=%d|", "max_wal_size=4GB"] {
            server.args(["-c", setting]);
        }
        let child = Child::start(server, "postgres", folder)?;
        let log = folder.join("postgres.log");
        let postgres = Self { programs, folder: own, log, _child: child };
        let deadline = now() + START_WITHIN;
        while postgres.sql("postgres", "SELECT 1").is_err() {
            ensure!(now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(postgres))
    }

    /// The URL of a new database.
    pub(crate) fn database(&self, name: &str) -> anyhow::Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(name))
    }

    /// The URL of a database.
    pub(crate) fn url(&self, name: &str) -> String {
        let socket = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{OWNER}@{socket}/{name}")
    }

    /// The rows that these statements print, one a line.
    pub(crate) fn sql(&self, database: &str, text: &str) -> anyhow::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
        Ok(done(psql.arg(self.url(database)))?.trim_end().to_owned())
    }

    /// How many seconds `pgbench` takes for a script, which it runs once, on one connection.
    pub(crate) fn pgbench(&self, database: &str, script: &Path) -> anyhow::Result<f64> {
        let mut pgbench = Command::new(self.programs.join("pgbench"));
        pgbench.args(["-n", "-c", "1", "-t", "1", "-M", "simple", "-f"]).arg(script);
        let told = done(pgbench.arg(self.url(database)))?;
        ensure!(told.contains("processed: 1/1"), "pgbench did not come to the end: {told}");
        let latency = told.lines().find_map(|line| line.strip_prefix("latency average = "));
        let millis = latency.and_then(|text| text.strip_suffix(" ms")?.parse::<f64>().ok());
        Ok(millis.context("pgbench tells no latency")? / 1e3)
    }

    /// The statements that a database was sent since `log_statement` has them logged, in the order
    /// in which they began.
    pub(crate) fn statements(&self, database: &str) -> anyhow::Result<Vec<String>> {
        let log = std::fs::read_to_string(&self.log).context("the server's log can't be read")?;
        let own = format!("{database}|LOG:  statement: ");
        let mut found: Vec<String> = Vec::new();
        let mut is_own = false;
        for line in log.lines() {
            match (line.strip_prefix(&own), line.strip_prefix('\t')) {
                (Some(begin), _) => {
                    found.push(begin.to_owned());
                    is_own = true;
                }
                (None, Some(more)) if is_own => {
                    if let Some(begun) = found.last_mut() {
                        begun.push('\n');
                        begun.push_str(more);
                    }
                }
                (None, Some(_others)) => {}
                (None, None) => is_own = false,
            }
        }
        Ok(found)
    }
}

/// The folder of the server's programs: PATH's, or Debian's newest.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let mut folders = std::env::split_paths(&path).chain(versions.into_iter().rev());
    folders.find(|folder| folder.join("initdb").is_file() && folder.join("pgbench").is_file())
}

fn is_root() -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// A command that runs as the server's user where this process is root, and ends with it.
fn as_owner(program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("setpriv");
    if is_root()? {
        command.args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups", "setpriv"]);
    }
    command.args(["--pdeathsig", "INT"]).arg(program).current_dir("/");
    Ok(command)
}

/// The text that a command prints, once it has done its work.
fn done(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("can't start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
