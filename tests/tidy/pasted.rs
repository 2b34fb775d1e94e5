//! What the pages print for a shell: it works pasted into bash and into zsh.

/// Lines of `sh` blocks that a shell may take for something else, by page and number.
pub(crate) fn unfit(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut inside = false;
    for (line, number) in text.lines().zip(1..) {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            for (sign, fix) in bare(line) {
                broken.push(format!("{name}:{number}: a bare `{sign}` in a `sh` block: {fix}"));
            }
        }
    }
    broken
}

/// Signs of the line that stand outside quotes and fail in zsh.
fn bare(line: &str) -> Vec<(char, &'static str)> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut before = ' ';
    for sign in line.chars() {
        match (quote, sign) {
            (Some(open), _) if open == sign => quote = None,
            (None, '"' | '\'') => quote = Some(sign),
            (None, '#') if before == ' ' => found.push((sign, "say it beside the block")),
            (None, '?' | '…') => found.push((sign, "put the word in quotes")),
            _ => {}
        }
        before = sign;
    }
    found
}

#[test]
fn a_comment_and_a_bare_sign_are_found() {
    let page = "```sh\nls # all\ncurl a?b\ncurl 'a?b' \"#\"\n# no\n```\n# a title?\n";
    assert_eq!(unfit("page", page).len(), 3);
}
