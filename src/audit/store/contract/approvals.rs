//! What any store must hold of approvals.

use super::*;
use crate::audit::approval::{
    ApprovalFilter, ApprovalPart, ApprovalState, Decision as Decided, NewApproval, NewTerms,
    Verdict,
};
use crate::audit::entry::IntentRow;
use crate::base::ids::{ApprovalId, ChangeId};
use crate::policy::Decision;

const LATER: Timestamp = Timestamp::from_millis(NOW.millis() + 1_000);
const TOO_LATE: Timestamp = Timestamp::from_millis(NOW.millis() + 3_600_000);

/// An update of `dep_1` by a person, with the part that an approval has in it.
fn asking(decision: Decision, part: ApprovalPart) -> IntentRow {
    let mut row = opening(&json!({"name": "n"}));
    row.intent.actor.person = Some("mei".to_owned());
    row.intent.decision = decision;
    row.intent.approval = Some(part);
    row
}

fn new(terms: NewTerms) -> Box<NewApproval> {
    let (id, person, rules) = (ApprovalId::new(NOW), "mei".to_owned(), vec!["r".to_owned()]);
    Box::new(NewApproval { id, person, opened_at: NOW, rules, terms })
}

/// A change that is denied and asks for approval, and the approval.
pub(in crate::audit) fn denied(asked: u8, voids: Vec<(ApprovalId, String)>) -> (Entry, ApprovalId) {
    let (asked, asks, base) = ([asked; 32], vec![[1; 8]], Some([2; 16]));
    let new = new(NewTerms::Request { expires_at: TOO_LATE, asked, base, asks, voids });
    let id = new.id;
    let opening = asking(Decision::Deny, ApprovalPart::Asks(new));
    let ending = CompletionRow::bare(opening.intent.id, Outcome::Denied, NOW);
    (Entry::Whole(Box::new(opening), Box::new(ending)), id)
}

/// A change that passes by an approval, which is decided at a moment.
fn using(id: ApprovalId, at: Timestamp) -> (Entry, ChangeId) {
    let opening = asking(Decision::Allow, ApprovalPart::Uses { id, at });
    let change = opening.intent.id;
    (Entry::Intent(Box::new(opening)), change)
}

fn ended(change: ChangeId, outcome: Outcome) -> Entry {
    Entry::Completion(Box::new(CompletionRow::bare(change, outcome, LATER)))
}

/// A decision, by a person.
pub(in crate::audit) fn decided(
    id: ApprovalId,
    verdict: Verdict,
    person: &str,
    until: Option<Timestamp>,
) -> Entry {
    let (token, reason) = ("release".to_owned(), "agreed".to_owned());
    let person = person.to_owned();
    Entry::Decision(Box::new(Decided { id, verdict, person, token, reason, at: NOW, until }))
}

fn approved(id: ApprovalId) -> Entry {
    decided(id, Verdict::Approved, "jun", Some(TOO_LATE))
}

/// Writes an approval that is open, one that is used by a change on its way, and one that is
/// approved.
pub(super) async fn some_of_each(store: &mut Store) {
    let [(first, _), (second, used), (third, ready)] = [1, 2, 3].map(|n| denied(n, Vec::new()));
    assert!(taken(store, &[&first, &second, &third]).await.iter().all(|taken| *taken));
    let (using, _change) = using(used, LATER);
    for entry in [approved(used), approved(ready), using] {
        assert_eq!(taken(store, &[&entry]).await, [true]);
    }
}

/// Whether the store takes each of the entries, handed in together.
async fn taken(store: &mut Store, entries: &[&Entry]) -> Vec<bool> {
    let answers = store.write(entries).await.unwrap();
    answers.iter().map(Result::is_ok).collect()
}

async fn state(store: &Store, id: ApprovalId) -> ApprovalState {
    store.reads().approval(id, LATER).await.unwrap().unwrap().state
}

#[tokio::test]
async fn an_approval_is_used_once_and_given_back_by_what_surely_failed_alone() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let (ask, id) = denied(1, Vec::new());
        written(&mut store, &[ask]).await;
        let (first, _) = using(id, LATER);
        assert_eq!(taken(&mut store, &[&first]).await, [false], "nobody has approved it");
        let own = decided(id, Verdict::Approved, "mei", Some(TOO_LATE));
        assert_eq!(taken(&mut store, &[&own]).await, [false], "nobody approves their own");
        let (one, other) = (approved(id), approved(id));
        assert_eq!(taken(&mut store, &[&one, &other]).await, [true, false]);
        let (late, _) = using(id, TOO_LATE);
        assert_eq!(taken(&mut store, &[&late]).await, [false], "its time is over");
        let uses: Vec<_> = (0..8).map(|_| using(id, LATER)).collect();
        let entries: Vec<&Entry> = uses.iter().map(|(entry, _)| entry).collect();
        let answers = taken(&mut store, &entries).await;
        assert_eq!(answers.iter().filter(|taken| **taken).count(), 1, "{answers:?}");
        assert_eq!(state(&store, id).await, ApprovalState::Used);
        let used = uses[answers.iter().position(|taken| *taken).unwrap()].1;
        written(&mut store, &[ended(used, Outcome::Failed)]).await;
        assert_eq!(state(&store, id).await, ApprovalState::Approved);
        let (again, change) = using(id, LATER);
        written(&mut store, &[again, ended(change, Outcome::Unknown)]).await;
        assert_eq!(state(&store, id).await, ApprovalState::Used);
        let told = store.reads().approval(id, LATER).await.unwrap().unwrap();
        let steps: Vec<_> = told.steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(steps, ["approved", "used", "returned", "used"]);
    }
}

#[tokio::test]
async fn what_is_on_its_way_at_a_crash_has_used_its_approval() {
    for place in [Place::file()] {
        let mut store = place.opened().await;
        let (ask, id) = denied(1, Vec::new());
        let (using, _) = using(id, LATER);
        written(&mut store, &[ask]).await;
        written(&mut store, &[approved(id)]).await;
        written(&mut store, &[using]).await;
        drop(store.close().await.unwrap());
        let store = place.opened().await;
        assert_eq!((store.swept(), state(&store, id).await), (1, ApprovalState::Used));
    }
}

#[tokio::test]
async fn the_same_is_asked_for_once_until_it_is_over_or_void() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let ((ask, id), (again, _)) = (denied(1, Vec::new()), denied(1, Vec::new()));
        assert_eq!(taken(&mut store, &[&ask, &again]).await, [true, false]);
        let (voiding, newer) = denied(1, vec![(id, "the deployment moved".to_owned())]);
        written(&mut store, &[voiding]).await;
        assert_eq!(state(&store, id).await, ApprovalState::Void);
        assert_eq!(taken(&mut store, &[&approved(id)]).await, [false]);
        let reads = store.reads();
        assert!(!reads.any_over(LATER).await.unwrap() && reads.any_over(TOO_LATE).await.unwrap());
        written(&mut store, &[Entry::Expiry(TOO_LATE)]).await;
        assert!(!reads.any_over(TOO_LATE).await.unwrap());
        assert_eq!(state(&store, newer).await, ApprovalState::Expired);
        let (third, _) = denied(1, Vec::new());
        written(&mut store, &[third]).await;
        let all = reads.approvals(&ApprovalFilter::default(), LATER, i64::MAX, 9).await.unwrap();
        let states: Vec<_> = all.iter().map(|(_, approval)| approval.state).collect();
        assert_eq!(states, [ApprovalState::Open, ApprovalState::Expired, ApprovalState::Void]);
        for wanted in ApprovalState::ALL {
            let filter = ApprovalFilter { state: Some(wanted), ..ApprovalFilter::default() };
            let found = reads.approvals(&filter, LATER, i64::MAX, 9).await.unwrap();
            assert_eq!(found.len(), states.iter().filter(|state| **state == wanted).count());
        }
    }
}

#[tokio::test]
async fn the_glass_is_broken_again_only_after_a_review_by_somebody_else() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        let broken = || {
            let new = new(NewTerms::BreakGlass { reason: "an outage".to_owned() });
            let id = new.id;
            let row = asking(Decision::Allow, ApprovalPart::BreaksGlass(new));
            (Entry::Intent(Box::new(row)), id)
        };
        let ((first, id), (second, _)) = (broken(), broken());
        assert_eq!(taken(&mut store, &[&first, &second]).await, [true, false]);
        let found = store.reads().broken_glass("mei", Timestamp::from_millis(0)).await.unwrap();
        assert_eq!((found.count, found.unreviewed), (1, Some(id)));
        for (verdict, person, taken_) in [
            (Verdict::Approved, "mei", false),
            (Verdict::Rejected, "jun", true),
            (Verdict::Rejected, "jun", false),
        ] {
            let entry = decided(id, verdict, person, None);
            assert_eq!(taken(&mut store, &[&entry]).await, [taken_], "{verdict:?} {person}");
            let (again, _) = broken();
            assert_eq!(taken(&mut store, &[&again]).await, [false]);
        }
        written(&mut store, &[decided(id, Verdict::Approved, "jun", None)]).await;
        assert_eq!(state(&store, id).await, ApprovalState::Approved);
        let (again, newer) = broken();
        written(&mut store, &[again]).await;
        for (wanted, expected) in [(ApprovalState::Open, newer), (ApprovalState::Approved, id)] {
            let filter = ApprovalFilter { state: Some(wanted), ..ApprovalFilter::default() };
            let found = store.reads().approvals(&filter, LATER, i64::MAX, 9).await.unwrap();
            let found: Vec<_> = found.iter().map(|(_, approval)| approval.id).collect();
            assert_eq!(found, [expected], "{wanted:?}");
        }
    }
}
