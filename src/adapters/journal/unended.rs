//! What runs, as far as the journal knows, whether a daemon writes to it or not. Changes nothing.

use std::path::Path;
use std::time::Duration;

use super::link::undecodable;
use super::load::{LEDGER, each, ledger_entry};
use super::place::Place;
use super::read::reading;
use crate::domain::record::LedgerEntry;
use crate::domain::script::ScriptName;

/// So long somebody who holds the file for himself is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The attempts of `script` that have a process and no end. It is empty where the journal cannot be read: whoever asks has other ways to look.
#[must_use]
pub fn unended(state_dir: &Path, script: &ScriptName) -> Vec<LedgerEntry> {
    let place = Place::of(state_dir);
    if place.found().is_none_or(|(_, size)| size == 0) {
        return Vec::new();
    }
    let found = reading(&place, PATIENCE, |connection| {
        each(connection, LEDGER, [], &mut Vec::new(), ledger_entry).map_err(|error| undecodable(&place, &error))
    });
    let mut all = found.ok().flatten().unwrap_or_default();
    all.retain(|entry| entry.attempt.script == *script);
    all
}
