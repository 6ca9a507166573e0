//! Calendars that change: whoever listens is at any time where the calendar of that time says.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::domain::calendar::Override;
use crate::domain::script::ScriptSpec;

/// Wednesday, the half day after Thanksgiving, and Thanksgiving itself.
const DATES: [&str; 3] = ["2026-11-25", "2026-11-27", "2026-11-26"];

/// What overrides do to one date.
#[derive(Clone, Copy, Debug)]
enum Word {
    Nothing,
    Closed,
    Hours(i32, i32),
}

fn calendar(words: [Word; 3]) -> Arc<Calendar> {
    let time = |minutes: i32| Some(format!("{:02}:{:02}", minutes / 60, minutes % 60).parse().expect("a time"));
    let of = |(date, word): (&str, Word)| {
        let plain = Override {
            date: date.parse().expect("a date"),
            closed: true,
            open: None,
            close: None,
            reason: "test".to_owned(),
            origin: None,
        };
        match word {
            Word::Nothing => None,
            Word::Closed => Some(plain),
            Word::Hours(open, length) => {
                Some(Override { closed: false, open: time(open), close: time(open + length), ..plain })
            }
        }
    };
    let words: Vec<Override> = DATES.into_iter().zip(words).filter_map(of).collect();
    let nyse = Calendar::builtin("XNYS").expect("it is built in");
    Arc::new(nyse.with_overrides(&words).expect("valid overrides"))
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        2 => Just(Word::Nothing),
        1 => Just(Word::Closed),
        3 => (0_i32..1200, 10_i32..230).prop_map(|(open, length)| Word::Hours(open, length)),
    ]
}

fn words() -> impl Strategy<Value = [Word; 3]> {
    [word(), word(), word()]
}

/// A script that does what it is told: the date it is at work on, and until when.
#[derive(Default)]
struct Listener {
    at_work: Option<(NaiveDate, DateTime<Utc>)>,
    /// Its start has moved to later, and it was left alone.
    is_left_alone: bool,
}

impl Listener {
    fn hear(&mut self, events: Vec<Addressed>, now: DateTime<Utc>) {
        for Addressed { at, event, .. } in events.into_iter().filter(|event| event.to == Some(0)) {
            assert!(at <= now, "nothing is told before its time");
            match event {
                ClockEvent::WindowOpen { window, .. } => {
                    assert!(window.start <= now && now < window.stop, "{window:?} at {now}");
                    self.at_work = Some((window.trading_date, window.stop));
                    self.is_left_alone = false;
                }
                ClockEvent::WindowMoved { window } => {
                    assert_eq!(self.at_work.map(|(date, _)| date), Some(window.trading_date));
                    assert!(now < window.start);
                    self.at_work = Some((window.trading_date, window.stop));
                    self.is_left_alone = true;
                }
                ClockEvent::WindowClose { trading_date } => {
                    assert_eq!(self.at_work.take().map(|(date, _)| date), Some(trading_date));
                    self.is_left_alone = false;
                }
                _ => {}
            }
        }
    }
}

/// What the calendar says of a moment: the window that is open.
fn wanted(spec: &ScriptSpec, calendar: &Calendar, now: DateTime<Utc>) -> Option<(NaiveDate, DateTime<Utc>)> {
    let today = now.with_timezone(&calendar.zone()).date_naive();
    let near = [today.pred_opt(), Some(today), today.succ_opt()];
    let mut windows = near.into_iter().flatten().filter_map(|date| match plan(&spec.window, calendar, date) {
        Ok(DayPlan::Window(window)) => Some(window),
        _ => None,
    });
    windows.rfind(|w| w.start <= now && now < w.stop).map(|w| (w.trading_date, w.stop))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_every_change_the_level_is_that_of_the_new_calendar(
        first in words(),
        changes in prop::collection::vec((0_i64..2000, words()), 1..8),
    ) {
        let spec = ScriptSpec::with_defaults("a", "/bin/true");
        let with = |words| BTreeMap::from([(Arc::from("XNYS"), calendar(words))]);
        let mut now: DateTime<Utc> = "2026-11-24T20:00:00Z".parse().expect("an instant");
        let mut current = with(first);
        let mut timeline = Timeline::new(std::slice::from_ref(&spec), &current, "XNYS");
        let mut listener = Listener::default();
        listener.hear(timeline.begin(now), now);
        for (minutes, words) in changes {
            let until = now + TimeDelta::minutes(minutes);
            let mut is_new = true;
            while let Some(next) = timeline.next().filter(|next| *next <= until) {
                // One that the change has put on this very instant is still to be told.
                prop_assert!(next > now || std::mem::take(&mut is_new), "no boundary comes twice");
                now = next;
                listener.hear(timeline.advance(now, TimeDelta::seconds(5)), now);
                if !listener.is_left_alone {
                    prop_assert_eq!(listener.at_work, wanted(&spec, &current["XNYS"], now));
                }
            }
            now = until;
            current = with(words);
            let script = std::slice::from_ref(&spec);
            listener.hear(timeline.respecify(script, &current, "XNYS", now), now);
            if !listener.is_left_alone {
                prop_assert_eq!(listener.at_work, wanted(&spec, &current["XNYS"], now));
            }
            // The same once more says nothing.
            let again = timeline.respecify(script, &with(words), "XNYS", now);
            let is_level = |a: &Addressed| matches!(a.event, ClockEvent::WindowMoved { .. } | ClockEvent::NoWindow { .. });
            prop_assert!(again.iter().all(is_level), "{:?}", again);
        }
    }
}
