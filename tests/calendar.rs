//! The built-in calendars against facts from elsewhere, on every civil day; against the rules page of NYSE where no facts exist; around
//! the changes of the clocks; and their own consistency over decades.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc, Weekday};
use mho::cli::calendar::{CalendarArgs, Format, run};
use mho::domain::calendar::{Calendar, OutOfRange, Phase, Session};
use proptest::prelude::*;

/// Id and facts: a comment line with the source, a header, then `date,is_session,open_utc,close_utc,is_early_close`.
const FACTS: [(&str, &str); 8] = [
    ("XNYS", include_str!("data/xnys-sessions.csv")),
    ("XLON", include_str!("data/xlon-sessions.csv")),
    ("XTSE", include_str!("data/xtse-sessions.csv")),
    ("XETR", include_str!("data/xetr-sessions.csv")),
    ("XPAR", include_str!("data/xpar-sessions.csv")),
    ("XTKS", include_str!("data/xtks-sessions.csv")),
    ("XHKG", include_str!("data/xhkg-sessions.csv")),
    ("XASX", include_str!("data/xasx-sessions.csv")),
];

/// Where the facts are wrong: calendar, what they say, what is so, and who proves it.
const CORRECTIONS: [(&str, &str, &str, &str); 6] = [
    (
        "XNYS",
        "2002-09-11,1,2002-09-11T13:30:00Z,2002-09-11T20:00:00Z,0",
        "2002-09-11,1,2002-09-11T16:00:00Z,2002-09-11T20:00:00Z,0",
        "announced by the exchange weeks ahead: open at noon on the first anniversary",
    ),
    (
        "XHKG",
        "2011-02-02,1,2011-02-02T02:00:00Z,2011-02-02T08:00:00Z,0",
        "2011-02-02,1,2011-02-02T02:00:00Z,2011-02-02T04:30:00Z,1",
        "HKEx trading calendar 2011: half day on the eve of Lunar New Year",
    ),
    (
        "XHKG",
        "2020-08-19,1,2020-08-19T01:30:00Z,2020-08-19T08:00:00Z,0",
        "2020-08-19,1,2020-08-19T05:30:00Z,2020-08-19T08:00:00Z,0",
        "HKEX: no morning session, Typhoon Higos",
    ),
    (
        "XHKG",
        "2021-06-28,1,2021-06-28T01:30:00Z,2021-06-28T08:00:00Z,0",
        "2021-06-28,1,2021-06-28T05:30:00Z,2021-06-28T08:00:00Z,0",
        "HKEX: no morning session, black rainstorm",
    ),
    (
        "XASX",
        "2023-12-22,1,2023-12-21T23:00:00Z,2023-12-22T03:10:00Z,1",
        "2023-12-22,1,2023-12-21T23:00:00Z,2023-12-22T05:00:00Z,0",
        "ASX trading calendar 2023: OPEN, without an early close",
    ),
    (
        "XASX",
        "2023-12-29,1,2023-12-28T23:00:00Z,2023-12-29T03:10:00Z,1",
        "2023-12-29,1,2023-12-28T23:00:00Z,2023-12-29T05:00:00Z,0",
        "ASX trading calendar 2023: OPEN, without an early close",
    ),
];

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn builtin(id: &str) -> Calendar {
    Calendar::builtin(id).expect("a built-in calendar")
}

/// What the program itself prints, without its header.
fn csv(id: &str, from: &str, to: &str) -> Vec<String> {
    let args =
        CalendarArgs { from: Some(date(from)), to: Some(date(to)), format: Format::Csv, ..CalendarArgs::default() };
    let mut out = Vec::new();
    run(&args, &builtin(id), date(from).and_time(chrono::NaiveTime::MIN).and_utc(), &mut out).expect("printed");
    String::from_utf8(out).expect("text").lines().skip(1).map(ToOwned::to_owned).collect()
}

#[test]
fn every_day_of_every_exchange_is_as_the_facts_say() {
    let mut used = 0;
    for (id, facts) in FACTS {
        let facts: Vec<&str> = facts.lines().skip(2).collect();
        let (first, last) = (&facts[0][..10], &facts[facts.len() - 1][..10]);
        assert!(facts.len() == 9862 || facts.len() == 7305, "{id}: {} days", facts.len());
        let said = csv(id, first, last);
        assert_eq!(said.len(), facts.len());
        let mut wrong = Vec::new();
        for (fact, said) in facts.iter().zip(&said) {
            let fields: Vec<&str> = said.splitn(6, ',').collect();
            let (said, reason) = (fields[..5].join(","), fields[5]);
            let correction = CORRECTIONS.iter().find(|(of, theirs, ..)| *of == id && theirs == fact);
            used += usize::from(correction.is_some());
            let expected = correction.map_or(*fact, |(_, _, ours, _)| *ours);
            if said != expected {
                wrong.push(format!("{said} ({reason}), expected {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{id}: {} days differ:\n{}", wrong.len(), wrong.join("\n"));
    }
    assert_eq!(used, CORRECTIONS.len(), "every correction is of a fact that is there");
}

#[test]
fn every_closed_day_and_every_half_day_has_a_reason_and_no_regular_day_has_one() {
    for (id, from, to) in [
        ("XNYS", "1990-01-01", "2035-12-31"),
        ("XLON", "2005-01-01", "2044-12-31"),
        ("XTKS", "2005-01-01", "2035-12-31"),
        ("CMES", "2016-01-01", "2044-12-31"),
    ] {
        for line in csv(id, from, to) {
            let fields: Vec<&str> = line.splitn(6, ',').collect();
            let is_regular = fields[1] == "1" && fields[4] == "0" && fields[0] != "2002-09-11";
            assert_eq!(fields[5].is_empty(), is_regular, "{id} {line}");
        }
    }
}

/// The closed days and half days of one year, by the rules page of the New York Stock Exchange, worked out here and in another way than
/// the program does it.
fn nyse_by_the_rules_page(year: i32) -> BTreeMap<NaiveDate, &'static str> {
    let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).expect("a date");
    let nth = |month, weekday, nth| NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth).expect("a date");
    let last_monday_of_may = (25..=31).map(|d| day(5, d)).find(|d| d.weekday() == Weekday::Mon).expect("one");
    let mut special = BTreeMap::new();
    let mut closed = |date: NaiveDate| special.insert(date, "closed");
    let to_weekday = |date: NaiveDate| match date.weekday() {
        Weekday::Sat => date - TimeDelta::days(1),
        Weekday::Sun => date + TimeDelta::days(1),
        _ => date,
    };
    match day(1, 1).weekday() {
        Weekday::Sat => None,
        _ => closed(to_weekday(day(1, 1))),
    };
    if year >= 1998 {
        closed(nth(1, Weekday::Mon, 3));
    }
    closed(nth(2, Weekday::Mon, 3));
    closed(good_friday(year));
    closed(last_monday_of_may);
    if year >= 2022 {
        closed(to_weekday(day(6, 19)));
    }
    closed(to_weekday(day(7, 4)));
    closed(nth(9, Weekday::Mon, 1));
    closed(nth(11, Weekday::Thu, 4));
    closed(to_weekday(day(12, 25)));
    let half = if year <= 1992 { "14:00" } else { "13:00" };
    let mut halves = Vec::new();
    if year >= 1992 {
        halves.push(nth(11, Weekday::Thu, 4) + TimeDelta::days(1));
    }
    if !matches!(day(12, 24).weekday(), Weekday::Fri | Weekday::Sat | Weekday::Sun) {
        halves.push(day(12, 24));
    }
    if year >= 1995 {
        match day(7, 4).weekday() {
            Weekday::Tue | Weekday::Wed | Weekday::Fri => halves.push(day(7, 3)),
            Weekday::Thu if year <= 2012 => halves.push(day(7, 5)),
            Weekday::Thu => halves.push(day(7, 3)),
            Weekday::Mon | Weekday::Sat | Weekday::Sun => {}
        }
    }
    special.extend(halves.into_iter().map(|date| (date, half)));
    special
}

/// Good Friday by the dates of Easter that almanacs print.
fn good_friday(year: i32) -> NaiveDate {
    let easter = [
        "1990-04-15",
        "1991-03-31",
        "1992-04-19",
        "1993-04-11",
        "1994-04-03",
        "1995-04-16",
        "1996-04-07",
        "1997-03-30",
        "1998-04-12",
        "1999-04-04",
        "2027-03-28",
        "2028-04-16",
        "2029-04-01",
        "2030-04-21",
        "2031-04-13",
        "2032-03-28",
        "2033-04-17",
        "2034-04-09",
        "2035-03-25",
    ];
    let sunday = easter.into_iter().map(date).find(|easter| easter.year() == year).expect("a year with an Easter");
    sunday - TimeDelta::days(2)
}

#[test]
fn nyse_of_1990_to_1999_and_2027_to_2035_is_as_its_rules_page_says() {
    let once = [("1994-04-27", "closed"), ("1997-12-26", "13:00"), ("1999-12-31", "13:00")];
    let nyse = builtin("XNYS");
    let mut days = 0;
    for year in (1990..=1999).chain(2027..=2035) {
        let mut special = nyse_by_the_rules_page(year);
        special.extend(once.map(|(day, what)| (date(day), what)).into_iter().filter(|(day, _)| day.year() == year));
        let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
        for day in first.iter_days().take_while(|day| day.year() == year) {
            let is_weekend = matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
            let expected = special.get(&day).copied().unwrap_or(if is_weekend { "closed" } else { "16:00" });
            let local = |at: DateTime<Utc>| at.with_timezone(&nyse.zone()).format("%H:%M").to_string();
            let session = nyse.session(day).expect("in range");
            let said = session.map_or("closed".to_owned(), |session| local(session.close));
            assert_eq!(said, expected, "{day}");
            days += 1;
        }
    }
    assert_eq!(days, 6939);
}

/// Trading date, open, close and zone, in UTC: the sessions around each change of the clocks.
const CHANGES: [(&str, &str, &str, &str); 21] = [
    ("XNYS", "2026-03-06", "2026-03-06T14:30:00Z", "2026-03-06T21:00:00Z"),
    ("XNYS", "2026-03-09", "2026-03-09T13:30:00Z", "2026-03-09T20:00:00Z"),
    ("XNYS", "2026-10-30", "2026-10-30T13:30:00Z", "2026-10-30T20:00:00Z"),
    ("XNYS", "2026-11-02", "2026-11-02T14:30:00Z", "2026-11-02T21:00:00Z"),
    ("XTSE", "2026-03-09", "2026-03-09T13:30:00Z", "2026-03-09T20:00:00Z"),
    ("XLON", "2026-03-27", "2026-03-27T08:00:00Z", "2026-03-27T16:30:00Z"),
    ("XLON", "2026-03-30", "2026-03-30T07:00:00Z", "2026-03-30T15:30:00Z"),
    ("XLON", "2026-10-26", "2026-10-26T08:00:00Z", "2026-10-26T16:30:00Z"),
    ("XETR", "2026-03-30", "2026-03-30T07:00:00Z", "2026-03-30T15:30:00Z"),
    ("XETR", "2026-10-26", "2026-10-26T08:00:00Z", "2026-10-26T16:30:00Z"),
    ("XPAR", "2026-03-30", "2026-03-30T07:00:00Z", "2026-03-30T15:30:00Z"),
    // The south: summer time ends in April and begins in October.
    ("XASX", "2026-04-02", "2026-04-01T23:00:00Z", "2026-04-02T05:00:00Z"),
    ("XASX", "2026-04-07", "2026-04-07T00:00:00Z", "2026-04-07T06:00:00Z"),
    ("XASX", "2026-10-06", "2026-10-05T23:00:00Z", "2026-10-06T05:00:00Z"),
    // No summer time.
    ("XTKS", "2026-03-30", "2026-03-30T00:00:00Z", "2026-03-30T06:30:00Z"),
    ("XHKG", "2026-03-30", "2026-03-30T01:30:00Z", "2026-03-30T08:00:00Z"),
    // Sessions that open on the evening before: the Sunday of the change itself.
    ("CMES", "2026-03-09", "2026-03-08T22:00:00Z", "2026-03-09T21:00:00Z"),
    ("CMES", "2026-11-02", "2026-11-01T23:00:00Z", "2026-11-02T22:00:00Z"),
    ("FX", "2026-03-06", "2026-03-05T22:00:00Z", "2026-03-06T22:00:00Z"),
    ("FX", "2026-03-09", "2026-03-08T21:00:00Z", "2026-03-09T21:00:00Z"),
    ("FX", "2026-11-02", "2026-11-01T22:00:00Z", "2026-11-02T22:00:00Z"),
];

#[test]
fn sessions_around_the_changes_of_the_clocks_are_right_in_every_zone() {
    for (id, day, open, close) in CHANGES {
        let session = builtin(id).session(date(day)).expect("in range").expect("a session");
        let said = [session.open, session.close].map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        assert_eq!(said, [open, close], "{id} {day}");
    }
}

#[test]
fn a_lunch_break_has_a_phase_of_its_own_and_half_days_have_none() {
    let phase = |id: &str, at: &str| builtin(id).phase_at(at.parse().expect("an instant")).expect("in range").0;
    let rows = [
        ("XTKS", "2026-11-27T02:29:59.999999999Z", Phase::Open), // 11:30 in Tokyo
        ("XTKS", "2026-11-27T02:30:00Z", Phase::Break),
        ("XTKS", "2026-11-27T03:30:00Z", Phase::Open),
        ("XTKS", "2026-11-27T06:29:59Z", Phase::Open),
        ("XTKS", "2026-11-27T06:30:00Z", Phase::Closed),
        ("XTKS", "2010-11-26T02:00:00Z", Phase::Break), // 11:00, as it was until 2011
        ("XHKG", "2026-11-27T04:30:00Z", Phase::Break),
        ("XHKG", "2026-12-24T03:59:59Z", Phase::Open),
        ("XHKG", "2026-12-24T04:00:00Z", Phase::Closed), // noon of Christmas Eve
        ("CMES", "2021-06-25T20:20:00Z", Phase::Break),  // the halt at 15:15 that there was
        ("CMES", "2021-06-28T20:20:00Z", Phase::Open),
        ("CMES", "2026-11-24T22:30:00Z", Phase::Closed), // 16:30 in Chicago
        ("CMES", "2026-11-24T23:00:00Z", Phase::Open),
    ];
    for (id, at, expected) in rows {
        assert_eq!(phase(id, at), expected, "{id} {at}");
    }
}

/// All boundaries of a session, and the instants one nanosecond beside them.
fn around(session: &Session) -> Vec<DateTime<Utc>> {
    let pause = session.pause.map(|(from, to)| [from, to]).into_iter().flatten();
    let all = [session.premarket, session.open, session.close, session.postmarket].into_iter().chain(pause);
    all.flat_map(|at| [at - TimeDelta::nanoseconds(1), at, at + TimeDelta::nanoseconds(1)]).collect()
}

/// What the phase must be, straight from the list of sessions: the plain and slow way.
fn phase_by_hand(sessions: &[Session], at: DateTime<Utc>) -> (Phase, Option<NaiveDate>) {
    let regular = sessions.iter().find(|s| s.open <= at && at < s.close);
    if let Some(session) = regular {
        let is_break = session.pause.is_some_and(|(from, to)| from <= at && at < to);
        return (if is_break { Phase::Break } else { Phase::Open }, Some(session.date));
    }
    let pre = sessions.iter().find(|s| s.premarket <= at && at < s.open).map(|s| (Phase::Pre, s.date));
    let post = sessions.iter().find(|s| s.close <= at && at < s.postmarket).map(|s| (Phase::Post, s.date));
    pre.or(post).map_or((Phase::Closed, None), |(phase, date)| (phase, Some(date)))
}

/// `next_open`, `next_close`, `phase_at` and `trading_date` at an instant, against the list of sessions.
fn assert_consistent(calendar: &Calendar, sessions: &[Session], at: DateTime<Utc>) -> Result<(), OutOfRange> {
    let id = calendar.id();
    let next_open = sessions.iter().find(|s| s.open > at).expect("a later session");
    let next_close = sessions.iter().find(|s| s.close > at).expect("a later session");
    assert_eq!(calendar.next_open(at)?, *next_open, "{id} {at}");
    assert_eq!(calendar.next_close(at)?, *next_close, "{id} {at}");
    let (phase, date) = calendar.phase_at(at)?;
    assert_eq!((phase, date), phase_by_hand(sessions, at), "{id} {at}");
    // In the regular session the next close is its own; outside of it the next open comes before the next close.
    if matches!(phase, Phase::Open | Phase::Break) {
        assert_eq!(Some(next_close.date), date, "{id} {at}");
    } else {
        assert_eq!(next_open.date, next_close.date, "{id} {at}");
    }
    assert_eq!(calendar.trading_date(at)?, date.unwrap_or(next_open.date), "{id} {at}");
    Ok(())
}

#[test]
fn sessions_are_in_order_and_answers_are_consistent_one_nanosecond_beside_every_boundary_of_40_years() {
    for id in ["XNYS", "XLON", "XTSE", "XETR", "XPAR", "XTKS", "XHKG", "XASX", "CMES", "FX"] {
        let calendar = builtin(id);
        let sessions: Vec<Session> = calendar.sessions(..).collect();
        for session in &sessions {
            let (from, to) = session.pause.unwrap_or((session.open, session.open));
            let marks = [session.premarket, session.open, from, to, session.close, session.postmarket];
            assert!(marks.is_sorted() && session.open < session.close, "{id} {session:?}");
            assert!(session.close <= session.regular_close, "{id} {session:?}");
            assert!(calendar.is_session(session.date).expect("in range"));
        }
        for pair in sessions.windows(2) {
            let (one, next) = (&pair[0], &pair[1]);
            assert!(
                one.date < next.date && one.close <= next.open && one.postmarket <= next.premarket,
                "{id} {pair:?}"
            );
        }
        // Around every boundary, seen from a small list about it; the first and the last sessions have no neighbours.
        for near in sessions.windows(7) {
            for at in around(&near[3]) {
                assert_consistent(&calendar, near, at).expect("in range");
            }
        }
    }
}

proptest! {
    #[test]
    fn answers_are_consistent_at_any_instant_of_any_calendar(
        id in prop::sample::select(vec!["XNYS", "XLON", "XTKS", "XHKG", "CMES", "FX", "always", "weekdays"]),
        seconds in 0_i64..17 * 365 * 86_400,
        nanos in 0_u32..1_000_000_000,
    ) {
        let calendar = builtin(id);
        let start = date("2016-02-01").and_time(chrono::NaiveTime::MIN).and_utc();
        let at = start + TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanos.into());
        let day = at.date_naive();
        let sessions: Vec<Session> = calendar.sessions(day - TimeDelta::days(12)..=day + TimeDelta::days(20)).collect();
        assert_consistent(&calendar, &sessions, at).expect("in range");
    }

    #[test]
    fn a_file_with_any_hours_keeps_its_sessions_in_order(
        open in -86_400_i32..86_000,
        length in 60_i32..86_400,
        zone in prop::sample::select(vec!["America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo"]),
    ) {
        let time = |seconds: i32| {
            let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
            let day = if day == 0 { String::new() } else { format!(" {day:+}d") };
            format!("{:02}:{:02}:{:02}{day}", of_day / 3600, of_day / 60 % 60, of_day % 60)
        };
        let text = format!(
            "name = \"x\"\ntimezone = \"{zone}\"\nfrom = 2020-01-01\nto = 2021-12-31\nweekdays = [\"mon\", \"tue\", \"wed\", \"sat\", \"sun\"]\n\
             hours = {{ open = \"{}\", close = \"{}\" }}\n",
            time(open), time(open + length)
        );
        let calendar = Calendar::parse("x", &text).expect("valid");
        let sessions: Vec<Session> = calendar.sessions(..).collect();
        prop_assert!(sessions.windows(2).all(|pair| pair[0].close <= pair[1].open));
        for near in sessions.windows(7).step_by(11) {
            for at in around(&near[3]) {
                assert_consistent(&calendar, near, at).expect("in range");
            }
        }
    }
}
