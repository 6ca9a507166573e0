//! Whether there is another attempt, and when: policy, backoff and budget, as data and pure functions.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::outcome::{AttemptResult, Exit};
use super::script::{ExitCodes, Policy, RestartPolicy};
use super::time::{Mono, Now};

/// The jitter of a delay: so many scripts that crash together do not come back together.
const JITTER: f64 = 0.1;

/// The automatic restarts of a run that still count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// When each restart within the sliding span was decided.
    spent: VecDeque<Mono>,
    /// Restarts since delay and budget were last fresh: the exponent of the backoff.
    streak: u32,
    /// Gave up, and nothing has refreshed the budget since: further crashes wait for the cooldown at once.
    gave_up: bool,
}

/// What follows the end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt, after this delay.
    Again {
        /// On the monotonic clock.
        delay: Duration,
        /// Its number within the budget.
        restart: u32,
    },
    /// The budget is spent. The run is not over: cooldown and re-arm bring further tries.
    GiveUp {
        /// This is the first time in this episode.
        first: bool,
    },
    /// The run is over with success.
    Done(Success),
    /// The run is over with failure, in words.
    Final(&'static str),
}

/// The two ways to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// A success code.
    Plain,
    /// An early code.
    Early,
}

impl Budget {
    /// Nothing spent, no streak, no giving up: there is nothing that a re-arm would change.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this run has given up and is living from single tries.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.gave_up
    }

    /// Puts what was spent on another daemon's monotonic clock: `passed` after `then` on the former one is `now` on this one.
    pub fn move_to(&mut self, then: Mono, now: Mono, passed: Duration) {
        for spent in &mut self.spent {
            *spent = now.before(then.since(*spent).saturating_add(passed));
        }
    }

    /// What follows an attempt that ended with `result` after `lived`. `exit` is None where there was no process.
    #[must_use]
    pub fn after(
        &mut self,
        result: AttemptResult,
        exit: Option<Exit>,
        lived: Duration,
        codes: &ExitCodes,
        policy: &RestartPolicy,
        now: &Now,
    ) -> Verdict {
        match (result, policy.policy) {
            (AttemptResult::FinishedEarly, _) => return Verdict::Done(Success::Early),
            (AttemptResult::Succeeded, Policy::Never | Policy::OnFailure) => return Verdict::Done(Success::Plain),
            (AttemptResult::Succeeded, Policy::Always) => {}
            _ if is_fatal(exit, codes) => return Verdict::Final("it exited with a fatal code"),
            (_, Policy::Never) => return Verdict::Final("its restart policy is never"),
            (_, Policy::OnFailure | Policy::Always) => {}
        }
        if lived >= policy.reset_after && result != AttemptResult::SpawnFailed {
            *self = Self::default();
        }
        self.spend(policy, now)
    }

    fn spend(&mut self, policy: &RestartPolicy, now: &Now) -> Verdict {
        if self.gave_up {
            return Verdict::GiveUp { first: false };
        }
        while self.spent.front().is_some_and(|at| now.mono.since(*at) >= policy.within) {
            self.spent.pop_front();
        }
        let restart = u32::try_from(self.spent.len()).unwrap_or(u32::MAX).saturating_add(1);
        if restart > policy.max_restarts {
            self.gave_up = true;
            return Verdict::GiveUp { first: true };
        }
        let delay = delay(policy, self.streak, now.jitter);
        self.spent.push_back(now.mono);
        self.streak = self.streak.saturating_add(1);
        Verdict::Again { delay, restart }
    }
}

/// What an exit means, if nobody had decided to stop the script.
#[must_use]
pub fn classify(exit: Exit, lived: Duration, codes: &ExitCodes) -> AttemptResult {
    match exit {
        Exit::Code(code) if codes.early.contains(&code) => AttemptResult::FinishedEarly,
        Exit::Code(code) if codes.success.contains(&code) && lived >= codes.min_runtime => AttemptResult::Succeeded,
        Exit::Code(_) => AttemptResult::Crashed,
        Exit::Signal { .. } => AttemptResult::Signaled,
    }
}

/// Failed for good: no further attempt on this date.
#[must_use]
pub fn is_fatal(exit: Option<Exit>, codes: &ExitCodes) -> bool {
    matches!(exit, Some(Exit::Code(code)) if codes.fatal.contains(&code))
}

/// The delay before restart `k`, from 0: `min(max_delay, initial_delay * 2^k)`, +/- 10 %.
#[must_use]
pub fn delay(policy: &RestartPolicy, k: u32, jitter: f64) -> Duration {
    let factor = 1_u32.checked_shl(k.min(31)).unwrap_or(u32::MAX);
    let plain = policy.initial_delay.checked_mul(factor).unwrap_or(Duration::MAX).min(policy.max_delay);
    let seconds = plain.as_secs_f64() * (1.0 + JITTER * jitter.clamp(-1.0, 1.0));
    Duration::try_from_secs_f64(seconds).unwrap_or(plain)
}

/// The first of the tries that a run which gave up may still get: the end of the cooldown, or the re-arm at the open. None is served
/// that would not begin before `end`, the window's stop or the deadline.
#[must_use]
pub fn next_try(
    cooldown: Option<Duration>,
    rearm: Option<DateTime<Utc>>,
    end: DateTime<Utc>,
    now: &Now,
) -> Option<DateTime<Utc>> {
    let cooled = cooldown.map(|d| now.wall_after(d));
    cooled.into_iter().chain(rearm.filter(|at| *at > now.wall)).filter(|at| *at < end).min()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeZone;

    use super::*;
    use crate::domain::outcome::Signal;
    use crate::domain::script::ScriptSpec;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(n: u64) -> Now {
        let wall = Utc.with_ymd_and_hms(2026, 11, 23, 13, 30, 0).unwrap() + chrono::TimeDelta::seconds(n as i64);
        Now { wall, mono: Mono(secs(n)), rate: 1.0, jitter: 0.0 }
    }

    fn spec() -> ScriptSpec {
        ScriptSpec::with_defaults("a", "/bin/true")
    }

    fn crash(budget: &mut Budget, lived: u64, now: u64) -> Verdict {
        let s = spec();
        budget.after(AttemptResult::Crashed, Some(Exit::Code(1)), secs(lived), &s.exits, &s.restart, &at(now))
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        let policy = spec().restart;
        let delays: Vec<_> = (0..8).map(|k| delay(&policy, k, 0.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(&policy, u32::MAX, 0.0), secs(60));
    }

    #[test]
    fn jitter_moves_a_delay_by_a_tenth_at_most() {
        let policy = spec().restart;
        assert_eq!(delay(&policy, 0, 1.0), Duration::from_millis(1100));
        assert_eq!(delay(&policy, 0, -1.0), Duration::from_millis(900));
        assert_eq!(delay(&policy, 0, -7.0), Duration::from_millis(900));
    }

    #[test]
    fn an_initial_delay_of_zero_restarts_at_once() {
        let policy = RestartPolicy { initial_delay: Duration::ZERO, ..spec().restart };
        assert_eq!(delay(&policy, 9, 1.0), Duration::ZERO);
    }

    #[test]
    fn five_restarts_make_six_attempts_and_the_sixth_crash_gives_up() {
        let mut budget = Budget::default();
        for restart in 1..=5 {
            assert!(
                matches!(crash(&mut budget, 0, u64::from(restart)), Verdict::Again { restart: n, .. } if n == restart)
            );
        }
        assert_eq!(crash(&mut budget, 0, 6), Verdict::GiveUp { first: true });
        assert_eq!(
            crash(&mut budget, 0, 2000),
            Verdict::GiveUp { first: false },
            "one alert per episode, one try per cooldown"
        );
    }

    #[test]
    fn the_budget_slides() {
        let mut budget = Budget::default();
        for n in 0..20 {
            let verdict = crash(&mut budget, 0, n * 121);
            assert!(
                matches!(verdict, Verdict::Again { .. }),
                "five in ten minutes are never exceeded at one in 121 s: {n}"
            );
        }
    }

    #[test]
    fn an_attempt_that_lived_long_enough_resets_delay_and_budget_and_ends_the_episode() {
        let mut budget = Budget::default();
        for n in 0..6 {
            let _ = crash(&mut budget, 0, n);
        }
        assert!(budget.has_given_up());
        assert_eq!(crash(&mut budget, 60, 1300), Verdict::Again { delay: secs(1), restart: 1 });
    }

    #[test]
    fn early_and_fatal_codes_are_final_under_every_policy() {
        let s = spec();
        for policy in [Policy::Never, Policy::OnFailure, Policy::Always] {
            let restart = RestartPolicy { policy, ..s.restart };
            let mut b = Budget::default();
            let early =
                b.after(AttemptResult::FinishedEarly, Some(Exit::Code(42)), secs(1), &s.exits, &restart, &at(1));
            assert_eq!(early, Verdict::Done(Success::Early));
            let fatal = b.after(AttemptResult::Crashed, Some(Exit::Code(78)), secs(1), &s.exits, &restart, &at(1));
            assert_eq!(fatal, Verdict::Final("it exited with a fatal code"));
        }
    }

    #[test]
    fn a_success_is_followed_by_another_attempt_only_under_always() {
        let s = spec();
        for (policy, again) in [(Policy::Never, false), (Policy::OnFailure, false), (Policy::Always, true)] {
            let restart = RestartPolicy { policy, ..s.restart };
            let verdict = Budget::default().after(
                AttemptResult::Succeeded,
                Some(Exit::Code(0)),
                secs(1),
                &s.exits,
                &restart,
                &at(1),
            );
            assert_eq!(matches!(verdict, Verdict::Again { .. }), again, "{policy:?}");
        }
    }

    #[test]
    fn a_success_code_too_soon_is_a_crash() {
        let codes = ExitCodes { min_runtime: secs(30), ..spec().exits };
        assert_eq!(classify(Exit::Code(0), secs(29), &codes), AttemptResult::Crashed);
        assert_eq!(classify(Exit::Code(0), secs(30), &codes), AttemptResult::Succeeded);
        assert_eq!(classify(Exit::Code(42), secs(1), &codes), AttemptResult::FinishedEarly);
    }

    #[test]
    fn killed_by_a_signal_is_not_exit_128_plus_n() {
        let codes = spec().exits;
        let signal = Exit::Signal { signal: Signal::KILL, out_of_memory: false };
        assert_eq!(classify(signal, secs(1), &codes), AttemptResult::Signaled);
        assert_eq!(classify(Exit::Code(137), secs(1), &codes), AttemptResult::Crashed);
    }

    #[test]
    fn the_next_try_is_the_sooner_of_cooldown_and_open_if_it_comes_before_the_end() {
        let now = at(0);
        let end = now.wall + chrono::TimeDelta::hours(8);
        let open = now.wall + chrono::TimeDelta::hours(1);
        assert_eq!(next_try(Some(secs(1200)), Some(open), end, &now), Some(now.wall_after(secs(1200))));
        assert_eq!(next_try(None, Some(open), end, &now), Some(open));
        assert_eq!(next_try(None, Some(now.wall), end, &now), None, "an open that has been re-arms nothing");
        assert_eq!(next_try(Some(secs(1200)), None, now.wall_after(secs(1200)), &now), None);
    }
}
