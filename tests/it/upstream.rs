//! Requests that upstream did not process, and connections that it gives up.

use serde_json::json;

use crate::world::http2_upstream::{Does, Http2Upstream};
use crate::world::{Call, call};

const AGENTS: &str = "/api/v1/cloud/agents";
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn what_upstream_did_not_process_goes_once_more_on_another_connection() {
    // The read before it has come first.
    let scripts: [&[&[Does]]; 3] = [
        &[&[Does::Answers, Does::GoesAway(0)]],
        &[&[Does::Answers, Does::Resets(REFUSED_STREAM)]],
        &[&[Does::GoesAway(0)], &[Does::Answers, Does::GoesAway(0)]],
    ];
    for script in scripts {
        let upstream = Http2Upstream::start(script, &[]).await;
        let world = upstream.world().start().await;
        let answer = world.update(&json!({"name": "x"})).await;
        assert_eq!(answer.status, 200, "{script:?}: {}", answer.text());
        assert_eq!(world.change_of(&answer).await["outcome"], "applied", "{script:?}");
        assert_eq!(upstream.seen().iter().sum::<usize>(), 2 + script.len(), "{script:?}");
    }
    let upstream = Http2Upstream::start(&[&[Does::GoesAway(0)]], &[]).await;
    let world = upstream.world().start().await;
    assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
    assert_eq!(upstream.seen(), [1, 1]);
}

#[tokio::test]
async fn what_upstream_never_processes_has_failed_and_changed_nothing() {
    const REFUSED: Does = Does::Resets(REFUSED_STREAM);
    let script: &[&[Does]] = &[&[Does::Answers, REFUSED], &[REFUSED], &[REFUSED]];
    let upstream = Http2Upstream::start(script, &[]).await;
    let world = upstream.world().start().await;
    let answer = world.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("nothing was changed"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(world.change_of(&answer).await["outcome"], "failed");
    assert_eq!(upstream.seen(), [2, 1], "once more, and not again");
    // A body that is passed on as it comes is gone: its client is told that nothing was done.
    let post = Call::post("/api/v1/cloud/files").body("x");
    let answer = call(world.proxy(), post).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("nothing was done"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), None);
}

#[tokio::test]
async fn what_upstream_may_have_processed_is_not_sent_again() {
    let scripts: [&[&[Does]]; 5] = [
        &[&[Does::Answers, Does::GoesAwayAfter]],
        &[&[Does::Answers, Does::Closes]],
        &[&[Does::Answers, Does::Resets(ENHANCE_YOUR_CALM)]],
        &[&[Does::Answers, Does::GoesAway(ENHANCE_YOUR_CALM)]],
        // INTERNAL_ERROR.
        &[&[Does::Answers, Does::Resets(2)]],
    ];
    for script in scripts {
        let upstream = Http2Upstream::start(script, &[]).await;
        let world = upstream.world().start().await;
        let answer = world.update(&json!({"name": "x"})).await;
        assert_eq!(answer.status, 502, "{script:?}: {}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{script:?}");
        assert_eq!(world.change_of(&answer).await["outcome"], "unknown", "{script:?}");
        assert_eq!(upstream.writes(), 1, "{script:?}");
    }
}
