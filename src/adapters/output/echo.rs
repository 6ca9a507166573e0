//! Lines of a script as events of the daemon, for `docker logs` and the like: readable, so bounded. The byte-exact copy is the log file.

use std::time::Instant;

use memchr::{memchr, memchr_iter};

use super::drain::{LINE, SECOND};
use crate::domain::script::ScriptName;
use crate::domain::secret::Hidden;

/// Lines of one script in one second.
const ALLOWANCE: u32 = 200;

/// Turns a script's output into events.
#[derive(Debug)]
pub(super) struct Echo {
    open: Vec<u8>,
    since: Instant,
    shown: u32,
    suppressed: usize,
    hidden: Hidden,
}

impl Echo {
    /// Shows no line with what is `hidden`.
    pub(super) fn new(hidden: Hidden) -> Self {
        Self { open: Vec::new(), since: Instant::now(), shown: 0, suppressed: 0, hidden }
    }

    /// Lines were suppressed, and nobody was told how many.
    pub(super) fn owes_count(&self) -> bool {
        self.suppressed > 0
    }

    pub(super) fn push(&mut self, chunk: &[u8], now: Instant, script: &ScriptName) {
        self.turn(now, script);
        let mut rest = chunk;
        while self.shown < ALLOWANCE {
            let Some(end) = memchr(b'\n', rest) else { break };
            let (line, after) = rest.split_at(end);
            self.extend(line);
            self.show(script);
            rest = after.get(1..).unwrap_or_default();
        }
        if self.shown >= ALLOWANCE {
            // Counted, not looked at: this must keep up with any flood.
            let lines = memchr_iter(b'\n', rest).count();
            self.suppressed += lines;
            if lines > 0 {
                self.open.clear();
                rest = rest.get(memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1)..).unwrap_or_default();
            }
        }
        self.extend(rest);
    }

    fn extend(&mut self, piece: &[u8]) {
        let kept = piece.len().min(LINE.saturating_sub(self.open.len()));
        self.open.extend_from_slice(piece.get(..kept).unwrap_or_default());
    }

    fn show(&mut self, script: &ScriptName) {
        let line = self.hidden.cut(String::from_utf8_lossy(&self.open).into_owned());
        tracing::info!(target: "mho::echo", script = %script, "{}", line.trim_end_matches('\r'));
        self.open.clear();
        self.shown += 1;
    }

    /// Begins a new second when it is time, and tells what the last one suppressed.
    pub(super) fn turn(&mut self, now: Instant, script: &ScriptName) {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.tell_count(script);
            (self.since, self.shown) = (now, 0);
        }
    }

    /// The output is over: shows the line that has no newline, and the count.
    pub(super) fn finish(&mut self, script: &ScriptName) {
        if !self.open.is_empty() {
            self.show(script);
        }
        self.tell_count(script);
    }

    fn tell_count(&mut self, script: &ScriptName) {
        let count = std::mem::take(&mut self.suppressed);
        if count > 0 {
            tracing::info!(target: "mho::echo", script = %script, "... {count} more lines, see the script's own log");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("unpoisoned").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is shown of `chunks`, each pushed that many milliseconds after the start.
    fn shown(chunks: &[(u64, &str)]) -> Vec<String> {
        let written = Written::default();
        let sink = written.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || sink.clone()).without_time().with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let script = ScriptName::new("demo").expect("a name");
            let mut echo = Echo::new(Hidden::of(["s3cret-key"]));
            let start = echo.since;
            for (millis, chunk) in chunks {
                echo.push(chunk.as_bytes(), start + std::time::Duration::from_millis(*millis), &script);
            }
            echo.finish(&script);
        });
        let text = String::from_utf8(written.0.lock().expect("unpoisoned").clone()).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn each_line_is_an_event_of_its_script_however_it_was_cut() {
        let lines = shown(&[(0, "one\r\ntw"), (1, "o\nkey s3cret"), (2, "-key\nlast")]);
        let expected =
            ["one", "two", "key [redacted]", "last"].map(|line| format!("INFO mho::echo: {line} script=demo"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn beyond_two_hundred_lines_a_second_the_rest_is_counted() {
        let flood: String = (0..500).map(|i| format!("line {i}\n")).collect();
        let lines = shown(&[(0, &flood), (500, "more\n"), (1000, "next second\n")]);
        assert_eq!(lines.len(), 202);
        assert!(lines[199].contains("line 199"), "{}", lines[199]);
        assert!(lines[200].contains("... 301 more lines"), "{}", lines[200]);
        assert!(lines[201].contains("next second"), "{}", lines[201]);
    }
}
