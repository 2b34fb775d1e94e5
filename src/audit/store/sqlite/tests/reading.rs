use super::*;

/// A deployment that moves on, one place at a time, and now and then a whole new one.
#[tokio::test]
async fn documents_are_read_back_through_those_they_are_built_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = opened(&database).await;
    let prompts: Vec<_> = (0..50).map(|n| format!("prompt number {n} of them")).collect();
    let document = |n: usize| json!({"name": format!("n{n}"), "initial_events": prompts});
    let mut former: Option<(Document, _)> = None;
    let mut packed = Vec::new();
    for n in 0..80 {
        let mut entry = whole(Outcome::Failed, &[]);
        let Entry::Whole(opening, _) = &mut entry else { panic!() };
        let document = Document::of(&document(n));
        let filed = document.file(former.as_ref().map(|(former, stored)| (former, *stored)));
        let Ok(SnapshotRef::New(snapshot)) = filed else { panic!() };
        packed.push(snapshot.body.len());
        opening.before = Some(SnapshotRef::New(snapshot));
        let answers = store.write(&[&entry]).await.unwrap();
        let written = answers[0].as_ref().unwrap();
        former = Some((document, written.before.unwrap()));
    }
    let whole: Vec<_> = (0..80).filter(|n| packed[*n] > 60).collect();
    assert_eq!(whole, [0, 32, 64]);
    let (found, _) =
        Reads::of(&database).changes(&Filter::default(), i64::MAX, 100, true).await.unwrap();
    assert_eq!(found.len(), 80);
    for (n, change) in found.iter().rev().enumerate() {
        assert_eq!(change.bodies.as_ref().unwrap().before, Some(document(n)));
    }
}

#[tokio::test]
async fn a_page_ends_where_its_bodies_are_large() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = opened(&database).await;
    let large = Document::of(&json!({"name": "n".repeat(6 << 20)}));
    let mut filed = large.file(None).unwrap();
    for _ in 0..8 {
        let mut entry = whole(Outcome::Failed, &[]);
        let Entry::Whole(opening, _) = &mut entry else { panic!() };
        opening.before = Some(filed);
        let written = store.write(&[&entry]).await.unwrap();
        filed = SnapshotRef::Already(written[0].as_ref().unwrap().before.unwrap());
    }
    let reads = Reads::of(&database);
    let (mut seqs, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = reads.changes(&Filter::default(), before, 7, true).await.unwrap();
        seqs.push(page.0.iter().map(|change| change.seq).collect::<Vec<_>>());
        before = page.0.last().unwrap().seq;
        if !page.1 {
            break;
        }
    }
    assert_eq!(seqs, [vec![8, 7, 6, 5, 4, 3], vec![2, 1]]);
    let (without, _) = reads.changes(&Filter::default(), i64::MAX, 9, false).await.unwrap();
    assert_eq!(without.len(), 8);
}

#[tokio::test]
async fn the_path_filter_finds_a_place_and_what_is_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = opened(&database).await;
    let entries = [
        whole(Outcome::Failed, &["/name", "/schedule/expression"]),
        whole(Outcome::Failed, &["/schedule"]),
        whole(Outcome::Failed, &["/schedules", "/Schedule/x", "/a_b"]),
    ];
    let entries: Vec<&Entry> = entries.iter().collect();
    store.write(&entries).await.unwrap();
    let reads = Reads::of(&database);
    let cases: [(&str, &[i64]); 4] =
        [("/schedule", &[2, 1]), ("/schedule/expression", &[1]), ("/aXb", &[]), ("/a_b", &[3])];
    for (path, expected) in cases {
        let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
        let (found, _) = reads.changes(&filter, i64::MAX, 10, false).await.unwrap();
        assert_eq!(found.iter().map(|change| change.seq).collect::<Vec<_>>(), expected, "{path}");
    }
}

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
    let asked = tokio::time::timeout(Duration::from_secs(5), reads.unclear("dep_1"));
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
