//! `mho calendar` as a user types it, on real files: views, explanations, and the file of overrides. Dates are chosen so that no answer depends
//! on the day on which the tests run.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Done, World, done};
use serde_json::{Value, json};

const FILE: &str = "calendar-overrides.toml";

/// Somebody's file, with comments wherever comments can be.
const KEPT: &str = "\
# Overrides of the desk. Ask Ann.

[[override]]  # from the exchange's notice
  calendar = 'nyse'   # an alias
date = 2031-03-04
close = \"12:30\"
reason = \"\"\"
state funeral\"\"\"
# the next one is Bob's

[[override]]
date = \"2031-03-05\"
closed = true
reason = \"mourning\"

# the end
";

/// A question to `mho calendar` in a world with a configuration.
fn ask(world: &World, args: &[&str]) -> Done {
    world.cli(&[&["calendar", "--config", "mho.toml"], args].concat())
}

fn told(world: &World, args: &[&str]) -> String {
    let done = ask(world, args);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{args:?}: {done:?}");
    done.out
}

/// The question fails with this code, says these words, and leaves the file as it was, the very same one.
#[track_caller]
fn refused(world: &World, code: i32, args: &[&str], words: &[&str]) {
    let id = || std::fs::metadata(world.path(FILE)).map(|found| found.ino()).ok();
    let before = (world.read(FILE), id());
    let done = ask(world, args);
    assert_eq!((done.code, done.out.as_str()), (code, ""), "{args:?}: {done:?}");
    for word in words {
        assert!(done.err.contains(word), "{args:?}: {word}: {}", done.err);
    }
    assert_eq!((world.read(FILE), id()), before, "{args:?}: nothing is changed");
    assert!(names(world.root()).iter().all(|name| !name.starts_with('.')), "nothing is left behind");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("readable");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

fn add<'a>(date: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["override", "add", date], more].concat()
}

#[test]
fn what_is_added_and_removed_again_leaves_the_rest_byte_for_byte() {
    let world = World::new("");
    world.write(FILE, KEPT);
    std::fs::set_permissions(world.path(FILE), PermissionsExt::from_mode(0o640)).expect("set");
    let out = told(&world, &add("2031-03-06", &["--open", "11:00", "--close", "12:30", "--reason", "a \"notice\""]));
    let expected = format!(
        "added to {FILE}: XNYS, Thu 2031-03-06: 11:00-12:30, a \"notice\"\nno daemon runs in {}: it takes effect when one starts\n",
        world.path("state").display()
    );
    assert_eq!(out, expected);
    let table = "\n[[override]]\ncalendar = \"XNYS\"\ndate = \"2031-03-06\"\nopen = \"11:00\"\nclose = \"12:30\"\nreason = 'a \"notice\"'\n";
    assert_eq!(world.read(FILE), format!("{KEPT}{table}"));
    assert_eq!(std::fs::metadata(world.path(FILE)).expect("there").mode() & 0o7777, 0o640);
    let out = told(&world, &["override", "remove", "2031-03-06"]);
    assert!(
        out.starts_with(&format!("removed from {FILE}: XNYS, Thu 2031-03-06: 11:00-12:30, a \"notice\"\n")),
        "{out}"
    );
    assert_eq!(world.read(FILE), KEPT);
    told(&world, &["override", "remove", "2031-03-05", "--calendar", "nasdaq"]);
    let (kept, _) = KEPT.split_once("[[override]]\ndate").expect("it is there");
    assert_eq!(world.read(FILE), format!("{kept}# the end\n"));
}

#[test]
fn an_override_is_in_every_answer_as_soon_as_it_is_added() {
    let world = World::new("");
    told(&world, &add("2031-03-06", &["--closed", "--reason", "snow"]));
    let csv = told(&world, &["--from", "2031-03-06", "--to", "2031-03-06", "--format", "csv"]);
    assert!(csv.ends_with("2031-03-06,0,,,0,override: snow\n"), "{csv}");
    let found: Value = serde_json::from_str(&told(&world, &["explain", "2031-03-06", "--json"])).expect("JSON alone");
    assert_eq!((&found["file"], &found["line"]), (&json!(FILE), &json!(1)));
    assert_eq!(found["without_override"]["open"], "2031-03-06T09:30:00-05:00");
    assert_eq!(
        (&found["phase"], &found["open"], &found["reason"]),
        (&Value::Null, &Value::Null, &json!("override: snow"))
    );
    let month = told(&world, &["--month", "2031-03"]);
    assert!(month.contains("\n 6 Thu  closed  override: snow\n") && month.contains(" 6 H!"), "{month}");
}

#[test]
fn the_same_again_is_no_fault_and_another_of_its_date_wants_to_be_told_so() {
    let world = World::new("");
    world.write(FILE, KEPT);
    let same = add("2031-03-05", &["--closed", "--reason", "mourning", "--calendar", "NYSE"]);
    assert!(told(&world, &same).starts_with(&format!("already there: {FILE}:11\nno daemon runs in ")));
    assert_eq!(world.read(FILE), KEPT);
    let other = add("2031-03-04", &["--closed", "--reason", "funeral"]);
    refused(
        &world,
        1,
        &other,
        &["XNYS, Tue 2031-03-04: close 12:30, state funeral", "calendar-overrides.toml:3", "--replace"],
    );
    let out = told(&world, &[&other[..], &["--replace"]].concat());
    assert!(out.starts_with(&format!("replaced in {FILE}: XNYS, Tue 2031-03-04: closed, funeral\n")), "{out}");
    let expected = KEPT
        .replace("date = 2031-03-04\nclose = \"12:30\"\n", "date = 2031-03-04\n")
        .replace("\"\"\"\nstate funeral\"\"\"", "\"funeral\"\nclosed = true");
    assert_eq!(world.read(FILE), expected);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let world = World::new("[[override]]\ndate = \"2031-03-07\"\nclosed = true\nreason = \"in the main file\"\n");
    world.write(FILE, KEPT);
    let closed = ["--closed", "--reason", "x"];
    refused(
        &world,
        2,
        &add("2031-03-08", &["--close", "12:00", "--reason", "x"]),
        &["no session on this Saturday (weekend)"],
    );
    refused(&world, 2, &add("2031-03-10", &["--close", "09:30", "--reason", "x"]), &["is not before the close, 09:30"]);
    refused(&world, 2, &add("2051-03-08", &closed), &["no data for 2051-03-08", "2035-12-31"]);
    refused(&world, 2, &add("2031-03-10", &["--closed", "--reason", " "]), &["reason: is missing: say why"]);
    refused(
        &world,
        2,
        &add("2031-03-10", &[&closed[..], &["--calendar", "XNYZ"]].concat()),
        &["did you mean \"XNYS\"?"],
    );
    refused(&world, 2, &add("2031-03-10", &["--reason", "x"]), &["--closed", "--open"]);
    refused(&world, 2, &add("2031-03-10", &[&closed[..], &["--open", "10:00"]].concat()), &["--closed"]);
    refused(&world, 2, &add("2031-02-30", &closed), &["use YYYY-MM-DD"]);
    refused(
        &world,
        2,
        &add("2031-03-10", &["--open", "noon", "--reason", "x"]),
        &["expected a time of day like \"09:30\""],
    );
    for args in [add("2031-03-07", &closed), vec!["override", "remove", "2031-03-07"]] {
        refused(&world, 1, &args, &["mho.toml:1", "is not edited here: change it there"]);
    }
    refused(
        &world,
        1,
        &["override", "remove", "2031-03-10"],
        &["no override of 2031-03-10", "2031-03-04: close 12:30"],
    );
    refused(&world, 1, &["XLON", "override", "remove", "2031-03-05"], &["XLON has none at all", "--calendar XNYS"]);
    world.write(FILE, "[[override]]\ndat = 1\n");
    refused(&world, 2, &add("2031-03-10", &closed), &["calendar-overrides.toml:2", "did you mean \"date\"?"]);
    world.write(FILE, "override = []\n");
    refused(&world, 1, &add("2031-03-10", &closed), &["line 1 writes the overrides as a list in brackets"]);
}

#[test]
fn what_is_odd_is_said_and_done() {
    let world = World::new("[[script]]\nname = \"demo\"\ncommand = \"sleep 300\"\n");
    for (args, words) in [
        (add("2020-03-10", &["--closed", "--reason", "x"]), "2020-03-10 is past: it changes nothing any more"),
        (
            add("2031-03-08", &["--closed", "--reason", "x"]),
            "is a Saturday: there is no session anyway; was another date meant?",
        ),
        (add("2031-04-11", &["--closed", "--reason", "x"]), "is a holiday (Good Friday): there is no session anyway"),
        (add("2031-03-10", &["--close", "16:00", "--reason", "x"]), "has these hours already"),
        (
            add("2031-03-15", &["--open", "10:00", "--close", "12:00", "--reason", "x"]),
            "is a Saturday: this makes a special session, scripts will run",
        ),
    ] {
        let done = ask(&world, &args);
        assert_eq!((done.code, done.err.lines().count()), (0, 1), "{done:?}");
        assert!(done.err.starts_with("mho: WARNING: ") && done.err.contains(words), "{done:?}");
    }
    // All of them are warnings of the configuration from now on.
    let check = world.cli(&["check", "--json", "--config", "mho.toml"]).json();
    let warnings = check["warnings"].as_array().expect("a list").iter().filter(|w| w["key"] == "override.date");
    let lines: Vec<_> = warnings.map(|warning| warning["line"].as_u64().expect("a line")).collect();
    assert_eq!(lines, [1, 7, 13, 19, 25], "{check}");
    let list: Value = serde_json::from_str(&told(&world, &["override", "list", "--json"])).expect("JSON alone");
    let list = list.as_array().expect("a list");
    assert!(list.iter().all(|word| word["notes"].as_array().is_some_and(|notes| notes.len() == 1)), "{list:?}");
}

#[test]
fn the_list_has_both_files_and_says_where_each_stands() {
    let world = World::new(
        "[[override]]\ncalendar = \"hkex\"\ndate = \"2031-03-07\"\nclosed = true\nreason = \"in the main file\"\n",
    );
    assert!(told(&world, &["XLON", "override", "list"]).starts_with("no overrides"));
    world.write(FILE, KEPT);
    let expected = "\
DATE        DAY  CALENDAR  WHAT         REASON            WHERE
2031-03-04  Tue  XNYS      close 12:30  state funeral     calendar-overrides.toml:3
2031-03-05  Wed  XNYS      closed       mourning          calendar-overrides.toml:11
2031-03-07  Fri  XHKG      closed       in the main file  mho.toml:1
";
    assert_eq!(told(&world, &["override", "list"]), expected);
    let list: Value = serde_json::from_str(&told(&world, &["override", "list", "--json"])).expect("JSON alone");
    let first = json!({
        "date": "2031-03-04", "weekday": "Tue", "calendar": "XNYS", "closed": false, "open": null, "close": "12:30",
        "reason": "state funeral", "file": FILE, "line": 3, "notes": [],
    });
    assert_eq!((&list[0], list.as_array().map(Vec::len)), (&first, Some(3)));
}

#[test]
fn eight_at_once_lose_nothing_not_even_where_there_was_no_file() {
    for text in ["", KEPT] {
        let world = World::new("");
        if !text.is_empty() {
            world.write(FILE, text);
        }
        let start = |day: u32| {
            let mut command = world.mho(&["calendar", "--config", "mho.toml", "override", "add"]);
            command.args([&format!("2031-06-{:02}", 2 + day), "--closed", "--reason", "x"]);
            command.stdout(Stdio::null()).spawn().expect("mho starts")
        };
        // Two of these days are a weekend: whatever is said of them, they are added.
        let all: Vec<_> = (0..8).map(start).collect();
        for mut child in all {
            assert!(child.wait().expect("ours").success());
        }
        let written = world.read(FILE);
        assert!(written.starts_with(text), "{written}");
        let days: Vec<String> = (0..8).map(|day| format!("2031-06-{:02}", 2 + day)).collect();
        assert!(days.iter().all(|day| written.matches(day.as_str()).count() == 1), "{written}");
        assert_eq!(names(world.root()).len(), 2, "{:?}", names(world.root()));
    }
}

#[test]
fn a_link_stays_one_and_a_directory_that_is_missing_is_named() {
    let world = World::new("");
    world.write("shared/real.toml", KEPT);
    symlink(world.path("shared/real.toml"), world.path(FILE)).expect("linked");
    told(&world, &add("2031-03-06", &["--closed", "--reason", "x"]));
    assert!(world.path(FILE).is_symlink() && world.read("shared/real.toml").contains("2031-03-06"));
    let empty = World::empty();
    let args = ["calendar", "override", "add", "2031-03-06", "--closed", "--reason", "x"];
    let done = empty.cli(&args);
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert!(done.err.contains(&format!("{} does not exist: create it", empty.path("config").display())), "{done:?}");
    std::fs::create_dir(empty.path("config")).expect("made");
    let done = empty.cli(&args);
    assert!(done.code == 0 && empty.read("config/calendar-overrides.toml").contains("2031-03-06"), "{done:?}");
}

/// As a user who may not write there; root, whom no rights keep out, asks as nobody.
#[test]
fn where_nothing_may_be_written_nothing_is_changed_and_it_says_why() {
    let world = World::new("");
    world.write(FILE, KEPT);
    let mut command = world.mho(&[]);
    if nix::unistd::geteuid().is_root() {
        // The program itself may lie where nobody else may look.
        common::copy_program(&world.path("program"));
        command = Command::new(world.path("program"));
        world.prepare(&mut command);
        command.uid(65_534).gid(65_534);
        for name in [".", FILE] {
            std::os::unix::fs::chown(world.path(name), Some(65_534), Some(65_534)).expect("root may");
        }
    }
    std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o555)).expect("set");
    command.args(["calendar", "--config", "mho.toml", "override", "add", "2031-03-06", "--closed", "--reason", "x"]);
    let done = done(command);
    std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o755)).expect("set");
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert!(
        done.err.contains("cannot be changed: ") && done.err.contains("its directory must be writable"),
        "{done:?}"
    );
    assert_eq!(world.read(FILE), KEPT);
    assert!(names(world.root()).iter().all(|name| !name.starts_with('.')), "{:?}", names(world.root()));
}

#[test]
fn hours_of_ones_own_and_files_of_ones_own_can_be_overridden_too() {
    let own = "timezone = \"UTC\"\nname = \"Mine\"\nfrom = 2020-01-01\nto = 2040-12-31\nweekdays = [\"mon\"]\n\
               [hours]\nopen = \"09:00\"\nclose = \"10:00\"\n";
    let world = World::new("[market]\nopen = \"10:00\"\nclose = \"15:00\"\ncalendar_dir = \"cal\"\n");
    world.write("cal/MINE.toml", own);
    let closed = ["--closed", "--reason", "x"];
    told(&world, &add("2031-03-06", &closed));
    assert!(!world.read(FILE).contains("calendar ="), "the default calendar has no name: {}", world.read(FILE));
    let found: Value = serde_json::from_str(&told(&world, &["explain", "2031-03-06", "--json"])).expect("JSON alone");
    assert_eq!(found["without_override"]["open"], "2031-03-06T10:00:00-05:00", "{found}");
    told(&world, &add("2031-03-10", &[&closed[..], &["--calendar", "mine"]].concat()));
    let found: Value =
        serde_json::from_str(&told(&world, &["mine", "explain", "2031-03-10", "--json"])).expect("JSON alone");
    assert_eq!((&found["calendar"], &found["reason"]), (&json!("MINE"), &json!("override: x")));
    assert_eq!((&found["without_override"]["line"], &found["name"]), (&json!(7), &json!("Mine")));
    told(&world, &["override", "remove", "2031-03-06"]);
}

#[test]
fn explain_takes_date_and_calendar_in_any_order_and_names_a_line_that_says_so() {
    let world = World::new("");
    let found = told(&world, &["explain", "2025-11-28"]);
    assert!(
        found.starts_with("XNYS, New York Stock Exchange: Friday 2025-11-28\nwas open from 09:30 EST to 13:00 EST; "),
        "{found}"
    );
    let line = found.split("(built in), line ").nth(1).and_then(|rest| rest.lines().next()).expect("a line");
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/calendars/xnys.toml")).expect("readable");
    let named = file.lines().nth(line.parse::<usize>().expect("a number") - 1).expect("there is such a line");
    assert_eq!(named, "name = \"day after Thanksgiving\"");
    for args in
        [&["XHKG", "explain", "2020-01-28"][..], &["explain", "2020-01-28", "hkex"], &["explain", "XHKG", "2020-01-28"]]
    {
        assert!(
            told(&world, args).starts_with("XHKG, Stock Exchange of Hong Kong: Tuesday 2020-01-28\nwas closed: "),
            "{args:?}"
        );
    }
    assert!(
        told(&world, &["explain"]).starts_with("XNYS, ") && told(&world, &["explain", "XTKS"]).starts_with("XTKS, ")
    );
    refused(&world, 2, &["explain", "2051-01-01"], &["no data for 2051-01-01: it covers 1990-01-01 to 2035-12-31"]);
    refused(&world, 2, &["explain", "2025-31-11"], &["\"2025-31-11\" is no date: use YYYY-MM-DD"]);
    let two = "give one date and at most one calendar";
    refused(&world, 2, &["explain", "2025-11-27", "2025-11-28"], &["two dates: ", two]);
    refused(&world, 2, &["explain", "XNYS", "lse"], &["two calendars: ", two]);
    let neither = "\"tomorrow\" is neither a date (YYYY-MM-DD) nor a calendar; known are: ";
    for args in [&["explain", "tomorrow"][..], &["explain", "tomorrow", "XNYS"], &["XNYS", "explain", "tomorrow"]] {
        refused(&world, 2, args, &[neither]);
    }
    refused(&world, 2, &["explain", "XNYZ"], &["nor a calendar", "did you mean \"XNYS\"?"]);
    for args in [["explain", "2025-11-27", "XNYZ"], ["explain", "XNYZ", "2025-11-27"]] {
        refused(&world, 2, &args, &["no calendar named \"XNYZ\"", "did you mean \"XNYS\"?"]);
    }
    refused(&world, 2, &["--to", "2000-01-01"], &["is before today (20", "where --from is not given"]);
    refused(&world, 2, &["XLON", "explain", "2025-11-11", "XHKG"], &["two calendars are named, XLON and XHKG"]);
    refused(&world, 2, &["--from", "2025-11-11", "explain"], &["--from", "leave them out"]);
}

#[test]
fn programs_are_told_where_the_data_ends_beside_what_they_read() {
    let world = World::new("");
    for (format, last) in [("csv", "2035-12-31,1,2035-12-31T14:30:00Z,2035-12-31T21:00:00Z,0,\n"), ("json", "\n]\n")] {
        let done = ask(&world, &["--from", "2035-12-29", "--format", format]);
        assert_eq!((done.code, done.err.as_str()), (0, "mho: no data after 2035-12-31\n"), "{done:?}");
        assert!(done.out.ends_with(last), "{done:?}");
        told(&world, &["--from", "2035-12-29", "--to", "2035-12-31", "--format", format]);
    }
    assert!(told(&world, &["--from", "2035-12-29"]).ends_with("\n\nNo data after 2035-12-31.\n"));
}

#[test]
fn the_file_of_a_calendar_is_the_beginning_of_ones_own() {
    let world =
        World::new("[market]\ncalendar_dir = \"cal\"\n[calendar.DESK]\nextends = \"XLON\"\nclose = \"12:00\"\n");
    world.write("cal/.keep", "");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calendars/");
    let of = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).expect("readable");
    assert_eq!(told(&world, &["--format", "toml"]), of("xnys.toml"));
    assert_eq!(told(&world, &["hkex", "--format", "toml"]), of("xhkg.toml"));
    // What is printed is a file that loads, once it has aliases of its own; overrides stand elsewhere and leave it as it is.
    world.write("cal/MINE.toml", &told(&world, &["XLON", "--format", "toml"]).replace("\"LSE\"", "\"ELSE\""));
    world.write("cal/XHKG.toml", &of("xhkg.toml").replace("Hong Kong\"", "Kowloon\""));
    told(&world, &add("2031-03-06", &["--closed", "--reason", "x", "--calendar", "MINE"]));
    assert_eq!(told(&world, &["mine", "--format", "toml"]), world.read("cal/MINE.toml"));
    assert_eq!(told(&world, &["HKEX", "--format", "toml"]), world.read("cal/XHKG.toml"));
    let own = "calendar DESK has no file: it is hours of your own in the configuration, laid over the days of London Stock Exchange: ";
    refused(&world, 2, &["DESK", "--format", "toml"], &[own]);
    for more in [&["--from", "2031-01-01"][..], &["--to", "2031-01-01"], &["--month"], &["--year"], &["explain"]] {
        refused(&world, 2, &[&["--format", "toml"], more].concat(), &["--format"]);
    }
    told(&world, &["override", "remove", "2031-03-06", "--calendar", "MINE"]);
    world.write("mho.toml", "[market]\nopen = \"10:00\"\n");
    refused(&world, 2, &["--format", "toml"], &["calendar market has no file", "New York Stock Exchange"]);
}

#[test]
fn check_says_where_each_calendar_stands() {
    let config = "[market]\ncalendar_dir = \"cal\"\n[calendar.DESK]\nextends = \"XLON\"\nclose = \"12:00\"\n\
                  [calendar.BARE]\ntimezone = \"UTC\"\nopen = \"09:00\"\nclose = \"10:00\"\n";
    let scripts = ["XHKG", "MINE"].map(|id| {
        format!("[[script]]\nname = \"{}\"\ncommand = \"sleep 300\"\ncalendar = \"{id}\"\n", id.to_lowercase())
    });
    let world = World::new(&format!("{config}{}", scripts.concat()));
    let hkex = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/calendars/xhkg.toml"));
    let hkex = hkex.expect("readable");
    world.write("cal/XHKG.toml", &hkex);
    let is_alias = |line: &&str| line.starts_with("aliases");
    let mine: Vec<&str> = hkex.lines().filter(|line| !is_alias(line)).collect();
    world.write("cal/MINE.toml", &mine.join("\n"));
    let done = world.cli(&["check", "--config", "mho.toml"]);
    let dir = world.path("cal").display().to_string();
    for line in [
        "calendar      XNYS (default): built in, zone America/New_York, published to ".to_owned(),
        "calendar      DESK: own hours, the days of London Stock Exchange, zone Europe/London, ".to_owned(),
        "calendar      BARE: own hours, zone UTC, ".to_owned(),
        format!("calendar      MINE: from {dir}/MINE.toml, zone Asia/Hong_Kong, "),
        format!("calendar      XHKG: from {dir}/XHKG.toml, in the place of the built-in one, zone "),
    ] {
        assert!(done.out.contains(&line), "{line}: {}", done.out);
    }
    let found = world.cli(&["check", "--json", "--config", "mho.toml"]).json();
    let homes = found["calendars"].as_array().expect("a list").iter();
    let homes: Vec<_> = homes.map(|c| (c["id"].as_str(), c["home"].as_str(), c["replaces_built_in"] == true)).collect();
    let expected = [
        ("BARE", "own_hours", false),
        ("DESK", "own_hours", false),
        ("MINE", "file", false),
        ("XHKG", "file", true),
        ("XNYS", "built_in", false),
    ];
    assert_eq!(homes, expected.map(|(id, home, replaces)| (Some(id), Some(home), replaces)));
}

#[test]
fn a_past_month_and_year_of_another_exchange_are_shown_as_they_were() {
    let world = World::new("");
    let expected = "\
XLON, London Stock Exchange; times in Europe/London

December 2024: 20 sessions; regular hours 08:00-16:30

 Mon     Tue     Wed     Thu     Fri     Sat     Sun
                                                  1 .
  2       3       4       5       6       7 .     8 .
  9      10      11      12      13      14 .    15 .
 16      17      18      19      20      21 .    22 .
 23      24 E    25 H    26 H    27      28 .    29 .
 30      31 E

. no session   H closed (holiday)   E early close

24 Tue  08:00-12:30  early close: Christmas Eve
25 Wed  closed       Christmas Day
26 Thu  closed       Boxing Day
31 Tue  08:00-12:30  early close: New Year's Eve
";
    assert_eq!(told(&world, &["XLON", "--month", "2024-12"]), expected);
    let year = told(&world, &["XLON", "--year", "2024"]);
    assert!(
        year.contains("\n2024: 254 sessions (in brackets those of each month); regular hours 08:00-16:30\n"),
        "{year}"
    );
    assert!(
        year.ends_with("\nThu 26 Dec  closed       Boxing Day\nTue 31 Dec  08:00-12:30  early close: New Year's Eve\n"),
        "{year}"
    );
    for args in [
        &["--month", "2036-01"][..],
        &["--year", "1989"],
        &["--year", "26"],
        &["--month", "2026-11", "--from", "2026-11-01"],
    ] {
        refused(&world, 2, args, &[]);
    }
}
