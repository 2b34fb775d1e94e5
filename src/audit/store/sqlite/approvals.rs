//! Questions about approvals.

use sqlx::{QueryBuilder, Sqlite};

use super::asking::Asking;
use super::filter::push_match;
use super::select::Reads;
use crate::audit::approval::{Approval, ApprovalFilter, BrokenGlass, LiveApprovals};
use crate::audit::store::Boxed;
use crate::audit::store::approval_rows::{approval, live, standing};
use crate::audit::store::rows::word_of;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, Fingerprint};

/// Every column of an approval, with its steps as JSON. A time is not looked for where an index
/// finds it.
pub(super) const APPROVAL: &str = "SELECT a.number, a.id, a.kind, a.change_id, a.upstream, \
    a.operation, a.deployment_id, a.actor_fingerprint, a.actor_name, a.actor_team, \
    a.person AS actor_person, a.opened_at, a.rules, a.expires_at, a.reason, s.step, s.until_at, \
    (SELECT json_group_array(json_object('step', t.step, 'at', t.at, 'by', t.person, \
        'token', t.token, 'reason', t.reason, 'until', t.until_at, 'change', hex(t.change_id))) \
        FROM (SELECT * FROM (SELECT * FROM approval_steps WHERE approval = a.number \
            ORDER BY number DESC LIMIT 100) ORDER BY number) t) AS steps \
    FROM approvals a JOIN approval_states s ON s.approval = a.number";

/// The live requests of an actor that ask the same, newest first.
const SAME: &str = "SELECT a.id, a.base, a.asks, s.step, s.until_at FROM live_approvals l \
    JOIN approvals a ON a.number = l.approval JOIN approval_states s ON s.approval = a.number \
    WHERE l.actor_fingerprint = ? AND a.asked = ? ORDER BY a.number DESC LIMIT 16";

/// How many live requests an actor has, how many there are, and of how many the time is over.
const LIVE: &str = "SELECT (SELECT count(*) FROM live_approvals \
    WHERE actor_fingerprint = ?1 AND until_at > ?2), \
    (SELECT count(*) FROM live_approvals WHERE until_at > ?2), \
    (SELECT count(*) FROM live_approvals WHERE until_at <= ?2)";

/// How often a person has broken the glass since a moment, and the last time that nobody has
/// approved of.
const BROKEN: &str = "SELECT (SELECT count(*) FROM approvals \
    WHERE kind = 'break_glass' AND person = ?1 AND opened_at > ?2), \
    (SELECT a.id FROM approvals a JOIN approval_states s ON s.approval = a.number \
        WHERE a.kind = 'break_glass' AND a.person = ?1 AND s.step <> 'approved' \
        ORDER BY a.number DESC LIMIT 1)";

/// The way in which rows are looked up by a list of their numbers.
pub(super) const AMONG: (&str, &str) = ("IN (", ")");

const OVER: &str = "SELECT EXISTS (SELECT 1 FROM live_approvals WHERE until_at <= ?)";

impl Reads {
    /// Up to `limit` approvals before the place `before`, the newest first, as they stand `now`.
    pub(in crate::audit) async fn approvals(
        &self,
        filter: &ApprovalFilter,
        now: Timestamp,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Approval)>, Boxed> {
        let ApprovalFilter { state, kind, person, deployment_id } = filter;
        let mut query = QueryBuilder::<Sqlite>::new(APPROVAL);
        query.push(" WHERE a.number < ").push_bind(before);
        push_match(&mut query, " AND a.kind = ", kind.as_ref().map(word_of));
        push_match(&mut query, " AND a.person = ", person.clone());
        push_match(&mut query, " AND a.deployment_id = ", deployment_id.clone());
        if let Some(state) = state {
            let is_all = person.is_none() && deployment_id.is_none();
            query.push(standing(*state, now, is_all.then_some((before, limit)), AMONG));
        }
        query.push(" ORDER BY a.number DESC LIMIT ").push_bind(limit);
        let mut asking = Asking::on(&self.scans).await?;
        let found = query.build().fetch_all(&mut *asking).await?;
        found.iter().map(|row| approval(row, now)).collect()
    }

    /// One approval, as it stands `now`.
    pub(in crate::audit) async fn approval(
        &self,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Option<Approval>, Boxed> {
        let mut query = QueryBuilder::<Sqlite>::new(APPROVAL);
        query.push(" WHERE a.id = ").push_bind(id.as_bytes().to_vec());
        let mut asking = Asking::on(&self.pool).await?;
        let found = query.build().fetch_optional(&mut *asking).await?;
        found.as_ref().map(|row| Ok(approval(row, now)?.1)).transpose()
    }

    /// The requests that are alive `now` beside one that an actor makes.
    pub(in crate::audit) async fn live_approvals(
        &self,
        actor: Fingerprint,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<LiveApprovals, Boxed> {
        let mut asking = Asking::on(self.calls()).await?;
        let actor = actor.as_bytes().to_vec();
        let query = sqlx::query(SAME).bind(actor.clone()).bind(asked.to_vec());
        let found = query.fetch_all(&mut *asking).await?;
        let query = sqlx::query_as(LIVE).bind(actor).bind(now.millis());
        let (of_actor, of_all, over): (i64, i64, i64) = query.fetch_one(&mut *asking).await?;
        let same: Result<_, Boxed> = found.iter().map(|row| live(row, now)).collect();
        Ok(LiveApprovals {
            same: same?,
            of_actor: usize::try_from(of_actor)?,
            of_all: usize::try_from(of_all)?,
            any_over: over > 0,
        })
    }

    /// How often a person has broken the glass after `since`, and the time to be reviewed.
    pub(in crate::audit) async fn broken_glass(
        &self,
        person: &str,
        since: Timestamp,
    ) -> Result<BrokenGlass, Boxed> {
        let mut asking = Asking::on(self.calls()).await?;
        let query = sqlx::query_as(BROKEN).bind(person).bind(since.millis());
        let (count, unreviewed): (i64, Option<Vec<u8>>) = query.fetch_one(&mut *asking).await?;
        let unreviewed = unreviewed.map(|id| ApprovalId::from_bytes(&id)).transpose()?;
        Ok(BrokenGlass { count: usize::try_from(count)?, unreviewed })
    }

    /// Whether the time of any live request is over, which is not noted yet.
    pub(in crate::audit) async fn any_over(&self, now: Timestamp) -> Result<bool, Boxed> {
        let mut asking = Asking::on(self.calls()).await?;
        let query = sqlx::query_scalar(OVER).bind(now.millis());
        Ok(query.fetch_one(&mut *asking).await?)
    }
}
