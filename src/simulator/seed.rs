//! The seeds, there from the start: the deployment of the provider's own documentation, as it was
//! before the update that the documentation shows, with its agent and its environment.

use serde_json::{Value, json};

use super::catalog::{Entry, Kind};
use super::deployment::Deployment;
use super::fields;
use super::problem::Problem;
use super::world::World;
use crate::base::clock::Timestamp;
use crate::deployment::Object;

/// The agent that the seeded deployment runs.
pub const AGENT_ID: &str = "agent_019ebb21ef8e7df6a559052c94875160";

/// The environment that the seeded deployment runs in.
pub const ENVIRONMENT_ID: &str = "env_019e49a1780171daac1e6b01f290ac2b";

/// The seeded deployment.
pub const DEPLOYMENT_ID: &str = "dep_019ec55a2b687b3f94eee77dd77e4b2a";

/// When the seeded deployment was made: 2026-06-14T08:58:01Z.
const CREATED_AT: Timestamp = Timestamp::from_millis(1_781_427_481_000);

/// Plants the seeds.
pub(super) fn plant(world: &mut World) {
    plant_entry(world, Kind::Agent, AGENT_ID, 1);
    plant_entry(world, Kind::Environment, ENVIRONMENT_ID, 1);
    let body = json!({
        "agent": AGENT_ID,
        "description": "Deployment created for API documentation verification",
        "environment_id": ENVIRONMENT_ID,
        "initial_events": [{"content": "Generate today's status report", "type": "user.message"}],
        "name": "api-doc-verification-deployment",
        "schedule": {"expression": "0 9 * * 1-5", "timezone": "Asia/Shanghai", "type": "cron"},
    });
    if let Value::Object(body) = body {
        let planted = plant_deployment(world, DEPLOYMENT_ID, &body, CREATED_AT);
        debug_assert_eq!(planted, Ok(()), "the seed is valid");
    }
}

/// Puts an agent or an environment into the world.
pub(super) fn plant_entry(world: &mut World, kind: Kind, id: &str, version: u64) {
    let entry = Entry::planted(kind, id, version.max(1), world.clock.now());
    world.catalog.shelf_mut(kind).push(id.to_owned(), entry);
}

/// Puts a deployment into the world, made at `created_at`.
pub(super) fn plant_deployment(
    world: &mut World,
    id: &str,
    body: &Object,
    created_at: Timestamp,
) -> Result<(), Problem> {
    let fields = fields::created(body, world.dialect.execution_config, &world.catalog)?;
    let mut deployment = Deployment::new(id.to_owned(), fields, world.clock.now());
    deployment.created_at = created_at;
    deployment.updated_at = created_at;
    world.deployments.push(id.to_owned(), deployment);
    Ok(())
}
