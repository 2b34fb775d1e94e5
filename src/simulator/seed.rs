//! What is there from the start: the deployment of the provider's own documentation, as it was
//! before the update that the documentation shows, with its agent and its environment.

use serde_json::{Value, json};

use super::catalog::Kind;
use super::state::{plant_deployment, plant_entry};
use super::world::World;
use crate::clock::Timestamp;

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
