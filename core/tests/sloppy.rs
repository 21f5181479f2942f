//! Five real nodes on loopback, three replicas: sloppy writes and reads while owners are away, and the drain afterwards.

use std::time::Duration;

use bytes::Bytes;
use five::{KEY, fallback_copies, put_sloppy, strictly_everywhere};
use ringkeep::ErrorKind;
use ringkeep::base::settings::Settings;

#[cfg(test)]
mod five {
    use std::time::Duration;

    use bytes::Bytes;
    use ringkeep::base::settings::Settings;
    use ringkeep::testing::{Cluster, ClusterOptions};
    use ringkeep::{Bucket, Node, Receipt};

    pub(super) const KEY: &str = "basket:7";

    /// Five nodes, and their indexes in the order of the key's preference list: owners first.
    pub(super) async fn start(settings: Settings) -> (Cluster, Vec<usize>) {
        let settings = Settings { gossip_interval_ms: 100, peer_timeout_ms: 1_000, ..settings };
        let options = ClusterOptions { size: 5, settings, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).await.unwrap();
        // The first write fixes the owners.
        cluster.node(0).unwrap().default_bucket().put("first", "write").await.unwrap();
        cluster.settle(Duration::from_secs(20)).await.unwrap();
        let topology = cluster.node(0).unwrap().topology().unwrap();
        let bucket = topology.bucket_named("default").unwrap();
        let partition = topology.partition_of(bucket.id, KEY.as_bytes());
        let ids: Vec<String> =
            cluster.nodes().iter().map(|node| node.as_ref().unwrap().id().to_owned()).collect();
        let index = |number| {
            let id = &topology.members[&number].id;
            ids.iter().position(|other| other == id).unwrap()
        };
        let order = topology.preference(partition).into_iter().map(index).collect();
        (cluster, order)
    }

    /// A sloppy put after a kill: the first may have been sent to the dead node, and is never sent twice by itself.
    pub(super) async fn put_sloppy(kv: &Bucket, value: &str, w: u32) -> Receipt {
        for _ in 0..10 {
            match kv.put(KEY, value.to_owned()).sloppy(true).w(w).await {
                Ok(receipt) => return receipt,
                Err(error) => assert!(error.maybe_applied(), "{error}"),
            }
        }
        panic!("ten sloppy puts failed");
    }

    pub(super) fn fallback_copies(node: &Node) -> f64 {
        node.metrics()["fallback_copies"]
    }

    pub(super) async fn strictly_everywhere(cluster: &Cluster, owners: &[usize], key: &str, value: &str) {
        for owner in owners {
            let kv = cluster.node(*owner).unwrap().default_bucket();
            assert_eq!(
                kv.get(key.to_owned()).r(1).await.unwrap(),
                Some(Bytes::from(value.to_owned())),
                "{owner}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sloppy_write_is_taken_while_owners_are_away_and_reaches_them_all() {
    let (cluster, order) = five::start(Settings::default()).await;
    cluster.kill(order[1]).await.unwrap();
    cluster.kill(order[2]).await.unwrap();
    let coordinator = cluster.node(order[0]).unwrap();
    let kv = coordinator.default_bucket();
    let error = kv.put(KEY, "strict").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuorumUnavailable, "{error}");
    let receipt = put_sloppy(&kv, "sloppy", 2).await;
    assert_eq!(receipt.owners(), 1);
    assert!(receipt.fallbacks() >= 1, "{receipt:?}");
    for index in [order[0], order[3], order[4]] {
        let kv = cluster.node(index).unwrap().default_bucket();
        let value = kv.get(KEY).sloppy(true).r(2).await.unwrap();
        assert_eq!(value, Some(Bytes::from("sloppy")));
        assert_eq!(kv.get(KEY).await.unwrap_err().kind(), ErrorKind::QuorumUnavailable);
    }
    // What a fallback shows is its fallback copy: it owns nothing of the key.
    let explained = kv.explain(KEY).await.unwrap();
    let fallbacks = explained.replicas.iter().filter(|replica| replica.role == "fallback");
    assert!(fallbacks.filter(|replica| replica.record.is_some()).count() >= 1, "{explained:?}");
    let client = cluster.client().await.unwrap();
    let through_client = put_sloppy(&client.default_bucket(), "by a client", 3).await;
    assert_eq!((through_client.owners(), through_client.fallbacks()), (1, 2));
    cluster.restart(order[1]).await.unwrap();
    cluster.restart(order[2]).await.unwrap();
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    strictly_everywhere(&cluster, &order[..3], KEY, "by a client").await;
    for index in [order[3], order[4]] {
        let node = cluster.node(index).unwrap();
        assert_eq!(fallback_copies(&node), 0.0);
        assert_eq!(node.metrics()["fallback_bytes"], 0.0);
        // That its copy was started, and that it was drained.
        assert!(node.metrics()["events"] >= 2.0);
    }
    let drained: f64 =
        order[3..].iter().map(|index| cluster.node(*index).unwrap().metrics()["fallback_drained"]).sum();
    assert!(drained >= 1.0);
    assert_eq!(client.default_bucket().get(KEY).await.unwrap(), Some(Bytes::from("by a client")));
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_coordinates_when_every_owner_is_away() {
    let (cluster, order) = five::start(Settings::default()).await;
    for owner in &order[..3] {
        cluster.kill(*owner).await.unwrap();
    }
    let fallback = cluster.node(order[4]).unwrap();
    let receipt = put_sloppy(&fallback.default_bucket(), "kept", 2).await;
    assert_eq!((receipt.owners(), receipt.fallbacks()), (0, 2));
    let client = cluster.client().await.unwrap();
    let kv = client.default_bucket();
    assert_eq!(kv.get(KEY).sloppy(true).r(2).await.unwrap(), Some(Bytes::from("kept")));
    assert_eq!(put_sloppy(&kv, "newer", 1).await.owners(), 0);
    let three = kv.put(KEY, "three").sloppy(true).w(3).await.unwrap_err();
    assert_eq!(three.kind(), ErrorKind::QuorumUnavailable, "{three}");
    assert!(three.maybe_applied());
    put_sloppy(&kv, "last", 2).await;
    for owner in &order[..3] {
        cluster.restart(*owner).await.unwrap();
    }
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    strictly_everywhere(&cluster, &order[..3], KEY, "last").await;
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_killed_while_it_drains_loses_nothing() {
    let (cluster, order) = five::start(Settings::default()).await;
    for owner in &order[..3] {
        cluster.kill(*owner).await.unwrap();
    }
    let kv = cluster.node(order[3]).unwrap().default_bucket();
    put_sloppy(&kv, "kept", 2).await;
    // With one owner back the drain has begun and cannot end.
    cluster.restart(order[0]).await.unwrap();
    let first = cluster.node(order[0]).unwrap().default_bucket();
    while first.get(KEY).r(1).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    cluster.kill(order[3]).await.unwrap();
    cluster.kill(order[4]).await.unwrap();
    cluster.kill(order[0]).await.unwrap();
    for node in &order {
        cluster.restart(*node).await.unwrap();
    }
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    strictly_everywhere(&cluster, &order[..3], KEY, "kept").await;
    assert_eq!(fallback_copies(&cluster.node(order[3]).unwrap()), 0.0);
    // What comes back to the fallback later is a new copy, and nothing of the old one shows in it.
    cluster.kill(order[1]).await.unwrap();
    cluster.kill(order[2]).await.unwrap();
    let kv = cluster.node(order[3]).unwrap().default_bucket();
    put_sloppy(&kv, "again", 3).await;
    assert_eq!(kv.get(KEY).sloppy(true).r(3).await.unwrap(), Some(Bytes::from("again")));
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_fallback_refuses_sloppy_writes_and_no_others() {
    let (cluster, order) = five::start(Settings { fallback_bytes_max: 300, ..Settings::default() }).await;
    for owner in &order[1..3] {
        cluster.kill(*owner).await.unwrap();
    }
    let kv = cluster.node(order[0]).unwrap().default_bucket();
    let large = "x".repeat(400);
    put_sloppy(&kv, "small", 3).await;
    let refused = kv.put(KEY, large.clone()).sloppy(true).w(2).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    // The owner that coordinated it has stored it.
    assert!(refused.maybe_applied() && refused.message().contains("fallback_bytes_max=300"), "{refused}");
    cluster.kill(order[0]).await.unwrap();
    let fallback = cluster.node(order[3]).unwrap().default_bucket();
    // The first may have been sent to the owner that was just killed.
    let mut refused = fallback.put(KEY, large.clone()).sloppy(true).w(1).await.unwrap_err();
    if refused.maybe_applied() {
        refused = fallback.put(KEY, large.clone()).sloppy(true).w(1).await.unwrap_err();
    }
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    assert!(!refused.maybe_applied(), "{refused}");
    for owner in &order[..3] {
        cluster.restart(*owner).await.unwrap();
    }
    fallback.put(KEY, large.clone()).await.unwrap();
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    strictly_everywhere(&cluster, &order[..3], KEY, &large).await;
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sloppy_scan_lists_what_fallbacks_hold_and_a_strict_one_does_not() {
    use ringkeep::{ReadOptions, ScanOptions};
    let (cluster, order) = five::start(Settings::default()).await;
    let kv = cluster.node(order[3]).unwrap().default_bucket();
    for owner in &order[..3] {
        cluster.kill(*owner).await.unwrap();
    }
    put_sloppy(&kv, "kept", 2).await;
    let read = ReadOptions { sloppy: Some(true), r: Some(1), ..ReadOptions::default() };
    let sloppy = ScanOptions { prefix: Bytes::from(KEY), read, ..ScanOptions::default() };
    assert_eq!(kv.count(sloppy.clone()).await.unwrap(), 1);
    for owner in &order[..3] {
        cluster.restart(*owner).await.unwrap();
    }
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    let strict = ScanOptions { prefix: Bytes::from(KEY), ..ScanOptions::default() };
    assert_eq!(kv.count(strict).await.unwrap(), 1);
    assert_eq!(kv.count(sloppy).await.unwrap(), 1);
    cluster.close().await.unwrap();
}
