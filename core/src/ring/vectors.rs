//! Golden values of the ring, in `tests/vectors/ring.json`: every language and every version computes the same.
//! `RINGKEEP_WRITE_VECTORS=1` writes the file anew, after a change that was meant.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::placement::place;
use super::{Location, Member, Placement, Replicas, partition, token};
use crate::base::{BucketId, NodeNumber, PartitionId};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/ring.json");

const COUNTS: [u32; 5] = [1, 2, 64, 256, 16_384];

fn tokens() -> Value {
    let keys: [&[u8]; 7] =
        [b"", b"a", b"key", b"user:1", "caf\u{e9}".as_bytes(), &[0, 255, 128, 7], &[b'x'; 4_096]];
    let one = |bucket: u32, key: &[u8]| {
        let token = token(BucketId(bucket), key);
        let partitions: BTreeMap<String, u16> =
            COUNTS.iter().map(|q| (q.to_string(), partition(token, *q).0)).collect();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        // A token is written in hexadecimal: JSON numbers lose bits beyond 2^53 in some languages.
        json!({ "bucket": bucket, "key": key, "token": format!("{token:016x}"), "partitions": partitions })
    };
    [0, 1, u32::MAX].iter().flat_map(|bucket| keys.map(|key| one(*bucket, key))).collect()
}

fn member(number: u32, location: &str, capacity: f64) -> Member {
    let location = Location::parse(location).unwrap();
    Member { number: NodeNumber(number), id: format!("node{number}"), location, capacity, durable: true }
}

/// A growing cluster of one data centre, one of several with unequal nodes, and one that loses a node.
fn placements() -> Value {
    let plain: Vec<Member> = (1..=4).map(|number| member(number, "", 1.0)).collect();
    let zones = ["aws/eu/a", "aws/eu/b", "aws/eu/a", "aws/us/a", "gcp/west/a", "aws/eu/c"];
    let wide: Vec<Member> =
        (1..).zip(zones).map(|(number, zone)| member(number, zone, f64::from(number) / 2.0)).collect();
    let without: Vec<Member> = wide.iter().filter(|member| member.number != NodeNumber(2)).cloned().collect();
    let one = placement("one node", &Placement::default(), &plain[..1]);
    let three = placement("three nodes", &one.1, &plain[..3]);
    let four = placement("a fourth joins", &three.1, &plain);
    let wide = placement("several data centres", &Placement::default(), &wide);
    let less = placement("node 2 leaves", &wide.1, &without);
    Value::Array(vec![one.0, three.0, four.0, wide.0, less.0])
}

/// The placement on eight partitions, after the one before it or from nothing, with what it says of owners.
fn placement(name: &str, previous: &Placement, members: &[Member]) -> (Value, Placement) {
    let placement = place(previous, &members.iter().collect::<Vec<_>>(), 8);
    let nodes = |nodes: &[NodeNumber]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let of = |replicas: &Replicas| -> Vec<Value> {
        let row = |at: u16| {
            let (owners, rest) =
                (placement.owners(PartitionId(at), replicas), placement.fallbacks(PartitionId(at), replicas));
            json!({ "owners": nodes(&owners), "fallbacks": nodes(&rest) })
        };
        (0..8).map(row).collect()
    };
    let counts = BTreeMap::from([("eu".to_owned(), 2), ("us".to_owned(), 1)]);
    let described: Vec<Value> = members
        .iter()
        .map(|m| json!({ "number": m.number.0, "location": m.location.as_str(), "capacity": m.capacity }))
        .collect();
    let value = json!({
        "name": name,
        "members": described,
        "lists": placement.lists.iter().map(|(name, rows)| (name.clone(), rows.iter().map(|row| nodes(row)).collect())).collect::<BTreeMap<String, Vec<_>>>(),
        "order": placement.order,
        "n=1": of(&Replicas::Count(1)),
        "n=3": of(&Replicas::Count(3)),
        "eu=2,us=1": of(&Replicas::PerDc(counts)),
    });
    (value, placement)
}

#[test]
fn tokens_partitions_and_placements_are_golden() {
    let found = json!({ "tokens": tokens(), "placements": placements() });
    if std::env::var_os("RINGKEEP_WRITE_VECTORS").is_some() {
        std::fs::write(VECTORS, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    assert_eq!(found["tokens"], golden["tokens"]);
    assert_eq!(found["placements"], golden["placements"]);
}

/// The cases by which every language checks the vectors are copies of them.
#[test]
fn the_behaviour_cases_are_the_vectors() {
    const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/behaviour/ring.json");
    let suite: Value = serde_json::from_str(&std::fs::read_to_string(CASES).unwrap()).unwrap();
    let key = |form: &Value| match form {
        Value::String(text) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        Value::Object(form) => match form.get("hex").and_then(Value::as_str) {
            Some(hex) => hex.to_owned(),
            None => format!("{:02x}", form["repeat"].as_str().unwrap().as_bytes()[0])
                .repeat(usize::try_from(form["count"].as_u64().unwrap()).unwrap()),
        },
        other => panic!("{other} is no key"),
    };
    let mut checked = 0;
    for case in suite["cases"].as_array().unwrap() {
        let count = case["setup"]["settings"]["partitions"].to_string();
        let found: Vec<(u64, String, u64)> = case["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| {
                let bucket = u64::from(step.get("bucket").is_some());
                (bucket, key(&step["key"]), step["expect"]["partition"].as_u64().unwrap())
            })
            .collect();
        let expected: Vec<(u64, String, u64)> = tokens()
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|vector| {
                let (bucket, key) = (vector["bucket"].as_u64()?, vector["key"].as_str()?.to_owned());
                // The empty key is none, and no test makes 2^32 buckets.
                let reachable = bucket <= 1 && !key.is_empty();
                reachable.then(|| (bucket, key, vector["partitions"][&count].as_u64().unwrap()))
            })
            .collect();
        assert_eq!(found, expected, "{count} partitions");
        checked += found.len();
    }
    assert_eq!(checked, 36);
}
