//! Replies as JavaScript reads them (`node/lib/reply.js`): a tag and a body, little-endian, lengths in 32 bits.
//! Every outcome has such a form, so that a batch of completions crosses into JavaScript as one buffer.

use bytes::Bytes;
use ringkeep_surface::{Detail, Entry, Error, ErrorKind, Receipt, Result, ScanItem};
use serde_json::{Value, json};

use crate::guard::guard;
use crate::handles::Handles;

const FAILURE: u8 = 0;
const ABSENT: u8 = 1;
const VALUE: u8 = 2;
const RECEIPT: u8 = 3;
const ENTRY: u8 = 4;
const NOTHING: u8 = 5;
const NUMBER: u8 = 6;
const TEXT: u8 = 7;
const LIST: u8 = 8;
const ITEMS: u8 = 9;

/// In the place of the shown sibling's index: there is none.
const NONE: i32 = -1;
/// In the place of the shown sibling's index: the resolver cannot decide.
const CONFLICTED: i32 = -2;

/// The most bytes of one reply: what a Buffer of every supported Node.js holds.
const REPLY_BYTES_MAX: usize = u32::MAX as usize;

/// An outcome that JavaScript can be told. Handles are kept for it to fetch by the operation's number.
pub(crate) trait Reply {
    /// Appends the reply.
    fn write(self, id: u32, handles: &mut Handles, out: &mut Vec<u8>);
}

/// Appends the reply of a result, or the failure that it cannot be passed.
pub(crate) fn write<T: Reply>(result: Result<T>, id: u32, handles: &mut Handles, out: &mut Vec<u8>) {
    let start = out.len();
    let written = guard(|| {
        result?.write(id, handles, out);
        if out.len() - start > REPLY_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "the reply exceeds 4 GiB: ask for fewer keys at once",
            ));
        }
        Ok(())
    });
    if let Err(error) = written {
        out.truncate(start);
        failure(&error, out);
    }
}

impl Reply for () {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(NOTHING);
    }
}

impl Reply for u64 {
    #[expect(clippy::cast_precision_loss, reason = "a JavaScript number; counts stay far below 2^53")]
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(NUMBER);
        out.extend_from_slice(&(self as f64).to_le_bytes());
    }
}

impl Reply for String {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(TEXT);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Reply for Option<Bytes> {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        match self {
            None => out.push(ABSENT),
            Some(value) => {
                out.push(VALUE);
                out.extend_from_slice(&value);
            }
        }
    }
}

impl Reply for Receipt {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(RECEIPT);
        out.extend_from_slice(&self.owners().to_le_bytes());
        out.extend_from_slice(&self.fallbacks().to_le_bytes());
        out.extend_from_slice(&self.context().to_bytes());
    }
}

impl Reply for Entry {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(ENTRY);
        entry(&self, &self.context().to_bytes(), out);
    }
}

impl<T: Reply> Reply for Vec<Result<T>> {
    fn write(self, id: u32, handles: &mut Handles, out: &mut Vec<u8>) {
        out.push(LIST);
        length(self.len(), out);
        for item in self {
            framed(out, |out| write(item, id, handles, out));
        }
    }
}

/// Items of a scan that are there at once; the last page is the one that ends short.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<ScanItem>,
    pub(crate) last: bool,
}

impl Reply for Page {
    fn write(self, _: u32, _: &mut Handles, out: &mut Vec<u8>) {
        out.push(ITEMS);
        out.push(u8::from(self.last));
        length(self.items.len(), out);
        for item in &self.items {
            bytes(&item.key, out);
            // Only a conflict shows its context: sealing one for each key of a scan would cost more than the key.
            let token =
                if item.entry.value().is_err() { item.entry.context().to_bytes() } else { Bytes::new() };
            entry(&item.entry, &token, out);
        }
    }
}

/// Appends a length and what `write` appends.
pub(crate) fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let written = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&written);
    }
}

fn entry(entry: &Entry, token: &[u8], out: &mut Vec<u8>) {
    let shown = match entry.value() {
        Err(_) => CONFLICTED,
        Ok(None) => NONE,
        Ok(Some(value)) => entry
            .siblings()
            .iter()
            .position(|sibling| std::ptr::eq(sibling, value))
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(NONE),
    };
    out.extend_from_slice(&shown.to_le_bytes());
    bytes(token, out);
    length(entry.siblings().len(), out);
    for sibling in entry.siblings() {
        expiry(sibling.expires, out);
        bytes(&sibling.bytes, out);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a JavaScript date; it ends long before 2^53 ms")]
fn expiry(unix_ms: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(&unix_ms.map_or(-1.0, |ms| ms as f64).to_le_bytes());
}

/// Appends an error: its fields as JSON, and of a conflict what is to be merged.
fn failure(error: &Error, out: &mut Vec<u8>) {
    out.push(FAILURE);
    bytes(fields(error).to_string().as_bytes(), out);
    if error.kind() != ErrorKind::Conflict {
        return;
    }
    let (key, siblings, context) = match error.detail() {
        Detail::Conflict { key, siblings, context } => (key.clone(), siblings.clone(), context.clone()),
        _ => Default::default(),
    };
    bytes(&key, out);
    out.extend_from_slice(&CONFLICTED.to_le_bytes());
    bytes(&context, out);
    length(siblings.len(), out);
    for sibling in siblings {
        expiry(None, out);
        bytes(&sibling, out);
    }
}

fn fields(error: &Error) -> Value {
    let mut fields = json!({
        "code": error.kind().code(),
        "message": error.to_string(),
        "operation": error.operation(),
        "retryable": error.retryable(),
        "maybe_applied": error.maybe_applied(),
        "sources": sources(error),
    });
    let more = match error.detail() {
        Detail::Quorum { needed, received, replicas } => {
            json!({ "needed": needed, "received": received, "replicas": replicas })
        }
        Detail::Locked { pid } => json!({ "pid": pid }),
        Detail::TooManySiblings { limit } => json!({ "limit": limit }),
        _ => Value::Null,
    };
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

/// The causes underneath, outermost first.
fn sources(error: &Error) -> Vec<String> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |cause| cause.source()).map(ToString::to_string).collect()
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    length(value.len(), out);
    out.extend_from_slice(value);
}

fn length(value: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply<T: Reply>(result: Result<T>) -> Vec<u8> {
        let mut out = Vec::new();
        write(result, 7, &mut Handles::default(), &mut out);
        out
    }

    #[test]
    fn a_value_follows_its_tag() {
        assert_eq!(reply(Ok(Some(Bytes::from_static(b"ab")))), b"\x02ab");
        assert_eq!(reply(Ok(None::<Bytes>)), b"\x01");
        assert_eq!(reply(Ok(())), b"\x05");
        assert_eq!(reply(Ok(2_u64)), [6, 0, 0, 0, 0, 0, 0, 0, 64]);
    }

    #[test]
    fn a_list_frames_each_result() {
        let list = vec![Ok(Some(Bytes::from_static(b"x"))), Ok(None)];
        assert_eq!(reply(Ok(list)), b"\x08\x02\0\0\0\x02\0\0\0\x02x\x01\0\0\0\x01");
    }

    #[test]
    fn a_failure_carries_every_field_of_its_kind() {
        let error = Error::new(ErrorKind::TooManySiblings, "100 siblings")
            .with_detail(Detail::TooManySiblings { limit: 100 })
            .with_source(std::io::Error::other("beneath"))
            .during("put");
        let out = reply::<()>(Err(error));
        let fields: Value = serde_json::from_slice(&out[5..]).unwrap();
        let expected = json!({
            "code": "TOO_MANY_SIBLINGS", "message": "put: 100 siblings", "operation": "put", "retryable": false,
            "maybe_applied": false, "sources": ["beneath"], "limit": 100,
        });
        assert_eq!((out[0], fields), (FAILURE, expected));
    }

    #[test]
    fn a_conflict_carries_what_is_to_be_merged() {
        let detail = Detail::Conflict {
            key: Bytes::from_static(b"k"),
            siblings: vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")],
            context: Bytes::from_static(b"c"),
        };
        let out = reply::<()>(Err(Error::new(ErrorKind::Conflict, "two").with_detail(detail)));
        let json_end = 5 + usize::from(out[1]) + (usize::from(out[2]) << 8);
        let never = (-1.0_f64).to_le_bytes();
        let sibling = |byte| [&never[..], b"\x01\0\0\0", &[byte][..]].concat();
        let expected =
            [b"\x01\0\0\0k\xfe\xff\xff\xff\x01\0\0\0c\x02\0\0\0", &sibling(b'a')[..], &sibling(b'b')]
                .concat();
        assert_eq!(out[json_end..], expected);
    }
}
