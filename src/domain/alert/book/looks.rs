//! What is seen of the scripts at each look, without any notice: who is well, and who is due and down.

use std::time::Duration;

use super::super::AlertEvent;
use super::super::classify::{Draft, Subject};
use super::{Book, Look, Outgoing};
use crate::domain::notice::About;
use crate::domain::outcome::RunResult;
use crate::domain::status::{Facts, is_expected};
use crate::domain::time::Now;
use crate::domain::timeline::windows;

impl Book {
    pub(super) fn look_at(&mut self, look: &Look, now: &Now, out: &mut Vec<Outgoing>) {
        let Facts { spec, view, .. } = &look.facts;
        let known = self.scripts.entry(spec.name.clone()).or_default();
        let lived = known.started.map(|started| now.mono.since(started)).filter(|_| view.pid.is_some());
        let is_well = lived.is_some_and(|lived| lived >= spec.restart.reset_after);
        let is_open = || {
            let calendar = look.calendar.as_ref();
            let window = calendar.and_then(|calendar| windows(&spec.window, calendar, now.wall).next());
            window.is_some_and(|window| window.start <= now.wall)
        };
        let is_open = view.pid.is_none() && is_open();
        let is_due = view.waits_outside || is_expected(view.state.name(), view.result.map(RunResult::name), is_open);
        let is_down = is_due && view.pid.is_none();
        let down_since = if is_down { *known.down_since.get_or_insert(now.mono) } else { now.mono };
        if !is_down {
            known.down_since = None;
        }
        if is_well {
            self.is_well(&spec.name);
        }
        if is_down {
            self.tell_down(look, now.mono.since(down_since), now, out);
        } else {
            let key = (Subject::Script(spec.name.clone()), AlertEvent::NotRunning);
            self.channels.iter_mut().filter_map(|(_, episodes)| episodes.get_mut(&key)).for_each(|episode| {
                (episode.is_over, episode.held) = (true, 0);
            });
        }
        self.ping_closed(look, now, out);
    }

    fn tell_down(&mut self, look: &Look, down: Duration, now: &Now, out: &mut Vec<Outgoing>) {
        let Facts { spec, view, .. } = &look.facts;
        let Some(trading_date) = view.trading_date else { return };
        let about = About { script: spec.name.clone(), trading_date, attempt: view.attempt };
        let zone = self.context.zone;
        let since = now.wall - (now.wall_after(down) - now.wall);
        let reason = format!(
            "It is due and has not been running since {}: {}",
            since.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z"),
            view.reason
        );
        let next =
            view.next.map(|next| format!("{} at {}", next.action, next.at.with_timezone(&zone).format("%H:%M:%S")));
        let draft = Draft {
            subject: Subject::Script(spec.name.clone()),
            about: Some(about),
            next,
            ..Draft::of_daemon(AlertEvent::NotRunning, "script", now.wall, reason)
        };
        for channel in 0..self.channels.len() {
            let (spec, episodes) = &self.channels[channel];
            let key = (draft.subject.clone(), AlertEvent::NotRunning);
            // It goes on being so; that is no further event to be counted.
            let is_told = episodes
                .get(&key)
                .is_some_and(|episode| !episode.is_over && now.mono.since(episode.told) < spec.repeat_interval);
            if down >= spec.late_after && !is_told {
                self.offer_to(channel, &draft, Some(trading_date), now, out);
            }
        }
    }
}
