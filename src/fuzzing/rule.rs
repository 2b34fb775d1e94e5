//! Rules in CEL: expressions as they are typed, and such as are grown from bytes and are mostly
//! sound.

use super::assert_shown;
use super::source::Source;
use crate::base::clock::{Clock, ManualClock, Timestamp};
use crate::deployment::patch::Patch;
use crate::policy::Policy;
use crate::policy::evaluate::{Evaluation, evaluate};
use crate::policy::load::load;
use crate::policy::outcome::{Breach, RuleOutcome};
use crate::policy::subject::Subject;
use crate::provider::Provider;

/// The deepest that grown expressions lie inside each other.
const DEPTH_MAX: usize = 6;

/// What an expression is to give.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Flag,
    Whole,
    Text,
    List,
}

/// Any text is a rule, or is complained of at its place. A rule comes out on any change, the same
/// each time, and what it came to is what is found.
///
/// # Panics
/// Where that does not hold.
pub fn rule(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let typed = match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => str::from_utf8(rest).map(str::to_owned).ok(),
        _ => None,
    };
    let is_grown = typed.is_none();
    _ = source.byte();
    let require = typed.unwrap_or_else(|| grown(&mut source, Kind::Flag, DEPTH_MAX));
    let when = is_grown.then(|| grown(&mut source, Kind::Flag, 2));
    let quoted =
        |text: &str| serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    let when = when.map(|when| format!("when = {}\n", quoted(&when))).unwrap_or_default();
    let rule = format!("[[rule]]\nname = 'a'\n{when}require = {}\n", quoted(&require));
    match load(&rule, Provider::ALL[0]) {
        Ok(policy) => judge(&policy, &mut source),
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            for error in errors {
                assert_shown(&error.message);
                assert!(error.line.is_some_and(|line| line <= 5), "{error:?}");
            }
        }
    }
}

fn judge(policy: &Policy, source: &mut Source<'_>) {
    let [provider, ..] = Provider::ALL;
    let before = source.flip().then(|| source.deployment(provider).into());
    let patch = Patch { object: source.deployment(provider) };
    // It stands still: steps alone may end a rule.
    let clock = Clock::Manual(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
    let subject = Subject { clock: &clock, ..Subject::of(provider, before.as_ref(), &patch) };
    let Evaluation { findings, outcomes, .. } = evaluate(policy, &subject);
    let again = evaluate(policy, &subject);
    assert_eq!((&findings, &outcomes), (&again.findings, &again.outcomes), "it comes out alike");
    let found = (findings.violations.len(), findings.standing.len());
    assert_eq!(outcomes.len(), 1, "one rule has one outcome");
    let outcome = outcomes.first().copied().unwrap_or_default();
    assert_ne!(outcome.breach(), Some(Breach::OverTime));
    let expected = match outcome {
        RuleOutcome::Violated(_) => (1, 0),
        RuleOutcome::Standing(_) => (0, 1),
        _ => (0, 0),
    };
    assert_eq!(found, expected, "{outcome:?}");
    for violation in findings.violations.iter().chain(&findings.standing) {
        assert_shown(&violation.message);
    }
}

/// An expression that mostly gives what is asked for.
fn grown(source: &mut Source<'_>, kind: Kind, depth: usize) -> String {
    // Now and then another one is given than fits.
    let kind = match source.below(32) {
        0 => source.pick(&[Kind::Flag, Kind::Whole, Kind::Text, Kind::List]),
        _ => kind,
    };
    let forms: &[&str] = match (kind, depth) {
        (Kind::Flag, 0) => &["true", "false", "object.schedule != null", "touches('/name')"],
        (Kind::Whole, 0) => &["0", "7", "-1", "9223372036854775807", "object.vault_ids.size()"],
        (Kind::Text, 0) => &["''", "'a'", "'é€😀'", "object.name", "operation", "x"],
        (Kind::List, 0) => &["[]", "['a', 'b']", "object.vault_ids", "[x]"],
        (Kind::Flag, _) => &FLAGS,
        (Kind::Whole, _) => &WHOLES,
        (Kind::Text, _) => &TEXTS,
        (Kind::List, _) => &LISTS,
    };
    let mut made = String::new();
    for letter in source.pick(forms).chars() {
        let part = match letter {
            'F' => Kind::Flag,
            'W' => Kind::Whole,
            'T' => Kind::Text,
            'L' => Kind::List,
            plain => {
                made.push(plain);
                continue;
            }
        };
        made.push('(');
        made.push_str(&grown(source, part, depth - 1));
        made.push(')');
    }
    made
}

/// Forms of expressions: `F` stands for a flag inside, `W` for a whole number, `T` for a text, `L`
/// for a list of texts.
const FLAGS: [&str; 24] = [
    "F && F",
    "F || F",
    "!F",
    "F ? F : F",
    "T == T",
    "T < T",
    "W <= W",
    "W != W",
    "L == L",
    "T in L",
    "L.all(x, F)",
    "L.exists(x, F)",
    "L.exists_one(x, T == x)",
    "T.startsWith(T)",
    "T.contains(T)",
    "T.matches('^[a-z]*$')",
    "globMatch(T, T)",
    "has(object.schedule.timezone)",
    "object == object",
    "object.?schedule.?timezone.orValue(T) == T",
    "cel.bind(x, T, F)",
    "object.metadata.all(x, T != x)",
    "now + duration(T) > now",
    "object.schedule != null && F",
];

const WHOLES: [&str; 14] = [
    "W + W",
    "W - W",
    "W * W",
    "W / W",
    "W % W",
    "-W",
    "int(T)",
    "size(T)",
    "L.size()",
    "T.indexOf(T)",
    "F ? W : W",
    "math.greatest(W, W)",
    "firesPerDay(object.schedule)",
    "cel.bind(y, W, y * y)",
];

const TEXTS: [&str; 14] = [
    "T + T",
    "string(W)",
    "string(F)",
    "get(object.metadata, T, T)",
    "T.replace(T, T)",
    "T.substring(W)",
    "T.upperAscii()",
    "L.join(T)",
    "L[W]",
    "F ? T : T",
    "cel.bind(x, T, x + x)",
    "T.charAt(W)",
    "string(now)",
    "T.trim()",
];

const LISTS: [&str; 10] = [
    "[T, T]",
    "L + L",
    "L.map(x, T)",
    "L.map(x, x + x)",
    "L.filter(x, F)",
    "T.split(T)",
    "F ? L : L",
    "nextRuns(object.schedule, W).map(x, string(x))",
    "[1, 2, 3].map(x, T)",
    "cel.bind(y, L, y + y)",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::seeded::each;

    #[test]
    fn grown_rules_hold() {
        each(300, 512, |source| {
            let bytes: Vec<u8> =
                std::iter::once(1).chain((0..511).map(|_| source.byte())).collect();
            rule(&bytes);
        });
    }

    #[test]
    fn most_grown_rules_are_sound() {
        let (mut sound, mut all) = (0, 0);
        each(200, 512, |source| {
            let require = grown(source, Kind::Flag, 3);
            let rule = format!("[[rule]]\nname = 'a'\nrequire = '''{require}'''\n");
            all += 1;
            sound += u32::from(load(&rule, Provider::ALL[0]).is_ok());
        });
        assert!(all == 1 || sound * 4 > all, "{sound} of {all}");
    }
}
