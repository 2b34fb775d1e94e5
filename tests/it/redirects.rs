//! URLs of upstream's own in its answers: a client that follows one stays behind the gateway.

use serde_json::json;

use crate::world::recorder::{Received, Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, call};

const BASE: &str = "/api/v1/cloud";

#[tokio::test]
async fn what_leads_to_upstream_leads_to_the_gateway_as_the_client_called_it() {
    let upstream = Recorder::start(|got: &Received| {
        let own = got.headers["host"].to_str().unwrap();
        let status = if got.method == "POST" { 307 } else { 200 };
        let shown = json!({"type": "deployment", "id": DEPLOYMENT, "name": "a", "agent": null,
            "metadata": {}, "schedule": null});
        let mut response = answer(status, shown);
        for (name, value) in [
            ("location", format!("http://{own}{BASE}/deployments/{DEPLOYMENT}?x=1")),
            ("content-location", format!("//{own}/there")),
            ("link", format!("<http://{own}/next>; rel=next")),
            ("alt-svc", "h2=\"elsewhere.example:443\"".to_owned()),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    })
    .await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let deployment = format!("{BASE}/deployments/{DEPLOYMENT}");
    for asked in [
        Call::post(&deployment).json(&json!({"name": "b"})),
        Call::get(&deployment),
        Call::get(&format!("{BASE}/agents")),
        Call::post(&format!("{BASE}/sessions")).body("x"),
    ] {
        let answer = call(world.proxy(), asked).await;
        let here = format!("http://{}", world.proxy());
        assert_eq!(answer.header("location"), Some(&*format!("{here}{deployment}?x=1")));
        assert_eq!(answer.header("content-location"), Some(&*format!("{here}/there")));
        assert_eq!(answer.header("link"), Some(&*format!("<{here}/next>; rel=next")));
        assert_eq!(answer.header("alt-svc"), None);
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_how_the_client_called_it() {
    let upstream = Recorder::start(|got: &Received| {
        let mut response = answer(302, "");
        let own = format!("http://{}/x", got.headers["host"].to_str().unwrap());
        response.headers_mut().insert("location", own.parse().unwrap());
        response
    })
    .await;
    for (trusted, expected) in
        [("10.0.0.0/8", None), ("127.0.0.0/8", Some("https://gate.example/x"))]
    {
        let config = format!("listen.trusted_proxies = ['{trusted}']\n");
        let world = Setup::new().upstream(&upstream.url).config(&config).start().await;
        let asked = Call::get(&format!("{BASE}/agents"))
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "gate.example");
        let here = format!("http://{}/x", world.proxy());
        let answer = call(world.proxy(), asked).await;
        assert_eq!(answer.header("location"), Some(expected.unwrap_or(&here)));
    }
}
