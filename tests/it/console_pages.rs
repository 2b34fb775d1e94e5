//! Pages of the console beside changes: approvals, deployments, policy.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::console::{cookie, form, page, text};
use crate::world::client::open;
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call, fingerprint};

const ASKS: &str = "[timezones]\nallowed = ['UTC', 'Asia/Shanghai']\nenforcement = 'approve'\n\n\
    [[rule]]\nname = 'no-x'\nrequire = 'object.name != \"x\"'\nenforcement = 'warn'\n";

/// A gateway whose caller is a person, with operators of two.
async fn asking() -> World {
    let alice = fingerprint("pt-alice-0123456789");
    let people = format!(
        "[[actor]]\nfingerprint = '{alice}'\nname = 'alice'\nperson = 'alice'\n\
         {}person = 'bob'\n{}person = 'alice'\n{}",
        admin_token("bob-token", "bob", "approver"),
        admin_token("own-token", "own", "approver"),
        admin_token("aud-token", "aud", "auditor"),
    );
    Setup::new().config(&people).policy(ASKS).start().await
}

/// Asks for a change that waits for approval, and tells the approval's id.
async fn ask(world: &World) -> String {
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"});
    let denied = world.update(&json!({"schedule": zone})).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    denied.header("changegate-approval").unwrap().to_owned()
}

/// The token of a form on a page.
fn token_of(shown: &str) -> &str {
    let token = shown.split("name=\"form\" value=\"").nth(1).unwrap();
    token.split('"').next().unwrap()
}

fn decide(world: &World, id: &str, verdict: &str, cookie: &str, body: &str) -> Call {
    form(world, &format!("/approvals/{id}/{verdict}"), body).header("cookie", cookie)
}

#[tokio::test]
async fn an_approver_decides_on_the_page_as_by_the_api() {
    let world = asking().await;
    let id = ask(&world).await;
    let bob = cookie(&world, "bob-token").await;
    let inbox = text(&world, "/approvals", &bob).await;
    assert!(inbox.contains(&id) && inbox.contains("alice"), "{inbox}");
    let shown = text(&world, &format!("/approvals/{id}"), &bob).await;
    assert!(shown.contains("Europe/Berlin") && shown.contains("/schedule"), "{shown}");
    let form = |reason: &str| format!("form={}&reason={reason}", token_of(&shown));

    let (own, aud) = (cookie(&world, "own-token").await, cookie(&world, "aud-token").await);
    for (other, says) in [(&own, "yourself"), (&aud, "You may not")] {
        let shown = text(&world, &format!("/approvals/{id}"), other).await;
        assert!(shown.contains(says) && !shown.contains("<textarea"), "{shown}");
        let body = format!("form={}&reason=because+it+is+so", token_of(&shown));
        let refused = call(world.admin(), decide(&world, &id, "approve", other, &body)).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
    let short = call(world.admin(), decide(&world, &id, "approve", &bob, &form("no"))).await;
    assert_eq!(short.status, 400);
    let alone = "reason=because+it+is+so";
    let foreign = call(world.admin(), decide(&world, &id, "approve", &bob, alone)).await;
    assert_eq!(foreign.status, 403);
    let good = form("the+report+needs+it");
    let decided = call(world.admin(), decide(&world, &id, "approve", &bob, &good)).await;
    assert_eq!(decided.status, 303, "{}", decided.text());
    let shown = text(&world, &format!("/approvals/{id}"), &bob).await;
    assert!(shown.contains("the report needs it") && shown.contains("approved"), "{shown}");
    let again = call(world.admin(), decide(&world, &id, "approve", &bob, &good)).await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("Overtaken"));
    let change = shown.split("href=\"/changes/chg_").nth(1).unwrap().split('"').next().unwrap();
    let change = text(&world, &format!("/changes/chg_{change}"), &bob).await;
    assert!(change.contains(&format!("href=\"/approvals/{id}\"")), "{change}");
    assert!(change.contains("with this change."), "{change}");
    let rejected = call(world.admin(), decide(&world, &id, "reject", &bob, &good)).await;
    assert_eq!(rejected.status, 303, "what is not used may be taken back");
    for state in ["all", "rejected"] {
        assert!(text(&world, &format!("/approvals?state={state}"), &bob).await.contains(&id));
    }
    assert!(text(&world, "/approvals", &bob).await.contains("Nobody waits"));
}

#[tokio::test]
async fn an_approval_is_offered_to_whom_its_rules_name_and_may_be_rejected_by_others() {
    let people = format!(
        "[[actor]]\nfingerprint = '{}'\nname = 'alice'\nperson = 'alice'\n\
         {}person = 'bob'\n{}person = '<carol>'\n",
        fingerprint("pt-alice-0123456789"),
        admin_token("bob-token", "bob", "approver"),
        admin_token("carol-token", "carol", "approver"),
    );
    let named = ASKS.replacen("'approve'", "'approve'\napprovers = ['<carol>', 'dave']", 1);
    let world = Setup::new().config(&people).policy(&named).start().await;
    let (bob, carol) = (cookie(&world, "bob-token").await, cookie(&world, "carol-token").await);
    let id = ask(&world).await;
    let path = format!("/approvals/{id}");
    let shown = text(&world, &path, &bob).await;
    for part in ["May approve", "&lt;carol&gt;", "dave", "You may not approve this", ">Reject<"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(">Approve<"), "{shown}");
    let body = format!("form={}&reason=because+it+is+so", token_of(&shown));
    let refused = call(world.admin(), decide(&world, &id, "approve", &bob, &body)).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("&lt;carol&gt;, dave"), "{}", refused.text());
    let offered = text(&world, &path, &carol).await;
    assert!(offered.contains(">Approve<") && !offered.contains("You may not"), "{offered}");
    let rejected = call(world.admin(), decide(&world, &id, "reject", &bob, &body)).await;
    assert_eq!(rejected.status, 303);

    let other = ask(&world).await;
    let offered = text(&world, &format!("/approvals/{other}"), &carol).await;
    let body = format!("form={}&reason=because+it+is+so", token_of(&offered));
    let approved = call(world.admin(), decide(&world, &other, "approve", &carol, &body)).await;
    assert_eq!(approved.status, 303, "{}", approved.text());
    let shown = text(&world, &format!("/approvals/{other}"), &bob).await;
    assert!(!shown.contains("May approve") && shown.contains(">Reject<"), "{shown}");
}

#[tokio::test]
async fn a_deployment_tells_its_states_its_runs_and_who_set_what() {
    let world = asking().await;
    let aud = cookie(&world, "aud-token").await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Shanghai"});
    let first = world.update(&json!({"schedule": zone, "name": "one"})).await;
    assert_eq!(first.status, 200);
    let id = first.header("changegate-change").unwrap();
    let change =
        call(world.admin(), Call::get(&format!("/api/v1/changes/{id}")).token("aud-token"));
    let then = change.await.json()["completed_at"].as_str().unwrap().to_owned();
    assert_eq!(world.update(&json!({"name": "x"})).await.status, 200);
    let path = format!("/deployments/{DEPLOYMENT}");
    let shown = text(&world, &path, &aud).await;
    for part in ["Asia/Shanghai", "09:00 +08:00", "no-x", "warned", "Timeline"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let state = text(&world, &format!("{path}?view=state&time={then}"), &aud).await;
    assert!(state.contains("&quot;name&quot;: &quot;one&quot;"), "{state}");
    let blame = text(&world, &format!("{path}?view=blame"), &aud).await;
    assert!(blame.contains("/schedule/timezone") && blame.contains("alice"), "{blame}");
    let early = format!("{path}?view=state&time=2020-01-01");
    assert!(text(&world, &early, &aud).await.contains("Not seen yet"));
    let missing = call(world.admin(), page("/deployments/dep_none", &aud)).await;
    assert_eq!(missing.status, 404);
    assert!(text(&world, "/deployments?name=X", &aud).await.contains(&path));
    assert!(text(&world, "/deployments?name=y", &aud).await.contains("No deployment is named so"));
    let odd = call(world.admin(), page(&format!("{path}?view=else"), &aud)).await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn a_change_is_tried_on_the_policy_without_being_made() {
    let world = asking().await;
    assert_eq!(world.update(&json!({"name": "one"})).await.status, 200);
    let aud = cookie(&world, "aud-token").await;
    let shown = text(&world, "/policy", &aud).await;
    for part in ["no-x", "timezones", "Try a change", "enforcement = &#39;approve&#39;"] {
        let part = part.replace("&#39;", "'");
        assert!(shown.contains(&part), "{part}: {shown}");
    }
    let token = token_of(&shown).to_owned();
    let send = |body: String| form(&world, "/policy", &body).header("cookie", &aud);
    let field = format!("form={token}&operation=update&deployment_id={DEPLOYMENT}&actor=alice");
    let tried = format!("{field}&patch=%7B%22name%22%3A%22x%22%7D");
    let told = call(world.admin(), send(tried.clone())).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.text();
    assert!(told.contains("It would be") && told.contains("no-x"), "{told}");
    let other = format!("{tried}&policy=name.pattern+%3D+%22y%22");
    let told = call(world.admin(), send(other)).await.text();
    assert!(told.contains("name.pattern") && told.contains("deny"), "{told}");
    for bad in ["&patch=%7B", "&patch=%7B%7D&policy=%5B%5B"] {
        let told = call(world.admin(), send(format!("{field}{bad}"))).await;
        assert_eq!(told.status, 200);
        assert!(told.text().contains("role=\"alert\""), "{}", told.text());
    }
    let foreign = call(world.admin(), send(tried.replace(&token, "0"))).await;
    assert_eq!(foreign.status, 403);
    let events = text(&world, "/log?q=evaluation", &aud).await;
    assert!(events.contains("evaluation") && events.contains("Newest checkpoint"), "{events}");
    assert_eq!(world.changes_as("aud-token").await.len(), 1, "nothing was made");
}

#[tokio::test]
async fn new_changes_are_told_as_they_come() {
    let world = asking().await;
    assert_eq!(world.update(&json!({"name": "one"})).await.status, 200);
    let aud = cookie(&world, "aud-token").await;
    let shown = text(&world, "/changes?outcome=applied", &aud).await;
    let live = shown.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap();
    let live = live.replace("&amp;", "&");
    assert!(live.contains("outcome=applied") && live.contains("after="), "{live}");
    let mut stream = open(world.admin(), page(&live, &aud)).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream; charset=utf-8");
    ask(&world).await;
    let renamed = world.update(&json!({"name": "x", "description": "<b>"})).await;
    assert_eq!(renamed.status, 200);
    let mut told = String::new();
    while !told.contains("data: ") {
        let frame = stream.frame().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    let event = told.split("data: ").nth(1).unwrap().lines().next().unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event, json!({"id": renamed.header("changegate-change").unwrap()}));
    drop(stream);
    let searched = call(world.admin(), page("/changes/live?q=x", &aud)).await;
    assert_eq!(searched.status, 400);
    // One asker has a few; the next is told to come later, and others have theirs.
    let bob = cookie(&world, "bob-token").await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(open(world.admin(), page(&live, &aud)).await);
    }
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let refused = call(world.admin(), page(&live, &aud)).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("too many lists are followed live"), "{}", refused.text());
    let other = open(world.admin(), page(&live, &bob)).await;
    assert_eq!(other.status(), 200);
    assert_eq!(call(world.admin(), page("/changes", &aud)).await.status, 200);
    // An open stream does not hold up the end.
    let ending = tokio::time::timeout(std::time::Duration::from_secs(4), world.end()).await;
    assert!(ending.is_ok());
}

#[tokio::test]
async fn changes_of_deployments_are_told_once_they_are_named_so() {
    let world = asking().await;
    let aud = cookie(&world, "aud-token").await;
    let live = page("/changes/live?deployment_name=DIGEST", &aud);
    let mut stream = open(world.admin(), live).await;
    assert_eq!(stream.status(), 200);
    let other = world.seed(1).remove(0);
    let path = format!("/api/v1/cloud/deployments/{other}");
    call(world.proxy(), Call::post(&path).json(&json!({"name": "other"}))).await;
    let renamed = world.update(&json!({"name": "Weekly digest"})).await;
    let mut told = String::new();
    while !told.contains("data: ") {
        let frame = stream.frame().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    assert!(told.contains(renamed.header("changegate-change").unwrap()), "{told}");
}

#[tokio::test]
async fn what_an_approval_does_not_show_is_read_elsewhere_before_it_is_approved() {
    let world = asking().await;
    let prompt =
        |name: &str| (0..300).map(|n| format!("{name} line {n}\n")).collect::<Vec<_>>().concat();
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"});
    let denied = world.update(&json!({"schedule": zone, "description": prompt("new")})).await;
    let id = denied.header("changegate-approval").unwrap().to_owned();
    let bob = cookie(&world, "bob-token").await;
    let shown = text(&world, &format!("/approvals/{id}"), &bob).await;
    let whole = format!("href=\"/approvals/{id}/change\"");
    assert!(shown.contains(&whole) && shown.contains("I have read all of it"), "{shown}");
    assert!(shown.contains("lines</strong> of what would change"), "{shown}");
    assert!(!shown.contains("new line 299"));
    let told = text(&world, &format!("/approvals/{id}/change"), &bob).await;
    for line in ["== /description", "+ new line 0\n", "+ new line 299", "Europe/Berlin"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let sent = text(&world, &format!("/approvals/{id}/change?text=sent"), &bob).await;
    assert!(sent.contains("new line 299") && sent.contains("&quot;description&quot;"), "{sent}");
    for query in ["part=2", "part=0", "text=nosuch"] {
        let answer = call(world.admin(), page(&format!("/approvals/{id}/change?{query}"), &bob));
        assert!([400, 404].contains(&answer.await.status.as_u16()), "{query}");
    }
    let body = |more: &str| format!("form={}&reason=it+is+so+now{more}", token_of(&shown));
    let unread = call(world.admin(), decide(&world, &id, "approve", &bob, &body(""))).await;
    assert_eq!(unread.status, 400);
    assert!(unread.text().contains("read all of it"), "{}", unread.text());
    let read = call(world.admin(), decide(&world, &id, "approve", &bob, &body("&read=all"))).await;
    assert_eq!(read.status, 303, "{}", read.text());
}
