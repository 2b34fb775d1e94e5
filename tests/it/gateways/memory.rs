//! What a gateway remembers of deployments that another one has changed since.

use std::path::Path;

use serde_json::Value;

use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::load::Load;
use crate::world::program::{Folder, Program};

/// An update through a gateway, as the log has it then.
async fn changed(load: &Load, program: &Program) -> Value {
    let answer = load.one(program.proxy).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let change = answer.header("changegate-change").unwrap();
    program.ask(&format!("/api/v1/changes/{change}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_in_memory_is_no_before_once_another_gateway_has_changed_it() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let url = database.url().replace("//postgres@", "//changegate@");
    let load = Load::new(1);
    let folders = ["one", "two"].map(|name| {
        let more = format!("node.name = '{name}'\n");
        let folder = Folder::new(load.simulator.address(), &more);
        folder.keep_log_at(&url);
        folder
    });
    let programs = [folders[0].serve().await, folders[1].serve().await];
    let mut former = changed(&load, &programs[0]).await;
    // Each has it in memory as it left it, and in turn as it was shown besides.
    for (turn, program) in programs.iter().rev().cycle().take(8).enumerate() {
        let change = changed(&load, program).await;
        let (left, found) = (&former["after"], &change["before"]);
        assert!(left["name"].is_string() && found == left, "{turn}: {former:#}\n{change:#}");
        assert_ne!(change["after"]["name"], found["name"]);
        if turn % 4 > 1 {
            for program in &programs {
                let shown = load.look(program.proxy).await.json();
                assert_eq!(shown["name"], change["after"]["name"], "{turn}");
            }
        }
        former = change;
    }
    let drifts = programs[0].ask("/api/v1/events?limit=1000").await;
    let drifts = drifts["data"].as_array().unwrap().iter().filter(|row| row["kind"] == "drift");
    assert_eq!(drifts.count(), 0, "nobody changed it around the gateways");
}
