//! How people are told: the channels, and the desk that keeps what is to be told until it has arrived. What is told to whom, and when, is
//! decided in `domain::alert`.
//!
//! ```text
//! notices ─> Tap ─> desk (a task): Book decides ─> Outbox: written first ─> Queue ─> a thread of each channel ─> the service
//! ```
//!
//! Supervision never waits for any of it. The clients block, on threads of their own: of a channel that hangs, nobody notices but its queue.

mod body;
mod desk;
mod http;
mod mail;
mod tap;
mod trust;

use std::ffi::OsString;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::alert::{AlertSpec, Channel, Fate, Message};
use crate::domain::outcome::Exit;
use crate::ports::{Errand, ErrandEnd, Errands, PortFuture};

pub use desk::{Counted, Desk, DeskArgs};
pub use tap::{Tap, Telling};

/// What it takes to run the program of a channel.
#[derive(Clone)]
pub struct Programs {
    /// Who runs them.
    pub errands: Arc<dyn Errands>,
    /// What they see.
    pub env: Vec<(OsString, OsString)>,
}

/// Sends one message through a channel that needs no program, and waits for the answer.
fn deliver(spec: &AlertSpec, message: &Message) -> Fate {
    let fate = match &spec.channel {
        Channel::Email(smtp) => mail::send(smtp, spec.timeout, message),
        Channel::Exec { .. } => Fate::Refused("a program is not run here".to_owned()),
        channel => match body::call(channel, message) {
            Ok(call) => http::send(&call, spec.timeout),
            Err(why) => Fate::Refused(why),
        },
    };
    // What a service or a library says may hold what it was given.
    match fate {
        Fate::Sent => Fate::Sent,
        Fate::Refused(why) => Fate::Refused(spec.redact(&why)),
        Fate::Failed { why, retry_after } => Fate::Failed { why: spec.redact(&why), retry_after },
    }
}

/// Sends one message through any channel, once; to be polled on a runtime.
#[must_use]
pub fn send(spec: &Arc<AlertSpec>, message: Message, programs: &Programs) -> PortFuture<Fate> {
    if let Some(errand) = errand(spec, &message, programs) {
        return run(Arc::clone(&programs.errands), errand);
    }
    let (spec, (reply, fate)) = (Arc::clone(spec), tokio::sync::oneshot::channel());
    let work = move || {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(deliver(&spec, &message));
    };
    let started = std::thread::Builder::new().name("mho-alert".to_owned()).stack_size(desk::STACK).spawn(work);
    Box::pin(async move {
        match started {
            Ok(_) => fate.await.unwrap_or_else(|_| Fate::Refused("the client failed".to_owned())),
            Err(error) => Fate::Failed { why: format!("no thread: {error}"), retry_after: None },
        }
    })
}

/// The program of a channel that has one.
fn errand(spec: &AlertSpec, message: &Message, programs: &Programs) -> Option<Errand> {
    let Channel::Exec { program, args, working_dir } = &spec.channel else { return None };
    let mut stdin = Value::Object(message.fields()).to_string().into_bytes();
    stdin.push(b'\n');
    Some(Errand {
        program: program.clone(),
        args: args.clone(),
        working_dir: working_dir.clone(),
        env: programs.env.clone(),
        stdin,
        limit: spec.timeout,
    })
}

/// Runs the program of a channel.
fn run(errands: Arc<dyn Errands>, errand: Errand) -> PortFuture<Fate> {
    let limit = errand.limit;
    let end = errands.run(errand);
    Box::pin(async move {
        let failed = |why: String| Fate::Failed { why, retry_after: None };
        match end.await {
            ErrandEnd::Exited { exit: Exit::Code(0), .. } => Fate::Sent,
            ErrandEnd::Exited { exit, said } => {
                let how = crate::domain::alert::exit_words(exit);
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                failed(format!("the command ended with {how}{said}"))
            }
            ErrandEnd::TimedOut => failed(format!("the command was killed after {} s", limit.as_secs())),
            ErrandEnd::Failed(why) => failed(format!("the command could not be started: {why}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use chrono_tz::Tz;

    use super::*;
    use crate::domain::alert::AlertEvent;
    use crate::domain::outcome::Signal;

    /// Ends as it is told, and remembers what it was given.
    struct Fake(ErrandEnd, Mutex<Vec<Errand>>);

    impl Errands for Fake {
        fn run(&self, errand: Errand) -> PortFuture<ErrandEnd> {
            self.1.lock().unwrap().push(errand);
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    #[tokio::test]
    async fn a_program_reads_the_json_and_its_exit_code_says_whether_it_was_sent() {
        let (program, args, working_dir) = ("/bin/notify".into(), vec!["now".to_owned()], "/srv".into());
        let spec = Arc::new(AlertSpec {
            name: "exec".to_owned(),
            channel: Channel::Exec { program, args, working_dir },
            events: AlertEvent::defaults(),
            repeat_interval: Duration::from_secs(1800),
            late_after: Duration::from_secs(300),
            timeout: Duration::from_secs(7),
        });
        let said = || "no network".to_owned();
        let kill = Exit::Signal { signal: Signal::KILL, out_of_memory: false };
        for (end, expected) in [
            (ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() }, ""),
            (ErrandEnd::Exited { exit: Exit::Code(3), said: said() }, "the command ended with code 3: no network"),
            (ErrandEnd::Exited { exit: kill, said: String::new() }, "the command ended with SIGKILL"),
            (ErrandEnd::TimedOut, "the command was killed after 7 s"),
            (ErrandEnd::Failed("it is not there".to_owned()), "the command could not be started: it is not there"),
        ] {
            let fake = Arc::new(Fake(end, Mutex::default()));
            let at = "2026-11-27T13:29:50Z".parse().unwrap();
            let message = Message::test("1-1".to_owned(), "desk".to_owned(), at, Tz::UTC);
            let programs = Programs { errands: Arc::clone(&fake) as Arc<dyn Errands>, env: Vec::new() };
            let why = match send(&spec, message, &programs).await {
                Fate::Sent => String::new(),
                Fate::Failed { why, .. } | Fate::Refused(why) => why,
            };
            assert_eq!(why, expected);
            let given = fake.1.lock().unwrap().pop().expect("an errand");
            assert_eq!((given.limit, given.args), (Duration::from_secs(7), vec!["now".to_owned()]));
            let json: Value = serde_json::from_slice(&given.stdin).expect("JSON");
            assert_eq!(json["id"], "1-1");
        }
    }
}
