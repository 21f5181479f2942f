//! Messages of every kind: one of each for the golden bytes, and all that can be built for the round trips.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::base::error::{Detail, Error, ErrorKind};
use crate::base::ids::{Actor, BucketId, ClusterId, CopyNumber, Dot, Epoch, NodeNumber, PartitionId, Time};
use crate::wire::{
    Change, Expiry, Hello, KEY_BYTES_MAX, Need, PageItem, Request, Response, Role, Route, VersionRange,
};

const ROUTE: Route =
    Route { bucket: BucketId(7), partition: PartitionId(258), epoch: Epoch { era: 1, number: 515 } };

const DOT: Dot = Dot {
    time: Time(0x0011_2233_4455_6677),
    actor: Actor { node: NodeNumber(3), copy: CopyNumber(0x0102_0304_0506_0708) },
};

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// One hello that uses every field.
pub(super) fn hello() -> Hello {
    Hello {
        versions: VersionRange { least: 1, most: 2 },
        role: Role::Member,
        cluster: Some(ClusterId(*b"0123456789abcdef")),
        number: Some(NodeNumber(4)),
        start: 5,
        nonce: 6,
        address: "[::1]:7400".to_owned(),
        epoch: Epoch { era: 0, number: 8 },
        now: Time(9 << 16),
        id: "k3v9".to_owned(),
    }
}

/// One request of every kind, with a name for each.
pub(super) fn requests() -> Vec<(&'static str, Request)> {
    let key = bytes("user:1");
    let write = |change, expires, context, need| Request::Write {
        route: ROUTE,
        key: bytes("user:1"),
        change,
        expires,
        context,
        need,
        floor: Time(77),
        timeout_ms: 5_000,
    };
    let page = |partition, bucket, inclusive, records| Request::Page {
        epoch: ROUTE.epoch,
        partition,
        bucket,
        after: bytes("\0\0\0\u{7}user:1"),
        inclusive,
        end: Bytes::new(),
        prefix: bytes("user:"),
        items_max: 256,
        bytes_max: 1 << 20,
        records,
    };
    vec![
        (
            "apply",
            Request::Apply { route: ROUTE, key: key.clone(), captured: Time(77), record: bytes("record") },
        ),
        ("fetch", Request::Fetch { route: ROUTE, key: key.clone(), full: true }),
        ("page", page(Some(PartitionId(258)), Some(BucketId(7)), true, false)),
        ("page of every copy", page(None, None, false, true)),
        (
            "write",
            write(
                Change::Value(bytes("value")),
                Expiry::AfterMs(60_000),
                Some(bytes("clock")),
                Need::Count(2),
            ),
        ),
        ("write of a tombstone", write(Change::Tombstone, Expiry::Bucket, None, Need::Level(1))),
        ("read", Request::Read { route: ROUTE, key, need: Need::Default, timeout_ms: 5_000 }),
        (
            "scan",
            Request::Scan {
                bucket: BucketId(7),
                epoch: ROUTE.epoch,
                after: bytes("a"),
                inclusive: true,
                end: bytes("z"),
                prefix: Bytes::new(),
                items_max: 100,
                bytes_max: 1 << 20,
                need: Need::Level(2),
                timeout_ms: 5_000,
                values: true,
            },
        ),
        ("control request", Request::Control(bytes("protobuf"))),
    ]
}

/// One response of every kind, with a name for each.
pub(super) fn responses() -> Vec<(&'static str, Response)> {
    let now = Time(99 << 16);
    let item = |key, content| PageItem {
        bucket: BucketId(7),
        partition: PartitionId(258),
        key: bytes(key),
        content: bytes(content),
    };
    let replicas = BTreeMap::from([("n2".to_owned(), "no answer".to_owned())]);
    let unavailable = Error::new(ErrorKind::QuorumUnavailable, "1 of 2 replicas answered")
        .maybe_applied_if(true)
        .with_detail(Detail::Quorum { needed: 2, received: 1, replicas });
    let crowded = Error::new(ErrorKind::TooManySiblings, "100 siblings")
        .with_detail(Detail::TooManySiblings { limit: 100 });
    vec![
        ("applied", Response::Applied { winner: DOT, now }),
        ("record", Response::Record { record: Some(bytes("record")), now }),
        ("no record", Response::Record { record: None, now }),
        ("digest", Response::Digest { hash: Some(0x0123_4567_89ab_cdef_0011_2233_4455_6677), now }),
        ("no digest", Response::Digest { hash: None, now }),
        ("page", Response::Page { items: vec![item("a", "record"), item("b", "")], more: true, now }),
        ("written", Response::Written { dot: DOT, clock: bytes("clock"), owners: 2, fallbacks: 1, now }),
        ("stale epoch", Response::StaleEpoch { epoch: ROUTE.epoch }),
        ("not owner", Response::NotOwner { epoch: ROUTE.epoch }),
        ("stale record", Response::StaleRecord { now }),
        ("control response", Response::Control(bytes("protobuf"))),
        ("failed for want of a quorum", Response::Failed(unavailable)),
        ("failed for siblings", Response::Failed(crowded)),
        ("failed", Response::Failed(Error::new(ErrorKind::Timeout, "the deadline passed"))),
    ]
}

fn any_bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn any_key() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => any_bytes(40), 1 => any_bytes(KEY_BYTES_MAX)]
}

fn any_time() -> impl Strategy<Value = Time> {
    (0..Time::LIMIT.0).prop_map(Time)
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    any::<(u32, u64)>().prop_map(|(era, number)| Epoch { era, number })
}

fn any_dot() -> impl Strategy<Value = Dot> {
    (any_time(), any::<u32>(), any::<u64>()).prop_map(|(time, node, copy)| Dot {
        time,
        actor: Actor { node: NodeNumber(node), copy: CopyNumber(copy) },
    })
}

fn any_route() -> impl Strategy<Value = Route> {
    (any::<u32>(), any::<u16>(), any_epoch()).prop_map(|(bucket, partition, epoch)| Route {
        bucket: BucketId(bucket),
        partition: PartitionId(partition),
        epoch,
    })
}

fn any_need() -> impl Strategy<Value = Need> {
    prop_oneof![Just(Need::Default), any::<u8>().prop_map(Need::Count), any::<u8>().prop_map(Need::Level)]
}

fn any_write() -> impl Strategy<Value = Request> {
    let change = prop_oneof![Just(Change::Tombstone), any_bytes(300).prop_map(Change::Value)];
    let expires =
        prop_oneof![Just(Expiry::Bucket), Just(Expiry::Never), any::<u64>().prop_map(Expiry::AfterMs)];
    let context = option::of(any_bytes(100));
    (any_route(), any_key(), change, expires, context, any_need(), any_time(), any::<u32>()).prop_map(
        |(route, key, change, expires, context, need, floor, timeout_ms)| Request::Write {
            route,
            key,
            change,
            expires,
            context,
            need,
            floor,
            timeout_ms,
        },
    )
}

fn any_page() -> impl Strategy<Value = Request> {
    let scope = (option::of(any::<u16>()), option::of(any::<u32>()));
    let range = (any_key(), any::<bool>(), any_key(), any_key());
    (any_epoch(), scope, range, any::<(u32, u32, bool)>()).prop_map(
        |(epoch, (partition, bucket), (after, inclusive, end, prefix), (items_max, bytes_max, records))| {
            Request::Page {
                epoch,
                partition: partition.map(PartitionId),
                bucket: bucket.map(BucketId),
                after,
                inclusive,
                end,
                prefix,
                items_max,
                bytes_max,
                records,
            }
        },
    )
}

fn any_scan() -> impl Strategy<Value = Request> {
    let range = (any_key(), any::<bool>(), any_key(), any_key());
    (any::<u32>(), any_epoch(), range, any_need(), any::<(u32, u32, u32, bool)>()).prop_map(
        |(
            bucket,
            epoch,
            (after, inclusive, end, prefix),
            need,
            (items_max, bytes_max, timeout_ms, values),
        )| {
            Request::Scan {
                bucket: BucketId(bucket),
                epoch,
                after,
                inclusive,
                end,
                prefix,
                items_max,
                bytes_max,
                need,
                timeout_ms,
                values,
            }
        },
    )
}

/// Any request.
pub(super) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any_route(), any_key(), any_time(), any_bytes(300))
            .prop_map(|(route, key, captured, record)| Request::Apply { route, key, captured, record }),
        (any_route(), any_key(), any::<bool>()).prop_map(|(route, key, full)| Request::Fetch {
            route,
            key,
            full
        }),
        (any_route(), any_key(), any_need(), any::<u32>())
            .prop_map(|(route, key, need, timeout_ms)| Request::Read { route, key, need, timeout_ms }),
        any_write(),
        any_page(),
        any_scan(),
        any_bytes(300).prop_map(Request::Control),
    ]
}

fn any_item() -> impl Strategy<Value = PageItem> {
    (any::<u32>(), any::<u16>(), any_key(), any_bytes(100)).prop_map(|(bucket, partition, key, content)| {
        PageItem { bucket: BucketId(bucket), partition: PartitionId(partition), key, content }
    })
}

fn any_failure() -> impl Strategy<Value = Error> {
    let replicas = proptest::collection::btree_map(".{0,20}", ".{0,40}", 0..5);
    let detail = prop_oneof![
        Just(Detail::None),
        (any::<u32>(), any::<u32>(), replicas).prop_map(|(needed, received, replicas)| Detail::Quorum {
            needed,
            received,
            replicas
        }),
        any::<u32>().prop_map(|limit| Detail::TooManySiblings { limit }),
    ];
    (prop::sample::select(&ErrorKind::ALL[..]), ".{0,200}", any::<bool>(), detail).prop_map(
        |(kind, message, maybe, detail)| {
            Error::new(kind, message).maybe_applied_if(maybe).with_detail(detail)
        },
    )
}

/// Any response.
pub(super) fn any_response() -> impl Strategy<Value = Response> {
    prop_oneof![
        (any_dot(), any_time()).prop_map(|(winner, now)| Response::Applied { winner, now }),
        (option::of(any_bytes(300)), any_time()).prop_map(|(record, now)| Response::Record { record, now }),
        (option::of(any::<u128>()), any_time()).prop_map(|(hash, now)| Response::Digest { hash, now }),
        (vec(any_item(), 0..6), any::<bool>(), any_time()).prop_map(|(items, more, now)| Response::Page {
            items,
            more,
            now
        }),
        (any_dot(), any_bytes(100), any::<(u8, u8)>(), any_time()).prop_map(
            |(dot, clock, (owners, fallbacks), now)| Response::Written { dot, clock, owners, fallbacks, now }
        ),
        any_epoch().prop_map(|epoch| Response::StaleEpoch { epoch }),
        any_epoch().prop_map(|epoch| Response::NotOwner { epoch }),
        any_time().prop_map(|now| Response::StaleRecord { now }),
        any_bytes(300).prop_map(Response::Control),
        any_failure().prop_map(Response::Failed),
    ]
}
