//! One direction of a connection in memory: frames ordered by when they arrive, taken by the receiver's own task.
//! Whether a link is cut is judged when a frame is sent and again when it would arrive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Delivery, Fate, Net};
use crate::base::env::BoxFuture;
use crate::base::error::{Error, ErrorKind, Result};
use crate::wire::frame::{Frame, HEADER_BYTES, Outgoing};
use crate::wire::hello::HELLO_BYTES_MAX;
use crate::wire::transport::{Duplex, FrameReceiver, FrameSender};

struct Pipe {
    net: Arc<Net>,
    from: String,
    to: String,
    state: Mutex<Flow>,
    wake: Notify,
}

struct Flow {
    /// By arrival, then by order of sending; none is the end.
    queue: BTreeMap<(Instant, u64), Option<Frame>>,
    sequence: u64,
    latest: Instant,
    bytes: u64,
    closed: bool,
    receiver_gone: bool,
}

/// Both ends of a new connection: the dialing host's, then the listening host's.
pub(super) fn duplexes(net: &Arc<Net>, dialer: &str, listener: &str) -> (Duplex, Duplex) {
    let there = pipe(net, dialer, listener);
    let back = pipe(net, listener, dialer);
    (duplex(&there, &back), duplex(&back, &there))
}

fn pipe(net: &Arc<Net>, from: &str, to: &str) -> Arc<Pipe> {
    let flow = Flow {
        queue: BTreeMap::new(),
        sequence: 0,
        latest: net.env.now(),
        bytes: 0,
        closed: false,
        receiver_gone: false,
    };
    let (from, to) = (from.to_owned(), to.to_owned());
    Arc::new(Pipe { net: Arc::clone(net), from, to, state: Mutex::new(flow), wake: Notify::new() })
}

fn duplex(out: &Arc<Pipe>, into: &Arc<Pipe>) -> Duplex {
    Duplex {
        sender: Arc::new(PipeSender(Arc::clone(out))),
        receiver: Box::new(PipeReceiver { pipe: Arc::clone(into), ended: false }),
        remote: out.to.clone(),
    }
}

impl Pipe {
    /// Puts a frame, or the end, on its way. False if it is lost.
    fn put(&self, flow: &mut Flow, item: Option<Frame>) -> bool {
        let Fate::Arrives { after, reorder } = self.net.fate(&self.from, &self.to) else { return false };
        let mut at = self.net.env.now() + after;
        if !reorder || item.is_none() {
            at = at.max(flow.latest);
        }
        flow.latest = flow.latest.max(at);
        flow.sequence += 1;
        flow.queue.insert((at, flow.sequence), item);
        self.wake.notify_one();
        true
    }

    fn log(&self, frame: &Frame, arrived: bool) {
        self.net.log(|| Delivery {
            at: self.net.since_began(),
            from: self.from.clone(),
            to: self.to.clone(),
            kind: frame.kind,
            id: frame.id,
            bytes: frame.body.len(),
            arrived,
        });
    }
}

struct PipeSender(Arc<Pipe>);

impl fmt::Debug for PipeSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeSender({} to {})", self.0.from, self.0.to)
    }
}

impl FrameSender for PipeSender {
    fn send(&self, frame: Outgoing<'_>) -> Result<()> {
        let pipe = &self.0;
        let mut flow = pipe.state.lock();
        // A peer that has gone resets the connection, if it can be reached to say so.
        if flow.receiver_gone
            && !pipe.net.is_cut(&pipe.from, &pipe.to)
            && !pipe.net.is_cut(&pipe.to, &pipe.from)
        {
            flow.closed = true;
        }
        if flow.closed {
            return Err(Error::new(ErrorKind::Closed, format!("the connection to {} is closed", pipe.to)));
        }
        let bytes = u64::try_from(frame.byte_len()).unwrap_or(u64::MAX);
        let most = pipe.net.limits.peer_bytes_in_flight_max;
        if flow.bytes > 0 && flow.bytes.saturating_add(bytes) > most {
            let text = format!("{} bytes are queued to {}, of {most} at most", flow.bytes, pipe.to);
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        let mut body = BytesMut::with_capacity(frame.head.len() + frame.tail.len());
        body.put_slice(frame.head);
        body.put_slice(frame.tail);
        let arriving = Frame { version: frame.version, kind: frame.kind, id: frame.id, body: body.freeze() };
        if pipe.put(&mut flow, Some(arriving.clone())) {
            flow.bytes += bytes;
        } else {
            pipe.log(&arriving, false);
        }
        Ok(())
    }

    fn close(&self) {
        let mut flow = self.0.state.lock();
        if !flow.closed {
            flow.closed = true;
            // The end is lost like any frame; the other side then finds out by its deadlines.
            self.0.put(&mut flow, None);
        }
    }
}

impl Drop for PipeSender {
    fn drop(&mut self) {
        self.close();
    }
}

struct PipeReceiver {
    pipe: Arc<Pipe>,
    ended: bool,
}

impl fmt::Debug for PipeReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeReceiver({} to {})", self.pipe.from, self.pipe.to)
    }
}

impl PipeReceiver {
    /// Takes frames that are due, until there are `frames_max`; says how long until the next, if one is under way.
    fn take_due(&mut self, into: &mut Vec<Frame>, frames_max: usize) -> Option<Duration> {
        let now = self.pipe.net.env.now();
        let mut flow = self.pipe.state.lock();
        while into.len() < frames_max
            && let Some(next) = flow.queue.first_entry()
        {
            let (at, _) = *next.key();
            if at > now {
                return Some(at - now);
            }
            let item = next.remove();
            let cut = self.pipe.net.is_cut(&self.pipe.from, &self.pipe.to);
            let Some(frame) = item else {
                self.ended |= !cut;
                continue;
            };
            let bytes = u64::try_from(HEADER_BYTES + frame.body.len()).unwrap_or(u64::MAX);
            flow.bytes = flow.bytes.saturating_sub(bytes);
            self.pipe.log(&frame, !cut);
            if !cut {
                into.push(frame);
            }
        }
        None
    }

    async fn wait(&mut self, into: &mut Vec<Frame>, frames_max: usize) -> bool {
        let before = into.len();
        loop {
            let next = self.take_due(into, before.saturating_add(frames_max));
            if into.len() > before || self.ended {
                return into.len() > before;
            }
            let sleep = async {
                match next {
                    Some(next) => self.pipe.net.env.sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.pipe.wake.notified() => {}
                () = sleep => {}
            }
        }
    }
}

impl FrameReceiver for PipeReceiver {
    fn receive_hello(&mut self) -> BoxFuture<'_, Result<Option<Frame>>> {
        Box::pin(async move {
            let mut frames = Vec::new();
            self.wait(&mut frames, 1).await;
            match frames.pop() {
                Some(frame) if HEADER_BYTES + frame.body.len() > HELLO_BYTES_MAX => {
                    Err(Error::corrupt(format!("hello with {} bytes exceeds its limit", frame.body.len())))
                }
                frame => Ok(frame),
            }
        })
    }

    fn receive<'a>(&'a mut self, into: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.wait(into, usize::MAX).await) })
    }
}

impl Drop for PipeReceiver {
    fn drop(&mut self) {
        let mut flow = self.pipe.state.lock();
        flow.receiver_gone = true;
        flow.queue.clear();
    }
}
