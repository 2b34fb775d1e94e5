//! The zone that `audit` tells times in: local on a terminal, UTC elsewhere.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::json;

use crate::world::command::{in_world, on_terminal};
use crate::world::{DEPLOYMENT, Setup, World};

const SHANGHAI: [(&str, &str); 2] = [("TZ", "Asia/Shanghai"), ("NO_COLOR", "1")];

/// A change at 20:00 UTC, which is 04:00 of the next day in Shanghai, with its id.
async fn changed() -> (World, String) {
    let manual = ManualClock::at(Timestamp::parse("2025-06-14T20:00:00.123Z").unwrap());
    let world = Setup::new().clock(Clock::Manual(manual.clone())).start().await;
    let answer = world.update(&json!({"name": "renamed"})).await;
    let id = answer.header("changegate-change").unwrap().to_owned();
    manual.advance(Duration::from_secs(1));
    (world, id)
}

fn fit(text: &str, columns: usize) {
    assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
}

#[tokio::test]
async fn lists_on_a_terminal_tell_local_times_and_their_zone() {
    let (world, id) = changed().await;
    for columns in [80, 120] {
        for (list, head) in [
            (vec!["audit", "list"], "RECEIVED"),
            (vec!["audit", "list", "--events"], "AT"),
            (vec!["audit", "deployments"], "CHANGED"),
        ] {
            let shown = on_terminal(&world, columns, &SHANGHAI, &list);
            fit(&shown, columns.into());
            // Behind the heading where there is room, else below it.
            let beside = shown.starts_with(&format!("{head} (Asia/Shanghai)"));
            let below = shown.starts_with(head) && shown.lines().nth(1) == Some("  Asia/Shanghai");
            assert!(beside || below, "{shown}");
            assert!(shown.contains("\n2025-06-15 04:00"), "{shown}");

            let list = [list.as_slice(), &["--utc"]].concat();
            let shown = on_terminal(&world, columns, &SHANGHAI, &list);
            fit(&shown, columns.into());
            assert!(shown.starts_with(&format!("{head} (UTC)")), "{shown}");
            assert!(shown.contains("\n2025-06-14 20:00"), "{shown}");
        }
    }
    let narrow = on_terminal(&world, 80, &SHANGHAI, &["audit", "list"]);
    let lines: Vec<&str> = narrow.lines().collect();
    assert_eq!((lines.len(), lines[1]), (4, "  Asia/Shanghai"), "{narrow}");
    assert_eq!(lines[3], format!("  {id}"), "{narrow}");
    let wide = on_terminal(&world, 220, &SHANGHAI, &["audit", "list"]);
    assert!(wide.starts_with("RECEIVED (Asia/Shanghai)  CHANGE "), "{wide}");
    assert_eq!(wide.lines().count(), 2, "{wide}");
}

#[tokio::test]
async fn one_change_and_a_history_tell_local_times_with_their_offset() {
    let (world, id) = changed().await;
    let full = ["audit", "list", "--full"];
    for question in [&["audit", "show", &id][..], &["audit", "history", DEPLOYMENT], &full] {
        let second = if question[1] == "history" { "" } else { ".123" };
        for columns in [80, 120] {
            let shown = on_terminal(&world, columns, &SHANGHAI, question);
            fit(&shown, columns.into());
            assert!(shown.contains(&format!("2025-06-15T04:00:00{second}+08:00")), "{shown}");
        }
        let utc = [question, &["--utc"]].concat();
        let shown = on_terminal(&world, 80, &SHANGHAI, &utc);
        assert!(shown.contains(&format!("2025-06-14T20:00:00{second}Z")), "{shown}");
    }
}

#[tokio::test]
async fn a_zone_without_a_name_is_told_by_its_offset() {
    let (world, _id) = changed().await;
    for (zone, head, below, at) in [
        ("CST-8", "RECEIVED  ", "  +08:00", "2025-06-15 04:00"),
        ("Nowhere/Land", "RECEIVED (UTC)", "2025-06-14 20:00", "2025-06-14 20:00"),
        ("", "RECEIVED (UTC)", "2025-06-14 20:00", "2025-06-14 20:00"),
    ] {
        let shown = on_terminal(&world, 80, &[("TZ", zone)], &["audit", "list"]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with(head) && lines[1].starts_with(below), "{zone}: {shown}");
        assert!(shown.contains(&format!("\n{at}")), "{zone}: {shown}");
    }
}

#[tokio::test]
async fn what_programs_read_is_in_utc_whatever_the_zone() {
    let (world, id) = changed().await;
    for question in [
        &["audit", "list"][..],
        &["audit", "list", "--json"],
        &["audit", "list", "--csv"],
        &["audit", "history", DEPLOYMENT],
        &["audit", "deployments"],
        &["audit", "show", &id],
    ] {
        let piped = in_world(&world, question);
        assert!(piped.out.contains("2025-06-14T20:00:00"), "{piped:?}");
        if question.iter().any(|argument| argument.starts_with("--")) {
            let shown = on_terminal(&world, 80, &SHANGHAI, question);
            assert!(shown.contains("2025-06-14T20:00:00.123Z"), "{shown}");
        }
    }
    // A date is its begin in UTC in every zone; a local day is written with its offset.
    for (since, found) in [
        ("2025-06-15", false),
        ("2025-06-15T00:00+08:00", true),
        ("2025-06-15T04:00:01+08:00", false),
    ] {
        let list = ["audit", "list", "--since", since];
        let shown = on_terminal(&world, 80, &SHANGHAI, &list);
        assert_eq!(shown.contains("RECEIVED"), found, "{since}: {shown}");
    }
}
