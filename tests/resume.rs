//! A daemon dies, another one comes: what was over stays over, what was in progress goes on, what was missed is said once.

use std::sync::Arc;
use std::time::Duration;

use mho::domain::attempt::RestartCause;
use mho::domain::lifecycle::StateName;
use mho::domain::notice::What;
use mho::domain::outcome::{AttemptResult, RunResult};
use mho::domain::record::Grade;
use mho::domain::script::{Condition, Dependency, Policy, ScriptSpec};
use mho::testkit::{Act, Lab, MemoryJournal, Running, Trouble};

fn demo() -> ScriptSpec {
    ScriptSpec::with_defaults("demo", "demo.py")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn first(begin: &str, spec: ScriptSpec, acts: Vec<Act>) -> Running {
    Lab::new(begin).script(spec).acts("demo", acts).start().await
}

/// The daemon dies at `died`, and the next one comes up at `begin`.
async fn next(before: Running, died: &str, begin: &str, spec: ScriptSpec, acts: Vec<Act>) -> Running {
    before.run_until(died).await;
    let journal = Arc::clone(&before.journal);
    drop(before);
    Lab::new(begin).script(spec).acts("demo", acts).after(&journal, died).start().await
}

fn causes(lab: &Running) -> Vec<Option<RestartCause>> {
    lab.launcher.orders().iter().map(|order| order.context.restarted_after).collect()
}

fn results(lab: &Running) -> Vec<(String, RunResult)> {
    let runs = lab.journal.runs();
    runs.iter().map(|run| (run.trading_date.to_string(), run.result)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_over_stays_over() {
    for (act, result) in [
        (Act::Exit(0, secs(60)), RunResult::Succeeded),
        (Act::Exit(42, secs(60)), RunResult::FinishedEarly),
        (Act::Exit(78, secs(60)), RunResult::Failed),
    ] {
        let lab = first("2026-11-23 08:00:00", demo(), vec![act]).await;
        let acts = vec![Act::RunUntilStopped];
        let lab = next(lab, "2026-11-23 10:00:00", "2026-11-23 10:00:05", demo(), acts).await;
        lab.run_until("2026-11-23 20:00:00").await;
        assert_eq!(lab.launcher.orders().len(), 0, "{result:?}");
        assert_eq!(lab.notices().iter().filter(|n| matches!(n.what, What::Unwatched { .. })).count(), 0);
        assert_eq!(results(&lab), [("2026-11-23".to_owned(), result)]);
        lab.run_until("2026-11-24 20:00:00").await;
        assert_eq!(lab.launcher.orders().len(), 1, "the next date is another run");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_in_progress_goes_on_as_a_new_attempt_with_its_deadline() {
    let spec = ScriptSpec { max_duration: Some(secs(5 * 3600)), ..demo() };
    let lab = first("2026-11-23 08:00:00", spec.clone(), vec![Act::RunUntilStopped]).await;
    let lab = next(lab, "2026-11-23 10:00:00", "2026-11-23 10:20:00", spec, vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 20:00:00").await;
    assert_eq!(lab.story_of(&["start", "stop"]), ["10:20:00 demo start 2", "13:30:00 demo stop 2: time limit"]);
    assert_eq!(causes(&lab), [Some(RestartCause::Daemon)]);
    let run = &lab.journal.runs()[0];
    assert_eq!((run.result, run.attempts, run.restarts), (RunResult::TimeLimit, 2, 0));
    let ends: Vec<_> = lab.journal.attempts().iter().map(|a| a.end.map(|end| end.result)).collect();
    assert_eq!(ends, [None, Some(AttemptResult::Stopped)], "nobody saw the end of the first");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_the_shutdown_stopped_goes_on() {
    let mut lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 09:00:00").await;
    lab.shut_down();
    lab.ended().await;
    assert_eq!(results(&lab), [("2026-11-23".to_owned(), RunResult::Running)]);
    let journal = Arc::clone(&lab.journal);
    drop(lab);
    let lab = Lab::new("2026-11-23 09:05:00").script(demo()).after(&journal, "2026-11-23 09:00:01").start().await;
    assert_eq!(lab.story_of(&["start"]), ["09:05:00 demo start 2"]);
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(results(&lab), [("2026-11-23".to_owned(), RunResult::WindowEnd)]);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_kept_and_what_is_left_of_a_wait_is_waited_for() {
    let crash = || vec![Act::Exit(1, Duration::ZERO)];
    let lab = first("2026-11-23 09:30:01", demo(), crash()).await;
    // Attempts at 0, 1, 3, 7, 15 s; the sixth would come at 31 s.
    let lab = next(lab, "2026-11-23 09:30:20", "2026-11-23 09:30:25", demo(), crash()).await;
    lab.run_until("2026-11-23 10:00:00").await;
    let story = lab.story_of(&["start", "gave_up"]);
    assert_eq!(story[..2], ["09:30:32 demo start 6", "09:30:32 demo gave_up 6: more than 5 restarts within 10m"]);
    assert_eq!(story[2], "09:50:32 demo start 7", "one try for each cooldown");
    // After giving up, too.
    let lab = next(lab, "2026-11-23 10:05:00", "2026-11-23 10:06:00", demo(), crash()).await;
    lab.run_until("2026-11-23 10:20:00").await;
    assert_eq!(lab.story_of(&["start", "gave_up"]), ["10:10:32 demo start 8"], "and one alert for the episode");
}

#[tokio::test(start_paused = true)]
async fn a_budget_slides_while_no_daemon_runs() {
    let crash = |n: usize| [vec![Act::Exit(1, Duration::ZERO); n], vec![Act::RunUntilStopped]].concat();
    let lab = first("2026-11-23 09:30:01", demo(), crash(5)).await;
    let lab = next(lab, "2026-11-23 09:30:20", "2026-11-23 09:45:00", demo(), crash(5)).await;
    lab.run_until("2026-11-23 10:00:00").await;
    assert_eq!(lab.story_of(&["gave_up"]), [""; 0]);
    assert_eq!(lab.view("demo").await.state, StateName::Running);
}

#[tokio::test(start_paused = true)]
async fn an_open_that_nobody_saw_rearms_all_the_same() {
    let crash = vec![Act::Exit(1, Duration::ZERO)];
    let lab = first("2026-11-23 08:30:00", demo(), crash).await;
    let lab = next(lab, "2026-11-23 09:00:00", "2026-11-23 09:31:00", demo(), vec![Act::RunUntilStopped]).await;
    assert_eq!(lab.story_of(&["start", "rearmed"]), ["09:31:00 demo rearmed 7", "09:31:00 demo start 8"]);
}

#[tokio::test(start_paused = true)]
async fn windows_that_ended_meanwhile_are_missed_or_interrupted_and_one_line_tells_of_all() {
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    let lab = next(lab, "2026-11-24 10:00:00", "2026-11-30 17:00:00", demo(), vec![Act::RunUntilStopped]).await;
    let told = lab.notices().into_iter().filter_map(|n| match n.what {
        What::Unwatched { missed, interrupted } => {
            Some((missed.iter().map(ToString::to_string).collect::<Vec<_>>(), interrupted))
        }
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let interrupted = ("2026-11-24".parse().expect("a date"), RunResult::Interrupted);
    let missed = ["2026-11-25", "2026-11-27", "2026-11-30"].map(str::to_owned).to_vec();
    assert_eq!(told, [(missed, Some(interrupted))]);
    use RunResult::{Interrupted, Missed, WindowEnd};
    let expected = [
        ("2026-11-23", WindowEnd),
        ("2026-11-24", Interrupted),
        ("2026-11-25", Missed),
        ("2026-11-27", Missed),
        ("2026-11-30", Missed),
    ];
    assert_eq!(results(&lab), expected.map(|(date, result)| (date.to_owned(), result)));
    // The next daemon has nothing to tell of it.
    let lab = next(lab, "2026-11-30 18:00:00", "2026-11-30 19:00:00", demo(), vec![]).await;
    assert!(!lab.notices().iter().any(|n| matches!(n.what, What::Unwatched { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_window_is_to_come_again_waits_for_it() {
    // The clock was set back before the next daemon came up.
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    let lab = next(lab, "2026-11-23 09:00:00", "2026-11-23 08:10:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 08:29:59").await;
    assert_eq!(lab.launcher.orders().len(), 0);
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.story_of(&["start"]), ["08:30:00 demo start 2"]);
    assert_eq!(results(&lab), [("2026-11-23".to_owned(), RunResult::WindowEnd)]);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_up_with_a_wrong_clock_loses_no_run() {
    // Years behind, months ahead.
    for wrong in ["2020-01-06 10:00:00", "2027-03-01 05:00:00"] {
        let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
        let lab = next(lab, "2026-11-23 10:00:00", wrong, demo(), vec![Act::RunUntilStopped]).await;
        lab.run_for(secs(5)).await;
        let right = chrono::NaiveDateTime::parse_from_str("2026-11-23 15:01:00", "%Y-%m-%d %H:%M:%S").expect("a time");
        let now = mho::ports::Clock::now(&*lab.clock).wall;
        lab.clock.step(right.and_utc() - now);
        lab.run_until("2026-11-23 10:02:00").await;
        let run = lab.journal.runs().into_iter().find(|run| run.trading_date.to_string() == "2026-11-23");
        let run = run.expect("it is known");
        assert_eq!((run.result, run.attempts), (RunResult::Running, 2), "{wrong}: {:#?}", lab.story());
        lab.run_until("2026-11-23 17:00:00").await;
        assert_eq!(
            results(&lab).iter().find(|(date, _)| date == "2026-11-23").map(|(_, r)| *r),
            Some(RunResult::WindowEnd)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_removed_meanwhile_is_none() {
    let spec = ScriptSpec { max_duration: Some(secs(5 * 3600)), ..demo() };
    let lab = first("2026-11-23 08:00:00", spec, vec![Act::RunUntilStopped]).await;
    let lab = next(lab, "2026-11-23 10:00:00", "2026-11-23 10:20:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 20:00:00").await;
    assert_eq!(lab.story_of(&["stop"]), ["16:00:00 demo stop 2: window end"]);
}

#[tokio::test(start_paused = true)]
async fn a_dependent_hears_what_its_predecessor_gets_as_result_only_now() {
    let pair = || {
        let mut data = demo();
        data.window.stop = mho::domain::script::TimePoint::At("10:30:00".parse().expect("a time"));
        let condition = Condition::Succeeded;
        let depends_on = vec![Dependency { script: data.name.clone(), condition }];
        (data, ScriptSpec { depends_on, ..ScriptSpec::with_defaults("report", "report.py") })
    };
    let (data, report) = pair();
    let lab = Lab::new("2026-11-23 08:00:00").script(data).script(report);
    let lab = lab.acts("demo", [Act::Linger(secs(9))]).start().await;
    lab.run_until("2026-11-23 10:30:02").await;
    let journal = Arc::clone(&lab.journal);
    drop(lab);
    let (data, report) = pair();
    let lab = Lab::new("2026-11-23 10:31:00").script(data).script(report).after(&journal, "2026-11-23 10:30:02");
    let lab = lab.start().await;
    assert_eq!(lab.journal.runs()[0].result, RunResult::WindowEnd, "its stop was decided");
    assert_eq!(lab.story_of(&["start", "skipped"]), ["10:31:00 report start 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_nobody_could_start_on_this_date_is_not_waited_for() {
    for (condition, expected) in
        [(Condition::Finished, "10:10:00 report start 1"), (Condition::Succeeded, "10:10:00 report skipped 0")]
    {
        let mut data = demo();
        data.window.stop = mho::domain::script::TimePoint::At("10:05:00".parse().expect("a time"));
        let depends_on = vec![Dependency { script: data.name.clone(), condition }];
        let mut report = ScriptSpec { depends_on, ..ScriptSpec::with_defaults("report", "report.py") };
        report.window.start = mho::domain::script::TimePoint::At("10:10:00".parse().expect("a time"));
        let lab = Lab::new("2026-11-23 08:00:00").script(data.clone()).start().await;
        lab.run_until("2026-11-23 20:00:00").await;
        let journal = Arc::clone(&lab.journal);
        drop(lab);
        // The last daemon came up after the window of today, and found nothing to tell of it.
        let lab = Lab::new("2026-11-24 10:07:00").script(data).script(report).after(&journal, "2026-11-24 10:06:00");
        let lab = lab.start().await;
        lab.run_until("2026-11-24 10:10:01").await;
        let story = lab.story_of(&["start", "waiting", "skipped"]);
        assert!(story.len() == 1 && story[0].starts_with(expected), "{condition:?} {story:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_watches_any_more_is_over_with_its_window_though_another_daemon_lives() {
    let keep = || ScriptSpec::with_defaults("keep", "keep.py");
    let lab = Lab::new("2026-11-23 08:00:00").script(demo()).script(keep()).start().await;
    lab.run_until("2026-11-23 10:00:00").await;
    let journal = Arc::clone(&lab.journal);
    drop(lab);
    let lab = Lab::new("2026-11-23 10:01:00").script(keep()).after(&journal, "2026-11-23 10:00:00").start().await;
    let of = |lab: &Running| {
        let runs = lab.journal.runs();
        runs.into_iter().find(|run| run.script.as_str() == "demo").map(|run| run.result)
    };
    lab.run_until("2026-11-23 15:59:59").await;
    assert_eq!(of(&lab), Some(RunResult::Running), "its script may come back");
    lab.run_until("2026-11-23 16:00:00").await;
    assert_eq!(of(&lab), Some(RunResult::Interrupted));
    lab.run_until("2026-11-24 20:00:00").await;
    assert_eq!(lab.results("demo").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_run_that_is_given_up_at_the_start_is_not_called_missed() {
    let lab = first("2026-11-24 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-24 10:00:00").await;
    let monday = Arc::clone(&lab.journal);
    // The clock was ahead for the next one.
    let lab = Lab::new("2026-11-25 10:00:00").script(demo()).after(&monday, "2026-11-25 09:59:00").start().await;
    lab.run_for(secs(5)).await;
    let lab = Lab::new("2026-11-25 10:00:00").script(demo()).after(&monday, "2026-11-24 10:00:00").start().await;
    lab.run_for(secs(5)).await;
    let missed =
        lab.notices().into_iter().find(|n| matches!(&n.what, What::Unwatched { missed, .. } if !missed.is_empty()));
    assert_eq!(missed, None);
    assert_eq!(results(&lab)[0], ("2026-11-24".to_owned(), RunResult::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn more_dates_than_are_remembered_are_told_of_once() {
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    let told = |lab: &Running| {
        let unwatched = |what| match what {
            What::Unwatched { missed, interrupted } => Some((missed.len(), interrupted.is_some())),
            _ => None,
        };
        lab.notices().into_iter().filter_map(|n| unwatched(n.what)).collect::<Vec<_>>()
    };
    let lab = next(lab, "2026-11-23 10:00:00", "2027-02-10 17:00:00", demo(), vec![]).await;
    assert_eq!(told(&lab), [(53, true)]);
    // It dies before it gave a sign of its life.
    let journal = Arc::clone(&lab.journal);
    drop(lab);
    let again = Lab::new("2027-02-10 17:00:30").script(demo()).after(&journal, "2026-11-23 10:00:00").start().await;
    assert_eq!(told(&again), []);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_the_journal_does_not_know_has_missed_nothing() {
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 10:00:00").await;
    let journal = Arc::clone(&lab.journal);
    drop(lab);
    let new = ScriptSpec::with_defaults("new", "new.py");
    let lab = Lab::new("2026-11-24 17:00:00").script(demo()).script(new).after(&journal, "2026-11-23 10:00:00");
    let lab = lab.start().await;
    let about: Vec<_> = lab.notices().into_iter().filter(|n| matches!(n.what, What::Unwatched { .. })).collect();
    assert_eq!(about.len(), 1);
    assert!(lab.journal.runs().iter().all(|run| run.script.as_str() == "demo"));
}

#[tokio::test(start_paused = true)]
async fn a_half_day_that_is_sat_out_while_no_daemon_runs_is_skipped_and_not_missed() {
    let mut spec = demo();
    spec.window.half_days = mho::domain::script::HalfDays::Skip;
    let lab = first("2026-11-25 08:00:00", spec.clone(), vec![Act::RunUntilStopped]).await;
    let lab = next(lab, "2026-11-25 20:00:00", "2026-11-28 12:00:00", spec, vec![]).await;
    assert_eq!(results(&lab)[1], ("2026-11-27".to_owned(), RunResult::Skipped));
    assert!(!lab.notices().iter().any(|n| matches!(n.what, What::Unwatched { .. })));
}

#[tokio::test(start_paused = true)]
async fn dependents_know_what_was_over_before_the_daemon_died() {
    let pair = || {
        let on = |name: &str| Dependency {
            script: ScriptSpec::with_defaults(name, "x").name,
            condition: Condition::Succeeded,
        };
        let report = ScriptSpec { depends_on: vec![on("demo")], ..ScriptSpec::with_defaults("report", "report.py") };
        (demo(), report)
    };
    let (data, report) = pair();
    let lab = Lab::new("2026-11-23 08:00:00").script(data).script(report).acts("demo", [Act::Exit(0, secs(60))]);
    let lab = lab.acts("report", [Act::RunUntilStopped]).start().await;
    lab.run_until("2026-11-23 08:30:30").await;
    let waiting = Arc::clone(&lab.journal);
    lab.run_until("2026-11-23 09:00:00").await;
    drop(lab);
    let (data, report) = pair();
    let lab = Lab::new("2026-11-23 09:10:00").script(data).script(report).after(&waiting, "2026-11-23 09:00:00");
    let lab = lab.start().await;
    assert_eq!(lab.story_of(&["start", "waiting", "skipped"]), ["09:10:00 report start 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_success_under_always_waits_and_is_no_end() {
    let mut spec = demo();
    spec.restart.policy = Policy::Always;
    let lab = first("2026-11-23 09:30:01", spec.clone(), vec![Act::Exit(0, secs(5))]).await;
    let lab = next(lab, "2026-11-23 09:35:00", "2026-11-23 09:36:00", spec, vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 17:00:00").await;
    assert_eq!(lab.launcher.orders().len(), 1);
    assert_eq!(results(&lab), [("2026-11-23".to_owned(), RunResult::WindowEnd)]);
}

#[tokio::test(start_paused = true)]
async fn the_first_start_and_the_end_are_power_safe_and_what_lies_between_is_not() {
    let lab = first("2026-11-23 09:30:01", demo(), vec![Act::Exit(1, secs(70)), Act::Exit(0, secs(70))]).await;
    lab.run_until("2026-11-23 09:31:00").await;
    assert_eq!(
        lab.journal.batches().iter().map(|(grade, _)| *grade).collect::<Vec<_>>(),
        [Grade::PowerSafe, Grade::CrashSafe]
    );
    lab.run_until("2026-11-23 09:32:00").await;
    assert!(lab.journal.batches()[2..].iter().all(|(grade, _)| *grade == Grade::CrashSafe));
    lab.run_until("2026-11-23 09:33:00").await;
    assert_eq!(lab.journal.batches().last().map(|(grade, _)| *grade), Some(Grade::PowerSafe));
}

fn journal_news(lab: &Running) -> Vec<String> {
    let news = |notice: mho::domain::notice::Notice| match notice.what {
        What::JournalLost { error } => Some(format!("{} lost: {error}", notice.at.format("%H:%M:%S%.3f"))),
        What::JournalBack { lost } => Some(format!("{} back, {lost} lost", notice.at.format("%H:%M:%S"))),
        _ => None,
    };
    lab.notices().into_iter().filter_map(news).collect()
}

#[tokio::test(start_paused = true)]
async fn where_the_journal_cannot_be_written_scripts_start_all_the_same_and_it_catches_up() {
    let journal = Arc::new(MemoryJournal::default());
    let lab = Lab::new("2026-11-23 08:00:00").script(demo()).acts("demo", [Act::Exit(0, secs(600))]);
    let lab = lab.after(&journal, "2026-11-23 07:59:00").start().await;
    journal.set_trouble(Some(Trouble::Fails("disk full".to_owned())));
    lab.run_until("2026-11-23 08:30:02").await;
    assert_eq!(lab.launcher.live().len(), 1, "it waited a second, no longer");
    assert_eq!(journal_news(&lab), ["13:30:01.000 lost: disk full"]);
    lab.run_until("2026-11-23 09:00:00").await;
    assert_eq!(lab.view("demo").await.state, StateName::Finished);
    journal.set_trouble(None);
    lab.run_until("2026-11-23 09:01:00").await;
    assert_eq!(journal_news(&lab).len(), 2);
    assert_eq!(results(&lab), [("2026-11-23".to_owned(), RunResult::Succeeded)]);
    assert_eq!(journal.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_of_the_journal_is_nobodys_concern() {
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.run_until("2026-11-23 08:29:59").await;
    lab.journal.set_trouble(Some(Trouble::Fails("locked".to_owned())));
    lab.run_for(Duration::from_millis(1500)).await;
    lab.journal.set_trouble(None);
    lab.run_until("2026-11-23 08:31:00").await;
    assert_eq!(journal_news(&lab), [""; 0]);
    assert_eq!(lab.launcher.live().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_holds_up_nothing_but_the_second_that_it_may() {
    let lab = first("2026-11-23 08:00:00", demo(), vec![Act::RunUntilStopped]).await;
    lab.journal.set_trouble(Some(Trouble::Hangs));
    lab.run_until("2026-11-23 08:30:02").await;
    assert_eq!(lab.launcher.live().len(), 1);
    lab.run_until("2026-11-23 16:00:00").await;
    assert_eq!(lab.launcher.live().len(), 0, "stopped at the very close");
    assert_eq!(journal_news(&lab).len(), 1);
    lab.shut_down();
    assert_eq!(lab.outcome().await, mho::domain::tree::Outcome::Stopped);
}
