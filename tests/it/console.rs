//! The console: logins, roles, and that nothing stored does anything on a page.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::json;

use crate::world::client::{Answer, call_as};
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call, world};

const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Paths of pages without a record's id.
const PAGES: [&str; 8] =
    ["/", "/changes", "/deployments", "/approvals", "/policy", "/drift", "/actors", "/log"];

/// The tables of a viewer, an auditor and an approver.
fn people() -> String {
    ["viewer", "auditor", "approver"]
        .map(|role| {
            let table = admin_token(&format!("{role}-token"), role, role);
            format!("{table}person = '{role}'\n")
        })
        .concat()
}

async fn peopled() -> World {
    Setup::new().config(&people()).start().await
}

pub(crate) fn page(target: &str, cookie: &str) -> Call {
    Call::get(target).without("authorization").header("cookie", cookie)
}

/// A form, as a page of this very address sends it.
pub(crate) fn form(world: &World, target: &str, body: &str) -> Call {
    let origin = format!("http://{}", world.admin());
    Call::post(target)
        .without("authorization")
        .header("content-type", FORM)
        .header("origin", &origin)
        .header("sec-fetch-site", "same-origin")
        .body(body.to_owned())
}

async fn log_in(world: &World, token: &str) -> Answer {
    call(world.admin(), form(world, "/login", &format!("token={token}&next=%2Fchanges"))).await
}

/// The cookie that a login gives, as a browser brings it.
pub(crate) async fn cookie(world: &World, token: &str) -> String {
    let answer = log_in(world, token).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let set = answer.header("set-cookie").unwrap();
    set.split(';').next().unwrap().to_owned()
}

pub(crate) async fn text(world: &World, target: &str, cookie: &str) -> String {
    let answer = call(world.admin(), page(target, cookie)).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.text()
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_stands_for_the_token() {
    let world = peopled().await;
    for target in PAGES {
        let answer = call(world.admin(), Call::get(target).without("authorization")).await;
        assert_eq!(answer.status, 303, "{target}");
        assert!(answer.header("location").unwrap().starts_with("/login"), "{target}");
    }
    let wrong = log_in(&world, "nobodys").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("set-cookie").is_none() && wrong.text().contains("No [[admin.token]]"));

    let answer = log_in(&world, "auditor-token").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/changes")));
    let set = answer.header("set-cookie").unwrap();
    for part in ["changegate=", "Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(set.contains(part), "{part}: {set}");
    }
    assert!(!set.contains("auditor-token"));
    let cookie = set.split(';').next().unwrap();
    for target in PAGES {
        assert!(text(&world, target, cookie).await.contains("auditor"), "{target}");
    }
    // The same cookie reads the API, such as an export of a view, and writes nothing there.
    let read = call(world.admin(), page("/api/v1/changes", cookie)).await;
    assert_eq!(read.status, 200);
    let write = Call::post("/api/v1/evaluate").without("authorization").header("cookie", cookie);
    let write = write.header("sec-fetch-site", "same-origin").json(&json!({}));
    assert_eq!(call(world.admin(), write).await.status, 401);
}

#[tokio::test]
async fn under_a_name_of_its_own_the_cookie_is_for_tls() {
    let world = peopled().await;
    let host = "gate.example";
    let enter =
        |origin: &str| form(&world, "/login", "token=auditor-token").header("origin", origin);
    let answer = call_as(world.admin(), host, enter("https://gate.example"));
    let answer = answer.await;
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-changegate=") && set.ends_with("; Secure"), "{set}");
    let clear = call_as(world.admin(), host, enter("http://gate.example"));
    let clear = clear.await;
    assert_eq!(clear.status, 403);
    assert!(clear.text().contains("https") && clear.header("set-cookie").is_none());
    // Nor does the name for loopback count there.
    let value = set.split(';').next().unwrap().strip_prefix("__Host-").unwrap();
    let plain = call_as(world.admin(), host, page("/", value)).await;
    assert_eq!(plain.status, 303);
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_no_other_text_is_one() {
    let clock = ManualClock::at(NOW);
    let setup = Setup::new().config(&people()).clock(Clock::Manual(clock.clone()));
    let world = setup.start().await;
    let cookie = cookie(&world, "auditor-token").await;
    let status = async |cookie: &str| call(world.admin(), page("/", cookie)).await.status.as_u16();
    assert_eq!(status(&cookie).await, 200);
    let (head, mac) = cookie.rsplit_once('.').unwrap();
    let (name, issued) = head.split_once('.').unwrap();
    // The names of two tokens, of as many letters, and a time that is later.
    let other = name.replace("YXVkaXRvcg", "YXBwcm92ZXI");
    let forged = [
        format!("{other}.{issued}.{mac}"),
        format!("{name}.{:x}.{mac}", i64::from_str_radix(issued, 16).unwrap() + 60),
        format!("{head}.{}", "0".repeat(64)),
        format!("{head}."),
        head.to_owned(),
        "changegate=".to_owned(),
        "changegate=...".to_owned(),
        "changegate=\u{7f}%00".to_owned(),
    ];
    for text in forged.iter().filter(|text| text.is_ascii() && !text.contains('\u{7f}')) {
        assert_eq!(status(text).await, 303, "{text}");
    }
    clock.advance(Duration::from_hours(12));
    assert_eq!(status(&cookie).await, 303);
}

#[tokio::test]
async fn what_writes_comes_from_a_page_of_this_session_alone() {
    let world = peopled().await;
    let cookie = cookie(&world, "auditor-token").await;
    let other = call(world.admin(), page("/", &cookie)).await.text();
    let token = other.split("name=\"form\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let leave = |body: &str| form(&world, "/logout", body).header("cookie", &cookie);
    let own = format!("form={token}");
    for (sent, expected) in [
        (leave(""), 403),
        (leave("form=0"), 403),
        (leave(&own).header("origin", "http://evil.example"), 403),
        (leave(&own).header("origin", "null"), 403),
        (leave(&own).header("sec-fetch-site", "cross-site"), 403),
        (leave(&own).header("content-type", "text/plain"), 415),
        (leave(&own).without("cookie"), 401),
        (leave(&own), 303),
    ] {
        let told = format!("{sent:?}");
        let answer = call(world.admin(), sent).await;
        assert_eq!(answer.status, expected, "{told}: {}", answer.text());
        let ends = answer.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0"));
        assert_eq!(ends, expected == 303);
    }
    let entered = form(&world, "/login", "token=auditor-token");
    let foreign = entered.header("sec-fetch-site", "cross-site");
    assert_eq!(call(world.admin(), foreign).await.status, 403);
    let get = call(world.admin(), page("/logout", &cookie)).await;
    assert_eq!(get.status, 405);
}

#[tokio::test]
async fn a_link_of_another_site_is_followed_once_this_one_leads_on() {
    let world = peopled().await;
    let cookie = cookie(&world, "auditor-token").await;
    let followed = |call: Call| {
        let call = call.header("sec-fetch-site", "cross-site");
        call.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
    };
    let answer = call(world.admin(), followed(page("/changes?team=a", ""))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("content=\"0;url=/changes?team=a\""), "{}", answer.text());
    // In a frame, or asked for by a script, it leads nowhere, cookie or not.
    let framed = followed(page("/changes", &cookie)).header("sec-fetch-dest", "iframe");
    let framed = call(world.admin(), framed).await;
    assert!(framed.header("x-frame-options").is_some());
    for next in ["//evil.example", "/\\evil.example", "https://evil.example", "%2F%2Fevil"] {
        let sent = form(&world, "/login", &format!("token=auditor-token&next={next}"));
        let answer = call(world.admin(), sent).await;
        assert_eq!(answer.header("location"), Some("/"), "{next}");
    }
}

#[tokio::test]
async fn without_tokens_this_machine_reads_and_no_other_name_does() {
    let world = world().await;
    let answer = call(world.admin(), Call::get("/changes").without("authorization")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("No change is recorded yet"));
    for target in ["/", "/changes", "/login"] {
        let call = Call::get(target).without("authorization");
        let bent = call_as(world.admin(), "evil.example", call).await;
        assert_eq!(bent.status, 403, "{target}");
    }
}

#[tokio::test]
async fn every_page_is_hardened_and_its_files_are_kept() {
    let world = peopled().await;
    let cookie = cookie(&world, "auditor-token").await;
    let mut targets = PAGES.map(str::to_owned).to_vec();
    targets.extend(["/login", "/changes/chg_1", "/changes?colour=red"].map(str::to_owned));
    let shown = text(&world, "/", &cookie).await;
    let files = shown.split('"').filter(|part| part.starts_with("/assets/"));
    let files: Vec<String> = files.map(str::to_owned).collect();
    assert_eq!(files.len(), 3);
    for target in targets.iter().chain(&files) {
        let answer = call(world.admin(), page(target, &cookie)).await;
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        assert!(!policy.contains("unsafe") && policy.contains("require-trusted-types-for"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let is_file = target.starts_with("/assets/");
        let kept = answer.header("cache-control").unwrap();
        assert_eq!(kept.contains("immutable"), is_file, "{target}: {kept}");
        let text = answer.text();
        if !is_file {
            assert!(!text.contains(" style=") && !text.contains("<style"), "{target}");
            assert!(!text.contains(" onclick") && !text.contains("javascript:"), "{target}");
        }
    }
}

#[tokio::test]
async fn a_role_sees_on_pages_what_it_sees_in_the_api() {
    let world = peopled().await;
    let patch = json!({
        "description": "SECRET-WORD", "metadata": {"owner_override": "SECRET-WORD"},
    });
    let denied = world.update(&patch).await;
    let id = denied.header("changegate-change").unwrap();
    let applied = world.update(&json!({"description": "SECRET-WORD"})).await;
    assert_eq!(applied.status, 200);
    let applied = applied.header("changegate-change").unwrap();
    let (viewer, auditor) =
        (cookie(&world, "viewer-token").await, cookie(&world, "auditor-token").await);
    let name = "api-doc-verification-deployment";
    for target in ["/", "/changes", &format!("/changes/{id}"), &format!("/changes/{applied}")] {
        let seen = text(&world, target, &viewer).await;
        for hidden in ["SECRET-WORD", "owner_override", name] {
            assert!(!seen.contains(hidden), "{target}: {hidden}");
        }
        assert!(text(&world, target, &auditor).await.contains(name), "{target}");
    }
    for target in PAGES.iter().map(|page| (*page).to_owned()).chain([
        format!("/deployments/{DEPLOYMENT}"),
        "/approvals?state=all".to_owned(),
        "/log?since=1h".to_owned(),
    ]) {
        let seen = text(&world, &target, &viewer).await;
        for hidden in ["SECRET-WORD", "owner_override is", name] {
            assert!(!seen.contains(hidden), "{target}: {hidden}");
        }
    }
    for view in ["state", "blame"] {
        let target = format!("/deployments/{DEPLOYMENT}?view={view}");
        assert_eq!(call(world.admin(), page(&target, &viewer)).await.status, 403, "{view}");
        assert!(text(&world, &target, &auditor).await.contains("SECRET-WORD"), "{view}");
    }
    let seen = text(&world, &format!("/changes/{applied}"), &viewer).await;
    assert!(seen.contains("The role auditor shows it"), "{seen}");
    let seen = text(&world, &format!("/changes/{applied}"), &auditor).await;
    assert!(seen.contains("SECRET-WORD") && seen.contains("audit revert"), "{seen}");
    let deep = call(world.admin(), page("/changes?path=/metadata/x", &viewer)).await;
    assert_eq!(deep.status, 403);
    assert!(deep.text().contains("No access"));
}

#[tokio::test]
async fn nothing_that_is_stored_does_anything_on_a_page() {
    let world = world().await;
    let nasty =
        "<script>alert(1)</script>\"'><img src=x onerror=y>\u{202e}\u{1b}[2J\u{0}夜\u{200b}";
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": nasty});
    let denied = world.update(&json!({"schedule": zone})).await;
    let id = denied.header("changegate-change").unwrap().to_owned();
    let long = format!("{}{nasty}{}", "a<b ".repeat(3), "wörd\n".repeat(300_000));
    let applied = world.update(&json!({"name": nasty, "description": long})).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    let applied = applied.header("changegate-change").unwrap().to_owned();
    let call_of = |target: &str| {
        let agent = "\"><svg/onload=z> '\u{f1}";
        let call = Call::get(target).without("authorization");
        call.header("user-agent", &agent.replace('\u{f1}', ""))
    };
    for target in [
        "/",
        "/changes",
        &format!("/changes/{id}"),
        &format!("/changes/{applied}"),
        &format!("/changes/{applied}?diff=inline"),
        "/deployments",
        &format!("/deployments/{DEPLOYMENT}"),
        &format!("/deployments/{DEPLOYMENT}?view=state"),
        &format!("/deployments/{DEPLOYMENT}?view=blame"),
        "/log",
        "/actors",
        "/changes?q=%3Cscript%3E%22%27&actor=%3Cb%3E",
    ] {
        let answer = call(world.admin(), call_of(target)).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let shown = answer.text();
        for bad in ["<script>", "<img", "<svg/", "\"'>", "\u{202e}", "\u{1b}", "\0", "\u{200b}"] {
            assert!(!shown.contains(bad), "{target}: {bad:?}");
        }
        assert!(shown.len() < 200 << 10, "{target}: {} bytes", shown.len());
    }
    let shown = call(world.admin(), call_of(&format!("/changes/{id}"))).await.text();
    assert!(shown.contains("\\u{202e}") && shown.contains("夜"), "{shown}");
}

#[tokio::test]
async fn the_filters_of_the_api_stand_in_the_url() {
    let world = world().await;
    let denied = world.update(&json!({"metadata": {"owner_override": "x"}})).await;
    let id = denied.header("changegate-change").unwrap().to_owned();
    let applied = world.update(&json!({"description": "b"})).await;
    let other = applied.header("changegate-change").unwrap().to_owned();
    let get = |target: &str| Call::get(target).without("authorization");
    for (query, finds, leaves) in [
        ("decision=deny", &id, &other),
        ("outcome=applied", &other, &id),
        ("rule=metadata.forbidden_keys", &id, &other),
        ("path=/description", &other, &id),
        ("asked_path=/metadata", &id, &other),
    ] {
        let shown = call(world.admin(), get(&format!("/changes?{query}"))).await.text();
        assert!(shown.contains(&format!("/changes/{finds}")), "{query}");
        assert!(!shown.contains(&format!("/changes/{leaves}")), "{query}");
        let export = format!("/api/v1/export?format=csv&amp;{query}");
        assert!(shown.contains(&export), "{query}: {shown}");
    }
    // Columns at choice stand there too, and stay when a filter is taken away.
    let chosen =
        call(world.admin(), get("/changes?decision=deny&columns=from,gateway")).await.text();
    for part in
        ["<th scope=\"col\">Gateway</th>", "<bdi>127.0.0.1</bdi>", "?columns=from%2Cgateway"]
    {
        assert!(chosen.contains(part), "{part}: {chosen}");
    }
    assert_eq!(call(world.admin(), get("/changes?columns=colour")).await.status, 400);
    // Fields that a form leaves empty are no filters.
    let empty = call(world.admin(), get("/changes?q=&decision=deny&team=")).await;
    assert_eq!(empty.header("location"), Some("/changes?decision=deny"));
    let nothing = call(world.admin(), get("/changes?team=none")).await.text();
    assert!(nothing.contains("No change is so") && nothing.contains("team"));
    let bad = call(world.admin(), get("/changes?since=yesterday")).await;
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("Not understood") && bad.text().contains("write a time"));
    // Page by page.
    let first = call(world.admin(), get("/changes?limit=1")).await.text();
    let older = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let older = older.split('"').next().unwrap().replace("&amp;", "&");
    let second = call(world.admin(), get(&older)).await.text();
    assert!(first.contains(&other) && second.contains(&id) && !second.contains(&other));
    let missing = call(world.admin(), get("/changes/chg_00000000000000000000000000000000")).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("Nothing found"));
    assert!(!DEPLOYMENT.is_empty());
}
