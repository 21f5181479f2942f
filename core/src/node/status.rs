//! What a node says of itself and its cluster.

use std::sync::atomic::Ordering;

use super::NodeCore;
use crate::base::NodeNumber;
use crate::client::TopologySource;
use crate::coordinator::available::partitions_available;
use crate::membership::Standing;
use crate::ring::Topology;
use crate::store::{MemberInfo, Status};

impl NodeCore {
    /// Copies still compared with other owners, and debts still held: hints and, to each owner that lacks one, fallback
    /// copies.
    pub(super) fn unsettled(&self) -> usize {
        let (recovering, fallbacks) = self.serving.get().map_or((0, 0), |serving| {
            let copies = serving.replica.copies().all();
            (copies.iter().filter(|(_, copy)| copy.recovering).count(), serving.replica.fallbacks().owed())
        });
        recovering + usize::try_from(fallbacks + self.hints.len()).unwrap_or(usize::MAX)
    }

    /// What this node owes a member: hints and fallback copies.
    pub(super) fn owed_to(&self, number: NodeNumber) -> u64 {
        let fallbacks = self.serving.get().map_or(0, |serving| serving.replica.fallbacks().owed_to(number));
        self.hints.owed_to(number) + fallbacks
    }

    /// The fallback copies that this node holds: how many, their bytes, and how many it has drained.
    fn fallbacks(&self) -> (u64, u64, u64) {
        self.serving.get().map_or((0, 0, 0), |serving| {
            let fallbacks = serving.replica.fallbacks();
            (fallbacks.all().len() as u64, fallbacks.bytes(), fallbacks.drained())
        })
    }

    pub(super) fn status_now(&self) -> Status {
        let Some(topology) = self.topology.current() else {
            return Status {
                health: "unavailable".to_owned(),
                available: false,
                epoch: 0,
                partitions: 0,
                partitions_available: 0,
                partitions_moving: 0,
                members: Vec::new(),
                notes: vec!["this node does not belong to a cluster yet".to_owned()],
            };
        };
        let members: Vec<MemberInfo> =
            topology.members.keys().map(|number| self.member_info(&topology, *number)).collect();
        let reachable = members.iter().filter(|member| matches!(member.state.as_str(), "up" | "suspect"));
        let reachable: Vec<_> = reachable.map(|member| NodeNumber(member.number)).collect();
        let me = self.serving.get().map(|serving| serving.replica.number()).unwrap_or_default();
        let partitions_available = partitions_available(&topology, me, &reachable);
        let available = partitions_available == topology.partitions;
        let all_up = members.iter().all(|member| member.state == "up");
        let health = match (all_up, available) {
            (true, _) => "healthy",
            (false, true) => "degraded",
            (false, false) => "unavailable",
        };
        let mut notes = Vec::new();
        for member in members.iter().filter(|member| member.owns == 0.0) {
            notes.push(format!(
                "{} (n{}) joined after the first write and owns nothing yet: moving partitions is not in this version",
                member.id, member.number
            ));
        }
        Status {
            health: health.to_owned(),
            available,
            epoch: topology.epoch.number,
            partitions: topology.partitions,
            partitions_available,
            partitions_moving: 0,
            members,
            notes,
        }
    }

    pub(super) fn metrics_now(&self) -> Vec<(String, f64)> {
        let stats = self.engine.stats();
        #[expect(clippy::cast_precision_loss, reason = "a gauge needs 53 bits at the most")]
        let gauge = |value: u64| value as f64;
        let (fallback_copies, fallback_bytes, fallback_drained) = self.fallbacks();
        let mut metrics = vec![
            ("engine_memory_bytes".to_owned(), gauge(stats.memory_bytes)),
            ("engine_log_bytes".to_owned(), gauge(stats.log_bytes)),
            ("engine_table_bytes".to_owned(), gauge(stats.table_bytes)),
            ("engine_tables".to_owned(), gauge(stats.tables)),
            ("engine_batches_applied".to_owned(), gauge(stats.applied.0)),
            ("engine_background_failures".to_owned(), gauge(stats.background_failures)),
            ("copies_unsettled".to_owned(), gauge(self.unsettled() as u64)),
            ("fallback_copies".to_owned(), gauge(fallback_copies)),
            ("fallback_bytes".to_owned(), gauge(fallback_bytes)),
            ("fallback_drained".to_owned(), gauge(fallback_drained)),
            ("topology_epoch".to_owned(), gauge(self.topology.current().map_or(0, |t| t.epoch.number))),
            ("gossip_bytes_sent".to_owned(), gauge(self.gossip_bytes.load(Ordering::Relaxed))),
            ("requests_refused_overloaded".to_owned(), gauge(self.admission.refused())),
            ("clock_lead_ms".to_owned(), gauge(self.lead_ms.load(Ordering::Relaxed))),
            ("events".to_owned(), gauge(self.events.last())),
        ];
        metrics
            .extend(self.repair_metrics().into_iter().map(|(name, value)| (name.to_owned(), gauge(value))));
        let refused = self.refusals.counts();
        metrics.extend(refused.into_iter().map(|(what, count)| (format!("refused_{what}"), gauge(count))));
        metrics
    }
}

impl NodeCore {
    fn repair_metrics(&self) -> [(&'static str, u64); 8] {
        let owed = self.hints.stats();
        let exchanged = self.serving.get().map(|serving| serving.settle.exchanged()).unwrap_or_default();
        [
            ("hints_owed", owed.keys),
            ("hints_bytes", owed.bytes),
            ("hints_delivered", owed.delivered),
            ("hints_collapsed", owed.collapsed),
            ("partitions_owed", owed.partitions),
            ("exchange_compared", exchanged.compared),
            ("exchange_pulled", exchanged.pulled),
            ("exchange_pushed", exchanged.pushed),
        ]
    }

    pub(super) fn state_of(&self, number: NodeNumber, me: bool) -> &'static str {
        if me {
            return "up";
        }
        let standing = self.topology.with_members(|members| members.standing(number));
        match standing.unwrap_or(Standing::Unheard) {
            Standing::Unheard => "joining",
            Standing::Up => "up",
            Standing::Suspect => "suspect",
            Standing::Down => "down",
        }
    }

    fn member_info(&self, topology: &Topology, number: NodeNumber) -> MemberInfo {
        let member = topology.members.get(&number);
        let me = self.serving.get().is_some_and(|serving| serving.replica.number() == number);
        MemberInfo {
            id: member.map(|member| member.id.clone()).unwrap_or_default(),
            number: number.0,
            address: if me {
                self.address.get().cloned().unwrap_or_default()
            } else {
                self.peers.address(number).map(|address| address.to_string()).unwrap_or_default()
            },
            location: member.map(|member| member.location.as_str().to_owned()).unwrap_or_default(),
            state: self.state_of(number, me).to_owned(),
            owns: topology.share(number),
            hints_pending: self.owed_to(number),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
