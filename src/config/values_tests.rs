use std::collections::BTreeMap;

use super::super::fault::Place;
use super::*;

fn node(data: Data) -> Node {
    Node { key: "k".into(), place: Place::line(std::path::Path::new("f"), 1), data }
}

fn text(text: &str) -> Node {
    node(Data::Text(text.into()))
}

fn from_env(text: &str) -> Node {
    Node { place: Place::Env("V".into()), ..self::text(text) }
}

#[test]
fn durations_are_words_or_plain_seconds() {
    for (written, seconds) in [("90s", 90), ("7h", 25_200), ("1h30m", 5_400), ("25200", 25_200), ("1h 30m", 5_400)] {
        assert_eq!(duration(&text(written)), Ok(Duration::from_secs(seconds)), "{written}");
    }
    assert_eq!(duration(&node(Data::Int(90))), Ok(Duration::from_secs(90)));
    assert_eq!(duration(&node(Data::Float(0.5))), Ok(Duration::from_millis(500)));
    for bad in ["", "7 hours ago", "-5s", "-5", "inf", "NaN", "99999999999999", "999999999y"] {
        assert!(duration(&text(bad)).is_err(), "{bad}");
    }
    for long in ["101y", "inf", "99999999999999", "999999999999999999999y", "1e300"] {
        assert!(duration(&text(long)).expect_err(long).message.contains("at most 100 years"), "{long}");
    }
    assert!(duration(&node(Data::Int(i64::MAX))).expect_err("too long").message.contains("at most 100 years"));
    assert!(duration(&node(Data::Int(-1))).is_err());
    assert!(duration(&node(Data::Float(f64::NAN))).is_err());
    assert!(duration(&node(Data::Table(BTreeMap::new()))).is_err());
}

#[test]
fn none_is_no_duration() {
    assert_eq!(optional(&text("none"), span), Ok(None));
    assert_eq!(optional(&text("5s"), span), Ok(Some(Duration::from_secs(5))));
    assert!(optional(&text("0s"), span).is_err());
    assert!(optional(&text(""), duration).is_err());
}

#[test]
fn sizes_are_words_or_plain_bytes() {
    for (written, bytes) in [("50MB", 50_000_000), ("500B", 500), ("2GB", 2_000_000_000), ("1KiB", 1024), ("7", 7)] {
        assert_eq!(size(&text(written)), Ok(bytes), "{written}");
    }
    for bad in ["", "0", "lots", "-1MB"] {
        assert!(size(&text(bad)).is_err(), "{bad}");
    }
}

#[test]
fn points_of_the_day_read_as_they_are_written() {
    let at = |h, m, s| TimePoint::At(NaiveTime::from_hms_opt(h, m, s).expect("a time"));
    let cases = [
        ("open - 1h", TimePoint::Anchor(Anchor::Open, TimeDelta::hours(-1))),
        ("open-1h", TimePoint::Anchor(Anchor::Open, TimeDelta::hours(-1))),
        ("close", TimePoint::Anchor(Anchor::Close, TimeDelta::zero())),
        ("close + 1h30m", TimePoint::Anchor(Anchor::Close, TimeDelta::minutes(90))),
        ("premarket", TimePoint::Anchor(Anchor::Premarket, TimeDelta::zero())),
        ("postmarket - 90", TimePoint::Anchor(Anchor::Postmarket, TimeDelta::seconds(-90))),
        ("08:30", at(8, 30, 0)),
        ("15:59:30", at(15, 59, 30)),
    ];
    for (written, point) in cases {
        assert_eq!(time_point(&text(written)), Ok(point), "{written}");
        assert_eq!(time_point(&text(&time_point_text(point))), Ok(point), "{written} and back");
    }
    for bad in ["", "opne - 1h", "open 1h", "open -", "open - x", "25:00", "close + 30d", "now"] {
        assert!(time_point(&text(bad)).is_err(), "{bad}");
    }
    for far in ["close + 8d", "open - 169h", "open - 1000y"] {
        assert!(time_point(&text(far)).expect_err(far).message.contains("at most 7 days"), "{far}");
    }
    assert!(time_point(&text("close + 7d")).is_ok() && time_of_day("08:30:60").is_none());
    let near = time_point(&text("opne - 1h")).expect_err("a slip");
    assert_eq!(near.suggestion.as_deref(), Some("open - 1h"));
}

#[test]
fn text_of_variables_and_flags_is_read_as_the_key_wants_it() {
    assert_eq!(count(&from_env("3")), Ok(3));
    assert_eq!(boolean(&from_env("true")), Ok(true));
    assert_eq!(items(&from_env("0, 3"), "codes", exit_code), Ok(vec![0, 3]));
    assert!(count(&text("3")).is_err(), "a file has numbers of its own");
    assert!(boolean(&text("true")).is_err());
}

#[test]
fn near_misses_are_suggested() {
    assert_eq!(zone(&text("America/New_Yrok")).expect_err("no zone").suggestion.as_deref(), Some("America/New_York"));
    assert_eq!(signal(&text("TREM")).expect_err("no signal").suggestion.as_deref(), Some("TERM"));
    let half = choice(&text("skpi"), &[("run", 1), ("skip", 2)]).expect_err("no choice");
    assert_eq!(half.suggestion.as_deref(), Some("skip"));
}

#[test]
fn a_stop_signal_is_one_that_ends_a_process() {
    for good in ["TERM", "sigint", "KILL", "USR1", "WINCH", "QUIT"] {
        assert!(signal(&text(good)).is_ok(), "{good}");
    }
    for idle in ["STOP", "SIGCONT", "tstp", "CHLD", "URG", "TTIN", "TTOU"] {
        let message = signal(&text(idle)).expect_err(idle).message;
        assert!(message.contains("does not end a process"), "{idle}: {message}");
    }
}
