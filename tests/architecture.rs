//! The rules of the house, read off the source: who may use whom, where the world is touched, how long a file may get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// Made once: that is what takes time.
macro_rules! pattern {
    ($text:expr) => {
        LazyLock::new(|| Regex::new($text).expect("a pattern"))
    };
}

/// A layer: a folder of `src`, or a file of it.
struct Layer {
    name: &'static str,
    /// Other layers it may use, or parts of them.
    layers: &'static [&'static str],
    /// Crates it may use besides std; None: any.
    crates: Option<&'static [&'static str]>,
    /// Text it must not contain: the doors to the world.
    forbidden: &'static [&'static str],
}

const WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "std::os",
    "std::io::std",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "Local;",
    "fastrand",
    "rand::",
    "println!",
    "print!",
    "dbg!",
    "File::open",
    "Command::new",
];

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        layers: &[],
        crates: Some(&["chrono", "chrono_tz", "serde", "serde_json", "toml", "thiserror", "regex", "humantime"]),
        forbidden: WORLD,
    },
    Layer {
        name: "config",
        layers: &["domain"],
        crates: None,
        forbidden: &[
            "tokio",
            "ractor",
            "nix::",
            "rustix",
            "std::thread",
            "std::process",
            "std::net",
            "SystemTime",
            "Utc::now",
        ],
    },
    Layer {
        name: "ports",
        layers: &["domain"],
        // Of tokio the channel of live events alone: a type that both of its ends know.
        crates: Some(&["chrono", "chrono_tz", "thiserror", "serde_json", "tokio"]),
        forbidden: WORLD,
    },
    Layer {
        name: "actors",
        layers: &["domain", "ports"],
        crates: Some(&["ractor", "tokio", "tracing", "chrono", "chrono_tz"]),
        forbidden: WORLD,
    },
    Layer { name: "adapters", layers: &["domain", "ports"], crates: None, forbidden: &["ractor"] },
    Layer { name: "control", layers: &["domain", "ports"], crates: None, forbidden: &["ractor"] },
    Layer { name: "alerts", layers: &["domain", "ports"], crates: None, forbidden: &["ractor"] },
    Layer {
        name: "testkit",
        layers: &["domain", "ports", "actors", "adapters::pretend"],
        crates: None,
        forbidden: &["std::fs", "std::env", "std::process", "std::net"],
    },
    Layer {
        name: "app",
        layers: &["domain", "ports", "config", "actors", "adapters", "control", "alerts", "testkit"],
        crates: None,
        forbidden: &[],
    },
    Layer {
        name: "guard",
        layers: &["adapters::sys", "adapters::procfs"],
        crates: None,
        forbidden: &["tokio", "ractor", "std::thread"],
    },
    Layer {
        name: "cli",
        layers: &["app", "config", "domain", "control", "guard"],
        crates: None,
        forbidden: &["ractor", "tokio"],
    },
    Layer { name: "main", layers: &["cli", "guard"], crates: Some(&["mho"]), forbidden: &[] },
    Layer {
        name: "lib",
        layers: &[
            "domain", "ports", "config", "actors", "adapters", "control", "alerts", "testkit", "app", "cli", "guard",
        ],
        crates: Some(&[]),
        forbidden: &[],
    },
];

/// Lines of a file that are not tests; a file of tests alone has more.
const LONGEST: usize = 600;

struct Source {
    path: PathBuf,
    layer: String,
    /// Without comments, strings and tests.
    code: String,
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    files(&src(), &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "the sources were found");
    let paths = paths.into_iter().filter(|path| !is_test_file(path));
    paths
        .map(|path| {
            let inner = path.strip_prefix(src()).expect("below src").to_owned();
            let first = inner.components().next().expect("a name").as_os_str().to_str().expect("text");
            let code = without_strings_and_comments(without_tests(&std::fs::read_to_string(&path).expect("readable")));
            Source { layer: first.trim_end_matches(".rs").to_owned(), path: inner, code }
        })
        .collect()
}

/// Tests stand at the end of a file: the world is theirs.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().expect("a first part")
}

fn without_strings_and_comments(text: &str) -> String {
    static LEFT_OUT: LazyLock<Regex> = pattern!(r##"(?s)//[^\n]*|r#".*?"#|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'"##);
    LEFT_OUT.replace_all(text, "\"\"").into_owned()
}

/// Every path `a::b::c` of the code, the branches of `use a::{b, c::d}` written out.
fn paths(code: &str) -> BTreeSet<String> {
    static USES: LazyLock<Regex> = pattern!(r"(?s)\buse\s+([^;]+);");
    static INLINE: LazyLock<Regex> = pattern!(r"(?:::)?\b[a-z_][a-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)+");
    let mut all = BTreeSet::new();
    for found in USES.captures_iter(code) {
        branches("", &found[1], &mut all);
    }
    let rest = USES.replace_all(code, "");
    all.extend(INLINE.find_iter(&rest).map(|found| found.as_str().trim_start_matches("::").to_owned()));
    all
}

fn branches(before: &str, tree: &str, all: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().expect("a path").trim().trim_start_matches("::");
        all.insert(format!("{before}{path}"));
        return;
    };
    let head = format!("{before}{}", tree[..open].trim().trim_start_matches("::"));
    let inner = &tree[open + 1..tree.rfind('}').expect("it is closed")];
    let (mut depth, mut start) = (0, 0);
    for (index, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches(&head, &inner[start..index], all);
                start = index + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        branches(&head, &inner[start..], all);
    }
}

/// The crates of Cargo.toml, as the code names them.
fn dependencies() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("readable");
    let table: toml::Table = text.parse().expect("toml");
    table["dependencies"].as_table().expect("a table").keys().map(|name| name.replace('-', "_")).collect()
}

fn layer(name: &str) -> &'static Layer {
    LAYERS.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("src/{name} is no layer of the table"))
}

/// Whether `path` is `allowed` or below it.
fn is_below(path: &str, allowed: &str) -> bool {
    path == allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn a_layer_uses_only_the_layers_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let layer = layer(&source.layer);
        for path in paths(&source.code) {
            let Some(used) = path.strip_prefix("crate::") else { continue };
            let is_own = is_below(used, layer.name);
            if !is_own && !layer.layers.iter().any(|allowed| is_below(used, allowed)) {
                wrong.push(format!("src/{} uses {used}", source.path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_layer_uses_only_the_crates_that_it_may() {
    let dependencies = dependencies();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = layer(&source.layer).crates else { continue };
        for path in paths(&source.code) {
            let first = path.split("::").next().expect("a name");
            // A module of our own may have the name of a crate; `use` of a crate is what counts, and std is free here.
            if dependencies.contains(first) && !allowed.contains(&first) {
                wrong.push(format!("src/{} uses the crate {first}: {path}", source.path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn decisions_open_no_door_to_the_world() {
    let mut wrong = Vec::new();
    for source in sources() {
        let all = paths(&source.code);
        for door in layer(&source.layer).forbidden {
            let is_path = all.iter().any(|path| {
                is_below(path, door.trim_end_matches("::"))
                    || path.split("::").any(|part| part == *door)
                    || path.ends_with(&format!("::{door}"))
            });
            if is_path || !door.starts_with("std::") && word(&source.code, door) {
                wrong.push(format!("src/{} contains {door}", source.path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Whether `text` stands in the code, not as a part of a longer name.
fn word(code: &str, text: &str) -> bool {
    code.match_indices(text).any(|(index, _)| {
        let before = code[..index].chars().next_back();
        let after = code[index + text.len()..].chars().next();
        let is_name = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        !is_name(before) && (!text.ends_with(char::is_alphanumeric) || !is_name(after))
    })
}

#[test]
fn there_is_no_circle_of_layers() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let entry = used.entry(source.layer.clone()).or_default();
        let others = paths(&source.code).into_iter().filter_map(|path| {
            path.strip_prefix("crate::").and_then(|rest| rest.split("::").next()).map(str::to_owned)
        });
        entry.extend(others.filter(|other| *other != source.layer && LAYERS.iter().any(|layer| layer.name == *other)));
    }
    // Whoever uses nobody that is left is taken away; a circle stays.
    while let Some(free) =
        used.iter().find(|(_, others)| others.iter().all(|o| !used.contains_key(o))).map(|(n, _)| n.clone())
    {
        used.remove(&free);
    }
    assert!(used.is_empty(), "a circle among {used:?}");
}

#[test]
fn unsafe_stands_in_one_file() {
    let found: Vec<_> =
        sources().into_iter().filter(|source| word(&source.code, "unsafe")).map(|source| source.path).collect();
    assert_eq!(found, [Path::new("adapters/sys.rs")]);
}

/// What tests may do to the daemon nobody may do to one that trades: fault points are compiled in where a test asks for them, and nowhere else.
#[test]
fn fault_points_are_compiled_in_for_tests_alone() {
    let users: Vec<_> = sources()
        .into_iter()
        .filter(|source| paths(&source.code).iter().any(|path| is_below(path, "fail")))
        .map(|source| (source.path, source.code))
        .collect();
    let [(path, code)] = users.as_slice() else { panic!("{:?}", users.iter().map(|user| &user.0).collect::<Vec<_>>()) };
    assert_eq!(path, Path::new("adapters/fault_point.rs"));
    // Up to the end of the function: a brace at the start of a line.
    static ITEM: LazyLock<Regex> = pattern!(r"(?s)#\[cfg\(feature = [^)]*\)\]\s(?:pub\(super\) )?fn .*?\n\}");
    let always = ITEM.replace_all(code, "");
    assert!(!word(&always, "fail"), "without the feature there is left: {always}");

    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("readable");
    let table: toml::Table = text.parse().expect("toml");
    assert_eq!(table["dependencies"]["fail"]["optional"].as_bool(), Some(true));
    let features = table["features"].as_table().expect("a table");
    assert_eq!(features.keys().collect::<Vec<_>>(), ["fault-points"], "none of them is a default");
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut paths = Vec::new();
    files(&src(), &mut paths);
    let long: Vec<_> = paths
        .into_iter()
        .filter(|path| !is_test_file(path))
        .map(|path| (without_tests(&std::fs::read_to_string(&path).expect("readable")).lines().count(), path))
        .filter(|(lines, _)| *lines >= LONGEST)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn the_reader_of_these_tests_understands_use_lines() {
    let code =
        "use crate::a::{b, c::{D, E as F}, self};\nuse ::config::Value;\nfn x() { crate::d::e(); std::fs::read(); }";
    let all: Vec<_> = paths(code).into_iter().collect();
    let expected = [
        "config::Value",
        "crate::a::b",
        "crate::a::c::D",
        "crate::a::c::E",
        "crate::a::self",
        "crate::d::e",
        "std::fs::read",
    ];
    assert_eq!(all, expected);
    let code = without_strings_and_comments(
        "let a = \"std::fs\"; // Instant\nlet q = '\"'; let b = r#\"x \"y\" SystemTime\"#; unsafe_code();",
    );
    assert!(!code.contains("std::fs") && !code.contains("Instant") && !code.contains("SystemTime"), "{code}");
    assert!(code.contains("let b") && !word(&code, "unsafe"));
}
