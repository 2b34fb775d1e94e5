//! Names in the log: those of deployments, by their newest snapshots, and of actors; and the texts
//! of policies.

use super::asking::Documents;
use super::filter::deployments;
use super::literal::text;
use super::select::Reads;
use crate::audit::question::KnownPolicy;
use crate::audit::store::Boxed;
use crate::audit::store::folded::Folded;
use crate::audit::store::named::whole;
use crate::audit::store::page::{SEARCHED_MAX, TOKENS_MAX};
use crate::audit::store::policies::{known_policies, known_policy};
use crate::audit::store::rows::{Bytes, cell};
use crate::audit::store::texts::name_in;
use crate::base::ids::Fingerprint;

impl Reads {
    /// The tokens that had this name in the newest of its changes.
    pub(in crate::audit::store) async fn tokens_of(
        &self,
        name: &str,
    ) -> Result<Vec<Fingerprint>, Boxed> {
        let name = text(Some(name));
        let tokens = format!(
            "SELECT DISTINCT actor_fingerprint FROM (\
             SELECT actor_fingerprint FROM changes WHERE actor_name = {name} \
             ORDER BY seq DESC LIMIT {SEARCHED_MAX}) newest LIMIT {TOKENS_MAX}"
        );
        let found = self.operators.ask().await?.rows(&tokens).await?;
        let token = |row| -> Result<_, Boxed> {
            let bytes: Bytes<'_> = cell(row, "actor_fingerprint")?;
            Ok(Fingerprint::from_bytes((&*bytes).try_into()?))
        };
        found.iter().map(token).collect()
    }

    /// The texts of policies, the newest first.
    pub(in crate::audit::store) async fn policies(&self, limit: i64) -> Result<Vec<String>, Boxed> {
        let texts = format!("SELECT text FROM policies ORDER BY number DESC LIMIT {limit}");
        let found = self.operators.ask().await?.rows(&texts).await?;
        found.iter().map(|row| cell(row, "text")).collect()
    }

    /// The policies that changes were judged by, the newest first.
    pub(in crate::audit::store) async fn known_policies(&self) -> Result<Vec<KnownPolicy>, Boxed> {
        let found = self.operators.ask().await?.rows(&known_policies()).await?;
        found.iter().map(known_policy).collect()
    }

    /// The text of the policy of this digest.
    pub(in crate::audit::store) async fn policy(
        &self,
        digest: &str,
    ) -> Result<Option<String>, Boxed> {
        let query = format!("SELECT text FROM policies WHERE digest = {}", text(Some(digest)));
        let found = self.operators.ask().await?.row(&query).await?;
        found.as_ref().map(|row| cell(row, "text")).transpose()
    }

    /// The digest of the policy that the log serves to the gateways that share it.
    pub(in crate::audit::store) async fn served_policy(&self) -> Result<Option<String>, Boxed> {
        let query = "SELECT p.digest FROM served_policies s JOIN policies p ON p.number = s.policy \
            ORDER BY s.number DESC LIMIT 1";
        let found = self.calls.ask().await?.row(query).await?;
        found.as_ref().map(|row| cell(row, "digest")).transpose()
    }

    /// The ids of the deployments whose newest name holds `text`, at most `most` of them, those
    /// that were changed last first.
    pub(in crate::audit::store) async fn deployments_named(
        &self,
        text: &str,
        most: usize,
    ) -> Result<Vec<String>, Boxed> {
        let mut documents = Documents::by(self.operators.ask().await?);
        let found = documents.named(&self.names, &Folded::of(text), whole(most)).await?;
        Ok(found.iter().map(|one| one.id.to_string()).collect())
    }

    /// The name of each of these deployments, where one is known.
    pub(in crate::audit::store) async fn deployment_names(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, Boxed> {
        let mut asking = self.operators.ask().await?;
        let mut snapshots = Vec::with_capacity(ids.len());
        for id in ids {
            let mut newest: Option<(i64, i64)> = None;
            for number in deployments(&mut asking, &[id]).await? {
                let query = format!(
                    "SELECT c.seq, coalesce(e.after, c.before) AS snapshot FROM changes c \
                     LEFT JOIN ends e ON e.seq = c.seq WHERE c.deployment = {number} \
                     AND (e.after IS NOT NULL OR c.before IS NOT NULL) \
                     ORDER BY c.seq DESC LIMIT 1"
                );
                if let Some(row) = asking.row(&query).await? {
                    newest = newest.max(Some((cell(&row, "seq")?, cell(&row, "snapshot")?)));
                }
            }
            snapshots.push(newest.map(|(_seq, snapshot)| snapshot));
        }
        let mut documents = Documents::by(asking);
        let mut names = Vec::with_capacity(ids.len());
        for (id, newest) in ids.iter().zip(snapshots) {
            names.push(name_in(documents.text(newest).await, id)?);
        }
        Ok(names)
    }
}
