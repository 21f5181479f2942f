//! What arrives on one socket: read in large pieces, sliced into frames without copying.
//! A buffer whose frames are all gone is read into again, so that a busy connection allocates no buffers.

use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use crate::base::env::BoxFuture;
use crate::base::error::{Error, Result};
use crate::wire::frame::{Frame, FrameDecoder};
use crate::wire::hello::HELLO_BYTES_MAX;
use crate::wire::transport::FrameReceiver;

/// Room for reading at first; doubled when a read fills it.
const READ_BYTES_MIN: usize = 8 << 10;
/// Larger reads gain nothing, and freeing 64 KiB or more makes glibc tidy its whole heap each time.
const READ_BYTES_MAX: usize = 32 << 10;
/// Buffers that are kept until their frames are gone; later ones are left to their frames.
const USED_MAX: usize = 4;

/// The buffer that is read into, and those before it.
#[derive(Default)]
struct Buffers {
    current: BytesMut,
    used: VecDeque<BytesMut>,
    read_bytes: usize,
}

impl Buffers {
    /// Makes room for a read behind what the current buffer holds of a frame.
    fn make_room(&mut self) {
        let room = self.current.capacity() - self.current.len();
        // The decoder has made room for the rest of a frame that has begun; a little room is not worth a read.
        if room >= self.read_bytes / 4 || self.current.try_reclaim(self.read_bytes) {
            return;
        }
        let wanted = self.read_bytes + self.current.len();
        let free =
            (0..self.used.len()).find(|at| self.used.get_mut(*at).is_some_and(|b| b.try_reclaim(wanted)));
        let mut next =
            free.and_then(|at| self.used.remove(at)).unwrap_or_else(|| BytesMut::with_capacity(wanted));
        next.extend_from_slice(&self.current);
        let mut last = std::mem::replace(&mut self.current, next);
        last.clear();
        if self.used.len() == USED_MAX {
            self.used.pop_front();
        }
        self.used.push_back(last);
    }

    /// Takes note of a read of this many bytes into this much room.
    fn filled(&mut self, read: usize, room: usize) {
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
    }
}

struct TcpReceiver {
    reader: OwnedReadHalf,
    buffers: Buffers,
    decoder: FrameDecoder,
    /// The limit that holds after the hello.
    frame_bytes_max: usize,
    remote: String,
}

impl fmt::Debug for TcpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpReceiver({})", self.remote)
    }
}

/// The receiving direction of a socket.
pub(super) fn open(reader: OwnedReadHalf, frame_bytes_max: u32, remote: &str) -> impl FrameReceiver + use<> {
    TcpReceiver {
        reader,
        buffers: Buffers { read_bytes: READ_BYTES_MIN, ..Buffers::default() },
        decoder: FrameDecoder::new(HELLO_BYTES_MAX),
        frame_bytes_max: usize::try_from(frame_bytes_max).unwrap_or(usize::MAX),
        remote: remote.to_owned(),
    }
}

impl TcpReceiver {
    /// Reads what has arrived; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool> {
        self.buffers.make_room();
        let buffer = &mut self.buffers.current;
        let room = buffer.capacity() - buffer.len();
        let read = self.reader.read_buf(buffer).await;
        let read = read.map_err(|error| Error::io(format!("reading from {}", self.remote), error))?;
        if read == 0 && !buffer.is_empty() {
            let bytes = buffer.len();
            return Err(Error::corrupt(format!("the stream ends {bytes} bytes into a frame")));
        }
        self.buffers.filled(read, room);
        Ok(read > 0)
    }
}

impl FrameReceiver for TcpReceiver {
    fn receive_hello(&mut self) -> BoxFuture<'_, Result<Option<Frame>>> {
        Box::pin(async move {
            loop {
                if let Some(frame) = self.decoder.decode(&mut self.buffers.current)? {
                    self.decoder.set_frame_bytes_max(self.frame_bytes_max);
                    return Ok(Some(frame));
                }
                if !self.fill().await? {
                    return Ok(None);
                }
            }
        })
    }

    fn receive<'a>(&'a mut self, into: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let before = into.len();
            loop {
                while let Some(frame) = self.decoder.decode(&mut self.buffers.current)? {
                    into.push(frame);
                }
                if into.len() > before {
                    return Ok(true);
                }
                if !self.fill().await? {
                    return Ok(false);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_read_into_again_once_its_frames_are_gone() {
        let mut buffers = Buffers { read_bytes: READ_BYTES_MIN, ..Buffers::default() };
        let mut places = std::collections::BTreeSet::new();
        let mut held = VecDeque::new();
        for _ in 0..1_000 {
            buffers.make_room();
            places.insert(buffers.current.as_ptr().addr() / READ_BYTES_MIN);
            buffers.current.extend_from_slice(&[7; 5_000]);
            // A frame that stays while two more are read, and the beginning of another.
            held.push_back(buffers.current.split_to(4_000).freeze());
            if held.len() > 2 {
                assert!(held.pop_front().is_some_and(|frame| frame.iter().all(|byte| *byte == 7)));
            }
            assert_eq!(buffers.current[..], [7; 1_000]);
            buffers.current.clear();
        }
        assert!(places.len() <= 3 * USED_MAX, "{}", places.len());
    }
}
