//! What gossip costs as a cluster grows: bytes that a member sends in a round when nothing changes, and how many rounds
//! pass until every other member holds a dead one for down. The shipped deciders, without a network.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "a time to begin at; no clock runs here")]

use ringkeep::base::NodeNumber;
use ringkeep::membership::Standing;
use ringkeep::testing::crowd::{Condition, Crowd};

fn main() {
    println!("members  bytes a round  × log2(members) of 3  rounds until a dead member is down everywhere");
    let mut least = None;
    for size in [3, 10, 100, 1_000] {
        let now = tokio::time::Instant::now();
        let mut crowd = Crowd::new(size, 1, now, Box::new(|_, _, _| false));
        crowd.acquaint();
        crowd.round();
        let bytes: u64 = (0..5).map(|_| crowd.round()).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let bytes = bytes as f64 / 5.0 / f64::from(size);
        let per_doubling = bytes / f64::from(size).log2();
        let growth = per_doubling / *least.get_or_insert(per_doubling);
        let dead = NodeNumber(2);
        crowd.set(dead, Condition::Dead);
        let others = usize::try_from(size).unwrap_or(usize::MAX) - 1;
        // A round of a thousand takes as long as hundreds of a few.
        let most = if size > 500 { 30 } else { 100 };
        let known = (1..=most).find(|_| {
            crowd.round();
            crowd.holding(dead, Standing::Down) == others
        });
        let known = known.map_or_else(|| format!("over {most}"), |rounds| rounds.to_string());
        println!("{size:7}  {bytes:13.0}  {growth:20.2}  {known}");
    }
}
