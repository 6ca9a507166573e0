//! Who decides when: the supervision tree. An actor takes a message, lets `domain` decide, and performs the effects through `ports`.
//!
//! ```text
//! Root ─┬─ MarketClock      owns the timeline; the only one who knows wall time
//!       ├─ ScriptWorker ×N  one per script: drives lifecycle::step, owns its attempt and its timers
//!       └─ Recorder         the single writer of the journal
//! ```
//!
//! Messages: MarketClock ─ClockEvent─> Root ─> the workers concerned; worker ─state─> Root ─news─> dependents; worker ─alarm─> Root ─>
//! MarketClock; worker ─records─> Recorder. A process's exit is data and comes to its worker; an actor's failure is the root's affair.

pub mod market_clock;
pub mod messages;
pub mod recorder;
pub mod root;
pub mod script_worker;
mod timers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::calendar::Calendar;
use crate::domain::record::{Past, Record};
use crate::domain::script::ScriptSpec;
use crate::ports::{Clock, Journal, Launcher, Notifier, Observer, Prober};

/// What the tree is made of.
#[derive(Clone)]
pub struct Plan {
    /// All scripts, in the configuration's order.
    pub scripts: Vec<Arc<ScriptSpec>>,
    /// Every calendar in use.
    pub calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    /// The default calendar's key.
    pub market: Arc<str>,
    /// How often the status line is written, on whole intervals of the market clock; None = never.
    pub status_interval: Option<Duration>,
    /// How often the journal notes that the daemon is alive; None = never.
    pub alive_interval: Option<Duration>,
    /// What earlier daemons left behind.
    pub past: Past,
    /// What came of that so far, to be recorded.
    pub records: Vec<Record>,
    /// The kill file that exists: nothing starts before it is removed.
    pub killed_by: Option<String>,
}

/// The world that the tree acts on.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Processes.
    pub launcher: Arc<dyn Launcher>,
    /// What answers, and what does not.
    pub prober: Arc<dyn Prober>,
    /// Whoever wants to know.
    pub notifier: Arc<dyn Notifier>,
    /// Memory that outlives the daemon.
    pub journal: Arc<dyn Journal>,
    /// Whoever looks.
    pub observer: Arc<dyn Observer>,
}
