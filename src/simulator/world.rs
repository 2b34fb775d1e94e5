//! Everything that the upstream knows, and what each call does to it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde_json::{Value, json};

use super::catalog::{Catalog, Entry, Kind};
use super::deployment::Deployment;
use super::dialect::Dialect;
use super::fault::Fault;
use super::fields;
use super::problem::Problem;
use super::query::Query;
use super::received::{BODY_BYTES_MAX, RECEIVED_MAX, Received, Ticket, Writes};
use super::shelf::{Page, Shelf};
use super::timetable::seconds;
use crate::base::clock::{Clock, Timestamp};
use crate::base::ids::{Hex, random};
use crate::deployment::Object;
use crate::provider::Operation;

/// How many deployments there can be, and how many runs are remembered.
const CAPACITY: usize = 10_000;

/// The upstream's memory.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dialect: Dialect,
    pub(super) clock: Clock,
    pub(super) catalog: Catalog,
    pub(super) deployments: Shelf<Deployment>,
    pub(super) runs: Shelf<Run>,
    pub(super) faults: Vec<Fault>,
    /// The last calls, oldest first.
    pub(super) received: VecDeque<Received>,
    /// How many calls there were before the first of `received`.
    pub(super) forgotten: u64,
    /// Write calls by deployment id.
    pub(super) writes: HashMap<String, Writes>,
}

/// One execution of a deployment.
#[derive(Clone, Debug)]
pub(super) struct Run {
    deployment_id: String,
    shown: Value,
}

/// A new id: `<prefix>_` and 32 hex digits.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Hex(&random::<16>()))
}

impl World {
    /// A world without content.
    pub(super) fn new(dialect: Dialect, clock: Clock, faults: Vec<Fault>) -> Self {
        Self {
            dialect,
            clock,
            catalog: Catalog::new(),
            deployments: Shelf::new(CAPACITY),
            runs: Shelf::new(CAPACITY),
            faults,
            received: VecDeque::new(),
            forgotten: 0,
            writes: HashMap::new(),
        }
    }

    /// `POST /deployments`.
    pub(super) fn create(&mut self, body: &Object) -> Result<Value, Problem> {
        if self.deployments.is_full() {
            return Err(Problem::new(409, "there can be no more deployments"));
        }
        let fields = fields::created(body, self.dialect.execution_config, &self.catalog)?;
        let now = self.clock.now();
        let id = new_id(self.dialect.id_prefix);
        let deployment = Deployment::new(id.clone(), fields, now);
        let shown = deployment.show(now);
        self.deployments.push(id, deployment);
        Ok(shown)
    }

    /// `GET /deployments/{id}`.
    pub(super) fn show(&mut self, id: &str) -> Result<Value, Problem> {
        let now = self.clock.now();
        self.current(id, now).map(|deployment| deployment.show(now))
    }

    /// `GET /deployments`.
    pub(super) fn list(&mut self, query: &Query) -> Result<Value, Problem> {
        let status = query.find("status");
        if status.is_some_and(|status| status != "active" && status != "paused") {
            return Err(Problem::field("status", "status must be active or paused"));
        }
        let with_archived = query.read_as("include_archived")?.unwrap_or(false);
        let agent = query.find("agent_id");
        let page = self.deployments.page(query, |deployment| {
            (with_archived || deployment.archived_at.is_none())
                && status.is_none_or(|status| deployment.status() == status)
                && agent.is_none_or(|agent| deployment.agent_id() == Some(agent))
        })?;
        let data: Vec<Value> = page.ids.iter().map(|id| self.show(id)).collect::<Result<_, _>>()?;
        Ok(listing(&page, &data))
    }

    /// `POST /deployments/{id}`.
    pub(super) fn update(&mut self, id: &str, body: &Object) -> Result<Value, Problem> {
        let now = self.clock.now();
        let deployment = self.writable(id, now)?;
        let before = deployment.fields.clone();
        let after = fields::updated(&before, body, &self.catalog)?;
        let deployment = self.writable(id, now)?;
        deployment.set(after, now);
        Ok(deployment.show(now))
    }

    /// `POST /deployments/{id}/<verb>`.
    pub(super) fn act(&mut self, id: &str, operation: Operation) -> Result<Value, Problem> {
        let now = self.clock.now();
        if operation == Operation::Archive {
            return self.archive(id, now);
        }
        let deployment = self.writable(id, now)?;
        if operation == Operation::Run {
            deployment.ran(now);
            let run = Run::new(deployment, now, &json!({"type": "manual"}));
            let shown = run.shown.clone();
            self.runs.push(run.id(), run);
            return Ok(shown);
        }
        deployment.pause(operation == Operation::Pause, now);
        Ok(deployment.show(now))
    }

    /// `GET /deployment_runs`, and `GET /deployments/{id}/runs` where a deployment is named.
    pub(super) fn list_runs(
        &mut self,
        query: &Query,
        deployment_id: Option<&str>,
    ) -> Result<Value, Problem> {
        if let Some(id) = deployment_id {
            self.show(id)?;
        }
        let wanted = deployment_id.or_else(|| query.find("deployment_id"));
        let is_wanted = |run: &Run| wanted.is_none_or(|id| run.deployment_id == id);
        let page = self.runs.page(query, is_wanted)?;
        let runs = page.ids.iter().filter_map(|id| self.runs.find(id));
        let data: Vec<Value> = runs.map(|run| run.shown.clone()).collect();
        Ok(listing(&page, &data))
    }

    /// `GET /deployment_runs/{id}`.
    pub(super) fn show_run(&self, id: &str) -> Result<Value, Problem> {
        let run = self.runs.find(id).ok_or_else(|| Problem::not_found("deployment run"))?;
        Ok(run.shown.clone())
    }

    /// `GET /agents` and `GET /environments`.
    pub(super) fn list_entries(&self, kind: Kind, query: &Query) -> Result<Value, Problem> {
        let with_archived = query.read_as("include_archived")?.unwrap_or(false);
        let entries = self.catalog.shelf(kind);
        let page = entries.page(query, |entry| with_archived || !entry.is_archived())?;
        let data: Vec<Value> =
            page.ids.iter().filter_map(|id| entries.find(id)).map(Entry::show).collect();
        Ok(listing(&page, &data))
    }

    /// `POST /agents` and `POST /environments`.
    pub(super) fn create_entry(&mut self, kind: Kind, body: Object) -> Result<Value, Problem> {
        let id = new_id(kind.id_prefix());
        let entry = Entry::new(kind, &id, body, self.clock.now())?;
        let shown = entry.show();
        self.catalog.shelf_mut(kind).push(id, entry);
        Ok(shown)
    }

    fn archive(&mut self, id: &str, now: Timestamp) -> Result<Value, Problem> {
        let renames = self.dialect.provider.archive_renames;
        let deployment = self.current(id, now)?;
        if deployment.archived_at.is_none() {
            deployment.archive(now);
            if renames && let Some(Value::String(name)) = deployment.fields.get_mut("name") {
                *name = format!("{name}_archived_{}", now.unix_seconds());
            }
        }
        Ok(deployment.show(now))
    }

    /// The deployment of that id, after its schedule has fired for the time that has passed.
    fn current(&mut self, id: &str, now: Timestamp) -> Result<&mut Deployment, Problem> {
        let missing = || Problem::not_found("deployment");
        let deployment = self.deployments.find_mut(id).ok_or_else(missing)?;
        let fired = deployment.catch_up(now);
        for at in fired {
            let run =
                Run::new(deployment, at, &json!({"type": "schedule", "scheduled_at": seconds(at)}));
            self.runs.push(run.id(), run);
        }
        Ok(deployment)
    }

    /// The deployment of that id, which must not be archived.
    fn writable(&mut self, id: &str, now: Timestamp) -> Result<&mut Deployment, Problem> {
        let deployment = self.current(id, now)?;
        match deployment.archived_at {
            None => Ok(deployment),
            Some(_at) => Err(Problem::new(409, "the deployment is archived")),
        }
    }
}

impl Run {
    fn new(deployment: &Deployment, at: Timestamp, trigger: &Value) -> Self {
        let shown = json!({
            "agent": deployment.fields.get("agent"),
            "created_at": seconds(at),
            "deployment_id": deployment.id,
            "error": null,
            "id": new_id("drun"),
            "session_id": new_id("sess"),
            "trigger_context": trigger,
            "type": "deployment_run",
        });
        Self { deployment_id: deployment.id.clone(), shown }
    }

    fn id(&self) -> String {
        self.shown.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

fn listing(page: &Page, data: &[Value]) -> Value {
    json!({
        "data": data,
        "first_id": page.ids.first(),
        "last_id": page.ids.last(),
        "has_more": page.has_more,
        "next_page": page.next,
    })
}

impl World {
    /// Remembers that a call came; `deployment_id` is the one that it would write to.
    pub(super) fn remember_call(&mut self, call: Received, deployment_id: Option<&str>) -> Ticket {
        if self.received.len() >= RECEIVED_MAX && self.received.pop_front().is_some() {
            self.forgotten += 1;
        }
        self.received.push_back(call);
        if let Some(id) = deployment_id
            && (self.writes.len() < RECEIVED_MAX || self.writes.contains_key(id))
        {
            self.writes.entry(id.to_owned()).or_default().received += 1;
        }
        Ticket(self.forgotten + self.received.len() as u64 - 1)
    }

    /// Remembers the body of a call.
    pub(super) fn remember_body(&mut self, ticket: Ticket, body: &[u8], body_bytes: u64) {
        if let Some(call) = self.remembered(ticket) {
            call.body = Bytes::copy_from_slice(body.get(..BODY_BYTES_MAX).unwrap_or(body));
            call.body_bytes = Some(body_bytes);
        }
    }

    /// Remembers what a call came to.
    pub(super) fn remember_end(
        &mut self,
        ticket: Ticket,
        deployment_id: Option<&str>,
        status: u16,
    ) {
        if let Some(call) = self.remembered(ticket) {
            call.status = Some(status);
        }
        if status == 200
            && let Some(writes) = deployment_id.and_then(|id| self.writes.get_mut(id))
        {
            writes.applied += 1;
        }
    }

    fn remembered(&mut self, ticket: Ticket) -> Option<&mut Received> {
        let index = usize::try_from(ticket.0.checked_sub(self.forgotten)?).ok()?;
        self.received.get_mut(index)
    }
}
