//! Crashes: backoff, budget, giving up, re-arm, and what is never restarted.

use std::time::Duration;

use mho::domain::lifecycle::StateName;
use mho::domain::notice::What;
use mho::domain::outcome::{RunResult, Signal};
use mho::domain::script::{Policy, ScriptSpec};
use mho::testkit::{Act, Call, Lab, Running};

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "x.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn start(spec: ScriptSpec, acts: impl IntoIterator<Item = Act>) -> Running {
    let name = spec.name.to_string();
    Lab::new("2026-11-23 08:00:00").script(spec).acts(&name, acts).start().await
}

fn result(lab: &Running, script: &str) -> RunResult {
    assert!(lab.launcher.overlaps().is_empty());
    let results = lab.results(script);
    assert_eq!(results.len(), 1, "{:#?}", lab.story());
    results[0].1
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_gives_up_after_six_attempts_tries_each_cooldown_and_is_rearmed_at_the_open() {
    let lab = start(script("demo"), [Act::Exit(1, secs(5))]).await;
    lab.run_until("2026-11-23 09:29:59").await;
    assert_eq!(
        lab.story_of(&["start", "gave_up", "rearmed"]),
        [
            "08:30:00 demo start 1",
            "08:30:06 demo start 2",
            "08:30:13 demo start 3",
            "08:30:22 demo start 4",
            "08:30:35 demo start 5",
            "08:30:56 demo start 6",
            "08:31:01 demo gave_up 6: more than 5 restarts within 10m",
            "08:51:01 demo start 7",
            "09:11:06 demo start 8",
        ]
    );
    let view = lab.view("demo").await;
    assert_eq!(view.state, StateName::Failed);
    assert_eq!(view.next.map(|n| n.at.to_rfc3339()).as_deref(), Some("2026-11-23T14:30:00+00:00"), "the re-arm");
    lab.run_until("2026-11-23 09:30:00").await;
    let story = lab.story();
    assert_eq!(story[story.len() - 2..], ["09:30:00 demo rearmed 8", "09:30:00 demo start 9"]);
    lab.run_until("2026-11-23 17:00:00").await;
    let gave_up = lab.story_of(&["gave_up"]);
    assert_eq!(gave_up.len(), 2, "one alert per episode");
    assert!(lab.story_of(&["start"]).len() < 40, "not 360 an hour");
    assert_eq!(result(&lab, "demo"), RunResult::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_refuses_to_work_before_the_open_does_not_lose_the_day() {
    let refusals = std::iter::repeat_n(Act::Exit(1, secs(5)), 8);
    let lab = start(script("demo"), refusals.chain([Act::RunUntilStopped])).await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]).last().map(String::as_str), Some("09:30:00 demo start 9"));
    assert_eq!(result(&lab, "demo"), RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn without_a_cooldown_the_open_is_the_only_further_try() {
    let mut spec = script("demo");
    spec.restart.cooldown = None;
    let lab = start(spec, [Act::Exit(1, secs(5))]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 12);
    assert_eq!(lab.story_of(&["start"])[6], "09:30:00 demo start 7");
    assert_eq!(lab.story_of(&["finished"]), ["09:31:01 demo finished 12: failed"], "no try is left");
}

#[tokio::test(start_paused = true)]
async fn each_policy_restarts_what_it_says() {
    for (policy, code, again, expected) in [
        (Policy::Never, 0, false, RunResult::Succeeded),
        (Policy::Never, 1, false, RunResult::Failed),
        (Policy::OnFailure, 0, false, RunResult::Succeeded),
        (Policy::OnFailure, 1, true, RunResult::WindowEnd),
        (Policy::Always, 0, true, RunResult::WindowEnd),
        (Policy::Always, 1, true, RunResult::WindowEnd),
    ] {
        let mut spec = script("demo");
        spec.restart.policy = policy;
        let lab = start(spec, [Act::Exit(code, secs(300)), Act::RunUntilStopped]).await;
        lab.run_until("2026-11-23 17:00:00").await;
        assert_eq!(lab.story_of(&["start"]).len() > 1, again, "{policy:?} {code}");
        assert_eq!(result(&lab, "demo"), expected, "{policy:?} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn neighbours_have_their_own_policies_and_budgets() {
    let mut stubborn = script("stubborn");
    stubborn.restart.policy = Policy::Never;
    let lab = Lab::new("2026-11-23 08:00:00")
        .script(script("loops"))
        .script(stubborn)
        .script(script("calm"))
        .acts("loops", [Act::Exit(1, secs(5))])
        .acts("stubborn", [Act::Exit(1, secs(5))])
        .start()
        .await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(result(&lab, "loops"), RunResult::Failed);
    assert_eq!(result(&lab, "stubborn"), RunResult::Failed);
    assert_eq!(result(&lab, "calm"), RunResult::WindowEnd);
    let starts = lab.story_of(&["start"]);
    assert_eq!(starts.iter().filter(|line| line.contains("calm")).count(), 1);
    assert_eq!(starts.iter().filter(|line| line.contains("stubborn")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_lived_long_enough_resets_delay_and_budget() {
    let mut spec = script("demo");
    spec.restart.reset_after = secs(60);
    let lab = start(spec, [Act::Exit(1, secs(60))]).await;
    lab.run_until("2026-11-23 09:29:00").await;
    assert_eq!(lab.story_of(&["gave_up"]), [""; 0]);
    assert!(lab.story_of(&["restart_scheduled"]).iter().all(|line| line.ends_with("1000 ms, restart 1 of 5")));
}

#[tokio::test(start_paused = true)]
async fn crashes_that_are_further_apart_than_the_budget_allows_never_give_up() {
    let mut spec = script("demo");
    spec.restart.max_restarts = 3;
    spec.restart.within = secs(60);
    spec.restart.reset_after = secs(7200);
    let lab = start(spec, [Act::Exit(1, secs(1200))]).await;
    lab.run_until("2026-11-23 15:00:00").await;
    assert_eq!(lab.story_of(&["gave_up"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_code_fails_for_the_date_at_once() {
    let lab = start(script("demo"), [Act::Exit(78, secs(5))]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(lab.story_of(&["finished"]), ["08:30:05 demo finished 1: failed"]);
    lab.run_until("2026-11-24 09:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 2, "the next date is fresh");
}

#[tokio::test(start_paused = true)]
async fn a_success_sooner_than_min_runtime_is_a_crash() {
    let mut spec = script("demo");
    spec.exits.min_runtime = secs(30);
    let lab = start(spec, [Act::Exit(0, secs(29)), Act::Exit(0, secs(30))]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(lab.story_of(&["exit"]), ["08:30:29 demo exit 1: 0, crashed", "08:31:00 demo exit 2: 0, succeeded"]);
    assert_eq!(result(&lab, "demo"), RunResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_failed_spawn_is_an_attempt_under_the_same_budget_with_its_own_text() {
    let lab = start(script("demo"), [Act::FailToSpawn("not found: /x/y.py".into())]).await;
    lab.run_until("2026-11-23 08:45:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 6);
    assert_eq!(lab.story_of(&["gave_up"]).len(), 1);
    assert_eq!(lab.story_of(&["exit"]), [""; 0], "there was no process");
    let texts: Vec<_> = lab
        .notices()
        .into_iter()
        .filter_map(|n| match n.what {
            What::SpawnFailed { error } => Some(error.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, vec!["not found: /x/y.py"; 6]);
    let last = lab.view("demo").await.last_exit.expect("an end is known");
    assert_eq!((last.exit, last.result.name()), (None, "spawn_failed"));
}

#[tokio::test(start_paused = true)]
async fn a_vanished_program_that_comes_back_runs() {
    let gone = Act::FailToSpawn("not found".into());
    let lab = start(script("demo"), [gone.clone(), gone, Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(result(&lab, "demo"), RunResult::WindowEnd);
    assert_eq!(lab.launcher.orders().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_would_end_at_or_after_the_stop_is_not_served() {
    // 7 h 29 min 58 s of life, then a delay of 2 s would end in the instant of the close.
    for (lived, delay, served) in [(26_998, 2, false), (26_998, 1, true), (26_999, 60, false)] {
        let mut spec = script("demo");
        spec.restart.initial_delay = secs(delay);
        let lab = start(spec, [Act::Exit(1, secs(lived)), Act::RunUntilStopped]).await;
        lab.run_until("2026-11-23 23:00:00").await;
        let expected = if served { RunResult::WindowEnd } else { RunResult::Failed };
        assert_eq!(result(&lab, "demo"), expected, "{lived} {delay}");
        assert_eq!(lab.story_of(&["start"]).len(), 1 + usize::from(served));
        assert_eq!(lab.story_of(&["restart_scheduled"]).len(), usize::from(served), "none is promised");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_under_always_that_leaves_no_time_for_another_attempt_has_succeeded() {
    let mut spec = script("demo");
    spec.restart.policy = Policy::Always;
    spec.restart.initial_delay = secs(10);
    let lab = start(spec, [Act::Exit(0, secs(26_995))]).await;
    lab.run_until("2026-11-23 23:00:00").await;
    assert_eq!(result(&lab, "demo"), RunResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_comes_while_a_script_waits_for_its_next_attempt_is_a_failure_and_disarms_it() {
    let lab = Lab::new("2026-11-23 10:00:00")
        .script(script("demo"))
        .acts("demo", [Act::Exit(1, secs(1))])
        .without_clock()
        .start()
        .await;
    lab.open_window("demo", "16:00:00").await;
    lab.run_for(Duration::from_millis(1_500)).await;
    let waiting = lab.view("demo").await;
    assert_eq!(waiting.state, StateName::Backoff);
    assert_eq!(waiting.reason, "crashed; restart 1 of 5 at 10:00:02");
    assert_eq!(waiting.next.map(|n| n.action), Some("restart"));
    lab.close_window("demo").await;
    assert_eq!(lab.view("demo").await.state, StateName::Failed);
    lab.run_for(secs(3600)).await;
    assert_eq!(lab.story_of(&["start"]).len(), 1);
    assert_eq!(result(&lab, "demo"), RunResult::Failed);
}

#[tokio::test(start_paused = true)]
async fn killed_by_a_foreign_signal_is_a_crash_told_as_a_signal() {
    let lab = start(script("demo"), [Act::Die(Signal::KILL, secs(60)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    assert_eq!(lab.story_of(&["exit"]), ["08:31:00 demo exit 1: SIGKILL, signaled"]);
    assert_eq!(lab.story_of(&["start"]).len(), 2);
    let asked = lab.launcher.calls().into_iter().filter(|(_, call)| matches!(call, Call::ReportTail(_))).count();
    assert_eq!(asked, 1, "a crash reports its last lines");
}

#[tokio::test(start_paused = true)]
async fn an_initial_delay_of_zero_restarts_at_once_and_is_told_why() {
    let mut spec = script("demo");
    spec.restart.initial_delay = Duration::ZERO;
    let lab = start(spec, [Act::Exit(1, secs(60)), Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 1", "08:31:00 demo start 2"]);
    let causes: Vec<_> = lab.launcher.orders().iter().map(|o| o.context.restarted_after).collect();
    assert_eq!(causes, [None, Some(mho::ports::RestartCause::Crash)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_yesterday_starts_fresh_today() {
    let mut spec = script("demo");
    spec.restart.cooldown = None;
    let lab = start(spec, [Act::Exit(1, secs(1))]).await;
    lab.run_until("2026-11-24 08:31:00").await;
    let yesterday = 12;
    let today = lab.story_of(&["start"]).len() - yesterday;
    assert!((5..=6).contains(&today), "{:#?}", lab.story_of(&["start"]));
}
