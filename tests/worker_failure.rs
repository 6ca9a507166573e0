//! The actor that watches a script fails: a fault of this program, not of the script.

use std::time::Duration;

use chrono::TimeDelta;
use mho::domain::lifecycle::StateName;
use mho::domain::notice::What;
use mho::domain::outcome::{RunResult, Signal};
use mho::domain::script::{Condition, Dependency, ScriptSpec};
use mho::domain::tree::Outcome;
use mho::ports::RestartCause;
use mho::testkit::{Act, Lab, Running};

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "x.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn start(acts: Vec<Act>) -> Running {
    let lab = Lab::new("2026-11-23 08:00:00").script(script("demo")).script(script("sibling"));
    lab.acts("demo", acts).start().await
}

fn of(lab: &Running, name: &str, events: &[&str]) -> Vec<String> {
    lab.story_of(events).into_iter().filter(|line| line.split(' ').nth(1) == Some(name)).collect()
}

fn failures(lab: &Running) -> Vec<bool> {
    let failed = |n: mho::domain::notice::Notice| match n.what {
        What::WorkerFailed { again, .. } => Some(again),
        _ => None,
    };
    lab.notices().into_iter().filter_map(failed).collect()
}

fn causes(lab: &Running) -> Vec<Option<RestartCause>> {
    let orders = lab.launcher.orders();
    orders.iter().filter(|o| o.attempt.script.as_str() == "demo").map(|o| o.context.restarted_after).collect()
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_breaks_at_the_start_is_replaced_and_siblings_notice_nothing() {
    let lab = start(vec![Act::BreakTheWatcher, Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(failures(&lab), [true]);
    assert_eq!(of(&lab, "demo", &["start"]), ["08:30:00 demo start 2"], "the first had no answer to its order");
    assert_eq!(causes(&lab), [None, Some(RestartCause::Daemon)]);
    assert_eq!(lab.results("demo").len(), 1);
    assert_eq!(lab.results("demo")[0].1, RunResult::WindowEnd);
    assert_eq!(of(&lab, "sibling", &["start", "stop"]).len(), 2);
    assert!(lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_watcher_left_running_is_gone_before_the_run_goes_on() {
    // Breaks when it stops the script at its limit: the process lives, and the run goes on only to find its limit passed.
    let spec = ScriptSpec { max_duration: Some(secs(3600)), ..script("demo") };
    let lab = Lab::new("2026-11-23 08:00:00").script(spec).acts("demo", [Act::BreakOnSignal]).start().await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(failures(&lab), [true]);
    assert_eq!(
        lab.story(),
        [
            "08:30:00 demo start 1",
            "09:30:00 demo stop 1: time limit",
            "09:30:00 demo exit 1: SIGTERM, stopped",
            "09:30:00 demo finished 1: time_limit",
        ]
    );
    assert!(lab.launcher.live().is_empty() && lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_breaks_at_the_close_still_has_its_script_stopped_and_the_result_is_the_window_end() {
    let lab = start(vec![Act::BreakOnSignal]).await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert!(lab.launcher.live().is_empty());
    assert_eq!(lab.results("demo").into_iter().map(|(_, r)| r).collect::<Vec<_>>(), [RunResult::WindowEnd]);
    assert_eq!(of(&lab, "demo", &["start"]).len(), 1);
    lab.run_until("2026-11-24 09:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Running, "the next day is as any other");
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_orphan_is_killed_after_its_grace_and_never_runs_beside_its_successor() {
    // The watcher is made to fail from outside, with its process alive and deaf.
    let lab = start(vec![Act::Ignore, Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 10:00:00").await;
    lab.break_worker("demo");
    lab.run_until("2026-11-23 10:00:09").await;
    assert_eq!(of(&lab, "demo", &["start"]).len(), 1);
    lab.run_until("2026-11-23 10:01:00").await;
    assert_eq!(
        of(&lab, "demo", &["kill", "exit", "start"])[1..],
        ["10:00:10 demo kill 1", "10:00:10 demo exit 1: SIGKILL, killed_after_grace", "10:00:10 demo start 2",]
    );
    assert_eq!(causes(&lab)[1], Some(RestartCause::Daemon));
    assert_eq!(lab.view("demo").await.restarts, 0, "not a restart of the script's budget");
    assert!(lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_that_comes_while_an_orphan_is_being_stopped_interrupts_the_run() {
    let lab = start(vec![Act::Ignore]).await;
    lab.run_until("2026-11-23 15:59:55").await;
    lab.break_worker("demo");
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.results("demo").into_iter().map(|(_, r)| r).collect::<Vec<_>>(), [RunResult::Interrupted]);
    assert_eq!(of(&lab, "demo", &["start"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_breaks_after_a_crash_goes_on_with_the_budget_it_had() {
    let lab = start(vec![Act::BreakOnTail(1, secs(60)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    assert_eq!(failures(&lab), [true]);
    assert_eq!(of(&lab, "demo", &["start"]).len(), 2);
    assert_eq!(lab.view("demo").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_keeps_breaking_stays_down_for_the_date_and_its_run_has_a_result() {
    let mut next = script("next");
    next.depends_on = vec![Dependency { script: script("demo").name, condition: Condition::Succeeded }];
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("demo"))
        .script(next)
        .acts("demo", [vec![Act::BreakTheWatcher; 4], vec![Act::RunUntilStopped]].concat())
        .start()
        .await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(failures(&lab), [true, true, true, false]);
    assert_eq!(causes(&lab).len(), 4);
    assert_eq!(lab.results("demo").into_iter().map(|(_, r)| r).collect::<Vec<_>>(), [RunResult::Interrupted]);
    let view = lab.view("demo").await;
    assert_eq!((view.state, view.reason.as_str()), (StateName::Failed, "its supervisor failed too often"));
    assert_eq!(of(&lab, "next", &["skipped"]).len(), 1, "its dependents do not wait in vain");
    lab.run_until("2026-11-24 09:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Running, "the next date is another chance");
    assert!(lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_critical_script_without_a_watcher_stops_everything() {
    let spec = ScriptSpec { critical: true, ..script("demo") };
    let lab = Lab::new("2026-11-23 08:00:00").script(spec).script(script("sibling"));
    let mut lab = lab.acts("demo", [Act::BreakTheWatcher]).start().await;
    assert!(matches!(lab.ended().await, Outcome::Critical(_)));
    assert!(lab.launcher.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_an_orphan() {
    let mut lab = start(vec![Act::Ignore]).await;
    lab.run_until("2026-11-23 10:00:00").await;
    lab.break_worker("demo");
    lab.run_for(secs(2)).await;
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    assert!(lab.launcher.live().is_empty());
    assert_eq!(of(&lab, "demo", &["kill"]), ["10:00:10 demo kill 1"]);
    assert_eq!(lab.results("demo"), []);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_kills_an_orphan_too() {
    let mut lab = start(vec![Act::Ignore]).await;
    lab.run_until("2026-11-23 10:00:00").await;
    lab.break_worker("demo");
    lab.run_for(secs(2)).await;
    lab.shut_down();
    lab.settle().await;
    lab.kill();
    assert_eq!(lab.ended().await, Outcome::Killed);
    assert_eq!(of(&lab, "demo", &["kill"]), ["10:00:02 demo kill 1"]);
}

#[tokio::test(start_paused = true)]
async fn dates_that_pass_while_nobody_watches_are_missed_and_not_forgotten() {
    let lab = start(vec![Act::Survive, Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 10:00:00").await;
    lab.break_worker("demo");
    lab.run_for(secs(20)).await;
    lab.clock.step(TimeDelta::days(2));
    lab.run_for(secs(20)).await;
    lab.launcher.kill_by_hand(&script("demo").name, Signal::KILL);
    lab.run_for(secs(20)).await;
    let mut results: Vec<_> = lab.results("demo").into_iter().map(|(d, r)| (d.to_string(), r)).collect();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        results,
        [("2026-11-23".to_owned(), RunResult::Interrupted), ("2026-11-24".to_owned(), RunResult::Missed)]
    );
    assert_eq!(lab.view("demo").await.trading_date.map(|d| d.to_string()).as_deref(), Some("2026-11-25"));
    assert!(lab.launcher.overlaps().is_empty());
}
