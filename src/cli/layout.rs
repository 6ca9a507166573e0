//! Text for a terminal: lines that fit it, and nothing in them that it would obey.

use std::borrow::Cow;

/// No line is longer, as far as its words allow.
pub(super) const WIDEST: usize = 80;

/// `head` and `text` in lines of at most [`WIDEST`] columns, broken at blanks of the text; all lines but the first begin at column `indent`.
pub(super) fn hung(head: &str, text: &str, indent: usize) -> String {
    hung_within(WIDEST, head, text, indent)
}

/// The same in lines of at most `widest` columns.
pub(super) fn hung_within(widest: usize, head: &str, text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut start = head.chars().count();
    let mut line = format!("{head}{text}");
    while let Some(at) = break_of(&line, start, widest) {
        let (this, rest) = line.split_at(at);
        lines.push_str(this.trim_end());
        lines.push('\n');
        start = indent;
        line = format!("{:indent$}{}", "", rest.trim_start());
    }
    lines.push_str(line.trim_end());
    lines
}

/// Where a line that is too long is broken: at the last blank that fits, else at the first; never before column `start`.
fn break_of(line: &str, start: usize, widest: usize) -> Option<usize> {
    if line.trim_end().chars().count() <= widest {
        return None;
    }
    let blanks = line.char_indices().enumerate().filter(|(_, (_, letter))| *letter == ' ');
    let blanks = blanks.map(|(column, (at, _))| (column, at)).filter(|(column, at)| {
        // A blank before the first word, or after the last, parts nothing.
        *column > start && !line[*at..].trim_start().is_empty() && !line[..*at].ends_with(' ')
    });
    let mut best = None;
    for (column, at) in blanks {
        if column > widest {
            return best.or(Some(at));
        }
        best = Some(at);
    }
    best
}

/// With control characters written out: a name or a reason may hold what would move the cursor or end the line.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_only_where_it_is_too_long_and_only_at_blanks() {
        let words = |count: usize| vec!["word"; count].join(" ");
        assert_eq!(hung("  head  ", "two   columns", 8), "  head  two   columns");
        // 16 words are 79 columns.
        assert_eq!(hung("", &words(16), 4), words(16));
        assert_eq!(hung("x", &words(16), 4), format!("x{}", words(16)));
        assert_eq!(hung("xx", &words(16), 4), format!("xx{}\n    word", words(15)));
        let long = "x".repeat(100);
        assert_eq!(hung("head ", &long, 5), format!("head {long}"));
        assert_eq!(hung("head ", &format!("a {long} b"), 5), format!("head a\n     {long}\n     b"));
        let text = hung(&"x".repeat(70), &format!(" {}", words(40)), 10);
        assert!(text.lines().all(|line| line.len() <= WIDEST && !line.ends_with(' ')), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("          word")), "{text}");
        assert_eq!(text.matches("word").count(), 40);
        // Columns are letters, not bytes.
        let accents = vec!["éé"; 26].join(" ");
        assert_eq!(hung("", &accents, 0), accents);
    }

    #[test]
    fn only_control_characters_are_written_out() {
        assert_eq!(escaped("Fête \"nationale\" 元日"), "Fête \"nationale\" 元日");
        assert_eq!(escaped("a\nb\u{1b}[31m\t\u{9b}c"), "a\\nb\\u{1b}[31m\\t\\u{9b}c");
    }
}
