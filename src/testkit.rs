//! The tree on the pretend world: build it, inject clock messages or let virtual days pass, assert what it did.
//!
//! A whole day is a test of milliseconds. Run it on tokio's paused clock, and never with a real child:
//!
//! ```
//! use std::time::Duration;
//! use mho::domain::script::ScriptSpec;
//! use mho::testkit::{Act, Lab};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() {
//!     // No clock drives this tree: the test injects the messages that a clock would send.
//!     let crash = Act::Exit(1, Duration::from_secs(5));
//!     let lab = Lab::new("2026-11-27 08:30:00")
//!         .script(ScriptSpec::with_defaults("demo", "demo.py"))
//!         .acts("demo", [crash, Act::Ignore])
//!         .without_clock()
//!         .start()
//!         .await;
//!     lab.open_window("demo", "13:00:00").await;
//!     lab.run_until("2026-11-27 13:00:00").await;
//!     lab.close_window("demo").await;
//!     lab.run_until("2026-11-27 13:01:00").await;
//!     let story = lab.story();
//!     assert_eq!(story[0], "08:30:00 demo start 1");
//!     assert_eq!(story[1], "08:30:05 demo exit 1: 1, crashed");
//!     assert_eq!(story[2], "08:30:05 demo restart_scheduled 1: 1000 ms, restart 1 of 5");
//!     assert_eq!(story[3], "08:30:06 demo start 2");
//!     assert_eq!(story[4], "13:00:00 demo stop 2: window end");
//!     assert_eq!(story[5], "13:00:10 demo kill 2");
//!     assert_eq!(story[6], "13:00:10 demo exit 2: SIGKILL, killed_after_grace");
//!     assert_eq!(story[7], "13:00:10 demo finished 2: window_end");
//! }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use ractor::{Actor, ActorRef};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::actors::messages::{OrderReply, Reconfiguration, RootMsg};
use crate::actors::root::{Root, RootArgs};
use crate::actors::{Plan, Ports};
pub use crate::adapters::pretend::{Act, Call, MemoryJournal, PretendLauncher, Recording, Trouble, VirtualClock};
use crate::domain::calendar::Calendar;
use crate::domain::lifecycle::View;
use crate::domain::notice::{Notice, What};
pub use crate::domain::operator::{Answer, Asked, By, Refused, Whom};
use crate::domain::outcome::RunResult;
use crate::domain::record::{Past, Record};
pub use crate::domain::reload::Change;
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::time::resolve_local;
use crate::domain::timeline::{Addressed, Arrival, ClockEvent, Window};
use crate::domain::tree::Outcome;
use crate::ports::{Clock, Unobserved};

/// A laboratory to be built.
pub struct Lab {
    scripts: Vec<ScriptSpec>,
    acts: BTreeMap<ScriptName, Vec<Act>>,
    calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    market: Arc<str>,
    begin: Begin,
    with_clock: bool,
    journal: Arc<MemoryJournal>,
    past: Past,
}

/// When a laboratory's clock begins.
enum Begin {
    /// In the default calendar's zone, which is known when the laboratory is complete.
    Local(String),
    Instant(DateTime<Utc>),
}

/// A tree at work on the pretend world.
pub struct Running {
    /// The market clock; set it with `step`.
    pub clock: Arc<VirtualClock>,
    /// What was asked of processes.
    pub launcher: Arc<PretendLauncher>,
    /// What it remembers; another laboratory can go on with it.
    pub journal: Arc<MemoryJournal>,
    recording: Arc<Recording>,
    root: ActorRef<RootMsg>,
    done: oneshot::Receiver<Outcome>,
    /// By their places in the tree, also those that are not configured any more.
    names: Vec<ScriptName>,
    /// As they are configured now.
    scripts: Vec<ScriptSpec>,
    zone: Tz,
}

impl Lab {
    /// A laboratory whose clock begins at this local time of the default calendar, XNYS: `2026-11-27 08:30:00`.
    ///
    /// # Panics
    /// Here and below: on arguments that make no sense, since a test should fail then.
    #[must_use]
    pub fn new(begin: &str) -> Self {
        let calendar = Calendar::builtin("XNYS").expect("XNYS is built in");
        Self {
            scripts: Vec::new(),
            acts: BTreeMap::new(),
            calendars: BTreeMap::from([("XNYS".into(), Arc::new(calendar))]),
            market: "XNYS".into(),
            begin: Begin::Local(begin.to_owned()),
            with_clock: true,
            journal: Arc::default(),
            past: Past::default(),
        }
    }

    /// A laboratory of these scripts and calendars, whose clock begins at an instant.
    #[must_use]
    pub fn of(
        scripts: Vec<ScriptSpec>,
        calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
        market: Arc<str>,
        begin: DateTime<Utc>,
    ) -> Self {
        Self {
            scripts,
            acts: BTreeMap::new(),
            calendars,
            market,
            begin: Begin::Instant(begin),
            with_clock: true,
            journal: Arc::default(),
            past: Past::default(),
        }
    }

    /// What all scripts do.
    #[must_use]
    pub fn pretend(mut self, acts: BTreeMap<ScriptName, Vec<Act>>) -> Self {
        self.acts = acts;
        self
    }

    /// Another calendar that scripts may name.
    #[must_use]
    pub fn calendar(mut self, key: &str, calendar: Calendar) -> Self {
        self.calendars.insert(key.into(), Arc::new(calendar));
        self
    }

    /// The default calendar.
    #[must_use]
    pub fn market(mut self, key: &str) -> Self {
        self.market = key.into();
        self
    }

    /// A script.
    #[must_use]
    pub fn script(mut self, spec: ScriptSpec) -> Self {
        self.scripts.push(spec);
        self
    }

    /// What the script's successive attempts do; the last act repeats. Without this they run until they are stopped.
    #[must_use]
    pub fn acts(mut self, script: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        self.acts.insert(name(script), acts.into_iter().collect());
        self
    }

    /// No market clock: the test injects its messages.
    #[must_use]
    pub fn without_clock(mut self) -> Self {
        self.with_clock = false;
        self
    }

    /// It comes after a daemon that died at this local time of the default calendar, and finds what that one wrote. Nothing of what the
    /// other one started lives.
    #[must_use]
    pub fn after(mut self, journal: &Arc<MemoryJournal>, died: &str) -> Self {
        self.past = journal.past(local(self.calendars[&self.market].zone(), died));
        self.journal = Arc::clone(journal);
        self
    }

    /// Starts the tree, on a runtime whose clock is paused.
    pub async fn start(mut self) -> Running {
        let zone = self.calendars[&self.market].zone();
        let begin = match &self.begin {
            Begin::Local(text) => local(zone, text),
            Begin::Instant(at) => *at,
        };
        let clock = Arc::new(VirtualClock::new(begin));
        let launcher = Arc::new(PretendLauncher::new(self.acts));
        let recording = Arc::new(Recording::default());
        let watched = |name: &ScriptName| self.scripts.iter().any(|s| s.enabled && s.name == *name);
        let given_up = self.past.give_up(watched, begin).into_iter();
        let names = self.scripts.iter().map(|s| s.name.clone()).collect();
        let scripts = self.scripts.clone();
        let plan = Plan {
            scripts: self.scripts.into_iter().map(Arc::new).collect(),
            calendars: self.calendars,
            market: self.market,
            status_interval: None,
            alive_interval: None,
            past: self.past,
            killed_by: None,
            records: given_up.map(|run| Record::Run(Box::new(run))).collect(),
        };
        let ports = Ports {
            clock: clock.clone(),
            launcher: launcher.clone(),
            prober: launcher.clone(),
            notifier: recording.clone(),
            journal: self.journal.clone(),
            observer: Arc::new(Unobserved),
        };
        let (tell, done) = oneshot::channel();
        let args = RootArgs { plan, ports, with_clock: self.with_clock, done: tell };
        let (root, _) = Actor::spawn(None, Root, args).await.expect("the tree starts");
        let running = Running { clock, launcher, journal: self.journal, recording, root, done, names, scripts, zone };
        running.settle().await;
        running
    }
}

impl Running {
    /// Lets all messages at this instant be handled.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Lets virtual time pass.
    pub async fn run_for(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets virtual time pass until a millisecond after this local time, so that all that is due at it has happened.
    pub async fn run_until(&self, at: &str) {
        let left = local(self.zone, at) - self.clock.now().wall;
        tokio::time::sleep(left.to_std().unwrap_or_default()).await;
        self.settle().await;
    }

    /// Injects one message of the market clock to one script.
    pub async fn inject(&self, script: &str, event: ClockEvent) {
        let index = self.index(script);
        let at = self.clock.now().wall;
        self.root.cast(RootMsg::Clock(vec![Addressed { at, to: Some(index), event }])).expect("the root lives");
        self.settle().await;
    }

    /// Injects "your window of today is open" until a local time of today.
    pub async fn open_window(&self, script: &str, stop: &str) {
        let start = self.clock.now().wall;
        let today = start.with_timezone(&self.zone).date_naive();
        let stop: NaiveTime = stop.parse().expect("HH:MM:SS");
        let stop = resolve_local(self.zone, today.and_time(stop));
        let window = Window {
            trading_date: today,
            start,
            stop,
            open: start,
            close: stop,
            early_close: false,
            zone: self.zone,
            joined: false,
        };
        let event = ClockEvent::WindowOpen { window, arrival: Arrival::OnTime, absent: BTreeMap::new() };
        self.inject(script, event).await;
    }

    /// Injects "your window of today has ended".
    pub async fn close_window(&self, script: &str) {
        let trading_date = self.clock.now().wall.with_timezone(&self.zone).date_naive();
        self.inject(script, ClockEvent::WindowClose { trading_date }).await;
    }

    /// From now on a calendar is another one, as after a reload.
    pub async fn change_calendar(&self, key: &str, calendar: Calendar) {
        let calendars = BTreeMap::from([(key.into(), Arc::new(calendar))]);
        let scripts = self.scripts.clone();
        let new = |reply| RootMsg::Reconfigure(Box::new(Reconfiguration { scripts, calendars, restart: false, reply }));
        let changes = ractor::call!(self.root, new).expect("the root answers");
        assert_eq!(changes.unwrap_or_default(), [], "no script has changed");
        self.settle().await;
    }

    /// Somebody gives an order, and waits up to a minute until it is done.
    ///
    /// # Errors
    /// It was refused.
    pub async fn order(&self, script: &str, asked: Asked) -> Result<Answer, Refused> {
        let mut answers = self.order_to(Whom::One(script.to_owned()), asked, Some(Duration::from_secs(60))).await?;
        Ok(answers.remove(0).1)
    }

    /// Somebody gives an order; without `wait` the answer comes as soon as it is taken.
    ///
    /// # Errors
    /// It was refused.
    pub async fn order_to(&self, whom: Whom, asked: Asked, wait: Option<Duration>) -> OrderReply {
        let by = By { who: "alice".to_owned(), reason: String::new() };
        let order = |reply| RootMsg::Order { whom, asked, by, wait, reply };
        let answer = ractor::call!(self.root, order).expect("the root answers");
        self.settle().await;
        answer
    }

    /// The kill file appears, or goes.
    pub async fn kill_file(&self, path: Option<&str>) {
        self.root.cast(RootMsg::KillFile(path.map(str::to_owned))).expect("the root lives");
        self.settle().await;
    }

    /// The configuration is another one, as after a reload; None: the daemon ends, and nothing was taken over.
    pub async fn reconfigure(&mut self, scripts: Vec<ScriptSpec>, restart: bool) -> Option<Vec<Change>> {
        let fresh = scripts.iter().map(|spec| &spec.name).filter(|name| !self.names.contains(name)).cloned();
        let fresh: Vec<_> = fresh.collect();
        self.names.extend(fresh);
        self.scripts.clone_from(&scripts);
        let new = |reply| {
            RootMsg::Reconfigure(Box::new(Reconfiguration { scripts, calendars: BTreeMap::new(), restart, reply }))
        };
        let changes = ractor::call!(self.root, new).expect("the root answers");
        self.settle().await;
        changes
    }

    /// Breaks the actor that watches a script, as a fault of this program would; its process lives on. Only while no actor of this tree
    /// was replaced: they are told apart by the order in which they were made.
    pub fn break_worker(&self, script: &str) {
        let mut actors = self.root.get_children();
        actors.sort_by_key(ractor::ActorCell::get_id);
        // The recorder was made before them.
        actors[self.index(script) + 1].kill();
    }

    /// Asks the daemon to end in order, as SIGTERM does.
    pub fn shut_down(&self) {
        self.root
            .cast(RootMsg::Shutdown { reason: "asked by the test".to_owned(), who: "test".to_owned() })
            .expect("the root lives");
    }

    /// Asks it again, as a second SIGTERM does.
    pub fn kill(&self) {
        self.root.cast(RootMsg::Kill).expect("the root lives");
    }

    /// Waits until the daemon has ended; what it did can still be looked at.
    pub async fn ended(&mut self) -> Outcome {
        (&mut self.done).await.expect("the root ends with an outcome")
    }

    /// How the daemon ended.
    pub async fn outcome(mut self) -> Outcome {
        (&mut self.done).await.expect("the root ends with an outcome")
    }

    /// How a script is.
    pub async fn view(&self, script: &str) -> View {
        let index = self.index(script);
        let views = ractor::call_t!(self.root, RootMsg::Views, 1000).expect("the root answers");
        views[index].clone()
    }

    /// All that happened.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.recording.notices()
    }

    /// The events of `simulate`, as JSON.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.notices().iter().filter_map(|n| n.event(self.zone)).collect()
    }

    /// What happened, a line each: time, script, event, attempt, and what else there is to it.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        self.events().iter().map(sentence).collect()
    }

    /// The story in short: only these events.
    #[must_use]
    pub fn story_of(&self, events: &[&str]) -> Vec<String> {
        let wanted = |line: &String| line.split(' ').nth(2).is_some_and(|event| events.contains(&event));
        self.story().into_iter().filter(wanted).collect()
    }

    /// The results of a script's runs, with their trading dates, in the order in which they were told.
    #[must_use]
    pub fn results(&self, script: &str) -> Vec<(NaiveDate, RunResult)> {
        let result = |notice: Notice| {
            let about = notice.about.filter(|about| about.script.as_str() == script)?;
            let result = match notice.what {
                What::Finished { result, .. } => result,
                What::Skipped { .. } => RunResult::Skipped,
                What::Carried { .. } => RunResult::Carried,
                _ => return None,
            };
            Some((about.trading_date, result))
        };
        self.notices().into_iter().filter_map(result).collect()
    }

    fn index(&self, script: &str) -> usize {
        self.names.iter().position(|n| n.as_str() == script).expect("a script of this laboratory")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.root.stop(None);
    }
}

fn name(script: &str) -> ScriptName {
    ScriptName::new(script).expect("a script name")
}

fn local(zone: Tz, at: &str) -> DateTime<Utc> {
    let naive = NaiveDateTime::parse_from_str(at, "%Y-%m-%d %H:%M:%S").expect("YYYY-MM-DD HH:MM:SS");
    resolve_local(zone, naive)
}

fn sentence(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().map(str::to_owned);
    let at = text("at").unwrap_or_default();
    let details: Vec<String> = [
        event["code"].as_i64().map(|c| c.to_string()),
        text("signal"),
        event["delay_ms"].as_u64().map(|ms| format!("{ms} ms")),
        text("result").or_else(|| text("reason")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let head = format!(
        "{} {} {} {}",
        at.get(11..19).unwrap_or_default(),
        text("script").unwrap_or_default(),
        text("event").unwrap_or_default(),
        event["attempt"]
    );
    if details.is_empty() { head } else { format!("{head}: {}", details.join(", ")) }
}
