//! Erasing more of what was erased in part before.

use serde_json::{Value, json};

use super::{attacked, erase, sound, told_a_secret, verified};
use crate::world::world;

#[tokio::test]
async fn what_was_altered_since_a_part_was_erased_is_not_erased_whole() {
    let world = world().await;
    let (_first, _denied, told) = told_a_secret(&world).await;
    let (folder, _simulator) = world.end().await;
    let ran = erase(folder.path(), &[&told]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let beside = said["beside_named"][0].as_str().expect("one shares a document with it");
    let of = format!("id = unhex('{}')", beside.trim_start_matches("chg_"));
    let leaf = format!("kind = 1 AND ref = (SELECT seq FROM changes WHERE {of})");
    for sql in [
        // Shown by its leaf, or told by the erasure alone.
        format!("UPDATE changes SET client_ip = '192.0.2.9' WHERE {of}"),
        format!("UPDATE changes SET user_agent = 'other' WHERE {of}"),
        format!("UPDATE leaves SET salt = zeroblob(32) WHERE {leaf}"),
        format!("UPDATE leaves SET entry = CAST(entry || ' ' AS BLOB) WHERE {leaf}"),
    ] {
        let copy = attacked(folder.path(), &sql).await;
        let found = verified(copy.path());
        assert_eq!(found.0, 1, "{sql}: {found:?}");
        let refused = erase(copy.path(), &[beside]);
        assert!(
            refused.code == 1 && refused.err.contains("is not what its leaf says"),
            "{refused:?}"
        );
        assert_eq!(verified(copy.path()), found, "{sql}: what was altered is still seen");
    }
    let ran = erase(folder.path(), &[beside]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["changes"]), (0, &json!(1)), "{said}");
    assert_eq!(verified(folder.path()), sound());
}
