//! What scripts print: one thread empties all their pipes into their log files, whatever the actors are doing. Child output never travels
//! as actor mail, and a script is never blocked for longer than a write to its file takes.
//!
//! One buffer serves all pipes, so a thousand scripts cost little more memory than one.

mod drain;
mod echo;
mod file;
mod line;
mod tail;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use chrono::NaiveDate;
use rustix::event::EventfdFlags;

use self::drain::Drain;
pub use self::line::LineWatch;
use super::patience;
use super::process::SignBook;
use crate::domain::script::OutputSpec;
use crate::domain::secret::Hidden;
use crate::ports::AttemptId;

/// The thread `mho-output`, from outside. Dropping it writes what is still in the pipes and ends the thread; if the file system is stuck, the
/// rest is given up.
#[derive(Debug)]
pub struct OutputThread {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

/// What an attempt prints, and what becomes of it.
pub struct Source {
    /// Whose it is; it goes to the file of its trading date.
    pub attempt: AttemptId,
    /// Where it comes from.
    pub pipe: OwnedFd,
    /// Where it goes.
    pub spec: Arc<OutputSpec>,
    /// Where it is noted that something came.
    pub signs: Arc<SignBook>,
    /// What it is looked through for.
    pub line: Option<LineWatch>,
    /// What is passed on of it is without this.
    pub hidden: Hidden,
}

/// What the thread is asked to do.
enum Order {
    Open(Source),
    Carry { attempt: AttemptId, trading_date: NaiveDate },
    Tail { attempt: AttemptId, then: Box<dyn FnOnce(Vec<String>) + Send> },
    Close { attempt: AttemptId },
    End,
}

/// Orders, and a descriptor that is readable while there are any.
struct Mailbox {
    orders: Mutex<VecDeque<Order>>,
    bell: OwnedFd,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// Leaves an order for when the thread is awake anyway.
    fn leave(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
    }

    fn put(&self, order: Order) {
        self.leave(order);
        // Full means that it rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn take(&self) -> VecDeque<Order> {
        // Silenced first: an order that comes between the two rings again.
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputThread {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mailbox = Arc::new(Mailbox { orders: Mutex::default(), bell });
        let drain = Drain::new(Arc::clone(&mailbox))?;
        let thread = std::thread::Builder::new()
            .name("mho-output".to_owned())
            // Its buffer is on the heap; the default of 2 MiB would only be reserved in vain.
            .stack_size(128 * 1024)
            .spawn(move || drain.run())?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// From now on it is emptied.
    pub fn open(&self, source: Source) {
        self.mailbox.put(Order::Open(source));
    }

    /// From now on the attempt's output goes to the file of `trading_date`.
    pub fn carry(&self, attempt: AttemptId, trading_date: NaiveDate) {
        self.mailbox.put(Order::Carry { attempt, trading_date });
    }

    /// Calls `then`, on the thread, with the last lines of the attempt: all that is in the pipe now counts. Also works for an attempt that
    /// is over, until the script's next one is opened; for any other there are no lines.
    pub fn tail(&self, attempt: AttemptId, then: impl FnOnce(Vec<String>) + Send + 'static) {
        self.mailbox.put(Order::Tail { attempt, then: Box::new(then) });
    }

    /// The attempt is over: writes what is in its pipe and closes it, whoever else may still hold it open. Done with the next order: usually
    /// the pipe has ended and woken the thread already, and to wake it once more would only delay the next attempt.
    pub fn close(&self, attempt: AttemptId) {
        self.mailbox.leave(Order::Close { attempt });
    }
}

impl Drop for OutputThread {
    fn drop(&mut self) {
        self.mailbox.put(Order::End);
        if let Some(thread) = self.thread.take() {
            patience::join(thread);
        }
    }
}
