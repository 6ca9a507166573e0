//! The command line: one file per verb. Here is what they share: the flags, the loading of the configuration, the exit codes.

mod alert;
pub mod calendar;
pub mod check;
mod completions;
mod control;
mod exec;
mod history;
pub mod init;
mod layout;
mod logs;
mod next;
mod run;
mod simulate;

use std::io::{self, Write};
use std::path::PathBuf;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Utc};
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Fault, Flags, Loaded, Purpose, Settings, Sources};
use crate::domain::time::{is_written, written_date, written_local};
use crate::guard;

/// All is well.
pub const OK: u8 = 0;
/// What was asked for failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// No daemon is running.
pub const NOT_RUNNING: u8 = 3;
/// No script of this name.
pub const NO_SUCH_SCRIPT: u8 = 4;
/// A daemon, or the script, is running already.
pub const ALREADY_RUNNING: u8 = 5;
/// A critical script gave up.
pub const CRITICAL: u8 = 10;

/// Starts trading scripts before the exchange opens, watches them, and stops them at the close, on every trading day and only then.
#[derive(Debug, Parser)]
#[command(name = "mho", version, about, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Without a verb: mho run. Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 daemon not running, 4 no such script, 5 already running, 10 critical script gave up."
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Flags of every verb.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Configuration file [default: $MHO_CONFIG, ./config/mho.toml, /etc/mho/mho.toml, else the built-in one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the daemon keeps its state [default: orchestrator.state_dir]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<String>,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground (the default)
    Run(run::RunArgs),
    /// Check the configuration and the machine; what a start would do, without starting anything
    Check(check::CheckArgs),
    /// Show the days of a calendar, explain one, and say what you know better about one
    Calendar(calendar::CalendarCommand),
    /// List the next boundaries
    Next(next::NextArgs),
    /// Run days of virtual time with pretend processes
    Simulate(simulate::SimulateArgs),
    /// Show what runs, why, and what comes next
    Status(control::StatusArgs),
    /// Start a script: a new attempt, whatever stopped the one before
    Start(control::StartArgs),
    /// Stop a script for this trading date
    Stop(control::OneArgs),
    /// Put a new process in place of the one that runs
    Restart(control::OneArgs),
    /// Let a script sit out a trading date
    Skip(control::SkipArgs),
    /// Start and restart nothing, until a time or until resumed
    Pause(control::PauseArgs),
    /// End pauses, skips and an operator's stop
    Resume(control::ResumeArgs),
    /// Read the configuration again; nothing that runs is restarted unless asked for
    Reload(control::ReloadArgs),
    /// Print the link to the dashboard, with the token that allows changes
    Dashboard,
    /// Whether the daemon is alive; silent if so
    Healthcheck,
    /// Whether people would be told
    Alert(alert::AlertCommand),
    /// Run one script now, in the foreground, as the daemon would
    Exec(exec::ExecArgs),
    /// Show what a script printed
    Logs(logs::LogsArgs),
    /// Show what became of past runs
    History(history::HistoryArgs),
    /// Write a commented configuration and an example script
    Init(init::InitArgs),
    /// Print shell completions, which know the names of scripts
    ///
    /// They ask for the names as `mho` itself would find them: in the configuration of $MHO_CONFIG, else of the directory you are in.
    ///
    ///   bash  mho completions bash > ~/.local/share/bash-completion/completions/mho
    ///   zsh   mho completions zsh > DIR/_mho, where DIR is in $fpath
    ///   fish  mho completions fish > ~/.config/fish/completions/mho.fish
    ///
    /// Other shells than these complete verbs and options alone.
    #[command(verbatim_doc_comment)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the names of all scripts, for completions
    #[command(name = "__scripts", hide = true)]
    Scripts,
}

/// Parses the command line and does what it asks for; the result is the exit code.
///
/// # Panics
/// Never: an unwritable stdout ends a verb with code 1.
#[must_use]
pub fn main() -> u8 {
    // First of all: the first process of a container would lose a signal that comes before it is held.
    let held = guard::hold_signals();
    let parsed = Cli::try_parse();
    if !matches!(&parsed, Ok(Cli { verb: None | Some(Verb::Run(_)), .. })) {
        guard::release_signals(held);
    }
    let cli = parsed.unwrap_or_else(|error| error.exit());
    match cli.verb.unwrap_or_else(|| Verb::Run(run::RunArgs::default())) {
        // The daemon is made before any thread exists, and has no use for stdout.
        Verb::Run(args) => run::run(&cli.global, args),
        verb => {
            let mut out = io::stdout().lock();
            let done = print(&cli.global, verb, &mut out);
            finish(done.and_then(|code| out.flush().map(|()| code).map_err(Failure::from)))
        }
    }
}

/// The verbs that print something and end.
fn print(global: &Global, verb: Verb, out: &mut dyn Write) -> Result<u8, Failure> {
    match verb {
        Verb::Run(args) => Ok(run::run(global, args)),
        Verb::Check(args) => Ok(check::run(&args, &global.sources(Flags::default())?, Utc::now(), out)?),
        Verb::Calendar(command) => calendar::answer(global, &command, Utc::now(), out),
        Verb::Next(args) => next::run(global, &args, out),
        Verb::Simulate(args) => simulate::run(global, &args, out),
        Verb::Status(args) => control::status(global, &args, out),
        Verb::Start(args) => control::start(global, &args, out),
        Verb::Stop(args) => control::stop(global, &args, out),
        Verb::Restart(args) => control::restart(global, &args, out),
        Verb::Skip(args) => control::skip(global, &args, out),
        Verb::Pause(args) => control::pause(global, &args, out),
        Verb::Resume(args) => control::resume(global, &args, out),
        Verb::Reload(args) => control::reload(global, &args, out),
        Verb::Dashboard => control::dashboard(global, out),
        Verb::Healthcheck => control::healthcheck(global),
        Verb::Alert(command) => alert::answer(global, &command, out),
        Verb::Exec(args) => exec::run(global, &args),
        Verb::Logs(args) => logs::run(global, &args, out),
        Verb::History(args) => history::run(global, &args, out),
        Verb::Init(args) => Ok(init::run(&args, &std::env::current_dir().map_err(|error| lost(&error))?, out)?),
        Verb::Completions { shell } => {
            out.write_all(completions::script(shell, Cli::command()).as_bytes())?;
            Ok(OK)
        }
        Verb::Scripts => {
            for script in global.look()?.scripts {
                writeln!(out, "{}", script.name)?;
            }
            Ok(OK)
        }
    }
}

/// Why a verb did not do what it was asked for, and the exit code of that.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn new(code: u8, text: impl ToString) -> Self {
        Self { code, text: text.to_string() }
    }
}

/// What a verb prints is all that it does with a plain error; whatever else fails names what it was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(FAILED, format!("cannot write to stdout: {error}"))
    }
}

/// The directory that we were started in is gone, or may not be read.
fn lost(error: &io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot tell the current directory: {error}; it may have been removed: cd to another"))
}

fn finish(done: Result<u8, Failure>) -> u8 {
    match done {
        Ok(code) => code,
        Err(Failure { code, text }) => {
            // Nobody reads on: `mho calendar | head`.
            if !text.contains("Broken pipe") {
                let _ = writeln!(io::stderr(), "mho: {text}");
            }
            code
        }
    }
}

impl Global {
    fn sources(&self, flags: Flags) -> Result<Sources, Failure> {
        let flags = Flags { state_dir: self.state_dir.clone().or(flags.state_dir), ..flags };
        Sources::of_process(self.config.clone(), flags).map_err(|error| lost(&error))
    }

    /// The configuration for a verb that runs nothing, without warnings: those are for `check` and `run`.
    fn look(&self) -> Result<Settings, Failure> {
        self.look_with(Flags::default())
    }

    fn look_with(&self, flags: Flags) -> Result<Settings, Failure> {
        let sources = Sources { purpose: Purpose::Look, ..self.sources(flags)? };
        load(&sources).map(|loaded| loaded.settings)
    }
}

fn load(sources: &Sources) -> Result<Loaded, Failure> {
    let outcome = if sources.purpose == Purpose::Run { "; nothing was started" } else { "" };
    config::load(sources).map_err(|faults| Failure::new(USAGE, faults_text(&faults, outcome)))
}

/// All of them, and what came of it.
fn faults_text(faults: &[Fault], outcome: &str) -> String {
    let list: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
    let (n, s) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    format!("{n} fault{s} in the configuration{outcome}:\n{}", list.join("\n"))
}

fn no_such_script(settings: &Settings, name: &str) -> Failure {
    let known: Vec<_> = settings.scripts.iter().map(|s| s.name.as_str()).collect();
    let known = if known.is_empty() { "no script".to_owned() } else { known.join(", ") };
    Failure::new(NO_SUCH_SCRIPT, format!("no script named {name:?}; the configuration has: {known}"))
}

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    written_date(text).ok_or_else(|| "use YYYY-MM-DD, such as 2026-11-27".to_owned())
}

/// A local time, as `--at` takes it.
fn parse_local(text: &str) -> Result<NaiveDateTime, String> {
    let at = written_local(text).ok_or("use YYYY-MM-DDTHH:MM:SS, in the calendar's zone")?;
    // Which of these years a calendar has data for is known when it is loaded.
    let is_known = is_written(&at.date());
    is_known.then_some(at).ok_or_else(|| format!("no calendar has data for the year {}; see mho calendar", at.year()))
}
