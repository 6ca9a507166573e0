//! The same actors on virtual time with pretend processes: a year in a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::runtime::Builder;

pub use crate::adapters::pretend::Act;
use crate::config::Settings;
use crate::domain::script::ScriptName;
use crate::testkit::Lab;

/// What the scripts pretend to do: successive attempts take successive acts, the last repeats; those not named run until stopped.
pub type Pretence = BTreeMap<ScriptName, Vec<Act>>;

/// Runs the tree from `from` to `to` and returns its events, in order of time.
///
/// # Errors
/// If no runtime can be made.
pub fn simulate(
    settings: &Settings,
    pretence: &Pretence,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> std::io::Result<Vec<Value>> {
    let span = (to - from).to_std().unwrap_or(Duration::ZERO);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(async {
        let lab = Lab::of(settings.scripts.clone(), settings.calendars.clone(), settings.market.clone(), from);
        let running = lab.pretend(pretence.clone()).start().await;
        running.run_for(span).await;
        let zone = settings.default_calendar().zone();
        running.notices().iter().filter(|n| n.at < to).filter_map(|n| n.event(zone)).collect()
    }))
}
