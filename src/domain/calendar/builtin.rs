//! The calendars inside the program: the files of `config/calendars`. A further exchange is a further file and a line here.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use chrono::NaiveDate;
use toml::de::DeTable;

/// Id, file as people find it, and text.
type Builtin = (&'static str, &'static str, &'static str);

macro_rules! builtin {
    ($id:literal, $file:literal) => {
        (
            $id,
            concat!("config/calendars/", $file, " (built in)"),
            include_str!(concat!("../../../config/calendars/", $file)),
        )
    };
}

const FILES: [Builtin; 12] = [
    builtin!("XNYS", "xnys.toml"),
    builtin!("XLON", "xlon.toml"),
    builtin!("XTSE", "xtse.toml"),
    builtin!("XETR", "xetr.toml"),
    builtin!("XPAR", "xpar.toml"),
    builtin!("XTKS", "xtks.toml"),
    builtin!("XHKG", "xhkg.toml"),
    builtin!("XASX", "xasx.toml"),
    builtin!("CMES", "cmes.toml"),
    builtin!("FX", "fx.toml"),
    builtin!("always", "always.toml"),
    builtin!("weekdays", "weekdays.toml"),
];

/// Every alias and the file that it means.
static ALIASES: LazyLock<Vec<(&'static str, usize)>> = LazyLock::new(|| {
    let files = FILES.iter().enumerate();
    files.flat_map(|(at, (.., text))| aliases_in(text).into_iter().map(move |alias| (alias, at))).collect()
});

/// A calendar by id or alias, whatever the case.
pub(super) fn find(name: &str) -> Option<Builtin> {
    let by_id = FILES.iter().find(|(id, ..)| id.eq_ignore_ascii_case(name));
    let by_alias = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, at)| &FILES[*at]);
    by_id.or_else(by_alias).copied()
}

/// All ids, then all aliases.
pub(super) fn ids() -> Vec<&'static str> {
    FILES.iter().map(|(id, ..)| *id).chain(ALIASES.iter().map(|(alias, _)| *alias)).collect()
}

/// The dates of calendars that have a week and no facts: as far as anybody will look.
pub(super) fn wide_range() -> RangeInclusive<NaiveDate> {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    day(1970, 1, 1)..=day(2199, 12, 31)
}

/// They stand in one line of the head: reading that alone keeps a start from reading every file.
fn aliases_in(text: &'static str) -> Vec<&'static str> {
    let line = text.lines().take_while(|line| !line.starts_with('[')).find(|line| line.starts_with("aliases"));
    let Some((root, _)) = line.map(DeTable::parse_recoverable) else { return Vec::new() };
    let list = root.get_ref().get("aliases").and_then(|value| value.get_ref().as_array().cloned());
    let names = list.into_iter().flatten().filter_map(|item| match item.into_inner() {
        toml::de::DeValue::String(Cow::Borrowed(name)) => Some(name),
        _ => None,
    });
    names.collect()
}
