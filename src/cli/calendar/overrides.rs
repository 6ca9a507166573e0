//! `mho calendar override`: what the operator knows better about single dates, listed from both files and edited in calendar-overrides.toml.
//! A change is judged as the configuration would judge it, before anything is written; then a running daemon is told.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Subcommand;
use serde_json::json;

use super::clocks::span_text;
use super::{find, one_of, told};
use crate::app::{
    OverridesFileError, OverridesTextError, append_override, edit_overrides, remove_overrides, replace_override,
};
use crate::cli::layout::escaped;
use crate::cli::{FAILED, Failure, Global, OK, USAGE, faults_text, load, parse_date};
use crate::config::{self, Fault, Flags, Purpose, Settings, Sources, overrides_digest as digest};
use crate::domain::calendar::{Override, TimeOfDay};

/// What can be done with overrides.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum OverrideVerb {
    /// Add one: no session on that date, or other hours
    Add(AddArgs),
    /// List all of them, those of the main configuration too
    List(ListArgs),
    /// Remove one
    Remove(RemoveArgs),
}

/// Arguments of `mho calendar override add`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["closed", "open", "close"]).multiple(true).required(true))]
pub(super) struct AddArgs {
    /// The trading date, YYYY-MM-DD
    #[arg(value_parser = parse_date)]
    date: NaiveDate,
    /// There is no session
    #[arg(long, conflicts_with_all = ["open", "close"])]
    closed: bool,
    /// It opens at this time of the calendar's zone: "11:00", or "17:00 -1d" for the evening before
    #[arg(long, value_name = "TIME")]
    open: Option<TimeOfDay>,
    /// It closes at this time: "12:30", "24:00" for the end of the day. With --open on a closed day: a special session
    #[arg(long, value_name = "TIME")]
    close: Option<TimeOfDay>,
    /// Why; shown wherever the date is explained
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Id or alias of the calendar [default: the one of the market section]
    #[arg(long, value_name = "ID")]
    calendar: Option<String>,
    /// Put it in the place of the override that the date has
    #[arg(long)]
    replace: bool,
}

/// Arguments of `mho calendar override list`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Id or alias of a calendar [default: all]
    #[arg(long, value_name = "ID")]
    calendar: Option<String>,
    /// Print JSON alone
    #[arg(long)]
    json: bool,
}

/// Arguments of `mho calendar override remove`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// The trading date, YYYY-MM-DD
    #[arg(value_parser = parse_date)]
    date: NaiveDate,
    /// Id or alias of the calendar [default: the one of the market section]
    #[arg(long, value_name = "ID")]
    calendar: Option<String>,
}

impl From<OverridesFileError> for Failure {
    fn from(error: OverridesFileError) -> Self {
        Self::new(FAILED, error)
    }
}

pub(super) fn run(
    global: &Global,
    verb: &OverrideVerb,
    before: Option<&str>,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let sources = Sources { purpose: Purpose::Look, ..global.sources(Flags::default())? };
    let settings = load(&sources)?.settings;
    let desk = Desk { sources, now };
    match verb {
        OverrideVerb::List(args) => {
            let only = one_of(before, args.calendar.as_deref())?;
            list(&settings, only, now, args.json, out).map(|()| OK)
        }
        OverrideVerb::Add(args) => {
            let id = find(&settings, one_of(before, args.calendar.as_deref())?)?.id().to_owned();
            desk.add(&settings, &id, args, out)
        }
        OverrideVerb::Remove(args) => {
            let id = find(&settings, one_of(before, args.calendar.as_deref())?)?.id().to_owned();
            desk.remove(&settings, &id, args.date, out)
        }
    }
}

/// Where overrides are changed.
struct Desk {
    sources: Sources,
    now: DateTime<Utc>,
}

impl Desk {
    fn add(&self, settings: &Settings, id: &str, args: &AddArgs, out: &mut dyn Write) -> Result<u8, Failure> {
        let AddArgs { date, closed, open, close, .. } = *args;
        let word = Override { date, closed, open, close, reason: args.reason.trim().to_owned(), origin: None };
        let shown = settings.overrides_shown.display();
        // The default calendar with hours of its own has no name that could be written.
        let named = (!settings.calendar_is_nameless(id)).then_some(id);
        let done = edit_overrides(&settings.overrides_file, |text| {
            let current = self.load_with(text, None)?;
            let there = words_on(&current, id, date);
            if let Some(same) = there.iter().find(|there| there.agrees_with(&word)) {
                return Ok((None, Added::There(place_of(same), digest(text))));
            }
            let new = match there.as_slice() {
                [] => append_override(text, named, &word),
                others => {
                    let lines = replaceable(&current, id, others, args.replace)?;
                    let (first, rest) = lines.split_first().ok_or_else(gone)?;
                    remove_overrides(text, rest).and_then(|text| replace_override(&text, *first, &word))
                }
            };
            let new = new.map_err(|error| not_edited(settings, &error))?;
            let after = self.load_with(&new, Some((id, &word)))?;
            let (replaced, after, digest) = (!there.is_empty(), Box::new(after), digest(&new));
            Ok::<_, Failure>((Some(new), Added::Now { replaced, after, digest }))
        })?;
        match done {
            // A daemon may not have heard of it yet: it was written by hand, or the daemon did not answer then.
            Added::There(place, digest) => {
                writeln!(out, "already there: {place}")?;
                told::report(settings, id, &told::ask(settings, &digest, out)?, out)
            }
            Added::Now { replaced, after, digest } => {
                let what = if replaced { "replaced in" } else { "added to" };
                writeln!(out, "{what} {shown}: {}", described(id, &word))?;
                let told = told::ask(settings, &digest, out)?;
                // A rehearsal lives on another day. What is odd is said, and done all the same.
                let now = told.market_time().unwrap_or(self.now);
                let added = words_on(&after, id, date).into_iter().find(|there| there.agrees_with(&word));
                for note in added.into_iter().flat_map(|word| config::override_notes(&after, id, word, now)) {
                    let _ = writeln!(io::stderr(), "mho: WARNING: {}", escaped(&note.text));
                }
                told::report(settings, id, &told, out)
            }
        }
    }

    fn remove(&self, settings: &Settings, id: &str, date: NaiveDate, out: &mut dyn Write) -> Result<u8, Failure> {
        let shown = settings.overrides_shown.display();
        let removed = edit_overrides(&settings.overrides_file, |text| {
            let current = self.load_with(text, None)?;
            let there = words_on(&current, id, date);
            let Some(first) = there.first() else { return Err(none_there(&current, id, date)) };
            let lines = editable(&current, &there)?;
            let new = remove_overrides(text, &lines).map_err(|error| not_edited(settings, &error))?;
            self.load_with(&new, None)?;
            let digest = digest(&new);
            Ok((Some(new), (described(id, first), digest)))
        })?;
        let (removed, digest) = removed;
        writeln!(out, "removed from {shown}: {removed}")?;
        told::report(settings, id, &told::ask(settings, &digest, out)?, out)
    }

    /// The settings that the configuration comes to if the file of overrides has this text. `added` is what would be new in it.
    fn load_with(&self, text: &str, added: Option<(&str, &Override)>) -> Result<Settings, Failure> {
        let sources = Sources { overrides_text: Some(text.to_owned()), ..self.sources.clone() };
        config::load(&sources).map(|loaded| loaded.settings).map_err(|faults| match added {
            None => Failure::new(USAGE, format!("nothing was changed: {}", faults_text(&faults, ""))),
            Some((id, word)) => {
                let list: Vec<String> = faults.iter().map(|fault| format!("  {}", in_short(fault))).collect();
                let what = described(id, word);
                Failure::new(USAGE, format!("nothing was changed, because this cannot be: {what}\n{}", list.join("\n")))
            }
        })
    }
}

/// What came of adding one.
enum Added {
    /// The same stands there already, here; and the digest of the file's text.
    There(String, String),
    Now {
        replaced: bool,
        after: Box<Settings>,
        digest: String,
    },
}

/// The lines of the overrides that a new one of their date is to replace.
fn replaceable(settings: &Settings, id: &str, others: &[&Override], may: bool) -> Result<Vec<usize>, Failure> {
    let lines = editable(settings, others)?;
    if may {
        return Ok(lines);
    }
    let there = others.iter().map(|word| format!("{} ({})", described(id, word), place_of(word)));
    let there = there.collect::<Vec<_>>().join("; ");
    let text = format!("that date has an override already: {there}; add --replace to put the new one in its place");
    Err(Failure::new(FAILED, text))
}

fn words_on<'a>(settings: &'a Settings, id: &str, date: NaiveDate) -> Vec<&'a Override> {
    let words = settings.overrides.get(id).map(Vec::as_slice).unwrap_or_default();
    words.iter().filter(|word| word.date == date).collect()
}

/// The lines of overrides, all of which must stand in the file that is edited here.
fn editable(settings: &Settings, words: &[&Override]) -> Result<Vec<usize>, Failure> {
    if let Some(word) = words.iter().find(|word| !settings.is_in_overrides_file(word)) {
        let place = place_of(word);
        let text =
            format!("the override of {} stands in {place}, which is not edited here: change it there", word.date);
        return Err(Failure::new(FAILED, text));
    }
    Ok(words.iter().filter_map(|word| word.origin.as_ref()).map(|origin| origin.line).collect())
}

fn gone() -> Failure {
    Failure::new(FAILED, "the override that was there a moment ago is gone: try again")
}

fn not_edited(settings: &Settings, error: &OverridesTextError) -> Failure {
    Failure::new(FAILED, format!("nothing was changed: {} {error}", settings.overrides_shown.display()))
}

fn none_there(settings: &Settings, id: &str, date: NaiveDate) -> Failure {
    let words = settings.overrides.get(id).map(Vec::as_slice).unwrap_or_default();
    let list: Vec<String> =
        words.iter().map(|word| format!("  {} ({})", described(id, word), place_of(word))).collect();
    let there =
        if list.is_empty() { format!("{id} has none at all") } else { format!("{id} has:\n{}", list.join("\n")) };
    let others = settings
        .overrides
        .iter()
        .filter(|(other, words)| ***other != *id && words.iter().any(|word| word.date == date));
    let others: Vec<String> = others.map(|(other, _)| format!("--calendar {other}")).collect();
    let hint = if others.is_empty() {
        String::new()
    } else {
        format!("\nof that date there is one with {}", others.join(", "))
    };
    Failure::new(FAILED, format!("no override of {date} to remove; {there}{hint}"))
}

/// A fault of a text that nobody can look into, since it is not written, without its line.
fn in_short(fault: &Fault) -> String {
    match fault.key.strip_prefix("override.") {
        Some(key) => Fault { file: None, line: None, key: key.to_owned(), ..fault.clone() }.to_string(),
        None => fault.to_string(),
    }
}

fn place_of(word: &Override) -> String {
    word.origin.as_ref().map_or_else(|| "no file".to_owned(), |origin| format!("{}:{}", origin.file, origin.line))
}

/// "closed", "11:00-12:30", "close 12:30".
fn what_of(word: &Override) -> String {
    match (word.open, word.close) {
        _ if word.closed => "closed".to_owned(),
        (Some(open), Some(close)) => span_text(&open.to_string(), &close.closing().to_string()),
        (Some(open), None) => format!("open {open}"),
        (None, Some(close)) => format!("close {}", close.closing()),
        (None, None) => "nothing".to_owned(),
    }
}

fn described(id: &str, word: &Override) -> String {
    let reason = escaped(&word.reason);
    format!("{id}, {}: {}, {reason}", word.date.format("%a %Y-%m-%d"), what_of(word))
}

fn list(
    settings: &Settings,
    id: Option<&str>,
    now: DateTime<Utc>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let only = id.map(|id| find(settings, Some(id))).transpose()?;
    let is_wanted = |id: &str| only.as_ref().is_none_or(|only| only.id() == id);
    let all = settings.overrides.iter().filter(|(id, _)| is_wanted(id));
    let mut words: Vec<(&str, &Override)> =
        all.flat_map(|(id, words)| words.iter().map(move |word| (&**id, word))).collect();
    words.sort_by_key(|(id, word)| (word.date, *id));
    let notes = |id: &str, word: &Override| config::override_notes(settings, id, word, now);
    if json {
        let rows = words.iter().map(|(id, word)| {
            json!({
                "date": word.date,
                "weekday": word.date.format("%a").to_string(),
                "calendar": id,
                "closed": word.closed,
                "open": word.open.map(|open| open.to_string()),
                "close": word.close.map(|close| close.closing().to_string()),
                "reason": word.reason,
                "file": word.origin.as_ref().map(|origin| &*origin.file),
                "line": word.origin.as_ref().map(|origin| origin.line),
                "notes": notes(id, word).into_iter().map(|note| note.text).collect::<Vec<_>>(),
            })
        });
        let rows = serde_json::Value::Array(rows.collect());
        writeln!(out, "{}", serde_json::to_string_pretty(&rows).map_err(io::Error::from)?)?;
        return Ok(());
    }
    if words.is_empty() {
        let shown = settings.overrides_shown.display();
        writeln!(
            out,
            "no overrides, neither in the configuration nor in {shown}; add one with mho calendar override add"
        )?;
        return Ok(());
    }
    let header = ["DATE        DAY", "CALENDAR", "WHAT", "REASON", "WHERE"].map(str::to_owned);
    let row = |(id, word): &(&str, &Override)| {
        let short: Vec<String> = notes(id, word).into_iter().map(|note| note.short).collect();
        let short = if short.is_empty() { String::new() } else { format!("  ({})", short.join(", ")) };
        let place = format!("{}{short}", place_of(word));
        let reason = escaped(&word.reason).into_owned();
        [word.date.format("%Y-%m-%d  %a").to_string(), (*id).to_owned(), what_of(word), reason, place]
    };
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(words.iter().map(row)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let [date, calendar, what, reason] = [0, 1, 2, 3].map(width);
    for [d, c, w, r, place] in &rows {
        writeln!(out, "{d:<date$}  {c:<calendar$}  {w:<what$}  {r:<reason$}  {place}")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod overrides_tests;
