use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn rule(minutes: Option<u64>, runs_per_day: Option<usize>) -> ScheduleRule {
    let minimum_interval = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    ScheduleRule::new(minimum_interval, runs_per_day, true)
}

/// The parts that a schedule breaks, and what is said of them.
fn judged(rule: &ScheduleRule, expression: &str, zone: &str, now: &str) -> Vec<String> {
    let schedule = serde_json::json!({"type": "cron", "expression": expression, "timezone": zone});
    let found = rule.judge("/schedule", &schedule, at(now));
    found
        .into_iter()
        .map(|finding| format!("{}: {}", finding.part.unwrap(), finding.fault))
        .collect()
}

/// Whether a schedule keeps runs so many minutes apart, and so many a day.
fn holds(minutes: Option<u64>, per_day: Option<usize>, plan: (&str, &str), now: &str) -> bool {
    judged(&rule(minutes, per_day), plan.0, plan.1, now).is_empty()
}

#[test]
fn the_least_interval_is_told_to_the_minute_in_every_zone() {
    // The least minutes between two runs, the shortest day and the longest included.
    for (expression, zone, least) in [
        ("*/15 * * * *", "Europe/Berlin", 15),
        ("*/7 * * * *", "UTC", 4),
        ("0 * * * *", "Europe/Berlin", 60),
        ("0 */2 * * *", "Asia/Shanghai", 120),
        ("0 */5 * * *", "Asia/Shanghai", 240),
        ("0 9 * * *", "Asia/Shanghai", 1_440),
        // In spring a day has 23 hours, on Lord Howe Island 23 and a half.
        ("0 9 * * *", "Europe/Berlin", 1_380),
        ("0 9 * * *", "America/New_York", 1_380),
        ("0 9 * * *", "Australia/Lord_Howe", 1_410),
        ("0 1,3 * * *", "Europe/Berlin", 60),
        ("0 1,3 * * *", "America/New_York", 60),
        ("0 1,3 * * *", "Asia/Shanghai", 120),
        // What the clocks repeat comes twice: on Lord Howe Island half an hour apart.
        ("30 1,3 * * *", "Australia/Lord_Howe", 30),
        ("30 2,3 * * *", "Europe/Berlin", 60),
        // What they skip comes right after, where it is one time a day.
        ("30 2 * * *", "Europe/Berlin", 1_410),
        ("0 0 1 * *", "Asia/Shanghai", 28 * 1_440),
        ("0 0 31 12 *", "UTC", 365 * 1_440),
    ] {
        for now in ["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-11-29T00:00:00Z"] {
            let plan = (expression, zone);
            assert!(holds(Some(least), None, plan, now), "{expression} {zone} {least} {now}");
            assert!(!holds(Some(least + 1), None, plan, now), "{expression} {zone} {least} {now}");
        }
    }
}

#[test]
fn the_most_runs_a_day_are_those_of_any_24_hours() {
    for (expression, zone, most) in [
        ("* * * * *", "Europe/Berlin", 1_440),
        ("*/15 * * * *", "Europe/Berlin", 96),
        ("0 * * * *", "Australia/Lord_Howe", 24),
        ("0 9 * * *", "Asia/Shanghai", 1),
        // The day of 23 hours has two.
        ("0 9 * * *", "Europe/Berlin", 2),
        ("0 9 * * *", "America/New_York", 2),
        ("0 20-23 * * 1", "UTC", 4),
        // No calendar day has more than four, and some 24 hours have eight.
        ("0 20-23 1 * *", "UTC", 4),
        ("0 20-23,0-3 * * *", "UTC", 8),
        ("0 12-23 1 * *", "UTC", 12),
        ("0 0-11 2 * *", "UTC", 12),
        ("0 9 29 2 *", "UTC", 1),
    ] {
        for now in ["2026-01-01T00:00:00Z", "2026-11-29T00:00:00Z"] {
            let plan = (expression, zone);
            assert!(holds(None, Some(most), plan, now), "{expression} {zone} {most} {now}");
            if most > 1 {
                assert!(
                    !holds(None, Some(most - 1), plan, now),
                    "{expression} {zone} {most} {now}"
                );
            }
        }
    }
}

#[test]
fn a_change_of_the_clocks_is_seen_behind_the_next_400_runs() {
    // Four days of them lie long before the end of March.
    let now = "2026-11-29T00:00:00Z";
    let found = judged(&rule(Some(16), None), "*/15 0,1,3,4 * * *", "Europe/Berlin", now);
    assert!(found[0].contains("15m apart"), "{found:?}");
    let found = judged(&rule(Some(90), None), "0 0,1,3,5,7,9,11 * * *", "Asia/Shanghai", now);
    assert!(found[0].contains("1h apart"), "{found:?}");
    let found = judged(&rule(Some(61), None), "0 1,3,5,7,9,11,13,15 * * *", "Europe/Berlin", now);
    assert_eq!(
        found,
        ["minimum_interval: two runs are 1h apart, at 2027-03-28 01:00 +01:00 and at 2027-03-28 \
          03:00 +02:00, where the clocks change: leave 1h1m or more between two runs"]
    );
}

#[test]
fn what_is_broken_is_told_with_moments_and_a_fix() {
    let now = "2026-11-29T00:00:00Z";
    assert_eq!(
        judged(&rule(Some(30), Some(48)), "*/15 * * * *", "Asia/Shanghai", now),
        [
            "minimum_interval: two runs are 15m apart, at 2026-11-29 08:15 +08:00 and at \
             2026-11-29 08:30 +08:00: leave 30m or more between two runs",
            "runs_per_day: it runs more than 48 times within the 24 hours from 2026-11-29 08:15 \
             +08:00 on: plan fewer runs",
        ]
    );
    assert_eq!(
        judged(&rule(None, Some(1)), "0 9 * * *", "Europe/Berlin", now),
        ["runs_per_day: it runs more than 1 time within the 24 hours from 2027-03-27 09:00 \
             +01:00 on, in which the clocks change: plan fewer runs"]
    );
    let found = judged(&rule(None, None), "0 9 31 2 *", "UTC", now);
    assert!(found[0].starts_with("must_fire: the schedule never fires"), "{found:?}");
    let mut lax = rule(Some(15), Some(1));
    lax.must_fire = false;
    assert!(judged(&lax, "0 9 31 2 *", "UTC", now).is_empty());
}

/// The parts that a schedule breaks where runs are to be fifteen minutes apart.
fn parts(schedule: &Value) -> Vec<&'static str> {
    let found = rule(Some(15), None).judge("/schedule", schedule, at("2026-11-29T00:00:00Z"));
    for finding in &found {
        assert!(finding.path.starts_with("/schedule"), "{schedule}");
        assert!(finding.fault.len() < 400 && !finding.fault.contains('\n'), "{schedule}");
    }
    found.iter().filter_map(|finding| finding.part).collect()
}

#[test]
fn a_schedule_is_judged_by_every_timetable_that_a_server_may_take() {
    let close = &["minimum_interval"][..];
    for (others, expected) in [
        (json!({}), &[][..]),
        (json!({"cron": null, "tz": null}), &[]),
        (json!({"cron": "0 9 * * *", "enabled": true, "type": "cron"}), &[]),
        (json!({"cron": "* * * * *"}), close),
        (json!({"Expression": "* * * * *"}), close),
        (json!({"expression": ["0 9 * * *", "5 9 * * *"]}), close),
        (json!({"expression": ["0 9 * * *", "0 10 * * *"]}), &[]),
        (json!({"expression": ["0 9 * * *", "0 9 31 2 *"]}), &["must_fire"]),
        (json!({"tz": "Asia/Kathmandu"}), &[]),
        (json!({"expression": "5,30 9,15 * * *", "time_zone": "Asia/Kathmandu"}), close),
    ] {
        let mut schedule = json!({"expression": "0 9 * * *", "timezone": "UTC"});
        for (name, value) in others.as_object().unwrap() {
            schedule[name] = value.clone();
        }
        assert_eq!(parts(&schedule), expected, "{schedule}");
    }
}

#[test]
fn a_schedule_that_can_t_be_told_is_no_schedule_that_is_kept() {
    for schedule in [
        json!({"expression": [], "timezone": "UTC"}),
        json!({"expression": ["0 9 * * *", 1], "timezone": "UTC"}),
        json!({"expression": vec!["0 9 * * *"; 5], "timezone": "UTC"}),
        json!({"expression": ["0 8 * * *", "0 9 * * *", "0 7 * * *"], "timezone": "UTC",
            "tz": "GB"}),
        json!({"expression": {}, "timezone": "UTC"}),
        json!({"expression": null, "timezone": "UTC"}),
        json!({"expression": "0 9 * * *"}),
        json!({"expression": "0 9 * * *", "timezone": null}),
        json!({"expression": "0 9 * * *", "timezone": "utc"}),
        json!({"timezone": "UTC"}),
        json!({}),
        json!("0 9 * * *"),
        json!([]),
        json!(7),
        json!({"type": "once", "at": "2026-12-01T00:00:00Z"}),
        json!({"type": "interval", "expression": "0 9 * * *", "timezone": "UTC"}),
        json!({"type": ["cron"], "expression": "0 9 * * *", "timezone": "UTC"}),
        json!({"expression": "0 9 * * *".repeat(1_000), "timezone": "UTC"}),
        json!({"expression": "TZ=UTC * * * * *", "timezone": "UTC"}),
    ] {
        let parts = parts(&schedule);
        assert!((1..=2).contains(&parts.len()), "{schedule} {parts:?}");
        assert!(parts.iter().all(|part| *part == "readable"), "{schedule} {parts:?}");
    }
}

#[test]
fn what_is_remembered_is_what_would_be_found() {
    let remembering = rule(Some(31), Some(40));
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let expressions = ["*/30 * * * *", "0 1,2,3 * * *", "45 * * * *", "0 9 29 2 *", "*/29 2 * * 0"];
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe"];
    for _ in 0..300 {
        let pick = |n: u64, all: &[&'static str]| all[usize::try_from(n).unwrap()];
        let (expression, zone) = (pick(next(5), &expressions), pick(next(3), &zones));
        // Days around changes of the clocks too.
        let at =
            1_774_600_000_000 + i64::try_from(next(400) * 3_600_000 + next(3_600_000)).unwrap();
        let now = Timestamp::from_millis(at).to_string();
        let fresh = judged(&rule(Some(31), Some(40)), expression, zone, &now);
        assert_eq!(
            judged(&remembering, expression, zone, &now),
            fresh,
            "{expression} {zone} {now}"
        );
    }
}
