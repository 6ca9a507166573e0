//! What `mho check` prints for people.

use std::io::{self, Write};

use chrono::{DateTime, Utc};

use super::shutdown::{last_alerts, longest_stop};
use super::{Findings, NextWindows, home_of};
use crate::cli::layout::escaped;
use crate::config::Loaded;
use crate::domain::notice::compact;
use crate::domain::timeline::deadline;

pub(super) fn print(
    findings: &Findings,
    loaded: Option<(&Loaded, &NextWindows<'_>)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for fault in &findings.errors {
        writeln!(out, "ERROR: {fault}")?;
    }
    for warning in &findings.warnings {
        writeln!(out, "WARNING: {warning}")?;
    }
    if let Some((loaded, windows)) = loaded {
        settings(loaded, out)?;
        scripts(windows, out)?;
        values(loaded, out)?;
        writeln!(out)?;
    }
    match (findings.errors.len(), findings.warnings.len()) {
        (0, 0) => writeln!(out, "OK"),
        (0, warnings) => writeln!(out, "OK, {}", number(warnings, "warning")),
        (errors, warnings) => {
            writeln!(out, "{}, {}: nothing would be started", number(errors, "error"), number(warnings, "warning"))
        }
    }
}

fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn settings(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let settings = &loaded.settings;
    writeln!(out)?;
    match &loaded.file {
        Some(file) => writeln!(out, "file          {}", file.display())?,
        None => writeln!(out, "file          none: the built-in config/mho.toml")?,
    }
    writeln!(out, "base_dir      {}", settings.base_dir.display())?;
    writeln!(out, "state_dir     {}", settings.orchestrator.state_dir.display())?;
    writeln!(out, "log_dir       {}", settings.orchestrator.log_dir.display())?;
    let overrides = match settings.overrides_file.exists() {
        true => "",
        false => " (not there)",
    };
    writeln!(out, "overrides     {}{overrides}", settings.overrides_file.display())?;
    for (key, calendar) in &settings.calendars {
        let default = if *key == settings.market { " (default)" } else { "" };
        let range = calendar.range();
        writeln!(
            out,
            "calendar      {}{default}: {}, zone {}, published to {}, data from {} to {}",
            escaped(key),
            escaped(&home_of(settings, calendar).to_string()),
            calendar.zone(),
            calendar.published_to(),
            range.start(),
            range.end()
        )?;
    }
    writeln!(out, "zone data     IANA {}", chrono_tz::IANA_TZDB_VERSION)?;
    let grace = (longest_stop(&settings.scripts) + last_alerts(settings)).as_secs_f64().ceil();
    writeln!(
        out,
        "shutdown      takes up to {grace}s: stop_grace_period: {grace}s (compose), TimeoutStopSec={grace} (systemd)"
    )
}

fn scripts(windows: &NextWindows<'_>, out: &mut dyn Write) -> io::Result<()> {
    for spec in &windows.settings.scripts {
        let launch = &spec.launch;
        writeln!(out, "\nscript {}", spec.name)?;
        writeln!(out, "  command     {}", launch.display)?;
        writeln!(out, "  program     {}", launch.program.display())?;
        writeln!(out, "  working_dir {}", launch.working_dir.display())?;
        writeln!(out, "  output      {}", spec.output.dir.display())?;
        match windows.of_script(spec) {
            _ if !spec.enabled => writeln!(out, "  next        never: disabled")?,
            None => writeln!(out, "  next        none")?,
            Some(window) => {
                let at = |at: DateTime<Utc>| at.with_timezone(&window.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
                let early = if window.early_close { " (early close)" } else { "" };
                writeln!(out, "  next        {} to {}{early}", at(window.start), at(window.stop))?;
                if let Some(end) = deadline(window.start, spec.max_duration, window.stop) {
                    let limit = compact(spec.max_duration.unwrap_or_default());
                    writeln!(out, "  deadline    {}: max_duration {limit} ends before the stop", at(end))?;
                }
            }
        }
    }
    Ok(())
}

/// Every effective value with its place.
fn values(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nvalues and where they come from")?;
    let width = loaded.origins.iter().map(|origin| origin.key.len()).max().unwrap_or_default();
    for origin in &loaded.origins {
        writeln!(out, "  {:width$} = {}  [{}]", origin.key, origin.value, origin.place)?;
    }
    Ok(())
}
