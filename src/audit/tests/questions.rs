use super::*;
use crate::audit::query::{ActorFilter, Cursor, QueryError};
use crate::audit::record::RefusedBody;
use crate::policy::{Enforcement, Violation};

#[tokio::test]
async fn pages_joined_are_the_whole_list_while_it_grows() {
    let world = World::new();
    let audit = world.start().await;
    for n in 0..25 {
        audit.record(intent(&format!("dep_{}", n % 7)), ended(Outcome::Failed)).await.unwrap();
    }
    let whole = changes(audit.reader(), &Filter::default()).await;
    let (mut joined, mut cursor) = (Vec::new(), None);
    loop {
        let page = PageRequest { limit: 4, cursor };
        let page = audit.reader().changes(&Filter::default(), page, true).await.unwrap();
        joined.extend(page.data.into_iter().map(|change| change.seq));
        audit.record(intent("dep_new"), ended(Outcome::Failed)).await.unwrap();
        assert_eq!(page.has_more, page.next_cursor.is_some());
        let Some(next) = page.next_cursor else { break };
        cursor = Some(Cursor::parse(&next).unwrap());
    }
    assert_eq!(joined, whole.iter().map(|change| change.seq).collect::<Vec<_>>());

    let page = PageRequest { limit: 3, cursor: None };
    let first = audit.reader().deployments(page, true).await.unwrap();
    assert_eq!(first.data[0].id, "dep_new");
    assert_eq!(first.data[0].changes, 7);
    assert_eq!(first.data[1].name.as_deref(), Some("old"));
    // That they change meanwhile moves none of them, and adds none.
    for n in [0, 3, 9] {
        audit.record(intent(&format!("dep_{n}")), ended(Outcome::Failed)).await.unwrap();
    }
    let page =
        PageRequest { limit: 9, cursor: first.next_cursor.map(|c| Cursor::parse(&c).unwrap()) };
    let rest = audit.reader().deployments(page, true).await.unwrap();
    assert!(!rest.has_more);
    let walked = first.data.iter().chain(&rest.data);
    let walked: Vec<_> = walked.map(|found| (found.id.as_str(), found.changes)).collect();
    let expected = ["dep_new", "dep_3", "dep_2", "dep_1", "dep_0", "dep_6", "dep_5", "dep_4"];
    let changes = [7, 4, 4, 4, 4, 3, 3, 3];
    assert_eq!(walked, expected.into_iter().zip(changes).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_is_read_back_as_it_was_written() {
    let world = World::new();
    let audit = world.start().await;
    let violation = Violation {
        rule: "timezones".to_owned(),
        enforcement: Enforcement::Deny,
        path: "/schedule/timezone".to_owned(),
        message: "\"Mars\" is none of the allowed zones".to_owned(),
        actual: Some(json!("Mars")),
    };
    let mut denied = intent("dep_1");
    denied.decision = Decision::Deny;
    denied.violations = vec![violation.clone()];
    denied.standing = vec![violation.clone()];
    let end = Completion { upstream: None, ..ended(Outcome::Denied) };
    let id = audit.record(denied.clone(), end).await.unwrap();
    let read = audit.reader().change(id).await.unwrap().unwrap();
    assert_eq!(read.violations, denied.violations);
    assert_eq!(read.standing, denied.standing);
    assert_eq!((read.decision, read.outcome), (Decision::Deny, Outcome::Denied));
    assert_eq!((read.actor, read.client), (denied.actor, denied.client));
    assert_eq!(read.request_id, denied.request_id.as_str());
    assert_eq!((read.received_at, read.decided_at), (denied.received_at, denied.decided_at));
    assert_eq!(read.completed_at, Some(Timestamp::from_millis(1_000_500)));
    assert_eq!((read.upstream, read.body, read.effect), (None, None, None));
    let bodies = read.bodies.unwrap();
    assert_eq!(
        (bodies.patch, bodies.before, bodies.after),
        (Some(json!({"name": "new"})), denied.before.map(|shown| shown.value().clone()), None)
    );
    assert!(bodies.diff.is_empty());

    let mut refused = intent("dep_1");
    refused.decision = Decision::Refuse;
    refused.decided_at = None;
    (refused.patch, refused.before) = (None, None);
    let body = RefusedBody { bytes: 9, digest: Some("d".to_owned()) };
    refused.refused_body = Some(body.clone());
    let id = audit.record(refused, ended(Outcome::Refused)).await.unwrap();
    let read = audit.reader().change(id).await.unwrap().unwrap();
    assert_eq!(read.body, Some(body));
    assert_eq!(
        read.upstream,
        Some(UpstreamAnswer { call: UpstreamCall::Change, status: None, request_id: None })
    );
    assert_eq!(audit.reader().change(ChangeId::new(read.received_at)).await.unwrap(), None);
}

#[tokio::test]
async fn filters_find_what_they_name_and_nothing_else() {
    let world = World::new();
    let audit = world.start().await;
    let mut wanted = intent("dep_1");
    wanted.operation = Operation::Pause;
    wanted.actor = Actor {
        fingerprint: Fingerprint::from_bytes([2; 8]),
        name: Some("Mei".to_owned()),
        team: Some("growth".to_owned()),
        person: None,
    };
    wanted.client.user_agent = Some("100%_sure/1.0".to_owned());
    wanted.received_at = Timestamp::from_millis(2_000_000);
    wanted.decision = Decision::Warn;
    wanted.violations = vec![Violation {
        rule: "timezones".to_owned(),
        enforcement: Enforcement::Warn,
        path: "/schedule/timezone".to_owned(),
        message: "Mars is none of the zones".to_owned(),
        actual: None,
    }];
    let (id, request_id) = (wanted.id, wanted.request_id.to_string());
    audit.record(wanted, ended(Outcome::Failed)).await.unwrap();
    audit.record(intent("dep_2"), ended(Outcome::Rejected)).await.unwrap();

    let any = Filter::default;
    let tokens = audit.reader().tokens_of("Mei").await.unwrap();
    assert_eq!(tokens, [Fingerprint::from_bytes([2; 8])]);
    let text = |q: &str| Filter { q: Some(q.to_owned()), ..any() };
    let matching = [
        Filter { deployment_id: Some("dep_1".to_owned()), ..any() },
        Filter { actor: Some(ActorFilter::Fingerprint(Fingerprint::from_bytes([2; 8]))), ..any() },
        Filter { actor: Some(ActorFilter::Name("Mei".to_owned())), ..any() },
        Filter {
            actor: Some(ActorFilter::Holder { name: "Other".to_owned(), tokens: tokens.clone() }),
            ..any()
        },
        Filter { team: Some("growth".to_owned()), ..any() },
        Filter { operation: Some(Operation::Pause), ..any() },
        Filter { decision: Some(Decision::Warn), ..any() },
        Filter { outcome: Some(Outcome::Failed), ..any() },
        Filter { rule: Some("timezones".to_owned()), ..any() },
        Filter { request_id: Some(request_id), ..any() },
        Filter { since: Some(Timestamp::from_millis(2_000_000)), ..any() },
        text("DEP_1"),
        text("100%_"),
        text("mei"),
        text("mars is"),
        text(&id.to_string()),
        text("pat_0202"),
    ];
    for filter in matching {
        let found = changes(audit.reader(), &filter).await;
        assert_eq!(found.iter().map(|change| change.id).collect::<Vec<_>>(), [id], "{filter:?}");
    }
    let until = Filter { until: Some(Timestamp::from_millis(2_000_000)), ..any() };
    assert_eq!(changes(audit.reader(), &until).await[0].deployment_id.as_deref(), Some("dep_2"));
    assert!(changes(audit.reader(), &text("1_0")).await.is_empty());
    assert!(changes(audit.reader(), &text("'; DROP TABLE changes")).await.is_empty());
}

#[tokio::test]
async fn a_reader_reads_beside_the_writer_and_without_one() {
    let world = World::new();
    let missing = Reader::open(&world.database().into()).await;
    assert!(matches!(missing, Err(QueryError::Missing { .. })));
    let audit = world.start().await;
    let beside = Reader::open(&world.database().into()).await.unwrap();
    assert_eq!(changes(&beside, &Filter::default()).await.len(), 0);
    audit.record(intent("dep_1"), ended(Outcome::Failed)).await.unwrap();
    assert_eq!(changes(&beside, &Filter::default()).await.len(), 1);
    audit.close(LONG).await;
    drop((audit, beside));
    let alone = Reader::open(&world.database().into()).await.unwrap();
    assert_eq!(changes(&alone, &Filter::default()).await.len(), 1);
}

/// One deployment over time: the second call arrives while the first is under way, and waits its
/// turn.
#[tokio::test]
async fn a_deployment_is_told_as_it_was_at_a_moment() {
    let world = World::new();
    let audit = world.start().await;
    for (received, completed, version) in [(1_000, 1_500, 1), (1_200, 3_000, 2)] {
        let mut call = intent("dep_1");
        call.received_at = Timestamp::from_millis(received);
        call.before = Some(json!({ "version": version }).into());
        let completed_at = Timestamp::from_millis(completed);
        let end = Completion { completed_at, ..ended(Outcome::Rejected) };
        audit.record(call, end).await.unwrap();
    }
    for (asked, expected) in [
        (999, None),
        (1_000, Some((1, 1_000))),
        (1_300, Some((1, 1_000))),
        (1_500, Some((2, 1_500))),
    ] {
        let time = Timestamp::from_millis(asked);
        let found = audit.reader().deployment_at("dep_1", time).await.unwrap();
        let found =
            found.map(|at| (at.deployment["version"].as_i64().unwrap(), at.seen_at.millis()));
        assert_eq!(found, expected, "{asked}");
    }
}

#[tokio::test]
async fn unclear_changes_are_settled_once_by_a_later_snapshot() {
    let world = World::new();
    let audit = world.start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let ticket = audit.open(intent("dep_1")).await.unwrap();
        ids.push(ticket.change());
        assert_eq!(ticket.finish(ended(Outcome::Unknown), LONG).await, Finished::Durable);
    }
    let by = ids[2];
    let told = [Some(true), Some(false), None];
    let snapshot = json!({"name": "new", "token": "hidden"});
    let all = ids.clone();
    let tell = move |change: &Unclear, snapshot: &Value| {
        assert_ne!(snapshot["token"], "hidden");
        assert_eq!(change.patch, Some(json!({"name": "new"})));
        told[all.iter().position(|id| *id == change.id).unwrap()]
    };
    let look = Look { by, is_over: true };
    audit.settle(&dep("dep_other"), &snapshot, look).await;
    audit.settle_as(&dep("dep_1"), &snapshot, look, tell).await;
    assert!(!audit.shared.unsettled.may_have(&dep("dep_1")));
    audit.settle(&dep("dep_1"), &snapshot, look).await;
    for (id, applied) in ids.iter().zip(told) {
        let change = audit.reader().change(*id).await.unwrap().unwrap();
        let settled = change.settled.unwrap();
        assert_eq!((change.outcome, settled.applied), (Outcome::Unknown, applied));
        assert_eq!(settled.by, if *id == by { "answer".to_owned() } else { by.to_string() });
    }
    audit.close(LONG).await;
    assert_eq!(events(audit.reader(), EventKind::Settlement).await.len(), 3);
    let audit = world.start().await;
    assert!(!audit.shared.unsettled.may_have(&dep("dep_1")));
}

/// The whole way of an applied update.
#[tokio::test]
async fn an_applied_change_tells_what_moved() {
    let world = World::new();
    let audit = world.start().await;
    let mut call = intent("dep_1");
    call.before = Some(json!({"id": "dep_1", "name": "old", "updated_at": 1}).into());
    let ticket = audit.open(call).await.unwrap();
    let id = ticket.change();
    let after = json!({"id": "dep_1", "name": "new", "updated_at": 2});
    let end = Completion { after: Some(after.clone().into()), ..ended(Outcome::Applied) };
    assert_eq!(ticket.finish(end, LONG).await, Finished::Durable);
    let bodies = audit.reader().change(id).await.unwrap().unwrap().bodies.unwrap();
    assert_eq!(bodies.after, Some(after));
    let moved: Vec<_> = bodies.diff.iter().map(|d| (d.path.as_str(), d.computed)).collect();
    assert_eq!(moved, [("/name", false), ("/updated_at", true)]);
    let path = |path: &str| Filter { path: Some(path.to_owned()), ..Filter::default() };
    assert_eq!(changes(audit.reader(), &path("/name")).await.len(), 1);
    assert!(changes(audit.reader(), &path("/updated_at")).await.is_empty());
}

#[tokio::test]
async fn the_next_snapshot_tells_whether_an_unclear_change_was_applied() {
    let world = World::new();
    let audit = world.start().await;
    for (deployment, name, applied) in [("dep_1", "new", true), ("dep_2", "old", false)] {
        let mut call = intent(deployment);
        let before = json!({"type": "deployment", "id": deployment, "name": "old", "token": "t"});
        call.before = Some(before.into());
        let id = call.id;
        drop(audit.open(call).await.unwrap());
        let snapshot = json!({"type": "deployment", "id": deployment, "name": name, "token": "t"});
        // The end of a dropped ticket is written beside us: until it is, nothing is found.
        let look = Look { by: id, is_over: true };
        while audit.shared.unsettled.may_have(&dep(deployment)) {
            audit.settle(&dep(deployment), &snapshot, look).await;
        }
        let settled = audit.reader().change(id).await.unwrap().unwrap().settled.unwrap();
        assert_eq!(settled.applied, Some(applied));
    }
}

/// Applies a change, and returns its id.
async fn applied(audit: &Audit, before: Option<Value>, after: Value) -> ChangeId {
    let mut call = intent("dep_1");
    call.operation = before.as_ref().map_or(Operation::Create, |_| Operation::Update);
    call.before = before.map(Into::into);
    let end = Completion { after: Some(after.into()), ..ended(Outcome::Applied) };
    audit.record(call, end).await.unwrap()
}

#[tokio::test]
async fn every_changed_place_is_found_whatever_number_changed() {
    let world = World::new();
    let audit = world.start().await;
    let events = |n: usize, text: &str| -> Vec<Value> {
        (0..n).map(|_| json!({"content": vec![json!({"text": text}); 6]})).collect()
    };
    let cron = |zone: &str| json!({"expression": "0 2 * * *", "timezone": zone});
    let many = |word: &str| -> Value {
        (0..5_000).map(|n| (format!("k{n}"), Value::from(word))).collect()
    };
    let long = "x".repeat(3_000);
    for (before, after, found, missed) in [
        // Many places that sort first.
        (
            Some(json!({"initial_events": events(50, "a"), "schedule": cron("UTC")})),
            json!({"initial_events": events(50, "b"), "schedule": cron("Asia/Tokyo")}),
            vec!["/schedule", "/schedule/timezone", "/initial_events/49/content/5/text"],
            vec!["/schedule/expression", "/name"],
        ),
        // Nothing there, then an object, and back.
        (
            Some(json!({"schedule": null})),
            json!({"schedule": cron("UTC")}),
            vec!["/schedule", "/schedule/timezone", "/schedule/expression"],
            vec!["/schedule/last", "/sched"],
        ),
        (
            Some(json!({"schedule": cron("UTC")})),
            json!({"schedule": null}),
            vec!["/schedule/timezone"],
            vec!["/metadata"],
        ),
        // A create.
        (
            None,
            json!({"schedule": cron("UTC"), "metadata": {"a/b": {"c~": 1}}}),
            vec!["/schedule/timezone", "/metadata/a~1b", "/metadata/a~1b/c~0"],
            vec!["/metadata/a", "/schedule/x", "/metadata/a~1b/c"],
        ),
        // A list of another length.
        (
            Some(json!({"initial_events": events(49, "a")})),
            json!({"initial_events": events(50, "a")}),
            vec!["/initial_events", "/initial_events/49", "/initial_events/49/content"],
            vec!["/initial_event"],
        ),
        // More than can be kept, each of them.
        (
            Some(json!({"metadata": many("a"), "name": "a"})),
            json!({"metadata": many("b"), "name": "b"}),
            vec!["/name", "/metadata/k4999", "/metadata"],
            vec!["/schedule"],
        ),
        // A name that is too long to be kept.
        (
            Some(json!({"resources": [{&long: {"a": 1}}]})),
            json!({"resources": [{&long: {"a": 2}}]}),
            vec!["/resources/0", "/resources/0/x/a"],
            vec!["/resources/1"],
        ),
    ] {
        let id = applied(&audit, before, after).await;
        let is_found = async |filter: Filter| {
            changes(audit.reader(), &filter).await.iter().any(|change| change.id == id)
        };
        for path in found {
            let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
            assert!(is_found(filter).await, "{path}");
        }
        for path in missed {
            let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
            assert!(!is_found(filter).await, "{path}");
        }
    }
}

#[tokio::test]
async fn a_search_looks_through_changed_places_of_both_kinds() {
    let world = World::new();
    let audit = world.start().await;
    let with = |events: usize| json!({"initial_events": vec!["a"; events], "name": events});
    applied(&audit, Some(with(1)), with(2)).await;
    for (text, found) in [("initial_ev", 1), ("/name", 1), ("[\"/", 0), ("/initial_events/", 0)] {
        let filter = Filter { q: Some(text.to_owned()), ..Filter::default() };
        assert_eq!(changes(audit.reader(), &filter).await.len(), found, "{text}");
    }
}

#[tokio::test]
async fn what_a_patch_sets_where_the_server_computes_is_found() {
    let world = World::new();
    let audit = world.start().await;
    let with = |runs: u32| json!({"metadata": {"cas_config": {"stats": {"runs": runs}}}});
    let mut call = intent("dep_1");
    let patch = with(9).as_object().cloned().unwrap();
    call.patch = Some(Arc::new(crate::deployment::patch::Patch { object: patch }));
    call.before = Some(with(1).into());
    let end = Completion { after: Some(with(9).into()), ..ended(Outcome::Applied) };
    let id = audit.record(call, end).await.unwrap();
    let path = "/metadata/cas_config/stats/runs";
    let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
    assert_eq!(changes(audit.reader(), &filter).await[0].id, id);
    let bodies = audit.reader().change(id).await.unwrap().unwrap().bodies.unwrap();
    let moved: Vec<_> = bodies.diff.iter().map(|d| (d.path.as_str(), d.computed)).collect();
    assert_eq!(moved, [(path, false)]);
    applied(&audit, Some(with(9)), with(10)).await;
    assert_eq!(changes(audit.reader(), &filter).await.len(), 1);
}
