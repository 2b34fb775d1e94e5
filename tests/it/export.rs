//! Exports: the same changes by the command line and the API, in each format; what broke off goes
//! on.

mod killed;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};

use crate::world::command::in_world;
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call, eventually, world};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A world with changes of several kinds, and how many these are.
async fn filled(world: &World) -> usize {
    world.update(&json!({"name": "=cmd()|x", "metadata": {"team": "a,\"b\"\n-c"}})).await;
    world.update(&json!({"description": "👨\u{200d}👩\u{200d}👧 夜\u{202e}间"})).await;
    world.update(&json!({"metadata": {"owner_override": "me"}})).await;
    world.update(&json!({"initial_events": 7})).await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    for verb in ["pause", "unpause", "run", "archive"] {
        call(world.proxy(), Call::post(&format!("{path}/{verb}"))).await;
    }
    let body = json!({"name": "new", "agent": {"type": "agent", "id": "agent_1", "version": 1}});
    call(world.proxy(), Call::post("/api/v1/cloud/deployments").json(&body)).await;
    world.changes().await.len()
}

async fn exported(world: &World, query: &str) -> String {
    let asked = Call::get(&format!("/api/v1/export?{query}"));
    let answer = call(world.admin(), asked).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.text()
}

#[tokio::test]
async fn the_command_line_and_the_api_export_the_same() {
    let world = world().await;
    let count = filled(&world).await;
    let whole = in_world(&world, &["audit", "list", "--json", "--full", "--all"]).out;
    for format in ["jsonl", "csv", "ocsf"] {
        let ran = in_world(&world, &["audit", "export", "--format", format]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains(&format!("{count} changes exported; ")), "{}", ran.err);
        assert!(ran.err.contains("leaves no record in the log"), "{}", ran.err);
        assert_eq!(exported(&world, &format!("format={format}")).await, ran.out, "{format}");
        if format == "jsonl" {
            assert_eq!(json_lines(&ran.out), json_lines(&whole));
        }
    }
    let noted = world.events("export", 3).await;
    assert_eq!(noted.len(), 3, "each export by the API leaves one: {noted:?}");
    assert_eq!(noted[0]["detail"], json!({"format": "ocsf", "by": null, "filter": ""}));

    let filters = ["--decision", "deny", "--deployment-id", DEPLOYMENT];
    let some = ["audit", "export", "--format", "jsonl"];
    let ran = in_world(&world, &[some.as_slice(), &filters].concat());
    let query = format!("format=jsonl&decision=deny&deployment_id={DEPLOYMENT}");
    assert_eq!(exported(&world, &query).await, ran.out);
    assert_eq!(json_lines(&ran.out).len(), 1);
    let noted = world.events("export", 4).await;
    let filter = format!("decision=deny, deployment_id={DEPLOYMENT}");
    assert_eq!(noted[0]["detail"]["filter"], json!(filter));
}

/// The rows of a Parquet file, as JSON.
fn rows(bytes: Vec<u8>) -> Vec<Value> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let value = |field: &Field| match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => json!(flag),
        Field::Long(number) | Field::TimestampMillis(number) => json!(number),
        Field::Str(text) => json!(text),
        Field::Bytes(text) => json!(text.as_utf8().unwrap()),
        other => panic!("{other}"),
    };
    let row =
        |row: Row| row.get_column_iter().map(|(name, at)| (name.clone(), value(at))).collect();
    reader.get_row_iter(None).unwrap().map(|read| row(read.unwrap())).collect()
}

#[tokio::test]
async fn parquet_has_the_columns_of_csv_with_their_kinds() {
    let world = world().await;
    let count = filled(&world).await;
    let command = ["audit", "export", "--format", "parquet", "--out", "out", "--part-rows", "6"];
    let ran = in_world(&world, &command);
    assert!(ran.err.contains(&format!("{count} changes exported into 2 files")), "{ran:?}");
    let part = |n| std::fs::read(world.folder.path().join(format!("out/changes-00000{n}.parquet")));
    let parts = [1, 2].map(|n| rows(part(n).unwrap()));
    assert_eq!(parts[0].len(), 6);
    let whole: Vec<Value> = parts.into_iter().flatten().collect();
    assert_eq!(whole.len(), count);
    let jsonl = in_world(&world, &["audit", "export", "--format", "jsonl"]).out;
    for (row, change) in whole.iter().zip(json_lines(&jsonl)) {
        assert_eq!((&row["seq"], &row["change"]), (&change["seq"], &change["id"]));
        assert_eq!(row["outcome"], change["outcome"]);
        assert_eq!(row["upstream_status"], change["upstream"]["status"], "{row}");
        for body in ["patch", "before", "after"] {
            let text = row[body].as_str().map_or("null", |text| text);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), change[body], "{body}");
        }
    }
    let asked = Call::get("/api/v1/export?format=parquet");
    let answer = call(world.admin(), asked).await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.apache.parquet"));
    assert_eq!(rows(answer.body.to_vec()), whole);
    let none = call(world.admin(), Call::get("/api/v1/export?format=parquet&team=x")).await;
    assert_eq!(rows(none.body.to_vec()), Vec::<Value>::new(), "a file without rows is one");
}

#[tokio::test]
async fn an_export_goes_on_behind_the_last_change_that_came() {
    let world = world().await;
    filled(&world).await;
    let whole = in_world(&world, &["audit", "export", "--format", "jsonl"]).out;
    let lines: Vec<&str> = whole.lines().collect();
    let (first, rest) = lines.split_at(3);
    let last: Value = serde_json::from_str(first[2]).unwrap();
    let seq = last["seq"].to_string();
    let cli = in_world(&world, &["audit", "export", "--format", "jsonl", "--cursor", &seq]);
    assert_eq!(cli.out.lines().collect::<Vec<_>>(), rest);
    let api = exported(&world, &format!("format=jsonl&cursor={seq}")).await;
    assert_eq!(api.lines().collect::<Vec<_>>(), rest);
    let csv = in_world(&world, &["audit", "export", "--format", "csv", "--cursor", &seq]).out;
    assert!(!csv.starts_with("seq,"), "what goes on has no second header row: {csv}");
}

#[tokio::test]
async fn an_export_in_parts_goes_on_with_the_part_that_is_missing() {
    let world = world().await;
    let count = filled(&world).await;
    let folder = world.folder.path().join("out");
    let parts = ["audit", "export", "--format", "jsonl", "--out", "out", "--part-rows", "3"];
    let ran = in_world(&world, &parts);
    let files = count.div_ceil(3);
    assert!(ran.err.contains(&format!("{count} changes exported into {files} files in out")));
    let whole = in_world(&world, &["audit", "export", "--format", "jsonl"]).out;
    let read = || {
        let name = |n| folder.join(format!("changes-{n:06}.jsonl"));
        let texts = (1..=files).map(|n| std::fs::read_to_string(name(n)).unwrap());
        texts.collect::<String>()
    };
    assert_eq!(read(), whole);
    let again = in_world(&world, &parts);
    assert!(again.code == 0 && again.err.contains("holds this export whole"), "{again:?}");

    // As if it had been broken off in its second part.
    let path = folder.join("export.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let first = std::fs::read_to_string(folder.join("changes-000001.jsonl")).unwrap();
    state["cursor"] = json_lines(&first)[2]["seq"].clone();
    state["parts"] = json!(1);
    state["rows"] = json!(3);
    state["is_done"] = json!(false);
    std::fs::write(&path, state.to_string()).unwrap();
    std::fs::write(folder.join("changes-000002.jsonl.part"), "half a li").unwrap();
    std::fs::remove_file(folder.join("changes-000002.jsonl")).unwrap();
    let on = in_world(&world, &parts);
    assert!(on.err.contains(&format!("{count} changes exported into {files} files")), "{on:?}");
    assert_eq!(read(), whole);

    let other = [parts.as_slice(), &["--decision", "deny"]].concat();
    let other = in_world(&world, &other);
    assert!(other.code == 2 && other.err.contains("holds another export"), "{other:?}");
}

#[tokio::test]
async fn no_cell_is_a_formula_and_numbers_stay() {
    let world = world().await;
    let agent = Call::post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}"));
    let agent = agent.header("user-agent", "=HYPERLINK(\"http://x\")").json(&json!({"name": "n"}));
    call(world.proxy(), agent).await;
    let csv = in_world(&world, &["audit", "export", "--format", "csv"]).out;
    let (head, row) = csv.split_once("\r\n").unwrap();
    assert!(head.starts_with("seq,change,received_at"), "{head}");
    assert!(row.contains(",\"'=HYPERLINK(\"\"http://x\"\")\","), "{row}");
    assert!(row.contains(",200,") && row.contains(",/name,"), "{row}");
    assert_eq!(csv.matches("\r\n").count(), 2, "a row each: {csv}");
}

#[tokio::test]
async fn an_event_of_ocsf_tells_what_was_done_to_which_entity() {
    let world = world().await;
    filled(&world).await;
    let events = json_lines(&exported(&world, "format=ocsf").await);
    let of = |operation: &str| {
        let is_it = |event: &&Value| event["unmapped"]["operation"] == operation;
        events.iter().rfind(is_it).unwrap()
    };
    let update = of("update");
    assert_eq!((&update["class_uid"], &update["type_uid"]), (&json!(3004), &json!(300_403)));
    assert_eq!(update["entity"]["uid"], DEPLOYMENT);
    assert_eq!(update["entity_result"]["name"], "=cmd()|x");
    assert_eq!(update["status_id"], 1);
    assert_eq!(update["disposition"], "Allowed");
    assert_eq!(update["metadata"]["profiles"], json!(["security_control"]));
    let denied = events.iter().find(|event| event["action_id"] == 2).unwrap();
    assert_eq!((&denied["disposition_id"], &denied["status_id"]), (&json!(2), &json!(2)));
    assert!(denied["policy"]["desc"].as_str().unwrap().contains("metadata"), "{denied}");
    let run = of("run");
    assert_eq!(
        (&run["class_uid"], &run["api"]["operation"]),
        (&json!(6003), &json!("deployments.run"))
    );
}

#[tokio::test]
async fn only_an_auditor_exports_and_a_format_must_be_said() {
    let tokens = [("seer", "v", "viewer"), ("reader", "a", "auditor")];
    let tokens = tokens.map(|(token, name, role)| admin_token(token, name, role)).concat();
    let world = Setup::new().config(&tokens).start().await;
    world.update(&json!({"name": "n"})).await;
    let ask = async |query: &str, token: &str| {
        call(world.admin(), Call::get(&format!("/api/v1/export{query}")).token(token)).await
    };
    assert_eq!(ask("?format=jsonl", "seer").await.status, 403);
    let whole = ask("?format=csv", "reader").await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-disposition"), Some("attachment; filename=\"changes.csv\""));
    for query in ["", "?format=xml", "?format=csv&cursor=x", "?format=csv&limit=3"] {
        assert_eq!(ask(query, "reader").await.status, 400, "{query}");
    }
    let events = ask("x", "reader").await;
    assert_eq!(events.status, 404);
    let noted = eventually("the export is noted", async || {
        let asked = Call::get("/api/v1/events").token("seer");
        let events = call(world.admin(), asked).await.json();
        let mut events = events["data"].as_array().unwrap().clone();
        events.retain(|event| event["kind"] == "export");
        (!events.is_empty()).then_some(events)
    });
    let noted = noted.await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0]["detail"], json!({"format": "csv", "by": "a"}));
}
