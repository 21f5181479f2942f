//! Three real nodes on loopback: quorums, a killed node, a restarted one that catches up, clients that go on.

use std::time::Duration;

use bytes::Bytes;
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::{ErrorKind, ScanOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_three_goes_on_without_one_and_takes_it_back() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client().await.unwrap();
    let kv = client.default_bucket();
    for number in 0..200 {
        let receipt = kv.put(format!("key:{number:03}"), format!("value {number}")).await.unwrap();
        assert!(receipt.owners() >= 2);
    }
    assert_eq!(kv.put("all", "three").w(3).await.unwrap().owners(), 3);
    cluster.kill(0).await.unwrap();
    for number in 0..200 {
        let value = kv.get(format!("key:{number:03}")).await.unwrap();
        assert_eq!(value, Some(Bytes::from(format!("value {number}"))));
    }
    kv.put("while away", "x").await.unwrap();
    let error = kv.put("all", "again").w(3).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::QuorumUnavailable | ErrorKind::Timeout), "{error}");
    assert!(error.maybe_applied());
    cluster.restart(0).await.unwrap();
    cluster.settle(Duration::from_secs(20)).await.unwrap();
    let back = cluster.node(0).unwrap();
    let value = back.default_bucket().get("while away").r(1).await.unwrap();
    assert_eq!(value, Some(Bytes::from("x")));
    assert_eq!(client.default_bucket().count(ScanOptions::default()).await.unwrap(), 202);
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_created_through_a_client_is_known_to_every_node() {
    use ringkeep::ring::{BucketSpec, Replicas, Resolver};
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client().await.unwrap();
    let spec = BucketSpec { resolver: Resolver::Siblings, ..BucketSpec::named("carts", Replicas::Count(3)) };
    client.create_bucket(spec).await.unwrap();
    for index in 0..3 {
        let carts = cluster.node(index).unwrap().bucket("carts");
        carts.put("c", format!("from {index}")).await.unwrap();
    }
    let entry = client.bucket("carts").read("c").await.unwrap();
    assert_eq!(entry.siblings().len(), 3);
}
