//! Hours of one's own: of `[market]`, and of tables `[calendar.ID]`.

use chrono::Weekday;

use super::MARKET;
use crate::config::fault::{Place, Report};
use crate::config::node::{Data, Node};
use crate::config::section::Section;
use crate::config::values::{self, Parsed};
use crate::domain::calendar::{Calendar, Origin, OwnHours};

const MARKET_KEYS: [&str; 5] = ["calendar", "timezone", "open", "close", "calendar_dir"];
const OWN_KEYS: [&str; 5] = ["extends", "timezone", "open", "close", "weekdays"];

/// A `[calendar.ID]`, read but not yet laid over what it extends.
pub(super) struct Table<'a> {
    pub node: &'a Node,
    pub extends: Option<String>,
    pub hours: OwnHours,
    /// A fault was reported: whoever names it gets a stand-in, and no second fault.
    pub faulty: bool,
}

impl Table<'_> {
    /// Where it stands written.
    pub fn origin(&self) -> Option<Origin> {
        origin_of(&self.node.place)
    }
}

/// Where hours of `[market]` stand written.
pub(super) fn market_origin(market: &Section<'_>) -> Option<Origin> {
    let written = ["open", "close", "timezone"].into_iter().filter_map(|key| market.get(key));
    written.into_iter().find_map(|node| origin_of(&node.place))
}

fn origin_of(place: &Place) -> Option<Origin> {
    match place {
        Place::File { path, line: Some(line) } => {
            Some(Origin { file: path.display().to_string().into(), line: *line, source: None })
        }
        Place::File { .. } | Place::BuiltIn | Place::Env(_) | Place::Flag(_) => None,
    }
}

pub(super) const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// Looks at the keys of `[market]` one by one, whatever calendar it names.
pub(in crate::config) fn read_hours(market: &Section<'_>) {
    only_known_keys(market);
    own_hours(market);
}

pub(super) fn only_known_keys(market: &Section<'_>) {
    market.only(&MARKET_KEYS);
}

pub(super) fn own_hours(section: &Section<'_>) -> OwnHours {
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
pub(super) fn different(hours: OwnHours, calendar: &Calendar) -> OwnHours {
    let timezone = hours.timezone.filter(|zone| *zone != calendar.zone());
    if timezone.is_some() {
        return hours;
    }
    let (open, close) = calendar.regular_hours(calendar.published_to());
    let open = hours.open.filter(|own| *own != open);
    OwnHours { timezone, open, close: hours.close.filter(|own| own.closing() != close), ..hours }
}

pub(super) fn read_table<'a>(id: &str, node: &'a Node, report: &Report) -> Table<'a> {
    let faults_before = report.count();
    let section = Section::new(&format!("calendar.{id}"), Some(node), None, report);
    section.only(&OWN_KEYS);
    let builtin = Calendar::builtin_ids().into_iter().any(|known| known.eq_ignore_ascii_case(id));
    if builtin || id.eq_ignore_ascii_case(MARKET) {
        report.fault(&node.place, &node.key, format!("{id} is the name of a built-in calendar: choose another id"));
    }
    let extends = section.read_set("extends", values::string);
    let hours = own_hours(&section);
    Table { node, extends, hours, faulty: report.count() > faults_before }
}
