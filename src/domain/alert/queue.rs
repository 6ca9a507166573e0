//! What waits to be sent to one channel: bounded, in order, tried again after a pause that grows.

use std::collections::VecDeque;
use std::time::Duration;

use super::Message;
use crate::domain::time::{Mono, Now};

/// More do not wait: the oldest goes.
const MOST: usize = 1000;

/// Between two tries, at first and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// A message that failed so often in a row lets the others pass: it may be the only one that the service does not like.
const STUBBORN: u32 = 8;

/// By how much of itself a pause is longer or shorter, at the most: many machines do not come back at one moment.
const JITTER: f64 = 0.2;

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has arrived.
    Sent,
    /// It never will: in words, with what to do.
    Refused(String),
    /// It may arrive later.
    Failed {
        /// In words.
        why: String,
        /// Not before; the service said so.
        retry_after: Option<Duration>,
    },
}

/// What became of the message that was tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is sent.
    Sent(Box<Message>),
    /// It is given up.
    Refused(Box<Message>, String),
    /// It waits; the channel fails for the first time.
    FirstFailure(String, Duration),
    /// It waits.
    Waits,
}

/// The messages of one channel.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<(Message, u32)>,
    /// The first one is on its way.
    in_flight: bool,
    failures: u32,
    not_before: Mono,
}

impl Queue {
    /// Takes in a message; the one that had to go for it, if there are too many.
    #[must_use]
    pub fn push(&mut self, message: Message) -> Option<Message> {
        self.waiting.push_back((message, 0));
        if self.waiting.len() <= MOST {
            return None;
        }
        // What is on its way may arrive yet.
        self.waiting.remove(usize::from(self.in_flight)).map(|(message, _)| message)
    }

    /// The message to be sent now. It is on its way until it is settled.
    #[must_use]
    pub fn next(&mut self, now: Mono) -> Option<Message> {
        if self.in_flight || now < self.not_before {
            return None;
        }
        let (message, _) = self.waiting.front()?;
        self.in_flight = true;
        Some(message.clone())
    }

    /// When to ask again; None = something else must happen first.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        (!self.in_flight && !self.waiting.is_empty()).then_some(self.not_before)
    }

    /// So many are not sent yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The end is near: nobody waits any longer for a better moment.
    pub fn hurry(&mut self) {
        self.not_before = Mono::default();
    }

    /// What came of the message that was on its way.
    #[must_use]
    pub fn settle(&mut self, fate: Fate, now: &Now) -> Settled {
        self.in_flight = false;
        let Some((message, tries)) = self.waiting.pop_front() else { return Settled::Waits };
        match fate {
            Fate::Sent => {
                (self.failures, self.not_before) = (0, now.mono);
                Settled::Sent(Box::new(message))
            }
            Fate::Refused(why) => {
                // The service answers: nothing is wrong with the way to it.
                (self.failures, self.not_before) = (0, now.mono);
                Settled::Refused(Box::new(message), why)
            }
            Fate::Failed { why, retry_after } => {
                if message.id.is_empty() {
                    // A sign of life is worth nothing later; the next one comes by itself.
                    self.failures = self.failures.saturating_add(1);
                    self.not_before = now.mono;
                    return if self.failures == 1 { Settled::FirstFailure(why, PAUSE.0) } else { Settled::Waits };
                }
                let pause = pause(self.failures, now.jitter).max(retry_after.unwrap_or_default().min(PAUSE.1));
                self.not_before = now.mono.after(pause);
                self.failures = self.failures.saturating_add(1);
                let tries = tries + 1;
                if tries % STUBBORN == 0 {
                    self.waiting.push_back((message, tries));
                } else {
                    self.waiting.push_front((message, tries));
                }
                if self.failures == 1 { Settled::FirstFailure(why, pause) } else { Settled::Waits }
            }
        }
    }
}

/// The pause after so many failures before this one, by a draw from [-1, 1].
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = PAUSE.0.saturating_mul(1 << failures.min(16)).min(PAUSE.1);
    doubled.mul_f64(1.0 + JITTER * jitter.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    fn at(seconds: u64) -> Now {
        let wall = "2026-11-27T13:29:50Z".parse().unwrap();
        Now { wall, mono: Mono::after_start(Duration::from_secs(seconds)), rate: 1.0, jitter: 0.0 }
    }

    fn message(id: &str) -> Message {
        Message::test(id.to_owned(), "desk".to_owned(), at(0).wall, Tz::UTC)
    }

    fn failed() -> Fate {
        Fate::Failed { why: "no answer".to_owned(), retry_after: None }
    }

    fn id(message: Option<Message>) -> String {
        message.map(|message| message.id).unwrap_or_default()
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let seconds: Vec<u64> = (0..12).map(|failures| pause(failures, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(pause(0, 1.0), Duration::from_millis(1200));
        assert_eq!(pause(u32::MAX, -1.0), Duration::from_secs(480));
    }

    #[test]
    fn one_is_on_its_way_at_a_time_and_what_failed_comes_first_again_after_its_pause() {
        let mut queue = Queue::default();
        assert!(queue.push(message("a")).is_none() && queue.push(message("b")).is_none());
        assert_eq!(id(queue.next(at(0).mono)), "a");
        assert_eq!((queue.next(at(0).mono), queue.due()), (None, None));
        assert!(matches!(queue.settle(failed(), &at(0)), Settled::FirstFailure(..)));
        assert_eq!((queue.next(at(0).mono), queue.due()), (None, Some(at(1).mono)));
        assert_eq!(id(queue.next(at(1).mono)), "a");
        assert!(matches!(queue.settle(Fate::Sent, &at(1)), Settled::Sent(sent) if sent.id == "a"));
        assert_eq!(id(queue.next(at(1).mono)), "b", "the way is free");
    }

    #[test]
    fn a_sign_of_life_that_failed_is_dropped_and_the_next_one_does_not_wait() {
        let mut queue = Queue::default();
        for second in 0..20 {
            assert!(queue.push(Message::alive(at(0).wall, "desk".to_owned())).is_none());
            assert!(queue.next(at(second).mono).is_some(), "{second}");
            let _ = queue.settle(failed(), &at(second));
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn a_service_may_ask_for_more_time_and_the_end_of_the_daemon_waits_for_nobody() {
        let mut queue = Queue::default();
        assert!(queue.push(message("a")).is_none());
        assert!(queue.next(at(0).mono).is_some());
        let later = Fate::Failed { why: "429".to_owned(), retry_after: Some(Duration::from_secs(90)) };
        assert!(matches!(queue.settle(later, &at(0)), Settled::FirstFailure(..)));
        assert_eq!(queue.due(), Some(at(90).mono));
        queue.hurry();
        assert!(queue.next(at(1).mono).is_some());
    }

    #[test]
    fn of_too_many_the_oldest_goes_but_not_the_one_on_its_way() {
        let mut queue = Queue::default();
        for number in 0..MOST {
            assert!(queue.push(message(&number.to_string())).is_none());
        }
        assert_eq!(id(queue.next(at(0).mono)), "0");
        assert_eq!(id(queue.push(message("new"))), "1");
        assert_eq!(queue.len(), MOST);
    }

    #[test]
    fn one_that_the_service_does_not_like_lets_the_others_pass() {
        let mut queue = Queue::default();
        assert!(queue.push(message("bad")).is_none() && queue.push(message("good")).is_none());
        for _ in 0..STUBBORN {
            queue.hurry();
            assert_eq!(id(queue.next(at(0).mono)), "bad");
            let _ = queue.settle(failed(), &at(0));
        }
        queue.hurry();
        assert_eq!(id(queue.next(at(0).mono)), "good");
        assert!(matches!(queue.settle(Fate::Refused("no".to_owned()), &at(0)), Settled::Refused(..)));
        assert_eq!(id(queue.next(at(0).mono)), "bad");
    }
}
