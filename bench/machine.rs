//! The machine that measures, and the tools that it has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// The proxy's core, and the one that upstream and load generator share.
pub(crate) const PROXY_CORE: usize = 0;
pub(crate) const OTHER_CORE: usize = 1;

/// Processor, cores and kernel, for a table's foot.
pub(crate) fn described() -> String {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = text("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| {
        let value = line.strip_prefix("model name")?;
        value.split_once(':').map(|(_name, model)| model.trim())
    });
    let kernel = text("/proc/sys/kernel/osrelease");
    let model = model.unwrap_or("an unknown processor");
    format!("{model}, {} cores, Linux {}", cores(), kernel.trim())
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How many files a process that is started here may have open.
pub(crate) fn files_max() -> usize {
    let told = Command::new("sh").args(["-c", "ulimit -Hn"]).output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match told.as_deref() {
        Ok("unlimited") => usize::MAX,
        Ok(number) => number.parse().unwrap_or(0),
        Err(_no_shell) => 0,
    }
}

/// An address of the loopback with a port that is free now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.local_addr().context("a port has no number")
}

/// A folder that goes when it is dropped, and also when this process is killed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Removes the folder when its standard input ends, and once more when those who may still
    /// write there have ended.
    _remover: Child,
}

/// The remover's shell script; it ignores the terminal's signals.
const REMOVER: &str = "trap '' INT TERM HUP; cat >/dev/null; rm -rf \"$1\"; sleep 3; rm -rf \"$1\"";

impl Folder {
    /// A new folder, below `parent` or where the system keeps what is temporary.
    pub(crate) fn new(parent: Option<&Path>) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let name = format!("changegate-bench-{}", std::process::id());
        let path = parent.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        let path = std::path::absolute(path)?;
        let mut remover = Command::new("sh");
        remover.args(["-c", REMOVER, "sh"]).arg(&path).stdin(Stdio::piped());
        let remover = remover.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { path, _remover: remover })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder within it.
    pub(crate) fn inner(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed now, the remover tries again.
        drop(std::fs::remove_dir_all(&self.path));
    }
}
