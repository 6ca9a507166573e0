//! What a script may use at most, and as whom it runs.

use std::time::Duration;

use super::health::TripAction;

/// What the kernel holds each process of a script to, from its first instruction on. What is not set is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub nofile: Option<u64>,
    /// Address space of each process, in bytes.
    pub memory: Option<u64>,
    /// Processor time of each process; whole seconds.
    pub cpu_time: Option<Duration>,
    /// The longest core file.
    pub core: Option<CoreSize>,
    /// From -20 (first) to 19 (last).
    pub nice: Option<i32>,
    /// The rights that new files do not get.
    pub umask: Option<u32>,
    /// Name or number; looked up at each start.
    pub user: Option<String>,
    /// Name or number; else the user's own.
    pub group: Option<String>,
}

impl Limits {
    /// Nothing is set: the script costs no more to start than any other.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How long a core file may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreSize {
    /// In bytes; 0 = none is written.
    Bytes(u64),
    /// As long as it likes.
    Unlimited,
}

/// How much memory a script may have resident, all its processes together. The kernel has no such limit: it is looked at from time to time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryWatch {
    /// In bytes.
    pub max_rss: Option<u64>,
    /// What happens beyond it.
    pub action: TripAction,
}
