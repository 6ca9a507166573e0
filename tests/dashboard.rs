//! The dashboard in a real browser, before a real daemon with real scripts. Skipped, with a line that says so, where there is no browser.

mod browser_support;
mod common;

use browser_support::Browser;
use common::{Daemon, World, alive, send};
use nix::sys::signal::Signal;
use serde_json::Value;

/// In the window of all but `late` and `second`, which begin later. A Wednesday.
const MORNING: &str = "2026-11-25T10:20:00";

/// Its output tries to become part of the page.
const SCRIPTS: &str = r#"
[[script]]
name = "strategy"
command = ["sh", "-c", "echo '<img src=x onerror=\"document.title=1\"> one'; echo two; exec sleep 1000"]
[[script]]
name = "late"
command = ["sleep", "1000"]
start = "14:00"
[[script]]
name = "second"
command = ["sleep", "1000"]
start = "15:00"
[[script]]
name = "broken"
command = ["sh", "-c", "exit 78"]
"#;

/// A daemon, and where its page is.
fn daemon(config: &str, at: &str) -> (Daemon, String) {
    let daemon = World::new(config).run(&["--at", at, "--listen", "127.0.0.1:0"]);
    let line = daemon.wait_for(&["The API is at http://"]);
    let (_, url) = line.split_once("The API is at ").expect("it says so");
    let url = url.split_whitespace().next().expect("an address").to_owned();
    (daemon, url)
}

/// A browser, unless there is none, and a daemon.
fn begin(config: &str, at: &str) -> Option<(Browser, Daemon, String)> {
    let browser = Browser::start()?;
    let (daemon, url) = daemon(config, at);
    Some((browser, daemon, url))
}

/// With the token in it, as `mho dashboard` prints it.
fn link(daemon: &Daemon, url: &str) -> String {
    format!("{url}/#token={}", daemon.read("state/token").trim())
}

fn card(name: &str) -> String {
    format!("document.querySelector('[data-script=\"{name}\"]')")
}

fn until_state(browser: &Browser, name: &str, state: &str) {
    browser.until(&format!("{name} is {state}"), &format!("{}?.dataset.state === '{state}'", card(name)));
}

fn click(browser: &Browser, name: &str, action: &str) {
    let button = format!("{}.querySelector('[data-action=\"{action}\"]')", card(name));
    browser.until(
        &format!("{action} of {name} can be clicked"),
        &format!("{button} && !{button}.disabled && !{button}.hidden"),
    );
    browser.run(&format!("{button}.click()"));
}

/// What the page knows of the process.
fn pid(browser: &Browser, name: &str) -> u32 {
    let pid = browser.run(&format!("return model.scripts.get('{name}').pid"));
    pid.as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0)
}

#[test]
fn it_shows_what_is_and_nothing_of_it_comes_from_elsewhere() {
    let Some((browser, daemon, url)) = begin(SCRIPTS, MORNING) else { return };
    browser.open(&link(&daemon, &url));
    until_state(&browser, "strategy", "running");
    until_state(&browser, "broken", "failed");
    until_state(&browser, "late", "idle");
    browser.until("the verdict", "$('verdict').dataset.level === 'critical'");
    assert_eq!(browser.text("#verdict strong"), "CRITICAL");
    assert!(browser.text("#verdict").contains("broken failed"), "{}", browser.text("#verdict"));
    assert_eq!(browser.run("return location.href"), format!("{url}/"), "the token does not stay in the address");
    assert!(
        browser.text("#clock").contains("25 Nov") && browser.text("#clock").ends_with("EST"),
        "{}",
        browser.text("#clock")
    );
    assert!(browser.text("#phase").starts_with("Open · XNYS"), "{}", browser.text("#phase"));
    let next = browser.text("#countdown");
    assert!(next.starts_with("in 3 h ") && next.contains("start of late at 14:00"), "{next}");

    browser.until("the day", "document.querySelectorAll('#timeline .lane').length === 4");
    browser.until("its attempts", "document.querySelector('[data-lane=\"broken\"] .try.t-bad') !== null");
    browser.until("what runs", "document.querySelector('[data-lane=\"strategy\"] .try.live') !== null");
    let bands = browser.run("return [...document.querySelectorAll('.axis b')].map((band) => band.textContent)");
    assert_eq!(bands, serde_json::json!(["pre", "regular", "post"]));
    browser.until("what is past", "document.querySelectorAll('#history tbody tr').length === 4");
    let days = browser.run("return document.querySelectorAll('#history thead tr:last-child th:not(.closed)').length");
    assert_eq!(days, 30);
    let rows = browser.run("return [...document.querySelectorAll('#sessions tbody tr')].map((row) => row.textContent)");
    let rows: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(Value::as_str).collect();
    assert_eq!(rows.len(), 11, "ten sessions, and the holiday between: {rows:?}");
    assert_eq!(rows[1], "Thu 26 NovclosedThanksgiving");
    assert!(rows[2].starts_with("Fri 27 Nov09:30–13:00half day"), "{}", rows[2]);

    click(&browser, "strategy", "log");
    browser.until("its log", "$('log').textContent.includes('two')");
    assert!(
        browser.text("#log").contains("<img src=x onerror"),
        "what is printed stays text: {}",
        browser.text("#log")
    );
    assert_eq!(browser.run("return document.querySelectorAll('img').length"), 0);
    browser.run("$('log-filter').value = 'TWO'; $('log-filter').dispatchEvent(new Event('input'))");
    let lines =
        browser.run("return [...$('log').children].filter((line) => !line.hidden).map((line) => line.textContent)");
    assert_eq!(lines, serde_json::json!(["two"]));

    // The browser's own pages, such as the one it begins with, are chrome:// and chrome-untrusted://.
    for request in browser.requests().iter().filter(|request| !request.starts_with("chrome")) {
        assert!(request.starts_with(&url) || request.starts_with("data:"), "{request} is elsewhere");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn states_come_by_themselves_within_a_moment_and_nobody_polls() {
    let Some((browser, daemon, url)) = begin(SCRIPTS, MORNING) else { return };
    browser.open(&link(&daemon, &url));
    until_state(&browser, "strategy", "running");
    // From the instant at which the daemon says that the state began, to the one at which the page shows it.
    browser.run(&format!(
        "window.lags = []; new MutationObserver(() => {{
             const script = model.scripts.get('strategy');
             if (script.since) lags.push(clock.now() - ms(script.since));
         }}).observe({}, {{ attributes: true, attributeFilter: ['data-state'] }})",
        card("strategy")
    ));
    for round in 0..3 {
        let before = pid(&browser, "strategy");
        assert!(before != 0 && alive(before));
        send(before, Signal::SIGKILL);
        let is_new = format!("model.scripts.get('strategy').pid > 0 && model.scripts.get('strategy').pid !== {before}");
        browser.until(&format!("its next attempt, {round}"), &is_new);
        until_state(&browser, "strategy", "running");
    }
    let lags = browser.run("return lags");
    let mut lags: Vec<f64> = lags.as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    lags.sort_by(f64::total_cmp);
    assert!(lags.len() >= 6, "backoff and running, three times: {lags:?}");
    // The slowest tell how busy this machine is. A page that asks now and then would be late every time.
    assert!(lags[lags.len() / 2] < 1000.0, "a moment at most: {lags:?}");

    // What happened is read up on soon after it; then it is quiet.
    let mut requests = 1;
    while requests > 0 {
        browser.requests();
        std::thread::sleep(std::time::Duration::from_secs(4));
        requests = browser.requests().len();
        assert!(requests < 10, "it asks again and again");
    }
}

#[test]
fn its_buttons_act_and_ask_before_they_end_something() {
    let Some((browser, daemon, url)) = begin(SCRIPTS, MORNING) else { return };
    browser.open(&url);
    until_state(&browser, "strategy", "running");
    let able =
        "[...document.querySelectorAll('[data-action]:not([data-action=log])')].some((button) => !button.disabled)";
    browser.until("it says that it is read only", "!$('read-only').hidden");
    assert_eq!(browser.run(&format!("return {able}")), false, "nobody acts without the token");

    browser.open("about:blank");
    browser.open(&link(&daemon, &url));
    until_state(&browser, "strategy", "running");
    let first = pid(&browser, "strategy");
    click(&browser, "strategy", "stop");
    browser.until("it asks", "document.querySelector('.armed')?.textContent === 'Stop: sure?'");
    assert!(alive(first), "one click ends nothing");
    click(&browser, "strategy", "stop");
    until_state(&browser, "strategy", "stopped");
    assert!(!alive(first));
    browser.until("what came of it", "$('messages').textContent.includes('strategy: stopped')");
    assert!(
        browser.text("[data-script=strategy] .reason").contains("http token"),
        "{}",
        browser.text("[data-script=strategy]")
    );

    click(&browser, "strategy", "start");
    until_state(&browser, "strategy", "running");
    let second = pid(&browser, "strategy");
    assert!(second != first && alive(second));
    click(&browser, "strategy", "restart");
    click(&browser, "strategy", "restart");
    browser.until("another process", &format!("(model.scripts.get('strategy').pid ?? {second}) !== {second}"));
    assert!(!alive(second));

    click(&browser, "strategy", "pause");
    browser.until(
        "it is paused",
        &format!("{}.textContent.includes('paused until resumed (http token)')", card("strategy")),
    );
    click(&browser, "strategy", "resume");
    browser.until("it is resumed", &format!("!{}.textContent.includes('paused')", card("strategy")));

    click(&browser, "late", "skip");
    browser.until("it sits out today", &format!("{}.textContent.includes('skips Wed 25 Nov')", card("late")));
    browser.until("what comes next is another", "$('countdown').textContent.includes('start of second at 15:00')");

    click(&browser, "second", "start");
    browser
        .until("it is refused, and what helps is offered", "$('messages').textContent.includes('Start all the same')");
    browser.run("[...$('messages').querySelectorAll('button')].find((button) => button.textContent === 'Start all the same').click()");
    until_state(&browser, "second", "running");
    browser.until("it says so", &format!("{}.textContent.includes('forced outside its window')", card("second")));
    daemon.wait_for(&["Order: start script=second", "by=\"http token\""]);
    // A refusal is an answer that browsers remark on.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|text| text.contains("409")), "{complaints:?}");
}

#[test]
fn it_says_when_the_connection_is_lost_and_finds_a_new_daemon_by_itself() {
    let Some((browser, mut daemon, url)) = begin(SCRIPTS, MORNING) else { return };
    browser.open(&link(&daemon, &url));
    until_state(&browser, "strategy", "running");
    let first = pid(&browser, "strategy");
    browser.run("window.still_this_page = true");
    daemon.stop();
    browser.until("it is told", "$('connection').dataset.state === 'lost'");
    assert_eq!(browser.text("#verdict strong"), "UNKNOWN", "what was so is not what is so");
    assert_eq!(
        browser.run("return [...document.querySelectorAll('[data-action=stop]')].every((button) => button.disabled)"),
        true
    );
    let address = url.trim_start_matches("http://");
    daemon.again(&["--at", MORNING, "--listen", address]);
    browser.until("it is back", "$('connection').dataset.state === 'live'");
    until_state(&browser, "strategy", "running");
    let second = pid(&browser, "strategy");
    assert!(second != first && alive(second));
    assert_eq!(browser.run("return window.still_this_page"), true, "nobody loaded it again");
    click(&browser, "strategy", "stop");
    click(&browser, "strategy", "stop");
    until_state(&browser, "strategy", "stopped");
}

#[test]
fn it_fits_a_phone_and_speaks_to_those_who_do_not_see_it() {
    let long = "a-name-that-is-as-long-as-a-name-may-be-and-has-no-place-to-break";
    let many = (0..20).map(|n| format!("[[script]]\nname = \"script-{n}\"\ncommand = [\"sleep\", \"1000\"]\n"));
    let config = format!(
        "[[script]]\nname = \"{long}\"\ncommand = [\"sh\", \"-c\", \"echo {}; exit 78\"]\n{}",
        "x".repeat(3000),
        many.collect::<String>()
    );
    // A night: nothing is due, and nothing is wrong.
    let Some((browser, daemon, url)) = begin(&config, "2026-11-25T22:40:00") else { return };
    browser.size(360, 780);
    browser.open(&link(&daemon, &url));
    browser.until("all is there", "document.querySelectorAll('#history tbody tr').length === 21");
    browser.until("the verdict", "$('verdict').dataset.level === 'closed'");
    let shade = "const [r, g, b] = getComputedStyle($('verdict').firstElementChild).color.match(/\\d+/g); return Math.abs(r - g) + Math.abs(g - b)";
    let shade = browser.run(shade).as_f64().expect("a number");
    assert!(shade < 40.0, "a quiet night is grey: {shade}");
    browser.run("chooseLog('', null); addLine({ text: 'x'.repeat(3000), level: 'ERROR' })");
    for width in [320_u32, 360, 768] {
        browser.size(width, 780);
        let wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(wide, 0, "nothing is wider than {width} pixels");
    }
    let tree = browser.tell("Accessibility.getFullAXTree", &serde_json::json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let of = |roles: &'static [&str]| {
        nodes.iter().filter(move |node| roles.contains(&node["role"]["value"].as_str().unwrap_or_default()))
    };
    let controls = || of(&["button", "combobox", "searchbox", "textbox", "Date"]);
    assert!(controls().count() > 60, "{}", controls().count());
    for node in controls() {
        assert_ne!(node["name"]["value"].as_str().unwrap_or_default(), "", "a control without a name: {node}");
    }
    assert_eq!(of(&["heading"]).filter(|node| node["name"]["value"] == long).count(), 1);
    for landmark in ["banner", "main", "log", "grid"] {
        assert!(nodes.iter().any(|node| node["role"]["value"] == landmark), "{landmark}");
    }

    // With the keyboard alone: the table is one stop, and arrows move in it.
    browser.run("document.querySelector('#history button[tabindex=\"0\"]').focus()");
    let before = browser.run("return document.activeElement.dataset.date");
    for kind in ["keyDown", "keyUp"] {
        browser.tell(
            "Input.dispatchKeyEvent",
            &serde_json::json!({"type": kind, "key": "ArrowLeft", "code": "ArrowLeft"}),
        );
    }
    browser.until("the day before", &format!("document.activeElement.dataset.date < {before}"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
