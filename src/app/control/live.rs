//! The stream of what happens: made once for all who watch, and only while somebody does. Runs where they are served, never with supervision.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::board::{Board, Seen};
use crate::domain::notice::Notice;
use crate::domain::status::{Live, Local, Market, Verdict, next_line};

/// Who reads slower than so many events is shown everything anew.
const BUFFERED: usize = 1024;

/// How often it is looked whether the verdict, or the market's phase, is another one.
const GLANCE: Duration = Duration::from_millis(250);

/// What processes use is told every so many glances.
const GLANCES_PER_GAUGE: u32 = 8;

/// The stream, and those who watch it.
pub(in crate::app) struct Stream {
    board: Arc<Board>,
    events: broadcast::Sender<Live>,
    /// Here while nobody watches; the pump has it otherwise.
    seen: Arc<Mutex<Option<mpsc::Receiver<Seen>>>>,
}

impl Stream {
    pub(in crate::app) fn new(board: Arc<Board>, seen: mpsc::Receiver<Seen>) -> Self {
        let seen = Arc::new(Mutex::new(Some(seen)));
        Self { board, events: broadcast::Sender::new(BUFFERED), seen }
    }

    /// To be called on the runtime of those who watch.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Live> {
        let receiver = self.events.subscribe();
        let idle = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut seen) = idle {
            // What was left in it is of an earlier watch.
            while seen.try_recv().is_ok() {}
            self.board.set_watched(true);
            let pump = Pump { board: Arc::clone(&self.board), events: self.events.clone(), latest: Latest::default() };
            let home = Arc::clone(&self.seen);
            tokio::spawn(async move {
                let seen = pump.run(seen).await;
                *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            });
        }
        receiver
    }
}

/// What was told last.
#[derive(Default)]
struct Latest {
    verdict: Option<(Verdict, bool, Option<String>)>,
    market: Option<Market>,
}

struct Pump {
    board: Arc<Board>,
    events: broadcast::Sender<Live>,
    latest: Latest,
}

impl Pump {
    /// Until nobody watches any more.
    async fn run(mut self, mut seen: mpsc::Receiver<Seen>) -> mpsc::Receiver<Seen> {
        let mut glance = interval(GLANCE);
        glance.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut glances = 0;
        let mut is_news = true;
        loop {
            tokio::select! {
                next = seen.recv() => match next {
                    Some(next) => {
                        is_news = true;
                        self.tell(next);
                    }
                    // The board is gone: the daemon ends.
                    None => return seen,
                },
                _ = glance.tick() => {
                    if self.events.receiver_count() == 0 {
                        self.board.set_watched(false);
                        return seen;
                    }
                    glances += 1;
                    self.look(std::mem::take(&mut is_news), glances % GLANCES_PER_GAUGE == 0);
                }
            }
        }
    }

    fn tell(&self, seen: Seen) {
        match seen {
            Seen::Script(facts) => self.send("state", &self.board.script(&facts)),
            Seen::Gone(name) => self.send("gone", &json!({"name": name})),
            Seen::Crossed(boundary) => self.send("boundary", &next_line(&boundary, self.board.zone())),
            Seen::Notice(notice) => self.tell_notice(&notice),
        }
    }

    fn tell_notice(&self, notice: &Notice) {
        let zone = self.board.zone();
        let script = notice.about.as_ref().map(|about| about.script.as_str());
        for line in notice.lines(zone) {
            let at = Local::new(notice.at, zone);
            let fields: serde_json::Map<_, _> = line.fields.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
            let level = line.level.name();
            self.send(
                "notice",
                &json!({"at": at, "level": level, "text": line.text, "script": script, "fields": fields}),
            );
        }
    }

    fn look(&mut self, is_news: bool, with_gauges: bool) {
        if self.board.lost.swap(false, Ordering::Relaxed) {
            self.send("status", &self.board.status());
        }
        let market = self.board.market();
        if self.latest.market.as_ref() != Some(&market) {
            self.send("market", &market);
            self.latest.market = Some(market);
        }
        if !is_news && !with_gauges {
            return;
        }
        let scripts = self.board.scripts();
        let (journal_ok, killed_by) = self.board.troubles();
        let verdict = (self.board.verdict(&scripts), journal_ok, killed_by);
        if self.latest.verdict.as_ref() != Some(&verdict) {
            let (verdict, journal_ok, killed_by) = &verdict;
            self.send("verdict", &json!({"verdict": verdict, "journal_ok": journal_ok, "killed_by": killed_by}));
        }
        self.latest.verdict = Some(verdict);
        if with_gauges {
            let of = |script: &crate::domain::status::Script| {
                let mut gauges = json!(script.gauges);
                if let Some(map) = gauges.as_object_mut() {
                    map.insert("name".to_owned(), json!(script.name));
                }
                gauges
            };
            let gauges: Vec<_> = scripts.iter().filter(|script| script.pid.is_some()).map(of).collect();
            let now = self.board.present();
            self.send("gauges", &json!({"now": Local::new(now.now, now.zone), "scripts": gauges}));
        }
    }

    fn send(&self, kind: &'static str, data: &impl Serialize) {
        // These types have nothing that JSON cannot hold.
        let Ok(data) = serde_json::to_string(data) else { return };
        // Nobody watches any more: that is seen at the next glance.
        let _ = self.events.send(Live { kind, data: data.into() });
    }
}
