//! The stage of the demo: a simulator, a gateway, and files in a temporary folder.

use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use sha2::{Digest as _, Sha256};

use super::past::{self, WANG};
use super::{ALICE, BOB, SCRIPT};
use crate::base::clock::{Clock, Timestamp};
use crate::base::database::Database;
use crate::base::ids::{Hex, random};
use crate::base::key::Key;
use crate::cli::{Environment, Failure, load_config};
use crate::config::Config;
use crate::server::{Options, Server, Source};
use crate::simulator::{self, Simulator};

/// The story's policy.
const POLICY: &str = "\
# Edit and save: the demo's gateway reads it again by itself.
[timezones]
allowed = [\"Asia/Shanghai\", \"UTC\"]

[metadata]
forbidden_keys = [\"owner_override\", \"secret_*\"]

[[rule]]
name = \"many-runs\"
when = \"object.schedule != null\"
require = \"firesPerDay(object.schedule) <= 4\"
message = \"more than 4 runs a day\"
enforcement = \"approve\"

[[rule]]
name = \"short-names\"
require = \"size(object.name) <= 32\"
message = \"a name has at most 32 characters\"
enforcement = \"warn\"
";

/// Everything that runs, and its files.
pub(super) struct Stage {
    pub(super) simulator: Simulator,
    pub(super) server: Server,
    pub(super) config: PathBuf,
    pub(super) policy: PathBuf,
    pub(super) database: Database,
    /// When the story begins.
    pub(super) begun_at: Timestamp,
    folder: PathBuf,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("changegate-demo-{}", Hex(&random::<4>())));
        // Whatever the umask: others write nothing here.
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("can't make the folder {}", folder.display()))
            .map_err(Failure::NotCarriedOut)?;
        let started = Self::start(&folder).await;
        if started.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        started
    }

    async fn start(folder: &Path) -> Result<Self, Failure> {
        let simulator = Simulator::start(simulator::Options::default())
            .context("can't start the simulator on loopback")
            .map_err(Failure::NotCarriedOut)?;
        let key = Key::load_or_create(&folder.join("changegate.key"))
            .map_err(|error| Failure::NotCarriedOut(error.into()))?;
        let (config, policy) = (folder.join("changegate.toml"), folder.join("policy.toml"));
        let text = format!(
            "[listen]\nproxy = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n\n\
             [upstream]\nprovider = \"qoder-cn\"\nurl = \"http://{}\"\n\n\
             [policy]\nfile = \"policy.toml\"\n\n\
             [rate_limit]\nwrite = {{ per_second = 5, burst = 10 }}\n\n\
             [limits]\nconnections = 64\n\n\
             [audit]\ndatabase = \"sqlite://changegate.db\"\nkey_file = \"changegate.key\"\n\n\
             [[actor]]\nfingerprint = \"{}\"\nname = \"alice\"\nteam = \"platform\"\n\
             person = \"alice\"\n\n\
             [[actor]]\nfingerprint = \"{}\"\nname = \"nightly-script\"\n\n\
             [[actor]]\nfingerprint = \"{}\"\nname = \"wang.li\"\nteam = \"data\"\n\
             person = \"wang.li\"\n\n\
             [[admin.token]]\nname = \"bob\"\nrole = \"approver\"\nperson = \"bob\"\n\
             sha256 = \"{}\"\n",
            free_port(8080),
            free_port(8081),
            simulator.address(),
            key.fingerprint(ALICE.as_bytes()),
            key.fingerprint(SCRIPT.as_bytes()),
            key.fingerprint(WANG.as_bytes()),
            Hex(&Sha256::digest(BOB)),
        );
        write(&policy, POLICY)
            .and_then(|()| write(&config, &text))
            .with_context(|| format!("can't write into {}", folder.display()))
            .map_err(Failure::NotCarriedOut)?;
        // Nothing of the surrounding environment: the story is the same everywhere.
        let environment = Environment::new([])?;
        past(&simulator, load_config(&config, &environment)?).await?;
        let checked = load_config(&config, &environment)?;
        let database = checked.audit.database.clone();
        let begun_at = Clock::System.now();
        let source = Some(Source { path: config.clone(), environment: Vec::new() });
        let server = Server::start(checked, Options { source, ..Options::default() })
            .await
            .map_err(|error| Failure::NotCarriedOut(anyhow!(error)))?;
        let folder = folder.to_owned();
        Ok(Self { simulator, server, config, policy, database, begun_at, folder })
    }

    /// Stops everything and removes the files.
    pub(super) async fn clear(self) {
        self.server.shutdown().await;
        self.simulator.shutdown().await;
        // Temporary files that can't be removed harm nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Plays the week before the story, by a gateway of its own on the same log.
async fn past(simulator: &Simulator, config: Config) -> Result<(), Failure> {
    let (now, clock) = past::clock();
    let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
    let server = Server::start(config, options).await;
    let server = server.map_err(|error| Failure::NotCarriedOut(anyhow!(error)))?;
    let ports = server.proxy_address().tcp().zip(server.admin_address().tcp());
    let played = match ports {
        Some(ports) => {
            let seeded = past::seed(simulator);
            match seeded {
                Ok(()) => past::play(simulator, ports, (now, &clock)).await,
                Err(error) => Err(error),
            }
        }
        None => Err(anyhow!("the demo's gateway has no port")),
    };
    server.shutdown().await;
    played.context("can't make up the week before the story").map_err(Failure::NotCarriedOut)
}

/// Makes a file that its owner alone may read or write.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// The wished port where it is free, else any.
fn free_port(wished: u16) -> u16 {
    let bound = TcpListener::bind(("127.0.0.1", wished))
        .or_else(|_taken| TcpListener::bind(("127.0.0.1", 0)));
    bound.and_then(|listener| listener.local_addr()).map_or(wished, |address| address.port())
}

/// How this program is called from where the demo was started.
pub(super) fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_unknown| "changegate".into());
    let here = std::env::current_dir().unwrap_or_default();
    let relative = path.strip_prefix(&here).map(|path| Path::new(".").join(path));
    relative.unwrap_or(path).display().to_string()
}
