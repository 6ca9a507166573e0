//! What a script with `limits` does between fork and exec, in order: limits, nice, umask, groups, group, user, directory. The directory comes
//! last, so that the user's own rights decide.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::AccessFlags;
use rustix::process::{Resource, Rlimit, getrlimit};

use super::account::{Account, names};
use crate::adapters::sys::{self, Step, Stumble};
use crate::domain::limits::{CoreSize, Limits};
use crate::domain::outcome::SpawnError;
use crate::domain::script::Launch;

/// From SIGXCPU, which a script may handle, to SIGKILL.
const LAST_SECONDS: u64 = 5;

/// Why a script cannot be started as its limits ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The key of `limits`, or `working_dir` or `command` of the script.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// A name was not known; these are.
    pub known: Vec<String>,
}

impl Unfit {
    pub(super) fn new(key: &'static str, message: String) -> Self {
        Self { key, message, known: Vec::new() }
    }

    pub(super) fn unknown(key: &'static str, name: &str) -> Self {
        let message = format!("there is no {key} {name:?} on this machine: add it, or correct the name");
        Self { key, message, known: names(key) }
    }

    /// The key belongs to `limits`.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        !matches!(self.key, "working_dir" | "command")
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_limit() {
            true => write!(f, "limits.{}: {}", self.key, self.message),
            false => write!(f, "{} {}", self.key, self.message),
        }
    }
}

impl From<Unfit> for SpawnError {
    fn from(unfit: Unfit) -> Self {
        Self(unfit.to_string())
    }
}

/// What is to be done before a script's program is executed; nothing for a script without limits.
#[derive(Debug, Default)]
pub struct Preparation {
    keys: Vec<&'static str>,
    steps: Vec<Step>,
    account: Option<Account>,
}

/// Works out what `launch` needs. Whether it may be done, only doing it shows.
pub fn prepare(launch: &Launch) -> Result<Preparation, Unfit> {
    let limits = &launch.limits;
    let mut plan = Preparation::default();
    if limits.is_empty() {
        return Ok(plan);
    }
    for (key, resource, limit) in kernel_limits(limits) {
        plan.push(key, Step::Limit(resource, limit));
    }
    if let Some(nice) = limits.nice {
        plan.push("nice", Step::Nice(nice));
    }
    if let Some(mask) = limits.umask {
        plan.push("umask", Step::Umask(Mode::from_bits_truncate(mask)));
    }
    plan.account = Account::find(limits)?;
    if let Some(account) = plan.account.as_ref().filter(|account| !account.is_own()) {
        if account.is_out_of_reach() {
            let message =
                "mho could start it, but not stop it: run mho as root, give it CAP_KILL too, or remove the key";
            return Err(Unfit::new("user", message.to_owned()));
        }
        let (uid, gid, groups) = (account.uid, account.gid, account.groups.clone());
        let by = |key: &Option<String>| if key.is_some() { "group" } else { "user" };
        if let Some(groups) = groups {
            plan.push("user", Step::Groups(groups));
        }
        plan.push(by(&limits.group), Step::Group(gid));
        if limits.user.is_some() {
            plan.push("user", Step::DropRights);
            plan.push("user", Step::User(uid));
        }
    }
    plan.push("working_dir", Step::Enter(c_path(&launch.working_dir, "working_dir")?));
    Ok(plan)
}

impl Preparation {
    fn push(&mut self, key: &'static str, step: Step) {
        self.keys.push(key);
        self.steps.push(step);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What a user's own environment says of him: weaker than what is configured, stronger than what is inherited.
    pub fn variables(&self) -> Vec<(String, String)> {
        let user = self.account.as_ref().and_then(|account| account.user.as_ref());
        let of = |(name, home): &(String, std::path::PathBuf)| {
            let home = home.to_string_lossy().into_owned();
            [("HOME", home), ("USER", name.clone()), ("LOGNAME", name.clone())]
        };
        user.map(of).into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Its own limit of open files is set.
    pub(super) fn sets_open_files(&self) -> bool {
        self.keys.contains(&"nofile")
    }

    pub(super) fn into_steps(self) -> (Vec<Step>, Vec<&'static str>) {
        (self.steps, self.keys)
    }

    /// The pipe of its output is the user's: else he could not open `/dev/stdout`.
    pub(super) fn hand_over(&self, pipe: impl AsFd) {
        let owner = self.account.as_ref().map(|account| account.uid.as_raw());
        // Where that fails, so does what comes next, and says why.
        let _ = owner.map(|uid| rustix::fs::fchown(pipe, Some(rustix::fs::Uid::from_raw(uid)), None));
    }
}

/// Each with what is set for it, of which the second cannot be raised again.
fn kernel_limits(limits: &Limits) -> impl Iterator<Item = (&'static str, Resource, Rlimit)> {
    let both = |value: Option<u64>| Rlimit { current: value, maximum: value };
    let seconds = |time: Duration| {
        let (soft, hard) = (time.as_secs(), getrlimit(Resource::Cpu).maximum);
        let last = soft.saturating_add(LAST_SECONDS);
        Rlimit { current: Some(soft), maximum: Some(hard.map_or(last, |hard| last.min(hard.max(soft)))) }
    };
    let core = |size| match size {
        CoreSize::Bytes(bytes) => both(Some(bytes)),
        CoreSize::Unlimited => both(None),
    };
    [
        limits.nofile.map(|count| ("nofile", Resource::Nofile, both(Some(count)))),
        limits.memory.map(|bytes| ("memory", Resource::As, both(Some(bytes)))),
        limits.cpu_time.map(|time| ("cpu_time", Resource::Cpu, seconds(time))),
        limits.core.map(|size| ("core", Resource::Core, core(size))),
    ]
    .into_iter()
    .flatten()
}

fn c_path(path: &Path, key: &'static str) -> Result<CString, Unfit> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Unfit::new(key, "holds a NUL byte: correct it".to_owned()))
}

/// Everything that keeps `launch` from being prepared here, found out by a child that takes its steps and ends. `script` is a file that the
/// program is to read.
#[must_use]
pub fn rehearse(launch: &Launch, script: Option<&Path>) -> Vec<Unfit> {
    let all = || -> Result<Preparation, Unfit> {
        let mut plan = prepare(launch)?;
        if !plan.is_empty() {
            plan.push("command", Step::Access(c_path(&launch.program, "command")?, AccessFlags::X_OK));
        }
        if let Some(script) = script.filter(|_| !plan.is_empty()) {
            plan.push("command", Step::Access(c_path(script, "command")?, AccessFlags::R_OK));
        }
        Ok(plan)
    };
    let mut found = Vec::new();
    // Each fault hides those behind it: from one round to the next that step is left out.
    let mut left_out = Vec::new();
    loop {
        let (steps, keys) = match all() {
            Ok(plan) => plan.into_steps(),
            Err(unfit) => return vec![unfit],
        };
        let kept = || (0..keys.len()).filter(|at| !left_out.contains(at));
        let numbers: Vec<usize> = kept().collect();
        let steps: Vec<Step> =
            steps.into_iter().enumerate().filter(|(at, _)| numbers.contains(at)).map(|(_, step)| step).collect();
        if steps.is_empty() {
            return found;
        }
        match sys::rehearse(steps) {
            Ok(Ok(())) => return found,
            Ok(Err(stumble)) => {
                let Some((at, key)) = numbers.get(stumble.at).and_then(|at| Some((*at, *keys.get(*at)?))) else {
                    return found;
                };
                found.push(explain(key, &stumble.error, launch, script.filter(|_| at + 1 == keys.len())));
                left_out.push(at);
                // Nobody else's rights say anything of the user's.
                if matches!(key, "user" | "group") {
                    return found;
                }
            }
            Err(error) => {
                found.push(Unfit::new(
                    keys.first().copied().unwrap_or("user"),
                    format!("no process to try it with: {error}; look at the limit of processes (ulimit -u)"),
                ));
                return found;
            }
        }
    }
}

/// The text for the step that the error of a spawn tells of; None if it was none.
pub(super) fn stumbled(error: &io::Error, keys: &[&'static str], launch: &Launch) -> Option<Unfit> {
    let Stumble { at, error } = Stumble::of(error)?;
    keys.get(at).map(|key| explain(key, &error, launch, None))
}

/// As `stumbled`, of steps that this process took itself.
pub(super) fn explain(key: &'static str, error: &io::Error, launch: &Launch, script: Option<&Path>) -> Unfit {
    let limits = &launch.limits;
    let who = limits.user.as_deref().map_or_else(|| "this user".to_owned(), |user| format!("user {user}"));
    let above = |resource, ulimit: &str, unit: &str| match getrlimit(resource).maximum {
        Some(hard) => format!(
            "is above the hard limit of {hard}{unit}, which only root may raise: raise that ({ulimit}), or set a value up to it"
        ),
        None => format!("cannot be set: {error}: set a lower value"),
    };
    let message = match key {
        "nofile" => open_files(limits.nofile.unwrap_or_default(), error)
            .unwrap_or_else(|| above(Resource::Nofile, "ulimit -Hn, LimitNOFILE", "")),
        "memory" => above(Resource::As, "ulimit -Hv, LimitAS", " bytes"),
        "cpu_time" => above(Resource::Cpu, "ulimit -Ht, LimitCPU", " seconds"),
        "core" => above(Resource::Core, "ulimit -Hc, LimitCORE", " bytes"),
        "nice" => format!(
            "this user may not set so low a value: {error}: run mho as root, allow it (CAP_SYS_NICE, LimitNICE), or set a higher value"
        ),
        "user" => format!("cannot become {who}: {error}: run mho as root, or remove the key"),
        "group" => {
            let group = limits.group.as_deref().unwrap_or_default();
            format!("cannot become a member of group {group}: {error}: run mho as root, or remove the key")
        }
        "working_dir" => {
            format!(
                "{} cannot be entered by {who}: {error}: change its rights or `working_dir`",
                launch.working_dir.display()
            )
        }
        _ => match script {
            Some(script) => format!("{} cannot be read by {who}: {error}: change its rights", script.display()),
            None => format!("{} cannot be executed by {who}: {error}: change its rights", launch.program.display()),
        },
    };
    Unfit::new(key, message)
}

/// Even root cannot have more open than the kernel can count.
fn open_files(wanted: u64, error: &io::Error) -> Option<String> {
    let most: u64 = std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()?;
    (error.raw_os_error() == Some(libc::EPERM) && wanted > most)
        .then(|| format!("is above what this kernel allows anybody: set at most {most} (sysctl fs.nr_open)"))
}
