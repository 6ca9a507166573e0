//! The log: notices become tracing events, which two writers take, the console (stderr) and `orchestrator_main.log`.
//!
//! Text is `YYYY-MM-DD HH:MM:SS LEVEL: message key=value...` in the calendar's zone. The time of a line is that of the market clock, so that
//! a rehearsal reads like the day it rehearses. Both writers are non-blocking (a full disk or a stuck terminal holds up nobody); lines
//! that had to be dropped are counted and told at the end.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use super::patience;
use crate::domain::notice::{self, Notice, rfc3339};
use crate::ports::{Clock, Notifier};

/// Lines waiting to be written, per writer; the crate's own default would cost 4 MB.
const BUFFERED_LINES: usize = 1024;

/// Lines of scripts, for the console only: they stand in the scripts' own files.
pub const ECHO: &str = "mho::echo";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Keeps the writers alive; what is buffered is written when it is dropped, as far as somebody takes it.
pub struct Telemetry {
    _guards: Vec<WorkerGuard>,
    dropped: Vec<ErrorCounter>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // On threads of their own: where a writer is stuck, its guard prints a complaint, maybe to the very pipe that is full.
        let ends: Vec<_> = std::mem::take(&mut self._guards)
            .into_iter()
            .filter_map(|guard| std::thread::Builder::new().spawn(move || drop(guard)).ok())
            .collect();
        patience::join_all(ends);
    }
}

impl Telemetry {
    /// Lines that could not be written because nobody took them in time.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.iter().map(ErrorCounter::dropped_lines).sum()
    }
}

/// Starts the log. From now on tracing events of this process go to stderr and, if given, to `file`.
pub fn start(
    style: Style,
    level: LevelFilter,
    zone: Tz,
    clock: &Arc<dyn Clock>,
    file: Option<Box<dyn Write + Send>>,
) -> Telemetry {
    let mut telemetry = Telemetry { _guards: Vec::new(), dropped: Vec::new() };
    let mut writer = |out: Box<dyn Write + Send>, name: &str| {
        let (writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(BUFFERED_LINES).thread_name(name).finish(Output(out));
        telemetry.dropped.push(writer.error_counter());
        telemetry._guards.push(guard);
        Lines { writer, style, zone, clock: Arc::clone(clock) }
    };
    let console = writer(Box::new(io::stderr()), "mho-console");
    let main = file.map(|file| writer(file, "mho-main-log").with_filter(level.and(filter_fn(is_not_echo))));
    let subscriber = Registry::default().with(console.with_filter(level.and(filter_fn(is_ours)))).with(main);
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    telemetry
}

/// Libraries speak only to those who asked for details.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("mho") || *metadata.level() > Level::INFO
}

fn is_not_echo(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata) && metadata.target() != ECHO
}

/// The non-blocking writer wants a sized one.
struct Output(Box<dyn Write + Send>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A vanished terminal or a full disk is nobody's reason to end: what cannot be written is lost, and the next line is tried again.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Writes each event as a line.
struct Lines {
    writer: NonBlocking,
    style: Style,
    zone: Tz,
    clock: Arc<dyn Clock>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let now = self.clock.now().wall;
        let line = match self.style {
            Style::Text => text(now, self.zone, level, &fields),
            Style::Json => object(now, self.zone, level, fields),
        };
        let _ = self.writer.clone().write_all(line.as_bytes());
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn text(now: DateTime<Utc>, zone: Tz, level: Level, fields: &Fields) -> String {
    let time = now.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
    let mut line = format!("{time} {}: {}", name(level), on_one_line(&fields.message));
    for (key, value) in &fields.others {
        line.push_str(&format!(" {key}={}", quoted(value)));
    }
    line.push('\n');
    line
}

fn object(now: DateTime<Utc>, zone: Tz, level: Level, fields: Fields) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(rfc3339(now, zone)));
    line.insert("level".to_owned(), json!(name(level)));
    line.insert("message".to_owned(), json!(fields.message));
    line.extend(fields.others.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))));
    format!("{}\n", Value::Object(line))
}

/// A command of several lines stays one line of the log.
fn on_one_line(message: &str) -> Cow<'_, str> {
    if message.contains(['\n', '\r']) {
        Cow::Owned(message.replace('\n', "\\n").replace('\r', "\\r"))
    } else {
        Cow::Borrowed(message)
    }
}

fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=') {
        format!("{value:?}")
    } else {
        value.to_owned()
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Writes notices to the log.
pub struct LogNotifier {
    zone: Tz,
}

impl LogNotifier {
    /// Times inside the messages are in `zone`.
    #[must_use]
    pub fn new(zone: Tz) -> Self {
        Self { zone }
    }
}

impl Notifier for LogNotifier {
    fn notify(&self, notice: Notice) {
        for line in notice.lines(self.zone) {
            emit(&notice, &line);
        }
    }
}

/// One event per level, since tracing fixes level and field names where they are written. Fields without a value are left out.
fn emit(notice: &Notice, line: &notice::Line) {
    let about = notice.about.as_ref();
    let script = about.map(|a| a.script.as_str());
    let date = about.map(|a| a.trading_date.to_string());
    let attempt = about.map(|a| a.attempt.to_string()).filter(|n| n != "0");
    let field = |key: &str| line.fields.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str());
    macro_rules! emit {
        ($level:ident) => {
            tracing::$level!(
                target: "mho",
                script,
                trading_date = date.as_deref(),
                attempt = attempt.as_deref(),
                result = field("result"),
                cause = field("cause"),
                pids = field("pids"),
                next_try = field("next_try"),
                running = field("running"),
                scripts = field("scripts"),
                "{}",
                line.text
            )
        };
    }
    match line.level {
        notice::Level::Error => emit!(error),
        notice::Level::Warning => emit!(warn),
        notice::Level::Info => emit!(info),
    }
}
