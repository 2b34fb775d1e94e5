//! Questions about approvals.

use super::columns::add;
use super::filter::push_text;
use super::literal::{bytes, text};
use super::select::Reads;
use crate::audit::approval::{Approval, ApprovalFilter, BrokenGlass, LiveApprovals};
use crate::audit::store::Boxed;
use crate::audit::store::approval_rows::{approval, live, standing};
use crate::audit::store::rows::{BadColumn, Bytes, cell, maybe, word_of};
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, Fingerprint};

/// Every column of an approval, with its steps as JSON. A time is not looked for where an index
/// finds it.
pub(super) const APPROVAL: &str = "SELECT a.number, a.id, a.kind, a.change_id, a.upstream, \
    a.operation, a.deployment_id, a.actor_fingerprint, a.actor_name, a.actor_team, \
    a.person AS actor_person, a.opened_at, a.rules, a.expires_at, a.reason, s.step, s.until_at, \
    coalesce((SELECT json_agg(json_build_object('step', t.step, 'at', t.at, 'by', t.person, \
        'token', t.token, 'reason', t.reason, 'until', t.until_at, \
        'change', encode(t.change_id, 'hex')) ORDER BY t.number) \
        FROM (SELECT * FROM approval_steps WHERE approval = a.number \
            ORDER BY number DESC LIMIT 100) t)::text, '[]') AS steps \
    FROM approvals a JOIN approval_states s ON s.approval = a.number";

/// The way in which rows are looked up by a list of their numbers.
pub(super) const AMONG: (&str, &str) = ("= ANY (ARRAY(", "))");

impl Reads {
    /// Up to `limit` approvals before the place `before`, the newest first, as they stand `now`.
    pub(in crate::audit::store) async fn approvals(
        &self,
        filter: &ApprovalFilter,
        now: Timestamp,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Approval)>, Boxed> {
        let ApprovalFilter { state, kind, person, deployment_id } = filter;
        let mut query = format!("{APPROVAL} WHERE a.number < {before}");
        push_text(&mut query, "a.kind", kind.as_ref().map(word_of).as_deref());
        push_text(&mut query, "a.person", person.as_deref());
        push_text(&mut query, "a.deployment_id", deployment_id.as_deref());
        if let Some(state) = state {
            let is_all = person.is_none() && deployment_id.is_none();
            let part = is_all.then_some((before, limit));
            add(&mut query, &standing(*state, now, part, AMONG));
        }
        add(&mut query, &format!(" ORDER BY a.number DESC LIMIT {limit}"));
        let found = self.operators.ask().await?.rows(&query).await?;
        found.iter().map(|row| approval(row, now)).collect()
    }

    /// One approval, as it stands `now`.
    pub(in crate::audit::store) async fn approval(
        &self,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Option<Approval>, Boxed> {
        let query = format!("{APPROVAL} WHERE a.id = {}", bytes(id.as_bytes()));
        let found = self.operators.ask().await?.row(&query).await?;
        found.as_ref().map(|row| Ok(approval(row, now)?.1)).transpose()
    }

    /// The requests that are alive `now` beside one that an actor makes: those that ask the same,
    /// the newest first; how many the actor has, and how many there are; and whether the time of
    /// any is over.
    pub(in crate::audit::store) async fn live_approvals(
        &self,
        actor: Fingerprint,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<LiveApprovals, Boxed> {
        let (actor, asked, now_at) = (bytes(actor.as_bytes()), bytes(&asked), now.millis());
        let query = format!(
            "SELECT k.of_actor, k.of_all, k.any_over, m.* FROM (SELECT \
             (SELECT count(*) FROM live_approvals \
                 WHERE actor_fingerprint = {actor} AND until_at > {now_at}) AS of_actor, \
             (SELECT count(*) FROM live_approvals WHERE until_at > {now_at}) AS of_all, \
             EXISTS (SELECT FROM live_approvals WHERE until_at <= {now_at}) AS any_over) k \
             LEFT JOIN (SELECT a.number, a.id, a.base, a.asks, s.step, s.until_at \
                 FROM live_approvals l JOIN approvals a ON a.number = l.approval \
                 JOIN approval_states s ON s.approval = a.number \
                 WHERE l.actor_fingerprint = {actor} AND a.asked = {asked} \
                 ORDER BY a.number DESC LIMIT 16) m ON true ORDER BY m.number DESC"
        );
        let found = self.calls.ask().await?.rows(&query).await?;
        let first = found.first().ok_or(BadColumn("of_actor"))?;
        let same = found.iter().filter(|row| matches!(maybe::<i64>(*row, "number"), Ok(Some(_))));
        let same: Result<_, Boxed> = same.map(|row| live(row, now)).collect();
        Ok(LiveApprovals {
            same: same?,
            of_actor: usize::try_from(cell::<i64>(first, "of_actor")?)?,
            of_all: usize::try_from(cell::<i64>(first, "of_all")?)?,
            any_over: cell(first, "any_over")?,
        })
    }

    /// How often a person has broken the glass after `since`, and the time to be reviewed.
    pub(in crate::audit::store) async fn broken_glass(
        &self,
        person: &str,
        since: Timestamp,
    ) -> Result<BrokenGlass, Boxed> {
        let (person, since) = (text(Some(person)), since.millis());
        let query = format!(
            "SELECT (SELECT count(*) FROM approvals \
                 WHERE kind = 'break_glass' AND person = {person} AND opened_at > {since}) \
                 AS count, \
             (SELECT a.id FROM approvals a JOIN approval_states s ON s.approval = a.number \
                 WHERE a.kind = 'break_glass' AND a.person = {person} AND s.step <> 'approved' \
                 ORDER BY a.number DESC LIMIT 1) AS unreviewed"
        );
        let row = self.calls.ask().await?.row(&query).await?.ok_or(BadColumn("count"))?;
        let unreviewed: Option<Bytes<'_>> = maybe(&row, "unreviewed")?;
        let unreviewed = unreviewed.map(|id| ApprovalId::from_bytes(&id)).transpose()?;
        Ok(BrokenGlass { count: usize::try_from(cell::<i64>(&row, "count")?)?, unreviewed })
    }

    /// Whether the time of any live request is over, which is not noted yet.
    pub(in crate::audit::store) async fn any_over(&self, now: Timestamp) -> Result<bool, Boxed> {
        let now = now.millis();
        let query =
            format!("SELECT EXISTS (SELECT FROM live_approvals WHERE until_at <= {now}) AS over");
        let row = self.calls.ask().await?.row(&query).await?.ok_or(BadColumn("over"))?;
        cell(&row, "over")
    }
}
