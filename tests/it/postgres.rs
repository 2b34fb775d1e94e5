//! A log in PostgreSQL.

#[path = "../servers/postgres.rs"]
pub(crate) mod server;

use self::server::TestDatabase;

#[test]
fn each_test_has_a_database_of_its_own_that_flushes() {
    let (Some(one), Some(other)) = (TestDatabase::new(), TestDatabase::new()) else { return };
    one.sql("CREATE TABLE changes (seq bigint)");
    assert_eq!(other.sql("SELECT to_regclass('changes') IS NULL, 2"), "t|2");
    assert_eq!(one.sql("SHOW fsync"), "on");
    assert_ne!(one.url(), other.url());
    assert!(one.try_sql("SELECT absent").unwrap_err().contains("does not exist"));
}
