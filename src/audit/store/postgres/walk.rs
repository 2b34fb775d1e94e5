//! A walk through recorded changes, deployment by deployment: the before of one is mostly told by
//! what differs from the before of the last, so that each document is unpacked once.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::postgres::PgRow;

use super::asking::Documents;
use super::columns::list;
use super::filter::Sought;
use super::select::Reads;
use crate::audit::question::{Filter, RecordedChange, parse};
use crate::audit::store::Boxed;
use crate::audit::store::rows::{BadColumn, Bytes, cell, maybe};
use crate::audit::store::way::{PAGE_MAX, PART_BYTES_MAX, PART_MAX, Way, recorded, still_named};

/// The columns that are read of each change, its document before as it lies there.
const RECORDED: &str = "SELECT c.seq, c.id, c.operation, c.method, c.actor_fingerprint, \
    c.actor_name, c.actor_team, c.actor_person, c.received_at, c.decided_at, c.decision, \
    c.violations, c.standing, c.patch, c.redacted, c.unkept, c.before, c.deployment, c.policy, \
    c.approval IS NOT NULL AND c.decision <> 'deny' AS excepted, \
    u.provider, d.id AS deployment_id, b.base, b.digest, b.body, \
    coalesce(octet_length(c.violations), 0) + coalesce(octet_length(c.standing), 0) \
        + coalesce(octet_length(c.redacted), 0) + 8 * coalesce(octet_length(c.patch), 0) \
        + 8 * coalesce(octet_length(b.body), 0) AS bytes \
    FROM changes c JOIN upstreams u ON u.number = c.upstream \
    LEFT JOIN deployments d ON d.number = c.deployment \
    LEFT JOIN ends e ON e.seq = c.seq LEFT JOIN snapshots b ON b.number = c.before";

/// A walk, and where it is.
pub(in crate::audit) struct Walk {
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
    /// A walk through the changes that a filter finds. It lasts, and others ask between its parts.
    pub(in crate::audit::store) async fn walk(&self, filter: &Filter) -> Result<Walk, Boxed> {
        let mut asking = self.operators.ask().await?;
        let sought = Sought::by(&mut asking, &self.names, filter).await?;
        let until = self.horizon.newest(&mut asking).await?;
        let (way, reads, digests) = (Way::to(filter, until), self.clone(), HashMap::new());
        Ok(Walk { reads, sought, way, named: Vec::new(), until, digests, last: None })
    }
}

impl Walk {
    /// The same changes page by page, the newest first: who needs but those stops there.
    pub(in crate::audit::store) fn newest_first(self) -> Self {
        Self { way: Way::Named(self.until.saturating_add(1)), ..self }
    }

    /// The newest change that there was when the walk began.
    pub(in crate::audit::store) fn until(&self) -> i64 {
        self.until
    }

    /// The next changes; none at the end.
    pub(in crate::audit::store) async fn next(&mut self) -> Result<Vec<RecordedChange>, Boxed> {
        loop {
            if let Way::Named(before) = self.way
                && self.named.is_empty()
            {
                let found = self.reads.changes(&self.sought.filter, before, PAGE_MAX, false);
                let found = found.await?;
                self.named = found.changes.iter().map(|change| change.seq).collect();
                self.way = found.next.map_or(Way::Done, Way::Named);
            }
            let (way, is_named) = (self.way, !self.named.is_empty());
            let place = match way {
                _page if is_named => format!("c.seq IN {}", list(&self.named)),
                Way::Done => return Ok(Vec::new()),
                Way::Named(_) => continue,
                Way::Deployments(deployment, seq) => {
                    format!("(c.deployment, c.seq) > ({deployment}, {seq})")
                }
                Way::NoDeployment(seq) => format!("c.deployment IS NULL AND c.seq > {seq}"),
            };
            let found = self.read(&place, is_named).await?;
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

    /// The changes at a place, by deployment, as many as are held at once.
    async fn read(
        &mut self,
        place: &str,
        is_named: bool,
    ) -> Result<Vec<(Option<i64>, RecordedChange)>, Boxed> {
        let order = format!("ORDER BY c.deployment, c.seq LIMIT {PART_MAX}");
        // Those that an index names fit already.
        let conditions = if is_named { String::new() } else { self.sought.conditions() };
        let until = self.until;
        // A text is fetched where it is told: of those beyond only the lengths are looked at.
        let query = format!(
            "SELECT * FROM (SELECT f.*, sum(f.bytes) OVER (ORDER BY f.deployment, f.seq \
             ROWS UNBOUNDED PRECEDING) - f.bytes AS former FROM ({RECORDED} \
             WHERE {place} AND c.seq <= {until}{conditions} {order}) f) r \
             WHERE r.former <= {PART_BYTES_MAX} ORDER BY r.deployment, r.seq"
        );
        let mut documents = Documents::by(self.reads.operators.ask().await?);
        let rows = documents.asking().rows(&query).await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            let deployment = maybe(row, "deployment")?;
            changes.push((deployment, self.change(&mut documents, row).await?));
        }
        Ok(changes)
    }

    async fn change(
        &mut self,
        documents: &mut Documents,
        row: &PgRow,
    ) -> Result<RecordedChange, Boxed> {
        let before = self.before(documents, row).await?;
        recorded(row, before, self.digest(documents, cell(row, "policy")?).await?)
    }

    async fn before(
        &mut self,
        documents: &mut Documents,
        row: &PgRow,
    ) -> Result<Option<Arc<Value>>, Boxed> {
        let Some(number) = maybe::<i64>(row, "before")? else { return Ok(None) };
        if let Some((last, document)) = &self.last
            && *last == number
        {
            return Ok(Some(Arc::clone(document)));
        }
        let (digest, body): (Bytes<'_>, Bytes<'_>) = (cell(row, "digest")?, cell(row, "body")?);
        let packed = (maybe(row, "base")?, &*digest, &*body);
        let text = documents.text_of(number, packed).await?;
        let document: Arc<Value> = Arc::new(parse(&text)?);
        self.last = Some((number, Arc::clone(&document)));
        Ok(Some(document))
    }

    /// The digest of a policy, by its number.
    async fn digest(&mut self, documents: &mut Documents, number: i64) -> Result<Arc<str>, Boxed> {
        if let Some(digest) = self.digests.get(&number) {
            return Ok(Arc::clone(digest));
        }
        let query = format!("SELECT digest FROM policies WHERE number = {number}");
        let row = documents.asking().row(&query).await?.ok_or(BadColumn("policy"))?;
        let digest: Arc<str> = cell::<&str>(&row, "digest")?.into();
        self.digests.insert(number, Arc::clone(&digest));
        Ok(digest)
    }
}
