//! The real clock, and the clock of a rehearsal.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;

use super::sys::{clock_is_synchronised, watch_readable};
use crate::domain::time::{Mono, Now};
use crate::ports::{Clock, PortFuture};

/// The machine's clocks.
pub struct RealClock {
    start: Instant,
    /// Between two looks at the wall clock, should the kernel not tell that it was set.
    recheck: Duration,
}

impl RealClock {
    /// The clock, looked at each `recheck` at least.
    #[must_use]
    pub fn new(recheck: Duration) -> Self {
        Self { start: Instant::now(), recheck }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Now {
        Now { wall: Utc::now(), mono: Mono::after_start(self.start.elapsed()), rate: 1.0, jitter: jitter() }
    }

    fn wake_at(&self, wall: Option<DateTime<Utc>>) -> PortFuture {
        // Two alarms, whichever is first. The kernel's goes by the wall clock, and ends too when somebody sets that clock or the machine
        // wakes from sleep; the runtime's covers a kernel (or a clock faked for a test) that does not tell.
        let told = timer(wall);
        let left = wall.and_then(|at| (at - Utc::now()).to_std().ok());
        let nap = wall.map_or(self.recheck, |_| left.unwrap_or_default().min(self.recheck));
        let sleep = tokio::time::sleep(nap);
        Box::pin(async move {
            let kernel = async {
                match told.and_then(|fd| watch_readable(fd.into()).ok()) {
                    Some(fd) => drop(fd.readable().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! { () = kernel => {}, () = sleep => {} }
        })
    }

    fn is_synchronised(&self) -> Option<bool> {
        clock_is_synchronised()
    }
}

/// A timer that becomes readable at `wall`, and as soon as the clock is set. None: the kernel has none to give, and the recheck remains.
fn timer(wall: Option<DateTime<Utc>>) -> Option<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags).ok()?;
    // Only an armed timer is told of a set clock, so without a boundary it is armed for a day that never comes.
    let at = wall.map_or(i64::from(u32::MAX), |at| at.timestamp());
    let nanoseconds = wall.map_or(0, |at| i64::from(at.timestamp_subsec_nanos()));
    let set = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::new(at, nanoseconds)), set).ok()?;
    Some(timer)
}

/// A rehearsal's market clock: starts at an instant of one's choice and runs some times as fast. All else is real time.
pub struct RehearsalClock {
    start: Instant,
    anchor: DateTime<Utc>,
    speed: f64,
}

impl RehearsalClock {
    /// A clock that shows `anchor` now.
    #[must_use]
    pub fn new(anchor: DateTime<Utc>, speed: f64) -> Self {
        Self { start: Instant::now(), anchor, speed }
    }
}

impl Clock for RehearsalClock {
    fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let shown = TimeDelta::from_std(elapsed.mul_f64(self.speed)).unwrap_or(TimeDelta::MAX);
        let wall = self.anchor.checked_add_signed(shown).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Now { wall, mono: Mono::after_start(elapsed), rate: self.speed, jitter: jitter() }
    }

    fn wake_at(&self, wall: Option<DateTime<Utc>>) -> PortFuture {
        let left = wall.map(|at| (at - self.now().wall).to_std().unwrap_or_default().div_f64(self.speed));
        let sleep = left.map(tokio::time::sleep);
        Box::pin(async move {
            match sleep {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        })
    }
}

/// The machine's two clocks at this moment, whatever the market clock shows. The monotonic one runs on while the machine sleeps, so that sleep
/// does not look as if somebody had set the other.
pub(super) fn of_machine() -> Now {
    // Every kernel has this clock. One that stands still would only say that the other was set.
    let boot = clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    Now { wall: Utc::now(), mono: Mono(boot), rate: 1.0, jitter: 0.0 }
}

fn jitter() -> f64 {
    fastrand::f64().mul_add(2.0, -1.0)
}
