//! Holidays, half days, changes of the clocks, and calendars whose windows touch, with the market clock at work.

use std::time::Duration;

use chrono::{NaiveTime, Weekday};
use mho::domain::calendar::{Calendar, TimeOfDay};
use mho::domain::outcome::RunResult;
use mho::domain::script::{Anchor, HalfDays, ScriptSpec, TimePoint};
use mho::testkit::{Act, Lab, Running};

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `2026-03-06 08:30:00 13:30Z` for each event of this kind.
fn instants(lab: &Running, event: &str) -> Vec<String> {
    let of = |value: &serde_json::Value| {
        let at = chrono::DateTime::parse_from_rfc3339(value["at"].as_str()?).ok()?;
        Some(format!("{} {}", at.format("%m-%d %H:%M"), at.to_utc().format("%H:%MZ")))
    };
    lab.events().iter().filter(|value| value["event"] == event).filter_map(of).collect()
}

fn round_the_clock() -> ScriptSpec {
    let mut spec = demo();
    spec.window.calendar = "always".into();
    spec.window.start = TimePoint::Anchor(Anchor::Open, chrono::TimeDelta::zero());
    spec.window.stop = TimePoint::Anchor(Anchor::Close, chrono::TimeDelta::zero());
    spec
}

async fn always(begin: &str, spec: ScriptSpec, acts: Vec<Act>) -> Running {
    let calendar = Calendar::builtin("always").expect("it is built in");
    let lab = Lab::new(begin).calendar("always", calendar).market("always").script(spec).acts("demo", acts);
    lab.start().await
}

#[tokio::test(start_paused = true)]
async fn the_week_of_spring_keeps_local_times_and_shifts_utc() {
    let lab = Lab::new("2026-03-06 00:00:00").script(demo()).start().await;
    lab.run_until("2026-03-09 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["03-06 08:30 13:30Z", "03-09 08:30 12:30Z"]);
    assert_eq!(instants(&lab, "stop"), ["03-06 16:00 21:00Z", "03-09 16:00 20:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn the_week_of_autumn_keeps_local_times_and_shifts_utc() {
    let lab = Lab::new("2026-10-30 00:00:00").script(demo()).start().await;
    lab.run_until("2026-11-02 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["10-30 08:30 12:30Z", "11-02 08:30 13:30Z"]);
    assert_eq!(instants(&lab, "stop"), ["10-30 16:00 20:00Z", "11-02 16:00 21:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_in_the_hour_that_is_skipped_or_repeated_happens_once() {
    let mut spec = round_the_clock();
    spec.window.calendar = "ny".into();
    let at = |text: &str| TimePoint::At(text.parse::<NaiveTime>().expect("a time"));
    (spec.window.start, spec.window.stop) = (at("02:30:00"), at("12:00:00"));
    let all = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let time = |text: &str| text.parse::<TimeOfDay>().expect("a time");
    let night = Calendar::plain("ny", chrono_tz::America::New_York, time("01:00"), time("12:00"), &all).expect("valid");
    for (begin, end) in [("2026-03-07 13:00:00", "2026-03-08 13:00:00"), ("2026-10-31 13:00:00", "2026-11-01 13:00:00")]
    {
        let lab = Lab::new(begin).calendar("ny", night.clone()).script(spec.clone()).start().await;
        lab.run_until(end).await;
        assert_eq!(lab.story_of(&["start"]).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_week_of_thanksgiving_runs_four_days_one_of_them_short() {
    let lab = Lab::new("2026-11-23 00:00:00").script(demo()).start().await;
    lab.run_until("2026-11-29 23:00:00").await;
    assert_eq!(
        instants(&lab, "stop"),
        ["11-23 16:00 21:00Z", "11-24 16:00 21:00Z", "11-25 16:00 21:00Z", "11-27 13:00 18:00Z"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fixed_stop_at_the_regular_close_is_cut_by_an_early_one_and_a_later_one_is_not() {
    for (stop, expected) in [("16:00:00", "11-27 13:00 18:00Z"), ("17:00:00", "11-27 17:00 22:00Z")] {
        let mut spec = demo();
        spec.window.stop = TimePoint::At(stop.parse().expect("a time"));
        let lab = Lab::new("2026-11-27 00:00:00").script(spec).start().await;
        lab.run_until("2026-11-27 23:00:00").await;
        assert_eq!(instants(&lab, "stop"), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_for_half_days_only_runs_on_no_other() {
    let mut spec = demo();
    spec.window.half_days = HalfDays::Only;
    let lab = Lab::new("2026-11-25 00:00:00").script(spec).start().await;
    lab.run_until("2026-11-27 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["11-27 08:30 13:30Z"]);
    let results: Vec<_> = lab.results("demo").into_iter().map(|(_, r)| r).collect();
    assert_eq!(results, [RunResult::Skipped, RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn the_year_ends_and_begins() {
    let lab = Lab::new("2026-12-31 00:00:00").script(demo()).start().await;
    lab.run_until("2027-01-04 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["12-31 08:30 13:30Z", "01-04 08:30 13:30Z"]);
}

#[tokio::test(start_paused = true)]
async fn windows_that_touch_carry_the_process_over_midnight_without_a_restart() {
    let lab = always("2026-11-27 12:00:00", round_the_clock(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-30 12:00:00").await;
    let carried: Vec<_> = lab.results("demo").into_iter().map(|(date, r)| (date.to_string(), r)).collect();
    assert_eq!(carried, ["2026-11-27", "2026-11-28", "2026-11-29"].map(|date| (date.to_owned(), RunResult::Carried)));
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(lab.story_of(&["stop"]), [""; 0]);
    let view = lab.view("demo").await;
    assert_eq!(view.trading_date.map(|d| d.to_string()).as_deref(), Some("2026-11-30"));
    assert_eq!(view.stop_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-12-01T00:00:00+00:00"));
    let moved = lab.launcher.calls().into_iter().filter(|(_, c)| matches!(c, mho::testkit::Call::CarryOutput(..)));
    assert_eq!(moved.count(), 3, "the output goes to each date's file");
}

#[tokio::test(start_paused = true)]
async fn budget_and_backoff_travel_over_midnight() {
    // Four restarts before midnight, the fifth after it, and the sixth crash gives up: all within ten minutes.
    let crash = |at: u64| Act::Exit(1, secs(at));
    let acts = vec![crash(1), crash(1), crash(1), crash(1), crash(30), crash(1)];
    let lab = always("2026-11-27 23:59:30", round_the_clock(), acts).await;
    lab.run_until("2026-11-28 00:05:00").await;
    let story = lab.story();
    assert_eq!(lab.story_of(&["carried"]).len(), 1);
    assert_eq!(lab.story_of(&["start"]).len(), 6, "{story:#?}");
    assert_eq!(lab.story_of(&["gave_up"]).len(), 1, "midnight is no re-arm for what was carried");
    assert_eq!(lab.story_of(&["rearmed"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_backoff_is_carried_over_midnight_and_ends_when_it_would_have() {
    let mut spec = round_the_clock();
    spec.restart.initial_delay = secs(20);
    let lab = always("2026-11-27 23:59:45", spec, vec![Act::Exit(1, secs(5)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-28 01:00:00").await;
    // Midnight is no stop where windows touch, so a delay that ends after it is served.
    assert_eq!(lab.results("demo")[0].1, RunResult::Carried);
    assert_eq!(lab.story_of(&["start"]), ["23:59:45 demo start 1", "00:00:10 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_or_failed_script_gets_a_fresh_run_at_midnight() {
    for (code, result) in [(0, RunResult::Succeeded), (42, RunResult::FinishedEarly), (78, RunResult::Failed)] {
        let lab = always("2026-11-27 12:00:00", round_the_clock(), vec![Act::Exit(code, secs(60))]).await;
        lab.run_until("2026-11-28 12:00:00").await;
        assert_eq!(lab.story_of(&["start"]), ["12:00:00 demo start 1", "00:00:00 demo start 1"]);
        assert_eq!(lab.results("demo").into_iter().map(|(_, r)| r).collect::<Vec<_>>(), [result, result]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_carry_is_the_next_attempt_of_the_new_date() {
    let lab =
        always("2026-11-27 23:00:00", round_the_clock(), vec![Act::Exit(1, secs(7200)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-28 12:00:00").await;
    assert_eq!(
        lab.story_of(&["exit", "start"]),
        ["23:00:00 demo start 1", "01:00:00 demo exit 1: 1, crashed", "01:00:01 demo start 2"]
    );
    let last = lab.launcher.orders()[1].attempt.to_string();
    assert_eq!(last, "demo/2026-11-28/2");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_a_carried_run_counts_from_its_midnight() {
    let spec = ScriptSpec { max_duration: Some(secs(10 * 3600)), ..round_the_clock() };
    let lab = always("2026-11-27 20:00:00", spec, vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-28 12:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["10:00:00 demo stop 1: time limit"]);
    let results: Vec<_> = lab.results("demo").into_iter().map(|(_, r)| r).collect();
    assert_eq!(results, [RunResult::Carried, RunResult::TimeLimit]);
}

async fn on(id: &str, begin: &str, mut spec: ScriptSpec) -> Running {
    spec.window.calendar = id.into();
    let calendar = Calendar::builtin(id).expect("it is built in");
    Lab::new(begin).calendar(id, calendar).market(id).script(spec).start().await
}

#[tokio::test(start_paused = true)]
async fn on_an_overnight_market_a_window_begins_on_the_evening_before_its_trading_date() {
    let mut spec = demo();
    spec.window.start = TimePoint::Anchor(Anchor::Open, chrono::TimeDelta::minutes(-10));
    let lab = on("CMES", "2026-11-20 17:00:00", spec).await; // a Friday, after the close
    lab.run_until("2026-11-27 12:00:00").await;
    // Sunday to Thanksgiving, which ends at noon; the clock is Chicago's.
    let starts =
        ["11-22 16:50 22:50Z", "11-23 16:50 22:50Z", "11-24 16:50 22:50Z", "11-25 16:50 22:50Z", "11-26 16:50 22:50Z"];
    assert_eq!(instants(&lab, "start"), starts);
    let stops = ["11-23 16:00 22:00Z", "11-24 16:00 22:00Z", "11-25 16:00 22:00Z", "11-26 12:00 18:00Z"];
    assert_eq!(instants(&lab, "stop"), stops);
    let dates: Vec<_> = lab.results("demo").into_iter().map(|(date, _)| date.to_string()).collect();
    assert_eq!(dates, ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26"]);
}

#[tokio::test(start_paused = true)]
async fn a_market_without_a_gap_is_one_process_from_sunday_to_friday() {
    let mut spec = demo();
    spec.window.start = TimePoint::Anchor(Anchor::Open, chrono::TimeDelta::zero());
    // The week in which the clocks change.
    let lab = on("FX", "2026-10-30 18:00:00", spec).await;
    lab.run_until("2026-11-06 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["11-01 17:00 22:00Z"]);
    assert_eq!(instants(&lab, "stop"), ["11-06 17:00 22:00Z"]);
    let results: Vec<_> = lab.results("demo").into_iter().map(|(date, r)| (date.to_string(), r)).collect();
    let carried = ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"].map(|d| (d.to_owned(), RunResult::Carried));
    assert_eq!(results[..4], carried);
    assert_eq!(results[4], ("2026-11-06".to_owned(), RunResult::WindowEnd));
}

#[tokio::test(start_paused = true)]
async fn scripts_run_through_the_lunch_break() {
    let lab = on("XTKS", "2026-11-27 06:00:00", demo()).await;
    lab.run_until("2026-11-27 23:00:00").await;
    assert_eq!(instants(&lab, "start"), ["11-27 08:00 23:00Z"]);
    assert_eq!(instants(&lab, "stop"), ["11-27 15:30 06:30Z"]);
}
