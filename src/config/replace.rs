//! `TRADING_SCRIPT` and `TRADING_SCRIPTS`: the original's names for what runs. They replace the file's scripts.

use std::collections::HashMap;
use std::path::Path;

use ::config::{Value, ValueKind};

use super::command;
use super::fault::Place;
use super::node::Node;
use super::sources::Sources;

const ONE: &str = "TRADING_SCRIPT";
const MANY: &str = "TRADING_SCRIPTS";

/// The variable that replaces the file's scripts, if one is set. The list wins over the single name.
pub(super) fn variable(sources: &Sources) -> Option<&'static str> {
    [MANY, ONE].into_iter().find(|name| sources.variable(name).is_some())
}

/// True if both variables are set.
pub(super) fn both(sources: &Sources) -> bool {
    [MANY, ONE].into_iter().all(|name| sources.variable(name).is_some())
}

/// The scripts that the variables ask for, as the value of the key `script`.
pub(super) fn scripts(sources: &Sources) -> Option<Value> {
    let variable = variable(sources)?;
    let text = sources.variable(variable)?;
    let commands: Vec<&str> = match variable {
        MANY => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
        _ => vec![text.trim()],
    };
    let origin = Place::Env(variable.to_owned()).to_string();
    let value = |kind: ValueKind| Value::new(Some(&origin), kind);
    let mut names: Vec<String> = Vec::new();
    let mut scripts = Vec::new();
    for (index, written) in commands.iter().enumerate() {
        let name = unique(name_of(written), &names);
        let mut script = HashMap::from([
            ("name".to_owned(), value(ValueKind::String(name.clone()))),
            ("command".to_owned(), value(ValueKind::String((*written).to_owned()))),
        ]);
        if let Some(before) = names.last() {
            let before = vec![value(ValueKind::String(before.clone()))];
            script.insert("depends_on".to_owned(), value(ValueKind::Array(before)));
            // Those before it may have run until the close: the last one gets an hour of its own.
            if index + 1 == commands.len() {
                script.insert("stop".to_owned(), value(ValueKind::String("close + 1h".to_owned())));
            }
        }
        names.push(name);
        scripts.push(value(ValueKind::Table(script)));
    }
    Some(value(ValueKind::Array(scripts)))
}

/// What to say of a key `script` that is no list of scripts.
pub(super) fn no_list(node: &Node) -> String {
    match &node.place {
        Place::Env(name) if [MANY, ONE].contains(&name.as_str()) => {
            format!("names no script: write for instance {name}=scripts/strategy.py, or unset it")
        }
        Place::Env(_) => {
            "scripts are not set as a whole: one key of one script is MHO__SCRIPT__NAME__KEY, and TRADING_SCRIPTS=a.py,b.py \
             replaces the scripts of the file"
                .to_owned()
        }
        Place::Flag(_) => "scripts are not set as a whole: one key of one script is --set script.NAME.KEY=VALUE".to_owned(),
        _ if node.table().is_some() => "expected a list of tables: write [[script]], with two brackets".to_owned(),
        _ => format!("expected tables, found {}: write [[script]] with a name and a command below it", node.what()),
    }
}

/// The stem of the script's file, in the letters that a name may have.
fn name_of(written: &str) -> String {
    let words = shell_words::split(written).unwrap_or_else(|_| vec![written.to_owned()]);
    let bare = words.iter().map(String::as_str).find(|word| command::interpreter_of(word).is_some());
    let file = bare.or_else(|| command::script_file(&words)).or(words.first().map(String::as_str)).unwrap_or_default();
    let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let clean = |c: char| if matches!(c, 'a'..='z' | '0'..='9' | '_' | '-') { c } else { '_' };
    let name: String = stem.chars().map(clean).collect();
    if name.is_empty() { "script".to_owned() } else { name }
}

fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    (2..).map(|n| format!("{name}-{n}")).find(|name| !taken.contains(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_stems_of_the_files() {
        for (written, name) in [
            ("scripts/data_collection.py", "data_collection"),
            ("python3 -u scripts/live.py", "live"),
            ("python3 scripts/trade.v2.py --live", "trade_v2"),
            ("/opt/bin/engine --fast", "engine"),
            ("'my scripts/Live Trader.py'", "live_trader"),
        ] {
            assert_eq!(name_of(written), name, "{written}");
        }
    }

    #[test]
    fn a_file_named_twice_makes_two_scripts() {
        assert_eq!(unique("a".into(), &["a".into(), "a-2".into()]), "a-3");
    }
}
