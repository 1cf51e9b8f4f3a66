//! Alarms across changes of the clock, and what was missed.

use super::*;

fn at(text: &str) -> UnixMs {
    moment(text).unwrap_or_else(|_| panic!("{text} is a moment"))
}

fn text(at: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(signed_ms(at)).expect("within the calendar");
    at.to_string()
}

fn alarm(json: &str) -> Alarm {
    let text: AlarmText = serde_json::from_str(json).expect(json);
    Alarm::compile(&text).expect(json)
}

/// The firings after `after`, as many as are expected.
#[track_caller]
fn check(json: &str, after: &str, expected: &[&str]) {
    let alarm = alarm(json);
    let mut last = at(after);
    for expected in expected {
        last = alarm.next(UnixMs(0), last).expect("it fires again");
        assert_eq!(text(last), *expected, "{json}");
    }
}

const ROME_0230: &str = r#"{"cron":"30 2 * * *","tz":"Europe/Rome"}"#;

#[test]
fn a_time_that_the_clock_leaps_over_fires_right_after_the_leap() {
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    check(ROME_0230, "2026-03-28T00:00:00Z", &expected);
}

#[test]
fn a_time_that_happens_twice_fires_the_first_time() {
    let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    check(ROME_0230, "2026-10-24T00:00:00Z", &expected);
}

#[test]
fn every_quarter_goes_on_through_both_changes() {
    let quarters = r#"{"cron":"*/15 * * * *","tz":"Europe/Rome"}"#;
    let spring = ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"];
    check(quarters, "2026-03-29T00:30:00Z", &spring);
    let autumn = ["2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:15:00Z"];
    check(quarters, "2026-10-25T00:30:00Z", &autumn);
}

#[test]
fn a_half_hour_change_is_followed_too() {
    let lord_howe = r#"{"cron":"15 2 * * *","tz":"Australia/Lord_Howe"}"#;
    // 2026-10-04: 02:00 becomes 02:30 (+10:30 to +11), so 02:15 is leapt over.
    check(lord_howe, "2026-10-03T00:00:00Z", &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
}

#[test]
fn cron_without_a_zone_is_utc() {
    check(r#"{"cron":"0 9 * * MON"}"#, "2026-11-21T09:00:00.500Z", &["2026-11-23T09:00:00Z"]);
    check(r#"{"cron":"0 0 29 2 *"}"#, "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
}

#[test]
fn at_fires_once() {
    let alarm = alarm(r#"{"at":"2026-01-31T10:00:00+01:00"}"#);
    assert_eq!(alarm.next(UnixMs(0), at("2026-01-01T00:00:00Z")), Some(at("2026-01-31T09:00:00Z")));
    assert_eq!(alarm.next(UnixMs(0), at("2026-01-31T09:00:00Z")), None);
}

#[test]
fn every_counts_from_when_it_was_set() {
    let alarm = alarm(r#"{"every":"10m"}"#);
    let set_at = at("2026-01-01T00:03:00Z");
    let next = |after| alarm.next(set_at, at(after)).map(text);
    assert_eq!(next("2026-01-01T00:03:00Z").as_deref(), Some("2026-01-01T00:13:00Z"));
    assert_eq!(next("2026-01-01T00:13:00Z").as_deref(), Some("2026-01-01T00:23:00Z"));
    assert_eq!(next("2025-01-01T00:00:00Z").as_deref(), Some("2026-01-01T00:13:00Z"));
}

#[track_caller]
fn check_due(missed: &str, last: &str, now: &str, n_firings: usize, next: &str) {
    let alarm = alarm(&format!(r#"{{"cron":"0 2 * * *","missed":"{missed}"}}"#));
    let due = alarm.due(UnixMs(0), at(last), at(now));
    assert_eq!(due.firings.len(), n_firings, "{missed}: {due:?}");
    assert_eq!(due.next.map(text).as_deref(), Some(next), "{missed}");
}

#[test]
fn what_was_missed_follows_the_setting() {
    let (last, now, next) =
        ("2026-01-01T02:00:00Z", "2026-01-04T12:00:00Z", "2026-01-05T02:00:00Z");
    check_due("skip", last, now, 0, next);
    check_due("once", last, now, 1, next);
    check_due("all", last, now, 3, next);
}

#[test]
fn a_firing_found_within_a_minute_was_not_missed() {
    let (last, next) = ("2026-01-01T02:00:00Z", "2026-01-03T02:00:00Z");
    check_due("skip", last, "2026-01-02T02:00:59Z", 1, next);
    check_due("skip", last, "2026-01-02T02:01:01Z", 0, next);
}

#[test]
fn nothing_fires_twice() {
    for missed in ["skip", "once", "all"] {
        let now = "2026-01-02T02:00:10Z";
        check_due(missed, "2026-01-02T02:00:00Z", now, 0, "2026-01-03T02:00:00Z");
        // The clock was set back by half an hour after the firing.
        let now = "2026-01-02T01:30:00Z";
        check_due(missed, "2026-01-02T02:00:00Z", now, 0, "2026-01-03T02:00:00Z");
    }
}

#[test]
fn a_clock_that_was_years_ahead_does_not_silence_an_alarm() {
    check_due("once", "2040-01-01T02:00:00Z", "2026-01-01T12:00:00Z", 0, "2026-01-02T02:00:00Z");
}

#[test]
fn catching_up_is_bounded() {
    let alarm = alarm(r#"{"every":"1s","missed":"all"}"#);
    let due = alarm.due(UnixMs(0), UnixMs(0), UnixMs(86_400_000));
    assert_eq!(due.firings.len(), CATCH_UP_MAX);
    assert!(due.is_cut);
    assert_eq!(due.next, Some(UnixMs(86_401_000)));
}

#[test]
fn the_end_of_time_is_no_trap() {
    let alarm = alarm(r#"{"every":"366d"}"#);
    assert_eq!(alarm.next(UnixMs(0), UnixMs(u64::MAX)), None);
    assert_eq!(alarm.due(UnixMs(u64::MAX), UnixMs(0), UnixMs(u64::MAX)).next, None);
}

#[track_caller]
fn check_error(json: &str, expected: &str) {
    let text: AlarmText = serde_json::from_str(json).expect(json);
    let error = Alarm::compile(&text).expect_err(json);
    assert!(error.to_string().contains(expected), "{json}: {error}");
}

#[test]
fn alarms_that_cannot_be() {
    check_error("{}", "exactly one");
    check_error(r#"{"every":"1h","cron":"* * * * *"}"#, "exactly one");
    check_error(r#"{"every":"500ms"}"#, "shorter than 1s");
    check_error(r#"{"at":"tomorrow"}"#, "no moment");
    check_error(r#"{"at":"1969-12-31T00:00:00Z"}"#, "no moment");
    check_error(r#"{"every":"1h","tz":"Europe/Rome"}"#, "`tz` belongs to `cron`");
    check_error(r#"{"cron":"* * * * * *"}"#, "no pattern");
    check_error(r#"{"cron":"61 * * * *"}"#, "no pattern");
    check_error(r#"{"cron":""}"#, "no pattern");
    check_error(r#"{"cron":"0 0 30 2 *"}"#, "never fires");
    check_error(r#"{"cron":"0 2 * * *","tz":"Europe/Rom"}"#, "no time zone `Europe/Rom`");
    check_error(&format!(r#"{{"cron":"{}"}}"#, "1,".repeat(400)), "more than 256");
}

#[test]
fn a_zone_is_guessed() {
    let text: AlarmText =
        serde_json::from_str(r#"{"cron":"0 2 * * *","tz":"Europe/Rom"}"#).expect("JSON");
    let finding = Alarm::compile(&text).expect_err("no such zone").finding("night");
    assert_eq!(finding.path, "alarms.night.tz");
    assert_eq!(finding.hint.as_deref(), Some("did you mean `Europe/Rome`?"));
}
