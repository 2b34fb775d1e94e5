//! What connections cost that are open and silent.

use std::time::Duration;

use anyhow::Context as _;

use super::{OTHER_CORE, Run};
use crate::figures::float;
use crate::load::{Call, Plan};
use crate::machine::files_max;
use crate::rivals::{Front, Kind, Rival};
use crate::table::{Table, note};

/// How many connections are held open.
const HELD: usize = 10_000;

/// How many files a proxy needs beside them.
const FILES_BESIDE: usize = 500;

/// How long memory settles after the last request.
const SETTLES: Duration = Duration::from_millis(500);

/// Memory per idle connection.
pub(super) fn idle(run: &mut Run<'_>) -> anyhow::Result<()> {
    let held = HELD.min(files_max().saturating_sub(FILES_BESIDE));
    if held < HELD {
        note(&format!("only {held} connections fit into the limit of open files (ulimit -Hn)"));
    }
    let mut table = Table::new(
        &format!("Memory per idle connection, {held} kept open after one request each"),
        &["reverse proxy", "KB each", "MB in all"],
    );
    for kind in [Kind::Nginx, Kind::Haproxy, Kind::Hyper, Kind::Changegate] {
        note(&format!("idle connections: {}", kind.name()));
        // Each is started anew: what it kept from busier times would hide what it needs now.
        let Some(rival) = run.stage.start(kind, Front::Http1)? else { continue };
        let (each, all) = kilobytes(&rival, held).with_context(|| kind.name())?;
        table.row([kind.name().to_owned(), format!("{each:.1}"), format!("{:.0}", all / 1024.0)]);
        if kind == Kind::Changegate {
            run.goals.at_most("idle connection", 16.0, Some(each), "KB");
        }
    }
    table.print(run.arguments.common.markdown);
    Ok(())
}

/// Kilobytes per connection, and of the proxy with all of them.
fn kilobytes(rival: &Rival, held: usize) -> anyhow::Result<(f64, f64)> {
    // What it needs once, for its pools and its code, is no connection's.
    Plan::new(rival.address, Call::Get, 1.0).run(Some(OTHER_CORE))?;
    std::thread::sleep(SETTLES);
    let before = rival.child.status_kb("VmRSS");
    let plan = Plan { connections: held, ..Plan::new(rival.address, Call::Hold, 0.0) };
    let holding = plan.hold(Some(OTHER_CORE))?;
    std::thread::sleep(SETTLES);
    let after = rival.child.status_kb("VmRSS");
    drop(holding);
    Ok(((after - before).max(0.0) / float(u64::try_from(held)?), after))
}
