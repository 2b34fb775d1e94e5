//! The way to upstream by an HTTP proxy (`upstream.proxy`).

use std::time::Duration;

use changegate::simulator::{Options, Simulator};
use http::Response;
use serde_json::json;

use crate::world::certificate::Certificate;
use crate::world::connect_proxy::{ConnectProxy, Connects};
use crate::world::http2_upstream::Http2Upstream;
use crate::world::program::Folder;
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, call};

const AGENTS: &str = "/api/v1/cloud/agents";

#[tokio::test]
async fn calls_go_by_the_proxy_in_clear_and_under_tls() {
    let certificate = Certificate::of("localhost");
    for tls in [None, Some(&certificate)] {
        let upstream = Http2Upstream::start(&[], &[]).await;
        let proxy = ConnectProxy::start(Connects::Well, tls).await;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let place = format!("{scheme}://me:p%40ss%3A@localhost:{}", proxy.address.port());
        let trusted = format!("{}{}", upstream.certificate(), certificate.chain);
        let setup = Setup::new().upstream(upstream.url()).file("ca.pem", &trusted);
        let config = format!("upstream.ca_file = 'ca.pem'\nupstream.proxy = '{place}'\n");
        let world = setup.config(&config).start().await;
        assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
        let answer = world.update(&json!({"name": "x"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(world.change_of(&answer).await["outcome"], "applied");
        assert_eq!(upstream.seen(), [3], "they share a connection, which speaks HTTP/2");
        let target = upstream.url().replace("https://", "");
        let told = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\
             Proxy-Authorization: Basic bWU6cEBzczo=\r\n\r\n"
        );
        assert_eq!(proxy.heads(), [told]);
    }
}

#[tokio::test]
async fn an_upstream_in_clear_is_reached_by_the_proxy_too() {
    let certificate = Certificate::of("localhost");
    for tls in [None, Some(&certificate)] {
        let upstream = Recorder::start(|_| answer(200, "{}")).await;
        let proxy = ConnectProxy::start(Connects::Well, tls).await;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let setup = Setup::new().upstream(&upstream.url).file("ca.pem", &certificate.chain);
        let world = setup.config(&format!(
            "upstream.ca_file = 'ca.pem'\nupstream.proxy = '{scheme}://localhost:{}'\n",
            proxy.address.port()
        ));
        let world = world.start().await;
        assert_eq!(call(world.proxy(), Call::get(AGENTS)).await.status, 200);
        assert_eq!((proxy.heads().len(), upstream.received().len()), (1, 1));
        assert!(!proxy.heads()[0].contains("Proxy-Authorization"), "{:?}", proxy.heads());
    }
}

#[tokio::test]
async fn what_the_proxy_refuses_was_not_forwarded_and_the_log_says_why() {
    for (says, told) in [
        ("HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n", "407: check the user"),
        ("HTTP/1.1 403 No\r\n\r\nbecause", "403: have it allow CONNECT"),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "502: it can't reach upstream"),
        ("SSH-2.0-server\r\n\r\n", "does not answer CONNECT as an HTTP proxy does"),
        ("HTTP/1.1 200", "broke off"),
        ("", "broke off"),
    ] {
        let upstream = Simulator::start(Options::default()).unwrap();
        let proxy = ConnectProxy::start(Connects::Says(says), None).await;
        let place = format!("http://me:hidden-word@{}", proxy.address);
        let folder = Folder::new(upstream.address(), &format!("upstream.proxy = '{place}'\n"));
        let program = folder.serve().await;
        for made in [
            Call::get(AGENTS),
            Call::post("/api/v1/cloud/files").body("x"),
            Call::post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}")).body("{}"),
        ] {
            let made = made.header("content-type", "application/json");
            let answer = call(program.proxy, made).await;
            assert_eq!(answer.status, 502, "{says}");
            assert!(answer.text().contains("nothing was forwarded"), "{}", answer.text());
            assert_eq!(answer.header("x-should-retry"), None);
        }
        program.says(told).await;
        let lines = program.said();
        assert!(!lines.contains("hidden-word") && !lines.contains("Basic"), "{lines}");
        assert_eq!(upstream.state().writes(DEPLOYMENT).received, 0);
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_has_the_time_of_a_connection() {
    let proxy = ConnectProxy::start(Connects::Never, None).await;
    let world = Setup::new().upstream("https://upstream.example").config(&format!(
        "upstream.connect_timeout = '200ms'\nupstream.proxy = 'http://{}'\n",
        proxy.address
    ));
    let world = world.start().await;
    let answer = tokio::time::timeout(Duration::from_secs(5), world.update(&json!({}))).await;
    let answer = answer.expect("an answer within the time of a connection");
    assert!(answer.text().contains("nothing was"), "{}", answer.text());
    let answer = call(world.proxy(), Call::get(AGENTS)).await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("nothing was sent"), "{}", answer.text());
    assert!(proxy.heads()[0].starts_with("CONNECT upstream.example:443 "), "{:?}", proxy.heads());
}

#[tokio::test]
async fn a_proxy_that_is_away_is_told_of_as_the_proxy() {
    let upstream = Recorder::start(|_| Response::default()).await;
    let config = "upstream.proxy = 'http://127.0.0.1:1'\n";
    let world = Setup::new().upstream(&upstream.url).config(config).start().await;
    let answer = call(world.proxy(), Call::get(AGENTS)).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("the proxy on the way to upstream"), "{}", answer.text());
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_environments_proxies_are_not_taken() {
    let upstream = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(upstream.address(), "");
    let mut command = folder.command(&["serve"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let program = folder.serve_as(command).await;
    assert_eq!(call(program.proxy, Call::get(AGENTS)).await.status, 200);
}
