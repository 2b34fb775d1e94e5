//! Changes as events of OCSF, by every kind of sink: those that an export writes, without bodies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::kinds::{change, counted, objects, syslog};
use super::{SECRETS, order, stands, webhook};
use crate::world::certificate::Certificate;
use crate::world::command::in_world;
use crate::world::recorder::{Recorder, answer};
use crate::world::{Setup, World, admin_token};

const NAMES: [&str; 5] = ["hook", "hec", "otlp", "syslog", "file"];

/// A gateway with a sink of each kind, and the receivers that are not files.
struct Receivers {
    world: World,
    hook: Recorder,
    hec: Recorder,
    otlp: Recorder,
    syslog: Arc<Mutex<Vec<u8>>>,
}

async fn receivers() -> Receivers {
    let [hook, hec, otlp] = [
        Recorder::start(|_| answer(204, "")).await,
        Recorder::start(|_| answer(200, json!({"text": "Success", "code": 0}))).await,
        Recorder::start(|_| answer(200, "{}")).await,
    ];
    let certificate = Certificate::of("localhost");
    let (url, heard) = syslog(&certificate).await;
    let more = "from = 'start'\nformat = 'ocsf'\n";
    let table = |name: &str, kind: &str, rest: &str| {
        format!("[[sink]]\nname = '{name}'\nkind = '{kind}'\n{more}{rest}\n")
    };
    let tables = [
        admin_token("auditor", "auditor", "auditor"),
        admin_token("admin", "admin", "admin"),
        webhook("hook", &hook.url, more),
        table("hec", "splunk-hec", &format!("url = '{}'\nsecret_file = 'hec.secret'", hec.url)),
        table("otlp", "otlp", &format!("url = '{}'", otlp.url)),
        table("syslog", "syslog", &format!("url = '{url}'\nca_file = 'ca.pem'")),
        table("file", "file", "path = 'out.jsonl'"),
    ];
    let world = Setup::new()
        .config(&tables.concat())
        .file("hook.secret", &SECRETS.join("\n"))
        .file("hec.secret", "b0221cd8-c4b4-465a-9a3c-273e3a75aa29\n")
        .file("ca.pem", &certificate.chain)
        .start()
        .await;
    Receivers { world, hook, hec, otlp, syslog: heard }
}

impl Receivers {
    /// All that each has, once it has all that there is: kinds by the way of the sink, and events.
    async fn received(&self) -> BTreeMap<&'static str, Vec<(Option<String>, Value)>> {
        for name in NAMES {
            stands(&self.world, name, "current").await;
        }
        let bodies = |recorder: &Recorder| -> Vec<Value> {
            recorder.received().iter().flat_map(|received| objects(&received.body)).collect()
        };
        let text = |value: &Value| Some(value.as_str().unwrap().to_owned());
        let hook = bodies(&self.hook).into_iter().map(|told| {
            assert_eq!(told.as_object().unwrap().len(), 3, "{told}");
            (text(&told["type"]), told["data"].clone())
        });
        let hec = bodies(&self.hec).into_iter().map(|told| {
            assert_eq!(told["sourcetype"], "changegate:ocsf");
            (None, told["event"].clone())
        });
        let records = bodies(&self.otlp).into_iter().flat_map(|told| {
            told["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone()
        });
        let otlp = records.map(|record| {
            let body = record["body"]["stringValue"].as_str().unwrap();
            (text(&record["eventName"]), serde_json::from_str(body).unwrap())
        });
        let lines = counted(&self.syslog.lock().unwrap());
        let syslog = lines.into_iter().map(|line| {
            let kind = line.split(' ').nth(5).unwrap().to_owned();
            let (data, event) = line.split_once("] {").unwrap();
            let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
            let position = &event["unmapped"]["position"];
            assert!(data.contains(&format!(" position=\"{position}\" id=\"chg_")), "{line}");
            (Some(kind), event)
        });
        let file = std::fs::read(self.world.folder.path().join("out.jsonl")).unwrap();
        let file = objects(&file).into_iter().map(|event| (None, event));
        [hook.collect(), hec.collect(), otlp.collect(), syslog.collect(), file.collect()]
            .into_iter()
            .zip(["hook", "hec", "otlp", "syslog", "file"])
            .map(|(received, name): (Vec<_>, _)| (name, received))
            .collect()
    }
}

/// The events that an export writes, oldest first, without bodies.
fn exported(world: &World) -> Vec<Value> {
    let ran = in_world(world, &["audit", "export", "--format", "ocsf"]);
    let mut events = objects(ran.out.as_bytes());
    events.reverse();
    for event in &mut events {
        for (object, body) in [("entity", "data"), ("entity_result", "data"), ("unmapped", "patch")]
        {
            event.get_mut(object).and_then(|at| at.as_object_mut()?.remove(body));
        }
    }
    events
}

/// Takes the position out of an event.
fn without_position(event: &Value) -> (Value, u64) {
    let mut event = event.clone();
    let position = event["unmapped"].as_object_mut().unwrap().remove("position").unwrap();
    (event, position.as_u64().unwrap())
}

#[tokio::test]
async fn every_kind_sends_the_events_of_an_export_and_nothing_else() {
    let receivers = receivers().await;
    change(&receivers.world).await;
    let expected = exported(&receivers.world);
    assert_eq!(expected.len(), 3);
    assert!(expected[1]["unmapped"]["violations"][0]["rule"].is_string(), "{}", expected[1]);
    let kinds = ["change.applied", "change.denied", "change.applied"];
    for (name, received) in receivers.received().await {
        let told: Vec<(Value, u64)> =
            received.iter().map(|(_kind, event)| without_position(event)).collect();
        let events: Vec<&Value> = told.iter().map(|(event, _)| event).collect();
        assert_eq!(events, expected.iter().collect::<Vec<_>>(), "{name}");
        assert!(told.iter().map(|(_, position)| position).is_sorted(), "{name}");
        let said: Vec<&str> = received.iter().filter_map(|(kind, _)| kind.as_deref()).collect();
        assert!(said.is_empty() || said == kinds, "{name}: {said:?}");
    }
}

#[tokio::test]
async fn a_test_is_an_event_of_the_base_class() {
    let receivers = receivers().await;
    receivers.world.update(&json!({"name": "first"})).await;
    for name in NAMES {
        stands(&receivers.world, name, "current").await;
    }
    // By syslog it comes over another connection, beside the records.
    let tested = ["hook", "hec", "otlp", "file"];
    for name in tested {
        let told = order(&receivers.world, "admin", &format!("{name}/test"), &json!({})).await;
        assert_eq!(told.json()["taken"], true, "{}", told.text());
    }
    let received = receivers.received().await;
    for name in tested {
        assert_eq!(received[name].len(), 2, "{name}");
        let (_kind, event) = &received[name][1];
        assert_eq!((&event["class_uid"], &event["type_uid"]), (&json!(0), &json!(99)), "{name}");
        assert_eq!(
            (&event["message"], &event["unmapped"]["sink"]),
            (&json!("sink.test"), &json!(name))
        );
    }
}

#[tokio::test]
async fn a_long_event_leaves_out_what_is_long_and_names_it() {
    let receivers = receivers().await;
    let metadata: BTreeMap<String, String> =
        (0..12).map(|number| (format!("key-{number}"), "v".repeat(500))).collect();
    let description = "d".repeat(2_000);
    receivers.world.update(&json!({"metadata": metadata, "description": description})).await;
    let received = receivers.received().await;
    let whole = &received["hook"][0].1;
    assert!(whole["unmapped"]["diff"].to_string().len() > 8_192, "{whole}");
    let cut = &received["syslog"][0].1;
    assert_eq!(cut["unmapped"]["omitted"], json!(["diff"]), "{cut}");
    for name in ["metadata", "entity", "entity_result", "time", "type_uid"] {
        assert_eq!(cut[name], whole[name], "{name}");
    }
}
