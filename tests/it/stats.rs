//! Changes counted over time, by the admin API.

use serde_json::json;

use crate::world::{Call, Setup, admin_token, call, world};

#[tokio::test]
async fn changes_are_counted_by_what_is_asked() {
    let world = world().await;
    for name in ["one", "two", "three"] {
        assert_eq!(world.update(&json!({"name": name})).await.status, 200);
    }
    let denied = json!({"metadata": {"owner_override": "me"}});
    assert_eq!(world.update(&denied).await.status, 403);
    let day = &world.ask("/api/v1/stats").await;
    assert_eq!((&day["by"], &day["step"]), (&json!("decision"), &json!("day")));
    let values = json!([{"value": "allow", "changes": 3}, {"value": "deny", "changes": 1}]);
    assert_eq!(day["values"], values);
    for (query, value, changes) in [
        ("by=outcome&step=hour", "applied", 3),
        ("by=operation&since=2h", "update", 4),
        ("by=rule", "metadata.forbidden_keys", 1),
        ("by=deployment&limit=1", crate::world::DEPLOYMENT, 4),
    ] {
        let counts = world.ask(&format!("/api/v1/stats?{query}")).await;
        assert_eq!(counts["values"][0], json!({"value": value, "changes": changes}), "{counts}");
        let steps = counts["data"].as_array().unwrap();
        let sum: i64 = steps.iter().map(|step| step["counts"][value].as_i64().unwrap()).sum();
        assert_eq!(sum, changes, "{counts}");
    }
    let before = world.ask("/api/v1/stats?since=2020-01-01&until=2020-02-01").await;
    assert_eq!(before["data"], json!([]));
}

#[tokio::test]
async fn counts_that_mean_nothing_name_their_fix() {
    let world = world().await;
    for (query, fix) in [
        ("by=colour", "by: write decision"),
        ("step=month", "step: write hour or day"),
        ("by=rule&step=hour", "ask for step=day"),
        ("since=2020-01-01", "ask for fewer"),
        ("limit=51", "from 1 to 50"),
        ("limit=+5", "from 1 to 50"),
        ("actor=me", "means nothing here"),
    ] {
        let answer = call(world.admin(), Call::get(&format!("/api/v1/stats?{query}"))).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(fix), "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_viewer_may_ask_for_counts_and_a_stranger_may_not() {
    let world = Setup::new().config(&admin_token("seer", "ops", "viewer")).start().await;
    let asked = call(world.admin(), Call::get("/api/v1/stats").token("seer")).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let unasked = call(world.admin(), Call::get("/api/v1/stats").token("other")).await;
    assert_eq!(unasked.status, 401);
}
