//! The desk: a task that asks the book what is to be told, has it written down, and sees to it that it arrives.
//!
//! A message is kept first and sent then; what became of it is kept, too. So a daemon that dies in between leaves it to the next one, which
//! sends it under the same id. Where the journal cannot be written, messages are sent from memory.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::tap::Tap;
use super::{Programs, deliver, errand, run};
use crate::domain::alert::{AlertSpec, Book, Channel, Context, Fate, Message, Outgoing, Queue, Settled};
use crate::domain::notice::Notice;
use crate::domain::record::{AlertEnd, AlertRecord, Past};
use crate::domain::time::{Mono, Now};
use crate::ports::{Clock, Outbox, Scripts};

/// A client needs so much, with TLS, in a debug build too. Untouched memory costs nothing.
pub(super) const STACK: usize = 1 << 20;

/// Between two looks at the scripts: at most, and at least where `late_after` is short.
const LOOKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(500));

/// Told the channel and what became of a message, in a word.
pub type Counted = Arc<dyn Fn(&str, &'static str) + Send + Sync>;

/// What the desk is given.
pub struct DeskArgs {
    /// In the configuration's order.
    pub channels: Vec<Arc<AlertSpec>>,
    /// What messages say of the daemon.
    pub context: Context,
    /// What earlier daemons left behind.
    pub past: Past,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Memory that outlives the daemon.
    pub outbox: Arc<dyn Outbox>,
    /// Whom it is about.
    pub scripts: Arc<dyn Scripts>,
    /// For channels that are programs.
    pub programs: Programs,
    /// Told the channel and what became of a message.
    pub counted: Counted,
    /// Nothing is sent: what would be stands in the log.
    pub is_rehearsal: bool,
}

/// The desk, as its daemon sees it.
pub struct Desk {
    finish: oneshot::Sender<Finish>,
}

/// The end of the daemon.
struct Finish {
    /// It ends because something failed.
    because: Option<String>,
    done: oneshot::Sender<usize>,
}

impl Desk {
    /// Starts it, on the runtime of the caller.
    #[must_use]
    pub fn start(args: DeskArgs, tap: Tap, notices: mpsc::Receiver<Notice>) -> Self {
        let (finish, asked) = oneshot::channel();
        tokio::spawn(Work::new(args, tap).run(notices, asked));
        Self { finish }
    }

    /// Sends what is left, for at most `limit`; the rest is the next daemon's. `because`: what failed, if the daemon ends for that.
    pub async fn finish(self, because: Option<String>, limit: Duration) {
        let (done, left) = oneshot::channel();
        if self.finish.send(Finish { because, done }).is_err() {
            return;
        }
        match tokio::time::timeout(limit, left).await {
            Ok(Ok(0)) => {}
            Ok(_) | Err(_) => {
                warn!(target: "mho", "Some alerts could not be sent before the end: they are sent when mho is started again");
            }
        }
    }
}

/// A channel at work.
struct Line {
    spec: Arc<AlertSpec>,
    queue: Queue,
    /// Its thread; None = its program is run, or nothing is sent.
    thread: Option<blocking::Sender<Message>>,
    /// When the daemon's next sign of life is due.
    alive: Option<Mono>,
    is_failing: bool,
    dropped: u64,
    /// At the end of the daemon: it was tried.
    is_given_up: bool,
}

/// What comes back to the desk.
enum News {
    /// Of a message that was on its way through this channel.
    Tried(usize, Fate),
    /// The daemon is well: this channel is to hear of it.
    Alive(usize),
    /// These are written, or cannot be.
    Kept(Vec<Outgoing>),
}

struct Work {
    clock: Arc<dyn Clock>,
    outbox: Arc<dyn Outbox>,
    scripts: Arc<dyn Scripts>,
    programs: Programs,
    counted: Counted,
    context: Context,
    is_rehearsal: bool,
    tap: Tap,
    book: Book,
    lines: Vec<Line>,
    tell: mpsc::UnboundedSender<News>,
    hear: mpsc::UnboundedReceiver<News>,
    /// Batches that are being written.
    writing: usize,
    next_look: Mono,
    look_interval: Duration,
    finishing: Option<oneshot::Sender<usize>>,
}

impl Work {
    fn new(args: DeskArgs, tap: Tap) -> Self {
        let DeskArgs { channels, context, past, clock, outbox, scripts, programs, counted, is_rehearsal } = args;
        let (tell, hear) = mpsc::unbounded_channel();
        let now = clock.now();
        let book = Book::new(&channels, context.clone(), &past);
        let soonest = channels.iter().map(|spec| spec.late_after).min().unwrap_or(LOOKS.0);
        let line = |(index, spec): (usize, Arc<AlertSpec>)| {
            let is_switch = matches!(spec.channel, Channel::Healthchecks { script: None, .. });
            let is_program = matches!(spec.channel, Channel::Exec { .. });
            let thread = (!is_program && !is_rehearsal).then(|| start_thread(index, &spec, tell.clone())).flatten();
            let alive = (is_switch && !is_rehearsal).then_some(now.mono);
            let queue = Queue::default();
            Line { spec, queue, thread, alive, is_failing: false, dropped: 0, is_given_up: false }
        };
        let lines = channels.into_iter().enumerate().map(line).collect();
        let mut work = Self {
            clock,
            outbox,
            scripts,
            programs,
            counted,
            context,
            is_rehearsal,
            tap,
            book,
            lines,
            tell,
            hear,
            writing: 0,
            next_look: now.mono,
            look_interval: (soonest / 10).clamp(LOOKS.1, LOOKS.0),
            finishing: None,
        };
        work.take_up(past.alerts, &now);
        work
    }

    /// What an earlier daemon could not send.
    fn take_up(&mut self, left: Vec<AlertRecord>, now: &Now) {
        let (mut taken, mut dropped) = (0, Vec::new());
        for record in left {
            match self.lines.iter().position(|line| line.spec.name == record.channel) {
                Some(channel) => {
                    taken += 1;
                    self.enqueue(Outgoing { channel, message: record.message }, now);
                }
                None => dropped.push(AlertRecord { end: Some((now.wall, AlertEnd::Dropped)), ..record }),
            }
        }
        if taken > 0 {
            info!(target: "mho", "{taken} alerts of an earlier daemon were not sent yet: they are sent now");
        }
        if !dropped.is_empty() {
            let count = dropped.len();
            warn!(target: "mho", "{count} alerts of an earlier daemon are for channels that are not configured any more: they are dropped");
            tokio::spawn(self.outbox.keep(dropped));
        }
    }

    async fn run(mut self, mut notices: mpsc::Receiver<Notice>, mut asked: oneshot::Receiver<Finish>) {
        loop {
            let now = self.clock.now();
            self.work(&now);
            if self.is_finished() {
                return;
            }
            let (is_finishing, wait) = (self.finishing.is_some(), self.wait(&now));
            let finish = async {
                match is_finishing {
                    false => (&mut asked).await.ok(),
                    true => pending().await,
                }
            };
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(notice) => self.take(&notice),
                    // All that could tell anything is gone.
                    None => return,
                },
                Some(news) = self.hear.recv() => self.take_news(news),
                finish = finish => match finish {
                    Some(finish) => self.begin_to_finish(finish, &mut notices),
                    // Nobody will ever ask: the daemon is gone.
                    None => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Until something is to be done, if nothing happens.
    fn wait(&self, now: &Now) -> Duration {
        let queues = self.lines.iter().filter(|line| !line.is_given_up).filter_map(|line| line.queue.due());
        let alive = self.lines.iter().filter_map(|line| line.alive);
        let due = queues.chain(alive).chain(self.book.due()).chain([self.next_look]).min();
        // Never less than a moment: what is due was done just now.
        due.map_or(LOOKS.0, |due| due.since(now.mono)).max(Duration::from_millis(1))
    }

    fn take(&mut self, notice: &Notice) {
        let now = self.clock.now();
        let look = notice.about.as_ref().and_then(|about| self.scripts.look(&about.script));
        let out = self.book.hear(notice, look.as_ref(), &now);
        self.keep(out);
    }

    fn take_news(&mut self, news: News) {
        let now = self.clock.now();
        match news {
            News::Kept(messages) => {
                self.writing -= 1;
                messages.into_iter().for_each(|out| self.enqueue(out, &now));
            }
            News::Alive(channel) => {
                let line = &self.lines[channel];
                if line.queue.is_empty() && line.alive.is_some() {
                    let alive = Message::alive(now.wall, self.context.host.clone());
                    self.enqueue(Outgoing { channel, message: alive }, &now);
                }
            }
            News::Tried(channel, fate) => self.settle(channel, fate, &now),
        }
    }

    /// All that time brings with it.
    fn work(&mut self, now: &Now) {
        let lost = self.tap.take_lost();
        if lost > 0 {
            warn!(target: "mho", "{lost} events came too fast to be looked at for alerts; the log has them");
        }
        let is_due = self.book.due().is_some_and(|due| due <= now.mono);
        if self.next_look <= now.mono || is_due {
            self.next_look = now.mono.after(self.look_interval);
            let out = self.book.tick(&self.scripts.looks(), now);
            self.keep(out);
        }
        for channel in 0..self.lines.len() {
            self.be_alive(channel, now);
            self.dispatch(channel, now);
        }
    }

    /// A sign of life waits for nothing, and is worth nothing later.
    fn be_alive(&mut self, channel: usize, now: &Now) {
        let line = &mut self.lines[channel];
        let Channel::Healthchecks { interval, .. } = line.spec.channel else { return };
        if line.alive.is_some_and(|due| due <= now.mono) {
            line.alive = Some(now.mono.after(interval));
            let (answer, tell) = (self.scripts.are_supervised(), self.tell.clone());
            tokio::spawn(async move {
                // Of a daemon that does not supervise any more nobody should hear that it lives.
                if answer.await {
                    let _ = tell.send(News::Alive(channel));
                }
            });
        }
    }

    /// Written first, sent then.
    fn keep(&mut self, out: Vec<Outgoing>) {
        if out.is_empty() {
            return;
        }
        if self.is_rehearsal {
            for Outgoing { channel, message } in out {
                let name = &self.lines[channel].spec.name;
                info!(target: "mho", channel = %name, "Alert, not sent in a rehearsal: {}: {}", message.title(), message.reason);
            }
            return;
        }
        let record = |out: &Outgoing| {
            let channel = self.lines[out.channel].spec.name.clone();
            AlertRecord { channel, message: out.message.clone(), end: None }
        };
        let kept = self.outbox.keep(out.iter().map(record).collect());
        let tell = self.tell.clone();
        self.writing += 1;
        tokio::spawn(async move {
            kept.await;
            // The desk is gone: the next daemon finds them.
            let _ = tell.send(News::Kept(out));
        });
    }

    fn enqueue(&mut self, out: Outgoing, now: &Now) {
        let line = &mut self.lines[out.channel];
        if let Some(oldest) = line.queue.push(out.message) {
            line.dropped += 1;
            let (name, dropped, waiting) = (&line.spec.name, line.dropped, line.queue.len());
            // The first, and then each time that it is ten times as many.
            if dropped.ilog10() > (dropped - 1).checked_ilog10().unwrap_or(0) || dropped == 1 {
                warn!(target: "mho", channel = %name, dropped, "More than {waiting} alerts wait for this channel: the oldest are dropped");
            }
            self.end(out.channel, oldest, AlertEnd::Dropped, now);
        }
        self.dispatch(out.channel, now);
    }

    fn dispatch(&mut self, channel: usize, now: &Now) {
        let line = &mut self.lines[channel];
        if line.is_given_up {
            return;
        }
        let Some(message) = line.queue.next(now.mono) else { return };
        if let Some(errand) = errand(&line.spec, &message, &self.programs) {
            let (fate, tell) = (run(Arc::clone(&self.programs.errands), errand), self.tell.clone());
            tokio::spawn(async move {
                // The desk is gone: the next daemon sends it again.
                let _ = tell.send(News::Tried(channel, fate.await));
            });
            return;
        }
        let sent = line.thread.as_ref().is_some_and(|thread| thread.send(message).is_ok());
        if !sent {
            // A thread that could not be started, or that is dead: another one may do better.
            line.thread = start_thread(channel, &line.spec, self.tell.clone());
            let why = "its thread failed; look at the limit of processes (ulimit -u)".to_owned();
            // Nobody else holds the other end but the desk itself.
            let _ = self.tell.send(News::Tried(channel, Fate::Failed { why, retry_after: None }));
        }
    }

    fn settle(&mut self, channel: usize, fate: Fate, now: &Now) {
        let line = &mut self.lines[channel];
        let name = line.spec.name.clone();
        match line.queue.settle(fate, now) {
            Settled::Sent(message) => {
                if std::mem::take(&mut line.is_failing) {
                    info!(target: "mho", channel = %name, "Alerts arrive again");
                }
                debug!(target: "mho", channel = %name, id = message.id, "Alert sent: {}", message.title());
                self.end(channel, *message, AlertEnd::Sent, now);
            }
            Settled::Refused(message, why) => {
                error!(target: "mho", channel = %name, "Alert refused, and not tried again: {why} ({})", message.title());
                self.end(channel, *message, AlertEnd::Failed, now);
            }
            Settled::FirstFailure(why, pause) => {
                line.is_failing = true;
                line.is_given_up = self.finishing.is_some();
                warn!(target: "mho", channel = %name, "Alert not sent: {why}. It is tried again in {:.0} s, then less and less often.", pause.as_secs_f64().max(1.0));
            }
            Settled::Waits => line.is_given_up = self.finishing.is_some(),
        }
        self.dispatch(channel, now);
    }

    fn end(&mut self, channel: usize, message: Message, end: AlertEnd, now: &Now) {
        let name = self.lines[channel].spec.name.clone();
        (self.counted)(&name, end.name());
        // Signs of life are not kept.
        if !message.id.is_empty() {
            let record = AlertRecord { channel: name, message, end: Some((now.wall, end)) };
            let (kept, tell) = (self.outbox.keep(vec![record]), self.tell.clone());
            self.writing += 1;
            tokio::spawn(async move {
                kept.await;
                // The desk is gone; the worst is that it is sent twice, under the same id.
                let _ = tell.send(News::Kept(Vec::new()));
            });
        }
    }

    fn begin_to_finish(&mut self, finish: Finish, notices: &mut mpsc::Receiver<Notice>) {
        while let Ok(notice) = notices.try_recv() {
            self.take(&notice);
        }
        let now = self.clock.now();
        let mut out = self.book.finish(&now);
        if let Some(because) = finish.because {
            out.extend(self.book.hear_end(&because, &now));
        }
        self.keep(out);
        for line in &mut self.lines {
            (line.alive, line.is_given_up) = (None, false);
            line.queue.hurry();
        }
        self.finishing = Some(finish.done);
    }

    /// Whether the daemon may end: all is sent, or has been tried once more.
    fn is_finished(&mut self) -> bool {
        let is_done = |line: &Line| line.queue.is_empty() || line.is_given_up;
        if self.finishing.is_none() || self.writing > 0 || !self.lines.iter().all(is_done) {
            return false;
        }
        let left = self.lines.iter().map(|line| line.queue.len()).sum();
        if let Some(done) = self.finishing.take() {
            // Whoever asked may have stopped waiting.
            let _ = done.send(left);
        }
        true
    }
}

/// Sends one message after the other, as long as the desk is there.
fn start_thread(
    channel: usize,
    spec: &Arc<AlertSpec>,
    tell: mpsc::UnboundedSender<News>,
) -> Option<blocking::Sender<Message>> {
    let (give, taken) = blocking::channel::<Message>();
    let spec = Arc::clone(spec);
    let work = move || {
        for message in taken {
            // A library that fails must not keep the channel waiting for an answer.
            let fate = catch_unwind(AssertUnwindSafe(|| deliver(&spec, &message)));
            let why = || "the client failed; see the log".to_owned();
            let fate = fate.unwrap_or_else(|_| Fate::Failed { why: why(), retry_after: None });
            if tell.send(News::Tried(channel, fate)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("mho-alert".to_owned()).stack_size(STACK).spawn(work).ok().map(|_| give)
}
