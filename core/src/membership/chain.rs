//! The chain of topologies: what this node may promise and accept for the next epoch, and what a change makes of the
//! present one. Pure; every effect that must be on disk first is visible in the state that `acceptor_entry` gives.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{ClusterId, Epoch, NodeNumber};
use crate::consensus::{Acceptor, Ballot, Promise};
use crate::ring::{BucketSpec, Member, Topology};

/// Which decision a Paxos message is about: the cluster, and the epoch to be decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Decree {
    /// The cluster; at a founding the hash of the seed list.
    pub cluster: ClusterId,
    /// The epoch to be decided.
    pub epoch: Epoch,
}

/// The first epoch.
pub const FIRST: Epoch = Epoch { era: 0, number: 1 };

/// A change that a member may ask for.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A node wants to be a member.
    Join(Member),
    /// The first write fixes the owners.
    Seal,
    /// A bucket is created.
    CreateBucket(BucketSpec),
}

impl Change {
    /// The next topology, or none if the present one holds the change already.
    ///
    /// # Errors
    /// `InvalidArgument` for a change that the present topology refuses.
    pub fn apply(&self, topology: &Topology) -> Result<Option<Topology>> {
        match self {
            Self::Join(member) if topology.member_with_id(&member.id).is_some() => Ok(None),
            Self::Join(member) => Ok(Some(topology.with_member(member.clone())?.0)),
            Self::Seal if topology.sealed => Ok(None),
            Self::Seal => Ok(Some(topology.with_seal())),
            Self::CreateBucket(spec) => match topology.bucket_named(&spec.name) {
                Some(known) if known.same_as(spec) => Ok(None),
                Some(_) => Err(Error::invalid(format!("bucket {:?} exists with other rules", spec.name))),
                None => Ok(Some(topology.with_bucket(spec.clone())?)),
            },
        }
    }
}

/// A seed list by which several nodes found a cluster together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founders {
    addresses: Vec<String>,
    me: usize,
}

impl Founders {
    /// The founders, if the list names this node by one of its own addresses; the order of the list does not matter.
    #[must_use]
    pub fn of(seeds: &[String], own: &[&str]) -> Option<Self> {
        let mut addresses = seeds.to_vec();
        addresses.sort();
        addresses.dedup();
        let me = addresses.iter().position(|address| own.contains(&address.as_str()))?;
        Some(Self { addresses, me })
    }

    /// The addresses in order; the number of a founder in ballots is its place, from 1.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// This node's number in ballots.
    #[must_use]
    pub fn me(&self) -> NodeNumber {
        NodeNumber(u32::try_from(self.me + 1).unwrap_or(u32::MAX))
    }

    /// What is to be decided: the first epoch of whoever has this list.
    #[must_use]
    pub fn decree(&self) -> Decree {
        let hash = xxh3_128(self.addresses.join(",").as_bytes());
        Decree { cluster: ClusterId(hash.to_be_bytes()), epoch: FIRST }
    }
}

/// Why a Paxos message is not answered.
#[derive(Debug)]
pub enum Refusal {
    /// The sender is behind: this is the present topology's epoch.
    Behind,
    /// This node is behind: it must fetch the epoch before the decree's.
    Ahead(Epoch),
    /// The message is not for this node.
    Error(Error),
}

/// This node's part in deciding the next epoch.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    decree: Option<Decree>,
    acceptor: Acceptor,
}

impl Chain {
    /// The state that the disk holds: an entry for one decree.
    ///
    /// # Errors
    /// `Corruption` for bytes that `acceptor_entry` cannot have made.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let fault = || Error::corrupt("the acceptor entry is damaged");
        let (head, _) = bytes.split_first_chunk::<28>().ok_or_else(fault)?;
        let (cluster, rest) = head.split_first_chunk::<16>().ok_or_else(fault)?;
        let (era, number) = rest.split_first_chunk::<4>().ok_or_else(fault)?;
        let number: [u8; 8] = number.try_into().map_err(|_| fault())?;
        let epoch = Epoch { era: u32::from_be_bytes(*era), number: u64::from_be_bytes(number) };
        let decree = Decree { cluster: ClusterId(*cluster), epoch };
        Ok(Self { decree: Some(decree), acceptor: Acceptor::decode(&bytes.slice(28..))? })
    }

    /// The state for the disk; it must be there before a reply that it led to leaves.
    #[must_use]
    pub fn acceptor_entry(&self) -> Bytes {
        let decree = self.decree.unwrap_or(Decree { cluster: ClusterId::default(), epoch: Epoch::default() });
        let acceptor = self.acceptor.encode();
        let mut out = Vec::with_capacity(28 + acceptor.len());
        out.extend_from_slice(&decree.cluster.0);
        out.extend_from_slice(&decree.epoch.era.to_be_bytes());
        out.extend_from_slice(&decree.epoch.number.to_be_bytes());
        out.extend_from_slice(&acceptor);
        out.into()
    }

    /// Answers a prepare.
    ///
    /// # Errors
    /// See `Refusal`; the state is then unchanged.
    pub fn prepare(&mut self, decree: Decree, ballot: Ballot) -> Promise {
        self.turn_to(decree);
        self.acceptor.prepare(ballot)
    }

    /// Answers an accept with the greatest promised ballot.
    pub fn accept(&mut self, decree: Decree, ballot: Ballot, value: Bytes) -> Ballot {
        self.turn_to(decree);
        self.acceptor.accept(ballot, value)
    }

    /// Forgets the acceptor of an earlier decree: that one is decided, as its successor is being asked for.
    fn turn_to(&mut self, decree: Decree) {
        if self.decree != Some(decree) {
            self.decree = Some(decree);
            self.acceptor = Acceptor::default();
        }
    }
}

/// Whether this node may take part in a decree.
///
/// # Errors
/// See `Refusal`.
pub fn admit(
    decree: Decree,
    topology: Option<&Topology>,
    me: Option<NodeNumber>,
    founding: Option<Decree>,
) -> Result<(), Refusal> {
    let Some(topology) = topology else {
        return if founding == Some(decree) {
            Ok(())
        } else {
            Err(Refusal::Error(Error::new(
                ErrorKind::QuorumUnavailable,
                "this node has another seed list, or none: founders need identical ones",
            )))
        };
    };
    if decree.epoch == FIRST {
        return Err(Refusal::Behind);
    }
    if decree.cluster != topology.cluster {
        return Err(Refusal::Error(Error::invalid(format!(
            "this node belongs to cluster {}, not {}",
            topology.cluster, decree.cluster
        ))));
    }
    if decree.epoch <= topology.epoch {
        return Err(Refusal::Behind);
    }
    let next = Epoch { number: topology.epoch.number + 1, ..topology.epoch };
    if decree.epoch != next {
        return Err(Refusal::Ahead(Epoch { number: decree.epoch.number.saturating_sub(1), ..decree.epoch }));
    }
    if me.is_some_and(|me| topology.voters.contains(&me)) {
        Ok(())
    } else {
        Err(Refusal::Error(Error::invalid(format!("this node is no voter at epoch {}", topology.epoch))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn founders_agree_on_the_decree_whatever_the_order_of_their_lists() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let first = Founders::of(&list(&["b:1", "a:1", "c:1"]), &["a:1"]).unwrap();
        let second = Founders::of(&list(&["c:1", "b:1", "a:1"]), &["x:1", "c:1"]).unwrap();
        assert_eq!(first.decree(), second.decree());
        assert_eq!((first.me(), second.me()), (NodeNumber(1), NodeNumber(3)));
        assert!(Founders::of(&list(&["b:1"]), &["a:1"]).is_none());
    }

    #[test]
    fn the_acceptor_entry_survives_the_disk_and_a_new_decree_starts_afresh() {
        let decree = Decree { cluster: ClusterId([7; 16]), epoch: Epoch { era: 1, number: 9 } };
        let ballot = Ballot { round: 3, node: NodeNumber(2) };
        let mut chain = Chain::default();
        chain.prepare(decree, ballot);
        chain.accept(decree, ballot, Bytes::from("value"));
        let mut back = Chain::decode(&chain.acceptor_entry()).unwrap();
        let later = Ballot { round: 4, node: NodeNumber(1) };
        assert_eq!(back.prepare(decree, later).accepted.map(|vote| vote.value), Some(Bytes::from("value")));
        let next = Decree { epoch: Epoch { era: 1, number: 10 }, ..decree };
        assert_eq!(back.prepare(next, ballot).accepted, None);
        assert!(Chain::decode(&Bytes::from("short")).is_err());
    }

    #[test]
    fn a_node_without_a_topology_takes_part_only_in_its_own_founding() {
        let founding = Decree { cluster: ClusterId([1; 16]), epoch: FIRST };
        let other = Decree { cluster: ClusterId([2; 16]), ..founding };
        assert!(admit(founding, None, None, Some(founding)).is_ok());
        assert!(admit(other, None, None, Some(founding)).is_err());
        assert!(admit(founding, None, None, None).is_err());
    }
}
