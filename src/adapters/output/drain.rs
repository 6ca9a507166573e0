//! The thread's loop: waits for pipes and orders, and moves bytes.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::Timespec;
use rustix::io::Errno;

use super::echo::Echo;
use super::file::LogFile;
use super::line::LineWatch;
use super::tail::Tail;
use super::{Mailbox, Order, Source};
use crate::adapters::process::SignBook;
use crate::adapters::{clock, fault_point};
use crate::domain::retention::WallClock;
use crate::domain::script::ScriptName;
use crate::domain::secret::Hidden;
use crate::ports::AttemptId;

/// One read at most. Measured: with larger reads or pipes the bytes have left the cache before they are written.
const BUFFER: usize = 64 * 1024;

/// A pipe that fills its 64 KiB gets this much.
const GROWN_PIPE: usize = 256 * 1024;

/// Reads from one pipe before it is the others' turn.
const TURN: usize = 4;

/// Reads when a pipe is emptied for good: twice what can be in it. Somebody may still be writing, and must not keep us here.
const LAST_TURN: usize = 2 * GROWN_PIPE / BUFFER;

/// Between two looks at what no event tells of: a count that is due, a pipe that the kernel does not watch.
const PACE: Duration = Duration::from_millis(250);

/// The mark of the mailbox's bell among the events; pipes count up from the next number.
const BELL: u64 = 0;

/// All pipes, and where their content goes.
pub(super) struct Drain {
    epoll: OwnedFd,
    mailbox: Arc<Mailbox>,
    buffer: Box<[u8]>,
    streams: HashMap<ScriptName, Stream>,
    by_token: HashMap<u64, ScriptName>,
    next_token: u64,
    /// The kernel refused to watch a pipe, which is told once.
    refused: bool,
    /// When the pipes that it does not watch are looked at next.
    visit_at: Instant,
    wall_clock: WallClock,
}

/// The output of a script's latest attempt.
struct Stream {
    attempt: AttemptId,
    token: u64,
    /// None after the end of the file.
    pipe: Option<OwnedFd>,
    /// The kernel tells when there is something in the pipe.
    watched: bool,
    grown: bool,
    log: LogFile,
    tail: Tail,
    echo: Option<Echo>,
    signs: Arc<SignBook>,
    /// Until it is found.
    line: Option<LineWatch>,
    hidden: Hidden,
}

/// What a turn of reading came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Open,
    Ended,
}

impl Drain {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &mailbox.bell, EventData::new_u64(BELL), EventFlags::IN)?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let (streams, by_token, next_token) = (HashMap::new(), HashMap::new(), BELL + 1);
        let (visit_at, wall_clock) = (Instant::now(), WallClock::default());
        Ok(Self { epoll, mailbox, buffer, streams, by_token, next_token, refused: false, visit_at, wall_clock })
    }

    pub(super) fn run(mut self) {
        let mut events: Vec<Event> = Vec::with_capacity(64);
        loop {
            events.clear();
            let wait = self.nap();
            let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), wait.as_ref());
            if waited.is_err_and(|error| error != Errno::INTR) {
                return;
            }
            let now = Instant::now();
            for stream in self.streams.values_mut() {
                if let Some(echo) = stream.echo.as_mut().filter(|echo| echo.owes_count()) {
                    echo.turn(now, &stream.attempt.script);
                }
            }
            if self.visit_at <= now {
                self.visit_unwatched(now);
            }
            let mut called = false;
            for event in &events {
                match event.data.u64() {
                    BELL => called = true,
                    token => self.drain(token, TURN),
                }
            }
            if called && !self.follow_orders() {
                return;
            }
        }
    }

    /// How long until there is something to do that no event tells of; None = nothing to wait for but events.
    fn nap(&self) -> Option<Timespec> {
        let owes = |stream: &Stream| stream.echo.as_ref().is_some_and(Echo::owes_count);
        let restless = self.streams.values().any(|stream| owes(stream) || stream.is_unwatched());
        restless.then_some(Timespec { tv_sec: 0, tv_nsec: PACE.subsec_nanos().into() })
    }

    /// Empties the pipes that the kernel does not watch, and asks it again.
    fn visit_unwatched(&mut self, now: Instant) {
        self.visit_at = now + PACE;
        let unwatched: Vec<_> = self.streams.values().filter(|stream| stream.is_unwatched()).map(|s| s.token).collect();
        for token in unwatched {
            self.drain(token, TURN);
            self.watch(token);
        }
    }

    /// Has the kernel tell of what comes into a pipe. If it refuses, the pipe is visited now and then: the script has an end of its own
    /// open for reading, so when the pipe is full it would wait for ever.
    fn watch(&mut self, token: u64) {
        let Some(stream) = self.by_token.get(&token).and_then(|script| self.streams.get_mut(script)) else { return };
        let Some(pipe) = &stream.pipe else { return };
        let added = fault_point::reach("output.watch")
            .and_then(|()| Ok(epoll::add(&self.epoll, pipe, EventData::new_u64(token), EventFlags::IN)?));
        stream.watched = added.is_ok();
        match added {
            Err(error) if !self.refused => {
                self.refused = true;
                tracing::warn!(
                    script = %stream.attempt.script,
                    "output of scripts cannot be watched: {error}. It is looked at every {PACE:?} until it can: raise the limit (`sysctl fs.epoll.max_user_watches`), or free memory."
                );
            }
            Ok(()) if self.refused && !self.streams.values().any(Stream::is_unwatched) => {
                self.refused = false;
                tracing::info!("output of scripts can be watched again");
            }
            _ => {}
        }
    }

    /// False when it was told to end.
    fn follow_orders(&mut self) -> bool {
        for order in self.mailbox.take() {
            match order {
                Order::Open(source) => self.open(source),
                Order::Carry { attempt, trading_date } => {
                    if let Some(stream) = self.find(&attempt) {
                        stream.log.change_date(trading_date);
                    }
                }
                Order::Tail { attempt, then } => {
                    let token = self.find(&attempt).map(|stream| stream.token);
                    if let Some(token) = token {
                        self.drain(token, LAST_TURN);
                    }
                    then(self.find(&attempt).map(|stream| stream.last_lines()).unwrap_or_default());
                }
                Order::Close { attempt } => self.close(&attempt),
                Order::End => {
                    let all: Vec<_> = self.streams.values().map(|stream| stream.attempt.clone()).collect();
                    all.iter().for_each(|attempt| self.close(attempt));
                    return false;
                }
            }
        }
        true
    }

    fn find(&mut self, attempt: &AttemptId) -> Option<&mut Stream> {
        self.streams.get_mut(&attempt.script).filter(|stream| stream.attempt == *attempt)
    }

    fn open(&mut self, source: Source) {
        let Source { attempt, pipe, spec, signs, line, hidden } = source;
        if let Some(former) = self.streams.get(&attempt.script).map(|stream| stream.attempt.clone()) {
            self.close(&former);
        }
        let token = self.next_token;
        self.next_token += 1;
        self.by_token.insert(token, attempt.script.clone());
        let mut log = LogFile::new(attempt.script.clone(), attempt.trading_date, Arc::clone(&spec));
        if let Some(former) = self.streams.get_mut(&attempt.script) {
            log.go_on_from(&mut former.log);
        }
        let echo = spec.echo.then(|| Echo::new(hidden.clone()));
        let script = attempt.script.clone();
        let tail = Tail::default();
        let pipe = Some(pipe);
        let stream =
            Stream { attempt, token, pipe, watched: false, grown: false, log, tail, echo, signs, line, hidden };
        self.streams.insert(script, stream);
        self.watch(token);
    }

    /// Moves what is in the pipe, at most `reads` buffers of it.
    fn drain(&mut self, token: u64, reads: usize) {
        let Some(stream) = self.by_token.get(&token).and_then(|script| self.streams.get_mut(script)) else { return };
        let pipe = stream.drain(&mut self.buffer, reads);
        stream.log.clean_up(&mut self.wall_clock, clock::of_machine);
        if pipe == Pipe::Ended {
            stream.end_pipe(&self.epoll);
            self.by_token.remove(&token);
        }
    }

    fn close(&mut self, attempt: &AttemptId) {
        let Some(stream) = self.streams.get_mut(&attempt.script).filter(|stream| stream.attempt == *attempt) else {
            return;
        };
        stream.drain(&mut self.buffer, LAST_TURN);
        stream.log.clean_up(&mut self.wall_clock, clock::of_machine);
        stream.end_pipe(&self.epoll);
        self.by_token.remove(&stream.token);
    }
}

impl Stream {
    fn is_unwatched(&self) -> bool {
        self.pipe.is_some() && !self.watched
    }

    fn drain(&mut self, buffer: &mut [u8], reads: usize) -> Pipe {
        let Some(pipe) = &self.pipe else { return Pipe::Ended };
        for _ in 0..reads {
            let length = match rustix::io::read(pipe, &mut *buffer) {
                Ok(0) => return Pipe::Ended,
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Pipe::Open,
                Err(_) => return Pipe::Ended,
            };
            if length >= 64 * 1024 && !self.grown {
                // Where the user's share of pipe memory is spent it just stays as it is.
                let _ = rustix::pipe::fcntl_setpipe_size(pipe, GROWN_PIPE);
                self.grown = true;
            }
            let Some(chunk) = buffer.get(..length) else { return Pipe::Ended };
            let now = Instant::now();
            self.log.write(chunk, now);
            self.tail.push(chunk);
            self.signs.note_output(now);
            if self.line.as_mut().is_some_and(|line| line.push(chunk)) {
                self.line = None;
            }
            if let Some(echo) = &mut self.echo {
                echo.push(chunk, now, &self.attempt.script);
            }
        }
        Pipe::Open
    }

    fn last_lines(&self) -> Vec<String> {
        self.tail.lines().into_iter().map(|line| self.hidden.cut(line)).collect()
    }

    fn end_pipe(&mut self, epoll: &OwnedFd) {
        if let Some(pipe) = self.pipe.take() {
            // Asked for explicitly: while anybody has a copy, closing ours would not end the events.
            let _ = epoll::delete(epoll, &pipe);
        }
        if let Some(echo) = &mut self.echo {
            echo.finish(&self.attempt.script);
        }
        self.log.close();
    }
}

/// The longest piece of a line that is kept in memory, for the crash report and the echo.
pub(super) const LINE: usize = 4096;

/// A second: what the echo's allowance is for.
pub(super) const SECOND: Duration = Duration::from_secs(1);
