//! Messages with expressions in them: `{{ actor.name }} may not do that`.

use super::bindings::Bindings;
use super::meter::Budget;
use super::program::{Answer, Program};

/// The longest message that is made of a template, in characters.
const MESSAGE_CHARS_MAX: usize = 512;

/// The most expressions of one template.
const EXPRESSIONS_MAX: usize = 16;

/// A message that is made when its rule is broken.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

/// A part of a template.
#[derive(Debug)]
pub(super) enum Part {
    /// Words.
    Words(String),
    /// An expression, whose text is shown.
    Shown(Program),
}

/// A part of a template as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed<'t> {
    /// Words.
    Words(&'t str),
    /// The text of an expression.
    Expression(&'t str),
}

/// Takes a template apart; else says what is wrong with it.
pub(super) fn parts(template: &str) -> Result<Vec<Typed<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((words, behind)) = rest.split_once("{{") {
        let Some((expression, behind)) = behind.split_once("}}") else {
            return Err("`{{` has no `}}` behind it: close it".to_owned());
        };
        parts.extend([Typed::Words(words), Typed::Expression(expression)]);
        rest = behind;
    }
    parts.push(Typed::Words(rest));
    parts.retain(|part| *part != Typed::Words(""));
    let expressions = parts.iter().filter(|part| matches!(part, Typed::Expression(_))).count();
    if expressions > EXPRESSIONS_MAX {
        return Err(format!("it has more than {EXPRESSIONS_MAX} expressions: leave some out"));
    }
    Ok(parts)
}

impl Template {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// The message for a change, cut where it is long; what can't be told is a question mark.
    pub(super) fn tell(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> String {
        let mut message = String::new();
        for part in &self.0 {
            match part {
                Part::Words(words) => message.push_str(words),
                Part::Shown(program) => match program.text(bindings, budget) {
                    Answer::Is(text) => message.extend(text.chars().take(MESSAGE_CHARS_MAX)),
                    Answer::Failed(_) | Answer::Over(_) => message.push('?'),
                },
            }
        }
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c });
        message.take(MESSAGE_CHARS_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_words_and_expressions() {
        use Typed::{Expression, Words};
        let taken = |template| parts(template).unwrap();
        assert_eq!(taken("a"), [Words("a")]);
        assert_eq!(taken("{{ a }} b {{c}}"), [Expression(" a "), Words(" b "), Expression("c")]);
        assert_eq!(taken(""), []);
        assert!(parts("{{ a").is_err());
        assert!(parts(&"{{a}}".repeat(17)).is_err());
    }
}
