//! Convergence: once everything has healed and settled, every owner of a key holds the same record.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringkeep::base::{Dot, NodeNumber};
use ringkeep::causality::{Payload, decode};

use super::Violation;

/// What a node holds: by bucket and key, the record.
pub type Holding = BTreeMap<(u32, Bytes), Bytes>;

/// Every owner of each key that anyone holds has the same record, byte for byte, and one dot names one value.
#[must_use]
pub fn owners_agree(
    holdings: &BTreeMap<NodeNumber, Holding>,
    owners_of: impl Fn(u32, &[u8]) -> Vec<NodeNumber>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut keys: Vec<&(u32, Bytes)> = holdings.values().flat_map(BTreeMap::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    for name in keys {
        let owners = owners_of(name.0, &name.1);
        let held: Vec<_> = owners
            .iter()
            .map(|owner| (*owner, holdings.get(owner).and_then(|held| held.get(name))))
            .collect();
        let first = held.first().and_then(|(_, record)| *record);
        if held.iter().any(|(_, record)| *record != first) || first.is_none() {
            let shown: Vec<_> = held.iter().map(|(owner, record)| (owner.0, record.map(describe))).collect();
            let found = format!("bucket {} key {:?}: {shown:?}", name.0, name.1);
            violations.push(Violation { promise: "replicas converge", found });
        }
        violations.extend(one_value_per_dot(name, holdings));
    }
    violations
}

fn describe(record: &Bytes) -> String {
    match decode(record) {
        Ok(record) => {
            let dots: Vec<_> = record
                .siblings
                .iter()
                .map(|sibling| format!("{}@{}", sibling.dot.actor, sibling.dot.time))
                .collect();
            format!("{:?} {dots:?}", record.clock)
        }
        Err(error) => error.to_string(),
    }
}

fn one_value_per_dot(name: &(u32, Bytes), holdings: &BTreeMap<NodeNumber, Holding>) -> Vec<Violation> {
    let mut payloads: BTreeMap<Dot, Payload> = BTreeMap::new();
    let mut violations = Vec::new();
    for (node, record) in holdings.iter().filter_map(|(node, held)| Some((node, held.get(name)?))) {
        let record = match decode(record) {
            Ok(record) => record,
            Err(error) => {
                let found = format!("node {node} key {:?}: {error}", name.1);
                violations.push(Violation { promise: "what is stored can be read", found });
                continue;
            }
        };
        for sibling in record.siblings {
            let known = payloads.entry(sibling.dot).or_insert_with(|| sibling.payload.clone());
            if *known != sibling.payload {
                let found =
                    format!("key {:?}: {:?} is {known:?} and {:?}", name.1, sibling.dot, sibling.payload);
                violations.push(Violation { promise: "no dot is issued twice", found });
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use ringkeep::base::{Actor, CopyNumber, Time};
    use ringkeep::causality::{Record, Sibling, encode};

    use super::*;

    fn record(time: u64, value: &'static str) -> Bytes {
        let dot = Dot { time: Time(time), actor: Actor { node: NodeNumber(1), copy: CopyNumber(1) } };
        let payload = Payload::Value(Bytes::from_static(value.as_bytes()));
        encode(&Record::first(Sibling { dot, payload, expires: None }))
    }

    fn check(held: &[Option<Bytes>]) -> Vec<&'static str> {
        let name = (0, Bytes::from_static(b"key"));
        let nodes = held.iter().zip(1..).map(|(record, number)| {
            let holding: Holding = record.clone().map(|record| (name.clone(), record)).into_iter().collect();
            (NodeNumber(number), holding)
        });
        let owners = |_, _: &[u8]| vec![NodeNumber(1), NodeNumber(2)];
        owners_agree(&nodes.collect(), owners).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn equal_owners_pass_whatever_others_hold() {
        assert_eq!(
            check(&[Some(record(1, "a")), Some(record(1, "a")), Some(record(0, "b"))]),
            Vec::<&str>::new()
        );
        assert_eq!(check(&[None, None, None]), Vec::<&str>::new());
    }

    #[test]
    fn an_owner_that_is_behind_or_has_nothing_is_caught() {
        assert_eq!(check(&[Some(record(2, "b")), Some(record(1, "a"))]), ["replicas converge"]);
        assert_eq!(check(&[None, Some(record(1, "a"))]), ["replicas converge"]);
        assert_eq!(check(&[None, None, Some(record(1, "a"))]), ["replicas converge"]);
    }

    #[test]
    fn a_dot_with_two_values_is_caught() {
        let found = check(&[Some(record(1, "a")), Some(record(1, "b"))]);
        assert!(found.contains(&"no dot is issued twice"), "{found:?}");
    }

    #[test]
    fn bytes_that_are_no_record_are_caught() {
        let torn = record(1, "a").slice(..10);
        assert!(check(&[Some(torn.clone()), Some(torn)]).contains(&"what is stored can be read"));
    }
}
