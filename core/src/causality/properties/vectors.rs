//! Golden bytes: what is on disk and on the wire today must read the same tomorrow, in every version.
//! `RINGKEEP_WRITE_VECTORS=1` writes the file anew; a change of it is a change of the format.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::{Actor, BucketId, ClusterId, CopyNumber, Dot, NodeNumber, Time};
use crate::causality::context::{ContextKey, open, seal};
use crate::causality::encoding::{decode, encode, hash_of};
use crate::causality::{Clock, Payload, Record, Sibling};

/// The file. Numbers of 64 bits are texts, because not every language reads them as numbers.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    records: Vec<RecordVector>,
    tokens: Vec<TokenVector>,
    refused_records: Vec<Refused>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct RecordVector {
    name: String,
    clock: Vec<Entry>,
    siblings: Vec<SiblingVector>,
    bytes: String,
    hash: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Entry {
    node: u32,
    copy: String,
    time: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct SiblingVector {
    node: u32,
    copy: String,
    time: String,
    /// None: a tombstone.
    value: Option<String>,
    expires: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct TokenVector {
    secret: String,
    cluster: String,
    bucket: u32,
    key: String,
    clock: String,
    token: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Refused {
    why: String,
    bytes: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn dot(node: u32, copy: u64, time: u64) -> Dot {
    Dot { time: Time(time), actor: Actor { node: NodeNumber(node), copy: CopyNumber(copy) } }
}

fn value(dot: Dot, bytes: &'static [u8], expires: Option<u64>) -> Sibling {
    Sibling { dot, payload: Payload::Value(Bytes::from_static(bytes)), expires }
}

fn samples() -> Vec<(&'static str, Record)> {
    let (copy, time) = (0x018b_cfe5_6800_0000, 0x018b_cfe5_6800_0001);
    let one = Record::first(value(dot(1, copy, time), b"Ada", None));
    let other = Record::first(value(dot(2, copy + 9, time + 1), b"", Some(1_700_000_060_000)));
    let tombstone = Sibling { dot: dot(3, copy, time + 5), payload: Payload::Tombstone, expires: None };
    let deleted = one.merge(&other).replace(tombstone);
    let mut long = one.clone();
    for node in 2..=130 {
        long = long.replace(value(dot(node, copy, time + u64::from(node)), b"x", None));
    }
    static LARGE: [u8; 200] = [0xa5; 200];
    let limits = dot(u32::MAX, u64::MAX, Time::LIMIT.0 - 1);
    vec![
        ("empty", Record::default()),
        ("one value", one.clone()),
        ("two siblings, one empty and expiring", one.merge(&other)),
        ("deleted, with a clock of three", deleted.clone()),
        (
            "tombstone beside a value",
            deleted.put(&Clock::new(), value(dot(1, copy, time + 9), b"Grace", None)),
        ),
        ("130 clock entries", long),
        ("greatest numbers, value of 200 bytes", Record::first(value(limits, &LARGE, Some(u64::MAX)))),
    ]
}

fn refused() -> Vec<Refused> {
    let sound = encode(&samples()[2].1);
    let changed = |at: usize, byte: u8| {
        let mut bytes = sound.to_vec();
        bytes[at] = byte;
        hex(&bytes)
    };
    let case = |why: &str, bytes: String| Refused { why: why.to_owned(), bytes };
    // Version, two counts, two entries of 20, siblings of 10 and 18, two lengths, three bytes.
    assert_eq!(sound.len(), 3 + 40 + 10 + 18 + 2 + 3);
    vec![
        case("nothing", String::new()),
        case("another version", changed(0, 2)),
        case("more clock entries than bytes", changed(1, 0x7f)),
        case("more siblings than bytes", changed(2, 0x7f)),
        case("actors out of order", changed(3, 9)),
        case("a time of 2^63", changed(22, 0x80)),
        case("an actor that the clock lacks", changed(43, 2)),
        case("an unknown kind", changed(44, 4)),
        case("a dot that the clock does not cover", changed(51, 0xff)),
        case(
            "a dot twice or out of order",
            hex(&[&sound[..53], &sound[43..53], &[3, 3], b"AdaAda"].concat()),
        ),
        case("a value past the end", changed(71, 4)),
        case("bytes after the end", hex(&[&sound[..], &[0]].concat())),
        case("a count that is not in its shortest form", "01800000".to_owned()),
    ]
}

fn vectors() -> Vectors {
    let entry = |(actor, time): (Actor, Time)| Entry {
        node: actor.node.0,
        copy: actor.copy.0.to_string(),
        time: time.0.to_string(),
    };
    let sibling = |sibling: &Sibling| SiblingVector {
        node: sibling.dot.actor.node.0,
        copy: sibling.dot.actor.copy.0.to_string(),
        time: sibling.dot.time.0.to_string(),
        value: match &sibling.payload {
            Payload::Value(bytes) => Some(hex(bytes)),
            Payload::Tombstone => None,
        },
        expires: sibling.expires.map(|expires| expires.to_string()),
    };
    let records = samples().into_iter().map(|(name, record)| RecordVector {
        name: name.to_owned(),
        clock: record.clock.iter().map(entry).collect(),
        siblings: record.siblings.iter().map(sibling).collect(),
        bytes: hex(&encode(&record)),
        hash: format!("{:032x}", record.hash().0),
    });
    let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let cluster = std::array::from_fn(|at| u8::try_from(0xf0 + at).unwrap());
    let tokens = samples().into_iter().take(3).zip([&b"user:1"[..], b"k", b"\x00\xff"]).zip(0..);
    let tokens = tokens.map(|(((_, record), key), bucket)| TokenVector {
        secret: hex(&secret),
        cluster: hex(&cluster),
        bucket,
        key: hex(key),
        clock: hex(&record.clock.encode()),
        token: hex(&seal(&ContextKey(secret), ClusterId(cluster), BucketId(bucket), key, &record.clock)),
    });
    Vectors { records: records.collect(), tokens: tokens.collect(), refused_records: refused() }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/causality.json")
}

#[test]
fn bytes_are_those_of_the_vectors() {
    let current = vectors();
    if std::env::var_os("RINGKEEP_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path().parent().unwrap()).unwrap();
        std::fs::write(path(), serde_json::to_string_pretty(&current).unwrap() + "\n").unwrap();
    }
    let golden: Vectors = serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap();
    assert_eq!(current, golden);
}

#[test]
fn vectors_read_back_as_what_they_say() {
    let golden: Vectors = serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap();
    for (vector, (name, record)) in golden.records.iter().zip(samples()) {
        let bytes = unhex(&vector.bytes);
        assert_eq!(decode(&bytes).unwrap(), record, "{name}");
        assert_eq!(format!("{:032x}", hash_of(&bytes).unwrap().0), vector.hash, "{name}");
    }
    for vector in &golden.tokens {
        let secret = ContextKey(unhex(&vector.secret)[..].try_into().unwrap());
        let cluster = ClusterId(unhex(&vector.cluster)[..].try_into().unwrap());
        let clock =
            open(&secret, cluster, BucketId(vector.bucket), &unhex(&vector.key), &unhex(&vector.token));
        assert_eq!(clock.unwrap(), Clock::decode(&unhex(&vector.clock)).unwrap());
    }
    for vector in &golden.refused_records {
        assert!(decode(&unhex(&vector.bytes)).is_err(), "{}", vector.why);
    }
}
