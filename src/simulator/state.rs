//! The handle through which tests and the demo reach into a running simulator.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::catalog::Kind;
use super::dialect::Dialect;
use super::fault::Fault;
use super::problem::Problem;
use super::received::{Received, Writes};
use super::seed::{plant, plant_deployment, plant_entry};
use super::world::World;
use crate::base::clock::Clock;
use crate::deployment::Object;

/// How many faults can be set at once.
pub(super) const FAULTS_MAX: usize = 1000;

/// The state of a running simulator; clones reach the same one.
#[derive(Clone, Debug)]
pub struct State {
    world: Arc<Mutex<World>>,
}

/// Why a thing can't be put into the simulator.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the simulator does not take this: {message}")]
pub struct SeedError {
    /// The API's words for it.
    pub message: String,
}

impl State {
    /// A state with the seeds of [`super::seed`].
    pub(super) fn seeded(dialect: Dialect, clock: Clock, faults: Vec<Fault>) -> Self {
        let mut world = World::new(dialect, clock, faults);
        plant(&mut world);
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Every deployment as the API shows it, archived ones too, newest first.
    #[must_use]
    pub fn deployments(&self) -> Vec<Value> {
        self.with(|world| {
            let ids = world.deployments.ids();
            ids.iter().filter_map(|id| world.show(id).ok()).collect()
        })
    }

    /// One deployment as the API shows it.
    #[must_use]
    pub fn deployment(&self, id: &str) -> Option<Value> {
        self.with(|world| world.show(id).ok())
    }

    /// The calls other than GET and HEAD that named this deployment.
    #[must_use]
    pub fn writes(&self, deployment_id: &str) -> Writes {
        self.with(|world| world.writes.get(deployment_id).copied().unwrap_or_default())
    }

    /// The last 10,000 calls that reached the simulator, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.with(|world| world.received.iter().cloned().collect())
    }

    /// The faults that are still to befall calls.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.with(|world| world.faults.clone())
    }

    /// Puts these faults, at most 1000 of them, in the place of those before.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().take(FAULTS_MAX).collect();
        self.with(|world| world.faults = faults);
    }

    /// Puts an agent there, with that latest version, or a new one in its place.
    pub fn seed_agent(&self, id: &str, version: u64) {
        self.with(|world| plant_entry(world, Kind::Agent, id, version));
    }

    /// Puts an environment there, or a new one in its place.
    pub fn seed_environment(&self, id: &str) {
        self.with(|world| plant_entry(world, Kind::Environment, id, 1));
    }

    /// Archives an agent.
    pub fn archive_agent(&self, id: &str) -> Result<(), SeedError> {
        self.archive(Kind::Agent, id)
    }

    /// Archives an environment.
    pub fn archive_environment(&self, id: &str) -> Result<(), SeedError> {
        self.archive(Kind::Environment, id)
    }

    /// Puts a deployment there under that id, with the body that a create would take. It is as
    /// old as the simulator's clock says.
    pub fn seed_deployment(&self, id: &str, body: &Object) -> Result<(), SeedError> {
        self.with(|world| {
            let now = world.clock.now();
            plant_deployment(world, id, body, now)
        })?;
        Ok(())
    }

    /// Changes a deployment around every proxy, as a console's user would.
    pub fn update_deployment(&self, id: &str, patch: &Object) -> Result<Value, SeedError> {
        Ok(self.with(|world| world.update(id, patch))?)
    }

    /// Does something with the world, alone. A call that panicked in it must not take the
    /// simulator down for all others, so that poison counts for nothing.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut World) -> R) -> R {
        action(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn archive(&self, kind: Kind, id: &str) -> Result<(), SeedError> {
        self.with(|world| {
            let now = world.clock.now();
            world.catalog.entry_mut(kind, id).map(|entry| entry.archive(now))
        })?;
        Ok(())
    }
}

impl From<Problem> for SeedError {
    fn from(problem: Problem) -> Self {
        Self { message: problem.message }
    }
}
