//! Functions on texts whose price depends on more than one argument.

use cel::ExecutionError;
use cel::common::types::{CelInt, CelString};
use cel::common::value::CowVal;

use super::super::given::{Given, exactly, flag, int, mismatch, text};
use super::super::meter;
use super::super::pattern::Pattern;

/// Bytes that are compared for one step, where every place of a text is compared.
const COMPARED_BYTES: usize = 256;

/// `text.matches(pattern)`, the pattern compiled.
pub(super) fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [subject, pattern] = exactly(&args)?;
    let subject = text(subject.as_ref(), "matches")?;
    let pattern = pattern.downcast_ref::<Pattern>().ok_or_else(|| mismatch("matches"))?;
    Ok(flag(pattern.matches(subject)?))
}

/// `text.indexOf(part)` and `text.indexOf(part, from)`, in code points.
pub(super) fn index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    search(&args, "indexOf", |letters, part, from| {
        (from..=letters.len()).find(|at| letters.get(*at..).is_some_and(|l| l.starts_with(part)))
    })
}

/// `text.lastIndexOf(part)` and `text.lastIndexOf(part, from)`, in code points.
pub(super) fn last_index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    search(&args, "lastIndexOf", |letters, part, from| {
        let from = from.min(letters.len());
        (0..=from).rev().find(|at| letters.get(*at..).is_some_and(|l| l.starts_with(part)))
    })
}

fn search<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    function: &str,
    find: impl Fn(&[char], &[char], usize) -> Option<usize>,
) -> Given<'b, 'v> {
    let [subject, part, rest @ ..] = args else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (subject, part) = (text(subject.as_ref(), function)?, text(part.as_ref(), function)?);
    let compared = subject.len().saturating_mul(part.len().max(1)) / COMPARED_BYTES;
    meter::make(subject.len())?;
    meter::visit(compared)?;
    let letters: Vec<char> = subject.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let last = function == "lastIndexOf";
    let from = match rest.first() {
        None => {
            if last {
                letters.len()
            } else {
                0
            }
        }
        Some(from) => {
            let from = int(from.as_ref(), function)?;
            let wrong = || ExecutionError::function_error(function, format!("no place is {from}"));
            let from = usize::try_from(from).map_err(|_negative| wrong())?;
            if from >= letters.len() && !part.is_empty() {
                return Err(wrong());
            }
            from.min(letters.len())
        }
    };
    let found = find(&letters, &part, from).and_then(|at| i64::try_from(at).ok());
    Ok(CowVal::owned(CelInt::from(found.unwrap_or(-1))))
}

/// `list.join()` and `list.join(separator)`.
pub(super) fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [list, rest @ ..] = args.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let separator = rest.first().map_or(Ok(""), |rest| text(rest.as_ref(), "join"))?;
    let list = list.as_iterable().ok_or_else(|| mismatch("join"))?;
    let (mut parts, mut length) = (Vec::new(), 0_usize);
    let mut elements = list.iter();
    while let Some(element) = elements.next() {
        let part = text(element, "join")?;
        length = length.saturating_add(part.len() + separator.len());
        meter::charge(1)?;
        parts.push(part);
    }
    meter::make(length)?;
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

/// `text.replace(from, to)` and `text.replace(from, to, times)`.
pub(super) fn replace<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [subject, from, to, rest @ ..] = args.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let [subject, from, to] = [subject, from, to].map(|value| text(value.as_ref(), "replace"));
    let (subject, from, to) = (subject?, from?, to?);
    let times = rest.first().map_or(Ok(-1), |times| int(times.as_ref(), "replace"))?;
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    meter::read(subject.len())?;
    let found = subject.matches(from).take(times).count();
    meter::make(subject.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(CowVal::owned(CelString::from(subject.replacen(from, to, times))))
}

/// `globMatch(text, pattern)`: `*` stands for any text, `?` for one letter.
pub(super) fn glob_match<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [subject, pattern] = exactly(&args)?;
    let subject = text(subject.as_ref(), "globMatch")?;
    let pattern = text(pattern.as_ref(), "globMatch")?;
    meter::visit(1 + subject.len().saturating_mul(pattern.len()) / COMPARED_BYTES)?;
    let (letters, signs): (Vec<char>, Vec<char>) =
        (subject.chars().collect(), pattern.chars().collect());
    Ok(flag(fits(&letters, &signs)))
}

/// Whether a text fits a glob: where it does not, the last star takes one letter more.
fn fits(letters: &[char], signs: &[char]) -> bool {
    let (mut at, mut sign) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = letters.get(at) {
        match signs.get(sign) {
            Some('*') => {
                star = Some((sign, at));
                sign += 1;
            }
            Some(known) if *known == '?' || known == letter => (at, sign) = (at + 1, sign + 1),
            _ => {
                let Some((starred, taken)) = star else { return false };
                star = Some((starred, taken + 1));
                (at, sign) = (taken + 1, starred + 1);
            }
        }
    }
    signs.get(sign..).is_some_and(|rest| rest.iter().all(|sign| *sign == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_as_a_whole() {
        let fits = |text: &str, glob: &str| {
            fits(&text.chars().collect::<Vec<_>>(), &glob.chars().collect::<Vec<_>>())
        };
        for (text, glob) in [
            ("", ""),
            ("", "*"),
            ("agent_1", "agent_*"),
            ("agent_1", "*_1"),
            ("a", "?"),
            ("代理", "代?"),
            ("abcabc", "*abc"),
            ("aXbXc", "a*b*c"),
            ("a*", "a*"),
        ] {
            assert!(fits(text, glob), "{text} {glob}");
        }
        for (text, glob) in
            [("", "?"), ("a", ""), ("agent", "agent_*"), ("abcd", "*abc"), ("ab", "a")]
        {
            assert!(!fits(text, glob), "{text} {glob}");
        }
    }
}
