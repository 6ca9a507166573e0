//! `max_duration`: a deadline fixed at the first start of a run.

use std::time::Duration;

use mho::domain::lifecycle::StateName;
use mho::domain::notice::What;
use mho::domain::outcome::RunResult;
use mho::domain::script::ScriptSpec;
use mho::testkit::{Act, Lab, Running};

fn limited(limit: Duration) -> ScriptSpec {
    ScriptSpec { max_duration: Some(limit), ..ScriptSpec::with_defaults("demo", "demo.py") }
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

async fn day(spec: ScriptSpec, acts: Vec<Act>) -> Running {
    let lab = Lab::new("2026-11-23 08:00:00").script(spec).acts("demo", acts).start().await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert!(lab.launcher.overlaps().is_empty());
    lab
}

fn warnings(lab: &Running) -> Vec<String> {
    let zone = chrono_tz::America::New_York;
    let lines =
        lab.notices().into_iter().filter(|n| matches!(n.what, What::LimitNear { .. } | What::LimitReached { .. }));
    let text = |n: mho::domain::notice::Notice| {
        format!("{} {}", n.at.with_timezone(&zone).format("%H:%M:%S"), n.lines(zone)[0].text)
    };
    lines.map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn seven_hours_end_at_half_past_three_after_a_warning_fifteen_minutes_before() {
    let lab = day(limited(hours(7)), vec![Act::RunUntilStopped]).await;
    assert_eq!(
        lab.story(),
        [
            "08:30:00 demo start 1",
            "15:30:00 demo stop 1: time limit",
            "15:30:00 demo exit 1: SIGTERM, stopped",
            "15:30:00 demo finished 1: time_limit",
        ]
    );
    assert_eq!(
        warnings(&lab),
        ["15:15:00 Script has run for 6h45m of max 7h", "15:30:00 Script exceeded max duration (25200s). Stopping.",]
    );
    assert_eq!(lab.view("demo").await.state, StateName::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_limit_at_or_after_the_stop_is_void() {
    for limit in [Duration::from_secs(7 * 3600 + 1800), hours(9)] {
        let lab = day(limited(limit), vec![Act::RunUntilStopped]).await;
        assert_eq!(lab.results("demo")[0].1, RunResult::WindowEnd);
        assert_eq!(warnings(&lab), [""; 0]);
        assert_eq!(lab.launcher.orders()[0].context.deadline, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_counts_from_the_first_start_and_restarts_do_not_move_it() {
    let acts = vec![Act::Exit(1, hours(1)), Act::Exit(1, hours(1)), Act::RunUntilStopped];
    let lab = day(limited(hours(3)), acts).await;
    assert_eq!(lab.story_of(&["stop", "finished"])[0], "11:30:00 demo stop 3: time limit");
    let deadlines: Vec<_> = lab.launcher.orders().iter().map(|o| o.context.deadline).collect();
    assert!(deadlines.iter().all(|d| d.is_some() && *d == deadlines[0]), "{deadlines:?}");
    assert_eq!(lab.results("demo").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn backoff_does_not_extend_the_limit() {
    let mut spec = limited(hours(1));
    spec.restart.initial_delay = Duration::from_secs(1200);
    spec.restart.max_delay = Duration::from_secs(1200);
    // 08:30 to 08:50, waits to 09:10, would be stopped at 09:30.
    let acts = vec![Act::Exit(1, Duration::from_secs(1200)), Act::RunUntilStopped];
    let lab = day(spec, acts).await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1", "09:10:00 demo start 2"]);
    assert_eq!(lab.story_of(&["stop"])[0], "09:30:00 demo stop 2: time limit");
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_would_end_at_or_after_the_deadline_is_not_served() {
    let mut spec = limited(Duration::from_secs(600));
    spec.restart.initial_delay = Duration::from_secs(60);
    let lab = day(spec, vec![Act::Exit(1, Duration::from_secs(540))]).await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(lab.story_of(&["finished"]), ["08:39:00 demo finished 1: failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_comes_while_the_script_has_given_up_ends_the_run() {
    let mut spec = limited(hours(2));
    spec.restart.max_restarts = 0;
    spec.restart.cooldown = Some(Duration::from_secs(2400));
    let lab = day(spec, vec![Act::Exit(1, Duration::from_secs(1))]).await;
    let results = lab.results("demo");
    assert_eq!(results.len(), 1);
    assert!(matches!(results[0].1, RunResult::TimeLimit | RunResult::Failed), "{:#?}", lab.story());
    assert!(lab.story().last().is_some_and(|line| line.as_str() <= "10:30:00 demo g"), "{:#?}", lab.story());
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ignores_its_limit_is_killed_and_its_result_is_the_limit() {
    let lab = day(limited(hours(7)), vec![Act::Ignore]).await;
    assert_eq!(lab.story()[2], "15:30:10 demo kill 1");
    assert_eq!(lab.results("demo")[0].1, RunResult::TimeLimit);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_comes_during_the_grace_of_a_limit_does_not_take_over() {
    let mut spec = limited(hours(7) + Duration::from_secs(1799));
    spec.stop.grace = Duration::from_secs(60);
    let lab = day(spec, vec![Act::Ignore]).await;
    assert_eq!(lab.story_of(&["stop"]), ["15:59:59 demo stop 1: time limit"]);
    assert_eq!(lab.results("demo").len(), 1);
    assert_eq!(lab.results("demo")[0].1, RunResult::TimeLimit);
}

#[tokio::test(start_paused = true)]
async fn a_limit_shorter_than_the_warning_gives_no_warning() {
    let lab = day(limited(Duration::from_secs(600)), vec![Act::RunUntilStopped]).await;
    assert_eq!(warnings(&lab), ["08:40:00 Script exceeded max duration (600s). Stopping."]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_over_warning_and_limit_tells_of_the_limit_alone() {
    let lab = Lab::new("2026-11-23 08:30:00").script(limited(hours(2))).start().await;
    lab.run_for(Duration::from_secs(60)).await;
    lab.clock.step(chrono::TimeDelta::hours(4));
    lab.run_for(Duration::from_secs(60)).await;
    assert_eq!(warnings(&lab), ["12:31:00 Script exceeded max duration (7200s). Stopping."]);
    assert_eq!(lab.results("demo")[0].1, RunResult::TimeLimit);
}
