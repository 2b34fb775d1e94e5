use serde_json::{Value, json};

use super::table::Table;
use super::*;
use crate::audit::record::{
    Bodies, Change, Client, Event, EventKind, Outcome, Reason, RefusedBody, Settlement, Unkept,
    UpstreamAnswer, UpstreamCall,
};
use crate::base::ids::{ChangeId, Fingerprint};
use crate::deployment::diff::{Difference, DifferenceOp, Effect};
use crate::policy::{Actor, Decision, Enforcement, Violation};
use crate::provider::Operation;

const AT: Timestamp = Timestamp::from_millis(1_781_427_491_123);

fn difference(path: &str, from: Option<Value>, to: Option<Value>, computed: bool) -> Difference {
    let (op, path) = (DifferenceOp::Replace, path.to_owned());
    Difference { op, path, from, to, computed, write_only: false }
}

/// A change that was applied.
fn applied() -> Change {
    let text = |text: &str| Some(json!(text));
    Change {
        id: ChangeId::from_bytes(&[7; 16]).unwrap(),
        seq: 3,
        provider: "qoder-cn".to_owned(),
        upstream_name: "main".to_owned(),
        node: "main".to_owned(),
        reason: None,
        approval: None,
        reverts: None,
        break_glass: None,
        operation: Operation::Update,
        method: Some("POST".to_owned()),
        deployment_id: Some("dep_1".to_owned()),
        actor: Actor {
            fingerprint: Fingerprint::from_bytes([1; 8]),
            name: Some("夜间".to_owned()),
            team: Some("platform".to_owned()),
            person: None,
        },
        client: Client {
            ip: "10.0.0.9".to_owned(),
            user_agent: Some("curl\u{1b}[2J".to_owned()),
            retry: None,
        },
        request_id: "req_1".to_owned(),
        received_at: AT,
        decided_at: Some(AT),
        completed_at: Some(Timestamp::from_millis(AT.millis() + 41)),
        decision: Decision::Allow,
        violations: Vec::new(),
        standing: Vec::new(),
        after_violations: Vec::new(),
        outcome: Outcome::Applied,
        settled: None,
        late: None,
        upstream: Some(UpstreamAnswer {
            call: UpstreamCall::Change,
            status: Some(200),
            request_id: Some("up_1".to_owned()),
        }),
        bodies: Some(Bodies {
            patch: Some(json!({"name": "weekly"})),
            before: Some(json!({})),
            after: Some(json!({})),
            diff: vec![
                difference("/description", None, text("new\nline"), false),
                difference("/name", text("daily"), text("weekly"), false),
                difference("/updated_at", text("1"), text("2"), true),
            ],
        }),
        body: None,
        unkept: Unkept::default(),
        effect: Some(Effect::Exact),
        redacted: vec!["/patch/token".to_owned()],
        policy_digest: "00ff".to_owned(),
    }
}

/// A change that the policy denied.
fn denied() -> Change {
    let violation = Violation {
        rule: "timezones".to_owned(),
        enforcement: Enforcement::Deny,
        path: "/schedule/timezone".to_owned(),
        message: "use UTC".to_owned(),
        actual: Some(json!("Mars/Base")),
    };
    Change {
        actor: Actor {
            fingerprint: Fingerprint::from_bytes([2; 8]),
            name: None,
            team: None,
            person: None,
        },
        client: Client { ip: "::1".to_owned(), user_agent: None, retry: None },
        decision: Decision::Deny,
        violations: vec![violation.clone()],
        standing: vec![Violation { actual: None, ..violation }],
        outcome: Outcome::Denied,
        upstream: None,
        bodies: Some(Bodies {
            patch: Some(json!({"schedule": {"timezone": "Mars/Base"}})),
            before: Some(json!({})),
            after: None,
            diff: Vec::new(),
        }),
        effect: None,
        redacted: Vec::new(),
        ..applied()
    }
}

/// A change without an answer, found out later.
fn settled() -> Change {
    let told = Settlement { by: "answer".to_owned(), at: AT, applied: Some(true) };
    Change {
        outcome: Outcome::Unknown,
        settled: Some(told),
        upstream: Some(UpstreamAnswer {
            call: UpstreamCall::Change,
            status: None,
            request_id: None,
        }),
        bodies: None,
        effect: None,
        redacted: Vec::new(),
        ..applied()
    }
}

fn texts(lines: &[Vec<print::Span>]) -> Vec<String> {
    lines.iter().map(|line| line.iter().map(|span| span.text.as_str()).collect()).collect()
}

#[test]
fn an_applied_change_is_shown_with_its_difference_computed_fields_apart() {
    assert_eq!(
        change_lines(&applied()).join("\n"),
        r#"change chg_07070707070707070707070707070707
who         pat_0101010101010101, 夜间, platform
from        10.0.0.9, curl\u{1b}[2J
when        2026-06-14T08:58:11.123Z, took 41 ms
asked       update
deployment  dep_1
provider    qoder-cn
request     req_1
decision    allow
outcome     applied
upstream    200, request up_1
effect      exact
policy      00ff

changed:
  /description: (none) → "new\nline"
  /name: "daily" → "weekly"

changed by the server:
  /updated_at: "1" → "2"

concealed:
  /patch/token"#
    );
}

#[test]
fn a_denied_change_is_shown_with_its_rules_and_what_was_asked_for() {
    assert_eq!(
        change_lines(&denied()).join("\n"),
        r#"change chg_07070707070707070707070707070707
who         pat_0202020202020202
from        ::1
when        2026-06-14T08:58:11.123Z, took 41 ms
asked       update
deployment  dep_1
provider    qoder-cn
request     req_1
decision    deny
outcome     denied
upstream    nothing was forwarded
policy      00ff

violations:
  timezones (deny) at /schedule/timezone: use UTC (found "Mars/Base")

standing, broken before already:
  timezones (deny) at /schedule/timezone: use UTC

asked for:
  /schedule: (none) → {"timezone":"Mars/Base"}"#
    );
}

#[test]
fn a_refused_body_and_a_settlement_are_told() {
    let body = RefusedBody { bytes: 12, digest: None };
    let change = Change { body: Some(body), completed_at: None, ..settled() };
    let text = change_lines(&change).join("\n");
    for line in [
        "outcome     unknown\nsettled     it was applied, by answer at 2026-06-14T08:58:11.123Z\n",
        "upstream    no answer\n",
        "body        12 bytes\n",
        "when        2026-06-14T08:58:11.123Z, not finished\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_reason_without_a_message_ends_with_its_kind() {
    for message in [None, Some(String::new())] {
        let kind = Some("invalid_request_error".to_owned());
        let reason = Some(Reason { status: 400, kind, message, is_own: false });
        let text = change_lines(&Change { reason, ..applied() }).join("\n");
        assert!(text.contains("reason      400 invalid_request_error\n"), "{text}");
    }
}

#[test]
fn a_list_is_aligned() {
    let changes = [applied(), denied(), settled()];
    let lines = Table::new(&render::CHANGE_HEADINGS).rows(changes.iter().map(render::change_row));
    let id = "chg_07070707070707070707070707070707";
    let at = "2026-06-14T08:58:11Z";
    assert_eq!(
        lines.join("\n"),
        format!(
            "RECEIVED              CHANGE                                DEPLOYMENT  \
             ACTOR                 OPERATION  DECISION  OUTCOME           RULES\n\
             {at}  {id}  dep_1       夜间                  update     allow     applied\n\
             {at}  {id}  dep_1       pat_0202020202020202  update     deny      denied            \
             timezones\n\
             {at}  {id}  dep_1       夜间                  update     allow     unknown: applied"
        )
    );
}

#[test]
fn a_step_of_history_leaves_computed_fields_out() {
    assert_eq!(
        texts(&render::step(&applied(), &Zone::utc(), &Layout::WHOLE)),
        [
            "2026-06-14T08:58:11Z  chg_07070707070707070707070707070707  update  by 夜间  allow  \
             applied",
            "  /description: (none) → \"new\\nline\"",
            "  /name: \"daily\" → \"weekly\"",
        ]
    );
}

#[test]
fn an_event_is_one_line() {
    let event = Event {
        at: AT,
        kind: EventKind::OtherWrite,
        actor: None,
        client_ip: Some("10.0.0.9".to_owned()),
        request_id: None,
        detail: json!({"method": "POST", "status": 200}),
    };
    let lines = Table::new(&render::EVENT_HEADINGS).rows([render::event_row(&event)].into_iter());
    let expected = "2026-06-14T08:58:11Z  other_write  -      10.0.0.9  method=POST status=200";
    assert_eq!(lines.last().unwrap(), expected);
}

/// The code that `changegate audit …` ends with.
fn code(arguments: &[&str], config: &str) -> u8 {
    #[derive(clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: AuditCommand,
    }
    let arguments = std::iter::once("audit").chain(arguments.iter().copied());
    let line = <Line as clap::Parser>::try_parse_from(arguments.chain(["--config", config]));
    let environment = Environment::new([]).unwrap();
    line.map_or(2, |line| match run(&line.command, &environment) {
        Ok(()) => 0,
        Err(failure) => failure.code(),
    })
}

#[test]
fn exit_codes_tell_bad_usage_from_the_unknown_and_from_a_missing_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "[upstream]\nprovider = 'qoder-cn'\nurl = 'https://api.qoder.com.cn'\n";
    std::fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    assert_eq!(code(&["list"], config), 3);
    let settings = crate::audit::Settings {
        node: "main".into(),
        database: crate::cli::load_config(&file, &Environment::new([]).unwrap())
            .unwrap()
            .audit
            .database,
        provider: crate::provider::Provider::named("qoder-cn").unwrap(),
        redact: Vec::new(),
        policy_digest: String::new(),
        sealing: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let key = crate::base::key::Key::from_bytes([7; 32]);
    let audit = runtime.block_on(crate::audit::Audit::start(settings, key, Clock::System)).unwrap();
    let unknown = "chg_00000000000000000000000000000000";
    for (arguments, expected) in [
        (vec!["list"], 0),
        (vec!["list", "--all", "--json", "--full"], 0),
        (vec!["list", "--events", "--since", "7d"], 0),
        (vec!["list", "--events", "--actor", "a"], 0),
        (vec!["list", "--events", "--rule", "timezones"], 2),
        (vec!["list", "--since", "2026-06-14", "--until", "2026-06-14"], 2),
        (vec!["list", "--limit", "0"], 2),
        (vec!["list", "--all", "--limit", "3"], 2),
        (vec!["list", "--since", "yesterday"], 2),
        (vec!["show", "chg_1"], 2),
        (vec!["show", unknown], 1),
        (vec!["history", "dep_1"], 1),
        (vec!["history", "dep_1", "--since", "7d"], 0),
    ] {
        assert_eq!(code(&arguments, config), expected, "{arguments:?}");
    }
    runtime.block_on(audit.close(std::time::Duration::from_secs(30)));
}
