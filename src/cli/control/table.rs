//! The status as people read it: a header, and a line for each script.

use chrono::{DateTime, FixedOffset, TimeDelta};

use super::paint::{Ink, Paper};
use crate::cli::layout::escaped;
use crate::domain::status::{Level, Local, Script, Status};

/// Names and states that are longer are cut.
const NAME: usize = 20;

/// All there is to see, at `now` on the market clock.
pub(super) fn render(status: &Status, now: DateTime<FixedOffset>, paper: Paper) -> String {
    let mut lines = header(status, now, paper);
    lines.push(String::new());
    if status.scripts.is_empty() {
        lines.push("no script is configured".to_owned());
        return lines.join("\n") + "\n";
    }
    let rows: Vec<Row> = status.scripts.iter().map(|script| Row::of(script, now)).collect();
    let widest = |cell: fn(&Row) -> &String, head: usize| {
        rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0).max(head)
    };
    let widths = [
        widest(|row| &row.name, 6).min(NAME),
        widest(|row| &row.state, 5),
        widest(|row| &row.since, 5),
        widest(|row| &row.next, 4),
    ];
    let heads = ["SCRIPT", "STATE", "SINCE", "NEXT"].map(str::to_owned);
    lines.push(paper.paint(Ink::Dim, &line(&heads, "WHY", widths, Ink::Plain, Paper { colour: false, ..paper })));
    for row in rows {
        lines.push(line(&[row.name, row.state, row.since, row.next], &row.why, widths, row.ink, paper));
    }
    lines.join("\n") + "\n"
}

/// The market, what comes next, and how all is.
fn header(status: &Status, now: DateTime<FixedOffset>, paper: Paper) -> Vec<String> {
    let market = &status.market;
    let clock = now.format("%a %Y-%m-%d %H:%M:%S");
    let mut lines = vec![cut(
        &format!("{}  {}: {}  {clock} {}", market.calendar, market.phase, escaped(&market.reason), market.timezone),
        paper.width,
    )];
    if status.rehearsal {
        lines.push(paper.paint(Ink::Warn, &format!("REHEARSAL: the market clock runs {} times as fast", status.speed)));
    }
    if let Some(next) = &market.next {
        let scripts = if next.scripts.is_empty() { String::new() } else { format!(" {}", next.scripts.join(", ")) };
        let left = (next.at.0 - now).max(TimeDelta::zero());
        let at = moment(next.at, now);
        lines.push(cut(&format!("next: {at} {}{scripts}, in {}", next.boundary, span(left)), paper.width));
    }
    let (word, ink) = match status.verdict.level {
        Level::Closed => ("CLOSED", Ink::Dim),
        Level::Ok => ("OK", Ink::Good),
        Level::Attention => ("ATTENTION", Ink::Warn),
        Level::Critical => ("CRITICAL", Ink::Bad),
    };
    let text = cut(&escaped(&status.verdict.text), paper.width.saturating_sub(word.len() + 2));
    lines.push(format!("{}: {text}", paper.paint(ink, word)));
    lines
}

/// A script, cell by cell.
struct Row {
    name: String,
    state: String,
    since: String,
    next: String,
    why: String,
    ink: Ink,
}

impl Row {
    fn of(script: &Script, now: DateTime<FixedOffset>) -> Self {
        let pid = script.pid.map_or_else(String::new, |pid| format!("PID {pid}; "));
        let pending = if script.pending.is_empty() {
            String::new()
        } else {
            format!("; at its next start: {}", script.pending.join(", "))
        };
        let skips: Vec<String> =
            script.holds.iter().filter_map(|hold| hold.trading_date).map(|date| date.to_string()).collect();
        let skips = if skips.is_empty() { String::new() } else { format!("; skips {}", skips.join(", ")) };
        Self {
            name: script.name.clone(),
            state: script.state.clone(),
            since: script.since.map_or_else(String::new, |since| moment(since, now)),
            next: script
                .next
                .as_ref()
                .map_or_else(|| "-".to_owned(), |next| format!("{} {}", next.action, moment(next.at, now))),
            why: escaped(&format!("{pid}{}{pending}{skips}", script.reason)).into_owned(),
            ink: match script.state.as_str() {
                "running" => Ink::Good,
                "failed" => Ink::Bad,
                "backoff" | "stopped" | "paused" | "stopping" => Ink::Warn,
                "idle" | "disabled" | "skipped" => Ink::Dim,
                _ => Ink::Plain,
            },
        }
    }
}

fn line(cells: &[String; 4], why: &str, widths: [usize; 4], ink: Ink, paper: Paper) -> String {
    let pad = |at: usize| {
        let (text, width) = (cut(&cells[at], widths[at]), widths[at]);
        format!("{text:<width$}")
    };
    let used: usize = widths.iter().map(|width| width + 1).sum();
    let why = cut(why, paper.width.saturating_sub(used).max(10));
    let text = format!("{} {} {} {} {why}", pad(0), paper.paint(ink, &pad(1)), pad(2), pad(3));
    text.trim_end().to_owned()
}

/// A time of today; of another day with its date.
fn moment(at: Local, now: DateTime<FixedOffset>) -> String {
    let near = (at.0 - now).abs() < TimeDelta::days(6);
    let format = match at.0.date_naive() == now.date_naive() {
        true => "%H:%M:%S",
        false if near => "%a %H:%M",
        false => "%m-%d %H:%M",
    };
    at.0.format(format).to_string()
}

/// "2d 3h", "3h 12m", "12m 5s", "5s".
fn span(left: TimeDelta) -> String {
    let seconds = left.num_seconds();
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (1.., ..) => format!("{d}d {h}h"),
        (_, 1.., _) => format!("{h}h {m}m"),
        (_, _, 1..) => format!("{m}m {s}s"),
        _ => format!("{s}s"),
    }
}

/// Not more than `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::{Gauges, Market, Next, NextBoundary, Verdict};

    fn at(text: &str) -> Local {
        Local(DateTime::parse_from_rfc3339(text).unwrap())
    }

    fn script(name: &str, state: &str, reason: &str) -> Script {
        Script {
            name: name.to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            pid: (state == "running").then_some(4711),
            attempt: 1,
            restarts: 0,
            started_at: None,
            stop_at: None,
            deadline: None,
            last_exit: None,
            next: Some(Next { action: "stop".to_owned(), at: at("2026-11-27T13:00:00-05:00") }),
            trading_date: None,
            since: Some(at("2026-11-27T08:30:00-05:00")),
            forced: false,
            expected: true,
            command: "demo.py".to_owned(),
            calendar: "XNYS".to_owned(),
            critical: false,
            depends_on: vec![],
            holds: vec![],
            pending: vec![],
            window: None,
            gauges: Gauges::default(),
        }
    }

    fn status() -> Status {
        let long = "more than 5 restarts within 10m; 6 attempts, next try 09:30:00, and so on for a very long time";
        Status {
            now: at("2026-11-27T10:00:00-05:00"),
            pid: 1,
            version: "0".to_owned(),
            rehearsal: false,
            speed: 1.0,
            started_at: at("2026-11-27T08:00:00-05:00"),
            verdict: Verdict { level: Level::Critical, text: "feed failed".to_owned() },
            journal_ok: true,
            killed_by: None,
            market: Market {
                calendar: "XNYS".to_owned(),
                timezone: "America/New_York".to_owned(),
                phase: "open".to_owned(),
                trading_date: None,
                reason: "early close: day after Thanksgiving".to_owned(),
                open: None,
                close: None,
                early_close: true,
                next: Some(NextBoundary {
                    boundary: "stop".to_owned(),
                    at: at("2026-11-27T13:00:00-05:00"),
                    scripts: vec!["demo".to_owned(), "feed".to_owned()],
                }),
            },
            scripts: vec![
                script("demo", "running", "its window is open until 13:00:00"),
                script("feed", "failed", long),
            ],
        }
    }

    #[test]
    fn it_fits_eighty_columns_and_has_no_colours_where_nobody_sees_them() {
        let paper = Paper { width: 80, colour: false, is_terminal: false };
        let text = render(&status(), status().now.0, paper);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\x1b'));
        let expected = "\
XNYS  open: early close: day after Thanksgiving  Fri 2026-11-27 10:00:00 Americ…
next: 13:00:00 stop demo, feed, in 3h 0m
CRITICAL: feed failed

SCRIPT STATE   SINCE    NEXT          WHY
demo   running 08:30:00 stop 13:00:00 PID 4711; its window is open until 13:00:…
feed   failed  08:30:00 stop 13:00:00 more than 5 restarts within 10m; 6 attemp…
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_wrong_is_red_on_a_terminal_and_control_characters_are_not_passed_on() {
        let paper = Paper { width: 120, colour: true, is_terminal: true };
        let mut status = status();
        status.scripts[0].reason = "\u{1b}[2Jgone".to_owned();
        let text = render(&status, status.now.0, paper);
        assert!(text.contains("\x1b[1;31mCRITICAL\x1b[0m") && text.contains("\x1b[1;31mfailed"));
        assert!(!text.contains("\u{1b}[2J"));
    }
}
