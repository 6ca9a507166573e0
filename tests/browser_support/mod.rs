//! A real browser without a window, driven over its own protocol (WebDriver, with Chromium's additions).

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::common::eventually;

/// A browser with one page; gone with everything it started when this goes.
pub struct Browser {
    driver: Child,
    base: String,
    session: String,
    agent: ureq::Agent,
    /// Its profile, and whatever else it leaves behind.
    _home: tempfile::TempDir,
}

/// The port the driver says it listens at.
fn port_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("started successfully on port ")?;
    rest.split('.').next()?.trim().parse().ok()
}

impl Browser {
    /// None, with a line that says so, where there is no browser.
    pub fn start() -> Option<Self> {
        let home = tempfile::tempdir().expect("a directory");
        let log = home.path().join("driver");
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", home.path())
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).expect("a file"))
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let Ok(driver) = spawned else {
            eprintln!(
                "SKIPPED: the dashboard in a browser: there is no chromedriver (Debian: chromium chromium-driver)"
            );
            return None;
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .proxy(None);
        let mut browser =
            Self { driver, base: String::new(), session: String::new(), agent: config.build().into(), _home: home };
        let port = || port_in(&std::fs::read_to_string(&log).unwrap_or_default());
        eventually("the driver says its port", || port().is_some());
        browser.base = format!("http://127.0.0.1:{}", port().expect("it was there"));
        let profile = browser._home.path().join("profile");
        let flags = [
            "--headless=new",
            // Tests may run as root.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--lang=en-US",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let made = browser.post(
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"args": flags},
            }}}),
        );
        let made = match made {
            Ok(made) => made,
            Err(why) => {
                eprintln!("SKIPPED: the dashboard in a browser: Chromium does not start here: {why}");
                return None;
            }
        };
        browser.session = format!("/session/{}", made["sessionId"].as_str().expect("an id"));
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let mut answer =
            self.agent.post(format!("{}{path}", self.base)).send_json(body).map_err(|error| error.to_string())?;
        let mut value: Value = answer.body_mut().read_json().map_err(|error| error.to_string())?;
        let value = value["value"].take();
        value["error"].as_str().map_or(Ok(value.clone()), |error| Err(format!("{error}: {}", value["message"])))
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        self.post(&format!("{}{path}", self.session), body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn open(&self, url: &str) {
        self.ask("/url", &json!({"url": url}));
    }

    /// What the body of a function comes to in the page.
    pub fn run(&self, script: &str) -> Value {
        self.ask("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Whether an expression holds, in a moment.
    pub fn until(&self, what: &str, expression: &str) {
        eventually(what, || self.run(&format!("return !!({expression})")) == true);
    }

    /// The text of the first element that this selector finds.
    pub fn text(&self, selector: &str) -> String {
        let found = self.run(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector)));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// A command of Chromium's own protocol.
    pub fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.ask("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    pub fn size(&self, width: u32, height: u32) {
        let is_phone = width < 500;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.tell("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Everything in the console that is no mere remark, since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.ask("/se/log", &json!({"type": "browser"}));
        let texts = entries.as_array().expect("a list").iter();
        texts
            .filter(|entry| ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or_default()))
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// The address of every request, since it was asked last.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.ask("/se/log", &json!({"type": "performance"}));
        let events = entries.as_array().expect("a list").iter().filter_map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str()?).ok().map(|event| event["message"].clone())
        });
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.agent.delete(format!("{}{}", self.base, self.session)).call();
        }
        // The browser's processes are in the driver's group.
        let _ = killpg(Pid::from_raw(self.driver.id().cast_signed()), Signal::SIGKILL);
        let _ = self.driver.wait();
    }
}
