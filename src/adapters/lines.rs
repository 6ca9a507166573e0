//! Lines that a thread of its own writes, so that whoever has one never waits: what the thread cannot take in time is counted and dropped.
//!
//! Written here because `tracing-appender` prints to stdout, and panics where that cannot be written, when its writer is stuck at the end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

/// Lines waiting to be written, per writer.
const BUFFERED: usize = 1024;

/// At the end a writer that is stuck gets this long to take the request, and to write what is left.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks for room in a full queue, at the end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

enum Order {
    Write(String),
    End,
}

/// Takes lines, from any thread.
#[derive(Clone, Debug)]
pub struct Lines {
    queue: SyncSender<Order>,
    dropped: Arc<AtomicUsize>,
}

impl Lines {
    /// Hands the line to the thread, or drops it where too many wait.
    pub fn put(&self, line: String) {
        if self.queue.try_send(Order::Write(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The thread, from outside. Dropping it writes the lines that wait, if that does not take for ever.
#[derive(Debug)]
pub struct LineWriter {
    lines: Lines,
    done: Receiver<()>,
}

impl LineWriter {
    /// Starts a thread of this name that gives each line to `write`.
    pub fn start(name: &str, mut write: impl FnMut(&str) + Send + 'static) -> io::Result<Self> {
        let (queue, orders) = sync_channel(BUFFERED);
        let (tell, done) = channel();
        // The stack is what a write takes; the default of 2 MiB would only be reserved in vain.
        Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(move || {
            while let Ok(Order::Write(line)) = orders.recv() {
                write(&line);
            }
            // Nobody may be waiting any more.
            let _ = tell.send(());
        })?;
        Ok(Self { lines: Lines { queue, dropped: Arc::default() }, done })
    }

    /// The end that takes lines.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let start = Instant::now();
        while let Err(TrySendError::Full(_)) = self.lines.queue.try_send(Order::End) {
            if start.elapsed() >= PATIENCE {
                return;
            }
            sleep(LOOK_AGAIN);
        }
        let _ = self.done.recv_timeout(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_waits_is_written_at_the_end() {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let writer = LineWriter::start("test", move |line| sink.lock().expect("unpoisoned").push_str(line));
        let writer = writer.expect("a thread");
        (0..500).for_each(|n| writer.lines().put(format!("{n}\n")));
        drop(writer);
        assert_eq!(*written.lock().expect("unpoisoned"), (0..500).map(|n| format!("{n}\n")).collect::<String>());
    }

    #[test]
    fn a_writer_that_is_stuck_holds_up_nobody_and_what_is_dropped_is_counted() {
        let (release, stuck) = channel::<()>();
        let writer = LineWriter::start("test", move |_| stuck.recv().unwrap_or_default()).expect("a thread");
        let lines = writer.lines();
        let start = Instant::now();
        // One may be in the thread's hands.
        (0..BUFFERED + 11).for_each(|n| lines.put(n.to_string()));
        assert!((10..=11).contains(&lines.dropped()), "{}", lines.dropped());
        drop(writer);
        assert!(start.elapsed() < 10 * PATIENCE);
        drop(release);
    }
}
