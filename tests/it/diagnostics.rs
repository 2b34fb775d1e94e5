//! The diagnostic log hurts nobody, whatever lies behind standard error.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::process::Command;

use changegate::simulator::{Options, Simulator};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, call, eventually};

const API: &str = "/api/v1/cloud";

/// The bytes that a pipe holds on Linux, unless it is told otherwise.
const PIPE_BYTES: usize = 64 * 1024;

/// How many calls each has to answer.
const CALLS: usize = 120;

/// Everything that a gateway does, and that it does it as always.
async fn works_as_always(what: &str, folder: &Folder, mut program: Program) {
    let update = |name: &str| {
        let path = format!("{API}/deployments/{DEPLOYMENT}");
        call(program.proxy, Call::post(&path).json(&json!({"name": name})))
    };
    // Each leaves a line.
    for n in 0..CALLS {
        assert_eq!(update(&format!("n{n}")).await.status, 200, "{what}: {n}");
    }
    folder.write("policy.toml", "[metadata]\nforbidden_keys = ['tier']\n");
    program.events("reload", 1).await;
    folder.write("policy.toml", "nonsense = true\n");
    program.events("reload", 2).await;
    assert_eq!(call(program.admin, Call::get("/readyz")).await.status, 200, "{what}");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0), "{what}");
    folder.write("policy.toml", "[metadata]\nforbidden_keys = ['tier']\n");
    let changes = folder.changes(false);
    assert_eq!(changes.len(), CALLS, "{what}");
    assert!(changes.iter().all(|change| change["outcome"] == "applied"), "{what}");
}

async fn lines_dropped(program: &Program) -> u64 {
    let text = call(program.admin, Call::get("/metrics")).await.text();
    let line = text.lines().find(|line| line.starts_with("changegate_log_lines_dropped_total"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn start() -> (Simulator, Folder) {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    (simulator, folder)
}

/// `serve` with this as its standard error.
fn serve_into(folder: &Folder, error: impl Into<std::process::Stdio>) -> Command {
    let mut command = folder.command(&["serve"]);
    command.stderr(error);
    command
}

/// A pipe that is full to its last byte.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![b'\n'; PIPE_BYTES]).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_standard_error_that_is_closed_stops_nothing() {
    let (_simulator, folder) = start();
    let serve = folder.command(&["serve"]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&-"]).arg(serve.get_program()).args(serve.get_args());
    let program = folder.serve_unheard(command).await;
    works_as_always("closed", &folder, program).await;
}

#[tokio::test]
async fn a_standard_error_on_a_full_disk_stops_nothing() {
    let (_simulator, folder) = start();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let program = folder.serve_unheard(serve_into(&folder, full)).await;
    eventually("a dropped line", async || (lines_dropped(&program).await > 0).then_some(())).await;
    works_as_always("full", &folder, program).await;
}

#[tokio::test]
async fn a_standard_error_whose_reader_is_gone_stops_nothing() {
    let (_simulator, folder) = start();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let program = folder.serve_unheard(serve_into(&folder, writer)).await;
    eventually("a dropped line", async || (lines_dropped(&program).await > 0).then_some(())).await;
    works_as_always("broken", &folder, program).await;
}

#[tokio::test]
async fn a_standard_error_that_nobody_reads_stops_nothing() {
    let (_simulator, folder) = start();
    let (_reader, writer) = full_pipe();
    let program = folder.serve_unheard(serve_into(&folder, writer)).await;
    works_as_always("unread", &folder, program).await;
}

#[tokio::test]
async fn a_standard_error_that_does_not_block_stops_nothing() {
    let (_simulator, folder) = start();
    let (_reader, writer) = full_pipe();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let program = folder.serve_unheard(serve_into(&folder, writer)).await;
    eventually("a dropped line", async || (lines_dropped(&program).await > 0).then_some(())).await;
    works_as_always("non-blocking", &folder, program).await;
}

#[tokio::test]
async fn lines_that_were_dropped_are_told_of_once_somebody_reads() {
    let (_simulator, folder) = start();
    let (mut reader, writer) = full_pipe();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let mut program = folder.serve_unheard(serve_into(&folder, writer)).await;
    eventually("a dropped line", async || (lines_dropped(&program).await > 0).then_some(())).await;
    let told = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let text = told.join().unwrap();
    assert!(text.contains("were dropped"), "{text}");
    assert!(text.contains("\"draining\""), "the last lines come out: {text}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_before_it_ends() {
    let (_simulator, folder) = start();
    folder.write("log.db", "no database, whatever else it may be");
    let ended = folder.command(&["serve"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR", "{said}");
    assert!(last["message"].as_str().unwrap().contains("log.db"), "{said}");
}
