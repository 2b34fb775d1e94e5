//! A walk through recorded changes, deployment by deployment: the before of one is mostly told by
//! what differs from the before of the last, so that each document is unpacked once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::asking::{Asking, Documents};
use super::filter::{Sought, push_filter};
use super::select::Reads;
use crate::audit::question::{Filter, RecordedChange, parse};
use crate::audit::store::Boxed;
use crate::audit::store::way::{
    PAGE_MAX, PART_BYTES_MAX, PART_MAX, Way, packed_bytes, recorded, still_named,
};

/// The columns that are read of each change, its document before as it lies there.
const RECORDED: &str = "SELECT c.seq, c.id, c.operation, c.method, c.actor_fingerprint, \
    c.actor_name, c.actor_team, c.actor_person, c.received_at, c.decided_at, c.decision, \
    c.violations, c.standing, c.patch, c.redacted, c.unkept, c.before, c.deployment, c.policy, \
    c.approval IS NOT NULL AND c.decision <> 'deny' AS excepted, \
    u.provider, d.id AS deployment_id, b.base, b.digest, b.body \
    FROM changes c JOIN upstreams u ON u.number = c.upstream \
    LEFT JOIN deployments d ON d.number = c.deployment \
    LEFT JOIN ends e ON e.seq = c.seq LEFT JOIN snapshots b ON b.number = c.before";

/// A walk, and where it is.
pub(in crate::audit) struct Walk {
    documents: Documents,
    reads: Reads,
    sought: Sought,
    way: Way,
    /// The places of a page that an index found, and that were not read yet.
    named: Vec<i64>,
    /// The newest change there was when it began.
    until: i64,
    digests: HashMap<i64, Arc<str>>,
    /// The document that was read last, by its number.
    last: Option<(i64, Arc<Value>)>,
}

impl Reads {
    /// A walk through the changes that a filter finds.
    pub(in crate::audit) async fn walk(&self, filter: &Filter) -> Result<Walk, Boxed> {
        let mut asking = Asking::on(&self.scans).await?;
        let sought = Sought::by(&mut asking, &self.names, filter).await?;
        let until = "SELECT coalesce(max(seq), 0) FROM changes";
        let until: i64 = sqlx::query_scalar(until).fetch_one(&mut *asking).await?;
        let (documents, digests) = (Documents::by(asking), HashMap::new());
        let (way, reads) = (Way::to(filter, until), self.clone());
        let named = Vec::new();
        Ok(Walk { documents, reads, sought, way, named, until, digests, last: None })
    }
}

impl Walk {
    /// The same changes page by page, the newest first: who needs but those stops there.
    pub(in crate::audit) fn newest_first(self) -> Self {
        Self { way: Way::Named(self.until.saturating_add(1)), ..self }
    }

    /// The newest change that there was when the walk began.
    pub(in crate::audit) fn until(&self) -> i64 {
        self.until
    }

    /// The next changes; none at the end.
    pub(in crate::audit) async fn next(&mut self) -> Result<Vec<RecordedChange>, Boxed> {
        loop {
            if let Way::Named(before) = self.way
                && self.named.is_empty()
            {
                let found = self.reads.changes(&self.sought.filter, before, PAGE_MAX, false);
                let found = found.await?;
                self.named = found.changes.iter().map(|change| change.seq).collect();
                self.way = found.next.map_or(Way::Done, Way::Named);
            }
            let mut query = QueryBuilder::new(RECORDED);
            let (way, is_named) = (self.way, !self.named.is_empty());
            match way {
                _page if is_named => {
                    query.push(" WHERE c.seq IN (SELECT value FROM json_each(");
                    query.push_bind(serde_json::to_string(&self.named)?).push("))");
                }
                Way::Done => return Ok(Vec::new()),
                Way::Named(_) => continue,
                Way::Deployments(deployment, seq) => {
                    query.push(" WHERE (c.deployment, c.seq) > (").push_bind(deployment);
                    query.push(", ").push_bind(seq).push(")");
                }
                Way::NoDeployment(seq) => {
                    query.push(" WHERE c.deployment IS NULL AND c.seq > ").push_bind(seq);
                }
            }
            if !is_named {
                query.push(" AND c.seq <= ").push_bind(self.until);
                push_filter(&mut query, &self.sought);
            }
            query.push(" ORDER BY c.deployment, c.seq LIMIT ").push_bind(PART_MAX);
            let found = self.read(query).await?;
            if is_named {
                still_named(&mut self.named, found.iter().map(|(_, change)| change.seq));
            } else {
                let last = found.last().map(|(deployment, change)| (*deployment, change.seq));
                self.way = way.behind(last);
            }
            if !found.is_empty() {
                return Ok(found.into_iter().map(|(_, change)| change).collect());
            }
        }
    }

    /// The changes that a query finds, in its order, as many as are held at once.
    async fn read(
        &mut self,
        mut query: QueryBuilder<Sqlite>,
    ) -> Result<Vec<(Option<i64>, RecordedChange)>, Boxed> {
        let rows = {
            let mut rows = Vec::new();
            let mut bytes = 0;
            let mut found = query.build().fetch(&mut **self.documents.asking());
            while let Some(row) = found.try_next().await? {
                bytes += packed_bytes(&row)?;
                rows.push(row);
                if bytes > PART_BYTES_MAX {
                    break;
                }
            }
            rows
        };
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            let deployment = row.try_get("deployment")?;
            changes.push((deployment, self.change(row).await?));
        }
        Ok(changes)
    }

    async fn change(&mut self, row: &SqliteRow) -> Result<RecordedChange, Boxed> {
        let before = self.before(row).await?;
        recorded(row, before, self.digest(row.try_get("policy")?).await?)
    }

    async fn before(&mut self, row: &SqliteRow) -> Result<Option<Arc<Value>>, Boxed> {
        let Some(number) = row.try_get::<Option<i64>, _>("before")? else { return Ok(None) };
        if let Some((last, document)) = &self.last
            && *last == number
        {
            return Ok(Some(Arc::clone(document)));
        }
        let packed = (row.try_get("base")?, row.try_get("digest")?, row.try_get("body")?);
        let text = self.documents.text_of(number, packed).await?;
        let document: Arc<Value> = Arc::new(parse(&text)?);
        self.last = Some((number, Arc::clone(&document)));
        Ok(Some(document))
    }

    /// The digest of a policy, by its number.
    async fn digest(&mut self, number: i64) -> Result<Arc<str>, Boxed> {
        if let Some(digest) = self.digests.get(&number) {
            return Ok(Arc::clone(digest));
        }
        let digest = sqlx::query_scalar("SELECT digest FROM policies WHERE number = ?");
        let digest: String = digest.bind(number).fetch_one(&mut **self.documents.asking()).await?;
        let digest: Arc<str> = digest.into();
        self.digests.insert(number, Arc::clone(&digest));
        Ok(digest)
    }
}
