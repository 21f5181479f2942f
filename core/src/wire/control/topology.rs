//! The topology record to protobuf and back. What comes back is validated as a whole.

use std::collections::BTreeMap;

use crate::base::{BucketId, ClusterId, Epoch, Error, NodeNumber, Result};
use crate::ring::hash::PARTITIONS_MAX;
use crate::ring::placement::{POSITIONS_MAX, Placement};
use crate::ring::topology::{BUCKETS_MAX, MEMBERS_MAX};
use crate::ring::{BucketSpec, Consistency, Level, Location, Member, Replicas, Resolver, Topology};

use super::proto;

impl From<&Topology> for proto::Topology {
    fn from(topology: &Topology) -> Self {
        let eras = topology.changed.iter().map(|epoch| epoch.era);
        Self {
            cluster: topology.cluster.0.to_vec().into(),
            context_key: topology.context_key.to_vec().into(),
            epoch: Some(topology.epoch.into()),
            partitions: topology.partitions,
            members: topology.members.values().map(proto::Member::from).collect(),
            data_centres: topology
                .placement
                .lists
                .iter()
                .map(|(name, lists)| data_centre(name, lists))
                .collect(),
            order: topology.placement.order.iter().flatten().map(|index| u32::from(*index)).collect(),
            changed_eras: if eras.clone().all(|era| era == 0) { Vec::new() } else { eras.collect() },
            changed_numbers: topology.changed.iter().map(|epoch| epoch.number).collect(),
            buckets: topology.buckets.values().map(proto::Bucket::from).collect(),
            voters: topology.voters.iter().map(|voter| voter.0).collect(),
            next_node: topology.next_node,
            next_bucket: topology.next_bucket,
            sealed: topology.sealed,
        }
    }
}

impl TryFrom<proto::Topology> for Topology {
    type Error = Error;

    fn try_from(message: proto::Topology) -> Result<Self> {
        // Bound the counts before any of them sizes an allocation.
        if message.partitions > PARTITIONS_MAX
            || message.members.len() > MEMBERS_MAX
            || message.data_centres.len() > message.members.len()
            || message.buckets.len() > BUCKETS_MAX
        {
            return Err(Error::invalid(
                "a topology with too many partitions, members, data centres or buckets",
            ));
        }
        let partitions = usize::try_from(message.partitions).unwrap_or(0);
        let count = (message.members.len(), message.buckets.len(), message.data_centres.len());
        let mut members = BTreeMap::new();
        for member in message.members {
            let member = Member::try_from(member)?;
            members.insert(member.number, member);
        }
        let mut buckets = BTreeMap::new();
        for bucket in message.buckets {
            let bucket = BucketSpec::try_from(bucket)?;
            buckets.insert(bucket.id, bucket);
        }
        let mut lists = BTreeMap::new();
        for data_centre in message.data_centres {
            let rows = rows(&data_centre, partitions)?;
            lists.insert(data_centre.name, rows);
        }
        if (members.len(), buckets.len(), lists.len()) != count {
            return Err(Error::invalid("a topology that lists a member, bucket or data centre twice"));
        }
        let topology = Self {
            cluster: ClusterId(sixteen(&message.cluster)?),
            context_key: sixteen(&message.context_key)?,
            epoch: super::epoch(message.epoch),
            partitions: message.partitions,
            members,
            placement: Placement { lists, order: order(&message.order, partitions)? },
            changed: changed(&message.changed_eras, &message.changed_numbers)?,
            buckets,
            voters: message.voters.into_iter().map(NodeNumber).collect(),
            next_node: message.next_node,
            next_bucket: message.next_bucket,
            sealed: message.sealed,
        };
        topology.validate()?;
        Ok(topology)
    }
}

fn data_centre(name: &str, lists: &[Vec<NodeNumber>]) -> proto::DataCentre {
    let positions = lists.first().map_or(0, Vec::len);
    proto::DataCentre {
        name: name.to_owned(),
        positions: u32::try_from(positions).unwrap_or(u32::MAX),
        nodes: lists.iter().flatten().map(|node| node.0).collect(),
    }
}

fn rows(data_centre: &proto::DataCentre, partitions: usize) -> Result<Vec<Vec<NodeNumber>>> {
    let positions = usize::try_from(data_centre.positions).unwrap_or(usize::MAX);
    if positions == 0 || positions > POSITIONS_MAX || data_centre.nodes.len() != positions * partitions {
        return Err(Error::invalid(format!(
            "the lists of data centre {:?} have the wrong length",
            data_centre.name
        )));
    }
    let row = |nodes: &[u32]| nodes.iter().copied().map(NodeNumber).collect();
    Ok(data_centre.nodes.chunks(positions).map(row).collect())
}

fn order(order: &[u32], partitions: usize) -> Result<Vec<Vec<u16>>> {
    let fault = || Error::invalid("the order of data centres does not fit the partitions");
    if order.is_empty() {
        return Ok(Vec::new());
    }
    if partitions == 0 || !order.len().is_multiple_of(partitions) {
        return Err(fault());
    }
    let row =
        |indexes: &[u32]| indexes.iter().map(|index| u16::try_from(*index).map_err(|_| fault())).collect();
    order.chunks(order.len() / partitions).map(row).collect()
}

fn changed(eras: &[u32], numbers: &[u64]) -> Result<Vec<Epoch>> {
    if eras.is_empty() {
        return Ok(numbers.iter().map(|number| Epoch { era: 0, number: *number }).collect());
    }
    if eras.len() != numbers.len() {
        return Err(Error::invalid("the epochs of change do not fit the partitions"));
    }
    Ok(eras.iter().zip(numbers).map(|(era, number)| Epoch { era: *era, number: *number }).collect())
}

fn sixteen(bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| Error::invalid(format!("{} bytes where 16 belong", bytes.len())))
}

impl From<&Member> for proto::Member {
    fn from(member: &Member) -> Self {
        Self {
            number: member.number.0,
            id: member.id.clone(),
            location: member.location.as_str().to_owned(),
            capacity: member.capacity,
            durable: member.durable,
        }
    }
}

/// Checks every value but the number, which a joiner does not have yet.
impl TryFrom<proto::Member> for Member {
    type Error = Error;

    fn try_from(message: proto::Member) -> Result<Self> {
        let member = Self {
            number: NodeNumber(message.number),
            id: message.id,
            location: Location::parse(&message.location)?,
            capacity: message.capacity,
            durable: message.durable,
        };
        member.validate()?;
        Ok(member)
    }
}

impl From<&BucketSpec> for proto::Bucket {
    fn from(bucket: &BucketSpec) -> Self {
        let n = match &bucket.n {
            Replicas::Count(count) => proto::bucket::N::Count(u32::from(*count)),
            Replicas::PerDc(counts) => proto::bucket::N::PerDataCentre(proto::PerDataCentre {
                counts: counts.iter().map(|(name, count)| (name.clone(), u32::from(*count))).collect(),
            }),
        };
        Self {
            id: bucket.id.0,
            name: bucket.name.clone(),
            n: Some(n),
            r: Some(bucket.r.into()),
            w: Some(bucket.w.into()),
            sloppy: bucket.sloppy,
            resolver: match bucket.resolver {
                Resolver::Lww => 1,
                Resolver::Siblings => 2,
            },
            ttl_ms: bucket.ttl_ms,
        }
    }
}

impl TryFrom<proto::Bucket> for BucketSpec {
    type Error = Error;

    fn try_from(message: proto::Bucket) -> Result<Self> {
        let n = match message.n {
            Some(proto::bucket::N::Count(n)) => Replicas::Count(small("n", n)?),
            Some(proto::bucket::N::PerDataCentre(map)) => Replicas::PerDc(
                map.counts.into_iter().map(|(name, n)| Ok((name, small("n", n)?))).collect::<Result<_>>()?,
            ),
            None => return Err(Error::invalid("a bucket without a replica count")),
        };
        let bucket = Self {
            id: BucketId(message.id),
            name: message.name,
            n,
            r: level("r", message.r)?,
            w: level("w", message.w)?,
            sloppy: message.sloppy,
            resolver: match message.resolver {
                1 => Resolver::Lww,
                2 => Resolver::Siblings,
                other => return Err(Error::invalid(format!("resolver {other} is unknown"))),
            },
            ttl_ms: message.ttl_ms,
        };
        bucket.validate()?;
        Ok(bucket)
    }
}

impl From<Level> for proto::Level {
    fn from(level: Level) -> Self {
        let level = match level {
            Level::Count(count) => proto::level::Level::Count(u32::from(count)),
            Level::Consistency(consistency) => {
                proto::level::Level::Consistency(u32::from(consistency.code()))
            }
        };
        Self { level: Some(level) }
    }
}

fn level(what: &str, message: Option<proto::Level>) -> Result<Level> {
    match message.and_then(|message| message.level) {
        Some(proto::level::Level::Count(count)) => Ok(Level::Count(small(what, count)?)),
        Some(proto::level::Level::Consistency(code)) => Consistency::from_code(small(what, code)?)
            .map(Level::Consistency)
            .ok_or_else(|| Error::invalid(format!("consistency {code} is unknown"))),
        None => Err(Error::invalid(format!("a bucket without {what}"))),
    }
}

fn small(what: &str, value: u32) -> Result<u8> {
    u8::try_from(value).map_err(|_| Error::invalid(format!("{what}={value} is out of range")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::wire::control::{decode_topology, encode_topology};

    fn sample() -> Topology {
        let member = |id: &str, location: &str| Member {
            number: NodeNumber(0),
            id: id.to_owned(),
            location: Location::parse(location).unwrap(),
            capacity: 1.5,
            durable: true,
        };
        let members = vec![member("a", "aws/eu/1"), member("b", "aws/eu/2"), member("c", "gcp/us/1")];
        let bucket = BucketSpec::named("default", Replicas::Count(3));
        let topology = Topology::found(ClusterId([7; 16]), [9; 16], 8, bucket, members, false).unwrap();
        let counts = BTreeMap::from([("eu".to_owned(), 2), ("us".to_owned(), 1)]);
        let mut carts = BucketSpec::named("carts", Replicas::PerDc(counts));
        carts.resolver = Resolver::Siblings;
        carts.ttl_ms = Some(5);
        carts.r = Level::Count(2);
        topology.with_bucket(carts).unwrap()
    }

    #[test]
    fn a_topology_survives_the_wire() {
        let topology = sample();
        assert_eq!(decode_topology(&encode_topology(&topology)).unwrap(), topology);
    }

    #[test]
    fn unsound_topologies_are_refused() {
        let sound = proto::Topology::from(&sample());
        let spoil: [fn(&mut proto::Topology); 16] = [
            |t| t.cluster = vec![1].into(),
            |t| t.epoch = None,
            |t| t.partitions = 7,
            |t| t.partitions = u32::MAX,
            |t| t.members.clear(),
            |t| t.members.extend(t.members.clone()),
            |t| t.members[0].capacity = f64::NAN,
            |t| t.members[0].number = 99,
            |t| t.data_centres[0].positions = u32::MAX,
            |t| t.data_centres[0].nodes[0] = 3,
            |t| t.order[0] = 40,
            |t| t.changed_numbers[0] = 99,
            |t| t.buckets.clear(),
            |t| t.buckets[0].resolver = 0,
            |t| t.voters = vec![1, 1],
            |t| t.next_node = 0,
        ];
        for (at, spoil) in spoil.iter().enumerate() {
            let mut message = sound.clone();
            spoil(&mut message);
            assert!(decode_topology(&message.encode_to_vec()).is_err(), "case {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_sound_topology_or_an_error(
            at in 0usize..4_000, byte: u8, cut in 0usize..4_000, noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = encode_topology(&sample()).to_vec();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length.min(64));
            if let Ok(topology) = decode_topology(&bytes) {
                topology.validate().unwrap();
            }
            drop(decode_topology(&noise));
        }
    }
}
