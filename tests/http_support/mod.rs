//! The API without a daemon: a pretend one behind it, and a client that says exactly what it is told to.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use mho::adapters::pretend::Recording;
use mho::control::{Pace, Served, Server, Token, serve};
use mho::domain::operator::{Asked, By, Refused, Whom};
use mho::domain::status::{
    Day, Gauges, HistoryLine, Level, Live, Local, Market, NextLine, Outcome, Script, Status, Verdict,
};
use mho::ports::{CalendarQuery, Control, HistoryQuery, LogLines, LogQuery, PortFuture};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// Whatever is waited for in these tests comes within this time, or never.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// By which changes are allowed over TCP.
pub const TOKEN: &str = "0123456789abcdef";

/// The header that says it.
pub const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

const ZONE: Tz = chrono_tz::America::New_York;

pub fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 27, 15, 0, 0).single().expect("a time")
}

pub fn script(name: &str, state: &str) -> Script {
    let is_up = state == "running";
    Script {
        name: name.to_owned(),
        state: state.to_owned(),
        reason: "as it should be".to_owned(),
        pid: is_up.then_some(4711),
        attempt: 1,
        restarts: 0,
        started_at: None,
        stop_at: None,
        deadline: None,
        last_exit: None,
        next: None,
        trading_date: None,
        since: None,
        status_text: None,
        forced: false,
        expected: is_up,
        command: "demo.py".to_owned(),
        calendar: "XNYS".to_owned(),
        critical: false,
        depends_on: vec![],
        holds: vec![],
        pending: vec![],
        window: None,
        gauges: Gauges::default(),
    }
}

fn status() -> Status {
    let local = Local::new(now(), ZONE);
    Status {
        now: local,
        pid: 1,
        version: "0".to_owned(),
        rehearsal: false,
        speed: 1.0,
        started_at: local,
        verdict: Verdict { level: Level::Ok, text: "1 script runs".to_owned() },
        journal_ok: true,
        killed_by: None,
        market: Market {
            calendar: "XNYS".to_owned(),
            timezone: ZONE.name().to_owned(),
            phase: "open".to_owned(),
            trading_date: None,
            reason: "regular session".to_owned(),
            open: None,
            close: None,
            early_close: false,
            next: None,
        },
        scripts: vec![script("demo", "running"), script("feed@2", "idle")],
    }
}

/// An order as it came in.
pub type Ordered = (Whom, Asked, By, Option<Duration>);

/// A daemon that does nothing but remember what it was asked.
pub struct Pretend {
    status: Mutex<Status>,
    pub alive: AtomicBool,
    pub pings: AtomicUsize,
    orders: Mutex<Vec<Ordered>>,
    /// What comes of an order: done, and ok. None = it never answers.
    answer: Mutex<Option<Result<(bool, bool), Refused>>>,
    asked: Mutex<Vec<String>>,
    pub events: broadcast::Sender<Live>,
    pieces: Mutex<VecDeque<Vec<u8>>>,
    /// Each piece of a log takes so long to read.
    reading: Mutex<Duration>,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nobody panicked with it")
}

impl Pretend {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            status: Mutex::new(status()),
            alive: AtomicBool::new(true),
            pings: AtomicUsize::new(0),
            orders: Mutex::default(),
            answer: Mutex::new(Some(Ok((true, true)))),
            asked: Mutex::default(),
            events: broadcast::Sender::new(16),
            pieces: Mutex::default(),
            reading: Mutex::default(),
        })
    }

    pub fn status(&self) -> MutexGuard<'_, Status> {
        held(&self.status)
    }

    pub fn orders(&self) -> Vec<Ordered> {
        held(&self.orders).clone()
    }

    pub fn last_order(&self) -> Ordered {
        self.orders().pop().expect("an order")
    }

    /// What else it was asked.
    pub fn asked(&self) -> Vec<String> {
        held(&self.asked).clone()
    }

    pub fn answers(&self, answer: Option<Result<(bool, bool), Refused>>) {
        *held(&self.answer) = answer;
    }

    pub fn prints(&self, pieces: &[&str], each_takes: Duration) {
        *held(&self.pieces) = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        *held(&self.reading) = each_takes;
    }

    pub fn tell(&self, kind: &'static str, data: &str) {
        // Nobody may hear it.
        let _ = self.events.send(Live { kind, data: data.into() });
    }

    fn answer(&self, whom: &Whom) -> Option<Result<Outcome, Refused>> {
        let answer = held(&self.answer).clone()?;
        let is_meant = |script: &Script| match whom {
            Whom::One(name) => script.name == *name,
            Whom::All => true,
        };
        let scripts = self.status().scripts.iter().filter(|script| is_meant(script)).cloned().collect();
        Some(answer.map(|(done, ok)| Outcome { message: "as you say".to_owned(), done, ok, scripts }))
    }

    fn note(&self, what: String) {
        held(&self.asked).push(what);
    }
}

fn at_once<T: Send + 'static>(value: T) -> PortFuture<T> {
    Box::pin(std::future::ready(value))
}

fn answered<T: Send + 'static>(value: Option<T>) -> PortFuture<T> {
    match value {
        Some(value) => at_once(value),
        None => Box::pin(std::future::pending()),
    }
}

/// The test keeps a hand on what the server has.
struct Behind(Arc<Pretend>);

impl Control for Behind {
    fn clock(&self) -> (DateTime<Utc>, Tz) {
        (now(), ZONE)
    }

    fn is_alive(&self) -> PortFuture<bool> {
        self.0.pings.fetch_add(1, Ordering::Relaxed);
        at_once(self.0.alive.load(Ordering::Relaxed))
    }

    fn status(&self) -> PortFuture<Status> {
        at_once(self.0.status().clone())
    }

    fn order(&self, whom: Whom, asked: Asked, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>> {
        let answer = self.0.answer(&whom);
        held(&self.0.orders).push((whom, asked, by, wait));
        answered(answer)
    }

    fn reload(&self, by: By, restart: bool) -> PortFuture<Result<Outcome, Refused>> {
        self.0.note(format!("reload {by} {restart}"));
        answered(self.0.answer(&Whom::All))
    }

    fn shut_down(&self, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>> {
        self.0.note(format!("shutdown {by} {wait:?}"));
        answered(self.0.answer(&Whom::All))
    }

    fn history(&self, query: HistoryQuery) -> PortFuture<Result<Vec<HistoryLine>, Refused>> {
        self.0.note(format!("{query:?}"));
        let line = |script: &str| HistoryLine {
            script: script.to_owned(),
            trading_date: now().date_naive(),
            result: "succeeded".to_owned(),
            reason: None,
            first_start: None,
            end: None,
            attempts: 1,
            last_exit: None,
        };
        at_once(Ok(vec![line("demo"), line("feed@2")]))
    }

    fn calendar(&self, query: CalendarQuery) -> PortFuture<Result<Vec<Value>, Refused>> {
        self.0.note(format!("{query:?}"));
        at_once(match query.calendar.as_deref() {
            Some("NONE") => Err(Refused::Invalid("the daemon uses no such calendar".to_owned())),
            _ => Ok(vec![json!({"date": "2026-11-27"}), json!({"date": "2026-11-28"})]),
        })
    }

    fn timeline(&self, date: Option<NaiveDate>) -> PortFuture<Result<Day, Refused>> {
        self.0.note(format!("timeline {date:?}"));
        at_once(Ok(Day {
            now: Local::new(now(), ZONE),
            date: date.unwrap_or(now().date_naive()),
            calendar: "XNYS".to_owned(),
            timezone: ZONE.name().to_owned(),
            kind: "regular".to_owned(),
            reason: String::new(),
            premarket: None,
            open: None,
            close: None,
            postmarket: None,
            pause: None,
            lanes: vec![],
        }))
    }

    fn next(&self, count: usize) -> PortFuture<Vec<NextLine>> {
        let line = NextLine {
            at: Local::new(now(), ZONE),
            boundary: "stop".to_owned(),
            script: Some("demo".to_owned()),
            trading_date: now().date_naive(),
        };
        at_once(vec![line; count])
    }

    fn log(&self, query: LogQuery) -> PortFuture<Result<Box<dyn LogLines>, Refused>> {
        self.0.note(format!("{query:?}"));
        let lines = Lines { of: Arc::clone(&self.0), follow: query.follow, is_lost: false };
        at_once(Ok(Box::new(lines)))
    }

    fn events(&self) -> broadcast::Receiver<Live> {
        self.0.events.subscribe()
    }

    fn metrics(&self) -> PortFuture<String> {
        at_once("mho_build_info 1\n".to_owned())
    }
}

/// A log that is read piece by piece. A reader that is interrupted has lost its place: there is no more, then.
struct Lines {
    of: Arc<Pretend>,
    follow: bool,
    is_lost: bool,
}

impl LogLines for Lines {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + '_>> {
        Box::pin(async move {
            if std::mem::replace(&mut self.is_lost, true) {
                return None;
            }
            let each_takes = *held(&self.of.reading);
            tokio::time::sleep(each_takes).await;
            let piece = held(&self.of.pieces).pop_front();
            if piece.is_none() && self.follow {
                std::future::pending::<()>().await;
            }
            self.is_lost = false;
            piece
        })
    }
}

/// Quick enough for a test, and slow enough for a busy machine.
pub fn pace() -> Pace {
    Pace { ping: Duration::from_millis(200), retry: Duration::from_millis(50), ..Pace::default() }
}

/// Serves a pretend daemon at `socket`.
pub fn serve_at(
    daemon: &Arc<Pretend>,
    socket: &Path,
    listen: Option<String>,
    token: Option<&str>,
    pace: Pace,
) -> io::Result<Server> {
    let token = token.map(|token| Token::new(token.to_owned()));
    let control = Arc::new(Behind(Arc::clone(daemon)));
    let (socket, notifier) = (socket.to_owned(), Arc::new(Recording::default()));
    serve(Served { control, socket, notifier, config: None, listen, token_file: PathBuf::new(), token, pace })
}

/// The API at work, in a directory of its own.
pub struct Api {
    pub daemon: Arc<Pretend>,
    pub server: Option<Server>,
    pub dir: tempfile::TempDir,
}

impl Api {
    pub fn new() -> Self {
        Self::with(pace(), "127.0.0.1:0")
    }

    pub fn with(pace: Pace, listen: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("mho-http-").tempdir().expect("a directory");
        let daemon = Pretend::new();
        let socket = dir.path().join("mho.sock");
        let server = serve_at(&daemon, &socket, Some(listen.to_owned()), Some(TOKEN), pace).expect("served");
        Self { daemon, server: Some(server), dir }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("mho.sock")
    }

    pub fn stop(&mut self) {
        self.server.take().expect("it serves").stop();
    }

    /// The port, as soon as it is served.
    pub fn port(&self) -> u16 {
        let server = self.server.as_ref().expect("it serves");
        eventually("TCP is served", || server.tcp().is_some());
        server.tcp().expect("an address").port()
    }

    pub fn unix(&self) -> Line<UnixStream> {
        Line::new(UnixStream::connect(self.socket()).expect("somebody listens"))
    }

    pub fn tcp(&self) -> Line<TcpStream> {
        Line::new(TcpStream::connect(("127.0.0.1", self.port())).expect("somebody listens"))
    }

    /// Over the unix socket.
    pub fn get(&self, path: &str) -> Answer {
        self.unix().ask("GET", path, &[], b"")
    }

    /// Over the unix socket.
    pub fn post(&self, path: &str) -> Answer {
        self.unix().ask("POST", path, &[], b"")
    }
}

/// A connection.
pub trait Wire: Read + Write {
    fn set_patience(&self, patience: Duration);
}

impl Wire for TcpStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).expect("set");
        self.set_write_timeout(Some(patience)).expect("set");
    }
}

impl Wire for UnixStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).expect("set");
        self.set_write_timeout(Some(patience)).expect("set");
    }
}

/// A connection, and what was read from it and not yet looked at.
pub struct Line<S> {
    pub wire: S,
    read: Vec<u8>,
}

impl<S: Wire> Line<S> {
    fn new(wire: S) -> Self {
        wire.set_patience(DEADLINE);
        Self { wire, read: Vec::new() }
    }

    /// The request as these bytes have it; whoever refuses it may hang up before it is read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes);
    }

    /// One request, and the whole answer.
    pub fn ask(mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(&request(method, path, headers, body));
        self.answer(method == "HEAD")
    }

    /// All there is until the other end hangs up.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.wire.read(&mut chunk) {
                Ok(n @ 1..) => self.read.extend_from_slice(&chunk[..n]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the other end does not hang up: {:?}", String::from_utf8_lossy(&self.read));
                }
                Ok(0) | Err(_) => return std::mem::take(&mut self.read),
            }
        }
    }

    pub fn answer(mut self, is_head: bool) -> Answer {
        let all = self.rest();
        Answer::parse(&all, is_head).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&all)))
    }

    /// Reads until this text has come; what came up to its end.
    pub fn until(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            let mut chunk = [0; 64 * 1024];
            let n = self.wire.read(&mut chunk).unwrap_or(0);
            let so_far = String::from_utf8_lossy(&self.read);
            assert!(n > 0 && start.elapsed() < DEADLINE, "{text:?} did not come: {so_far}");
            self.read.extend_from_slice(&chunk[..n]);
        }
    }

    /// Begins to hear what happens.
    pub fn stream(mut self) -> Self {
        self.send(&request("GET", "/api/v1/events", &[], b""));
        self.until("event: status");
        self
    }
}

/// As a client writes it that asks once.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text += "host: 127.0.0.1\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("content-length: {}\r\n", body.len());
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An answer; its head in small letters.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The first answer in these bytes.
    pub fn parse(bytes: &[u8], is_head: bool) -> Option<Self> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.strip_prefix("http/1.")?.get(2..5)?.parse().ok()?;
        let body = &bytes[end + 4..];
        let is_chunked = head.contains("transfer-encoding: chunked") && !is_head;
        let body = if is_chunked { unchunked(body) } else { body.to_vec() };
        Some(Self { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The text of a refusal.
    pub fn error(&self) -> String {
        assert!((400..600).contains(&self.status), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no text: {self:?}")).to_owned()
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16).unwrap_or(0);
        let Some(chunk) = rest.get(end + 2..end + 2 + length).filter(|_| length > 0) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
    body
}

/// Polls until `holds`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what}: it did not come true in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Both ends of some hundred connections are in this process.
pub fn open_many_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
    if soft < 4096 {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).expect("set");
    }
}
