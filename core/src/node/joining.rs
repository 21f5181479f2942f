//! Becoming a member: by a seed that lets this node in, or by founding the cluster with the others of one seed list.

use std::sync::Arc;
use std::time::Duration;

use super::NodeCore;
use crate::base::error::{Error, Result};
use crate::client::TopologySource;
use crate::ring::Topology;
use crate::wire::control::{self, Kind, proto};
use crate::wire::{Request, Response};

/// The pause between attempts, times a random number of 1 to 3.
const PAUSE: Duration = Duration::from_millis(60);

impl NodeCore {
    /// Tries until this node is a member or closes.
    pub(super) async fn become_member(self: Arc<Self>) {
        let mut round = 0;
        while self.serving.get().is_none() && !self.closed() {
            if !self.join_by_seeds().await && self.topology.current().is_none() {
                self.found_in_turn(round).await;
            }
            if let Some(topology) = self.topology.current() {
                // A disk that fails here fails the next round too, and every operation says so.
                let _activated = self.activate(&topology).await;
            }
            if self.serving.get().is_none() {
                let pause = u32::try_from(1 + self.env.random_below(3)).unwrap_or(1);
                self.env.sleep(PAUSE * pause).await;
            }
            round += 1;
        }
    }

    /// Asks each seed to be let in; says whether one of them has.
    async fn join_by_seeds(self: &Arc<Self>) -> bool {
        let own = self.address.get().cloned().unwrap_or_default();
        let listen = self.settings.listen.clone().unwrap_or_default();
        for seed in self.settings.seeds.iter().filter(|seed| **seed != own && **seed != listen) {
            if self.join_by(seed).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn join_by(self: &Arc<Self>, seed: &str) -> Result<()> {
        let join = Kind::Join(proto::Join {
            member: Some((&self.member()?).into()),
            address: self.address.get().cloned().unwrap_or_default(),
        });
        let request = Request::Control(control::encode(join));
        let deadline = self.env.deadline(self.settings.timeout());
        let reply = self.peers.pool().call(seed, request, deadline).await.and_then(Response::into_result)?;
        let Response::Control(bytes) = reply else {
            return Err(control::unexpected_reply("a join"));
        };
        match control::accept_reply(control::decode(&bytes)?)? {
            Kind::JoinReply(reply) => {
                let topology =
                    reply.topology.ok_or_else(|| Error::invalid("a join's answer without a topology"))?;
                self.learn(Topology::try_from(topology)?).await?;
                for peer in reply.peers {
                    self.topology.take_peer(&peer);
                }
                Ok(())
            }
            _ => Err(control::unexpected_reply("a join")),
        }
    }

    /// Founds with the other founders. They take turns, so that rivals are rare; rivals are safe all the same.
    async fn found_in_turn(self: &Arc<Self>, round: u32) {
        let Some(founders) = &self.founders else { return };
        let place = founders.me().0 - 1;
        let turns = u32::try_from(founders.addresses().len()).unwrap_or(1).max(1);
        if round % turns == place % turns {
            let deadline = self.env.deadline(self.settings.timeout());
            // Too few founders are up yet: the next round tries again.
            let _founded = self.found_together(deadline).await;
        }
    }
}
