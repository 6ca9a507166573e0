//! Which calendars there are: built-in ones, files of `calendar_dir`, tables `[calendar.ID]`, own hours of `[market]`, and overrides.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, Weekday};

use super::builtin;
use super::fault::{Bad, Place, Report};
use super::node::{Data, Node};
use super::overrides::{self, Dated};
use super::section::Section;
use super::sources::absolute;
use super::values::{self, Parsed};
use crate::domain::calendar::{self, Calendar, Override, OwnHours, TimeOfDay};

const MARKET_KEYS: [&str; 5] = ["calendar", "timezone", "open", "close", "calendar_dir"];
const OWN_KEYS: [&str; 5] = ["extends", "timezone", "open", "close", "weekdays"];

/// The id of the default calendar where `[market]` gives it hours of its own: a script that names the exchange gets the exchange's.
pub(super) const MARKET: &str = "market";

/// Calendars by key.
type Ready = BTreeMap<Arc<str>, Arc<Calendar>>;
/// Overrides by the id of their calendar.
type Words = BTreeMap<Arc<str>, Vec<Override>>;

/// A calendar before its overrides.
#[derive(Clone)]
struct Known {
    calendar: Calendar,
    /// Its id and those it is derived from: an override of any of them concerns it.
    lineage: Vec<Arc<str>>,
}

/// A `[calendar.ID]`, read but not yet laid over what it extends.
struct Table<'a> {
    node: &'a Node,
    extends: Option<String>,
    hours: OwnHours,
    /// A fault was reported: whoever names it gets a stand-in, and no second fault.
    faulty: bool,
}

/// All calendars that a configuration may name.
pub(super) struct Calendars<'a> {
    report: &'a Report,
    /// Of `calendar_dir`, by id.
    files: BTreeMap<String, Calendar>,
    /// `[calendar.ID]`, by id as written.
    tables: BTreeMap<String, Table<'a>>,
    dated: Vec<Dated>,
    market: Known,
    /// Those asked for, overrides applied.
    ready: Ready,
    /// The same, and files that nobody asked for, without overrides.
    plain: Ready,
    /// The keys of names that scripts have asked for: thousands may name the same one.
    named: BTreeMap<String, Arc<str>>,
}

impl<'a> Calendars<'a> {
    /// Reads everything about calendars; `root` is the whole configuration, `file_overrides` the content of calendar-overrides.toml.
    pub fn read(root: &'a Node, file_overrides: &[Node], base_dir: &Path, report: &'a Report) -> Self {
        let market = Section::new("market", root.get("market"), None, report);
        market.only(&MARKET_KEYS, &[]);
        let xnys = Calendar::builtin(builtin::CALENDAR).expect("the default calendar is built in");
        let mut all = Self {
            report,
            files: BTreeMap::new(),
            tables: BTreeMap::new(),
            dated: Vec::new(),
            market: Known { calendar: xnys, lineage: Vec::new() },
            ready: BTreeMap::new(),
            plain: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        if let Some(dir) = market.read_set("calendar_dir", values::string) {
            all.read_dir(&absolute(base_dir, Path::new(&dir)), market.get("calendar_dir"));
        }
        all.read_tables(root);
        all.market = all.read_market(&market);
        let lists = root.get("override").into_iter().chain(file_overrides);
        let items: Vec<Dated> = lists.flat_map(|list| overrides::read(list, report)).collect();
        items.into_iter().for_each(|dated| all.place_override(dated));
        for id in all.tables.keys().cloned().collect::<Vec<_>>() {
            if let Ok(known) = all.find(&id, &mut Vec::new()) {
                all.finish(&known);
            }
        }
        let market = all.market.clone();
        all.finish(&market);
        let files = all.files.values().map(|calendar| (calendar.id().into(), Arc::new(calendar.clone())));
        all.plain.extend(files);
        all
    }

    /// The key of the default calendar.
    pub fn market(&self) -> Arc<str> {
        self.market.calendar.id().into()
    }

    /// The key of the calendar that a script names; it is made ready.
    pub fn use_named(&mut self, name: &str) -> Parsed<Arc<str>> {
        if let Some(key) = self.named.get(name) {
            return Ok(Arc::clone(key));
        }
        let known = self.find(name, &mut Vec::new())?;
        let key = self.finish(&known);
        self.named.insert(name.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    pub fn get(&self, key: &str) -> Option<&Arc<Calendar>> {
        self.ready.get(key)
    }

    /// The calendars in use, those without overrides, and all overrides by the id of the calendar they name.
    pub fn into_parts(self) -> (Ready, Ready, Words) {
        let mut overrides = Words::new();
        for dated in self.dated {
            overrides.entry(dated.calendar.into()).or_default().push(dated.day);
        }
        (self.ready, self.plain, overrides)
    }

    fn read_dir(&mut self, dir: &Path, node: Option<&Node>) {
        let place = node.map_or(Place::BuiltIn, |node| node.place.clone());
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                let message =
                    format!("cannot read the directory {}: {error}; create it, or correct the path", dir.display());
                return self.report.fault(&place, "market.calendar_dir", message);
            }
        };
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for path in files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "toml")) {
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let at = |line| Place::File { path: path.clone(), line };
            match std::fs::read_to_string(&path) {
                Err(error) => self.report.fault(
                    &at(None),
                    "",
                    format!("cannot be read: {error}; mend it, or move it out of calendar_dir"),
                ),
                Ok(text) => match Calendar::parse_file(id, &text, &path.display().to_string()) {
                    Ok(calendar) => {
                        self.files.insert(id.to_owned(), calendar);
                    }
                    Err(faults) => {
                        faults.into_iter().for_each(|f| self.report.fault(&at(f.line), &f.key, f.message));
                    }
                },
            }
        }
    }

    fn read_market(&self, section: &Section<'_>) -> Known {
        let named = section.read("calendar", |node| self.find(&values::string(node)?, &mut Vec::new()));
        let base = named.unwrap_or_else(|| self.market.clone());
        let hours = different(own_hours(section), &base.calendar);
        if hours == OwnHours::default() {
            return base;
        }
        match base.calendar.with_hours(MARKET, hours) {
            Ok(calendar) => {
                let lineage = base.lineage.into_iter().chain([Arc::from(MARKET)]).collect();
                Known { calendar, lineage }
            }
            Err(fault) => {
                self.hours_fault(section, fault);
                base
            }
        }
    }

    /// A fault of own hours stands at its key, else at the first that was written.
    fn hours_fault(&self, section: &Section<'_>, fault: calendar::Fault) {
        let keys = [fault.key.as_str(), "timezone", "open", "close"];
        if let Some(node) = keys.into_iter().filter_map(|key| section.get(key)).find(|node| !node.is_empty()) {
            self.report.fault(&node.place, &node.key, fault.message);
        }
    }

    /// A calendar by name: the operator's own first, then those that are built in.
    fn find(&self, name: &str, seen: &mut Vec<String>) -> Parsed<Known> {
        if let Some((id, table)) = self.tables.iter().find(|(id, _)| id.eq_ignore_ascii_case(name)) {
            return self.build(id, table, seen);
        }
        let file =
            self.files.iter().find(|(id, _)| id.eq_ignore_ascii_case(name)).map(|(_, calendar)| calendar.clone());
        if let Some(calendar) = file.or_else(|| Calendar::builtin(name)) {
            // An alias may stand for a calendar that a newer file replaces.
            let calendar = self.files.get(calendar.id()).cloned().unwrap_or(calendar);
            return Ok(Known { lineage: vec![calendar.id().into()], calendar });
        }
        let own = self.tables.keys().chain(self.files.keys()).map(String::as_str);
        let names: Vec<&str> = own.chain(Calendar::builtin_ids()).collect();
        let message = format!("unknown calendar {name:?}; known are {}", names.join(", "));
        Err(Bad::near(message, name, names))
    }

    fn build(&self, id: &str, table: &Table<'_>, seen: &mut Vec<String>) -> Parsed<Known> {
        if table.faulty {
            return Ok(self.market.clone());
        }
        if seen.iter().any(|one| one == id) {
            return Err(format!("calendars extend each other in a circle: {} -> {id}", seen.join(" -> ")).into());
        }
        seen.push(id.to_owned());
        let hours = table.hours;
        if let Some(extends) = &table.extends {
            let base = self.find(extends, seen)?;
            let calendar = base.calendar.with_hours(id, hours).map_err(|fault| Bad::from(fault.message))?;
            return Ok(Known { calendar, lineage: base.lineage.into_iter().chain([id.into()]).collect() });
        }
        let (Some(zone), Some(open), Some(close)) = (hours.timezone, hours.open, hours.close) else {
            return Err("needs either extends, or timezone, open and close (\"24:00\" = the end of the day)".into());
        };
        let close = close.closing();
        if close <= open {
            let message = "closes at or before it opens: where the session opens on the evening before, write open = \"HH:MM -1d\"";
            return Err(message.into());
        }
        if close.seconds() - open.seconds() > TimeOfDay::DAY_END.seconds() {
            return Err("is open for more than 24 hours: the sessions of two dates would overlap".into());
        }
        let on = hours.weekdays.unwrap_or([true, true, true, true, true, false, false]);
        let days: Vec<Weekday> = WEEKDAYS.iter().zip(on).filter(|(_, on)| *on).map(|((_, day), _)| *day).collect();
        let calendar = Calendar::plain(id, zone, open, close, &days);
        Ok(Known { calendar, lineage: vec![id.into()] })
    }

    /// Reads every `[calendar.ID]`, used or not, and marks those that cannot be.
    fn read_tables(&mut self, root: &'a Node) {
        let Some(node) = root.get("calendar") else {
            return;
        };
        let Some(tables) = node.table() else {
            let message = "expected tables such as [calendar.DESK]; the default calendar is [market] calendar";
            return self.report.fault(&node.place, "calendar", message);
        };
        self.tables = tables.iter().map(|(id, node)| (id.clone(), read_table(id, node, self.report))).collect();
        for id in tables.keys() {
            let Some(table) = self.tables.get(id) else {
                continue;
            };
            if let Err(bad) = self.build(id, table, &mut Vec::new()) {
                self.report.fault(&table.node.place, &table.node.key, bad);
                if let Some(table) = self.tables.get_mut(id) {
                    table.faulty = true;
                }
            }
        }
    }

    /// Resolves the calendar that an override names, and tries it together with those before, so that its fault has its place.
    fn place_override(&mut self, dated: Dated) {
        let found = match &dated.named {
            Some(name) => self.find(name, &mut Vec::new()),
            None => Ok(self.market.clone()),
        };
        let known = match found {
            Ok(known) => known,
            Err(bad) => return dated.fault("calendar", bad, self.report),
        };
        let dated = Dated { calendar: known.calendar.id().to_owned(), ..dated };
        let same = self.dated.iter().filter(|other| other.calendar == dated.calendar);
        let days: Vec<Override> = same.chain([&dated]).map(|dated| dated.day.clone()).collect();
        match known.calendar.with_overrides(&days) {
            Ok(_) => self.dated.push(dated),
            Err(faults) => {
                for fault in faults {
                    let key = fault.key.rsplit('.').next().unwrap_or_default();
                    dated.fault(key, fault.message, self.report);
                }
            }
        }
    }

    fn finish(&mut self, known: &Known) -> Arc<str> {
        let key: Arc<str> = known.calendar.id().into();
        if self.ready.contains_key(&key) {
            return key;
        }
        let concerning = self.concerning(known);
        let days: Vec<Override> = concerning.iter().map(|dated| dated.day.clone()).collect();
        let calendar = known.calendar.with_overrides(&days).unwrap_or_else(|faults| {
            for fault in faults {
                let Some((dated, name)) = overridden(&concerning, &fault.key) else { continue };
                let message = format!(
                    "on {key}, which has the dates of {}: {}; give {key} an [[override]] of its own for this date",
                    dated.calendar, fault.message
                );
                dated.fault(name, message, self.report);
            }
            known.calendar.clone()
        });
        self.ready.insert(Arc::clone(&key), Arc::new(calendar));
        self.plain.insert(Arc::clone(&key), Arc::new(known.calendar.clone()));
        key
    }

    /// The overrides of a calendar and of those it is derived from; of one date those of the most specific calendar alone.
    fn concerning(&self, known: &Known) -> Vec<&Dated> {
        let rank = |dated: &Dated| known.lineage.iter().position(|id| **id == *dated.calendar);
        let mut best: BTreeMap<NaiveDate, usize> = BTreeMap::new();
        for (dated, rank) in self.dated.iter().filter_map(|dated| Some((dated, rank(dated)?))) {
            best.entry(dated.day.date).and_modify(|best| *best = rank.max(*best)).or_insert(rank);
        }
        self.dated
            .iter()
            .filter(|dated| rank(dated).is_some_and(|rank| best.get(&dated.day.date) == Some(&rank)))
            .collect()
    }
}

/// The override that a fault of `override[INDEX].KEY` means, and KEY.
fn overridden<'d>(list: &[&'d Dated], key: &'d str) -> Option<(&'d Dated, &'d str)> {
    let (index, name) = key.strip_prefix("override[")?.split_once("].")?;
    Some((*list.get(index.parse::<usize>().ok()?)?, name))
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// Looks at the keys of `[market]` one by one, whatever calendar it names.
pub(super) fn read_hours(market: &Section<'_>) {
    market.only(&MARKET_KEYS, &[]);
    own_hours(market);
}

fn own_hours(section: &Section<'_>) -> OwnHours {
    OwnHours {
        timezone: section.read_set("timezone", values::zone),
        open: section.read_set("open", values::local_time),
        close: section.read_set("close", values::local_time),
        weekdays: section.read("weekdays", weekdays),
    }
}

/// A list of weekdays, whatever the case. One that names none would mean a calendar without a session.
fn weekdays(node: &Node) -> Parsed<[bool; 7]> {
    let weekday = |day: &Node| {
        let lower = values::string(day)?.to_lowercase();
        values::choice(&Node { data: Data::Text(lower), ..day.clone() }, &WEEKDAYS)
    };
    let mut on = [false; 7];
    let days = values::items(node, "a list such as [\"mon\", \"tue\"]", weekday)?;
    days.iter().for_each(|day| on[day.num_days_from_monday() as usize] = true);
    match on {
        [false, false, false, false, false, false, false] => {
            Err("names no day: write those with a session, such as [\"mon\", \"tue\"], or leave the key out".into())
        }
        on => Ok(on),
    }
}

/// Own hours that only repeat what the calendar says are none: compose files like to write the usual ones out.
fn different(hours: OwnHours, calendar: &Calendar) -> OwnHours {
    let timezone = hours.timezone.filter(|zone| *zone != calendar.zone());
    if timezone.is_some() {
        return hours;
    }
    let (open, close) = calendar.regular_hours(calendar.published_to());
    let open = hours.open.filter(|own| *own != open);
    OwnHours { timezone, open, close: hours.close.filter(|own| own.closing() != close), ..hours }
}

fn read_table<'a>(id: &str, node: &'a Node, report: &Report) -> Table<'a> {
    let faults_before = report.count();
    let section = Section::new(&format!("calendar.{id}"), Some(node), None, report);
    section.only(&OWN_KEYS, &[]);
    let builtin = Calendar::builtin_ids().into_iter().any(|known| known.eq_ignore_ascii_case(id));
    if builtin || id.eq_ignore_ascii_case(MARKET) {
        report.fault(&node.place, &node.key, format!("{id} is the name of a built-in calendar: choose another id"));
    }
    let extends = section.read_set("extends", values::string);
    let hours = own_hours(&section);
    Table { node, extends, hours, faulty: report.count() > faults_before }
}
