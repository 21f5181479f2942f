//! Frames: a header of 20 bytes (crc32, length, version, kind, request id) and a body. docs/FORMATS.md has the layout.
//! The decoder is incremental: it slices bodies out of the read buffer, checks limits before it makes room, and a
//! frame that breaks a rule is an error after which the connection cannot go on.

use bytes::{Buf, Bytes, BytesMut};

use crate::base::error::{Error, Result};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 20;

/// Bytes of the checksum, which stands first and covers all that follows, so that one pass checks a frame.
const CRC_BYTES: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What a frame carries; the upper bit marks responses.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $code,)*
        }

        impl Kind {
            /// Every kind, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The byte that stands in the header.
            #[must_use]
            pub fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The kind of a header's byte.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// The first frame of each side.
    Hello = 0x01,
    /// A replica is to merge a record.
    Apply = 0x10,
    /// A replica is asked for a record or its hash.
    Fetch = 0x11,
    /// A node is asked for records or hashes of its copies, in order.
    Page = 0x12,
    /// A node is to coordinate a write.
    Write = 0x13,
    /// A node is to coordinate a read.
    Read = 0x14,
    /// A node is to coordinate one page of a scan.
    Scan = 0x15,
    /// A control request in protobuf.
    ControlRequest = 0x1f,
    /// Answers `Apply`.
    Applied = 0x90,
    /// Answers `Fetch` and `Read` with a record.
    Record = 0x91,
    /// Answers `Fetch` with a hash.
    Digest = 0x92,
    /// Answers `Page` and `Scan`.
    PageReply = 0x93,
    /// Answers `Write`.
    Written = 0x94,
    /// The request's epoch is older than the last change of what it is about.
    StaleEpoch = 0x95,
    /// The node holds no copy of the partition.
    NotOwner = 0x96,
    /// Answers `Apply`: the record was captured too long ago.
    StaleRecord = 0x97,
    /// The request failed.
    Failed = 0x9e,
    /// A control response in protobuf.
    ControlResponse = 0x9f,
}

impl Kind {
    /// Whether a frame of this kind answers a request.
    #[must_use]
    pub fn is_response(self) -> bool {
        self.code() & 0x80 != 0
    }
}

/// A frame that has arrived. The body is a slice of the read buffer: who keeps a part of it for long copies that part,
/// or the whole buffer stays in memory with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The version that both ends agreed on; 0 until they have.
    pub version: u8,
    /// What the body is.
    pub kind: Kind,
    /// The request's id, drawn by the side that asked; a response repeats it.
    pub id: u64,
    /// The message.
    pub body: Bytes,
}

/// A frame to be sent: its body in two parts, so that a large value behind a small head need not be copied.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The version that both ends agreed on; 0 until they have.
    pub version: u8,
    /// What the body is.
    pub kind: Kind,
    /// The request's id.
    pub id: u64,
    /// The first part of the body.
    pub head: &'a [u8],
    /// The second part; may be empty.
    pub tail: &'a Bytes,
}

impl Outgoing<'_> {
    /// Bytes of the whole frame.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        HEADER_BYTES + self.head.len() + self.tail.len()
    }

    /// The header, checksum included. A body of 4 GiB or more is a bug: senders check the limit first.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = self.unchecked_header();
        let (crc, checked) = header.split_at_mut(CRC_BYTES);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(checked);
        hasher.update(self.head);
        hasher.update(self.tail);
        crc.copy_from_slice(&hasher.finalize().to_le_bytes());
        header
    }

    /// Appends the whole frame: one pass for the checksum, where `header` needs three.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(self.byte_len());
        out.extend_from_slice(&self.unchecked_header());
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.tail);
        if let Some((crc, checked)) =
            out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(CRC_BYTES))
        {
            crc.copy_from_slice(&crc32fast::hash(checked).to_le_bytes());
        }
    }

    /// The header with zeros for a checksum.
    fn unchecked_header(&self) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(self.head.len() + self.tail.len()).expect("senders check the frame limit");
        let [l0, l1, l2, l3] = length.to_le_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.id.to_le_bytes();
        let (version, kind) = (self.version, self.kind.code());
        [0, 0, 0, 0, l0, l1, l2, l3, version, kind, 0, 0, i0, i1, i2, i3, i4, i5, i6, i7]
    }
}

/// The fields of a header, as they stand.
struct Header {
    length: usize,
    version: u8,
    kind: Kind,
    id: u64,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let [c0, c1, c2, c3, l0, l1, l2, l3, version, kind, r0, r1, id @ ..] = *bytes;
        if (r0, r1) != (0, 0) {
            return Err(Error::corrupt(format!("frame has {r0:#04x} {r1:#04x} in its reserved bytes")));
        }
        let kind = Kind::from_code(kind)
            .ok_or_else(|| Error::corrupt(format!("frame of unknown kind {kind:#04x}")))?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        Ok(Self {
            length: usize::try_from(length)
                .map_err(|_| Error::corrupt("frame longer than the address space"))?,
            version,
            kind,
            id: u64::from_le_bytes(id),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }
}

/// Cuts frames out of a stream of bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    frame_bytes_max: usize,
}

impl FrameDecoder {
    /// A decoder that refuses longer frames than this, header included.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max }
    }

    /// Changes the limit for the frames to come.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Takes the next whole frame from the front of the buffer. Where a frame has begun, makes room for the rest of it.
    ///
    /// # Errors
    /// `Corruption` for a frame that is too long, of unknown kind, or fails its checksum. The stream is then lost.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>> {
        let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let Header { length, version, kind, id, crc } = Header::parse(header)?;
        if length > self.frame_bytes_max.saturating_sub(HEADER_BYTES) {
            let most = self.frame_bytes_max;
            return Err(Error::corrupt(format!("frame with {length} bytes exceeds the limit of {most}")));
        }
        let total = HEADER_BYTES + length;
        let Some(frame) = buffer.get(..total) else {
            buffer.reserve(total - buffer.len());
            return Ok(None);
        };
        let found = crc32fast::hash(frame.get(CRC_BYTES..).unwrap_or_default());
        if found != crc {
            return Err(Error::corrupt(format!("frame has crc32 {found:08x}, its header says {crc:08x}")));
        }
        buffer.advance(HEADER_BYTES);
        Ok(Some(Frame { version, kind, id, body: buffer.split_to(length).freeze() }))
    }
}
