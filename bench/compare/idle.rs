//! Memory held for clients that do nothing: their connections, and the budgets of their tokens.

use std::time::Duration;

use anyhow::Context as _;

use super::Run;
use crate::figures::float;
use crate::gateway::Setup;
use crate::load::{Call, Plan};
use crate::machine::OTHER_CORE;
use crate::machine::files_max;
use crate::rivals::{Front, Kind, Rival};
use crate::table::{Table, note};

/// How many connections are held open.
const HELD: usize = 10_000;

/// How many files a proxy needs beside them.
const FILES_BESIDE: usize = 500;

/// How long memory settles after the last request.
const SETTLES: Duration = Duration::from_millis(500);

/// A budget that takes long to be full again, so that tokens are held for as long as can be.
const SLOW: [u32; 2] = [1, 100];

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

/// Memory after many tokens that are used once.
pub(super) fn tokens(run: &mut Run<'_>) -> anyhow::Result<()> {
    let count = run.arguments.tokens;
    note(&format!("{count} made-up tokens"));
    let folder = run.stage.folder.join("tokens");
    std::fs::create_dir_all(&folder)?;
    let setup = Setup {
        core: Some(run.stage.core),
        budget: Some(SLOW),
        ..Setup::new(run.stage.program, run.stage.upstream)
    };
    let gateway = setup.start(&folder)?;
    // Pools and code are not tokens.
    let warm = Plan { requests: Some(64), ..Plan::new(gateway.proxy, Call::Get, 0.0) };
    warm.run(Some(OTHER_CORE))?;
    let before = gateway.child.status_kb("VmRSS");
    let plan = Plan::new(gateway.proxy, Call::Stranger, 0.0);
    Plan { requests: Some(count), ..plan }.run(Some(OTHER_CORE))?;
    let grown = gateway.child.status_kb("VmHWM") - before;
    let each = grown * 1024.0 / float(count);
    let mut table = Table::new(
        &format!("Memory after {count} tokens that were used once"),
        &["", "grown at most MB", "bytes per token"],
    );
    let name = Kind::Changegate.name().to_owned();
    table.row([name, format!("{:.1}", grown / 1024.0), format!("{each:.1}")]);
    table.print(run.arguments.common.markdown);
    run.goals.at_most("made-up token", 64.0, Some(each), "bytes");
    Ok(())
}
