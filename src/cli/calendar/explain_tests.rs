use super::*;
use crate::domain::calendar::{Origin, Override};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn explained(id: &str, date: &str, now: &str, words: &[Override]) -> (String, Value) {
    let plain = Calendar::builtin(id).expect("a built-in calendar");
    let calendar = plain.with_overrides(words).expect("sound");
    let date = date.parse().expect("a date");
    let shown = Shown { calendar: &calendar, plain: &plain, now: at(now) };
    let explained = Explained::of(&shown, date).expect("in range");
    (explained.text(), explained.json())
}

fn text(id: &str, date: &str, now: &str) -> String {
    explained(id, date, now, &[]).0
}

/// What stands below the head: one line, unless that is too long.
fn answer(id: &str, date: &str, now: &str) -> String {
    text(id, date, now).lines().skip(1).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Files of calendars grow: the number of a line is nothing to compare.
fn without_lines(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(", line ") {
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    out
}

fn word(date: &str, close: Option<&str>) -> Override {
    Override {
        date: date.parse().expect("a date"),
        closed: close.is_none(),
        open: None,
        close: close.map(|close| close.parse().expect("a time")),
        reason: "snow".into(),
        origin: Some(Origin { file: "calendar-overrides.toml".into(), line: 3, source: None }),
    }
}

const NOON: &str = "2026-11-25T17:00:00Z";

#[test]
fn a_half_day_is_told_with_all_its_instants_and_the_line_that_says_so() {
    let expected = "\
XNYS, New York Stock Exchange: Friday 2026-11-27
will be open from 09:30 EST to 13:00 EST; early close: day after Thanksgiving

  pre-market   04:00 EST   2026-11-27 09:00 UTC
  open         09:30 EST   2026-11-27 14:30 UTC
  close        13:00 EST   2026-11-27 18:00 UTC
  post until   17:00 EST   2026-11-27 22:00 UTC
  regular      09:30-16:00 on other days

  reason       early close: day after Thanksgiving
  basis        published: the exchange's days are known up to 2028-12-31
  stands in    config/calendars/xnys.toml (built in), line 
  next session Mon 2026-11-30, 09:30-16:00
";
    assert_eq!(without_lines(&text("XNYS", "2026-11-27", NOON)), expected);
}

#[test]
fn an_override_is_told_with_what_would_be_without_it() {
    let (text, json) = explained("XNYS", "2026-11-27", NOON, &[word("2026-11-27", None)]);
    let expected = "\
XNYS, New York Stock Exchange: Friday 2026-11-27
will be closed: override: snow

  reason       override: snow
  basis        override: you have said so; it wins over everything built in
  stands in    calendar-overrides.toml, line 
  without it   09:30-13:00, early close: day after Thanksgiving (published,
               config/calendars/xnys.toml (built in), line )
  next session Mon 2026-11-30, 09:30-16:00
";
    assert_eq!(without_lines(&text), expected);
    let without = &json["without_override"];
    assert_eq!((&json["basis"], &json["line"], &json["source"]), (&json!("override"), &json!(3), &Value::Null));
    assert_eq!((&without["close"], &without["kind"]), (&json!("2026-11-27T13:00:00-05:00"), &json!("early_close")));
    assert_eq!(explained("XNYS", "2026-11-27", NOON, &[]).1["without_override"], Value::Null);
}

#[test]
fn a_session_that_opens_on_the_evening_before_is_told_with_both_dates() {
    let expected = "\
CMES, CME Globex, equity index futures: Monday 2026-11-23
open until 16:00 CST

  open         17:00 CST on Sun 2026-11-22   2026-11-22 23:00 UTC
  close        16:00 CST                     2026-11-23 22:00 UTC

  basis        published: the exchange's days are known up to 2027-12-31
  stands in    config/calendars/cmes.toml (built in), line 
  next session Tue 2026-11-24, 17:00 -1d to 16:00
";
    let sunday_evening = "2026-11-22T23:30:00Z";
    assert_eq!(without_lines(&text("CMES", "2026-11-23", sunday_evening)), expected);
    assert_eq!(date_of(&Calendar::builtin("CMES").expect("built in"), at(sunday_evening)).to_string(), "2026-11-23");
    let (text, json) = explained("CMES", "2026-11-22", sunday_evening, &[]);
    assert!(
        text.contains("\nweekend\n")
            && text.contains("  now          open: the session of Mon 2026-11-23, until 16:00"),
        "{text}"
    );
    assert_eq!(
        (&json["standing"], &json["phase"], &json["phase_date"]),
        (&json!("weekend"), &json!("open"), &json!("2026-11-23"))
    );
}

#[test]
fn a_projected_day_says_from_where_on_it_is_projected() {
    let expected = "\
XHKG, Stock Exchange of Hong Kong: Monday 2029-02-12
will be open from 09:30 HKT to 12:00 HKT; early close: Lunar New Year's Eve

  open         09:30 HKT   2029-02-12 01:30 UTC
  close        12:00 HKT   2029-02-12 04:00 UTC
  regular      09:30-16:00 on other days

  reason       early close: Lunar New Year's Eve
  basis        projected: the exchange's published days end on 2027-12-31
  stands in    config/calendars/xhkg.toml (built in), line 
";
    let text = without_lines(&text("XHKG", "2029-02-12", NOON));
    assert!(text.starts_with(expected) && text.contains("\n  source       Rules of the Exchange"), "{text}");
}

#[test]
fn each_way_of_being_open_or_not_is_another_answer() {
    let rows = [
        ("XNYS", "2026-11-25", "2026-11-25T12:17:00Z", "not yet open: opens at 09:30 EST, in 2h 13m"),
        ("XNYS", "2026-11-25", "2026-11-25T14:29:15Z", "not yet open: opens at 09:30 EST, in 45s"),
        ("XNYS", "2026-11-25", "2026-11-25T14:30:00Z", "open until 16:00 EST"),
        ("XNYS", "2026-11-25", "2026-11-25T21:00:00Z", "closed at 16:00 EST: the session of this date is over"),
        ("XNYS", "2026-11-27", "2026-11-27T15:00:00Z", "open until 13:00 EST; early close: day after Thanksgiving"),
        ("XNYS", "2026-11-27", "2026-11-27T18:00:00Z", "closed early at 13:00 EST: day after Thanksgiving"),
        ("XNYS", "2026-11-26", "2026-11-26T15:00:00Z", "holiday: Thanksgiving"),
        ("XNYS", "2026-11-28", "2026-11-28T15:00:00Z", "weekend"),
        ("XTKS", "2026-11-27", "2026-11-27T03:00:00Z", "lunch break until 12:30 JST"),
        ("always", "2026-11-28", "2026-11-28T15:00:00Z", "open until 24:00 UTC"),
        // Other days.
        ("XNYS", "2026-11-30", NOON, "will be open from 09:30 EST to 16:00 EST"),
        ("XNYS", "2026-11-26", NOON, "will be a holiday: Thanksgiving"),
        ("XNYS", "2026-11-28", NOON, "will be a weekend"),
        ("XNYS", "2026-11-24", NOON, "was open from 09:30 EST to 16:00 EST"),
        ("XNYS", "2025-11-28", NOON, "was open from 09:30 EST to 13:00 EST; early close: day after Thanksgiving"),
        ("XNYS", "2025-12-25", NOON, "was a holiday: Christmas"),
        ("XNYS", "2001-09-08", NOON, "was a weekend"),
        (
            "XNYS",
            "2002-09-11",
            NOON,
            "was open from 12:00 EDT to 16:00 EDT; late open: first anniversary of September\n  11",
        ),
        ("FX", "2026-11-02", NOON, "was open from 17:00 EST on Sun 2026-11-01 to 17:00 EST"),
    ];
    for (id, date, now, expected) in rows {
        assert_eq!(answer(id, date, now), expected, "{id} {date} at {now}");
    }
    // A dated closure need not be a holiday.
    assert!(answer("XNYS", "2001-09-12", NOON).starts_with("was closed: "), "{}", answer("XNYS", "2001-09-12", NOON));
    let early = explained("XNYS", "2026-11-25", "2026-11-25T18:00:00Z", &[word("2026-11-25", Some("12:00"))]);
    assert!(early.0.contains("\nclosed early at 12:00 EST: override: snow\n"), "{}", early.0);
    let closed = explained("XNYS", "2026-11-25", NOON, &[word("2026-11-25", None)]);
    assert!(closed.0.contains("\nclosed: override: snow\n"), "{}", closed.0);
}

#[test]
fn breaks_and_changes_of_the_clocks_have_lines_of_their_own() {
    let tokyo = text("XTKS", "2026-11-27", NOON);
    assert!(tokyo.contains("  break        11:30 JST   2026-11-27 02:30 UTC\n"), "{tokyo}");
    assert!(tokyo.contains("  break ends   12:30 JST   2026-11-27 03:30 UTC\n"), "{tokyo}");
    assert!(text("FX", "2026-11-02", NOON).contains("published: a rule that holds up to 2044-12-31\n"));
    let sunday = text("XNYS", "2026-11-01", NOON);
    assert!(sunday.contains("  clocks       go back 1h (EDT to EST) at 02:00\n"), "{sunday}");
}

/// At 23:19 in Chicago.
const EVENING: &str = "2026-11-26T05:19:00Z";

#[test]
fn without_a_date_it_is_that_of_the_session_under_way_else_todays() {
    let rows = [
        ("CMES", EVENING, "2026-11-26"),
        // In the hour between two sessions.
        ("CMES", "2026-11-25T22:30:00Z", "2026-11-25"),
        ("FX", "2026-11-29T23:30:00Z", "2026-11-30"),
        ("FX", "2026-11-29T20:30:00Z", "2026-11-29"),
        // Before and after the regular session, and at night.
        ("XNYS", "2026-11-25T10:00:00Z", "2026-11-25"),
        ("XNYS", "2026-11-26T00:30:00Z", "2026-11-25"),
        ("XNYS", "2026-11-26T04:30:00Z", "2026-11-25"),
        ("XNYS", "2026-11-26T15:00:00Z", "2026-11-26"),
    ];
    for (id, now, date) in rows {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        assert_eq!(date_of(&calendar, at(now)).to_string(), date, "{id} at {now}");
    }
}

#[test]
fn a_session_under_way_on_the_evening_before_is_open_now_and_not_the_next() {
    let (text, json) = explained("CMES", "2026-11-26", EVENING, &[]);
    assert!(text.contains("\nopen until 12:00 CST; early close: Thanksgiving\n"), "{text}");
    assert!(text.ends_with("  next session Fri 2026-11-27, 17:00 -1d to 12:15\n"), "{text}");
    assert_eq!(
        (&json["standing"], &json["phase"], &json["phase_date"]),
        (&json!("open"), &json!("open"), &json!("2026-11-26"))
    );
    // The civil day, where it is named.
    let (text, json) = explained("CMES", "2026-11-25", EVENING, &[]);
    let now = "\n\n  now          open: the session of Thu 2026-11-26, until 12:00 CST\n  basis ";
    assert!(text.contains("\nclosed at 16:00 CST: ") && text.contains(now), "{text}");
    assert!(text.ends_with("  next session Fri 2026-11-27, 17:00 -1d to 12:15\n"), "{text}");
    assert_eq!((&json["phase"], &json["followed_by"]), (&json!("open"), &Value::Null));
    // One that neither is under way nor of today.
    let (_, json) = explained("CMES", "2026-11-27", EVENING, &[]);
    assert_eq!((&json["phase"], &json["standing"]), (&Value::Null, &json!("not_yet_open")));
}

#[test]
fn a_past_date_is_told_with_what_followed_it_and_the_next_session_is_still_to_come() {
    let (text, json) = explained("XNYS", "2001-09-12", NOON, &[]);
    assert!(
        text.ends_with("  followed by  Mon 2001-09-17, 09:30-16:00\n  next session Fri 2026-11-27, 09:30-13:00\n"),
        "{text}"
    );
    assert_eq!(
        (&json["followed_by"]["date"], &json["next_session"]["date"]),
        (&json!("2001-09-17"), &json!("2026-11-27"))
    );
    let (text, _) = explained("XNYS", "2026-11-24", "2026-11-25T12:00:00Z", &[]);
    assert!(!text.contains("followed by") && text.ends_with("next session Wed 2026-11-25, 09:30-16:00\n"), "{text}");
}

#[test]
fn a_special_session_is_none_that_closes_early() {
    let (text, json) = explained("CMES", "2026-04-03", "2026-04-03T14:00:00Z", &[]);
    assert!(
        text.contains("\nclosed at 08:15 CDT: the session of this date is over; special session: Good\n  Friday"),
        "{text}"
    );
    assert_eq!((&json["kind"], &json["standing"]), (&json!("special"), &json!("closed")));
    let special = Override { open: "10:00".parse().ok(), ..word("2026-11-26", Some("12:00")) };
    let (text, json) = explained("XNYS", "2026-11-26", "2026-11-26T18:00:00Z", &[special]);
    assert!(text.contains("\nclosed at 12:00 EST: the session of this date is over; override: snow\n"), "{text}");
    assert_eq!((&json["kind"], &json["standing"]), (&json!("special"), &json!("closed")));
    let early = explained("XNYS", "2026-11-27", "2026-11-27T18:00:00Z", &[word("2026-11-27", Some("12:00"))]).1;
    assert_eq!((&early["kind"], &early["standing"]), (&json!("early_close"), &json!("closed_early")));
}

#[test]
fn everything_fits_80_columns_and_nothing_moves_the_cursor() {
    let long = Override { reason: format!("\u{1b}[2J\n{}", ["word"; 40].join(" ")), ..word("2026-11-27", None) };
    let (text, json) = explained("XNYS", "2026-11-27", NOON, &[long]);
    assert!(text.lines().all(|line| line.len() <= 80 && !line.contains('\u{1b}')), "{text}");
    assert!(
        text.contains("\n  reason       override: \\u{1b}[2J\\nword word ")
            && text.contains("word\n               word")
    );
    assert!(json["reason"].as_str().is_some_and(|reason| reason.starts_with("override: \u{1b}[2J\nword")));
    for id in Calendar::builtin_ids() {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        let dates = at("2024-01-01T00:00:00Z").date_naive().iter_days().take(4 * 366);
        for date in dates.filter(|date| calendar.day(*date).is_ok_and(|day| day.kind != DayKind::Regular)) {
            let shown = Shown { calendar: &calendar, plain: &calendar, now: at(NOON) };
            let text = Explained::of(&shown, date).expect("in range").text();
            let long = text.lines().find(|line| line.chars().count() > 80 && !line.contains("http"));
            assert_eq!(long, None, "{text}");
        }
    }
}

#[test]
fn json_says_null_where_there_is_nothing() {
    let (_, json) = explained("XNYS", "2026-11-26", "2026-11-26T15:00:00Z", &[]);
    for key in ["premarket", "open", "close", "postmarket", "break_start", "break_end", "regular_close", "source"] {
        assert_eq!(json.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(
        (&json["standing"], &json["phase"], &json["kind"]),
        (&json!("holiday"), &json!("closed"), &json!("holiday"))
    );
    let next = json!({"date": "2026-11-27", "open": "2026-11-27T09:30:00-05:00", "close": "2026-11-27T13:00:00-05:00"});
    assert_eq!(json["next_session"], next);
    let (_, last) = explained("XNYS", "2035-12-31", NOON, &[]);
    assert_eq!((&last["next_session"], &last["phase"]), (&Value::Null, &Value::Null));
}
