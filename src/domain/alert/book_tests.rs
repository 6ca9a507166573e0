use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::book::{Book, Context, Look, Outgoing};
use super::*;
use crate::domain::calendar::Calendar;
use crate::domain::lifecycle::{State, StateName, View};
use crate::domain::notice::{About, Notice, What};
use crate::domain::outcome::{AttemptResult, RunResult, Signal};
use crate::domain::record::{Past, ScriptPast};
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::secret::Secret;
use crate::domain::status::Facts;
use crate::domain::time::{Mono, Now};

/// 2026-11-27 is a half day of XNYS: 09:30 to 13:00 in New York, after Thanksgiving.
const DAY: &str = "2026-11-27";

struct Desk {
    book: Book,
    begin: DateTime<Utc>,
    now: DateTime<Utc>,
    told: Vec<Message>,
}

fn instant(local: &str) -> DateTime<Utc> {
    format!("{local}-05:00").parse().unwrap()
}

fn name(script: &str) -> ScriptName {
    ScriptName::new(script).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn channel(channel: Channel, events: Vec<AlertEvent>) -> Arc<AlertSpec> {
    Arc::new(AlertSpec {
        name: channel.type_name().to_owned(),
        channel,
        events,
        repeat_interval: Duration::from_secs(1800),
        late_after: Duration::from_secs(300),
        timeout: Duration::from_secs(10),
    })
}

fn slack(events: Vec<AlertEvent>) -> Arc<AlertSpec> {
    channel(Channel::Slack { url: Secret::new("https://hooks.example/secret") }, events)
}

fn switch(script: &str) -> Arc<AlertSpec> {
    let (url, interval) = (Secret::new("http://127.0.0.1:1/uuid"), Duration::from_secs(60));
    channel(Channel::Healthchecks { url, script: Some(name(script)), interval }, AlertEvent::defaults())
}

fn view(state: StateName, pid: Option<u32>) -> View {
    let idle = State::default().view(&ScriptSpec::with_defaults("a", "a"));
    View { state, pid, trading_date: Some(day(DAY)), reason: "it crashed".to_owned(), ..idle }
}

fn look(script: &str, state: StateName, pid: Option<u32>) -> Look {
    let facts = Facts {
        spec: Arc::new(ScriptSpec::with_defaults(script, script)),
        view: Arc::new(view(state, pid)),
        since: instant("2026-11-27T08:30:00"),
        pending: Vec::new(),
    };
    // It takes its time to be read.
    static XNYS: LazyLock<Arc<Calendar>> = LazyLock::new(|| Arc::new(Calendar::builtin("XNYS").unwrap()));
    Look { facts, calendar: Some(Arc::clone(&XNYS)), has_dependents: false }
}

impl Desk {
    fn new(begin: &str, channels: &[Arc<AlertSpec>]) -> Self {
        Self::knowing(begin, channels, &Past::default())
    }

    fn knowing(begin: &str, channels: &[Arc<AlertSpec>], past: &Past) -> Self {
        let (daemon_id, host, life) = ("d1".to_owned(), "desk".to_owned(), "f00d".to_owned());
        let context = Context { daemon_id, host, life, zone: Tz::America__New_York };
        let begin = instant(begin);
        Self { book: Book::new(channels, context, past), begin, now: begin, told: Vec::new() }
    }

    fn moment(&self) -> Now {
        let mono = Mono::after_start((self.now - self.begin).to_std().unwrap());
        Now { wall: self.now, mono, rate: 1.0, jitter: 0.0 }
    }

    fn keep(&mut self, out: Vec<Outgoing>) {
        self.told.extend(out.into_iter().map(|out| out.message));
    }

    fn hear(&mut self, script: &str, what: What) {
        self.hear_with(script, what, &look(script, StateName::Running, Some(7)));
    }

    fn hear_with(&mut self, script: &str, what: What, look: &Look) {
        let about = About { script: name(script), trading_date: day(DAY), attempt: 1 };
        let notice = Notice { at: self.now, about: Some(about), what };
        let out = self.book.hear(&notice, Some(look), &self.moment());
        self.keep(out);
    }

    fn hear_daemon(&mut self, what: What) {
        let out = self.book.hear(&Notice { at: self.now, about: None, what }, None, &self.moment());
        self.keep(out);
    }

    fn pass(&mut self, time: TimeDelta, looks: &[Look]) {
        self.now += time;
        let out = self.book.tick(looks, &self.moment());
        self.keep(out);
    }

    fn crash(&mut self, script: &str) {
        self.hear(script, What::Started { pid: 7 });
        self.hear(script, What::Exited { exit: Exit::Code(1), result: AttemptResult::Crashed });
        self.hear(script, What::LastLines { lines: vec!["it hurts".to_owned()] });
    }

    /// Event and count of all that was told since the last time.
    fn told(&mut self) -> Vec<(&'static str, u32)> {
        self.told.drain(..).map(|message| (message.event.name(), message.count)).collect()
    }
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

#[test]
fn a_thousand_crashes_are_a_few_messages_with_counts_and_nothing_is_left_out() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    for _ in 0..1000 {
        desk.crash("a");
        desk.pass(seconds(5), &[]);
    }
    desk.pass(seconds(1800), &[]);
    let told = desk.told();
    // 5,000 s: the first one, two half hours, and what is left.
    assert_eq!(told.iter().map(|(_, count)| count).sum::<u32>(), 1000, "{told:?}");
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], ("failed", 1));
}

#[test]
fn a_crash_is_told_with_its_last_lines_or_after_a_second_without() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    desk.hear("a", What::Exited { exit: Exit::Code(3), result: AttemptResult::Crashed });
    assert!(desk.told.is_empty() && desk.book.due().is_some());
    desk.hear("a", What::LastLines { lines: vec!["to https://hooks.example/secret".to_owned()] });
    let message = desk.told.pop().expect("a message");
    assert_eq!(message.exit.as_deref(), Some("code 3"));
    assert_eq!(message.log_tail, ["to [redacted]"], "no secret of a channel is sent");
    assert_eq!(message.run_id.as_deref(), Some("d1.a.2026-11-27"));
    assert_eq!(message.id, "f00d-1");
    desk.hear("b", What::Exited { exit: Exit::Code(3), result: AttemptResult::Crashed });
    desk.pass(seconds(1), &[]);
    assert_eq!(desk.told(), [("failed", 1)]);
}

#[test]
fn an_episode_ends_when_the_script_is_well_and_a_script_that_is_never_well_for_long_is_told_by_its_count() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    for _ in 0..20 {
        desk.hear("a", What::Started { pid: 7 });
        // It lives through: delay and budget are fresh, and the next crash is another story.
        desk.pass(seconds(61), &[look("a", StateName::Running, Some(7))]);
        desk.hear("a", What::Exited { exit: Exit::Code(1), result: AttemptResult::Crashed });
        desk.hear("a", What::LastLines { lines: Vec::new() });
    }
    assert_eq!(desk.told(), [("failed", 1), ("failed", 1), ("failed", 1)]);
    desk.pass(seconds(1800), &[]);
    assert_eq!(desk.told(), [("failed", 1)], "the latest story, by its count");
    desk.hear("a", What::Finished { result: RunResult::WindowEnd, reason: "window end".to_owned() });
    desk.pass(seconds(1800), &[]);
    desk.crash("a");
    assert_eq!(desk.told(), [("failed", 1)]);
}

#[test]
fn giving_up_is_told_once_for_each_episode() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    let give_up = || What::GaveUp { reason: "more than 5 restarts within 10m".to_owned(), next_try: None };
    desk.hear("a", give_up());
    desk.hear("a", give_up());
    desk.hear("a", What::Finished { result: RunResult::Failed, reason: "more than 5 restarts".to_owned() });
    desk.pass(TimeDelta::hours(2), &[]);
    assert_eq!(desk.told(), [("gave_up", 1)]);
}

#[test]
fn a_kill_is_a_failure_to_those_who_want_failures_alone() {
    let both = slack(AlertEvent::defaults());
    let failures = slack(vec![AlertEvent::Failed]);
    let mut desk = Desk::new("2026-11-27T09:00:00", &[both, failures]);
    let exit = Exit::Signal { signal: Signal::KILL, out_of_memory: true };
    desk.hear("a", What::Exited { exit, result: AttemptResult::Signaled });
    desk.pass(seconds(1), &[]);
    assert!(desk.told[0].reason.contains("out of memory"), "{:?}", desk.told[0]);
    assert_eq!(desk.told(), [("killed", 1), ("failed", 1)]);
    desk.hear("b", What::Exited { exit, result: AttemptResult::KilledAfterGrace });
    desk.hear("b", What::Stopped { killed: true });
    desk.pass(seconds(1), &[]);
    assert_eq!(desk.told(), [("killed", 1)]);
}

#[test]
fn what_is_due_and_down_for_longer_than_late_after_is_told_until_it_runs() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    let down = [look("a", StateName::Backoff, None)];
    let mut told = Vec::new();
    for _ in 0..60 {
        desk.pass(seconds(5), &down);
        told.append(&mut desk.told());
    }
    assert!(told.is_empty(), "not yet: {told:?}");
    desk.pass(seconds(5), &down);
    assert!(desk.told[0].reason.starts_with("It is due and has not been running since 2026-11-27 09:00:05 EST"));
    assert_eq!(desk.told(), [("not_running", 1)]);
    desk.pass(seconds(1700), &down);
    assert_eq!(desk.told(), []);
    desk.pass(seconds(100), &down);
    assert_eq!(desk.told(), [("not_running", 1)], "it goes on");
    desk.pass(seconds(5), &[look("a", StateName::Running, Some(7))]);
    desk.pass(seconds(5), &down);
    desk.pass(seconds(299), &down);
    assert_eq!(desk.told(), [], "it ran meanwhile");
    for state in [StateName::Idle, StateName::Paused, StateName::Waiting, StateName::Skipped] {
        desk.pass(TimeDelta::hours(1), &[look("b", state, None)]);
        desk.pass(TimeDelta::hours(1), &[look("b", state, None)]);
        assert_eq!(desk.told(), [], "{state:?} is meant");
    }
}

#[test]
fn a_success_long_before_the_stop_is_early_unless_somebody_waits_for_it() {
    let done = || What::Finished { result: RunResult::Succeeded, reason: "it exited with code 0".to_owned() };
    for (at, has_dependents, expected) in [
        ("2026-11-27T11:00:00", false, vec![("ended_early", 1)]),
        ("2026-11-27T12:49:59", false, vec![("ended_early", 1)]),
        ("2026-11-27T12:50:00", false, vec![]),
        ("2026-11-27T11:00:00", true, vec![]),
        // Forced, before its window.
        ("2026-11-27T06:00:00", false, vec![]),
    ] {
        let mut desk = Desk::new(at, &[slack(AlertEvent::defaults())]);
        let look = Look { has_dependents, ..look("a", StateName::Finished, None) };
        desk.hear_with("a", done(), &look);
        assert_eq!(desk.told(), expected, "{at} {has_dependents}");
    }
    let mut desk = Desk::new("2026-11-27T11:00:00", &[slack(AlertEvent::defaults())]);
    desk.hear("a", What::Finished { result: RunResult::FinishedEarly, reason: "code 42".to_owned() });
    assert_eq!(desk.told(), [], "an early code says that it is meant");
}

#[test]
fn an_absence_is_one_message() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    for script in ["a", "b", "c"] {
        desk.hear(script, What::Unwatched { missed: vec![day("2026-11-25")], interrupted: None });
    }
    desk.hear("d", What::Finished { result: RunResult::Missed, reason: "start deadline".to_owned() });
    desk.hear("e", What::Finished { result: RunResult::Interrupted, reason: "the daemon died".to_owned() });
    assert!(desk.told.is_empty());
    desk.pass(seconds(2), &[]);
    let [message] = desk.told.as_slice() else { panic!("{:?}", desk.told) };
    assert_eq!((message.event, message.script.as_deref(), message.count), (AlertEvent::Missed, None, 1));
    assert_eq!(message.reason.lines().count(), 5, "{}", message.reason);
    assert!(message.reason.starts_with("a: While nobody watched: 2026-11-25 was missed\n"), "{}", message.reason);
}

#[test]
fn the_day_is_told_when_its_last_window_is_over_and_every_script_is_in_it() {
    let mut desk = Desk::new("2026-11-27T12:00:00", &[slack(vec![AlertEvent::Summary])]);
    let looks = [look("a", StateName::Finished, None), look("b", StateName::Running, Some(7))];
    desk.hear("a", What::Finished { result: RunResult::Failed, reason: "more than 5 restarts within 10m".to_owned() });
    desk.pass(TimeDelta::minutes(60), &looks);
    assert_eq!(desk.told(), [], "b is being stopped");
    desk.hear("b", What::Finished { result: RunResult::WindowEnd, reason: "window end".to_owned() });
    desk.pass(seconds(5), &looks);
    let [message] = desk.told.as_slice() else { panic!("{:?}", desk.told) };
    let expected = "summary of 2026-11-27\na: failed (more than 5 restarts within 10m)\nb: window_end (window end)";
    assert_eq!((message.reason.as_str(), message.severity), (expected, Severity::Error));
    assert_eq!(message.trading_date, Some(day(DAY)));
    desk.told.clear();
    desk.pass(TimeDelta::hours(3), &looks);
    assert_eq!(desk.told(), [], "once");
}

#[test]
fn a_day_that_was_over_before_the_daemon_came_up_is_not_told_again() {
    let past = ScriptPast { results: vec![(day(DAY), RunResult::WindowEnd)], ..ScriptPast::default() };
    let past = Past { scripts: BTreeMap::from([(name("a"), past)]), ..Past::default() };
    let looks = [look("a", StateName::Idle, None)];
    let mut evening = Desk::knowing("2026-11-27T18:00:00", &[slack(vec![AlertEvent::Summary])], &past);
    evening.pass(seconds(5), &looks);
    evening.pass(TimeDelta::hours(1), &looks);
    assert_eq!(evening.told(), []);
    let mut noon = Desk::knowing("2026-11-27T12:00:00", &[slack(vec![AlertEvent::Summary])], &past);
    noon.pass(seconds(5), &looks);
    noon.pass(TimeDelta::hours(1), &looks);
    assert_eq!(noon.told(), [("summary", 1)]);
}

#[test]
fn a_switch_hears_start_and_end_of_a_run_once_and_that_a_closed_day_is_well() {
    let pings = |desk: &mut Desk| {
        let of = |message: Message| (message.ping.expect("a ping"), message.reason);
        desk.told.drain(..).map(of).collect::<Vec<_>>()
    };
    let mut desk = Desk::new("2026-11-27T08:30:00", &[switch("a")]);
    desk.crash("a");
    desk.crash("a");
    desk.crash("b");
    desk.hear("a", What::Finished { result: RunResult::FinishedEarly, reason: "it exited with code 42".to_owned() });
    let heard = pings(&mut desk);
    assert_eq!(heard[0], (Ping::Start, "Script started with PID 7".to_owned()));
    assert_eq!(heard[1], (Ping::Success, "finished_early: it exited with code 42".to_owned()));
    assert_eq!(heard.len(), 2);
    desk.hear("a", What::GaveUp { reason: "too often".to_owned(), next_try: None });
    assert_eq!(pings(&mut desk), [(Ping::Fail, "Giving up: too often".to_owned())]);

    let mut thanksgiving = Desk::new("2026-11-26T08:00:00", &[switch("a")]);
    let looks = [look("a", StateName::Idle, None)];
    thanksgiving.pass(TimeDelta::minutes(29), &looks);
    assert_eq!(pings(&mut thanksgiving), []);
    thanksgiving.pass(TimeDelta::minutes(1), &looks);
    assert_eq!(pings(&mut thanksgiving), [(Ping::Success, "skipped: Thanksgiving".to_owned())]);
    thanksgiving.pass(TimeDelta::minutes(5), &looks);
    assert_eq!(pings(&mut thanksgiving), []);
}

#[test]
fn the_daemon_tells_of_itself() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    desk.hear_daemon(What::JournalLost { error: "disk full".to_owned() });
    desk.hear_daemon(What::JournalBack { lost: 0 });
    desk.hear_daemon(What::ClockStepped { by: TimeDelta::seconds(30) });
    desk.hear_daemon(What::ClockStepped { by: TimeDelta::seconds(-30) });
    desk.hear_daemon(What::StartedAfterCrash { last_sign: desk.now });
    let (calendar, from, to) = ("XNYS".to_owned(), day("2000-01-01"), day("2026-12-31"));
    desk.hear_daemon(What::CalendarEnds { calendar, from, to, passed: false });
    desk.hear_daemon(What::Session { open: true });
    let out = desk.book.hear_end("critical script a failed", &desk.moment());
    desk.keep(out);
    let events = desk.told();
    let expected = ["daemon", "daemon", "clock_step", "daemon", "calendar", "daemon"].map(|event| (event, 1));
    assert_eq!(events, expected);
}

fn pings(desk: &mut Desk) -> Vec<(Ping, String)> {
    desk.told.drain(..).map(|message| (message.ping.expect("a ping"), message.reason)).collect()
}

#[test]
fn to_a_switch_only_a_skip_that_was_meant_is_well_and_a_run_that_is_carried_on_is() {
    let mut desk = Desk::new("2026-11-27T08:30:00", &[switch("a")]);
    desk.hear("a", What::Skipped { reason: "waited in vain: tcp://gateway".to_owned(), planned: false });
    assert_eq!(pings(&mut desk), [(Ping::Fail, "skipped: waited in vain: tcp://gateway".to_owned())]);
    desk.hear("a", What::Skipped { reason: "half day".to_owned(), planned: true });
    assert_eq!(pings(&mut desk), [(Ping::Success, "skipped: half day".to_owned())]);
    let mut desk = Desk::new("2026-11-27T08:30:00", &[switch("a")]);
    desk.hear("a", What::Started { pid: 7 });
    desk.hear("a", What::Carried { to: day("2026-11-28") });
    assert_eq!(pings(&mut desk)[1].0, Ping::Success);
}

#[test]
fn a_forced_run_that_failed_on_a_closed_day_is_not_made_well_by_the_day() {
    let mut desk = Desk::new("2026-11-26T06:00:00", &[switch("a")]);
    desk.hear("a", What::Started { pid: 7 });
    desk.pass(TimeDelta::hours(3), &[look("a", StateName::Running, Some(7))]);
    desk.hear("a", What::Finished { result: RunResult::Failed, reason: "it gave up".to_owned() });
    desk.pass(seconds(5), &[look("a", StateName::Failed, None)]);
    desk.pass(TimeDelta::hours(3), &[look("a", StateName::Failed, None)]);
    let heard: Vec<Ping> = pings(&mut desk).into_iter().map(|(ping, _)| ping).collect();
    assert_eq!(heard, [Ping::Start, Ping::Fail]);
}

#[test]
fn giving_up_again_after_an_operator_or_the_open_made_the_budget_fresh_is_told_again() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    let give_up = || What::GaveUp { reason: "more than 5 restarts within 10m".to_owned(), next_try: None };
    let by = crate::domain::operator::By { who: "alice".to_owned(), reason: String::new() };
    for again in [What::Rearmed, What::Ordered { verb: "start", by }] {
        desk.hear("a", give_up());
        desk.hear("a", again);
    }
    desk.hear("a", give_up());
    assert_eq!(desk.told(), [("gave_up", 1), ("gave_up", 1), ("gave_up", 1)]);
}

#[test]
fn news_of_a_crash_says_what_comes_next() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    desk.hear("a", What::Exited { exit: Exit::Code(1), result: AttemptResult::Crashed });
    desk.hear("a", What::RestartScheduled { delay: Duration::from_secs(2), restart: 1, of: 5 });
    desk.hear("a", What::LastLines { lines: Vec::new() });
    assert_eq!(desk.told.pop().expect("told").next.as_deref(), Some("restart in 2.0s"));
}

#[test]
fn a_journal_that_is_lost_again_is_told_again_and_what_ended_well_unseen_is_no_interruption() {
    let mut desk = Desk::new("2026-11-27T09:00:00", &[slack(AlertEvent::defaults())]);
    let lost = || What::JournalLost { error: "disk full".to_owned() };
    [lost(), What::JournalBack { lost: 0 }, lost()].into_iter().for_each(|what| desk.hear_daemon(what));
    assert_eq!(desk.told(), [("daemon", 1), ("daemon", 1), ("daemon", 1)]);
    let interrupted = |result| What::Unwatched { missed: Vec::new(), interrupted: Some((day(DAY), result)) };
    desk.hear("a", interrupted(RunResult::WindowEnd));
    desk.pass(seconds(60), &[]);
    assert_eq!(desk.told(), []);
    desk.hear("a", interrupted(RunResult::Interrupted));
    desk.pass(seconds(60), &[]);
    assert_eq!(desk.told(), [("interrupted", 1)]);
}
