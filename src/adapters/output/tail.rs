//! The last lines of an attempt, for its crash report. Looks only at the end of what is printed: the cost does not grow with the amount.

use memchr::{memchr, memrchr};

use super::drain::LINE;

/// So many lines.
const LINES: usize = 20;

/// The last lines, each cut after 4 KiB.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Whole lines with their newlines, then the line that has none yet.
    text: Vec<u8>,
    /// Newlines in `text`.
    lines: usize,
    /// Bytes of the line that has no newline yet.
    open: usize,
}

impl Tail {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut rest = match start_of_last_lines(chunk) {
            Some(start) => {
                self.text.clear();
                (self.lines, self.open) = (0, 0);
                chunk.get(start..).unwrap_or_default()
            }
            None => chunk,
        };
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            self.extend(line.get(..end).unwrap_or_default());
            self.text.push(b'\n');
            self.lines += 1;
            self.open = 0;
            rest = after;
            self.trim();
        }
        self.extend(rest);
    }

    fn extend(&mut self, piece: &[u8]) {
        let kept = piece.len().min(LINE.saturating_sub(self.open));
        self.text.extend_from_slice(piece.get(..kept).unwrap_or_default());
        self.open += kept;
    }

    /// Drops old lines, many at once so that each byte is moved once on average.
    fn trim(&mut self) {
        if self.lines < 2 * LINES {
            return;
        }
        let Some(start) = start_of_last_lines(&self.text) else { return };
        self.text.drain(..start);
        self.lines = LINES;
    }

    /// The last twenty lines, oldest first; a last line without a newline counts.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.text);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().to_vec()
    }
}

/// Where the last twenty whole lines of `text` begin, if there are more.
fn start_of_last_lines(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    for _ in 0..=LINES {
        end = memrchr(b'\n', text.get(..end)?)?;
    }
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<String> {
        let mut tail = Tail::default();
        chunks.iter().for_each(|chunk| tail.push(chunk));
        tail.lines()
    }

    #[test]
    fn the_last_twenty_lines_are_kept_however_they_were_cut_into_chunks() {
        let text: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        let expected: Vec<_> = (980..1000).map(|i| format!("line {i}")).collect();
        for size in [1, 7, 64, 1000, text.len()] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(lines_of(&chunks), expected, "chunks of {size}");
        }
    }

    #[test]
    fn a_last_line_without_a_newline_counts() {
        assert_eq!(lines_of(&[b"a\nb", b"c"]), ["a", "bc"]);
        assert_eq!(lines_of(&[]), [""; 0]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; 10 * LINE];
        let lines = lines_of(&[&long, &long, b"\nnext\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE, 4]);
    }
}
