//! People are told, by the real binary and through real sockets: each channel delivers, and whatever a service does, nothing is lost and nothing
//! is told twice.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use common::{World, eventually};
use rusqlite::Connection;
use serde_json::Value;

/// What a service does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Fails,
    Refuses,
    /// It listens, and never answers.
    Stalls,
}

/// A request as it came in.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// It was answered with 200.
    taken: bool,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn id(&self) -> String {
        self.json()["id"].as_str().expect("an id").to_owned()
    }
}

/// A service on this machine.
struct Service {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let service = Self { port, mood: Arc::new(Mutex::new(mood)), heard: Arc::default() };
        let (mood, heard) = (Arc::clone(&service.mood), Arc::clone(&service.heard));
        thread::spawn(move || {
            let mut stalled = Vec::new();
            for stream in listener.incoming().flatten() {
                let mood = *mood.lock().unwrap();
                let Some(request) = read_request(&stream) else { continue };
                let line = match mood {
                    Mood::Takes => "200 OK",
                    Mood::Fails => "500 Oops",
                    Mood::Refuses => "403 Forbidden",
                    Mood::Stalls => {
                        heard.lock().unwrap().push(request);
                        stalled.push(stream);
                        continue;
                    }
                };
                heard.lock().unwrap().push(Request { taken: mood == Mood::Takes, ..request });
                let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        service
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }

    /// The requests that were taken, and are JSON of this event.
    fn taken(&self, event: &str) -> Vec<Request> {
        let is_it = |request: &Request| request.taken && request.json()["event"] == event;
        self.heard().into_iter().filter(is_it).collect()
    }

    fn wait_for(&self, event: &str) -> Request {
        eventually(&format!("an alert {event}"), || !self.taken(event).is_empty());
        self.taken(event).remove(0)
    }
}

fn read_request(stream: impl Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).ok()?, taken: false })
}

/// A mail server that takes everything; what it was told, line by line.
fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes());
            let mut is_data = false;
            let _ = say("220 test");
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                let _ = match line.as_str() {
                    "." if is_data => {
                        is_data = false;
                        say("250 taken")
                    }
                    _ if is_data => Ok(()),
                    "DATA" => {
                        is_data = true;
                        say("354 go on")
                    }
                    line if line.starts_with("EHLO") => say("250-test\r\n250 AUTH PLAIN LOGIN"),
                    line if line.starts_with("AUTH") => say("235 welcome"),
                    "QUIT" => say("221 bye"),
                    _ => say("250 ok"),
                };
                lines.lock().unwrap().push(line);
            }
        }
    });
    (port, heard)
}

/// A script that crashes, all day long.
const CRASHES: &str = "[market]\ncalendar = \"always\"\n[[script]]\nname = \"demo\"\nstart = \"open\"\n\
    command = [\"sh\", \"-c\", \"echo it hurts; env >env; exit 3\"]\n\
    restart = { initial_delay = \"200ms\", max_delay = \"200ms\", max_restarts = 100000 }\n";

/// A service with TLS that takes everything; with it the certificate that it shows, for whoever trusts it.
fn private_service() -> (u16, String, Arc<Mutex<Vec<Request>>>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
        .expect("a server");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
    let requests = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = rustls::StreamOwned::new(server, stream);
            // Whoever does not trust us hangs up.
            let Some(request) = read_request(&mut stream) else { continue };
            requests.lock().unwrap().push(request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, cert.pem(), heard)
}

fn webhook(service: &Service, more: &str) -> String {
    format!("[[alert]]\ntype = \"webhook\"\nurl = \"{}\"\n{more}\n", service.url("hook"))
}

/// What the database knows of alerts: id and result.
fn kept(world: &World) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(world.path("state/mho.db")).expect("a database");
    let mut rows = connection.prepare("SELECT id, result FROM alerts ORDER BY at, rowid").expect("a table");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[test]
fn a_test_message_goes_through_every_channel_and_says_what_came_of_it() {
    let service = Service::start(Mood::Takes);
    let (port, mail) = mail_server();
    let url = |path: &str| service.url(path);
    let config = format!(
        "[[script]]\nname = \"demo\"\ncommand = \"true\"\n\
         [[alert]]\ntype = \"webhook\"\nurl = \"{}\"\nheaders = {{ X-Key = \"topsecret\" }}\n\
         [[alert]]\ntype = \"webhook\"\nname = \"other\"\nurl_env = \"OTHER_URL\"\nbody = '{{\"msg\": \"{{reason}}\"}}'\n\
         [[alert]]\ntype = \"slack\"\nurl = \"{}\"\n\
         [[alert]]\ntype = \"discord\"\nurl_file = \"discord.url\"\n\
         [[alert]]\ntype = \"telegram\"\nurl = \"{}\"\ntoken = \"12345:topsecret\"\nchat_id = -100\n\
         [[alert]]\ntype = \"ntfy\"\nurl = \"{}\"\ntopic = \"desktop\"\n\
         [[alert]]\ntype = \"healthchecks\"\nurl = \"{}\"\n\
         [[alert]]\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"u\"\n\
         password = \"topsecret\"\nfrom = \"mho@example.com\"\nto = \"desk@example.com\"\n",
        url("hook"),
        url("slack"),
        url("telegram"),
        url("ntfy"),
        url("uuid"),
    );
    let world = World::new(&config);
    world.write("discord.url", &format!("{}\n", url("discord")));
    let mut command = world.mho(&["alert", "test", "--config", "mho.toml"]);
    command.env("OTHER_URL", url("other"));
    let done = common::done(command);
    assert_eq!(done.code, 0, "{done:?}");
    let names = ["webhook", "other", "slack", "discord", "telegram", "ntfy", "healthchecks", "email"];
    assert_eq!(done.out, names.map(|name| format!("{name}: sent\n")).concat(), "{done:?}");
    let heard = service.heard();
    let paths: Vec<&str> = heard.iter().map(|request| request.path.as_str()).collect();
    let expected =
        ["/hook", "/other", "/slack", "/discord", "/telegram/bot12345:topsecret/sendMessage", "/ntfy/desktop", "/uuid"];
    assert_eq!(paths, expected);
    assert_eq!(heard[0].headers["x-key"], "topsecret");
    assert_eq!(heard[0].headers["idempotency-key"], heard[0].id());
    assert!(heard[1].json()["msg"].as_str().expect("text").contains("test"));
    assert!(heard[5].headers["title"].starts_with("mho: daemon on "));
    let mail = mail.lock().unwrap().join("\n");
    for part in ["RCPT TO:<desk@example.com>", "Subject: [mho] mho: daemon on", "this is a test"] {
        assert!(mail.contains(part), "{part} in {mail}");
    }

    service.set(Mood::Refuses);
    let refused = world.cli(&["alert", "test", "telegram", "--config", "mho.toml"]);
    assert_eq!(refused.code, 2, "a variable is not set: {refused:?}");
    assert!(refused.err.contains("OTHER_URL is not set"), "{refused:?}");
    let mut command = world.mho(&["alert", "test", "telegram", "--config", "mho.toml"]);
    command.env("OTHER_URL", url("other"));
    let refused = common::done(command);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.starts_with("telegram: failed: HTTP 403: ok; check the token"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("topsecret"), "{refused:?}");

    let checked =
        world.mho(&["check", "--config", "mho.toml"]).env("OTHER_URL", url("other")).output().expect("it runs");
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("(not shown)") && !checked.contains("nobody will be told"), "{checked}");
    for secret in ["topsecret", "desktop", &url("slack")] {
        assert!(!checked.contains(secret), "{secret} in {checked}");
    }
}

#[test]
fn a_program_reads_the_message_and_is_killed_with_all_it_started_when_its_time_is_over() {
    let world = World::new(
        "[[script]]\nname = \"demo\"\ncommand = \"true\"\n\
         [[alert]]\ntype = \"exec\"\nname = \"good\"\ncommand = [\"sh\", \"-c\", \"cat >told\"]\n\
         [[alert]]\ntype = \"exec\"\nname = \"bad\"\ncommand = [\"sh\", \"-c\", \"echo no route >&2; exit 7\"]\n\
         [[alert]]\ntype = \"exec\"\nname = \"slow\"\ntimeout = \"1s\"\n\
         command = [\"sh\", \"-c\", \"sleep 600 & echo $! >child; echo $$ >leader; wait\"]\n",
    );
    let good = world.cli(&["alert", "test", "good", "--config", "mho.toml"]);
    assert_eq!((good.code, good.out.as_str()), (0, "good: sent\n"), "{good:?}");
    let told: serde_json::Value = serde_json::from_str(&world.read("told")).expect("JSON");
    assert_eq!(told["event"], "daemon");
    let bad = world.cli(&["alert", "test", "bad", "--config", "mho.toml"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.out.contains("bad: failed") && bad.out.contains("no route"), "{bad:?}");
    let slow = world.cli(&["alert", "test", "slow", "--config", "mho.toml"]);
    assert_eq!(slow.code, 1, "{slow:?}");
    let (leader, child) = (world.number("leader"), world.number("child"));
    eventually("nothing of it is left", || !common::alive(leader) && !common::alive(child));
}

#[test]
fn a_program_that_sigkill_does_not_end_holds_nobody_up() {
    let world = World::new(
        "[[script]]\nname = \"demo\"\ncommand = \"true\"\n\
         [[alert]]\ntype = \"exec\"\ntimeout = \"1s\"\ncommand = [\"sh\", \"-c\", \"echo $$ >leader; exec sleep 600\"]\n",
    );
    let mut command = world.mho(&["alert", "test", "--config", "mho.toml"]);
    // No signal reaches it.
    command.env("FAILPOINTS", "signal=return(EIO)");
    let done = common::done(command);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(common::alive(world.number("leader")), "it lives on, and was not waited for");
}

#[test]
fn a_service_with_tls_hears_of_it_if_its_authority_is_trusted_and_else_nothing() {
    let (port, certificate, heard) = private_service();
    let world = World::new(&format!(
        "[[script]]\nname = \"demo\"\ncommand = \"true\"\n[[alert]]\ntype = \"webhook\"\nurl = \"https://localhost:{port}/hook\"\n"
    ));
    world.write("own.pem", &certificate);
    let test = |roots: &str| {
        let mut command = world.mho(&["alert", "test", "--config", "mho.toml"]);
        command.env("SSL_CERT_FILE", world.path(roots)).env_remove("SSL_CERT_DIR").env("NO_PROXY", "localhost");
        common::done(command)
    };
    // Without any roots of the machine's own those of the program count, and they do not know it either.
    let done = test("none.pem");
    assert_eq!((done.code, heard.lock().unwrap().len()), (1, 0), "{done:?}");
    assert!(done.out.contains("UnknownIssuer") && done.out.contains("SSL_CERT_FILE"), "{done:?}");
    let done = test("own.pem");
    assert_eq!((done.code, done.out.as_str()), (0, "webhook: sent\n"), "{done:?}");
    let heard = heard.lock().unwrap();
    assert_eq!((heard.len(), heard[0].path.as_str(), &heard[0].json()["event"]), (1, "/hook", &"daemon".into()));
}

#[test]
fn what_hangs_or_is_not_ready_is_told_as_such() {
    let service = Service::start(Mood::Takes);
    let world = World::new(&format!(
        "[market]\ncalendar = \"always\"\n[defaults]\nstart = \"open\"\nrestart = {{ policy = \"never\" }}\n\
         [[script]]\nname = \"silent\"\ncommand = [\"sleep\", \"600\"]\nwatchdog = {{ silence = \"1s\", action = \"alert\" }}\n\
         [[script]]\nname = \"late\"\ncommand = [\"sleep\", \"600\"]\nready = {{ log = \"up\", timeout = \"1s\" }}\n{}",
        webhook(&service, "")
    ));
    let mut daemon = world.run(&[]);
    let told = service.wait_for("watchdog").json();
    assert_eq!(
        (&told["script"], &told["reason"]),
        (&"silent".into(), &"Watchdog: no output for 1s. It runs on (action = \"alert\").".into())
    );
    let told = service.wait_for("not_ready").json();
    assert_eq!(told["script"], "late");
    assert_eq!(told["reason"], "Script was not ready within 1s (a line with \"up\")");
    assert_eq!(service.wait_for("gave_up").json()["script"], "late");
    assert_eq!(service.taken("failed").len(), 0, "each thing once");
    daemon.stop();
}

#[test]
fn where_nobody_is_to_be_told_that_is_said() {
    let world = World::new("[[script]]\nname = \"demo\"\ncommand = \"true\"\n");
    let done = world.cli(&["alert", "test", "--config", "mho.toml"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("no [[alert]] is configured"), "{done:?}");
    assert!(world.cli(&["check", "--config", "mho.toml"]).out.contains("no [[alert]]: nobody will be told"));
}

#[test]
fn a_crash_is_told_once_with_its_last_lines_and_no_script_sees_the_secret() {
    let service = Service::start(Mood::Takes);
    let world = World::new(&format!("{CRASHES}[[alert]]\ntype = \"webhook\"\nurl_env = \"HOOK_URL\"\n"));
    let mut command = world.mho(&["run"]);
    command.env("HOOK_URL", service.url("hook"));
    let mut daemon = world.run_as(command, &[]);
    let told = service.wait_for("failed").json();
    assert_eq!(told["script"], "demo");
    assert_eq!(told["exit"], "code 3");
    assert_eq!(told["log_tail"], serde_json::json!(["it hurts"]));
    assert_eq!(told["count"], 1);
    assert!(told["run_id"].as_str().expect("text").contains(".demo."), "{told}");
    // It goes on crashing, and that is counted.
    eventually("more crashes", || daemon.count(&["exited with return code: 3"]) > 5);
    assert_eq!(service.taken("failed").len(), 1);
    eventually("it is noted", || kept(&daemon).iter().all(|(_, result)| result.as_deref() == Some("sent")));
    assert!(!daemon.read("env").contains("HOOK_URL"), "{}", daemon.read("env"));
    assert!(daemon.read("env").contains("PATH="));
    let hook = service.url("hook");
    assert!(!daemon.log().iter().any(|line| line.contains(&hook)));
    daemon.stop();
}

#[test]
fn what_a_script_prints_of_its_own_secrets_stays_in_its_own_log() {
    let service = Service::start(Mood::Takes);
    let world = World::new(&format!(
        "[market]\ncalendar = \"always\"\n[[script]]\nname = \"demo\"\nstart = \"open\"\nrestart = {{ policy = \"never\" }}\n\
         command = [\"sh\", \"-c\", \"echo login with $KEY and $PIN failed; exit 3\"]\nenv = {{ KEY = \"key-of-the-desk\" }}\nenv_file = \"pins.env\"\n{}",
        webhook(&service, "")
    ));
    world.write("pins.env", "PIN=pin-of-the-desk\n");
    let mut daemon = world.run(&[]);
    let told = service.wait_for("failed").json();
    assert_eq!(told["log_tail"], serde_json::json!(["login with [redacted] and [redacted] failed"]));
    daemon.wait_for(&["login with [redacted] and [redacted] failed"]);
    assert!(!daemon.log().iter().any(|line| line.contains("of-the-desk")));
    let own = daemon.cli(&["logs", "demo", "--config", "mho.toml"]);
    assert_eq!(own.out, "login with key-of-the-desk and pin-of-the-desk failed\n", "{own:?}");
    daemon.stop();
}

#[test]
fn a_journal_that_had_to_be_set_aside_is_told() {
    let service = Service::start(Mood::Takes);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "")));
    std::fs::create_dir_all(world.path("state")).expect("a directory");
    world.write("state/mho.db", &"no database ".repeat(1000));
    let mut daemon = world.run(&[]);
    let told = service.wait_for("daemon").json();
    assert!(told["reason"].as_str().expect("text").contains("mho.db"), "{told}");
    daemon.stop();
}

#[test]
fn what_the_journal_cannot_take_is_told_all_the_same() {
    let service = Service::start(Mood::Takes);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "")));
    let mut daemon = world.run(&[]);
    service.wait_for("failed");
    common::limit_file_size(daemon.daemon_pid(), Some(16));
    let lost = service.wait_for("daemon").json();
    assert!(lost["reason"].as_str().expect("text").contains("The journal cannot be written"), "{lost}");
    common::limit_file_size(daemon.daemon_pid(), None);
    eventually("it is back", || service.taken("daemon").len() == 2);
    let back = service.taken("daemon").remove(1).json();
    assert!(back["reason"].as_str().expect("text").contains("written again"), "{back}");
    for told in [lost, back] {
        let is_kept = (told["id"].as_str().expect("an id").to_owned(), Some("sent".to_owned()));
        eventually("the journal has it", || kept(&daemon).contains(&is_kept));
    }
    daemon.stop();
}

#[test]
fn a_service_that_fails_and_stalls_and_comes_back_loses_nothing_and_gets_nothing_twice() {
    let service = Service::start(Mood::Fails);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "timeout = \"1s\"")));
    let mut daemon = world.run(&[]);
    eventually("it was tried", || !service.heard().is_empty());
    service.set(Mood::Stalls);
    let before = service.heard().len();
    eventually("it was tried again", || service.heard().len() > before);
    // Supervision does not wait for that.
    let crashes = daemon.count(&["exited with return code: 3"]);
    eventually("it goes on", || daemon.count(&["exited with return code: 3"]) > crashes + 2);
    service.set(Mood::Takes);
    let told = service.wait_for("failed");
    let ids: Vec<String> = service.heard().iter().map(Request::id).collect();
    assert!(ids.iter().all(|id| *id == told.id()), "one message, at every try: {ids:?}");
    daemon.wait_for(&["Alert not sent: HTTP 500: ok"]);
    daemon.wait_for(&["Alerts arrive again"]);
    daemon.stop();
    assert_eq!(service.taken("failed").len(), 1);
}

#[test]
fn what_a_daemon_could_not_send_before_it_died_the_next_one_sends_under_the_same_id() {
    let service = Service::start(Mood::Stalls);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "timeout = \"1m\"")));
    let mut daemon = world.run(&[]);
    eventually("it is on its way", || !service.heard().is_empty());
    let id = service.heard()[0].id();
    daemon.die();
    assert!(kept(&daemon).contains(&(id.clone(), None)), "written before it was sent");
    service.set(Mood::Takes);
    daemon.again(&[]);
    eventually("it arrives", || service.taken("failed").iter().any(|request| request.id() == id));
    let crash = service.wait_for("daemon").json();
    assert!(crash["reason"].as_str().expect("text").contains("did not end in order"), "{crash}");
    eventually("it is noted", || kept(&daemon).contains(&(id.clone(), Some("sent".to_owned()))));
    daemon.stop();
    let same = service.taken("failed").iter().filter(|request| request.id() == id).count();
    assert_eq!(same, 1);
}

#[test]
fn the_end_of_the_daemon_sends_what_is_left_but_waits_for_nobody_for_long() {
    let service = Service::start(Mood::Stalls);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "timeout = \"1m\"")));
    let mut daemon = world.run(&[]);
    eventually("it is on its way", || !service.heard().is_empty());
    let start = std::time::Instant::now();
    daemon.stop();
    assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
    assert!(daemon.count(&["Some alerts could not be sent before the end"]) == 1);
    assert!(kept(&daemon).iter().any(|(_, result)| result.is_none()));
    service.set(Mood::Takes);
    daemon.again(&[]);
    eventually("the next daemon sends it", || !service.taken("failed").is_empty());
    daemon.stop();
    assert_eq!(service.taken("daemon").len(), 0, "it ended in order");
}

#[test]
fn a_service_that_refuses_is_not_asked_for_ever() {
    let service = Service::start(Mood::Refuses);
    let world = World::new(&format!("{CRASHES}{}", webhook(&service, "")));
    let mut daemon = world.run(&[]);
    daemon.wait_for(&["ERROR", "Alert refused, and not tried again: HTTP 403"]);
    eventually("it is noted", || kept(&daemon).iter().any(|(_, result)| result.as_deref() == Some("failed")));
    daemon.stop();
    assert_eq!(service.heard().len(), 1);
}

#[test]
fn a_switch_hears_that_the_daemon_lives_and_how_the_runs_of_a_script_begin_and_end() {
    let service = Service::start(Mood::Takes);
    let (alive, runs) = (service.url("alive"), service.url("runs"));
    let config = format!(
        "[market]\ncalendar = \"always\"\n[[script]]\nname = \"demo\"\nstart = \"open\"\ncommand = [\"sh\", \"-c\", \"sleep 0.3; exit 42\"]\n\
         [[alert]]\ntype = \"healthchecks\"\nurl = \"{alive}\"\ninterval = \"1s\"\n\
         [[alert]]\ntype = \"healthchecks\"\nname = \"runs\"\nurl = \"{runs}\"\nscript = \"demo\"\n"
    );
    let mut daemon = World::new(&config).run(&[]);
    let paths = || service.heard().into_iter().map(|request| request.path).collect::<Vec<_>>();
    eventually("signs of life", || paths().iter().filter(|path| *path == "/alive").count() >= 3);
    eventually("the run is over", || paths().contains(&"/runs".to_owned()));
    let of_runs: Vec<Request> =
        service.heard().into_iter().filter(|request| request.path.starts_with("/runs")).collect();
    assert_eq!(of_runs[0].path, "/runs/start");
    assert!(of_runs[1].body.starts_with("finished_early: "), "{}", of_runs[1].body);
    assert_eq!(of_runs.len(), 2);
    daemon.stop();
}

#[test]
fn a_rehearsal_tells_nobody() {
    let service = Service::start(Mood::Takes);
    let config = format!("{}{}", CRASHES, webhook(&service, ""));
    let mut daemon = World::new(&config).rehearse("2026-11-30T12:00:00");
    daemon.wait_for(&["Alert, not sent in a rehearsal: demo: failed"]);
    daemon.stop();
    assert!(service.heard().is_empty(), "{:?}", service.heard());
}

#[test]
fn a_port_that_is_taken_and_a_critical_script_that_gives_up_are_told() {
    let service = Service::start(Mood::Takes);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").to_string();
    let config = format!(
        "[market]\ncalendar = \"always\"\n[[script]]\nname = \"demo\"\nstart = \"open\"\ncritical = true\n\
         command = [\"sh\", \"-c\", \"while ! test -e go; do sleep 0.05; done; exit 3\"]\nrestart = {{ policy = \"never\" }}\n{}",
        webhook(&service, "")
    );
    let mut daemon = World::new(&config).run(&["--listen", &port]);
    let told = service.wait_for("daemon").json();
    assert!(told["reason"].as_str().expect("text").contains(&format!("cannot be served at {port}")), "{told}");
    daemon.write("go", "");
    assert_eq!(daemon.end().code(), Some(10));
    let reasons = service.taken("daemon").iter().map(|request| request.json()["reason"].clone()).collect::<Vec<_>>();
    let last = reasons.last().and_then(Value::as_str).expect("a reason");
    assert!(last.starts_with("The daemon ends: critical script demo failed"), "{reasons:?}");
    assert_eq!(service.taken("failed").len(), 1, "what was held back for its last lines is sent before the end");
}

#[test]
fn a_password_is_not_sent_where_the_connection_is_not_private() {
    let (port, mail) = mail_server();
    let world = World::new(&format!(
        "[[script]]\nname = \"demo\"\ncommand = \"true\"\n[[alert]]\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         user = \"u\"\npassword = \"topsecret\"\nfrom = \"mho@example.com\"\nto = [\"desk@example.com\"]\n"
    ));
    let done = world.cli(&["alert", "test", "--config", "mho.toml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.starts_with("email: failed: "), "{done:?}");
    let mail = mail.lock().unwrap().join("\n");
    assert!(mail.starts_with("EHLO") && !mail.contains("AUTH"), "{mail}");
}

#[test]
fn other_channels_wait_for_the_next_start_and_that_is_said() {
    let service = Service::start(Mood::Takes);
    let config = "[market]\ncalendar = \"always\"\n[[script]]\nname = \"demo\"\nstart = \"open\"\ncommand = [\"sleep\", \"1000\"]\n";
    let mut daemon = World::new(config).run(&[]);
    daemon.wait_for(&["Script started with PID"]);
    daemon.write("mho.toml", &format!("{config}{}", webhook(&service, "")));
    daemon.tell_guard(nix::sys::signal::Signal::SIGHUP);
    daemon.wait_for(&["WARNING", "alert: in effect when mho is started again"]);
    daemon.stop();
    assert!(service.heard().is_empty());
}
