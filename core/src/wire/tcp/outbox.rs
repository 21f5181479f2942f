//! What waits to be written to one socket, and the task that writes it. Whoever queues the first frame wakes the task;
//! it lets the other ready tasks run first, so that what they send goes out in the same write.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rustix::net::{self, SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind, Result};
use crate::wire::frame::Outgoing;
use crate::wire::transport::FrameSender;

/// A second part of a body from this size on is written from where it is rather than copied.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// A buffer of copied frames that has grown past this is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// Parts of one vectored write.
const PARTS_MAX: usize = 32;
/// Apple's sockets are told once, by the standard library, when they are made.
#[cfg(target_vendor = "apple")]
const QUIETLY: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const QUIETLY: SendFlags = SendFlags::NOSIGNAL;
/// How long a closed connection may take to send what is queued.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Frames in the order of sending: copied ones back to back, with the places where large parts go in between.
#[derive(Default)]
struct Batch {
    copied: Vec<u8>,
    large: Vec<(usize, Bytes)>,
    large_bytes: usize,
}

impl Batch {
    /// Appends a frame with a large second part, whose header was made beforehand: the checksum takes a while.
    fn push_large(&mut self, header: &[u8], frame: &Outgoing<'_>) {
        self.copied.extend_from_slice(header);
        self.copied.extend_from_slice(frame.head);
        self.large.push((self.copied.len(), frame.tail.clone()));
        self.large_bytes += frame.tail.len();
    }

    /// Puts bytes before all others.
    fn put_back(&mut self, bytes: &[u8]) {
        self.copied.splice(..0, bytes.iter().copied());
        self.large.iter_mut().for_each(|(at, _)| *at += bytes.len());
    }

    fn byte_len(&self) -> usize {
        self.copied.len() + self.large_bytes
    }

    fn clear(&mut self) {
        self.copied.clear();
        self.large.clear();
        self.large_bytes = 0;
        if self.copied.capacity() > KEPT_BYTES_MAX {
            self.copied = Vec::new();
        }
    }

    /// The bytes from `skip` on, in order, in pieces.
    fn parts(&self, mut skip: usize) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let cuts =
            self.large.iter().map(|(at, bytes)| (*at, &bytes[..])).chain([(self.copied.len(), &[][..])]);
        cuts.flat_map(move |(at, bytes)| {
            let copied = self.copied.get(from..at).unwrap_or_default();
            from = at;
            [copied, bytes]
        })
        .filter_map(move |part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            part.get(skipped..).filter(|part| !part.is_empty())
        })
    }
}

#[derive(Default)]
struct Queue {
    batch: Batch,
    /// Bytes of the batch that is being written.
    writing: usize,
    /// A sending thread writes its frame itself; nobody else writes meanwhile.
    direct: bool,
    /// Until the writing task has ended.
    socket: Option<Arc<OwnedWriteHalf>>,
    closed: bool,
}

struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    bytes_max: u64,
    remote: String,
}

impl Outbox {
    /// Writes the only frame from a thread that runs no task: it would otherwise wait for another thread to wake up.
    /// A task leaves it to the writer, which gathers what other tasks have to send.
    fn write_directly(&self, mut queue: MutexGuard<'_, Queue>) {
        let Some(socket) = queue.socket.clone() else { return };
        let frame = std::mem::take(&mut queue.batch.copied);
        queue.direct = true;
        queue.writing = frame.len();
        drop(queue);
        // What is not written now, for whatever reason, is the writer's, which also finds out why.
        let written = socket.try_write(&frame).unwrap_or(0);
        let mut queue = self.queue.lock();
        queue.direct = false;
        queue.writing = 0;
        if let Some(rest) = frame.get(written..).filter(|rest| !rest.is_empty()) {
            queue.batch.put_back(rest);
        }
        let more = queue.closed || !queue.batch.copied.is_empty();
        if queue.batch.copied.capacity() == 0 {
            queue.batch.copied = frame;
            queue.batch.copied.clear();
        }
        drop(queue);
        if more {
            self.wake.notify_one();
        }
    }

    fn close(&self) {
        self.queue.lock().closed = true;
        self.wake.notify_one();
    }
}

struct OutboxSender(Arc<Outbox>);

impl fmt::Debug for OutboxSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboxSender({})", self.0.remote)
    }
}

impl FrameSender for OutboxSender {
    fn send(&self, frame: Outgoing<'_>) -> Result<()> {
        let large = frame.tail.len() >= COPIED_BYTES_MAX;
        let header = large.then(|| frame.header());
        let mut queue = self.0.queue.lock();
        if queue.closed {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("the connection to {} is closed", self.0.remote),
            ));
        }
        let queued = queue.batch.byte_len() + queue.writing;
        let most = self.0.bytes_max;
        if queued > 0 && !u64::try_from(queued + frame.byte_len()).is_ok_and(|bytes| bytes <= most) {
            let text = format!("{queued} bytes are queued to {}, of {most} at most", self.0.remote);
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        let first = queue.batch.copied.is_empty();
        match header {
            Some(header) => queue.batch.push_large(&header, &frame),
            None => frame.append_to(&mut queue.batch.copied),
        }
        if queued == 0 && !large && tokio::task::try_id().is_none() {
            self.0.write_directly(queue);
        } else if first {
            drop(queue);
            self.0.wake.notify_one();
        }
        Ok(())
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Drop for OutboxSender {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts the writing task of a socket.
pub(super) fn open(env: &Env, socket: OwnedWriteHalf, bytes_max: u64, remote: &str) -> Arc<dyn FrameSender> {
    let remote = remote.to_owned();
    let socket = Arc::new(socket);
    let queue = Mutex::new(Queue { socket: Some(Arc::clone(&socket)), ..Queue::default() });
    let outbox = Arc::new(Outbox { queue, wake: Notify::new(), bytes_max, remote });
    let writing = Arc::clone(&outbox);
    let clock = env.clone();
    env.spawn(async move {
        let end = CloseOnDrop(Arc::clone(&writing));
        write(&writing, &socket, &clock).await;
        drop(end);
    });
    Arc::new(OutboxSender(outbox))
}

/// Nothing can be sent once the task has ended, by whatever way.
struct CloseOnDrop(Arc<Outbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
        self.0.queue.lock().socket = None;
    }
}

/// Writes until the outbox is closed and empty, or the socket fails; dropping the socket then ends the stream.
async fn write(outbox: &Outbox, socket: &OwnedWriteHalf, env: &Env) {
    let mut batch = Batch::default();
    loop {
        let Some(closed) = take(outbox, &mut batch) else {
            outbox.wake.notified().await;
            continue;
        };
        if batch.copied.is_empty() {
            if closed {
                return;
            }
            outbox.wake.notified().await;
            tokio::task::yield_now().await;
            continue;
        }
        let written = if closed {
            env.deadline(CLOSE_GRACE).limit(write_batch(socket, &batch)).await
        } else {
            // Closed while this waits for the peer, the grace begins only now.
            tokio::select! {
                biased;
                written = write_batch(socket, &batch) => Ok(written),
                () = closed_for(outbox, env, CLOSE_GRACE) => return,
            }
        };
        // The reader learns of a broken socket by itself.
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        batch.clear();
    }
}

/// Swaps an empty batch for what is queued; says whether the outbox is closed. None while a thread writes directly,
/// which wakes the writer afterwards if anything is left.
fn take(outbox: &Outbox, batch: &mut Batch) -> Option<bool> {
    let mut queue = outbox.queue.lock();
    if queue.direct {
        return None;
    }
    std::mem::swap(&mut queue.batch, batch);
    queue.writing = batch.byte_len();
    Some(queue.closed)
}

/// Ends this long after the outbox was closed.
async fn closed_for(outbox: &Outbox, env: &Env, grace: Duration) {
    while !outbox.queue.lock().closed {
        outbox.wake.notified().await;
    }
    env.sleep(grace).await;
}

/// One write of several parts. A plain vectored write to a peer that has gone raises SIGPIPE, which ends a program that
/// has not said otherwise; the runtimes of Rust, Python and Node.js have, a C program need not.
fn send_parts(socket: &OwnedWriteHalf, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = socket.as_ref();
    socket.try_io(Interest::WRITABLE, || {
        let sent = net::sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), QUIETLY);
        sent.map_err(io::Error::from)
    })
}

async fn write_batch(socket: &OwnedWriteHalf, batch: &Batch) -> io::Result<()> {
    let total = batch.byte_len();
    let mut written = 0;
    while written < total {
        let mut parts = [IoSlice::new(&[]); PARTS_MAX];
        let mut count = 0;
        for (slot, part) in parts.iter_mut().zip(batch.parts(written)) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        match send_parts(socket, parts.get(..count).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
