use std::path::Path;

use super::told::judged;
use super::*;
use crate::app::{ReloadResult, Reloaded, Told};

fn answered(result: ReloadResult, file: &str) -> Told {
    let (overrides_digest, calendars) = (String::new(), vec!["XNYS".to_owned()]);
    let (at, text) = (Utc::now(), "XNYS changed".to_owned());
    let market_time = at;
    Told::Answered(Reloaded {
        at,
        market_time,
        pid: 7,
        overrides_file: file.into(),
        overrides_digest,
        calendars,
        result,
        text,
    })
}

#[test]
fn each_answer_of_a_daemon_is_told_and_only_good_ones_are_a_success() {
    let (ours, state) = (Path::new("/x/calendar-overrides.toml"), Path::new("/x/state"));
    let other = || io::Error::other("not permitted");
    let rows = [
        (Told::NoDaemon, Ok("no daemon runs in /x/state: it takes effect when one starts")),
        (
            answered(ReloadResult::Changed, "/x/calendar-overrides.toml"),
            Ok("in effect: the daemon (PID 7): XNYS changed"),
        ),
        (
            answered(ReloadResult::Unchanged, "/x/calendar-overrides.toml"),
            Ok("has read it, and nothing changes for it"),
        ),
        (
            answered(ReloadResult::Refused, "/x/calendar-overrides.toml"),
            Err("has refused it and goes on as before: XNYS"),
        ),
        (
            answered(ReloadResult::Changed, "/y/calendar-overrides.toml"),
            Err("reads another file, /y/calendar-overrides.toml"),
        ),
        (Told::Silent { pid: 7 }, Err("kill -HUP 7")),
        (Told::NotAsked { pid: Some(7), reason: other() }, Err("not permitted; as its user, kill -HUP 7")),
        (Told::NotAsked { pid: None, reason: other() }, Err("cannot be told: not permitted")),
    ];
    for (told, expected) in rows {
        let found = judged(&told, ours, Some("XNYS"), state);
        let (found, words) = match (&found, expected) {
            (Ok(found), Ok(words)) | (Err(found), Err(words)) => (found, words),
            _ => panic!("{told:?}: {found:?}"),
        };
        assert!(found.contains(words), "{told:?}: {found}");
    }
}

#[test]
fn a_daemon_that_does_not_use_the_calendar_is_no_success_where_it_should() {
    let told = answered(ReloadResult::Unchanged, "/x/calendar-overrides.toml");
    let (ours, state) = (Path::new("/x/calendar-overrides.toml"), Path::new("/x/state"));
    let found = judged(&told, ours, Some("market"), state).expect_err("it is not in effect");
    assert!(found.contains("does not use the calendar market, only XNYS"), "{found}");
    assert!(judged(&told, ours, None, state).is_ok(), "nobody uses it here either");
}

#[test]
fn an_override_is_told_in_one_line() {
    let time = |text: &str| Some(text.parse::<TimeOfDay>().expect("a time"));
    let rows = [
        (true, None, None, "closed"),
        (false, time("11:00"), time("12:30"), "11:00-12:30"),
        (false, time("17:00 -1d"), time("00:00"), "17:00 -1d to 24:00"),
        (false, time("11:00"), None, "open 11:00"),
        (false, None, time("12:30"), "close 12:30"),
    ];
    for (closed, open, close, expected) in rows {
        let word = Override {
            date: "2027-01-11".parse().expect("a date"),
            closed,
            open,
            close,
            reason: "snow".into(),
            origin: None,
        };
        assert_eq!(described("XNYS", &word), format!("XNYS, Mon 2027-01-11: {expected}, snow"));
    }
}
