//! Answers that go on: the events, and the log of a script. Each takes one of a limited number of places, and holds no more than a few pieces
//! for a client that reads slowly.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::listen::told;
use crate::domain::status::Live;
use crate::ports::{Control, LogLines};

/// Streams at one time, of each listener; the other connections are for requests.
const STREAMS: usize = 224;

/// Pieces that wait for a client.
const PIECES: usize = 4;

/// A line that is longer is sent in parts.
const LONGEST_LINE: usize = 64 * 1024;

const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// The places for streams.
#[derive(Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    ping: Duration,
    stopped: watch::Receiver<bool>,
}

impl Streams {
    /// All of them free.
    pub(super) fn new(ping: Duration, stopped: &watch::Receiver<bool>) -> Self {
        Self { places: Arc::new(Semaphore::new(STREAMS)), ping, stopped: stopped.clone() }
    }

    /// A place; None = there is none left.
    pub(super) fn enter(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { place, ping: self.ping, stopped: self.stopped.clone() })
    }
}

/// A place for one stream.
pub(super) struct Place {
    place: OwnedSemaphorePermit,
    ping: Duration,
    stopped: watch::Receiver<bool>,
}

impl Place {
    /// An answer of this kind, and whoever makes its pieces.
    fn open(self, kind: &'static str) -> (Response, Sender) {
        let (pieces, taken) = mpsc::channel(PIECES);
        let body = Body::new(Pieces { pieces: taken, _place: self.place });
        let mut pings = interval_at(Instant::now() + self.ping, self.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        (([(CONTENT_TYPE, kind)], body).into_response(), Sender { pieces, pings, stopped: self.stopped })
    }
}

/// A body that is made piece by piece by a task, which waits while nobody takes them.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The other end of a body.
struct Sender {
    pieces: mpsc::Sender<Bytes>,
    pings: Interval,
    stopped: watch::Receiver<bool>,
}

impl Sender {
    /// None = nobody takes it any more.
    async fn send(&self, piece: Bytes) -> Option<()> {
        self.pieces.send(piece).await.ok()
    }

    /// What `next` comes to, with pings while it takes its time: it is not begun anew for them. None = nobody waits for it any more.
    async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Option<T> {
        let mut next = pin!(next);
        loop {
            tokio::select! {
                done = &mut next => return Some(done),
                _ = self.pings.tick() => self.pieces.send(PING).await.ok()?,
                () = self.pieces.closed() => return None,
                () = told(&mut self.stopped) => return None,
            }
        }
    }
}

fn event(live: &Live) -> Bytes {
    format!("event: {}\ndata: {}\n\n", live.kind, live.data).into()
}

/// What happens from now on, after all there is at this moment.
pub(super) fn events(control: Arc<dyn Control>, place: Place) -> Response {
    let (response, mut sender) = place.open("text/event-stream");
    let mut events = control.events();
    tokio::spawn(async move {
        loop {
            // Before the status is taken, so that nothing falls between the two. What is older is in it.
            events = events.resubscribe();
            let status = sender.wait(control.status()).await?;
            // These types have nothing that JSON cannot hold.
            let data = serde_json::to_string(&status).unwrap_or_default();
            drop(status);
            sender.send(event(&Live { kind: "status", data: data.into() })).await?;
            loop {
                match sender.wait(events.recv()).await? {
                    Ok(live) => sender.send(event(&live)).await?,
                    // Too slow: what was missed is in the next status.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return None::<()>,
                }
            }
        }
    });
    response
}

/// The last lines of a log, as they are.
pub(super) fn text(mut lines: Box<dyn LogLines>, place: Place) -> Response {
    let (response, sender) = place.open("text/plain; charset=utf-8");
    tokio::spawn(async move {
        while let Some(piece) = lines.next().await {
            sender.send(piece.into()).await?;
        }
        Some(())
    });
    response
}

/// The last lines of a log and those that come, each as an event.
pub(super) fn lines(mut lines: Box<dyn LogLines>, place: Place) -> Response {
    let (response, mut sender) = place.open("text/event-stream");
    tokio::spawn(async move {
        let mut begun = Vec::new();
        while let Some(piece) = sender.wait(lines.next()).await? {
            let events = as_events(&mut begun, &piece);
            if !events.is_empty() {
                sender.send(events).await?;
            }
        }
        // There is no more, and it did not end with a line.
        if begun.is_empty() { Some(()) } else { sender.send(as_events(&mut begun, b"\n")).await }
    });
    response
}

/// Whole lines as events; what is left of the last one waits in `begun`.
fn as_events(begun: &mut Vec<u8>, piece: &[u8]) -> Bytes {
    let mut events = Vec::with_capacity(piece.len() + piece.len() / 2);
    let mut put = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        // A carriage return ends a line of the stream, too.
        let text = text.trim_end_matches('\r').replace('\r', "\u{240d}");
        events.extend_from_slice(b"event: line\ndata: ");
        events.extend_from_slice(text.as_bytes());
        events.extend_from_slice(b"\n\n");
    };
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        begun.extend_from_slice(part);
        if begun.last() == Some(&b'\n') || begun.len() >= LONGEST_LINE {
            put(begun.strip_suffix(b"\n").unwrap_or(begun));
            begun.clear();
        }
    }
    events.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_across_pieces_and_long_ones_are_cut() {
        let mut begun = Vec::new();
        assert_eq!(as_events(&mut begun, b"a\nb"), "event: line\ndata: a\n\n");
        assert_eq!(as_events(&mut begun, b"c\r\n\xff\n"), "event: line\ndata: bc\n\nevent: line\ndata: \u{fffd}\n\n");
        assert!(as_events(&mut begun, &vec![b'x'; LONGEST_LINE]).len() > LONGEST_LINE);
        assert!(begun.is_empty());
    }
}
