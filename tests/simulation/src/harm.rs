//! How a fault happens to a cluster: at the seams, by the network, the disks, the clocks and the life of processes.
//! The node's own code takes no part in it.

use std::time::Duration;

use ringkeep::wire::LinkQuality;

use crate::cluster::{Cluster, host};
use crate::faults::Fault;

impl Cluster {
    /// Lets a fault happen. A restart is started and not waited for.
    pub fn apply(&self, fault: &Fault) {
        match *fault {
            Fault::Kill { node } => self.end(node),
            Fault::Crash { node, random } => self.crash(node, random),
            Fault::Wipe { node } => self.wipe(node),
            Fault::Image { node } => self.take_image(node),
            Fault::Clone { node } => {
                self.end(node);
                self.insert_image(node);
                self.begin(node);
            }
            Fault::Restart { node } => {
                self.insert_own_disk(node);
                self.begin(node);
            }
            Fault::Pause { node } => self.pause(node),
            Fault::Resume { node } => self.resume(node),
            Fault::Skew { node, ahead_ms } => self.set_clock(node, ahead_ms),
            _ => self.apply_to_network(fault),
        }
    }

    fn apply_to_network(&self, fault: &Fault) {
        let network = self.network();
        let others = |node| self.numbers().filter(move |other| *other != node);
        match fault {
            Fault::Links { delay_ms, jitter_ms, lost_per_million, reorder } => {
                network.set_usual(LinkQuality {
                    delay: Duration::from_millis(*delay_ms),
                    jitter: Duration::from_millis(*jitter_ms),
                    lost_per_million: *lost_per_million,
                    reorder: *reorder,
                });
            }
            Fault::Link { from, to, delay_ms, lost_per_million } => {
                let quality = LinkQuality {
                    delay: Duration::from_millis(*delay_ms),
                    lost_per_million: *lost_per_million,
                    ..LinkQuality::default()
                };
                network.set_link(&host(*from), &host(*to), quality);
            }
            Fault::Cut { from, to } => network.cut(&host(*from), &host(*to)),
            Fault::Isolate { node } => {
                others(*node).for_each(|other| network.cut_both(&host(*node), &host(other)));
            }
            Fault::OneWay { node, hears: true } => {
                others(*node).for_each(|other| network.cut(&host(*node), &host(other)));
            }
            Fault::OneWay { node, hears: false } => {
                others(*node).for_each(|other| network.cut(&host(other), &host(*node)));
            }
            Fault::Split { groups } => {
                for (one, group) in self.numbers().zip(groups) {
                    for (other, _) in self.numbers().zip(groups).filter(|(_, theirs)| *theirs != group) {
                        network.cut_both(&host(one), &host(other));
                    }
                }
            }
            Fault::Heal => {
                network.heal_all();
                network.reset_links();
            }
            // The rest happens to machines.
            _ => {}
        }
    }
}
