//! Logins by an authenticating proxy: whom it names is believed from its address alone.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpSocket;

use crate::console::FORM;
use crate::world::client::{Answer, http1, read};
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call};

/// The proxy's address, another one than the tests' own.
const PROXY: &str = "127.0.0.2:0";

const CONFIG: &str = "[[actor]]\nfingerprint = 'pat_0123456789abcdef'\nname = 'a'\n\
    person = 'wang.li'\n[admin.auth_proxy]\naddresses = ['127.0.0.2']\n\
    [admin.roles]\nauditor = ['audit']\napprover = ['leads']\nadmin = ['ops']\n";

async fn proxied(more: &str) -> World {
    Setup::new().config(&format!("{CONFIG}{more}")).start().await
}

/// A call that comes by way of the proxy.
async fn by_proxy(world: &World, call: Call) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(PROXY.parse::<SocketAddr>().unwrap()).unwrap();
    let stream = socket.connect(world.admin()).await.unwrap();
    let request = call.http1(&world.admin().to_string());
    read(http1(stream).await.send_request(request).await.unwrap()).await
}

fn named(target: &str, person: &str, groups: &str) -> Call {
    let call = Call::get(target).without("authorization").header("x-forwarded-user", person);
    call.header("x-forwarded-groups", groups)
}

#[tokio::test]
async fn whom_the_proxy_names_has_the_role_of_their_groups() {
    let world = proxied("").await;
    for (groups, role) in [
        ("", "viewer"),
        ("staff", "viewer"),
        ("staff, audit", "auditor"),
        ("audit,leads", "approver"),
        ("ops", "admin"),
    ] {
        let answer = by_proxy(&world, named("/", "ann@c.example", groups)).await;
        let shown = answer.text();
        assert_eq!(answer.status, 200, "{groups}: {shown}");
        assert!(shown.contains("ann@c.example"), "{shown}");
        assert!(shown.contains(&format!("<span class=\"dim\">{role}</span>")), "{groups}: {shown}");
        assert!(!shown.contains("/logout"), "the proxy's word ends at the proxy");
    }
    // The name is one with that of the actor, who may not be two.
    let shown = by_proxy(&world, named("/", "Wang.Li", "leads")).await.text();
    assert!(shown.contains(">wang.li<"), "{shown}");
    assert_eq!(by_proxy(&world, named("/api/v1/changes", "ann", "")).await.status, 200);
}

#[tokio::test]
async fn from_any_other_address_the_same_fields_say_nothing() {
    let world = proxied(&admin_token("viewers", "someone", "viewer")).await;
    for target in ["/", "/changes", "/log"] {
        let answer = call(world.admin(), named(target, "ann", "ops")).await;
        assert_eq!(answer.status, 303, "{target}");
        assert!(answer.header("location").unwrap().starts_with("/login"), "{target}");
    }
    let forwarded = named("/api/v1/changes", "ann", "ops").header("x-forwarded-for", "127.0.0.2");
    let forwarded = forwarded.header("forwarded", "for=127.0.0.2");
    assert_eq!(call(world.admin(), forwarded.clone()).await.status, 401);
    // Nor do they add anything to a token.
    let token = forwarded.token("viewers");
    assert_eq!(call(world.admin(), token.clone()).await.status, 200);
    let target = format!("/api/v1/deployments/{DEPLOYMENT}/at?time=1h");
    let asked = Call::get(&target).token("viewers").header("x-forwarded-user", "ann");
    let asked = asked.header("x-forwarded-groups", "ops");
    assert_eq!(call(world.admin(), asked).await.status, 403);
    // A token counts before the proxy's word, and a wrong one is wrong.
    assert_eq!(by_proxy(&world, token.token("nobodys")).await.status, 401);
}

#[tokio::test]
async fn what_the_proxy_says_in_no_clear_way_is_refused() {
    let world = proxied("default = 'none'\n").await;
    for (person, groups, status) in [
        ("ann", "audit", 200),
        ("", "audit", 303),
        ("ann", "staff", 403),
        ("ann", "AUDIT", 403),
        ("ann", "", 403),
        (&"a".repeat(129), "audit", 403),
        ("夜间", "audit", 200),
    ] {
        let answer = by_proxy(&world, named("/", person, groups)).await;
        assert_eq!(answer.status, status, "{person} {groups}: {}", answer.text());
    }
    // Of what comes twice, one may be the client's own.
    for twice in [
        "x-forwarded-user: ann\r\nx-forwarded-user: eve\r\nx-forwarded-groups: ops",
        "x-forwarded-user: ann\r\nx-forwarded-groups: ops\r\nx-forwarded-groups: audit",
    ] {
        let request =
            format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n{twice}\r\nconnection: close\r\n\r\n");
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(PROXY.parse::<SocketAddr>().unwrap()).unwrap();
        let stream = socket.connect(world.admin()).await.unwrap();
        let patience = std::time::Duration::from_secs(10);
        let told = crate::world::client::raw_on(stream, request.as_bytes(), patience).await;
        assert!(told.starts_with("HTTP/1.1 403"), "{told}");
    }
}

#[tokio::test]
async fn what_writes_takes_a_page_that_this_human_was_shown() {
    let world = proxied("").await;
    // The field comes along with whatever a browser sends, as a cookie does.
    let write = Call::post("/api/v1/evaluate").without("authorization").json(&json!({}));
    let write = write.header("x-forwarded-user", "ann").header("x-forwarded-groups", "ops");
    assert_eq!(by_proxy(&world, write).await.status, 401);
    let token = async |person: &str| {
        let shown = by_proxy(&world, named("/policy", person, "audit")).await.text();
        let token = shown.split("name=\"form\" value=\"").nth(1).unwrap();
        token.split('"').next().unwrap().to_owned()
    };
    let (anns, bobs) = (token("ann").await, token("bob").await);
    assert_ne!(anns, bobs);
    let origin = format!("http://{}", world.admin());
    for (form, origin, status) in [
        (anns.as_str(), origin.as_str(), 200),
        (&bobs, &origin, 403),
        ("0", &origin, 403),
        (&anns, "https://evil.example", 403),
    ] {
        let body = format!("form={form}&operation=update&patch=%7B%7D");
        let sent = Call::post("/policy").without("authorization").header("content-type", FORM);
        let sent = sent.header("x-forwarded-user", "ann").header("x-forwarded-groups", "audit");
        let sent = sent.header("origin", origin).body(body);
        let answer = by_proxy(&world, sent).await;
        assert_eq!(answer.status, status, "{form} {origin}: {}", answer.text());
    }
}
