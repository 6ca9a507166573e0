//! Readiness, watchdogs and polite ends with real gateways: ports that open late, clients of sd_notify, commands and signals.

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{Daemon, World, alive, at, eventually, send};
use nix::sys::signal::Signal;
use serde_json::Value;

const NOON: &str = "2026-11-30T12:00:00";

/// A pretend broker: it opens its port when the file `open` appears, and answers any HTTP request.
const GATEWAY: &str = r#"
import http.server, os, time
print("gateway starts", flush=True)
while not os.path.exists("open"):
    time.sleep(0.02)
class Broker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists("healthy") else 503)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Broker)
print("listening", flush=True)
server.serve_forever()
"#;

/// A free port, at least at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn gateway(port: u16, ready: &str) -> String {
    format!(
        "[[script]]\nname = \"gateway\"\ncommand = [\"python3\", \"gateway.py\"]\nenv = {{ PORT = \"{port}\" }}\n\
         restart = {{ initial_delay = \"0s\" }}\nready = {{ {ready}, interval = \"100ms\" }}\n"
    )
}

const STRATEGY: &str = "[[script]]\nname = \"strategy\"\ncommand = [\"sh\", \"-c\", \"env >strategy.env; echo $$ >>strategy; exec sleep 600\"]\n\
                        depends_on = { gateway = \"ready\" }\n";

fn world(config: &str) -> World {
    let world = World::new(config);
    world.write("gateway.py", GATEWAY);
    world
}

fn script(daemon: &Daemon, name: &str) -> Value {
    eventually("the daemon listens", || daemon.has("state/mho.sock"));
    let status = daemon.cli(&["status", "--json", "--state-dir", "state"]).json();
    let scripts = status["scripts"].as_array().expect("a list");
    scripts.iter().find(|script| script["name"] == name).expect("it is there").clone()
}

fn wait_until(daemon: &Daemon, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || script(daemon, name)["state"] == state);
    script(daemon, name)
}

fn pid(daemon: &Daemon, name: &str) -> u32 {
    script(daemon, name)["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid")
}

#[test]
fn a_strategy_starts_when_the_gateways_port_answers_and_not_before() {
    let port = free_port();
    let outside = format!(
        "[[script]]\nname = \"outside\"\ncommand = [\"sleep\", \"600\"]\nwait_for = [\"tcp://127.0.0.1:{port}\"]\n"
    );
    let config = gateway(port, &format!("tcp = \"127.0.0.1:{port}\"")) + STRATEGY + &outside;
    let mut daemon = world(&config).rehearse(NOON);
    daemon.wait_for(&["Script started with PID", "script=gateway"]);
    let gateway = wait_until(&daemon, "gateway", "starting");
    eventually("the refusal is shown", || {
        script(&daemon, "gateway")["reason"].as_str().is_some_and(|reason| reason.contains("connection refused"))
    });
    assert!(gateway["pid"].is_u64());
    assert_eq!(script(&daemon, "strategy")["reason"], "gateway is not ready yet");
    eventually("what is outside is refused", || {
        script(&daemon, "outside")["reason"] == format!("tcp://127.0.0.1:{port}: connection refused")
    });
    daemon.write("open", "");
    let ready = daemon.wait_for(&["Script is ready after", "script=gateway"]);
    let started = daemon.wait_for(&["Starting trading script", "script=strategy"]);
    assert!(at(&started) >= at(&ready));
    wait_until(&daemon, "outside", "running");
    assert_eq!(script(&daemon, "outside")["restarts"], 0);
    daemon.stop();
    // The strategy needs the gateway: it goes first.
    let told = |name: &str| {
        daemon.log().iter().position(|line| line.contains("Stopping trading script") && line.contains(name))
    };
    assert!(told("script=strategy") < told("script=gateway"));
}

#[test]
fn an_http_probe_wants_a_status_of_success_and_what_never_gets_it_is_a_failed_attempt() {
    let port = free_port();
    let ready = format!("http = \"http://127.0.0.1:{port}/ok\", timeout = \"2s\"");
    let mut daemon = world(&gateway(port, &ready)).rehearse(NOON);
    daemon.write("open", "");
    let failed = daemon.wait_for(&["ERROR: Script was not ready within 2s"]);
    assert!(failed.contains(&format!("(http://127.0.0.1:{port}/ok): it answers 503 Service Unavailable")), "{failed}");
    daemon.write("healthy", "");
    daemon.wait_for(&["Script is ready after"]);
    assert_eq!(script(&daemon, "gateway")["last_exit"]["result"], "not_ready");
    daemon.stop();
}

#[test]
fn the_three_policies_when_the_gateway_is_killed() {
    let port = free_port();
    let dependent = |policy: &str| {
        format!(
            "[[script]]\nname = \"{policy}\"\ncommand = [\"sh\", \"-c\", \"echo $MHO_RESTARTED_AFTER >>{policy}; exec sleep 600\"]\n\
             depends_on = {{ gateway = \"ready\" }}\non_dependency_down = \"{policy}\"\n"
        )
    };
    let all: String = ["keep", "stop", "restart"].map(dependent).concat();
    let config = gateway(port, &format!("tcp = \"127.0.0.1:{port}\"")) + &all;
    let mut daemon = world(&config).rehearse(NOON);
    daemon.write("open", "");
    let pids = ["keep", "stop", "restart"].map(|name| {
        wait_until(&daemon, name, "running");
        pid(&daemon, name)
    });
    std::fs::remove_file(daemon.path("open")).expect("removed");
    send(pid(&daemon, "gateway"), Signal::SIGKILL);
    wait_until(&daemon, "restart", "waiting");
    let stopped = wait_until(&daemon, "stop", "failed");
    assert!(stopped["reason"].as_str().expect("text").contains("on_dependency_down"), "{stopped}");
    assert!(alive(pids[0]) && !alive(pids[1]) && !alive(pids[2]));
    daemon.write("open", "");
    wait_until(&daemon, "restart", "running");
    assert_eq!(daemon.read("restart"), "\ndependency\n");
    assert_eq!(pid(&daemon, "keep"), pids[0]);
    assert_eq!(daemon.read("stop"), "\n", "it stays down");
    daemon.stop();
}

#[test]
fn a_line_of_output_a_program_and_a_delay_make_ready() {
    let config = "[[script]]\nname = \"line\"\ncommand = [\"sh\", \"-c\", \"while [ ! -e go ]; do sleep 0.02; done; echo now listening on 4002; exec sleep 600\"]\n\
         ready = { log = \"listening on [0-9]+\" }\n\
         [[script]]\nname = \"exec\"\ncommand = [\"sleep\", \"600\"]\nready = { exec = [\"sh\", \"-c\", \"echo asked as $MHO_SCRIPT; test -e go\"], interval = \"100ms\" }\n\
         [[script]]\nname = \"delay\"\ncommand = [\"sleep\", \"600\"]\nready = { delay = \"1s\" }\n";
    let mut daemon = world(config).rehearse(NOON);
    eventually("the probe was refused", || {
        script(&daemon, "exec")["reason"].as_str().is_some_and(|reason| reason.ends_with("exit code 1: asked as exec"))
    });
    wait_until(&daemon, "delay", "running");
    assert_eq!(script(&daemon, "line")["state"], "starting");
    daemon.write("go", "");
    wait_until(&daemon, "line", "running");
    wait_until(&daemon, "exec", "running");
    daemon.stop();
}

/// What the Python of systemd and others do, without any package.
const NOTIFY: &str = r#"
import os, signal, socket, sys, time
def say(text):
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), address)
open("socket", "w").write(os.environ["NOTIFY_SOCKET"])
open("usec", "w").write(os.environ.get("WATCHDOG_USEC", ""))
say("STATUS=connecting")
while not os.path.exists("go"):
    time.sleep(0.02)
say("READY=1\nSTATUS=connected to the gateway")
while not os.path.exists("hang"):
    say("WATCHDOG=1")
    time.sleep(0.1)
open("hung", "w").write("")
while True:
    time.sleep(1)
"#;

#[test]
fn a_script_that_speaks_sd_notify_is_heard_and_its_heartbeat_is_watched() {
    let config = "[[script]]\nname = \"bot\"\ncommand = [\"python3\", \"bot.py\"]\nready = { notify = true }\n\
                  watchdog = { heartbeat = \"2s\" }\nrestart = { initial_delay = \"0s\" }\n";
    let world = world(config);
    world.write("bot.py", NOTIFY);
    let mut daemon = world.rehearse(NOON);
    eventually("its status is shown", || script(&daemon, "bot")["status_text"] == "connecting");
    assert_eq!(daemon.read("usec"), "2000000");
    // Nobody else makes it ready.
    let stranger = UnixDatagram::unbound().expect("a socket");
    stranger.send_to(b"READY=1", daemon.read("socket")).expect("sent");
    daemon.wait_for(&["WARNING: A message to NOTIFY_SOCKET was not heard", "script=bot"]);
    assert_eq!(script(&daemon, "bot")["state"], "starting");
    daemon.write("go", "");
    let running = wait_until(&daemon, "bot", "running");
    assert_eq!(running["status_text"], "connected to the gateway");
    let first = pid(&daemon, "bot");
    daemon.write("hang", "");
    daemon.wait_for(&["ERROR: Watchdog: no heartbeat (WATCHDOG=1) for 2s. Restarting it.", "script=bot"]);
    std::fs::remove_file(daemon.path("hang")).expect("removed");
    eventually("another one runs", || {
        script(&daemon, "bot")["pid"].as_u64().is_some_and(|pid| pid != u64::from(first))
    });
    let after = wait_until(&daemon, "bot", "running");
    assert_eq!((&after["restarts"], &after["last_exit"]["result"]), (&1.into(), &"watchdog".into()));
    assert!(!alive(first));
    daemon.stop();
    assert!(!std::path::Path::new(&daemon.read("socket")).exists(), "its socket is gone");
}

#[test]
fn a_silent_script_is_restarted_by_the_watchdog_and_one_that_prints_is_not() {
    let config = "[defaults]\nwatchdog = { silence = \"2s\" }\nrestart = { initial_delay = \"0s\" }\n\
         [[script]]\nname = \"silent\"\ncommand = [\"sh\", \"-c\", \"echo $MHO_RESTARTED_AFTER >>silent; echo up; exec sleep 600\"]\n\
         [[script]]\nname = \"chatty\"\ncommand = [\"sh\", \"-c\", \"while :; do echo tick; sleep 0.2; done\"]\n";
    let mut daemon = world(config).rehearse(NOON);
    daemon.wait_for(&["ERROR: Watchdog: no output for 2s. Restarting it.", "script=silent"]);
    daemon.wait_for(&["Stopping script: watchdog", "script=silent"]);
    eventually("it was told why", || daemon.read("silent").starts_with("\nwatchdog\n"));
    assert_eq!(daemon.count(&["Watchdog", "script=chatty"]), 0);
    daemon.stop();
}

#[test]
fn a_script_that_grows_beyond_its_max_rss_is_restarted() {
    let config = "[[script]]\nname = \"hungry\"\nrestart = { initial_delay = \"0s\" }\n\
         command = [\"python3\", \"-c\", \"import os, time; first = not os.path.exists('grown'); open('grown', 'a').write('x'); a = bytearray(150_000_000 if first else 1); time.sleep(600)\"]\n\
         limits = { max_rss = \"100MB\" }\n";
    let mut daemon = world(config).rehearse(NOON);
    daemon.wait_for(&["ERROR: Watchdog: it uses 1", "MB of memory, more than its max_rss of 100 MB. Restarting it."]);
    daemon.wait_for(&["Stopping script: max_rss", "script=hungry"]);
    eventually("another one runs", || daemon.read("grown") == "xx");
    let hungry = wait_until(&daemon, "hungry", "running");
    assert_eq!((&hungry["restarts"], &hungry["last_exit"]["result"]), (&1.into(), &"watchdog".into()));
    daemon.stop();
}

#[test]
fn a_polite_end_warns_the_leader_runs_the_command_and_then_sends_the_signal() {
    let config = "[[script]]\nname = \"polite\"\nstop = \"12:00:08\"\n\
         command = [\"sh\", \"-c\", \"trap 'echo warned >>story' USR1; trap 'echo signalled >>story; exit 0' TERM; : >up; while :; do sleep 0.05; done\"]\n\
         warn_signal = \"USR1@4s\"\nstop_command = [\"sh\", \"-c\", \"echo flattening $MHO_SCRIPT $MHO_ATTEMPT >>story\"]\n";
    let mut daemon = world(config).rehearse(NOON);
    daemon.wait_for(&["Run ended", "result=window_end", "script=polite"]);
    assert_eq!(daemon.read("story"), "warned\nflattening polite 1\nsignalled\n");
    let warned = daemon.wait_for(&["Script was told by SIGUSR1 that it is stopped at 12:00:08"]);
    assert_eq!(at(&warned).format("%H:%M:%S").to_string(), "12:00:04");
    assert_eq!(daemon.count(&["Script stopped gracefully"]), 1);
    daemon.stop();
}

#[test]
fn a_stop_command_that_hangs_is_killed_inside_the_grace_and_its_script_with_it() {
    let config = "[[script]]\nname = \"stubborn\"\nstop_grace = \"2s\"\n\
         command = [\"sh\", \"-c\", \"trap '' TERM; : >up; while :; do sleep 0.05; done\"]\n\
         stop_command = [\"sh\", \"-c\", \"echo $$ >command; sleep 600\"]\n";
    let mut daemon = world(config).rehearse(NOON);
    eventually("it is up", || daemon.has("up"));
    let begin = Instant::now();
    daemon.stop();
    assert!(begin.elapsed() >= Duration::from_secs(2));
    let failed = daemon.wait_for(&["WARNING: The stop command failed: it took too long and was killed"]);
    assert!(failed.contains("script=stubborn"), "{failed}");
    daemon.wait_for(&["Script did not stop gracefully. Force killing..."]);
    assert!(!alive(daemon.number("command")));
}
