//! The console's pages about policies: what another one would have decided, and former texts.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::console::{cookie, form, text};
use crate::world::{Answer, Setup, World, admin_token, call, sha256};

const POLICY: &str = "[timezones]\nallowed = ['UTC', 'Asia/Shanghai']\n";

async fn world() -> World {
    let tokens =
        ["viewer", "auditor"].map(|role| admin_token(&format!("{role}-token"), role, role));
    Setup::new().config(&tokens.concat()).policy(POLICY).start().await
}

/// Changes its description, its zone, and its zone to one that the policy does not allow.
async fn change(world: &World) -> [Answer; 3] {
    let zone = |zone: &str| {
        let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": zone});
        json!({ "schedule": schedule })
    };
    let described = world.update(&json!({"description": "SECRET-WORD"})).await;
    let moved = world.update(&zone("Asia/Shanghai")).await;
    let denied = world.update(&zone("Europe/Paris")).await;
    let all = [described, moved, denied];
    assert_eq!(all.each_ref().map(|answer| answer.status.as_u16()), [200, 200, 403]);
    all
}

fn id(answer: &Answer) -> &str {
    answer.header("changegate-change").unwrap()
}

async fn judged(world: &World, cookie: &str, policy: &str, count: &str) -> Answer {
    let shown = text(world, "/policy/backtest", cookie).await;
    let token = shown.split("name=\"form\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let policy = utf8_percent_encode(policy, NON_ALPHANUMERIC);
    let body = format!("form={token}&count={count}&policy={policy}");
    call(world.admin(), form(world, "/policy/backtest", &body).header("cookie", cookie)).await
}

#[tokio::test]
async fn another_policy_is_held_against_the_newest_changes() {
    let world = world().await;
    let auditor = cookie(&world, "auditor-token").await;
    let nothing = judged(&world, &auditor, POLICY, "256").await.text();
    assert!(nothing.contains("No recorded change could be judged"), "{nothing}");
    let [described, moved, denied] = change(&world).await;
    let same = judged(&world, &auditor, POLICY, "256").await.text();
    assert!(same.contains("Every change would be decided as it was"), "{same}");
    assert!(same.contains("3 judged"), "{same}");

    let other = "[timezones]\nallowed = ['UTC', 'Europe/Paris']\n\n[[rule]]\nname = 'no-words'\n\
        require = 'object.description == \"\"'\nenforcement = 'warn'\n";
    let shown = judged(&world, &auditor, other, "1024").await.text();
    assert!(shown.contains("3 changes would be decided otherwise"), "{shown}");
    assert!(shown.contains("one that passed") || shown.contains("1 that passed"), "{shown}");
    for (anchor, answer) in
        [("allow-warn", &described), ("allow-deny", &moved), ("deny-allow", &denied)]
    {
        assert!(shown.contains(&format!("href=\"#{anchor}\"")), "{anchor}: {shown}");
        let place = shown.split(&format!("id=\"{anchor}\"")).nth(1).unwrap();
        let place = place.split("</section>").next().unwrap();
        assert!(place.contains(&format!("href=\"/changes/{}\"", id(answer))), "{anchor}: {place}");
    }
    assert!(shown.contains("no-words") && !shown.contains("SECRET-WORD"), "{shown}");
    // What was written stays in the form, and the log is told who asked.
    assert!(shown.contains("allowed = [&#39;UTC&#39;") || shown.contains("allowed = ['UTC'"));
    let seen = text(&world, "/log?q=evaluation", &auditor).await;
    assert!(seen.contains("replay") && seen.contains("auditor"), "{seen}");
}

#[tokio::test]
async fn a_policy_that_says_nothing_or_is_not_for_this_role_is_refused() {
    let world = world().await;
    change(&world).await;
    let auditor = cookie(&world, "auditor-token").await;
    for (policy, word) in [("[timezones", "line 1"), ("colour = 'red'", "colour")] {
        let answer = judged(&world, &auditor, policy, "256").await;
        assert_eq!(answer.status, 200, "{policy}");
        let shown = answer.text();
        assert!(shown.contains("role=\"alert\"") && shown.contains(word), "{policy}: {shown}");
    }
    let long = format!("# {}", "x".repeat(300 << 10));
    let shown = judged(&world, &auditor, &long, "256").await.text();
    assert!(shown.contains("longer than"), "{}", shown.len());
    let viewer = cookie(&world, "viewer-token").await;
    for target in ["/policy/backtest", "/policy/texts", "/policy/texts/0"] {
        let answer = call(world.admin(), crate::console::page(target, &viewer)).await;
        assert_eq!(answer.status, 403, "{target}");
    }
    let without = form(&world, "/policy/backtest", "policy=x").header("cookie", &auditor);
    assert_eq!(call(world.admin(), without).await.status, 403);
}

#[tokio::test]
async fn texts_of_former_policies_are_listed_and_compared() {
    let first = world().await;
    let auditor = cookie(&first, "auditor-token").await;
    let empty = text(&first, "/policy/texts", &auditor).await;
    assert!(empty.contains("No policy has decided yet"), "{empty}");
    change(&first).await;
    let folder = first.folder.path().to_owned();
    let former = sha256(POLICY);
    // The same log under another policy.
    let (kept, simulator) = first.end().await;
    let next = "[timezones]\nallowed = ['UTC', 'Europe/Paris']\n";
    std::fs::write(folder.join("policy.toml"), next).unwrap();
    let world = World::again(kept, simulator).await;
    let auditor = cookie(&world, "auditor-token").await;
    world.update(&json!({"description": "other"})).await;
    let shown = text(&world, "/policy/texts", &auditor).await;
    assert_eq!(shown.matches("class=\"item\"").count(), 2, "{shown}");
    assert!(shown.contains("in force") && shown.contains("the first"), "{shown}");
    assert!(!shown.contains("not known any more") && !shown.contains("none of the newest"));
    let target = shown.split("href=\"").find(|part| part.contains("?against=")).unwrap();
    let target = target.split('"').next().unwrap();
    assert!(target.ends_with(&former), "{target}");
    for (target, words) in [
        (target.to_owned(), vec!["<mark>", "Europe", "Shanghai"]),
        (format!("{target}&amp;diff=inline"), vec!["<del>", "<ins>"]),
        (format!("/policy/texts/{former}"), vec!["Asia/Shanghai", "held", "against"]),
    ] {
        let shown = text(&world, &target.replace("&amp;", "&"), &auditor).await;
        for word in words {
            assert!(
                shown.to_lowercase().contains(&word.to_lowercase()),
                "{target} {word}: {shown}"
            );
        }
    }
    let absent = crate::console::page("/policy/texts/0000", &auditor);
    assert_eq!(call(world.admin(), absent).await.status, 404);
}
