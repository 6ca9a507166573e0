//! One script from its start to its stop, on virtual time.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use mho::domain::lifecycle::StateName;
use mho::domain::outcome::{RunResult, Signal};
use mho::domain::script::{Anchor, HalfDays, Policy, ScriptSpec, TimePoint};
use mho::testkit::{Act, Lab, Running};

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn day(begin: &str, spec: ScriptSpec, acts: Vec<Act>) -> Running {
    let acts = if acts.is_empty() { vec![Act::RunUntilStopped] } else { acts };
    Lab::new(begin).script(spec).acts("demo", acts).start().await
}

fn only(lab: &Running, result: RunResult) {
    let results: Vec<_> = lab.results("demo").into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, [result], "{:#?}", lab.story());
    assert!(lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_normal_day_runs_from_an_hour_before_the_open_to_the_close() {
    let lab = day("2026-11-23 00:00:00", demo(), vec![]).await;
    lab.run_until("2026-11-23 23:59:00").await;
    assert_eq!(
        lab.story(),
        [
            "08:30:00 demo start 1",
            "16:00:00 demo stop 1: window end",
            "16:00:00 demo exit 1: SIGTERM, stopped",
            "16:00:00 demo finished 1: window_end",
        ]
    );
    only(&lab, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn the_script_is_told_its_session_and_its_stop() {
    let lab = day("2026-11-27 08:00:00", ScriptSpec { max_duration: Some(secs(3600)), ..demo() }, vec![]).await;
    lab.run_until("2026-11-27 08:31:00").await;
    let context = lab.launcher.orders()[0].context.clone();
    assert_eq!(context.session_open.to_rfc3339(), "2026-11-27T14:30:00+00:00");
    assert_eq!(context.session_close.to_rfc3339(), "2026-11-27T18:00:00+00:00");
    assert_eq!(context.stop_at.to_rfc3339(), "2026-11-27T18:00:00+00:00");
    assert_eq!(context.deadline.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-27T14:30:00+00:00"));
    assert!(context.early_close);
    assert_eq!(context.restarted_after, None);
}

#[tokio::test(start_paused = true)]
async fn weekends_and_thanksgiving_start_nothing() {
    let lab = day("2026-11-26 00:00:00", demo(), vec![]).await;
    lab.run_until("2026-11-26 23:59:59").await;
    assert_eq!(lab.story(), [""; 0]);
    let weekend = day("2026-11-28 00:00:00", demo(), vec![]).await;
    weekend.run_until("2026-11-29 23:59:59").await;
    assert_eq!(weekend.story(), [""; 0]);
    assert_eq!(weekend.view("demo").await.state, StateName::Idle);
}

#[tokio::test(start_paused = true)]
async fn an_early_close_stops_at_one() {
    let lab = day("2026-11-27 00:00:00", demo(), vec![]).await;
    lab.run_until("2026-11-27 23:59:00").await;
    assert_eq!(lab.story_of(&["stop"])[0], "13:00:00 demo stop 1: window end");
    only(&lab, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn exit_42_is_over_for_the_date_under_every_policy() {
    for policy in [Policy::Never, Policy::OnFailure, Policy::Always] {
        let mut spec = demo();
        spec.restart.policy = policy;
        let lab = day("2026-11-23 08:00:00", spec, vec![Act::Exit(42, secs(600))]).await;
        lab.run_until("2026-11-23 23:59:00").await;
        assert_eq!(lab.story_of(&["start"]).len(), 1, "{policy:?}");
        only(&lab, RunResult::FinishedEarly);
        assert_eq!(lab.view("demo").await.state, StateName::Finished);
    }
}

#[tokio::test(start_paused = true)]
async fn exit_0_has_succeeded_and_is_over() {
    let lab = day("2026-11-23 08:00:00", demo(), vec![Act::Exit(0, secs(600))]).await;
    lab.run_until("2026-11-24 08:29:00").await;
    only(&lab, RunResult::Succeeded);
    lab.run_until("2026-11-24 09:00:00").await;
    assert_eq!(lab.results("demo").len(), 2, "the next date is a new run");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ignores_the_signal_is_killed_exactly_after_the_grace_and_its_result_is_the_window_end() {
    let lab = day("2026-11-23 08:00:00", demo(), vec![Act::Ignore]).await;
    lab.run_until("2026-11-23 16:00:00").await;
    let stopping = lab.view("demo").await;
    assert_eq!(stopping.state, StateName::Stopping);
    assert_eq!(stopping.reason, "window end");
    let next = stopping.next.expect("the kill has a time");
    assert_eq!((next.action, next.at.to_rfc3339().as_str()), ("kill", "2026-11-23T21:00:10+00:00"));
    lab.run_for(Duration::from_millis(9_998)).await;
    assert_eq!(lab.story_of(&["kill"]), [""; 0], "not a millisecond early");
    lab.run_for(Duration::from_millis(3)).await;
    assert_eq!(
        lab.story()[1..],
        [
            "16:00:00 demo stop 1: window end",
            "16:00:10 demo kill 1",
            "16:00:10 demo exit 1: SIGKILL, killed_after_grace",
            "16:00:10 demo finished 1: window_end",
        ]
    );
    let sent: Vec<_> = lab.launcher.calls().into_iter().map(|(at, _)| at).collect();
    let grace = sent[2] - sent[1];
    assert!((secs(10)..=Duration::from_millis(10_001)).contains(&grace), "{grace:?}");
    only(&lab, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn an_exit_after_the_stop_was_decided_is_stopped_whatever_its_code() {
    let lab = Lab::new("2026-11-23 15:00:00").script(demo()).without_clock().start().await;
    lab.open_window("demo", "16:00:00").await;
    lab.run_until("2026-11-23 16:00:00").await;
    lab.close_window("demo").await;
    lab.run_for(secs(300)).await;
    only(&lab, RunResult::WindowEnd);

    let lab = day("2026-11-23 08:30:00", demo(), vec![Act::Ignore]).await;
    lab.run_until("2026-11-23 16:00:05").await;
    lab.launcher.kill_by_hand(&demo().name, Signal::KILL);
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story()[2], "16:00:05 demo exit 1: SIGKILL, stopped");
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    only(&lab, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_exits_in_the_instant_of_the_close_has_one_result_and_no_restart() {
    for early in [0, 1, 2] {
        let lived = secs(7 * 3600 + 1800) - Duration::from_millis(early);
        let lab = day("2026-11-23 08:00:00", demo(), vec![Act::Exit(1, lived)]).await;
        lab.run_until("2026-11-23 23:00:00").await;
        assert_eq!(lab.story_of(&["start"]).len(), 1);
        let results = lab.results("demo");
        assert_eq!(results.len(), 1, "{:#?}", lab.story());
        let allowed: &[RunResult] =
            if early == 0 { &[RunResult::Failed, RunResult::WindowEnd] } else { &[RunResult::Failed] };
        assert!(allowed.contains(&results[0].1), "{results:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_leaves_behind_is_stopped_before_anything_new_starts() {
    for (stubborn, gone) in [(false, "09:00:00"), (true, "09:00:10")] {
        let leave = Act::Leave { code: 1, after: secs(1800), others: 2, stubborn };
        let lab = day("2026-11-23 08:00:00", demo(), vec![leave, Act::RunUntilStopped]).await;
        lab.run_until("2026-11-23 09:10:00").await;
        let story = lab.story();
        assert_eq!(lab.story_of(&["exit"]), [format!("{gone} demo exit 1: 1, crashed")]);
        assert_eq!(lab.story_of(&["kill"]).len(), usize::from(stubborn));
        let at = |what: &str| story.iter().position(|line| line.contains(what)).expect(what);
        assert!(at("exit 1") < at("restart_scheduled") && at("restart_scheduled") < at("start 2"), "{story:#?}");
        assert!(lab.launcher.overlaps().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_while_leftovers_are_being_stopped_ends_the_run_once() {
    let leave = Act::Leave { code: 0, after: secs(7 * 3600 + 1795), others: 1, stubborn: true };
    let lab = day("2026-11-23 08:00:00", demo(), vec![leave]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["finished"]), ["16:00:05 demo finished 1: succeeded"]);
    only(&lab, RunResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_late_daemon_starts_at_once_by_default() {
    let lab = day("2026-11-23 11:17:00", demo(), vec![]).await;
    lab.run_until("2026-11-23 11:18:00").await;
    assert_eq!(lab.story(), ["11:17:00 demo start 1"]);
    let view = lab.view("demo").await;
    assert_eq!(view.state, StateName::Running);
    assert_eq!(view.reason, "its window is open until 16:00:00");
    assert_eq!(view.next.map(|next| next.action), Some("stop"));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_up_past_the_start_deadline_has_missed_the_day() {
    let mut spec = demo();
    spec.window.start_deadline = Some(secs(1800));
    let lab = day("2026-11-23 09:00:01", spec.clone(), vec![]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["start"]), [""; 0]);
    only(&lab, RunResult::Missed);
    assert_eq!(lab.view("demo").await.state, StateName::Failed);

    let in_time = day("2026-11-23 09:00:00", spec, vec![]).await;
    in_time.run_until("2026-11-23 23:00:00").await;
    only(&in_time, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn a_start_deadline_of_zero_means_never_late_but_on_time_is_on_time() {
    let mut spec = demo();
    spec.window.start_deadline = Some(Duration::ZERO);
    let late = day("2026-11-23 08:31:00", spec.clone(), vec![]).await;
    late.run_until("2026-11-23 23:00:00").await;
    only(&late, RunResult::Missed);
    for begin in ["2026-11-23 08:00:00", "2026-11-23 08:30:00"] {
        let lab = day(begin, spec.clone(), vec![]).await;
        lab.run_until("2026-11-23 23:00:00").await;
        only(&lab, RunResult::WindowEnd);
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_up_after_the_close_does_nothing() {
    for begin in ["2026-11-23 16:00:00", "2026-11-23 20:00:00"] {
        let lab = day(begin, demo(), vec![]).await;
        lab.run_until("2026-11-24 08:00:00").await;
        assert_eq!(lab.story(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_sat_out_is_recorded_as_skipped() {
    let mut spec = demo();
    spec.window.skip_dates = vec![NaiveDate::from_ymd_opt(2026, 11, 24).unwrap()];
    spec.window.half_days = HalfDays::Skip;
    let lab = day("2026-11-23 18:00:00", spec, vec![]).await;
    lab.run_until("2026-11-27 23:00:00").await;
    let results: Vec<_> = lab.results("demo").into_iter().map(|(date, r)| (date.to_string(), r)).collect();
    assert_eq!(
        results,
        [
            ("2026-11-24".to_owned(), RunResult::Skipped),
            ("2026-11-25".to_owned(), RunResult::WindowEnd),
            ("2026-11-27".to_owned(), RunResult::Skipped),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_disabled_script_never_runs_and_says_so() {
    let lab = day("2026-11-23 08:00:00", ScriptSpec { enabled: false, ..demo() }, vec![]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story(), [""; 0]);
    assert_eq!(lab.view("demo").await.state, StateName::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_late_message_of_a_former_attempt_changes_nothing() {
    let lab = day("2026-11-23 08:00:00", demo(), vec![Act::Exit(1, secs(100)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    let before = lab.view("demo").await;
    assert_eq!((before.attempt, before.restarts), (2, 1));
    lab.launcher.replay_exit(&demo().name);
    lab.settle().await;
    assert_eq!(lab.view("demo").await, before);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_followed_before_its_processes_are_gone_gets_a_result_all_the_same() {
    let mut spec = demo();
    spec.window.stop = TimePoint::Anchor(Anchor::Close, TimeDelta::zero());
    let lab = day("2026-11-23 08:00:00", spec, vec![Act::Survive, Act::RunUntilStopped]).await;
    lab.run_until("2026-11-24 12:00:00").await;
    let view = lab.view("demo").await;
    assert_eq!(view.state, StateName::Stopping);
    assert_eq!(view.reason, "window end; some of its processes survived SIGKILL");
    assert_eq!(lab.story_of(&["start"]).len(), 1, "never two at a time");
    lab.run_until("2026-11-24 18:00:00").await;
    lab.launcher.kill_by_hand(&demo().name, Signal::KILL);
    lab.run_until("2026-11-25 12:00:00").await;
    let results: Vec<_> = lab.results("demo").into_iter().map(|(_, r)| r).collect();
    assert_eq!(results, [RunResult::Missed, RunResult::WindowEnd]);
    assert_eq!(lab.view("demo").await.state, StateName::Running);
}
