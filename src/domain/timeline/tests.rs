//! Windows of single dates, and the stream of boundaries between two looks at the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{NaiveTime, Weekday};
use proptest::prelude::*;

use super::*;
use crate::domain::calendar::TimeOfDay;
use crate::domain::script::{Condition, Dependency, ScriptName, ScriptSpec};

fn xnys() -> Arc<Calendar> {
    Arc::new(Calendar::builtin("XNYS").expect("it is built in"))
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("an instant").to_utc()
}

fn clock(text: &str) -> TimePoint {
    TimePoint::At(text.parse::<NaiveTime>().expect("a time"))
}

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "/bin/true")
}

fn spec(start: TimePoint, stop: TimePoint) -> WindowSpec {
    WindowSpec { start, stop, ..script("a").window }
}

/// `start stop` in UTC, or why there is none.
fn planned(spec: &WindowSpec, calendar: &Calendar, date: &str) -> String {
    match plan(spec, calendar, day(date)).expect("in range") {
        DayPlan::Window(w) => format!("{} {}", w.start.format("%d %H:%M"), w.stop.format("%d %H:%M")),
        DayPlan::Skipped { reason, .. } => format!("skipped: {reason}"),
        DayPlan::NoSession { reason } => format!("none: {reason}"),
    }
}

const HALF: &str = "2026-11-27";
const FULL: &str = "2026-11-25";

#[test]
fn windows_hang_on_the_anchors_of_the_session() {
    let calendar = xnys();
    let hours = TimeDelta::hours;
    for (anchor, offset, full, half) in [
        (Anchor::Premarket, hours(0), "25 09:00", "27 09:00"),
        (Anchor::Open, hours(-1), "25 13:30", "27 13:30"),
        (Anchor::Open, hours(1), "25 15:30", "27 15:30"),
        (Anchor::Close, hours(-1), "25 20:00", "27 17:00"),
    ] {
        let spec = spec(TimePoint::Anchor(anchor, offset), TimePoint::Anchor(Anchor::Postmarket, hours(0)));
        assert_eq!(planned(&spec, &calendar, FULL), format!("{full} 26 01:00"));
        assert_eq!(planned(&spec, &calendar, HALF), format!("{half} 27 22:00"));
    }
}

#[test]
fn a_fixed_stop_up_to_the_regular_close_is_cut_by_an_early_one_and_a_later_one_stays() {
    let calendar = xnys();
    let start = clock("08:00:00");
    for (stop, full, half) in [
        ("12:00:00", "25 17:00", "27 17:00"),
        ("14:00:00", "25 19:00", "27 18:00"),
        ("16:00:00", "25 21:00", "27 18:00"),
        ("16:00:01", "25 21:00", "27 21:00"),
        ("17:30:00", "25 22:30", "27 22:30"),
    ] {
        let spec = spec(start, clock(stop));
        assert_eq!(planned(&spec, &calendar, FULL), format!("25 13:00 {full}"), "{stop}");
        assert_eq!(planned(&spec, &calendar, HALF), format!("27 13:00 {half}"), "{stop}");
    }
    let past = spec(start, TimePoint::Anchor(Anchor::Close, TimeDelta::hours(2)));
    assert_eq!(planned(&past, &calendar, HALF), "27 13:00 27 20:00");
}

#[test]
fn a_window_that_an_early_close_leaves_empty_is_skipped() {
    let found = planned(&spec(clock("14:00:00"), clock("16:00:00")), &xnys(), HALF);
    assert!(found.starts_with("skipped: its window is empty on this date"), "{found}");
}

#[test]
fn half_days_run_skip_or_are_the_only_ones() {
    for (half_days, full, half) in
        [(HalfDays::Run, true, true), (HalfDays::Skip, true, false), (HalfDays::Only, false, true)]
    {
        let spec = WindowSpec { half_days, ..script("a").window };
        assert_eq!(!planned(&spec, &xnys(), FULL).starts_with("skipped"), full, "{half_days:?}");
        assert_eq!(!planned(&spec, &xnys(), HALF).starts_with("skipped"), half, "{half_days:?}");
    }
}

#[test]
fn closed_days_have_no_window_and_listed_dates_are_skipped() {
    let mut spec = script("a").window;
    assert!(planned(&spec, &xnys(), "2026-11-26").starts_with("none: Thanksgiving"));
    assert!(planned(&spec, &xnys(), "2026-11-28").starts_with("none: "));
    spec.skip_dates = vec![day(FULL)];
    assert_eq!(planned(&spec, &xnys(), FULL), "skipped: listed in skip_dates");
}

#[test]
fn local_times_stay_and_utc_shifts_when_the_clocks_change() {
    let spec = script("a").window;
    for (date, expected) in [
        ("2026-03-06", "06 13:30 06 21:00"),
        ("2026-03-09", "09 12:30 09 20:00"),
        ("2026-10-30", "30 12:30 30 20:00"),
        ("2026-11-02", "02 13:30 02 21:00"),
    ] {
        assert_eq!(planned(&spec, &xnys(), date), expected);
    }
}

#[test]
fn a_start_in_the_skipped_hour_moves_forward_and_one_in_the_repeated_hour_is_the_first() {
    let all = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let calendar = Calendar::plain("ny", chrono_tz::America::New_York, TimeOfDay::MIDNIGHT, TimeOfDay::DAY_END, &all)
        .expect("valid");
    let night = spec(clock("02:30:00"), clock("12:00:00"));
    assert_eq!(planned(&night, &calendar, "2026-03-08"), "08 07:00 08 16:00");
    let night = spec(clock("01:30:00"), clock("12:00:00"));
    assert_eq!(planned(&night, &calendar, "2026-11-01"), "01 05:30 01 17:00");
}

#[test]
fn the_leap_day_and_the_end_of_the_year_are_days() {
    let spec = script("a").window;
    assert_eq!(planned(&spec, &xnys(), "2024-02-29"), "29 13:30 29 21:00");
    assert_eq!(planned(&spec, &xnys(), "2026-12-31"), "31 13:30 31 21:00");
    assert!(planned(&spec, &xnys(), "2027-01-01").starts_with("none: New Year"));
}

#[test]
fn a_limit_that_ends_with_the_window_is_none() {
    let (start, stop) = (utc("2026-11-23T13:30:00Z"), utc("2026-11-23T21:00:00Z"));
    let limit = |secs| deadline(start, Some(std::time::Duration::from_secs(secs)), stop);
    assert_eq!(limit(7 * 3600), Some(utc("2026-11-23T20:30:00Z")));
    assert_eq!(limit(7 * 3600 + 1800), None);
    assert_eq!(limit(u64::MAX), None);
    assert_eq!(deadline(start, None, stop), None);
}

fn timeline(scripts: &[ScriptSpec]) -> Timeline {
    let always = Arc::new(Calendar::builtin("always").expect("it is built in"));
    let calendars = BTreeMap::from([("XNYS".into(), xnys()), ("always".into(), always)]);
    Timeline::new(scripts, &calendars, "XNYS")
}

/// Like on a machine that is never late.
fn advance(timeline: &mut Timeline, now: &str) -> Vec<String> {
    timeline.advance(utc(now), TimeDelta::seconds(5)).iter().map(told).collect()
}

fn begin(timeline: &mut Timeline, now: &str) -> Vec<String> {
    timeline.begin(utc(now)).iter().map(told).collect()
}

fn told(addressed: &Addressed) -> String {
    let who = addressed.to.map_or_else(|| "all".to_owned(), |to| to.to_string());
    let what = match &addressed.event {
        ClockEvent::WindowOpen { window, arrival, .. } => {
            let late = if *arrival == Arrival::Late { " late" } else { "" };
            format!("window {}{late}", window.trading_date.format("%d"))
        }
        ClockEvent::NoWindow { .. } => "no window".to_owned(),
        ClockEvent::WindowClose { trading_date } => format!("end {}", trading_date.format("%d")),
        ClockEvent::WindowMoved { window } => format!("moved {}", window.trading_date.format("%d")),
        ClockEvent::WindowPassed { window, .. } => {
            let joined = if window.joined { " joined" } else { "" };
            format!("passed {}{joined}", window.trading_date.format("%d"))
        }
        ClockEvent::WindowSkipped { trading_date, .. } => format!("skipped {}", trading_date.format("%d")),
        ClockEvent::SessionOpen { .. } => "open".to_owned(),
        ClockEvent::SessionClose { .. } => "close".to_owned(),
        ClockEvent::Alarm { alarm } => format!("{alarm:?}"),
        ClockEvent::Unwatched { dates, .. } => {
            let joined = |(_, planned): &&(NaiveDate, DayPlan)| matches!(planned, DayPlan::Window(w) if w.joined);
            format!("unwatched {}, {} joined", dates.len(), dates.iter().filter(joined).count())
        }
    };
    format!("{} {who} {what}", addressed.at.format("%d %H:%M"))
}

#[test]
fn boundaries_come_once_in_order_and_each_at_its_instant() {
    let mut t = timeline(&[script("a")]);
    assert_eq!(begin(&mut t, "2026-11-23T05:00:00Z"), [""; 0]);
    assert_eq!(t.next(), Some(utc("2026-11-23T13:30:00Z")));
    assert_eq!(advance(&mut t, "2026-11-23T13:29:59Z"), [""; 0]);
    assert_eq!(advance(&mut t, "2026-11-23T13:30:00Z"), ["23 13:30 0 window 23"]);
    assert_eq!(advance(&mut t, "2026-11-23T13:30:00Z"), [""; 0], "once");
    assert_eq!(advance(&mut t, "2026-11-23T14:30:00Z"), ["23 14:30 0 open", "23 14:30 all open"]);
    assert_eq!(t.next(), Some(utc("2026-11-23T21:00:00Z")));
    assert_eq!(
        advance(&mut t, "2026-11-23T21:00:00Z"),
        ["23 21:00 0 close", "23 21:00 all close", "23 21:00 0 end 23"]
    );
    assert_eq!(t.next(), Some(utc("2026-11-24T13:30:00Z")));
}

#[test]
fn at_one_instant_what_ends_comes_before_what_begins() {
    let mut evening = script("evening");
    evening.window.start = TimePoint::Anchor(Anchor::Close, TimeDelta::zero());
    evening.window.stop = TimePoint::Anchor(Anchor::Close, TimeDelta::hours(2));
    let mut t = timeline(&[evening, script("day")]);
    begin(&mut t, "2026-11-23T20:00:00Z");
    let told = advance(&mut t, "2026-11-23T21:00:00Z");
    assert_eq!(told.last().map(String::as_str), Some("23 21:00 0 window 23"), "{told:#?}");
    assert!(told.contains(&"23 21:00 1 end 23".to_owned()));
}

#[test]
fn a_jump_over_several_dates_gives_the_latest_level_once_and_names_what_passed_whole() {
    let mut t = timeline(&[script("a")]);
    begin(&mut t, "2026-11-23T15:00:00Z");
    let told: Vec<_> =
        advance(&mut t, "2026-11-27T15:00:00Z").into_iter().filter(|line| line.contains(" 0 ")).collect();
    let windows: Vec<_> = told.into_iter().filter(|line| !line.contains("open") && !line.contains("close")).collect();
    assert_eq!(
        windows,
        ["23 21:00 0 end 23", "24 13:30 0 passed 24", "25 13:30 0 passed 25", "27 13:30 0 window 27 late"]
    );
}

#[test]
fn a_step_back_gives_nothing_and_no_boundary_comes_twice() {
    let mut t = timeline(&[script("a")]);
    begin(&mut t, "2026-11-23T12:00:00Z");
    advance(&mut t, "2026-11-23T22:00:00Z");
    assert_eq!(advance(&mut t, "2026-11-23T12:00:00Z"), [""; 0]);
    assert_eq!(advance(&mut t, "2026-11-23T23:00:00Z"), [""; 0]);
    assert_eq!(t.next(), Some(utc("2026-11-24T13:30:00Z")));
}

#[test]
fn lateness_is_measured_at_each_window() {
    for (now, expected) in
        [("2026-11-23T13:30:05Z", "23 13:30 0 window 23"), ("2026-11-23T13:30:06Z", "23 13:30 0 window 23 late")]
    {
        let mut t = timeline(&[script("a")]);
        begin(&mut t, "2026-11-23T12:00:00Z");
        assert_eq!(advance(&mut t, now), [expected]);
    }
}

#[test]
fn a_beginning_in_a_window_is_late_and_at_its_start_on_time() {
    for (now, expected) in [
        ("2026-11-23T13:29:59Z", None),
        ("2026-11-23T13:30:00Z", Some("23 13:30 0 window 23")),
        ("2026-11-23T13:30:01Z", Some("23 13:30 0 window 23 late")),
        ("2026-11-23T20:59:59Z", Some("23 13:30 0 window 23 late")),
        ("2026-11-23T21:00:00Z", None),
    ] {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(begin(&mut timeline(&[script("a")]), now), expected, "{now}");
    }
}

#[test]
fn windows_that_touch_or_overlap_are_joined() {
    let mut touching = script("a");
    touching.window.calendar = "always".into();
    let mut overlapping = touching.clone();
    touching.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::zero());
    overlapping.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::hours(-1));
    for (spec, at) in [(touching, "24 00:00"), (overlapping, "23 23:00")] {
        let mut t = timeline(&[spec]);
        begin(&mut t, "2026-11-23T12:00:00Z");
        let mut told = advance(&mut t, "2026-11-23T23:00:00Z");
        told.extend(advance(&mut t, "2026-11-24T00:00:00Z"));
        let windows: Vec<_> = told.into_iter().filter(|l| l.contains("window") || l.contains("end")).collect();
        assert_eq!(windows, [format!("{at} 0 window 24")]);
    }
}

/// A script that runs around the clock.
fn round() -> ScriptSpec {
    let mut round = script("a");
    round.window.calendar = "always".into();
    round.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::zero());
    round
}

/// What the first script hears of its windows.
fn windows(timeline: &mut Timeline, now: &str) -> Vec<String> {
    let told = advance(timeline, now).into_iter();
    told.filter(|line| line.contains(" 0 ") && !line.ends_with(" open") && !line.ends_with(" close")).collect()
}

#[test]
fn of_windows_that_touch_and_went_by_only_the_one_that_is_open_now_opens() {
    for (now, expected) in [
        ("2026-11-24T00:00:00Z", vec!["24 00:00 0 window 24"]),
        ("2026-11-24T00:00:07Z", vec!["24 00:00 0 window 24 late"]),
        ("2026-11-25T00:00:00Z", vec!["24 00:00 0 passed 24 joined", "25 00:00 0 window 25"]),
        (
            "2026-11-26T12:00:00Z",
            vec!["24 00:00 0 passed 24 joined", "25 00:00 0 passed 25 joined", "26 00:00 0 window 26 late"],
        ),
        ("2027-02-03T12:00:00Z", vec!["24 00:00 0 unwatched 71, 71 joined", "03 00:00 0 window 03 late"]),
        ("2056-11-23T12:00:00Z", vec!["20 00:00 0 unwatched 400, 400 joined", "23 00:00 0 window 23 late"]),
    ] {
        let mut t = timeline(&[round()]);
        begin(&mut t, "2026-11-23T12:00:00Z");
        assert_eq!(windows(&mut t, now), expected, "{now}");
        assert_eq!(windows(&mut t, now), [""; 0], "once");
    }
}

#[test]
fn where_a_gap_follows_the_last_window_that_touches_tells_when_all_of_them_ended() {
    let mut gap = round();
    gap.window.skip_dates = vec![day("2026-11-26")];
    for (now, expected) in [
        (
            "2026-11-26T12:00:00Z",
            vec!["24 00:00 0 passed 24", "25 00:00 0 passed 25", "26 00:00 0 end 23", "26 00:00 0 skipped 26"],
        ),
        (
            "2026-11-28T12:00:00Z",
            vec![
                "24 00:00 0 passed 24",
                "25 00:00 0 passed 25",
                "26 00:00 0 end 23",
                "26 00:00 0 skipped 26",
                "27 00:00 0 passed 27 joined",
                "28 00:00 0 window 28 late",
            ],
        ),
    ] {
        let mut t = timeline(&[gap.clone()]);
        begin(&mut t, "2026-11-23T12:00:00Z");
        assert_eq!(windows(&mut t, now), expected, "{now}");
    }
}

#[test]
fn windows_that_went_by_after_a_gap_lead_to_the_open_one_as_well() {
    let mut gap = round();
    gap.window.skip_dates = vec![day("2026-11-23")];
    let mut t = timeline(&[gap]);
    begin(&mut t, "2026-11-23T12:00:00Z");
    let expected = ["24 00:00 0 passed 24 joined", "25 00:00 0 window 25 late"];
    assert_eq!(windows(&mut t, "2026-11-25T12:00:00Z"), expected);
}

#[test]
fn alarms_come_with_the_boundaries_and_can_be_cleared() {
    let mut t = timeline(&[script("a")]);
    begin(&mut t, "2026-11-23T15:00:00Z");
    t.set_alarm(0, Alarm::Limit, Some(utc("2026-11-23T16:00:00Z")));
    t.set_alarm(0, Alarm::Limit, Some(utc("2026-11-23T17:00:00Z")));
    assert_eq!(t.next(), Some(utc("2026-11-23T17:00:00Z")), "one slot each");
    assert_eq!(advance(&mut t, "2026-11-23T17:00:00Z"), ["23 17:00 0 Limit"]);
    t.set_alarm(0, Alarm::LimitNear, Some(utc("2026-11-23T18:00:00Z")));
    t.set_alarm(0, Alarm::LimitNear, None);
    assert_eq!(advance(&mut t, "2026-11-23T20:00:00Z"), [""; 0]);
}

#[test]
fn a_disabled_script_has_no_boundaries() {
    let mut t = timeline(&[ScriptSpec { enabled: false, ..script("a") }]);
    assert_eq!(begin(&mut t, "2026-11-23T15:00:00Z"), [""; 0]);
    assert_eq!(advance(&mut t, "2026-11-23T21:00:00Z"), ["23 21:00 all close"]);
}

#[test]
fn the_level_can_be_told_again() {
    let mut t = timeline(&[script("a")]);
    begin(&mut t, "2026-11-23T12:00:00Z");
    let upcoming = "2026-11-23".parse().ok();
    assert_eq!(t.level(0, utc("2026-11-23T12:00:00Z")), ClockEvent::NoWindow { upcoming });
    advance(&mut t, "2026-11-23T14:00:00Z");
    let level = t.level(0, utc("2026-11-23T14:00:00Z"));
    assert!(matches!(level, ClockEvent::WindowOpen { window, .. } if window.trading_date == day("2026-11-23")));
}

#[test]
fn a_window_names_the_predecessors_that_do_not_run() {
    let data = ScriptName::new("data").unwrap();
    let next = ScriptSpec {
        depends_on: vec![Dependency { script: data.clone(), condition: Condition::Succeeded }],
        ..script("next")
    };
    let mut over = script("data");
    over.window.stop = TimePoint::Anchor(Anchor::Open, TimeDelta::zero());
    let mut half = script("data");
    half.window.half_days = HalfDays::Only;
    for (data_spec, now, expected) in [
        (script("data"), "2026-11-23T15:00:00Z", None),
        (ScriptSpec { enabled: false, ..script("data") }, "2026-11-23T15:00:00Z", Some("it is disabled")),
        (half, "2026-11-23T15:00:00Z", Some("not a half day")),
        (over, "2026-11-23T15:00:00Z", Some("its window was over before it could be started")),
    ] {
        let found = timeline(&[data_spec, next.clone()]).begin(utc(now));
        let absent = found.iter().find_map(|a| match &a.event {
            ClockEvent::WindowOpen { absent, .. } if a.to == Some(1) => Some(absent.clone()),
            _ => None,
        });
        assert_eq!(absent.expect("its window is open").get(&data).map(String::as_str), expected);
    }
}

#[test]
fn the_agenda_lists_the_next_boundaries_in_order() {
    let always = Arc::new(Calendar::builtin("always").expect("it is built in"));
    let calendars = BTreeMap::from([("XNYS".into(), xnys()), ("always".into(), always)]);
    let mut round = script("round");
    round.window.calendar = "always".into();
    round.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::zero());
    let limited = ScriptSpec { max_duration: Some(std::time::Duration::from_secs(3600)), ..script("a") };
    let found = agenda(&[limited, round], &calendars, "XNYS", utc("2026-11-25T22:00:00Z"), 6);
    let lines: Vec<_> = found
        .iter()
        .map(|b| {
            let who = b.script.as_ref().map_or("-".to_owned(), ToString::to_string);
            format!("{} {} {who}", b.at.format("%d %H:%M"), b.kind.name())
        })
        .collect();
    assert_eq!(
        lines,
        [
            "27 13:30 start a",
            "27 14:30 deadline a",
            "27 14:30 open -",
            "27 18:00 close -",
            "27 18:00 stop a",
            "30 13:30 start a",
        ],
        "Thanksgiving has none, and windows that touch neither stop nor start"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where windows touch, each date is told once; at one look at most one window opens, and that is the last to be told.
    #[test]
    fn looks_lose_no_window_that_touches(looks in prop::collection::vec(-4_000..1_000_000_i64, 1..30)) {
        let mut t = timeline(&[round()]);
        let mut now = utc("2026-11-20T05:00:00Z");
        let mut latest = now;
        t.begin(now);
        let mut told = vec![day("2026-11-20")];
        for by in looks {
            now += TimeDelta::seconds(by);
            latest = latest.max(now);
            let mut opened = 0;
            for Addressed { event, .. } in t.advance(now, TimeDelta::seconds(5)).into_iter().filter(|a| a.to.is_some()) {
                let is_session = matches!(event, ClockEvent::SessionOpen { .. });
                prop_assert!(opened == 0 || is_session, "{event:?} comes after the window that opens");
                match event {
                    ClockEvent::WindowOpen { window, .. } => {
                        prop_assert!(window.start <= now && now < window.stop);
                        opened += 1;
                        told.push(window.trading_date);
                    }
                    ClockEvent::WindowPassed { window, .. } => told.push(window.trading_date),
                    ClockEvent::Unwatched { dates, .. } => told.extend(dates.iter().map(|(date, _)| *date)),
                    ClockEvent::WindowClose { .. } => prop_assert!(false, "nothing ends here"),
                    _ => {}
                }
            }
        }
        let due: Vec<_> = day("2026-11-20").iter_days().take_while(|date| *date <= latest.date_naive()).collect();
        prop_assert_eq!(told, due);
    }

    /// However often the clock is looked at, and however it jumps, each boundary is told once, and each date has one way.
    #[test]
    fn looks_at_the_clock_lose_nothing_and_repeat_nothing(looks in prop::collection::vec(-4_000..90_000_i64, 1..60)) {
        let mut t = timeline(&[script("a")]);
        let mut now = utc("2026-11-20T05:00:00Z");
        let mut latest = now;
        t.begin(now);
        let mut begun = Vec::new();
        let mut ended = Vec::new();
        for by in looks {
            now += TimeDelta::seconds(by);
            latest = latest.max(now);
            for Addressed { event, at, .. } in t.advance(now, TimeDelta::seconds(5)) {
                prop_assert!(at <= now);
                match event {
                    ClockEvent::WindowOpen { window, .. } => {
                        prop_assert!(window.start <= now && now < window.stop);
                        begun.push(window.trading_date);
                    }
                    ClockEvent::WindowPassed { window, .. } => {
                        begun.push(window.trading_date);
                        ended.push(window.trading_date);
                    }
                    ClockEvent::WindowClose { trading_date } => ended.push(trading_date),
                    _ => {}
                }
            }
            prop_assert!(t.next().is_some_and(|next| next > now), "nothing is due twice");
        }
        let calendar = xnys();
        let due = |stop: bool| -> Vec<NaiveDate> {
            day("2026-11-20")
                .iter_days()
                .take(90)
                .filter(|date| matches!(plan(&script("a").window, &calendar, *date),
                    Ok(DayPlan::Window(w)) if (if stop { w.stop } else { w.start }) <= latest))
                .collect()
        };
        prop_assert_eq!(begun, due(false));
        prop_assert_eq!(ended, due(true));
    }
}
