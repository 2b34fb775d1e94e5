//! Processes that are started, measured and ended.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::load::now;

/// How long a process may take to end before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running process; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    name: String,
}

/// A command whose process may open as many files as the system lets it, ends with this process,
/// and runs on one core where one is named.
pub(crate) fn command(core: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    // Each exec keeps the process, so that its number is the program's.
    command.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"]);
    command.args(tether("TERM"));
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

/// Words before a program's own that let it get a signal when the process that started it ends,
/// where the machine has the tool for it.
pub(crate) fn tether(signal: &str) -> Vec<&str> {
    let there = Path::new("/usr/bin/setpriv").exists();
    if there { vec!["setpriv", "--pdeathsig", signal] } else { Vec::new() }
}

/// A command of this program itself.
pub(crate) fn itself(core: Option<usize>, name: &str) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("this program's file is not known")?;
    let mut command = command(core, program);
    command.arg(name);
    Ok(command)
}

impl Child {
    /// Starts a process that says nothing; what it has to complain about goes to `complaints`.
    pub(crate) fn start(mut command: Command, name: &str, folder: &Path) -> anyhow::Result<Self> {
        let complaints = std::fs::File::create(folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
        let process = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Self { process, name: name.to_owned() })
    }

    pub(crate) fn from(process: std::process::Child, name: &str) -> Self {
        Self { process, name: name.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it takes connections.
    pub(crate) fn ready(&mut self, address: SocketAddr, patience: Duration) -> anyhow::Result<()> {
        let deadline = now() + patience;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended with {status} before it was ready", self.name);
            }
            if now() > deadline {
                bail!("{} does not take connections at {address}", self.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The processor time that it and its children have used, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        let nanos: u64 = family(self.id()).into_iter().map(cpu_nanos).sum();
        super::figures::float(nanos) / 1e3
    }

    /// A figure of `/proc/<pid>/status` in kB, summed with its children's.
    pub(crate) fn status_kb(&self, name: &str) -> f64 {
        family(self.id()).into_iter().filter_map(|process| status_kb(process, name)).sum()
    }

    /// The most memory that it has had so far, without its children, in kB.
    pub(crate) fn peak_kb(&self) -> Option<f64> {
        status_kb(self.id(), "VmHWM")
    }

    /// Ends it gracefully, and waits.
    pub(crate) fn end(mut self) -> anyhow::Result<ExitStatus> {
        signal("TERM", self.id());
        let ended = self.wait(END_WITHIN);
        ended?.with_context(|| format!("{} does not end", self.name))
    }

    /// Waits for its end, a bounded time.
    pub(crate) fn wait(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = now() + patience;
        loop {
            let ended = self.process.try_wait()?;
            if ended.is_some() || now() > deadline {
                return Ok(ended);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A master that is killed would leave its workers behind: it is asked first.
        if !matches!(self.process.try_wait(), Ok(Some(_status))) {
            signal("TERM", self.id());
            if !matches!(self.wait(Duration::from_secs(2)), Ok(Some(_status))) {
                drop(self.process.kill());
                drop(self.process.wait());
            }
        }
    }
}

/// A figure of `/proc/<pid>/status` in kB; `None` where the process has ended.
fn status_kb(process: u32, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<f64>().ok()
}

/// Sends a signal by the shell's own `kill`.
pub(crate) fn signal(name: &str, process: u32) {
    let kill = format!("kill -{name} {process}");
    // Fails only where the process has ended already.
    drop(Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status());
}

/// A process and its children and theirs.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name before is in brackets, and may hold anything.
            let (_name, rest) = stat.rsplit_once(')')?;
            Some((child, rest.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_child, of)| *of == parent).map(|(child, _of)| *child));
        next += 1;
    }
    found
}

/// The CPU time that the threads of a process have used, in nanoseconds.
fn cpu_nanos(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let used = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    used.sum()
}
