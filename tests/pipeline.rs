//! Dependencies on the run of the same trading date.

use std::time::Duration;

use chrono::TimeDelta;
use mho::domain::lifecycle::StateName;
use mho::domain::notice::What;
use mho::domain::outcome::RunResult;
use mho::domain::script::{Anchor, Condition, Dependency, HalfDays, ScriptName, ScriptSpec, TimePoint};
use mho::testkit::{Act, Lab, Running};

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "x.py")
}

fn after(name: &str, on: &str, condition: Condition) -> ScriptSpec {
    let predecessor = ScriptName::new(on).expect("a name");
    ScriptSpec { depends_on: vec![Dependency { script: predecessor, condition }], ..script(name) }
}

fn until(spec: ScriptSpec, anchor: Anchor, hours: i64) -> ScriptSpec {
    let mut spec = spec;
    spec.window.stop = TimePoint::Anchor(anchor, TimeDelta::hours(hours));
    spec
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `data` and one dependent, over a whole day.
async fn pair(data: ScriptSpec, acts: Vec<Act>, condition: Condition) -> Running {
    let lab = Lab::new("2026-11-23 08:00:00").script(data).script(after("next", "data", condition)).acts("data", acts);
    let lab = lab.acts("next", [Act::Exit(0, secs(10))]).start().await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert!(lab.launcher.overlaps().is_empty());
    lab
}

fn of(lab: &Running, name: &str, events: &[&str]) -> Vec<String> {
    lab.story_of(events).into_iter().filter(|line| line.split(' ').nth(1) == Some(name)).collect()
}

/// Whether the skip of `next` was meant.
fn is_planned(lab: &Running) -> Option<bool> {
    lab.notices().into_iter().find_map(|notice| match notice.what {
        What::Skipped { planned, .. } => Some(planned),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_skip_for_a_predecessor_that_failed_was_not_meant_and_one_for_a_day_off_was() {
    let failed = pair(script("data"), vec![Act::Exit(78, secs(10))], Condition::Succeeded).await;
    assert_eq!(is_planned(&failed), Some(false));
    let mut off = script("data");
    off.window.skip_dates = vec!["2026-11-23".parse().expect("a date")];
    let skipped = pair(off, vec![Act::RunUntilStopped], Condition::Succeeded).await;
    assert_eq!(is_planned(&skipped), Some(true));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_run_that_was_skipped_for_a_failure_is_no_planned_skip_either() {
    let (next, last) = (after("next", "data", Condition::Succeeded), after("last", "next", Condition::Succeeded));
    let lab = Lab::new("2026-11-23 08:29:00").script(script("data")).script(next).script(last);
    let lab = lab.acts("data", vec![Act::Exit(78, secs(10))]).start().await;
    lab.run_until("2026-11-23 09:00:00").await;
    let planned: Vec<bool> = lab
        .notices()
        .into_iter()
        .filter_map(|notice| match notice.what {
            What::Skipped { planned, .. } => Some(planned),
            _ => None,
        })
        .collect();
    assert_eq!(planned, [false, false]);
}

fn result(lab: &Running, script: &str) -> RunResult {
    let results = lab.results(script);
    assert_eq!(results.len(), 1, "{:#?}", lab.story());
    results[0].1
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_of_three_runs_in_order_and_the_last_one_past_the_close() {
    let analysis = until(after("analysis", "strategy", Condition::Succeeded), Anchor::Close, 1);
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("data"))
        .script(after("strategy", "data", Condition::Succeeded))
        .script(analysis)
        .acts("data", [Act::Exit(0, secs(600))])
        .acts("strategy", [Act::Linger(secs(3))])
        .acts("analysis", [Act::Exit(0, secs(300))])
        .start()
        .await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(
        lab.story_of(&["start", "finished", "skipped"]),
        [
            "08:30:00 data start 1",
            "08:40:00 data finished 1: succeeded",
            "08:40:00 strategy start 1",
            "16:00:03 strategy finished 1: window_end",
            "16:00:03 analysis start 1",
            "16:05:03 analysis finished 1: succeeded",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_script_says_for_what_and_how_long_at_most() {
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("data"))
        .script(after("next", "data", Condition::Succeeded))
        .start()
        .await;
    lab.run_until("2026-11-23 08:30:00").await;
    let view = lab.view("next").await;
    assert_eq!((view.state, view.reason.as_str()), (StateName::Waiting, "data has not succeeded yet"));
    assert_eq!(view.next.map(|n| n.action), Some("skip"));
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_will_be_tried_again_is_waited_for() {
    let mut data = script("data");
    data.restart.cooldown = None;
    let crashes = std::iter::repeat_n(Act::Exit(1, secs(5)), 6).chain([Act::Exit(0, secs(60))]).collect();
    let lab = pair(data, crashes, Condition::Succeeded).await;
    let waits = of(&lab, "next", &["waiting"]);
    assert!(waits.contains(&"08:31:01 next waiting 0: data failed, next try 09:30".to_owned()), "{waits:#?}");
    assert_eq!(of(&lab, "next", &["start"]), ["09:31:00 next start 1"]);
    assert_eq!(result(&lab, "next"), RunResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_failed_for_good_skips_its_dependents() {
    let lab = pair(script("data"), vec![Act::Exit(78, secs(5))], Condition::Succeeded).await;
    assert_eq!(lab.story_of(&["skipped"]), ["08:30:05 next skipped 0: data ended as failed, needed is succeeded"]);
    assert_eq!(result(&lab, "next"), RunResult::Skipped);
}

#[tokio::test(start_paused = true)]
async fn a_skip_goes_down_the_whole_chain() {
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("a"))
        .script(after("b", "a", Condition::Succeeded))
        .script(after("c", "b", Condition::Succeeded))
        .script(after("d", "c", Condition::Finished))
        .acts("a", [Act::Exit(78, secs(5))])
        .acts("d", [Act::Exit(0, secs(5))])
        .start()
        .await;
    lab.run_until("2026-11-23 23:00:00").await;
    for (name, expected) in
        [("a", RunResult::Failed), ("b", RunResult::Skipped), ("c", RunResult::Skipped), ("d", RunResult::Succeeded)]
    {
        assert_eq!(result(&lab, name), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_take_the_ends_they_name() {
    let good = || vec![Act::Exit(0, secs(5))];
    let early = || vec![Act::Exit(42, secs(5))];
    let bad = || vec![Act::Exit(78, secs(5))];
    for (acts, condition, runs) in [
        (good(), Condition::Succeeded, true),
        (early(), Condition::Succeeded, true),
        (bad(), Condition::Succeeded, false),
        (good(), Condition::Finished, true),
        (bad(), Condition::Finished, true),
        (good(), Condition::Failed, false),
        (bad(), Condition::Failed, true),
    ] {
        let lab = pair(script("data"), acts.clone(), condition).await;
        assert_eq!(of(&lab, "next", &["start"]).len() == 1, runs, "{acts:?} {condition:?}");
        let expected = if runs { RunResult::Succeeded } else { RunResult::Skipped };
        assert_eq!(result(&lab, "next"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_counts_as_failed_and_a_kill_at_the_close_does_not() {
    let data = ScriptSpec { max_duration: Some(secs(3600)), ..script("data") };
    let lab = pair(data, vec![Act::RunUntilStopped], Condition::Failed).await;
    assert_eq!(of(&lab, "next", &["start"]), ["09:30:00 next start 1"]);

    let next = until(after("next", "data", Condition::Succeeded), Anchor::Close, 1);
    let lab = Lab::new("2026-11-23 08:00:00").script(script("data")).script(next).acts("data", [Act::Ignore]);
    let lab = lab.acts("next", [Act::Exit(0, secs(5))]).start().await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(of(&lab, "next", &["start"]), ["16:00:10 next start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_is_disabled_skips_its_dependents_unless_any_end_will_do() {
    for (condition, expected) in [
        (Condition::Succeeded, RunResult::Skipped),
        (Condition::Failed, RunResult::Skipped),
        (Condition::Finished, RunResult::Succeeded),
    ] {
        let data = ScriptSpec { enabled: false, ..script("data") };
        let lab = pair(data, vec![Act::RunUntilStopped], condition).await;
        assert_eq!(result(&lab, "next"), expected, "{condition:?}");
        if expected == RunResult::Skipped {
            let skipped = lab.story_of(&["skipped"]);
            assert_eq!(skipped, ["08:30:00 next skipped 0: data does not run today: it is disabled"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_without_a_window_today_counts_as_not_running() {
    for (condition, expected) in
        [(Condition::Succeeded, RunResult::Skipped), (Condition::Finished, RunResult::Succeeded)]
    {
        let mut data = script("data");
        data.window.half_days = HalfDays::Only;
        let lab = pair(data, vec![Act::RunUntilStopped], condition).await;
        assert_eq!(result(&lab, "next"), expected, "{condition:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_in_vain_ends_with_the_window() {
    let lab = pair(script("data"), vec![Act::RunUntilStopped], Condition::Succeeded).await;
    assert_eq!(of(&lab, "next", &["start"]), [""; 0], "its window closes in the same instant");
    assert_eq!(of(&lab, "next", &["skipped"]), ["16:00:00 next skipped 0: waited in vain: data has not succeeded yet"]);
    assert_eq!(result(&lab, "next"), RunResult::Skipped);
}

#[tokio::test(start_paused = true)]
async fn a_dependent_whose_predecessor_ran_before_anybody_watched_is_told_at_its_own_start() {
    let mut next = until(after("next", "data", Condition::Succeeded), Anchor::Close, 2);
    next.window.start = TimePoint::Anchor(Anchor::Close, TimeDelta::minutes(30));
    let lab = Lab::new("2026-11-23 16:10:00").script(script("data")).script(next).start().await;
    lab.run_until("2026-11-23 16:31:00").await;
    assert_eq!(
        lab.story(),
        ["16:30:00 next skipped 0: data does not run today: its window was over before it could be started"]
    );
}

#[tokio::test(start_paused = true)]
async fn conditions_are_asked_before_the_first_attempt_only() {
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("data"))
        .script(after("next", "data", Condition::Succeeded))
        .acts("data", [Act::Exit(0, secs(5))])
        .acts("next", [Act::Exit(1, secs(60)), Act::RunUntilStopped])
        .start()
        .await;
    lab.run_until("2026-11-24 08:30:02").await;
    assert_eq!(of(&lab, "next", &["start"]).len(), 2);
    assert_eq!(
        of(&lab, "next", &["waiting"]).last().map(String::as_str),
        Some("08:30:00 next waiting 0: data has not succeeded yet")
    );
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_is_at_its_next_date_already_is_judged_by_the_date_asked_for() {
    // Round the clock in UTC: its date changes at 19:00 in New York, where the run is carried over.
    let mut data = script("data");
    data.window.calendar = "always".into();
    (data.window.start, data.window.stop) =
        (TimePoint::Anchor(Anchor::Open, TimeDelta::zero()), TimePoint::Anchor(Anchor::Close, TimeDelta::zero()));
    let at = |hour| TimePoint::At(chrono::NaiveTime::from_hms_opt(hour, 0, 0).expect("a time"));
    let mut waits = after("waits", "data", Condition::Succeeded);
    (waits.window.start, waits.window.stop) = (at(17), at(22));
    let mut late = after("late", "data", Condition::Succeeded);
    (late.window.start, late.window.stop) = (at(20), at(22));
    let lab = Lab::new("2026-11-23 08:00:00")
        .calendar("always", mho::domain::calendar::Calendar::builtin("always").expect("built in"))
        .script(data)
        .script(waits)
        .script(late)
        .start()
        .await;
    lab.run_until("2026-11-23 21:00:00").await;
    assert_eq!(of(&lab, "waits", &["start"]), ["19:00:00 waits start 1"]);
    assert_eq!(of(&lab, "late", &["start"]), ["20:00:00 late start 1"]);
}
