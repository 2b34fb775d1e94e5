//! Listeners on socket files.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use changegate::simulator::{Options, Simulator};
use serde_json::json;
use tokio::net::UnixStream;

use crate::world::client::{Answer, http1, raw_on, read};
use crate::world::program::Folder;
use crate::world::{Call, DEPLOYMENT, Setup};

const UPDATE: &str = "/api/v1/cloud/deployments";

/// A folder of a test's own, whose path is short enough.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/tmp").unwrap()
}

async fn call(path: &Path, call: Call) -> Answer {
    let mut sender = http1(UnixStream::connect(path).await.unwrap()).await;
    read(sender.send_request(call.http1("localhost")).await.unwrap()).await
}

fn update() -> Call {
    Call::post(&format!("{UPDATE}/{DEPLOYMENT}")).json(&json!({"name": "x"}))
}

#[tokio::test]
async fn both_listeners_may_be_socket_files_which_are_removed_at_the_end() {
    let folder = folder();
    let (proxy, admin) = (folder.path().join("proxy.sock"), folder.path().join("admin.sock"));
    let config = format!(
        "listen.proxy = 'unix:{}'\nlisten.admin = 'unix:{}'\n",
        proxy.display(),
        admin.display()
    );
    let world = Setup::new().config(&config).workers(3).start().await;
    for path in [&proxy, &admin] {
        let found = std::fs::metadata(path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o660);
    }
    let forwarded = update().header("x-forwarded-for", "203.0.113.9");
    for _ in 0..6 {
        let answer = call(&proxy, forwarded.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let change = format!("/api/v1/changes/{}", answer.header("changegate-change").unwrap());
        let change = call(&admin, Call::get(&change)).await.json();
        assert_eq!(change["client"]["ip"], "127.0.0.1", "nobody is believed unasked");
    }
    assert_eq!(call(&admin, Call::get("/readyz")).await.status, 200);
    world.end().await;
    assert!(!proxy.exists() && !admin.exists());
}

#[tokio::test]
async fn who_connects_by_a_socket_file_may_be_a_trusted_proxy() {
    let folder = folder();
    let proxy = folder.path().join("proxy.sock");
    let config = format!(
        "listen.proxy = 'unix:{}'\nlisten.socket_mode = '0600'\n\
         listen.trusted_proxies = ['unix']\n",
        proxy.display()
    );
    let world = Setup::new().config(&config).start().await;
    assert_eq!(std::fs::metadata(&proxy).unwrap().permissions().mode() & 0o777, 0o600);
    let forwarded = update().header("x-forwarded-for", "198.51.100.1, 203.0.113.9");
    let answer = call(&proxy, forwarded).await;
    assert_eq!(world.change_of(&answer).await["client"]["ip"], "203.0.113.9");
    // What connects by the file is trusted, not what says that it is this machine.
    let forwarded = update().header("x-forwarded-for", "198.51.100.1, 127.0.0.1");
    let answer = call(&proxy, forwarded).await;
    assert_eq!(world.change_of(&answer).await["client"]["ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_file_that_is_about_to_be_listened_on_is_not_taken_for_stale() {
    let folder = folder();
    let proxy = folder.path().join("proxy.sock");
    drop(UnixListener::bind(&proxy).unwrap());
    // Another server holds the folder from before it binds until it listens.
    let other = std::fs::File::open(folder.path()).unwrap();
    other.lock().unwrap();
    let upstream = Simulator::start(Options::default()).unwrap();
    let home = Folder::new(upstream.address(), "");
    let mut command = home.command(&["serve"]);
    command.env("CHANGEGATE_LISTEN__PROXY", format!("unix:{}", proxy.display()));
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("another program holds a lock on the folder"), "{said}");
    assert!(proxy.exists());
}

#[tokio::test]
async fn what_a_server_that_is_gone_has_left_is_replaced() {
    let folder = folder();
    let proxy = folder.path().join("proxy.sock");
    drop(UnixListener::bind(&proxy).unwrap());
    assert!(proxy.exists(), "nothing removes it");
    let config = format!("listen.proxy = 'unix:{}'\n", proxy.display());
    let world = Setup::new().config(&config).start().await;
    assert_eq!(call(&proxy, update()).await.status, 200);
    // Another's file in its place is not this server's to remove.
    std::fs::remove_file(&proxy).unwrap();
    let _other = UnixListener::bind(&proxy).unwrap();
    world.end().await;
    assert!(proxy.exists());
}

#[tokio::test]
async fn a_file_that_is_another_programs_is_left_alone() {
    let upstream = Simulator::start(Options::default()).unwrap();
    let short = folder();
    let (taken, file) = (short.path().join("taken.sock"), short.path().join("file"));
    let listening = UnixListener::bind(&taken).unwrap();
    std::fs::write(&file, "notes").unwrap();
    for (path, told) in
        [(&taken, "another program listens there"), (&file, "a file is there that is not a socket")]
    {
        let folder = Folder::new(upstream.address(), "");
        let mut command = folder.command(&["serve"]);
        command.env("CHANGEGATE_LISTEN__PROXY", format!("unix:{}", path.display()));
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains(told) && said.contains("listen.proxy"), "{said}");
        assert!(path.exists());
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "notes");
    drop(listening);
}

#[tokio::test]
async fn a_slow_head_on_a_socket_file_is_cut_as_on_any_connection() {
    let folder = folder();
    let proxy = folder.path().join("proxy.sock");
    let config =
        format!("listen.proxy = 'unix:{}'\n[limits]\nheader_timeout = '200ms'\n", proxy.display());
    let _world = Setup::new().config(&config).start().await;
    let stream = UnixStream::connect(&proxy).await.unwrap();
    let told = raw_on(stream, b"GET / HTTP/1.1\r\nhost:", Duration::from_secs(5)).await;
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
}
