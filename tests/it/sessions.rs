//! Sessions of the console under a configuration that changes: they end with what they stand for.

use std::net::SocketAddr;

use changegate::base::clock::Clock;
use changegate::simulator::{Options, Simulator};

use crate::console::{FORM, page};
use crate::world::issuer::{CODE, Issuer, SECRET};
use crate::world::program::{Folder, Program};
use crate::world::{Answer, Call, admin_token, call, eventually};

/// A program whose configuration file ends in `more`.
async fn started(more: &str) -> (Simulator, Folder, Program) {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), more);
    folder.write("oidc", SECRET);
    let program = folder.serve().await;
    (simulator, folder, program)
}

/// Replaces the end of the configuration file.
fn rewrite(folder: &Folder, former: &str, more: &str) {
    let text = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    assert!(text.contains(former));
    folder.write("changegate.toml", &text.replace(former, more));
}

fn session_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

async fn log_in(admin: SocketAddr, token: &str) -> String {
    let sent = Call::post("/login").without("authorization").header("content-type", FORM);
    let sent = sent.header("origin", &format!("http://{admin}"));
    session_of(&call(admin, sent.body(format!("token={token}"))).await)
}

async fn status(admin: SocketAddr, session: &str) -> u16 {
    call(admin, page("/changes", session)).await.status.as_u16()
}

async fn ends(admin: SocketAddr, session: &str) {
    let over = async || (status(admin, session).await == 303).then_some(());
    eventually("the end of the session", over).await;
}

#[tokio::test]
async fn a_session_ends_when_its_token_leaves_the_configuration() {
    let (stays, leaves) =
        (admin_token("one", "stays", "viewer"), admin_token("two", "leaves", "auditor"));
    let (_simulator, folder, program) = started(&format!("{stays}{leaves}")).await;
    let admin = program.admin;
    let (staying, leaving) = (log_in(admin, "one").await, log_in(admin, "two").await);
    assert_eq!((status(admin, &staying).await, status(admin, &leaving).await), (200, 200));
    rewrite(&folder, &leaves, "");
    ends(admin, &leaving).await;
    assert_eq!(status(admin, &staying).await, 200);
    // Another token under the same name does not bring it back.
    let other = admin_token("three", "leaves", "auditor");
    rewrite(&folder, &stays, &format!("{stays}{other}"));
    let comes = async || {
        let asked = call(admin, Call::get("/api/v1/changes").token("three")).await;
        (asked.status == 200).then_some(())
    };
    eventually("the other token", comes).await;
    assert_eq!(status(admin, &leaving).await, 303);
}

#[tokio::test]
async fn a_session_by_an_issuer_ends_when_its_terms_change() {
    let issuer = Issuer::start(Clock::System.now().unix_seconds()).await;
    let roles = "[admin.roles]\nauditor = ['staff']\n";
    let (_simulator, folder, program) = started(&format!("{}{roles}", issuer.config())).await;
    let admin = program.admin;
    let begun = call(admin, page("/login/oidc", "")).await;
    let location = begun.header("location").unwrap().to_owned();
    let brought = |name: &str| {
        let mut pairs = location.split(['?', '&']).filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).unwrap().1.to_owned()
    };
    issuer.say(|script| {
        script.nonce = brought("nonce");
        script.challenge = brought("code_challenge");
    });
    let target = format!("/login/oidc/callback?code={CODE}&state={}", brought("state"));
    let session = session_of(&call(admin, page(&target, &session_of(&begun))).await);
    assert_eq!(status(admin, &session).await, 200);
    rewrite(&folder, roles, "[admin.roles]\nauditor = ['others']\n");
    ends(admin, &session).await;
}
