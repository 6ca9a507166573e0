//! The wall clock is set, or the machine sleeps: boundaries follow at once, what is measured on the monotonic clock does not.

use std::time::Duration;

use chrono::TimeDelta;
use mho::domain::calendar::Calendar;
use mho::domain::lifecycle::StateName;
use mho::domain::notice::{Level, What};
use mho::domain::outcome::RunResult;
use mho::domain::script::{Anchor, Policy, ScriptSpec, TimePoint};
use mho::testkit::{Act, Lab, Running};

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn at(begin: &str, acts: Vec<Act>) -> Running {
    Lab::new(begin).script(demo()).acts("demo", acts).start().await
}

fn results(lab: &Running) -> Vec<RunResult> {
    assert!(lab.launcher.overlaps().is_empty());
    lab.results("demo").into_iter().map(|(_, r)| r).collect()
}

#[tokio::test(start_paused = true)]
async fn a_step_forward_over_the_close_is_noticed_at_once() {
    let lab = at("2026-11-23 15:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::hours(2));
    lab.settle().await;
    assert_eq!(lab.story_of(&["stop"]), ["17:00:00 demo stop 1: window end"]);
    assert!(lab.notices().iter().any(|n| matches!(n.what, What::ClockStepped { by } if by == TimeDelta::hours(2))));
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_starts_nothing_twice_and_kills_nothing_early() {
    let lab = at("2026-11-23 09:30:00", vec![Act::RunUntilStopped]).await;
    lab.run_for(secs(60)).await;
    lab.clock.step(TimeDelta::hours(-2));
    lab.run_until("2026-11-23 15:59:59").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(lab.view("demo").await.state, StateName::Running);
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["16:00:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_over_the_start_of_a_finished_date_does_not_run_it_again() {
    let lab = at("2026-11-23 08:00:00", vec![Act::Exit(0, secs(600))]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    lab.clock.step(TimeDelta::hours(-1));
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(results(&lab), [RunResult::Succeeded]);
    lab.run_until("2026-11-24 23:00:00").await;
    assert_eq!(results(&lab).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_over_the_close_does_not_begin_the_date_again() {
    let lab = at("2026-11-23 15:30:00", vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 16:10:00").await;
    lab.clock.step(TimeDelta::hours(-1));
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]).len(), 2);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn grace_and_backoff_do_not_follow_the_wall_clock() {
    for by in [TimeDelta::minutes(30), TimeDelta::minutes(-30)] {
        let lab = at("2026-11-23 15:59:59", vec![Act::Ignore]).await;
        lab.run_for(secs(3)).await;
        lab.clock.step(by);
        lab.run_for(secs(60)).await;
        let calls: Vec<_> = lab.launcher.calls().into_iter().map(|(at, _)| at).collect();
        let grace = calls[2] - calls[1];
        assert!((secs(10)..=Duration::from_millis(10_002)).contains(&grace), "{grace:?}");

        let lab =
            at("2026-11-23 10:00:00", vec![Act::Exit(1, secs(1)), Act::Exit(1, secs(1)), Act::RunUntilStopped]).await;
        lab.run_for(Duration::from_millis(2_500)).await;
        lab.clock.step(by);
        lab.run_for(secs(10)).await;
        let starts = lab.launcher.calls().into_iter().filter(|(_, c)| matches!(c, mho::testkit::Call::Spawn(_)));
        let starts: Vec<_> = starts.map(|(at, _)| at).collect();
        assert_eq!((starts[2] - starts[1]).as_secs(), 3, "one of life, two of delay");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_a_whole_window_is_missed_once() {
    let lab = at("2026-11-23 07:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::hours(12));
    lab.run_until("2026-11-24 08:00:00").await;
    assert_eq!(lab.story_of(&["start"]), [""; 0]);
    assert_eq!(results(&lab), [RunResult::Missed]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_several_dates_acts_on_the_latest_level_once() {
    let lab = at("2026-11-23 10:00:00", vec![Act::Linger(secs(5)), Act::RunUntilStopped]).await;
    lab.run_for(secs(1)).await;
    lab.clock.step(TimeDelta::days(2));
    lab.run_for(secs(60)).await;
    assert_eq!(results(&lab), [RunResult::Missed, RunResult::WindowEnd]);
    assert_eq!(lab.story_of(&["start"]).len(), 2, "Monday's, then Wednesday's, as soon as Monday's was gone");
    assert_eq!(lab.view("demo").await.trading_date.map(|d| d.to_string()).as_deref(), Some("2026-11-25"));
}

#[tokio::test(start_paused = true)]
async fn the_late_rule_is_applied_after_a_jump_also_where_the_old_process_had_to_go_first() {
    for (limit, starts) in [(Some(1800), 1), (None, 2)] {
        let mut spec = demo();
        spec.window.start_deadline = limit.map(secs);
        let acts = [Act::Linger(secs(5)), Act::RunUntilStopped];
        let lab = Lab::new("2026-11-23 08:30:00").script(spec).acts("demo", acts).start().await;
        lab.run_for(secs(1)).await;
        lab.clock.step(TimeDelta::days(1) + TimeDelta::hours(1));
        lab.run_for(secs(60)).await;
        assert_eq!(lab.story_of(&["start"]).len(), starts, "{limit:?}: {:#?}", lab.story());
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_into_a_window_applies_the_late_start_rule_once() {
    for (limit, expected) in [(None, 1), (Some(7200), 1), (Some(1800), 0), (Some(0), 0)] {
        let mut spec = demo();
        spec.window.start_deadline = limit.map(secs);
        let lab = Lab::new("2026-11-23 08:00:00").script(spec).start().await;
        lab.clock.step(TimeDelta::minutes(90));
        lab.run_for(secs(60)).await;
        assert_eq!(lab.story_of(&["start"]).len(), expected, "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_step_over_the_start_is_not_late() {
    let mut spec = demo();
    spec.window.start_deadline = Some(Duration::ZERO);
    let lab = Lab::new("2026-11-23 08:29:58").script(spec).start().await;
    lab.clock.step(TimeDelta::seconds(4));
    lab.run_for(secs(60)).await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_moves_with_the_wall_clock() {
    let spec = ScriptSpec { max_duration: Some(secs(4 * 3600)), ..demo() };
    let lab = Lab::new("2026-11-23 08:30:00").script(spec).start().await;
    lab.run_for(secs(60)).await;
    lab.clock.step(TimeDelta::hours(2));
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["12:30:00 demo stop 1: time limit"]);
}

/// A script that runs around the clock, at work since noon of Monday, the 23rd.
async fn around_the_clock(change: impl FnOnce(&mut ScriptSpec), acts: Vec<Act>) -> Running {
    let mut spec = demo();
    spec.window.calendar = "always".into();
    spec.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::zero());
    change(&mut spec);
    let calendar = Calendar::builtin("always").expect("it is built in");
    let lab = Lab::new("2026-11-23 12:00:00").calendar("always", calendar).market("always").script(spec);
    let lab = lab.acts("demo", acts).start().await;
    lab.run_for(secs(60)).await;
    lab
}

/// The result of each date, as the next daemon finds it.
fn kept(lab: &Running) -> Vec<(String, RunResult)> {
    lab.journal.runs().into_iter().map(|run| (run.trading_date.to_string(), run.result)).collect()
}

fn errors(lab: &Running) -> Vec<String> {
    let lines = lab.notices().into_iter().flat_map(|notice| notice.lines(chrono_tz::UTC));
    lines.filter(|line| line.level == Level::Error).map(|line| line.text).collect()
}

async fn trading_date(lab: &Running) -> String {
    lab.view("demo").await.trading_date.map(|date| date.to_string()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_dates_that_touch_keeps_the_live_process_and_carries_its_run_once() {
    for (acts, first) in [
        (vec![Act::RunUntilStopped], RunResult::Carried),
        (vec![Act::Exit(42, secs(5)), Act::RunUntilStopped], RunResult::FinishedEarly),
    ] {
        let lab = around_the_clock(|_| {}, acts).await;
        lab.clock.step(TimeDelta::days(3));
        lab.run_for(secs(60)).await;
        let dates = |day: u32, result| (format!("2026-11-{day}"), result);
        let missed = RunResult::Missed;
        let expected = [dates(23, first), dates(24, missed), dates(25, missed), dates(26, RunResult::Running)];
        assert_eq!(kept(&lab), expected, "{:#?}", lab.story());
        assert_eq!(results(&lab).len(), 3, "each was told");
        assert_eq!(trading_date(&lab).await, "2026-11-26");
        assert_eq!(lab.view("demo").await.state, StateName::Running);
        let starts = if first == RunResult::Carried { 1 } else { 2 };
        assert_eq!(lab.story_of(&["start"]).len(), starts);
        assert_eq!(lab.story_of(&["stop"]), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_midnight_that_comes_on_time_or_a_moment_late_carries_the_run_to_the_next_date() {
    for late in [0, 3, 600] {
        let lab = around_the_clock(|_| {}, vec![Act::RunUntilStopped]).await;
        lab.run_until("2026-11-23 23:59:59").await;
        lab.clock.step(TimeDelta::seconds(late));
        lab.run_for(secs(60)).await;
        let expected = [("2026-11-23", RunResult::Carried), ("2026-11-24", RunResult::Running)];
        assert_eq!(kept(&lab), expected.map(|(date, result)| (date.to_owned(), result)), "{late}");
        assert_eq!(lab.story_of(&["start", "stop"]).len(), 1, "{late}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_months_of_dates_that_touch_is_one_line_and_one_carried_run() {
    let lab = around_the_clock(|_| {}, vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::days(72));
    lab.run_for(secs(60)).await;
    assert_eq!(results(&lab), [RunResult::Carried]);
    assert_eq!(errors(&lab), ["While nobody watched: 71 dates were missed, 2026-11-24 to 2027-02-02"]);
    let kept = kept(&lab);
    assert_eq!(kept.len(), 73);
    assert_eq!(kept.first().map(|(_, result)| *result), Some(RunResult::Carried));
    assert_eq!(kept.last().map(|(_, result)| *result), Some(RunResult::Running));
    assert!(kept[1..72].iter().all(|(_, result)| *result == RunResult::Missed), "{kept:?}");
    let reason = lab.journal.runs().swap_remove(1).reason;
    assert_eq!(reason, "its whole window went by while the machine slept or the clock was set");
    assert_eq!(trading_date(&lab).await, "2027-02-03");
    assert_eq!(lab.story_of(&["start", "stop"]).len(), 1);
    // The run is that of a date like any other.
    lab.run_until("2027-02-04 01:00:00").await;
    assert_eq!(results(&lab), [RunResult::Carried; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_decades_costs_no_more_than_one_over_a_year() {
    let lab = around_the_clock(|_| {}, vec![Act::RunUntilStopped]).await;
    let before = lab.notices().len();
    lab.clock.step(TimeDelta::days(10_957));
    lab.run_for(secs(60)).await;
    assert!(lab.notices().len() - before < 10, "{:#?}", lab.notices().len());
    assert!(kept(&lab).len() <= 402, "what ended more than 400 days ago is nobody's concern");
    assert_eq!(trading_date(&lab).await, "2056-11-22");
    assert_eq!(lab.story_of(&["start", "stop"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_had_failed_is_reported_once_for_all_dates_that_a_jump_skips_and_runs_again() {
    let never = |spec: &mut ScriptSpec| spec.restart.policy = Policy::Never;
    let lab = around_the_clock(never, vec![Act::Exit(1, secs(5)), Act::RunUntilStopped]).await;
    assert_eq!(results(&lab), [RunResult::Failed]);
    let before = errors(&lab).len();
    lab.clock.step(TimeDelta::days(72));
    lab.run_for(secs(60)).await;
    let expected = ["While nobody watched: 71 dates were missed, 2026-11-24 to 2027-02-02"];
    assert_eq!(errors(&lab)[before..], expected);
    assert_eq!(lab.story_of(&["start"]).len(), 2);
    assert_eq!(trading_date(&lab).await, "2027-02-03");
}

#[tokio::test(start_paused = true)]
async fn a_jump_past_the_last_of_the_dates_that_touch_stops_the_run_that_was_at_work() {
    let gap = |spec: &mut ScriptSpec| spec.window.skip_dates = vec!["2026-11-26".parse().expect("a date")];
    let lab = around_the_clock(gap, vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::days(3));
    lab.settle().await;
    assert_eq!(lab.story_of(&["stop"]).len(), 1);
    assert_eq!(
        kept(&lab).into_iter().map(|(_, result)| result).collect::<Vec<_>>(),
        [RunResult::WindowEnd, RunResult::Missed, RunResult::Missed, RunResult::Skipped,]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_at_work_while_the_clock_goes_back_and_far_forth_over_dates_that_touch_is_carried_and_not_stopped() {
    for (back, forth) in [(2, 4), (10, 20)] {
        let lab = around_the_clock(|_| {}, vec![Act::RunUntilStopped]).await;
        lab.clock.step(TimeDelta::days(-back));
        lab.run_for(secs(60)).await;
        lab.clock.step(TimeDelta::days(forth));
        lab.run_for(secs(60)).await;
        assert_eq!(lab.story_of(&["start", "stop"]).len(), 1, "{:#?}", lab.story());
        assert_eq!(lab.view("demo").await.state, StateName::Running);
        let of_monday = kept(&lab).into_iter().find(|(date, _)| date == "2026-11-23");
        assert_eq!(of_monday.map(|(_, result)| result), Some(RunResult::Carried));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_at_the_start_and_is_set_right_loses_no_day() {
    let lab = at("2026-11-24 16:30:00", vec![Act::RunUntilStopped]).await;
    lab.run_for(secs(5)).await;
    assert_eq!(lab.story(), [""; 0]);
    lab.clock.step(TimeDelta::hours(-32));
    lab.run_until("2026-11-24 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:05 demo start 1", "08:30:00 demo start 1"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_date_that_was_missed_only_because_the_clock_was_wrong_is_run_when_its_time_comes() {
    let lab = at("2026-11-23 07:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::days(3));
    lab.settle().await;
    assert_eq!(results(&lab), [RunResult::Missed; 3], "Monday to Wednesday; Thursday is Thanksgiving");
    lab.clock.step(TimeDelta::days(-3));
    lab.run_until("2026-11-24 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1"; 2]);
    assert_eq!(results(&lab)[3..], [RunResult::WindowEnd; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_at_work_before_the_clock_went_back_and_forth_is_stopped_when_its_window_is_over() {
    let lab = at("2026-11-27 10:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::hours(-4));
    lab.run_for(secs(60)).await;
    assert_eq!(lab.view("demo").await.state, StateName::Running);
    lab.clock.step(TimeDelta::hours(8));
    lab.settle().await;
    assert_eq!(lab.story_of(&["stop"]), ["14:01:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_far_ahead_for_a_moment_costs_no_result_and_floods_nobody() {
    let lab = at("2026-11-23 08:30:00", vec![Act::Exit(42, secs(5)), Act::RunUntilStopped]).await;
    lab.run_for(secs(60)).await;
    lab.clock.step(TimeDelta::days(200) - TimeDelta::hours(6));
    lab.settle().await;
    let told = lab.notices().iter().filter(|n| matches!(n.what, What::Unwatched { .. })).count();
    assert_eq!(told, 1, "more than a hundred dates, one line");
    lab.clock.step(TimeDelta::hours(6) - TimeDelta::days(200));
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1, "it finished early on this date");
    lab.run_until("2026-11-24 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 2);
    assert_eq!(results(&lab), [RunResult::FinishedEarly, RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_into_an_earlier_window_leaves_the_live_run_alone_until_that_closes() {
    let lab = at("2026-11-24 10:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::hours(-24));
    lab.run_until("2026-11-23 15:59:59").await;
    assert_eq!(lab.story_of(&["start", "stop", "carried"]), ["10:00:00 demo start 1"]);
    lab.run_until("2026-11-24 08:29:59").await;
    assert_eq!(lab.view("demo").await.pid, None, "nothing runs past the close");
    lab.run_until("2026-11-24 17:00:00").await;
    let story = ["16:00:00 demo stop 1: window end", "08:30:00 demo start 2", "16:00:00 demo stop 2: window end"];
    assert_eq!(lab.story_of(&["start", "stop"])[1..], story);
    assert_eq!(results(&lab), [RunResult::Missed, RunResult::WindowEnd], "the earlier date had no run of its own");
}

#[tokio::test(start_paused = true)]
async fn after_a_step_back_nothing_is_started_before_its_window() {
    // Of the same date: from mid-session to the night before it.
    let lab = at("2026-11-24 08:40:00", vec![Act::Exit(1, secs(30)), Act::RunUntilStopped]).await;
    lab.run_for(secs(5)).await;
    lab.clock.step(TimeDelta::hours(-5));
    lab.run_until("2026-11-24 08:29:59").await;
    assert_eq!(lab.story_of(&["start", "exit"]), ["08:40:00 demo start 1", "03:40:30 demo exit 1: 1, crashed"]);
    lab.run_until("2026-11-24 17:00:00").await;
    assert_eq!(lab.story_of(&["start"])[1..], ["08:30:00 demo start 2"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);

    // In its backoff, from one date into the window of the one before: that is run now, and this one later.
    let acts = vec![Act::Exit(1, secs(2)), Act::Exit(42, secs(60)), Act::RunUntilStopped];
    let lab = at("2026-11-24 10:00:00", acts).await;
    lab.run_for(Duration::from_millis(2_500)).await;
    lab.clock.step(TimeDelta::hours(-24));
    lab.run_until("2026-11-24 17:00:00").await;
    let starts = ["10:00:00 demo start 1", "10:00:02 demo start 1", "08:30:00 demo start 2"];
    assert_eq!(lab.story_of(&["start"]), starts, "{:#?}", lab.story());
    assert_eq!(results(&lab), [RunResult::FinishedEarly, RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_a_day_ahead_for_a_moment_costs_no_close_and_no_date() {
    let lab = at("2026-12-03 13:00:00", vec![Act::RunUntilStopped]).await;
    lab.clock.step(TimeDelta::hours(23));
    lab.run_for(secs(3)).await;
    lab.clock.step(TimeDelta::hours(-23));
    lab.run_until("2026-12-04 17:00:00").await;
    let story = [
        "13:00:00 demo start 1",
        "12:00:00 demo stop 1: window end",
        "12:00:00 demo start 1",
        "16:00:00 demo stop 1: window end",
        "08:30:00 demo start 2",
        "16:00:00 demo stop 2: window end",
    ];
    assert_eq!(lab.story_of(&["start", "stop"]), story);
    assert_eq!(results(&lab), [RunResult::WindowEnd; 2]);
}

#[tokio::test(start_paused = true)]
async fn where_windows_touch_a_step_back_over_dates_holds_up_no_restart() {
    let mut spec = demo();
    spec.window.calendar = "always".into();
    spec.window.start = mho::domain::script::TimePoint::Anchor(mho::domain::script::Anchor::Open, TimeDelta::zero());
    let calendar = Calendar::builtin("always").expect("it is built in");
    let lab = Lab::new("2026-11-23 12:00:00").calendar("always", calendar).market("always").script(spec);
    let lab = lab.acts("demo", [Act::Exit(1, secs(120)), Act::RunUntilStopped]).start().await;
    lab.run_for(secs(60)).await;
    lab.clock.step(TimeDelta::hours(-50));
    lab.run_for(secs(90)).await;
    assert_eq!(lab.story_of(&["start"]), ["12:00:00 demo start 1", "10:02:01 demo start 2"]);
    lab.run_until("2026-11-24 12:00:00").await;
    assert_eq!(results(&lab), [RunResult::Carried]);
    assert_eq!(lab.story_of(&["start", "stop"]).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_its_window_after_a_step_back_has_a_result_when_that_is_jumped_over() {
    let lab = at("2026-11-24 10:00:00", vec![Act::Exit(1, secs(2)), Act::RunUntilStopped]).await;
    lab.run_for(Duration::from_millis(2_500)).await;
    lab.clock.step(TimeDelta::hours(-16));
    lab.run_for(secs(60)).await;
    assert_eq!(lab.view("demo").await.state, StateName::Idle);
    lab.clock.step(TimeDelta::hours(30));
    lab.run_for(secs(60)).await;
    assert_eq!(results(&lab), [RunResult::Interrupted]);
    assert_eq!(lab.story_of(&["start"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_calendars_data_ends_it_is_said_each_day() {
    let lab = at("2035-12-31 10:00:00", vec![Act::RunUntilStopped]).await;
    lab.run_until("2036-01-02 12:00:00").await;
    let told = lab.notices().into_iter().filter_map(|n| match n.what {
        What::CalendarEnds { calendar, passed, .. } => Some((calendar, passed)),
        _ => None,
    });
    let xnys = |passed| ("XNYS".to_owned(), passed);
    assert_eq!(told.collect::<Vec<_>>(), [xnys(false), xnys(true), xnys(true)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_nobody_keeps_right_is_a_warning_each_day() {
    let lab = at("2026-11-23 20:00:00", vec![Act::RunUntilStopped]).await;
    let told = || lab.notices().iter().filter(|n| n.what == What::ClockUnsynchronised).count();
    lab.run_until("2026-11-24 12:00:00").await;
    assert_eq!(told(), 0, "where it cannot be told, nothing is said");
    lab.clock.set_synchronised(false);
    lab.run_until("2026-11-26 12:00:00").await;
    assert_eq!(told(), 2);
    lab.clock.set_synchronised(true);
    lab.run_until("2026-11-27 12:00:00").await;
    assert_eq!(told(), 2);
}
