//! The week before the story: changes of several people and scripts, made by the gateway itself
//! while its clock stood at other times, so that the console has something to show.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::{ALICE, BOB, SCRIPT};
use crate::base::clock::{Clock, ManualClock, Timestamp};
use crate::simulator::{AGENT_ID, ENVIRONMENT_ID, Simulator};

/// A colleague of Alice's, and somebody whom the configuration does not name.
pub(super) const WANG: &str = "pt-demo-wang-li";
const STRANGER: &str = "pt-demo-contractor";

/// The deployments, each with its name and its first schedule.
const DEPLOYMENTS: [(&str, &str, &str); 4] = [
    ("dep_demo_invoices", "weekly-invoices", "0 7 * * 1"),
    ("dep_demo_quality", "夜间数据质检", "30 1 * * *"),
    ("dep_demo_sales", "تقرير المبيعات", "0 6 1 * *"),
    ("dep_demo_triage", "support-triage", "*/30 8-18 * * 1-5"),
];

/// The prompt of the deployments, and what becomes of it.
const PROMPTS: [&str; 3] = [
    "Read the tickets that came in since the last run.\n\
     Sort them by product and by how urgent they are.\n\
     Write a short summary for each product.\n\
     Never answer a customer by yourself.\n\
     Put the summary into the channel of the team that owns the product.",
    "Read the tickets that came in since the last run.\n\
     Sort them by product and by how urgent they are; outages come first.\n\
     Write a summary of three sentences for each product.\n\
     Never answer a customer by yourself.\n\
     Put the summary into the channel of the team that owns the product.",
    "Read the tickets that came in since the last run, and those that nobody has taken.\n\
     Sort them by product and by how urgent they are; outages come first.\n\
     Write a summary of three sentences for each product, with links.\n\
     Put the summary into the channel of the team that owns the product,\n\
     and page whoever is on call for an outage.",
];

/// Something that somebody did.
enum Deed {
    Schedule(&'static str, &'static str),
    Prompt(usize),
    Name(&'static str),
    Key(&'static str, &'static str),
    Secret(&'static str),
    Pause,
    Unpause,
    Run,
    /// In the web console of the provider, around the gateway.
    Around(&'static str),
}

use self::Deed::{Around, Key, Name, Pause, Prompt, Run, Schedule, Secret, Unpause};

/// How many hours ago, by whom, to which deployment, what.
type Step = (u64, &'static str, usize, Deed);

const STEPS: [Step; 36] = [
    (163, ALICE, 0, Schedule("30 7 * * 1", "Asia/Shanghai")),
    (160, WANG, 3, Prompt(0)),
    (158, SCRIPT, 1, Key("last_check", "passed")),
    (151, STRANGER, 0, Key("owner_override", "me")),
    (140, WANG, 3, Prompt(1)),
    (139, WANG, 3, Run),
    (136, SCRIPT, 1, Key("last_check", "passed")),
    (134, ALICE, 2, Schedule("0 6 1 * *", "Europe/Berlin")),
    (133, ALICE, 2, Schedule("0 6 1 * *", "UTC")),
    (118, WANG, 1, Name("夜间数据质检 (上海)")),
    (116, SCRIPT, 1, Key("last_check", "failed")),
    (115, WANG, 1, Pause),
    (114, WANG, 1, Secret("DB_PASSWORD=winter-2026\nREGION=cn-east")),
    (113, WANG, 1, Unpause),
    (97, ALICE, 0, Name("weekly-invoices-of-all-regions-and-partners")),
    (94, SCRIPT, 1, Key("last_check", "passed")),
    (92, STRANGER, 3, Schedule("0 3 * * *", "America/New_York")),
    (91, STRANGER, 3, Schedule("0 3 * * *", "UTC")),
    (76, WANG, 3, Schedule("0 8,12,16 * * 1-5", "Asia/Shanghai")),
    (72, SCRIPT, 1, Key("last_check", "passed")),
    (71, SCRIPT, 1, Key("secret_token", "abc")),
    (70, ALICE, 3, Prompt(2)),
    (60, ALICE, 2, Around("moved to another region by hand")),
    (53, ALICE, 2, Key("region", "me-central")),
    (50, SCRIPT, 1, Key("last_check", "passed")),
    (46, ALICE, 0, Run),
    (45, WANG, 0, Key("cost_centre", "4711")),
    (30, WANG, 3, Schedule("0 8,12 * * 1-5", "Asia/Shanghai")),
    (29, SCRIPT, 1, Key("last_check", "passed")),
    (27, STRANGER, 2, Key("Owner_Override", "me")),
    (26, STRANGER, 2, Key("note", "see ticket 381")),
    (22, ALICE, 0, Schedule("0 7 * * 1,4", "Asia/Shanghai")),
    (7, SCRIPT, 1, Key("last_check", "passed")),
    (5, WANG, 1, Around("paused reports while the database moves")),
    (4, SCRIPT, 1, Key("database", "east-2")),
    (3, ALICE, 3, Schedule("*/15 8-18 * * 1-5", "Asia/Shanghai")),
];

/// The clock as it stood before the first of it.
pub(super) fn clock() -> (Timestamp, ManualClock) {
    let now = Clock::System.now();
    (now, ManualClock::at(now.minus(Duration::from_hours(168))))
}

/// Puts the deployments into the simulator.
pub(super) fn seed(simulator: &Simulator) -> anyhow::Result<()> {
    for (id, name, expression) in DEPLOYMENTS {
        let body = json!({
            "agent": AGENT_ID,
            "environment_id": ENVIRONMENT_ID,
            "name": name,
            "initial_events": [{ "type": "user.message", "content": "Do what is to be done" }],
            "schedule": { "type": "cron", "expression": expression, "timezone": "Asia/Shanghai" },
        });
        let object = body.as_object().context("a deployment is an object")?;
        let seeded = simulator.state().seed_deployment(id, object);
        seeded.map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

/// Makes the changes, each at its time.
pub(super) async fn play(
    simulator: &Simulator,
    (gateway, admin): (SocketAddr, SocketAddr),
    (now, clock): (Timestamp, &ManualClock),
) -> anyhow::Result<()> {
    let client = Client::new(gateway);
    for (place, (hours, token, deployment, deed)) in STEPS.iter().enumerate() {
        let Some((id, ..)) = DEPLOYMENTS.get(*deployment) else { continue };
        // Not all of them at the full hour.
        let minutes = u64::try_from(place).unwrap_or_default() * 7 % 53;
        let minutes = (hours * 60).saturating_sub(minutes);
        clock.set(now.minus(Duration::from_mins(minutes)));
        let path = format!("/api/v1/cloud/deployments/{id}");
        let (path, body) = match deed {
            Around(description) => {
                let patch = json!({ "description": description });
                let object = patch.as_object().context("a patch is an object")?;
                let moved = simulator.state().update_deployment(id, object);
                moved.map_err(|error| anyhow!("{error}"))?;
                continue;
            }
            Pause => (format!("{path}/pause"), json!({})),
            Unpause => (format!("{path}/unpause"), json!({})),
            Run => (format!("{path}/run"), json!({})),
            other => (path, patch(other)),
        };
        let asked = client.post(&path, token, &body).await?;
        ensure!(asked.status != 429, "{token} does more in the week than its budget allows");
        if let Some(approval) = asked.approval.filter(|_| *hours > 24) {
            clock.set(now.minus(Duration::from_mins(minutes.saturating_sub(4))));
            let path = format!("/api/v1/approvals/{approval}/approve");
            let reason = json!({ "reason": "agreed on with the team that owns it" });
            Client::new(admin).post(&path, BOB, &reason).await?;
        }
    }
    Ok(())
}

/// The body of an update.
fn patch(deed: &Deed) -> Value {
    match deed {
        Schedule(expression, zone) => {
            json!({ "schedule": { "type": "cron", "expression": expression, "timezone": zone } })
        }
        Prompt(place) => {
            let text = PROMPTS.get(*place).copied().unwrap_or_default();
            json!({ "initial_events": [{ "type": "user.message", "content": text }] })
        }
        Name(name) => json!({ "name": name }),
        Key(key, value) => {
            let mut metadata = serde_json::Map::new();
            metadata.insert((*key).to_owned(), json!(value));
            json!({ "metadata": metadata })
        }
        Secret(text) => json!({ "environment_variables": text }),
        Pause | Unpause | Run | Around(_) => json!({}),
    }
}
