//! The status as people read it: a header, and a line for each script. Where one is out of plan, all that is known of why is shown, on lines of
//! its own if need be; elsewhere what does not fit is cut.

use chrono::{DateTime, FixedOffset, TimeDelta};
use chrono_tz::Tz;

use super::paint::{Ink, Paper};
use crate::cli::layout::{escaped, hung_within};
use crate::domain::status::{HoldLine, Level, Local, Script, Status};

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
        let cells = [row.name, row.state, row.since, row.next];
        let room = paper.width.saturating_sub(widths.iter().map(|width| width + 1).sum());
        if matches!(row.ink, Ink::Warn | Ink::Bad) && row.why.chars().count() > room {
            lines.push(line(&cells, "", widths, row.ink, paper));
            let indent = widths[0] + 1;
            let why = hung_within(paper.width, &" ".repeat(indent), &row.why, indent);
            lines.extend(why.lines().map(|line| cut(line, paper.width)));
        } else {
            lines.push(line(&cells, &row.why, widths, row.ink, paper));
        }
    }
    lines.join("\n") + "\n"
}

/// The market, what comes next, and how all is.
fn header(status: &Status, now: DateTime<FixedOffset>, paper: Paper) -> Vec<String> {
    let market = &status.market;
    let zone = market.timezone.parse::<Tz>().map(|zone| now.with_timezone(&zone).format("%Z").to_string());
    let zone = zone.unwrap_or_else(|_| market.timezone.clone());
    let clock = format!("{}  {} {zone}", market.calendar, now.format("%a %Y-%m-%d %H:%M:%S"));
    let mut lines = vec![cut(&format!("{clock}  {}: {}", market.phase, escaped(&market.reason)), paper.width)];
    if status.rehearsal {
        lines.push(paper.paint(Ink::Warn, &format!("REHEARSAL: the market clock runs {} times as fast", status.speed)));
    }
    if let Some(next) = &market.next {
        let scripts = if next.scripts.is_empty() { String::new() } else { format!(": {}", next.scripts.join(", ")) };
        let left = span((next.at.0 - now).max(TimeDelta::zero()));
        let text = format!("next: {} at {}, in {left}{scripts}", next.boundary, moment(next.at, now));
        lines.push(cut(&text, paper.width));
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
        let pid = script.pid.map(|pid| format!("PID {pid}"));
        let pending = (!script.pending.is_empty()).then(|| format!("at its next start: {}", script.pending.join(", ")));
        let holds = script.holds.iter().filter_map(|hold| held(hold, now));
        let reason = (!script.reason.is_empty()).then(|| script.reason.clone());
        // Where all goes by plan, what is out of it comes first: a narrow window cuts the end off.
        let is_by_plan = matches!(script.state.as_str(), "running" | "idle");
        let (first, last) = if is_by_plan { (None, reason) } else { (reason, None) };
        let says = script.status_text.as_ref().map(|text| format!("says: {text}"));
        let why: Vec<String> =
            pid.into_iter().chain(first).chain(says).chain(holds).chain(pending).chain(last).collect();
        Self {
            name: script.name.clone(),
            state: script.state.clone(),
            since: script.since.map_or_else(String::new, |since| moment(since, now)),
            next: script
                .next
                .as_ref()
                .map_or_else(|| "-".to_owned(), |next| format!("{} {}", next.action, moment(next.at, now))),
            why: escaped(&why.join("; ")).into_owned(),
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

/// What the reason does not say of a hold: it names who paused a script, and why.
fn held(hold: &HoldLine, now: DateTime<FixedOffset>) -> Option<String> {
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    match (hold.trading_date, hold.until) {
        (Some(date), _) => Some(format!("skips {date} by {}{why}", hold.who)),
        (None, Some(until)) => Some(format!("paused until {}", moment(until, now))),
        (None, None) => None,
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
            status_text: None,
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

    const FILE: Paper = Paper { width: 80, height: None, colour: false, is_terminal: false };

    #[test]
    fn it_fits_eighty_columns_and_has_no_colours_where_nobody_sees_them() {
        let text = render(&status(), status().now.0, FILE);
        let expected = "\
XNYS  Fri 2026-11-27 10:00:00 EST  open: early close: day after Thanksgiving
next: stop at 13:00:00, in 3h 0m: demo, feed
CRITICAL: feed failed

SCRIPT STATE   SINCE    NEXT          WHY
demo   running 08:30:00 stop 13:00:00 PID 4711; its window is open until 13:00:…
feed   failed  08:30:00 stop 13:00:00
       more than 5 restarts within 10m; 6 attempts, next try 09:30:00, and so on
       for a very long time
";
        assert_eq!(text, expected);
    }

    #[test]
    fn whatever_is_in_it_no_line_is_wider_than_the_paper() {
        let mut status = status();
        status.market.reason = "reason ".repeat(30);
        status.market.next.as_mut().unwrap().scripts = vec!["script".to_owned(); 40];
        status.verdict.text = "verdict ".repeat(30);
        for script in &mut status.scripts {
            script.name = "n".repeat(128);
            script.reason = format!("{} {}", "/a/path".repeat(30), "word ".repeat(60));
            script.next = Some(Next { action: "restart".to_owned(), at: at("2027-03-01T08:30:00-05:00") });
        }
        for width in [40, 80, 132] {
            let paper = Paper { width, ..FILE };
            let text = render(&status, status.now.0, paper);
            let widest = text.lines().map(|line| line.chars().count()).max();
            // A table has columns that it cannot do without.
            assert!(widest <= Some(width.max(70)), "{text}");
            assert!(text.contains("next: stop at 13:00:00, in 3h 0m") || width < 80, "{text}");
        }
    }

    #[test]
    fn holds_and_pending_changes_are_seen() {
        let mut status = status();
        let hold = |date: Option<&str>, until: Option<&str>| HoldLine {
            kind: String::new(),
            trading_date: date.map(|date| date.parse().unwrap()),
            until: until.map(at),
            who: "alice".to_owned(),
            reason: "maintenance".to_owned(),
            at: status.now,
        };
        let holds =
            vec![hold(None, Some("2026-11-28T12:00:00-05:00")), hold(Some("2026-11-30"), None), hold(None, None)];
        status.scripts[0] = Script {
            state: "paused".to_owned(),
            reason: "paused by alice: maintenance".to_owned(),
            pid: None,
            holds,
            pending: vec!["command".to_owned(), "env".to_owned()],
            ..status.scripts[0].clone()
        };
        let text = render(&status, status.now.0, Paper { width: 200, ..FILE });
        let why = "paused by alice: maintenance; paused until Sat 12:00; skips 2026-11-30 by alice: maintenance; \
                   at its next start: command, env";
        assert!(text.contains(why), "{text}");
    }

    #[test]
    fn what_is_wrong_is_red_on_a_terminal_and_control_characters_are_not_passed_on() {
        let paper = Paper { width: 120, height: None, colour: true, is_terminal: true };
        let mut status = status();
        status.scripts[0].reason = "\u{1b}[2Jgone".to_owned();
        let text = render(&status, status.now.0, paper);
        assert!(text.contains("\x1b[1;31mCRITICAL\x1b[0m") && text.contains("\x1b[1;31mfailed"));
        assert!(!text.contains("\u{1b}[2J"));
    }
}
