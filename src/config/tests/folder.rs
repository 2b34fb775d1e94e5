//! The files that the cases name.

use std::fs;

use super::{DIGEST, ROOT};

/// A folder with every file that the cases name.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::create_dir(folder.path().join("seal")).unwrap();
    let certified = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (certified(), certified());
    write("tls/cert.pem", &one.cert.pem());
    write("tls/ca.pem", &format!("{}{}", one.cert.pem(), other.cert.pem()));
    write("tls/key.pem", &one.signing_key.serialize_pem());
    write("tls/other-key.pem", &other.signing_key.serialize_pem());
    for (name, from, to) in [("old", 2000, 2001), ("early", 2999, 3000)] {
        let mut made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        made.not_before = rcgen::date_time_ymd(from, 1, 1);
        made.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let lapsed = made.self_signed(&key).unwrap();
        write(&format!("tls/{name}.pem"), &lapsed.pem());
        write(&format!("tls/{name}-key.pem"), &key.serialize_pem());
        write(&format!("tls/{name}-ca.pem"), &format!("{}{}", one.cert.pem(), lapsed.pem()));
    }
    write("tls/empty.pem", "");
    write("tls/torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
    write("policy.toml", &fs::read_to_string(format!("{ROOT}/config/policy.toml")).unwrap());
    write("garbled.key", "not a key");
    write("siem.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    write("exposed.key", &format!("{DIGEST}\n"));
    write("good.key", &format!("{DIGEST}\n"));
    write("oidc.secret", "of the client\n");
    for (name, mode) in [
        ("garbled.key", 0o600),
        ("siem.secret", 0o600),
        ("exposed.key", 0o644),
        ("good.key", 0o600),
        ("oidc.secret", 0o600),
    ] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(folder.path().join(name), mode).unwrap();
    }
    folder
}
