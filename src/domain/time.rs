//! The moment a decision is made, and the one rule for local times that a change of the clocks skips or repeats.

use std::time::Duration;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A point on the monotonic clock, counted from long before the daemon started. Never stepped, so grace, backoff and budgets are measured on
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub Duration);

/// A budget that an earlier daemon spent lies before the start of this one, and must be expressible.
const BEFORE_START: Duration = Duration::from_secs(1 << 32);

impl Mono {
    /// So long after the start of the daemon.
    #[must_use]
    pub fn after_start(elapsed: Duration) -> Self {
        Self(BEFORE_START.saturating_add(elapsed))
    }

    /// The point `delay` later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// The point so long before.
    #[must_use]
    pub fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(ago))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// All that a decision may know of the moment in which it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// The market clock: the wall time by which windows, deadlines and trading dates go.
    pub wall: DateTime<Utc>,
    /// The monotonic clock.
    pub mono: Mono,
    /// Market seconds per monotonic second: 1 but in a rehearsal at speed.
    pub rate: f64,
    /// A draw from [-1, 1] for this decision's jitter; 0 where none is wanted.
    pub jitter: f64,
}

impl Now {
    /// What the market clock will show after `delay` on the monotonic clock, if nobody sets it meanwhile.
    #[must_use]
    pub fn wall_after(&self, delay: Duration) -> DateTime<Utc> {
        let scaled = Duration::try_from_secs_f64(delay.as_secs_f64() * self.rate).unwrap_or(Duration::MAX);
        let scaled = TimeDelta::from_std(scaled).unwrap_or(TimeDelta::MAX);
        self.wall.checked_add_signed(scaled).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The two clocks move apart by less than this without anybody having set one: NTP slews, and the two are not read at one instant.
const STEP: TimeDelta = TimeDelta::seconds(1);

/// By how much the market clock was set, or ran on while the machine slept, between two looks; None if it just ran.
#[must_use]
pub fn stepped(before: &Now, now: &Now) -> Option<TimeDelta> {
    let by = now.wall - before.wall_after(now.mono.since(before.mono));
    (by.abs() > STEP).then_some(by)
}

/// A date as people write it, YYYY-MM-DD; None if the text is none.
#[must_use]
pub fn written_date(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(is_written)
}

/// A local time without zone as people write it: a `T` or a blank between date and time, seconds optional.
#[must_use]
pub fn written_local(text: &str) -> Option<NaiveDateTime> {
    let text = text.replacen(' ', "T", 1);
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(&text, f).ok())
}

/// Of a year that people write. No calendar has data for others, dates are compared as text, too, which needs years of
/// four digits, and at the end of time there is no zone to be reckoned with.
#[must_use]
pub fn is_written(date: &NaiveDate) -> bool {
    (1..=9999).contains(&date.year())
}

/// The instant of a local time. A time that the clocks skip moves forward to the first that exists; one that occurs twice means the first.
#[must_use]
pub fn resolve_local(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => first_after_gap(zone, local),
    }
}

/// Gaps in the tz database start and end on whole minutes (most last an hour, a few skip a whole day).
fn first_after_gap(zone: Tz, skipped: NaiveDateTime) -> DateTime<Utc> {
    let minute = TimeDelta::minutes(1);
    let mut local = skipped - TimeDelta::seconds(i64::from(chrono::Timelike::second(&skipped)));
    for _ in 0..=(25 * 60) {
        local += minute;
        if let Some(at) = zone.from_local_datetime(&local).earliest() {
            return at.with_timezone(&Utc);
        }
    }
    // No zone has ever skipped more than a day; reading the time as UTC keeps the function total.
    Utc.from_utc_datetime(&skipped)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use chrono_tz::{America::New_York, Pacific::Apia};

    use super::*;

    fn local(y: i32, mo: u32, d: u32, h: u32, mi: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(y, mo, d).and_then(|date| date.and_hms_opt(h, mi, 0)).expect("a valid date")
    }

    #[test]
    fn a_step_is_what_the_two_clocks_moved_apart_by() {
        let at = |wall: i64, mono: u64| Now {
            wall: DateTime::from_timestamp(1_795_000_000 + wall, 0).expect("in range"),
            mono: Mono(Duration::from_secs(mono)),
            rate: 1.0,
            jitter: 0.0,
        };
        assert_eq!(stepped(&at(0, 0), &at(60, 60)), None);
        assert_eq!(stepped(&at(0, 0), &at(61, 60)), None, "a slew");
        assert_eq!(stepped(&at(0, 0), &at(3660, 60)), Some(TimeDelta::hours(1)));
        assert_eq!(stepped(&at(0, 0), &at(-7140, 60)), Some(TimeDelta::hours(-2)));
        let fast = |now: Now| Now { rate: 60.0, ..now };
        assert_eq!(stepped(&fast(at(0, 0)), &fast(at(600, 10))), None, "a rehearsal runs faster");
    }

    #[test]
    fn a_time_that_does_not_exist_moves_forward_to_the_first_that_does() {
        let at = resolve_local(New_York, local(2026, 3, 8, 2, 30));
        assert_eq!(at.to_rfc3339(), "2026-03-08T07:00:00+00:00");
    }

    #[test]
    fn a_time_that_occurs_twice_means_the_first() {
        let at = resolve_local(New_York, local(2026, 11, 1, 1, 30));
        assert_eq!(at.to_rfc3339(), "2026-11-01T05:30:00+00:00");
    }

    #[test]
    fn a_whole_day_that_was_skipped_moves_to_the_next() {
        let at = resolve_local(Apia, local(2011, 12, 30, 12, 0));
        assert_eq!(at.to_rfc3339(), "2011-12-30T10:00:00+00:00");
    }
}
