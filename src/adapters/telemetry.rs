//! The log: notices become tracing events, which two writers take, the console (stderr) and `orchestrator_main.log`.
//!
//! Text is `YYYY-MM-DD HH:MM:SS LEVEL: message key=value...` in the calendar's zone. The time of a line is that of the market clock, so that
//! a rehearsal reads like the day it rehearses. Both writers are non-blocking (a full disk or a stuck terminal holds up nobody); lines
//! that had to be dropped are counted and told at the end.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

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
use super::rotating::RotatingFile;
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
#[derive(Debug)]
pub struct Telemetry {
    guards: Vec<WorkerGuard>,
    dropped: Vec<ErrorCounter>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // On threads of their own: where a writer is stuck, its guard prints a complaint, maybe to the very pipe that is full.
        let ends: Vec<_> = std::mem::take(&mut self.guards)
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

    fn writer(&mut self, name: &str, out: impl Write + Send + 'static) -> NonBlocking {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(BUFFERED_LINES).thread_name(name);
        let (writer, guard) = builder.finish(out);
        self.dropped.push(writer.error_counter());
        self.guards.push(guard);
        writer
    }
}

/// Starts the log. From now on tracing events of this process go to stderr and to `file`. Trouble with the file is an event, too, told once:
/// the console has it at once, the file when it can be written again.
pub fn start(style: Style, level: LevelFilter, zone: Tz, clock: &Arc<dyn Clock>, file: RotatingFile) -> Telemetry {
    let mut telemetry = Telemetry { guards: Vec::new(), dropped: Vec::new() };
    let layer = |writer| Lines { writer, style, zone, clock: Arc::clone(clock) };
    let console = layer(telemetry.writer("mho-console", Console(io::stderr())));
    let main = layer(telemetry.writer("mho-main-log", MainLog(file)));
    let subscriber = Registry::default()
        .with(console.with_filter(level.and(filter_fn(is_ours))))
        .with(main.with_filter(level.and(filter_fn(is_not_echo))));
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    telemetry
}

/// A vanished terminal is nobody's reason to end: what cannot be written is lost, and the next line is tried again.
struct Console(io::Stderr);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The rotating file loses, counts and tells by itself what it cannot write.
struct MainLog(RotatingFile);

impl Write for MainLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line, Instant::now());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Libraries speak only to those who asked for details.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("mho") || *metadata.level() > Level::INFO
}

fn is_not_echo(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata) && metadata.target() != ECHO
}

/// Makes each event a line.
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
        // Never waits: what finds no room is counted.
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
    let mut line = format!("{} {}: ", now.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S"), name(level));
    push_escaped(&mut line, &fields.message);
    for (key, value) in &fields.others {
        line.push(' ');
        line.push_str(key);
        line.push('=');
        match value {
            Value::String(value) => push_quoted(&mut line, value),
            value => line.push_str(&value.to_string()),
        }
    }
    line.push('\n');
    line
}

fn object(now: DateTime<Utc>, zone: Tz, level: Level, fields: Fields) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(rfc3339(now, zone)));
    line.insert("level".to_owned(), json!(name(level)));
    line.insert("message".to_owned(), json!(fields.message));
    line.extend(fields.others.into_iter().map(|(key, value)| (key.to_owned(), value)));
    format!("{}\n", Value::Object(line))
}

/// One event is one line, and a terminal is told to do nothing: control characters are written as escapes.
fn push_escaped(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(control) = rest.find(char::is_control) {
        let (plain, after) = rest.split_at(control);
        line.push_str(plain);
        let mut after = after.chars();
        // Writing to a string cannot fail.
        let _ = match after.next() {
            Some('\n') => line.write_str("\\n"),
            Some('\r') => line.write_str("\\r"),
            Some('\t') => line.write_str("\\t"),
            Some(other) if other.is_ascii() => write!(line, "\\x{:02x}", u32::from(other)),
            Some(other) => write!(line, "\\u{{{:x}}}", u32::from(other)),
            None => Ok(()),
        };
        rest = after.as_str();
    }
    line.push_str(rest);
}

fn push_quoted(line: &mut String, value: &str) {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=') {
        line.push('"');
        push_escaped(line, &value.replace('\\', "\\\\").replace('"', "\\\""));
        line.push('"');
    } else {
        line.push_str(value);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), json!(value)));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), json!(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), json!(value)));
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
    let attempt = about.map(|a| a.attempt).filter(|n| *n != 0);
    let field = |key: &str| line.fields.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str());
    let number = |key: &str| field(key).and_then(|value| value.parse::<u64>().ok());
    macro_rules! emit {
        ($level:ident) => {
            tracing::$level!(
                target: "mho",
                script,
                trading_date = date.as_deref(),
                attempt,
                result = field("result"),
                cause = field("cause"),
                pids = field("pids"),
                next_try = field("next_try"),
                attempts_lost = number("attempts_lost"),
                by = field("by"),
                reason = field("reason"),
                running = number("running"),
                scripts = number("scripts"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let others = vec![("script", json!("demo")), ("cause", json!("a\tb\u{1b}[2J \"c\" \\")), ("attempt", json!(2))];
        Fields { message: "one\r\ntwo \u{1b}[31m \0 \u{9b} ü".to_owned(), others }
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).expect("in range")
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let line = text(at(), Tz::UTC, Level::WARN, &fields());
        let expected = r#"2026-11-18 11:06:40 WARNING: one\r\ntwo \x1b[31m \x00 \u{9b} ü script=demo cause="a\tb\x1b[2J \"c\" \\" attempt=2"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    /// The names of fields are written twice, as tracing wants them to be constants.
    #[test]
    fn every_field_of_a_notice_gets_into_the_log() {
        let (told, written) = (include_str!("../domain/notice/lines.rs"), include_str!("telemetry.rs"));
        let keys: Vec<&str> =
            told.split(".with(\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(key, _)| key).collect();
        assert!(keys.len() > 8, "{keys:?}");
        for key in keys {
            let is_written =
                ["field", "number"].iter().any(|of| written.contains(&format!("{key} = {of}(\"{key}\"),")));
            assert!(is_written, "{key} is told and not written");
        }
    }

    #[test]
    fn numbers_are_numbers_in_json() {
        let line = object(at(), Tz::UTC, Level::INFO, fields());
        let object: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&object["attempt"], &object["script"]), (&json!(2), &json!("demo")));
        assert_eq!(object["message"], "one\r\ntwo \u{1b}[31m \0 \u{9b} ü");
    }
}
