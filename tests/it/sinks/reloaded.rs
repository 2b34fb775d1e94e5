//! Sinks that come, go and change while the gateway runs.

use serde_json::json;

use super::{SECRETS, messages, signatures, webhook};
use crate::world::eventually;
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::recorder::{Recorder, answer};

/// How the only sink stands, once that is so.
async fn stands(program: &Program, state: &str) -> serde_json::Value {
    eventually(&format!("the sink {state}"), async || {
        let sinks = program.ask("/api/v1/sinks").await;
        let found = sinks["data"][0].clone();
        (found["state"] == state).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_is_taken_without_a_restart_and_so_is_its_secret() {
    let (load, recorder) = (Load::new(1), Recorder::start(|_| answer(200, "")).await);
    let folder = Folder::new(load.simulator.address(), "");
    folder.write("hook.secret", SECRETS[1]);
    let program = folder.serve().await;
    load.once(program.proxy).await;
    program.events("start", 1).await;
    let path = folder.path().join("changegate.toml");
    let bare = std::fs::read_to_string(&path).unwrap();
    folder.write("changegate.toml", &(bare.clone() + &webhook("hook", &recorder.url, "")));
    stands(&program, "current").await;
    load.once(program.proxy).await;
    eventually("the change that came since", async || {
        let changes = messages(&recorder);
        changes.iter().any(|(kind, _)| kind == "change.applied").then_some(())
    })
    .await;
    let kinds: Vec<String> = messages(&recorder).into_iter().map(|(kind, _)| kind).collect();
    assert!(!kinds.contains(&"event.start".to_owned()), "what was before is not sent: {kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "change.applied").count(), 1);

    // Both sign while one takes the other's place.
    folder.write("hook.secret", &SECRETS.join("\n"));
    eventually("both signatures", async || {
        load.once(program.proxy).await;
        let last = recorder.received().pop().unwrap();
        (last.headers["webhook-signature"] == *signatures(&last)).then_some(())
    })
    .await;

    // What is not configured is sent nothing, and goes on once it is again.
    folder.write("changegate.toml", &bare);
    eventually("the end of its counts", async || {
        let metrics = crate::world::call(program.admin, crate::world::Call::get("/metrics")).await;
        (!metrics.text().contains("sink=\"hook\"")).then_some(())
    })
    .await;
    let before = messages(&recorder).len();
    load.once(program.proxy).await;
    assert_eq!(messages(&recorder).len(), before);
    assert_eq!(stands(&program, "sending").await["kind"], json!(null));
    folder.write("changegate.toml", &(bare + &webhook("hook", &recorder.url, "")));
    stands(&program, "current").await;
    assert!(messages(&recorder).len() > before);
}
