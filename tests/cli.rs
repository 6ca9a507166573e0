//! The verbs as a user types them: exit codes, what is printed where, and what is left alone.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{World, done, eventually};
use serde_json::{Value, json};

/// One script whose program does not exist: verbs that only think need none.
const DEMO: &str = "[[script]]\nname = \"demo\"\ncommand = [\"./nosuch\"]\n";

const FAULTY: &str = "\
[orchestrator]
log_levl = \"info\"
[[script]]
name = \"demo\"
command = [\"sh\", \"-c\", \"echo started >started\"]
start = \"opne\"
stop_grace = \"ten\"
";

/// `event at` of every event of these kinds, in order.
fn events(lines: &[Value], kinds: &[&str]) -> Vec<String> {
    let text = |line: &Value, key: &str| line[key].as_str().expect("text").to_owned();
    lines
        .iter()
        .filter(|line| kinds.contains(&line["event"].as_str().expect("a kind")))
        .map(|line| format!("{} {}", text(line, "event"), text(line, "at")))
        .collect()
}

fn of_script(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["script"] == name).cloned().collect()
}

/// `mho simulate --json` of DEMO with more flags.
fn simulate(config: &str, args: &[&str]) -> Vec<Value> {
    let done = World::new(config).cli(&[&["simulate", "--json", "--config", "mho.toml"], args].concat());
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    done.lines()
}

#[test]
fn version_is_one_line_and_help_names_every_verb() {
    let world = World::empty();
    let version = world.cli(&["--version"]);
    assert_eq!((version.code, version.out.as_str()), (0, concat!("mho ", env!("CARGO_PKG_VERSION"), "\n")));
    let help = world.cli(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for verb in ["run", "check", "calendar", "next", "simulate", "exec", "logs", "init", "completions"] {
        assert!(
            help.out.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))),
            "{verb}: {}",
            help.out
        );
        let own = world.cli(&[verb, "--help"]);
        assert!(own.code == 0 && own.out.contains("--config") && own.out.contains("--state-dir"), "{own:?}");
    }
}

#[test]
fn an_unknown_verb_or_flag_is_a_usage_error() {
    let world = World::new(DEMO);
    for args in [&["ruin"][..], &["run", "--sped", "2"], &["simulate", "--from", "yesterday"], &["run", "--speed", "0"]]
    {
        let done = world.cli(args);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
        assert!(!done.err.is_empty());
    }
}

#[test]
fn all_faults_are_named_at_once_with_file_and_line_and_nothing_starts() {
    let world = World::new(FAULTY);
    for args in [
        &["run", "--config", "mho.toml", "--at", "2026-11-27T12:00:00"][..],
        &["check", "--config", "mho.toml"],
        &["next", "--config", "mho.toml"],
        &["simulate", "--config", "mho.toml", "--from", "2026-11-27"],
        &["exec", "--config", "mho.toml", "demo"],
        &["logs", "--config", "mho.toml", "demo"],
        &["calendar", "--config", "mho.toml"],
    ] {
        let done = world.cli(args);
        assert_eq!(done.code, 2, "{done:?}");
        let text = format!("{}{}", done.out, done.err);
        for part in ["mho.toml:2: ", "log_levl", "did you mean \"log_level\"", "mho.toml:6: ", "mho.toml:7: "] {
            assert!(text.contains(part), "{args:?}: {part}: {text}");
        }
    }
    assert!(!world.has("started"));
}

#[test]
fn check_json_has_its_shape_also_when_something_is_wrong() {
    let done = World::new(FAULTY).cli(&["check", "--json", "--config", "mho.toml"]);
    assert_eq!(done.code, 2, "{done:?}");
    let found = done.json();
    assert_eq!(found["ok"], json!(false));
    let errors = found["errors"].as_array().expect("a list");
    let places: Vec<_> = errors.iter().map(|e| (e["line"].as_u64().unwrap(), e["key"].as_str().unwrap())).collect();
    assert_eq!(places, [(2, "orchestrator.log_levl"), (6, "script.demo.start"), (7, "script.demo.stop_grace")]);
    assert_eq!(errors[0]["suggestion"], "log_level");
    assert_eq!(errors[2]["suggestion"], Value::Null);
    for error in errors {
        assert!(error["file"].as_str().is_some_and(|file| file.ends_with("mho.toml")), "{error}");
        assert!(error["message"].is_string());
    }
    assert!(found["warnings"].is_array() && found["scripts"].is_array());
}

#[test]
fn check_json_shows_each_scripts_next_window() {
    let world = World::new("[[script]]\nname = \"demo\"\ncommand = [\"sleep\", \"300\"]\nmax_duration = \"7h\"\n");
    let done = world.cli(&["check", "--json", "--config", "mho.toml"]);
    let found = done.json();
    assert_eq!((done.code, &found["ok"], &found["errors"]), (0, &json!(true), &json!([])), "{done:?}");
    let script = &found["scripts"][0];
    assert_eq!((&script["name"], &script["command"][1]), (&json!("demo"), &json!("300")));
    assert!(script["command"][0].as_str().is_some_and(|program| program.starts_with('/')), "{script}");
    assert_eq!(script["working_dir"].as_str().map(std::path::Path::new), Some(world.root()));
    for key in ["trading_date", "start", "stop"] {
        assert!(script["next"][key].is_string(), "{script}");
    }
    assert!(script["next"].as_object().expect("an object").contains_key("deadline"));
    let warnings = found["warnings"].as_array().expect("a list");
    assert!(warnings.iter().any(|w| w["message"].as_str().unwrap().contains("no [[alert]]: nobody will be told")));
    assert!(
        warnings.iter().any(|w| w["key"] == "script.demo.max_duration"),
        "the limit ends before the stop: {warnings:?}"
    );
}

#[test]
fn a_missing_program_is_an_error_of_check() {
    let done = World::new(DEMO).cli(&["check", "--config", "mho.toml"]);
    assert_eq!(done.code, 2);
    assert!(format!("{}{}", done.out, done.err).contains("mho.toml:3: "), "{done:?}");
}

#[test]
fn a_script_that_is_not_configured_is_code_4() {
    let world = World::new(DEMO);
    for verb in ["exec", "logs"] {
        let done = world.cli(&[verb, "--config", "mho.toml", "nobody"]);
        assert_eq!((done.code, done.out.as_str()), (4, ""), "{done:?}");
        assert!(done.err.contains("nobody") && done.err.contains("demo"), "{}", done.err);
    }
}

#[test]
fn a_state_dir_that_cannot_be_made_is_code_1_with_path_and_reason_and_nothing_starts() {
    let world = World::new("[[script]]\nname = \"demo\"\ncommand = [\"sh\", \"-c\", \"echo >started\"]\n");
    world.write("file", "in the way");
    for extra in [&[][..], &["--at", "2026-11-27T12:00:00"]] {
        let args = [&["run", "--config", "mho.toml", "--state-dir", "file/state", "--log-dir", "logs"], extra].concat();
        let done = world.cli(&args);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
        let path = world.path("file/state");
        assert!(done.err.contains(path.to_str().unwrap()) && done.err.contains("Not a directory"), "{}", done.err);
    }
    assert!(!world.has("started"));
}

#[test]
fn calendar_csv_has_a_row_for_every_civil_day() {
    let args = ["calendar", "XNYS", "--from", "2026-11-26", "--to", "2026-11-28", "--format", "csv"];
    let done = World::new(DEMO).cli(&[&args[..], &["--config", "mho.toml"]].concat());
    let expected = "date,is_session,open_utc,close_utc,is_early_close,reason\n\
        2026-11-26,0,,,0,Thanksgiving\n\
        2026-11-27,1,2026-11-27T14:30:00Z,2026-11-27T18:00:00Z,1,early close: day after Thanksgiving\n\
        2026-11-28,0,,,0,weekend\n";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, expected, ""));
}

#[test]
fn calendar_next_and_simulate_work_in_an_empty_directory() {
    let world = World::empty();
    let calendar = world.cli(&["calendar", "--from", "2026-11-27", "--to", "2026-11-27", "--format", "csv"]);
    assert!(calendar.code == 0 && calendar.out.contains("\n2026-11-27,1,"), "{calendar:?}");
    let next = world.cli(&["next", "--json", "-n", "3"]);
    assert_eq!((next.code, next.lines().len()), (0, 3), "{next:?}");
    let simulated = world.cli(&["simulate", "--json", "--from", "2026-11-27"]);
    assert_eq!((simulated.code, simulated.lines().len()), (0, 4), "{simulated:?}");
    for args in [&["run", "--at", "2026-11-27T12:00:00"][..], &["check"]] {
        let done = world.cli(args);
        assert!(done.code == 2 && format!("{}{}", done.out, done.err).contains("mho init"), "{done:?}");
    }
    assert_eq!(std::fs::read_dir(world.root()).expect("readable").count(), 0, "nothing was written");
}

#[test]
fn without_scripts_a_name_is_told_to_be_none_of_them() {
    let done = World::new("").cli(&["logs", "demo", "--config", "mho.toml"]);
    assert!(done.code == 4 && done.err.contains("the configuration has: no script\n"), "{done:?}");
}

#[test]
fn a_slip_in_the_name_of_a_calendar_is_corrected() {
    let done = World::new(DEMO).cli(&["calendar", "XNYZ", "--config", "mho.toml"]);
    assert!(done.code == 2 && done.err.contains("did you mean \"XNYS\"?"), "{done:?}");
}

#[test]
fn a_calendar_that_does_not_exist_or_dates_outside_its_data_are_usage_errors() {
    let world = World::new(DEMO);
    for args in [
        &["calendar", "XNSE-X"][..],
        &["calendar", "--from", "2036-01-01"],
        &["calendar", "--from", "2026-11-27", "--to", "2026-11-26"],
        &["simulate", "--from", "2026-11-27", "--to", "2026-11-26"],
        &["simulate", "--from", "2080-01-01"],
    ] {
        let done = world.cli(&[args, &["--config", "mho.toml"]].concat());
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{args:?}: {done:?}");
        assert!(!done.err.is_empty());
    }
}

#[test]
fn simulate_wants_the_calendar_of_every_enabled_script_to_know_its_dates() {
    let script = |name: &str, more: &str| format!("[[script]]\nname = \"{name}\"\ncommand = [\"./x\"]\n{more}");
    let mine = "calendar = \"MINE\"\n";
    let config =
        |more: &str| format!("[market]\ncalendar_dir = \"cal\"\n{}{}", script("demo", ""), script("mine", more));
    let world = World::new("");
    world.write(
        "cal/MINE.toml",
        "timezone = \"UTC\"\nname = \"Mine\"\nfrom = 2026-12-10\nto = 2026-12-12\n\
                                 weekdays = [\"thu\"]\n[hours]\nopen = \"09:00\"\nclose = \"10:00\"\n",
    );
    let simulate = |config: String, from: &str, to: &str| {
        world.write("mho.toml", &config);
        world.cli(&["simulate", "--config", "mho.toml", "--from", from, "--to", to])
    };
    for (from, to, date) in [("2026-12-11", "2026-12-14", "2026-12-14"), ("2026-12-09", "2026-12-11", "2026-12-09")] {
        let done = simulate(config(mine), from, to);
        let expected =
            format!("mho: script mine: calendar MINE has no data for {date}: it covers 2026-12-10 to 2026-12-12; ");
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
        assert!(done.err.starts_with(&expected), "{done:?}");
        assert_eq!(simulate(config(&format!("{mine}enabled = false\n")), from, to).code, 0);
        assert_eq!(simulate(config(""), from, to).code, 0);
    }
    assert_eq!(simulate(config(mine), "2026-12-10", "2026-12-12").code, 0);
}

#[test]
fn next_json_lists_boundaries_in_order() {
    let done = World::new(DEMO).cli(&["next", "-n", "8", "--json", "--config", "mho.toml"]);
    let lines = done.lines();
    assert_eq!((done.code, lines.len()), (0, 8), "{done:?}");
    let mut last = String::new();
    for line in &lines {
        let keys: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["at", "boundary", "script", "trading_date"]);
        let at = line["at"].as_str().expect("an instant").to_owned();
        assert!(chrono::DateTime::parse_from_rfc3339(&at).is_ok(), "{at}");
        assert!(at >= last, "in order: {last} {at}");
        last = at;
        match line["boundary"].as_str().expect("text") {
            "start" | "stop" => assert_eq!(line["script"], "demo"),
            "open" | "close" => assert_eq!(line["script"], Value::Null),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn simulate_shows_thanksgiving_week_as_the_calendar_says() {
    let lines = simulate(DEMO, &["--from", "2026-11-23", "--to", "2026-12-04"]);
    let mut expected = Vec::new();
    for day in ["11-23", "11-24", "11-25", "11-27", "11-30", "12-01", "12-02", "12-03", "12-04"] {
        expected.push(format!("start 2026-{day}T08:30:00-05:00"));
        expected.push(format!("stop 2026-{day}T{}:00:00-05:00", if day == "11-27" { 13 } else { 16 }));
    }
    assert_eq!(events(&lines, &["start", "stop"]), expected);
    for line in &lines {
        for key in ["at", "script", "trading_date", "event", "attempt", "reason"] {
            assert!(line.as_object().expect("an object").contains_key(key), "{key}: {line}");
        }
        assert_eq!(line["trading_date"].as_str(), line["at"].as_str().map(|at| &at[..10]));
        match line["event"].as_str().expect("text") {
            "finished" => assert_eq!(line["result"], "window_end"),
            "exit" => assert_eq!((&line["signal"], &line["reason"]), (&json!("SIGTERM"), &json!("stopped"))),
            "stop" => assert_eq!(line["reason"], "window end"),
            "start" => assert_eq!(line["attempt"], 1),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn simulate_with_a_limit_of_seven_hours_stops_at_15_30() {
    let lines = simulate(&format!("{DEMO}max_duration = \"7h\"\n"), &["--from", "2026-11-25", "--to", "2026-11-27"]);
    let stops = events(&lines, &["stop"]);
    assert_eq!(stops, ["stop 2026-11-25T15:30:00-05:00", "stop 2026-11-27T13:00:00-05:00"]);
    let results: Vec<_> = lines.iter().filter_map(|line| line["result"].as_str()).collect();
    assert_eq!(results, ["time_limit", "window_end"], "a limit at or after the stop is void");
}

#[test]
fn simulate_across_both_changes_of_the_clock_keeps_local_times() {
    let starts = |from, to| events(&simulate(DEMO, &["--from", from, "--to", to]), &["start", "stop"]);
    let expected = [
        "start 2026-03-06T08:30:00-05:00",
        "stop 2026-03-06T16:00:00-05:00",
        "start 2026-03-09T08:30:00-04:00",
        "stop 2026-03-09T16:00:00-04:00",
    ];
    assert_eq!(starts("2026-03-06", "2026-03-09"), expected);
    let expected = [
        "start 2026-10-30T08:30:00-04:00",
        "stop 2026-10-30T16:00:00-04:00",
        "start 2026-11-02T08:30:00-05:00",
        "stop 2026-11-02T16:00:00-05:00",
    ];
    assert_eq!(starts("2026-10-30", "2026-11-02"), expected);
}

#[test]
fn simulate_gives_up_on_a_script_that_crashes_and_tries_again_at_the_open() {
    let lines = simulate(DEMO, &["--from", "2026-11-25", "--exit", "demo=1@5s"]);
    let at = |event: &str| events(&lines, &[event]);
    let before_nine = at("start").iter().filter(|line| line.as_str() < "start 2026-11-25T08:45").count();
    assert_eq!(before_nine, 6, "six attempts, the sixth crash gives up");
    assert!(at("gave_up")[0].starts_with("gave_up 2026-11-25T08:31:"), "{:?}", at("gave_up"));
    assert_eq!(at("rearmed"), ["rearmed 2026-11-25T09:30:00-05:00"]);
    assert!(at("start").contains(&"start 2026-11-25T09:30:00-05:00".to_owned()));
    let delays: Vec<_> = lines.iter().filter_map(|line| line["delay_ms"].as_u64()).take(5).collect();
    assert_eq!(delays, [1000, 2000, 4000, 8000, 16000], "no jitter");
    let last = lines.last().expect("events");
    assert_eq!((&last["event"], &last["result"]), (&json!("finished"), &json!("failed")), "{last}");
}

#[test]
fn simulate_of_exit_42_is_one_start() {
    let lines = simulate(DEMO, &["--from", "2026-11-25", "--exit", "demo=42@90m"]);
    assert_eq!(
        events(&lines, &["start", "exit"]),
        ["start 2026-11-25T08:30:00-05:00", "exit 2026-11-25T10:00:00-05:00"]
    );
    assert_eq!(lines.last().expect("events")["result"], "finished_early");
    assert_eq!(lines.iter().find(|line| line["event"] == "exit").expect("one")["code"], 42);
}

#[test]
fn simulate_gives_successive_attempts_their_own_exits() {
    let lines = simulate(DEMO, &["--from", "2026-11-25", "--exit", "demo=1@2h", "--exit", "demo=0@30m"]);
    let expected = [
        "start 2026-11-25T08:30:00-05:00",
        "exit 2026-11-25T10:30:00-05:00",
        "start 2026-11-25T10:30:01-05:00",
        "exit 2026-11-25T11:00:01-05:00",
    ];
    assert_eq!(events(&lines, &["start", "exit"]), expected);
}

#[test]
fn simulate_of_an_unknown_script_is_code_4_and_of_a_bad_exit_code_2() {
    let world = World::new(DEMO);
    let simulate = |exit| world.cli(&["simulate", "--config", "mho.toml", "--from", "2026-11-25", "--exit", exit]).code;
    assert_eq!([simulate("nobody=1@5s"), simulate("demo=1"), simulate("demo=256@5s")], [4, 2, 2]);
}

#[test]
fn a_pipeline_of_the_environment_runs_one_after_the_other_and_touches_no_file() {
    let world = World::empty();
    let mut command = world.mho(&["simulate", "--from", "2026-11-25", "--json", "--exit", "data_collection=0@30m"]);
    command.args(["--exit", "results_analysis=0@10m"]);
    command.env("TRADING_SCRIPTS", "data_collection.py,strategy_execution.py,results_analysis.py");
    let done = done(command);
    assert_eq!(done.code, 0, "{done:?}");
    let lines = done.lines();
    let times = |name| events(&of_script(&lines, name), &["start", "stop", "exit"]);
    assert_eq!(times("data_collection"), ["start 2026-11-25T08:30:00-05:00", "exit 2026-11-25T09:00:00-05:00"]);
    let strategy = times("strategy_execution");
    assert_eq!(strategy[..2], ["start 2026-11-25T09:00:00-05:00", "stop 2026-11-25T16:00:00-05:00"], "{strategy:?}");
    assert_eq!(times("results_analysis"), ["start 2026-11-25T16:00:00-05:00", "exit 2026-11-25T16:10:00-05:00"]);
    let result = |name| of_script(&lines, name).last().expect("events")["result"].clone();
    let results = ["data_collection", "strategy_execution", "results_analysis"].map(result);
    assert_eq!(results, [json!("succeeded"), json!("window_end"), json!("succeeded")]);
    assert_eq!(std::fs::read_dir(world.root()).expect("readable").count(), 0, "nothing was written");
}

#[test]
fn scripts_of_the_environment_replace_those_of_the_file_and_say_so() {
    let world = World::new("[[script]]\nname = \"filed\"\ncommand = \"sleep 300\"\n");
    world.write("given.py", "pass\n");
    let mut command = world.mho(&["check", "--json", "--config", "mho.toml"]);
    command.env("TRADING_SCRIPT", "given.py");
    let found = done(command).json();
    assert_eq!((&found["scripts"][0]["name"], &found["scripts"][1]), (&json!("given"), &Value::Null));
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("filed"), "{warnings}");
}

#[test]
fn a_year_with_ten_scripts_is_simulated() {
    let config: String = (0..10).map(|n| format!("[[script]]\nname = \"s{n}\"\ncommand = [\"./nosuch\"]\n")).collect();
    let start = Instant::now();
    let lines = simulate(&config, &["--from", "2026-01-01", "--to", "2026-12-31"]);
    println!("a year with 10 scripts (not optimized): {:?}", start.elapsed());
    let starts = lines.iter().filter(|line| line["event"] == "start").count();
    assert_eq!(starts, 2510, "251 sessions");
    assert!(lines.windows(2).all(|pair| {
        let at = |line: &Value| chrono::DateTime::parse_from_rfc3339(line["at"].as_str().unwrap()).unwrap();
        at(&pair[0]) <= at(&pair[1])
    }));
}

#[test]
fn exec_gives_the_environment_and_the_exit_code() {
    let world = World::new(
        r#"
        [[script]]
        name = "demo"
        working_dir = "sub"
        env = { OURS = "1" }
        command = ["sh", "-c", "echo $MHO_SCRIPT $MHO_REHEARSAL $MHO_ATTEMPT $OURS $(basename $PWD) $MHO_TRADING_DATE; exit 9"]
        "#,
    );
    world.write("sub/.keep", "");
    for (flags, rehearsal) in [(&[][..], "1"), (&["--live"], "0")] {
        let done = world.cli(&[&["exec", "--config", "mho.toml", "demo"], flags].concat());
        assert_eq!(done.code, 9, "{done:?}");
        assert!(done.out.starts_with(&format!("demo {rehearsal} 1 1 sub 20")), "{done:?}");
    }
}

#[test]
fn exec_of_a_missing_program_is_code_1_and_names_it() {
    let done = World::new(DEMO).cli(&["exec", "--config", "mho.toml", "demo"]);
    assert!(done.code == 1 && done.err.contains("nosuch"), "{done:?}");
}

#[test]
fn init_writes_what_check_and_run_accept_and_overwrites_nothing() {
    let world = World::empty();
    let done = world.cli(&["init"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(world.has("config/mho.toml") && world.has("scripts/example_strategy.py"));
    let check = world.cli(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    let again = world.cli(&["init"]);
    assert!(again.code == 1 && format!("{}{}", again.out, again.err).contains("exists"), "{again:?}");
    let elsewhere = world.cli(&["init", "sub"]);
    assert!(elsewhere.code == 0 && world.has("sub/config/mho.toml"), "{elsewhere:?}");
    let mut daemon = world.run_as_initialised();
    daemon.wait_for(&["Script started with PID"]);
    daemon.stop();
}

#[test]
fn what_is_no_date_is_code_2_and_says_how_dates_are_written() {
    let world = World::new(DEMO);
    for verb in [
        "history --from",
        "history --to",
        "logs demo --date",
        "skip demo --date",
        "simulate --from",
        "calendar --from",
        "calendar --to",
    ] {
        for date in ["26.11.", "+10000-01-01"] {
            let done = world.cli(&[verb.split(' ').collect::<Vec<_>>(), vec![date]].concat());
            assert!(done.code == 2 && done.err.contains("use YYYY-MM-DD, such as 2026-11-27"), "{verb}: {done:?}");
        }
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish"] {
        let done = world.cli(&["completions", shell]);
        assert!(done.code == 0 && done.err.is_empty() && done.out.contains("simulate"), "{shell}: {}", done.err);
    }
}

#[test]
fn relative_paths_mean_the_same_wherever_mho_is_started_from() {
    let world = World::empty();
    let config = "base_dir = \"..\"\n[[script]]\nname = \"demo\"\ncommand = [\"./bin/demo.sh\"]\n";
    world.write("config/mho.toml", config);
    world.write("bin/demo.sh", "#!/bin/sh\necho here: $PWD\n");
    world.write("elsewhere/deep/.keep", "");
    let chmod = std::process::Command::new("chmod").arg("+x").arg(world.path("bin/demo.sh")).status();
    assert!(chmod.expect("chmod runs").success());
    let from = |dir: &str, config: &str, args: &[&str]| {
        let mut command = world.mho(args);
        command.current_dir(world.path(dir)).args(["--config", config]);
        done(command)
    };
    let checked = |dir, config| {
        let found = from(dir, config, &["check", "--json"]).json();
        (found["ok"].clone(), found["scripts"].clone())
    };
    let here = checked(".", "config/mho.toml");
    assert_eq!(here.0, json!(true), "{here:?}");
    assert_eq!(here, checked("elsewhere/deep", "../../config/mho.toml"));
    assert_eq!(here, checked("elsewhere", world.path("config/mho.toml").to_str().expect("text")));
    let outputs =
        [from(".", "config/mho.toml", &["exec", "demo"]), from("elsewhere", "../config/mho.toml", &["exec", "demo"])];
    assert_eq!(outputs[0].out, outputs[1].out);
    assert!(outputs[0].code == 0 && outputs[0].out.starts_with("here: "), "{outputs:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_message() {
    let world = World::new(DEMO);
    let mut command = world.mho(&["calendar", "--config", "mho.toml", "--from", "1990-01-01", "--to", "2035-12-31"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_rehearsal_without_directories_uses_throw_away_ones_and_says_where() {
    let world =
        World::new("[[script]]\nname = \"demo\"\ncommand = [\"sh\", \"-c\", \"echo $$ >up; exec sleep 300\"]\n");
    let scratch = world.path("tmp");
    std::fs::create_dir(&scratch).expect("made");
    let mut command = world.mho(&["run", "--config", "mho.toml", "--at", "2026-11-30T12:00:00"]);
    command
        .env("TMPDIR", &scratch)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(world.path("err")).expect("made"));
    let mut child = command.spawn().expect("it runs");
    world.number("up");
    common::send(child.id(), nix::sys::signal::Signal::SIGTERM);
    let start = Instant::now();
    eventually("it ended", || child.try_wait().expect("ours").is_some());
    assert!(start.elapsed() < Duration::from_secs(50));
    let said = world.read("err");
    let dir = said.split("are in ").nth(1).and_then(|rest| rest.lines().next()).expect("it says where");
    assert!(std::path::Path::new(dir).starts_with(&scratch), "{dir}");
    assert!(std::path::Path::new(dir).join("logs/orchestrator_main.log").exists());
    assert!(said.contains("WARNING: REHEARSAL"), "{said}");
    assert!(!world.has("state") && !world.has("logs"), "the real ones are left alone");
}

#[test]
fn the_zone_of_the_host_changes_no_answer() {
    let config = format!(
        "[market]\ncalendar = \"XTKS\"\n{DEMO}[[script]]\nname = \"night\"\ncommand = \"./nosuch\"\ncalendar = \"CMES\"\n"
    );
    let world = World::new(&config);
    let questions: [&[&str]; 3] = [
        &["simulate", "--json", "--from", "2026-10-30", "--to", "2026-11-03"],
        &["calendar", "CMES", "--from", "2026-10-30", "--to", "2026-11-03"],
        &["calendar", "explain", "2026-11-02", "XHKG", "--json"],
    ];
    for question in questions {
        let answer = |zone: &str| {
            let mut command = world.mho(question);
            command.args(["--config", "mho.toml"]).env("TZ", zone);
            done(command).out
        };
        let expected = answer("UTC");
        assert!(expected.lines().count() > 3, "{expected}");
        for zone in ["Pacific/Kiritimati", "America/Los_Angeles", "Australia/Lord_Howe", "nonsense"] {
            assert_eq!(answer(zone), expected, "{zone}");
        }
    }
}
