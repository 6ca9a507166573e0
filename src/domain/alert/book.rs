//! Who is told what, and when: one message for each script and episode.
//!
//! An episode begins with the first notice of its kind and ends when the script is well again: an attempt lived through, a run ended well, or
//! it is another trading date. While it goes on, what happens is counted, and told with the count once per `repeat_interval`. A script that
//! is well and ill again all the time begins many episodes: of those, a few are told at once and the rest by their count.
//!
//! Intervals are measured on the monotonic clock: nobody is told twice because the clock was set.

mod looks;
mod pings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::classify::{Draft, Subject, absence, draft, is_well};
use super::episode::{Episode, repeats};
use super::summary::Days;
use super::{AlertEvent, AlertSpec, Message, Ping, exit_words};
use crate::domain::calendar::Calendar;
use crate::domain::notice::{About, Notice, What};
use crate::domain::outcome::RunResult;
use crate::domain::record::Past;
use crate::domain::script::ScriptName;
use crate::domain::secret::{Secret, redacted};
use crate::domain::status::{Facts, Local};
use crate::domain::time::{Mono, Now};

/// The last lines of output come after the news of a crash; it waits for them so long.
const TAIL: Duration = Duration::from_secs(1);

/// What was missed during an absence is one message: all of it is known so long after the first.
const GATHER: Duration = Duration::from_secs(2);

/// What messages say of the daemon.
#[derive(Clone, Debug)]
pub struct Context {
    /// As in `MHO_RUN_ID`.
    pub daemon_id: String,
    /// The machine.
    pub host: String,
    /// Random, one for each life of the daemon: what makes ids unique.
    pub life: String,
    /// Of the default calendar.
    pub zone: Tz,
}

/// A script as the book is shown it.
#[derive(Clone, Debug)]
pub struct Look {
    /// As the root knows it.
    pub facts: Facts,
    /// Its own calendar.
    pub calendar: Option<Arc<Calendar>>,
    /// Others wait for it.
    pub has_dependents: bool,
}

/// A message to the channel of this place in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Which channel.
    pub channel: usize,
    /// What it is told.
    pub message: Message,
}

/// All that is remembered of what was told.
pub struct Book {
    context: Context,
    channels: Vec<(Arc<AlertSpec>, Episodes)>,
    secrets: Vec<Secret>,
    scripts: BTreeMap<ScriptName, Known>,
    /// News of crashes, until their last lines are there.
    tailing: Vec<(Mono, Draft)>,
    /// What was missed or interrupted during an absence.
    absences: Vec<(bool, String)>,
    absences_due: Option<Mono>,
    days: Days,
    messages: u64,
}

/// Of one channel.
type Episodes = BTreeMap<(Subject, AlertEvent), Episode>;

/// What is remembered of a script.
#[derive(Debug, Default)]
struct Known {
    /// Since when its process lives.
    started: Option<Mono>,
    reset_after: Duration,
    /// Since when it is due and down.
    down_since: Option<Mono>,
    pinged: Option<(NaiveDate, Ping)>,
    /// The latest day without a session that was told of.
    closed_told: Option<NaiveDate>,
}

impl Book {
    /// Nothing was told yet, but for what earlier daemons told.
    #[must_use]
    pub fn new(channels: &[Arc<AlertSpec>], context: Context, past: &Past) -> Self {
        let secrets = channels.iter().flat_map(|spec| spec.channel.secrets()).cloned().collect();
        let mut days = Days::default();
        if channels.iter().any(|spec| spec.events.contains(&AlertEvent::Summary)) {
            for (script, past) in &past.scripts {
                past.results.iter().for_each(|(date, result)| days.know(script, *date, *result));
            }
        }
        Self {
            context,
            channels: channels.iter().map(|spec| (Arc::clone(spec), BTreeMap::new())).collect(),
            secrets,
            scripts: BTreeMap::new(),
            tailing: Vec::new(),
            absences: Vec::new(),
            absences_due: None,
            days,
            messages: 0,
        }
    }

    /// When it must be asked again at the latest, besides the regular looks.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        self.tailing.iter().map(|(due, _)| *due).chain(self.absences_due).min()
    }

    /// Something happened; `look` is the script that it happened to.
    #[must_use]
    pub fn hear(&mut self, notice: &Notice, look: Option<&Look>, now: &Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        if let Some(about) = &notice.about {
            self.note(notice, about, look, now);
            self.ping(notice, about, &mut out);
        }
        match &notice.what {
            What::JournalBack { .. } => self.end_episodes(&Subject::Daemon("journal")),
            What::JournalLost { .. } => self.end_episodes(&Subject::Daemon("journal back")),
            _ => {}
        }
        match &notice.what {
            What::LastLines { lines } => {
                // Not by its date: that of a carried attempt is another one by now.
                let script = notice.about.as_ref().map(|about| &about.script);
                let is_its = |(_, draft): &(Mono, Draft)| draft.about.as_ref().map(|about| &about.script) == script;
                if let Some(at) = self.tailing.iter().position(is_its) {
                    let (_, draft) = self.tailing.remove(at);
                    self.offer(Draft { log_tail: lines.clone(), ..draft }, now, &mut out);
                }
            }
            _ => {
                if let Some(absent) = absence(notice, self.context.zone) {
                    self.absences.push(absent);
                    self.absences_due.get_or_insert(now.mono.after(GATHER));
                }
                let draft = draft(notice, look, self.context.zone);
                self.tell_next(draft.as_ref());
                match draft {
                    Some(draft) if matches!(notice.what, What::Exited { .. }) => {
                        self.tailing.push((now.mono.after(TAIL), draft));
                    }
                    Some(draft) => self.offer(draft, now, &mut out),
                    None => {}
                }
            }
        }
        out
    }

    /// What follows a crash is decided right after it: the news of it that waits for its last lines says so, too.
    fn tell_next(&mut self, decided: Option<&Draft>) {
        let Some(decided) = decided.filter(|draft| draft.next.is_some()) else { return };
        let its = self.tailing.iter_mut().filter(|(_, draft)| draft.subject == decided.subject && draft.next.is_none());
        its.for_each(|(_, draft)| draft.next.clone_from(&decided.next));
    }

    /// How a daemon that fails ends: a critical script, or a part of its own.
    #[must_use]
    pub fn hear_end(&mut self, reason: &str, now: &Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.offer(
            Draft::of_daemon(AlertEvent::Daemon, "end", now.wall, format!("The daemon ends: {reason}")),
            now,
            &mut out,
        );
        out
    }

    /// Time has passed.
    #[must_use]
    pub fn tick(&mut self, looks: &[Look], now: &Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.release(now, false, &mut out);
        for look in looks {
            self.look_at(look, now, &mut out);
        }
        for (date, severity, reason) in self.days.over(looks, now.wall) {
            let draft = Draft::of_daemon(AlertEvent::Summary, "summary", now.wall, reason);
            let draft = Draft { severity: Some(severity), ..draft };
            self.offer_of(draft, Some(date), now, &mut out);
        }
        self.repeat(now, &mut out);
        out
    }

    /// The daemon ends: nothing is waited for any longer.
    #[must_use]
    pub fn finish(&mut self, now: &Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.release(now, true, &mut out);
        out
    }

    fn release(&mut self, now: &Now, at_once: bool, out: &mut Vec<Outgoing>) {
        let (due, later) = self.tailing.drain(..).partition(|(due, _)| at_once || *due <= now.mono);
        self.tailing = later;
        let due: Vec<(Mono, Draft)> = due;
        due.into_iter().for_each(|(_, draft)| self.offer(draft, now, out));
        if self.absences_due.is_some_and(|due| at_once || due <= now.mono) {
            self.absences_due = None;
            let absences = std::mem::take(&mut self.absences);
            let any_missed = absences.iter().any(|(missed, _)| *missed);
            let events = match any_missed {
                true => vec![AlertEvent::Missed, AlertEvent::Interrupted],
                false => vec![AlertEvent::Interrupted],
            };
            let lines: Vec<String> = absences.into_iter().map(|(_, words)| words).collect();
            let draft = Draft::of_daemon(events[0], "absence", now.wall, lines.join("\n"));
            self.offer(Draft { events, ..draft }, now, out);
            // The next absence is another story.
            self.end_episodes(&Subject::Daemon("absence"));
        }
    }

    /// Keeps what later decisions need.
    fn note(&mut self, notice: &Notice, about: &About, look: Option<&Look>, now: &Now) {
        let known = self.scripts.entry(about.script.clone()).or_default();
        if let Some(look) = look {
            known.reset_after = look.facts.spec.restart.reset_after;
        }
        match &notice.what {
            What::Started { .. } => known.started = Some(now.mono),
            What::Exited { .. } => {
                let started = known.started.take();
                let reset_after = known.reset_after;
                if started.is_some_and(|started| now.mono.since(started) >= reset_after) && !reset_after.is_zero() {
                    self.is_well(&about.script);
                }
            }
            What::Finished { result, reason } => {
                self.days_note(about, *result, reason);
                if is_well(*result) {
                    self.is_well(&about.script);
                }
            }
            What::Skipped { reason, planned: true } => self.days_note(about, RunResult::Skipped, reason),
            // It was to run, and did not.
            What::Skipped { reason, planned: false } => {
                self.days_note(about, RunResult::Missed, &format!("skipped: {reason}"));
            }
            // Delay and budget are fresh: what comes now is another story.
            What::Rearmed | What::Ordered { verb: "start" | "restart" | "resume", .. } => self.is_well(&about.script),
            What::Carried { to } => self.days_note(about, RunResult::Carried, &format!("goes on as the run of {to}")),
            What::Unwatched { missed, interrupted } => {
                for date in missed {
                    self.note_of(about, *date, RunResult::Missed, "while nobody watched");
                }
                if let Some((date, result)) = interrupted {
                    self.note_of(about, *date, *result, "while nobody watched");
                }
            }
            _ => {}
        }
    }

    fn days_note(&mut self, about: &About, result: RunResult, reason: &str) {
        self.note_of(about, about.trading_date, result, reason);
    }

    fn note_of(&mut self, about: &About, date: NaiveDate, result: RunResult, reason: &str) {
        if self.channels.iter().any(|(spec, _)| spec.events.contains(&AlertEvent::Summary)) {
            self.days.note(&about.script, date, result, reason);
        }
    }

    fn is_well(&mut self, script: &ScriptName) {
        self.end_episodes(&Subject::Script(script.clone()));
    }

    fn end_episodes(&mut self, subject: &Subject) {
        for (_, episodes) in &mut self.channels {
            for (_, episode) in episodes.iter_mut().filter(|((of, _), _)| of == subject) {
                (episode.is_over, episode.held) = (true, 0);
            }
        }
    }

    fn offer(&mut self, draft: Draft, now: &Now, out: &mut Vec<Outgoing>) {
        let date = draft.about.as_ref().map(|about| about.trading_date);
        self.offer_of(draft, date, now, out);
    }

    fn offer_of(&mut self, draft: Draft, date: Option<NaiveDate>, now: &Now, out: &mut Vec<Outgoing>) {
        for channel in 0..self.channels.len() {
            self.offer_to(channel, &draft, date, now, out);
        }
    }

    fn offer_to(&mut self, channel: usize, draft: &Draft, date: Option<NaiveDate>, now: &Now, out: &mut Vec<Outgoing>) {
        let (spec, episodes) = &mut self.channels[channel];
        let Some(event) = draft.events.iter().copied().find(|event| spec.events.contains(event)) else { return };
        if matches!(spec.channel, super::Channel::Healthchecks { .. }) {
            return; // it hears pings
        }
        let key = (draft.subject.clone(), event);
        let repeat = spec.repeat_interval;
        let count = match episodes.get_mut(&key) {
            Some(episode) => episode.admit(draft, date, repeats(event), repeat, now.mono),
            None => {
                episodes.insert(key, Episode::begin(draft, date, now.mono));
                Some(1)
            }
        };
        if let Some(count) = count {
            self.send(channel, event, draft, date, count, out);
        }
    }

    /// What was held back for long enough.
    fn repeat(&mut self, now: &Now, out: &mut Vec<Outgoing>) {
        let mut due = Vec::new();
        for (channel, (spec, episodes)) in self.channels.iter_mut().enumerate() {
            for ((_, event), episode) in episodes.iter_mut() {
                if episode.held > 0 && now.mono.since(episode.told) >= spec.repeat_interval {
                    episode.told = now.mono;
                    let count = std::mem::take(&mut episode.held);
                    due.push((channel, *event, episode.latest.clone(), episode.date, count));
                }
            }
        }
        for (channel, event, draft, date, count) in due {
            self.send(channel, event, &draft, date, count, out);
        }
    }

    fn send(
        &mut self,
        channel: usize,
        event: AlertEvent,
        draft: &Draft,
        date: Option<NaiveDate>,
        count: u32,
        out: &mut Vec<Outgoing>,
    ) {
        self.messages += 1;
        let Context { daemon_id, host, life, zone } = &self.context;
        let about = draft.about.as_ref();
        let clean = |text: &String| redacted(text, &self.secrets);
        let message = Message {
            id: format!("{life}-{}", self.messages),
            event,
            severity: draft.severity.unwrap_or(event.severity()),
            at: draft.at,
            at_market: Local::new(draft.at, *zone),
            host: host.clone(),
            trading_date: date,
            script: about.map(|about| about.script.to_string()),
            run_id: about.map(|about| format!("{daemon_id}.{}.{}", about.script, about.trading_date)),
            attempt: about.map(|about| about.attempt),
            exit: draft.exit.map(exit_words),
            reason: clean(&draft.reason),
            next: draft.next.as_ref().map(clean),
            log_tail: draft.log_tail.iter().map(clean).collect(),
            count,
            ping: None,
        };
        out.push(Outgoing { channel, message });
    }
}
