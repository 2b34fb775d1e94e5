//! Logins to the console by an issuer: what they give, and what does not get in.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::console::{form, page, text};
use crate::world::issuer::{CODE, Issuer, SECRET};
use crate::world::recorder::answer;
use crate::world::{Answer, Call, Setup, World, admin_token, call};

const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);

const ROLES: &str = "[admin.roles]\nauditor = ['audit']\napprover = ['leads', 'more']\n";

/// A gateway whose people log in at an issuer.
struct House {
    issuer: Issuer,
    world: World,
    clock: ManualClock,
}

/// A login that has left for the issuer: its cookie, and the query that it brought there.
struct Begun {
    cookie: String,
    query: Vec<(String, String)>,
}

async fn house(more: &str) -> House {
    let clock = ManualClock::at(NOW);
    let issuer = Issuer::start(NOW.unix_seconds()).await;
    let setup = Setup::new().file("oidc", &format!("{SECRET}\n"));
    let setup = setup.config(&format!("{}{more}", issuer.config()));
    let world = setup.clock(Clock::Manual(clock.clone())).start().await;
    House { issuer, world, clock }
}

fn cookies(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|value| value.to_str().unwrap().to_owned()).collect()
}

impl Begun {
    fn get(&self, name: &str) -> &str {
        &self.query.iter().find(|(key, _)| key == name).unwrap().1
    }
}

impl House {
    /// Begins a login, and has the issuer know of it.
    async fn begin(&self, next: &str) -> Begun {
        let target = format!("/login/oidc?next={next}");
        let answer = call(self.world.admin(), page(&target, "")).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let set = cookies(&answer).concat();
        for part in ["changegate-login=", "; HttpOnly", "; SameSite=Lax", "; Max-Age=600"] {
            assert!(set.contains(part), "{set}");
        }
        let location = answer.header("location").unwrap();
        let (place, query) = location.split_once('?').unwrap();
        assert_eq!(place, format!("{}/authorize", self.issuer.url));
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
        };
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(key, text)| (key.to_owned(), decoded(text))).collect();
        let begun = Begun { cookie: set.split(';').next().unwrap().to_owned(), query };
        self.issuer.say(|script| {
            begun.get("nonce").clone_into(&mut script.nonce);
            begun.get("code_challenge").clone_into(&mut script.challenge);
        });
        begun
    }

    /// Comes back from the issuer, as its page leads a browser.
    async fn back(&self, begun: &Begun, code: &str, more: &str) -> Answer {
        let state = begun.get("state");
        let target = format!("/login/oidc/callback?code={code}&state={state}{more}");
        let led = page(&target, &begun.cookie).header("sec-fetch-site", "cross-site");
        let led = led.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
        call(self.world.admin(), led).await
    }

    /// The session that a whole login gives.
    async fn session(&self) -> String {
        let begun = self.begin("/").await;
        let answer = self.back(&begun, CODE, "").await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        cookies(&answer).first().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn status(&self, cookie: &str) -> u16 {
        call(self.world.admin(), page("/changes", cookie)).await.status.as_u16()
    }

    /// Holds that a login comes to nothing, and that its page says why.
    async fn fails(&self, status: u16, word: &str) {
        let begun = self.begin("/").await;
        let answer = self.back(&begun, CODE, "").await;
        is_refused(&answer, status, word);
    }
}

/// Holds that an answer lets nobody in, and says why.
fn is_refused(answer: &Answer, status: u16, word: &str) {
    let told = answer.text();
    assert_eq!(answer.status, status, "{word}: {told}");
    assert!(told.contains(word), "{word}: {told}");
    assert!(cookies(answer).is_empty(), "{word}");
    assert!(!told.contains(SECRET) && !told.contains("<b>"), "{told}");
}

#[tokio::test]
async fn a_login_at_the_issuer_gives_a_session_with_the_role_of_the_groups() {
    let house = house(ROLES).await;
    let shown = text(&house.world, "/login", "").await;
    assert!(shown.contains("href=\"/login/oidc\"") && !shown.contains("Admin token"), "{shown}");
    let begun = house.begin("%2Fchanges%3Fteam%3Da").await;
    for (name, expected) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "change gate"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", "http://127.0.0.1:1/login/oidc/callback"),
    ] {
        assert_eq!(begun.get(name), expected);
    }
    let answer = house.back(&begun, CODE, "").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("/changes?team=a"));
    let set = cookies(&answer);
    assert!(set[0].contains("SameSite=Strict") && set[0].contains("Max-Age=28800"), "{set:?}");
    assert!(set[1].starts_with("changegate-login=;") && set[1].contains("Max-Age=0"), "{set:?}");

    let session = set[0].split(';').next().unwrap();
    let seen = text(&house.world, "/", session).await;
    assert!(seen.contains("Ann@C.example") && seen.contains("viewer"), "{seen}");
    house.issuer.say(|script| script.claims["groups"] = json!(["audit", "more", "staff"]));
    let seen = text(&house.world, "/", &house.session().await).await;
    assert!(seen.contains("approver"), "{seen}");
    // Its documents were asked for once.
    assert_eq!((house.issuer.asked("configuration"), house.issuer.asked("/keys")), (1, 1));
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_is_nobody_elses() {
    let house = house("session = '1h'\n").await;
    let session = house.session().await;
    assert_eq!(house.status(&session).await, 200);
    let (told, rest) = session.split_once("=~").unwrap();
    let (word, rest) = rest.split_once('.').unwrap();
    let admin = "eyJwZXJzb24iOiJBbm5AQy5leGFtcGxlIiwicm9sZSI6M30";
    for forged in [
        format!("{told}=~{admin}.{rest}"),
        format!("{told}={word}.{rest}"),
        format!("{told}=~{word}.{}.{}", rest.split('.').next().unwrap(), "0".repeat(64)),
    ] {
        assert_eq!(house.status(&forged).await, 303, "{forged}");
    }
    // It reads the API, writes nothing there, and its pages' forms are its own.
    let read = call(house.world.admin(), page("/api/v1/changes", &session)).await;
    assert_eq!(read.status, 200);
    let write = Call::post("/api/v1/evaluate").without("authorization").header("cookie", &session);
    assert_eq!(call(house.world.admin(), write.json(&json!({}))).await.status, 401);
    let leave = form(&house.world, "/logout", "form=0").header("cookie", &session);
    assert_eq!(call(house.world.admin(), leave).await.status, 403);
    house.clock.advance(Duration::from_mins(59));
    assert_eq!(house.status(&session).await, 200);
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(house.status(&session).await, 303);
}

#[tokio::test]
async fn what_the_issuer_has_not_said_of_this_login_gets_nobody_in() {
    let house = house(ROLES).await;
    for (head, word) in [
        (json!({"alg": "none"}), "RS256"),
        (json!({"alg": "HS256"}), "RS256"),
        (json!({"alg": "RS256"}), "signature"),
        (json!({"alg": "ES256", "kid": "another"}), "does not publish"),
    ] {
        house.issuer.say(|script| script.head = head);
        house.fails(403, word).await;
    }
    house.issuer.say(|script| script.head = json!({"alg": "ES256"}));
    let now = NOW.unix_seconds();
    for (name, value, word) in [
        ("iss", json!("https://evil.example"), "another issuer"),
        ("aud", json!("other"), "another client"),
        ("azp", json!("other"), "another client"),
        ("exp", json!(now - 61), "expired"),
        ("nonce", json!("0"), "another login"),
        ("email", json!(""), "person_claim"),
        ("email_verified", json!(false), "not verified"),
    ] {
        let mut kept = Value::Null;
        house.issuer.say(|script| {
            kept = script.claims.clone();
            script.claims[name] = value;
        });
        house.fails(403, word).await;
        house.issuer.say(|script| script.claims = kept);
    }
    house.session().await;
}

#[tokio::test]
async fn an_answer_that_belongs_to_no_login_of_this_browser_is_refused() {
    let house = house(ROLES).await;
    let (one, other) = (house.begin("/").await, house.begin("/").await);
    let state = other.get("state");
    let target = format!("/login/oidc/callback?code={CODE}&state={state}");
    let mut forged = one.cookie.clone();
    forged.replace_range(forged.len() - 1.., if forged.ends_with('0') { "1" } else { "0" });
    let nobody = format!("{}.0.Lw.{}", "0".repeat(32), "0".repeat(64));
    for cookie in ["", &one.cookie, &forged, &format!("changegate-login={nobody}")] {
        let answer = call(house.world.admin(), page(&target, cookie)).await;
        is_refused(&answer, 400, "not begun in this browser");
    }
    for target in ["/login/oidc/callback", "/login/oidc/callback?state=0&code=x"] {
        let answer = call(house.world.admin(), page(target, &one.cookie)).await;
        is_refused(&answer, 400, "not begun in this browser");
    }
    // The wrong code; the challenge of another login; another issuer's answer; a refusal.
    is_refused(&house.back(&other, "wrong", "").await, 403, "invalid_grant");
    house.issuer.say(|script| one.get("code_challenge").clone_into(&mut script.challenge));
    is_refused(&house.back(&other, CODE, "").await, 403, "invalid_grant");
    let elsewhere = house.back(&other, CODE, "&iss=https%3A%2F%2Fevil.example").await;
    is_refused(&elsewhere, 403, "another issuer");
    let denied = format!("?state={state}&error=access_denied&error_description=%3Cb%3Eno");
    let target = format!("/login/oidc/callback{denied}");
    let answer = call(house.world.admin(), page(&target, &other.cookie)).await;
    is_refused(&answer, 403, "access_denied");
    house.clock.advance(Duration::from_mins(10));
    is_refused(&house.back(&other, CODE, "").await, 400, "10 minutes");
}

#[tokio::test]
async fn a_login_leads_to_no_other_site_and_goes_on_at_any_gateway() {
    let house = house(ROLES).await;
    for next in ["%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example"] {
        let begun = house.begin(next).await;
        let answer = house.back(&begun, CODE, "").await;
        assert_eq!(answer.header("location"), Some("/"), "{next}");
    }
    // Another gateway of this installation: the same key, and a log of its own here.
    let begun = house.begin("/").await;
    let setup = Setup::new().file("oidc", SECRET);
    let setup = setup.config(&format!("{}{ROLES}", house.issuer.config()));
    let other = setup.clock(Clock::Manual(house.clock.clone())).start().await;
    let target = format!("/login/oidc/callback?code={CODE}&state={}", begun.get("state"));
    let answer = call(other.admin(), page(&target, &begun.cookie)).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let session = cookies(&answer)[0].split(';').next().unwrap().to_owned();
    assert_eq!(house.status(&session).await, 200);
}

#[tokio::test]
async fn keys_that_are_new_are_read_and_an_issuer_that_fails_is_told_of() {
    let house = house(ROLES).await;
    house.session().await;
    house.issuer.rotate();
    // Not over and over.
    house.fails(403, "does not publish").await;
    house.clock.advance(Duration::from_secs(11));
    house.session().await;
    assert_eq!(house.issuer.asked("/keys"), 2);
    house.clock.advance(Duration::from_mins(61));
    house.issuer.say(|script| script.claims["exp"] = json!(NOW.unix_seconds() + 8_000));
    let moved = http::Response::builder().status(302).header("location", "/elsewhere");
    let moved = moved.body(http_body_util::Full::default()).unwrap();
    let long = answer(200, "x".repeat(300 << 10));
    for (instead, word) in [
        (moved, "302 Found"),
        (answer(200, "[]"), "discovery document"),
        (answer(200, json!({"issuer": "https://other.example"})), "discovery document"),
        (long, "longer than"),
    ] {
        house.clock.advance(Duration::from_secs(4));
        house.issuer.say(|script| script.instead = Some(("configuration", instead)));
        let begun = call(house.world.admin(), page("/login/oidc", "")).await;
        is_refused(&begun, 502, word);
        let again = call(house.world.admin(), page("/login/oidc", "")).await;
        is_refused(&again, 503, "some seconds");
    }
    assert_eq!(house.issuer.asked("/elsewhere"), 0);
    house.issuer.say(|script| script.instead = None);
    house.clock.advance(Duration::from_secs(4));
    house.session().await;
}

#[tokio::test]
async fn who_is_in_no_group_may_be_let_in_no_further() {
    let config = format!("{ROLES}default = 'none'\n{}", admin_token("key", "glass", "admin"));
    let house = house(&config).await;
    let begun = house.begin("/").await;
    let answer = house.back(&begun, CODE, "").await;
    is_refused(&answer, 403, "[admin.roles]");
    // A token stays a way in beside it.
    let shown = text(&house.world, "/login", "").await;
    assert!(
        shown.contains("Admin token") && shown.contains("Log in with <bdi>127.0.0.1"),
        "{shown}"
    );
    let entered = call(house.world.admin(), form(&house.world, "/login", "token=key")).await;
    assert_eq!(entered.status, 303);
}
