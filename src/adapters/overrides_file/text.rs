//! Edits of the text of `calendar-overrides.toml`. What an edit does not concern stays as it is, byte for byte: comments, blank lines, the
//! order of keys, line endings.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

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

/// One `[[override]]` in the text.
struct Table {
    /// Of its header, from 1.
    line: usize,
    /// From the start of the header's line to the end of its last line.
    body: Range<usize>,
    /// Key, where its line begins, and where its value stands.
    values: Vec<(String, usize, Range<usize>)>,
}

/// The text with one more override at its end. `calendar`: None = the default calendar.
pub fn append(text: &str, calendar: Option<&str>, word: &Override) -> Result<String, TextError> {
    tables(text)?;
    let end = line_end(text);
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(end);
    }
    let is_blank = |line: &str| line.trim().is_empty();
    if out.lines().next_back().is_some_and(|line| !is_blank(line)) {
        out.push_str(end);
    }
    let mut lines = vec!["[[override]]".to_owned()];
    lines.extend(calendar.map(|id| format!("calendar = {}", quoted(id))));
    lines.push(format!("date = \"{}\"", word.date));
    lines.extend(keys_of(word).into_iter().map(|(key, value)| format!("{key} = {value}")));
    for line in lines {
        out.push_str(&line);
        out.push_str(end);
    }
    Ok(out)
}

/// The text without the overrides whose headers stand in these lines. A comment directly above one goes with it.
pub fn remove(text: &str, lines: &[usize]) -> Result<String, TextError> {
    let tables = tables(text)?;
    let mut out = text.to_owned();
    // From the end, so that what comes before keeps its place.
    for line in in_order(lines).into_iter().rev() {
        let at = tables.iter().position(|table| table.line == line).ok_or(TextError::Gone(line))?;
        let first = at.checked_sub(1).map_or(0, |before| tables[before].body.end);
        let start = comment_above(text, first, tables[at].body.start);
        let mut cut = start..tables[at].body.end;
        // The blank line that kept it apart from its neighbour has no use any more.
        if let Some(blank) = blank_line(&out[cut.end..]).filter(|_| is_apart(&out[..cut.start])) {
            cut.end += blank;
        } else if out[cut.end..].is_empty() && is_apart(&out[..cut.start]) {
            cut.start = without_blank_line(&out[..cut.start]);
        }
        out.replace_range(cut, "");
    }
    Ok(out)
}

/// The text in which the override whose header stands in this line says something else of its date.
pub fn replace(text: &str, line: usize, word: &Override) -> Result<String, TextError> {
    let tables = tables(text)?;
    let table = tables.iter().find(|table| table.line == line).ok_or(TextError::Gone(line))?;
    let wanted = keys_of(word);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (key, start, value) in &table.values {
        match wanted.iter().find(|(wanted, _)| wanted == key) {
            Some((_, new)) => edits.push((value.clone(), new.clone())),
            None if matches!(key.as_str(), "calendar" | "date") => {}
            None => edits.push((*start..end_of_line(text, value.end), String::new())),
        }
    }
    let after_date =
        table.values.iter().find(|(key, ..)| key == "date").map_or(table.body.end, |(.., value)| value.end);
    let at = end_of_line(text, after_date);
    let is_new = |key: &str| !table.values.iter().any(|(known, ..)| known == key);
    let new = wanted.iter().filter(|(key, _)| is_new(key));
    let new: String = new.map(|(key, value)| format!("{key} = {value}{}", line_end(text))).collect();
    let unended = if text[..at].ends_with('\n') { "" } else { line_end(text) };
    edits.push((at..at, if new.is_empty() { new } else { format!("{unended}{new}") }));
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = text.to_owned();
    for (range, new) in edits.into_iter().rev() {
        out.replace_range(range, &new);
    }
    Ok(out)
}

fn tables(text: &str) -> Result<Vec<Table>, TextError> {
    let root = DeTable::parse(text).map_err(|error| TextError::NotToml(error.message().replace('\n', ", ")))?;
    let line_of = |at: usize| 1 + text[..at].matches('\n').count();
    let Some((key, list)) = root.get_ref().get_key_value("override") else { return Ok(Vec::new()) };
    let DeValue::Array(items) = list.get_ref() else { return Err(TextError::List(line_of(key.span().start))) };
    let is_table = |at: usize| text[at..].starts_with("[[");
    if items.is_empty() || items.iter().any(|item| !is_table(item.span().start)) {
        return Err(TextError::List(line_of(key.span().start)));
    }
    let table = |item: &toml::Spanned<DeValue<'_>>| {
        let header = item.span();
        let mut values = Vec::new();
        if let DeValue::Table(table) = item.get_ref() {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
                let key: (&std::borrow::Cow<'_, str>, _) = (key.get_ref(), key.span());
                (key.0.to_string(), start_of_line(text, key.1.start), value.span())
            };
            values.extend(table.iter().map(entry));
        }
        let last = values.iter().map(|(.., value)| value.end).chain([header.end]).max().unwrap_or(header.end);
        let body = start_of_line(text, header.start)..end_of_line(text, last);
        Table { line: line_of(header.start), body, values }
    };
    Ok(items.iter().map(table).collect())
}

/// What an override says of its date, as keys and values.
fn keys_of(word: &Override) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    if word.closed {
        keys.push(("closed", "true".to_owned()));
    }
    keys.extend(word.open.map(|open| ("open", quoted(&open.to_string()))));
    keys.extend(word.close.map(|close| ("close", quoted(&close.to_string()))));
    keys.push(("reason", quoted(word.reason.trim())));
    keys
}

/// A TOML string in one line, whatever is in it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out + "\""
}

fn in_order(lines: &[usize]) -> Vec<usize> {
    let mut lines = lines.to_vec();
    lines.sort_unstable();
    lines.dedup();
    lines
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn start_of_line(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Behind the line break.
fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// Where the comment begins that ends right above `below`; not before `first`.
fn comment_above(text: &str, first: usize, below: usize) -> usize {
    let mut start = below;
    while start > first {
        let line = start_of_line(text, start - 1);
        if line < first || !text[line..start].trim_start().starts_with('#') {
            break;
        }
        start = line;
    }
    start
}

/// The length of the blank line that a text begins with.
fn blank_line(text: &str) -> Option<usize> {
    let end = end_of_line(text, 0);
    (end > 0 && text[..end].trim().is_empty()).then_some(end)
}

/// Whether a text ends with a blank line, or is none.
fn is_apart(text: &str) -> bool {
    without_blank_line(text) < text.len() || text.is_empty()
}

/// The length of a text without the blank line at its end.
fn without_blank_line(text: &str) -> usize {
    let Some(lines) = text.strip_suffix('\n') else { return text.len() };
    let start = start_of_line(text, lines.len());
    if text[start..].trim().is_empty() { start } else { text.len() }
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
        let new = "\n[[override]]\ncalendar = \"XNYS\"\ndate = \"2027-03-04\"\nclose = \"11:00\"\nreason = \"a \\\"b\\\" \\\\ c\"\n";
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
            .replace("date = \"2027-01-12\"\n", "date = \"2027-01-12\"\nclosed = true\n")
            .replace("close = \"12:00\"\n", "")
            .replace("\"snow\"", "\"more snow\"");
        assert_eq!(closed, expected);
        let short = replace(FILE, 5, &word("2027-01-11", Some("13:00"), "shorter")).expect("edited");
        assert!(short.contains("  date = 2027-01-11\nclose = \"13:00\"\nreason = \"shorter\" # said"), "{short}");
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
