//! The retries of an SDK, and the call that upstream answered, as a record tells them.

use serde_json::json;

use crate::world::client::TOKEN;
use crate::world::{Call, DEPLOYMENT, call, world};

const DEPLOYMENTS: &str = "/api/v1/cloud/deployments";

#[tokio::test]
async fn a_record_tells_the_retry_and_the_call_that_was_answered() {
    let world = world().await;
    let update = |id: &str, field: &'static str, count: &str| {
        Call::post(&format!("{DEPLOYMENTS}/{id}")).header(field, count).json(&json!({"name": "n"}))
    };
    for (id, field, count, retry, answered) in [
        (DEPLOYMENT, "x-stainless-retry-count", "2", json!(2), "change"),
        (DEPLOYMENT, "x-qoder-retry-count", "0", json!(0), "change"),
        (DEPLOYMENT, "x-stainless-retry-count", "-1", json!(null), "change"),
        (DEPLOYMENT, "x-stainless-retry-count", "many", json!(null), "change"),
        ("dep_missing", "x-stainless-retry-count", "1", json!(1), "read"),
    ] {
        let answer = call(world.proxy(), update(id, field, count)).await;
        let change = world.change_of(&answer).await;
        assert_eq!(change["client"]["retry"], retry, "{field}: {count}");
        assert_eq!(change["upstream"]["call"], answered);
        assert_eq!(change["upstream"]["status"], answer.status.as_u16());
    }
}

#[tokio::test]
async fn an_empty_body_has_no_type_and_one_token_in_two_fields_is_one() {
    let world = world().await;
    for (kind, verb) in [
        ("application/octet-stream", "pause"),
        ("application/x-www-form-urlencoded", "unpause"),
        ("text/plain", "pause"),
    ] {
        let path = format!("{DEPLOYMENTS}/{DEPLOYMENT}/{verb}");
        let empty = Call::post(&path).header("content-type", kind).header("content-length", "0");
        assert_eq!(call(world.proxy(), empty).await.status, 200, "{kind}");
    }
    // Some even wait to be told to send it.
    let waiting = Call::post(&format!("{DEPLOYMENTS}/{DEPLOYMENT}/unpause"))
        .header("content-type", "application/octet-stream")
        .header("content-length", "0")
        .header("expect", "100-continue");
    assert_eq!(call(world.proxy(), waiting).await.status, 200);
    let typed = Call::post(&format!("{DEPLOYMENTS}/{DEPLOYMENT}"))
        .json(&json!({"name": "n"}))
        .without("content-type")
        .header("content-type", "text/plain");
    let refused = call(world.proxy(), typed).await;
    assert_eq!(refused.status, 415);
    let change = world.change_of(&refused).await;
    assert_eq!(change["reason"]["message"], refused.json()["error"]["message"]);
    let named = format!(" (Changegate, {})", change["id"].as_str().unwrap());
    assert!(refused.text().contains(&named), "{}", refused.text());

    let read =
        |key: &str| Call::get(&format!("{DEPLOYMENTS}/{DEPLOYMENT}")).header("x-api-key", key);
    assert_eq!(call(world.proxy(), read(TOKEN)).await.status, 200);
    let two = call(world.proxy(), read("pt-another-0123456789")).await;
    assert_eq!(two.status, 401);
    assert!(two.text().contains("two credentials that differ"), "{}", two.text());
}
