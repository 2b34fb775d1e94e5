//! Deployments through the API.

use super::*;

/// The example answer of the provider's documentation.
fn documented() -> Value {
    json!({
        "agent": {"id": AGENT_ID, "type": "agent", "version": 1},
        "archived_at": null,
        "created_at": "2026-06-14T08:58:01Z",
        "description": "Deployment created for API documentation verification",
        "environment_id": ENVIRONMENT_ID,
        "id": DEPLOYMENT_ID,
        "initial_events": [{"content": "Generate today's status report", "type": "user.message"}],
        "metadata": {"cas_config": {
            "config": {"max_concurrent": 1, "max_retries": 0, "timeout_ms": 300_000},
            "session_strategy": "new_session",
            "stats": {"consecutive_failures": 0, "next_trigger_at": "2026-06-15T01:30:00Z",
                      "total_failures": 0, "total_runs": 0},
        }},
        "name": "api-doc-verification-deployment-v2",
        "paused_reason": null,
        "resources": [],
        "schedule": {
            "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai", "type": "cron",
            "upcoming_runs_at": ["2026-06-15T01:30:00Z", "2026-06-16T01:30:00Z",
                "2026-06-17T01:30:00Z", "2026-06-18T01:30:00Z", "2026-06-19T01:30:00Z"],
        },
        "status": "active",
        "type": "deployment",
        "updated_at": "2026-06-14T08:58:11Z",
        "vault_ids": [],
    })
}

#[tokio::test]
async fn the_documented_update_gets_the_documented_answer() {
    let scene = Scene::new();
    let before = scene.get(PATH).await;
    assert_eq!(before["name"], "api-doc-verification-deployment");
    assert_eq!(before["updated_at"], "2026-06-14T08:58:01Z");
    let after = scene
        .update(json!({
            "name": "api-doc-verification-deployment-v2",
            "schedule": {"type": "cron", "expression": "30 9 * * 1-5",
                         "timezone": "Asia/Shanghai"},
        }))
        .await;
    assert_eq!(after, documented());
    assert_eq!(scene.get(PATH).await, documented());
    let writes = scene.simulator.state().writes(DEPLOYMENT_ID);
    assert_eq!(writes, Writes { received: 1, applied: 1 });
}

#[tokio::test]
async fn what_the_server_computes_moves_with_the_clock() {
    let scene = Scene::new();
    scene.clock.advance(Duration::from_hours(48));
    let later = scene.get(PATH).await;
    let stats = &later["metadata"]["cas_config"]["stats"];
    assert_eq!(stats["total_runs"], 2, "Monday and Tuesday at nine");
    assert_eq!(stats["next_trigger_at"], "2026-06-17T01:00:00Z");
    assert_eq!(later["schedule"]["last_run_at"], "2026-06-16T01:00:00Z");
    assert_eq!(later["updated_at"], "2026-06-16T01:00:00Z");
    let runs = scene.get(&format!("{PATH}/runs")).await;
    assert_eq!(runs["data"].as_array().unwrap().len(), 2);
    scene.call("POST", &format!("{PATH}/pause"), Value::Null).await;
    scene.clock.advance(Duration::from_hours(48));
    let paused = scene.get(PATH).await;
    assert_eq!(paused["metadata"]["cas_config"]["stats"]["total_runs"], 2);
    assert_eq!(paused["schedule"]["upcoming_runs_at"], json!([]));
}

#[tokio::test]
async fn an_update_patches_metadata_by_key_and_replaces_all_else() {
    let scene = Scene::new();
    scene.update(json!({"metadata": {"team": "a", "tier": "1"}, "vault_ids": ["vlt_1"]})).await;
    let patch = json!({"description": null, "vault_ids": null, "metadata": {
        "tier": null, "团队": "b",
        "cas_config": {"config": {"max_retries": 2}, "stats": {"total_runs": 99}},
    }, "status": "paused", "unknown": 1});
    let after = scene.update(patch).await;
    let metadata = &after["metadata"];
    assert_eq!((&metadata["team"], &metadata["团队"]), (&json!("a"), &json!("b")));
    assert_eq!(metadata.get("tier"), None);
    assert_eq!(metadata["cas_config"]["config"], json!({"max_retries": 2}));
    assert_eq!(metadata["cas_config"].get("session_strategy"), None);
    assert_eq!(metadata["cas_config"]["stats"]["total_runs"], 0);
    assert_eq!((&after["description"], &after["vault_ids"]), (&Value::Null, &json!([])));
    assert_eq!(after["status"], "active");
    let unscheduled = scene.update(json!({"schedule": null})).await;
    assert_eq!(unscheduled["schedule"], Value::Null);
    assert_eq!(unscheduled["metadata"]["cas_config"]["stats"]["next_trigger_at"], Value::Null);
}

#[tokio::test]
async fn an_agent_named_by_id_alone_is_pinned_to_its_latest_version() {
    let scene = Scene::new();
    scene.call("POST", &format!("/agents/{AGENT_ID}"), json!({"model": "next"})).await;
    assert_eq!(scene.update(json!({"name": "n"})).await["agent"]["version"], 1);
    assert_eq!(scene.update(json!({"agent": AGENT_ID})).await["agent"]["version"], 2);
    let pinned = json!({"agent": {"id": AGENT_ID, "type": "agent", "version": 1}});
    assert_eq!(scene.update(pinned).await["agent"]["version"], 1);
    let beyond = json!({"agent": {"id": AGENT_ID, "version": 3}});
    assert_eq!(scene.refusal(beyond).await, (400, "agent".to_owned()));
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_its_field() {
    let scene = Scene::new();
    let cron = |expression: &str, timezone: &str| {
        let kind = "cron";
        json!({"schedule": {"type": kind, "expression": expression, "timezone": timezone}})
    };
    let event = json!({"type": "user.message", "content": "x"});
    let keys: serde_json::Map<_, _> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    let cases = [
        (json!({"name": ""}), "name"),
        (json!({"name": "é".repeat(257)}), "name"),
        (json!({"name": null}), "name"),
        (json!({"description": 1}), "description"),
        (json!({"agent": null}), "agent"),
        (json!({"agent": "agent_none"}), "agent"),
        (json!({"environment_id": null}), "environment_id"),
        (json!({"schedule": {"type": "cron", "expression": "* * * * *"}}), "schedule.timezone"),
        (json!({"schedule": "daily"}), "schedule"),
        (cron("61 * * * *", "UTC"), "schedule.expression"),
        (cron("* * * * *", "Mars/Olympus"), "schedule.timezone"),
        (json!({"initial_events": []}), "initial_events"),
        (json!({"initial_events": vec![event; 51]}), "initial_events"),
        (json!({"initial_events": [{"type": "x"}]}), "initial_events.0.type"),
        (json!({"resources": [{"type": "disk"}]}), "resources.0.type"),
        (json!({"vault_ids": vec!["v"; 51]}), "vault_ids"),
        (json!({"metadata": null}), "metadata"),
        (json!({"metadata": keys}), "metadata"),
        (json!({"metadata": {"k": 1}}), "metadata.k"),
        (json!({"metadata": {"k": "v".repeat(513)}}), "metadata.k"),
        (json!({"metadata": {"cas_config": "x"}}), "metadata.cas_config"),
    ];
    let before = scene.get(PATH).await;
    for (patch, param) in cases {
        assert_eq!(scene.refusal(patch.clone()).await, (400, param.to_owned()), "{patch}");
    }
    assert_eq!(scene.get(PATH).await, before);
}

#[tokio::test]
async fn an_archived_agent_or_environment_is_refused() {
    let scene = Scene::new();
    scene.call("POST", &format!("/agents/{AGENT_ID}/archive"), Value::Null).await;
    scene.simulator.state().archive_environment(ENVIRONMENT_ID).unwrap();
    assert_eq!(scene.refusal(json!({"agent": AGENT_ID})).await, (400, "agent".to_owned()));
    let environment = json!({"environment_id": ENVIRONMENT_ID});
    assert_eq!(scene.refusal(environment).await, (400, "environment_id".to_owned()));
    assert_eq!(scene.update(json!({"name": "other fields still go"})).await["status"], "active");
}

#[tokio::test]
async fn pause_unpause_run_and_archive_do_what_they_say() {
    let scene = Scene::new();
    let act = async |verb: &str| scene.call("POST", &format!("{PATH}/{verb}"), json!({})).await;
    let paused = act("pause").await;
    assert_eq!(
        (&paused["status"], &paused["paused_reason"]["type"]),
        (&json!("paused"), &json!("manual"))
    );
    assert_eq!(act("unpause").await["paused_reason"], Value::Null);
    let run = act("run").await;
    assert_eq!((&run["type"], &run["error"]), (&json!("deployment_run"), &Value::Null));
    let id = run["id"].as_str().unwrap();
    assert!(id.starts_with("drun_"));
    assert_eq!(scene.get(&format!("/deployment_runs/{id}")).await, run);
    assert_eq!(scene.get("/deployment_runs").await["first_id"], id);
    assert_eq!(scene.get(PATH).await["metadata"]["cas_config"]["stats"]["total_runs"], 1);
    let archived = act("archive").await;
    assert_eq!(archived["name"], "api-doc-verification-deployment_archived_1781427491");
    assert_eq!(act("archive").await, archived);
    for verb in ["pause", "unpause", "run"] {
        assert_eq!(act(verb).await["error"]["type"], "conflict_error");
    }
    assert_eq!(scene.refusal(json!({"name": "late"})).await.0, 409);
    assert_eq!(act("explode").await["status"], 404);
}

#[tokio::test]
async fn a_listing_is_newest_first_and_goes_by_cursor() {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        let made = scene.call("POST", "/deployments", new_deployment(name)).await;
        assert!(made["id"].as_str().unwrap().starts_with("dep_"), "{made}");
    }
    let names = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = scene.get("/deployments?limit=2").await;
    assert_eq!((names(&first), &first["has_more"]), (vec!["c".into(), "b".into()], &json!(true)));
    let last = first["last_id"].as_str().unwrap();
    let second = scene.get(&format!("/deployments?after_id={last}")).await;
    assert_eq!(names(&second), ["a", "api-doc-verification-deployment"]);
    assert_eq!((&second["has_more"], &second["next_page"]), (&json!(false), &Value::Null));
    let page = first["next_page"].as_str().unwrap();
    assert_eq!(scene.get(&format!("/deployments?page={page}")).await["data"], second["data"]);
    scene.call("POST", &format!("/deployments/{last}/archive"), Value::Null).await;
    assert_eq!(scene.get("/deployments").await["data"].as_array().unwrap().len(), 3);
    let all = scene.get("/deployments?include_archived=true&agent_id=agent_none").await;
    assert_eq!(all["data"], json!([]));
    assert_eq!(scene.get("/deployments?status=paused").await["data"], json!([]));
    assert_eq!(scene.get("/deployments?limit=1001").await["error"]["param"], "limit");
}

#[tokio::test]
async fn secrets_are_taken_and_a_resource_never_shows_its_credential() {
    let scene = Scene::new();
    let resources = json!([
        {"type": "github_repository", "url": "https://h/o/u", "authorization_token": "t"},
        {"type": "git_repository", "url": "https://h/o/v.git", "password": "p"},
        {"type": "file", "file_id": "file_1", "mount_path": "/mine"},
        {"type": "file", "file_id": "file_2"},
    ]);
    let patch = json!({"resources": resources, "environment_variables": "A=1"});
    let after = scene.update(patch).await;
    let shown = json!([
        {"type": "github_repository", "url": "https://h/o/u", "mount_path": "/workspace/u"},
        {"type": "git_repository", "url": "https://h/o/v.git", "mount_path": "/workspace/v"},
        {"type": "file", "file_id": "file_1", "mount_path": "/mine"},
        {"type": "file", "file_id": "file_2", "mount_path": "/mnt/session/uploads/file_2"},
    ]);
    assert_eq!(after["resources"], shown);
    assert_eq!(after["environment_variables"], "A=1");
    let cleared = scene.update(json!({"environment_variables": null})).await;
    assert_eq!(cleared.get("environment_variables"), None);
}
