//! A disk that fails when it is told to, and a clock that jumps, for a gateway that runs as a
//! program: see `disk.c`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Which calls go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Operation {
    Read = 1,
    Write = 2,
    Sync = 4,
    Truncate = 8,
    WriteOrSync = 6,
}

/// How they go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Manner {
    /// Nothing is done.
    Fail = 0,
    /// The first half is written, and the call fails.
    Torn = 1,
    /// The first half is written, which the call tells.
    Short = 2,
    /// All is done, late.
    Slow = 3,
}

pub(crate) const EIO: u32 = 5;
pub(crate) const ENOSPC: u32 = 28;
pub(crate) const EROFS: u32 = 30;

/// A fault to inject into operations on the log's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) operation: Operation,
    pub(crate) manner: Manner,
    pub(crate) error: u32,
    /// So many calls are spared first.
    pub(crate) after: u32,
    /// So many calls go wrong.
    pub(crate) times: u32,
    pub(crate) delay_ms: u32,
}

/// The disk and the clock of one program.
pub(crate) struct Disk {
    library: &'static Path,
    path: PathBuf,
    orders: File,
}

const ORDERS_BYTES: usize = 56;
const AFTER_OPERATIONS: u64 = 4;
const FIRED: u64 = 24;
const CLOCK: u64 = 32;
const ROOM: u64 = 40;
const PASSED: u64 = 48;

impl Trouble {
    /// Every such call fails until it is over.
    pub(crate) fn every(operation: Operation, error: u32) -> Self {
        let manner = Manner::Fail;
        Self { operation, manner, error, after: 0, times: u32::MAX, delay_ms: 0 }
    }

    pub(crate) fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }
}

impl Disk {
    /// A disk that works so far; none where it can't be made, which is said.
    pub(crate) fn new(folder: &Path) -> Option<Self> {
        static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
        let library = LIBRARY.get_or_init(compile).as_deref()?;
        let path = folder.join("orders");
        std::fs::write(&path, [0; ORDERS_BYTES]).unwrap();
        let orders = File::options().read(true).write(true).open(&path).unwrap();
        Some(Self { library, path, orders })
    }

    /// Lets a program run on this disk.
    pub(crate) fn put_under(&self, program: &mut Command) {
        program.env("LD_PRELOAD", self.library).env("TEST_DISK_ORDERS", &self.path);
    }

    /// From now on this goes wrong.
    pub(crate) fn break_down(&self, trouble: Trouble) {
        self.fix();
        let Trouble { manner, error, after, times, delay_ms, .. } = trouble;
        let orders = [manner as u32, error, after, times, delay_ms, 0].map(u32::to_ne_bytes);
        self.orders.write_all_at(&orders.concat(), AFTER_OPERATIONS).unwrap();
        self.orders.write_all_at(&(trouble.operation as u32).to_ne_bytes(), 0).unwrap();
    }

    /// From now on nothing goes wrong.
    pub(crate) fn fix(&self) {
        self.orders.write_all_at(&[0; 4], 0).unwrap();
    }

    /// From now on the log's files may have so many bytes together and no more; any for `None`.
    pub(crate) fn make_room(&self, bytes: Option<u64>) {
        self.orders.write_all_at(&bytes.unwrap_or(0).to_ne_bytes(), ROOM).unwrap();
    }

    /// How many calls have gone wrong since it broke down.
    pub(crate) fn fired(&self) -> u32 {
        let mut bytes = [0; 4];
        self.orders.read_exact_at(&mut bytes, FIRED).unwrap();
        u32::from_ne_bytes(bytes)
    }

    /// Lets the program's wall clock jump, for good.
    pub(crate) fn move_clock(&self, millis: i64) {
        self.add(CLOCK, millis);
    }

    /// Lets time pass for the program, by every clock that it has.
    pub(crate) fn pass_time(&self, millis: i64) {
        self.add(PASSED, millis);
    }

    fn add(&self, at: u64, millis: i64) {
        let mut off = [0; 8];
        self.orders.read_exact_at(&mut off, at).unwrap();
        let off = i64::from_ne_bytes(off) + millis;
        self.orders.write_all_at(&off.to_ne_bytes(), at).unwrap();
    }
}

/// Builds the library, which stands between the program and the C library.
fn compile() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/world/disk.c");
    let library = folder.join(format!("disk-{}.so", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    match compiler.output() {
        Ok(done) if done.status.success() => {
            // Under one name, whoever builds it: what is loaded already stays what it is.
            let named = folder.join("disk.so");
            std::fs::rename(library, &named).unwrap();
            Some(named)
        }
        failed => {
            super::say(&format!("left out: a disk that fails needs cc and Linux: {failed:?}"));
            None
        }
    }
}
