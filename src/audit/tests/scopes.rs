use super::*;
use crate::audit::record::EventKind;
use crate::audit::record::Reason;
use crate::base::key::Token;
use crate::deployment::patch::Patch;
use crate::policy::evaluate::evaluate;
use crate::policy::load::load;
use crate::policy::subject::Subject;
use crate::policy::{Enforcement, Violation};
use crate::provider::Provider;

async fn recorded(audit: &Audit, intent: Intent, end: Completion) -> Value {
    let id = audit.record(intent, end).await.unwrap();
    serde_json::to_value(audit.reader().change(id).await.unwrap().unwrap()).unwrap()
}

async fn created(audit: &Audit, actor: u8, id: &str) -> Value {
    let mut call = intent(id);
    call.operation = Operation::Create;
    call.actor.fingerprint = Fingerprint::from_bytes([actor; 8]);
    (call.deployment_id, call.before) = (None, None);
    call.patch = Some(asked(&json!({"metadata": {"password": "12345"}})));
    let ticket = audit.open(call).await.unwrap();
    let change = ticket.change();
    let after = json!({"id": id, "metadata": {"password": "12345"}});
    let mut end = Completion { after: Some(after.into()), ..ended(Outcome::Applied) };
    end.deployment_id = Some(id.to_owned());
    assert_eq!(ticket.finish(end, LONG).await, Finished::Durable);
    serde_json::to_value(audit.reader().change(change).await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn equal_secrets_show_as_equal_within_one_history_only() {
    let world = World::new();
    let audit = world.start().await;
    let (one, two) = (created(&audit, 1, "dep_1").await, created(&audit, 2, "dep_2").await);
    let digest = |change: &Value, body: &str| change[body]["metadata"]["password"].clone();
    assert_ne!(digest(&one, "patch"), digest(&two, "patch"), "of two actors");
    assert_ne!(digest(&one, "after"), digest(&two, "after"), "of two deployments");

    let mut update = intent("dep_1");
    let shown = json!({"id": "dep_1", "metadata": {"password": "12345"}});
    update.before = Some(shown.clone().into());
    update.patch = Some(asked(&json!({"metadata": {"password": "12345"}})));
    let end = Completion { after: Some(shown.into()), ..ended(Outcome::Applied) };
    let update = recorded(&audit, update, end).await;
    for body in ["before", "patch", "after"] {
        assert_eq!(digest(&update, body), digest(&one, "after"), "{body}");
    }
    let guess = created(&audit, 1, "dep_3").await;
    assert_ne!(digest(&guess, "patch"), digest(&one, "after"), "a guess is sent elsewhere");
    audit.close(LONG).await;
}

fn forbidden(value: &Value) -> Violation {
    Violation {
        rule: "metadata.forbidden_keys".to_owned(),
        enforcement: Enforcement::Warn,
        path: "/metadata/owner~1x".to_owned(),
        message: format!("metadata.forbidden_keys: `owner/x` may not be {value}"),
        actual: Some(value.clone()),
    }
}

#[tokio::test]
async fn the_value_of_a_forbidden_key_is_concealed_wherever_it_was_sent() {
    let world = World::new();
    let audit = world.start().await;
    for value in [json!("hunter2"), json!("1"), json!({"deep": ["hunter2", {"token": "x"}]})] {
        let mut call = intent("dep_1");
        call.patch = Some(asked(&json!({"metadata": {"owner/x": value, "plain": "stays"}})));
        call.violations = vec![forbidden(&value)];
        call.decision = Decision::Deny;
        let message = Some(call.policy.denial(&call.violations));
        let kind = Some("permission_error".to_owned());
        let reason = Some(Reason { status: 403, kind, message, is_own: true });
        let end = Completion { reason, ..ended(Outcome::Denied) };
        let change = recorded(&audit, call, end).await;
        let told = change["reason"]["message"].as_str().unwrap();
        assert!(told.contains("hmac-sha256:") && !told.contains("hunter2"), "{change}");
        let actual = &change["violations"][0]["actual"];
        assert!(actual.as_str().unwrap().starts_with("hmac-sha256:"), "{change}");
        assert_eq!(change["patch"]["metadata"], json!({"owner/x": actual, "plain": "stays"}));
        assert_eq!(change["redacted"], json!(["/patch/metadata/owner~1x"]));
        assert!(!change["violations"].to_string().contains("hunter2"), "{change}");
    }
    audit.close(LONG).await;
}

#[tokio::test]
async fn a_change_with_a_forbidden_value_is_settled_like_any_other() {
    let world = World::new();
    let audit = world.start().await;
    let value = json!("hunter2");
    let mut call = intent("dep_1");
    call.before = Some(json!({"id": "dep_1", "metadata": {"owner/x": "other"}}).into());
    call.patch = Some(asked(&json!({"metadata": {"owner/x": value}})));
    call.violations = vec![forbidden(&value)];
    let ticket = audit.open(call).await.unwrap();
    let change = ticket.change();
    assert_eq!(ticket.finish(ended(Outcome::Unknown), LONG).await, Finished::Durable);
    let snapshot = json!({"id": "dep_1", "metadata": {"owner/x": "hunter2"}});
    let look = Look { by: ChangeId::new(Timestamp::from_millis(1_000_000)), is_over: false };
    audit.settle(&dep("dep_1"), &snapshot, look).await;
    let change = audit.reader().change(change).await.unwrap().unwrap();
    assert_eq!(change.settled.unwrap().applied, Some(true));
    audit.close(LONG).await;
}

/// A change that the policy denies, in which the caller's token stands where texts are cut.
fn cut_at(shown: usize, token: &Token) -> Intent {
    let secret = token.expose();
    let before = |bytes: usize| "u".repeat(bytes - shown) + secret;
    let object = json!({
        "schedule": {"timezone": before(64), "expression": format!("TZ={} * * * * *", before(64))},
        "metadata": {secret: before(256), before(128): 1, "x": {"y": before(256)}},
    });
    let provider = Provider::named("qoder-cn").unwrap();
    let patch = Patch { object: object.as_object().unwrap().clone() };
    let policy = "timezones.allowed = ['UTC']\nmetadata.key_pattern = '[A-Z]'";
    let subject = Subject::of(provider, None, &patch);
    let mut call = intent("dep_1");
    call.violations =
        evaluate(&load(policy, Provider::ALL[0]).unwrap(), &subject).findings.violations;
    assert_eq!(call.violations.len(), 5, "{:?}", call.violations);
    (call.token, call.patch) = (token.clone(), Some(asked(&object)));
    call.client.user_agent = Some(before(256));
    call.decision = Decision::Deny;
    call
}

#[tokio::test]
async fn no_part_of_a_token_is_left_where_a_text_is_cut() {
    let world = World::new();
    let audit = world.start().await;
    let token = Token::new("Zq3kR9/wLm~4xT7vB2nC8dF1gH5jK6pS0aE");
    let bytes = token.expose().len();
    // A part this short is found in ordinary words.
    let (part, _rest) = token.expose().split_at(8);
    let escaped = part.replace('~', "~0").replace('/', "~1");
    for shown in 0..=bytes {
        let call = cut_at(shown, &token);
        let actor = call.actor.fingerprint;
        let mut end = ended(Outcome::Denied);
        let request_id = Some("r".repeat(128 - shown) + token.expose());
        end.upstream =
            Some(UpstreamAnswer { call: UpstreamCall::Change, status: Some(400), request_id });
        let change = recorded(&audit, call, end).await;
        let told = change.to_string();
        assert!(!told.contains(part) && !told.contains(&escaped), "{shown}: {told}");
        let cut = |field: &Value| field.as_str().unwrap().len();
        assert!(cut(&change["client"]["user_agent"]) <= 256);
        assert!(cut(&change["upstream"]["request_id"]) <= 128);
        for violation in change["violations"].as_array().unwrap() {
            assert!(violation["actual"].to_string().len() <= 256 + 8, "{violation}");
        }
        let encoded = token.expose().replace('Z', "%5A").replace('/', "%2f");
        for token_in_path in [token.expose(), &encoded] {
            let path = format!("/{}{token_in_path}/x", "p".repeat(510 - shown));
            let path = audit.scrub_and_cut(&path, 512, (actor, &token));
            assert!(path.len() <= 512 && !path.contains(part), "{path}");
            let known = ["%5Aq3kR9", "Zq3kR9"];
            assert!(!known.iter().any(|known| path.contains(known)), "{path}");
        }
    }
    audit.close(LONG).await;
    assert!(!holds(world.folder.path(), part) && !holds(world.folder.path(), &escaped));
}

#[tokio::test]
async fn an_event_is_told_within_the_scope_of_its_actor() {
    let world = World::new();
    let audit = world.start().await;
    for actor in [Some(1), Some(2), Some(1), None] {
        let fingerprint = actor.map(|byte| Fingerprint::from_bytes([byte; 8]));
        audit.note(Event {
            at: Timestamp::from_millis(1_000_000),
            kind: EventKind::OtherWrite,
            actor: fingerprint.map(|fingerprint| Actor {
                fingerprint,
                name: None,
                team: None,
                person: None,
            }),
            client_ip: None,
            request_id: None,
            detail: json!({"path": "/x/pt-0123456789"}),
        });
    }
    audit.close(LONG).await;
    let audit = world.start().await;
    let told = events(audit.reader(), EventKind::OtherWrite).await;
    let paths: Vec<_> = told.iter().map(|event| event.detail["path"].clone()).collect();
    assert_eq!(paths.len(), 4);
    assert!(paths[1] == paths[3] && paths[2] != paths[3] && paths[0] != paths[3], "{paths:?}");
    audit.close(LONG).await;
}
