//! The asking side.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::audit::approval::ApprovalState;
use crate::audit::question::{EventFilter, Filter};
use crate::audit::store::approval_rows::standing;
use crate::audit::store::indexed::IndexRange;
use crate::audit::store::named::newest_documents;
use crate::audit::store::postgres::approvals::{AMONG, APPROVAL};
use crate::audit::store::postgres::link::connect;
use crate::audit::store::postgres::searched::named;
use crate::audit::store::rows::cell;
use crate::base::clock::Timestamp;

async fn seqs(reads: &Reads, before: i64) -> Vec<i64> {
    let found = reads.changes(&Filter::default(), before, 9, false).await.unwrap();
    found.changes.iter().map(|change| change.seq).collect()
}

#[tokio::test]
async fn questions_are_answered_though_the_server_ended_the_sessions() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    let reads = writes.reads();
    for n in 1..4 {
        writes.write(&[&whole(Outcome::Failed, &[])]).await.unwrap()[0].as_ref().unwrap();
        assert_eq!(seqs(&reads, i64::MAX).await.len(), n);
        log.end_sessions();
    }
}

/// A question that is given up takes its connection with it, and others are asked over a new one.
#[tokio::test]
async fn a_question_that_is_given_up_leaves_its_place_to_the_next() {
    let Some(log) = Log::new().await else { return };
    let reads = log.opened().await.reads();
    let mut asking = reads.operators.ask().await.unwrap();
    let slow = timeout(Duration::from_millis(50), asking.rows("SELECT pg_sleep(5)"));
    assert!(slow.await.is_err());
    drop(asking);
    assert!(seqs(&reads, i64::MAX).await.is_empty());
}

/// A number that is given to a transaction which has not ended may come later than a higher one: no
/// page shows the higher one before.
#[tokio::test]
async fn a_page_waits_for_those_who_write_and_then_stays() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    let reads = writes.reads();
    writes.write(&[&whole(Outcome::Failed, &[])]).await.unwrap();
    assert_eq!(seqs(&reads, i64::MAX).await, [1]);
    let (mut other, _lags) = connect(&log.url).await.unwrap();
    let writing = "BEGIN; SELECT pg_advisory_xact_lock_shared(1128743252, 1)";
    sqlx::raw_sql(writing).execute(&mut other).await.unwrap();
    let early = timeout(Duration::from_millis(200), seqs(&reads, i64::MAX));
    assert!(early.await.is_err(), "another may be writing a lower number");
    // What lies below is decided.
    assert_eq!(seqs(&reads, 2).await, [1]);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    writes.write(&[&whole(Outcome::Failed, &[]), &event()]).await.unwrap();
    assert_eq!(seqs(&reads, i64::MAX).await, [2, 1]);
    let events = reads.events(&EventFilter::default(), i64::MAX, 9).await.unwrap();
    assert_eq!(events.events.len(), 1);
}

/// What waits, or whose time is over, is found however many approvals there ever were.
#[tokio::test]
async fn approvals_that_wait_or_are_over_are_found_without_looking_through_the_others() {
    let Some(log) = Log::new().await else { return };
    let reads = log.opened().await.reads();
    let mut asking = reads.operators.ask().await.unwrap();
    // A table without rows is read whole by whom nothing keeps from it.
    asking.rows("SET enable_seqscan = off").await.unwrap();
    let (now, part) = (Timestamp::from_millis(1), Some((9, 9)));
    for state in [ApprovalState::Open, ApprovalState::Approved, ApprovalState::Expired] {
        let query = format!(
            "EXPLAIN {APPROVAL} WHERE a.number < 9{} ORDER BY a.number DESC LIMIT 9",
            standing(state, now, part, AMONG)
        );
        let plan = asking.rows(&query).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| cell(row, "QUERY PLAN").unwrap()).collect();
        let plan = plan.join("\n");
        let by_number = "Index Cond: ((number < 9) AND (number = ANY (";
        assert!(plan.contains(by_number), "{plan}");
        let is_over = state == ApprovalState::Expired;
        assert_eq!(plan.contains("approval_steps_expired"), is_over, "{plan}");
    }
}

/// Each way to changes is an index in the order of their places.
#[tokio::test]
async fn what_is_asked_for_is_found_by_an_index() {
    let Some(log) = Log::new().await else { return };
    let reads = log.opened().await.reads();
    let mut asking = reads.operators.ask().await.unwrap();
    asking.rows("SET enable_seqscan = off").await.unwrap();
    asking.rows("SET enable_bitmapscan = off").await.unwrap();
    let newest = asking.rows(&format!("EXPLAIN {}", newest_documents(9, 5))).await.unwrap();
    let newest: Vec<String> = newest.iter().map(|row| cell(row, "QUERY PLAN").unwrap()).collect();
    assert!(!newest.iter().any(|step| step.contains("Seq Scan")), "{newest:#?}");
    let by_index = newest.iter().filter(|step| step.contains("changes_deployment"));
    assert_eq!(by_index.count(), 2, "{newest:#?}");
    for (range, index) in IndexRange::of_each_kind() {
        let plan = asking.rows(&format!("EXPLAIN {}", named(&[range], (3, 9), 5))).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| cell(row, "QUERY PLAN").unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && plan.contains("Index"), "{range:?}: {plan}");
        assert!(!plan.contains("Sort"), "{range:?}: {plan}");
    }
}
