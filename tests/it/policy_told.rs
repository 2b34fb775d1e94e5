//! `policy explain` and `policy standing`: one change rule by rule, and what stands broken.

use serde_json::{Value, json};

use crate::world::command::{in_world, on_terminal};
use crate::world::{Call, DEPLOYMENT, Setup, call};

const POLICY: &str = r#"
[timezones]
allowed = ["UTC"]

[[rule]]
name = "named-well"
when = "operation != 'pause'"
require = "object.name.startsWith('team-')"
message = "{{ object.name }} does not say its team"

[[rule]]
name = "no-pause"
operations = ["pause"]
require = "actor.team == 'platform'"
"#;

#[tokio::test]
async fn a_change_is_explained_rule_by_rule() {
    let world = Setup::new().policy(POLICY).start().await;
    let denied = world.update(&json!({"name": "mine"})).await;
    assert_eq!(denied.status, 403);
    let id = denied.header("changegate-change").unwrap();
    let ran = in_world(&world, &["policy", "explain", id]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for told in [
        "recorded    deny\n",
        "now         deny, by the policy that is recorded with it\n",
        "rule timezones (deny): standing\n",
        "rule named-well (deny): violated\n",
        "  /name  named-well: mine does not say its team\n",
        "  require  object.name.startsWith('team-')  =  false\n",
        "object.name  =  \"mine\"\n",
        "rule no-pause (deny): not asked\n",
    ] {
        assert!(ran.out.contains(told), "{told}{}", ran.out);
    }
    let mild = POLICY.replace("message =", "enforcement = 'warn'\nmessage =");
    std::fs::write(world.folder.path().join("mild.toml"), mild).unwrap();
    let ran = in_world(&world, &["policy", "explain", id, "--policy", "mild.toml", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&told["decision"], &told["recorded"]["decision"]),
        (&json!("warn"), &json!("deny"))
    );
    assert_eq!(told["rules"][1]["violations"][0]["actual"], "mine");
    assert_eq!(told["rules"][1]["parts"][0]["key"], "when");
    for columns in [80, 120] {
        let shown = on_terminal(&world, columns, &[("NO_COLOR", "1")], &["policy", "explain", id]);
        let fits = |line: &str| line.chars().count() <= usize::from(columns);
        assert!(shown.lines().all(fits), "{shown}");
    }
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let unfit = call(world.proxy(), Call::post(&path).body("{")).await;
    let id = unfit.header("changegate-change").unwrap();
    let ran = in_world(&world, &["policy", "explain", id]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("no policy was asked about"), "{ran:?}");
    let ran = in_world(&world, &["policy", "explain", "chg_x"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn what_stands_broken_is_told_by_deployment() {
    let world =
        Setup::new().policy("[timezones]\nallowed = ['Asia/Shanghai', 'UTC']\n").start().await;
    let ids = world.seed(3);
    let update = async |id: &str, patch: Value| {
        let path = format!("/api/v1/cloud/deployments/{id}");
        assert_eq!(call(world.proxy(), Call::post(&path).json(&patch)).await.status, 200);
    };
    update(&ids[0], json!({"name": "team-one"})).await;
    update(&ids[1], json!({"name": "nobody's"})).await;
    update(&ids[2], json!({"name": "gone"})).await;
    let path = format!("/api/v1/cloud/deployments/{}/archive", ids[2]);
    assert_eq!(call(world.proxy(), Call::post(&path)).await.status, 200);
    std::fs::write(world.folder.path().join("new.toml"), POLICY).unwrap();
    let ran = in_world(&world, &["policy", "standing", "--policy", "new.toml", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|one| {
            let rule = one["standing"][0]["rule"].as_str().unwrap();
            (one["deployment_id"].as_str().unwrap(), rule)
        })
        .collect();
    assert_eq!(told, [(ids[1].as_str(), "named-well")]);
    for columns in [80, 120] {
        let shown = ["policy", "standing", "--policy", "new.toml"];
        let shown = on_terminal(&world, columns, &[("NO_COLOR", "1")], &shown);
        let fits = |line: &str| line.chars().count() <= usize::from(columns);
        assert!(shown.lines().all(fits), "{shown}");
        let summary = "1 of 2 deployments breaks a rule of new.toml; 1 archived left out\n";
        assert!(shown.ends_with(summary), "{shown}");
    }
}
