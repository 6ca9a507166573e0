//! A local time of day as people write it in calendars: it may lie on the civil day before or after its trading date.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Timelike, Utc};
use chrono_tz::Tz;

/// A local time, counted in seconds from the midnight at which its trading date's civil day begins: `"09:30"`, `"24:00"` for the midnight
/// that ends the day, `"17:00 -1d"` for the day before, `"02:00 +1d"` for the day after.
///
/// ```
/// use mho::domain::calendar::TimeOfDay;
///
/// let evening_before: TimeOfDay = "17:00 -1d".parse()?;
/// assert_eq!((evening_before.seconds(), evening_before.to_string()), (-25_200, "17:00 -1d".to_owned()));
/// assert!(evening_before < "09:30".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(i32);

/// A text that is no time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time of day like \"09:30\", at most \"24:00\", or \"17:00 -1d\" for the day before")]
pub struct NoTimeOfDay;

const DAY: i32 = 24 * 3600;

impl TimeOfDay {
    /// The midnight that begins the day.
    pub const MIDNIGHT: Self = Self(0);
    /// The midnight that ends the day.
    pub const DAY_END: Self = Self(DAY);

    /// An instant on the clock of a zone, seen from a trading date.
    ///
    /// ```
    /// use mho::domain::calendar::TimeOfDay;
    ///
    /// let sunday_evening = "2026-11-22T23:00:00Z".parse()?;
    /// let time = TimeOfDay::of(sunday_evening, "2026-11-23".parse()?, chrono_tz::America::Chicago);
    /// assert_eq!(time.to_string(), "17:00 -1d");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(at: DateTime<Utc>, date: NaiveDate, zone: Tz) -> Self {
        let local = at.with_timezone(&zone).naive_local() - date.and_time(NaiveTime::MIN);
        Self(i32::try_from(local.num_seconds()).unwrap_or(i32::MAX))
    }

    /// As a close: no session closes as its day begins, so 00:00 is the end of the day.
    #[must_use]
    pub fn closing(self) -> Self {
        if self == Self::MIDNIGHT { Self::DAY_END } else { self }
    }

    /// Seconds from the midnight that begins the day, on a day of 24 hours.
    #[must_use]
    pub fn seconds(self) -> i32 {
        self.0
    }
}

impl From<NaiveTime> for TimeOfDay {
    fn from(at: NaiveTime) -> Self {
        Self(at.num_seconds_from_midnight().cast_signed())
    }
}

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let (clock, days) = match text.trim().split_once(char::is_whitespace) {
            None => (text.trim(), 0),
            Some((clock, rest)) => match rest.trim() {
                "-1d" => (clock, -DAY),
                "+1d" => (clock, DAY),
                _ => return Err(NoTimeOfDay),
            },
        };
        if matches!(clock, "24:00" | "24:00:00") && days == 0 {
            return Ok(Self::DAY_END);
        }
        let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(clock, form).ok());
        // "08:30:60" would be a leap second, which no clock that we wait for ever shows.
        let time = time.filter(|time| time.nanosecond() == 0);
        time.map(|time| Self(Self::from(time).0 + days)).ok_or(NoTimeOfDay)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = if self.0 == DAY { (0, DAY) } else { (self.0.div_euclid(DAY), self.0.rem_euclid(DAY)) };
        let (minutes, seconds) = (of_day / 60, of_day % 60);
        write!(f, "{:02}:{:02}", minutes / 60, minutes % 60)?;
        if seconds != 0 {
            write!(f, ":{seconds:02}")?;
        }
        if days == 0 { Ok(()) } else { write!(f, " {days:+}d") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in
            ["00:00", "09:30", "09:30:15", "23:59:59", "24:00", "17:00 -1d", "00:00 -1d", "02:00 +1d", "00:01 +1d"]
        {
            assert_eq!(text.parse::<TimeOfDay>().map(|time| time.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("24:00".parse::<TimeOfDay>(), "00:00 +1d".parse());
        assert_eq!("17:00  -1d".parse::<TimeOfDay>().map(TimeOfDay::seconds), Ok(-25_200));
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        for text in [
            "",
            "9",
            "25:00",
            "24:01",
            "24:00 +1d",
            "24:00 -1d",
            "09:30 -2d",
            "09:30 tomorrow",
            "09:60",
            "08:30:60",
            "-1d",
        ] {
            assert_eq!(text.parse::<TimeOfDay>(), Err(NoTimeOfDay), "{text}");
        }
    }
}
