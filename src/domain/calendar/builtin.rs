//! The calendars inside the program: the files of `config/calendars`. A further exchange is a further file and a line here.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use chrono::NaiveDate;
use toml::de::DeTable;

const FILES: [(&str, &str); 3] = [
    ("XNYS", include_str!("../../../config/calendars/xnys.toml")),
    ("always", include_str!("../../../config/calendars/always.toml")),
    ("weekdays", include_str!("../../../config/calendars/weekdays.toml")),
];

/// Every alias and the file that it means.
static ALIASES: LazyLock<Vec<(&'static str, usize)>> = LazyLock::new(|| {
    let files = FILES.iter().enumerate();
    files.flat_map(|(at, (_, text))| aliases_in(text).into_iter().map(move |alias| (alias, at))).collect()
});

/// Id and text of a calendar by id or alias, whatever the case.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    let by_id = FILES.iter().find(|(id, _)| id.eq_ignore_ascii_case(name));
    let by_alias = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, at)| &FILES[*at]);
    by_id.or_else(by_alias).copied()
}

/// All ids, then all aliases.
pub(super) fn ids() -> Vec<&'static str> {
    FILES.iter().map(|(id, _)| *id).chain(ALIASES.iter().map(|(alias, _)| *alias)).collect()
}

/// The dates of calendars that have a week and no facts: as far as anybody will look.
pub(super) fn wide_range() -> RangeInclusive<NaiveDate> {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    day(1970, 1, 1)..=day(2199, 12, 31)
}

fn aliases_in(text: &'static str) -> Vec<&'static str> {
    let (root, _) = DeTable::parse_recoverable(text);
    let list = root.get_ref().get("aliases").and_then(|value| value.get_ref().as_array().cloned());
    let names = list.into_iter().flatten().filter_map(|item| match item.into_inner() {
        toml::de::DeValue::String(Cow::Borrowed(name)) => Some(name),
        _ => None,
    });
    names.collect()
}
