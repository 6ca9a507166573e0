//! The whole product of states and events, and random days against a model of the world.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, TimeDelta, TimeZone};
use proptest::prelude::*;

use super::*;
use crate::domain::dependency::Progress;
use crate::domain::health::{Endpoint, Probe, ReadySpec, Signs, Tool, WarnSpec};
use crate::domain::operator::{By, Hold};
use crate::domain::record::{RunRecord, ScriptPast};
use crate::domain::script::{Condition, Dependency, Policy};
use crate::domain::timeline::{Absence, DayPlan};

/// Monday, 23 November 2026, 08:30 in New York, is the beginning of everything here.
fn monday() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 13, 30, 0).unwrap()
}

fn at(secs: i64) -> Now {
    let mono = Mono(Duration::from_secs(secs.unsigned_abs()));
    Now { wall: monday() + TimeDelta::seconds(secs), mono, rate: 1.0, jitter: 0.0 }
}

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// The window of the n-th day: 08:30 to 16:00, or the whole day round where windows touch.
fn window(day: i64, touching: bool) -> Window {
    let start = monday() + TimeDelta::days(day);
    let hours = if touching { 24 * 60 } else { 450 };
    let stop = start + TimeDelta::minutes(hours);
    Window {
        trading_date: start.date_naive(),
        start,
        stop,
        open: if touching { start } else { start + TimeDelta::hours(1) },
        close: stop,
        early_close: false,
        zone: chrono_tz::America::New_York,
        joined: touching,
    }
}

fn opens(day: i64) -> Event {
    let absent = BTreeMap::new();
    Event::Clock(ClockEvent::WindowOpen { window: window(day, false), arrival: Arrival::OnTime, absent })
}

fn unwatched(day: i64) -> Event {
    let window = window(day, false);
    let dates = vec![(window.trading_date, DayPlan::Window(window))];
    Event::Clock(ClockEvent::Unwatched { dates, absence: Absence::NoDaemon })
}

fn closes(day: i64) -> Event {
    Event::Clock(ClockEvent::WindowClose { trading_date: window(day, false).trading_date })
}

fn id(number: u32) -> AttemptId {
    AttemptId { script: spec().name, trading_date: monday().date_naive(), number }
}

fn exited(number: u32, code: i32, leftovers: Vec<u32>) -> Event {
    Event::Process(ProcessEvent::Exited { attempt: id(number), exit: Exit::Code(code), leftovers })
}

fn spec() -> ScriptSpec {
    let feed = Dependency { script: ScriptName::new("feed").unwrap(), condition: Condition::Succeeded };
    ScriptSpec {
        max_duration: Some(Duration::from_secs(7 * 3600)),
        depends_on: vec![feed],
        ..ScriptSpec::with_defaults("demo", "/bin/demo")
    }
}

fn fed(result: RunResult) -> Event {
    let standing = Standing { trading_date: monday().date_naive(), progress: Progress::Over(result) };
    Event::Standing { script: ScriptName::new("feed").unwrap(), standing }
}

fn run_through(events: Vec<Event>) -> State {
    events.into_iter().fold(State::default(), |state, event| step(state, event, &spec(), &at(60)).0)
}

fn started() -> Vec<Event> {
    vec![opens(0), fed(RunResult::Succeeded), Event::Spawned { attempt: id(1), process: ProcessId { pid: 7, born: 7 } }]
}

fn busy(number: u32) -> Event {
    Event::Busy { attempt: id(number), on: "exec, PID 5".into() }
}

fn with(mut before: Vec<Event>, event: Event) -> Vec<Event> {
    before.push(event);
    before
}

fn order(demand: Demand) -> Event {
    let by = By { who: "alice".into(), reason: String::new() };
    Event::Order(Order { ticket: 1, demand, by })
}

/// Every order; those that concern the next date are for it.
fn orders() -> Vec<(&'static str, Event)> {
    let outside = || Some(window(0, false));
    let pause = |stop| order(Demand::Pause { until: None, told: String::new(), stop });
    vec![
        ("start", order(Demand::Start { force: false, outside: outside() })),
        ("force", order(Demand::Start { force: true, outside: outside() })),
        ("stop", order(Demand::Stop)),
        ("restart", order(Demand::Restart)),
        ("skip", order(Demand::Skip { dates: vec![monday().date_naive()] })),
        ("pause", pause(false)),
        ("pause stop", pause(true)),
        ("resume", order(Demand::Resume)),
    ]
}

/// Every state, each reached as in life.
fn states() -> Vec<(&'static str, State)> {
    let crash = |n: u32| vec![exited(n, 1, vec![])];
    let mut given_up = started();
    for n in 1..=6 {
        given_up.extend(crash(n));
        if n < 6 {
            given_up.push(Event::Timer { timer: Timer::Backoff, attempt: id(n) });
            given_up.push(Event::Spawned { attempt: id(n + 1), process: ProcessId { pid: 7, born: 7 } });
        }
    }
    vec![
        ("off", State::default()),
        ("waiting", run_through(vec![opens(0)])),
        ("paused", run_through(vec![opens(0), order(Demand::Pause { until: None, told: String::new(), stop: false })])),
        ("starting", run_through(vec![opens(0), fed(RunResult::Succeeded)])),
        ("held", run_through(vec![opens(0), fed(RunResult::Succeeded), busy(1)])),
        ("running", run_through(started())),
        ("stopping", run_through(with(started(), closes(0)))),
        ("sweeping", run_through(with(started(), exited(1, 1, vec![8])))),
        ("backoff", run_through(with(started(), exited(1, 1, vec![])))),
        ("given up", run_through(given_up)),
        ("over", run_through(with(started(), exited(1, 0, vec![])))),
    ]
}

fn name(state: &State) -> &'static str {
    match &state.actual {
        Actual::Off => "off",
        Actual::Waiting { .. } => "waiting",
        Actual::Paused { .. } => "paused",
        Actual::Starting { .. } => "starting",
        Actual::Held { .. } => "held",
        Actual::Running { .. } => "running",
        Actual::Stopping { .. } => "stopping",
        Actual::Sweeping { .. } => "sweeping",
        Actual::Backoff { .. } => "backoff",
        Actual::GivenUp { .. } => "given up",
        Actual::Over { .. } => "over",
    }
}

/// The attempt whose end or answer the state waits for.
fn latest(state: &State) -> u32 {
    state.actual.run().map_or(1, |run| run.attempts.max(1))
}

/// Every event, for the attempt `n`.
fn events(n: u32) -> Vec<(&'static str, Event)> {
    let attempt = id(n);
    let of = |timer| Event::Timer { timer, attempt: id(n) };
    let date = monday().date_naive();
    let session = |open: bool| {
        Event::Clock(if open {
            ClockEvent::SessionOpen { trading_date: date }
        } else {
            ClockEvent::SessionClose { trading_date: date }
        })
    };
    vec![
        ("opens", opens(0)),
        ("opens next", opens(1)),
        ("closes", closes(0)),
        ("no window", Event::Clock(ClockEvent::NoWindow { upcoming: None })),
        ("passed next", Event::Clock(ClockEvent::WindowPassed { window: window(1, false), absence: Absence::Jump })),
        ("unwatched", unwatched(1)),
        (
            "skipped next",
            Event::Clock(ClockEvent::WindowSkipped {
                trading_date: window(1, false).trading_date,
                zone: chrono_tz::America::New_York,
                reason: "half day".into(),
            }),
        ),
        ("session opens", session(true)),
        ("session closes", session(false)),
        ("limit near", Event::Clock(ClockEvent::Alarm { alarm: Alarm::LimitNear })),
        ("limit", Event::Clock(ClockEvent::Alarm { alarm: Alarm::Limit })),
        ("spawned", Event::Spawned { attempt: attempt.clone(), process: ProcessId { pid: 9, born: 9 } }),
        ("spawn failed", Event::SpawnFailed { attempt: attempt.clone(), error: SpawnError("no".into()) }),
        ("busy", busy(n)),
        ("exit 0", exited(n, 0, vec![])),
        ("exit 1", exited(n, 1, vec![])),
        ("exit 42", exited(n, 42, vec![])),
        ("exit 78", exited(n, 78, vec![])),
        ("exit leaving", exited(n, 1, vec![8])),
        ("gone", Event::Process(ProcessEvent::Gone { attempt: attempt.clone() })),
        ("unkillable", Event::Process(ProcessEvent::Unkillable { attempt: attempt.clone(), pids: vec![8] })),
        ("says ready", Event::Process(ProcessEvent::Ready { attempt: attempt.clone() })),
        ("over memory", Event::Process(ProcessEvent::OverMemory { attempt: attempt.clone(), bytes: 9 })),
        ("says", Event::Process(ProcessEvent::Said { attempt: attempt.clone(), text: "well".into() })),
        ("probed", Event::Probed { attempt: attempt.clone(), refused: None }),
        ("refused", Event::Probed { attempt: attempt.clone(), refused: Some("no".into()) }),
        ("signs", Event::Signs { attempt: attempt.clone(), timer: Timer::Silence, signs: Signs::default() }),
        ("outside", Event::Outside { look: 1, refused: None }),
        ("commanded", Event::StopCommandEnded { attempt, failed: None }),
        ("ready", of(Timer::Ready)),
        ("not ready", of(Timer::ReadyTimeout)),
        ("silence", of(Timer::Silence)),
        ("look outside", of(Timer::Outside)),
        ("warn", Event::Clock(ClockEvent::Alarm { alarm: Alarm::Warn })),
        ("grace", of(Timer::Grace)),
        ("backoff", of(Timer::Backoff)),
        ("cooldown", of(Timer::Cooldown)),
        ("look", of(Timer::Held)),
        ("pause ends", Event::Clock(ClockEvent::Alarm { alarm: Alarm::PauseEnds })),
        ("forced ends", Event::Clock(ClockEvent::Alarm { alarm: Alarm::ForcedEnd })),
        ("kill file", Event::KillFile(Some("/kill".into()))),
        ("no kill file", Event::KillFile(None)),
        ("retired", Event::Retired { why: "removed".into() }),
        ("respecified", Event::Respecified(Arc::new(spec()))),
        ("fed", fed(RunResult::Succeeded)),
        ("unfed", fed(RunResult::Failed)),
        ("start nothing", Event::StartNothing),
        ("shutdown", Event::Shutdown),
        ("kill", Event::Kill),
    ]
    .into_iter()
    .chain(orders())
    .collect()
}

/// What each event leads to. `=`: the state stays what it is called. Columns as in `states()`.
const TABLE: &str = "
                 off      waiting  paused   starting held     running  stopping sweeping backoff  given_up over
opens            waiting  =        =        =        =        =        =        =        =        =        =
opens_next       waiting  =        =        =        waiting  =        =        =        =        waiting  waiting
closes           =        over     over     =        over     stopping =        =        over     over     =
no_window        =        =        =        =        =        =        =        =        =        =        =
passed_next      over     =        =        =        =        =        =        =        =        =        =
unwatched        over     =        =        =        =        =        =        =        =        =        =
skipped_next     over     =        =        =        =        =        =        =        =        =        =
session_opens    =        =        =        =        =        =        =        =        starting starting =
session_closes   =        =        =        =        =        =        =        =        =        =        =
limit_near       =        =        =        =        =        =        =        =        =        =        =
limit            =        =        =        =        =        stopping =        =        over     over     =
spawned          =        =        =        running  =        =        =        =        =        =        =
spawn_failed     =        =        =        backoff  =        =        =        =        =        =        =
busy             =        =        =        held     =        =        =        =        =        =        =
exit_0           =        =        =        =        =        over     over     =        =        =        =
exit_1           =        =        =        =        =        backoff  over     =        =        =        =
exit_42          =        =        =        =        =        over     over     =        =        =        =
exit_78          =        =        =        =        =        over     over     =        =        =        =
exit_leaving     =        =        =        =        =        sweeping =        =        =        =        =
gone             =        =        =        =        =        =        over     backoff  =        =        =
unkillable       =        =        =        =        =        =        =        =        =        =        =
over_memory      =        =        =        =        =        =        =        =        =        =        =
says_ready       =        =        =        =        =        =        =        =        =        =        =
says             =        =        =        =        =        =        =        =        =        =        =
probed           =        =        =        =        =        =        =        =        =        =        =
refused          =        =        =        =        =        =        =        =        =        =        =
signs            =        =        =        =        =        =        =        =        =        =        =
outside          =        =        =        =        =        =        =        =        =        =        =
commanded        =        =        =        =        =        =        =        =        =        =        =
ready            =        =        =        =        =        =        =        =        =        =        =
not_ready        =        =        =        =        =        =        =        =        =        =        =
silence          =        =        =        =        =        =        =        =        =        =        =
look_outside     =        =        =        =        =        =        =        =        =        =        =
warn             =        =        =        =        =        =        =        =        =        =        =
grace            =        =        =        =        =        =        =        =        =        =        =
backoff          =        =        =        =        =        =        =        =        starting =        =
cooldown         =        =        =        =        =        =        =        =        =        starting =
look             =        =        =        =        starting =        =        =        =        =        =
pause_ends       =        =        =        =        =        =        =        =        =        =        =
forced_ends      =        =        =        =        =        =        =        =        =        =        =
kill_file        =        paused   =        =        paused   stopping =        =        paused   paused   =
no_kill_file     =        =        =        =        =        =        =        =        =        =        =
retired          =        over     over     =        over     stopping =        =        over     over     =
respecified      =        =        =        =        =        =        =        =        =        =        =
fed              =        starting =        =        =        =        =        =        =        =        =
unfed            =        over     =        =        =        =        =        =        =        =        =
start_nothing    =        off      off      =        off      =        =        =        off      off      =
shutdown         =        off      off      =        off      stopping =        =        off      off      =
kill             =        off      off      =        off      stopping =        =        off      off      =
start            =        =        =        =        =        =        =        =        starting starting =
force            starting starting starting =        =        =        =        =        starting starting starting
stop             =        over     over     =        over     stopping =        =        over     over     =
restart          =        =        =        =        =        stopping =        =        starting starting =
skip             =        over     over     =        over     =        =        =        =        =        =
pause            =        paused   =        =        paused   =        =        =        paused   paused   =
pause_stop       =        paused   =        =        paused   stopping =        =        paused   paused   =
resume           =        =        waiting  =        =        =        =        =        =        =        =
";

#[test]
fn every_event_leads_every_state_where_the_table_says() {
    let expected: BTreeMap<String, Vec<&str>> = TABLE
        .lines()
        .skip(2)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.replace('_', " "), words.collect()))
        })
        .collect();
    for (column, (from, state)) in states().into_iter().enumerate() {
        assert_eq!(name(&state), from, "the state was reached");
        for (event_name, event) in events(latest(&state)) {
            let row = expected.get(event_name).unwrap_or_else(|| panic!("no row for {event_name}"));
            let to = if row[column] == "=" { from } else { row[column] };
            let (after, effects) = step(state.clone(), event, &spec(), &at(61));
            assert_eq!(name(&after), to.replace('_', " "), "{from} + {event_name}: {effects:#?}");
        }
    }
}

/// What is done, besides remembering it.
fn deeds(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| !matches!(effect, Effect::Record { .. })).collect()
}

fn spawns(effects: &[Effect]) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Spawn { .. })).count()
}

fn results(effects: &[Effect]) -> Vec<NaiveDate> {
    let date = |effect: &Effect| match effect {
        Effect::Tell {
            trading_date,
            what: What::Finished { .. } | What::Skipped { .. } | What::Carried { .. },
            ..
        } => Some(*trading_date),
        Effect::Tell { trading_date, what: What::Unwatched { .. }, .. } => Some(*trading_date),
        _ => None,
    };
    effects.iter().filter_map(date).collect()
}

#[test]
fn in_every_pair_a_start_needs_an_open_window_and_no_process() {
    for (from, state) in states() {
        for (event_name, event) in events(latest(&state)) {
            let (after, effects) = step(state.clone(), event, &spec(), &at(61));
            let pair = format!("{from} + {event_name}");
            assert!(spawns(&effects) <= 1, "{pair}");
            if spawns(&effects) == 1 {
                assert!(matches!(after.wanted, Wanted::Up(..)) || event_name == "force", "{pair}");
                assert!(matches!(after.actual, Actual::Starting { .. }), "{pair}");
                assert!(state.view(&spec()).live.is_none(), "{pair}: a process lived");
            }
            let told = results(&effects);
            assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "{pair}: one result a date");
            assert!(told.iter().all(|date| state.memory.result(*date).is_none()), "{pair}: it had a result");
            assert!(told.iter().all(|date| after.memory.result(*date).is_some()), "{pair}: it is remembered");
        }
    }
}

#[test]
fn in_every_state_news_of_another_attempt_changes_nothing() {
    for (from, state) in states() {
        for (event_name, event) in events(99) {
            let ours = matches!(
                event,
                Event::Spawned { .. }
                    | Event::SpawnFailed { .. }
                    | Event::Busy { .. }
                    | Event::Process(_)
                    | Event::Timer { .. }
            );
            if ours {
                let (after, effects) = step(state.clone(), event, &spec(), &at(61));
                assert_eq!((after, effects), (state.clone(), vec![]), "{from} + {event_name}");
            }
        }
    }
}

#[test]
fn after_a_shutdown_no_event_starts_anything_and_no_run_is_begun() {
    for (from, state) in states() {
        let (ended, _) = step(state, Event::Shutdown, &spec(), &at(61));
        for (event_name, event) in events(latest(&ended)) {
            let (after, effects) = step(ended.clone(), event, &spec(), &at(62));
            assert_eq!(spawns(&effects), 0, "{from} + shutdown + {event_name}");
            assert_eq!(after.wanted, Wanted::Ended);
        }
    }
}

#[test]
fn an_event_that_is_heard_twice_does_no_more_than_once() {
    let levels = ["opens", "opens next", "closes", "passed next", "unwatched", "skipped next", "shutdown", "kill"];
    for (from, state) in states() {
        for (event_name, event) in events(latest(&state)).into_iter().filter(|(n, _)| levels.contains(n)) {
            let (once, _) = step(state.clone(), event.clone(), &spec(), &at(61));
            let (twice, effects) = step(once.clone(), event, &spec(), &at(61));
            assert_eq!((name(&twice), effects), (name(&once), vec![]), "{from} + {event_name} twice");
        }
    }
}

#[test]
fn a_stop_signal_comes_with_its_grace_and_sigkill_without_one() {
    let (_, effects) = step(run_through(started()), closes(0), &spec(), &at(61));
    let effects = deeds(effects);
    let grace = Duration::from_secs(10);
    assert_eq!(
        effects[1..],
        [
            Effect::Signal { attempt: id(1), signal: Signal::TERM },
            Effect::Arm { timer: Timer::Grace, after: grace, attempt: id(1) },
        ]
    );
    let stopping = run_through(with(started(), closes(0)));
    let (killed, effects) = step(stopping, Event::Timer { timer: Timer::Grace, attempt: id(1) }, &spec(), &at(71));
    let effects = deeds(effects);
    assert_eq!(effects[1..], [Effect::Disarm(Timer::Grace), Effect::Kill { attempt: id(1) }]);
    let (_, again) = step(killed, Event::Timer { timer: Timer::Grace, attempt: id(1) }, &spec(), &at(72));
    assert_eq!(again, [], "once");
}

#[test]
fn the_time_that_leftovers_take_is_no_life_of_the_attempt() {
    let mut spec = spec();
    spec.exits.min_runtime = Duration::from_secs(65);
    let sweeping = step(run_through(started()), exited(1, 0, vec![8]), &spec, &at(64)).0;
    let gone = Event::Process(ProcessEvent::Gone { attempt: id(1) });
    let (after, _) = step(sweeping, gone, &spec, &at(60 + HOUR));
    assert_eq!(name(&after), "backoff", "too soon a success");
}

#[test]
fn an_open_that_rearms_leaves_no_wait_behind() {
    let session = || Event::Clock(ClockEvent::SessionOpen { trading_date: monday().date_naive() });
    for (from, state) in states().into_iter().filter(|(from, _)| ["backoff", "given up"].contains(from)) {
        let (_, effects) = step(state, session(), &spec(), &at(HOUR));
        for timer in [Timer::Backoff, Timer::Cooldown] {
            assert!(effects.contains(&Effect::Disarm(timer)), "{from}: {timer:?}");
        }
        assert!(effects.iter().any(|e| matches!(e, Effect::Tell { what: What::Rearmed, .. })), "{from}");
        assert_eq!(spawns(&effects), 1, "{from}");
    }
}

/// What the reasons given to one stop make of the run.
fn stopped_by(reasons: Vec<Event>) -> (StopReason, Option<RunResult>) {
    let stopping = run_through(reasons.into_iter().fold(started(), with));
    let Actual::Stopping { stop, .. } = &stopping.actual else { panic!("stopping") };
    let reason = stop.reason;
    let (after, _) = step(stopping, exited(1, 1, vec![]), &spec(), &at(61));
    (reason, after.memory.result(monday().date_naive()))
}

#[test]
fn a_stronger_reason_takes_over_and_any_reason_that_ends_the_run_ends_it() {
    let limit = || Event::Clock(ClockEvent::Alarm { alarm: Alarm::Limit });
    use RunResult::{TimeLimit, WindowEnd};
    for (reasons, expected) in [
        (vec![closes(0)], (StopReason::WindowEnd, Some(WindowEnd))),
        (vec![limit()], (StopReason::TimeLimit, Some(TimeLimit))),
        (vec![Event::Shutdown], (StopReason::Shutdown, None)),
        (vec![closes(0), limit()], (StopReason::TimeLimit, Some(TimeLimit))),
        (vec![limit(), closes(0)], (StopReason::TimeLimit, Some(TimeLimit))),
        (vec![closes(0), Event::Shutdown], (StopReason::Shutdown, Some(WindowEnd))),
        (vec![Event::Shutdown, closes(0)], (StopReason::Shutdown, Some(WindowEnd))),
        (vec![limit(), Event::Shutdown], (StopReason::Shutdown, Some(TimeLimit))),
        (vec![Event::Shutdown, limit(), closes(0)], (StopReason::Shutdown, Some(TimeLimit))),
    ] {
        assert_eq!(stopped_by(reasons.clone()), expected, "{reasons:?}");
    }
}

#[test]
fn a_watcher_that_takes_over_goes_on_with_what_was_not_over() {
    for (from, state) in states() {
        let taken = state.clone().taken_over(&at(60));
        assert_eq!(taken.clone().taken_over(&at(60)), state.clone().taken_over(&at(60)), "{from}: twice is once");
        let (after, effects) = step(state.taken_over(&at(60)), opens(0), &spec(), &at(60));
        let expected = match from {
            "off" | "waiting" => ("waiting", 0),
            "over" => ("over", 0),
            "paused" => ("paused", 0),
            // It was being stopped because its window had ended before its time, and now that is open again.
            "stopping" => ("starting", 1),
            // What was left of a wait is waited for; one that ended with leftovers has ended.
            "sweeping" | "backoff" => ("backoff", 0),
            "given up" => ("given up", 0),
            _ => ("starting", 1),
        };
        // Without news of its predecessor an attempt that was never made waits again.
        assert_eq!((name(&after), spawns(&effects)), expected, "{from}");
    }
}

/// What a random world does next.
#[derive(Clone, Debug)]
enum Act {
    /// Time passes; timers, alarms and boundaries come when they are due.
    Pass(i64),
    /// The leader ends with this code, and leaves others behind or not.
    Exit(i32, bool),
    /// Nothing is left.
    Gone,
    /// SIGKILL did not help.
    Unkillable,
    /// The next spawns fail, or not.
    Spawning(bool),
    /// Somebody else runs the script: so many spawns are refused.
    Busy(u32),
    /// A timer of the attempt before the latest comes late.
    LateTimer(Timer),
    /// The calendar changes: the latest window that began lasts so many seconds.
    Stop(i64),
    /// An operator gives an order; what a start needs to know is filled in when it is given.
    Order(Demand),
    /// Until so many seconds from now nothing starts.
    PauseFor(i64),
    /// Skips the window that is open, or else the next one.
    Skip,
    /// The kill file appears, or goes.
    KillFile(bool),
    /// The watcher dies; what lived is gone before the next one comes.
    TakeOver,
    /// The daemon dies, or with it the machine loses its power, and the next one comes so much later.
    Die {
        power: bool,
        down: i64,
    },
    Shutdown,
    Kill,
    /// What is outside answers, or does not.
    Outside(bool),
    /// The probe holds, or does not.
    Probes(bool),
    /// It gives signs of life, or none.
    Silent(bool),
    /// The stop command is done.
    Commanded,
}

/// Processes, timers, alarms and boundaries, as the shell and the market clock would give them.
struct World {
    spec: ScriptSpec,
    touching: bool,
    state: State,
    now: i64,
    live: Option<AttemptId>,
    leader: bool,
    killed: bool,
    spawning: bool,
    busy: u32,
    refused: Option<AttemptId>,
    latest_date: Option<NaiveDate>,
    timers: BTreeMap<Timer, (i64, AttemptId)>,
    alarms: BTreeMap<Alarm, DateTime<Utc>>,
    next_open: i64,
    open: Option<i64>,
    next_session: i64,
    /// Seconds from start to stop, of days whose stop was moved.
    stops: BTreeMap<i64, i64>,
    /// Dates that got more time when only their window, or nobody's watching it, had ended them: they may go on.
    reopened: BTreeSet<NaiveDate>,
    /// Dates that an operator may begin outside their windows.
    forced: BTreeSet<NaiveDate>,
    /// An order to start by force is being served: no pause counts.
    by_force: bool,
    /// An order waits, or is being served, by which a run that is over begins again.
    begins_again: bool,
    kill_file: bool,
    holds: Vec<Hold>,
    ended: bool,
    results: BTreeMap<NaiveDate, RunResult>,
    begun: BTreeSet<NaiveDate>,
    /// When restarts were promised since the budget was last known to be fresh.
    promised: Vec<i64>,
    gave_up: bool,
    started: i64,
    /// When this daemon came up.
    came_up: i64,
    /// What the journal holds, and what of it would survive the loss of power.
    kept: BTreeMap<NaiveDate, RunRecord>,
    synced: BTreeMap<NaiveDate, RunRecord>,
    /// What is outside answers; the probe holds; the script is silent.
    outside: bool,
    probes: bool,
    silent: bool,
    command: Option<AttemptId>,
}

impl World {
    fn new(policy: Policy, touching: bool, limit: Option<u64>, is_cared_for: bool) -> Self {
        let mut spec = ScriptSpec::with_defaults("demo", "/bin/demo");
        spec.restart.policy = policy;
        spec.max_duration = limit.map(Duration::from_secs);
        if is_cared_for {
            let endpoint = Endpoint::Tcp("127.0.0.1:4002".into());
            let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(300));
            spec.wait_for = vec![endpoint.clone()];
            spec.ready = Some(ReadySpec { probe: Probe::Reach(endpoint), interval, timeout });
            spec.watchdog.silence = Some(Duration::from_secs(600));
            spec.watchdog.heartbeat = Some(Duration::from_secs(60));
            spec.stop_command = Some(Tool { program: "/bin/true".into(), args: Vec::new() });
            spec.warn = Some(WarnSpec { signal: spec.stop.signal, lead: Duration::from_secs(300) });
        }
        Self {
            spec,
            touching,
            state: State::default(),
            now: -60,
            live: None,
            leader: false,
            killed: false,
            spawning: true,
            busy: 0,
            refused: None,
            latest_date: None,
            timers: BTreeMap::new(),
            alarms: BTreeMap::new(),
            next_open: 0,
            open: None,
            next_session: 0,
            stops: BTreeMap::new(),
            reopened: BTreeSet::new(),
            forced: BTreeSet::new(),
            by_force: false,
            begins_again: false,
            kill_file: false,
            holds: Vec::new(),
            ended: false,
            results: BTreeMap::new(),
            begun: BTreeSet::new(),
            promised: Vec::new(),
            gave_up: false,
            started: 0,
            came_up: -60,
            kept: BTreeMap::new(),
            synced: BTreeMap::new(),
            outside: true,
            probes: true,
            silent: false,
            command: None,
        }
    }

    fn window(&self, day: i64) -> Window {
        let plain = window(day, self.touching);
        match self.stops.get(&day) {
            Some(seconds) => Window { stop: plain.start + TimeDelta::seconds(*seconds), ..plain },
            None => plain,
        }
    }

    fn now(&self) -> Now {
        let mono = Mono::after_start(Duration::from_secs((self.now - self.came_up).unsigned_abs()));
        Now { wall: self.wall(), mono, rate: 1.0, jitter: 0.0 }
    }

    fn keep(&mut self, grade: Grade, records: Vec<Record>) {
        for record in records {
            if let Record::Holds { holds, .. } = &record {
                assert_eq!(grade, Grade::PowerSafe, "what is forbidden is safe before it counts");
                self.holds.clone_from(holds);
            }
            if let Record::Run(run) = record {
                let json = serde_json::to_string(&run.unfinished).unwrap();
                let unfinished = serde_json::from_str(&json).unwrap();
                assert_eq!(run.unfinished, unfinished, "it survives being written down");
                let date = run.trading_date;
                let is_open = self.open.is_some_and(|day| self.window(day).trading_date == date);
                let goes_on = |result| is_open && !self.stops.is_empty() && may_go_on(result);
                let before = self.kept.insert(date, *run).map_or(RunResult::Running, |run| run.result);
                let by_hand = self.reopened.contains(&date) || self.begins_again;
                assert!(before == RunResult::Running || goes_on(before) || by_hand, "over stays over: {before:?}");
            }
        }
        if grade == Grade::PowerSafe {
            self.synced = self.kept.clone();
        }
    }

    fn wall(&self) -> DateTime<Utc> {
        monday() + TimeDelta::seconds(self.now)
    }

    fn give(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let now = self.now();
            let orders = self.state.memory.queue.iter();
            let begins =
                |order: &Order| matches!(order.demand, Demand::Start { .. } | Demand::Restart | Demand::Resume);
            self.begins_again |= orders.clone().any(begins);
            self.by_force |= orders.clone().any(|order| matches!(order.demand, Demand::Start { force: true, .. }));
            let (state, effects) = step(std::mem::take(&mut self.state), event, &self.spec.clone(), &now);
            self.state = state;
            for effect in effects {
                queue.extend(self.perform(effect));
            }
        }
        (self.by_force, self.begins_again) = (false, false);
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn { attempt, context } => return Some(self.spawn(attempt, &context)),
            Effect::Signal { attempt, .. } => {
                assert_eq!(self.live.as_ref(), Some(&attempt), "signals go to what lives");
            }
            Effect::Kill { attempt } => {
                assert_eq!(self.live.as_ref(), Some(&attempt), "signals go to what lives");
                assert!(!self.killed, "once");
                self.killed = true;
            }
            Effect::Arm { timer, after, attempt } => {
                let due = self.now + i64::try_from(after.as_secs()).unwrap();
                self.timers.insert(timer, (due, attempt));
            }
            Effect::Disarm(timer) => drop(self.timers.remove(&timer)),
            Effect::SetAlarm { alarm, at: Some(at) } => drop(self.alarms.insert(alarm, at)),
            Effect::SetAlarm { alarm, at: None } => drop(self.alarms.remove(&alarm)),
            Effect::Tell { trading_date, what, .. } => self.hear(trading_date, &what),
            Effect::Record { grade, records } => self.keep(grade, records),
            Effect::Probe { attempt, .. } => {
                let refused = (!self.probes).then(|| "no".to_owned());
                return Some(Event::Probed { attempt, refused });
            }
            Effect::LookOutside { look, .. } => {
                let refused = (!self.outside).then(|| "no".to_owned());
                return Some(Event::Outside { look, refused });
            }
            Effect::LookAtSigns { attempt, timer } => {
                assert_eq!(self.live.as_ref(), Some(&attempt), "who lives is looked at");
                let seen = (!self.silent).then_some(Duration::ZERO);
                return Some(Event::Signs { attempt, timer, signs: Signs { printed: seen, beat: seen } });
            }
            Effect::RunStopCommand { attempt, limit } => {
                assert!(limit < self.spec.stop.grace, "inside the grace");
                self.command = Some(attempt);
            }
            Effect::SignalLeader { attempt, .. } => {
                assert_eq!(self.live.as_ref(), Some(&attempt), "signals go to what lives");
            }
            Effect::ReportTail { .. } | Effect::CarryOutput { .. } => {}
            Effect::Answer { .. } if self.begins_again => self.refresh(),
            Effect::Answer { .. } => {}
        }
        None
    }

    fn spawn(&mut self, attempt: AttemptId, context: &LaunchContext) -> Event {
        let wall = self.wall();
        assert_eq!(self.live, None, "never two live attempts");
        assert!(!self.ended, "no start after the shutdown");
        if self.latest_date.replace(attempt.trading_date) != Some(attempt.trading_date) {
            self.refresh(); // each run has a budget of its own
        }
        assert!(!self.kill_file, "no start beside the kill file");
        // One that was forced, and refused because somebody else ran the script, is still forced.
        let is_forced_on = self.by_force || self.refused.as_ref() == Some(&attempt);
        let holds: Holds = self.holds.iter().cloned().collect();
        assert!(is_forced_on || holds.pause(wall).is_none(), "no start in a pause");
        let is_forced = self.forced.contains(&attempt.trading_date);
        assert!(self.open.is_some() || is_forced, "no start outside the window");
        let day = (attempt.trading_date - monday().date_naive()).num_days();
        let window = self.window(day);
        assert!((window.start <= wall || is_forced) && wall < window.stop, "no start at or after the stop");
        assert_eq!(context.stop_at, window.stop);
        assert!(context.deadline.is_none_or(|at| wall < at && at < window.stop), "no start at or after the deadline");
        // An order may have waited until the run of another date was stopped.
        if self.reopened.remove(&window.trading_date) || self.begins_again {
            self.results.remove(&window.trading_date);
        }
        assert!(!self.results.contains_key(&window.trading_date), "a date with a result never runs again");
        if self.busy > 0 {
            self.busy -= 1;
            self.refused = Some(attempt.clone());
            return Event::Busy { attempt, on: "exec, PID 5".into() };
        }
        if !self.spawning {
            return Event::SpawnFailed { attempt, error: SpawnError("no".into()) };
        }
        let known = self.synced.get(&window.trading_date).expect("before its first start the run is recorded");
        // One that was refused counts when it has a process.
        let is_known = known.attempts >= 1 || self.refused.as_ref() == Some(&attempt);
        assert!(is_known && known.result == RunResult::Running, "{known:?}");
        self.started = self.now;
        self.leader = true;
        self.killed = false;
        self.live = Some(attempt.clone());
        Event::Spawned { attempt, process: ProcessId { pid: 7, born: 7 } }
    }

    fn hear(&mut self, date: NaiveDate, what: &What) {
        let policy = self.spec.restart;
        match what {
            What::Finished { result, .. } => self.conclude(date, *result),
            What::Skipped { .. } => self.conclude(date, RunResult::Skipped),
            What::Carried { .. } => {
                if self.reopened.remove(&date) {
                    self.results.remove(&date); // it was begun again, and still waits
                }
                assert_eq!(self.results.insert(date, RunResult::Carried), None, "two results");
            }
            What::Unwatched { missed, interrupted } => {
                missed.iter().for_each(|date| self.conclude(*date, RunResult::Missed));
                interrupted.iter().for_each(|(date, result)| self.conclude(*date, *result));
            }
            What::Rearmed => self.refresh(),
            What::GaveUp { .. } => {
                assert!(!self.gave_up, "one alert per episode");
                self.gave_up = true;
            }
            What::RestartScheduled { .. } => {
                assert!(!self.gave_up, "after giving up only single tries");
                self.promised.push(self.now);
                let within = i64::try_from(policy.within.as_secs()).unwrap();
                let recent = self.promised.iter().filter(|at| self.now - **at < within).count();
                assert!(recent <= policy.max_restarts as usize, "the budget: {recent}");
            }
            _ => {}
        }
    }

    fn conclude(&mut self, date: NaiveDate, result: RunResult) {
        if self.reopened.remove(&date) {
            self.results.remove(&date);
        }
        assert!(self.results.insert(date, result).is_none(), "two results for {date}");
        let safe = self.synced.get(&date).map(|run| run.result);
        assert!(safe == Some(result) || self.begins_again, "it is safe before it is told: {safe:?}");
        self.refresh();
        if self.begins_again {
            self.reopened.insert(date);
        }
        let day = (date - monday().date_naive()).num_days();
        if self.forced.contains(&date) && self.wall() < self.window(day).start {
            self.reopened.insert(date); // its window is still to come
        }
        // It got more time while it was being stopped.
        if result == RunResult::WindowEnd && self.open.map(|day| self.window(day).trading_date) == Some(date) {
            self.reopened.insert(date);
        }
    }

    fn refresh(&mut self) {
        self.promised.clear();
        self.gave_up = false;
    }

    /// The next instant at which something is due.
    fn due(&self) -> i64 {
        let timers = self.timers.values().map(|(at, _)| *at);
        let alarms = self.alarms.values().map(|at| (*at - monday()).num_seconds());
        let stop = self.open.map(|day| (self.window(day).stop - monday()).num_seconds());
        let session = if self.touching { self.next_session * DAY } else { self.next_session * DAY + HOUR };
        timers.chain(alarms).chain(stop).chain([self.next_open * DAY, session]).min().unwrap()
    }

    fn pass(&mut self, until: i64) {
        while self.due() <= until {
            self.now = self.due().max(self.now);
            self.fire();
        }
        self.now = self.now.max(until);
    }

    /// One of the things that are due now; what ends goes before what begins.
    fn fire(&mut self) {
        let wall = self.wall();
        if let Some((alarm, _)) = self.alarms.iter().find(|(_, at)| **at <= wall).map(|(a, t)| (*a, *t)) {
            self.alarms.remove(&alarm);
            return self.give(Event::Clock(ClockEvent::Alarm { alarm }));
        }
        if let Some(day) = self.open.filter(|day| !self.touching && self.window(*day).stop <= wall) {
            self.open = None;
            let trading_date = self.window(day).trading_date;
            return self.give(Event::Clock(ClockEvent::WindowClose { trading_date }));
        }
        if self.next_open * DAY <= self.now {
            let window = window(self.next_open, self.touching);
            self.open = Some(self.next_open);
            self.next_open += 1;
            if !self.ended {
                self.begun.insert(window.trading_date);
            }
            let absent = BTreeMap::new();
            return self.give(Event::Clock(ClockEvent::WindowOpen { window, arrival: Arrival::OnTime, absent }));
        }
        if let Some((timer, _)) = self.timers.iter().find(|(_, (at, _))| *at <= self.now).map(|(t, d)| (*t, d.0)) {
            let (_, attempt) = self.timers.remove(&timer).unwrap();
            let waits = match timer {
                Timer::Grace => matches!(name(&self.state), "stopping" | "sweeping"),
                Timer::Backoff => name(&self.state) == "backoff",
                Timer::Cooldown => name(&self.state) == "given up",
                Timer::Held => name(&self.state) == "held",
                Timer::Outside => name(&self.state) == "waiting",
                Timer::Ready | Timer::ReadyTimeout | Timer::Silence | Timer::Heartbeat => {
                    name(&self.state) == "running"
                }
            };
            assert!(waits, "{timer:?} was armed for what is over: {:?}", self.state);
            return self.give(Event::Timer { timer, attempt });
        }
        self.next_session += 1;
        let trading_date = wall.date_naive();
        self.give(Event::Clock(ClockEvent::SessionOpen { trading_date }));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pass(seconds) => self.pass(self.now + seconds),
            Act::Exit(code, leaves) => self.exit(*code, *leaves),
            Act::Gone => self.gone(),
            Act::Unkillable => {
                if let Some(attempt) = self.live.clone().filter(|_| self.killed) {
                    self.give(Event::Process(ProcessEvent::Unkillable { attempt, pids: vec![8] }));
                }
            }
            Act::Spawning(works) => self.spawning = *works,
            Act::Busy(busy) => self.busy = *busy,
            Act::LateTimer(timer) => {
                if let Some(attempt) = self.live.clone().filter(|a| a.number > 1) {
                    let late = AttemptId { number: attempt.number - 1, ..attempt };
                    let before = self.state.clone();
                    self.give(Event::Timer { timer: *timer, attempt: late });
                    assert_eq!(self.state, before, "a late timer changes nothing");
                }
            }
            Act::Stop(seconds) => self.move_stop(*seconds),
            Act::Order(demand) => self.order(demand.clone()),
            Act::PauseFor(seconds) => {
                let until = Some(self.wall() + TimeDelta::seconds(*seconds));
                self.order(Demand::Pause { until, told: String::new(), stop: seconds % 2 == 0 });
            }
            Act::Skip => {
                let dates = vec![self.window(self.open.unwrap_or(self.next_open)).trading_date];
                self.order(Demand::Skip { dates });
            }
            Act::KillFile(exists) => {
                self.kill_file = *exists;
                self.give(Event::KillFile(exists.then(|| "/kill".to_owned())));
            }
            Act::TakeOver => self.take_over(),
            Act::Outside(answers) => self.outside = *answers,
            Act::Probes(holds) => self.probes = *holds,
            Act::Silent(silent) => self.silent = *silent,
            Act::Commanded => {
                if let Some(attempt) = self.command.take() {
                    self.give(Event::StopCommandEnded { attempt, failed: None });
                }
            }
            Act::Die { power, down } => self.die(*power, *down),
            Act::Shutdown => {
                self.ended = true;
                self.give(Event::Shutdown);
            }
            Act::Kill => {
                self.ended = true;
                self.give(Event::Kill);
            }
        }
    }

    fn order(&mut self, demand: Demand) {
        let window = self.window(self.open.unwrap_or(self.next_open));
        let date = window.trading_date;
        let demand = match demand {
            Demand::Start { force, .. } => {
                self.by_force = force;
                if force && !self.touching {
                    self.forced.insert(date);
                }
                // Windows that touch leave no time outside of them.
                Demand::Start { force, outside: (!self.touching).then_some(window) }
            }
            other => other,
        };
        let may_begin_again = matches!(demand, Demand::Start { .. } | Demand::Restart | Demand::Resume);
        let is_new = may_begin_again && self.results.contains_key(&date) && self.reopened.insert(date);
        if may_begin_again {
            self.refresh(); // it may be
        }
        let by = By { who: "alice".into(), reason: String::new() };
        self.begins_again = may_begin_again;
        self.give(Event::Order(Order { ticket: 1, demand, by }));
        let has_begun = self.forced.contains(&date) || self.state.actual.is_at_work_on(date) || self.ended;
        if is_new && self.results.contains_key(&date) && !has_begun {
            self.reopened.remove(&date);
        }
    }

    fn exit(&mut self, code: i32, leaves: bool) {
        let Some(attempt) = self.live.clone().filter(|_| self.leader) else { return };
        if self.now - self.started >= 60 {
            self.refresh();
        }
        self.leader = false;
        if !leaves {
            self.live = None;
        }
        let leftovers = if leaves { vec![8] } else { vec![] };
        self.give(Event::Process(ProcessEvent::Exited { attempt, exit: Exit::Code(code), leftovers }));
    }

    fn gone(&mut self) {
        if let Some(attempt) = self.live.take_if(|_| !self.leader) {
            self.give(Event::Process(ProcessEvent::Gone { attempt }));
        }
    }

    /// The calendar changes: the latest window that began has another stop.
    fn move_stop(&mut self, seconds: i64) {
        let day = self.next_open - 1;
        if self.touching || day < 0 {
            return;
        }
        self.stops.insert(day, seconds);
        let (window, wall) = (self.window(day), self.wall());
        let date = window.trading_date;
        if window.stop > wall {
            self.open = Some(day);
            if self.results.get(&date).is_some_and(|result| may_go_on(*result)) {
                self.reopened.insert(date);
            }
            let event = ClockEvent::WindowOpen { window, arrival: Arrival::Late, absent: BTreeMap::new() };
            self.give(Event::Clock(event));
        } else if self.open.take().is_some() {
            self.give(Event::Clock(ClockEvent::WindowClose { trading_date: date }));
        }
    }

    fn take_over(&mut self) {
        if self.ended {
            return;
        }
        self.live = None;
        self.timers.clear();
        self.state = std::mem::take(&mut self.state).taken_over(&self.now());
        self.tell_level();
    }

    fn tell_level(&mut self) {
        let event = match self.open {
            None => ClockEvent::NoWindow { upcoming: Some(window(self.next_open, self.touching).trading_date) },
            Some(day) => {
                let absent = BTreeMap::new();
                ClockEvent::WindowOpen { window: self.window(day), arrival: Arrival::Late, absent }
            }
        };
        self.give(Event::Clock(event));
    }

    /// Nothing of the daemon is left but its journal; what it had started is gone before the next one starts anything.
    fn die(&mut self, power: bool, down: i64) {
        let died = self.wall();
        let wall = died + TimeDelta::seconds(down);
        if past(&self.kept).stale.iter().any(|left| left.given_up(&self.spec.name, wall).is_none()) {
            return; // the market clock would end that one when its window is over, and it is not here
        }
        (self.live, self.ended) = (None, false);
        self.timers.clear();
        self.alarms.clear();
        if power {
            self.kept = self.synced.clone();
            self.refresh(); // restarts that were not recorded do not count
        }
        self.now += down;
        self.came_up = self.now;
        let wall = self.wall();
        while window(self.next_open, self.touching).start <= wall {
            self.begun.insert(window(self.next_open, self.touching).trading_date);
            self.open = Some(self.next_open);
            self.next_open += 1;
        }
        self.open = self.open.filter(|day| self.window(*day).stop > wall);
        let session = if self.touching { 0 } else { HOUR };
        while self.next_session * DAY + session <= self.now {
            self.next_session += 1;
        }
        let ended = (0..self.next_open).map(|day| self.window(day));
        let ended = ended.filter(|window| died < window.stop && window.stop <= wall);
        let dates: Vec<_> = ended.map(|window| (window.trading_date, DayPlan::Window(window))).collect();
        let mut past = ScriptPast { holds: self.holds.clone(), ..past(&self.kept) };
        for left in past.stale.drain(..) {
            let end = left.given_up(&self.spec.name, wall).expect("its window is over");
            past.results.push((end.trading_date, end.result));
            self.kept.insert(end.trading_date, end.clone());
            self.synced.insert(end.trading_date, end.clone());
            self.results.insert(end.trading_date, end.result);
        }
        past.results.sort_by_key(|(date, _)| *date);
        self.state = State::resumed(&past, &self.now());
        if self.kill_file {
            self.give(Event::KillFile(Some("/kill".into())));
        }
        if !dates.is_empty() {
            self.give(Event::Clock(ClockEvent::Unwatched { dates, absence: Absence::NoDaemon }));
        }
        self.tell_level();
    }

    /// Everything that was begun comes to its end: processes end when they are told, and the daemon is asked to end.
    fn wind_up(&mut self) {
        [Act::Outside(true), Act::Probes(true), Act::Silent(false), Act::KillFile(false)]
            .iter()
            .for_each(|act| self.act(act));
        self.order(Demand::Resume);
        for _ in 0..4 {
            self.pass(self.now + DAY);
            self.act(&Act::Commanded);
            self.exit(0, false);
            self.gone();
        }
        let open = self.open.map(|day| self.window(day).trading_date);
        for date in self.begun.iter().filter(|date| Some(**date) != open && !self.ended) {
            // One that an operator held, and that passed while no daemon ran, is recorded, and told to nobody.
            let is_held = self.kept.get(date).is_some_and(|run| run.result == RunResult::Skipped);
            assert!(self.results.contains_key(date) || is_held, "{date} has no result: {:?}", self.state);
        }
        for (date, result) in self.results.iter().filter(|(date, _)| !self.reopened.contains(*date)) {
            assert_eq!(self.kept.get(date).map(|run| run.result), Some(*result), "the journal has it");
        }
        self.act(&Act::Shutdown);
        self.act(&Act::Commanded);
        self.exit(1, false);
        self.gone();
        assert_eq!(self.live, None);
        assert!(self.state.has_ended(), "quiet: {:?}", self.state);
        assert_eq!(self.timers, BTreeMap::new(), "every timer has ended");
        assert_eq!(self.alarms, BTreeMap::new(), "every alarm has ended");
    }
}

/// It may be that nothing but the window, or nobody's watching it, has ended such a run.
fn may_go_on(result: RunResult) -> bool {
    use RunResult::{Failed, Interrupted, Missed, Skipped, Succeeded, WindowEnd};
    matches!(result, WindowEnd | Missed | Interrupted | Skipped | Failed | Succeeded)
}

/// What the next daemon finds in the journal.
fn past(kept: &BTreeMap<NaiveDate, RunRecord>) -> ScriptPast {
    let mut past = ScriptPast::default();
    for (date, run) in kept {
        past.spent = Some((*date, run.attempts));
        past.window_ended = run.unfinished.clone().filter(|_| run.result != RunResult::Running);
        match run.result {
            RunResult::Running => {
                past.stale.extend(past.unfinished.take());
                past.unfinished.clone_from(&run.unfinished);
            }
            result => past.results.push((*date, result)),
        }
    }
    past
}

fn demand() -> impl Strategy<Value = Demand> {
    let pause = |stop| Demand::Pause { until: None, told: String::new(), stop };
    prop_oneof![
        2 => any::<bool>().prop_map(|force| Demand::Start { force, outside: None }),
        2 => Just(Demand::Stop),
        2 => Just(Demand::Restart),
        1 => any::<bool>().prop_map(pause),
        2 => Just(Demand::Resume),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let code = prop_oneof![4 => Just(1), 2 => Just(0), 1 => Just(42), 1 => Just(78)];
    prop_oneof![
        6 => prop_oneof![0..30_i64, 30..1_500_i64, 1_500..40_000_i64].prop_map(Act::Pass),
        8 => (code, prop::bool::weighted(0.2)).prop_map(|(code, leaves)| Act::Exit(code, leaves)),
        3 => Just(Act::Gone),
        2 => Just(Act::Unkillable),
        1 => any::<bool>().prop_map(Act::Spawning),
        1 => (1..5_u32).prop_map(Act::Busy),
        1 => prop_oneof![Just(Timer::Grace), Just(Timer::Backoff), Just(Timer::Cooldown)].prop_map(Act::LateTimer),
        2 => (600..80_000_i64).prop_map(Act::Stop),
        3 => demand().prop_map(Act::Order),
        1 => (1..20_000_i64).prop_map(Act::PauseFor),
        1 => Just(Act::Skip),
        1 => any::<bool>().prop_map(Act::KillFile),
        1 => Just(Act::TakeOver),
        1 => any::<bool>().prop_map(Act::Outside),
        1 => any::<bool>().prop_map(Act::Probes),
        1 => any::<bool>().prop_map(Act::Silent),
        2 => Just(Act::Commanded),
        2 => (any::<bool>(), prop_oneof![3 => 0..3_i64, 2 => 0..4_000_i64, 1 => 0..300_000_i64])
            .prop_map(|(power, down)| Act::Die { power, down }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_world_does_the_promises_hold(
        acts in prop::collection::vec(act(), 1..60),
        ending in prop_oneof![3 => Just(None), 1 => Just(Some(Act::Shutdown)), 1 => Just(Some(Act::Kill))],
        after in prop::collection::vec(act(), 0..10),
        policy in prop_oneof![Just(Policy::Never), Just(Policy::OnFailure), Just(Policy::Always)],
        touching in any::<bool>(),
        limit in prop_oneof![Just(None), (60..30_000_u64).prop_map(Some)],
        is_cared_for in any::<bool>(),
    ) {
        let mut world = World::new(policy, touching, limit, is_cared_for);
        for act in acts.iter().chain(&ending).chain(&after) {
            world.act(act);
        }
        world.wind_up();
    }
}

#[test]
fn the_days_of_these_tests_are_workdays() {
    assert_eq!(monday().weekday(), chrono::Weekday::Mon);
}
