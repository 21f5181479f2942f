//! The hello: the first frame of each side, and all that is parsed before the other side is known.
//! Its first part has a fixed size and its layout never changes; it carries the range of versions from which both ends
//! take the greatest they share. Whether the other side is welcome is the handler's to say.

use bytes::{BufMut, Bytes};

use super::codec::{Reader, clipped, put_epoch, put_short_bytes};
use super::frame::HEADER_BYTES;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{ClusterId, Epoch, NodeNumber, Time};

/// Most bytes of the frame that carries a hello, header included.
pub const HELLO_BYTES_MAX: usize = HEADER_BYTES + 1_024;

/// The version that frames carry before one is agreed.
pub(super) const VERSION_NONE: u8 = 0;

const MAGIC: [u8; 4] = *b"RKEE";
/// A host name of 253 bytes and a port.
const ADDRESS_BYTES_MAX: usize = 260;
const ID_BYTES_MAX: usize = 64;

/// The versions of the protocol that a side speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionRange {
    /// The oldest.
    pub least: u8,
    /// The newest.
    pub most: u8,
}

impl VersionRange {
    /// What this build speaks: the present version and, from the second on, the one before.
    pub const SUPPORTED: Self = Self { least: 1, most: 1 };

    /// The greatest version that both speak.
    ///
    /// # Errors
    /// `VersionMismatch` if there is none.
    pub fn agree(self, theirs: Self) -> Result<u8> {
        let version = self.most.min(theirs.most);
        if version < self.least.max(theirs.least) {
            let text = format!(
                "this side speaks versions {} to {}, the other {} to {}",
                self.least, self.most, theirs.least, theirs.most
            );
            return Err(Error::new(ErrorKind::VersionMismatch, text));
        }
        Ok(version)
    }
}

/// What a side is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A node of the cluster.
    Member,
    /// Owns nothing and asks.
    Client,
    /// A node that wants to become a member.
    Joiner,
}

/// How a side introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The versions that it speaks.
    pub versions: VersionRange,
    /// What it is.
    pub role: Role,
    /// Its cluster, if it knows one.
    pub cluster: Option<ClusterId>,
    /// Its number, if it is a member.
    pub number: Option<NodeNumber>,
    /// How often it has been started.
    pub start: u64,
    /// Drawn at random at its start.
    pub nonce: u64,
    /// Where it listens; empty if nowhere. At most 260 bytes.
    pub address: String,
    /// The newest topology that it knows.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Time,
    /// Its stable id. At most 64 bytes.
    pub id: String,
}

const FLAG_CLUSTER: u8 = 1;
const FLAG_NUMBER: u8 = 2;

impl Hello {
    /// The hello of a client that knows nothing yet.
    #[must_use]
    pub fn client(nonce: u64) -> Self {
        Self {
            versions: VersionRange::SUPPORTED,
            role: Role::Client,
            cluster: None,
            number: None,
            start: 0,
            nonce,
            address: String::new(),
            epoch: Epoch::default(),
            now: Time(0),
            id: String::new(),
        }
    }

    /// Appends the hello; an address or id over its limit is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&MAGIC);
        out.put_slice(&[self.versions.least, self.versions.most]);
        out.put_u8(match self.role {
            Role::Member => 1,
            Role::Client => 2,
            Role::Joiner => 3,
        });
        let cluster = if self.cluster.is_some() { FLAG_CLUSTER } else { 0 };
        let number = if self.number.is_some() { FLAG_NUMBER } else { 0 };
        out.put_u8(cluster | number);
        out.put_slice(&self.cluster.unwrap_or_default().0);
        out.put_u32_le(self.number.unwrap_or_default().0);
        out.put_u64_le(self.start);
        out.put_u64_le(self.nonce);
        put_epoch(out, self.epoch);
        out.put_u64_le(self.now.0);
        put_short_bytes(out, clipped(&self.address, ADDRESS_BYTES_MAX).as_bytes());
        put_short_bytes(out, clipped(&self.id, ID_BYTES_MAX).as_bytes());
    }

    /// Reads a hello. Bytes past the known fields are left to later versions.
    ///
    /// # Errors
    /// `Corruption` for what is no hello.
    pub fn decode(body: Bytes) -> Result<Self> {
        let mut reader = Reader::new(body);
        if reader.array()? != MAGIC {
            return Err(Error::corrupt("the other side does not speak this protocol"));
        }
        let versions = VersionRange { least: reader.u8()?, most: reader.u8()? };
        let role = match reader.u8()? {
            1 => Role::Member,
            2 => Role::Client,
            3 => Role::Joiner,
            other => return Err(Error::corrupt(format!("hello of the unknown role {other}"))),
        };
        let flags = reader.u8()?;
        let (cluster, number) = (ClusterId(reader.array()?), NodeNumber(reader.u32()?));
        Ok(Self {
            versions,
            role,
            cluster: (flags & FLAG_CLUSTER != 0).then_some(cluster),
            number: (flags & FLAG_NUMBER != 0).then_some(number),
            start: reader.u64()?,
            nonce: reader.u64()?,
            epoch: reader.epoch()?,
            now: reader.time()?,
            address: reader.text(ADDRESS_BYTES_MAX)?,
            id: reader.text(ID_BYTES_MAX)?,
        })
    }
}
