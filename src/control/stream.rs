//! Answers that go on: the events, and the log of a script. Each takes one of a limited number of places, and holds no more than a few pieces
//! for a client that reads slowly.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::domain::status::Live;
use crate::ports::{Control, LogLines};

/// Streams at one time, of each listener; the other connections are for requests.
const STREAMS: usize = 224;

/// Pieces that wait for a client.
const PIECES: usize = 4;

/// A stream on which nothing happens says so, and finds out whether anybody still reads.
const PING: Duration = Duration::from_secs(15);

/// A line that is longer is sent in parts.
const LONGEST_LINE: usize = 64 * 1024;

/// The places for streams.
#[derive(Clone)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Streams {
    /// A place; None = there is none left.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
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

fn respond(kind: &'static str, pieces: mpsc::Receiver<Bytes>, place: OwnedSemaphorePermit) -> Response {
    ([(CONTENT_TYPE, kind)], Body::new(Pieces { pieces, _place: place })).into_response()
}

fn pings() -> Interval {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pings
}

fn event(live: &Live) -> Bytes {
    format!("event: {}\ndata: {}\n\n", live.kind, live.data).into()
}

/// What happens from now on, after all there is at this moment.
pub(super) async fn events(control: Arc<dyn Control>, place: OwnedSemaphorePermit) -> Response {
    let (send, pieces) = mpsc::channel(PIECES);
    // Before the status is taken, so that nothing falls between the two.
    let mut events = control.events();
    tokio::spawn(async move {
        let mut pings = pings();
        let mut anew = true;
        loop {
            if std::mem::take(&mut anew) {
                // These types have nothing that JSON cannot hold.
                let data = serde_json::to_string(&control.status().await).unwrap_or_default();
                if send.send(event(&Live { kind: "status", data: data.into() })).await.is_err() {
                    return;
                }
            }
            let piece = tokio::select! {
                next = events.recv() => match next {
                    Ok(live) => event(&live),
                    // Too slow: what it missed is in the status.
                    Err(RecvError::Lagged(_)) => {
                        anew = true;
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = pings.tick() => Bytes::from_static(b": ping\n\n"),
                () = send.closed() => return,
            };
            if send.send(piece).await.is_err() {
                return;
            }
        }
    });
    respond("text/event-stream", pieces, place)
}

/// The last lines of a log, as they are.
pub(super) fn text(mut lines: Box<dyn LogLines>, place: OwnedSemaphorePermit) -> Response {
    let (send, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        while let Some(piece) = lines.next().await {
            if send.send(piece.into()).await.is_err() {
                return;
            }
        }
    });
    respond("text/plain; charset=utf-8", pieces, place)
}

/// The last lines of a log and those that come, each as an event.
pub(super) fn lines(mut lines: Box<dyn LogLines>, place: OwnedSemaphorePermit) -> Response {
    let (send, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let mut pings = pings();
        let mut begun = Vec::new();
        loop {
            let piece = tokio::select! {
                piece = lines.next() => match piece {
                    Some(piece) => as_events(&mut begun, &piece),
                    None => return,
                },
                _ = pings.tick() => Bytes::from_static(b": ping\n\n"),
                () = send.closed() => return,
            };
            if !piece.is_empty() && send.send(piece).await.is_err() {
                return;
            }
        }
    });
    respond("text/event-stream", pieces, place)
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
