//! Readiness, what is waited for outside, dependencies on it, watchdogs and polite ends, on virtual time.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use mho::domain::health::{Endpoint, OnDependencyDown, Pattern, Probe, ReadySpec, Tool, Trip, TripAction, WarnSpec};
use mho::domain::lifecycle::StateName;
use mho::domain::limits::MemoryWatch;
use mho::domain::notice::What;
use mho::domain::outcome::{AttemptResult, Exit, RunResult, Signal};
use mho::domain::script::{Anchor, Condition, Dependency, ScriptName, ScriptSpec, TimePoint};
use mho::ports::{ErrandEnd, RestartCause};
use mho::testkit::{Act, Asked, Call, Lab, Running, Whom};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn port() -> Endpoint {
    Endpoint::Tcp("127.0.0.1:4002".to_owned())
}

fn name(script: &str) -> ScriptName {
    ScriptName::new(script).expect("a name")
}

fn script(name: &str) -> ScriptSpec {
    ScriptSpec::with_defaults(name, "x.py")
}

fn ready_by(probe: Probe) -> Option<ReadySpec> {
    Some(ReadySpec { probe, interval: secs(1), timeout: secs(300) })
}

/// A gateway that takes its time until its port answers.
fn gateway() -> ScriptSpec {
    ScriptSpec { ready: ready_by(Probe::Reach(port())), ..script("gateway") }
}

fn strategy(policy: OnDependencyDown) -> ScriptSpec {
    let needs = Dependency { script: name("gateway"), condition: Condition::Ready };
    ScriptSpec { depends_on: vec![needs], on_dependency_down: policy, ..script("strategy") }
}

fn starting(spec: ScriptSpec, time: &str) -> ScriptSpec {
    let mut spec = spec;
    spec.window.start = TimePoint::At(time.parse().expect("a time"));
    spec
}

async fn at(lab: &Running, time: &str) {
    lab.run_until(&format!("2026-11-23 {time}")).await;
}

/// Both run, and the gateway is ready after 20 s.
async fn pair(policy: OnDependencyDown) -> Running {
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(strategy(policy)).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:30:20").await;
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "08:31:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
    lab
}

fn of(lab: &Running, name: &str, events: &[&str]) -> Vec<String> {
    lab.story_of(events).into_iter().filter(|line| line.split(' ').nth(1) == Some(name)).collect()
}

fn causes(lab: &Running, script: &str) -> Vec<Option<RestartCause>> {
    let of_script = lab.launcher.orders().into_iter().filter(|order| order.attempt.script.as_str() == script);
    of_script.map(|order| order.context.restarted_after).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dependent_waits_until_the_gateway_is_ready() {
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(strategy(OnDependencyDown::Keep)).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:30:10").await;
    let view = lab.view("gateway").await;
    assert_eq!(view.state, StateName::Starting);
    assert_eq!(view.reason, "it is not ready yet (tcp://127.0.0.1:4002): connection refused");
    assert!(view.pid.is_some());
    let view = lab.view("strategy").await;
    assert_eq!((view.state, &*view.reason), (StateName::Waiting, "gateway is not ready yet"));
    at(&lab, "08:30:20").await;
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "08:30:25").await;
    assert_eq!(lab.view("gateway").await.state, StateName::Running);
    assert_eq!(of(&lab, "strategy", &["start"]), ["08:30:21 strategy start 1"]);
    assert!(lab.notices().iter().any(|n| matches!(n.what, What::Ready { after } if after == secs(21))));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ready_in_time_has_failed_and_pays_from_its_budget() {
    let mut spec = gateway();
    spec.restart.max_restarts = 1;
    spec.restart.cooldown = None;
    let lab = Lab::new("2026-11-23 08:29:00").script(starting(spec, "09:35:00")).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "09:41:00").await;
    let view = lab.view("gateway").await;
    assert_eq!(view.last_exit.expect("one").result, AttemptResult::NotReady);
    assert_eq!((view.attempt, view.restarts), (2, 1));
    at(&lab, "09:46:00").await;
    // An attempt that only lived, and was never ready, makes no budget fresh.
    assert_eq!(lab.results("gateway"), [("2026-11-23".parse().expect("a date"), RunResult::Failed)]);
    assert_eq!(
        of(&lab, "gateway", &["stop"]),
        ["09:40:00 gateway stop 1: not ready", "09:45:01 gateway stop 2: not ready"]
    );
    let told = lab.notices().into_iter().find_map(|notice| match notice.what {
        What::NotReady { refused, .. } => Some(refused),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("connection refused"));
}

#[tokio::test(start_paused = true)]
async fn each_probe_makes_a_script_ready() {
    let tool = Tool { program: "/bin/probe".into(), args: Vec::new() };
    let line = || Probe::Line(Pattern::new("up").expect("a pattern"));
    for (probe, by_itself) in [(line(), true), (Probe::Notify, true), (Probe::Exec(tool.clone()), false)] {
        let spec = ScriptSpec { ready: ready_by(probe), ..script("a") };
        let lab = Lab::new("2026-11-23 08:29:00").script(spec).start().await;
        lab.launcher.hold_ready(&name("a"));
        let exit = ErrandEnd::Exited { exit: Exit::Code(1), said: "no route".to_owned() };
        lab.launcher.set_tool(&tool.program, exit, secs(0));
        at(&lab, "08:30:10").await;
        let view = lab.view("a").await;
        assert_eq!(view.state, StateName::Starting);
        assert!(by_itself || view.reason.ends_with("exit code 1: no route"), "{}", view.reason);
        if by_itself {
            lab.launcher.say_ready(&name("a"));
        } else {
            let exit = ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() };
            lab.launcher.set_tool(&tool.program, exit, secs(0));
        }
        at(&lab, "08:30:12").await;
        assert_eq!(lab.view("a").await.state, StateName::Running);
    }
    let spec = ScriptSpec { ready: ready_by(Probe::Delay(secs(5))), ..script("a") };
    let lab = Lab::new("2026-11-23 08:29:00").script(spec).start().await;
    at(&lab, "08:30:04").await;
    assert_eq!(lab.view("a").await.state, StateName::Starting);
    at(&lab, "08:30:05").await;
    assert_eq!(lab.view("a").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn kept_a_dependent_goes_on_without_the_gateway() {
    let lab = pair(OnDependencyDown::Keep).await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "10:00:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
    assert_eq!(causes(&lab, "strategy"), [None]);
    // Its own next attempt waits for the gateway, and pays nothing for that.
    lab.launcher.kill_by_hand(&name("strategy"), Signal::KILL);
    at(&lab, "10:00:10").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Waiting);
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "10:02:00").await;
    assert_eq!(causes(&lab, "strategy"), [None, Some(RestartCause::Crash)]);
}

#[tokio::test(start_paused = true)]
async fn restarted_a_dependent_is_stopped_and_comes_back_with_the_gateway() {
    let lab = pair(OnDependencyDown::Restart).await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "08:31:10").await;
    let view = lab.view("strategy").await;
    assert_eq!((view.state, view.pid, view.restarts), (StateName::Waiting, None, 0));
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "08:31:20").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
    assert_eq!(causes(&lab, "strategy"), [None, Some(RestartCause::Dependency)]);
    assert_eq!(of(&lab, "strategy", &["stop"]), ["08:31:00 strategy stop 1: dependency"]);
    assert_eq!(of(&lab, "strategy", &["gave_up", "restart_scheduled"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn stopped_a_dependent_is_over_for_the_date_until_somebody_starts_it() {
    let lab = pair(OnDependencyDown::Stop).await;
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "08:40:00").await;
    assert_eq!(lab.view("gateway").await.state, StateName::Running, "it came back");
    let view = lab.view("strategy").await;
    assert_eq!((view.state, view.result), (StateName::Failed, Some(RunResult::Failed)));
    assert!(view.reason.contains("on_dependency_down"), "{}", view.reason);
    let answer = lab.order("strategy", Asked::Start { force: false }).await.expect("taken");
    assert!(answer.ok, "{answer:?}");
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn at_the_close_dependents_go_first_and_the_gateway_when_they_are_gone() {
    let lab = Lab::new("2026-11-23 08:29:00")
        .script(gateway())
        .script(strategy(OnDependencyDown::Restart))
        .script(script("other"))
        .acts("strategy", [Act::Linger(secs(4))])
        .start()
        .await;
    at(&lab, "17:00:00").await;
    assert_eq!(
        lab.story_of(&["stop", "finished"]),
        [
            "16:00:00 strategy stop 1: window end",
            "16:00:00 other stop 1: window end",
            "16:00:00 other finished 1: window_end",
            "16:00:04 gateway stop 1: window end",
            "16:00:04 strategy finished 1: window_end",
            "16:00:04 gateway finished 1: window_end",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dependent_that_cannot_be_killed_holds_up_the_gateway_no_longer_than_it_is_tried() {
    let lab = Lab::new("2026-11-23 08:29:00")
        .script(gateway())
        .script(strategy(OnDependencyDown::Keep))
        .acts("strategy", [Act::Survive])
        .start()
        .await;
    at(&lab, "17:00:00").await;
    assert_eq!(of(&lab, "gateway", &["finished"]), ["16:00:15 gateway finished 1: window_end"]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_window_ends_earlier_does_not_wait() {
    let mut early = gateway();
    early.window.stop = TimePoint::At("15:00:00".parse().expect("a time"));
    let lab = Lab::new("2026-11-23 08:29:00").script(early).script(strategy(OnDependencyDown::Keep)).start().await;
    at(&lab, "15:30:00").await;
    assert_eq!(of(&lab, "gateway", &["finished"]), ["15:00:00 gateway finished 1: window_end"]);
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn what_is_outside_is_asked_each_second_before_each_attempt_and_costs_nothing() {
    let spec = ScriptSpec { wait_for: vec![port()], ..script("a") };
    let lab = Lab::new("2026-11-23 08:29:00").script(spec).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:30:30").await;
    let view = lab.view("a").await;
    assert_eq!((view.state, &*view.reason), (StateName::Waiting, "tcp://127.0.0.1:4002: connection refused"));
    assert_eq!(lab.story_of(&["waiting"]).len(), 1, "told once");
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "08:30:32").await;
    assert_eq!(lab.view("a").await.state, StateName::Running);
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("a"), Signal::KILL);
    at(&lab, "09:00:00").await;
    let view = lab.view("a").await;
    assert_eq!((view.state, view.attempt, view.restarts), (StateName::Waiting, 1, 0));
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "09:00:02").await;
    assert_eq!(lab.view("a").await.restarts, 1);
    assert_eq!(causes(&lab, "a"), [None, Some(RestartCause::Crash)]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_outside_until_its_window_ends_is_skipped_or_failed() {
    let spec = ScriptSpec { wait_for: vec![port()], ..script("a") };
    let lab = Lab::new("2026-11-23 08:29:00").script(spec.clone()).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "16:00:10").await;
    assert_eq!(lab.results("a")[0].1, RunResult::Skipped);
    assert!(lab.notices().iter().any(|notice| matches!(notice.what, What::Skipped { planned: false, .. })));
    let lab = Lab::new("2026-11-23 08:29:00").script(spec).start().await;
    at(&lab, "09:00:00").await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("a"), Signal::KILL);
    at(&lab, "16:00:10").await;
    assert_eq!(lab.results("a")[0].1, RunResult::Failed);
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_script_waits_for_what_is_outside_unless_it_is_forced() {
    let spec = ScriptSpec { wait_for: vec![port()], ..script("a") };
    let lab = Lab::new("2026-11-23 08:29:00").script(spec).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:31:00").await;
    assert!(lab.order("a", Asked::Start { force: false }).await.is_err(), "it waits already");
    let answer = lab.order("a", Asked::Start { force: true }).await.expect("taken");
    assert!(answer.ok, "{answer:?}");
    lab.order("a", Asked::Stop).await.expect("taken");
    let answer = lab.order("a", Asked::Start { force: false }).await.expect("taken");
    assert!(answer.message.starts_with("waiting: tcp://127.0.0.1:4002"), "{answer:?}");
}

fn watched(action: TripAction) -> ScriptSpec {
    let mut spec = script("a");
    spec.watchdog.silence = Some(secs(60));
    spec.watchdog.action = action;
    spec
}

#[tokio::test(start_paused = true)]
async fn a_silent_script_is_restarted_and_that_counts_as_a_crash() {
    let lab = Lab::new("2026-11-23 09:35:00").script(watched(TripAction::Restart)).start().await;
    at(&lab, "10:00:00").await;
    assert_eq!(lab.story_of(&["start"]).len(), 1, "as long as it prints, all is well");
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "10:01:30").await;
    assert_eq!(causes(&lab, "a"), [None, Some(RestartCause::Watchdog)]);
    let view = lab.view("a").await;
    assert_eq!((view.attempt, view.restarts), (2, 1));
    assert_eq!(view.last_exit.expect("one").result, AttemptResult::Watchdog);
    at(&lab, "15:00:00").await;
    // Each attempt lives for a minute, which is what makes a budget fresh.
    assert_eq!(lab.view("a").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_silent_script_is_only_told_of_where_that_is_wanted_and_once() {
    let lab = Lab::new("2026-11-23 09:35:00").script(watched(TripAction::Alert)).start().await;
    lab.launcher.set_silent(&name("a"), true);
    let trips = || {
        let is_trip = |what: &What| matches!(what, What::Tripped { trip: Trip::Silence(_), restart: false });
        lab.notices().iter().filter(|notice| is_trip(&notice.what)).count()
    };
    at(&lab, "12:00:00").await;
    assert_eq!((trips(), lab.story_of(&["start"]).len()), (1, 1));
    lab.launcher.set_silent(&name("a"), false);
    at(&lab, "13:00:00").await;
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "14:00:00").await;
    assert_eq!(trips(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_counts_only_what_is_ready_and_not_what_is_being_stopped() {
    let mut spec = ScriptSpec { ready: ready_by(Probe::Reach(port())), ..watched(TripAction::Restart) };
    spec.watchdog.heartbeat = Some(secs(30));
    spec.stop.grace = secs(120);
    let spec = starting(spec, "15:55:00");
    let lab = Lab::new("2026-11-23 15:54:00").script(spec).acts("a", [Act::Ignore]).start().await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "15:57:00").await;
    assert_eq!(lab.story_of(&["stop"]), [""; 0], "it is still starting");
    lab.launcher.set_silent(&name("a"), false);
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "15:59:59").await;
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "16:03:00").await;
    assert_eq!(
        lab.story_of(&["stop", "finished"]),
        ["16:00:00 a stop 1: window end", "16:02:00 a finished 1: window_end"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_window_takes_over_a_watchdogs_stop() {
    let lab =
        Lab::new("2026-11-23 15:50:55").script(watched(TripAction::Restart)).acts("a", [Act::Ignore]).start().await;
    at(&lab, "15:59:54").await;
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "16:01:00").await;
    assert_eq!(lab.results("a")[0].1, RunResult::WindowEnd, "{:#?}", lab.story());
    assert_eq!(lab.story_of(&["start"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_much_memory_restarts_a_script_or_is_told_and_nothing_more() {
    for action in [TripAction::Restart, TripAction::Alert] {
        let mut spec = script("a");
        spec.memory = MemoryWatch { max_rss: Some(100_000_000), action };
        let lab = Lab::new("2026-11-23 09:35:00").script(spec).start().await;
        at(&lab, "10:00:00").await;
        lab.launcher.use_memory(&name("a"), 150_000_000);
        at(&lab, "10:00:30").await;
        let trip = Trip::Memory { bytes: 150_000_000, limit: 100_000_000 };
        assert_eq!(trip.to_string(), "it uses 150 MB of memory, more than its max_rss of 100 MB");
        let is_told = |what: &What| matches!(what, What::Tripped { trip: told, .. } if *told == trip);
        assert_eq!(lab.notices().iter().filter(|notice| is_told(&notice.what)).count(), 1);
        match action {
            TripAction::Restart => assert_eq!(causes(&lab, "a"), [None, Some(RestartCause::Watchdog)]),
            TripAction::Alert => assert_eq!(causes(&lab, "a"), [None]),
        }
    }
}

fn polite(grace: u64) -> ScriptSpec {
    let mut spec = script("a");
    spec.stop.grace = secs(grace);
    spec.stop_command = Some(Tool { program: "/bin/flatten".into(), args: Vec::new() });
    spec
}

fn calls(lab: &Running) -> Vec<String> {
    let told = |call: &Call| match call {
        Call::RunBeside(_, program) => Some(format!("run {}", program.display())),
        Call::Signal(_, signal) => Some(signal.to_string()),
        Call::SignalLeader(_, signal) => Some(format!("leader {signal}")),
        Call::Kill(_) => Some("kill".to_owned()),
        _ => None,
    };
    lab.launcher.calls().iter().filter_map(|(_, call)| told(call)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_stop_command_runs_first_and_then_the_signal_is_sent() {
    let lab = Lab::new("2026-11-23 08:29:00").script(polite(10)).start().await;
    let done = ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() };
    lab.launcher.set_tool(Path::new("/bin/flatten"), done, secs(3));
    at(&lab, "17:00:00").await;
    assert_eq!(calls(&lab), ["run /bin/flatten", "SIGTERM"]);
    assert_eq!(
        lab.story_of(&["stop", "exit", "finished"])[1..],
        ["16:00:03 a exit 1: SIGTERM, stopped", "16:00:03 a finished 1: window_end",]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_command_that_hangs_leaves_time_for_the_signal_and_the_kill_is_on_time() {
    let lab = Lab::new("2026-11-23 08:29:00").script(polite(10)).acts("a", [Act::Ignore]).start().await;
    let never = ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() };
    lab.launcher.set_tool(Path::new("/bin/flatten"), never, secs(3600));
    at(&lab, "17:00:00").await;
    assert_eq!(calls(&lab), ["run /bin/flatten", "SIGTERM", "kill"]);
    assert_eq!(lab.story_of(&["kill"]), ["16:00:10 a kill 1"]);
    let failed = lab.notices().into_iter().find_map(|notice| match notice.what {
        What::StopCommandFailed { text } => Some((notice.at.to_rfc3339(), text)),
        _ => None,
    });
    let (when, text) = failed.expect("it is told");
    assert!(when.starts_with("2026-11-23T21:00:08"), "{when}");
    assert_eq!(text, "it took too long and was killed");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ends_at_its_stop_command_gets_no_signal_and_the_command_is_waited_for() {
    let lab = Lab::new("2026-11-23 08:29:00").script(polite(10)).start().await;
    let done = ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() };
    lab.launcher.set_tool(Path::new("/bin/flatten"), done, secs(5));
    at(&lab, "16:00:02").await;
    lab.launcher.kill_by_hand(&name("a"), Signal::TERM);
    at(&lab, "16:00:04").await;
    assert_eq!(lab.view("a").await.state, StateName::Stopping);
    at(&lab, "16:00:05").await;
    assert_eq!(lab.results("a")[0].1, RunResult::WindowEnd);
    assert_eq!(calls(&lab), ["run /bin/flatten"]);
}

fn warned() -> ScriptSpec {
    let signal = "USR1".parse().expect("a signal");
    ScriptSpec { warn: Some(WarnSpec { signal, lead: secs(300) }), ..script("a") }
}

fn warnings(lab: &Running) -> Vec<String> {
    let told = |notice: &mho::domain::notice::Notice| match notice.what {
        What::Warned { .. } => Some(notice.at.format("%H:%M:%S").to_string()),
        _ => None,
    };
    lab.notices().iter().filter_map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn the_leader_is_told_five_minutes_before_its_stop() {
    let lab = Lab::new("2026-11-23 08:29:00").script(warned()).start().await;
    at(&lab, "17:00:00").await;
    assert_eq!(warnings(&lab), ["20:55:00"]);
    assert_eq!(calls(&lab), ["leader SIGUSR1", "SIGTERM"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_moves_is_told_anew_and_at_once_where_it_is_near() {
    let mut lab = Lab::new("2026-11-23 08:29:00").script(warned()).start().await;
    let stop = |time: &str| {
        let mut spec = warned();
        spec.window.stop = TimePoint::At(time.parse().expect("a time"));
        vec![spec]
    };
    at(&lab, "15:56:00").await;
    lab.reconfigure(stop("17:00:00"), false).await;
    at(&lab, "16:30:00").await;
    lab.reconfigure(stop("16:32:00"), false).await;
    at(&lab, "17:10:00").await;
    assert_eq!(warnings(&lab), ["20:55:00", "21:30:00"]);
}

#[tokio::test(start_paused = true)]
async fn what_starts_when_its_stop_is_near_is_told_by_its_environment_alone() {
    let lab = Lab::new("2026-11-23 15:57:00").script(warned()).start().await;
    at(&lab, "16:10:00").await;
    assert_eq!(warnings(&lab), [""; 0]);
    assert_eq!(lab.results("a")[0].1, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_that_is_changed_by_a_reload_watches_what_runs() {
    let mut lab = Lab::new("2026-11-23 09:35:00").script(script("a")).start().await;
    lab.launcher.set_silent(&name("a"), true);
    at(&lab, "11:00:00").await;
    lab.reconfigure(vec![watched(TripAction::Alert)], false).await;
    at(&lab, "11:00:01").await;
    let trips = || lab.notices().iter().filter(|notice| matches!(notice.what, What::Tripped { .. })).count();
    assert_eq!((trips(), lab.story_of(&["start"]).len()), (1, 1), "it had been silent for long enough");
    lab.reconfigure(vec![watched(TripAction::Restart)], false).await;
    at(&lab, "11:00:10").await;
    assert_eq!(causes(&lab, "a"), [None, Some(RestartCause::Watchdog)]);
    lab.reconfigure(vec![script("a")], false).await;
    at(&lab, "12:00:00").await;
    assert_eq!(causes(&lab, "a").len(), 2, "nobody watches any more");
}

#[tokio::test(start_paused = true)]
async fn a_process_is_asked_for_what_it_was_started_for() {
    let mut lab = Lab::new("2026-11-23 08:29:00").script(gateway()).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:31:00").await;
    // It was told of no heartbeat, so it gives none.
    let mut spec = script("gateway");
    spec.watchdog.heartbeat = Some(secs(30));
    lab.launcher.set_silent(&name("gateway"), true);
    lab.reconfigure(vec![spec], false).await;
    at(&lab, "08:32:00").await;
    let view = lab.view("gateway").await;
    assert_eq!(view.state, StateName::Starting);
    assert!(view.reason.contains("127.0.0.1:4002"), "{}", view.reason);
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "09:00:00").await;
    assert_eq!(lab.view("gateway").await.state, StateName::Running);
    assert_eq!(causes(&lab, "gateway"), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_that_is_configured_by_a_reload_is_given() {
    let mut lab = Lab::new("2026-11-23 08:29:00").script(script("a")).start().await;
    at(&lab, "12:00:00").await;
    lab.reconfigure(vec![warned()], false).await;
    at(&lab, "17:00:00").await;
    assert_eq!(warnings(&lab), ["20:55:00"]);
}

#[tokio::test(start_paused = true)]
async fn the_gateways_end_waits_for_those_that_were_ending_and_not_for_what_comes_after_them() {
    let mut gateway = gateway();
    gateway.window.stop = TimePoint::At("12:00:00".parse().expect("a time"));
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway).script(strategy(OnDependencyDown::Keep));
    let lab = lab.acts("strategy", [Act::Linger(secs(4)), Act::RunUntilStopped]).start().await;
    at(&lab, "11:59:58").await;
    let restarted = lab.order_to(Whom::One("strategy".to_owned()), Asked::Restart, None);
    drop(tokio::time::timeout(secs(1), restarted).await);
    at(&lab, "12:01:00").await;
    assert_eq!(of(&lab, "gateway", &["stop"]), ["12:00:02 gateway stop 1: window end"]);
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_ends_by_itself_while_its_end_waits_has_done_its_day() {
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(strategy(OnDependencyDown::Restart));
    let lab = lab.acts("strategy", [Act::Linger(secs(4))]).start().await;
    at(&lab, "16:00:02").await;
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "16:01:00").await;
    let result = |script| lab.results(script)[0].1;
    assert_eq!((result("gateway"), result("strategy")), (RunResult::WindowEnd, RunResult::WindowEnd));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_stopped_by_hand_takes_its_dependents_up_again_when_it_is_started() {
    let lab = pair(OnDependencyDown::Restart).await;
    lab.order("gateway", Asked::Stop).await.expect("taken");
    at(&lab, "09:00:00").await;
    let view = lab.view("strategy").await;
    assert_eq!((view.state, view.pid), (StateName::Waiting, None), "{}", view.reason);
    lab.order("gateway", Asked::Start { force: false }).await.expect("taken");
    at(&lab, "09:01:00").await;
    assert_eq!(causes(&lab, "strategy"), [None, Some(RestartCause::Dependency)]);
    // In vain, it has still done what it could: nothing was wrong with it.
    lab.order("gateway", Asked::Stop).await.expect("taken");
    at(&lab, "17:00:00").await;
    assert_eq!(lab.results("strategy")[0].1, RunResult::WindowEnd);
}

#[tokio::test(start_paused = true)]
async fn kept_a_dependent_is_tried_again_without_a_gateway_that_is_over() {
    let lab = pair(OnDependencyDown::Keep).await;
    lab.order("gateway", Asked::Stop).await.expect("taken");
    lab.launcher.kill_by_hand(&name("strategy"), Signal::KILL);
    at(&lab, "09:00:00").await;
    assert_eq!(causes(&lab, "strategy"), [None, Some(RestartCause::Crash)]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_lost_while_its_dependent_is_restarted_still_ends_it() {
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(strategy(OnDependencyDown::Stop));
    let lab = lab.acts("strategy", [Act::Linger(secs(4)), Act::RunUntilStopped]).start().await;
    at(&lab, "09:00:00").await;
    let restarted = lab.order_to(Whom::One("strategy".to_owned()), Asked::Restart, None);
    drop(tokio::time::timeout(secs(1), restarted).await);
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "09:10:00").await;
    let view = lab.view("strategy").await;
    assert_eq!((view.state, causes(&lab, "strategy").len()), (StateName::Failed, 1), "{}", view.reason);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_outside_does_not_stand_in_for_a_gateway_that_went_down_meanwhile() {
    let outside = Endpoint::Tcp("127.0.0.1:5000".to_owned());
    let spec = ScriptSpec { wait_for: vec![outside.clone()], ..strategy(OnDependencyDown::Restart) };
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(spec).start().await;
    at(&lab, "09:00:00").await;
    lab.launcher.set_reachable(&outside, false);
    lab.launcher.kill_by_hand(&name("strategy"), Signal::KILL);
    at(&lab, "09:00:10").await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "09:00:20").await;
    lab.launcher.set_reachable(&outside, true);
    at(&lab, "09:01:00").await;
    assert_eq!((lab.view("strategy").await.state, causes(&lab, "strategy").len()), (StateName::Waiting, 1));
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "09:02:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_script_starts_without_its_predecessor_also_where_it_waits_for_what_is_outside() {
    let needs = Dependency { script: name("data"), condition: Condition::Succeeded };
    let next = ScriptSpec { depends_on: vec![needs], wait_for: vec![port()], ..script("next") };
    let lab = Lab::new("2026-11-23 08:29:00").script(script("data")).script(next);
    let lab = lab.acts("data", [Act::Exit(78, secs(5))]).start().await;
    at(&lab, "09:00:00").await;
    assert_eq!(lab.view("next").await.state, StateName::Skipped);
    lab.order("next", Asked::Start { force: false }).await.expect("taken");
    at(&lab, "09:00:05").await;
    assert_eq!(lab.view("next").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_script_waits_again_for_whom_it_waited_for() {
    let lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(strategy(OnDependencyDown::Keep)).start().await;
    lab.launcher.set_reachable(&port(), false);
    at(&lab, "08:31:00").await;
    lab.order("strategy", Asked::Stop).await.expect("taken");
    drop(tokio::time::timeout(secs(1), lab.order("strategy", Asked::Resume)).await);
    at(&lab, "08:32:00").await;
    assert_eq!((lab.view("strategy").await.state, causes(&lab, "strategy").len()), (StateName::Waiting, 0));
    lab.launcher.set_reachable(&port(), true);
    at(&lab, "08:33:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_restarts_reaches_what_is_not_ready_yet_and_changes_what_is_waited_for() {
    let waits =
        |port: u16| ScriptSpec { wait_for: vec![Endpoint::Tcp(format!("127.0.0.1:{port}"))], ..script("waits") };
    let mut lab = Lab::new("2026-11-23 08:29:00").script(gateway()).script(waits(5000)).start().await;
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.set_reachable(&Endpoint::Tcp("127.0.0.1:5000".to_owned()), false);
    lab.launcher.set_reachable(&Endpoint::Tcp("127.0.0.1:5001".to_owned()), false);
    at(&lab, "08:31:00").await;
    let mut changed = gateway();
    changed.launch.args = vec!["-v".into()];
    lab.reconfigure(vec![changed, waits(5001)], true).await.expect("taken over");
    lab.launcher.set_reachable(&Endpoint::Tcp("127.0.0.1:5000".to_owned()), true);
    at(&lab, "08:31:30").await;
    assert_eq!(causes(&lab, "gateway"), [None, Some(RestartCause::Operator)]);
    let view = lab.view("waits").await;
    assert!(view.state == StateName::Waiting && view.reason.contains("5001"), "{}", view.reason);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_carried_to_the_next_date_is_as_ready_as_before() {
    let mut gateway = gateway();
    gateway.window.calendar = "always".into();
    (gateway.window.start, gateway.window.stop) =
        (TimePoint::Anchor(Anchor::Open, TimeDelta::zero()), TimePoint::Anchor(Anchor::Close, TimeDelta::zero()));
    let mut spec = strategy(OnDependencyDown::Restart);
    spec.window.stop = TimePoint::At("23:00:00".parse().expect("a time"));
    let calendar = mho::domain::calendar::Calendar::builtin("always").expect("it is built in");
    let lab = Lab::new("2026-11-23 08:29:00").calendar("always", calendar).script(gateway).script(spec).start().await;
    // Midnight in UTC was at 19:00.
    at(&lab, "20:00:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Running);
    lab.launcher.kill_by_hand(&name("strategy"), Signal::KILL);
    at(&lab, "20:01:00").await;
    assert_eq!(causes(&lab, "strategy"), [None, Some(RestartCause::Crash)]);
    lab.launcher.set_reachable(&port(), false);
    lab.launcher.kill_by_hand(&name("gateway"), Signal::KILL);
    at(&lab, "20:02:00").await;
    assert_eq!(lab.view("strategy").await.state, StateName::Waiting);
}
