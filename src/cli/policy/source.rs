//! The policy that recorded changes are held against.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::test::refuse;
use crate::cli::log::LogFile;
use crate::cli::{Environment, Failure};
use crate::config::policy_file;
use crate::policy::Policy;
use crate::provider::Provider;

/// A policy file, read for the deployments of each provider that a log has.
#[derive(Debug)]
pub(super) struct PolicyFile {
    /// Where it stands.
    pub(super) path: PathBuf,
    read: HashMap<&'static str, Arc<Policy>>,
    configured: Option<&'static Provider>,
}

impl PolicyFile {
    /// The file that is given, else `policy.file` of the configuration that names the log.
    pub(super) fn find(
        given: Option<&Path>,
        log: &LogFile,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let config = log.config().map(|config| config.path(environment));
        let source = config.map(|path| policy_file::read(path, environment.variables()));
        // What the log needs of the configuration is asked of it elsewhere.
        let source = source.and_then(Result::ok);
        let configured = source.as_ref().and_then(|source| source.provider);
        let path = given.map(Path::to_owned).or_else(|| source.and_then(|source| source.file));
        let path = path.ok_or_else(|| {
            Failure::Usage(anyhow!(
                "no policy is named: give --policy FILE, or --config FILE whose policy.file \
                 names one"
            ))
        })?;
        let mut file = Self { path, read: HashMap::new(), configured };
        file.of(file.provider())?;
        Ok(file)
    }

    /// The provider whose deployments it is about, as far as the configuration says.
    fn provider(&self) -> &'static Provider {
        self.configured.unwrap_or(Provider::ALL[0])
    }

    /// The policy, as the configuration's provider reads it.
    pub(super) fn policy(&mut self) -> Result<Arc<Policy>, Failure> {
        self.of(self.provider())
    }

    /// The policy for the deployments of a provider.
    pub(super) fn of(&mut self, provider: &'static Provider) -> Result<Arc<Policy>, Failure> {
        if let Some(known) = self.read.get(provider.name) {
            return Ok(Arc::clone(known));
        }
        match policy_file::load(&self.path, provider) {
            Ok(policy) => {
                let policy = Arc::new(policy);
                self.read.insert(provider.name, Arc::clone(&policy));
                Ok(policy)
            }
            Err(complaints) => {
                refuse(&complaints)?;
                Err(Failure::Usage(anyhow!("{} is not valid: fix it", self.path.display())))
            }
        }
    }
}
