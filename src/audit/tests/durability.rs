use std::future::{Future as _, poll_fn};
use std::mem;
use std::task::Poll;

use tokio::task::JoinSet;

use super::*;
use crate::audit::store::interfere;

#[tokio::test]
async fn many_changes_share_few_commits() {
    let world = World::new();
    let audit = world.start().await;
    let mut calls = JoinSet::new();
    for n in 0..300 {
        let audit = audit.clone();
        calls.spawn(async move {
            let ticket = audit.open(intent(&format!("dep_{n}"))).await.unwrap();
            ticket.finish(ended(Outcome::Rejected), LONG).await
        });
    }
    let all = calls.join_all().await;
    assert!(all.iter().all(|finished| *finished == Finished::Durable));
    let counters = audit.counters();
    assert!(counters.commits <= 60, "{counters:?}");
    assert!(counters.rows >= 600, "{counters:?}");
    assert_eq!(counters.changes_open, 0);
    let rejected = Filter { outcome: Some(Outcome::Rejected), ..Filter::default() };
    assert_eq!(changes(audit.reader(), &rejected).await.len(), 300);
}

#[tokio::test]
async fn what_a_crash_leaves_open_is_unknown_at_the_next_start() {
    let world = World::new();
    let audit = world.start().await;
    let ticket = audit.open(intent("dep_1")).await.unwrap();
    let change = ticket.change();
    mem::forget(ticket);
    audit.close(Duration::ZERO).await;

    let audit = world.start().await;
    let left = audit.reader().change(change).await.unwrap().unwrap();
    assert_eq!((left.outcome, left.upstream), (Outcome::Unknown, None));
    assert!(audit.shared.unsettled.may_have(&dep("dep_1")));
    audit.close(LONG).await;
    let starts = events(audit.reader(), EventKind::Start).await;
    assert_eq!(starts[0].detail["unknown"], 1);
    assert_eq!(starts[1].detail["unknown"], 0);
}

#[tokio::test]
async fn a_dropped_ticket_ends_as_unknown() {
    let world = World::new();
    let audit = world.start().await;
    drop(audit.open(intent("dep_1")).await.unwrap());
    assert!(audit.shared.unsettled.may_have(&dep("dep_1")));
    audit.close(LONG).await;
    let [left] = &changes(audit.reader(), &Filter::default()).await[..] else { panic!() };
    assert_eq!(left.outcome, Outcome::Unknown);
    assert_eq!(audit.counters().changes_open, 0);
}

#[tokio::test]
async fn a_second_gateway_is_told_who_has_the_log() {
    let world = World::new();
    let audit = world.start().await;
    let Err(StartError::Held { holder, .. }) = world.try_start().await else { panic!() };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    audit.close(LONG).await;
    world.start().await.close(LONG).await;
}

#[tokio::test]
async fn a_closed_log_takes_no_record() {
    let world = World::new();
    let audit = world.start().await;
    audit.close(LONG).await;
    assert!(audit.open(intent("dep_1")).await.is_err());
    assert!(audit.record(intent("dep_1"), ended(Outcome::Failed)).await.is_err());
    assert!(matches!(audit.health(), Health::Failing(_)));
}

#[tokio::test]
async fn closing_waits_for_what_is_open() {
    let world = World::new();
    let audit = world.start().await;
    let ticket = audit.open(intent("dep_1")).await.unwrap();
    let (finished, ()) =
        tokio::join!(ticket.finish(ended(Outcome::Rejected), LONG), audit.close(LONG));
    assert_eq!(finished, Finished::Durable);
}

/// Gives up on opening at once, or when the intent is on disk and before hearing of it.
#[tokio::test]
async fn an_intent_that_nobody_waits_for_never_stays_pending() {
    let world = World::new();
    let audit = world.start().await;
    let all = Filter::default();
    let (mut on_disk, mut heard) = (0, 0);
    for n in 0..30 {
        let mut opening = Box::pin(audit.open(intent("dep_1")));
        let ready = poll_fn(|context| Poll::Ready(opening.as_mut().poll(context).is_ready())).await;
        while n % 2 == 1 && !ready && changes(audit.reader(), &all).await.len() == on_disk {}
        on_disk = changes(audit.reader(), &all).await.len();
        heard += usize::from(ready);
    }
    audit.close(LONG).await;
    let left = changes(audit.reader(), &all).await;
    assert!(left.len() >= 15, "{}", left.len());
    let ended = |outcome| left.iter().filter(|change| change.outcome == outcome).count();
    assert_eq!(ended(Outcome::Failed) + heard, left.len());
    assert_eq!(ended(Outcome::Unknown), heard);
}

#[tokio::test]
async fn one_bad_row_fails_alone() {
    let world = World::new();
    let audit = world.start().await;
    let mut bad = intent("dep_1");
    bad.deployment_id = None;
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let (audit, intent) = (audit.clone(), if n == 5 { bad.clone() } else { intent("dep_1") });
        calls.spawn(async move { audit.record(intent, ended(Outcome::Failed)).await.is_ok() });
    }
    let written = calls.join_all().await.into_iter().filter(|written| *written).count();
    assert_eq!(written, 9);
    assert_eq!(audit.health(), Health::Writable);
    assert_eq!(changes(audit.reader(), &Filter::default()).await.len(), 9);
}

#[tokio::test]
async fn a_completion_outlives_a_store_that_fails_for_a_while() {
    let world = World::new();
    let audit = world.start().await;
    let mut health = audit.shared.queues.watch_health();
    let ticket = audit.open(intent("dep_1")).await.unwrap();
    let change = ticket.change();
    let away = "ALTER TABLE heartbeat RENAME TO heartbeat_away; \
        ALTER TABLE changes RENAME TO changes_away";
    interfere(&world.database(), away).await.unwrap();

    let finished = ticket.finish(ended(Outcome::Rejected), Duration::ZERO).await;
    assert_eq!(finished, Finished::Deferred);
    health.wait_for(|health| *health != Health::Writable).await.unwrap();
    assert!(audit.open(intent("dep_2")).await.is_err());

    let back = "ALTER TABLE changes_away RENAME TO changes; \
        ALTER TABLE heartbeat_away RENAME TO heartbeat";
    interfere(&world.database(), back).await.unwrap();
    health.wait_for(|health| *health == Health::Writable).await.unwrap();
    audit.close(LONG).await;
    let change = audit.reader().change(change).await.unwrap().unwrap();
    assert_eq!(change.outcome, Outcome::Rejected);
}

#[tokio::test]
async fn a_store_that_fails_comes_back_without_traffic() {
    let world = World::new();
    let audit = world.start().await;
    let mut health = audit.shared.queues.watch_health();
    interfere(&world.database(), "ALTER TABLE changes RENAME TO changes_away").await.unwrap();
    assert!(audit.open(intent("dep_1")).await.is_err());
    assert!(matches!(audit.health(), Health::Failing(reason) if reason.contains("changes")));
    interfere(&world.database(), "ALTER TABLE changes_away RENAME TO changes").await.unwrap();
    health.wait_for(|health| *health == Health::Writable).await.unwrap();
    drop(audit.open(intent("dep_1")).await.unwrap());
}

#[tokio::test]
async fn events_beyond_the_queue_are_counted() {
    let world = World::new();
    let audit = world.start().await;
    let at = Timestamp::from_millis(1_000_000);
    let event = Event {
        at,
        kind: EventKind::OtherWrite,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!({"path": "/x?key=pt-0123456789abcdef"}),
    };
    let dropped = || Some(audit.counters().events_dropped).filter(|dropped| *dropped > 0);
    let dropped = (0..1_000_000).find_map(|_n| {
        audit.note(event.clone());
        dropped()
    });
    let dropped = dropped.expect("a queue without end");
    audit.close(LONG).await;
    let told = events(audit.reader(), EventKind::Dropped).await;
    let told: u64 = told.iter().map(|event| event.detail["count"].as_u64().unwrap()).sum();
    assert_eq!(told, dropped);
    assert!(!holds(world.folder.path(), "pt-0123456789abcdef"));
}

#[tokio::test]
async fn no_file_of_the_log_holds_a_secret() {
    let world = World::new();
    let audit = world.start().await;
    let (pat, secret) = ("pt-T0kenT0kenT0ken", "S3cretS3cretS3cret");
    let mut with_secrets = intent("dep_1");
    with_secrets.patch = Some(asked(&json!({
        "metadata": {"customer": secret, "note": format!("Bearer {pat}"), pat: 1},
        "environment_variables": format!("A={secret};B={secret}"),
    })));
    with_secrets.before = Some(json!({"resources": [{"authorization_token": secret}]}).into());
    with_secrets.client.user_agent = Some(format!("curl {pat}"));
    with_secrets.request_id = RequestId::well_formed(pat).unwrap();
    let ticket = audit.open(with_secrets).await.unwrap();
    let change = ticket.change();
    let mut end = ended(Outcome::Rejected);
    end.upstream = Some(UpstreamAnswer {
        call: UpstreamCall::Change,
        status: Some(400),
        request_id: Some(pat.to_owned()),
    });
    assert_eq!(ticket.finish(end, LONG).await, Finished::Durable);

    let whole = audit.reader().change(change).await.unwrap().unwrap();
    let text = serde_json::to_string(&whole).unwrap();
    assert!(!text.contains(pat) && !text.contains(secret), "{text}");
    assert!(whole.redacted.contains(&"/patch/environment_variables".to_owned()));
    assert!(whole.redacted.contains(&"/before/resources/0/authorization_token".to_owned()));
    assert!(!holds(world.folder.path(), pat) && !holds(world.folder.path(), secret));
    audit.close(LONG).await;
    assert!(!holds(world.folder.path(), pat) && !holds(world.folder.path(), secret));
    assert!(holds(world.folder.path(), "hmac-sha256:"));
}
