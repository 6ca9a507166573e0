//! The API under load and under attack: what grows has a limit, who is slow is cut off, what is no request is refused, and it ends in time.

mod http_support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use http_support::*;
use mho::control::Pace;
use mho::control::client::Client;
use mho::domain::status::Status;

#[test]
fn the_socket_is_its_owners_alone_and_takes_the_place_of_a_dead_one() {
    let mut api = Api::new();
    let found = fs::symlink_metadata(api.socket()).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let entries = fs::read_dir(api.dir.path()).expect("readable");
    let names: Vec<_> = entries.map(|entry| entry.expect("read").file_name()).collect();
    assert_eq!(names, ["mho.sock"], "nothing else is left there");
    api.stop();
    assert!(UnixStream::connect(api.socket()).is_err(), "nobody listens any more");

    let leave_there: [fn(&Path); 3] =
        [|_| (), |path| drop(UnixListener::bind(path).expect("bound")), |path| fs::write(path, "").expect("written")];
    for leave in leave_there {
        fs::remove_file(api.socket()).expect("it stays");
        leave(&api.socket());
        api.server = Some(serve_at(&api.daemon, &api.socket(), None, None, pace()).expect("served"));
        assert_eq!(api.get("/healthz").status, 200);
        api.stop();
    }
}

#[test]
fn a_path_that_is_too_long_for_a_socket_serves_all_the_same() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("x".repeat(120)).join("y".repeat(120));
    fs::create_dir_all(&dir).expect("made");
    let socket = dir.join("mho.sock");
    let server = serve_at(&Pretend::new(), &socket, None, None, pace()).expect("served");
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);
    let client = Client::of(&dir).expect("a client");
    assert_eq!(client.get::<Status>("/api/v1/status").expect("an answer").pid, 1);
    server.stop();
    assert!(client.text("/healthz").is_err());
}

#[test]
fn a_directory_where_no_socket_can_be_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("gone").join("mho.sock");
    assert!(serve_at(&Pretend::new(), &socket, None, None, pace()).is_err());
}

#[test]
fn a_port_that_is_taken_is_tried_until_it_is_free_and_the_socket_serves_meanwhile() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = holder.local_addr().expect("an address");
    let api = Api::with(pace(), &taken.to_string());
    // Longer than a few of its tries take.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(200) {
        assert_eq!(api.get("/healthz").status, 200);
    }
    assert_eq!(api.server.as_ref().expect("it serves").tcp(), None);
    drop(holder);
    assert_eq!(api.port(), taken.port());
    assert_eq!(api.tcp().ask("GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn the_stream_begins_with_everything_and_goes_on_with_what_happens() {
    let api = Api::new();
    let mut line = api.tcp();
    line.send(&request("GET", "/api/v1/events", &[], b""));
    let begin = line.until("\n\n");
    let begin = begin + &line.until("\n\n");
    assert!(begin.to_lowercase().contains("content-type: text/event-stream"), "{begin}");
    assert!(begin.contains("event: status\ndata: {\"now\""), "{begin}");
    api.daemon.tell("state", "{\"name\":\"demo\"}");
    line.until("event: state\ndata: {\"name\":\"demo\"}\n\n");
    line.until(": ping\n\n");
}

#[test]
fn whoever_was_too_slow_is_shown_everything_anew_and_nothing_older_after_it() {
    let api = Api::new();
    let mut line = api.unix().stream();
    line.until("\n\n");
    // More than the socket and all buffers hold: at some time nobody takes it any more, and the oldest is lost.
    let big = "x".repeat(64 * 1024);
    eventually("the stream is full", || {
        api.daemon.tell("notice", &big);
        api.daemon.events.len() >= 16
    });
    for _ in 0..40 {
        api.daemon.tell("state", "\"lost\"");
    }
    api.daemon.status().pid = 77;
    line.until("event: status\ndata: ");
    let status = line.until("\n\n");
    assert!(status.contains("\"pid\":77"), "{status}");
    api.daemon.tell("state", "\"new\"");
    let after = line.until("\"new\"");
    assert!(!after.contains("lost"), "{after}");
}

#[test]
fn a_log_comes_as_text_or_line_by_line_and_no_ping_makes_it_lose_its_place() {
    let api = Api::with(Pace { ping: Duration::from_millis(10), ..pace() }, "127.0.0.1:0");
    let pieces = ["one\ntwo\n", "three\r\nfo", "ur\nrest"];
    api.daemon.prints(&pieces, Duration::ZERO);
    let text = api.get("/api/v1/scripts/demo/log?tail=3");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.body, "one\ntwo\nthree\r\nfour\nrest");
    // Each piece takes longer than several pings.
    api.daemon.prints(&pieces, Duration::from_millis(60));
    let mut line = api.unix();
    line.send(&request("GET", "/api/v1/scripts/demo/log?follow=1", &[], b""));
    let all = line.until("data: four\n\n");
    assert!(all.contains(": ping\n\n"), "{all}");
    let lines: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines, ["one", "two", "three", "four"]);
}

#[test]
fn two_hundred_streams_leave_room_for_requests_and_no_more_come_in_than_there_is_room_for() {
    open_many_files();
    let api = Api::new();
    let mut open: Vec<_> = (0..224).map(|_| api.tcp().stream()).collect();
    let answer = api.tcp().ask("GET", "/api/v1/events", &[], b"");
    assert_eq!(answer.status, 503);
    assert!(answer.error().contains("too many streams"));
    assert_eq!(api.tcp().ask("GET", "/api/v1/scripts/demo/log", &[], b"").status, 503);
    assert_eq!(api.tcp().ask("GET", "/api/v1/status", &[], b"").status, 200);
    let own = api.unix().stream();
    api.daemon.tell("state", "1");
    for line in &mut open {
        line.until("event: state");
    }
    open.truncate(100);
    eventually("a place is free", || api.tcp().ask("GET", "/api/v1/scripts/demo/log", &[], b"").status == 200);
    drop(own);
}

#[test]
fn more_connections_than_there_is_room_for_are_hung_up_on_and_the_socket_is_still_its_owners() {
    open_many_files();
    let api = Api::new();
    let mut open: Vec<_> = (0..256).map(|_| api.tcp()).collect();
    // They are accepted in their order: all of them before this one.
    assert!(api.tcp().rest().is_empty());
    assert_eq!(api.get("/api/v1/status").status, 200);
    assert_eq!(open.remove(0).ask("GET", "/healthz", &[], b"").status, 200);
    eventually("there is room again", || {
        let mut line = api.tcp();
        line.send(&request("GET", "/healthz", &[], b""));
        Answer::parse(&line.rest(), false).is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_client_that_does_not_get_on_is_cut_off() {
    let short = Duration::from_millis(150);
    let api = Api::with(Pace { head: short, body: short, write: short, ..pace() }, "127.0.0.1:0");
    for begun in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut line = api.tcp();
        line.send(begun);
        let rest = line.rest();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&rest));
    }
    // One that has had an answer and asks nothing more.
    let mut line = api.tcp();
    line.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    line.until("{\"status\":\"ok\"}\n");
    assert!(line.rest().is_empty());
    let mut line = api.unix();
    line.send(b"POST /api/v1/pause HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{");
    let answer = line.answer(false);
    assert_eq!((answer.status, answer.error()), (408, "the body did not come".to_owned()));
    // One that does not read what it asked for.
    let line = api.tcp().stream();
    assert_eq!(api.daemon.events.receiver_count(), 1);
    let big = "x".repeat(256 * 1024);
    eventually("nobody hears", || {
        api.daemon.tell("notice", &big);
        api.daemon.events.receiver_count() == 0
    });
    drop(line);
}

#[test]
fn what_is_too_big_is_refused() {
    let api = Api::new();
    let big = "x".repeat(80 * 1024);
    assert_eq!(api.unix().ask("GET", "/healthz", &[("x", &big)], b"").status, 431);
    let long = api.unix().ask("GET", &format!("/{big}"), &[], b"").status;
    assert!([414, 431].contains(&long), "{long}");
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x", "y"), 1000).collect();
    assert_eq!(api.unix().ask("GET", "/healthz", &many, b"").status, 431);
    let answer = api.unix().ask("POST", "/api/v1/pause", &[], big.as_bytes());
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("longer than"));
    assert!(api.daemon.orders().is_empty());
    assert_eq!(api.get("/healthz").status, 200);
}

#[test]
fn it_ends_at_once_with_streams_open_and_orders_waiting() {
    let mut api = Api::new();
    let mut streams: Vec<_> = (0..10).map(|_| api.tcp().stream()).collect();
    api.daemon.answers(None);
    let mut waiting = api.unix();
    waiting.send(&request("POST", "/api/v1/scripts/demo/stop?wait=600s", &[], b""));
    eventually("the order is there", || !api.daemon.orders().is_empty());
    let (_idle, port) = (api.tcp(), api.port());
    let begin = Instant::now();
    api.stop();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    for line in &mut streams {
        let rest = String::from_utf8_lossy(&line.rest()).into_owned();
        assert!(rest.ends_with("0\r\n\r\n"), "a stream has an end: {rest}");
    }
    assert!(waiting.rest().is_empty());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// What a fuzzer is made of: things that mean something here, and things that nobody means.
const PATHS: [&str; 16] = [
    "/", "/healthz", "/readyz", "/metrics", "/api/v1/", "status", "scripts/", "demo", "feed@2", "/log", "/start",
    "history", "calendar", "timeline", "next", "%2e%2e/",
];
const QUERIES: [&str; 16] = [
    "force=",
    "date=",
    "until=",
    "wait=",
    "n=",
    "tail=",
    "from=",
    "to=",
    "reason=",
    "id=",
    "1",
    "9999-12-31",
    "-1",
    "1e400",
    "&",
    "18446744073709551616",
];
const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"];
const HEADERS: [&str; 10] = [
    "host: localhost",
    "host: evil.example",
    "authorization: Bearer 0123456789abcdef",
    "content-length: 5",
    "content-length: -1",
    "transfer-encoding: chunked",
    "expect: 100-continue",
    "accept: application/x-ndjson",
    "origin: null",
    "upgrade: websocket",
];

fn noise(rng: &mut Rng, most: usize) -> Vec<u8> {
    let length = rng.usize(..most);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn some(rng: &mut Rng, of: &[&str], most: usize, between: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..rng.usize(..most) {
        text.extend_from_slice(rng.choice(of).expect("some").as_bytes());
        if rng.u8(..8) == 0 {
            text.extend(noise(rng, 6));
        }
        text.extend_from_slice(between.as_bytes());
    }
    text
}

fn nonsense(rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..10) == 0 {
        return noise(rng, 300);
    }
    let mut text = rng.choice(METHODS).expect("some").as_bytes().to_vec();
    text.extend_from_slice(b" /");
    text.extend(some(rng, &PATHS, 5, ""));
    if rng.bool() {
        text.push(b'?');
        text.extend(some(rng, &QUERIES, 6, ""));
    }
    text.extend_from_slice(b" HTTP/1.1\r\nconnection: close\r\n");
    if rng.bool() {
        text.extend_from_slice(b"host: 127.0.0.1\r\n");
    }
    text.extend(some(rng, &HEADERS, 5, "\r\n"));
    text.extend_from_slice(b"\r\n");
    text.extend(if rng.bool() {
        some(rng, &["{", "}", "\"force\"", ":", "true", "5\r\n", "[", "\\u0000"], 8, "")
    } else {
        noise(rng, 50)
    });
    text
}

/// Whatever comes in, there is an answer that blames whoever sent it, or none; and the next one is served.
fn fuzz(seed: u64, mut line: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut rng = Rng::with_seed(seed);
    let mut answers = std::collections::BTreeMap::<u16, usize>::new();
    for round in 0..1500 {
        let sent = nonsense(&mut rng);
        let rest = line(&sent);
        if let Some(answer) = Answer::parse(&rest, false) {
            let is_fine = matches!(answer.status, 100 | 200 | 202 | 400..500);
            assert!(is_fine, "seed {seed}, round {round}: {:?}: {answer:?}", String::from_utf8_lossy(&sent));
            *answers.entry(answer.status).or_default() += 1;
        }
    }
    assert!(answers.contains_key(&200) && answers.contains_key(&400) && answers.contains_key(&404), "{answers:?}");
}

#[test]
fn nonsense_over_tcp_is_answered_or_hung_up_on_and_breaks_nothing() {
    let short = Duration::from_millis(50);
    let api = Api::with(Pace { head: short, body: short, ..pace() }, "127.0.0.1:0");
    let port = api.port();
    fuzz(fastrand::u64(..), |sent| {
        let mut line = api.tcp();
        line.send(sent);
        let _ = line.wire.shutdown(std::net::Shutdown::Write);
        line.rest()
    });
    assert_eq!(api.tcp().ask("GET", "/healthz", &[], b"").status, 200, "port {port}");
}

#[test]
fn nonsense_over_the_socket_is_answered_or_hung_up_on_and_breaks_nothing() {
    let short = Duration::from_millis(50);
    let api = Api::with(Pace { head: short, body: short, ..pace() }, "127.0.0.1:0");
    fuzz(fastrand::u64(..), |sent| {
        let mut line = api.unix();
        line.send(sent);
        let _ = line.wire.shutdown(std::net::Shutdown::Write);
        line.rest()
    });
    assert_eq!(api.get("/healthz").status, 200);
}
