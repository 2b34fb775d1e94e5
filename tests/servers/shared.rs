//! A server that all test processes of this source tree share. Who comes first starts it for all;
//! it ends by itself a few seconds after the last of them has, however that one ended.
//!
//! Two files say so, which the kernel unlocks when a process is gone: each user holds `users`, and
//! the watch, a shell of its own session, holds `watched`. Who starts or ends the server holds
//! `turn` meanwhile.

use std::fs::{DirBuilder, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs the server that it is told of in the folder `data`, and ends it once nobody uses it.
const WATCH: &str = r#"
cd "$1" && exec 9>watched && flock -n 9 || exit 1
shift
"$@" 9>&- >log 2>&1 &
server=$!
idle=0
while [ $idle -lt 5 ] && kill -0 $server 2>/dev/null; do
    sleep 1 9>&-
    if flock -n -x users true 9>&-; then idle=$((idle + 1)); else idle=0; fi
    if [ $idle -ge 5 ]; then
        exec 8>turn && flock -x 8
        flock -n -x users true 8>&- 9>&- || { idle=0; exec 8>&-; }
    fi
done
kill -INT $server 2>/dev/null
wait $server
[ $idle -lt 5 ] || rm -rf data log
exec 9>&-
"#;

/// Runs what it is told beside the shell that starts it, so that nobody has to wait for its end.
const ASIDE: &str = r#"sh -c "$0" sh "$@" &"#;

/// How long a server may take to start, and an old one to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct SharedServer {
    /// The folder of its own; its files lie in `data`.
    pub(crate) folder: PathBuf,
    _users: File,
}

/// The user that a server runs as, where root would not do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl SharedServer {
    /// The server of this name. Where it does not run, `prepare` makes its files in a folder and
    /// returns its command, and `answers` tells whether it does.
    pub(crate) fn running(
        name: &str,
        run_as: Option<RunAs>,
        prepare: impl FnOnce(&Path) -> io::Result<Command>,
        answers: impl Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        let folder = folder(name, run_as)?;
        let turn = open(&folder, "turn", run_as)?;
        turn.lock()?;
        let users = open(&folder, "users", run_as)?;
        users.lock_shared()?;
        let data = folder.join("data");
        let watched = open(&folder, "watched", run_as)?;
        match watched.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            // Nobody watches: what is there was left by a run that was killed, watch and all.
            Ok(()) => {
                watched.unlock()?;
                end_what_was_left(&data);
                if data.exists() {
                    std::fs::remove_dir_all(&data)?;
                }
                let server = prepare(&data)?;
                let mut watch = Command::new("sh");
                watch.args(["-c", ASIDE, WATCH]).arg(&folder);
                watch.arg(server.get_program()).args(server.get_args());
                drop_privileges(&mut watch, run_as);
                let silent = watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                // Out of reach of signals to the group that the tests are in.
                silent.process_group(0).status()?;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while !answers(&data) {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("{name} does not start: {log}")));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(Self { folder, _users: users })
    }
}

/// Runs a command as the user that the server runs as.
pub(crate) fn drop_privileges(command: &mut Command, run_as: Option<RunAs>) {
    if let Some(RunAs { uid, gid }) = run_as {
        command.uid(uid).gid(gid);
    }
}

/// The user of this name where this process is root; `None` where it is somebody.
pub(crate) fn run_as(name: &str) -> Option<RunAs> {
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    if own != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|user| user.first() == Some(&name));
    let id = |place: usize| user.as_ref().and_then(|user| user.get(place)?.parse().ok());
    Some(RunAs { uid: id(2).unwrap_or(65_534), gid: id(3).unwrap_or(65_534) })
}

/// A folder of this source tree: another one has another version of everything. Its path is
/// short, for a socket's has to be.
fn folder(name: &str, run_as: Option<RunAs>) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_MANIFEST_DIR"), run_as.map(|user| user.uid)).hash(&mut hasher);
    let own = std::fs::metadata("/proc/self").map_or(0, |found| found.uid());
    let name = format!("changegate-{name}-{own}-{:08x}", hasher.finish() & 0xffff_ffff);
    let folder = PathBuf::from("/tmp").join(name);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _there => {}
    }
    give(&folder, run_as)?;
    Ok(folder)
}

fn open(folder: &Path, name: &str, run_as: Option<RunAs>) -> io::Result<File> {
    let path = folder.join(name);
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
    give(&path, run_as)?;
    Ok(file)
}

fn give(path: &Path, run_as: Option<RunAs>) -> io::Result<()> {
    run_as.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

/// Ends the server that a pid file tells of, if it is the one of this folder.
fn end_what_was_left(data: &Path) {
    let Ok(entries) = std::fs::read_dir(data) else { return };
    let pid_files = entries.flatten().map(|entry| entry.path());
    for path in pid_files.filter(|path| path.extension().is_some_and(|end| end == "pid")) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let Some(Ok(pid)) = text.lines().next().map(|line| line.trim().parse::<u32>()) else {
            continue;
        };
        let stays = || {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let named = data.as_os_str().as_encoded_bytes();
            command.windows(named.len()).any(|part| part == named)
        };
        if stays() {
            drop(Command::new("kill").args(["-QUIT", &pid.to_string()]).status());
        }
        let deadline = Instant::now() + PATIENCE;
        while stays() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
    }
}
