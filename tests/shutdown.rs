//! The end of the daemon: layers, graces, second requests, and what it leaves to the next daemon.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::America::New_York;
use mho::domain::outcome::RunResult;
use mho::domain::script::{Condition, Dependency, ScriptName, ScriptSpec};
use mho::domain::tree::Outcome;
use mho::testkit::{Act, Call, Lab};
use tokio::time::Instant;

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "x.py")
}

fn after(name: &str, on: &str, condition: Condition) -> ScriptSpec {
    let script_name = ScriptName::new(on).expect("a name");
    ScriptSpec { depends_on: vec![Dependency { script: script_name, condition }], ..script(name) }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_the_stop_signal_at_once_and_ends_no_run() {
    let mut lab = Lab::new("2026-11-23 10:00:00").script(script("demo")).start().await;
    lab.run_for(secs(60)).await;
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    assert_eq!(
        lab.story(),
        ["10:00:00 demo start 1", "10:01:00 demo stop 1: daemon shutdown", "10:01:00 demo exit 1: SIGTERM, stopped",]
    );
    assert_eq!(lab.results("demo"), [], "the next daemon goes on with it");
    assert!(lab.launcher.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_anything_alive_ends_at_once() {
    let mut lab = Lab::new("2026-11-22 10:00:00").script(script("demo")).start().await;
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn dependents_are_gone_before_what_they_depend_on_is_told() {
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(script("data"))
        .script(after("strategy", "data", Condition::Succeeded))
        .acts("data", [Act::Exit(0, secs(1)), Act::Linger(secs(3))])
        .acts("strategy", [Act::Linger(secs(4))])
        .without_clock()
        .start()
        .await;
    lab.open_window("data", "16:00:00").await;
    lab.open_window("strategy", "16:00:00").await;
    lab.run_for(secs(5)).await;
    // The data of the next date, while the strategy of this one still runs.
    lab.clock.step(chrono::TimeDelta::days(1));
    lab.open_window("data", "16:00:00").await;
    lab.run_for(secs(5)).await;
    assert_eq!(lab.launcher.live().len(), 2);
    let told = Instant::now();
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    let signals: Vec<_> = lab
        .launcher
        .calls()
        .into_iter()
        .filter_map(|(at, call)| match call {
            Call::Signal(attempt, _) => Some((attempt.script.to_string(), (at - told).as_secs())),
            _ => None,
        })
        .collect();
    assert_eq!(signals, [("strategy".to_owned(), 0), ("data".to_owned(), 4)]);
}

#[tokio::test(start_paused = true)]
async fn fifty_scripts_that_need_nine_seconds_stop_together() {
    let mut lab = Lab::new("2026-11-23 10:00:00");
    for n in 0..50 {
        let name = format!("s{n}");
        lab = lab.script(script(&name)).acts(&name, [Act::Linger(secs(9))]);
    }
    let mut lab = lab.start().await;
    lab.run_for(secs(60)).await;
    assert_eq!(lab.launcher.live().len(), 50);
    let begin = Instant::now();
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    assert!(begin.elapsed() < secs(10), "{:?}", begin.elapsed());
    assert_eq!(lab.story_of(&["kill"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_script_is_killed_after_its_own_grace() {
    let mut spec = script("demo");
    spec.stop.grace = secs(25);
    let mut lab = Lab::new("2026-11-23 10:00:00").script(spec).acts("demo", [Act::Ignore]).start().await;
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    assert_eq!(lab.story_of(&["kill"]), ["10:00:25 demo kill 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_kills_everything_at_once() {
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(script("a"))
        .script(script("b"))
        .acts("a", [Act::Ignore])
        .acts("b", [Act::Ignore])
        .start()
        .await;
    lab.shut_down();
    lab.run_for(secs(2)).await;
    lab.kill();
    assert_eq!(lab.ended().await, Outcome::Killed);
    assert_eq!(lab.story_of(&["kill"]), ["10:00:02 a kill 1", "10:00:02 b kill 1"]);
    assert!(lab.launcher.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_start_in_the_same_instant_as_the_shutdown_leaves_nothing_behind() {
    let mut started = 0;
    for turns in 0..12 {
        let lab = Lab::new("2026-11-23 10:00:00").script(script("demo")).without_clock().start().await;
        let lab = Arc::new(lab);
        let asker = Arc::clone(&lab);
        // A task among those of the actors, so that the request comes between any two of their turns.
        let asked = tokio::spawn(async move {
            let mut left = turns;
            // Not `yield_now`, which comes again only when all the others are idle.
            std::future::poll_fn(|cx| {
                if left == 0 {
                    return std::task::Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            asker.shut_down();
        });
        lab.open_window("demo", "16:00:00").await;
        asked.await.expect("it asks");
        let mut lab = Arc::into_inner(lab).expect("nobody else has it");
        assert_eq!(lab.ended().await, Outcome::Stopped);
        assert!(lab.launcher.live().is_empty(), "{turns}: {:?}", lab.launcher.live());
        started += lab.launcher.orders().len();
    }
    assert!(started > 0, "some starts came first");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_start_and_a_backoff_are_called_off() {
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(script("data"))
        .script(after("strategy", "data", Condition::Succeeded))
        .acts("data", [Act::Exit(1, secs(1))])
        .start()
        .await;
    lab.run_for(Duration::from_millis(1_500)).await;
    assert_eq!(lab.launcher.live(), []);
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    lab.run_for(secs(7200)).await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(lab.story_of(&["finished", "skipped"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_the_shutdown_starts_nothing_new() {
    let mut spec = script("data");
    spec.restart.initial_delay = Duration::ZERO;
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(spec)
        .script(script("slow"))
        .acts("data", [Act::Exit(1, secs(3))])
        .acts("slow", [Act::Linger(secs(8))])
        .start()
        .await;
    lab.run_for(Duration::from_millis(2_999)).await;
    lab.shut_down();
    assert_eq!(lab.ended().await, Outcome::Stopped);
    assert!(lab.launcher.live().is_empty());
    assert!(lab.launcher.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_the_close_that_a_shutdown_takes_over_still_ends_the_run() {
    let mut lab =
        Lab::new("2026-11-23 15:00:00").script(script("demo")).acts("demo", [Act::Linger(secs(5))]).start().await;
    lab.run_until("2026-11-23 16:00:02").await;
    lab.shut_down();
    lab.settle().await;
    assert_eq!(lab.view("demo").await.reason, "daemon shutdown", "the stronger reason");
    assert_eq!(lab.ended().await, Outcome::Stopped);
    let results: Vec<_> = lab.results("demo").into_iter().map(|(_, r)| r).collect();
    assert_eq!(results, [RunResult::WindowEnd]);
    assert_eq!(lab.story_of(&["stop"]).len(), 1, "one stop, one signal");
}

#[tokio::test(start_paused = true)]
async fn what_survives_sigkill_does_not_keep_the_daemon_from_ending() {
    for before in [false, true] {
        let mut lab = Lab::new("2026-11-23 15:59:00").script(script("demo")).acts("demo", [Act::Survive]).start().await;
        if before {
            lab.run_until("2026-11-23 16:01:00").await;
        }
        let begin = Instant::now();
        lab.shut_down();
        assert_eq!(lab.ended().await, Outcome::Stopped);
        assert!(begin.elapsed() < secs(20));
        let named =
            lab.notices().iter().any(|n| n.lines(New_York).iter().any(|line| line.text.contains("survived SIGKILL")));
        assert!(named, "a warning names them");
    }
}

#[tokio::test(start_paused = true)]
async fn a_critical_script_that_gives_up_stops_everything() {
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(ScriptSpec { critical: true, ..script("risk") })
        .script(script("other"))
        .acts("risk", [Act::Exit(1, secs(1))])
        .start()
        .await;
    let Outcome::Critical(reason) = lab.ended().await else { panic!("critical") };
    assert_eq!(reason, "critical script risk failed: more than 5 restarts within 10m");
    assert!(lab.launcher.live().is_empty());
    assert_eq!(lab.story_of(&["stop"]), ["10:00:37 other stop 1: daemon shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn a_critical_script_with_a_fatal_code_stops_everything_and_one_that_succeeds_nothing() {
    let critical = || ScriptSpec { critical: true, ..script("risk") };
    let mut fatal =
        Lab::new("2026-11-23 10:00:00").script(critical()).acts("risk", [Act::Exit(78, secs(1))]).start().await;
    assert!(matches!(fatal.ended().await, Outcome::Critical(_)));
    let done = Lab::new("2026-11-23 10:00:00").script(critical()).acts("risk", [Act::Exit(0, secs(1))]).start().await;
    done.run_until("2026-11-23 17:00:00").await;
    assert_eq!(done.results("risk")[0].1, RunResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_dependent_that_waited_for_the_failure_of_a_critical_script_does_not_start_while_everything_ends() {
    let critical = ScriptSpec { critical: true, ..script("crit") };
    let mut lab = Lab::new("2026-11-23 10:00:00")
        .script(critical)
        .script(after("plan_b", "crit", Condition::Failed))
        .acts("crit", [Act::Exit(78, secs(5))])
        .start()
        .await;
    assert!(matches!(lab.ended().await, Outcome::Critical(_)));
    assert_eq!(lab.story_of(&["start"]), ["10:00:00 crit start 1"]);
    assert_eq!(lab.results("crit").len(), 1, "its run has a result");
}

#[tokio::test(start_paused = true)]
async fn a_critical_script_that_spent_its_budget_has_a_result_and_no_next_try() {
    let critical = ScriptSpec { critical: true, ..script("crit") };
    let mut lab = Lab::new("2026-11-23 10:00:00").script(critical).acts("crit", [Act::Exit(1, secs(1))]).start().await;
    assert!(matches!(lab.ended().await, Outcome::Critical(_)));
    assert_eq!(lab.results("crit").iter().map(|(_, result)| *result).collect::<Vec<_>>(), [RunResult::Failed]);
}
