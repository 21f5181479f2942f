//! Hints in a ring of real nodes: what a killed owner missed comes back to it key by key, and records that no member
//! could have sent, or that are too old, change nothing.

#![expect(clippy::unwrap_used, reason = "a test ends where something cannot be set up")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::ids::{BucketId, NodeNumber, PartitionId, Time};
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::wire::{
    Connection, Hello, Limits, Need, Request, Response, Role, Route, TcpTransport, VersionRange,
};
use ringkeep::{Env, ErrorKind, Node};

const PATIENCE: Duration = Duration::from_secs(60);

fn metric(node: &Node, name: &str) -> u64 {
    let value = node.metrics().get(name).copied().unwrap_or_default();
    format!("{value:.0}").parse().unwrap()
}

async fn until(env: &Env, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = env.deadline(PATIENCE);
    while !holds() {
        assert!(!deadline.passed(), "{what} did not come to hold");
        env.sleep(Duration::from_millis(5)).await;
    }
}

async fn three() -> (Cluster, Env) {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    cluster.node(0).unwrap().default_bucket().put("first", "write").w(3).await.unwrap();
    cluster.settle(PATIENCE).await.unwrap();
    (cluster, Env::system(tokio::runtime::Handle::current()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_gets_each_key_that_it_missed_by_a_hint() {
    const KEYS: u64 = 300;
    let (cluster, env) = three().await;
    let holder = cluster.node(0).unwrap();
    let third = cluster.node(2).unwrap().id().to_owned();
    let compared = metric(&holder, "exchange_compared");
    cluster.kill(2).await.unwrap();
    for number in 0..KEYS {
        holder.default_bucket().put(format!("key:{number}"), format!("value {number}")).await.unwrap();
    }
    until(&env, "every key is owed", || metric(&holder, "hints_owed") == KEYS).await;
    assert_eq!(metric(&holder, "partitions_owed"), 0);
    let status = holder.status().await.unwrap();
    let pending = status.members.iter().map(|member| (member.id == third, member.hints_pending));
    assert_eq!(pending.filter(|(is_third, _)| *is_third).collect::<Vec<_>>(), [(true, KEYS)]);
    cluster.restart(2).await.unwrap();
    cluster.settle(PATIENCE).await.unwrap();
    assert_eq!((metric(&holder, "hints_delivered"), metric(&holder, "hints_owed")), (KEYS, 0));
    assert_eq!(metric(&holder, "exchange_compared"), compared, "the holder compared no copy");
    let back = cluster.node(2).unwrap();
    for number in 0..KEYS {
        let value = back.default_bucket().get(format!("key:{number}")).r(1).await.unwrap();
        assert_eq!(value, Some(Bytes::from(format!("value {number}"))));
    }
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_overwritten_is_owed_once_and_delivered_as_it_is_now() {
    let (cluster, env) = three().await;
    let holder = cluster.node(0).unwrap();
    cluster.kill(2).await.unwrap();
    for number in 0..20 {
        holder.default_bucket().put("key", format!("value {number}")).await.unwrap();
    }
    until(&env, "the key is owed", || metric(&holder, "hints_owed") == 1).await;
    cluster.restart(2).await.unwrap();
    cluster.settle(PATIENCE).await.unwrap();
    assert_eq!(metric(&holder, "hints_delivered"), 1);
    let value = cluster.node(2).unwrap().default_bucket().get("key").r(1).await.unwrap();
    assert_eq!(value, Some(Bytes::from("value 19")));
    cluster.close().await.unwrap();
}

/// Somebody who speaks the protocol to a node.
struct Peer {
    env: Env,
    connection: Arc<Connection>,
}

impl Peer {
    async fn dial(env: &Env, node: &Node, role: Role, number: Option<u32>) -> Self {
        let topology = node.topology().unwrap();
        let hello = Hello {
            versions: VersionRange::SUPPORTED,
            role,
            cluster: Some(topology.cluster),
            number: number.map(NodeNumber),
            start: 1,
            nonce: 1,
            address: String::new(),
            epoch: topology.epoch,
            now: Time(0),
            id: "peer".to_owned(),
        };
        let (limits, address) = (Limits::default(), node.address().unwrap());
        let transport = TcpTransport::new(env, limits);
        let deadline = env.deadline(PATIENCE);
        let dialed = Connection::dial(env, &transport, address, hello, None, limits, deadline);
        Self { env: env.clone(), connection: dialed.await.unwrap() }
    }

    async fn call(&self, request: Request) -> Response {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = Box::new(move |reply| drop(sender.send(reply)));
        self.connection.submit(&request, self.env.deadline(PATIENCE), done);
        receiver.await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_old_or_from_nowhere_is_refused_and_changes_nothing() {
    let (cluster, env) = three().await;
    let node = cluster.node(0).unwrap();
    let topology = node.topology().unwrap();
    let route = |key: &[u8]| Route {
        bucket: BucketId(0),
        partition: topology.partition_of(BucketId(0), key),
        epoch: topology.epoch,
    };
    let client = Peer::dial(&env, &node, Role::Client, None).await;
    // As a member that dialed before it was one: a number would have to show its start number as well.
    let member = Peer::dial(&env, &node, Role::Joiner, None).await;
    let stranger = Peer::dial(&env, &node, Role::Member, Some(99)).await;
    let first = Bytes::from("first");
    let read = Request::Read { route: route(&first), key: first, need: Need::Count(1), timeout_ms: 5_000 };
    let Response::Record { record: Some(record), now } = client.call(read).await else { panic!("no record") };
    let key = Bytes::from("sent");
    let apply =
        |captured, route| Request::Apply { route, key: key.clone(), captured, record: record.clone() };
    let held = || node.default_bucket().get("sent").r(1);
    let own = route(&key);

    let old = Time::from_unix_ms(now.unix_ms() - 31_000);
    let Response::StaleRecord { now } = member.call(apply(old, own)).await else { panic!("not refused") };
    let nowhere = Route { partition: PartitionId(9_999), ..own };
    let unknown = Route { bucket: BucketId(9), ..own };
    let refused = [
        member.call(apply(now, nowhere)).await,
        stranger.call(apply(now, own)).await,
        client.call(apply(now, own)).await,
    ];
    for response in refused {
        let error = response.into_result().unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::InvalidArgument, false), "{error}");
    }
    assert!(matches!(member.call(apply(now, unknown)).await, Response::NotOwner { .. }));
    assert_eq!(held().await.unwrap(), None);
    let counted = ["stale_record", "unknown_partition", "unknown_bucket", "unknown_member"]
        .map(|what| metric(&node, &format!("refused_{what}")));
    assert_eq!(counted, [1, 1, 1, 2]);

    // By the clock that the refusal told, the same record is young.
    assert!(matches!(member.call(apply(now, own)).await, Response::Applied { .. }));
    assert_eq!(held().await.unwrap(), Some(Bytes::from("write")));
    cluster.close().await.unwrap();
}
