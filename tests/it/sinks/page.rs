//! The console's page of the log: how sinks stand, what is kept, and the orders of an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{of_kind, stands, webhook, world};
use crate::console::{cookie, form, text};
use crate::world::recorder::{Recorder, answer};
use crate::world::{World, call};

/// The token of the forms that a page shows.
fn token(page: &str) -> &str {
    // The first form of every page ends the session.
    let forms = page.split("/log/sinks/").nth(1).expect("a form of a sink");
    let token = forms.split("name=\"form\" value=\"").nth(1).unwrap();
    token.split('"').next().unwrap()
}

async fn sent(world: &World, cookie: &str, path: &str, token: &str) -> (u16, String) {
    let sent = form(world, path, &format!("form={token}")).header("cookie", cookie);
    let answer = call(world.admin(), sent).await;
    (answer.status.as_u16(), answer.text())
}

#[tokio::test]
async fn an_operator_sees_sinks_and_what_is_kept_and_has_a_sink_go_on() {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let recorder = Recorder::start(move |_| answer(told.load(Ordering::Relaxed), "")).await;
    let kept = "[retention]\nmax_age = '400d'\nmax_changes = 250000\n\
                hold = [{team = 'finance'}]\n";
    let tables = format!("{kept}{}", webhook("hook", &recorder.url, ""));
    let world = world(&tables).await;
    stands(&world, "hook", "current").await;
    status.store(410, Ordering::Relaxed);
    world.update(&serde_json::json!({"name": "first"})).await;
    stands(&world, "hook", "disabled").await;

    let admin = cookie(&world, "admin").await;
    let shown = text(&world, "/log", &admin).await;
    let wanted = ["disabled", "webhook", "for 400 days, the newest 250,000 at most", "finance"];
    for word in wanted.into_iter().chain(["/log/sinks/hook/resume", "by the configuration"]) {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let own = token(&shown).to_owned();
    for who in ["viewer", "auditor"] {
        let cookie = cookie(&world, who).await;
        let seen = text(&world, "/log", &cookie).await;
        assert!(seen.contains("disabled") && !seen.contains("/log/sinks/"), "{who}: {seen}");
        for order in ["resume", "test"] {
            let path = format!("/log/sinks/hook/{order}");
            assert_eq!(sent(&world, &cookie, &path, &own).await.0, 403, "{who} {order}");
        }
    }
    assert_eq!(sent(&world, &admin, "/log/sinks/hook/resume", "0").await.0, 403);
    assert_eq!(sent(&world, &admin, "/log/sinks/other/resume", &own).await.0, 404);
    let (done, refused) = sent(&world, &admin, "/log/sinks/hook/test", &own).await;
    assert!(done == 200 && refused.contains("not taken"), "{done} {refused}");
    status.store(200, Ordering::Relaxed);
    let (done, taken) = sent(&world, &admin, "/log/sinks/hook/test", &own).await;
    assert!(done == 200 && taken.contains(">taken<"), "{done} {taken}");
    assert_eq!(sent(&world, &admin, "/log/sinks/hook/resume", &own).await.0, 303);
    of_kind(&recorder, "change.applied", 1).await;
    stands(&world, "hook", "current").await;
}
