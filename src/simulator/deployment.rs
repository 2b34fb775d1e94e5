//! A deployment on the server's side: what clients set, and what moves by itself.

use serde_json::{Value, json};

use super::fields::EXECUTION;
use super::timetable::{Timetable, seconds};
use crate::base::clock::Timestamp;
use crate::deployment::Object;

/// How many runs to come a schedule shows.
const UPCOMING: usize = 5;

/// How many missed triggers one reading catches up with; the next reading goes on from there.
const TRIGGERS_MAX: usize = 1000;

/// One deployment.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    /// Its id.
    pub(super) id: String,
    /// The fields that clients set: never any that the server computes.
    pub(super) fields: Object,
    /// When it was made.
    pub(super) created_at: Timestamp,
    /// When it last changed.
    pub(super) updated_at: Timestamp,
    /// Since when it is archived.
    pub(super) archived_at: Option<Timestamp>,
    /// Whether a client paused it.
    pub(super) is_paused: bool,
    /// How often it ran.
    pub(super) total_runs: u64,
    last_run_at: Option<Timestamp>,
    timetable: Option<Timetable>,
    counted_until: Timestamp,
}

impl Deployment {
    /// A deployment made at `now` with fields that are known to be valid.
    pub(super) fn new(id: String, fields: Object, now: Timestamp) -> Self {
        let mut deployment = Self {
            id,
            fields: Object::new(),
            created_at: now,
            updated_at: now,
            archived_at: None,
            is_paused: false,
            total_runs: 0,
            last_run_at: None,
            timetable: None,
            counted_until: now,
        };
        deployment.set(fields, now);
        deployment
    }

    /// Puts valid fields in the place of those before.
    pub(super) fn set(&mut self, fields: Object, now: Timestamp) {
        self.fields = fields;
        let schedule = self.fields.get("schedule").filter(|schedule| !schedule.is_null());
        self.timetable = schedule.and_then(|schedule| Timetable::read(schedule).ok());
        self.counted_until = now;
        self.updated_at = now;
    }

    /// Pauses or unpauses it: triggers that fall into a pause are lost.
    pub(super) fn pause(&mut self, paused: bool, now: Timestamp) {
        self.is_paused = paused;
        self.counted_until = now;
        self.updated_at = now;
    }

    /// Archives it, which ends its schedule.
    pub(super) fn archive(&mut self, now: Timestamp) {
        self.archived_at = Some(now);
        self.updated_at = now;
    }

    /// Counts one run.
    pub(super) fn ran(&mut self, at: Timestamp) {
        self.total_runs += 1;
        self.last_run_at = Some(at);
        self.updated_at = at;
    }

    /// Lets the schedule fire for the time that has passed, and tells when it did.
    pub(super) fn catch_up(&mut self, now: Timestamp) -> Vec<Timestamp> {
        let fired: Vec<Timestamp> = match &self.timetable {
            Some(timetable) if self.is_live() && self.counted_until < now => timetable
                .after(self.counted_until)
                .take_while(|at| *at <= now)
                .take(TRIGGERS_MAX)
                .collect(),
            _ => Vec::new(),
        };
        for at in &fired {
            self.ran(*at);
        }
        let reached_now = fired.len() < TRIGGERS_MAX;
        self.counted_until = if reached_now { now } else { self.updated_at };
        fired
    }

    /// The deployment as the API shows it.
    pub(super) fn show(&self, now: Timestamp) -> Value {
        let upcoming = self.upcoming(now);
        let mut shown = self.fields.clone();
        if let Some(Value::Object(schedule)) = shown.get_mut("schedule") {
            schedule.insert("upcoming_runs_at".to_owned(), upcoming.clone().into());
            if let Some(at) = self.last_run_at {
                schedule.insert("last_run_at".to_owned(), seconds(at).into());
            }
        }
        let steering = shown.get_mut("metadata").and_then(|metadata| metadata.get_mut(EXECUTION));
        if let Some(Value::Object(steering)) = steering {
            let stats = json!({
                "consecutive_failures": 0,
                "next_trigger_at": upcoming.first(),
                "total_failures": 0,
                "total_runs": self.total_runs,
            });
            steering.insert("stats".to_owned(), stats);
        }
        let paused_reason = if self.is_paused { json!({"type": "manual"}) } else { Value::Null };
        let own = [
            ("archived_at", self.archived_at.map(seconds).into()),
            ("created_at", seconds(self.created_at).into()),
            ("id", self.id.as_str().into()),
            ("paused_reason", paused_reason),
            ("status", self.status().into()),
            ("type", "deployment".into()),
            ("updated_at", seconds(self.updated_at).into()),
        ];
        shown.extend(own.map(|(name, value)| (name.to_owned(), value)));
        shown.into()
    }

    /// Active or paused.
    pub(super) const fn status(&self) -> &'static str {
        if self.is_paused { "paused" } else { "active" }
    }

    /// The id of the agent that it runs.
    pub(super) fn agent_id(&self) -> Option<&str> {
        self.fields.get("agent")?.get("id")?.as_str()
    }

    const fn is_live(&self) -> bool {
        !self.is_paused && self.archived_at.is_none()
    }

    fn upcoming(&self, now: Timestamp) -> Vec<String> {
        let timetable = self.timetable.as_ref().filter(|_timetable| self.is_live());
        let runs = timetable.into_iter().flat_map(|timetable| timetable.after(now));
        runs.take(UPCOMING).map(seconds).collect()
    }
}
