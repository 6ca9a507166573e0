//! What there is to see of the daemon, kept up to date by supervision and looked at by everybody else: nobody who looks ever keeps it waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio::sync::mpsc;

use crate::adapters::metrics::{Machine, Metrics};
use crate::adapters::usage;
use crate::domain::calendar::Calendar;
use crate::domain::notice::{Notice, What};
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::status::{self, Facts, Gauges, Local, Market, NextLine, Present, Script, Status, Verdict};
use crate::domain::timeline::{Boundary, agenda};
use crate::ports::{Clock, Notifier, Observer};

/// Calendars by key.
type Calendars = BTreeMap<Arc<str>, Arc<Calendar>>;

/// So many boundaries are looked at for the first one of each kind.
const LOOKED_AT: usize = 200;

/// Of a script on one date: start, limit, stop. So many are enough to find one that comes true.
const BOUNDARIES: usize = 3;

/// So many changes wait for whoever watches; one that does not keep up is shown everything anew.
const MOST_WAITING: usize = 4096;

/// Something to be shown to whoever watches.
pub(in crate::app) enum Seen {
    Script(Facts),
    Gone(ScriptName),
    Crossed(Boundary),
    Notice(Notice),
}

/// Everything that is known of the daemon.
pub(in crate::app) struct Board {
    pub(super) clock: Arc<dyn Clock>,
    rehearsal: bool,
    started_at: DateTime<Utc>,
    kept: Mutex<Kept>,
    /// What happens is handed on only while somebody watches.
    watched: AtomicBool,
    seen: mpsc::Sender<Seen>,
    /// Some of it was lost: who watched was too slow.
    pub(super) lost: AtomicBool,
    pub(in crate::app) metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Kept {
    scripts: BTreeMap<usize, Facts>,
    order: Vec<usize>,
    calendars: Calendars,
    market: Arc<str>,
    killed_by: Option<String>,
    journal_lost: bool,
    /// The next boundaries, until the first of them is past.
    coming: Arc<Vec<Boundary>>,
    /// Of what they were reckoned from.
    version: u64,
}

impl Board {
    /// With it the other end of what is handed on.
    pub(in crate::app) fn new(
        clock: Arc<dyn Clock>,
        rehearsal: bool,
        calendars: Calendars,
        market: Arc<str>,
    ) -> (Arc<Self>, mpsc::Receiver<Seen>) {
        let (seen, watch) = mpsc::channel(MOST_WAITING);
        let kept = Mutex::new(Kept { calendars, market, ..Kept::default() });
        let started_at = clock.now().wall;
        let (watched, lost) = (AtomicBool::new(false), AtomicBool::new(false));
        let metrics = Arc::new(Metrics::new());
        (Arc::new(Self { clock, rehearsal, started_at, kept, watched, seen, lost, metrics }), watch)
    }

    pub(super) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    /// The calendars are others from now on.
    pub(in crate::app) fn set_calendars(&self, changed: Calendars) {
        let mut kept = self.lock();
        kept.calendars.extend(changed);
        kept.has_changed();
    }

    pub(super) fn zone(&self) -> Tz {
        self.lock().zone()
    }

    pub(super) fn present(&self) -> Present {
        Present { now: self.clock.now().wall, zone: self.zone() }
    }

    /// A calendar that is in use, by key or id, whatever the case; without a name the default one.
    pub(super) fn calendar(&self, name: Option<&str>) -> Option<Arc<Calendar>> {
        let kept = self.lock();
        let Some(name) = name else { return kept.calendars.get(&kept.market).cloned() };
        let is_it = |(key, calendar): &(&Arc<str>, &Arc<Calendar>)| {
            let aliases = calendar.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(name));
            key.eq_ignore_ascii_case(name) || calendar.id().eq_ignore_ascii_case(name) || aliases
        };
        kept.calendars.iter().find(is_it).map(|(_, calendar)| Arc::clone(calendar))
    }

    /// The configured scripts, in their order, each with its calendar.
    pub(in crate::app) fn facts(&self) -> Vec<(Facts, Option<Arc<Calendar>>)> {
        let kept = self.lock();
        let facts = kept.order.iter().filter_map(|index| kept.scripts.get(index));
        facts.map(|facts| (facts.clone(), kept.calendars.get(&facts.spec.window.calendar).cloned())).collect()
    }

    /// A configured script, its calendar, and whether others wait for it.
    pub(in crate::app) fn find(&self, name: &ScriptName) -> Option<(Facts, Option<Arc<Calendar>>, bool)> {
        let kept = self.lock();
        let mut all = kept.order.iter().filter_map(|index| kept.scripts.get(index));
        let facts = all.clone().find(|facts| facts.spec.name == *name)?;
        let is_wanted = all.any(|other| other.spec.depends_on.iter().any(|on| on.script == *name));
        Some((facts.clone(), kept.calendars.get(&facts.spec.window.calendar).cloned(), is_wanted))
    }

    pub(super) fn spec(&self, name: &str) -> Option<Arc<ScriptSpec>> {
        self.facts().into_iter().map(|(facts, _)| facts.spec).find(|spec| spec.name.as_str() == name)
    }

    /// One script, without what its process uses.
    pub(super) fn script(&self, facts: &Facts) -> Script {
        let calendar = self.lock().calendars.get(&facts.spec.window.calendar).cloned();
        status::script(facts, calendar.as_deref(), Gauges::default(), self.present())
    }

    /// All scripts, with what their processes use.
    pub(super) fn scripts(&self) -> Vec<Script> {
        let present = self.present();
        let facts = self.facts();
        let gauges = self.gauges(&facts);
        let show = |((facts, calendar), gauges): (&(Facts, Option<Arc<Calendar>>), Gauges)| {
            status::script(facts, calendar.as_deref(), gauges, present)
        };
        facts.iter().zip(gauges).map(show).collect()
    }

    fn gauges(&self, facts: &[(Facts, Option<Arc<Calendar>>)]) -> Vec<Gauges> {
        let now = self.clock.now();
        let used = usage::of_groups(facts.iter().filter_map(|(facts, _)| facts.view.pid));
        let of = |(facts, calendar): &(Facts, Option<Arc<Calendar>>)| {
            let zone = calendar.as_ref().map_or(Tz::UTC, |calendar| calendar.zone());
            let used = facts.view.pid.and_then(|pid| used.get(&pid));
            let date = facts.view.trading_date;
            let silence = date.and_then(|date| usage::silence(&facts.spec.output.dir, date));
            // On the market clock, which may run faster.
            let printed = silence.map(|silence| now.wall - (now.wall_after(silence) - now.wall));
            Gauges {
                memory_bytes: used.map(|used| used.memory),
                cpu_seconds: used.map(|used| used.cpu),
                last_output_at: printed.map(|at| Local::new(at, zone)),
            }
        };
        facts.iter().map(of).collect()
    }

    pub(super) fn status(&self) -> Status {
        let scripts = self.scripts();
        let present = self.present();
        let verdict = self.verdict(&scripts);
        let (journal_ok, killed_by) = self.troubles();
        Status {
            now: Local::new(present.now, present.zone),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rehearsal: self.rehearsal,
            speed: self.clock.now().rate,
            started_at: Local::new(self.started_at, present.zone),
            verdict,
            journal_ok,
            killed_by,
            market: self.market(),
            scripts,
        }
    }

    pub(super) fn verdict(&self, scripts: &[Script]) -> Verdict {
        let (journal_ok, killed_by) = self.troubles();
        status::verdict(scripts, self.clock.now().wall, journal_ok, killed_by.as_deref())
    }

    /// Nothing lives, and nothing starts any more.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().scripts.values().all(|facts| facts.view.ended)
    }

    /// Whether the journal is written, and the kill file that exists.
    pub(super) fn troubles(&self) -> (bool, Option<String>) {
        let kept = self.lock();
        (!kept.journal_lost, kept.killed_by.clone())
    }

    pub(super) fn market(&self) -> Market {
        let now = self.clock.now().wall;
        let facts = self.facts();
        let coming = status::foreseen(&self.coming(now), facts.iter().map(|(facts, _)| facts), now);
        let calendar = self.calendar(None);
        calendar.map_or_else(no_market, |calendar| status::market(&calendar, now, &coming))
    }

    /// All that happens at the next boundary. Reckoned anew when that is past, or when something has changed; never while supervision would
    /// have to wait for it.
    fn coming(&self, now: DateTime<Utc>) -> Arc<Vec<Boundary>> {
        let (agenda, version) = {
            let kept = self.lock();
            if kept.coming.first().is_some_and(|first| now < first.at) {
                return Arc::clone(&kept.coming);
            }
            (kept.agenda(), kept.version)
        };
        let coming = Arc::new(agenda.next(now, agenda.scripts.len() * BOUNDARIES + 2));
        let mut kept = self.lock();
        if kept.version == version {
            kept.coming = Arc::clone(&coming);
        }
        coming
    }

    /// Prometheus text.
    pub(super) fn metrics_text(&self) -> String {
        let now = self.clock.now().wall;
        let mut next: Vec<NextLine> = Vec::new();
        // Of each kind the first; there may be many of one kind before it.
        for line in self.next(LOOKED_AT) {
            if !next.iter().any(|known| known.boundary == line.boundary) {
                next.push(line);
            }
        }
        let kept = self.lock();
        let market = kept.calendars.get(&kept.market);
        let today = |calendar: &Arc<Calendar>| calendar.is_session(now.with_timezone(&calendar.zone()).date_naive());
        let machine = Machine {
            trading_day: market.is_some_and(|calendar| today(calendar).unwrap_or(false)),
            clock_synchronized: self.clock.is_synchronised(),
            published_to: kept.calendars.values().map(|c| (c.id().to_owned(), c.published_to())).collect(),
            next,
        };
        drop(kept);
        self.metrics.render(self.status(), machine)
    }

    pub(super) fn next(&self, count: usize) -> Vec<NextLine> {
        let present = self.present();
        let agenda = self.lock().agenda();
        let found = agenda.next(present.now, count);
        found.iter().map(|boundary| status::next_line(boundary, present.zone)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_on(&self, seen: Seen) {
        if self.watched.load(Ordering::Relaxed) && self.seen.try_send(seen).is_err() {
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Kept {
    fn zone(&self) -> Tz {
        self.calendars.get(&self.market).map_or(Tz::UTC, |calendar| calendar.zone())
    }

    fn agenda(&self) -> Agenda {
        let facts = self.order.iter().filter_map(|index| self.scripts.get(index));
        let scripts = facts.map(|facts| Arc::clone(&facts.spec)).collect();
        Agenda { scripts, calendars: self.calendars.clone(), market: Arc::clone(&self.market) }
    }

    /// What was reckoned of the future does not hold any more.
    fn has_changed(&mut self) {
        self.version += 1;
        self.coming = Arc::default();
    }
}

/// What it takes to reckon what comes.
struct Agenda {
    scripts: Vec<Arc<ScriptSpec>>,
    calendars: Calendars,
    market: Arc<str>,
}

impl Agenda {
    fn next(&self, now: DateTime<Utc>, count: usize) -> Vec<Boundary> {
        agenda(&self.scripts, &self.calendars, &self.market, now, count)
    }
}

/// The default calendar is loaded, or the daemon would not have started.
fn no_market() -> Market {
    Market {
        calendar: String::new(),
        timezone: Tz::UTC.name().to_owned(),
        phase: "closed".to_owned(),
        trading_date: None,
        reason: "no calendar is loaded".to_owned(),
        open: None,
        close: None,
        early_close: false,
        next: None,
    }
}

impl Observer for Board {
    fn changed(&self, index: usize, facts: Facts) {
        let mut kept = self.lock();
        let before = kept.scripts.insert(index, facts.clone());
        if before.is_none_or(|before| !Arc::ptr_eq(&before.spec, &facts.spec)) {
            kept.has_changed();
        }
        drop(kept);
        self.hand_on(Seen::Script(facts));
    }

    fn gone(&self, index: usize) {
        let gone = self.lock().scripts.remove(&index);
        if let Some(facts) = gone {
            self.hand_on(Seen::Gone(facts.spec.name.clone()));
        }
    }

    fn ordered(&self, order: &[usize]) {
        let mut kept = self.lock();
        kept.order = order.to_vec();
        kept.has_changed();
    }

    fn crossed(&self, boundary: Boundary) {
        self.metrics.crossed(boundary.at, self.clock.now().wall);
        self.hand_on(Seen::Crossed(boundary));
    }
}

/// Hands notices on, and keeps what of them is to be seen.
pub(in crate::app) struct Watching<N> {
    next: N,
    board: Arc<Board>,
}

impl<N: Notifier> Watching<N> {
    pub(in crate::app) fn new(next: N, board: Arc<Board>) -> Self {
        Self { next, board }
    }
}

impl<N: Notifier> Notifier for Watching<N> {
    fn notify(&self, notice: Notice) {
        match &notice.what {
            What::JournalLost { .. } => self.board.lock().journal_lost = true,
            What::JournalBack { .. } => self.board.lock().journal_lost = false,
            What::KillFile { path, exists } => {
                self.board.lock().killed_by = exists.then(|| path.clone());
            }
            _ => {}
        }
        if self.board.watched.load(Ordering::Relaxed) {
            self.board.hand_on(Seen::Notice(notice.clone()));
        }
        self.next.notify(notice);
    }
}
