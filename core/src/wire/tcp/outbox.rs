//! What waits to be written to one socket, and the task that writes it. Whoever queues the first frame wakes the task;
//! it lets the other ready tasks run first, so that what they send goes out in the same write.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
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
    fn push(&mut self, frame: &Outgoing<'_>) {
        self.copied.extend_from_slice(&frame.header());
        self.copied.extend_from_slice(frame.head);
        if frame.tail.len() < COPIED_BYTES_MAX {
            self.copied.extend_from_slice(frame.tail);
        } else {
            self.large.push((self.copied.len(), frame.tail.clone()));
            self.large_bytes += frame.tail.len();
        }
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
    closed: bool,
}

struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    bytes_max: u64,
    remote: String,
}

impl Outbox {
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
        queue.batch.push(&frame);
        drop(queue);
        if first {
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
    let outbox = Arc::new(Outbox { queue: Mutex::default(), wake: Notify::new(), bytes_max, remote });
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
    }
}

/// Writes until the outbox is closed and empty, or the socket fails; dropping the socket then ends the stream.
async fn write(outbox: &Outbox, socket: &OwnedWriteHalf, env: &Env) {
    let mut batch = Batch::default();
    loop {
        let closed = take(outbox, &mut batch);
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

/// Swaps an empty batch for what is queued; says whether the outbox is closed.
fn take(outbox: &Outbox, batch: &mut Batch) -> bool {
    let mut queue = outbox.queue.lock();
    std::mem::swap(&mut queue.batch, batch);
    queue.writing = batch.byte_len();
    queue.closed
}

/// Ends this long after the outbox was closed.
async fn closed_for(outbox: &Outbox, env: &Env, grace: Duration) {
    while !outbox.queue.lock().closed {
        outbox.wake.notified().await;
    }
    env.sleep(grace).await;
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
        match socket.try_write_vectored(parts.get(..count).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
