//! Trouble around the gateway while clients call it.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::sleep;

use crate::world::dice::Dice;
use crate::world::disk::{Disk, EIO, ENOSPC, EROFS, Manner, Operation, Trouble};
use crate::world::program::{Folder, Program};

/// The trouble in one round.
#[derive(Clone, Copy, Debug)]
pub(super) enum Faults {
    Calm,
    /// Killed, and killed again so often while it starts.
    Killed(u64),
    /// Asked to end, as for an update of the program.
    Ended,
    /// Stopped for a while, as a machine that sleeps.
    Frozen,
    /// The disk fails for a while.
    Disk(Trouble),
    /// The disk fails, and then the gateway is killed.
    DiskThenKilled(Trouble),
    /// Another program has the log for itself.
    Locked,
    /// The log's file is somewhere else for a while.
    Moved,
    /// The clock jumps, by so many milliseconds.
    Clock(i64),
}

impl Faults {
    pub(super) fn of(dice: &mut Dice, has_disk: bool) -> Self {
        match dice.roll(if has_disk { 18 } else { 10 }) {
            0 => Self::Calm,
            1..4 => Self::Killed(0),
            4 => Self::Killed(1 + dice.roll(3)),
            5 => Self::Ended,
            6 => Self::Frozen,
            7 | 8 => Self::Locked,
            9 => Self::Moved,
            10 => {
                // Not so far that who is slow at upstream seems to be done: see `audit::settle`.
                let off = dice.millis(1_000, 60_000).as_millis().try_into().unwrap();
                Self::Clock(if dice.chance(50) { off } else { -off })
            }
            11..16 => Self::Disk(trouble(dice)),
            _ => Self::DiskThenKilled(trouble(dice)),
        }
    }

    /// Whether it keeps no call from its record.
    pub(super) const fn is_fair(self) -> bool {
        matches!(self, Self::Calm | Self::Frozen | Self::Clock(_))
    }

    /// Lets it happen; none where the gateway is gone after it.
    pub(super) async fn strike(
        self,
        mut program: Program,
        folder: &Folder,
        disk: Option<&Disk>,
        dice: &mut Dice,
    ) -> Option<Program> {
        let while_ = dice.millis(50, 500);
        match self {
            Self::Calm => sleep(while_).await,
            Self::Killed(again) => {
                program.kill();
                for _ in 0..again {
                    killed_while_it_starts(folder, disk, dice).await;
                }
                return None;
            }
            Self::Ended => {
                program.signal(Signal::TERM);
                assert!(program.end().await.success());
                return None;
            }
            Self::Frozen => {
                program.signal(Signal::STOP);
                sleep(while_).await;
                program.signal(Signal::CONT);
            }
            Self::Disk(trouble) => {
                disk.unwrap().break_down(trouble);
                sleep(while_).await;
                disk.unwrap().fix();
            }
            Self::DiskThenKilled(trouble) => {
                disk.unwrap().break_down(trouble);
                sleep(while_).await;
                program.kill();
                disk.unwrap().fix();
                return None;
            }
            Self::Locked => locked(folder, while_).await,
            Self::Moved => {
                let (there, aside) = (folder.path().join("log.db"), folder.path().join("aside"));
                std::fs::rename(&there, &aside).unwrap();
                sleep(while_).await;
                std::fs::rename(&aside, &there).unwrap();
            }
            Self::Clock(off) => {
                disk.unwrap().move_clock(off);
                sleep(while_).await;
            }
        }
        Some(program)
    }
}

fn trouble(dice: &mut Dice) -> Trouble {
    use Operation::{Read, Sync, Truncate, Write, WriteOrSync};
    let forever = dice.chance(50);
    Trouble {
        operation: dice.pick(&[Write, Write, Sync, Sync, WriteOrSync, Truncate, Read]),
        manner: dice.pick(&[Manner::Fail, Manner::Fail, Manner::Torn, Manner::Short, Manner::Slow]),
        error: dice.pick(&[EIO, EIO, ENOSPC, EROFS]),
        after: u32::try_from(dice.roll(60)).unwrap(),
        times: if forever { u32::MAX } else { u32::try_from(1 + dice.roll(4)).unwrap() },
        delay_ms: if dice.chance(25) { u32::try_from(dice.roll(120)).unwrap() } else { 0 },
    }
}

async fn killed_while_it_starts(folder: &Folder, disk: Option<&Disk>, dice: &mut Dice) {
    let mut command = folder.command(&["serve"]);
    if let Some(disk) = disk {
        disk.put_under(&mut command);
    }
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    sleep(dice.millis(0, 80)).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn locked(folder: &Folder, long: Duration) {
    let options = SqliteConnectOptions::new().filename(folder.path().join("log.db"));
    let mut other = options.busy_timeout(Duration::from_secs(5)).connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    sleep(long).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}
