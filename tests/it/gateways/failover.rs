//! The database is started anew under load, fails over to a standby, or is out of one gateway's
//! reach.

use std::path::PathBuf;
use std::time::Duration;

use changegate::base::database::{Database, PostgresHost};

use super::Team;
use crate::postgres::pair::Pair;
use crate::postgres::pooler::Pooler;
use crate::postgres::server::TestDatabase;
use crate::world::forwarder::Forwarder;

/// How long a server runs before something happens to it.
const A_WHILE: Duration = Duration::from_millis(600);

/// Longer than a lease, so that the others take the turns.
const CUT_OFF: Duration = Duration::from_millis(11_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_survive_a_restart_of_the_database_and_a_failover() {
    let Some(mut pair) = Pair::start() else { return };
    let mut forwarder = Forwarder::to(&pair.primary.socket()).await;
    let url = format!("postgres://changegate@{}/postgres", forwarder.address);
    let mut team = Team::on(6, &pair.primary.url(), &[&url, &url, &url]).await;
    tokio::time::sleep(A_WHILE).await;
    pair.primary.restart();
    team.calm().await;
    tokio::time::sleep(A_WHILE).await;
    pair.primary.kill();
    forwarder.aim(None).await;
    pair.standby.promote();
    forwarder.aim(Some(&pair.standby.socket())).await;
    team.calm().await;
    let told = &team.programs[0].events("failover", 1).await;
    assert_eq!((told.len(), &told[0]["detail"]["lost"]), (1, &0.into()), "{told:?}");
    assert_eq!(told[0]["detail"]["timeline"], "00000002", "{told:?}");
    for program in &team.programs {
        assert!(!program.has_said("has lost records that were durable"), "{}", program.said());
    }
    team.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_from_the_log_stops_while_others_go_on() {
    let Some(database) = TestDatabase::new() else { return };
    let Some(socket) = socket_of(&database.url()) else { return };
    let mut forwarder = Forwarder::to(&socket).await;
    let url = database.url().replace("//postgres@", "//changegate@");
    let (_, name) = url.rsplit_once('/').unwrap();
    let cut = format!("postgres://changegate@{}/{name}", forwarder.address);
    let mut team = Team::on(4, &database.url(), &[&cut, &url, &url]).await;
    for is_silent in [true, false] {
        tokio::time::sleep(A_WHILE).await;
        if is_silent {
            forwarder.let_through(false);
        } else {
            forwarder.aim(None).await;
        }
        tokio::time::sleep(CUT_OFF).await;
        // The others have the turns now.
        team.calm().await;
        let away = team.programs[0].ask("/readyz").await;
        assert_ne!(away["status"], "ok", "{away}");
        if is_silent {
            forwarder.let_through(true);
        } else {
            forwarder.aim(Some(&socket)).await;
        }
    }
    team.calm().await;
    team.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_a_pooler_that_gives_each_transaction_another_connection() {
    let Some(database) = TestDatabase::new() else { return };
    let Some(socket) = socket_of(&database.url()) else { return };
    let Some(pooler) = Pooler::before(socket.parent().unwrap()) else { return };
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let url = format!("postgres://changegate@127.0.0.1:{}/{name}", pooler.port);
    let mut team = Team::on(3, &database.url(), &[&url, &url, &url]).await;
    tokio::time::sleep(A_WHILE).await;
    team.kill(1).await;
    team.calm().await;
    team.check().await;
}

/// The socket file that a URL leads to, if to one.
fn socket_of(url: &str) -> Option<PathBuf> {
    let Ok(Database::Postgres(url)) = Database::parse(url) else { panic!("{url}") };
    match url.host {
        PostgresHost::Folder(folder) => Some(folder.join(format!(".s.PGSQL.{}", url.port))),
        PostgresHost::Name(_) => None,
    }
}
