//! Loading a configuration as a whole: faults with their places, layers, replacements, and the shipped file.

use std::path::Path;
use std::time::Duration;

use mho::config::{Examined, Fault, Flags, Loaded, Place, SHIPPED, Sources, examine, load};
use mho::domain::health::TripAction;
use mho::domain::limits::{CoreSize, Limits, MemoryWatch};
use mho::domain::script::{Anchor, Condition, ScriptSpec, TimePoint};
use tempfile::TempDir;

/// A start directory with config/mho.toml.
struct World {
    _dir: TempDir,
    sources: Sources,
}

impl World {
    fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let cwd = dir.path().canonicalize().expect("exists");
        Self { _dir: dir, sources: Sources { cwd, ..Sources::default() } }
    }

    fn with(text: &str) -> Self {
        Self::empty().file("config/mho.toml", text)
    }

    /// A file with one sound script after `text`.
    fn before_script(text: &str) -> Self {
        Self::with(&format!("{text}\n{SCRIPT}"))
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.sources.cwd.join(name);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
        std::fs::write(path, text).expect("written");
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(mut self, setting: &str) -> Self {
        self.sources.flags.set.push(setting.to_owned());
        self
    }

    fn flags(mut self, flags: Flags) -> Self {
        self.sources.flags = flags;
        self
    }

    fn examine(&self) -> Examined {
        examine(&self.sources)
    }

    #[track_caller]
    fn load(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|faults| panic!("unexpected faults: {}", shown(&faults)))
    }

    #[track_caller]
    fn script(&self) -> ScriptSpec {
        self.load().settings.scripts[0].clone()
    }

    #[track_caller]
    fn faults(&self) -> Vec<Fault> {
        load(&self.sources).expect_err("a faulty configuration")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the directory")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.sources.cwd.join(name)
    }
}

const SCRIPT: &str = "[[script]]\nname = \"s\"\ncommand = \"sleep 1000\"\n";

fn shown(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// One fault, with its line, its key, words of its message and its suggestion.
#[track_caller]
fn assert_fault(world: &World, line: usize, key: &str, words: &str, suggestion: Option<&str>) {
    let faults = world.faults();
    let [fault] = faults.as_slice() else {
        panic!("expected one fault of {key}, found {}", shown(&faults));
    };
    assert_eq!(fault.file.as_deref(), Some(Path::new("config/mho.toml")), "{fault}");
    assert_eq!((fault.line, fault.key.as_str()), (Some(line), key), "{fault}");
    assert!(fault.message.contains(words), "{fault}");
    assert_eq!(fault.suggestion.as_deref(), suggestion, "{fault}");
}

#[test]
fn every_fault_of_the_sections_before_the_scripts_has_its_place() {
    let cases = [
        ("bse_dir = \".\"", 1, "bse_dir", "unknown key", Some("base_dir")),
        ("[orchestratr]\nlog_level = \"info\"", 1, "orchestratr", "unknown key", Some("orchestrator")),
        ("[orchestrator]\n\nlog_levle = \"info\"", 3, "orchestrator.log_levle", "unknown key", Some("log_level")),
        ("[orchestrator]\nlog_level = \"warn\"", 2, "orchestrator.log_level", "not one of", Some("warning")),
        ("[orchestrator]\nlog_level = \"infos\"", 2, "orchestrator.log_level", "not one of", Some("info")),
        ("[orchestrator]\nlog_level = 3", 2, "orchestrator.log_level", "found the number 3", None),
        ("[orchestrator]\nstatus_interval = \"0s\"", 2, "orchestrator.status_interval", "at least 1s", None),
        ("[orchestrator]\nhistory = \"long\"", 2, "orchestrator.history", "expected a duration", None),
        ("[orchestrator]\nmain_log_max_size = \"big\"", 2, "orchestrator.main_log_max_size", "expected a size", None),
        ("[http]\nlisten = \"8930\"", 2, "http.listen", "expected host and port", None),
        ("[orchestrator]\nstate_dir = \"\"", 2, "orchestrator.state_dir", "empty", None),
        ("orchestrator = 5", 1, "orchestrator", "expected a table", None),
        ("[[alert]]\nurl = \"https://example.com\"", 1, "alert.type", "is missing: one of webhook, slack", None),
        ("[[alert]]\ntype = \"webhok\"", 2, "alert.alert.type", "not one of", Some("webhook")),
        ("[[alert]]\ntype = \"webhook\"", 1, "alert.webhook.url", "is missing: webhook needs it", None),
        ("[[alert]]\ntype = \"slack\"\nurl = \"hooks\"", 3, "alert.slack.url", "expected an address", None),
        (
            "[[alert]]\ntype = \"slack\"\nulr = \"x\"\nurl = \"https://h/x\"",
            3,
            "alert.slack.ulr",
            "unknown key",
            Some("url"),
        ),
        (
            "[[alert]]\ntype = \"slack\"\nurl_env = \"NO_SUCH_URL\"",
            3,
            "alert.slack.url_env",
            "NO_SUCH_URL is not set",
            None,
        ),
        ("[[alert]]\ntype = \"slack\"\nurl_file = \"none\"", 3, "alert.slack.url_file", "cannot be read", None),
        (
            "[[alert]]\ntype = \"slack\"\nurl = \"https://h\"\nurl_env = \"HOME\"",
            4,
            "alert.slack.url_env",
            "keep one",
            None,
        ),
        ("[[alert]]\ntype = \"slack\"\nurl = 3", 3, "alert.slack.url", "expected an address", None),
        (
            "[[alert]]\ntype = \"slack\"\nurl = \"https://h\"\nevents = [\"faild\"]",
            4,
            "alert.slack.events",
            "not one of",
            Some("failed"),
        ),
        ("[[alert]]\ntype = \"slack\"\nurl = \"https://h\"\nevents = []", 4, "alert.slack.events", "is empty", None),
        (
            "[[alert]]\ntype = \"slack\"\nurl = \"https://h\"\ntimeout = \"0s\"",
            4,
            "alert.slack.timeout",
            "longer than 0",
            None,
        ),
        (
            "[[alert]]\ntype = \"webhook\"\nurl = \"https://h\"\nbody = \"{resaon}\"",
            4,
            "alert.webhook.body",
            "no field",
            Some("reason"),
        ),
        ("[[alert]]\ntype = \"telegram\"\nchat_id = 5", 1, "alert.telegram.token", "is missing", None),
        ("[[alert]]\ntype = \"ntfy\"", 1, "alert.ntfy.topic", "is missing", None),
        ("[[alert]]\ntype = \"exec\"\nname = \"pager\"", 1, "alert.pager.command", "is missing", None),
        ("[[alert]]\ntype = \"exec\"\nname = \"A\"\ncommand = \"/bin/true\"", 3, "alert.name", "is no name", None),
        (
            "[[alert]]\ntype = \"healthchecks\"\nurl = \"https://h\"\nscript = \"s1\"",
            4,
            "alert.healthchecks.script",
            "no script is named",
            Some("s"),
        ),
        (
            "[[alert]]\ntype = \"email\"\nhost = \"h\"\nfrom = \"a@b.c\"\nto = \"nobody\"",
            5,
            "alert.email.to",
            "is no mail address",
            None,
        ),
        (
            "[[alert]]\ntype = \"email\"\nhost = \"h\"\nfrom = \"a@b.c\"\nto = \"a@b.c\"\nuser = \"u\"",
            1,
            "alert.email.password",
            "is missing",
            None,
        ),
        ("alert = 5", 1, "alert", "expected [[alert]] tables", None),
        ("[http]\nlistn = \"\"", 2, "http.listn", "unknown key", Some("listen")),
        ("[market]\ncalendar = \"XNYZ\"", 2, "market.calendar", "unknown calendar", Some("XNYS")),
        ("[market]\ntimezone = \"America/NewYork\"", 2, "market.timezone", "time zone", Some("America/New_York")),
        ("[market]\ntimezone = \"Asia/Tokyo\"", 2, "market.timezone", "offset", None),
        ("[market]\nopen = \"9.30\"", 2, "market.open", "expected a time", None),
        ("[market]\nopen = \"17:00\"", 2, "market.open", "not before the close", None),
        ("[market]\ncalendar_dir = \"nowhere\"", 2, "market.calendar_dir", "create it, or correct the path", None),
        ("[calendar.DESK]\nopen = \"09:00\"", 1, "calendar.DESK", "extends", None),
        ("[calendar.DESK]\nextends = \"NYSY\"", 1, "calendar.DESK", "unknown calendar", Some("NYSE")),
        ("[calendar.XNYS]\nextends = \"always\"", 1, "calendar.XNYS", "choose another id", None),
        ("[market]\nopen = \"08:30:60\"", 2, "market.open", "expected a time", None),
        ("[calendar.D]\nextends = \"XNYS\"\nweekdays = []", 3, "calendar.D.weekdays", "names no day", None),
        ("[calendar.D]\nextends = \"XNYS\"\nweekdays = [\"Mno\"]", 3, "calendar.D.weekdays", "not one of", Some("mon")),
        ("[http]\nport = 1", 2, "http.port", "known here: listen, token_file", None),
        ("[defaults]\nmax_duration = \"101y\"", 2, "defaults.max_duration", "at most 100 years", None),
        ("[defaults]\nstop = \"close + 8d\"", 2, "defaults.stop", "at most 7 days", None),
        ("[calendar.A]\nextends = \"A\"", 1, "calendar.A", "circle", None),
        ("[defaults]\nstop_grce = \"5s\"", 2, "defaults.stop_grce", "unknown key", Some("stop_grace")),
        ("[defaults]\nstart = \"opne - 1h\"", 2, "defaults.start", "point of the trading day", Some("open - 1h")),
        ("[defaults]\nname = \"x\"", 2, "defaults.name", "belongs to a [[script]]", None),
        (
            "[defaults]\nwait_for = [\"udp://127.0.0.1:1\"]",
            2,
            "defaults.wait_for",
            "expected \"tcp://HOST:PORT\"",
            None,
        ),
        ("[[override]]\ncalendar = \"XNYS\"\nreason = \"x\"\nclosed = true", 1, "override.date", "is missing", None),
        ("[[override]]\ndate = \"2027-01-11\"\nclosed = true", 1, "override.reason", "is missing", None),
        ("[[override]]\ndate = \"2027-01-11\"\nreason = \"x\"", 1, "override", "needs either closed", None),
        (
            "[[override]]\ndate = \"2027-01-11\"\nreason = \"x\"\nclosed = true\nopen = \"10:00\"",
            1,
            "override",
            "needs either closed",
            None,
        ),
        (
            "[[override]]\ncalendar = \"XNYZ\"\ndate = \"2027-01-11\"\nreason = \"x\"\nclosed = true",
            2,
            "override.calendar",
            "unknown calendar",
            Some("XNYS"),
        ),
        (
            "[[override]]\ndate = \"2027-02-30\"\nreason = \"x\"\nclosed = true",
            2,
            "override.date",
            "expected a date",
            None,
        ),
    ];
    for (text, line, key, words, suggestion) in cases {
        assert_fault(&World::before_script(text), line, key, words, suggestion);
    }
}

#[test]
fn every_fault_of_a_script_has_its_place() {
    let cases = [
        ("stop_gracee = \"5s\"", "stop_gracee", "unknown key", Some("stop_grace")),
        ("stop_grace = true", "stop_grace", "expected a duration", None),
        ("stop_signal = \"TREM\"", "stop_signal", "unknown signal", Some("TERM")),
        ("half_days = \"skpi\"", "half_days", "not one of", Some("skip")),
        ("calendar = \"NYZE\"", "calendar", "unknown calendar", Some("NYSE")),
        ("start = \"close\"", "start", "empty on every day", None),
        ("start = \"17:00\"", "start", "empty on every day", None),
        ("stop = \"open - 2h\"", "stop", "empty on every day", None),
        ("half_days = \"only\"\ncalendar = \"always\"", "half_days", "no half days", None),
        ("max_duration = \"0s\"", "max_duration", "longer than 0", None),
        ("skip_dates = [\"2026-02-30\"]", "skip_dates", "expected a date", None),
        ("success_codes = [256]", "success_codes", "exit code", None),
        ("success_codes = [0, 42]", "success_codes", "42 stands in both success_codes and early_codes", None),
        ("early_codes = [78]", "early_codes", "78 stands in both early_codes and fatal_codes", None),
        ("depends_on = [\"t\"]", "depends_on", "no script is named \"t\"", Some("s")),
        ("depends_on = [\"s\"]", "depends_on", "s -> s", None),
        ("depends_on = { s = \"ready\" }", "depends_on", "s -> s", None),
        ("depends_on = { s = \"sucseeded\" }", "depends_on", "not one of", Some("succeeded")),
        ("enabled = \"yes\"", "enabled", "true or false", None),
        ("env = { A = [\"secret\"] }", "env.A", "expected text", None),
        ("env = 5", "env", "expected a table", None),
        ("restart = { max_restarts = -1 }", "restart.max_restarts", "whole number", None),
        ("restart = { polici = \"never\" }", "restart.polici", "unknown key", Some("policy")),
        ("restart = \"never\"", "restart", "expected a table", None),
        ("output = { max_size = \"0B\" }", "output.max_size", "more than 0", None),
        ("ready = { tcp = \"4002\" }", "ready.tcp", "expected host and port", None),
        ("ready = { tcp = \"127.0.0.1:0\" }", "ready.tcp", "expected host and port", None),
        ("ready = { http = \"https://x\" }", "ready.http", "https is not asked for", None),
        ("ready = { http = \"127.0.0.1:8080\" }", "ready.http", "expected an address", None),
        ("ready = { log = \"(\" }", "ready.log", "not a regular expression: unclosed group", None),
        ("ready = { tcp = \"h:1\", notify = true }", "ready.notify", "tcp is set too", None),
        ("ready = { delay = \"5m\" }", "ready.delay", "not shorter than `timeout`", None),
        ("ready = { tpc = \"h:1\" }", "ready.tpc", "unknown key", Some("tcp")),
        ("ready = { interval = \"1s\" }", "ready", "names no probe", None),
        ("on_dependency_down = \"stpo\"", "on_dependency_down", "not one of", Some("stop")),
        ("wait_for = [\"127.0.0.1:4002\"]", "wait_for", "expected \"tcp://HOST:PORT\"", None),
        ("watchdog = { silence = \"0s\" }", "watchdog.silence", "longer than 0", None),
        ("watchdog = { heartbeet = \"1m\" }", "watchdog.heartbeet", "unknown key", Some("heartbeat")),
        ("watchdog = { action = \"kill\" }", "watchdog.action", "not one of", None),
        ("stop_command = \"x 'y\"", "stop_command", "quote", None),
        ("warn_signal = \"USR1\"", "warn_signal", "such as \"USR1@5m\"", None),
        ("warn_signal = \"KILL@5m\"", "warn_signal", "cannot be heard", None),
        ("warn_signal = \"USR3@5m\"", "warn_signal", "unknown signal", Some("USR1")),
        ("limits = 5", "limits", "expected a table", None),
        ("limits = { nofiles = 10 }", "limits.nofiles", "unknown key", Some("nofile")),
        ("limits = { nofile = 3 }", "limits.nofile", "too few", None),
        ("limits = { nofile = \"many\" }", "limits.nofile", "whole number", None),
        ("limits = { memory = 0 }", "limits.memory", "more than 0", None),
        ("limits = { cpu_time = \"0s\" }", "limits.cpu_time", "longer than 0", None),
        ("limits = { cpu_time = \"1500ms\" }", "limits.cpu_time", "whole seconds", None),
        ("limits = { core = \"unlimitd\" }", "limits.core", "expected a size", Some("unlimited")),
        ("limits = { nice = 20 }", "limits.nice", "from -20 (first) to 19 (last)", None),
        ("limits = { umask = 27 }", "limits.umask", "octal digits in quotes", None),
        ("limits = { umask = \"08\" }", "limits.umask", "octal digits in quotes", None),
        ("limits = { umask = \"1777\" }", "limits.umask", "octal digits in quotes", None),
        ("limits = { user = \"a:b\" }", "limits.user", "neither a name nor a number", None),
        ("limits = { user = -1 }", "limits.user", "neither a name nor a number", None),
        ("limits = { group = [\"a\"] }", "limits.group", "a name or a number", None),
        ("limits = { max_rss = \"much\" }", "limits.max_rss", "expected a size", None),
        ("limits = { max_rss_action = \"restrat\" }", "limits.max_rss_action", "not one of", Some("restart")),
    ];
    for (text, key, words, suggestion) in cases {
        let world = World::with(&format!("{SCRIPT}\n{text}\n"));
        assert_fault(&world, 5, &format!("script.s.{key}"), words, suggestion);
    }
}

#[test]
fn faults_of_names_and_commands_have_their_place() {
    let cases = [
        ("[[script]]\ncommand = \"x\"", 1, "script.#1.name", "is missing"),
        ("[[script]]\nname = \"a\"", 1, "script.a.command", "is missing"),
        ("[[script]]\nname = \"A b\"\ncommand = \"x\"", 2, "script.A b.name", "not a script name"),
        ("[[script]]\nname = \"a\"\ncommand = []", 3, "script.a.command", "is empty"),
        ("[[script]]\nname = \"a\"\ncommand = \"x 'y\"", 3, "script.a.command", "quote"),
        ("[script]\nname = \"a\"\ncommand = \"x\"", 1, "script", "two brackets"),
        ("script = \"a\"", 1, "script", "found \"a\": write [[script]]"),
    ];
    for (text, line, key, words) in cases {
        assert_fault(&World::with(text), line, key, words, None);
    }
    let twice = World::with(&format!("{SCRIPT}{SCRIPT}"));
    assert_fault(&twice, 5, "script.s.name", "two scripts named", None);
    let none = World::with("base_dir = \".\"\n").faults();
    assert!(none.len() == 1 && none[0].message.contains("no script is configured"), "{}", shown(&none));
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_file() {
    let world = World::with(
        "[orchestrator]\nlog_levle = \"x\"\nlog_format = \"xml\"\n[defaults]\nstop_grace = \"soon\"\n\
         [[script]]\nname = \"a\"\ncommand = \"x\"\nstart = \"noon\"\n[[script]]\nname = \"b\"\nhalf_days = 1\n",
    )
    .env("MHO__HTTP__PORT", "1");
    let faults = world.faults();
    let lines: Vec<Option<usize>> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(5), Some(9), Some(10), Some(12), None], "{}", shown(&faults));
    assert_eq!(
        faults[0].to_string(),
        "config/mho.toml:2: [orchestrator] log_levle: unknown key; did you mean \"log_level\"?"
    );
    assert_eq!(faults[6].key, "MHO__HTTP__PORT");
}

#[test]
fn syntax_errors_have_file_and_line() {
    let faults = World::with("base_dir = \".\"\n[orchestrator\nlog_level = \"info\"\n").faults();
    assert_eq!(faults[0].file.as_deref(), Some(Path::new("config/mho.toml")));
    assert_eq!(faults[0].line, Some(2), "{}", shown(&faults));
}

#[test]
fn a_circle_is_named() {
    let script =
        |name: &str, on: &str| format!("[[script]]\nname = \"{name}\"\ncommand = \"x\"\ndepends_on = [\"{on}\"]\n");
    let text = [script("a", "b"), script("b", "c"), script("c", "a"), script("d", "a")].concat();
    assert_fault(&World::with(&text), 4, "script.a.depends_on", "a -> b -> c -> a", None);
}

#[test]
fn later_layers_win_and_say_where_a_value_came_from() {
    let level = |world: &World| {
        let loaded = world.load();
        let origin =
            loaded.origins.iter().find(|origin| origin.key == "orchestrator.log_level").expect("listed").clone();
        (origin.value, origin.place)
    };
    let world = World::before_script("");
    assert_eq!(level(&world), ("\"info\"".into(), Place::BuiltIn));
    let world = World::before_script("[orchestrator]\nlog_level = \"error\"");
    let place = Place::File { path: "config/mho.toml".into(), line: Some(2) };
    assert_eq!(level(&world), ("\"error\"".into(), place));
    let world = world.env("MHO__ORCHESTRATOR__LOG_LEVEL", "debug");
    assert_eq!(level(&world), ("\"debug\"".into(), Place::Env("MHO__ORCHESTRATOR__LOG_LEVEL".into())));
    let world = world.set("orchestrator.log_level=trace");
    assert_eq!(level(&world), ("\"trace\"".into(), Place::Flag("--set orchestrator.log_level".into())));
    let world = world.flags(Flags { log_level: Some("warning".into()), ..Flags::default() });
    assert_eq!(level(&world), ("\"warning\"".into(), Place::Flag("--log-level".into())));
}

#[test]
fn a_script_wins_over_the_defaults_of_every_layer_and_can_be_named_by_them() {
    let world = World::with(&format!("{SCRIPT}stop_grace = \"3s\"\n[script.restart]\nmax_restarts = 9\n"))
        .env("MHO__DEFAULTS__STOP_GRACE", "20s")
        .env("MHO__DEFAULTS__RESTART__WITHIN", "1h")
        .env("MHO__DEFAULTS__RESTART__MAX_RESTARTS", "3");
    let script = world.script();
    assert_eq!(script.stop.grace, Duration::from_secs(3));
    assert_eq!(script.restart.max_restarts, 9);
    assert_eq!(script.restart.within, Duration::from_secs(3600));
    let world = world.env("MHO__SCRIPT__S__STOP_GRACE", "4s");
    assert_eq!(world.script().stop.grace, Duration::from_secs(4));
    let world = world.set("script.s.stop_grace=5s").set("script.s.command=[\"sleep\", \"7\"]");
    assert_eq!(world.script().stop.grace, Duration::from_secs(5));
    assert_eq!(world.script().launch.args, ["7"]);
    let faults = world.set("script.x.stop=close").faults();
    assert_eq!((faults[0].key.as_str(), faults[0].suggestion.as_deref()), ("--set script.x.stop", Some("s")));
}

#[test]
fn variables_and_flags_are_named_in_their_faults() {
    let fault = |world: World| world.faults().remove(0);
    let found = fault(World::before_script("").env("MHO__ORCHESTRATOR__LOG_LEVLE", "info"));
    assert_eq!((found.key.as_str(), found.suggestion.as_deref()), ("MHO__ORCHESTRATOR__LOG_LEVLE", Some("log_level")));
    assert_eq!((found.file, found.line), (None, None));
    assert_eq!(fault(World::before_script("").env("MARKET_TZ", "Mars")).key, "MARKET_TZ");
    assert_eq!(fault(World::before_script("").env("MAX_SCRIPT_DURATION", "long")).key, "MAX_SCRIPT_DURATION");
    assert_eq!(fault(World::before_script("").set("orchestrator.log_level=x")).key, "--set orchestrator.log_level");
    assert!(fault(World::before_script("").set("log_level")).message.contains("KEY=VALUE"));
    // Names with one underscore are no keys.
    World::before_script("").env("MHO_SCRIPT", "x").env("MHO_RUN_ID", "y").load();
}

#[test]
fn the_originals_names_stand_for_their_keys() {
    let world = World::before_script("")
        .env("MARKET_TZ", "America/New_York")
        .env("MARKET_OPEN_TIME", "10:00")
        .env("MARKET_CLOSE_TIME", "15:00")
        .env("PRE_MARKET_START", "08:45")
        .env("MAX_SCRIPT_DURATION", "3600");
    let loaded = world.load();
    let date = chrono::NaiveDate::from_ymd_opt(2026, 11, 24).expect("a date");
    let session = loaded.settings.default_calendar().session(date).expect("in range").expect("a session");
    assert_eq!(session.open.to_rfc3339(), "2026-11-24T15:00:00+00:00");
    assert_eq!(session.close.to_rfc3339(), "2026-11-24T20:00:00+00:00");
    assert_eq!(&*loaded.settings.market, "market");
    let script = &loaded.settings.scripts[0];
    assert_eq!(script.window.start, TimePoint::At(chrono::NaiveTime::from_hms_opt(8, 45, 0).expect("a time")));
    assert_eq!(script.max_duration, Some(Duration::from_secs(3600)));
    // Set but empty is not set: compose files hand variables on like that.
    let world = World::before_script("").env("MARKET_TZ", "").env("MAX_SCRIPT_DURATION", "").env("TRADING_SCRIPT", "");
    assert_eq!(world.script().max_duration, None);
}

#[test]
fn trading_script_replaces_the_files_scripts_and_says_so() {
    let world = World::before_script("").env("TRADING_SCRIPT", "bots/Live Bot.py".replace(' ', "_").as_str());
    let loaded = world.load();
    let script = &loaded.settings.scripts[0];
    assert_eq!(script.name.as_str(), "live_bot");
    assert_eq!(script.launch.display, "bots/Live_Bot.py");
    assert_eq!(script.launch.args, ["bots/Live_Bot.py"]);
    assert_eq!(script.window.stop, TimePoint::Anchor(Anchor::Close, chrono::TimeDelta::zero()));
    let warning = &loaded.warnings[0];
    assert_eq!(warning.key, "TRADING_SCRIPT");
    assert!(warning.message.contains("dropped: s"), "{warning}");
}

#[test]
fn trading_scripts_are_a_pipeline_without_a_file_too() {
    let world = World::empty().env("TRADING_SCRIPTS", "data.py, models/train.py ,report.sh");
    let loaded = world.load();
    assert_eq!(loaded.file, None);
    assert_eq!(loaded.settings.base_dir, world.sources.cwd);
    let scripts = &loaded.settings.scripts;
    let names: Vec<&str> = scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["data", "train", "report"]);
    assert!(scripts[0].depends_on.is_empty());
    for (script, before) in scripts.iter().skip(1).zip(scripts) {
        assert_eq!(script.depends_on.len(), 1);
        assert_eq!(script.depends_on[0].script, before.name);
        assert_eq!(script.depends_on[0].condition, Condition::Succeeded);
    }
    let close = |hours| TimePoint::Anchor(Anchor::Close, chrono::TimeDelta::hours(hours));
    assert_eq!([0, 1, 2].map(|at: usize| scripts[at].window.stop), [close(0), close(0), close(1)]);
    assert!(loaded.warnings.is_empty(), "{}", shown(&loaded.warnings));
}

#[test]
fn the_file_is_looked_for_in_the_documented_order() {
    let other = "base_dir = \"..\"\n[[script]]\nname = \"other\"\ncommand = \"x\"\n";
    let name = |world: &World| world.script().name.to_string();
    let world = World::with(SCRIPT).file("etc/other.toml", other);
    assert_eq!(name(&world), "s");
    let mut world = world.env("MHO_CONFIG", "etc/other.toml");
    assert_eq!(name(&world), "other");
    assert_eq!(world.load().settings.base_dir, world.sources.cwd);
    world.sources.config = Some("config/mho.toml".into());
    assert_eq!(name(&world), "s");
    world.sources.config = Some("nowhere.toml".into());
    let faults = world.faults();
    assert!(faults[0].key == "--config" && faults[0].message.contains("nowhere.toml"), "{}", shown(&faults));
}

#[test]
fn without_a_file_the_shipped_one_runs_or_points_to_init() {
    let faults = World::empty().faults();
    assert!(faults.len() == 1 && faults[0].message.contains("mho init"), "{}", shown(&faults));
    let world = World::empty().file("scripts/example_strategy.py", "");
    let loaded = world.load();
    let origin = loaded.origins.iter().find(|origin| origin.key == "base_dir").expect("listed");
    assert_eq!((&origin.value, &origin.place), (&format!("{:?}", world.sources.cwd), &Place::BuiltIn));
    assert_eq!(loaded.settings.base_dir, world.sources.cwd);
    assert_eq!(loaded.settings.scripts[0].launch.working_dir, world.sources.cwd);
    assert_eq!(loaded.settings.scripts[0].launch.display, "scripts/example_strategy.py");
}

#[test]
fn paths_are_relative_to_base_dir_wherever_it_is_started_from() {
    let mut world = World::with(&format!("base_dir = \"..\"\n{SCRIPT}")).file("work/x", "");
    world.sources.config = Some("../config/mho.toml".into());
    let root = world.sources.cwd.clone();
    world.sources.cwd = root.join("work");
    let loaded = world.load();
    assert_eq!(loaded.settings.base_dir, root);
    assert_eq!(loaded.settings.orchestrator.state_dir, root.join("state"));
    assert_eq!(loaded.settings.scripts[0].output.dir, root.join("logs/s"));
    assert_eq!(loaded.settings.overrides_file, root.join("config/calendar-overrides.toml"));
}

#[test]
fn overrides_are_read_from_both_files_and_reach_derived_calendars() {
    let text = |date: &str| {
        format!("[[override]]\ncalendar = \"nyse\"\ndate = \"{date}\"\nclosed = true\nreason = \"storm\"\n")
    };
    let desk = "[calendar.DESK]\nextends = \"XNYS\"\nopen = \"09:00\"\nclose = \"15:00\"\n";
    let world = World::before_script(&format!("{}{desk}", text("2026-11-24")))
        .file("config/calendar-overrides.toml", &text("2026-11-25"));
    let settings = world.load().settings;
    for day in [24, 25] {
        let date = chrono::NaiveDate::from_ymd_opt(2026, 11, day).expect("a date");
        for name in ["XNYS", "nasdaq", "desk"] {
            let calendar = settings.calendar(name).expect(name);
            assert_eq!(calendar.is_session(date), Ok(false), "{name} {date}");
        }
    }
    let broken =
        World::before_script("").file("config/calendar-overrides.toml", "\n[[override]]\ndat = \"2026-11-25\"\n");
    let faults = broken.faults();
    let file = Path::new("config/calendar-overrides.toml");
    assert!(faults.iter().all(|fault| fault.file.as_deref() == Some(file)), "{}", shown(&faults));
    assert!(faults.iter().any(|fault| fault.line == Some(3) && fault.suggestion.as_deref() == Some("date")));
}

#[test]
fn calendars_of_ones_own_can_be_used_by_name() {
    let office = "[market]\ncalendar_dir = \"cal\"\n[calendar.OFFICE]\ntimezone = \"Europe/London\"\nopen = \"08:00\"\n\
                  close = \"24:00\"\nweekdays = [\"mon\"]\n[defaults]\ncalendar = \"office\"";
    let world = World::before_script(office).file("config/cal/README", "no calendar");
    let settings = world.load().settings;
    assert_eq!(&*settings.scripts[0].window.calendar, "OFFICE");
    assert_eq!(&*settings.market, "XNYS");
    let monday = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).expect("a date");
    let session = settings.calendars["OFFICE"].session(monday).expect("in range").expect("a session");
    assert_eq!(session.close.to_rfc3339(), "2026-11-24T00:00:00+00:00");
    let broken = World::before_script("[market]\ncalendar_dir = \"cal\"").file("config/cal/BAD.toml", "x = \n");
    assert!(broken.faults()[0].file.as_deref().is_some_and(|file| file.ends_with("cal/BAD.toml")));
}

#[test]
fn calendars_of_whole_days_take_any_zone_and_24_00_is_the_end_of_the_day() {
    let tokyo = [
        World::before_script("[market]\ncalendar = \"always\"\ntimezone = \"Asia/Tokyo\""),
        World::before_script("[market]\ncalendar = \"always\"").env("MARKET_TZ", "Asia/Tokyo"),
        World::before_script(
            "[market]\ncalendar = \"weekdays\"\ntimezone = \"Asia/Tokyo\"\nopen = \"00:00\"\nclose = \"24:00\"",
        ),
        World::before_script(
            "[market]\ncalendar = \"DESK\"\n[calendar.DESK]\nextends = \"always\"\ntimezone = \"Asia/Tokyo\"\nclose = \"24:00\"",
        ),
    ];
    let date = chrono::NaiveDate::from_ymd_opt(2026, 11, 24).expect("a date");
    for world in tokyo {
        let settings = world.load().settings;
        let session = settings.default_calendar().session(date).expect("in range").expect("a session");
        let (start, end) = ("2026-11-23T15:00:00+00:00", "2026-11-24T15:00:00+00:00");
        assert_eq!([session.premarket, session.open].map(|at| at.to_rfc3339()), [start, start]);
        assert_eq!([session.close, session.postmarket].map(|at| at.to_rfc3339()), [end, end]);
    }
    let close = |text: &str| {
        let settings = World::before_script(text).load().settings;
        settings.default_calendar().session(date).expect("in range").expect("a session").close.to_rfc3339()
    };
    assert_eq!(close("[market]\nclose = \"24:00\""), "2026-11-25T05:00:00+00:00");
    let special = "[[override]]\ndate = \"2026-11-24\"\nclose = \"24:00\"\nreason = \"x\"";
    assert_eq!(close(special), "2026-11-25T05:00:00+00:00");
    let days = "[market]\ncalendar = \"D\"\n[calendar.D]\nextends = \"always\"\nweekdays = [\"Tue\", \"SUN\"]";
    assert_eq!(close(days), "2026-11-25T00:00:00+00:00");
}

#[test]
fn of_two_overrides_of_a_date_the_one_of_the_derived_calendar_wins_there() {
    let desk = "[calendar.DESK]\nextends = \"XNYS\"\nopen = \"09:00\"\nclose = \"15:00\"\n";
    let word = |calendar: &str, what: &str| {
        format!("[[override]]\ncalendar = \"{calendar}\"\ndate = \"2026-11-24\"\n{what}\nreason = \"x\"\n")
    };
    let (closed, short) = (word("XNYS", "closed = true"), word("DESK", "close = \"12:00\""));
    let date = chrono::NaiveDate::from_ymd_opt(2026, 11, 24).expect("a date");
    for words in [format!("{closed}{short}"), format!("{short}{closed}")] {
        let settings = World::before_script(&format!("{words}{desk}")).load().settings;
        let is_session = |name| settings.calendar(name).expect("known").is_session(date);
        assert_eq!((is_session("XNYS"), is_session("DESK")), (Ok(false), Ok(true)));
    }
}

#[test]
fn an_override_of_an_exchange_holds_on_calendars_with_hours_of_their_own_like_the_exchanges_own_word() {
    let config = "[[override]]\ndate = \"2026-11-24\"\nclose = \"14:30\"\nreason = \"x\"\n\
        [[override]]\ndate = \"2026-11-23\"\nopen = \"11:00\"\nreason = \"y\"\n\
        [calendar.SHORT]\nextends = \"XNYS\"\nclose = \"12:00\"\n\
        [calendar.LATE]\nextends = \"XNYS\"\nopen = \"14:45\"\n\
        [calendar.MONDAY]\nextends = \"XNYS\"\nweekdays = [\"mon\"]\n\
        [calendar.LONDON]\nextends = \"XNYS\"\ntimezone = \"Europe/London\"\nopen = \"14:30\"\nclose = \"21:00\"\n";
    let settings = World::before_script(config).load().settings;
    let said = |name: &str, date: &str| {
        let day = settings.calendar(name).expect("known").day(date.parse().expect("a date")).expect("in range");
        let hours = day.session.map(|s| format!("{}-{}", s.open.format("%H:%M"), s.close.format("%H:%M")));
        format!("{} {}", hours.unwrap_or("closed".to_owned()), day.reason).trim_end().to_owned()
    };
    let rows = [
        ("XNYS", "2026-11-24", "14:30-19:30 override: x"),
        ("SHORT", "2026-11-24", "14:30-17:00"), // closes before that anyway
        ("LATE", "2026-11-24", "closed no time is left in the hours of LATE (override: x)"),
        ("MONDAY", "2026-11-24", "closed not a trading weekday"),
        ("LONDON", "2026-11-24", "14:30-19:30 override: x"), // New York's 14:30, not London's
        ("LATE", "2026-11-23", "19:45-21:00"),
        ("LONDON", "2026-11-23", "16:00-21:00 override: y"),
    ];
    for (name, date, expected) in rows {
        assert_eq!(said(name, date), expected, "{name} {date}");
    }
}

#[test]
fn calendar_files_answer_to_ids_whatever_the_case_and_to_their_aliases() {
    let file = |more: &str| {
        format!(
            "name = \"x\"\ntimezone = \"UTC\"\nfrom = 2026-01-01\nto = 2027-12-31\nweekdays = [\"mon\"]\n\
             hours = {{ open = \"10:00\", close = \"11:00\" }}\n{more}"
        )
    };
    let config = "[market]\ncalendar_dir = \"cal\"\n";
    let world = World::before_script(config);
    world.write("config/cal/xnys.toml", &file(""));
    world.write("config/cal/odd.toml", &file("aliases = [\"oddy\"]\n"));
    let settings = world.load().settings;
    for (name, id) in [("XNYS", "XNYS"), ("nyse", "XNYS"), ("ODD", "odd"), ("Oddy", "odd"), ("lse", "XLON")] {
        assert_eq!(settings.calendar(name).expect(name).id(), id, "{name}");
    }
    assert_eq!(settings.default_calendar().name(), "x", "the file stands for the built-in calendar");
    let clash = |name: &str, more: &str| {
        let world = World::before_script(config);
        world.write("config/cal/odd.toml", &file("aliases = [\"oddy\"]\n"));
        world.write(&format!("config/cal/{name}.toml"), &file(more));
        shown(&world.faults())
    };
    for (name, more, message) in [
        ("ODD", "", "is the same calendar as"),
        ("market", "", "market means the default calendar"),
        ("b", "aliases = [\"NYSE\"]\n", "\"NYSE\" means the calendar XNYS already"),
        ("b", "aliases = [\"xlon\"]\n", "\"xlon\" means the calendar XLON already"),
        ("b", "aliases = [\"ODDY\"]\n", "\"oddy\" means the calendar b already"),
        ("b", "aliases = [\"odd\"]\n", "\"odd\" means the calendar odd already"),
    ] {
        let faults = clash(name, more);
        assert!(faults.contains(message), "{name} {more}: {faults}");
    }
    let world = World::before_script(
        "[market]\ncalendar_dir = \"cal\"\ncalendar = \"broken\"\n[calendar.ODD]\nextends = \"XNYS\"\n",
    );
    world.write("config/cal/odd.toml", &file(""));
    world.write("config/cal/broken.toml", &file("colse = 1\n"));
    let faults = world.faults();
    assert_eq!(faults.len(), 2, "{}", shown(&faults));
    let typo = faults.iter().find(|fault| fault.key == "colse").expect("the unknown key");
    assert!(typo.message.starts_with("unknown key"), "{}", shown(&faults));
    assert!(shown(&faults).contains("ODD is the name of a calendar file"), "{}", shown(&faults));
}

#[test]
fn questions_about_calendars_need_no_script() {
    for text in ["", "[market]\ncalendar = \"always\"\n", "script = []\n"] {
        let mut world = World::with(text);
        assert!(world.faults()[0].message.contains("no script is configured"), "{text}");
        world.sources.purpose = mho::config::Purpose::Look;
        assert!(world.load().settings.scripts.is_empty(), "{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_hides_no_fault_of_variables_and_flags() {
    let world = World::with("[orchestrator\n").env("MAX_SCRIPT_DURATION", "long").env("MARKET_TZ", "Mars");
    let world = world.set("orchestrator.log_format=xml").set("http.port=1");
    let mut keys: Vec<String> = world.faults().into_iter().map(|fault| fault.key).collect();
    keys.sort();
    assert_eq!(keys, ["", "--set http.port", "--set orchestrator.log_format", "MARKET_TZ", "MAX_SCRIPT_DURATION"]);
    // What only the file could answer is not judged.
    let world = World::with("[calendar.DESK\n").env("MHO__MARKET__CALENDAR", "DESK").env("MARKET_TZ", "Asia/Tokyo");
    let world = world.env("MHO__SCRIPT__S__STOP", "15:00").env("PRE_MARKET_START", "17:00");
    assert_eq!(world.faults().len(), 1, "{}", shown(&world.faults()));
}

#[test]
fn scripts_that_a_variable_or_flag_does_not_name_are_faults_of_it() {
    let fault = |name: &str, value: &str| World::before_script("").env(name, value).faults().remove(0).to_string();
    assert!(fault("TRADING_SCRIPTS", ",").starts_with("TRADING_SCRIPTS: names no script: write for instance"));
    assert!(fault("MHO__SCRIPT", "1").starts_with("MHO__SCRIPT: ") && fault("MHO__SCRIPT", "1").contains("NAME__KEY"));
    assert!(fault("MHO__SCRIPT__S", "1").starts_with("MHO__SCRIPT__S: scripts are not set as a whole"));
    let faults = World::before_script("").set("script=1").faults();
    assert!(faults[0].to_string().starts_with("--set script: scripts are not set as a whole"), "{}", shown(&faults));
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
    let message = |config: &str| {
        let mut world = World::with("").file("bad.toml", "");
        std::fs::write(world.path("bad.toml"), b"\xff").expect("written");
        world.sources.config = Some(config.into());
        world.faults().remove(0).message
    };
    assert!(message("nowhere.toml").ends_with("name another with --config, or write one with mho init"));
    assert!(message("config").ends_with("it is a directory: name a file with --config"), "{}", message("config"));
    assert!(message("bad.toml").contains("not UTF-8 text: save it as UTF-8"), "{}", message("bad.toml"));
}

#[test]
fn a_script_whose_predecessor_starts_when_it_is_over_is_warned_of() {
    let second = "[[script]]\nname = \"t\"\ncommand = \"x\"\ndepends_on = [\"s\"]\n";
    let warnings = |first: &str| World::with(&format!("{SCRIPT}{first}\n{second}")).load().warnings;
    let late = warnings("start = \"close\"\nstop = \"close + 1h\"");
    let [warning] = late.as_slice() else { panic!("expected one warning, found {}", shown(&late)) };
    assert_eq!((warning.line, warning.key.as_str()), (Some(9), "script.t.depends_on"));
    assert!(warning.message.contains("s starts at 16:00 and this script stops at 16:00"), "{warning}");
    assert!(warnings("start = \"close - 1m\"").is_empty());
}

#[test]
fn traps_are_warnings_with_their_place() {
    let cases = [
        ("max_duration = \"7h\"", "max_duration", "ends the run at 15:30"),
        ("stop = \"15:55\"", "stop", "cut to the early close at 13:00"),
        ("start = \"13:30\"", "start", "empty on half days"),
        ("restart = { initial_delay = \"2m\" }", "restart.initial_delay", "max_delay"),
    ];
    for (text, key, words) in cases {
        let warnings = World::with(&format!("{SCRIPT}\n{text}\n")).load().warnings;
        let [warning] = warnings.as_slice() else {
            panic!("expected one warning of {text}, found {}", shown(&warnings));
        };
        assert_eq!((warning.line, warning.key.as_str()), (Some(5), format!("script.s.{key}").as_str()));
        assert!(warning.message.contains(words), "{warning}");
    }
    for quiet in ["max_duration = \"7h30m\"", "stop = \"18:00\"", "stop = \"close + 2h\"", "max_duration = \"none\""] {
        let warnings = World::with(&format!("{SCRIPT}\n{quiet}\n")).load().warnings;
        assert!(warnings.is_empty(), "{quiet}: {}", shown(&warnings));
    }
}

#[test]
fn an_env_file_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with(&format!("{SCRIPT}env_file = \"secret.env\"\n")).file("config/secret.env", "A=1\n");
    let path = world.path("config/secret.env");
    for (mode, warnings) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        assert_eq!(world.load().warnings.len(), warnings, "{mode:o}");
    }
}

#[test]
fn only_disables_the_others_and_wants_what_the_chosen_wait_for() {
    let text = format!("{SCRIPT}[[script]]\nname = \"t\"\ncommand = \"x\"\ndepends_on = [\"s\"]\n");
    let only = |names: &[&str]| {
        let only = names.iter().map(|name| (*name).to_owned()).collect();
        World::with(&text).flags(Flags { only, ..Flags::default() })
    };
    let enabled = |world: World| world.load().settings.scripts.iter().map(|s| s.enabled).collect::<Vec<_>>();
    assert_eq!(enabled(only(&["s"])), [true, false]);
    assert_eq!(enabled(only(&["s", "t"])), [true, true]);
    assert!(only(&["t"]).faults()[0].message.contains("add it to --only"));
    let unknown = only(&["ss"]).faults();
    assert_eq!((unknown[0].key.as_str(), unknown[0].suggestion.as_deref()), ("--only", Some("s")));
}

#[test]
fn keys_of_later_versions_are_silent_at_their_empty_default() {
    let text = "kill_file = \"\"\n[defaults]\nwait_for = []\nwarn_signal = \"\"\nstop_command = []\non_dependency_down = \"keep\"";
    World::before_script(&format!("[orchestrator]\n{text}\n[defaults.ready]")).load();
}

#[test]
fn limits_of_a_script_stand_above_those_of_the_defaults() {
    let defaults =
        "[defaults.limits]\nnofile = 64\nmemory = \"1GB\"\numask = \"077\"\nmax_rss = \"2GB\"\nuser = \"nobody\"\n";
    let of = |text: &str| {
        let mut loaded = World::with(&format!("{defaults}{SCRIPT}{text}\n")).load();
        let spec = loaded.settings.scripts.remove(0);
        (spec.launch.limits, spec.memory)
    };
    let (limits, memory) =
        of("limits = { nofile = 128, memory = \"\", cpu_time = \"2m\", core = 0, nice = -3, user = \"\", group = 7 }");
    let expected = Limits {
        nofile: Some(128),
        memory: None,
        cpu_time: Some(Duration::from_secs(120)),
        core: Some(CoreSize::Bytes(0)),
        nice: Some(-3),
        umask: Some(0o77),
        user: None,
        group: Some("7".to_owned()),
    };
    assert_eq!(limits, expected);
    assert_eq!(memory, MemoryWatch { max_rss: Some(2_000_000_000), action: TripAction::Restart });
    assert_eq!(of("limits = \"\""), (Limits::default(), MemoryWatch::default()));
    let (limits, memory) = of("limits = { core = \"unlimited\", max_rss_action = \"alert\" }");
    assert_eq!((limits.nofile, limits.core, memory.action), (Some(64), Some(CoreSize::Unlimited), TripAction::Alert));
}

#[test]
fn limits_come_from_variables_too() {
    let world =
        World::with(SCRIPT).env("MHO__DEFAULTS__LIMITS__UMASK", "027").env("MHO__SCRIPT__S__LIMITS__NICE", "-2");
    let limits = world.load().settings.scripts.remove(0).launch.limits;
    assert_eq!((limits.umask, limits.nice), (Some(0o27), Some(-2)));
}

#[test]
fn the_shipped_file_says_what_is_built_in() {
    let shipped = World::with(SHIPPED);
    let bare = "base_dir = \"..\"\n[[script]]\nname = \"strategy\"\ncommand = [\"python3\", \"scripts/example_strategy.py\"]\n";
    let bare = World { sources: shipped.sources.clone(), ..World::empty() }.file("config/bare.toml", bare);
    let built_in = {
        let mut sources = bare.sources.clone();
        sources.config = Some("config/bare.toml".into());
        load(&sources).expect("sound").settings
    };
    let loaded = shipped.load();
    assert_eq!(loaded.settings.scripts, built_in.scripts);
    assert_eq!(loaded.settings.orchestrator, built_in.orchestrator);
    assert_eq!(loaded.settings.market, built_in.market);
    assert!(loaded.warnings.is_empty(), "{}", shown(&loaded.warnings));
    let script = &loaded.settings.scripts[0];
    let documented = ScriptSpec::with_defaults("strategy", "x");
    let same = ScriptSpec { launch: documented.launch.clone(), output: documented.output.clone(), ..script.clone() };
    assert_eq!(same, documented);
    // Every effective value is written in the file: it is complete.
    let written = |place: &Place| matches!(place, Place::File { .. });
    let missing: Vec<&str> = loaded.origins.iter().filter(|o| !written(&o.place)).map(|o| o.key.as_str()).collect();
    assert_eq!(missing, ["script.strategy.max_duration"]);
}

#[test]
fn every_key_that_the_shipped_file_shows_as_a_comment_exists() {
    let is_key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let uncomment = |line: &str| match line.strip_prefix("# ") {
        Some(inner) if inner.starts_with('[') || is_key(inner) => inner.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = SHIPPED.lines().map(|line| uncomment(line) + "\n").collect();
    assert_ne!(text, SHIPPED);
    let secrets = ["ALERT_URL", "TELEGRAM_TOKEN", "NTFY_TOKEN", "PING_URL", "SMTP_PASSWORD"];
    let world = World::with(&text).file("slack.url", "https://hooks.example.com/x");
    let world = secrets.into_iter().fold(world, |world, name| world.env(name, "https://example.com/hunter2"));
    let loaded = world.load();
    let names: Vec<&str> = loaded.settings.alerts.channels.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["webhook", "slack", "telegram", "ntfy", "healthchecks", "email", "exec"]);
    assert_eq!(loaded.settings.alerts.variables, secrets);
    assert_eq!(loaded.settings.alerts.channels[0].events, mho::domain::alert::AlertEvent::defaults());
    let told = format!("{:?} {:?}", loaded.settings.alerts, loaded.origins);
    assert!(!told.contains("hunter2") && !told.contains("hooks.example.com"), "{told}");
    assert_eq!(loaded.settings.scripts[0].max_duration, Some(Duration::from_secs(7 * 3600)));
    assert!(loaded.settings.calendar("DESK").is_some() && loaded.settings.calendar("OFFICE").is_some());
    // Hours that repeat those of the calendar change nothing.
    assert_eq!(&*loaded.settings.market, "XNYS");
}

#[test]
fn keys_that_change_nothing_are_warned_of() {
    let text = format!("{SCRIPT}on_dependency_down = \"stop\"\nwatchdog = {{ action = \"alert\" }}\n");
    let warnings = World::with(&text).load().warnings;
    let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["script.s.on_dependency_down", "script.s.watchdog.action"]);
}

#[test]
fn what_is_asked_of_a_script_that_lives_is_read_from_the_script_above_the_defaults() {
    let text = "[defaults.ready]\ntcp = \"127.0.0.1:1\"\ntimeout = \"2m\"\n[defaults.watchdog]\nsilence = \"10m\"\n";
    let world = World::with(&format!(
        "{text}{SCRIPT}ready = {{ log = \"up\" }}\nwait_for = [\"tcp://[::1]:4002\", \"http://h/ok\"]\nwarn_signal = \"SIGUSR1@90s\"\n\
         stop_command = [\"sh\", \"-c\", \"x\"]\n"
    ));
    let spec = world.load().settings.scripts.remove(0);
    let ready = spec.ready.expect("a probe");
    assert_eq!((ready.probe.to_string().as_str(), ready.timeout), ("a line with \"up\"", Duration::from_secs(120)));
    assert_eq!(spec.wait_for.iter().map(ToString::to_string).collect::<Vec<_>>(), ["tcp://[::1]:4002", "http://h/ok"]);
    let warn = spec.warn.expect("a warning");
    assert_eq!((warn.signal.to_string().as_str(), warn.lead), ("SIGUSR1", Duration::from_secs(90)));
    assert_eq!(spec.watchdog.silence, Some(Duration::from_secs(600)));
    let tool = spec.stop_command.expect("a command");
    assert!(tool.program.ends_with("sh") && tool.args == ["-c", "x"]);
}

#[test]
fn no_secret_of_an_alert_is_shown_in_a_fault_or_an_origin() {
    for text in
        ["url_env = \"https://hunter2\"", "url = [\"hunter2\"]", "headers = \"hunter2\"", "body = \"hunter2 {x}\""]
    {
        let world = World::before_script(&format!("[[alert]]\ntype = \"webhook\"\n{text}"));
        let faults = world.faults();
        assert!(!shown(&faults).contains("hunter2"), "{}", shown(&faults));
    }
    let faults = World::before_script("").env("MHO__ALERT", "hunter2").faults();
    assert!(!shown(&faults).contains("hunter2"), "{}", shown(&faults));
    let set = World::before_script("").set("alert=[{type = \"slack\", url = \"https://hunter2.example\"}]").load();
    assert_eq!(set.settings.alerts.channels.len(), 1);
    assert!(!format!("{:?}{:?}", set.origins, set.settings.alerts).contains("hunter2"));
    let faults = World::before_script(
        "[[alert]]\ntype = \"exec\"\nname = \"a\"\ncommand = \"true\"\n[[alert]]\ntype = \"exec\"\nname = \"a\"\ncommand = \"true\"",
    );
    assert!(shown(&faults.faults()).contains("is the name of another [[alert]]"));
}

#[test]
fn warnings_are_told_beside_faults() {
    let examined = World::before_script("[defaults.restart]\ninitial_delay = \"2m\"\n[orchestrator]\nx = 1").examine();
    assert_eq!((examined.faults.len(), examined.warnings.len()), (1, 1));
    assert!(examined.loaded.is_none());
}

#[test]
fn no_value_of_a_variable_is_shown_in_a_fault_or_an_origin() {
    let secret = "hunter2";
    for text in ["env = \"hunter2\"", "env = { A = [\"hunter2\"] }", "env = { \"A=B\" = \"hunter2\" }"] {
        let faults = World::with(&format!("{SCRIPT}{text}\n")).faults();
        assert!(!shown(&faults).contains(secret), "{}", shown(&faults));
    }
    let loaded =
        World::with(&format!("{SCRIPT}env = {{ A = \"{secret}\" }}\n")).env("MHO__DEFAULTS__ENV__B", secret).load();
    assert_eq!(loaded.settings.scripts[0].launch.env["A"], secret);
    assert_eq!(loaded.settings.scripts[0].launch.env["B"], secret);
    assert!(loaded.origins.iter().all(|origin| !origin.value.contains(secret)));
    assert!(loaded.origins.iter().any(|origin| origin.key == "script.s.env.B"));
}

#[test]
fn a_thousand_scripts_load_in_a_moment() {
    let script = |n: u32| format!("[[script]]\nname = \"s{n}\"\ncommand = \"sleep 1000\"\n");
    let text: String = (0..1000).map(script).collect();
    let start = std::time::Instant::now();
    assert_eq!(World::with(&text).load().settings.scripts.len(), 1000);
    // Far more than it needs unoptimized on a busy machine; a quadratic walk would not make it.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    println!("{:?}", start.elapsed());
}
