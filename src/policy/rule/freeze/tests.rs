use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn window(starts: &str, zone: &str, hours: u64) -> Result<Window, WindowError> {
    Window::new(starts, zone, Duration::from_hours(hours))
}

/// When the freeze ends that is in force at a moment, in UTC.
fn ends(rule: &FreezeRule, now: &str) -> Option<String> {
    rule.frozen_at(at(now)).map(|(_, frozen)| utc(frozen.until))
}

#[test]
fn a_window_is_open_from_its_start_to_just_before_its_end() {
    let rule = FreezeRule { windows: vec![window("0 18 * * 5", "Asia/Shanghai", 60).unwrap()] };
    for (now, expected) in [
        ("2026-11-27T09:59:59.999Z", None),
        ("2026-11-27T10:00:00.000Z", Some("2026-11-29 22:00")),
        ("2026-11-29T21:59:59.999Z", Some("2026-11-29 22:00")),
        ("2026-11-29T22:00:00.000Z", None),
        ("2026-12-02T00:00:00.000Z", None),
    ] {
        assert_eq!(ends(&rule, now).as_deref(), expected, "{now}");
    }
}

#[test]
fn a_window_lasts_its_hours_also_where_the_clocks_change() {
    // From Saturday 22:00 on, ten hours: 08:00, but 09:00 in spring and 07:00 in autumn.
    let of = |zone| FreezeRule { windows: vec![window("0 22 * * 6", zone, 10).unwrap()] };
    for (zone, now, expected) in [
        ("Europe/Berlin", "2026-03-21T23:00:00Z", "2026-03-22 07:00"),
        ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29 07:00"),
        ("Europe/Berlin", "2026-10-24T21:00:00Z", "2026-10-25 06:00"),
        ("America/New_York", "2026-03-08T04:00:00Z", "2026-03-08 13:00"),
        ("America/New_York", "2026-11-01T03:00:00Z", "2026-11-01 12:00"),
        ("Asia/Shanghai", "2026-03-28T15:00:00Z", "2026-03-29 00:00"),
        ("Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04 21:00"),
        ("Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03 21:30"),
    ] {
        assert_eq!(ends(&of(zone), now).as_deref(), Some(expected), "{zone} {now}");
    }
}

#[test]
fn a_start_that_the_clocks_skip_comes_right_after() {
    let rule = FreezeRule { windows: vec![window("30 2 * * 0", "Europe/Berlin", 1).unwrap()] };
    assert_eq!(ends(&rule, "2026-03-29T00:59:59Z"), None);
    assert_eq!(ends(&rule, "2026-03-29T01:00:00Z").as_deref(), Some("2026-03-29 02:00"));
    // The hour that comes twice: once.
    assert_eq!(ends(&rule, "2026-10-25T00:30:00Z").as_deref(), Some("2026-10-25 01:30"));
    assert_eq!(ends(&rule, "2026-10-25T01:45:00Z"), None);
}

#[test]
fn windows_that_lead_into_each_other_are_one_freeze() {
    let windows = [("0 18 * * 5", 24), ("0 18 * * 6", 24), ("0 17 * * 0", 13), ("0 6 * * 1", 1)];
    let windows = windows.map(|(starts, hours)| window(starts, "UTC", hours).unwrap());
    let rule = FreezeRule { windows: windows.to_vec() };
    assert_eq!(ends(&rule, "2026-11-27T18:00:00Z").as_deref(), Some("2026-11-30 07:00"));
    assert_eq!(ends(&rule, "2026-11-30T06:59:59Z").as_deref(), Some("2026-11-30 07:00"));
    assert_eq!(ends(&rule, "2026-11-30T07:00:00Z"), None);
}

#[test]
fn a_window_that_is_open_again_before_it_is_over_ends_by_its_last_start() {
    let rule = FreezeRule { windows: vec![window("0 18 * * 1-5", "UTC", 30).unwrap()] };
    assert_eq!(ends(&rule, "2026-11-23T19:00:00Z").as_deref(), Some("2026-11-29 00:00"));
    assert_eq!(ends(&rule, "2026-11-29T00:00:00Z"), None);
}

#[test]
fn a_window_that_can_t_be_used_is_refused_with_its_fix() {
    for (starts, hours, expected) in [
        ("0 9 31 2 *", 1, "never starts"),
        ("0 9 30 2,2 *", 1, "never starts"),
        ("0 0 * * *", 24, "never ends"),
        ("0 0 * * *", 25, "never ends"),
        ("0 0 * * 1", 24 * 7, "never ends"),
        ("* * * * *", 1, "never ends"),
        ("* * * * 1", 24, "more than 64 times"),
        ("@daily", 1, "write five POSIX cron fields"),
        ("0 9 * *", 1, "write five POSIX cron fields"),
        ("0 9 L * *", 1, "write five POSIX cron fields"),
        ("61 9 * * *", 1, "write five POSIX cron fields"),
    ] {
        let error = window(starts, "UTC", hours).unwrap_err().to_string();
        assert!(error.contains(expected), "{starts} {hours}: {error}");
    }
    // A day of 23 hours ends no window that leaves a gap on all others.
    assert!(window("0 0 * * *", "Europe/Berlin", 23).is_ok());
    assert!(window("0 0 29 2 *", "UTC", 24 * 31).is_ok());
}

#[test]
fn the_next_windows_are_told() {
    let rule = FreezeRule { windows: vec![window("0 18 * * 5", "Asia/Shanghai", 60).unwrap()] };
    assert_eq!(
        rule.words(at("2026-11-28T00:00:00Z")),
        ["Nothing begins for 60h from `0 18 * * 5` on in Asia/Shanghai; next: 2026-11-27 18:00 \
          +08:00 to 2026-11-30 06:00 +08:00; 2026-12-04 18:00 +08:00 to 2026-12-07 06:00 +08:00; \
          2026-12-11 18:00 +08:00 to 2026-12-14 06:00 +08:00."]
    );
}
