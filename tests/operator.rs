//! What an operator tells the daemon to do, on virtual time: each verb, in each situation, and what becomes of it.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use mho::domain::attempt::RestartCause;
use mho::domain::lifecycle::StateName;
use mho::domain::outcome::RunResult;
use mho::domain::script::{Anchor, Condition, Dependency, HalfDays, Policy, ScriptName, ScriptSpec, TimePoint};
use mho::testkit::{Act, Asked, Lab, Refused, Running, Whom};

/// Wednesday before Thanksgiving: 08:30 to 16:00. The next session is the half day of Friday, to 13:00.
const WEDNESDAY: &str = "2026-11-25";
const FRIDAY: &str = "2026-11-27";

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn pause(until: Option<&str>, stop: bool) -> Asked {
    Asked::Pause { until: until.map(|at| at.parse().expect("an instant")), stop }
}

const START: Asked = Asked::Start { force: false };
const FORCE: Asked = Asked::Start { force: true };
const SKIP: Asked = Asked::Skip { date: None };

async fn at(time: &str, acts: impl IntoIterator<Item = Act>) -> Running {
    lab(time, demo(), acts).await
}

async fn lab(time: &str, spec: ScriptSpec, acts: impl IntoIterator<Item = Act>) -> Running {
    let acts: Vec<Act> = acts.into_iter().collect();
    let lab = Lab::new(&format!("{WEDNESDAY} {time}")).script(spec);
    let lab = if acts.is_empty() { lab } else { lab.acts("demo", acts) };
    lab.start().await
}

async fn ok(lab: &Running, asked: Asked) -> String {
    let answer = lab.order("demo", asked.clone()).await.unwrap_or_else(|refused| panic!("{asked:?}: {refused}"));
    assert!(answer.ok && answer.done, "{asked:?}: {answer:?}");
    answer.message
}

async fn refused(lab: &Running, asked: Asked) -> String {
    match lab.order("demo", asked.clone()).await {
        Err(Refused::NotNow(why)) => why,
        other => panic!("{asked:?}: {other:?}"),
    }
}

async fn state(lab: &Running) -> StateName {
    lab.view("demo").await.state
}

fn starts(lab: &Running) -> usize {
    lab.story_of(&["start"]).iter().filter(|line| !line.contains(" slow ")).count()
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_run_for_its_date_and_the_next_date_runs() {
    let lab = at("08:30:00", []).await;
    lab.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    let told = ok(&lab, Asked::Stop).await;
    assert!(told.contains("SIGTERM"), "{told}");
    assert_eq!(state(&lab).await, StateName::Stopped);
    assert_eq!(lab.view("demo").await.reason, "stopped by alice");
    // Neither the open nor anything else brings it back on this date.
    lab.run_until(&format!("{WEDNESDAY} 15:59:00")).await;
    assert_eq!(starts(&lab), 1);
    lab.run_until(&format!("{FRIDAY} 08:30:01")).await;
    assert_eq!((starts(&lab), state(&lab).await), (2, StateName::Running));
    assert_eq!(lab.results("demo"), [(date(WEDNESDAY), RunResult::StoppedByOperator)]);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ignores_the_signal_is_killed_after_its_grace_and_the_answer_says_so() {
    let lab = at("08:30:00", [Act::Ignore]).await;
    let told = ok(&lab, Asked::Stop).await;
    assert!(told.contains("killed after its grace"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_next_attempt_is_stopped_without_one() {
    let crash = || Act::Exit(1, Duration::from_secs(1));
    for (until, before) in [("08:30:01", StateName::Backoff), ("08:32:00", StateName::Failed)] {
        let lab = at("08:30:00", [crash()]).await;
        lab.run_until(&format!("{WEDNESDAY} {until}")).await;
        assert_eq!(state(&lab).await, before);
        let begun = starts(&lab);
        assert_eq!(ok(&lab, Asked::Stop).await, "stopped; it had no process");
        lab.run_until(&format!("{WEDNESDAY} 15:00:00")).await;
        assert_eq!((starts(&lab), state(&lab).await), (begun, StateName::Stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_survives_the_daemon() {
    let lab = at("08:30:00", []).await;
    ok(&lab, Asked::Stop).await;
    let journal = lab.journal.clone();
    drop(lab);
    let next = Lab::new(&format!("{WEDNESDAY} 10:00:00")).script(demo()).after(&journal, "2026-11-25 09:00:00");
    let next = next.start().await;
    next.run_until(&format!("{WEDNESDAY} 12:00:00")).await;
    assert_eq!(starts(&next), 0);
    let told = ok(&next, Asked::Resume).await;
    assert!(told.contains("started"), "{told}");
    assert_eq!(state(&next).await, StateName::Running);
    // Its number is not taken twice.
    assert_eq!(next.view("demo").await.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn outside_the_window_there_is_nothing_to_stop_and_a_hint() {
    let lab = at("07:00:00", []).await;
    let told = ok(&lab, Asked::Stop).await;
    assert!(told.contains("skip") && told.contains("pause"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_skip_means_today_if_that_has_not_begun_and_else_the_next_date() {
    let early = at("07:00:00", []).await;
    assert!(ok(&early, SKIP).await.contains(WEDNESDAY));
    early.run_until(&format!("{FRIDAY} 09:00:00")).await;
    assert_eq!(early.results("demo"), [(date(WEDNESDAY), RunResult::Skipped)]);
    assert_eq!((starts(&early), state(&early).await), (1, StateName::Running));
    let late = at("17:00:00", []).await;
    assert!(ok(&late, SKIP).await.contains(FRIDAY));
    let over = at("08:30:00", [Act::Exit(0, Duration::from_secs(5))]).await;
    over.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    assert!(ok(&over, SKIP).await.contains(FRIDAY), "today's is over");
    let begun = at("08:30:00", []).await;
    assert!(refused(&begun, SKIP).await.contains("use stop"));
}

#[tokio::test(start_paused = true)]
async fn a_skip_of_a_date_needs_a_trading_date_that_is_to_come() {
    let lab = at("08:30:00", []).await;
    let on = |text: &str| Asked::Skip { date: Some(date(text)) };
    assert!(refused(&lab, on("2026-11-26")).await.contains("Thanksgiving"));
    assert!(refused(&lab, on("2026-11-24")).await.contains("is over"));
    assert!(refused(&lab, on(WEDNESDAY)).await.contains("use stop"));
    ok(&lab, on(FRIDAY)).await;
    let journal = lab.journal.clone();
    drop(lab);
    let next = Lab::new(&format!("{FRIDAY} 08:00:00")).script(demo()).after(&journal, "2026-11-25 17:00:00");
    let next = next.start().await;
    next.run_until(&format!("{FRIDAY} 14:00:00")).await;
    assert_eq!(starts(&next), 0, "it is durable");
    assert!(next.view("demo").await.reason.contains("skipped by alice"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_what_runs_and_starts_nothing() {
    let lab = at("08:30:00", [Act::Exit(1, Duration::from_secs(600)), Act::Ignore]).await;
    let told = ok(&lab, pause(None, false)).await;
    assert!(told.contains("runs on"), "{told}");
    assert_eq!(state(&lab).await, StateName::Running);
    lab.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    assert_eq!((starts(&lab), state(&lab).await), (1, StateName::Paused), "it crashed, and is not restarted");
    ok(&lab, Asked::Resume).await;
    lab.run_for(Duration::from_secs(2)).await;
    assert_eq!((starts(&lab), state(&lab).await), (2, StateName::Running));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_stops_ends_the_run_until_it_is_resumed() {
    let lab = at("08:30:00", []).await;
    ok(&lab, pause(None, true)).await;
    assert_eq!(state(&lab).await, StateName::Paused);
    assert_eq!(lab.results("demo"), [(date(WEDNESDAY), RunResult::StoppedByOperator)]);
    ok(&lab, Asked::Resume).await;
    assert_eq!(state(&lab).await, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_by_itself_at_its_time_and_the_script_starts_then() {
    let lab = at("08:00:00", []).await;
    ok(&lab, pause(Some("2026-11-25T15:00:00Z"), false)).await;
    lab.run_until(&format!("{WEDNESDAY} 09:59:59")).await;
    assert_eq!((starts(&lab), state(&lab).await), (0, StateName::Paused));
    lab.run_until(&format!("{WEDNESDAY} 10:00:00")).await;
    assert_eq!(lab.story_of(&["start"]), ["10:00:00 demo start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_passes_in_a_pause_has_a_result_and_a_pause_survives_the_daemon() {
    let lab = at("08:00:00", []).await;
    ok(&lab, pause(None, false)).await;
    lab.run_until(&format!("{WEDNESDAY} 17:00:00")).await;
    assert_eq!(lab.results("demo"), [(date(WEDNESDAY), RunResult::Skipped)]);
    let journal = lab.journal.clone();
    drop(lab);
    let next = Lab::new(&format!("{FRIDAY} 08:00:00")).script(demo()).after(&journal, "2026-11-25 18:00:00");
    let next = next.start().await;
    next.run_until(&format!("{FRIDAY} 09:00:00")).await;
    assert_eq!((starts(&next), state(&next).await), (0, StateName::Paused));
    // Whole windows that passed while no daemon ran were meant to, too.
    let journal = next.journal.clone();
    drop(next);
    let late = Lab::new("2026-12-02 17:00:00").script(demo()).after(&journal, "2026-11-27 14:00:00").start().await;
    let missed = late.results("demo").into_iter().filter(|(_, result)| *result == RunResult::Missed).count();
    assert_eq!(missed, 0, "{:?}", late.results("demo"));
}

#[tokio::test(start_paused = true)]
async fn all_are_paused_also_those_that_come_later_and_each_can_be_resumed_by_itself() {
    let other = || ScriptSpec::with_defaults("other", "other.py");
    let third = || ScriptSpec::with_defaults("third", "third.py");
    let mut lab = Lab::new(&format!("{WEDNESDAY} 08:00:00")).script(demo()).script(other()).start().await;
    let answers = lab.order_to(Whom::All, pause(None, false), None).await.expect("taken");
    assert_eq!(answers.len(), 2);
    lab.reconfigure(vec![demo(), other(), third()], false).await.expect("taken over");
    lab.run_until(&format!("{WEDNESDAY} 08:40:00")).await;
    for name in ["demo", "other", "third"] {
        assert_eq!(lab.view(name).await.state, StateName::Paused, "{name}");
    }
    ok(&lab, Asked::Resume).await;
    assert_eq!(lab.story_of(&["start"]), ["08:40:00 demo start 1"]);
    lab.order_to(Whom::All, Asked::Resume, None).await.expect("taken");
    assert_eq!(starts(&lab), 3);
}

#[tokio::test(start_paused = true)]
async fn a_start_clears_a_failure_with_a_fresh_budget() {
    let crash = Act::Exit(1, Duration::from_millis(100));
    let lab = at("08:30:00", [crash]).await;
    lab.run_until(&format!("{WEDNESDAY} 08:40:00")).await;
    assert_eq!((starts(&lab), state(&lab).await), (6, StateName::Failed));
    let answer = lab.order("demo", START).await.expect("taken");
    assert!(!answer.ok && answer.message.contains("exit code 1"), "{answer:?}");
    lab.run_until(&format!("{WEDNESDAY} 08:49:00")).await;
    assert_eq!(starts(&lab), 12, "six attempts again");
}

#[tokio::test(start_paused = true)]
async fn a_start_clears_what_was_final() {
    for (act, spec) in [
        (Act::Exit(78, Duration::from_secs(5)), demo()),
        (Act::Exit(1, Duration::from_secs(5)), {
            let mut spec = demo();
            spec.restart.policy = Policy::Never;
            spec
        }),
    ] {
        let lab = lab("08:30:00", spec, [act, Act::Ignore]).await;
        lab.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
        assert_eq!(state(&lab).await, StateName::Failed);
        ok(&lab, START).await;
        assert_eq!((starts(&lab), state(&lab).await), (2, StateName::Running));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_after_the_limit_has_a_limit_of_its_own() {
    let spec = ScriptSpec { max_duration: Some(Duration::from_secs(1800)), ..demo() };
    let lab = lab("08:30:00", spec, []).await;
    lab.run_until(&format!("{WEDNESDAY} 09:10:00")).await;
    assert_eq!(state(&lab).await, StateName::Stopped);
    ok(&lab, START).await;
    lab.run_until(&format!("{WEDNESDAY} 09:39:00")).await;
    assert_eq!(state(&lab).await, StateName::Running);
    lab.run_until(&format!("{WEDNESDAY} 09:40:02")).await;
    assert_eq!(state(&lab).await, StateName::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_start_overrules_a_predecessor_that_failed_and_needs_force_before_one_that_has_not_finished() {
    let feed = || {
        let mut feed = ScriptSpec::with_defaults("feed", "feed.py");
        feed.restart.policy = Policy::Never;
        feed
    };
    let dependent = || ScriptSpec {
        depends_on: vec![Dependency {
            script: ScriptName::new("feed").expect("a name"),
            condition: Condition::Succeeded,
        }],
        ..demo()
    };
    let crash = [Act::Exit(1, Duration::from_secs(5))];
    let begin = format!("{WEDNESDAY} 08:30:00");
    let failed = Lab::new(&begin).script(feed()).script(dependent()).acts("feed", crash).start().await;
    failed.run_until(&format!("{WEDNESDAY} 08:40:00")).await;
    assert_eq!(failed.view("demo").await.state, StateName::Skipped);
    ok(&failed, START).await;
    let waiting = Lab::new(&begin).script(feed()).script(dependent()).start().await;
    assert!(refused(&waiting, START).await.contains("--force"));
    ok(&waiting, FORCE).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_finished_needs_force_and_what_runs_needs_nothing() {
    let lab = at("08:30:00", [Act::Exit(0, Duration::from_secs(5)), Act::Ignore]).await;
    lab.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    assert!(refused(&lab, START).await.contains("--force"));
    ok(&lab, FORCE).await;
    assert!(ok(&lab, START).await.contains("runs already"));
    assert_eq!(starts(&lab), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_run_belongs_to_the_next_session_and_goes_on_when_its_window_opens() {
    let lab = at("18:00:00", []).await;
    assert!(refused(&lab, START).await.contains("outside its window"));
    ok(&lab, FORCE).await;
    let view = lab.view("demo").await;
    assert!(view.forced && view.trading_date == Some(date(FRIDAY)), "{view:?}");
    lab.run_until(&format!("{FRIDAY} 12:59:59")).await;
    assert_eq!((starts(&lab), state(&lab).await), (1, StateName::Running), "through the holiday, and on");
    lab.run_until(&format!("{FRIDAY} 13:00:01")).await;
    assert_eq!(lab.results("demo"), [(date(FRIDAY), RunResult::WindowEnd)]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_run_that_ends_before_its_window_does_not_cost_the_window() {
    for act in [Act::Exit(0, Duration::from_secs(60)), Act::Exit(78, Duration::from_secs(60)), Act::Ignore] {
        let lab = at("18:00:00", [act.clone(), Act::Ignore]).await;
        ok(&lab, FORCE).await;
        if matches!(act, Act::Ignore) {
            assert!(lab.order("demo", Asked::Stop).await.expect("taken").ok);
        }
        lab.run_until(&format!("{FRIDAY} 08:30:01")).await;
        assert_eq!((starts(&lab), state(&lab).await), (2, StateName::Running), "{act:?}");
        assert_eq!(lab.view("demo").await.attempt, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_run_of_a_script_that_would_not_run_is_stopped_where_its_window_would_end() {
    let disabled = ScriptSpec { enabled: false, ..demo() };
    let mut skipping = demo();
    skipping.window.skip_dates = vec![date(WEDNESDAY)];
    let mut halves = demo();
    halves.window.half_days = HalfDays::Only;
    for spec in [disabled, skipping, halves] {
        let lab = lab("09:00:00", spec, []).await;
        refused(&lab, START).await;
        ok(&lab, FORCE).await;
        lab.run_until(&format!("{WEDNESDAY} 15:59:59")).await;
        assert_eq!(state(&lab).await, StateName::Running);
        lab.run_until(&format!("{WEDNESDAY} 16:00:01")).await;
        assert!(lab.view("demo").await.pid.is_none());
        assert_eq!(lab.results("demo").last(), Some(&(date(WEDNESDAY), RunResult::WindowEnd)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_run_goes_on_after_the_daemon() {
    let lab = at("18:00:00", []).await;
    ok(&lab, FORCE).await;
    let journal = lab.journal.clone();
    drop(lab);
    let next = Lab::new(&format!("{WEDNESDAY} 19:00:00")).script(demo()).after(&journal, "2026-11-25 18:30:00");
    let next = next.start().await;
    assert_eq!((starts(&next), state(&next).await), (1, StateName::Running));
    assert!(next.view("demo").await.forced);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_a_new_process_of_the_same_run_and_counts_as_none() {
    let lab = at("08:30:00", []).await;
    let before = lab.view("demo").await;
    ok(&lab, Asked::Restart).await;
    let after = lab.view("demo").await;
    assert_eq!((after.attempt, after.restarts, after.state), (2, 0, StateName::Running));
    assert_ne!(after.pid, before.pid);
    let causes: Vec<_> = lab.launcher.orders().into_iter().map(|order| order.context.restarted_after).collect();
    assert_eq!(causes, [None, Some(RestartCause::Operator)]);
    assert_eq!(lab.results("demo"), []);
}

#[tokio::test(start_paused = true)]
async fn verbs_are_served_in_order_and_a_start_waits_for_the_stop_before_it() {
    let lab = at("08:30:00", [Act::Ignore]).await;
    let none = |asked| lab.order_to(Whom::One("demo".to_owned()), asked, None);
    none(Asked::Stop).await.expect("taken");
    assert_eq!(state(&lab).await, StateName::Stopping);
    // It comes back when the grace is over and SIGKILL has done its work.
    let told = ok(&lab, START).await;
    assert!(told.contains("started"), "{told}");
    assert_eq!(
        lab.story_of(&["start", "kill"]),
        ["08:30:00 demo start 1", "08:30:10 demo kill 1", "08:30:10 demo start 2"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_over_a_restart_and_the_end_of_the_window_does_too() {
    let lab = at("15:59:55", [Act::Ignore]).await;
    let none = |asked| lab.order_to(Whom::One("demo".to_owned()), asked, None);
    none(Asked::Restart).await.expect("taken");
    lab.run_until(&format!("{WEDNESDAY} 16:01:00")).await;
    assert_eq!((starts(&lab), lab.results("demo")), (1, vec![(date(WEDNESDAY), RunResult::WindowEnd)]));
    let lab = at("08:30:00", [Act::Ignore]).await;
    lab.order_to(Whom::One("demo".to_owned()), Asked::Restart, None).await.expect("taken");
    ok(&lab, Asked::Stop).await;
    assert_eq!((starts(&lab), state(&lab).await), (1, StateName::Stopped));
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_wait_long_enough_hears_how_far_it_is() {
    let lab = at("08:30:00", [Act::Ignore]).await;
    let short = Some(Duration::from_secs(2));
    let answers = lab.order_to(Whom::One("demo".to_owned()), Asked::Stop, short).await.expect("taken");
    assert!(!answers[0].1.done && answers[0].1.message.contains("stopping"), "{answers:?}");
    let unknown = lab.order_to(Whom::One("nope".to_owned()), Asked::Stop, None).await;
    assert!(matches!(unknown, Err(Refused::NoSuchScript { .. })), "{unknown:?}");
    let all = lab.order_to(Whom::All, START, None).await;
    assert!(matches!(all, Err(Refused::Invalid(_))), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn the_kill_file_stops_all_and_holds_what_has_no_process() {
    let lab = at("08:30:00", []).await;
    lab.kill_file(Some("/run/kill")).await;
    lab.run_for(Duration::from_secs(1)).await;
    assert_eq!(lab.results("demo"), [(date(WEDNESDAY), RunResult::StoppedByOperator)]);
    assert!(lab.view("demo").await.reason.contains("/run/kill"));
    for asked in [START, FORCE, Asked::Restart] {
        assert!(refused(&lab, asked).await.contains("/run/kill"));
    }
    lab.kill_file(None).await;
    lab.run_until(&format!("{WEDNESDAY} 10:00:00")).await;
    assert_eq!(starts(&lab), 1, "what it stopped stays stopped");
    ok(&lab, Asked::Resume).await;
    assert_eq!(starts(&lab), 2);
    let early = at("08:00:00", []).await;
    early.kill_file(Some("/run/kill")).await;
    early.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    assert_eq!(starts(&early), 0);
    early.kill_file(None).await;
    assert_eq!(early.story_of(&["start"]), ["09:00:00 demo start 1"], "what it held goes on");
}

/// What keeps a script from starting, strongest first, and the word by which a refusal names it.
const RANKS: [(&str, &str); 7] = [
    ("kill file", "kill file"),
    ("shutdown", "daemon ends"),
    ("disabled", "disabled"),
    ("paused", "paused"),
    ("skipped", "skipped"),
    ("over", "is over"),
    ("window", "outside its window"),
];

/// A script that both of these keep from starting; None where one excludes the other.
async fn kept_back(stronger: &str, weaker: &str) -> Option<Running> {
    let both = [stronger, weaker];
    let has = |what: &str| both.contains(&what);
    // Outside the window nothing of a date is skipped or over yet; and what was skipped has not run.
    if has("window") && (has("skipped") || has("over")) || has("skipped") && has("over") {
        return None;
    }
    // One that is disabled has no date to be skipped or to be over.
    if has("disabled") && (has("skipped") || has("over")) {
        return None;
    }
    let time = if has("window") {
        "18:00:00"
    } else if has("over") {
        "08:30:00"
    } else {
        "08:00:00"
    };
    let acts = has("over").then_some(Act::Exit(0, Duration::from_secs(5)));
    let mut slow = ScriptSpec::with_defaults("slow", "slow.py");
    // It keeps the daemon from ending while we ask.
    (slow.window.stop, slow.stop.grace) =
        (TimePoint::Anchor(Anchor::Close, TimeDelta::hours(8)), Duration::from_secs(9000));
    let spec = ScriptSpec { enabled: !has("disabled"), ..demo() };
    let lab = Lab::new(&format!("{WEDNESDAY} {time}")).script(spec).script(slow).acts("slow", [Act::Ignore]);
    let lab = if let Some(act) = acts { lab.acts("demo", [act]) } else { lab };
    let lab = lab.start().await;
    if has("skipped") {
        ok(&lab, SKIP).await;
    }
    if !has("window") {
        lab.run_until(&format!("{WEDNESDAY} 09:00:00")).await;
    }
    // The weaker one first: the stronger one must win from whatever is there.
    for what in [weaker, stronger] {
        match what {
            "paused" => drop(ok(&lab, pause(None, true)).await),
            "kill file" => lab.kill_file(Some("/kill")).await,
            "shutdown" => lab.shut_down(),
            _ => {}
        }
    }
    Some(lab)
}

#[tokio::test(start_paused = true)]
async fn of_every_two_things_that_keep_a_script_back_the_stronger_one_counts() {
    let mut pairs = 0;
    for (at, (stronger, word)) in RANKS.iter().enumerate() {
        for (weaker, _) in &RANKS[at + 1..] {
            let Some(lab) = kept_back(stronger, weaker).await else { continue };
            pairs += 1;
            let why = refused(&lab, START).await;
            assert!(why.contains(word), "{stronger} over {weaker}: {why}");
            let before = starts(&lab);
            lab.run_for(Duration::from_secs(3600)).await;
            assert_eq!(starts(&lab), before, "{stronger} over {weaker}");
            let by_force = lab.order("demo", FORCE).await;
            assert_eq!(by_force.is_ok(), at > 1, "only these two outrank force: {stronger} over {weaker}");
        }
    }
    assert_eq!(pairs, 16);
}
