//! The bytes on disk, pinned: what is written equals tests/vectors/storage.json, and what stands there reads back.

use bytes::Bytes;
use serde_json::Value;

use super::dropped::Dropped;
use super::frame::{Framing, Operations};
use crate::base::ids::{BucketId, CopyNumber, PartitionId};
use crate::storage::engine::{Batch, Lsn};
use crate::storage::key::{Bounds, data_key, meta_key, split_data_key};

fn vectors(name: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/storage.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    document[name].as_array().unwrap().clone()
}

fn bytes(value: &Value) -> Bytes {
    let digits = value.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A number; those of 64 bits stand as text.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[test]
fn log_bytes_are_as_pinned() {
    for vector in vectors("segments") {
        let framing = Framing::new(number(&vector["number"]));
        let first = Lsn(number(&vector["first"]));
        assert_eq!(framing.header(first)[..], bytes(&vector["bytes"])[..]);
        assert_eq!(framing.read_header(&bytes(&vector["bytes"])), Some(first));
    }
    for vector in vectors("frames") {
        let framing = Framing::new(number(&vector["segment"]));
        let (lsn, synced) = (Lsn(number(&vector["lsn"])), Lsn(number(&vector["synced"])));
        let mut batch = Batch::new();
        for operation in vector["operations"].as_array().unwrap() {
            match &operation["value"] {
                Value::Null => batch.delete(bytes(&operation["key"])),
                value => batch.put(bytes(&operation["key"]), bytes(value)),
            }
        }
        let pinned = bytes(&vector["bytes"]);
        let mut written = Vec::new();
        framing.write(&mut written, lsn, synced, &batch);
        assert_eq!(written, pinned, "{}", vector["name"]);
        let frame = framing.read(&pinned).unwrap();
        assert_eq!(frame.lsn, lsn);
        // What was synced is kept as a distance of 32 bits, and forgotten beyond.
        assert_eq!(frame.synced, if lsn.0 - synced.0 < u32::MAX.into() { synced } else { Lsn(0) });
        let read: Vec<_> = Operations::new(frame.payload).map(Option::unwrap).collect();
        let expected: Vec<_> = batch
            .operations()
            .iter()
            .map(|operation| (&*operation.key, operation.value.as_deref()))
            .collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn keys_are_as_pinned() {
    for vector in vectors("keys") {
        let partition = PartitionId(u16::try_from(number(&vector["partition"])).unwrap());
        let generation = CopyNumber(number(&vector["generation"]));
        let bucket = BucketId(u32::try_from(number(&vector["bucket"])).unwrap());
        let user = bytes(&vector["key"]);
        let key = data_key(partition, generation, bucket, &user);
        assert_eq!(key, bytes(&vector["bytes"]));
        let parts = split_data_key(&key).unwrap();
        assert_eq!(
            (parts.partition, parts.generation, parts.bucket, parts.key),
            (partition, generation, bucket, user)
        );
    }
    for vector in vectors("meta") {
        assert_eq!(meta_key(vector["name"].as_str().unwrap()), bytes(&vector["bytes"]));
    }
    for vector in vectors("dropped") {
        let bounds = Bounds { from: bytes(&vector["from"]), to: bytes(&vector["to"]) };
        assert_eq!(Dropped::key(&bounds), bytes(&vector["bytes"]));
        assert_eq!(Dropped::of_key(&bytes(&vector["bytes"])), Some(bounds));
    }
}
