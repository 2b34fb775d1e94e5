//! Changes that take others back.

use super::*;

#[tokio::test]
async fn a_change_names_the_one_that_it_takes_back() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let (former, mut latter) = (opening(&json!({})), opening(&json!({})));
        let (reverted, id) = (former.intent.id, latter.intent.id);
        latter.intent.reverts = Some(reverted);
        let entries = [former, latter].map(|opened| Entry::Intent(Box::new(opened)));
        written(&mut store, &entries).await;
        for (id, expected) in [(id, Some(reverted)), (reverted, None)] {
            assert_eq!(store.reads().change(id).await.unwrap().unwrap().reverts, expected);
        }
    }
}
