//! Which calendars there are: built-in ones, files of `calendar_dir`, tables `[calendar.ID]`, own hours of `[market]`, and overrides.

mod files;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, Weekday};

use super::builtin;
use super::fault::{Bad, Report};
use super::node::Node;
use super::overrides::{self, Dated};
use super::section::Section;
use super::sources::absolute;
use super::values::{self, Parsed};
use crate::domain::calendar::{self, Calendar, Origin, Override, OwnHours};
use files::Files;
pub(super) use own::read_hours;
use own::{Table, WEEKDAYS, different, market_origin, own_hours, read_table};

/// The id of the default calendar where `[market]` gives it hours of its own: a script that names the exchange gets the exchange's.
pub(super) const MARKET: &str = "market";

/// Calendars by key.
type Ready = BTreeMap<Arc<str>, Arc<Calendar>>;
/// Overrides by the id of their calendar.
type Words = BTreeMap<Arc<str>, Vec<Override>>;

/// A calendar before its overrides, and how it came to be.
#[derive(Clone)]
struct Known {
    calendar: Calendar,
    /// What it begins with: a built-in calendar, a file, or plain hours.
    base: Calendar,
    /// The hours that were laid over that, one after the other.
    layers: Vec<Layer>,
}

/// Hours of one's own over a calendar.
#[derive(Clone)]
struct Layer {
    id: Arc<str>,
    hours: OwnHours,
    origin: Option<Origin>,
}

impl Known {
    fn of(base: Calendar) -> Self {
        Self { calendar: base.clone(), base, layers: Vec::new() }
    }

    fn under(self, id: &str, hours: OwnHours, origin: Option<Origin>) -> Result<Self, calendar::Fault> {
        let calendar = self.calendar.with_hours(id, hours, origin.clone())?;
        let layer = Layer { id: id.into(), hours, origin };
        Ok(Self { calendar, layers: self.layers.into_iter().chain([layer]).collect(), ..self })
    }

    /// Its place in its own line of descent: 0 is the base.
    fn rank(&self, id: &str) -> Option<usize> {
        let layers = self.layers.iter().map(|layer| &*layer.id);
        [self.base.id()].into_iter().chain(layers).position(|known| known == id)
    }
}

/// What a configuration says of calendars.
pub(super) struct Parts {
    /// Those in use.
    pub ready: Ready,
    /// Without overrides.
    pub plain: Ready,
    /// Derived ones without their own overrides.
    pub inherited: Ready,
    /// All overrides, by the id of the calendar they name.
    pub overrides: Words,
}

/// All calendars that a configuration may name.
pub(super) struct Calendars<'a> {
    report: &'a Report,
    /// Of `calendar_dir`.
    files: Files,
    /// `[calendar.ID]`, by id as written.
    tables: BTreeMap<String, Table<'a>>,
    dated: Vec<Dated>,
    market: Known,
    /// Those asked for, overrides applied.
    ready: Ready,
    /// The same, and files that nobody asked for, without overrides.
    plain: Ready,
    /// The same without their own overrides, but with those of the calendars that they are derived from.
    inherited: Ready,
    /// The keys of names that scripts have asked for: thousands may name the same one.
    named: BTreeMap<String, Arc<str>>,
}

impl<'a> Calendars<'a> {
    /// Reads everything about calendars; `root` is the whole configuration, `file_overrides` the content of calendar-overrides.toml.
    pub fn read(root: &'a Node, file_overrides: &[Node], base_dir: &Path, report: &'a Report) -> Self {
        let market = Section::new("market", root.get("market"), None, report);
        own::only_known_keys(&market);
        let xnys = Calendar::builtin(builtin::CALENDAR).expect("the default calendar is built in");
        let mut all = Self {
            report,
            files: Files::default(),
            tables: BTreeMap::new(),
            dated: Vec::new(),
            market: Known::of(xnys),
            ready: BTreeMap::new(),
            plain: BTreeMap::new(),
            inherited: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        if let Some(dir) = market.read_set("calendar_dir", values::string) {
            all.files = Files::read(&absolute(base_dir, Path::new(&dir)), market.get("calendar_dir"), report);
        }
        all.read_tables(root);
        all.market = all.read_market(&market);
        let lists = root.get("override").into_iter().chain(file_overrides);
        let items: Vec<Dated> = lists.flat_map(|list| overrides::read(list, report)).collect();
        all.place_overrides(items);
        for id in all.tables.keys().cloned().collect::<Vec<_>>() {
            if let Ok(known) = all.find(&id, &mut Vec::new()) {
                all.finish(&known);
            }
        }
        let market = all.market.clone();
        all.finish(&market);
        let files = all.files.calendars.values().map(|calendar| (calendar.id().into(), Arc::new(calendar.clone())));
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

    /// What all this came to.
    pub fn into_parts(self) -> Parts {
        let mut overrides = Words::new();
        for dated in self.dated {
            overrides.entry(dated.calendar.into()).or_default().push(dated.day);
        }
        Parts { ready: self.ready, plain: self.plain, inherited: self.inherited, overrides }
    }

    fn read_market(&self, section: &Section<'_>) -> Known {
        let named = section.read("calendar", |node| self.find(&values::string(node)?, &mut Vec::new()));
        let base = named.unwrap_or_else(|| self.market.clone());
        let hours = different(own_hours(section), &base.calendar);
        if hours == OwnHours::default() {
            return base;
        }
        match base.clone().under(MARKET, hours, market_origin(section)) {
            Ok(known) => known,
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
        if let Some(calendar) = self.files.find(name) {
            return Ok(Known::of(calendar.clone()));
        }
        if self.files.is_faulty(name) {
            return Ok(self.market.clone());
        }
        if let Some(calendar) = Calendar::builtin(name) {
            // An alias may stand for a calendar that a newer file replaces.
            return Ok(Known::of(self.files.find(calendar.id()).cloned().unwrap_or(calendar)));
        }
        let own = self.tables.keys().chain(self.files.calendars.keys()).map(String::as_str);
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
            return base.under(id, hours, table.origin()).map_err(|fault| Bad::from(fault.message));
        }
        let (Some(zone), Some(open), Some(close)) = (hours.timezone, hours.open, hours.close) else {
            return Err("needs either extends, or timezone, open and close (\"24:00\" = the end of the day)".into());
        };
        let on = hours.weekdays.unwrap_or([true, true, true, true, true, false, false]);
        let days: Vec<Weekday> = WEEKDAYS.iter().zip(on).filter(|(_, on)| *on).map(|((_, day), _)| *day).collect();
        let calendar = Calendar::plain(id, zone, open, close, &days).map_err(|fault| Bad::from(fault.message))?;
        Ok(Known::of(calendar))
    }

    /// A weekday that is asked for, and on which the calendar below never has a session, stays closed: that may not be meant.
    fn warn_of_lost_days(&self, id: &str, table: &Table<'_>) {
        let (Some(extends), Some(wanted)) = (&table.extends, table.hours.weekdays) else { return };
        let Ok(base) = self.find(extends, &mut vec![id.to_owned()]) else { return };
        let has = base.calendar.weekdays();
        let lost: Vec<&str> = (0..7).filter(|day| wanted[*day] && !has[*day]).map(|day| WEEKDAYS[day].0).collect();
        if let Some(node) = table.node.get("weekdays").filter(|_| !lost.is_empty()) {
            let message = format!(
                "{extends} has no session on {}, so {id} has none either: a special session is an [[override]]",
                lost.join(", ")
            );
            self.report.warn(&node.place, &node.key, message);
        }
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
            let file = self.files.find(id).map(|calendar| {
                format!("{id} is the name of a calendar file (of {}): choose another id", calendar.id())
            });
            match self.build(id, table, &mut Vec::new()) {
                Ok(_) if file.is_none() => self.warn_of_lost_days(id, table),
                built => {
                    let bad = file.map(Bad::from).or(built.err()).unwrap_or_else(|| Bad::from(String::new()));
                    self.report.fault(&table.node.place, &table.node.key, bad);
                    if let Some(table) = self.tables.get_mut(id) {
                        table.faulty = true;
                    }
                }
            }
        }
    }

    /// Resolves the calendars that overrides name, and tries all of each calendar at once. Those with faults are told and left out.
    fn place_overrides(&mut self, items: Vec<Dated>) {
        let mut of: BTreeMap<String, (Calendar, Vec<Dated>)> = BTreeMap::new();
        for dated in items {
            let found = match &dated.named {
                Some(name) => self.find(name, &mut Vec::new()),
                None => Ok(self.market.clone()),
            };
            match found {
                Ok(Known { calendar, .. }) => {
                    let id = calendar.id().to_owned();
                    let dated = Dated { calendar: id.clone(), ..dated };
                    of.entry(id).or_insert_with(|| (calendar, Vec::new())).1.push(dated);
                }
                Err(bad) => dated.fault("calendar", bad, self.report),
            }
        }
        for (calendar, mut words) in of.into_values() {
            let days: Vec<Override> = words.iter().map(|dated| dated.day.clone()).collect();
            if let Err(faults) = calendar.with_overrides(&days) {
                let mut bad = BTreeSet::new();
                for fault in faults {
                    let Some((at, name)) = overridden(&fault.key) else { continue };
                    if let Some(dated) = words.get(at) {
                        dated.fault(name, fault.message, self.report);
                    }
                    bad.insert(at);
                }
                let mut at = 0..;
                words.retain(|_| at.next().is_none_or(|at| !bad.contains(&at)));
            }
            self.dated.extend(words);
        }
    }

    fn finish(&mut self, known: &Known) -> Arc<str> {
        let key: Arc<str> = known.calendar.id().into();
        if self.ready.contains_key(&key) {
            return key;
        }
        let calendar = self.with_words(known, known.layers.len());
        if let Some(below) = known.layers.len().checked_sub(1) {
            self.inherited.insert(Arc::clone(&key), Arc::new(self.with_words(known, below)));
        }
        self.ready.insert(Arc::clone(&key), Arc::new(calendar));
        self.plain.insert(Arc::clone(&key), Arc::new(known.calendar.clone()));
        key
    }

    /// The calendar with the overrides of each calendar that it is derived from, laid over that one: in its zone, and under hours of one's
    /// own like the exchange's own word. Those of a higher rank than `last` are left out.
    fn with_words(&self, known: &Known, last: usize) -> Calendar {
        let mut calendar = self.overridden(known.base.clone(), known, (0, last));
        for (index, layer) in known.layers.iter().enumerate() {
            match calendar.with_hours(&layer.id, layer.hours, layer.origin.clone()) {
                Ok(under) => calendar = self.overridden(under, known, (index + 1, last)),
                // It has been tried without overrides, which do not matter to it.
                Err(_) => return known.calendar.clone(),
            }
        }
        calendar
    }

    fn overridden(&self, calendar: Calendar, known: &Known, (rank, last): (usize, usize)) -> Calendar {
        let words: Vec<&Dated> =
            self.concerning(known, last).into_iter().filter(|(at, _)| *at == rank).map(|(_, d)| d).collect();
        let days: Vec<Override> = words.iter().map(|dated| dated.day.clone()).collect();
        calendar.with_overrides(&days).unwrap_or_else(|faults| {
            for fault in faults {
                if let Some((at, name)) = overridden(&fault.key)
                    && let Some(dated) = words.get(at)
                {
                    dated.fault(name, fault.message, self.report);
                }
            }
            calendar
        })
    }

    /// The overrides of a calendar and of those it is derived from, with the place of theirs; of one date those of the most specific
    /// calendar alone.
    fn concerning(&self, known: &Known, last: usize) -> Vec<(usize, &Dated)> {
        let ranked = self.dated.iter().filter_map(|dated| Some((known.rank(&dated.calendar)?, dated)));
        let ranked = ranked.filter(|(rank, _)| *rank <= last);
        let mut best: BTreeMap<NaiveDate, usize> = BTreeMap::new();
        for (rank, dated) in ranked.clone() {
            best.entry(dated.day.date).and_modify(|best| *best = rank.max(*best)).or_insert(rank);
        }
        ranked.filter(|(rank, dated)| best.get(&dated.day.date) == Some(rank)).collect()
    }
}

/// INDEX and KEY of a fault of `override[INDEX].KEY`.
fn overridden(key: &str) -> Option<(usize, &str)> {
    let (index, name) = key.strip_prefix("override[")?.split_once("].")?;
    Some((index.parse().ok()?, name))
}
