//! Places where tests let the daemon die, or the kernel refuse something, at exactly the k-th time. Only the feature `fault-points` compiles
//! them in: without it, a point is nothing.
//!
//! What happens where is said in `FAILPOINTS`, in the notation of the crate `fail`: `spawn=6*off->1*return(EAGAIN)` refuses the seventh spawn,
//! `journal.commit=3*off->1*return(kill)` is a SIGKILL before the fourth commit.

use std::io;

/// The point `name`, in a program without points.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(super) fn reach(_name: &str) -> io::Result<()> {
    Ok(())
}

/// Here the point `name` is. Fails as the kernel would, if a test wants it so.
#[cfg(feature = "fault-points")]
pub(super) fn reach(name: &str) -> io::Result<()> {
    static SET_UP: std::sync::Once = std::sync::Once::new();
    // Its end would take the points away.
    SET_UP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    fail::fail_point!(name, |action| strike(name, &action.unwrap_or_default()));
    Ok(())
}

#[cfg(feature = "fault-points")]
fn strike(name: &str, action: &str) -> io::Result<()> {
    use nix::libc;

    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // A test must know that it was here, and when.
    eprintln!("fault point {name}: {action} at {}", now.as_millis());
    let number = match action {
        "EAGAIN" => libc::EAGAIN,
        "EIO" => libc::EIO,
        "EMFILE" => libc::EMFILE,
        "ENOMEM" => libc::ENOMEM,
        "ENOSPC" => libc::ENOSPC,
        _ => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            return Ok(());
        }
    };
    Err(io::Error::from_raw_os_error(number))
}
