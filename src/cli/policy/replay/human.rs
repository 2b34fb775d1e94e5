//! A replay as people read it: a matrix, what can't be told, and the newest changes of each kind.

use std::path::Path;

use unicode_width::UnicodeWidthStr as _;

use super::{ReplayArgs, Replayed, report};
use crate::base::clock::Timestamp;
use crate::base::visible::plain;
use crate::cli::audit::Zone;
use crate::cli::print::{self, Shade, Span};
use crate::cli::terminal::{Terminal, cut, short_id};
use crate::cli::{Environment, Failure};
use crate::policy::gap::Gap;
use crate::policy::replay::{DECISIONS, Moved, Replay, RuleCount};
use crate::policy::{Decision, Policy};

/// The column of what can't be told.
const UNTOLD: &str = "not replayable";

/// The most columns of an actor's name.
const ACTOR_WIDTH_MAX: usize = 16;

/// The most rules that are listed.
const RULES_MAX: usize = 200;

/// Prints for people, or changes as JSON.
pub(super) struct Printer {
    terminal: Terminal,
    zone: Zone,
    now: Timestamp,
    json: bool,
}

impl Printer {
    pub(super) fn new(arguments: &ReplayArgs, environment: &Environment, now: Timestamp) -> Self {
        let terminal = Terminal::found(environment).unwrap_or_default();
        let zone = Zone::found(environment, now, arguments.zone.utc);
        Self { terminal, zone, now, json: arguments.json }
    }

    /// Prints a change that is decided otherwise, as it is found.
    pub(super) fn moved(&self, moved: &Moved) -> Result<(), Failure> {
        if self.json {
            return print::line(report::moved(moved));
        }
        let new = moved.new.map_or(UNTOLD, Decision::name);
        self.lines_of(moved, &format!("{} → {new}  ", moved.old.name()))
    }

    /// Prints what came of it all.
    pub(super) fn whole(
        &self,
        replayed: &Replayed,
        policy: Option<&Policy>,
        path: Option<&Path>,
    ) -> Result<(), Failure> {
        let replay = &replayed.replay;
        print::line(head(replayed, path))?;
        if replay.count > 0 {
            print::line("")?;
            self.matrix(replay)?;
        }
        let left_out = [
            (replay.not_asked, "left out: no policy was asked about them"),
            (replayed.unreadable, "left out: this version can't read their policy"),
        ];
        for (count, why) in left_out.into_iter().filter(|(count, _)| *count > 0) {
            print::line(format!("{} {why}", counted(count)))?;
        }
        if let Some(policy) = policy.filter(|_| replay.count > 0) {
            self.rules(policy, &replay.rules)?;
        }
        for old in DECISIONS {
            for new in DECISIONS.into_iter().map(Some).chain([None]) {
                if new != Some(old) {
                    self.cell(replay, old, new)?;
                }
            }
        }
        if policy.is_none() && replay.count > 0 && replay.moved() == 0 {
            print::line("")?;
            print::line(recorded(replay))?;
        }
        Ok(())
    }

    fn matrix(&self, replay: &Replay) -> Result<(), Failure> {
        let heads = DECISIONS.map(|decision| format!("{:>12}", decision.name()));
        print::line(format!("recorded  {}  {UNTOLD}", heads.join("  ")))?;
        for old in DECISIONS {
            let mut line = vec![Span::plain(format!("{:<10}", old.name()))];
            for new in DECISIONS.into_iter().map(Some).chain([None]) {
                let count = replay.cell(old, new).count;
                let shade = match new {
                    _ if count == 0 || new == Some(old) => Shade::Plain,
                    Some(Decision::Deny) => Shade::Stopped,
                    _ => Shade::Unclear,
                };
                let width = if new.is_some() { 12 } else { UNTOLD.len() };
                line.push(Span { text: format!("{:>width$}", counted(count)), shade });
                line.push(Span::plain(if new.is_some() { "  " } else { "" }.to_owned()));
            }
            print::spans(&line, self.terminal.colour)?;
        }
        Ok(())
    }

    fn rules(&self, policy: &Policy, counts: &[RuleCount]) -> Result<(), Failure> {
        let names = policy.rules.iter().map(|rule| rule.name.width());
        let width = names.max().unwrap_or(0).clamp(4, self.terminal.width - 44);
        print::line("")?;
        let heads = format!("{:<width$}  {:>10}  {:>10}", "rule", "violated", "standing");
        print::line(format!("{heads}  {UNTOLD}"))?;
        for (rule, count) in policy.rules.iter().zip(counts).take(RULES_MAX) {
            let untold: u64 = count.gaps.iter().sum();
            let why = Gap::ALL.iter().zip(count.gaps).filter(|(_, count)| *count > 0);
            let why: Vec<&str> = why.map(|(gap, _)| gap.words()).collect();
            let why = if why.is_empty() { String::new() } else { format!("  {}", why.join("; ")) };
            let line = format!(
                "{:<width$}  {:>10}  {:>10}  {:>14}{why}",
                cut(&rule.name, width),
                counted(count.violated),
                counted(count.standing),
                counted(untold),
            );
            print::line(cut(&line, self.terminal.width))?;
        }
        let rest = policy.rules.len().saturating_sub(RULES_MAX);
        if rest > 0 { print::line(format!("… and {rest} more: --json has them")) } else { Ok(()) }
    }

    fn cell(&self, replay: &Replay, old: Decision, new: Option<Decision>) -> Result<(), Failure> {
        let cell = replay.cell(old, new);
        let told = u64::try_from(cell.newest().count()).unwrap_or(u64::MAX);
        if told == 0 {
            return Ok(());
        }
        let more = if told < cell.count {
            format!(", the newest {} (--all names every one)", counted(told))
        } else {
            String::new()
        };
        let name = new.map_or(UNTOLD, Decision::name);
        print::line("")?;
        print::line(format!("{} → {name}: {}{more}", old.name(), counted(cell.count)))?;
        cell.newest().try_for_each(|moved| self.lines_of(moved, "  "))
    }

    /// The lines of one change: one where it fits, else two.
    fn lines_of(&self, moved: &Moved, lead: &str) -> Result<(), Failure> {
        let at = self.zone.short(moved.received_at, self.now);
        let actor = cut(&plain(&moved.actor), ACTOR_WIDTH_MAX);
        let deployment = moved.deployment_id.as_deref().map(plain).unwrap_or_default();
        let rules = plain(&moved.rules.join(", "));
        let begin = format!("{lead}{}  {at}  {actor}", moved.id);
        let rest = format!("{}  {rules}", short_id(&deployment));
        let rest = rest.trim();
        if begin.width() + 2 + rest.width() <= self.terminal.width {
            return print::line(format!("{begin}  {rest}").trim_end());
        }
        print::line(cut(&begin, self.terminal.width))?;
        print::line(cut(&format!("      {rest}"), self.terminal.width))
    }
}

fn head(replayed: &Replayed, path: Option<&Path>) -> String {
    let count = replayed.replay.count;
    if count == 0 {
        return "No recorded change that a policy was asked about matches.".to_owned();
    }
    let seconds = replayed.took.as_secs_f64();
    let by = path.map_or_else(
        || "the policies that are recorded with them".to_owned(),
        |path| path.display().to_string(),
    );
    let changes = if count == 1 { "change" } else { "changes" };
    format!("{} {changes} judged by {by} in {seconds:.1} s", counted(count))
}

/// The word on a log that holds.
fn recorded(replay: &Replay) -> String {
    match replay.untold() {
        0 => "Every change comes to the decision that is recorded.".to_owned(),
        untold => format!(
            "Every change that can be judged anew comes to the decision that is recorded; {} \
             can't be.",
            counted(untold)
        ),
    }
}

/// A count with a comma before every three digits.
pub(in crate::cli::policy) fn counted(count: u64) -> String {
    let digits = count.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_are_told_in_groups_of_three() {
        for (count, told) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::counted(count), told);
        }
    }
}
