//! Deployments that are asked for by a part of their names, within the bounds on questions.

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::in_time;
use crate::audit::query::{Filter, NAMED_MAX};

impl Api {
    /// A filter with the deployments that its name stands for now: every name is looked at.
    pub(crate) async fn with_named(
        &self,
        asker: &Asker,
        filter: Filter,
    ) -> Result<Filter, Problem> {
        if filter.deployment_name.is_none() {
            return Ok(filter);
        }
        in_time(&asker.share.scanning, self.reader().with_named(filter, NAMED_MAX)).await
    }
}
