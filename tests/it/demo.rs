//! The README's first command.

use std::process::Command;

#[test]
fn the_demo_tells_its_story_and_ends() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_changegate")).args(["demo", "--exit"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaints}");
    assert_eq!(complaints, "", "the story alone is told");
    let widest = told.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?} columns:\n{told}");
    for part in [
        "-> 200, decision: allow",
        "/schedule/expression: \"0 9 * * 1-5\" → \"30 9 * * 1-5\"",
        "changed by the server:",
        "`America/New_York` is not allowed",
        "-> 403, decision: deny",
        "were answered 429",
        "metadata.forbidden_keys",
        "nightly-script",
        "many-runs: more than 4 runs a day",
        "On record: asked by alice, approved by bob: the new report needs it",
    ] {
        assert!(told.contains(part), "{part} is not told:\n{told}");
    }
}
