//! What the calendars must get right, the traps that others fell into, and what operators may lay over them.

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::America::{Chicago, Denver, New_York};
use chrono_tz::Europe::London;
use chrono_tz::US::Eastern;

use super::*;

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn time(text: &str) -> TimeOfDay {
    text.parse().expect("a time")
}

fn builtin(id: &str) -> Calendar {
    Calendar::builtin(id).expect("a built-in calendar")
}

/// `closed` or the local hours, then the reason: `09:30-13:00 early close: Christmas Eve`.
fn said(calendar: &Calendar, day: &str) -> String {
    let day = calendar.day(date(day)).expect("in range");
    let clock = |at: DateTime<Utc>| at.with_timezone(&calendar.zone()).format("%H:%M").to_string();
    let hours =
        day.session.map_or("closed".into(), |session| format!("{}-{}", clock(session.open), clock(session.close)));
    format!("{hours} {}", day.reason).trim_end().to_owned()
}

fn assert_said(calendar: &Calendar, rows: &[(&str, &str)]) {
    for (day, expected) in rows {
        assert_eq!(said(calendar, day), *expected, "{day}");
    }
}

fn assert_all_regular(days: &[&str]) {
    let nyse = builtin("XNYS");
    for day in days {
        assert_eq!(said(&nyse, day), "09:30-16:00", "{day}");
    }
}

fn word(day: &str, hours: Option<(Option<&str>, Option<&str>)>) -> Override {
    let (open, close) = hours.unwrap_or_default();
    Override {
        date: date(day),
        closed: hours.is_none(),
        open: open.map(time),
        close: close.map(time),
        reason: "snow".into(),
        origin: None,
    }
}

#[test]
fn every_embedded_calendar_compiles_and_answers_to_its_ids_whatever_the_case() {
    let ids = ["XNYS", "XLON", "XTSE", "XETR", "XPAR", "XTKS", "XHKG", "XASX", "CMES", "FX", "always", "weekdays"];
    assert_eq!(Calendar::builtin_ids()[..12], ids);
    let distinct: std::collections::BTreeSet<String> =
        Calendar::builtin_ids().into_iter().map(str::to_lowercase).collect();
    assert_eq!(distinct.len(), Calendar::builtin_ids().len(), "an alias means one calendar");
    for id in Calendar::builtin_ids() {
        let found = [id.to_owned(), id.to_lowercase(), id.to_uppercase()].map(|id| builtin(&id).id().to_owned());
        assert!(found.iter().all(|id| id == &found[0]), "{found:?}");
    }
    let aliases =
        [("nasdaq", "XNYS"), ("ARCA", "XNYS"), ("xfra", "XETR"), ("CME", "CMES"), ("HKEX", "XHKG"), ("forex", "FX")];
    for (alias, id) in aliases {
        assert_eq!(builtin(alias).id(), id);
    }
    assert!(Calendar::builtin("NYSF").is_none());
}

#[test]
fn a_new_years_day_on_a_saturday_is_not_made_up_for() {
    assert_all_regular(&["1993-12-31", "2004-12-31", "2010-12-31", "2021-12-31", "2027-12-31", "2032-12-31"]);
    assert_said(&builtin("XNYS"), &[("1999-12-31", "09:30-13:00 early close: New Year's Eve of 1999")]);
}

#[test]
fn a_holiday_on_a_saturday_moves_to_friday_and_never_to_monday() {
    let rows = [
        ("2026-07-03", "closed Independence Day (observed)"),
        ("2026-07-04", "closed weekend"),
        ("2026-07-06", "09:30-16:00"),
        ("2021-12-24", "closed Christmas (observed)"),
        ("2021-12-27", "09:30-16:00"),
        ("2027-06-18", "closed Juneteenth (observed)"),
        ("2027-06-21", "09:30-16:00"),
    ];
    assert_said(&builtin("XNYS"), &rows);
}

#[test]
fn a_holiday_on_a_sunday_moves_to_monday() {
    let rows = [
        ("2023-01-02", "closed New Year's Day (observed)"),
        ("2021-07-05", "closed Independence Day (observed)"),
        ("2022-06-20", "closed Juneteenth (observed)"),
        ("2022-12-26", "closed Christmas (observed)"),
    ];
    assert_said(&builtin("XNYS"), &rows);
}

#[test]
fn juneteenth_is_a_holiday_since_2022_only() {
    assert_all_regular(&["2020-06-19", "2021-06-18", "2021-06-21"]);
    assert_said(&builtin("XNYS"), &[("2023-06-19", "closed Juneteenth")]);
}

#[test]
fn martin_luther_king_day_is_a_holiday_since_1998_only() {
    assert_all_regular(&["1990-01-15", "1997-01-20"]);
    assert_said(&builtin("XNYS"), &[("1998-01-19", "closed Martin Luther King Jr. Day")]);
}

#[test]
fn the_day_before_an_observed_holiday_is_a_full_day() {
    assert_all_regular(&[
        "2020-07-02",
        "2026-07-02",
        "2021-07-02",
        "2022-07-01",
        "2021-12-23",
        "2022-12-23",
        "2023-12-22",
    ]);
}

#[test]
fn the_half_day_at_independence_day_follows_its_weekday_and_its_years() {
    let rows = [
        ("1996-07-03", "09:30-16:00"),
        ("1996-07-05", "09:30-13:00 early close: day after Independence Day"),
        ("2002-07-05", "09:30-13:00 early close: day after Independence Day"),
        ("2013-07-03", "09:30-13:00 early close: day before Independence Day"),
        ("2013-07-05", "09:30-16:00"),
        ("2019-07-03", "09:30-13:00 early close: day before Independence Day"),
        ("2023-07-03", "09:30-13:00 early close: day before Independence Day"),
        ("1994-07-05", "09:30-16:00"),
        ("2012-07-03", "09:30-13:00 early close: day before Independence Day"),
        ("2018-07-05", "09:30-16:00"),
    ];
    assert_said(&builtin("XNYS"), &rows);
}

#[test]
fn half_days_ended_at_14_00_before_1993() {
    let rows = [
        ("1990-12-24", "09:30-14:00 early close: Christmas Eve"),
        ("1991-11-29", "09:30-16:00"),
        ("1992-11-27", "09:30-14:00 early close: day after Thanksgiving"),
        ("1992-12-24", "09:30-14:00 early close: Christmas Eve"),
        ("1993-11-26", "09:30-13:00 early close: day after Thanksgiving"),
    ];
    assert_said(&builtin("XNYS"), &rows);
}

#[test]
fn on_an_early_close_the_session_and_its_post_market_end_early() {
    let session = builtin("XNYS").session(date("2026-11-27")).expect("in range").expect("a session");
    assert!(session.is_early_close());
    let instants = [session.premarket, session.open, session.close, session.postmarket, session.regular_close];
    let expected = ["09:00", "14:30", "18:00", "22:00", "21:00"];
    assert_eq!(instants.map(|at| at.format("%H:%M").to_string()), expected);
}

#[test]
fn on_a_full_day_the_post_market_ends_at_20_00() {
    let session = builtin("XNYS").session(date("2026-07-06")).expect("in range").expect("a session");
    assert!(!session.is_early_close());
    assert_eq!(session.premarket.to_rfc3339(), "2026-07-06T08:00:00+00:00");
    assert_eq!(session.postmarket.to_rfc3339(), "2026-07-07T00:00:00+00:00");
}

#[test]
fn exchange_holidays_are_not_the_federal_ones() {
    // Columbus Day and Veterans Day are sessions, Good Friday is not; Easter Monday is one again.
    assert_all_regular(&["2026-10-12", "2026-11-11", "2026-04-06"]);
    assert_said(&builtin("XNYS"), &[("2026-04-03", "closed Good Friday")]);
}

#[test]
fn one_off_closures_give_their_reason() {
    let rows = [
        ("1994-04-27", "closed National Day of Mourning for Richard Nixon"),
        ("2001-09-10", "09:30-16:00"),
        ("2001-09-11", "closed attacks of September 11"),
        ("2001-09-14", "closed attacks of September 11"),
        ("2001-09-17", "09:30-16:00"),
        ("2002-09-11", "12:00-16:00 late open: first anniversary of September 11"),
        ("2012-10-30", "closed Hurricane Sandy"),
        ("2018-12-05", "closed National Day of Mourning for George H. W. Bush"),
        ("2025-01-09", "closed National Day of Mourning for Jimmy Carter"),
    ];
    assert_said(&builtin("XNYS"), &rows);
    assert!(!builtin("XNYS").session(date("2002-09-11")).expect("in range").expect("a session").is_early_close());
}

#[test]
fn years_with_a_single_half_day() {
    let nyse = builtin("XNYS");
    let halves = |year: i32| {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
        let days = first.iter_days().take_while(|day| day.year() == year);
        days.filter(|day| nyse.session(*day).expect("in range").is_some_and(|session| session.is_early_close())).count()
    };
    let single: Vec<i32> = (2022..=2035).filter(|year| halves(*year) == 1).collect();
    assert_eq!(single, [2022, 2027, 2032, 2033]);
}

#[test]
fn answers_after_the_published_horizon_are_projected() {
    let nyse = builtin("XNYS");
    let basis = |day| nyse.day(date(day)).expect("in range").basis;
    assert_eq!(nyse.published_to(), date("2028-12-31"));
    assert_eq!([basis("1990-01-01"), basis("2028-12-25"), basis("2028-12-31")], [Basis::Published; 3]);
    assert_eq!([basis("2029-01-01"), basis("2029-01-02"), basis("2029-01-06")], [Basis::Projected; 3]);
}

#[test]
fn outside_of_the_data_there_is_an_error_and_no_guess() {
    let nyse = builtin("XNYS");
    for day in ["1989-12-31", "2036-01-01"].map(date) {
        let error = nyse.is_session(day).expect_err("out of range");
        assert_eq!((error.from, error.to, error.date), (date("1990-01-01"), date("2035-12-31"), day));
        assert_eq!(nyse.day(day).expect_err("out of range"), error);
        assert_eq!(nyse.session(day).expect_err("out of range"), error);
    }
    assert!(nyse.next_open("2035-12-31T22:00:00Z".parse().expect("an instant")).is_err());
}

#[test]
fn always_is_every_day_from_midnight_to_midnight_utc() {
    let always = builtin("always");
    for day in ["1970-01-01", "2026-07-04", "2026-12-25", "2199-12-31"] {
        let session = always.session(date(day)).expect("in range").expect("a session");
        assert_eq!(session.open, date(day).and_time(chrono::NaiveTime::MIN).and_utc());
        assert_eq!(session.close - session.open, chrono::TimeDelta::hours(24));
        assert!(!session.is_early_close());
    }
    assert_eq!(always.regular_hours(date("2026-07-04")), (TimeOfDay::MIDNIGHT, TimeOfDay::DAY_END));
}

#[test]
fn weekdays_knows_no_holidays() {
    let weekdays = builtin("weekdays");
    let rows = [("2026-12-25", "00:00-00:00"), ("2026-12-26", "closed weekend"), ("2026-12-28", "00:00-00:00")];
    assert_said(&weekdays, &rows);
}

#[test]
fn a_day_that_the_clocks_change_still_ends_at_the_next_midnight() {
    let desk =
        Calendar::plain("DESK", New_York, TimeOfDay::MIDNIGHT, TimeOfDay::DAY_END, &[Weekday::Sun]).expect("valid");
    let hours =
        |day| desk.session(date(day)).expect("in range").map(|session| (session.close - session.open).num_hours());
    assert_eq!([hours("2026-03-08"), hours("2026-11-01"), hours("2026-11-08")], [Some(23), Some(25), Some(24)]);
    assert_said(&desk, &[("2026-11-02", "closed not a trading weekday"), ("2026-11-07", "closed weekend")]);
}

#[test]
fn an_override_wins_over_everything_built_in() {
    let words = [
        word("2027-01-11", None),
        word("2027-01-12", Some((None, Some("12:30")))),
        word("2027-01-13", Some((Some("11:00"), None))),
        word("2027-01-16", Some((Some("10:00"), Some("15:00")))), // a Saturday
        word("2027-01-18", Some((Some("09:30"), Some("13:00")))), // Martin Luther King Jr. Day
        word("2026-11-27", Some((None, Some("16:00")))),
    ];
    let nyse = builtin("XNYS").with_overrides(&words).expect("valid");
    let rows = [
        ("2027-01-11", "closed override: snow"),
        ("2027-01-12", "09:30-12:30 override: snow"),
        ("2027-01-13", "11:00-16:00 override: snow"),
        ("2027-01-16", "10:00-15:00 override: snow"),
        ("2027-01-18", "09:30-13:00 override: snow"),
        ("2026-11-27", "09:30-16:00 override: snow"),
        ("2027-01-14", "09:30-16:00"),
    ];
    assert_said(&nyse, &rows);
    assert_eq!(nyse.day(date("2027-01-11")).expect("in range").basis, Basis::Override);
    let early = |day| nyse.session(date(day)).expect("in range").expect("a session").is_early_close();
    assert_eq!([early("2027-01-12"), early("2027-01-13"), early("2026-11-27")], [true, false, false]);
    assert_eq!(said(&builtin("XNYS"), "2027-01-11"), "09:30-16:00", "the calendar without overrides stays as it was");
}

#[test]
fn a_late_open_by_override_leaves_the_early_close_of_its_date() {
    let nyse = builtin("XNYS").with_overrides(&[word("2026-11-27", Some((Some("10:30"), None)))]).expect("valid");
    assert_said(&nyse, &[("2026-11-27", "10:30-13:00 override: snow")]);
}

#[test]
fn all_faults_of_overrides_are_reported_at_once() {
    let both = Override { closed: true, ..word("2027-01-04", Some((None, Some("13:00")))) };
    let neither = Override { closed: false, ..word("2027-01-05", None) };
    let mute = Override { reason: " ".into(), ..word("2027-01-08", None) };
    let words = [
        both,
        neither,
        word("2027-01-06", Some((Some("16:00"), None))),
        word("2036-01-07", None),
        mute,
        word("2027-01-11", None),
        word("2027-01-11", None), // the same again says nothing new
        word("2027-01-11", Some((None, Some("13:00")))),
        word("2027-01-12", Some((Some("12:00"), Some("11:00")))),
        word("2027-01-16", Some((None, Some("13:00")))), // a Saturday: was the Friday meant?
        word("2027-01-18", Some((Some("11:00"), None))), // Martin Luther King Jr. Day
    ];
    let faults = builtin("XNYS").with_overrides(&words).expect_err("faults");
    let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "[0].closed",
        "[1].closed",
        "[2].open",
        "[3].date",
        "[4].reason",
        "[7].date",
        "[8].open",
        "[9].date",
        "[10].date",
    ];
    assert_eq!(keys, expected.map(|key| format!("override{key}")), "{faults:#?}");
    let trap = "there is no session on this Saturday (weekend): correct the date, or give both `open` and `close` for a special session";
    assert_eq!(faults.0[7].message, format!("2027-01-16: {trap}"));
    assert_eq!(
        faults.0[2].to_string(),
        "override[2].open: 2027-01-06: the open, 16:00, is not before the close, 16:00"
    );
}

#[test]
fn an_early_close_applies_under_own_hours_where_it_is_earlier() {
    let own = |open, close| OwnHours { open: Some(time(open)), close: Some(time(close)), ..OwnHours::default() };
    let late = builtin("XNYS").with_hours("DESK", own("08:00", "17:00"), None).expect("valid");
    let rows = [
        ("2026-11-25", "08:00-17:00"),
        ("2026-11-26", "closed Thanksgiving"),
        ("2026-11-27", "08:00-13:00 early close: day after Thanksgiving"),
        ("2002-09-11", "12:00-17:00 late open: first anniversary of September 11"),
    ];
    assert_said(&late, &rows);
    assert_eq!((late.id(), late.regular_hours(date("2026-11-27"))), ("DESK", (time("08:00"), time("17:00"))));

    let short = builtin("XNYS").with_hours("DESK", own("09:30", "12:00"), None).expect("valid");
    let session = short.session(date("2026-11-27")).expect("in range").expect("a session");
    assert!(!session.is_early_close(), "it closes when it always does");
    assert_eq!(session.postmarket.to_rfc3339(), "2026-11-27T22:00:00+00:00", "the exchange closes early all the same");
}

#[test]
fn own_hours_after_an_early_close_leave_no_session_and_say_so() {
    let own = OwnHours { open: Some(time("13:00")), ..OwnHours::default() };
    let desk = builtin("XNYS").with_hours("DESK", own, None).expect("valid");
    let rows = [
        ("2026-11-25", "13:00-16:00"),
        ("2026-11-27", "closed no time is left in the hours of DESK (early close: day after Thanksgiving)"),
    ];
    assert_said(&desk, &rows);
    assert_eq!(desk.is_session(date("2026-11-27")), Ok(false));
}

#[test]
fn own_hours_in_another_zone_are_cut_by_the_instant_of_the_early_close() {
    let own =
        OwnHours { timezone: Some(London), open: Some(time("14:30")), close: Some(time("20:30")), weekdays: None };
    let desk = builtin("XNYS").with_hours("DESK", own, None).expect("valid");
    assert_eq!(desk.zone(), London);
    let rows = [("2026-11-25", "14:30-20:30"), ("2026-11-27", "14:30-18:00 early close: day after Thanksgiving")];
    assert_said(&desk, &rows);
}

#[test]
fn own_hours_never_put_the_pre_market_after_the_open_nor_the_post_market_before_the_close() {
    let own = OwnHours { open: Some(time("03:00")), close: Some(TimeOfDay::MIDNIGHT), ..OwnHours::default() };
    let desk = builtin("XNYS").with_hours("DESK", own, None).expect("valid");
    let session = desk.session(date("2026-11-25")).expect("in range").expect("a session");
    assert_eq!((session.premarket, session.postmarket), (session.open, session.close));
    assert_eq!(session.close.to_rfc3339(), "2026-11-26T05:00:00+00:00");
}

#[test]
fn a_zone_with_another_offset_needs_open_and_close_too() {
    let in_zone = |zone, open: Option<&str>, close: Option<&str>| {
        let own = OwnHours { timezone: Some(zone), open: open.map(time), close: close.map(time), weekdays: None };
        builtin("XNYS").with_hours("DESK", own, None)
    };
    for (open, close) in [(None, None), (Some("08:30"), None), (None, Some("15:00"))] {
        let fault = in_zone(Chicago, open, close).expect_err("another offset");
        assert_eq!(fault.key, "timezone");
        assert!(fault.message.contains("give `open` and `close` in America/Chicago too"), "{fault}");
    }
    assert!(in_zone(Denver, Some("07:30"), Some("14:00")).is_ok());
    assert!(in_zone(New_York, None, None).is_ok());
    let eastern = in_zone(Eastern, None, Some("15:00")).expect("the same offset");
    assert_said(&eastern, &[("2026-11-25", "09:30-15:00")]);
}

#[test]
fn own_weekdays_narrow_the_trading_week() {
    let only = |days: &[Weekday]| OwnHours { weekdays: Some(set_of(days)), ..OwnHours::default() };
    let nyse =
        builtin("XNYS").with_overrides(&[word("2027-01-16", Some((Some("09:30"), Some("13:00"))))]).expect("valid");
    let desk = nyse.with_hours("DESK", only(&[Weekday::Mon, Weekday::Fri]), None).expect("valid");
    let rows = [
        ("2026-11-23", "09:30-16:00"),
        ("2026-11-24", "closed not a trading weekday"),
        ("2026-11-26", "closed not a trading weekday"),
        ("2026-11-27", "09:30-13:00 early close: day after Thanksgiving"),
        ("2027-01-16", "closed weekend"),
    ];
    assert_said(&desk, &rows);
    assert_eq!(nyse.with_hours("DESK", only(&[Weekday::Sun]), None).expect_err("no day is left").key, "weekdays");
}

#[test]
fn hours_that_are_not_your_own_stay_as_the_exchange_or_an_override_says() {
    let longer = word("2026-11-24", Some((Some("08:00"), Some("17:00"))));
    let nyse = builtin("XNYS").with_overrides(&[longer]).expect("valid");
    let hours = |open: Option<&str>, close: Option<&str>| OwnHours {
        open: open.map(time),
        close: close.map(time),
        ..OwnHours::default()
    };
    let rows = [
        (hours(None, None), "08:00-17:00 override: snow"),
        (hours(Some("09:00"), None), "09:00-17:00 override: snow"),
        (hours(None, Some("15:00")), "08:00-15:00 override: snow"),
    ];
    for (own, expected) in rows {
        assert_said(&nyse.with_hours("DESK", own, None).expect("valid"), &[("2026-11-24", expected)]);
    }
}

#[test]
fn overrides_of_own_hours_are_exact() {
    let own = OwnHours { close: Some(time("15:00")), ..OwnHours::default() };
    let desk = builtin("XNYS").with_hours("DESK", own, None).expect("valid");
    let desk = desk.with_overrides(&[word("2026-11-24", Some((None, Some("17:00"))))]).expect("valid");
    assert_said(&desk, &[("2026-11-24", "09:30-17:00 override: snow"), ("2026-11-25", "09:30-15:00")]);
}

#[test]
fn whatever_is_laid_over_a_calendar_its_answers_agree_and_its_instants_are_in_order() {
    let nyse = builtin("XNYS");
    let words = [word("2027-01-11", None), word("2027-01-16", Some((Some("02:30"), Some("23:59"))))];
    let overridden = nyse.with_overrides(&words).expect("valid");
    let own =
        |timezone, open, close| OwnHours { timezone, open: Some(time(open)), close: Some(time(close)), weekdays: None };
    let wide = nyse.with_hours("WIDE", own(None, "00:30", "23:30"), None).expect("valid");
    let noon = overridden.with_hours("NOON", own(Some(London), "17:00", "19:00"), None).expect("valid");
    let far = overridden.with_hours("FAR", own(Some(chrono_tz::Asia::Tokyo), "02:30", "05:00"), None).expect("valid");
    for calendar in [&nyse, &overridden, &wide, &noon, &far] {
        for date in calendar.range().start().iter_days().take_while(|date| date <= calendar.range().end()) {
            let day = calendar.day(date).expect("in range");
            assert_eq!(calendar.is_session(date), Ok(day.session.is_some()), "{date}");
            assert_eq!(calendar.session(date), Ok(day.session.clone()), "{date}");
            let Some(session) = day.session else {
                assert!(!day.reason.is_empty(), "{date} is closed without a reason");
                continue;
            };
            let in_order = session.premarket <= session.open
                && session.open < session.close
                && session.close <= session.postmarket
                && session.date == date;
            assert!(in_order, "{}: {session:?}", calendar.id());
        }
    }
}

#[test]
fn own_hours_that_end_before_they_begin_are_a_fault() {
    let own = |open: Option<&str>, close: Option<&str>| OwnHours {
        open: open.map(time),
        close: close.map(time),
        ..OwnHours::default()
    };
    for (hours, key) in [(own(Some("16:00"), None), "open"), (own(None, Some("09:30")), "close")] {
        assert_eq!(builtin("XNYS").with_hours("DESK", hours, None).expect_err("empty").key, key);
    }
}

#[test]
fn phases_follow_the_session_of_the_trading_date() {
    let nyse = builtin("XNYS");
    let friday = Some(date("2026-11-27"));
    let rows = [
        ("2026-11-27T08:59:59Z", Phase::Closed, None),
        ("2026-11-27T09:00:00Z", Phase::Pre, friday),
        ("2026-11-27T14:30:00Z", Phase::Open, friday),
        ("2026-11-27T18:00:00Z", Phase::Post, friday),
        ("2026-11-27T22:00:00Z", Phase::Closed, None),
        ("2026-11-26T16:00:00Z", Phase::Closed, None),
        // The evening's post-market of a winter day goes on after midnight UTC, on the same trading date.
        ("2026-11-26T00:59:59Z", Phase::Post, Some(date("2026-11-25"))),
    ];
    for (at, phase, trading_date) in rows {
        assert_eq!(nyse.phase_at(at.parse().expect("an instant")), Ok((phase, trading_date)), "{at}");
    }
}

#[test]
fn the_next_open_and_close_skip_closed_days_and_never_are_now() {
    let nyse = builtin("XNYS");
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
    let open = |now| nyse.next_open(at(now)).expect("in range").open;
    let close = |now| nyse.next_close(at(now)).expect("in range").close;
    assert_eq!(open("2026-11-25T14:29:59Z"), at("2026-11-25T14:30:00Z"));
    assert_eq!(open("2026-11-25T14:30:00Z"), at("2026-11-27T14:30:00Z"));
    assert_eq!(close("2026-11-27T17:59:59Z"), at("2026-11-27T18:00:00Z"));
    assert_eq!(close("2026-11-27T18:00:00Z"), at("2026-11-30T21:00:00Z"));
}
