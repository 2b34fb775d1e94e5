//! Names in the log: those of deployments, by their newest snapshots, and of actors; and the texts
//! of policies.

use super::asking::{Asking, Documents};
use super::filter::deployments;
use super::select::Reads;
use crate::audit::question::KnownPolicy;
use crate::audit::store::Boxed;
use crate::audit::store::folded::Folded;
use crate::audit::store::named::whole;
use crate::audit::store::page::{SEARCHED_MAX, TOKENS_MAX};
use crate::audit::store::policies::{known_policies, known_policy};
use crate::audit::store::texts::name_in;
use crate::base::ids::Fingerprint;

/// The newest snapshot of a deployment.
const NEWEST: &str = "SELECT coalesce(e.after, c.before) FROM changes c \
    LEFT JOIN ends e ON e.seq = c.seq \
    WHERE c.deployment = ? AND (e.after IS NOT NULL OR c.before IS NOT NULL) \
    ORDER BY c.seq DESC LIMIT 1";

const TOKENS: &str = "SELECT DISTINCT actor_fingerprint FROM (\
    SELECT actor_fingerprint FROM changes WHERE actor_name = ? ORDER BY seq DESC LIMIT ?) LIMIT ?";

impl Reads {
    /// The tokens that had this name in the newest of its changes.
    pub(in crate::audit) async fn tokens_of(&self, name: &str) -> Result<Vec<Fingerprint>, Boxed> {
        let mut asking = Asking::on(&self.pool).await?;
        let query = sqlx::query_scalar(TOKENS).bind(name).bind(SEARCHED_MAX).bind(TOKENS_MAX);
        let found: Vec<Vec<u8>> = query.fetch_all(&mut *asking).await?;
        let token = |bytes: &Vec<u8>| Ok(Fingerprint::from_bytes(bytes.as_slice().try_into()?));
        found.iter().map(token).collect()
    }

    /// The texts of policies, the newest first.
    pub(in crate::audit) async fn policies(&self, limit: i64) -> Result<Vec<String>, Boxed> {
        let texts = "SELECT text FROM policies ORDER BY number DESC LIMIT ?";
        let mut asking = Asking::on(&self.pool).await?;
        Ok(sqlx::query_scalar(texts).bind(limit).fetch_all(&mut *asking).await?)
    }

    /// The policies that changes were judged by, the newest first.
    pub(in crate::audit) async fn known_policies(&self) -> Result<Vec<KnownPolicy>, Boxed> {
        let mut asking = Asking::on(&self.scans).await?;
        // The texts are this program's own.
        let query = sqlx::query(sqlx::AssertSqlSafe(known_policies()));
        let found = query.fetch_all(&mut *asking).await?;
        found.iter().map(known_policy).collect()
    }

    /// The text of the policy of this digest.
    pub(in crate::audit) async fn policy(&self, digest: &str) -> Result<Option<String>, Boxed> {
        let text = "SELECT text FROM policies WHERE digest = ?";
        let mut asking = Asking::on(&self.pool).await?;
        Ok(sqlx::query_scalar(text).bind(digest).fetch_optional(&mut *asking).await?)
    }

    /// The ids of the deployments whose newest name holds `text`, at most `most` of them, those
    /// that were changed last first.
    pub(in crate::audit) async fn deployments_named(
        &self,
        text: &str,
        most: usize,
    ) -> Result<Vec<String>, Boxed> {
        let mut documents = Documents::by(Asking::on(&self.scans).await?);
        let found = documents.named(&self.names, &Folded::of(text), whole(most)).await?;
        Ok(found.iter().map(|one| one.id.to_string()).collect())
    }

    /// The name of each of these deployments, where one is known.
    pub(in crate::audit) async fn deployment_names(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, Boxed> {
        let mut asking = Asking::on(&self.pool).await?;
        let mut snapshots = Vec::with_capacity(ids.len());
        for id in ids {
            let mut newest = None;
            for number in deployments(&mut asking, &[id]).await? {
                let query = sqlx::query_scalar(NEWEST).bind(number);
                newest = newest.max(query.fetch_optional(&mut *asking).await?);
            }
            snapshots.push(newest);
        }
        let mut documents = Documents::by(asking);
        let mut names = Vec::with_capacity(ids.len());
        for (id, newest) in ids.iter().zip(snapshots) {
            names.push(name_in(documents.text(newest).await, id)?);
        }
        Ok(names)
    }
}
