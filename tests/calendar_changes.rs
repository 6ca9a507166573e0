//! A calendar or an override changes while scripts run: it acts as soon as it is read.

use std::time::Duration;

use chrono::TimeDelta;
use mho::domain::calendar::{Calendar, Override};
use mho::domain::lifecycle::StateName;
use mho::domain::outcome::RunResult;
use mho::domain::script::{Condition, Dependency, HalfDays, ScriptName, ScriptSpec};
use mho::testkit::{Act, Lab, Running};

/// An ordinary Wednesday: 09:30 to 16:00, so a window from 08:30 to 16:00.
const DAY: &str = "2026-11-25";

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn nyse() -> Calendar {
    Calendar::builtin("XNYS").expect("it is built in")
}

fn closed() -> Override {
    Override {
        date: DAY.parse().expect("a date"),
        closed: true,
        open: None,
        close: None,
        reason: "snow".to_owned(),
        origin: None,
    }
}

fn hours(open: Option<&str>, close: Option<&str>) -> Override {
    let time = |text: &str| text.parse().expect("a time");
    Override { closed: false, open: open.map(time), close: close.map(time), ..closed() }
}

fn with(word: Override) -> Calendar {
    nyse().with_overrides(&[word]).expect("a valid override")
}

async fn at(time: &str, acts: Vec<Act>) -> Running {
    Lab::new(&format!("{DAY} {time}")).script(demo()).acts("demo", acts).start().await
}

fn results(lab: &Running) -> Vec<RunResult> {
    assert!(lab.launcher.overlaps().is_empty());
    lab.results("demo").into_iter().map(|(_, result)| result).collect()
}

async fn until(lab: &Running, time: &str) {
    lab.run_until(&format!("{DAY} {time}")).await;
}

#[tokio::test(start_paused = true)]
async fn an_early_close_that_is_added_at_noon_moves_the_stop_to_it() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "12:30:00").await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:45")))).await;
    assert_eq!(lab.view("demo").await.state, StateName::Running);
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["08:30:00 demo start 1", "12:45:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_gone_or_has_ended_stops_its_script_now() {
    for word in [closed(), hours(None, Some("12:00"))] {
        let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
        until(&lab, "12:30:00").await;
        lab.change_calendar("XNYS", with(word)).await;
        until(&lab, "23:00:00").await;
        assert_eq!(lab.story_of(&["start", "stop"]), ["08:30:00 demo start 1", "12:30:00 demo stop 1: window end"]);
        assert_eq!(results(&lab), [RunResult::WindowEnd]);
        lab.run_until("2026-11-27 08:31:00").await;
        assert_eq!(lab.view("demo").await.state, StateName::Running, "the next date is as ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_moves_to_later_leaves_a_running_script_alone() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), Some("15:00")))).await;
    until(&lab, "10:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Running);
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["08:30:00 demo start 1", "15:00:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn after_a_start_that_moved_nothing_starts_before_it() {
    // It dies before the new start at 11:00, and is started again then, not before.
    let lab = at("08:00:00", vec![Act::Exit(1, Duration::from_secs(3600)), Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "23:00:00").await;
    let starts = lab.story_of(&["start", "stop"]);
    assert_eq!(starts, ["08:30:00 demo start 1", "11:00:00 demo start 2", "16:00:00 demo stop 2: window end"]);
    // One that waits for its next attempt does so, too.
    let lab = at("08:00:00", vec![Act::Exit(1, Duration::ZERO), Act::RunUntilStopped]).await;
    until(&lab, "08:30:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Backoff);
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "23:00:00").await;
    let starts = lab.story_of(&["start", "stop"]);
    assert_eq!(starts, ["08:30:00 demo start 1", "11:00:00 demo start 2", "16:00:00 demo stop 2: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_kept_running_before_its_new_start_is_stopped_when_the_window_goes_after_all() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "09:30:00").await;
    lab.change_calendar("XNYS", with(closed())).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["08:30:00 demo start 1", "09:30:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_its_window_ended_goes_on_when_the_window_is_extended() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    until(&lab, "12:10:00").await;
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "23:00:00").await;
    let expected = [
        "08:30:00 demo start 1",
        "12:00:00 demo stop 1: window end",
        "12:10:00 demo start 2",
        "16:00:00 demo stop 2: window end",
    ];
    assert_eq!(lab.story_of(&["start", "stop"]), expected);
    assert_eq!(results(&lab), [RunResult::WindowEnd, RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_extended_while_its_script_is_being_stopped_starts_it_again_when_that_is_done() {
    let lab = at("08:00:00", vec![Act::Ignore, Act::RunUntilStopped]).await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    until(&lab, "12:00:05").await;
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "13:00:00").await;
    let expected =
        ["08:30:00 demo start 1", "12:00:00 demo stop 1: window end", "12:00:10 demo kill 1", "12:00:10 demo start 2"];
    assert_eq!(lab.story_of(&["start", "stop", "kill"]), expected);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_something_else_ended_stays_over_when_the_window_is_extended() {
    for (act, result) in [
        (Act::Exit(0, Duration::from_secs(60)), RunResult::Succeeded),
        (Act::Exit(42, Duration::from_secs(60)), RunResult::FinishedEarly),
        (Act::Exit(78, Duration::from_secs(60)), RunResult::Failed),
    ] {
        let lab = at("08:00:00", vec![act]).await;
        lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
        until(&lab, "12:10:00").await;
        lab.change_calendar("XNYS", nyse()).await;
        until(&lab, "23:00:00").await;
        assert_eq!(lab.story_of(&["start"]).len(), 1);
        assert_eq!(results(&lab), [result]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_extends_nothing() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    until(&lab, "12:10:00").await;
    lab.clock.step(TimeDelta::hours(-1));
    lab.settle().await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(results(&lab), [RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_day_that_turns_out_to_be_open_starts_its_scripts() {
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", with(closed())).script(demo()).start().await;
    until(&lab, "10:00:00").await;
    assert_eq!(lab.story(), [""; 0]);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["10:00:00 demo start 1", "16:00:00 demo stop 1: window end"]);
}

#[tokio::test(start_paused = true)]
async fn start_deadline_counts_from_the_new_start() {
    let mut spec = demo();
    spec.window.start_deadline = Some(Duration::from_secs(300));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", with(closed())).script(spec).start().await;
    until(&lab, "10:00:00").await;
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start"]), [""; 0]);
    assert_eq!(results(&lab), [RunResult::Missed]);
}

#[tokio::test(start_paused = true)]
async fn half_days_follow_the_change() {
    // A half day that becomes a full one starts what skips half days; the other way round it is stopped.
    let mut spec = demo();
    spec.window.half_days = HalfDays::Skip;
    let half = || with(hours(None, Some("13:00")));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", half()).script(spec).start().await;
    until(&lab, "09:00:00").await;
    assert_eq!(results(&lab), [RunResult::Skipped]);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "11:00:00").await;
    lab.change_calendar("XNYS", half()).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["09:00:00 demo start 1", "11:00:00 demo stop 1: window end"]);
    assert_eq!(results(&lab), [RunResult::Skipped, RunResult::WindowEnd]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_the_regular_stop_made_void_counts_when_the_window_is_extended_and_the_other_way_round() {
    let mut spec = demo();
    spec.max_duration = Some(Duration::from_secs(8 * 3600)); // 16:30
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(spec.clone()).start().await;
    until(&lab, "12:00:00").await;
    assert_eq!(lab.view("demo").await.deadline, None);
    lab.change_calendar("XNYS", with(hours(None, Some("18:00")))).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["16:30:00 demo stop 1: time limit"]);
    assert_eq!(results(&lab), [RunResult::TimeLimit]);
    let lab = Lab::new(&format!("{DAY} 08:00:00"))
        .calendar("XNYS", with(hours(None, Some("18:00"))))
        .script(spec)
        .start()
        .await;
    until(&lab, "12:00:00").await;
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["16:00:00 demo stop 1: window end"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_daemon_between_end_and_extension_makes_no_difference() {
    let early = with(hours(None, Some("12:00")));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", early).script(demo()).start().await;
    until(&lab, "12:10:00").await;
    lab.shut_down();
    lab.settle().await;
    let journal = lab.journal.clone();
    let next = |calendar: Calendar| Lab::new(&format!("{DAY} 12:20:00")).calendar("XNYS", calendar).script(demo());
    let again = next(nyse()).after(&journal, &format!("{DAY} 12:15:00")).start().await;
    until(&again, "16:00:00").await;
    assert_eq!(again.story_of(&["start", "stop"]), ["12:20:00 demo start 2", "16:00:00 demo stop 2: window end"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_daemon_alone_extends_nothing() {
    let early = || with(hours(None, Some("12:00")));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", early()).script(demo()).start().await;
    until(&lab, "12:10:00").await;
    lab.shut_down();
    lab.settle().await;
    let next = Lab::new(&format!("{DAY} 11:50:00")).calendar("XNYS", early()).script(demo());
    let next = next.after(&lab.journal.clone(), &format!("{DAY} 11:49:00")).start().await;
    until(&next, "16:00:00").await;
    assert_eq!(next.story_of(&["start"]), [""; 0], "the clock was set back, the window was not extended");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_script_that_sits_the_day_out_now_is_told() {
    let mut data = ScriptSpec::with_defaults("data", "data.py");
    data.window.half_days = HalfDays::Skip;
    let mut demo = demo();
    let script = ScriptName::new("data").expect("a name");
    demo.depends_on = vec![Dependency { script, condition: Condition::Succeeded }];
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(data).script(demo).start().await;
    until(&lab, "12:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Waiting);
    lab.change_calendar("XNYS", with(hours(None, Some("13:00")))).await;
    until(&lab, "12:30:00").await;
    // The data ran until its window was gone, which counts as success.
    let expected = ["08:30:00 data start 1", "12:00:00 data stop 1: window end", "12:00:00 demo start 1"];
    assert_eq!(lab.story_of(&["start", "stop"]), expected);
}

#[tokio::test(start_paused = true)]
async fn a_calendar_that_says_the_same_as_before_changes_nothing() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    for time in ["08:15:00", "08:30:00", "09:30:00", "12:00:00", "16:00:00", "16:30:00"] {
        until(&lab, time).await;
        lab.change_calendar("XNYS", nyse()).await;
    }
    lab.run_until("2026-11-25 23:00:00").await;
    assert_eq!(
        lab.story(),
        [
            "08:30:00 demo start 1",
            "16:00:00 demo stop 1: window end",
            "16:00:00 demo exit 1: SIGTERM, stopped",
            "16:00:00 demo finished 1: window_end"
        ]
    );
}

/// Closed for a moment by mistake; the rest of the day as the calendar has it.
async fn closed_and_open_again(lab: &Running, closed_at: &str, open_at: &str) {
    until(lab, closed_at).await;
    lab.change_calendar("XNYS", with(closed())).await;
    until(lab, open_at).await;
    lab.change_calendar("XNYS", nyse()).await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_taken_away_by_mistake_and_given_back_brings_its_script_back() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    closed_and_open_again(&lab, "12:00:00", "12:05:00").await;
    until(&lab, "23:00:00").await;
    let expected = [
        "08:30:00 demo start 1",
        "12:00:00 demo stop 1: window end",
        "12:05:00 demo start 2",
        "16:00:00 demo stop 2: window end",
    ];
    assert_eq!(lab.story_of(&["start", "stop"]), expected);
    // Also within the grace, and where the correction is an early close, or one for an hour that was past already.
    let lab = at("08:00:00", vec![Act::Ignore, Act::RunUntilStopped]).await;
    closed_and_open_again(&lab, "12:00:00", "12:00:03").await;
    until(&lab, "13:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1", "12:00:10 demo start 2"]);
    for first in [closed(), hours(None, Some("11:00"))] {
        let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
        until(&lab, "12:00:00").await;
        lab.change_calendar("XNYS", with(first)).await;
        until(&lab, "12:05:00").await;
        lab.change_calendar("XNYS", with(hours(None, Some("14:00")))).await;
        until(&lab, "23:00:00").await;
        assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1", "12:05:00 demo start 2"]);
        assert_eq!(lab.story_of(&["stop"])[1], "14:00:00 demo stop 2: window end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mistake_made_and_undone_while_the_daemon_ended_brings_the_script_back_too() {
    let lab = at("08:00:00", vec![Act::Ignore]).await;
    until(&lab, "12:00:00").await;
    lab.shut_down();
    lab.run_for(Duration::from_secs(2)).await;
    lab.change_calendar("XNYS", with(closed())).await;
    lab.run_for(Duration::from_secs(60)).await;
    let next =
        Lab::new(&format!("{DAY} 12:20:00")).script(demo()).after(&lab.journal.clone(), &format!("{DAY} 12:02:00"));
    let next = next.start().await;
    until(&next, "13:00:00").await;
    assert_eq!(next.story_of(&["start"]), ["12:20:00 demo start 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_only_ran_out_of_time_goes_on_with_more_of_it() {
    // A try each 20 minutes: none fits before the early close, one does after all.
    let acts = vec![Act::Exit(1, Duration::ZERO); 40];
    let lab = at("11:40:00", acts).await;
    until(&lab, "11:45:00").await;
    lab.change_calendar("XNYS", with(hours(None, Some("11:50")))).await;
    until(&lab, "12:00:00").await;
    assert_eq!(results(&lab), [RunResult::Failed]);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "12:30:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Failed);
    assert!(lab.story_of(&["start"]).len() > 6, "{:#?}", lab.story());
    // One that waited for another in vain.
    let mut spec = demo();
    let script = ScriptName::new("data").expect("a name");
    spec.depends_on = vec![Dependency { script, condition: Condition::Succeeded }];
    let mut data = ScriptSpec::with_defaults("data", "data.py");
    data.window.calendar = "LATE".into();
    let lab = Lab::new(&format!("{DAY} 08:00:00"))
        .calendar("XNYS", with(hours(None, Some("12:00"))))
        .calendar("LATE", nyse())
        .script(data)
        .script(spec)
        .acts("data", [Act::Exit(0, Duration::from_secs(5 * 3600))])
        .start()
        .await;
    until(&lab, "12:30:00").await;
    assert_eq!(results(&lab), [RunResult::Skipped]);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "14:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 data start 1", "13:30:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_predecessors_day_also_on_another_calendar_and_back() {
    let mut data = ScriptSpec::with_defaults("data", "data.py");
    data.window.calendar = "DATA".into();
    let mut spec = demo();
    let script = ScriptName::new("data").expect("a name");
    spec.depends_on = vec![Dependency { script, condition: Condition::Succeeded }];
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("DATA", with(hours(Some("13:00"), None)));
    let lab = lab.script(data).script(spec).acts("data", [Act::Exit(0, Duration::from_secs(60))]).start().await;
    until(&lab, "09:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Waiting);
    lab.change_calendar("DATA", with(closed())).await;
    assert_eq!(lab.view("demo").await.state, StateName::Skipped);
    lab.change_calendar("DATA", nyse()).await;
    until(&lab, "09:30:00").await;
    assert_eq!(lab.story_of(&["start"]), ["09:00:00 data start 1", "09:01:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_half_day_that_is_none_starts_its_scripts_also_after_a_restart_of_the_daemon() {
    let mut spec = demo();
    spec.window.half_days = HalfDays::Skip;
    let half = with(hours(None, Some("13:00")));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", half).script(spec.clone()).start().await;
    until(&lab, "09:00:00").await;
    assert_eq!(results(&lab), [RunResult::Skipped]);
    lab.shut_down();
    lab.settle().await;
    let next =
        Lab::new(&format!("{DAY} 09:10:00")).script(spec).after(&lab.journal.clone(), &format!("{DAY} 09:05:00"));
    let next = next.start().await;
    until(&next, "10:00:00").await;
    assert_eq!(next.story_of(&["start"]), ["09:10:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_carried_run_whose_start_moves_waits_for_it_when_it_crashes() {
    let mut spec = demo();
    spec.window.calendar = "always".into();
    spec.window.start = mho::domain::script::TimePoint::Anchor(mho::domain::script::Anchor::Open, TimeDelta::zero());
    let always = Calendar::builtin("always").expect("it is built in");
    let lab = Lab::new("2026-11-24 12:00:00").calendar("always", always.clone()).market("always").script(spec);
    let lab = lab.acts("demo", [Act::Exit(1, Duration::from_secs(14 * 3600)), Act::RunUntilStopped]).start().await;
    until(&lab, "01:00:00").await; // carried at midnight
    let late = always.with_overrides(&[hours(Some("05:00"), None)]).expect("valid");
    lab.change_calendar("always", late).await;
    until(&lab, "12:00:00").await;
    assert_eq!(
        lab.story_of(&["start", "exit"]),
        ["12:00:00 demo start 1", "02:00:00 demo exit 1: 1, crashed", "05:00:00 demo start 2"]
    );
    assert_eq!(lab.launcher.orders()[1].context.restarted_after, Some(mho::domain::attempt::RestartCause::Crash));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_has_a_result_when_its_window_does_not_come() {
    for (acts, result) in [
        (vec![Act::Exit(1, Duration::from_secs(3600)), Act::RunUntilStopped], RunResult::Failed),
        (vec![Act::Exit(1, Duration::ZERO)], RunResult::Failed),
    ] {
        let lab = at("08:00:00", acts).await;
        until(&lab, "09:00:00").await;
        lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
        until(&lab, "10:00:00").await;
        lab.change_calendar("XNYS", with(closed())).await;
        until(&lab, "10:01:00").await;
        assert_eq!(results(&lab), [result]);
        lab.change_calendar("XNYS", nyse()).await;
        until(&lab, "10:05:00").await;
        assert!(lab.story_of(&["start"]).len() > 1, "and it goes on when it does: {:#?}", lab.story());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_back_does_not_hide_a_process_that_was_left_alone() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    lab.clock.step(TimeDelta::minutes(-10));
    lab.settle().await;
    lab.change_calendar("XNYS", with(closed())).await;
    assert_eq!(lab.story_of(&["stop"]), ["08:50:00 demo stop 1: window end"]);
}

fn waiting_for(name: &str, spec: ScriptSpec) -> ScriptSpec {
    let script = ScriptName::new(name).expect("a name");
    ScriptSpec { depends_on: vec![Dependency { script, condition: Condition::Succeeded }], ..spec }
}

#[tokio::test(start_paused = true)]
async fn a_dependent_waits_for_a_predecessor_whose_window_was_given_back_also_after_a_restart() {
    let pre = || ScriptSpec::with_defaults("pre", "pre.py");
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(pre()).script(waiting_for("pre", demo()));
    let lab = lab.acts("pre", [Act::RunUntilStopped, Act::Exit(0, Duration::from_secs(3600))]).start().await;
    closed_and_open_again(&lab, "12:00:00", "12:05:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Waiting, "{:#?}", lab.story());
    until(&lab, "14:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 pre start 1", "12:05:00 pre start 2", "13:05:00 demo start 1"]);
    // The same where the window is given back while no daemon runs.
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(pre()).script(waiting_for("pre", demo())).start().await;
    until(&lab, "12:00:00").await;
    lab.change_calendar("XNYS", with(closed())).await;
    until(&lab, "12:01:00").await;
    lab.shut_down();
    lab.settle().await;
    let next = Lab::new(&format!("{DAY} 12:10:00")).script(pre()).script(waiting_for("pre", demo()));
    let next = next.acts("pre", [Act::Exit(0, Duration::from_secs(3600))]);
    let next = next.after(&lab.journal.clone(), &format!("{DAY} 12:05:00")).start().await;
    until(&next, "14:00:00").await;
    assert_eq!(next.story_of(&["start"]), ["12:10:00 pre start 2", "13:10:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_dependent_that_comes_back_has_the_window_as_it_is_now() {
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("XNYS", with(hours(None, Some("12:00"))));
    let mut pre = ScriptSpec::with_defaults("pre", "pre.py");
    pre.restart.cooldown = Some(Duration::from_secs(1200));
    let lab = lab.script(pre).script(waiting_for("pre", demo()));
    let crash = Act::Exit(1, Duration::ZERO);
    let acts: Vec<Act> = vec![crash; 22].into_iter().chain([Act::Exit(0, Duration::from_secs(60))]).collect();
    let lab = lab.acts("pre", acts).start().await;
    until(&lab, "12:10:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Skipped);
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "15:59:00").await;
    let view = lab.view("demo").await;
    assert_eq!(view.state, StateName::Running, "{:#?}", lab.story());
    assert_eq!(view.stop_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-25T21:00:00+00:00"));
}

#[tokio::test(start_paused = true)]
async fn a_crash_just_before_a_start_that_moved_waits_for_it() {
    let lab = at("08:00:00", vec![Act::Exit(1, Duration::from_secs(8999)), Act::RunUntilStopped]).await; // 10:59:59
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "12:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1", "11:00:00 demo start 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_the_moment_does_not_keep_a_run_from_coming_back() {
    let mut spec = demo();
    spec.max_duration = Some(Duration::from_secs(5 * 3600)); // 13:30
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(spec);
    let lab = lab.acts("demo", [Act::Exit(1, Duration::from_secs(5400)), Act::RunUntilStopped]).start().await;
    until(&lab, "10:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Backoff);
    lab.change_calendar("XNYS", with(closed())).await;
    lab.change_calendar("XNYS", nyse()).await;
    until(&lab, "11:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Running, "{:#?}", lab.story());
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["13:30:00 demo stop 2: time limit"]);
}

#[tokio::test(start_paused = true)]
async fn closed_given_back_and_moved_within_one_grace_starts_at_the_new_start() {
    let lab = at("08:00:00", vec![Act::Ignore, Act::RunUntilStopped]).await;
    closed_and_open_again(&lab, "09:00:00", "09:00:02").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "23:00:00").await;
    let expected = [
        "08:30:00 demo start 1",
        "09:00:00 demo stop 1: window end",
        "11:00:00 demo start 2",
        "16:00:00 demo stop 2: window end",
    ];
    assert_eq!(lab.story_of(&["start", "stop"]), expected);
}

#[tokio::test(start_paused = true)]
async fn what_had_waited_in_time_does_not_come_too_late_when_it_is_given_back() {
    let mut spec = waiting_for("data", demo());
    spec.window.start_deadline = Some(Duration::from_secs(60));
    let mut data = ScriptSpec::with_defaults("data", "data.py");
    data.window.calendar = "DATA".into();
    let lab = Lab::new(&format!("{DAY} 08:00:00")).calendar("DATA", with(hours(Some("14:00"), None)));
    let lab = lab.script(data).script(spec).acts("data", [Act::Exit(0, Duration::from_secs(60))]).start().await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("DATA", with(closed())).await;
    assert_eq!(lab.view("demo").await.state, StateName::Skipped);
    lab.change_calendar("DATA", with(hours(Some("14:00"), None))).await;
    until(&lab, "13:30:00").await;
    assert_eq!(lab.story_of(&["start"]), ["13:00:00 data start 1", "13:01:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_has_a_result_also_when_another_daemon_hears_that_its_window_does_not_come() {
    let lab = at("08:00:00", vec![Act::Exit(1, Duration::from_secs(3600))]).await;
    until(&lab, "09:00:00").await;
    lab.change_calendar("XNYS", with(hours(Some("12:00"), None))).await;
    until(&lab, "10:00:00").await;
    lab.shut_down();
    lab.settle().await;
    let late = with(hours(Some("12:00"), None));
    let next = Lab::new(&format!("{DAY} 10:10:00")).calendar("XNYS", late).script(demo());
    let next = next.after(&lab.journal.clone(), &format!("{DAY} 10:05:00")).start().await;
    until(&next, "10:20:00").await;
    next.change_calendar("XNYS", with(closed())).await;
    assert_eq!(results(&next), [RunResult::Failed]);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_to_before_the_start_does_not_hide_a_process_from_a_closed_day() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.clock.step(TimeDelta::minutes(-40));
    lab.settle().await;
    lab.change_calendar("XNYS", with(closed())).await;
    assert_eq!(lab.story_of(&["stop"]), ["08:20:00 demo stop 1: window end"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_after_a_wait_in_vain_starts_nothing() {
    let mut data = ScriptSpec::with_defaults("data", "data.py");
    data.window.stop =
        mho::domain::script::TimePoint::Anchor(mho::domain::script::Anchor::Close, TimeDelta::minutes(1));
    let lab = Lab::new(&format!("{DAY} 15:00:00")).script(data).script(waiting_for("data", demo())).start().await;
    until(&lab, "16:05:00").await;
    assert_eq!(results(&lab), [RunResult::Skipped]);
    lab.clock.step(TimeDelta::minutes(-10));
    lab.settle().await;
    until(&lab, "23:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1, "{:#?}", lab.story());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_past_when_the_calendar_is_changed_is_missed() {
    let mut spec = demo();
    let close = |minutes| {
        mho::domain::script::TimePoint::Anchor(mho::domain::script::Anchor::Close, TimeDelta::minutes(minutes))
    };
    (spec.window.start, spec.window.stop) = (close(10), close(60));
    let lab = Lab::new(&format!("{DAY} 08:00:00")).script(spec).start().await;
    until(&lab, "13:30:00").await;
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    assert_eq!(results(&lab), [RunResult::Missed]);
    lab.change_calendar("XNYS", with(hours(None, Some("12:00")))).await;
    until(&lab, "23:00:00").await;
    assert_eq!(results(&lab), [RunResult::Missed]);
    assert_eq!(lab.story_of(&["start"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_with_its_daemon_and_whose_window_is_gone_then_has_not_failed() {
    let lab = at("08:00:00", vec![Act::RunUntilStopped]).await;
    until(&lab, "09:00:00").await;
    lab.shut_down();
    lab.settle().await;
    let late = with(hours(Some("12:00"), None));
    let next = Lab::new(&format!("{DAY} 09:10:00")).calendar("XNYS", late).script(demo());
    let next = next.after(&lab.journal.clone(), &format!("{DAY} 09:05:00")).start().await;
    until(&next, "09:20:00").await;
    assert_eq!(next.story_of(&["start"]), [""; 0]);
    next.change_calendar("XNYS", with(closed())).await;
    assert_eq!(results(&next), [RunResult::WindowEnd]);
    next.change_calendar("XNYS", nyse()).await;
    until(&next, "09:30:00").await;
    assert_eq!(next.story_of(&["start"]), ["09:20:00 demo start 2"]);
}
