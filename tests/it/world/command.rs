//! Runs of the program in a world's folder: its output read by another program, or on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::World;

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program in `folder`, its output read by another program, to which the machine's zone
/// must not matter.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    run_with(folder, arguments, &[])
}

/// The same, with these variables.
pub(crate) fn run_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CHANGEGATE_CONFIG")
        .env("TZ", "Asia/Shanghai")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn in_world(world: &World, arguments: &[&str]) -> Ran {
    run(world.folder.path(), arguments)
}

/// The text that the program writes to a terminal of so many columns, in UTC unless `variables` say
/// another zone.
pub(crate) fn on_terminal(
    world: &World,
    columns: u16,
    variables: &[(&str, &str)],
    list: &[&str],
) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_changegate"));
    command.args(list).current_dir(world.folder.path()).stdout(terminal);
    for unset in ["CHANGEGATE_CONFIG", "COLUMNS", "NO_COLOR"] {
        command.env_remove(unset);
    }
    command.env("TERM", "xterm").env("TZ", "UTC").envs(variables.iter().copied());
    let mut child = command.spawn().unwrap();
    // The last descriptor of the terminal's side is the program's.
    drop(command);
    let mut shown = Vec::new();
    // The terminal is gone once the program has ended, which Linux tells by an error.
    let _ended = File::from(master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap().replace('\r', "")
}
