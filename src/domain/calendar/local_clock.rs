//! A zone's offsets, week by week. The answers are those of `resolve_local`, at the cost of a look into a small list: the next
//! boundary is asked for all day long.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::TimeOfDay;
use crate::domain::time::resolve_local;

/// Days of the common era until 1970-01-01.
const EPOCH_DAY: i32 = 719_163;
const DAY: i64 = 86_400;
const WEEK: i32 = 7;

/// The local clock of one zone.
#[derive(Debug)]
pub(super) struct LocalClock {
    zone: Tz,
    /// First day of the first week, in days of the common era.
    first: i32,
    /// For each week its offset, as an index into `offsets`.
    weeks: Vec<u8>,
    /// The few offsets that the zone has had, in seconds. None, the first: the clocks change in that week.
    offsets: Vec<Option<i64>>,
}

impl LocalClock {
    pub(super) fn of(zone: Tz, range: &RangeInclusive<NaiveDate>) -> Self {
        let first = range.start().num_days_from_ce();
        let mut clock = Self { zone, first, weeks: Vec::new(), offsets: vec![None] };
        let mut start = *range.start();
        let mut offset = midnight_offset(zone, start);
        while start <= *range.end() {
            let next = start + Days::new(WEEK.unsigned_abs().into());
            let next_offset = midnight_offset(zone, next);
            // No zone changes its clocks and changes them back within a week: with both ends equal all between is equal.
            clock.push((offset == next_offset).then_some(offset));
            (start, offset) = (next, next_offset);
        }
        clock
    }

    fn push(&mut self, offset: Option<i64>) {
        let known = self.offsets.iter().position(|known| *known == offset).unwrap_or_else(|| {
            self.offsets.push(offset);
            self.offsets.len() - 1
        });
        // A zone with more than 255 offsets would lose only speed.
        self.weeks.push(u8::try_from(known).unwrap_or(0));
    }

    pub(super) fn zone(&self) -> Tz {
        self.zone
    }

    /// The offset on a day, where it is the same in all of its week.
    fn offset_on(&self, day: i32) -> Option<i64> {
        let week = usize::try_from(day.checked_sub(self.first)?.div_euclid(WEEK)).ok()?;
        self.offsets[usize::from(*self.weeks.get(week)?)]
    }

    /// The instant of a time of day on a trading date. 24:00 is the next midnight, even on a day that the clocks make longer or shorter.
    pub(super) fn at(&self, date: NaiveDate, time: TimeOfDay) -> DateTime<Utc> {
        let local = i64::from(time.seconds());
        let quick = || {
            let days = i32::try_from(local.div_euclid(DAY)).ok()?;
            let seconds = local - self.offset_on(date.num_days_from_ce() + days)?;
            let of_day = u32::try_from(seconds.rem_euclid(DAY)).ok()?;
            let utc_date = match seconds.div_euclid(DAY) {
                // Stepping to the neighbour is cheaper than making a date from a number.
                -1 => date.pred_opt()?,
                0 => date,
                1 => date.succ_opt()?,
                days => date.checked_add_signed(TimeDelta::days(days))?,
            };
            Some(utc_date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(of_day, 0)?).and_utc())
        };
        quick().unwrap_or_else(|| resolve(self.zone, date, time))
    }

    /// The civil date of an instant.
    pub(super) fn date_of(&self, at: DateTime<Utc>) -> NaiveDate {
        let day_of = |seconds: i64| i32::try_from(seconds.div_euclid(DAY)).ok().map(|days| days + EPOCH_DAY);
        let quick = || {
            let offset = self.offset_on(day_of(at.timestamp())?)?;
            let day = day_of(at.timestamp() + offset)?;
            // The local day may lie in another week than the UTC day.
            (self.offset_on(day)? == offset).then(|| NaiveDate::from_num_days_from_ce_opt(day))?
        };
        quick().unwrap_or_else(|| at.with_timezone(&self.zone).date_naive())
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
        let times = [
            "00:00",
            "00:30",
            "02:00",
            "02:30",
            "09:30",
            "16:00",
            "23:30",
            "24:00",
            "00:00 -1d",
            "17:00 -1d",
            "23:59:59 +1d",
        ];
        let times = times.map(|time| time.parse::<TimeOfDay>().expect("a time"));
        let zones =
            [New_York, London, Dublin, Casablanca, Cairo, Lord_Howe, Apia, Havana, Asuncion, St_Johns, Gaza, Tokyo];
        for zone in zones.into_iter().chain([Tz::UTC]) {
            let clock = LocalClock::of(zone, &range);
            for date in day(1989).iter_days().take_while(|date| *date <= day(2042)) {
                for time in times {
                    let at = resolve(zone, date, time);
                    assert_eq!(clock.at(date, time), at, "{zone} {date} {time}");
                    assert_eq!(clock.date_of(at), at.with_timezone(&zone).date_naive(), "{zone} {at}");
                }
            }
        }
    }
}
