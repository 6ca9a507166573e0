//! `[script.limits]` and `[defaults.limits]`. Whether a user exists, and whether a limit may be set at all, is not known here: the daemon may
//! run as somebody else, and elsewhere. `mho check` looks, and each start does.

use std::time::Duration;

use super::fault::Bad;
use super::health::ACTIONS;
use super::node::{Data, Node};
use super::section::Section;
use super::values::{self, Parsed};
use crate::domain::limits::{CoreSize, Limits, MemoryWatch};

const KEYS: [&str; 10] =
    ["nofile", "memory", "cpu_time", "core", "nice", "umask", "user", "group", "max_rss", "max_rss_action"];

/// 0, 1 and 2 are taken, and a program that is started opens its libraries.
const FEWEST_FILES: u64 = 4;

/// The longest name that `useradd` gives.
const LONGEST_NAME: usize = 256;

/// The limits of a script, and the one that is looked at from time to time; `section` is the script's own table.
pub(super) fn read(section: &Section<'_>) -> (Limits, MemoryWatch) {
    // Empty text means that nothing is set, not even what the defaults say.
    if section.get("limits").is_some_and(|node| node.table().is_none() && node.is_empty()) {
        return Default::default();
    }
    let section = section.sub("limits");
    section.only(&KEYS);
    let limits = Limits {
        nofile: section.read_set("nofile", open_files),
        memory: section.read_set("memory", values::size),
        cpu_time: section.read_set("cpu_time", whole_seconds),
        core: section.read_set("core", core_size),
        nice: section.read_set("nice", nice),
        umask: section.read_set("umask", umask),
        user: section.read_set("user", account),
        group: section.read_set("group", account),
    };
    let watch = MemoryWatch {
        max_rss: section.read_set("max_rss", values::size),
        action: section.read_set("max_rss_action", |node| values::choice(node, &ACTIONS)).unwrap_or_default(),
    };
    (limits, watch)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn open_files(node: &Node) -> Parsed<u64> {
    match values::count(node).map(u64::from)? {
        few if few < FEWEST_FILES => {
            Err(format!("{few} is too few: no program starts with less than {FEWEST_FILES}").into())
        }
        count => Ok(count),
    }
}

/// The kernel counts whole seconds.
fn whole_seconds(node: &Node) -> Parsed<Duration> {
    match values::span(node)? {
        time if time.subsec_nanos() > 0 => Err("must be whole seconds, such as \"90s\" or \"2h\"".into()),
        time => Ok(time),
    }
}

fn core_size(node: &Node) -> Parsed<CoreSize> {
    match &node.data {
        Data::Int(0) => Ok(CoreSize::Bytes(0)),
        Data::Text(text) if text.trim() == "unlimited" => Ok(CoreSize::Unlimited),
        Data::Text(text) if matches!(text.trim(), "0" | "0B") => Ok(CoreSize::Bytes(0)),
        Data::Text(_) | Data::Int(_) | Data::Bool(_) | Data::Float(_) | Data::List(_) | Data::Table(_) => {
            values::size(node).map(CoreSize::Bytes).map_err(|bad| {
                let word = node.data.to_string();
                Bad::near(format!("{}, 0 or \"unlimited\"", bad.message), word.trim_matches('"'), ["unlimited"])
            })
        }
    }
}

fn nice(node: &Node) -> Parsed<i32> {
    let number = match &node.data {
        Data::Int(value) => i32::try_from(*value).ok(),
        Data::Text(text) => text.trim().parse().ok(),
        Data::Bool(_) | Data::Float(_) | Data::List(_) | Data::Table(_) => None,
    };
    let found = || format!("expected a whole number from -20 (first) to 19 (last), found {}", node.what());
    number.filter(|nice| (-20..=19).contains(nice)).ok_or_else(|| found().into())
}

/// Octal digits in quotes: a bare 027 is no TOML, and a bare 27 might be meant either way.
fn umask(node: &Node) -> Parsed<u32> {
    let mask = match &node.data {
        Data::Text(text) => u32::from_str_radix(text.trim().trim_start_matches("0o"), 8).ok(),
        Data::Int(_) | Data::Bool(_) | Data::Float(_) | Data::List(_) | Data::Table(_) => None,
    };
    let found = || format!("expected octal digits in quotes, such as \"027\", found {}", node.what());
    mask.filter(|mask| *mask <= 0o777).ok_or_else(|| found().into())
}

/// The name or the number of a user or a group.
fn account(node: &Node) -> Parsed<String> {
    let text = match &node.data {
        Data::Text(text) => text.trim().to_owned(),
        Data::Int(number) => number.to_string(),
        Data::Bool(_) | Data::Float(_) | Data::List(_) | Data::Table(_) => {
            return Err(format!("expected a name or a number, found {}", node.what()).into());
        }
    };
    let is_name = !text.is_empty() && text.len() <= LONGEST_NAME && !text.starts_with('-');
    // The highest number means "leave it as it is" to the kernel.
    let is_sound = if is_number(&text) { text.parse::<u32>().is_ok_and(|id| id < u32::MAX) } else { true };
    match is_name && is_sound && !text.contains([':', '/', '\0', '\n', ',', ' ']) {
        true => Ok(text),
        false => Err(format!("{text:?} is neither a name nor a number: use what `id` shows").into()),
    }
}
