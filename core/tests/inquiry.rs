//! Asking about a cluster: where a key lives, what happens, who can be reached; and a network that is cut and mended.

use std::time::Duration;

use bytes::Bytes;
use ringkeep::ring::{BucketSpec, Replicas, Resolver};
use ringkeep::store::{ClusterEvent, EventsRequest, Explanation};
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::{Error, ErrorKind, Result, Store};

const PATIENCE: Duration = Duration::from_secs(20);

async fn cluster_with_carts() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).await.expect("loopback can be listened on");
    let spec = BucketSpec { resolver: Resolver::Siblings, ..BucketSpec::named("carts", Replicas::Count(3)) };
    let node = cluster.node(0).expect("it has just been started");
    node.create_bucket(spec).await.expect("all voters are up");
    cluster
}

/// What reads of r = 1, 2, 3 would answer.
fn reads(explanation: &Explanation) -> Vec<&str> {
    explanation.reads.iter().map(|read| read.answer.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_what_each_owner_holds() {
    let cluster = cluster_with_carts().await;
    let client = cluster.client().await.unwrap();
    let carts = client.bucket("carts");
    let nothing = carts.explain("k").await.unwrap();
    assert_eq!(reads(&nothing), ["absent"; 3]);
    assert!(nothing.replicas.iter().all(|replica| replica.reachable && replica.record.is_none()));
    for index in 0..2 {
        let node = cluster.node(index).unwrap();
        node.bucket("carts").put("k", format!("from {index}")).w(3).await.unwrap();
    }
    for store in [client.store().clone(), cluster.node(2).unwrap().store().clone()] {
        let found = store.bucket("carts").explain("k").await.unwrap();
        assert_eq!(reads(&found), ["siblings"; 3]);
        assert_eq!((found.bucket.as_str(), found.replicas.len(), found.reads[2].siblings), ("carts", 3, 2));
        let records: Vec<_> = found.replicas.iter().map(|replica| replica.record.clone().unwrap()).collect();
        assert!(records.iter().all(|record| record.values == 2 && record.clock_entries == 2));
        assert!(records.iter().all(|record| record.hash == records[0].hash));
        assert!(found.replicas.iter().all(|replica| replica.role == "owner" && replica.counts));
    }
    let seen = carts.read("k").await.unwrap();
    carts.delete("k").context(seen.context()).w(3).await.unwrap();
    let gone = carts.explain("k").await.unwrap();
    assert_eq!(reads(&gone), ["absent"; 3]);
    assert!(gone.replicas.iter().all(|replica| replica.record.as_ref().unwrap().tombstones == 1));
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_who_cannot_be_reached_and_what_that_costs() {
    let cluster = cluster_with_carts().await;
    let node = cluster.node(0).unwrap();
    node.bucket("carts").put("k", "v").w(3).await.unwrap();
    cluster.kill(1).await.unwrap();
    cluster.kill(2).await.unwrap();
    let found = node.bucket("carts").explain("k").await.unwrap();
    assert_eq!(reads(&found), ["value", "unavailable", "unavailable"]);
    let reason = found.reads[1].reason.as_deref().unwrap();
    assert!(reason.starts_with("r=2 needs 2 of 3 owners, 1 can answer"), "{reason}");
    assert_eq!(found.replicas.iter().filter(|replica| replica.reachable).count(), 1);
    let lost = found.replicas.iter().find(|replica| !replica.reachable).unwrap();
    assert!(lost.error.is_some() && !lost.counts && lost.record.is_none(), "{lost:?}");
    assert_eq!(found.answered_by, node.id());
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_fallbacks_and_that_they_hold_nothing() {
    let cluster = Cluster::start(ClusterOptions { n: 1, ..ClusterOptions::default() }).await.unwrap();
    let client = cluster.client().await.unwrap();
    let bucket = client.default_bucket();
    bucket.put("k", "v").await.unwrap();
    let found = bucket.explain("k").await.unwrap();
    let roles: Vec<_> = found.replicas.iter().map(|replica| replica.role.as_str()).collect();
    assert_eq!(roles, ["owner", "fallback"]);
    assert!(found.replicas[0].record.is_some() && found.replicas[1].record.is_none());
    assert!(found.replicas[1].reachable && !found.replicas[1].counts);
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn explain_refuses_bad_keys_and_unknown_buckets() {
    let cluster = Cluster::start(ClusterOptions { size: 1, ..ClusterOptions::default() }).await.unwrap();
    let node = cluster.node(0).unwrap();
    let kind = |result: Result<Explanation>| result.unwrap_err().kind();
    assert_eq!(kind(node.default_bucket().explain("").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(node.default_bucket().explain(vec![7; 4_097]).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(node.bucket("carts").explain("k").await), ErrorKind::NoSuchBucket);
    let one = node.default_bucket().explain("k").await.unwrap();
    assert_eq!(reads(&one), ["absent", "unavailable", "unavailable"]);
    cluster.close().await.unwrap();
}

/// Reads the stream until the event of a kind about a bucket or member comes.
async fn until(store: &Store, make: impl AsyncFnOnce() -> Result<()>, kind: &str) -> Result<ClusterEvent> {
    let mut events = store.events().await?;
    make().await?;
    let deadline = store.env().deadline(PATIENCE);
    let found = deadline.limit(async {
        loop {
            let event = events.next().await?;
            if event.kind == kind {
                return Ok::<_, Error>(event);
            }
        }
    });
    found.await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_bucket_is_an_event_at_nodes_and_clients() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client().await.unwrap();
    let node = cluster.node(1).unwrap();
    for (store, name) in [(client.store(), "one"), (node.store(), "two")] {
        let create = async || client.create_bucket(BucketSpec::named(name, Replicas::Count(3))).await;
        let event = until(store, create, "topology_changed").await.unwrap();
        assert!(event.number > 0 && event.time_ms > 0 && event.detail.contains("buckets"), "{event:?}");
    }
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_on_at_another_member_and_is_told() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client().await.unwrap();
    let page = client.events_page(EventsRequest::default()).await.unwrap();
    let (id, _start) = page.source.rsplit_once('/').unwrap();
    let nodes = cluster.nodes();
    let asked = nodes.iter().position(|node| node.as_ref().is_some_and(|node| node.id() == id)).unwrap();
    let mut events = client.events().await.unwrap();
    cluster.kill(asked).await.unwrap();
    let other = cluster.node((asked + 1) % 3).unwrap();
    other.create_bucket(BucketSpec::named("carts", Replicas::Count(3))).await.unwrap();
    let deadline = client.env().deadline(PATIENCE);
    let mut find = async |kind: &str| loop {
        let event = deadline.limit(events.next()).await.unwrap().unwrap();
        if event.kind == kind {
            return event;
        }
    };
    assert_eq!(find("source_changed").await.number, 0);
    assert!(find("topology_changed").await.detail.contains("2 buckets"));
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_events_ends_when_the_store_is_closed() {
    let cluster = Cluster::start(ClusterOptions { size: 1, ..ClusterOptions::default() }).await.unwrap();
    let client = cluster.client().await.unwrap();
    let node = cluster.node(0).unwrap();
    for store in [client.store().clone(), node.store().clone()] {
        let mut events = store.events().await.unwrap();
        let (ended, closed) = tokio::join!(events.next(), store.close(None));
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
        closed.unwrap();
        assert_eq!(events.next().await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(store.events().await.unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_on_both_sides_of_a_cut_meet_as_siblings_after_it_is_mended() {
    let cluster = cluster_with_carts().await;
    let client = cluster.client().await.unwrap();
    // The first write of a cluster needs a majority of it: from then on its owners are fixed.
    client.default_bucket().put("first", "write").await.unwrap();
    cluster.partition(&[vec![0]]).unwrap();
    let (alone, other) = (cluster.node(0).unwrap(), cluster.node(1).unwrap());
    let error = alone.bucket("carts").put("k", "alone").timeout(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::QuorumUnavailable | ErrorKind::Timeout), "{error}");
    assert!(error.to_string().contains("cut") && error.maybe_applied(), "{error}");
    let receipt = other.bucket("carts").put("k", "majority").await.unwrap();
    assert_eq!(receipt.owners(), 2);
    let seen = alone.bucket("carts").read("k").r(1).await.unwrap();
    assert_eq!(seen.siblings().len(), 1);
    // Clients have no gate.
    assert_eq!(client.status().await.unwrap().members.len(), 3);
    cluster.heal();
    cluster.settle(PATIENCE).await.unwrap();
    for index in 0..3 {
        let entry = cluster.node(index).unwrap().bucket("carts").read("k").r(1).await.unwrap();
        let mut values: Vec<_> = entry.siblings().iter().map(|value| value.bytes.clone()).collect();
        values.sort();
        assert_eq!(values, [Bytes::from("alone"), Bytes::from("majority")], "node {index}");
    }
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn bad_groups_are_refused() {
    let cluster = Cluster::start(ClusterOptions { size: 1, ..ClusterOptions::default() }).await.unwrap();
    for bad in [vec![vec![1]], vec![vec![0], vec![0]]] {
        let error = cluster.partition(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("partition"), "{error}");
    }
    cluster.partition(&[]).unwrap();
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_healthy_from_available() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let node = cluster.node(0).unwrap();
    let status = node.status().await.unwrap();
    assert!(status.available && status.health == "healthy");
    node.create_bucket(BucketSpec {
        w: ringkeep::ring::Level::Count(5),
        ..BucketSpec::named("wide", Replicas::Count(5))
    })
    .await
    .unwrap();
    let client = cluster.client().await.unwrap();
    let status = client.status().await.unwrap();
    assert_eq!((status.health.as_str(), status.available), ("healthy", false));
    assert_eq!(status.partitions_available, 0);
    cluster.close().await.unwrap();
}
