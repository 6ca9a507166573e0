use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A start directory whose config/mho.toml holds `text`, with a script that exists.
fn world(text: &str) -> (TempDir, Sources) {
    let dir = tempfile::tempdir().expect("a directory");
    let cwd = dir.path().canonicalize().expect("exists");
    std::fs::create_dir(cwd.join("config")).expect("made");
    std::fs::write(cwd.join("config/mho.toml"), format!("base_dir = \"..\"\n{text}")).expect("written");
    std::fs::write(cwd.join("s.sh"), "sleep 1\n").expect("written");
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    (dir, Sources { cwd, env, ..Sources::default() })
}

/// Monday 2026-11-23, 10:00 in New York; Friday of that week closes early.
fn monday() -> DateTime<Utc> {
    "2026-11-23T15:00:00Z".parse().expect("an instant")
}

fn json(sources: &Sources, now: DateTime<Utc>) -> (u8, Value) {
    let mut out = Vec::new();
    let code = run(&CheckArgs { json: true }, sources, now, &mut out).expect("output to memory");
    (code, serde_json::from_slice(&out).expect("JSON alone"))
}

fn text(sources: &Sources, now: DateTime<Utc>) -> (u8, String) {
    let mut out = Vec::new();
    let code = run(&CheckArgs { json: false }, sources, now, &mut out).expect("output to memory");
    (code, String::from_utf8(out).expect("text"))
}

#[test]
fn json_holds_the_window_that_is_open_with_the_calendars_offset() {
    let (_dir, sources) = world("[[script]]\nname = \"s\"\ncommand = \"s.sh\"\nmax_duration = \"7h\"\n");
    let (code, found) = json(&sources, monday());
    assert_eq!((code, &found["ok"]), (0, &Value::Bool(true)), "{found}");
    let next = &found["scripts"][0]["next"];
    assert_eq!(next["trading_date"], "2026-11-23");
    assert_eq!(next["start"], "2026-11-23T08:30:00-05:00");
    assert_eq!(next["stop"], "2026-11-23T16:00:00-05:00");
    assert_eq!(next["deadline"], "2026-11-23T15:30:00-05:00");
    assert_eq!(found["scripts"][0]["command"][1], "s.sh");
}

#[test]
fn after_the_close_the_next_session_is_shown_early_close_included() {
    let (_dir, sources) = world("[[script]]\nname = \"s\"\ncommand = \"s.sh\"\n");
    let wednesday_night = "2026-11-26T02:00:00Z".parse().expect("an instant");
    let (_, found) = json(&sources, wednesday_night);
    let next = &found["scripts"][0]["next"];
    assert_eq!(next["trading_date"], "2026-11-27");
    assert_eq!(next["stop"], "2026-11-27T13:00:00-05:00");
    assert_eq!(next["deadline"], Value::Null);
}

#[test]
fn files_that_keep_a_script_from_starting_are_errors_of_check_alone() {
    let (_dir, sources) = world(
        "[[script]]\nname = \"a\"\ncommand = \"python3 nope.py\"\n\
         [[script]]\nname = \"b\"\ncommand = \"no-such-program\"\n\
         [[script]]\nname = \"c\"\ncommand = \"./s.txt\"\n\
         [[script]]\nname = \"d\"\ncommand = \"sleep 1\"\nworking_dir = \"nowhere\"\n\
         [[script]]\nname = \"e\"\ncommand = \"./bang\"\n\
         [[script]]\nname = \"f\"\ncommand = \"sleep 1\"\nenv_file = \"gone.env\"\n\
         [[script]]\nname = \"g\"\ncommand = \"sleep 1\"\nenv_file = \"-gone.env\"\n",
    );
    std::fs::write(sources.cwd.join("s.txt"), "x").expect("written");
    std::fs::write(sources.cwd.join("bang"), "#!/no/such/interpreter -x\n").expect("written");
    std::fs::set_permissions(sources.cwd.join("bang"), PermissionsExt::from_mode(0o755)).expect("set");
    assert!(crate::config::load(&sources).is_ok());
    let (code, found) = json(&sources, monday());
    assert_eq!(code, 2);
    let errors = found["errors"].as_array().expect("a list");
    let seen: Vec<(&str, u64)> =
        errors.iter().map(|e| (e["key"].as_str().expect("a key"), e["line"].as_u64().expect("a line"))).collect();
    let want = [
        ("script.a.command", 4),
        ("script.b.command", 7),
        ("script.c.command", 10),
        ("script.d.working_dir", 14),
        ("script.e.command", 17),
        ("script.f.env_file", 21),
    ];
    assert_eq!(seen, want, "{found}");
    for (error, words) in
        errors.iter().zip(["nope.py", "PATH", "chmod +x", "nowhere", "/no/such/interpreter", "gone.env"])
    {
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    }
    assert_eq!(found["scripts"].as_array().map(Vec::len), Some(7), "scripts are listed on exit 2, too");
}

#[test]
fn faults_of_the_configuration_come_as_json_with_exit_2() {
    let (_dir, sources) = world("[orchestrator]\nlog_levle = \"info\"\n[[script]]\nname = \"s\"\ncommand = \"s.sh\"\n");
    let (code, found) = json(&sources, monday());
    assert_eq!(code, 2);
    assert_eq!(found["ok"], false);
    let error = &found["errors"][0];
    assert_eq!(error["file"], "config/mho.toml");
    assert_eq!(error["line"], 3);
    assert_eq!(error["key"], "orchestrator.log_levle");
    assert_eq!(error["suggestion"], "log_level");
}

#[test]
fn programs_are_looked_at_beside_the_faults_of_other_keys() {
    let (_dir, sources) = world(
        "[[script]]\nname = \"a\"\ncommand = \"no-such-program\"\n\
         [[script]]\nname = \"b\"\ncommand = \"s.sh\"\nstop_grace = \"soon\"\nworking_dir = 5\n\
         [[script]]\nname = \"c\"\ncommand = \"s.sh\"\n[http]\nport = 1\n",
    );
    let (code, found) = json(&sources, monday());
    assert_eq!(code, 2);
    let keys: Vec<_> = found["errors"].as_array().into_iter().flatten().map(|error| &error["key"]).collect();
    assert_eq!(keys, ["script.b.stop_grace", "script.b.working_dir", "http.port", "script.a.command"], "{found}");
    let scripts: Vec<_> = found["scripts"].as_array().into_iter().flatten().collect();
    assert_eq!(scripts.iter().map(|script| &script["name"]).collect::<Vec<_>>(), ["a", "c"], "{found}");
    assert!(scripts.iter().all(|script| script["next"] == Value::Null), "nothing would be started: {found}");
}

#[test]
fn files_that_the_system_would_refuse_to_execute_are_errors() {
    let (_dir, sources) = world(
        "[[script]]\nname = \"a\"\ncommand = \"./dos\"\n[[script]]\nname = \"b\"\ncommand = \"./plain\"\n\
         [[script]]\nname = \"c\"\ncommand = \"sleep 1\"\nenv_file = \"bad.env\"\n\
         [[script]]\nname = \"d\"\ncommand = \"./good\"\n[[script]]\nname = \"e\"\ncommand = \"sh ./plain\"\n",
    );
    for (name, content) in [("dos", "#!/bin/sh\r\nexit\r\n"), ("plain", "exit 0\n"), ("good", "#!/bin/sh\nexit\n")] {
        std::fs::write(sources.cwd.join(name), content).expect("written");
        std::fs::set_permissions(sources.cwd.join(name), PermissionsExt::from_mode(0o755)).expect("set");
    }
    std::fs::write(sources.cwd.join("bad.env"), "A=1\nB=two words\n").expect("written");
    let (code, found) = json(&sources, monday());
    assert_eq!(code, 2);
    let errors = found["errors"].as_array().expect("a list");
    let want = [
        ("script.a.command", "carriage return"),
        ("script.b.command", "#!/bin/sh"),
        ("script.c.env_file", "bad.env line 2"),
    ];
    assert_eq!(errors.len(), want.len(), "{found}");
    for (error, (key, words)) in errors.iter().zip(want) {
        assert_eq!(error["key"], key);
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    }
}

#[test]
fn a_clock_that_nobody_keeps_right_is_a_warning() {
    let (_dir, sources) = world("[[script]]\nname = \"s\"\ncommand = \"s.sh\"\n");
    let loaded = crate::config::load(&sources).expect("sound");
    let windows = NextWindows::of(&loaded.settings, monday());
    let warned = |synchronised| {
        let warnings = warnings_of(&loaded, &windows, synchronised);
        warnings.iter().any(|warning| warning.key == "clock" && warning.message.contains("set-ntp true"))
    };
    assert_eq!([Some(false), Some(true), None].map(warned), [true, false, false]);
}

#[test]
fn ten_thousand_scripts_in_a_chain_are_checked_in_seconds() {
    let script = |n: u32| {
        let on = n.checked_sub(1).map(|before| format!("depends_on = [\"s{before}\"]\n")).unwrap_or_default();
        format!("[[script]]\nname = \"s{n}\"\ncommand = \"no-such-program\"\ncalendar = \"nyse\"\n{on}")
    };
    let (_dir, sources) = world(&(0..10_000).map(script).collect::<String>());
    let start = std::time::Instant::now();
    let (code, shown) = text(&sources, monday());
    assert!(code == 2 && shown.contains("TimeoutStopSec=100005"), "{code}");
    // Far more than it needs unoptimized on a busy machine; a quadratic walk would not make it.
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
    println!("{:?}", start.elapsed());
}

#[test]
fn text_shows_paths_places_grace_and_that_nobody_will_be_told() {
    let (_dir, sources) = world(
        "[[script]]\nname = \"a\"\ncommand = \"s.sh\"\nenv = { TOKEN = \"hunter2\" }\n\
         [[script]]\nname = \"b\"\ncommand = \"s.sh\"\ndepends_on = [\"a\"]\nstop_grace = \"30s\"\n",
    );
    let (code, shown) = text(&sources, monday());
    assert_eq!(code, 0, "{shown}");
    let state = Path::new(&sources.cwd).join("state");
    for words in [
        "no [[alert]]: nobody will be told",
        "stop_grace_period: 45s",
        "TimeoutStopSec=45",
        "config/mho.toml:9",
        "built-in default",
        "2026-11-23 08:30:00 EST to 2026-11-23 16:00:00 EST",
        "published to",
        "zone data     IANA 20",
        state.to_str().expect("text"),
    ] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    assert!(!shown.contains("hunter2"), "values of env are never shown");
}

#[test]
fn where_nothing_has_been_set_up_there_is_one_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let sources = Sources { cwd: dir.path().canonicalize().expect("exists"), ..Sources::default() };
    let (code, found) = json(&sources, monday());
    assert_eq!((code, found["errors"].as_array().map(Vec::len)), (2, Some(1)), "{found}");
}

#[test]
fn a_disabled_script_is_not_looked_at() {
    let (_dir, sources) = world("[[script]]\nname = \"a\"\ncommand = \"no-such-program\"\nenabled = false\n");
    let (code, found) = json(&sources, monday());
    assert_eq!((code, &found["scripts"][0]["next"]), (0, &Value::Null), "{found}");
}
