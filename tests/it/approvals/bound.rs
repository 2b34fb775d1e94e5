//! What an approval is bound to: the actor, the patch, the deployment, and what asks for it; and
//! how many there may be.

use changegate::simulator::Fault;

use super::*;

#[tokio::test]
async fn the_same_patch_asked_again_waits_for_the_same_approval_and_another_for_another() {
    let world = world().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(waits(&rename(&world, MEI, "v2").await), id);
    let spaced = "{ \"name\" :\n \"\\u0076".to_owned() + "2\" }";
    assert_eq!(waits(&update(&world, MEI, spaced.clone()).await), id);
    assert_ne!(waits(&rename(&world, MEI, "v2 ").await), id);
    assert_ne!(waits(&rename(&world, JUN, "v2").await), id);
    assert_ne!(
        waits(&rename(&world, MEIS_OTHER, "v2").await),
        id,
        "another token is another actor"
    );
    approve(&world, &id).await;
    assert_ne!(waits(&rename(&world, MEI, "v3").await), id);
    assert_ne!(waits(&rename(&world, JUN, "v2").await), id);
    let twice = r#"{"name": "v2", "description": null}"#.to_owned();
    assert_ne!(waits(&update(&world, MEI, twice).await), id);
    let put = Call::new("PUT", &format!("{BASE}/{DEPLOYMENT}")).token(MEI);
    let put = call(world.proxy(), put.json(&json!({"name": "v2"}))).await;
    assert_ne!(waits(&put), id, "PUT may mean something else");
    let asking = Call::post(&format!("{BASE}/{DEPLOYMENT}?beta=true")).token(MEI);
    let asking = call(world.proxy(), asking.json(&json!({"name": "v2"}))).await;
    assert_ne!(waits(&asking), id, "so may a query");
    assert_eq!(world.writes_received(), 0);
    assert_eq!(update(&world, MEI, spaced).await.status, 200);
    assert_eq!(state(&world, &id).await, "used");
}

#[tokio::test]
async fn of_sixty_four_callers_that_race_for_one_approval_exactly_one_passes() {
    let world = Setup::new().config(&config("")).policy(POLICY).workers(2).start().await;
    let id = waits(&call(world.proxy(), create(MEI, "raced")).await);
    approve(&world, &id).await;
    let calls = (0..64).map(|_| tokio::spawn(call(world.proxy(), create(MEI, "raced"))));
    let calls: Vec<_> = calls.collect();
    let (mut passed, mut others) = (0, std::collections::BTreeSet::new());
    for answer in calls {
        let answer = answer.await.unwrap();
        if answer.status.is_success() {
            passed += 1;
            assert_eq!(answer.header("changegate-approval"), Some(&*id));
        } else {
            others.insert(waits(&answer));
        }
    }
    assert_eq!((passed, others.len()), (1, 1), "the others wait for one more together");
    assert!(!others.contains(&id));
    let raced = |deployment: &&Value| deployment["name"] == "raced";
    assert_eq!(world.simulator().state().deployments().iter().filter(raced).count(), 1);
    assert_eq!(world.changes_as("audit").await.len(), 65);
}

#[tokio::test]
async fn a_deployment_that_was_changed_since_voids_the_approval_in_words() {
    let world = world().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    // What changes nothing leaves it.
    let same = json!({"name": "api-doc-verification-deployment"}).to_string();
    assert_eq!(update(&world, JUN, same).await.status, 200);
    approve(&world, &id).await;
    let described = json!({"description": "new"}).to_string();
    assert_eq!(update(&world, JUN, described).await.status, 200);
    assert_eq!(state(&world, &id).await, "void");
    assert_eq!(last_reason(&world, &id).await, "the deployment was changed");
    let again = waits(&rename(&world, MEI, "v2").await);
    assert_ne!(again, id);

    // Around the gateway.
    approve(&world, &again).await;
    let patch = json!({"description": "by hand"});
    let state_of = world.simulator().state();
    state_of.update_deployment(DEPLOYMENT, patch.as_object().unwrap()).unwrap();
    let third = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(state(&world, &again).await, "void");
    assert!(last_reason(&world, &again).await.contains("no longer the one"));
    let answer = decide(&world, "release", &again, "approve").await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("no longer the one"), "{}", answer.text());
    approve(&world, &third).await;
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
}

#[tokio::test]
async fn what_has_no_person_or_breaks_a_rule_that_denies_opens_no_approval() {
    let world = world().await;
    let refused = rename(&world, ROBOT, "v2").await;
    assert_eq!((refused.status.as_u16(), refused.header("changegate-approval")), (403, None));
    assert!(refused.text().contains("`person`"), "{}", refused.text());
    let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"});
    let patch = json!({"name": "v2", "schedule": schedule}).to_string();
    let denied = update(&world, MEI, patch).await;
    assert_eq!((denied.status.as_u16(), denied.header("changegate-approval")), (403, None));
    assert!(denied.text().contains("timezones") && denied.text().contains("renames"));
    assert!(!denied.text().contains("until approved"), "{}", denied.text());
    assert_eq!(ask(&world, "/api/v1/approvals").await["data"], json!([]));
}

#[tokio::test]
async fn an_actor_has_a_bounded_number_of_approvals_that_wait() {
    let world = world().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(waits(&rename(&world, MEI, &format!("v{n}")).await));
    }
    let one_more = rename(&world, MEI, "v20").await;
    assert_eq!((one_more.status.as_u16(), one_more.header("changegate-approval")), (403, None));
    assert!(one_more.text().contains("20 of this token wait"), "{}", one_more.text());
    waits(&rename(&world, JUN, "v20").await);
    let answer = decide(&world, "release", &ids[0], "reject").await;
    assert_eq!(answer.status, 200);
    waits(&rename(&world, MEI, "v20").await);
    let page = ask(&world, "/api/v1/approvals?state=open&limit=15").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 15);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = ask(&world, &format!("/api/v1/approvals?state=open&cursor={cursor}")).await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 6);
    let rejected = ask(&world, "/api/v1/approvals?state=rejected&person=mei").await;
    assert_eq!(rejected["data"][0]["id"], ids[0]);
}

#[tokio::test]
async fn an_end_that_is_not_known_has_used_the_approval_up() {
    let world = world().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    approve(&world, &id).await;
    let fault: Fault = "reset-before:1@POST/deployments/".parse().unwrap();
    world.simulator().state().set_faults([fault]);
    let unclear = rename(&world, MEI, "v2").await;
    assert_eq!(unclear.status, 502);
    assert_eq!(change_of(&world, &unclear).await["outcome"], "unknown");
    assert_eq!(state(&world, &id).await, "used");
    assert_ne!(waits(&rename(&world, MEI, "v2").await), id);
}

#[tokio::test]
async fn secrets_of_a_patch_are_concealed_and_still_tell_patches_apart() {
    let world = world().await;
    let patch = |value: &str| {
        let variables = format!("DB_PASSWORD={value}");
        json!({"name": "v2", "environment_variables": variables}).to_string()
    };
    let id = waits(&update(&world, MEI, patch("first-secret-value")).await);
    assert_ne!(waits(&update(&world, MEI, patch("other-secret-value")).await), id);
    let shown = approval(&world, &id).await.to_string();
    assert!(shown.contains("hmac-sha256:") && !shown.contains("first-secret"), "{shown}");
    approve(&world, &id).await;
    assert_eq!(update(&world, MEI, patch("first-secret-value")).await.status, 200);
}

#[tokio::test]
async fn none_is_asked_for_where_the_bodies_are_not_kept_and_one_that_is_given_passes_all_the_same()
{
    let more = "[limits]\nkept_bytes_per_minute = '2 KiB'\n";
    let world = Setup::new().config(&config(more)).policy(POLICY).start().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    approve(&world, &id).await;
    let long = json!({"name": "v3", "description": "d".repeat(3_000)}).to_string();
    let denied = update(&world, MEI, long).await;
    assert_eq!(denied.status, 403);
    assert_eq!(denied.header("changegate-approval"), None);
    let message = denied.text();
    assert!(message.contains("limits.kept_bytes_per_minute"), "{message}");
    let change = change_of(&world, &denied).await;
    assert_eq!((&change["approval"], &change["patch"]), (&Value::Null, &Value::Null));
    let all = ask(&world, "/api/v1/approvals").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
    assert_eq!(state(&world, &id).await, "used");
}
