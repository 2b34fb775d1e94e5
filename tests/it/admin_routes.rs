//! The admin API as its description has it: every path, method and token, and nothing beside.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::client::raw;
use crate::world::{DEPLOYMENT, Setup, World, admin_token, eventually, sha256};

const PATIENCE: Duration = Duration::from_secs(10);

/// In order: each may do what the former may.
const ROLES: [&str; 4] = ["viewer", "auditor", "approver", "admin"];

/// Values of `authorization`, each with its role's index in [`ROLES`]; `None` for no role.
fn credentials() -> Vec<(String, Option<usize>)> {
    let mut all: Vec<_> =
        ["", "Bearer", "Bearer ", "Bearer wrong", "Basic admin-token", "admin-token"]
            .map(|none| (none.to_owned(), None))
            .into();
    for (rank, role) in ROLES.iter().enumerate() {
        let token = format!("{role}-token");
        all.push((format!("Bearer {token}"), Some(rank)));
        // Neither a part of a token nor more than it, and no digest of it.
        let part = token.trim_end_matches('n');
        for near in ["", "x"] {
            all.push((format!("Bearer {part}{near}"), None));
        }
        all.push((format!("Bearer {token}x"), None));
        all.push((format!("Bearer {}", sha256(&token)), None));
        all.push((format!("Bearer {token}\r\nauthorization: Bearer {token}"), None));
    }
    all
}

/// A gateway with a token for each role, and a denied change in its log.
async fn guarded() -> (World, String) {
    let token = |role| admin_token(&format!("{role}-token"), role, role);
    let tables = ROLES.map(token).concat() + "[evidence]\ninterval = '1s'\n";
    let world = Setup::new().config(&tables).start().await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/<b>\u{1b}[2J"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let id = denied.header("changegate-change").unwrap().to_owned();
    let (proof, viewer) = (format!("/api/v1/log/proof/{id}"), authorized("Bearer viewer-token"));
    eventually("a proof", async || {
        (ask(&world, "GET", &proof, &viewer).await.status == 200).then_some(())
    })
    .await;
    (world, id)
}

struct Told {
    status: u16,
    head: String,
    body: String,
}

async fn ask(world: &World, method: &str, target: &str, more: &str) -> Told {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: ops.example\r\nconnection: close\r\n{more}\r\n"
    );
    let text = raw(world.admin(), request.as_bytes(), PATIENCE).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}{text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Told { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn authorized(credential: &str) -> String {
    if credential.is_empty() { String::new() } else { format!("authorization: {credential}\r\n") }
}

/// Asserts the security headers and content type that every answer must have.
fn hardened(told: &Told, what: &str) {
    for line in [
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "content-security-policy: default-src 'none';",
        "frame-ancestors 'none'",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "x-frame-options: deny",
    ] {
        assert!(told.head.contains(line), "{what}: {line}: {}", told.head);
    }
    assert!(!told.head.contains("access-control-"), "{what}: {}", told.head);
    let kind = told.head.lines().find_map(|line| line.strip_prefix("content-type: "));
    let plain = [
        "application/json",
        "text/csv; charset=utf-8; header=present",
        "text/plain; version=0.0.4; charset=utf-8",
        "text/plain; charset=utf-8",
        "application/octet-stream",
    ];
    assert!(kind.is_some_and(|kind| plain.contains(&kind)), "{what}: {}", told.head);
    // Hashes may hold any byte.
    let is_text = kind != Some("application/octet-stream");
    assert!(!is_text || !told.body.contains('\u{1b}'), "{what}: {}", told.body);
}

/// The least role that may ask: none where everybody may.
fn least(described: &Value, operation: &Value) -> Option<usize> {
    let security = operation.get("security").unwrap_or(&described["security"]);
    let named = security.as_array().unwrap().first()?["token"].as_array().unwrap();
    let rank = |name: &Value| ROLES.iter().position(|role| name == role).unwrap();
    Some(named.iter().map(rank).max().unwrap_or(0))
}

#[tokio::test]
async fn every_route_asks_for_the_token_that_its_description_names() {
    let (world, id) = guarded().await;
    let described: Value =
        serde_json::from_str(&ask(&world, "GET", "/openapi.json", "").await.body).unwrap();
    let methods =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "X"];
    for (path, item) in described["paths"].as_object().unwrap() {
        let known: Vec<_> = item.as_object().unwrap().keys().collect();
        let [verb] = known[..] else { panic!("{path} has one verb: {known:?}") };
        let (least, is_sent) = (least(&described, &item[verb]), verb == "post");
        assert!(is_sent || verb == "get", "{path}: {verb}");
        let thing = if path.contains("/deployments/") { DEPLOYMENT } else { &id };
        let time = match () {
            () if path.ends_with("/at") => "?time=2999-01-01",
            () if path.ends_with("/export") => "?format=csv",
            () => "",
        };
        let target =
            format!("{}{time}", path.replace("{id}", thing).replace("{path}", "0/000.p/1"));
        for (credential, rank) in credentials() {
            for method in methods {
                let reads = matches!(method, "GET" | "HEAD");
                let expected = match (least, rank) {
                    (Some(_), None) => 401,
                    (Some(least), Some(rank)) if is_sent && method == "POST" => {
                        // Without a body nothing is done, whoever asks.
                        let more = authorized(&credential);
                        let told = ask(&world, method, &target, &more).await;
                        let refused = [400, 403, 415].contains(&told.status);
                        assert!(refused && (rank >= least || told.status == 403), "{target}");
                        continue;
                    }
                    _ if !reads || is_sent => 405,
                    // The log has no approval.
                    _ if path.ends_with("/approvals/{id}") => 404,
                    (Some(least), Some(rank)) if rank < least => 403,
                    _ => 200,
                };
                let what = format!("{method} {target} {credential:?}");
                let more = authorized(&credential);
                let told = ask(&world, method, &target, &more).await;
                assert_eq!(told.status, expected, "{what}: {}", told.body);
                hardened(&told, &what);
                assert_eq!(told.body.is_empty(), method == "HEAD", "{what}: {}", told.body);
                let challenged = told.head.contains("www-authenticate: bearer");
                assert_eq!(challenged, expected == 401, "{what}: {}", told.head);
            }
        }
    }
}

#[tokio::test]
async fn no_other_spelling_of_a_route_is_one() {
    let (world, id) = guarded().await;
    let described: Value =
        serde_json::from_str(&ask(&world, "GET", "/openapi.json", "").await.body).unwrap();
    let mut others = ["//", "/api", "/api/v1"].map(str::to_owned).to_vec();
    others.extend(
        ["/api/v1/", "/api/v2/changes", "/console", "/debug", "/*", "/%"].map(str::to_owned),
    );
    for path in described["paths"].as_object().unwrap().keys() {
        let path = path.replace("{id}", &id);
        let (start, last) = path.rsplit_once('/').unwrap();
        others.push(format!("{path}/"));
        others.push(format!("{path}//"));
        others.push(format!("/{path}"));
        others.push(format!("{start}//{last}"));
        others.push(format!("{start}/./{last}"));
        others.push(format!("{start}/x/../{last}"));
        // What begins with no slash is not a target at all.
        if !start.is_empty() {
            for slash in ["%2f", "%2F", "\\", "%5c"] {
                others.push(format!("{start}{slash}{last}"));
            }
        }
        others.push(format!("{start}/%2e/{last}"));
        others.push(format!("{path};x=1"));
        others.push(format!("{path}.json"));
        others.push(format!("{path}%00"));
        others.push(format!("{path}%20"));
        others.push(path.to_uppercase());
        if last != id {
            let (first, rest) = last.split_at_checked(1).unwrap();
            others.push(format!("{start}/%{:02x}{rest}", first.as_bytes()[0]));
        }
    }
    for target in others {
        for (credential, expected) in
            [("", 401), ("Bearer wrong", 401), ("Bearer admin-token", 404)]
        {
            for method in ["GET", "POST", "OPTIONS"] {
                let told = ask(&world, method, &target, &authorized(credential)).await;
                let what = format!("{method} {target} {credential:?}: {}", told.body);
                // An id that no change has may look like anything: its path is only read.
                let unknown_id = told.status == 405 && method != "GET";
                assert!(told.status == expected || expected == 404 && unknown_id, "{what}");
                hardened(&told, &what);
            }
        }
    }
}

#[tokio::test]
async fn no_page_of_another_origin_is_told_that_it_may_ask() {
    let (world, _) = guarded().await;
    let preflight = "access-control-request-method: GET\r\n\
                     access-control-request-headers: authorization\r\n";
    for origin in ["https://evil.example", "http://ops.example", "null"] {
        for path in ["/healthz", "/metrics", "/api/v1/changes", "/nothing"] {
            for (method, more) in [("GET", ""), ("OPTIONS", preflight)] {
                for credential in ["", "Bearer admin-token"] {
                    let more = format!("origin: {origin}\r\n{more}{}", authorized(credential));
                    let told = ask(&world, method, path, &more).await;
                    hardened(&told, &format!("{method} {path} {origin}"));
                    assert!(method == "GET" || told.status >= 400, "{path}: {}", told.status);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_asked_has_bounds() {
    let (world, _) = guarded().await;
    let token = authorized("Bearer admin-token");
    for (target, more, status) in [
        (format!("/api/v1/changes?q={}", "a".repeat(9_000)), String::new(), 400),
        (format!("/api/v1/changes?q={}", "a".repeat(300)), String::new(), 400),
        (format!("/api/v1/changes?cursor={}", "a".repeat(5_000)), String::new(), 400),
        ("/api/v1/changes?limit=1001".to_owned(), String::new(), 400),
        (format!("/api/v1/changes/{}", "a".repeat(5_000)), String::new(), 404),
    ] {
        let told = ask(&world, "GET", &target, &format!("{more}{token}")).await;
        assert_eq!(told.status, status, "{}: {}", target.len(), told.body);
        hardened(&told, &target);
        assert!(told.body.len() < 1_000, "{}", told.body.len());
    }
    // What can't be read is told bare.
    let many = "a: b\r\n".repeat(200);
    let long = format!("a: {}\r\n", "b".repeat(70_000));
    for more in [many, long] {
        let told = ask(&world, "GET", "/healthz", &more).await;
        assert_eq!(told.status, 431, "{}: {}", more.len(), told.head);
    }
    // A body is not waited for, and means nothing.
    let body = format!("{token}content-length: 999999999\r\nexpect: 100-continue\r\n");
    assert_eq!(ask(&world, "GET", "/api/v1/changes", &body).await.status, 200);
}
