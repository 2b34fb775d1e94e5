//! Saved views of the list of changes.

use changegate::simulator::{Options, Simulator};

use crate::console::{cookie, page, text};
use crate::world::program::Folder;
use crate::world::{Call, Setup, World, admin_token, call, eventually};

const VIEWS: &str = "[[admin.view]]\nname = 'Denied <in> \"production\"'\n\
    query = 'decision=deny&team=production'\n\
    [[admin.view]]\nname = 'Who and whence'\nquery = 'columns=person,from&since=30d'\n";

fn people() -> String {
    admin_token("viewer-token", "viewer", "viewer") + &admin_token("aud-token", "aud", "auditor")
}

async fn world() -> World {
    Setup::new().config(&(people() + VIEWS)).start().await
}

/// The text of the block that saves a view, as a browser copies it.
fn block(shown: &str) -> Option<String> {
    let block = shown.split("[[admin.view]]").nth(1)?.split("</pre>").next()?;
    let plain = block.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    Some(format!("[[admin.view]]{}", plain.replace("&amp;", "&")))
}

#[tokio::test]
async fn saved_views_are_linked_for_every_role_and_the_one_that_is_shown_is_marked() {
    let world = world().await;
    let link = "<a href=\"/changes?decision=deny&amp;team=production\"";
    for token in ["viewer-token", "aud-token"] {
        let cookie = cookie(&world, token).await;
        let shown = text(&world, "/changes", &cookie).await;
        assert!(shown.contains(&format!("{link}><bdi>Denied &lt;in&gt; &quot;")), "{shown}");
        assert!(shown.contains("columns=person%2Cfrom&amp;since=30d\""), "{shown}");
        assert!(!shown.contains("Save this view"), "there is nothing to save: {shown}");
        // In another order, and on a later page, it is the same view.
        for target in ["decision=deny&team=production", "team=production&decision=deny"] {
            let shown = text(&world, &format!("/changes?{target}"), &cookie).await;
            assert!(shown.contains(&format!("{link} aria-current=\"page\">")), "{shown}");
            assert!(shown.contains("Views: <bdi>Denied &lt;in&gt;"), "{shown}");
            assert_eq!(block(&shown), None, "{shown}");
        }
        let other = text(&world, "/changes?decision=deny", &cookie).await;
        assert!(!other.contains("aria-current=\"page\"><bdi>Denied"), "{other}");
        let usual = text(&world, "/changes?decision=deny&since=7d", &cookie).await;
        assert!(usual.contains("since=7d\" aria-current=\"page\"><bdi>Denied in 7"), "{usual}");
    }
}

#[tokio::test]
async fn the_block_of_a_view_is_toml_and_leads_back_to_it() {
    let world = world().await;
    let auditor = cookie(&world, "aud-token").await;
    for query in [
        "decision=deny",
        "q=%22a%5C%22+%E5%A4%9C%E9%97%B4%3Cb%3E%26c%3D1&columns=team",
        "columns=person%2Cteam",
        "path=/metadata/a~1b&since=7d&limit=20",
    ] {
        let shown = text(&world, &format!("/changes?{query}"), &auditor).await;
        assert!(shown.contains("Save this view"), "{query}: {shown}");
        let block = block(&shown).unwrap().replace("<bdi>", "").replace("</bdi>", "");
        let parsed: toml::Table = block.parse().unwrap_or_else(|bad| panic!("{bad}: {block}"));
        let view = &parsed["admin"]["view"][0];
        let (name, saved) = (view["name"].as_str().unwrap(), view["query"].as_str().unwrap());
        assert!((1..=64).contains(&name.chars().count()), "{name}");
        // The block, as it is, is a configuration in which this very page is that view.
        let again = Setup::new().config(&(people() + &block)).start().await;
        let auditor = cookie(&again, "aud-token").await;
        for target in [query, saved] {
            let shown = text(&again, &format!("/changes?{target}"), &auditor).await;
            assert!(shown.contains("<summary>Views: <bdi>"), "{target}: {shown}");
            assert!(!shown.contains("Save this view"), "{target}: {shown}");
        }
    }
    let bare = text(&world, "/changes?limit=10", &auditor).await;
    assert!(!bare.contains("Save this view"), "{bare}");
    let long = format!("/changes?team={}", "x".repeat(2_100));
    assert!(!text(&world, &long, &auditor).await.contains("Save this view"));
    let wrong = call(world.admin(), page("/changes?decision=denied", &auditor)).await;
    assert!(wrong.status == 400 && !wrong.text().contains("Save this view"));
}

#[tokio::test]
async fn views_are_read_again_and_what_the_page_would_not_take_is_refused() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), VIEWS);
    let program = folder.serve().await;
    let file = folder.path().join("changegate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let shown = async |word: &str| {
        let shown = call(program.admin, Call::get("/changes").without("authorization")).await;
        shown.text().contains(word).then_some(())
    };
    eventually("the views", async || shown("Who and whence").await).await;
    std::fs::write(&file, text.replace("Who and whence", "Who, and whence")).unwrap();
    eventually("the new name", async || shown("Who, and whence").await).await;
    std::fs::write(&file, text.replace("decision=deny", "decison=deny")).unwrap();
    let refused = async || {
        let events = program.events("reload", 0).await;
        let errors = events.iter().filter_map(|event| event["detail"]["error"].as_str());
        errors.map(|error| error.contains("`decison`")).next()
    };
    assert!(eventually("a refusal", refused).await);
    eventually("the former views", async || shown("Who, and whence").await).await;
    let line = text.lines().position(|line| line.contains("decision=deny")).unwrap() + 1;
    for (command, place) in
        [("check", format!("changegate.toml:{line}: error")), ("serve", format!("\"line\":{line}"))]
    {
        let told = folder.command(&[command]).output().unwrap();
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        for part in [place.as_str(), "of the view", "`decison`", "leave it out"] {
            assert!(told.contains(part), "{command} {part}: {told}");
        }
    }
}
