//! Break-glass: a listed person passes at once, says why, and somebody else reviews it.

use super::*;
use crate::world::recorder::{Recorder, answer};

const GLASS: &str = "[break_glass]\npersons = ['mei']\nper_day = 2\n";

async fn world() -> World {
    let policy = format!("{POLICY}{GLASS}");
    Setup::new().config(&config("")).policy(&policy).start().await
}

fn rename_by_glass(token: &str, name: &str, reason: &str) -> Call {
    let update = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(token);
    update.header("changegate-break-glass", reason).json(&json!({"name": name}))
}

async fn break_glass(world: &World, name: &str) -> Answer {
    call(world.proxy(), rename_by_glass(MEI, name, "the nightly run is down")).await
}

#[tokio::test]
async fn a_listed_person_passes_with_a_reason_and_waits_for_a_review_before_the_next_time() {
    let world = world().await;
    let passed = break_glass(&world, "v2").await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.header("changegate-decision"), Some("allow"));
    let review = passed.header("changegate-approval").unwrap().to_owned();
    let change = change_of(&world, &passed).await;
    assert_eq!(change["decision"], "allow");
    assert_eq!(change["break_glass"]["reason"], "the nightly run is down");
    assert_eq!(change["break_glass"]["approval"], review);
    assert_eq!(change["violations"][0]["rule"], "renames");
    let open = approval(&world, &review).await;
    assert_eq!((&open["kind"], &open["state"]), (&json!("break_glass"), &json!("open")));

    // The header does nothing now, and the change asks as any other.
    let second = break_glass(&world, "v3").await;
    waits(&second);
    let message = second.text();
    assert!(message.contains(&review) && message.contains("review"), "{message}");
    assert_eq!(decide(&world, "meis", &review, "approve").await.status, 403);
    assert_eq!(decide(&world, "release", &review, "reject").await.status, 200);
    waits(&break_glass(&world, "v3").await);
    assert_eq!(decide(&world, "root", &review, "approve").await.status, 200);
    assert_eq!(break_glass(&world, "v3").await.status, 200);
    let change = change_of(&world, &passed).await;
    assert_eq!(change["break_glass"]["decided"]["by"], "wang.li");
    let events = ask(&world, "/api/v1/events").await;
    let kind = |event: &&Value| event["kind"] == "break_glass";
    assert_eq!(events["data"].as_array().unwrap().iter().filter(kind).count(), 4);

    // Twice a day each.
    let reviews = ask(&world, "/api/v1/approvals?kind=break_glass&state=open").await;
    let last = reviews["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(decide(&world, "release", &last, "approve").await.status, 200);
    let third = break_glass(&world, "v4").await;
    waits(&third);
    assert!(third.text().contains("2 times within 24 hours"), "{}", third.text());
}

#[tokio::test]
async fn the_glass_turns_what_is_denied_and_nothing_else() {
    let world = world().await;
    let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"});
    let call_ = rename_by_glass(MEI, "v2", "短消息：夜间任务停了，值班同意")
        .json(&json!({"schedule": schedule}));
    let passed = call(world.proxy(), call_).await;
    assert_ne!(passed.status, 403, "{}", passed.text());
    let change = change_of(&world, &passed).await;
    assert_eq!(
        (&change["decision"], &change["violations"][0]["enforcement"]),
        (&json!("allow"), &json!("deny"))
    );
    assert!(change["break_glass"]["reason"].as_str().unwrap().starts_with("短消息"));
    let garbled =
        rename_by_glass(MEI, "v2", "the nightly run is down").body("{\"name\": 1, \"name\": 2}");
    assert_eq!(call(world.proxy(), garbled).await.status, 400);
    // What passes by itself needs no glass.
    let plain = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(MEI);
    let plain = plain.header("changegate-break-glass", "the nightly run is down");
    let plain = call(world.proxy(), plain.json(&json!({"description": "d"}))).await;
    assert_eq!((plain.status.as_u16(), plain.header("changegate-approval")), (200, None));
    assert!(change_of(&world, &plain).await["break_glass"].is_null());
}

#[tokio::test]
async fn who_is_not_listed_or_says_nothing_is_told_so() {
    let world = world().await;
    for (token, reason, told) in [
        (JUN, "the nightly run is down", "not in break_glass.persons"),
        (ROBOT, "the nightly run is down", "not in break_glass.persons"),
        (MEI, "short", "10 characters"),
        (MEI, "...........", "a letter or a digit"),
    ] {
        let answer = call(world.proxy(), rename_by_glass(token, "v2", reason)).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains(told), "{token} {reason}: {}", answer.text());
    }
    let without = super::world().await;
    let answer = break_glass(&without, "v2").await;
    assert!(answer.text().contains("has no [break_glass]"), "{}", answer.text());
    assert_eq!(world.writes_received() + without.writes_received(), 0);
}

#[tokio::test]
async fn of_many_who_break_it_at_once_one_does() {
    let policy = format!("{POLICY}{GLASS}");
    let world = Setup::new().config(&config("")).policy(&policy).workers(2).start().await;
    let calls = (0..16).map(|n| {
        let broken = create(MEI, &format!("n{n}"));
        let broken = broken.header("changegate-break-glass", "the nightly run is down");
        tokio::spawn(call(world.proxy(), broken))
    });
    let mut passed = 0;
    for answer in calls.collect::<Vec<_>>() {
        passed += u8::from(answer.await.unwrap().status.is_success());
    }
    assert_eq!(passed, 1);
}

#[tokio::test]
async fn upstream_never_sees_the_header() {
    let recorder = Recorder::start(|_| answer(200, json!({"id": "x"}))).await;
    let setup = Setup::new().config(&config("")).policy(POLICY).upstream(&recorder.url);
    let world = setup.start().await;
    for path in [BASE.to_owned(), "/api/v1/cloud/agents".to_owned()] {
        let sent = Call::post(&path).token(MEI).header("changegate-break-glass", "a reason given");
        let sent = sent.header("changegate-approval", "apr_1").header("changegate-decision", "x");
        call(world.proxy(), sent.json(&json!({"name": "n"}))).await;
    }
    assert!(!recorder.received().is_empty());
    for received in recorder.received() {
        let ours = received.headers.keys().find(|name| name.as_str().starts_with("changegate-"));
        assert_eq!(ours, None, "{} {}", received.method, received.target);
    }
}
