use super::*;
use crate::audit::query::{ActorFilter, Cursor};
use crate::deployment::diff::Effect;
use crate::fuzzing::seeded;
use crate::fuzzing::source::Source;

const DEPLOYMENTS: [&str; 4] = ["dep_1", "dep_2", "dep_3", "dep_4"];
const TEAMS: [Option<&str>; 3] = [None, Some("growth"), Some("ops")];
const OUTCOMES: [Outcome; 4] =
    [Outcome::Failed, Outcome::Rejected, Outcome::Unknown, Outcome::Applied];

fn any_intent(source: &mut Source<'_>) -> Intent {
    let mut call = intent(source.pick(&DEPLOYMENTS));
    call.operation = source.pick(&[Operation::Update, Operation::Pause, Operation::Run]);
    let team = source.pick(&TEAMS).map(str::to_owned);
    let fingerprint = Fingerprint::from_bytes([source.pick(&[1, 2]); 8]);
    call.actor =
        Actor { fingerprint, name: team.as_ref().map(|_| "Mei".to_owned()), team, person: None };
    // In another order than that of arrival: clocks go back, and calls wait for their turn.
    call.received_at = Timestamp::from_millis(1_000_000 + i64::from(source.byte()) * 1_000);
    call.decision = source.pick(&[Decision::Allow, Decision::Warn]);
    call
}

fn any_filter(source: &mut Source<'_>) -> Filter {
    let mut filter = Filter::default();
    let actor = ActorFilter::Fingerprint(Fingerprint::from_bytes([1; 8]));
    for _ in 0..source.below(3) {
        let moment = Timestamp::from_millis(1_000_000 + i64::from(source.byte()) * 1_000);
        match source.below(11) {
            0 => filter.deployment_id = Some(source.pick(&DEPLOYMENTS).to_owned()),
            1 => filter.actor = Some(actor.clone()),
            2 => filter.actor = Some(ActorFilter::Name("Mei".to_owned())),
            3 => filter.team = Some("ops".to_owned()),
            4 => filter.operation = Some(Operation::Pause),
            5 => filter.decision = Some(Decision::Warn),
            6 => filter.outcome = Some(source.pick(&OUTCOMES)),
            7 => filter.since = Some(moment),
            8 => filter.until = Some(moment),
            9 => filter.effect = Some(source.pick(&[Effect::Exact, Effect::None])),
            _ => filter.q = Some(source.pick(&["DEP_2", "mei", "growth", "1"]).to_owned()),
        }
    }
    filter
}

/// Whether the filter asks for the change, searching aside.
fn fits(change: &Change, filter: &Filter) -> bool {
    let actor = |wanted: &ActorFilter| match wanted {
        ActorFilter::Fingerprint(fingerprint) => change.actor.fingerprint == *fingerprint,
        ActorFilter::Name(name) | ActorFilter::Holder { name, .. } => {
            change.actor.name.as_ref() == Some(name)
        }
    };
    let id = filter.deployment_id.as_ref();
    id.is_none_or(|id| change.deployment_id.as_ref() == Some(id))
        && filter.actor.as_ref().is_none_or(actor)
        && filter.team.as_ref().is_none_or(|team| change.actor.team.as_ref() == Some(team))
        && filter.operation.is_none_or(|operation| change.operation == operation)
        && filter.decision.is_none_or(|decision| change.decision == decision)
        && filter.outcome.is_none_or(|outcome| change.outcome == outcome)
        && filter.effect.is_none_or(|effect| change.effect == Some(effect))
        && filter.since.is_none_or(|since| change.received_at >= since)
        && filter.until.is_none_or(|until| change.received_at < until)
}

async fn joined(reader: &Reader, filter: &Filter, source: &mut Source<'_>) -> Vec<Change> {
    let (mut joined, mut cursor, bodies) = (Vec::new(), None, source.flip());
    loop {
        let limit = source.pick(&[1, 2, 7, 50, 100, 1_000]).max(u16::from(source.byte() / 8));
        let page = reader.changes(filter, PageRequest { limit, cursor }, bodies).await.unwrap();
        assert!(page.data.len() <= usize::from(limit), "{limit}");
        assert_eq!(page.has_more, page.next_cursor.is_some());
        joined.extend(page.data.into_iter().map(|change| Change { bodies: None, ..change }));
        let Some(next) = page.next_cursor else { return joined };
        cursor = Some(Cursor::parse(&next).unwrap());
    }
}

#[test]
fn pages_of_any_size_joined_are_the_whole_under_any_filter() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    seeded::each(2, 32 << 10, |source| {
        runtime.block_on(async {
            let world = World::new();
            let audit = world.start().await;
            for _ in 0..150 {
                let outcome = source.pick(&OUTCOMES);
                audit.record(any_intent(source), ended(outcome)).await.unwrap();
            }
            let all = changes(audit.reader(), &Filter::default()).await;
            assert_eq!(all.len(), 150);
            for _ in 0..40 {
                let filter = any_filter(source);
                let whole = changes(audit.reader(), &filter).await;
                assert_eq!(joined(audit.reader(), &filter, source).await, whole, "{filter:?}");
                let expected = all.iter().filter(|change| fits(change, &filter));
                if filter.q.is_none() {
                    assert_eq!(whole, expected.cloned().collect::<Vec<_>>(), "{filter:?}");
                }
            }
        });
    });
}
