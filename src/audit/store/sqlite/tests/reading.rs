use super::*;
use crate::audit::approval::ApprovalState;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::question::ActorFilter;
use crate::audit::store::approval_rows::standing;
use crate::audit::store::indexed::IndexRange;
use crate::audit::store::named::newest_documents;
use crate::audit::store::page::SEARCHED_MAX;
use crate::audit::store::sqlite::approvals::{AMONG, APPROVAL};
use crate::audit::store::sqlite::asking::Asking;
use crate::audit::store::sqlite::columns::CHANGE;
use crate::audit::store::sqlite::filter::{Sought, push_filter};
use crate::audit::store::sqlite::leaves::within;
use crate::audit::store::sqlite::searched::push_ranges;
use crate::base::clock::Timestamp;
use crate::deployment::key::DeploymentKey;
use crate::policy::Decision;
use sqlx::QueryBuilder;

#[tokio::test]
async fn a_damaged_snapshot_takes_away_one_name_and_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = filled(&database).await;
    let mut other = opening(&json!({}));
    other.intent.deployment_id = Some("dep_2".to_owned());
    other.before = Some(Document::of(&json!({"name": "two"})).file(None).unwrap());
    store.write(&[&Entry::Intent(Box::new(other))]).await.unwrap();
    let damage = "DROP TRIGGER snapshots_stay; UPDATE snapshots SET digest = zeroblob(32) \
        WHERE number = 1";
    interfere(&database, damage).await.unwrap();
    let found = Reads::of(&database).deployments(i64::MAX, None, 9, true).await.unwrap();
    let found: Vec<_> = found.iter().map(|(_, one)| (&*one.id, one.name.as_deref())).collect();
    assert_eq!(found, [("dep_2", Some("two")), ("dep_1", None)]);
}

#[tokio::test]
async fn a_governed_call_asks_beside_every_operator() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let reads = Reads::of(&database);
    let _busy = reads.every_connection_of_operators().await;
    let deployment = DeploymentKey::new(&"main".into(), "dep_1");
    let asked = tokio::time::timeout(Duration::from_secs(5), reads.unclear(&deployment));
    assert_eq!(asked.await.expect("an answer at once").unwrap().len(), 1);
}

#[tokio::test]
async fn a_deployments_past_is_found_by_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let connection = store.connection.as_mut().unwrap();
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {DEPLOYMENT_AT}"));
    let steps = sqlx::query(plan).bind("dep_1").bind(1).fetch_all(connection).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    // Of what is looked through whole, each is a subquery with one row.
    let whole = |step: &&String| step.starts_with("SCAN") && !step.starts_with("SCAN (subquery");
    assert_eq!(steps.iter().find(whole), None, "{steps:#?}");
    let by_index = steps.iter().filter(|step| step.contains("INDEX changes_deployment"));
    assert!(by_index.count() >= 3, "{steps:#?}");
}

/// The cost of finding names grows with the deployments, and not with their changes.
#[tokio::test]
async fn the_newest_documents_are_found_by_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let connection = store.connection.as_mut().unwrap();
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", newest_documents(9, 5)));
    let steps = sqlx::query(plan).fetch_all(connection).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    let scans = |step: &&String| step.starts_with("SCAN") && *step != "SCAN newest";
    assert_eq!(steps.iter().find(scans), None, "{steps:#?}");
    let by_index = steps.iter().filter(|step| step.contains("INDEX changes_deployment"));
    assert_eq!(by_index.count(), 2, "{steps:#?}");
}

/// Rows as many as a page may be searched for, and some more.
async fn many(database: &Path, rows: i64) {
    let copied = format!(
        "WITH RECURSIVE n (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM n WHERE n < {rows} + 9) \
         INSERT INTO changes (seq, id, upstream, policy, node, operation, deployment, \
         actor_fingerprint, client_ip, received_at, decided_at, decision, request_id) \
         SELECT n, unhex(printf('%032x', n)), upstream, policy, node, operation, deployment, \
         actor_fingerprint, client_ip, received_at, decided_at, decision, 'x' \
         FROM n, changes WHERE seq = 1; \
         INSERT INTO places VALUES (70, '/metadata/a'); \
         INSERT INTO touched SELECT 70, seq, 0 FROM changes WHERE seq >= 10"
    );
    interfere(database, &copied).await.unwrap();
}

#[tokio::test]
async fn a_search_ends_where_enough_was_searched_and_tells_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    many(&database, SEARCHED_MAX + 1_500).await;
    let reads = Reads::of(&database);
    let request_id = reads.changes(&Filter::default(), 2, 1, false).await.unwrap().changes;
    let request_id = request_id[0].request_id.clone();
    let sought = [
        Filter { q: Some(request_id.clone()), ..Filter::default() },
        Filter { q: Some(request_id), path: Some("/name".to_owned()), ..Filter::default() },
        Filter {
            path: Some("/metadata/a".to_owned()),
            since: Some(Timestamp::from_millis(i64::MAX / 2)),
            ..Filter::default()
        },
    ];
    let first = reads.changes(&sought[0], i64::MAX, 9, false).await.unwrap();
    assert_eq!((first.changes.len(), first.next), (0, Some(1_500)));
    let second = reads.changes(&sought[0], 1_500, 9, false).await.unwrap();
    assert_eq!((second.changes.len(), second.next), (1, None));
    // An index names what is looked at.
    let named = reads.changes(&sought[1], i64::MAX, 9, false).await.unwrap();
    assert_eq!((named.changes.len(), named.next), (0, None));
    let named = reads.changes(&sought[2], i64::MAX, 9, false).await.unwrap();
    assert_eq!((named.changes.len(), named.next), (0, Some(1_500)));
    let named = reads.changes(&sought[2], 1_500, 9, false).await.unwrap();
    assert_eq!((named.changes.len(), named.next), (0, None));
}

/// The cost of a search does not grow with the changes of the places whose paths hold its text.
#[tokio::test]
async fn a_search_looks_each_place_up() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let mut query = QueryBuilder::new("EXPLAIN QUERY PLAN ");
    query.push(CHANGE).push(" WHERE c.seq < 9");
    let filter = Filter { q: Some("/".to_owned()), ..Filter::default() };
    let reads = Reads::of(&database);
    let mut asking = Asking::on(&reads.pool).await.unwrap();
    let sought = Sought::by(&mut asking, &reads.names, &filter).await.unwrap();
    push_filter(&mut query, &sought);
    let plan = query.build().fetch_all(&mut *asking).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let looks_up = |step: &&String| step.contains("(place=? AND kind=? AND seq=?)");
    assert!(plan.iter().any(|step| looks_up(&step)), "{plan:#?}");
}

/// Each way to changes is an index in the order of their places, and each change that it names is
/// looked up.
#[tokio::test]
async fn what_is_asked_for_is_found_by_an_index_and_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let mut connection = options(&database).connect().await.unwrap();
    for (range, index) in IndexRange::of_each_kind() {
        let mut query = QueryBuilder::new("EXPLAIN QUERY PLAN SELECT seq FROM (");
        push_ranges(&mut query, &[range], (3, 9), 5);
        query.push(") ORDER BY seq DESC LIMIT 5");
        let plan = query.build().fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let scans = |step: &&String| step.starts_with("SCAN") && !step.contains("(subquery");
        assert_eq!(plan.iter().find(scans), None, "{range:?}: {plan:#?}");
        assert!(plan.iter().any(|step| step.contains(index)), "{range:?}: {plan:#?}");
        // The one sort is that of the parts of several ranges.
        let sorts = plan.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        assert!(sorts <= 1, "{range:?}: {plan:#?}");
    }
    // As many deployments as a name may stand for, side by side.
    let mut query = QueryBuilder::new("EXPLAIN QUERY PLAN SELECT DISTINCT seq FROM (");
    let ranges: Vec<_> = (1..=64).map(IndexRange::Deployment).collect();
    push_ranges(&mut query, &ranges, (3, 9), 5);
    query.push(") ORDER BY seq DESC LIMIT 5");
    let plan = query.build().fetch_all(&mut connection).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let by_index = "SEARCH changes USING COVERING INDEX changes_deployment (deployment=? AND seq>";
    assert_eq!(plan.iter().filter(|step| step.starts_with(by_index)).count(), 64, "{plan:#?}");
    let filter = Filter {
        deployment_ids: Some(vec!["dep_1".to_owned(), "dep_2".to_owned()]),
        actor: Some(ActorFilter::Name("n".to_owned())),
        team: Some("t".to_owned()),
        request_id: Some("r".to_owned()),
        since: Some(NOW),
        until: Some(NOW),
        outcome: Some(Outcome::Denied),
        decision: Some(Decision::Deny),
        rule: Some("r".to_owned()),
        path: Some("/name".to_owned()),
        ..Filter::default()
    };
    let mut query = QueryBuilder::new("EXPLAIN QUERY PLAN ");
    query.push(CHANGE).push(" WHERE c.seq IN (SELECT value FROM json_each('[1, 2]'))");
    let reads = Reads::of(&database);
    let mut asking = Asking::on(&reads.pool).await.unwrap();
    let sought = Sought::by(&mut asking, &reads.names, &filter).await.unwrap();
    push_filter(&mut query, &sought);
    query.push(" ORDER BY c.seq DESC");
    let plan = query.build().fetch_all(&mut connection).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let by_place = "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)";
    assert!(plan.iter().any(|step| step == by_place), "{plan:#?}");
    assert!(!plan.iter().any(|step| step.contains("AUTOMATIC")), "{plan:#?}");
}

/// Sealing and verifying read on: what a part of the leaves costs does not grow with the others.
#[tokio::test]
async fn records_of_leaves_are_found_by_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let connection = store.connection.as_mut().unwrap();
    // No end comes late here: one gateway writes.
    for kind in LeafKind::ALL.into_iter().filter(|kind| *kind != LeafKind::Late) {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", within(kind)));
        let steps = sqlx::query(plan).bind(1).bind(9).fetch_all(&mut *connection).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{steps:#?}");
        let by_position = "SEARCH l USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        assert!(steps.iter().any(|step| step == by_position), "{steps:#?}");
    }
}

/// What waits is found however many there were.
#[tokio::test]
async fn approvals_that_are_alive_are_found_without_looking_through_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let (now, part) = (Timestamp::from_millis(1), Some((9, 9)));
    for state in [ApprovalState::Open, ApprovalState::Approved, ApprovalState::Expired] {
        let mut query = QueryBuilder::<sqlx::Sqlite>::new("EXPLAIN QUERY PLAN ");
        query.push(APPROVAL).push(" WHERE a.number < 9");
        query.push(standing(state, now, part, AMONG)).push(" ORDER BY a.number DESC LIMIT 9");
        let mut connection = options(&database).connect().await.unwrap();
        let plan = query.build().fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(plan[0].starts_with("SEARCH a") && plan[0].ends_with("(rowid=?)"), "{plan:#?}");
        // Steps, and what was let through by break-glass, are looked through by their own indexes.
        for step in plan.iter().filter(|step| step.starts_with("SCAN ")) {
            let few = ["SCAN live_approvals", "SCAN p", "SCAN r", "SCAN x", "SCAN ("];
            let is_few = few.iter().any(|few| step.starts_with(few));
            let indexes = ["INDEX approval_steps_expired", "INDEX approvals_break_glass"];
            let is_few_rows = *step == "SCAN t" && !step.contains("INDEX");
            let is_indexed = indexes.iter().any(|index| step.ends_with(index));
            assert!(is_few || is_indexed || is_few_rows, "{step}: {plan:#?}");
        }
    }
}
