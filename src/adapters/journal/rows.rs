//! Records into rows: each under its key, so that writing one twice does no harm.

use rusqlite::{Connection, params};

use super::facts::{Fingerprint, ScriptFacts};
use super::text::{exit_columns, instant};
use crate::domain::operator::{Hold, HoldKind};
use crate::domain::record::{ActionRecord, AlertRecord, AttemptRecord, RunRecord};
use crate::domain::script::ScriptName;

/// The run as it stands now. Whoever knows no more than a result (a date that was missed, one that is told again) takes nothing from a row
/// in which a real run came to its end.
const RUN: &str = "
INSERT INTO runs (script, trading_date, result, reason, zone, first_start, ended_at, attempts, restarts,
  last_exit_code, last_exit_signal, last_exit_result, last_exit_at, recorded_at, unfinished)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (script, trading_date, slot) DO UPDATE SET
  result = excluded.result, reason = excluded.reason, zone = excluded.zone, first_start = excluded.first_start,
  ended_at = excluded.ended_at, attempts = excluded.attempts, restarts = excluded.restarts,
  last_exit_code = excluded.last_exit_code, last_exit_signal = excluded.last_exit_signal,
  last_exit_result = excluded.last_exit_result, last_exit_at = excluded.last_exit_at,
  recorded_at = excluded.recorded_at, unfinished = excluded.unfinished
WHERE excluded.attempts > 0 OR excluded.result = 'running' OR runs.result IN ('running', 'missed')";

/// What is not told of the attempt stays as it stands; an end is told as a whole.
const ATTEMPT: &str = "
INSERT INTO attempts (script, trading_date, number, started_at, restarted_after, pid, born, boot_id, pgid, log_file,
  config_sha256, ended_at, exit_code, exit_signal, out_of_memory, result)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?6, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (script, trading_date, slot, number) DO UPDATE SET
  started_at = coalesce(excluded.started_at, started_at),
  restarted_after = coalesce(excluded.restarted_after, restarted_after),
  pid = coalesce(excluded.pid, pid), born = coalesce(excluded.born, born),
  boot_id = coalesce(excluded.boot_id, boot_id), pgid = coalesce(excluded.pgid, pgid),
  log_file = coalesce(excluded.log_file, log_file), config_sha256 = coalesce(excluded.config_sha256, config_sha256),
  ended_at = iif(excluded.result IS NULL, ended_at, excluded.ended_at),
  exit_code = iif(excluded.result IS NULL, exit_code, excluded.exit_code),
  exit_signal = iif(excluded.result IS NULL, exit_signal, excluded.exit_signal),
  out_of_memory = iif(excluded.result IS NULL, out_of_memory, excluded.out_of_memory),
  result = coalesce(excluded.result, result)";

/// Another attempt under the same key: a daemon that could not read the journal counted from 1 again.
const FORMER: &str = "
DELETE FROM attempts WHERE script = ?1 AND trading_date = ?2 AND slot = 0 AND number = ?3 AND started_at <> ?4";

const ACTION: &str = "
INSERT INTO actions (at, who, action, script, reason) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (at, action, coalesce(script, '')) DO UPDATE SET who = excluded.who, reason = excluded.reason";

/// NULL is a value here: what is forbidden of scripts that are yet to come.
const FORMER_HOLDS: &str = "DELETE FROM holds WHERE script IS ?1";

const HOLD: &str = "
INSERT INTO holds (kind, script, trading_date, until, who, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const ALERT: &str = "
INSERT INTO alerts (id, channel, at, event, script, body, ended_at, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET
  ended_at = coalesce(excluded.ended_at, ended_at), result = coalesce(excluded.result, result)";

const FINGERPRINT: &str = "
UPDATE attempts SET program_sha256 = ?4, script_sha256 = ?5
WHERE script = ?1 AND trading_date = ?2 AND slot = 0 AND number = ?3";

pub(super) fn write_run(connection: &Connection, run: &RunRecord) -> rusqlite::Result<()> {
    let unfinished = run.unfinished.as_ref().map(serde_json::to_string).transpose();
    let unfinished = unfinished.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let (code, signal, _) = exit_columns(run.last_exit.and_then(|end| end.exit));
    connection.prepare_cached(RUN)?.execute(params![
        run.script.as_str(),
        run.trading_date.to_string(),
        run.result.name(),
        run.reason,
        run.zone.name(),
        run.first_start.map(instant),
        run.ended_at.map(instant),
        run.attempts,
        run.restarts,
        code,
        signal,
        run.last_exit.map(|end| end.result.name()),
        run.last_exit.map(|end| instant(end.at)),
        instant(run.at),
        unfinished,
    ])?;
    Ok(())
}

pub(super) fn write_attempt(
    connection: &Connection,
    attempt: &AttemptRecord,
    facts: Option<&ScriptFacts>,
    boot: &str,
) -> rusqlite::Result<()> {
    let (start, process, end) = (attempt.start, attempt.process, attempt.end);
    let (code, signal, out_of_memory) = exit_columns(end.and_then(|end| end.exit));
    let facts = start.and(facts);
    if let Some(start) = start {
        let id = &attempt.id;
        let values = params![id.script.as_str(), id.trading_date.to_string(), id.number, instant(start.at)];
        connection.prepare_cached(FORMER)?.execute(values)?;
    }
    connection.prepare_cached(ATTEMPT)?.execute(params![
        attempt.id.script.as_str(),
        attempt.id.trading_date.to_string(),
        attempt.id.number,
        start.map(|start| instant(start.at)),
        start.and_then(|start| start.after).map(|cause| cause.name()),
        process.map(|process| process.pid),
        process.map(|process| i64::try_from(process.born).unwrap_or(i64::MAX)),
        process.map(|_| boot),
        facts.map(|facts| facts.log_file(&attempt.id)),
        facts.map(ScriptFacts::config_sha256),
        end.map(|end| instant(end.at)),
        code,
        signal,
        out_of_memory,
        end.map(|end| end.result.name()),
    ])?;
    Ok(())
}

pub(super) fn write_action(connection: &Connection, action: &ActionRecord) -> rusqlite::Result<()> {
    let script = action.script.as_ref().map(|script| script.as_str());
    let values = params![instant(action.at), action.who, action.action, script, action.reason];
    connection.prepare_cached(ACTION)?.execute(values)?;
    Ok(())
}

pub(super) fn write_alert(connection: &Connection, alert: &AlertRecord) -> rusqlite::Result<()> {
    let message = &alert.message;
    let body = serde_json::to_string(message);
    let body = body.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection.prepare_cached(ALERT)?.execute(params![
        message.id,
        alert.channel,
        instant(message.at),
        message.event.name(),
        message.script,
        body,
        alert.end.map(|(at, _)| instant(at)),
        alert.end.map(|(_, end)| end.name()),
    ])?;
    Ok(())
}

pub(super) fn write_holds(
    connection: &Connection,
    script: Option<&ScriptName>,
    holds: &[Hold],
) -> rusqlite::Result<()> {
    let script = script.map(ScriptName::as_str);
    connection.prepare_cached(FORMER_HOLDS)?.execute(params![script])?;
    for hold in holds {
        let (kind, date, until) = match hold.kind {
            HoldKind::Pause { until } => ("pause", None, until),
            HoldKind::Skip { trading_date } => ("skip", Some(trading_date.to_string()), None),
        };
        let (who, reason, until) = (&hold.by.who, &hold.by.reason, until.map(instant));
        connection.prepare_cached(HOLD)?.execute(params![kind, script, date, until, who, reason, instant(hold.at)])?;
    }
    Ok(())
}

pub(super) fn write_fingerprint(connection: &Connection, found: &Fingerprint) -> rusqlite::Result<()> {
    let id = &found.attempt;
    let values = params![id.script.as_str(), id.trading_date.to_string(), id.number, found.program, found.script];
    connection.prepare_cached(FINGERPRINT)?.execute(values)?;
    Ok(())
}
