//! PostgreSQL for tests: a throw-away server that they share, and a database for each.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "shared.rs"]
pub(crate) mod shared;

use self::shared::{SharedServer, drop_privileges, run_as};

/// Names a server to use, such as `postgres://postgres@localhost`: databases are made and dropped
/// there.
const SERVER: &str = "CHANGEGATE_TEST_POSTGRES";

/// The user that owns the throw-away server.
pub(crate) const OWNER: &str = "postgres";

/// The word to those who have none.
const LEFT_OUT: &str = "PostgreSQL tests left out: no initdb in PATH or /usr/lib/postgresql/*/bin";

/// Where the programs are, and the server that runs. `None` where there is none.
static SERVER_IN_USE: OnceLock<Option<Server>> = OnceLock::new();

#[derive(Debug)]
struct Server {
    psql: PathBuf,
    /// The URL up to the name of a database, and what follows it.
    url: (String, String),
    _shared: Option<SharedServer>,
}

/// An empty database. Dropping it drops the database.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    server: &'static Server,
    name: String,
}

impl TestDatabase {
    /// A new one. `None` where there is no PostgreSQL, which is said once.
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER_IN_USE.get_or_init(Server::find).as_ref()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("changegate_{}_{count}", std::process::id());
        server.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Some(Self { server, name })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// What `psql` prints for these statements, a row a line and `|` between columns.
    pub(crate) fn sql(&self, text: &str) -> String {
        self.server.sql(&self.name, text)
    }

    /// The same, or what the server says.
    pub(crate) fn try_sql(&self, text: &str) -> Result<String, String> {
        self.server.try_sql(&self.name, text)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let dropped = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        drop(self.server.try_sql("postgres", &dropped));
    }
}

impl Server {
    fn find() -> Option<Self> {
        if let Ok(url) = std::env::var(SERVER) {
            let (base, query) = url.split_once('?').map_or((&*url, None), |(a, b)| (a, Some(b)));
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let url = (base.trim_end_matches('/').to_owned() + "/", query);
            return Some(Self { psql: program("psql")?, url, _shared: None });
        }
        let Some(initdb) = program("initdb").and_then(|path| path.canonicalize().ok()) else {
            // Past libtest, which keeps what passing tests print.
            let mut told = io::stderr();
            drop(writeln!(told, "{LEFT_OUT}"));
            return None;
        };
        match Self::start(&initdb) {
            Ok(server) => Some(server),
            Err(error) => panic!("PostgreSQL for tests: {error}"),
        }
    }

    fn start(initdb: &Path) -> io::Result<Self> {
        let (psql, run_as) = (initdb.with_file_name("psql"), run_as(OWNER));
        let prepare = |data: &Path| {
            let mut command = Command::new(initdb);
            command.args(["-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8", "-U", OWNER]);
            command.arg("-D").arg(data).stdin(Stdio::null()).current_dir("/");
            drop_privileges(&mut command, run_as);
            let made = command.output()?;
            if !made.status.success() {
                return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
            }
            let mut server = Command::new(initdb.with_file_name("postgres"));
            server.arg("-D").arg(data).arg("-k").arg(data).args(["-c", "listen_addresses="]);
            for setting in ["max_connections=400", "shared_buffers=64MB", "max_wal_size=256MB"] {
                server.args(["-c", setting]);
            }
            Ok(server)
        };
        let answers = |data: &Path| {
            data.join("postmaster.pid").exists() && Self::at(psql.clone(), data).is_up()
        };
        let shared = SharedServer::running("pg", run_as, prepare, answers)?;
        let data = shared.folder.join("data");
        Ok(Self { _shared: Some(shared), ..Self::at(psql, &data) })
    }

    /// The server whose socket lies in this folder.
    fn at(psql: PathBuf, socket: &Path) -> Self {
        let folder = socket.display().to_string().replace('/', "%2F");
        Self { psql, url: (format!("postgres://{OWNER}@{folder}/"), String::new()), _shared: None }
    }

    fn url(&self, database: &str) -> String {
        format!("{}{database}{}", self.url.0, self.url.1)
    }

    fn is_up(&self) -> bool {
        self.try_sql("postgres", "SELECT 1").is_ok()
    }

    fn sql(&self, database: &str, text: &str) -> String {
        self.try_sql(database, text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn try_sql(&self, database: &str, text: &str) -> Result<String, String> {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
        let done = psql.arg(self.url(database)).stdin(Stdio::null()).output();
        let done = done.map_err(|error| error.to_string())?;
        let [out, error] = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap());
        if done.status.success() { Ok(out.trim_end().to_owned()) } else { Err(error) }
    }
}

/// A program of PostgreSQL, from PATH or where Debian puts it; the newest version's.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let number = |path: &PathBuf| {
        let version = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    };
    versions.sort_by_key(number);
    folders.extend(versions.into_iter().rev());
    let mut programs = folders.into_iter().map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}
