//! `mho alert`: whether people would be told. Needs no daemon.

use std::io::Write;

use chrono::Utc;
use clap::{Args, Subcommand};

use super::{FAILED, Failure, Global, OK, USAGE, load};
use crate::app;
use crate::config::{Flags, Purpose, Sources, nearest};

/// Arguments of `mho alert`.
#[derive(Clone, Debug, Args)]
pub struct AlertCommand {
    #[command(subcommand)]
    verb: AlertVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum AlertVerb {
    /// Send one test message through every channel, or through one
    Test {
        /// The channel's name; without one all are tested
        channel: Option<String>,
    },
}

pub(super) fn answer(global: &Global, command: &AlertCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let AlertVerb::Test { channel } = &command.verb;
    // Secrets must be there, as for a daemon.
    let sources = Sources { purpose: Purpose::Run, ..global.sources(Flags::default())? };
    let settings = load(&sources)?.settings;
    let all = &settings.alerts.channels;
    if all.is_empty() {
        let text =
            "no [[alert]] is configured: nobody would be told; write one into the configuration (docs/ALERTS.md)";
        return Err(Failure::new(USAGE, text));
    }
    let is_meant = |name: &str| channel.as_deref().is_none_or(|wanted| wanted == name);
    let chosen: Vec<_> = all.iter().filter(|spec| is_meant(&spec.name)).cloned().collect();
    if let (Some(wanted), []) = (channel, chosen.as_slice()) {
        let known: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
        let meant = nearest(wanted, known.iter().copied()).map(|name| format!("; did you mean {name:?}?"));
        let text =
            format!("no [[alert]] is named {wanted:?}; configured: {}{}", known.join(", "), meant.unwrap_or_default());
        return Err(Failure::new(USAGE, text));
    }
    let mut code = OK;
    app::test_alerts(&settings, &chosen, Utc::now(), |spec, result| match result {
        Ok(()) => writeln!(out, "{}: sent", spec.name),
        Err(why) => {
            code = FAILED;
            writeln!(out, "{}: failed: {why}", spec.name)
        }
    })?;
    Ok(code)
}
