//! Pages of other origins in browsers: their preflights, and the answers that they may read.

use std::time::Duration;

use http::Response;
use serde_json::json;

use crate::world::client::{Answer, raw};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call};

const PAGE: &str = "https://console.example.com";
const CORS: &str = "listen.cors = ['HTTPS://Console.example.com:443', 'http://localhost:5173']\n";
const AGENTS: &str = "/api/v1/cloud/agents";

/// A preflight of a page, as a browser sends it.
fn preflight(origin: &str, fields: &str) -> Call {
    let call = Call::new("OPTIONS", &format!("/api/v1/cloud/deployments/{DEPLOYMENT}"));
    call.without("authorization")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", fields)
}

async fn before(upstream: &Recorder, config: &str) -> World {
    Setup::new().upstream(&upstream.url).config(config).start().await
}

fn names(answer: &Answer) -> Vec<&str> {
    let mut names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    names.retain(|name| name.starts_with("access-control-") || *name == "vary");
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered_here_without_a_credential() {
    let upstream = Recorder::start(|_| answer(200, "{}")).await;
    let world = before(&upstream, CORS).await;
    for origin in [PAGE, "http://localhost:5173"] {
        let asked = "authorization,content-type,if-match";
        let told = call(world.proxy(), preflight(origin, asked)).await;
        assert_eq!((told.status.as_u16(), told.text().as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("access-control-allow-headers", asked),
            ("access-control-max-age", "7200"),
            ("vary", "origin, access-control-request-method, access-control-request-headers"),
        ] {
            assert_eq!(told.header(name), Some(value), "{origin} {name}");
        }
        assert_eq!(told.header("access-control-allow-credentials"), None);
        assert!(told.header("x-request-id").is_some());
        assert_eq!(told.header("x-ratelimit-limit"), None, "nothing is drawn");
    }
    assert!(upstream.received().is_empty());
    assert!(world.changes().await.is_empty());
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let counted = r#"changegate_requests_total{class="preflight",kind="read",status="2xx"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains(r#"status="401",subject="127.0.0.1""#), "{metrics}");
}

#[tokio::test]
async fn a_preflight_repeats_no_more_than_a_list_of_names() {
    let upstream = Recorder::start(|_| answer(200, "{}")).await;
    let world = before(&upstream, CORS).await;
    let long = "x-".repeat(2_049);
    for asked in ["x-a: b", "<script>", &long] {
        let told = call(world.proxy(), preflight(PAGE, asked)).await;
        assert_eq!(
            (told.status.as_u16(), told.header("access-control-allow-headers")),
            (204, None)
        );
    }
    let simple = preflight(PAGE, "").without("access-control-request-headers");
    let told = call(world.proxy(), simple).await;
    assert_eq!((told.status.as_u16(), told.header("access-control-allow-headers")), (204, None));
}

#[tokio::test]
async fn what_is_no_preflight_of_a_listed_origin_goes_the_usual_way() {
    let upstream = Recorder::start(|_| answer(200, "{}")).await;
    let (on, off) = (before(&upstream, CORS).await, before(&upstream, "").await);
    let unlisted =
        ["https://other.example", "null", "http://console.example.com", &format!("{PAGE}.")];
    for origin in unlisted {
        for world in [&on, &off] {
            let told = call(world.proxy(), preflight(origin, "x-a")).await;
            assert_eq!(told.status, 401, "{origin}");
            assert!(names(&told).is_empty(), "{origin}: {:?}", names(&told));
            let told = call(world.proxy(), Call::get(AGENTS).header("origin", origin)).await;
            assert_eq!(told.status, 200, "{origin}");
            assert!(names(&told).is_empty(), "{origin}: {:?}", names(&told));
        }
    }
    let told = call(off.proxy(), preflight(PAGE, "x-a")).await;
    assert_eq!((told.status.as_u16(), names(&told).len()), (401, 0));
    // An OPTIONS of another kind, one with a body, and a message that has no good form.
    let plain = preflight(PAGE, "x-a").without("access-control-request-method");
    for (other, status) in [
        (plain, 401),
        (preflight(PAGE, "x-a").body("x"), 401),
        (preflight(PAGE, "x-a").header("x-http-method-override", "POST"), 400),
    ] {
        let told = call(on.proxy(), other).await;
        assert_eq!(told.status, status, "{}", told.text());
        assert_eq!(told.header("access-control-allow-origin"), Some(PAGE), "it may be read");
    }
    let twice = format!(
        "OPTIONS {AGENTS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {PAGE}\r\n\
         origin: {PAGE}\r\naccess-control-request-method: GET\r\n\r\n"
    );
    let told = raw(on.proxy(), twice.as_bytes(), Duration::from_secs(5)).await;
    assert!(told.starts_with("HTTP/1.1 401 ") && !told.contains("access-control"), "{told}");
    assert_eq!(upstream.received().len(), 2 * unlisted.len());
}

#[tokio::test]
async fn a_listed_page_may_read_every_answer_and_what_the_gateway_adds() {
    let world = Setup::new().config(CORS).start().await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let update = |patch| Call::post(&path).json(&patch);
    for (made, status) in [
        (Call::get(AGENTS), 200),
        (Call::get(&path), 200),
        (update(json!({"name": "x"})), 200),
        (update(json!({"metadata": {"owner_override": "1"}})), 403),
        (Call::get(AGENTS).without("authorization"), 401),
        (Call::new("DELETE", &path), 403),
    ] {
        let told = call(world.proxy(), made.header("origin", PAGE)).await;
        assert_eq!(told.status, status);
        assert_eq!(told.header("access-control-allow-origin"), Some(PAGE), "{status}");
        assert!(told.header("vary").unwrap().contains("origin"), "{status}");
        let exposed = told.header("access-control-expose-headers").unwrap();
        for name in [
            "changegate-change",
            "changegate-decision",
            "x-request-id",
            "request-id",
            "retry-after",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "etag",
            "warning",
            "x-should-retry",
        ] {
            assert!(exposed.split(", ").any(|listed| listed == name), "{status} {name}: {exposed}");
        }
    }
}

#[tokio::test]
async fn the_gateways_own_fields_win_over_upstreams() {
    let upstream = Recorder::start(|_| {
        Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("access-control-allow-methods", "GET")
            .header("access-control-expose-headers", "x-upstreams")
            .header("vary", "accept-encoding")
            .body(bytes::Bytes::from_static(b"{}").into())
            .unwrap()
    })
    .await;
    let world = before(&upstream, CORS).await;
    let told = call(world.proxy(), Call::get(AGENTS).header("origin", PAGE)).await;
    let all = |name| told.headers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all("access-control-allow-origin"), [PAGE]);
    assert_eq!(all("vary"), ["accept-encoding", "origin"]);
    assert_eq!(all("access-control-expose-headers")[0], "x-upstreams");
    assert_eq!(all("access-control-expose-headers").len(), 2);
    assert_eq!(names(&told).len(), 3, "{:?}", names(&told));
    assert_eq!(upstream.received()[0].headers["origin"], PAGE);
    // To others, upstream's pass as they are.
    let told = call(world.proxy(), Call::get(AGENTS)).await;
    assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    assert_eq!((names(&told).len(), told.header("vary")), (5, Some("accept-encoding")));
}
