//! By which moment a file of the past is old. A wall clock that is ahead for a while would make everything old at once.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::time::{Mono, Now, stepped};

/// A wall clock that nobody set for so long is right, or wrong for good.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What was seen of the wall clock in this life of the daemon, in the looks that somebody had at old files.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The earliest moment it showed.
    earliest: DateTime<Utc>,
    /// Since when it has just run.
    since: Mono,
    before: Now,
}

impl WallClock {
    /// The moment against which age is measured at this look; None: nothing is old. `changed` is when files of earlier dates were touched.
    ///
    /// That is the time of the wall clock once it has run for a day without being set: a clock that is ahead has to be so for a day before
    /// anything is lost. Until then it is the last moment that the files tell of from before this life, for a daemon that is started each
    /// morning is to have an end of old files, too.
    pub fn reference(&mut self, now: Now, changed: impl IntoIterator<Item = DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let first = Seen { earliest: now.wall, since: now.mono, before: now };
        let seen = self.0.map_or(first, |seen| Seen {
            earliest: seen.earliest.min(now.wall),
            since: if stepped(&seen.before, &now).is_some() { now.mono } else { seen.since },
            before: now,
        });
        self.0 = Some(seen);
        if now.mono.since(seen.since) >= BELIEVED_AFTER {
            return Some(now.wall);
        }
        changed.into_iter().filter(|at| *at < seen.earliest).max()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn day(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap() + TimeDelta::days(day)
    }

    /// A clock that shows `wall`, so long after the first look.
    fn at(wall: DateTime<Utc>, elapsed: Duration) -> Now {
        Now { wall, mono: Mono(elapsed), rate: 1.0, jitter: 0.0 }
    }

    #[test]
    fn at_first_age_goes_by_what_earlier_lives_left_whatever_the_clock_says() {
        for wall in [day(0) + TimeDelta::hours(1), day(400), day(30_000)] {
            let files = [day(-40), day(0), day(-1)];
            assert_eq!(WallClock::default().reference(at(wall, HOUR), files), Some(day(0)), "{wall}");
            assert_eq!(WallClock::default().reference(at(wall, HOUR), []), None, "{wall}");
        }
        let behind = WallClock::default().reference(at(day(-20_000), HOUR), [day(-1), day(0)]);
        assert_eq!(behind, None, "the files are of a time that is to come");
    }

    #[test]
    fn what_is_written_in_this_life_says_nothing_of_the_time_until_the_clock_has_run_for_a_day() {
        let mut clock = WallClock::default();
        let file = |hours| day(400) + TimeDelta::hours(hours);
        assert_eq!(clock.reference(at(file(0), HOUR), [day(0)]), Some(day(0)));
        assert_eq!(clock.reference(at(file(23), 24 * HOUR), [day(0), file(1)]), Some(day(0)));
        assert_eq!(clock.reference(at(file(24), 25 * HOUR), [day(0), file(1)]), Some(file(24)));
    }

    #[test]
    fn a_clock_that_jumps_is_not_believed_until_a_day_later() {
        let mut clock = WallClock::default();
        let wall = |days, hours| day(days) + TimeDelta::hours(hours);
        assert_eq!(clock.reference(at(wall(0, 0), Duration::ZERO), [day(-1)]), Some(day(-1)));
        assert_eq!(clock.reference(at(wall(3, 0), 72 * HOUR), [day(-1), day(2)]), Some(day(3)));
        // Ahead for two hours, in which files are written.
        assert_eq!(clock.reference(at(wall(403, 1), 73 * HOUR), [day(-1), day(2)]), Some(day(-1)));
        assert_eq!(clock.reference(at(wall(403, 3), 75 * HOUR), [day(-1), day(2), wall(403, 1)]), Some(day(-1)));
        // Set right, and left alone.
        assert_eq!(clock.reference(at(wall(3, 4), 76 * HOUR), [day(-1), day(2), wall(403, 1)]), Some(day(-1)));
        assert_eq!(clock.reference(at(wall(4, 4), 100 * HOUR), [day(-1), wall(403, 1)]), Some(wall(4, 4)));
    }

    #[test]
    fn a_clock_that_was_ahead_at_the_start_makes_nothing_old_once_it_is_right() {
        let mut clock = WallClock::default();
        assert_eq!(clock.reference(at(day(400), HOUR), [day(-1)]), Some(day(-1)));
        assert_eq!(clock.reference(at(day(0), 2 * HOUR), [day(-1), day(400)]), Some(day(-1)));
        // And ahead again, but not as far.
        assert_eq!(clock.reference(at(day(300), 3 * HOUR), [day(-1), day(400)]), Some(day(-1)));
        assert_eq!(clock.reference(at(day(301), 4 * HOUR), [day(-1), day(300)]), Some(day(-1)));
    }
}
