//! Edits of the text of `calendar-overrides.toml`. What an edit does not concern stays as it is: comments, blank lines, the order of keys,
//! the kind of line ends.

use toml_edit::{ArrayOfTables, Document, DocumentMut, Item, RawString, Table, Value};

use crate::domain::calendar::Override;

/// Why a text cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Whoever reads the configuration says what is wrong with it, and where.
    #[error("is not valid TOML ({0}): mend it first; mho check names the line")]
    NotToml(String),
    /// `override = [{ ... }]`.
    #[error(
        "line {0} writes the overrides as a list in brackets: write them as [[override]] tables, then they can be edited"
    )]
    List(usize),
    /// The text is another than the one that was looked at.
    #[error("has no [[override]] in line {0} any more: somebody else has changed it, try again")]
    Gone(usize),
}

const KEY: &str = "override";

/// The text with one more override at its end. `calendar`: None = the default calendar.
pub fn append(text: &str, calendar: Option<&str>, word: &Override) -> Result<String, TextError> {
    let mut file = Parsed::of(text)?;
    let mut table = Table::new();
    if let Some(id) = calendar {
        table.insert("calendar", id.into());
    }
    table.insert("date", word.date.to_string().into());
    for (key, value) in keys_of(word) {
        table.insert(key, Item::Value(value));
    }
    // What stands at the end of the file comes before it.
    let before = file.document.trailing().as_str().unwrap_or_default().to_owned();
    let body = file.document.to_string();
    let gap = match body.as_str() {
        "" => "",
        body if body.ends_with("\n\n") => "",
        body if body.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    file.document.set_trailing("");
    table.decor_mut().set_prefix(format!("{before}{gap}"));
    file.list().push(table);
    Ok(file.text())
}

/// The text without the overrides whose headers stand in these lines. A comment directly above one goes with it.
pub fn remove(text: &str, lines: &[usize]) -> Result<String, TextError> {
    let mut file = Parsed::of(text)?;
    let mut places = lines.iter().map(|line| file.place_of(*line)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    for place in places.into_iter().rev() {
        let list = file.list();
        let above = list.get(place).map(above).unwrap_or_default();
        list.remove(place);
        // What is not directly above the table is not about it, and goes to whatever follows.
        let kept = without_own_comment(&above);
        match list.get_mut(place) {
            Some(next) => {
                let joined = joined(kept, &self::above(next));
                next.decor_mut().set_prefix(joined);
            }
            None => {
                let rest = file.document.trailing().as_str().unwrap_or_default().to_owned();
                file.document.set_trailing(joined(kept, &rest));
            }
        }
    }
    if file.list().is_empty() {
        file.document.remove(KEY);
    }
    Ok(file.text())
}

/// The text in which the override whose header stands in this line says something else of its date.
pub fn replace(text: &str, line: usize, word: &Override) -> Result<String, TextError> {
    let mut file = Parsed::of(text)?;
    let place = file.place_of(line)?;
    let table = file.list().get_mut(place).ok_or(TextError::Gone(line))?;
    let wanted = keys_of(word);
    let mut comments = String::new();
    for key in ["closed", "open", "close"] {
        if !wanted.iter().any(|(wanted, _)| *wanted == key)
            && let Some((key, _)) = table.remove_entry(key)
        {
            comments.push_str(key.leaf_decor().prefix().and_then(RawString::as_str).unwrap_or_default());
        }
    }
    for (key, mut value) in wanted {
        match table.get_mut(key).and_then(Item::as_value_mut) {
            // A comment behind the value stays.
            Some(old) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            None => drop(table.insert(key, Item::Value(value))),
        }
    }
    // A comment above a key that goes is still about this override. A reason there always is.
    if let Some(mut reason) = table.key_mut("reason").filter(|_| comments.contains('#')) {
        let above = reason.leaf_decor().prefix().and_then(RawString::as_str).unwrap_or_default().to_owned();
        reason.leaf_decor_mut().set_prefix(format!("{comments}{above}"));
    }
    Ok(file.text())
}

/// A text that can be edited.
struct Parsed {
    document: DocumentMut,
    /// The lines of the headers, from 1.
    lines: Vec<usize>,
    has_dos_line_ends: bool,
}

impl Parsed {
    fn of(text: &str) -> Result<Self, TextError> {
        // The editor knows one kind of line end.
        let (plain, has_dos_line_ends) = (text.replace("\r\n", "\n"), text.contains("\r\n"));
        let document =
            Document::parse(plain.as_str()).map_err(|error| TextError::NotToml(error.message().replace('\n', ", ")))?;
        let line_of = |at: usize| 1 + plain[..at].matches('\n').count();
        let lines = match document.get_key_value(KEY) {
            None => Vec::new(),
            Some((_, Item::ArrayOfTables(list))) => {
                list.iter().filter_map(Table::span).map(|span| line_of(span.start)).collect()
            }
            Some((key, _)) => return Err(TextError::List(line_of(key.span().unwrap_or_default().start))),
        };
        Ok(Self { document: document.into_mut(), lines, has_dos_line_ends })
    }

    fn place_of(&self, line: usize) -> Result<usize, TextError> {
        self.lines.iter().position(|header| *header == line).ok_or(TextError::Gone(line))
    }

    fn list(&mut self) -> &mut ArrayOfTables {
        let item = self.document.entry(KEY).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        item.as_array_of_tables_mut().expect("anything else was refused when it was parsed")
    }

    fn text(&self) -> String {
        let text = self.document.to_string();
        if self.has_dos_line_ends { text.replace('\n', "\r\n") } else { text }
    }
}

/// What an override says of its date, as keys and values.
fn keys_of(word: &Override) -> Vec<(&'static str, Value)> {
    let mut keys = Vec::new();
    if word.closed {
        keys.push(("closed", true.into()));
    }
    keys.extend(word.open.map(|open| ("open", open.to_string().into())));
    keys.extend(word.close.map(|close| ("close", close.to_string().into())));
    keys.push(("reason", word.reason.trim().into()));
    keys
}

/// Comments and blank lines between the table before and the header of this one.
fn above(table: &Table) -> String {
    table.decor().prefix().and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// The same without the comment directly above the header.
fn without_own_comment(above: &str) -> &str {
    let own: usize =
        above.split_inclusive('\n').rev().take_while(|line| line.trim_start().starts_with('#')).map(str::len).sum();
    &above[..above.len() - own]
}

/// One after the other, with one gap where both bring one.
fn joined(kept: &str, next: &str) -> String {
    let is_apart = kept.is_empty() || kept.ends_with("\n\n") || kept == "\n";
    let next = if is_apart { next.strip_prefix('\n').unwrap_or(next) } else { next };
    // Nothing follows: a gap at the end of the file parts nothing.
    let kept = if next.is_empty() { kept.strip_suffix('\n').unwrap_or(kept) } else { kept };
    format!("{kept}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# Overrides of the desk.
# Ask Ann before you change one.

# the mourning
[[override]]   # announced on Friday
  date = 2027-01-11
  closed = true
reason = \"\"\"
[[override]] is no header here\"\"\" # said the exchange
# after the first

[[override]]
calendar = 'nyse'
date = \"2027-01-12\"
# half a day
close = \"12:00\"
reason = \"snow\"

# the end
";

    fn word(date: &str, close: Option<&str>, reason: &str) -> Override {
        Override {
            date: date.parse().expect("a date"),
            closed: close.is_none(),
            open: None,
            close: close.map(|close| close.parse().expect("a time")),
            reason: reason.into(),
            origin: None,
        }
    }

    #[test]
    fn an_override_comes_at_the_end_and_leaves_all_else_alone() {
        let more = append(FILE, Some("XNYS"), &word("2027-03-04", Some("11:00"), "a \"b\" \\ c\n")).expect("edited");
        let new =
            "\n[[override]]\ncalendar = \"XNYS\"\ndate = \"2027-03-04\"\nclose = \"11:00\"\nreason = 'a \"b\" \\ c'\n";
        assert_eq!(more, format!("{FILE}{new}"));
        let line = 1 + FILE.lines().count() + 1;
        assert_eq!(remove(&more, &[line]).expect("edited"), FILE, "and goes without a trace");
    }

    #[test]
    fn the_first_override_of_a_file_and_line_ends_are_as_they_should_be() {
        let closed = word("2027-03-04", None, "x");
        let table = "[[override]]\ndate = \"2027-03-04\"\nclosed = true\nreason = \"x\"\n";
        assert_eq!(append("", None, &closed).expect("edited"), table);
        assert_eq!(append("# only this", None, &closed).expect("edited"), format!("# only this\n\n{table}"));
        let dos = append("# only this\r\n", None, &closed).expect("edited");
        assert_eq!(dos, format!("# only this\n\n{table}").replace('\n', "\r\n"));
        assert_eq!(remove(&dos, &[3]).expect("edited"), "# only this\r\n");
        assert_eq!(remove(table, &[1]).expect("edited"), "");
    }

    #[test]
    fn a_comment_directly_above_goes_with_its_override_and_no_other_does() {
        let first = remove(FILE, &[5]).expect("edited");
        let (_, rest) = FILE.split_once("# after the first").expect("it is there");
        let head = "# Overrides of the desk.\n# Ask Ann before you change one.\n\n";
        assert_eq!(first, format!("{head}# after the first{rest}"));
        let second = remove(FILE, &[12]).expect("edited");
        let (kept, _) = FILE.split_once("[[override]]\ncalendar").expect("it is there");
        assert_eq!(second, format!("{kept}# the end\n"));
        let none = remove(FILE, &[12, 5]).expect("edited");
        assert_eq!(none, format!("{head}# after the first\n\n# the end\n"));
    }

    #[test]
    fn an_override_is_replaced_where_it_stands_and_keeps_its_comments() {
        let closed = replace(FILE, 12, &word("2027-01-12", None, "more snow")).expect("edited");
        let expected = FILE
            .replace("close = \"12:00\"\n", "")
            .replace("reason = \"snow\"\n", "reason = \"more snow\"\nclosed = true\n");
        assert_eq!(closed, expected);
        let short = replace(FILE, 5, &word("2027-01-11", Some("13:00"), "shorter")).expect("edited");
        assert!(
            short.contains("  date = 2027-01-11\nreason = \"shorter\" # said the exchange\nclose = \"13:00\"\n"),
            "{short}"
        );
        assert!(!short.contains("closed") && short.contains("# announced on Friday"), "{short}");
    }

    #[test]
    fn what_cannot_be_edited_says_why() {
        let say = |text: &str| append(text, None, &word("2027-03-04", None, "x")).expect_err("no edit").to_string();
        assert!(say("# x\noverride = []\n").starts_with("line 2 writes the overrides as a list"));
        assert!(say("override = [{ date = 2027-01-11 }]\n").starts_with("line 1 writes"));
        assert!(say("override = = 1\n").starts_with("is not valid TOML"));
        let gone = remove(FILE, &[6]).expect_err("no header").to_string();
        assert!(gone.starts_with("has no [[override]] in line 6 any more"), "{gone}");
    }
}
