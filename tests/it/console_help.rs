//! Parts of the console that help on: a dry run of a revert, counts, views, actors, evidence.

use serde_json::{Value, json};

use crate::console::{cookie, page, text};
use crate::world::{DEPLOYMENT, Setup, World, admin_token, call, fingerprint};

async fn world() -> World {
    let tokens = ["viewer", "auditor", "approver"]
        .map(|role| admin_token(&format!("{role}-token"), role, role));
    let actor = format!(
        "[[actor]]\nfingerprint = '{}'\nname = 'al \"x\"'\nteam = 'platform'\nperson = 'alice'\n",
        fingerprint("pt-alice-0123456789")
    );
    Setup::new().config(&format!("{actor}{}", tokens.concat())).start().await
}

#[tokio::test]
async fn a_dry_run_shows_what_would_take_a_change_back_and_sends_nothing() {
    let world = world().await;
    let first = world.update(&json!({"description": "one"})).await;
    let second = world.update(&json!({"description": "two", "name": "moved"})).await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let writes = world.writes_received();
    let [first, second, denied] = [&first, &second, &denied].map(|answer| {
        let id = answer.header("changegate-change").unwrap();
        format!("/changes/{id}/revert")
    });
    let approver = cookie(&world, "approver-token").await;
    let link = text(&world, second.strip_suffix("/revert").unwrap(), &approver).await;
    assert!(link.contains(&format!("href=\"{second}\"")), "{link}");
    let shown = text(&world, &second, &approver).await;
    for word in ["It would be: ", "allow", "&quot;description&quot;: &quot;one&quot;", "/name"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(shown.contains("as the log last saw it") && shown.contains("audit revert chg_"));
    let again = text(&world, &first, &approver).await;
    assert!(again.contains("changed again since") && again.contains("/description"), "{again}");
    for (target, who, status) in [
        (&denied, "approver-token", 409),
        (&second, "auditor-token", 403),
        (&second, "viewer-token", 403),
    ] {
        let cookie = cookie(&world, who).await;
        let answer = call(world.admin(), page(target, &cookie)).await;
        assert_eq!(answer.status, status, "{target} {who}: {}", answer.text());
    }
    assert_eq!(world.writes_received(), writes, "nothing is sent");
    let absent = page("/changes/chg_00000000000000000000000000000000/revert", &approver);
    assert_eq!(call(world.admin(), absent).await.status, 404);
}

#[tokio::test]
async fn a_list_says_how_many_there_are_where_that_is_known() {
    let world = world().await;
    let auditor = cookie(&world, "auditor-token").await;
    for n in 0..3 {
        world.update(&json!({"description": format!("{n}")})).await;
    }
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"});
    world.update(&json!({"schedule": zone})).await;
    for (target, word) in [
        ("/changes", "4 in all"),
        ("/changes?limit=2", "1–2 of 4<"),
        ("/changes?limit=2&decision=allow", "1–2 of 3<"),
        ("/changes?limit=2&since=2h", "1–2 of about 4<"),
        ("/changes?limit=2&path=/description", "2+<"),
        ("/changes?limit=1&operation=update&decision=allow", "1+<"),
        ("/changes?decision=deny", "1 in all"),
    ] {
        let shown = text(&world, target, &auditor).await;
        assert!(shown.contains(word), "{target}: {shown}");
    }
    let shown = text(&world, "/changes", &auditor).await;
    assert!(shown.contains("decision=deny&amp;since=7d") && shown.contains("path=/schedule"));
    let viewer = cookie(&world, "viewer-token").await;
    let seen = text(&world, "/changes", &viewer).await;
    assert!(seen.contains("decision=deny&amp;since=7d") && !seen.contains("path=/schedule"));
}

#[tokio::test]
async fn actors_have_their_lines_and_the_evidence_its_standing() {
    let world = world().await;
    world.update(&json!({"description": "x"})).await;
    let auditor = cookie(&world, "auditor-token").await;
    let shown = text(&world, "/actors", &auditor).await;
    let lines = "name = &quot;al \\&quot;x\\&quot;&quot;\nteam = &quot;platform&quot;\nperson";
    let plain = shown.replace("<bdi>", "").replace("</bdi>", "");
    assert!(plain.contains(lines), "{plain}");
    assert!(shown.contains("Each token may write") && shown.contains("20 a second, 40 at once"));
    let log = text(&world, "/log", &auditor).await;
    assert!(log.contains("Records in the tree") && log.contains("Last verification"), "{log}");
    let overview = text(&world, "/", &auditor).await;
    assert!(overview.contains("href=\"/log#evidence\""), "{overview}");
}

#[tokio::test]
async fn a_browser_that_strays_is_shown_a_page() {
    let world = world().await;
    let cookie = cookie(&world, "auditor-token").await;
    let browser = |target: &str, cookie: &str| {
        page(target, cookie).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
    };
    for target in ["/nosuch", "/Changes", "/policy/nosuch"] {
        let answer = call(world.admin(), browser(target, &cookie)).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.text().contains("no page has this address"), "{}", answer.text());
        assert!(answer.text().contains("<nav") && answer.text().contains("auditor"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("style-src 'self'"), "{policy}");
        let program = call(world.admin(), page(target, &cookie)).await;
        assert!(program.header("content-type").unwrap().contains("json"), "{target}");
    }
    for (target, cookie, status, location) in [
        ("/changes/?since=7d", &*cookie, 308, Some("/changes?since=7d")),
        ("/policy/", "", 308, Some("/policy")),
        ("//evil.example/", &cookie, 308, Some("/evil.example")),
        ("/nosuch?a=b", "", 303, Some("/login?next=/nosuch%3Fa%3Db")),
        ("/api/v1/nosuch", &cookie, 404, None),
        ("/healthz", "", 200, None),
    ] {
        let answer = call(world.admin(), browser(target, cookie)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (status, location));
    }
    let icon = call(world.admin(), page("/favicon.ico", "")).await;
    assert!(icon.header("location").unwrap().starts_with("/assets/icon-"));
}

#[tokio::test]
async fn what_is_mistyped_stands_in_its_form_with_the_fault_beside_it() {
    let world = world().await;
    world.update(&json!({"description": "x"})).await;
    let auditor = cookie(&world, "auditor-token").await;
    let asked = page("/changes?outcome=applied&since=last+tuesday", &auditor);
    let answer = call(world.admin(), asked).await;
    assert_eq!(answer.status, 400);
    let shown = answer.text();
    for part in [
        "value=\"last tuesday\"",
        "<option value=\"applied\" selected>",
        "aria-invalid=\"true\" aria-describedby=\"f-since-wrong\"",
        "<p class=\"wrong\" id=\"f-since-wrong\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("%2B"), "{shown}");
    let early = format!("/deployments/{DEPLOYMENT}?view=blame&time=2020-01-01");
    assert!(text(&world, &early, &auditor).await.contains("Not seen yet"));
    for (target, status) in
        [("/changes?team=%ff", 400), ("/changes?team=%zz", 400), ("/changes?team=%E5%A4%9C", 200)]
    {
        assert_eq!(call(world.admin(), page(target, &auditor)).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn changes_are_found_by_the_name_of_their_deployment() {
    let world = world().await;
    let changed = world.update(&json!({"name": "Weekly support digest"})).await;
    let line = format!("/changes/{}", changed.header("changegate-change").unwrap());
    let [viewer, auditor] =
        [cookie(&world, "viewer-token").await, cookie(&world, "auditor-token").await];
    for query in ["deployment_name=SUPPORT", "q=SUPPORT"] {
        let found = text(&world, &format!("/changes?{query}"), &auditor).await;
        assert!(found.contains(&line), "{query}: {found}");
        assert!(found.contains(&format!("/api/v1/export?format=csv&amp;{query}")), "{found}");
    }
    let found = text(&world, "/deployments?name=Support", &auditor).await;
    assert!(found.contains("href=\"/changes?deployment_name=Support\""), "{found}");
    let nothing = text(&world, "/changes?deployment_name=no+such+thing", &auditor).await;
    assert!(nothing.contains("href=\"/deployments?name=no%20such%20thing\""), "{nothing}");
    assert!(nothing.contains("value=\"no such thing\""), "{nothing}");
    // A viewer is told no names.
    let found = text(&world, "/changes?q=support", &viewer).await;
    assert!(!found.contains(&line) && !found.contains("deployment_name"), "{found}");
    let asked = page("/changes?deployment_name=support", &viewer);
    assert_eq!(call(world.admin(), asked).await.status, 403);
}

#[tokio::test]
async fn a_viewer_is_offered_what_is_for_viewers() {
    let world = world().await;
    let changed = world.update(&json!({"description": "x"})).await;
    let id = changed.header("changegate-change").unwrap();
    let [viewer, auditor] =
        [cookie(&world, "viewer-token").await, cookie(&world, "auditor-token").await];
    let deployment = format!("/deployments/{DEPLOYMENT}");
    assert!(text(&world, &deployment, &auditor).await.contains("view=blame"));
    assert!(!text(&world, &deployment, &viewer).await.contains("view=blame"));
    let garbage = page(&format!("/changes/{id}?diff=garbage"), &auditor);
    assert_eq!(call(world.admin(), garbage).await.status, 400);
    assert!(
        text(&world, &format!("/changes/{id}?diff=inline"), &auditor)
            .await
            .contains("Side by side")
    );
}

#[tokio::test]
async fn a_record_with_hidden_characters_is_shown_as_json_that_can_be_copied() {
    let world = world().await;
    let changed = world.update(&json!({"description": "a\u{202e}b"})).await;
    let id = changed.header("changegate-change").unwrap();
    let auditor = cookie(&world, "auditor-token").await;
    let shown = text(&world, &format!("/changes/{id}"), &auditor).await;
    let record = shown.split("<pre class=\"raw\"").nth(1).unwrap();
    let record = record.split_once('>').unwrap().1.split("</pre>").next().unwrap();
    let record: Value = serde_json::from_str(&record.replace("&quot;", "\"")).unwrap();
    assert_eq!(record["patch"]["description"], "a\u{202e}b");
    assert!(!shown.contains('\u{202e}'));
    // Who prints a page reads there where it is from.
    assert!(shown.contains("<p class=\"printed\">Changegate, gateway "), "{shown}");
}
