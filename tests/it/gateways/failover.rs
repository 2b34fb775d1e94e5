//! The database is started anew under load, fails over to a standby, or is out of one gateway's
//! reach.

use std::path::{Path, PathBuf};
use std::time::Duration;

use changegate::base::database::{Database, PostgresHost};

use super::Team;
use crate::postgres::pair::Pair;
use crate::postgres::pooler::Pooler;
use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::forwarder::Forwarder;
use crate::world::load::Load;
use crate::world::program::Folder;
use crate::world::{Call, call, eventually};

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
async fn what_a_standby_never_had_is_told_as_lost_and_nothing_else_is_claimed() {
    let Some(mut pair) = Pair::start_apart() else { return };
    let mut forwarder = Forwarder::to(&pair.primary.socket()).await;
    let made = run(Path::new("/"), &["migrate", "--database", &pair.primary.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let load = Load::new(1);
    let folder = Folder::new(
        load.simulator.address(),
        "[evidence]\ninterval = '1s'\n[[sink]]\nname = 'file'\nkind = 'file'\n\
         path = 'out.jsonl'\nfrom = 'start'\n",
    );
    folder.keep_log_at(&format!("postgres://changegate@{}/postgres", forwarder.address));
    let program = folder.serve().await;
    assert!(program.has_said("a commit waits for none of them"), "{}", program.said());
    let change = async || {
        let answer = load.one(program.proxy).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("changegate-change").unwrap().to_owned()
    };
    let kept = [change().await, change().await];
    pair.standby.leave_behind("SELECT count(*) FROM changegate.ends", "2");
    let lost = [change().await, change().await, change().await];
    let shown = load.look(program.proxy).await.json();
    let checkpoint = async || {
        let note = call(program.admin, Call::get("/api/v1/log/checkpoint")).await.text();
        note.lines().nth(1).and_then(|size| size.parse::<u64>().ok()).unwrap_or_default()
    };
    let waiting = async || pair.primary.sql("SELECT count(*) FROM changegate.unsequenced");
    eventually("all of it in the tree", async || (waiting().await == "0").then_some(())).await;
    let newest = pair.primary.sql("SELECT size FROM changegate.tree").parse().unwrap();
    eventually("a checkpoint over all", async || (checkpoint().await >= newest).then_some(()))
        .await;
    pair.primary.kill();
    forwarder.aim(None).await;
    pair.standby.promote();
    forwarder.aim(Some(&pair.standby.socket())).await;
    let told = &program.events("failover", 1).await[0]["detail"];
    // Each of the three is two batches: that it began, and how it ended.
    assert!(told["lost"].as_u64().unwrap() >= 6, "{told}");
    program.says("has lost records that were durable").await;
    let next = change().await;
    let changes = folder.changes(true);
    let ids: Vec<&str> = changes.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&next, &kept[1], &kept[0]]);
    assert!(!ids.iter().any(|id| lost.iter().any(|lost| lost == id)));
    assert!(changes.iter().all(|row| row["outcome"] == "applied"), "{changes:#?}");
    // Upstream shows what was lost: it is the before, as it is.
    assert_eq!(changes[0]["before"]["name"], shown["name"], "{:#}", changes[0]);
    let events = program.ask("/api/v1/events?limit=1000").await;
    let events = events["data"].as_array().unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["failover", "start"]);
    // No tree is signed that is not the one signed before with more in it.
    program.says("its evidence is not kept up").await;
    // A sink that was sent more than there is now goes back to what has those positions.
    eventually("the next change in the sink", async || {
        let sent = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap_or_default();
        sent.contains(&next).then_some(())
    })
    .await;
    let verified = folder.command(&["audit", "verify"]).output().unwrap();
    assert!(checkpoint().await < newest, "what the standby has of them");
    let found = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(found.starts_with("cut-tail: ") && found.lines().count() == 2, "{found}");
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
