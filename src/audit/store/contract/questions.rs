//! Questions, which every kind of store answers alike, word by word.

mod names;

use super::*;
use crate::audit::question::{ActorFilter, KnownPolicy};
use crate::audit::record::{Event, EventKind, Reason, UpstreamAnswer, UpstreamCall};
use crate::audit::store::Walk;
use crate::base::ids::{Fingerprint, Hex, random};
use crate::deployment::diff::Effect;
use crate::policy::{Decision, Enforcement, Violation};
use crate::provider::Operation;

/// Names and words of many scripts, among them signs that LIKE, JSON and SQL have a use for.
const WORDS: [&str; 10] =
    ["Größe", "GROSSE", "50%_off", "夜间", "КОМАНДА", "a\\b", "o'\"neill", "$json$", "a\0b", "é"];

const PATHS: [&str; 6] =
    ["/name", "/schedule/timezone", "/schedule", "/resources/0/url", "/größe", "/a~1b%_"];

const OUTCOMES: [Outcome; 6] = [
    Outcome::Applied,
    Outcome::Failed,
    Outcome::Rejected,
    Outcome::Unknown,
    Outcome::Denied,
    Outcome::Applied,
];

fn at(n: usize) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + i64::try_from(n).unwrap())
}

/// The change number `n`, which differs from the others in everything that is asked for.
pub(super) fn change(n: usize) -> Entry {
    let outcome = OUTCOMES[n % OUTCOMES.len()];
    let mut entry = whole(outcome, &[PATHS[n % PATHS.len()]]);
    let Entry::Whole(opening, ending) = &mut entry else { panic!() };
    let word = WORDS[n % WORDS.len()];
    let document = |state: &str| {
        let document = Document::of(&json!({"name": format!("{word} {n} {state}")}));
        Some(document.file(None).unwrap())
    };
    opening.before = document("before");
    opening.request_id = format!("req_{}", n / 2);
    let intent = &mut opening.intent;
    intent.deployment_id = Some(format!("dep_{}", n % 3));
    intent.upstream = ["main", "cn"][n / 3 % 2].into();
    intent.operation = [Operation::Update, Operation::Pause, Operation::Run][n % 3];
    intent.received_at = at(n);
    intent.actor.fingerprint = Fingerprint::from_bytes([u8::try_from(n % 4).unwrap(); 8]);
    intent.actor.name = (!n.is_multiple_of(3)).then(|| word.to_owned());
    intent.actor.team = (!n.is_multiple_of(5)).then(|| format!("team {}", n % 2));
    intent.client.user_agent = (!n.is_multiple_of(4)).then(|| format!("agent/{word}"));
    intent.client.retry = n.is_multiple_of(7).then_some(3);
    if outcome == Outcome::Denied || n % 8 == 1 {
        let is_denied = outcome == Outcome::Denied;
        intent.decision = if is_denied { Decision::Deny } else { Decision::Warn };
        intent.violations = vec![Violation {
            rule: format!("rule-{}", n % 2),
            enforcement: Enforcement::Deny,
            path: "/name".to_owned(),
            message: format!("{word} is \"no\" name\n"),
            actual: Some(json!(word)),
        }];
    }
    let completion = &mut ending.completion;
    completion.completed_at = at(n + 1);
    if outcome == Outcome::Applied {
        ending.after = document("after");
        completion.effect = Some([Effect::Exact, Effect::Partial][n % 2]);
    }
    if outcome == Outcome::Rejected {
        let (call, request_id) = (UpstreamCall::Change, Some(format!("up_{word}")));
        completion.upstream = Some(UpstreamAnswer { call, status: Some(409), request_id });
        let kind = Some("conflict".to_owned());
        let message = Some(word.to_owned());
        completion.reason = Some(Reason { status: 409, kind, message, is_own: false });
    }
    entry
}

fn happening(n: usize, changed: &str) -> Entry {
    let word = WORDS[n % WORDS.len()];
    let (kind, detail) = match n % 5 {
        0 => (EventKind::Reload, json!({"error": word})),
        1 => (EventKind::OtherWrite, json!({"path": "/v1/deployments/dep_1/x", "status": 200})),
        2 => (EventKind::Settlement, json!({"change": changed, "applied": true})),
        3 => (EventKind::Settlement, json!({"change": "chg_none", "deployment_id": "dep_2"})),
        _ => {
            let held_up = json!([{"deployment_id": "dep_1", "count": 2}]);
            (EventKind::Summary, json!({"refusals": [{"who": word, "held_up": held_up}]}))
        }
    };
    let request_id = n.is_multiple_of(3).then(|| format!("req_{}", n / 3));
    let (actor, client_ip) = (None, None);
    Entry::Happening(Box::new(Event { at: at(n), kind, actor, client_ip, request_id, detail }))
}

/// Everything that can be asked for, and some of it together.
fn filters() -> Vec<Filter> {
    let some = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let mut filters = vec![
        none(),
        Filter { deployment_id: some("dep_1"), ..none() },
        Filter { deployment_ids: Some(vec!["dep_0".into(), "dep_2".into()]), ..none() },
        Filter { deployment_ids: Some(Vec::new()), ..none() },
        Filter { deployment_id: some("dep_9"), outcome: Some(Outcome::Applied), ..none() },
        Filter { actor: Some(ActorFilter::Name("КОМАНДА".into())), ..none() },
        Filter { team: some("team 1"), since: Some(at(7)), until: Some(at(40)), ..none() },
        Filter { operation: Some(Operation::Pause), effect: Some(Effect::Partial), ..none() },
        Filter { request_id: some("req_4"), ..none() },
        Filter { rule: some("rule-1"), ..none() },
        Filter { rule: some("rule-0"), path: some("/schedule"), ..none() },
        Filter { path: some("/resources"), asked_path: some("/resources/0"), ..none() },
        Filter { path: some("/größe"), outcome: Some(Outcome::Unknown), ..none() },
        Filter { asked_path: some("/a~1b%_"), ..none() },
    ];
    let token = Fingerprint::from_bytes([2; 8]);
    filters.push(Filter { actor: Some(ActorFilter::Fingerprint(token)), ..none() });
    let actor = ActorFilter::Holder { name: "é".to_owned(), tokens: vec![token] };
    filters.push(Filter { actor: Some(actor), ..none() });
    filters.extend(OUTCOMES.map(|outcome| Filter { outcome: Some(outcome), ..none() }));
    filters.push(Filter { outcome: Some(Outcome::Pending), ..none() });
    for decision in [Decision::Allow, Decision::Warn, Decision::Deny, Decision::Refuse] {
        filters.push(Filter { decision: Some(decision), ..none() });
    }
    let texts = ["grösse", "GROßE", "50%_", "夜", "команда", "\\", "O'\"N", "$JSON$", "É", "%"];
    for text in texts.into_iter().chain(["dep_1", "REQ_1", "pat_0202", "chg_", "up_", "no\" n"]) {
        filters.push(Filter { q: some(text), ..none() });
        filters.push(Filter { q: some(text), q_in_ids: true, team: some("team 0"), ..none() });
        filters.push(Filter { q: some(text), path: some("/schedule"), ..none() });
    }
    filters
}

/// The answers of a log to all changes that a filter finds, page by page and by a walk.
async fn told(reads: &Reads, filter: &Filter) -> Vec<String> {
    let (mut told, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = reads.changes(filter, before, 4, true).await.unwrap();
        told.extend(page.changes.iter().map(|change| format!("{change:?}")));
        told.push(format!("next {:?}", page.next.is_some()));
        let Some(next) = page.next else { break };
        before = next;
    }
    let mut walk = reads.walk(filter).await.unwrap();
    loop {
        let part = walk.next().await.unwrap();
        if part.is_empty() {
            break;
        }
        told.extend(part.iter().map(|change| format!("{change:?}")));
    }
    // One at a time: a walk has the connection for those.
    drop(walk);
    let all = places(reads.walk(filter).await.unwrap()).await;
    let back = places(reads.walk(filter).await.unwrap().newest_first()).await;
    assert_eq!(back, all);
    told
}

/// The places of all changes of a walk, in order.
async fn places(mut walk: Walk) -> Vec<i64> {
    let mut places = Vec::new();
    loop {
        let part = walk.next().await.unwrap();
        if part.is_empty() {
            places.sort_unstable();
            return places;
        }
        places.extend(part.iter().map(|change| change.seq));
    }
}

async fn told_of_the_rest(reads: &Reads) -> Vec<String> {
    let mut told = Vec::new();
    let id = |text: &str| Some(text.to_owned());
    let none = EventFilter::default;
    for filter in [
        none(),
        EventFilter { deployment_id: id("dep_1"), ..none() },
        EventFilter { deployment_id: id("dep_2"), ..none() },
        EventFilter { deployment_id: id("o'\"neill"), ..none() },
        EventFilter { request_id: id("req_2"), since: Some(at(3)), until: Some(at(9)), ..none() },
        EventFilter { q: id("grösse"), ..none() },
        EventFilter { q: id("O'\\\"N"), ..none() },
        EventFilter { q: id("SUMMARY"), ..none() },
    ] {
        let found = reads.events(&filter, i64::MAX, 7).await.unwrap();
        told.push(format!("{filter:?} {found:?}"));
    }
    for n in [0, 1, 9, 30, 99] {
        for id in ["dep_0", "dep_1", "dep_9"] {
            told.push(format!("{:?}", reads.deployment_at(id, at(n)).await.unwrap()));
        }
    }
    told.push(format!("{:?}", reads.deployments(i64::MAX, None, 9, true).await.unwrap()));
    let ids = ["dep_1", "dep_9", "dep_0"].map(str::to_owned);
    told.push(format!("{:?}", reads.deployment_names(&ids).await.unwrap()));
    for text in ["GRÖSSE", "команда", "after", "夜间 3", "\\", "%"] {
        told.push(format!("{:?}", reads.deployments_named(text, 4).await.unwrap()));
    }
    let mut tokens = reads.tokens_of("夜间").await.unwrap();
    tokens.sort_by_key(|token| token.as_u64());
    told.push(format!("{tokens:?} {:?}", reads.policies(9).await.unwrap()));
    told.push(format!("{:?}", reads.policy("p").await.unwrap()));
    // Records become leaves at once in one kind, and a moment later in the other.
    let known = reads.known_policies().await.unwrap().into_iter();
    let known = known.map(|known| KnownPolicy { first_at: None, ..known });
    told.push(format!("{:?}", known.collect::<Vec<_>>()));
    let mut unsettled = reads.unsettled(9).await.unwrap();
    unsettled.sort_by_key(|(key, _count)| format!("{key:?}"));
    for (key, _count) in &unsettled {
        told.push(format!("{:?}", reads.unclear(key).await.unwrap()));
    }
    told.push(format!("{unsettled:?}"));
    told
}

/// Changes of every kind, events, and a change that stays open.
pub(super) fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..60).map(change).collect();
    let third = entries[3].id().unwrap().to_string();
    entries.extend((0..20).map(|n| happening(n, &third)));
    entries.push(Entry::Intent(Box::new(opening(&json!({"name": "on its way"})))));
    entries
}

/// Writes them, none of which is refused.
pub(super) async fn written_in_parts(store: &mut Store, entries: &[Entry]) {
    for part in entries.chunks(9) {
        assert!(
            store.write(&part.iter().collect::<Vec<_>>()).await.unwrap().iter().all(Result::is_ok)
        );
    }
}

/// The answers of a log to all questions, each with its question at the end.
pub(super) async fn answers(reads: &Reads) -> Vec<Vec<String>> {
    let mut answers = vec![told_of_the_rest(reads).await];
    for filter in filters() {
        let mut told = told(reads, &filter).await;
        told.push(format!("{filter:?}"));
        answers.push(told);
    }
    answers
}

/// Holds that answers of two logs are the same.
pub(super) fn are_same(here: &[Vec<String>], there: &[Vec<String>]) {
    assert_eq!(here.len(), there.len());
    for (here, there) in here.iter().zip(there) {
        // PostgreSQL has no text with NUL.
        let told = |told: &String| told.replace(['\u{fffd}', '\0'], "").replace("\\0", "");
        let [here, there] = [here, there].map(|all| all.iter().map(told).collect::<Vec<_>>());
        assert!(here == there, "{:?}\n{here:#?}\n{there:#?}", there.last());
    }
}

#[tokio::test]
async fn every_question_has_the_same_answer_on_each_kind() {
    let entries = entries();
    let mut first: Option<Vec<Vec<String>>> = None;
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        written_in_parts(&mut store, &entries).await;
        let answers = answers(&store.reads()).await;
        if let Some(first) = &first {
            are_same(&answers, first);
        }
        first.get_or_insert(answers);
    }
}

/// An update whose body packs to no less than its random part.
fn huge() -> Entry {
    let opening = opening(&json!({ "name": Hex(&random::<200_000>()).to_string() }));
    let ending = CompletionRow::bare(opening.intent.id, Outcome::Failed, NOW);
    Entry::Whole(Box::new(opening), Box::new(ending))
}

#[tokio::test]
async fn a_walk_holds_few_huge_changes_at_once_whatever_its_way() {
    for place in Place::of_each_kind().await {
        let mut store = place.opened().await;
        for _ in 0..20 {
            written(&mut store, &[huge()]).await;
        }
        for is_newest_first in [false, true] {
            let walk = store.reads().walk(&Filter::default()).await.unwrap();
            let mut walk = if is_newest_first { walk.newest_first() } else { walk };
            let mut places = Vec::new();
            loop {
                let part = walk.next().await.unwrap();
                if part.is_empty() {
                    break;
                }
                assert!(part.len() < 10, "{} changes of 400 kB at once", part.len());
                places.extend(part.iter().map(|change| change.seq));
            }
            places.sort_unstable();
            assert_eq!(places, (1..=20).collect::<Vec<i64>>(), "each comes once");
        }
    }
}
