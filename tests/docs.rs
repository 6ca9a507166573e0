//! The documentation is true, as far as that can be looked up: verbs and flags exist, configurations load, links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Datelike;
use mho::config::{Sources, load};
use mho::domain::calendar::Calendar;
use regex::Regex;

const PAGES: [&str; 3] = ["README.md", "docs/DOCKER_DEPLOYMENT.md", "docs/ALERTS.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is left open");
    found
}

/// What a reader takes for code: blocks, and spans in the text.
fn code(page: &str) -> Vec<String> {
    let span = Regex::new("`([^`\n]+)`").expect("a pattern");
    let spans = span.captures_iter(page).map(|c| c[1].to_owned());
    blocks(page).into_iter().map(|(_, text)| text).chain(spans).collect()
}

fn help(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_mho")).args(args).arg("--help").output().expect("mho runs");
    assert!(out.status.success(), "mho {args:?} --help: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

fn verbs() -> BTreeSet<String> {
    let text = help(&[]);
    let commands = text.split("Commands:").nth(1).expect("a list of commands").trim_start_matches('\n');
    let named = commands.lines().take_while(|line| !line.is_empty());
    named
        .filter(|line| !line.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The uses of `mho VERB ...` in the documentation: page, verb, and the rest of the command.
fn uses() -> Vec<(&'static str, String, String)> {
    let command = Regex::new(r#"(?:^|[\s`"'$(])mho ([a-z]+)([^\n|;&#]*)"#).expect("a pattern");
    let mut found = Vec::new();
    for name in PAGES {
        for text in code(&page(name)) {
            found.extend(command.captures_iter(&text).map(|c| (name, c[1].to_owned(), c[2].to_owned())));
        }
    }
    assert!(found.len() > 5, "the pattern finds the commands: {found:?}");
    found
}

#[test]
fn every_verb_in_the_documentation_exists() {
    let verbs = verbs();
    for (page, verb, _) in uses() {
        assert!(verbs.contains(&verb), "{page} says `mho {verb}`; there are {verbs:?}");
    }
}

#[test]
fn every_flag_of_a_verb_in_the_documentation_exists() {
    let flag = Regex::new("(?:^|\\s)(--[a-z][a-z-]*)").expect("a pattern");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (page, verb, rest) in uses() {
        let text = texts.entry(verb.clone()).or_insert_with(|| help(&[verb.as_str()]));
        for found in flag.captures_iter(&rest) {
            let known = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == &found[1]);
            assert!(known, "{page} says `mho {verb} {}`, its help does not", &found[1]);
        }
    }
}

#[test]
fn every_configuration_in_the_documentation_loads_without_faults_and_warnings() {
    let mut seen = 0;
    for name in PAGES {
        for (language, text) in blocks(&page(name)) {
            if language != "toml" || !text.contains("[[script]]") {
                continue;
            }
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("mho.toml");
            fs::write(&path, &text).expect("written");
            let sources = Sources { config: Some(path), cwd: dir.path().to_owned(), ..Default::default() };
            match load(&sources) {
                Ok(loaded) => assert!(
                    loaded.warnings.is_empty() || text.contains("WARNING"),
                    "{name}: a warning that the text does not speak of: {:?}\n{text}",
                    loaded.warnings
                ),
                Err(faults) => panic!("{name}: {faults:?}\n{text}"),
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "configurations are given by example: {seen}");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let link = Regex::new(r"\]\(([^)#]+)\)").expect("a pattern");
    for name in PAGES {
        let folder = root().join(name).parent().expect("a folder").to_owned();
        for found in link.captures_iter(&page(name)).filter(|c| !c[1].contains("://")) {
            assert!(folder.join(&found[1]).exists(), "{name} links to {}", &found[1]);
        }
    }
}

#[test]
fn the_test_example_is_short_enough_to_be_read() {
    let examples: Vec<String> =
        blocks(&page("README.md")).into_iter().filter(|(l, _)| l.starts_with("rust")).map(|(_, text)| text).collect();
    assert!(!examples.is_empty());
    for text in examples {
        assert!(text.lines().count() <= 25, "{} lines", text.lines().count());
    }
}

#[test]
fn continuous_integration_runs_the_test_command_of_the_readme() {
    let command = "cargo test";
    assert!(blocks(&page("README.md")).iter().any(|(_, text)| text.lines().any(|l| l.starts_with(command))));
    assert!(page(".ci/run").lines().any(|line| line == format!("step {command}")));
}

/// Only what is kept under version control; the rest is this machine's business.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let private = ["target", ".git", "state", "logs", "results", "__pycache__"];
    for entry in fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
        let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() && !private.contains(&name.as_str()) {
            files(&entry, found);
        } else if entry.is_file() && name != ".git" {
            found.push(entry);
        }
    }
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let home = std::env::var("HOME").unwrap_or_default();
    // A path of one part, such as the root of a container, may well be meant for others.
    let own: Vec<String> = [root().display().to_string(), home]
        .into_iter()
        .filter(|path| Path::new(path).components().count() > 2)
        .chain([["/ro", "ot/"].concat(), ["/Use", "rs/"].concat()])
        .collect();
    let mut all = Vec::new();
    files(root(), &mut all);
    for file in all {
        let text = String::from_utf8_lossy(&fs::read(&file).expect("readable")).into_owned();
        for path in &own {
            assert!(!text.contains(path.as_str()), "{} names {path}", file.display());
        }
    }
}

/// The row of a built-in calendar in the README.
fn calendar_row(id: &str) -> String {
    let calendar = Calendar::builtin(id).expect("a built-in calendar");
    let (from, to) = calendar.range().into_inner();
    let published = calendar.published_to();
    let published = if published < to { published.to_string() } else { "-".to_owned() };
    let aliases: Vec<String> = calendar.aliases().iter().map(|alias| format!("`{alias}`")).collect();
    let aliases = if aliases.is_empty() { "-".to_owned() } else { aliases.join(", ") };
    format!(
        "| `{id}` | {} | {aliases} | {} | {} to {} | {published} |",
        calendar.name(),
        calendar.zone(),
        from.year(),
        to.year()
    )
}

#[test]
fn the_readme_and_the_help_list_the_built_in_calendars_as_they_are() {
    let names = Calendar::builtin_ids();
    let is_id = |name: &&&str| Calendar::builtin(name).is_some_and(|calendar| calendar.id() == **name);
    let ids: Vec<&str> = names.iter().filter(is_id).copied().collect();
    assert!(ids.len() >= 12, "{ids:?}");
    let rows: Vec<String> = ids.iter().map(|id| calendar_row(id)).collect();
    let (readme, help) = (page("README.md"), help(&["calendar"]));
    let missing: Vec<_> = rows.iter().filter(|row| !readme.lines().any(|line| line == row.as_str())).collect();
    assert!(missing.is_empty(), "the README lacks\n{}", rows.join("\n"));
    let listed = help.split("Calendars: ").nth(1).expect("a list").split("their aliases").next().expect("a list");
    let listed: Vec<&str> = listed.split([',', ' ', '\n']).filter(|word| !word.is_empty()).collect();
    assert_eq!(listed, ids);
}

#[test]
fn the_example_of_a_calendar_file_is_one() {
    let text = page("config/calendars/README.md");
    let (_, rest) = text.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let night = mho::domain::calendar::Calendar::parse("NIGHT", example).expect("valid");
    let session = night.session("2026-12-24".parse().expect("a date")).expect("in range").expect("a session");
    let said = [session.open, session.close].map(|at| at.to_rfc3339());
    assert_eq!(said, ["2026-12-23T22:00:00+00:00", "2026-12-24T02:00:00+00:00"]);
}
