//! The API over both of its transports: what it answers, what it hands on, and whom it lets in.

mod http_support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_support::*;
use mho::control::client::{Client, ClientError};
use mho::domain::operator::{Asked, Refused, Whom};
use mho::domain::script::ScriptName;
use mho::domain::status::{Outcome, Status};
use serde_json::{Value, json};

fn whoami() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("a user").name
}

#[test]
fn every_path_answers_over_both_transports() {
    let api = Api::new();
    for path in [
        "/",
        "/healthz",
        "/health",
        "/readyz",
        "/metrics",
        "/api/v1/status",
        "/api/v1/scripts",
        "/api/v1/scripts/demo",
        "/api/v1/scripts/feed%402",
        "/api/v1/scripts/demo/log",
        "/api/v1/history",
        "/api/v1/calendar",
        "/api/v1/timeline",
        "/api/v1/next",
    ] {
        for answer in [api.get(path), api.tcp().ask("GET", path, &[], b"")] {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
            let policy = answer.header("content-security-policy").unwrap_or_default();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let head = api.unix().ask("HEAD", path, &[], b"");
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
    }
    let status: Status = serde_json::from_value(api.get("/api/v1/status").json()).expect("a status");
    assert_eq!(status, *api.daemon.status());
    assert_eq!(api.get("/api/v1/scripts/demo").json()["pid"], 4711);
    assert_eq!(api.get("/healthz").json(), json!({"status": "ok"}));
    let kind = |path| api.get(path).header("content-type").unwrap_or_default().to_owned();
    assert_eq!(kind("/metrics"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(kind("/").starts_with("text/html"));
}

#[test]
fn what_a_query_asks_for_is_handed_on_and_what_makes_no_sense_is_refused() {
    let api = Api::new();
    api.get("/api/v1/history?script=demo&from=2026-11-01&to=2026-11-30");
    api.get("/api/v1/calendar?id=XLON&from=2026-12-01");
    api.get("/api/v1/timeline?date=2026-11-27");
    api.get("/api/v1/scripts/demo/log?tail=99999999&date=2026-11-27");
    let expected = [
        "HistoryQuery { script: Some(\"demo\"), from: Some(2026-11-01), to: Some(2026-11-30) }",
        "CalendarQuery { calendar: Some(\"XLON\"), from: Some(2026-12-01), to: None }",
        "timeline Some(2026-11-27)",
        "LogQuery { script: \"demo\", tail: 10000, date: Some(2026-11-27), follow: false }",
    ];
    assert_eq!(api.daemon.asked(), expected);
    let count = |path| api.get(path).json().as_array().map(Vec::len);
    assert_eq!((count("/api/v1/next?n=3"), count("/api/v1/next?n=99999999")), (Some(3), Some(1000)));
    for (path, text) in [
        ("/api/v1/history?form=2026-11-01", "did you mean from?"),
        ("/api/v1/history?from=yesterday", "expected YYYY-MM-DD"),
        ("/api/v1/timeline?date=2026-02-30", "expected YYYY-MM-DD"),
        ("/api/v1/next?n=many", "expected a number"),
        ("/api/v1/calendar?id=NONE", "no such calendar"),
        ("/api/v1/scripts/demo/log?follow=maybe", "expected 1 or 0"),
    ] {
        let answer = api.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.error().contains(text), "{path}: {}", answer.error());
    }
}

#[test]
fn a_list_comes_as_an_object_a_line_to_whoever_prefers_that() {
    let api = Api::new();
    for path in ["/api/v1/scripts", "/api/v1/history", "/api/v1/calendar", "/api/v1/next?n=2"] {
        let answer = api.unix().ask("GET", path, &[("accept", "application/x-ndjson")], b"");
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        let parse = |line| serde_json::from_str::<Value>(line).expect("an object a line");
        let lines: Vec<Value> = answer.body.lines().map(parse).collect();
        assert_eq!((lines.len(), Value::Array(lines)), (2, api.get(path).json()), "{path}");
    }
}

#[test]
fn readiness_names_what_should_run_and_does_not() {
    let api = Api::new();
    assert_eq!(api.get("/readyz").status, 200);
    api.daemon.status().scripts[0].pid = None;
    let answer = api.get("/readyz");
    assert_eq!((answer.status, &answer.json()["not_running"]), (503, &json!(["demo"])));
    api.daemon.status().scripts[0].expected = false;
    assert_eq!(api.get("/readyz").status, 200);
    api.daemon.status().journal_ok = false;
    let answer = api.get("/readyz");
    assert_eq!((answer.status, &answer.json()["journal_ok"]), (503, &json!(false)));
}

#[test]
fn health_is_asked_for_once_for_all_who_ask_at_about_the_same_time() {
    let api = Api::new();
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(api.get("/healthz").status, 200);
    }
    let most = begin.elapsed().as_millis() / 100 + 1;
    let pings = api.daemon.pings.load(Ordering::Relaxed);
    assert!((1..=most).contains(&(pings as u128)), "{pings} of {most}");
    api.daemon.alive.store(false, Ordering::Relaxed);
    eventually("it is not healthy", || api.get("/healthz").status == 503);
}

#[test]
fn each_order_is_handed_on_with_who_gave_it() {
    let api = Api::new();
    let until = now() + chrono::TimeDelta::hours(2);
    let date = "2026-11-30".parse().expect("a date");
    let orders: [(&str, Asked); 11] = [
        ("start", Asked::Start { force: false }),
        ("start?force=1", Asked::Start { force: true }),
        ("start?force", Asked::Start { force: true }),
        ("stop", Asked::Stop),
        ("restart", Asked::Restart),
        ("skip", Asked::Skip { date: None }),
        ("skip?date=2026-11-30", Asked::Skip { date: Some(date) }),
        ("pause", Asked::Pause { until: None, stop: false }),
        ("pause?until=12:00&stop=true", Asked::Pause { until: Some(until), stop: true }),
        ("pause?until=2026-11-27T17:00:00Z", Asked::Pause { until: Some(until), stop: false }),
        ("resume", Asked::Resume),
    ];
    for (path, expected) in orders {
        let answer = api.post(&format!("/api/v1/scripts/demo/{path}"));
        assert_eq!(answer.status, 202, "{answer:?}");
        let (whom, asked, by, wait) = api.daemon.last_order();
        assert_eq!((whom, asked, wait), (Whom::One("demo".to_owned()), expected, None));
        assert_eq!((by.who, by.reason), (whoami(), String::new()));
    }
    for (path, expected) in [
        ("/api/v1/pause?reason=fire%0Adrill", Asked::Pause { until: None, stop: false }),
        ("/api/v1/resume?reason=fire%0Adrill", Asked::Resume),
    ] {
        assert_eq!(api.tcp().ask("POST", path, &[BEARER], b"").status, 202);
        let (whom, asked, by, _) = api.daemon.last_order();
        assert_eq!((whom, asked), (Whom::All, expected));
        assert_eq!((&*by.who, &*by.reason), ("http token", "fire drill"));
    }
}

#[test]
fn an_order_may_say_what_it_wants_in_its_body_and_the_query_wins() {
    let api = Api::new();
    let body = br#"{"force": true, "reason": "by body", "wait": "5s"}"#;
    assert_eq!(api.unix().ask("POST", "/api/v1/scripts/demo/start?wait=7", &[], body).status, 200);
    let (_, asked, by, wait) = api.daemon.last_order();
    assert_eq!((asked, &*by.reason, wait), (Asked::Start { force: true }, "by body", Some(Duration::from_secs(7))));
    assert_eq!(api.post("/api/v1/reload?restart=1&reason=new").status, 202);
    assert_eq!(api.post("/api/v1/reload?wait=60s").status, 200);
    assert_eq!(api.post("/api/v1/shutdown").status, 202);
    assert_eq!(api.post("/api/v1/shutdown?wait=60s").status, 200);
    let who = whoami();
    let expected = [
        format!("reload {who}: new true"),
        format!("reload {who} false"),
        format!("shutdown {who} None"),
        format!("shutdown {who} Some(60s)"),
    ];
    assert_eq!(api.daemon.asked(), expected);
}

#[test]
fn an_order_is_answered_with_the_state_and_whether_that_is_final() {
    let api = Api::new();
    let answer = api.post("/api/v1/scripts/demo/stop?wait=60s");
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!((&json["message"], &json["done"], &json["ok"]), (&json!("as you say"), &json!(true), &json!(true)));
    assert_eq!((&json["name"], &json["state"], &json["pid"]), (&json!("demo"), &json!("running"), &json!(4711)));
    let outcome: Outcome = serde_json::from_value(json).expect("an outcome");
    assert_eq!(outcome.scripts.len(), 1);
    api.daemon.answers(Some(Ok((false, true))));
    assert_eq!(api.post("/api/v1/scripts/demo/stop?wait=1s").status, 202);
    for (refused, status) in [
        (Refused::NotNow("later".to_owned()), 409),
        (Refused::Faulty("line 3".to_owned()), 422),
        (Refused::Invalid("never".to_owned()), 400),
        (Refused::Unanswered("nobody".to_owned()), 503),
    ] {
        api.daemon.answers(Some(Err(refused.clone())));
        let answer = api.post("/api/v1/scripts/demo/stop");
        assert_eq!((answer.status, answer.error()), (status, refused.to_string()));
    }
}

#[test]
fn an_order_that_makes_no_sense_never_reaches_the_daemon() {
    let api = Api::new();
    for (path, body, text) in [
        ("start?forse=1", "", "did you mean force?"),
        ("stop?force=1", "", "known here: reason, wait"),
        ("start?force=2", "", "expected 1 or 0"),
        ("skip?date=tomorrow", "", "expected YYYY-MM-DD"),
        ("pause?until=09:00:61", "", "use HH:MM"),
        ("pause?until=2026-11-26", "", "is past"),
        ("pause?until=%2B262142-12-31", "", "use HH:MM"),
        ("pause?until=%2B262142-12-31T23:59:59", "", "use HH:MM"),
        ("pause?until=-262142-01-01T00:00", "", "use HH:MM"),
        ("start?wait=long", "", "expected a duration"),
        ("start", "force=1", "is no JSON"),
        ("start", "[1]", "is no JSON object"),
        ("start", r#"{"force": {}}"#, "expected text"),
    ] {
        let answer = api.unix().ask("POST", &format!("/api/v1/scripts/demo/{path}"), &[], body.as_bytes());
        assert_eq!(answer.status, 400, "{path} {body}");
        assert!(answer.error().contains(text), "{path} {body}: {}", answer.error());
    }
    assert!(api.daemon.orders().is_empty());
}

#[test]
fn an_unknown_script_is_told_with_those_that_there_are() {
    let api = Api::new();
    let answer = api.get("/api/v1/scripts/dmeo");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.error(), "no script named \"dmeo\"; the daemon has: demo, feed@2; did you mean demo?");
    assert!(!api.get("/api/v1/scripts/other").error().contains("did you mean"));
    let known = vec![ScriptName::new("demo").expect("a name")];
    api.daemon.answers(Some(Err(Refused::NoSuchScript { name: "demp".to_owned(), known })));
    let answer = api.post("/api/v1/scripts/demp/start");
    assert_eq!(answer.status, 404);
    assert!(answer.error().ends_with("did you mean demo?"));
}

#[test]
fn what_is_no_name_is_not_looked_for() {
    let api = Api::new();
    for name in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "..%2Fdemo",
        "demo%2f..",
        "demo%00",
        "%00",
        "demo%0a",
        "DEMO",
        "%ff%fe",
        "demo%20",
        "%E2%80%AE",
        "demo%5c",
        "a@b@c",
        ".",
    ] {
        for (method, rest) in [("GET", ""), ("GET", "/log"), ("GET", "/log?follow=1"), ("POST", "/start")] {
            let answer = api.unix().ask(method, &format!("/api/v1/scripts/{name}{rest}"), &[], b"");
            assert_eq!(answer.status, 404, "{method} {name}{rest}");
            answer.error();
        }
    }
    for path in ["/api/v1/scripts/../../etc/passwd", "/api/v1/scripts/demo/../demo/log", "/api/v1/scripts//log", "//"] {
        let answer = api.get(path);
        assert_eq!(answer.status, 404, "{path}");
        answer.error();
    }
    assert!(api.daemon.asked().is_empty() && api.daemon.orders().is_empty());
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_in_json() {
    let api = Api::new();
    let unknown = ["/nothing", "/api/v1", "/api/v1/", "/api/v2/status", "/api/v1/status/", "/api/v1/scripts/demo/burn"];
    for path in unknown {
        for answer in [api.get(path), api.post(path)] {
            assert_eq!(answer.status, 404, "{path}");
            answer.error();
        }
    }
    for (method, path, allowed) in [
        ("POST", "/api/v1/status", "get,head"),
        ("PUT", "/api/v1/status", "get,head"),
        ("DELETE", "/", "get,head"),
        ("PATCH", "/api/v1/scripts/demo/log", "get,head"),
        ("OPTIONS", "/metrics", "get,head"),
        ("GET", "/api/v1/reload", "post"),
        ("HEAD", "/api/v1/scripts/demo/start", "post"),
        ("BREW", "/api/v1/scripts/demo/start", "post"),
    ] {
        let answer = api.unix().ask(method, path, &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        if method != "HEAD" {
            answer.error();
        }
    }
    assert!(api.daemon.orders().is_empty());
}

#[test]
fn over_tcp_reading_is_open_and_changing_needs_the_token() {
    let api = Api::new();
    let path = "/api/v1/scripts/demo/stop";
    let basic = ("authorization", "Basic 0123456789abcdef");
    for headers in [vec![], vec![("authorization", "Bearer wrong")], vec![basic]] {
        let answer = api.tcp().ask("POST", path, &headers, b"");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("bearer")));
        assert!(answer.error().contains("mho dashboard") && !answer.body.contains(TOKEN));
    }
    assert_eq!(api.tcp().ask("POST", &format!("{path}?token={TOKEN}"), &[], b"").status, 401);
    assert!(api.daemon.orders().is_empty());
    assert_eq!(api.tcp().ask("POST", path, &[BEARER], b"").status, 202);
    assert_eq!(api.tcp().ask("GET", &format!("/?token={TOKEN}"), &[], b"").status, 200);
}

#[test]
fn over_tcp_a_request_that_means_somebody_else_is_refused() {
    let api = Api::new();
    for host in ["evil.example", "evil.example:8930", "", "localhost.evil.example"] {
        let answer = api.tcp().ask("GET", "/api/v1/status", &[("host", host)], b"");
        assert_eq!(answer.status, 421, "{host}");
        answer.error();
        let answer = api.tcp().ask("POST", "/api/v1/pause", &[("host", host), BEARER], b"");
        assert_eq!(answer.status, 421, "{host}");
    }
    let here = format!("127.0.0.1:{}", api.port());
    for (origin, status) in [
        (format!("http://{here}"), 202),
        ("http://evil.example".to_owned(), 403),
        ("null".to_owned(), 403),
        (format!("http://localhost:{}", api.port()), 403),
    ] {
        let headers = [("host", &*here), BEARER, ("origin", &*origin)];
        assert_eq!(api.tcp().ask("POST", "/api/v1/pause", &headers, b"").status, status, "{origin}");
    }
    let mut line = api.tcp();
    line.send(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert_eq!(line.answer(false).status, 421);
    let mut line = api.tcp();
    line.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(line.answer(false).status, 200, "older clients do not say the name");
    let unix = api.unix().ask("GET", "/api/v1/status", &[("host", "evil.example"), ("origin", "null")], b"");
    assert_eq!(unix.status, 200, "no browser reaches the unix socket");
}

#[test]
fn without_a_token_nothing_is_changed_over_tcp() {
    let dir = tempfile::tempdir().expect("a directory");
    let (daemon, socket) = (Pretend::new(), dir.path().join("mho.sock"));
    let server = serve_at(&daemon, &socket, Some("127.0.0.1:0".to_owned()), None, pace()).expect("served");
    let api = Api { daemon, server: Some(server), dir };
    let answer = api.tcp().ask("POST", "/api/v1/pause", &[("authorization", "Bearer ")], b"");
    assert_eq!(answer.status, 401);
    assert!(answer.error().contains("the daemon has none"));
    assert_eq!(api.post("/api/v1/pause").status, 202);
}

#[test]
fn the_client_tells_a_refusal_from_a_daemon_that_is_not_there() {
    let mut api = Api::new();
    let client = Client::of(api.dir.path()).expect("a client");
    let status: Status = client.get("/api/v1/status").expect("an answer");
    assert_eq!(status.scripts.len(), 2);
    let outcome: Outcome = client.post("/api/v1/scripts/demo/stop", Duration::ZERO, || ()).expect("an answer");
    assert!(outcome.done);
    api.daemon.answers(Some(Err(Refused::NotNow("not today".to_owned()))));
    match client.post::<Outcome>("/api/v1/scripts/demo/stop", Duration::ZERO, || ()) {
        Err(ClientError::Refused { status: 409, text }) => assert_eq!(text, "not today"),
        other => panic!("{other:?}"),
    }
    let mut kinds = Vec::new();
    let heard = client.watch("/api/v1/events", |event| {
        if let Some((kind, data)) = event {
            kinds.push((kind.to_owned(), data.len()));
            api.daemon.tell("state", "1");
        }
        if kinds.len() < 3 { Ok(()) } else { Err(std::io::Error::other("enough")) }
    });
    assert!(matches!(heard, Err(ClientError::Deaf(_))));
    assert_eq!((&*kinds[0].0, &kinds[1..]), ("status", &[("state".to_owned(), 1), ("state".to_owned(), 1)][..]));
    api.stop();
    match client.text("/healthz") {
        Err(error @ ClientError::NotRunning { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&api.socket().display().to_string()) && text.contains("mho run"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    std::fs::remove_file(api.socket()).expect("it stays");
    assert!(matches!(client.text("/healthz"), Err(ClientError::NotRunning { .. })));
}
