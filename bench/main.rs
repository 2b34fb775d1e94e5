//! The side-by-side harness: what the gateway costs beside other reverse proxies, and what its
//! log costs. It installs nothing; a rival that is not there is skipped, and a line says so.
//!
//! `cargo run --release --bin bench -- compare`, and so on; `--help` lists the commands.

mod bare;
mod child;
mod compare;
mod disk;
mod document;
mod export;
mod figures;
mod gateway;
mod grow;
mod http1;
mod instructions;
mod load;
mod log;
mod machine;
mod measure;
mod origin;
mod postgres;
mod query;
mod replay;
mod rivals;
mod shared;
mod splice;
mod start;
mod table;
mod tool;
mod write;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser as _;

/// Measures the gateway beside nginx and `HAProxy`, and its log.
#[derive(Debug, clap::Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The options that all measurements share.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// The gateway's release build (default: built by cargo now)
    #[arg(long, value_name = "PATH")]
    changegate: Option<PathBuf>,
    /// Where the temporary folder is made (default: the system's); the disk measured is its
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print tables as Markdown
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Reverse proxies side by side: CPU, latency, HTTP/2, TLS, idle connections
    Compare(compare::Compare),
    /// User-space instructions per request, counted by valgrind
    Instructions(instructions::Instructions),
    /// Governed updates: 64 callers, then one alone
    Write(write::Write),
    /// Bytes per change of a log with many, and reading one back
    Disk(disk::Disk),
    /// Questions to a log with many changes
    Query(query::Query),
    /// Recorded changes judged anew, beside reading them alone
    Replay(replay::Replay),
    /// A log in PostgreSQL that gateways share, beside pgbench
    Shared(shared::Shared),
    /// The log exported in every format: rows a second, and memory
    Export(export::Export),
    /// From start to ready on a log with many changes, and memory at rest
    Start(start::Start),
    /// The upstream that always says the same
    #[command(hide = true)]
    Origin(Listen),
    /// The upstream that keeps deployments
    #[command(hide = true)]
    Deployments {
        #[command(flatten)]
        listen: Listen,
        /// How many
        #[arg(long, default_value_t = 64)]
        count: usize,
    },
    /// The proxy that reads nothing
    #[command(hide = true)]
    Splice(Between),
    /// The proxy of hyper and nothing else
    #[command(hide = true)]
    HyperProxy(Between),
    /// The load generator
    #[command(hide = true)]
    Load(load::Plan),
}

#[derive(Debug, clap::Args)]
struct Listen {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
}

#[derive(Debug, clap::Args)]
struct Between {
    #[command(flatten)]
    listen: Listen,
    /// Address to forward to
    #[arg(long)]
    upstream: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Compare(compare) => compare::run(&compare),
        Command::Instructions(instructions) => instructions::run(&instructions),
        Command::Write(write) => write::run(&write),
        Command::Disk(disk) => disk::run(&disk),
        Command::Query(query) => query::run(&query),
        Command::Replay(replay) => replay::run(&replay),
        Command::Shared(shared) => shared::run(&shared),
        Command::Export(export) => export::run(&export),
        Command::Start(start) => start::run(&start),
        Command::Origin(Listen { listen }) => on_one_thread(origin::fixed(listen)),
        Command::Deployments { listen: Listen { listen }, count } => {
            on_one_thread(origin::deployments(listen, count))
        }
        Command::Splice(Between { listen: Listen { listen }, upstream }) => {
            on_one_thread(splice::run(listen, upstream))
        }
        Command::HyperProxy(Between { listen: Listen { listen }, upstream }) => {
            bare::run(listen, upstream)
        }
        Command::Load(plan) => on_one_thread(load::run(plan)),
    }
}

fn on_one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
