//! Changes found by the names of their deployments.

use super::*;
use crate::audit::store::named::BESIDE;

/// A change of a deployment that is named so before it.
fn named(upstream: &str, id: &str, name: &str) -> Entry {
    let mut entry = whole(Outcome::Failed, &[]);
    let Entry::Whole(opening, _) = &mut entry else { panic!() };
    opening.intent.upstream = upstream.into();
    opening.intent.deployment_id = Some(id.to_owned());
    opening.before = Some(Document::of(&json!({ "name": name })).file(None).unwrap());
    entry
}

fn sought(text: &str) -> Filter {
    Filter { q: Some(text.to_owned()), ..Filter::default() }
}

/// The places of all changes that a filter finds, by pages of one.
async fn found(reads: &Reads, filter: &Filter) -> Vec<i64> {
    let (mut seqs, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = reads.changes(filter, before, 1, false).await.unwrap();
        seqs.extend(page.changes.iter().map(|change| change.seq));
        let Some(next) = page.next else { return seqs };
        before = next;
    }
}

#[tokio::test]
async fn a_deployment_is_found_by_its_newest_name() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let entries = [
            named("main", "a", "Weekly digest"),
            named("main", "b", "Größe der WEEKLY reports"),
            named("main", "c", "夜间"),
            whole(Outcome::Failed, &[]),
        ];
        written(&mut store, &entries).await;
        let reads = store.reads();
        let cases: [(&str, usize, &[&str]); 6] = [
            ("weekly", 9, &["b", "a"]),
            ("weekly", 1, &["b"]),
            ("GRÖSSE", 9, &["b"]),
            ("夜", 9, &["c"]),
            ("%", 9, &[]),
            ("dep_1", 9, &[]),
        ];
        for (text, most, expected) in cases {
            let ids = reads.deployments_named(text, most).await.unwrap();
            assert_eq!(ids, expected, "{text}");
        }
        // What was read before is not what is told of a deployment that has another name now.
        let entries = [named("main", "a", "Monthly"), named("cn", "c", "weekly too")];
        written(&mut store, &entries).await;
        for (text, expected) in [("weekly", &["c", "b"][..]), ("monthly", &["a"]), ("digest", &[])]
        {
            let ids = reads.deployments_named(text, 9).await.unwrap();
            assert_eq!(ids, expected, "{text}");
        }
    }
}

/// Names that were read are not told any more once anything has made others of them.
#[tokio::test]
async fn the_end_of_a_change_may_name_its_deployment() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let open = opening(&json!({"name": "new"}));
        let id = open.intent.id;
        written(&mut store, &[named("main", "dep_1", "old"), Entry::Intent(Box::new(open))]).await;
        let reads = store.reads();
        for _ in 0..2 {
            assert_eq!(reads.deployments_named("OLD", 9).await.unwrap(), ["dep_1"]);
            assert_eq!(found(&reads, &sought("OLD")).await, [2, 1]);
        }
        let mut ending = CompletionRow::bare(id, Outcome::Applied, NOW);
        ending.after = Some(Document::of(&json!({"name": "new"})).file(None).unwrap());
        written(&mut store, &[Entry::Completion(Box::new(ending))]).await;
        for _ in 0..2 {
            assert_eq!(reads.deployments_named("new", 9).await.unwrap(), ["dep_1"]);
            assert_eq!(found(&reads, &sought("new")).await, [2, 1]);
            assert!(reads.deployments_named("old", 9).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_text_finds_every_change_of_deployments_with_it_in_their_names() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let entries = [
            named("main", "a", "Weekly digest"),
            named("main", "b", "other"),
            named("cn", "a", "neither"),
            named("main", "a", "WEEKLY digest"),
            named("main", "weekly", "other"),
            whole(Outcome::Rejected, &["/weekly"]),
        ];
        written(&mut store, &entries).await;
        let reads = store.reads();
        // By place, by id, and by name: of the deployments of one id the one that is named so.
        assert_eq!(found(&reads, &sought("weekly")).await, [6, 5, 4, 1]);
        let in_ids = Filter { q_in_ids: true, ..sought("weekly") };
        assert_eq!(found(&reads, &in_ids).await, [5], "names are told to no viewer");
        let narrowed = Filter { path: Some("/weekly".to_owned()), ..sought("weekly") };
        assert_eq!(found(&reads, &narrowed).await, [6]);
        written(&mut store, &[named("main", "a", "renamed")]).await;
        assert_eq!(found(&reads, &sought("weekly")).await, [6, 5]);
        assert_eq!(found(&reads, &sought("RENAMED")).await, [7, 4, 1]);
    }
}

#[tokio::test]
async fn a_text_is_looked_for_in_so_many_names_those_changed_last() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let most = i64::try_from(BESIDE.found_max).unwrap();
        let entries: Vec<Entry> =
            (0..most + 6).map(|n| named("main", &format!("id_{n}"), "alike")).collect();
        written(&mut store, &entries).await;
        written(&mut store, &[named("main", "id_0", "alike")]).await;
        let reads = store.reads();
        let found = found(&reads, &sought("ALIKE")).await;
        let newest = (8..most + 8).rev().chain([1]).collect::<Vec<_>>();
        assert_eq!(found, newest);
        let ids = reads.deployments_named("alike", BESIDE.found_max + 9).await.unwrap();
        assert_eq!((ids.len(), ids[0].as_str()), (BESIDE.found_max + 6, "id_0"));
    }
}
