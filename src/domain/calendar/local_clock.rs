//! A zone's offsets, date by date. The answers are those of `resolve_local`, at the cost of a search in a small list: the
//! next boundary is asked for all day long.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use std::ops::RangeInclusive;

use super::TimeOfDay;
use crate::domain::time::resolve_local;

/// Days of the common era until 1970-01-01.
const EPOCH_DAY: i64 = 719_163;

/// No zone changes its clocks and changes them back within a week: two equal midnights a week apart have equal ones between.
const WEEK: u64 = 7;

/// The local clock of one zone.
#[derive(Debug)]
pub(super) struct LocalClock {
    zone: Tz,
    /// First days (of the common era) of the spans, in order.
    starts: Vec<i32>,
    /// The offset in each span, in seconds; None on a date on which the clocks change, and outside of the range.
    offsets: Vec<Option<i64>>,
}

impl LocalClock {
    pub(super) fn of(zone: Tz, range: &RangeInclusive<NaiveDate>) -> Self {
        let mut clock = Self { zone, starts: Vec::new(), offsets: Vec::new() };
        let mut date = *range.start();
        while date <= *range.end() {
            let week = date + Days::new(WEEK);
            if midnight_offset(zone, date) == midnight_offset(zone, week) {
                clock.push(date, Some(midnight_offset(zone, date)));
            } else {
                for date in date.iter_days().take_while(|date| *date < week) {
                    let (today, tomorrow) = (midnight_offset(zone, date), midnight_offset(zone, date + Days::new(1)));
                    clock.push(date, (today == tomorrow).then_some(today));
                }
            }
            date = week;
        }
        clock.push(date, None);
        clock
    }

    fn push(&mut self, date: NaiveDate, offset: Option<i64>) {
        if self.offsets.last() != Some(&offset) {
            self.starts.push(date.num_days_from_ce());
            self.offsets.push(offset);
        }
    }

    pub(super) fn zone(&self) -> Tz {
        self.zone
    }

    /// The instant of a time of day on a date. 24:00 is the next midnight, even on a day that the clocks make longer or shorter.
    pub(super) fn at(&self, date: NaiveDate, time: TimeOfDay) -> DateTime<Utc> {
        let day = date.num_days_from_ce();
        let span = self.starts.partition_point(|start| *start <= day);
        let offset = span.checked_sub(1).and_then(|span| self.offsets[span]);
        let seconds = |offset| (i64::from(day) - EPOCH_DAY) * 86_400 + i64::from(time.seconds()) - offset;
        let instant = offset.and_then(|offset| DateTime::from_timestamp(seconds(offset), 0));
        instant.unwrap_or_else(|| resolve(self.zone, date, time))
    }
}

/// The instant of a time of day on a date, from the zone data itself.
pub(super) fn resolve(zone: Tz, date: NaiveDate, time: TimeOfDay) -> DateTime<Utc> {
    resolve_local(zone, date.and_time(NaiveTime::MIN) + TimeDelta::seconds(time.seconds().into()))
}

fn midnight_offset(zone: Tz, date: NaiveDate) -> i64 {
    let midnight = date.and_time(NaiveTime::MIN);
    midnight.and_utc().timestamp() - resolve_local(zone, midnight).timestamp()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Africa::{Cairo, Casablanca};
    use chrono_tz::America::{Asuncion, Havana, New_York, St_Johns};
    use chrono_tz::Asia::{Gaza, Tokyo};
    use chrono_tz::Australia::Lord_Howe;
    use chrono_tz::Europe::{Dublin, London};
    use chrono_tz::Pacific::Apia;

    use super::*;

    #[test]
    fn every_time_of_every_date_is_as_the_zone_data_says() {
        let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
        let range = day(1990)..=day(2040);
        let times = [0, 1800, 7200, 9000, 34_200, 57_600, 84_600, 86_400].map(TimeOfDay);
        let zones =
            [New_York, London, Dublin, Casablanca, Cairo, Lord_Howe, Apia, Havana, Asuncion, St_Johns, Gaza, Tokyo];
        for zone in zones.into_iter().chain([Tz::UTC]) {
            let clock = LocalClock::of(zone, &range);
            for date in day(1989).iter_days().take_while(|date| *date <= day(2042)) {
                for time in times {
                    assert_eq!(clock.at(date, time), resolve(zone, date, time), "{zone} {date} {time}");
                }
            }
        }
    }
}
