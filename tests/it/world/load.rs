//! Updates without end, each with a name of its own, and what the log must say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use changegate::simulator::{Options, Simulator};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::program::Folder;
use super::{Answer, Call, call, say, seed};

const API: &str = "/api/v1/cloud/deployments";

/// An upstream with some deployments, and updates to them.
pub(crate) struct Load {
    pub(crate) simulator: Simulator,
    ids: Arc<Vec<String>>,
    names: Arc<AtomicU64>,
}

impl Load {
    pub(crate) fn new(deployments: usize) -> Self {
        let simulator = Simulator::start(Options::default()).unwrap();
        let ids = Arc::new(seed(&simulator, deployments));
        // Both halves of a call take some time, so that what goes wrong falls into every part.
        let faults = ["delay=3@POST", "delay-after=4@POST", "delay=2@GET"];
        simulator.state().set_faults(faults.map(|fault| fault.parse().unwrap()));
        Self { simulator, ids, names: Arc::default() }
    }

    /// Updates without end, two at a time for each deployment.
    pub(crate) fn begin(&self, proxy: SocketAddr) -> JoinSet<()> {
        let mut load = JoinSet::new();
        for n in 0..self.ids.len() * 2 {
            let (ids, names) = (Arc::clone(&self.ids), Arc::clone(&self.names));
            load.spawn(async move {
                loop {
                    // The connection breaks when the gateway is killed, and this task with it.
                    update(proxy, &ids[n % ids.len()], &names).await;
                }
            });
        }
        load
    }

    /// One call more to each deployment, which must succeed.
    pub(crate) async fn once(&self, proxy: SocketAddr) {
        for id in self.ids.iter() {
            let answer = update(proxy, id, &self.names).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }

    /// One call more to the first deployment.
    pub(crate) async fn one(&self, proxy: SocketAddr) -> Answer {
        update(proxy, &self.ids[0], &self.names).await
    }

    /// `GET` of the first deployment.
    pub(crate) async fn look(&self, proxy: SocketAddr) -> Answer {
        call(proxy, Call::get(&format!("{API}/{}", self.ids[0]))).await
    }

    /// How many updates upstream has applied so far.
    pub(crate) fn applied(&self) -> u64 {
        self.ids.iter().map(|id| self.simulator.state().writes(id).applied).sum()
    }

    /// Holds what upstream received and applied against what is on record.
    pub(crate) fn check(&self, folder: &Folder) -> Vec<Value> {
        self.check_beside(folder, "")
    }

    /// The same, with other changes in the log, which all have this request id.
    pub(crate) fn check_beside(&self, folder: &Folder, others: &str) -> Vec<Value> {
        let mut changes = folder.changes(true);
        changes.retain(|change| change["request_id"] != others);
        let mut recorded = BTreeMap::new();
        for change in &changes {
            let name = change["patch"]["name"].as_str().unwrap().to_owned();
            assert_ne!(change["outcome"], "pending", "{change}");
            let twice = recorded.insert(name, change);
            assert!(twice.is_none(), "recorded twice: {twice:?}");
        }
        let mut applied = BTreeSet::new();
        let requests = self.simulator.state().requests();
        assert!(requests.len() < 10_000, "the simulator may have forgotten the first calls");
        for request in requests {
            if request.method != "POST" {
                continue;
            }
            let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { continue };
            let name = body["name"].as_str().unwrap().to_owned();
            let change = recorded.get(&name).unwrap_or_else(|| panic!("no record of {name}"));
            let outcome = change["outcome"].as_str().unwrap();
            assert!(matches!(outcome, "applied" | "unknown"), "{outcome}, yet upstream got {name}");
            if request.status == Some(200) {
                assert!(applied.insert(name.clone()), "{name} was forwarded twice");
            }
        }
        for (name, change) in &recorded {
            let claimed = change["outcome"] == "applied" || change["settled"]["applied"] == true;
            assert!(!claimed || applied.contains(name), "upstream did not apply {change}");
            let denied = change["settled"]["applied"] == false;
            assert!(!denied || !applied.contains(name), "upstream did apply {change}");
        }
        say(&format!("{} recorded, {} applied", recorded.len(), applied.len()));
        changes
    }
}

async fn update(proxy: SocketAddr, id: &str, names: &AtomicU64) -> Answer {
    let name = format!("n{}", names.fetch_add(1, Ordering::Relaxed));
    call(proxy, Call::post(&format!("{API}/{id}")).json(&json!({"name": name}))).await
}
