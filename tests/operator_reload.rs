//! A configuration that changes while scripts run, on virtual time.

use std::time::Duration;

use chrono::{NaiveTime, TimeDelta};
use mho::domain::lifecycle::StateName;
use mho::domain::operator::Whom;
use mho::domain::outcome::RunResult;
use mho::domain::script::{Anchor, Condition, Dependency, ScriptName, ScriptSpec, TimePoint};
use mho::testkit::{Act, Asked, Change, Lab, Running};

const DAY: &str = "2026-11-25";

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn named(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "other.py")
}

fn close_at(hour: u32) -> TimePoint {
    TimePoint::At(NaiveTime::from_hms_opt(hour, 0, 0).expect("a time"))
}

async fn begin(time: &str, spec: ScriptSpec) -> Running {
    Lab::new(&format!("{DAY} {time}")).script(spec).start().await
}

async fn pid(lab: &Running) -> Option<u32> {
    lab.view("demo").await.pid
}

fn starts(lab: &Running) -> usize {
    lab.story_of(&["start"]).len()
}

#[tokio::test(start_paused = true)]
async fn what_is_unchanged_is_untouched_however_often_it_is_read() {
    let mut lab = begin("09:00:00", demo()).await;
    let before = pid(&lab).await;
    for _ in 0..20 {
        assert_eq!(lab.reconfigure(vec![demo()], true).await, Some(vec![]));
    }
    assert_eq!((pid(&lab).await, starts(&lab)), (before, 1));
}

#[tokio::test(start_paused = true)]
async fn a_policy_counts_at_once_and_the_process_stays() {
    let mut lab = Lab::new(&format!("{DAY} 09:00:00")).script(demo()).acts("demo", [Act::Ignore]).start().await;
    let before = pid(&lab).await;
    let mut spec = demo();
    spec.stop.grace = Duration::from_secs(2);
    spec.max_duration = Some(Duration::from_secs(3600));
    lab.reconfigure(vec![spec], true).await.expect("taken over");
    assert_eq!((pid(&lab).await, starts(&lab)), (before, 1), "restart is for what needs a new process");
    lab.run_until(&format!("{DAY} 10:00:03")).await;
    assert_eq!(lab.story_of(&["stop", "kill"]), ["10:00:00 demo stop 1: time limit", "10:00:02 demo kill 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_past_already_ends_the_run_at_once() {
    let mut lab = begin("09:00:00", demo()).await;
    lab.run_until(&format!("{DAY} 11:00:00")).await;
    let spec = ScriptSpec { max_duration: Some(Duration::from_secs(60)), ..demo() };
    lab.reconfigure(vec![spec], false).await.expect("taken over");
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!(lab.view("demo").await.state, StateName::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_a_process_is_started_with_counts_for_the_next_one() {
    let mut lab = begin("09:00:00", demo()).await;
    let before = pid(&lab).await;
    let mut spec = demo();
    spec.launch.args = vec!["--fast".to_owned()];
    let changes = lab.reconfigure(vec![spec.clone()], false).await.expect("taken over");
    let name = ScriptName::new("demo").expect("a name");
    assert_eq!(changes, [Change::Changed { name, at_once: vec![], next_start: vec!["command"] }]);
    assert_eq!(pid(&lab).await, before);
    lab.order("demo", Asked::Restart).await.expect("taken");
    let args = |lab: &Running| lab.launcher.orders().last().map(|order| order.launch.args.clone());
    assert_eq!(args(&lab), Some(vec!["--fast".to_owned()]));
    spec.launch.args = vec!["--slow".to_owned()];
    lab.reconfigure(vec![spec], true).await.expect("taken over");
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!(args(&lab), Some(vec!["--slow".to_owned()]), "told to restart");
    assert_eq!((starts(&lab), lab.view("demo").await.state), (3, StateName::Running));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_reload_left_for_the_next_start_is_restarted_when_that_is_asked_for() {
    let mut lab = begin("09:00:00", demo()).await;
    let mut spec = demo();
    spec.launch.args = vec!["--fast".to_owned()];
    lab.reconfigure(vec![spec.clone()], false).await.expect("taken over");
    let name = ScriptName::new("demo").expect("a name");
    let left = Change::Changed { name, at_once: vec![], next_start: vec!["command"] };
    assert_eq!(lab.reconfigure(vec![spec.clone()], true).await, Some(vec![left]));
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!((starts(&lab), lab.view("demo").await.state), (2, StateName::Running));
    assert_eq!(lab.reconfigure(vec![spec], true).await, Some(vec![]), "nothing is left");
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!(starts(&lab), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reload_brings_nothing_back_that_an_operator_is_stopping() {
    let mut lab = Lab::new(&format!("{DAY} 09:00:00")).script(demo()).acts("demo", [Act::Ignore]).start().await;
    lab.order_to(Whom::One("demo".to_owned()), Asked::Stop, None).await.expect("taken");
    assert_eq!(lab.view("demo").await.state, StateName::Stopping);
    let mut spec = demo();
    spec.launch.args = vec!["--fast".to_owned()];
    lab.reconfigure(vec![spec], true).await.expect("taken over");
    lab.run_for(Duration::from_secs(60)).await;
    assert_eq!((starts(&lab), lab.view("demo").await.state), (1, StateName::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_removed_script_is_stopped_once_and_one_that_comes_runs_in_its_open_window() {
    let mut lab = Lab::new(&format!("{DAY} 09:00:00")).script(demo()).acts("demo", [Act::Ignore]).start().await;
    lab.reconfigure(vec![named("other")], false).await.expect("taken over");
    assert_eq!(lab.view("other").await.state, StateName::Running);
    // Once more, while it is being stopped.
    lab.reconfigure(vec![named("other")], false).await.expect("taken over");
    lab.run_for(Duration::from_secs(11)).await;
    assert_eq!(lab.story_of(&["stop"]), ["09:00:00 demo stop 1: operator"]);
    assert_eq!(lab.view("demo").await.reason, "removed from the configuration");
    // Back again: its run of today is over.
    lab.reconfigure(vec![named("other"), demo()], false).await.expect("taken over");
    lab.run_until("2026-11-27 08:30:01").await;
    assert_eq!(lab.view("demo").await.state, StateName::Running);
    assert_eq!(lab.results("demo").first().map(|(_, result)| *result), Some(RunResult::StoppedByOperator));
}

#[tokio::test(start_paused = true)]
async fn a_window_moves_at_once() {
    let mut spec = demo();
    spec.window.stop = close_at(12);
    let mut lab = begin("09:00:00", spec.clone()).await;
    let before = pid(&lab).await;
    spec.window.stop = close_at(14);
    lab.reconfigure(vec![spec.clone()], false).await.expect("taken over");
    lab.run_until(&format!("{DAY} 13:00:00")).await;
    assert_eq!(pid(&lab).await, before, "it got more time");
    spec.window.stop = close_at(10);
    lab.reconfigure(vec![spec.clone()], false).await.expect("taken over");
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!((pid(&lab).await, lab.view("demo").await.state), (None, StateName::Finished));
    spec.window.start = TimePoint::Anchor(Anchor::Open, TimeDelta::hours(-2));
    spec.window.stop = TimePoint::Anchor(Anchor::Close, TimeDelta::zero());
    lab.reconfigure(vec![spec], false).await.expect("taken over");
    assert_eq!(lab.view("demo").await.state, StateName::Running, "only its window had ended it");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_disabled_is_stopped_and_shown_as_such() {
    let off = || ScriptSpec { enabled: false, ..demo() };
    let mut lab = begin("09:00:00", demo()).await;
    lab.reconfigure(vec![off()], false).await.expect("taken over");
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!(lab.view("demo").await.reason, "disabled in the configuration");
    let mut idle = begin("07:00:00", demo()).await;
    idle.reconfigure(vec![off()], false).await.expect("taken over");
    assert_eq!(idle.view("demo").await.state, StateName::Disabled);
    idle.run_until(&format!("{DAY} 08:00:00")).await;
    idle.reconfigure(vec![demo()], false).await.expect("taken over");
    idle.run_until(&format!("{DAY} 08:31:00")).await;
    assert_eq!(idle.story_of(&["start"]), ["08:30:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn who_need_not_wait_any_more_starts() {
    let feed = Dependency { script: ScriptName::new("feed").expect("a name"), condition: Condition::Succeeded };
    let waiting = ScriptSpec { depends_on: vec![feed], ..demo() };
    let mut lab = Lab::new(&format!("{DAY} 09:00:00")).script(named("feed")).script(waiting).start().await;
    assert_eq!(lab.view("demo").await.state, StateName::Waiting);
    lab.reconfigure(vec![named("feed"), demo()], false).await.expect("taken over");
    assert_eq!(lab.view("demo").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn while_the_daemon_ends_nothing_is_taken_over() {
    let mut lab = Lab::new(&format!("{DAY} 09:00:00")).script(demo()).acts("demo", [Act::Ignore]).start().await;
    lab.shut_down();
    assert_eq!(lab.reconfigure(vec![demo(), named("other")], false).await, None);
    lab.ended().await;
    assert_eq!(starts(&lab), 1);
}
