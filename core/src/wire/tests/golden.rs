//! The bytes of every message are those of `tests/vectors/wire.json`, in both directions.
//! With `UPDATE_VECTORS=1` the file is written instead; a change of it is a change of the protocol.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::samples;
use crate::wire::{Frame, FrameDecoder, Hello, Kind, Outgoing, Request, Response};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/wire.json");

/// The whole frame of a message.
pub(super) fn frame(kind: Kind, id: u64, encode: impl FnOnce(&mut Vec<u8>) -> Bytes) -> Vec<u8> {
    let mut head = Vec::new();
    let tail = encode(&mut head);
    let version = u8::from(kind != Kind::Hello);
    let frame = Outgoing { version, kind, id, head: &head, tail: &tail };
    let mut bytes = Vec::new();
    frame.append_to(&mut bytes);
    assert_eq!(bytes, [&frame.header(), &head[..], &tail[..]].concat());
    bytes
}

fn encoded() -> BTreeMap<String, String> {
    let mut vectors = BTreeMap::new();
    let mut add = |name: &str, frame: Vec<u8>| {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(vectors.insert(name.to_owned(), hex).is_none(), "{name} twice");
    };
    add(
        "hello",
        frame(Kind::Hello, 0, |head| {
            samples::hello().encode(head);
            Bytes::new()
        }),
    );
    for (name, request) in samples::requests() {
        let id = 0x0102_0304_0506_0708;
        add(&format!("request: {name}"), frame(request.kind(), id, |head| request.encode(head).clone()));
    }
    for (name, response) in samples::responses() {
        add(&format!("response: {name}"), frame(response.kind(), 9, |head| response.encode(head).clone()));
    }
    vectors
}

fn bytes_of(hex: &str) -> BytesMut {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn described(frame: Frame) -> String {
    match frame.kind {
        Kind::Hello => format!("{:?}", Hello::decode(frame.body).unwrap()),
        kind if kind.is_response() => format!("{:?}", Response::decode(kind, frame.body).unwrap()),
        kind => format!("{:?}", Request::decode(kind, frame.body).unwrap()),
    }
}

#[test]
fn every_message_has_its_golden_bytes() {
    let encoded = encoded();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::create_dir_all(Path::new(VECTORS).parent().unwrap()).unwrap();
        std::fs::write(VECTORS, serde_json::to_string_pretty(&encoded).unwrap() + "\n").unwrap();
    }
    let golden: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    assert_eq!(encoded, golden);
}

#[test]
fn golden_bytes_decode_to_their_messages() {
    let golden: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    let mut found = BTreeMap::new();
    for (name, hex) in golden {
        let frame = FrameDecoder::new(1 << 20).decode(&mut bytes_of(&hex)).unwrap().unwrap();
        kinds.insert(frame.kind);
        found.insert(name, described(frame));
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), Kind::ALL, "every kind has a vector");
    let hello = [("hello".to_owned(), format!("{:?}", samples::hello()))];
    let requests = samples::requests().into_iter().map(|(n, m)| (format!("request: {n}"), format!("{m:?}")));
    let responses =
        samples::responses().into_iter().map(|(n, m)| (format!("response: {n}"), format!("{m:?}")));
    let expected: BTreeMap<_, _> = hello.into_iter().chain(requests).chain(responses).collect();
    assert_eq!(found, expected);
}
