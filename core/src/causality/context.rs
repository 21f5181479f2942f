//! The opaque token by which a client says what it has seen: a clock under a keyed hash of cluster, bucket, key and clock.
//! A token from another cluster, bucket or key, or one that was altered, is refused.

use std::fmt;
use std::hash::Hasher;

use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::version::Clock;
use crate::base::{BucketId, ClusterId, Error, Result};

/// The version that `seal` writes.
const VERSION: u8 = 1;
/// Version and tag.
const HEAD_LEN: usize = 17;

/// The cluster's secret for context tokens; drawn at the founding, part of the topology, never logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContextKey(pub [u8; 16]);

impl fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextKey(secret)")
    }
}

/// Makes the token of a clock for this key.
#[must_use]
pub fn seal(secret: &ContextKey, cluster: ClusterId, bucket: BucketId, key: &[u8], clock: &Clock) -> Bytes {
    let clock = clock.encode();
    let mut token = Vec::with_capacity(HEAD_LEN + clock.len());
    token.push(VERSION);
    token.extend_from_slice(&tag(secret, cluster, bucket, key, &clock).to_le_bytes());
    token.extend_from_slice(&clock);
    Bytes::from(token)
}

/// The clock of a token for this key.
///
/// # Errors
/// `InvalidArgument` for bytes that are no token, a token of another cluster, bucket or key, and an altered one.
pub fn open(
    secret: &ContextKey,
    cluster: ClusterId,
    bucket: BucketId,
    key: &[u8],
    token: &[u8],
) -> Result<Clock> {
    let (head, clock) = token
        .split_first_chunk::<HEAD_LEN>()
        .ok_or_else(|| Error::invalid(format!("context of {} bytes is not one", token.len())))?;
    let [version, claimed @ ..] = *head;
    if version != VERSION {
        return Err(Error::invalid(format!("context version {version} is not {VERSION}")));
    }
    if u128::from_le_bytes(claimed) != tag(secret, cluster, bucket, key, clock) {
        return Err(Error::invalid("context is not from this cluster, bucket and key, or was altered"));
    }
    Clock::decode(clock).map_err(|error| Error::invalid(format!("context: {}", error.message())))
}

/// SipHash-2-4 with 128 bits over cluster, bucket, the key's length, the key, and the clock's bytes.
fn tag(secret: &ContextKey, cluster: ClusterId, bucket: BucketId, key: &[u8], clock: &[u8]) -> u128 {
    let mut hasher = SipHasher24::new_with_key(&secret.0);
    let key_len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    hasher.write(&cluster.0);
    hasher.write(&bucket.0.to_le_bytes());
    hasher.write(&key_len.to_le_bytes());
    hasher.write(key);
    hasher.write(clock);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;
    use crate::causality::siblings::tests::dot;

    const SECRET: ContextKey = ContextKey([3; 16]);
    const CLUSTER: ClusterId = ClusterId([5; 16]);

    fn clock() -> Clock {
        [dot(1, 5), dot(2, 9)].into_iter().collect()
    }

    #[test]
    fn a_token_opens_where_it_was_sealed_and_nowhere_else() {
        let token = seal(&SECRET, CLUSTER, BucketId(1), b"key", &clock());
        assert_eq!(open(&SECRET, CLUSTER, BucketId(1), b"key", &token).unwrap(), clock());
        let elsewhere = [
            open(&ContextKey([4; 16]), CLUSTER, BucketId(1), b"key", &token),
            open(&SECRET, ClusterId([6; 16]), BucketId(1), b"key", &token),
            open(&SECRET, CLUSTER, BucketId(2), b"key", &token),
            open(&SECRET, CLUSTER, BucketId(1), b"kez", &token),
            open(&SECRET, CLUSTER, BucketId(1), b"", &token),
        ];
        for refused in elsewhere {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn an_altered_token_is_refused() {
        let token = seal(&SECRET, CLUSTER, BucketId(1), b"key", &clock());
        for at in 0..token.len() {
            let mut forged = token.to_vec();
            forged[at] ^= 1;
            let refused = open(&SECRET, CLUSTER, BucketId(1), b"key", &forged);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument, "byte {at}");
        }
        for length in 0..token.len() {
            assert!(open(&SECRET, CLUSTER, BucketId(1), b"key", &token[..length]).is_err());
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{SECRET:?}"), "ContextKey(secret)");
    }
}
