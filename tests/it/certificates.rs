//! Certificates of both listeners: what is shown under TLS, and how it is renewed.

use std::net::SocketAddr;

use changegate::simulator::{Options, Simulator};
use rustix::process::Signal;

use crate::world::certificate::Certificate;
use crate::world::client::{http1, read};
use crate::world::program::{Folder, Program};
use crate::world::{Call, Setup, call, eventually};

const API: &str = "/api/v1/cloud/agents";

const BOTH: &str = "[listen.tls]\ncert = 'cert.pem'\nkey = 'key.pem'\n\
    [listen.admin_tls]\ncert = 'cert.pem'\nkey = 'key.pem'\n";

fn put(folder: &Folder, certificate: &Certificate) {
    folder.write("cert.pem", &certificate.chain);
    folder.write("key.pem", &certificate.key);
}

async fn shown(address: SocketAddr, certificate: &Certificate) -> bool {
    certificate.try_connect(address, &["http/1.1"]).await.is_ok()
}

async fn eventually_shown(program: &Program, certificate: &Certificate) {
    for address in [program.proxy, program.admin] {
        let found = async || shown(address, certificate).await.then_some(());
        eventually("the new certificate", found).await;
    }
}

#[tokio::test]
async fn the_admin_api_is_asked_under_tls() {
    let certificate = Certificate::of("localhost");
    let setup = Setup::new().file("cert.pem", &certificate.chain).file("key.pem", &certificate.key);
    let config = "[listen.admin_tls]\ncert = 'cert.pem'\nkey = 'key.pem'";
    let world = setup.config(config).start().await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("http/1.1")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = certificate.connect(world.admin(), offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        let mut client = http1(stream).await;
        for path in ["/healthz", "/metrics", "/api/v1/changes"] {
            let answer = client.send_request(Call::get(path).http1("localhost")).await.unwrap();
            assert_eq!(read(answer).await.status, 200, "{path}");
        }
    }
    // The proxy listener has a switch of its own.
    assert_eq!(call(world.proxy(), Call::get(API)).await.status, 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_open_connections_stay() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), BOTH);
    let all = [(); 4].map(|()| Certificate::of("localhost"));
    let [first, second, third, fourth] = &all;
    put(&folder, first);
    let program = folder.serve().await;
    let mut open = http1(first.connect(program.proxy, &["http/1.1"]).await).await;
    let mut operator = http1(first.connect(program.admin, &["http/1.1"]).await).await;

    put(&folder, second);
    eventually_shown(&program, second).await;
    assert!(!shown(program.proxy, first).await);
    let answer = open.send_request(Call::get(API).http1("localhost")).await.unwrap();
    assert_eq!(read(answer).await.status, 200);
    let answer = operator.send_request(Call::get("/readyz").http1("localhost")).await.unwrap();
    assert_eq!(read(answer).await.status, 200);

    // A certificate whose key is not there yet changes nothing, and is said.
    folder.write("cert.pem", &third.chain);
    program.signal(Signal::HUP);
    program.says("reload failed").await;
    for address in [program.proxy, program.admin] {
        assert!(shown(address, second).await && !shown(address, third).await);
    }
    folder.write("key.pem", &third.key);
    eventually_shown(&program, third).await;

    // Other files, too; but not none at all.
    folder.write("other.pem", &fourth.chain);
    folder.write("other-key.pem", &fourth.key);
    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let moved = config.replace("'cert.pem'", "'other.pem'").replace("'key.pem'", "'other-key.pem'");
    folder.write("changegate.toml", &moved);
    eventually_shown(&program, fourth).await;
    folder.write("changegate.toml", &config.replace(BOTH, ""));
    program.signal(Signal::HUP);
    program.says("needs a restart").await;
    assert!(shown(program.proxy, fourth).await);
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_said_at_the_start_and_shown_all_the_same() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), BOTH);
    let mut made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    made.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    folder.write("cert.pem", &made.self_signed(&key).unwrap().pem());
    folder.write("key.pem", &key.serialize_pem());
    let check = folder.command(&["check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0));
    let said = String::from_utf8(check.stderr).unwrap();
    for key in ["listen.tls.cert", "listen.admin_tls.cert"] {
        assert!(said.lines().any(|line| line.contains(key) && line.contains("expired")), "{said}");
    }
    let program = folder.serve().await;
    assert!(program.has_said("a certificate does not hold"));
}
